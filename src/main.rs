//! The `skynet-rs` program: starts a node from a config file.

mod allocator;
mod bench_echo;
mod daemon;

use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::{Parser, Subcommand};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use skynet_rs::{Config, Runtime, Severity};

use daemon::PidFile;

/// An actor runtime that runs skynet's Lua services.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true, arg_required_else_help = false)]
struct Arguments {
    /// Start a node from this config file.
    config: Option<String>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Start a node from a config file.
    Run {
        /// The config file.
        config: String,
    },
    /// Read a config file, and tell what is wrong with it.
    Check {
        /// The config file.
        config: String,
    },
    /// Run a Lua script outside of a node: a test client, a small tool.
    Lua {
        /// The file, or `-` for the standard input; what follows it, the script finds in `...` and in the table `arg`.
        #[arg(required = true, trailing_var_arg = true, value_names = ["SCRIPT", "ARGS"])]
        words: Vec<String>,
    },
    /// Load an echo server, and print requests per second and latencies.
    BenchEcho(bench_echo::BenchEcho),
    /// Print the version.
    Version,
}

fn main() -> ExitCode {
    allocator::tune();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
        }
    };
    match (arguments.command, arguments.config) {
        (Some(Command::Run { config }), _) | (None, Some(config)) => run(&config),
        (Some(Command::Check { config }), _) => check(&config),
        (Some(Command::Lua { words }), _) => lua(&words),
        (Some(Command::BenchEcho(options)), _) => match bench_echo::run(&options) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error),
        },
        (Some(Command::Version), _) => {
            println!("skynet-rs {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        (None, None) => {
            eprintln!("usage: skynet-rs CONFIG\n       skynet-rs --help");
            ExitCode::FAILURE
        }
    }
}

fn fail(error: impl std::fmt::Display) -> ExitCode {
    eprintln!("{error}");
    ExitCode::FAILURE
}

fn run(path: &str) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return fail(error),
    };
    if let Err(error) = config.validate() {
        return fail(error);
    }
    // Before the first thread is started.
    let pid_file = match config.daemon().map(daemon::start).transpose() {
        Ok(pid_file) => pid_file.map(Arc::new),
        Err(error) => return fail(error),
    };
    let code = run_node(config, pid_file.as_ref());
    if let Some(pid_file) = pid_file {
        pid_file.remove();
    }
    code
}

fn run_node(config: Config, pid_file: Option<&Arc<PidFile>>) -> ExitCode {
    let signals = match Signals::new([SIGTERM, SIGINT, SIGHUP]) {
        Ok(signals) => signals,
        Err(error) => return fail(error),
    };
    let runtime = match Runtime::builder().config(config).when_idle(allocator::collect).boot().start() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => return fail(error),
    };
    watch(signals, &runtime, pid_file.cloned());
    runtime.wait();
    ExitCode::SUCCESS
}

/// Serves the signals on a thread of its own, which ends with the process.
fn watch(mut signals: Signals, runtime: &Arc<Runtime>, pid_file: Option<Arc<PidFile>>) {
    let runtime = Arc::downgrade(runtime);
    thread::spawn(move || {
        let mut is_ending = false;
        for signal in signals.forever() {
            if signal == SIGHUP {
                if let Some(runtime) = runtime.upgrade() {
                    runtime.reopen_log();
                }
                continue;
            }
            if is_ending {
                // The second one: at once, as if the signal had done it.
                std::process::exit(128 + signal);
            }
            is_ending = true;
            let Some(runtime) = runtime.upgrade() else { return };
            let pid_file = pid_file.clone();
            thread::spawn(move || {
                runtime.shutdown();
                if let Some(pid_file) = pid_file {
                    pid_file.remove();
                }
                std::process::exit(0);
            });
        }
    });
}

fn lua(words: &[String]) -> ExitCode {
    let (script, args) = words.split_first().expect("the command line asks for one at least");
    match skynet_rs::run_script(script, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("skynet-rs: {error}")),
    }
}

fn check(path: &str) -> ExitCode {
    let config = match Config::load(path) {
        Ok(config) => config,
        Err(error) => return fail(error),
    };
    let findings = skynet_rs::check(&config);
    for finding in &findings {
        println!("{finding}");
    }
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return ExitCode::FAILURE;
    }
    println!("{path}: ok");
    ExitCode::SUCCESS
}
