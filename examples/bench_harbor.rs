//! What messages between two nodes cost: two processes on loopback, `thread = 2` each.
//!
//! ```text
//! cargo run --release --example bench_harbor                              # everything, a line for each figure
//! cargo run --release --example bench_harbor -- harbor_call harbor_kill   # some of it
//! ```
//!
//! The figures are those of `examples/bench/harbor/`, which two terminals can run without this program (`skynet-rs
//! config/bench_harbor2` and `config/bench_harbor1`), and two that need somebody who kills: how long after the end of the
//! other process its caller has an error, and how long after its restart an answer. The first lines say what bare
//! sockets between two processes reach in this minute, since figures of a shared machine mean something beside that only.

#![allow(clippy::disallowed_methods)] // Real processes are measured in real time.

use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use skynet_rs::{Config, Runtime};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome<T> = Result<T, Box<dyn Error>>;

const RUNS: usize = 3;
/// No step takes longer, unless something is wrong.
const PATIENCE: Duration = Duration::from_secs(120);
/// Measured by this program; the others are cases of `examples/bench/harbor/cases.lua`.
const KILL: &str = "harbor_kill";
const FLOOR: &str = "floor";

fn main() -> Outcome<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.first().map(String::as_str) {
        Some("node") => node(&args[1..]),
        Some("echo") => echo(),
        Some("drain") => drain(),
        _ => drive(&args),
    }
}

/// A process that is a node: a config file, and keys that are set after it.
fn node(args: &[String]) -> Outcome<()> {
    let (file, keys) = args.split_first().ok_or("node FILE KEY=VALUE...")?;
    let mut config = Config::load(file)?;
    for key in keys {
        let (key, value) = key.split_once('=').ok_or("a key is set by KEY=VALUE")?;
        config = config.set(key, value);
    }
    Runtime::builder().config(config).boot().start()?.wait();
    Ok(())
}

fn drive(wanted: &[String]) -> Outcome<()> {
    let wants = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    if wants(FLOOR) {
        floor()?;
    }
    let cases: Vec<&str> =
        wanted.iter().map(String::as_str).filter(|name| ![KILL, FLOOR].contains(name)).collect();
    if wanted.is_empty() || !cases.is_empty() {
        let bench = if cases.is_empty() { "all".to_owned() } else { cases.join(" ") };
        let ports = Ports::free()?;
        let (mut one, two) = (ports.measuring(&bench)?, ports.measured()?);
        one.until("done", |line| println!("{line}"))?;
        drop((one, two));
    }
    if wants(KILL) {
        kill()?;
    }
    Ok(())
}

/// Kills the other node while it owes an answer, and starts it again.
fn kill() -> Outcome<()> {
    let ports = Ports::free()?;
    let (mut one, mut two) = (ports.measuring("death")?, ports.measured()?);
    one.until("answered", |_| {})?;
    let (mut errors, mut answers) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        two.until("held", |_| {})?;
        let killed = Instant::now();
        drop(two);
        one.until("failed", |_| {})?;
        errors.push(killed.elapsed().as_secs_f64() * 1e3);
        let started = Instant::now();
        two = ports.measured()?;
        one.until("answered", |_| {})?;
        answers.push(started.elapsed().as_secs_f64());
    }
    print_line(KILL, median(errors), "ms");
    print_line("harbor_restart", median(answers), "s");
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn print_line(name: &str, value: f64, unit: &str) {
    let digits = if value >= 100.0 { 0 } else { 3 };
    println!("{name} {value:.digits$} {unit}");
}

// ---- processes

/// Three ports that nobody had when they were asked for.
struct Ports([String; 3]);

impl Ports {
    fn free() -> Outcome<Ports> {
        let listeners = [TcpListener::bind("127.0.0.1:0")?, TcpListener::bind("127.0.0.1:0")?];
        let last = TcpListener::bind("127.0.0.1:0")?;
        let [first, second] = listeners.map(|listener| listener.local_addr().map(|at| at.to_string()));
        Ok(Ports([first?, second?, last.local_addr()?.to_string()]))
    }

