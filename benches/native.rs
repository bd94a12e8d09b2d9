//! Native services: a call and its answer, the memory of each, and a million of them in a tree of ten.
//!
//! `cargo bench --bench native` prints one line for each figure, the median of five runs; criterion would run the
//! million for minutes.

#![allow(missing_docs)]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use skynet_rs::{Context, Handle, Message, MessageKind, Origin, Payload, Runtime, Service, ServiceError};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 5;
const CALLS: u64 = 1_000_000;
const IDLE: usize = 100_000;
const LEAVES: u64 = 1_000_000;

struct Echo;

impl Service for Echo {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        let origin = message.origin();
        Ok(ctx.respond(origin, message.into_payload())?)
    }
}

/// Calls an echo service again and again.
struct Caller {
    peer: Handle,
    left: u64,
    done: Sender<()>,
}

impl Service for Caller {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        if self.left == 0 {
            self.done.send(())?;
            ctx.exit();
            return Ok(());
        }
        self.left -= 1;
        ctx.request(self.peer, MessageKind::LUA, message.into_payload())?;
        Ok(())
    }
}

/// A node of the tree: asks ten children for their sums, down to single leaves.
struct Tree {
    first: u64,
    size: u64,
    parent: Origin,
    missing: u32,
    sum: u64,
}

impl Service for Tree {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        if message.kind == MessageKind::RESPONSE {
            self.sum += u64::from_le_bytes(message.payload.as_bytes().try_into()?);
            self.missing -= 1;
        } else if self.size == 1 {
            self.sum = self.first;
            self.parent = message.origin();
        } else {
            self.parent = message.origin();
            self.missing = 10;
            for child in 0..10 {
                let size = self.size / 10;
                let first = self.first + child * size;
                let child = ctx.spawn(Tree::new(first, size))?;
                ctx.request(child, MessageKind::LUA, Payload::empty())?;
            }
        }
        if self.missing == 0 {
            ctx.respond(self.parent, self.sum.to_le_bytes().as_slice())?;
            ctx.exit();
        }
        Ok(())
    }
}

impl Tree {
    fn new(first: u64, size: u64) -> Tree {
        let parent = Origin { source: Handle::NONE, session: None };
        Tree { first, size, parent, missing: 0, sum: 0 }
    }
}

fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("statm has numbers") * 4096
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let runtime = Runtime::builder().workers(2).log_to(|_, _| {}).start().expect("a node starts");

    let before = resident();
    let idle: Vec<Handle> = (0..IDLE).map(|_| runtime.spawn(Echo).expect("there is room")).collect();
    println!("native_rss {:.0} B/service", (resident() - before) as f64 / IDLE as f64);
    for handle in idle {
        runtime.kill(handle);
    }

    let call = |_| {
        let peer = runtime.spawn(Echo).expect("there is room");
        let (done, ended) = channel();
        let caller = runtime.spawn(Caller { peer, left: CALLS, done }).expect("there is room");
        let begun = Instant::now();
        runtime.send(caller, MessageKind::LUA, b"0123456789abcdef").expect("it is there");
        ended.recv_timeout(Duration::from_secs(60)).expect("it ends");
        runtime.kill(peer);
        begun.elapsed().as_nanos() as f64 / CALLS as f64
    };
    println!("native_call {:.0} ns", median((0..RUNS).map(call).collect()));

    let tree = |_| {
        let root = runtime.spawn(Tree::new(0, LEAVES)).expect("there is room");
        let begun = Instant::now();
        let sum = runtime.call(root, ()).expect("the tree answers");
        assert_eq!(sum.as_bytes(), (LEAVES * (LEAVES - 1) / 2).to_le_bytes());
        begun.elapsed().as_secs_f64()
    };
    println!("native_million {:.2} s", median((0..RUNS).map(tree).collect()));
}
