//! The chaos test of harbor: a master and three members as programs, wires between them that fail, nodes that are killed
//! and stopped, and an oracle that hears what the members saw.
//!
//! `schedule.rs`: what is done, by the seed. `proxy.rs`: the wires. `process.rs`: the nodes. `lua/chaos.lua`: what they do.
//! `oracle.rs`: what must be true. It is run by `main.rs` (long) and by `tests/harbor_chaos.rs` (short).
#![allow(dead_code, missing_docs, unreachable_pub)] // Two programs share it, and each uses its part.
#![allow(clippy::disallowed_methods)] // The patience of a harness is measured in real time.

#[path = "oracle.rs"]
mod oracle;
#[path = "process.rs"]
mod process;
#[path = "proxy.rs"]
mod proxy;
#[path = "schedule.rs"]
mod schedule;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use oracle::Oracle;
use process::{Line, Process, now};
use proxy::{Proxy, Wire};
use schedule::{Fault, Kind, MEMBERS, PAIRS, Pair, Rng, Times};

/// What the members are told, in seconds. Short faults last for half the window at most: a slow machine has the other half.
const RESUME_WINDOW: u64 = 2;
const DOWN_AFTER: u64 = 3;
const JOIN_TIMEOUT: u64 = 10;
/// Beyond what the config says a call may take so much longer to end.
const CALL_SLACK: u64 = 2;
/// The cluster is up after this time, and whole again after the last fault: what a node that starts waits for others, and
/// the time for that start.
const HEAL: Duration = Duration::from_secs(JOIN_TIMEOUT + 10);
/// What was lost at the very end is seen by what comes behind it.
const CALM: Duration = Duration::from_millis(500);
/// If the machine stands still for so long, a short fault may have become a long one.
const STALL: Duration = Duration::from_millis(700);

/// What to do.
pub struct Options {
    pub seed: u64,
    /// How long faults go on.
    pub length: Duration,
    /// The program with which a node starts from a config file.
    pub node: Box<dyn Fn(&Path) -> Command>,
    /// Whether the faults are printed as they come.
    pub is_loud: bool,
}

/// What came of it.
pub struct Outcome {
    /// What was not as it must be; empty if all is well.
    pub violations: Vec<String>,
    pub schedule: String,
    pub summary: String,
    /// The logs of the nodes, kept where something was wrong.
    pub logs: Option<PathBuf>,
}

/// Runs the cluster through all faults.
pub fn run(options: &Options) -> Outcome {
    let times = Times {
        resume_window: Duration::from_secs(RESUME_WINDOW),
        down_after: Duration::from_secs(DOWN_AFTER),
    };
    let faults = schedule::schedule(options.seed, options.length, times);
    let mut schedule = String::new();
    for fault in &faults {
        let _ = writeln!(schedule, "{fault}");
    }
    if options.is_loud {
        println!("seed {}, {} faults:\n{schedule}", options.seed, faults.len());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = Cluster::new(options, folder.path());
    let calm_until = cluster.go_through(&faults);
    cluster.oracle.judge(times);
    let summary = cluster.summary(&faults, calm_until);
    let violations = std::mem::take(&mut cluster.oracle.violations);
    drop(cluster);
    let logs = (!violations.is_empty()).then(|| folder.keep());
    Outcome { violations, schedule, summary, logs }
}

struct Cluster<'a> {
    options: &'a Options,
    // Before what they use: the nodes end first.
    processes: BTreeMap<u8, Process>,
    starts: BTreeMap<u8, usize>,
    proxies: BTreeMap<u8, Proxy>,
    wires: BTreeMap<Pair, Arc<Wire>>,
    master_wire: Arc<Wire>,
    oracle: Oracle,
    lines: Receiver<Line>,
    sender: Sender<Line>,
    stalls: Arc<Mutex<Vec<(f64, f64)>>>,
    _watch: Arc<()>,
    folder: &'a Path,
}

impl Drop for Cluster<'_> {
    fn drop(&mut self) {
        // Threads that wait at a halted wire end.
        for wire in self.wires.values().chain([&self.master_wire]) {
            wire.end();
        }
    }
}

/// What a fault does at its beginning or at its end.
struct Act<'a> {
    at: Duration,
    fault: &'a Fault,
    is_end: bool,
    number: usize,
}

