//! The program from outside: how long it takes to its `start` script, and what a node that has nothing to do costs.
//!
//! `cargo bench --bench process` prints one line for each figure. The program is the one that cargo has just built.

#![allow(missing_docs)]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const STARTS: usize = 21;

/// What an idle node did is counted over this time, after as long a time to come to rest.
const IDLE: Duration = Duration::from_secs(5);

/// The first line of the `start` script.
const STARTED: &str = "the start script runs";

/// A folder with a config and a `start` script; it goes with the value.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let path = std::env::temp_dir().join(format!("skynet-rs-bench-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the folder for temporary files can be written");
        let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("it can be written");
        write("config", "thread = 2\nharbor = 0\nstart = 'main'\nluaservice = './?.lua'\n");
        write(
            "main.lua",
            &format!(
                "print '{STARTED}' io.stdout:flush()\n\
                 local skynet = require 'skynet'\n\
                 skynet.start(function() end)\n"
            ),
        );
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A running program.
struct Node(Child);

impl Node {
    /// Starts it, and waits for the first line of its script.
    fn start(folder: &Path) -> Node {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skynet-rs"))
            .arg("config")
            .current_dir(folder)
            .stdout(Stdio::piped())
            .spawn()
            .expect("cargo has built it");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let started = lines.by_ref().map_while(Result::ok).any(|line| line.contains(STARTED));
        assert!(started, "the node does not come to its start script");
        // The pipe stays open, and what little comes is thrown away.
        thread::spawn(move || lines.for_each(drop));
        Node(child)
    }

    /// A number from a file of each of its threads, added up.
    fn total(&self, file: &str, number: impl Fn(&str) -> Option<u64>) -> u64 {
        let threads = fs::read_dir(format!("/proc/{}/task", self.0.id())).expect("this is Linux");
        let texts = threads.filter_map(|thread| fs::read_to_string(thread.ok()?.path().join(file)).ok());
        texts.filter_map(|text| number(&text)).sum()
    }

    /// Nanoseconds on a processor.
    fn cpu_ns(&self) -> u64 {
        self.total("schedstat", |text| text.split(' ').next()?.parse().ok())
    }

    fn context_switches(&self) -> u64 {
        self.total("status", |text| {
            let numbers = text.lines().filter(|line| line.contains("ctxt_switches"));
            Some(numbers.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum())
        })
    }

    fn resident_bytes(&self) -> u64 {
        let statm = fs::read_to_string(format!("/proc/{}/statm", self.0.id())).expect("it runs");
        4096 * statm.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).expect("a number")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn main() {
    let folder = Folder::new();
    let mut starts: Vec<f64> = (0..STARTS)
        .map(|_| {
            let begun = Instant::now();
            let node = Node::start(&folder.0);
            let took = begun.elapsed();
            drop(node);
            took.as_secs_f64() * 1e3
        })
        .collect();
    starts.sort_by(f64::total_cmp);
    println!("start {:.2} ms", starts[STARTS / 2]);

    let node = Node::start(&folder.0);
    thread::sleep(IDLE);
    let (cpu, switches) = (node.cpu_ns(), node.context_switches());
    thread::sleep(IDLE);
    let seconds = IDLE.as_secs_f64();
    println!("idle_cpu {:.3} ms/s", (node.cpu_ns() - cpu) as f64 / 1e6 / seconds);
    println!("idle_wakeups {:.1} /s", (node.context_switches() - switches) as f64 / seconds);
    println!("idle_rss {:.1} MiB", node.resident_bytes() as f64 / f64::from(1 << 20));
}
