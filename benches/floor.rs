//! A call between two Lua services, beside the floor under it: two states, pack, resume, unpack, and no engine.
//!
//! `cargo bench --bench floor --features bench` prints both and their ratio, medians of seven runs in turns. Absolute
//! figures drift with the machine; the ratio does not.

#![allow(missing_docs)]
#![expect(clippy::disallowed_methods, reason = "it measures real time")]

use std::time::{Duration, Instant};

use skynet_rs::{Config, MessageKind, Runtime, floor, packed};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const RUNS: usize = 7;
const CALLS: u64 = 500_000;

/// One service that calls itself the other: launched twice, the second asks the first.
const SCRIPT: &str = "
local skynet = require 'skynet'
local commands = {}
function commands.ping(i) return 'ping', i end
function commands.run(peer, n)
	for i = 1, n do skynet.call(peer, 'lua', 'ping', i) end
end
skynet.start(function()
	skynet.dispatch('lua', function(_, _, command, ...) skynet.retpack(commands[command](...)) end)
end)
";

fn main() {
    let folder = tempfile::tempdir().expect("there is a place for a script");
    std::fs::write(folder.path().join("pair.lua"), SCRIPT).expect("the script is written");
    let config =
        Config::new().set("harbor", 0).set("luaservice", format!("{}/?.lua", folder.path().display()));
    let runtime =
        Runtime::builder().config(config).workers(2).log_to(|_, _| {}).start().expect("a node starts");
    let peer = runtime.launch("snlua", "pair").expect("the script starts");
    let asker = runtime.launch("snlua", "pair").expect("the script starts");
    let request =
        |count: u64| packed::to_payload(&("run", peer.as_u32(), count)).expect("numbers are packed");
    let engine = |count| {
        let begun = Instant::now();
        runtime
            .call_within(Duration::from_secs(60), asker, MessageKind::LUA, request(count))
            .expect("the calls are answered");
        begun.elapsed()
    };
    // A script that was just launched has no handler yet, and refuses.
    for service in [peer, asker] {
        let ping = packed::to_payload(&("ping", 1)).expect("they are packed");
        let ready =
            || runtime.call_within(Duration::from_secs(1), service, MessageKind::LUA, ping.as_bytes());
        while ready().is_err() {}
    }
    engine(1000);
    let (mut floors, mut engines) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        floors.push(floor::round_trips(CALLS).as_nanos() as f64 / CALLS as f64);
        engines.push(engine(CALLS).as_nanos() as f64 / CALLS as f64);
    }
    let mut ratios: Vec<f64> = floors.iter().zip(&engines).map(|(floor, engine)| engine / floor).collect();
    for values in [&mut floors, &mut engines, &mut ratios] {
        values.sort_by(f64::total_cmp);
    }
    println!("floor_call {:.0} ns", floors[RUNS / 2]);
    println!("engine_call {:.0} ns", engines[RUNS / 2]);
    println!("engine_over_floor {:.2} x", ratios[RUNS / 2]);
}
