//! Many services and many messages: nothing is lost, and memory comes back. These tests measure the process, so each
//! runs alone.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

mod support;

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::Instant;

use skynet_rs::{
    Config, Context, Handle, Message, MessageKind, Payload, Runtime, Service, ServiceError, packed,
};
use support::{DEADLINE, Log};

type Answer = Result<(), ServiceError>;

/// Keeps the other tests of this file waiting.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What this process has in memory.
fn resident_bytes() -> usize {
    let statm = fs::read_to_string("/proc/self/statm").expect("Linux");
    let pages: usize = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).expect("a number");
    pages * 4096
}

/// A service that waits in its first message until the test opens the gate, then counts.
struct Gated {
    gate: Option<Arc<Mutex<Receiver<()>>>>,
    count: u64,
}

impl Service for Gated {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Answer {
        if let Some(gate) = self.gate.take() {
            gate.lock().expect("one service").recv()?;
            return Ok(());
        }
        self.count += 1;
        if message.is_request() {
            ctx.respond(message.origin(), (self.count - 1).to_string())?;
        }
        Ok(())
    }
}

/// A node with the service `gated`, the sender that opens the gate, and the log.
fn gated_node(config: Config) -> (Runtime, Handle, Sender<()>, Log) {
    let log = Log::default();
    let (open, gate) = channel();
    let gate = Arc::new(Mutex::new(gate));
    let runtime = Runtime::builder()
        .config(config)
        .workers(2)
        .log_to(log.sink())
        .service("gated", move |_| Ok(Gated { gate: Some(Arc::clone(&gate)), count: 0 }))
        .start()
        .expect("the node starts");
    let gated = runtime.launch("gated", "").expect("it starts");
    runtime.send(gated, MessageKind::TEXT, "the first").expect("it is sent");
    wait_until("it works", || runtime.stat(gated).is_some_and(|stat| stat.mailbox_len == 0));
    (runtime, gated, open, log)
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not come that {what}");
        std::thread::yield_now();
    }
}

// -- messages

#[test]
fn a_million_waiting_messages_are_reported_handled_and_forgotten() {
    const COUNT: usize = 1_000_000;
    let _alone = alone();
    let (runtime, gated, open, log) = gated_node(Config::new().set("harbor", 0));
    let before = resident_bytes();
    for _ in 0..COUNT {
        runtime.send(gated, MessageKind::TEXT, "a message with some bytes").expect("it is sent");
    }
    assert_eq!(runtime.stat(gated).expect("it is there").mailbox_len, COUNT);
    let full = resident_bytes();
    open.send(()).expect("it waits");
    let answer = runtime.call_within(3 * DEADLINE, gated, MessageKind::LUA, "x").expect("it answers");
    assert_eq!(answer.as_bytes(), COUNT.to_string().as_bytes());
    let lines = log.wait_for_count("error: May overload, message queue length = ", 1);
    assert!((1..=2).contains(&lines.len()), "{lines:#?}");
    let len = lines[0].rsplit(' ').next().and_then(|len| len.parse::<usize>().ok()).expect("a number");
    assert!((COUNT - 1..=COUNT + 1).contains(&len), "{lines:#?}");
    trim();
    let after = resident_bytes();
    assert!(after.saturating_sub(before) < (full - before) / 4, "{before} bytes, then {full}, then {after}");
    // Empty again: the next burst is worth a line again.
    assert_eq!(runtime.stat(gated).expect("it is there").mailbox_len, 0);
}

/// Has the C library give free memory back to the system.
#[allow(unsafe_code)]
fn trim() {
    // SAFETY: may be called at any time.
    unsafe { libc::malloc_trim(0) };
}

// -- services

/// Bytes that a list of services says it uses.
fn used_bytes(runtime: &Runtime, services: &[Handle]) -> usize {
    services.iter().filter_map(|handle| runtime.stat(*handle)).map(|stat| stat.memory).sum()
}

