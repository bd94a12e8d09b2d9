//! The chaos test of harbor in its long form, see docs/harbor.md.
//!
//! `cargo run --release --example harbor_chaos -- --seconds 600`

#[path = "harness.rs"]
mod harness;

use std::process::{Command, ExitCode};
use std::time::Duration;

use clap::Parser;
use skynet_rs::{Config, Runtime};

#[derive(Parser)]
struct Arguments {
    /// For how long things are broken.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Repeats the schedule of faults of a former run; without it, by chance.
    #[arg(long)]
    seed: Option<u64>,
    /// This process is a node (the harness starts itself so).
    #[arg(long, hide = true)]
    node: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(config) = arguments.node {
        return node(&config);
    }
    let program = std::env::current_exe().expect("this program is a file");
    let outcome = harness::run(&harness::Options {
        seed: arguments.seed.unwrap_or_else(|| u64::from(std::process::id()) * 1009),
        length: Duration::from_secs(arguments.seconds),
        node: Box::new(move |config| {
            let mut command = Command::new(&program);
            command.arg("--node").arg(config);
            command
        }),
        is_loud: true,
    });
    println!("{}", outcome.summary);
    for violation in &outcome.violations {
        println!("VIOLATION {violation}");
    }
    if let Some(logs) = outcome.logs {
        println!("the logs of the nodes are in {}", logs.display());
    }
    if outcome.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn node(path: &str) -> ExitCode {
    let started = Config::load(path).map_err(|error| error.to_string()).and_then(|config| {
        Runtime::builder().config(config).boot().start().map_err(|error| error.to_string())
    });
    match started {
        Ok(runtime) => {
            runtime.wait();
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