impl<'a> Cluster<'a> {
    fn new(options: &'a Options, folder: &'a Path) -> Cluster<'a> {
        let mut chance = Rng::new(u64::from(std::process::id()) ^ now().to_bits());
        let ports = proxy::free_ports(8, || chance.between(10_000, 30_000) as u16);
        let wires: BTreeMap<Pair, Arc<Wire>> =
            PAIRS.into_iter().map(|pair| (pair, Arc::<Wire>::default())).collect();
        let master_wire = Arc::<Wire>::default();
        let mut proxies = BTreeMap::new();
        for id in 0..=3 {
            let (outer, inner) = (ports[usize::from(id)], ports[usize::from(id) + 4]);
            write_config(folder, id, &ports);
            let (wires, master_wire) = (wires.clone(), Arc::clone(&master_wire));
            let route: proxy::Route = Box::new(move |first| match id {
                0 => Some(Arc::clone(&master_wire)),
                _ => wires.get(&(id.min(first), id.max(first))).cloned(),
            });
            proxies.insert(id, Proxy::new(outer, inner, route));
        }
        let (sender, lines) = channel();
        let watch = Arc::new(());
        let stalls = watch_stalls(&watch);
        Cluster {
            options,
            processes: BTreeMap::new(),
            starts: BTreeMap::new(),
            proxies,
            wires,
            master_wire,
            oracle: Oracle::default(),
            lines,
            sender,
            stalls,
            _watch: watch,
            folder,
        }
    }

    fn start(&mut self, id: u8) {
        let start = self.starts.entry(id).or_default();
        *start += 1;
        let mut command = (self.options.node)(&self.folder.join(format!("config.{id}")));
        command.current_dir(self.folder);
        let log = self.folder.join(format!("node{id}.{start}.log"));
        let process = Process::start(command, &log, id, *start, &self.sender);
        self.processes.insert(id, process);
    }

    /// Starts all, does what the schedule says, and waits until all is well again; the time that this took at the end.
    fn go_through(&mut self, faults: &[Fault]) -> Option<Duration> {
        for id in 0..=3 {
            self.start(id);
        }
        self.wait_healed("the cluster does not come up")?;
        let mut acts: Vec<Act<'_>> = Vec::new();
        for (number, fault) in faults.iter().enumerate() {
            acts.push(Act { at: fault.at, fault, is_end: false, number });
            if !fault.len.is_zero() {
                acts.push(Act { at: fault.at + fault.len, fault, is_end: true, number });
            }
        }
        acts.sort_by_key(|act| act.at);
        let mut losses: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let begin = Instant::now();
        for act in acts {
            self.listen_until(begin + act.at);
            if self.options.is_loud {
                let (time, what) = (begin.elapsed().as_secs_f64(), if act.is_end { "end of" } else { "" });
                println!("{time:8.3} s: {what}{}", act.fault);
            }
            if act.fault.loses && !act.is_end {
                let hit = PAIRS.into_iter().filter(|pair| act.fault.hits(*pair));
                let at = now();
                losses.insert(act.number, hit.map(|pair| self.oracle.begin_loss(Some(pair), at)).collect());
            }
            self.act(act.fault, act.is_end);
            if act.is_end {
                for loss in losses.remove(&act.number).into_iter().flatten() {
                    self.oracle.losses[loss].to = Some(now());
                }
            }
        }
        // Cuts for which no bytes came in time.
        for wire in self.wires.values().chain([&self.master_wire]) {
            wire.calm();
        }
        let took = self.wait_healed("the cluster does not heal after the last fault");
        self.listen_until(Instant::now() + CALM);
        for (from, to) in self.stalls.lock().expect("nobody panics meanwhile").drain(..) {
            self.oracle.losses.push(oracle::Loss { pair: None, from, to: Some(to) });
        }
        took
    }

    fn act(&mut self, fault: &Fault, is_end: bool) {
        let wires_of = |id| Oracle::pairs_of(id).map(|pair| &self.wires[&pair]);
        match &fault.kind {
            Kind::Cut(pair, bytes) => self.wires[pair].cut_after(bytes),
            Kind::Delay(pair, ms) => {
                self.wires[pair].delay(Duration::from_millis(if is_end { 0 } else { *ms }));
            }
            Kind::Halt(pair) => self.wires[pair].halt(!is_end),
            Kind::Refuse(id) => {
                self.proxies[id].refuse(!is_end);
                if !is_end {
                    wires_of(*id).for_each(|wire| wire.cut());
                }
            }
            Kind::Stop(id) => self.processes[id].signal(if is_end { libc::SIGCONT } else { libc::SIGSTOP }),
            Kind::StopMaster => self.processes[&0].signal(if is_end { libc::SIGCONT } else { libc::SIGSTOP }),
            Kind::CutMaster(bytes) => self.master_wire.cut_after(&[*bytes]),
            // Who connects to it meanwhile is refused, as by a machine on which nobody listens.
            Kind::Kill(id) if is_end => {
                self.start(*id);
                self.proxies[id].refuse(false);
            }
            Kind::Kill(id) => {
                self.proxies[id].refuse(true);
                self.processes.remove(id);
            }
        }
    }

    /// Hears what the nodes say until a time.
    fn listen_until(&mut self, until: Instant) {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left.min(Duration::from_millis(50))) {
                Ok(line) => self.oracle.line(&line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => unreachable!("a sender is kept for the next node"),
            }
            for (id, process) in &mut self.processes {
                if let Some(status) = process.ended() {
                    let violation = format!("node {id} ended by itself: {status}");
                    if !self.oracle.violations.contains(&violation) {
                        self.oracle.violations.push(violation);
                    }
                }
            }
            if left.is_zero() {
                return;
            }
        }
    }

    fn wait_healed(&mut self, complaint: &str) -> Option<Duration> {
        let (begin, since) = (Instant::now(), now());
        while !self.oracle.is_healed(&self.starts, since) {
            if begin.elapsed() > HEAL {
                let who = self.oracle.unhealed(&self.starts, since);
                self.oracle.violations.push(format!("{complaint} within {HEAL:?}:{who}"));
                return None;
            }
            self.listen_until(Instant::now() + Duration::from_millis(20));
        }
        Some(begin.elapsed())
    }

    fn summary(&self, faults: &[Fault], healed: Option<Duration>) -> String {
        let sum = self.oracle.totals();
        let cuts: u64 = self.wires.values().map(|wire| wire.cut_count()).sum();
        let (gaps, missing) = self.oracle.allowed;
        let stalls = self.oracle.losses.iter().filter(|loss| loss.pair.is_none()).count();
        let losing = faults.iter().filter(|fault| fault.loses).count();
        format!(
            "seed {}: {} one-way messages, {} calls answered, {} calls failed, {} received; {} faults ({losing} may lose), \
             {cuts} cuts of links, {} ends of links resumed, {} ends of lives, {gaps} gaps allowed \
             ({missing} messages); {stalls} stalls of the \
             machine; healed in {:.2} s; {} violations",
            self.options.seed,
            sum.sent,
            sum.ok,
            sum.failed,
            sum.got,
            faults.len(),
            sum.resumed,
            self.oracle.downs.len(),
            healed.unwrap_or_default().as_secs_f64(),
            self.oracle.violations.len(),
        )
    }
}