#[test]
fn ten_thousand_lua_services_come_answer_and_go() {
    const COUNT: usize = 10_000;
    let _alone = alone();
    let node = support::node();
    let runtime = &node.runtime;
    let request = || packed::to_payload(&("echo", 7)).expect("packs");
    let mut levels = Vec::new();
    trim();
    let start = resident_bytes();
    for _round in 0..2 {
        let services: Vec<Handle> =
            (0..COUNT).map(|_| runtime.launch("snlua", "eval nameless").expect("it starts")).collect();
        // The first message loads the script, the second runs its start function.
        let is_up = |handle: &Handle| runtime.stat(*handle).is_some_and(|stat| stat.messages >= 2);
        node.wait_until("all have started", || services.iter().rev().all(is_up));
        // One of Lua asks them all, which takes the test's thread out of the way.
        let handles: Vec<String> = services.iter().map(|handle| handle.as_u32().to_string()).collect();
        let sum = node.lua(&format!(
            "local sum = 0
            for handle in ('{}'):gmatch '%d+' do sum = sum + skynet.call(tonumber(handle), 'lua', 'echo', 1) end
            return sum",
            handles.join(" ")
        ));
        assert_eq!(sum, [COUNT.to_string()]);
        let each = used_bytes(runtime, &services) / COUNT;
        assert!((5_000..60_000).contains(&each), "{each} bytes for a service");
        let peak = resident_bytes();
        for handle in &services {
            assert!(runtime.kill(*handle));
        }
        node.wait_until("all are gone", || runtime.services().len() < 20);
        let answer = runtime.call_within(DEADLINE, services[0], MessageKind::LUA, request());
        assert!(answer.is_err(), "a dead service does not answer");
        levels.push(peak);
        // The last of them are ended by the workers after they left the table.
        node.wait_until("memory comes back", || {
            trim();
            resident_bytes() < start + (peak - start) / 4
        });
    }
    assert!(levels[1] < levels[0] + levels[0] / 4, "the second round took more than the first");
}

// -- moves

/// Counts its messages, and how often it found itself on another thread than before.
struct Wanderer {
    on: Option<ThreadId>,
    moves: Arc<AtomicU64>,
    count: u64,
}

impl Service for Wanderer {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Answer {
        let here = std::thread::current().id();
        if self.on.replace(here) != Some(here) {
            self.moves.fetch_add(1, Ordering::Relaxed);
        }
        self.count += 1;
        if message.is_request() {
            ctx.respond(message.origin(), self.count.to_string())?;
        }
        Ok(())
    }
}

/// Sends `count` requests to a service, one after another, and reports.
struct Caller {
    to: Handle,
    left: u64,
    lua: bool,
    done: Sender<()>,
}

impl Caller {
    fn next(&mut self, ctx: &mut Context<'_>) -> Answer {
        if self.left == 0 {
            self.done.send(())?;
        } else {
            self.left -= 1;
            if self.lua {
                ctx.request(self.to, MessageKind::LUA, packed::to_payload(&("add", 1))?)?;
            } else {
                ctx.request(self.to, MessageKind::LUA, "x")?;
            }
        }
        Ok(())
    }
}

