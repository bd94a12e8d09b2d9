//! Harbor under chaos, in the short form: wires cut, delayed and halted, nodes stopped, killed and started again, and an
//! oracle that hears what they saw. `CHAOS_SEED` sets the seed, and so repeats a schedule of faults.

#[path = "../examples/harbor_chaos/harness.rs"]
mod harness;

use std::process::Command;
use std::time::Duration;

/// Under it each sort of fault comes within the time of this test.
const SEED: u64 = 1;

#[test]
fn under_chaos_nothing_comes_twice_in_disorder_or_to_another_life_and_every_call_ends() {
    let seed = std::env::var("CHAOS_SEED").map_or(SEED, |seed| seed.parse().expect("CHAOS_SEED is a number"));
    let outcome = harness::run(&harness::Options {
        seed,
        length: Duration::from_secs(14),
        node: Box::new(|config| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_skynet-rs"));
            command.arg(config);
            command
        }),
        is_loud: false,
    });
    println!("{}", outcome.summary);
    assert!(
        outcome.violations.is_empty(),
        "{}\n{}\n{:#?}\nlogs: {:?}",
        outcome.summary,
        outcome.schedule,
        outcome.violations,
        outcome.logs
    );
}