    fn measuring(&self, bench: &str) -> Outcome<Process> {
        let [master, address, _] = &self.0;
        Process::start(&[
            "node",
            "config/bench_harbor1",
            &format!("standalone={master}"),
            &format!("master={master}"),
            &format!("address={address}"),
            &format!("bench={bench}"),
        ])
    }

    fn measured(&self) -> Outcome<Process> {
        let [master, _, address] = &self.0;
        let keys = [format!("master={master}"), format!("address={address}")];
        Process::start(&["node", "config/bench_harbor2", &keys[0], &keys[1]])
    }
}

/// This program once more, as another process. It is killed when it is dropped.
struct Process {
    child: Child,
    lines: Receiver<String>,
    log: Vec<String>,
}

impl Process {
    fn start(args: &[&str]) -> Outcome<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        // As the program `skynet-rs` has it.
        command.args(args).env("MIMALLOC_PURGE_DELAY", "100").stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let output = child.stdout.take().ok_or("its output is a pipe")?;
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines().map_while(Result::ok);
            lines.into_iter().take_while(|line| sender.send(line.clone()).is_ok()).for_each(drop);
        });
        Ok(Process { child, lines, log: Vec::new() })
    }

    /// Waits for a line; those before it, but for log lines, are handed on.
    fn until(&mut self, wanted: &str, mut each: impl FnMut(&str)) -> Outcome<()> {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if line == wanted => return Ok(()),
                Ok(line) if line.starts_with('[') => self.log.push(line),
                Ok(line) => each(&line),
                Err(why) => {
                    let why = match why {
                        RecvTimeoutError::Timeout => "takes too long",
                        RecvTimeoutError::Disconnected => "has ended",
                    };
                    return Err(format!("a process {why}; its log:\n{}", self.log.join("\n")).into());
                }
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

// ---- bare sockets

/// What two processes reach with sockets and nothing else: small requests one after another, and 64 KiB writes.
fn floor() -> Outcome<()> {
    const ECHOES: u32 = 20_000;
    const BLOCKS: usize = 16_384;
    let (mut trips, mut streams) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let (mut stream, _process) = connect("echo")?;
        let mut block = [0; 64];
        let start = Instant::now();
        for _ in 0..ECHOES {
            stream.write_all(&block)?;
            stream.read_exact(&mut block)?;
        }
        trips.push(f64::from(ECHOES) / start.elapsed().as_secs_f64());
        let (mut stream, _process) = connect("drain")?;
        let block = vec![0; 64 * 1024];
        let start = Instant::now();
        for _ in 0..BLOCKS {
            stream.write_all(&block)?;
        }
        stream.shutdown(std::net::Shutdown::Write)?;
        stream.read_to_end(&mut Vec::new())?;
        streams.push(BLOCKS as f64 / 16.0 / start.elapsed().as_secs_f64());
    }
    print_line("floor_echo", median(trips), "calls/s");
    print_line("floor_stream", median(streams), "MiB/s");
    Ok(())
}

fn connect(role: &str) -> Outcome<(TcpStream, Process)> {
    let mut process = Process::start(&[role])?;
    let mut port = String::new();
    process.until("", |line| line.clone_into(&mut port))?;
    let stream = TcpStream::connect(&port)?;
    stream.set_nodelay(true)?;
    Ok((stream, process))
}

fn accept() -> Outcome<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}\n", listener.local_addr()?);
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn echo() -> Outcome<()> {
    let mut stream = accept()?;
    let mut block = [0; 64];
    while stream.read_exact(&mut block).is_ok() {
        stream.write_all(&block)?;
    }
    Ok(())
}

fn drain() -> Outcome<()> {
    let mut stream = accept()?;
    let mut block = vec![0; 128 * 1024];
    while stream.read(&mut block)? > 0 {}
    Ok(())
}