/// `ports`: where the proxies of master and members listen, then where they do themselves.
fn write_config(folder: &Path, id: u8, ports: &[u16]) {
    let lua = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/harbor_chaos/lua/?.lua");
    let (outer, inner) = (ports[usize::from(id)], ports[usize::from(id) + 4]);
    let mut text = format!("thread = 2\nharbor = {id}\nluaservice = '{}'\n", lua.display());
    if id == 0 {
        let _ = writeln!(text, "standalone = '127.0.0.1:{inner}'\nstart = 'chaos_master'");
    } else {
        let (handle_limit, members) = (DOWN_AFTER + RESUME_WINDOW + CALL_SLACK, MEMBERS.len());
        let name_limit = JOIN_TIMEOUT + handle_limit;
        let _ = writeln!(
            text,
            "master = '127.0.0.1:{}'\naddress = '127.0.0.1:{outer}'\nharbor_listen = '127.0.0.1:{inner}'\n\
             start = 'chaos'\nchaos_members = {members}\nchaos_handle_limit = {handle_limit}00\n\
             chaos_name_limit = {name_limit}00",
            ports[0]
        );
    }
    let _ = writeln!(
        text,
        "harbor_resume_window = {RESUME_WINDOW}\nharbor_down_after = {DOWN_AFTER}\nharbor_join_timeout = {JOIN_TIMEOUT}"
    );
    fs::write(folder.join(format!("config.{id}")), text).expect("it is written");
}

/// Notes when the machine gave this process no time, for as long as somebody holds `alive`.
fn watch_stalls(alive: &Arc<()>) -> Arc<Mutex<Vec<(f64, f64)>>> {
    let stalls = Arc::new(Mutex::new(Vec::new()));
    let (alive, noted) = (Arc::downgrade(alive), Arc::clone(&stalls));
    std::thread::spawn(move || {
        while alive.strong_count() > 0 {
            let (begin, since) = (Instant::now(), now());
            std::thread::sleep(Duration::from_millis(20));
            if begin.elapsed() > STALL {
                noted.lock().expect("nobody panics meanwhile").push((since, now()));
            }
        }
    });
    stalls
}