impl Service for Caller {
    fn init(&mut self, ctx: &mut Context<'_>) -> Answer {
        self.next(ctx)
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Answer {
        assert_eq!(message.kind, MessageKind::RESPONSE);
        self.next(ctx)
    }
}

#[test]
fn a_service_is_the_same_on_whatever_thread_it_runs() {
    const CALLERS: u64 = 16;
    const EACH: u64 = 20_000;
    let _alone = alone();
    let moves = Arc::new(AtomicU64::new(0));
    let (done, finished) = channel();
    let counted = Arc::clone(&moves);
    let runtime = Runtime::builder()
        .workers(4)
        .log_to(|_, _| {})
        .service("wanderer", move |_| Ok(Wanderer { on: None, moves: Arc::clone(&counted), count: 0 }))
        .service("caller", move |to| {
            let to = to.parse().map_err(|_| "no handle")?;
            Ok(Caller { to, left: EACH, lua: false, done: done.clone() })
        })
        .start()
        .expect("the node starts");
    let wanderer = runtime.launch("wanderer", "").expect("it starts");
    for _ in 0..CALLERS {
        runtime.launch("caller", &wanderer.to_string()).expect("it starts");
    }
    for _ in 0..CALLERS {
        finished.recv_timeout(2 * DEADLINE).expect("all calls are answered");
    }
    let answer = runtime.call_within(DEADLINE, wanderer, MessageKind::LUA, "x").expect("it answers");
    assert_eq!(answer.as_bytes(), (CALLERS * EACH + 1).to_string().as_bytes());
    assert!(moves.load(Ordering::Relaxed) > 1, "it stayed where it was");
}

/// Sends itself on, step by step, behind a message to a holder, which keeps the worker busy until the next step has
/// begun. So each step is taken by another worker than the one before, as a rule. A message to a third service makes
/// that worker wake up.
struct Nomad {
    holders: [Handle; 2],
    third: Handle,
    moves_due: u64,
    on: Option<ThreadId>,
    moves: u64,
    /// Plain memory: a step that another thread does not see in full would show here.
    steps: u64,
    trail: Vec<u64>,
    begun: Arc<Begun>,
    done: Sender<()>,
}

/// The last step that has begun, for the holders to wait for.
#[derive(Default)]
struct Begun {
    step: Mutex<u64>,
    changed: Condvar,
}

impl Service for Nomad {
    fn handle(&mut self, ctx: &mut Context<'_>, _: Message) -> Answer {
        let here = std::thread::current().id();
        self.moves += u64::from(self.on.replace(here).is_some_and(|before| before != here));
        self.steps += 1;
        let slot = (self.steps % 64) as usize;
        assert_eq!(self.trail[slot], self.steps.saturating_sub(64), "a step is missing");
        self.trail[slot] = self.steps;
        *self.begun.step.lock().expect("nobody panics with it") = self.steps;
        self.begun.changed.notify_all();
        if self.moves == self.moves_due {
            self.done.send(())?;
            return Ok(());
        }
        let holder = self.holders[(self.steps % 2) as usize];
        ctx.send(holder, MessageKind::TEXT, self.steps.to_le_bytes().as_slice())?;
        ctx.send(self.third, MessageKind::TEXT, Payload::empty())?;
        ctx.send(ctx.handle(), MessageKind::TEXT, Payload::empty())?;
        Ok(())
    }
}

struct Third;

impl Service for Third {
    fn handle(&mut self, _: &mut Context<'_>, _: Message) -> Answer {
        Ok(())
    }
}

/// Keeps its worker busy until the nomad is past the step that the message names.
struct Holder {
    begun: Arc<Begun>,
}

impl Service for Holder {
    fn handle(&mut self, _: &mut Context<'_>, message: Message) -> Answer {
        let step = u64::from_le_bytes(message.payload.as_bytes().try_into()?);
        for _ in 0..100 {
            if *self.begun.step.lock().expect("nobody panics with it") > step {
                return Ok(());
            }
            std::hint::spin_loop();
        }
        // Where both workers share a processor, it takes a sleep to let the other one on.
        let begun = self.begun.step.lock().expect("nobody panics with it");
        drop(self.begun.changed.wait_while(begun, |begun| *begun <= step).expect("nobody panics with it"));
        Ok(())
    }
}

#[test]
fn a_service_moves_between_threads_a_million_times() {
    const MOVES: u64 = 1_000_000;
    let _alone = alone();
    let begun = Arc::new(Begun::default());
    let (done, finished) = channel();
    let runtime = Runtime::builder()
        .config(Config::new().set("harbor", 0).set("spare_workers", 0))
        .workers(2)
        .log_to(|_, _| {})
        .start()
        .expect("the node starts");
    let holders = [0; 2].map(|_| runtime.spawn(Holder { begun: Arc::clone(&begun) }).expect("it starts"));
    let third = runtime.spawn(Third).expect("it starts");
    let trail = vec![0; 64];
    let nomad = Nomad { holders, third, moves_due: MOVES, on: None, moves: 0, steps: 0, trail, begun, done };
    let nomad = runtime.spawn(nomad).expect("it starts");
    runtime.send(nomad, MessageKind::TEXT, Payload::empty()).expect("it is sent");
    finished.recv_timeout(15 * DEADLINE).expect("it has moved so often");
}

#[test]
fn a_lua_service_counts_a_million_messages_from_everywhere() {
    const NATIVE: u64 = 8;
    const LUA: u64 = 8;
    const EACH: u64 = 31_250;
    let _alone = alone();
    let (done, finished) = channel();
    let node = support::start_with(support::config().set("thread", 4), None, |builder| {
        builder.service("caller", move |to| {
            let to = to.parse().map_err(|_| "no handle")?;
            Ok(Caller { to, left: EACH, lua: true, done: done.clone() })
        })
    });
    let counter = node.lua_handle("return skynet.newservice 'counting'");
    let lua: Vec<Handle> = (0..LUA).map(|_| node.launch_eval()).collect();
    for _ in 0..NATIVE {
        node.runtime.launch("caller", &counter.to_string()).expect("it starts");
    }
    // Half of what each Lua service does are sends, in bursts; the rest are calls.
    let code = format!(
        "local burst, calls = {EACH} // 2, {EACH} - {EACH} // 2
        for i = 1, burst do
            skynet.send({to}, 'lua', 'add', 1)
            if i % 100 == 0 then skynet.yield() end
        end
        for _ = 1, calls do skynet.call({to}, 'lua', 'add', 1) end
        return 'done'",
        to = counter.as_u32()
    );
    // As many again, so that all sixteen make a million with those below.
    for _round in 0..3 {
        std::thread::scope(|scope| {
            let all: Vec<_> =
                lua.iter().map(|service| scope.spawn(|| node.lua_in(*service, &code))).collect();
            for one in all {
                assert_eq!(one.join().expect("no panic here"), ["done"]);
            }
        });
    }
    for _ in 0..NATIVE {
        finished.recv_timeout(2 * DEADLINE).expect("all calls are answered");
    }
    let total = NATIVE * EACH + 3 * LUA * EACH;
    assert_eq!(total, 1_000_000);
    assert_eq!(
        node.lua(&format!("return skynet.call({}, 'lua', 'get')", counter.as_u32())),
        [total.to_string()]
    );
}
