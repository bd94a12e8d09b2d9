//! The program `skynet-rs`, as a process of its own.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing here takes longer, unless it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// A folder with a config and scripts, in which the program is run.
struct Place(TempDir);

impl Place {
    /// `config` is added to what each test node has; `main` is the start script.
    fn new(config: &str, main: &str) -> Place {
        let place = Place(tempfile::tempdir().expect("a folder"));
        place.write("config", &format!("thread = 2\nharbor = 0\nluaservice = './?.lua'\n{config}\n"));
        place.write(
            "main.lua",
            &format!("local skynet = require 'skynet'\nrequire 'skynet.manager'\n{main}\n"),
        );
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).expect("it is written");
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn start(&self, arguments: &[&str]) -> Program {
        Program::start(self.0.path(), arguments, |name| self.path(name))
    }

    /// Runs the program to its end: exit code, standard output, standard error.
    fn run(&self, arguments: &[&str]) -> (Option<i32>, String, String) {
        let status = self.start(arguments).wait();
        (status.code(), self.read("stdout"), self.read("stderr"))
    }

    fn wait_for(&self, name: &str, text: &str) {
        wait_until(
            &format!("{name} has {text:?}"),
            || self.read(name).contains(text),
            || format!("{}\n{}", self.read(name), self.read("stderr")),
        );
    }
}

/// Looks again and again, with a deadline. The program runs on the same processors, so between two looks it waits.
fn wait_until(what: &str, is_so: impl Fn() -> bool, says: impl Fn() -> String) {
    let deadline = Instant::now() + DEADLINE;
    while !is_so() {
        assert!(Instant::now() < deadline, "it does not come that {what}: {}", says());
        std::thread::park_timeout(Duration::from_millis(2));
    }
}

/// A process that does not outlive its test.
struct Program(Child);

impl Program {
    fn start(folder: &Path, arguments: &[&str], path: impl Fn(&str) -> PathBuf) -> Program {
        let file = |name| File::create(path(name)).expect("it is made");
        let child = Command::new(env!("CARGO_BIN_EXE_skynet-rs"))
            .args(arguments)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(file("stdout"))
            .stderr(file("stderr"))
            .spawn();
        Program(child.expect("the program is there"))
    }

    fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.0.try_wait().expect("it is our child") {
                return status;
            }
            assert!(Instant::now() < deadline, "the program does not end");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn signal(&self, signal: i32) {
        send_signal(i32::try_from(self.0.id()).expect("a process id"), signal);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// False where there is no such process.
#[allow(unsafe_code)]
fn send_signal(pid: i32, signal: i32) -> bool {
    // SAFETY: a system call without memory.
    unsafe { libc::kill(pid, signal) == 0 }
}

const ENDS: &str = "skynet.start(function() skynet.error('the main service runs') skynet.abort() end)";
const STAYS: &str = "skynet.start(function() skynet.error 'the main service runs' end)";

// -- the command line

#[test]
fn without_an_argument_it_says_how_it_is_used() {
    let place = Place::new("", ENDS);
    let (code, out, err) = place.run(&[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("usage: skynet-rs CONFIG"), "{err}");
    let (code, _, err) = place.run(&["--no-such-option"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("--no-such-option"), "{err}");
}

#[test]
fn it_tells_its_version_and_its_commands() {
    let place = Place::new("", ENDS);
    let version = format!("skynet-rs {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(place.run(&["version"]), (Some(0), version.clone(), String::new()));
    assert_eq!(place.run(&["--version"]), (Some(0), version, String::new()));
    let (code, help, _) = place.run(&["--help"]);
    assert_eq!(code, Some(0));
    for word in ["run", "check", "version", "CONFIG"] {
        assert!(help.contains(word), "{help}");
    }
}

#[test]
fn a_node_that_aborts_ends_with_code_0_and_its_whole_log() {
    let place = Place::new("", ENDS);
    for arguments in [&["config"][..], &["run", "config"]] {
        let (code, out, err) = place.run(arguments);
        assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
        assert_eq!(
            out.lines().take(7).collect::<Vec<_>>(),
            [
                "[:00000002] LAUNCH snlua bootstrap",
                "[:00000003] LAUNCH snlua launcher",
                "[:00000004] LAUNCH snlua cdummy",
                "[:00000005] LAUNCH harbor 0 4",
                "[:00000006] LAUNCH snlua datacenterd",
                "[:00000007] LAUNCH snlua service_mgr",
                "[:00000008] LAUNCH snlua main",
            ]
        );
        assert!(out.contains("[:00000008] the main service runs\n"), "{out}");
    }
}

#[test]
fn check_tells_what_is_wrong_and_where() {
    let place = Place::new("", ENDS);
    assert_eq!(place.run(&["check", "config"]), (Some(0), "config: ok\n".to_owned(), String::new()));
    place.write(
        "bad",
        "harbor = 300\nthread = 0\nluaservice = './?.lua'\nstart = 'nowhere'\nlogservice = 'nosuch'\n",
    );
    let (code, out, _) = place.run(&["check", "bad"]);
    assert_eq!(code, Some(1));
    for text in [
        "bad:1: error: harbor = 300",
        "bad:2: error: thread = 0",
        "bad:4: error: start = nowhere",
        "bad:5: error: logservice = nosuch",
    ] {
        assert!(out.contains(text), "{text}: {out}");
    }
    let (code, out, err) = place.run(&["check", "missing"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(1), "", "missing: No such file or directory\n"));
}

// -- what cannot run

#[test]
fn a_config_that_cannot_be_read_ends_with_code_1() {
    let place = Place::new("", ENDS);
    for (text, says) in [
        ("thread = = 1", "bad:1:"),
        ("print 'x'", "bad:1: attempt to call a nil value (global 'print')"),
        ("x = {}", "Invalid config table key = x"),
        ("x = '$NO_SUCH_VARIABLE'", "os.getenv() failed: NO_SUCH_VARIABLE"),
        ("thread = 0", "Invalid thread 0 , should be in [1,1024]"),
        ("thread = 1025", "Invalid thread 1025 , should be in [1,1024]"),
        ("include 'nowhere'", "nowhere"),
    ] {
        place.write("bad", text);
        let (code, out, err) = place.run(&["bad"]);
        assert_eq!((code, out.as_str()), (Some(1), ""), "{text}: {err}");
        assert!(err.contains(says), "{text}: {err}");
    }
    let (code, _, err) = place.run(&["nowhere"]);
    assert_eq!((code, err.as_str()), (Some(1), "nowhere: No such file or directory\n"));
}

#[test]
fn a_log_service_that_is_missing_ends_the_program() {
    for (config, says) in [
        ("logservice = 'nosuch'", "Can't launch nosuch service"),
        ("logger = './no/such/folder/log'", "Can't launch logger service"),
    ] {
        let started = Instant::now();
        let (code, _, err) = Place::new(config, ENDS).run(&["config"]);
        assert_eq!(code, Some(1), "{err}");
        assert!(err.contains(says), "{err}");
        assert!(started.elapsed() < Duration::from_secs(5), "it waits for nothing");
    }
}

#[test]
fn a_bootstrap_module_that_is_missing_is_logged_and_ends_the_program() {
    let place = Place::new("bootstrap = 'nosuch bootstrap'", ENDS);
    let (code, out, err) = place.run(&["config"]);
    assert_eq!(code, Some(1), "{err}");
    assert!(out.contains("[:00000000] Bootstrap error : nosuch bootstrap\n\n"), "{out}");
}

#[test]
fn a_start_script_that_fails_leaves_the_program_running() {
    let place = Place::new("start = 'nowhere'", ENDS);
    let mut program = place.start(&["config"]);
    // Each ends by itself, on whatever worker: either line may come first.
    place.wait_for("stdout", "[:00000008] KILL self\n");
    place.wait_for("stdout", "[:00000002] KILL self\n");
    assert!(program.0.try_wait().expect("our child").is_none());
    program.signal(libc::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}

// -- signals

#[test]
fn sigterm_and_sigint_end_it_in_order() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        // What is queued is handled, and every line of it is in the log.
        let place = Place::new(
            "logger = './node.log'",
            "skynet.start(function()
                skynet.dispatch('lua', function(_, _, i) skynet.error('line', i) end)
                for i = 1, 5000 do skynet.send(skynet.self(), 'lua', i) end
                skynet.error 'the main service runs'
            end)",
        );
        let mut program = place.start(&["config"]);
        place.wait_for("node.log", "the main service runs");
        program.signal(signal);
        assert_eq!(program.wait().code(), Some(0));
        let log = place.read("node.log");
        assert_eq!(log.lines().filter(|line| line.contains("] line ")).count(), 5000);
        assert!(log.ends_with('\n'));
        assert_eq!(place.read("stdout") + &place.read("stderr"), "");
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let place = Place::new(
        "shutdown_grace = 1000",
        "skynet.start(function() skynet.timeout(0, function() skynet.error 'it loops' while true do end end) end)",
    );
    let mut program = place.start(&["config"]);
    place.wait_for("stdout", "it loops");
    program.signal(libc::SIGTERM);
    // The first is being obeyed when the second comes: until then both count as one.
    let deadline = Instant::now() + DEADLINE;
    let status = loop {
        program.signal(libc::SIGTERM);
        if let Some(status) = program.0.try_wait().expect("our child") {
            break status;
        }
        assert!(Instant::now() < deadline, "it does not end");
        std::thread::park_timeout(Duration::from_millis(2));
    };
    assert_ne!(status.code(), Some(0));
}

#[test]
fn an_endless_loop_does_not_keep_it_from_ending() {
    let place = Place::new(
        "shutdown_grace = 0.2",
        "skynet.start(function() skynet.timeout(0, function() skynet.error 'it loops' while true do end end) end)",
    );
    let mut program = place.start(&["config"]);
    place.wait_for("stdout", "it loops");
    program.signal(libc::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}

#[test]
fn sighup_opens_the_log_file_anew() {
    let place = Place::new(
        "logger = './node.log'",
        "skynet.start(function()
            local function tick() skynet.error 'tick' skynet.timeout(1, tick) end
            tick()
        end)",
    );
    let mut program = place.start(&["config"]);
    place.wait_for("node.log", "tick");
    fs::rename(place.path("node.log"), place.path("old.log")).expect("it is moved");
    program.signal(libc::SIGHUP);
    place.wait_for("node.log", "tick");
    program.signal(libc::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
    assert!(place.read("old.log").contains("LAUNCH snlua main"));
    assert!(!place.read("node.log").contains("LAUNCH"));
}

#[test]
fn a_closed_pipe_does_not_end_it() {
    let place = Place::new("", STAYS);
    let mut child = Command::new(env!("CARGO_BIN_EXE_skynet-rs"))
        .arg("config")
        .current_dir(place.0.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program is there");
    drop(child.stdout.take());
    let mut program = Program(child);
    // It writes its log lines into the closed pipe, and still obeys.
    wait_until(
        "it has handlers for signals",
        || {
            fs::read_to_string(format!("/proc/{}/status", program.0.id()))
                .is_ok_and(|status| catches_sigterm(&status))
        },
        String::new,
    );
    program.signal(libc::SIGTERM);
    assert_eq!(program.wait().code(), Some(0));
}

fn catches_sigterm(status: &str) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (libc::SIGTERM - 1)) != 0
}

// -- examples

#[test]
fn the_hello_example_runs_to_its_end() {
    let place = Place::new("", ENDS);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let status = Program::start(root, &["config/hello"], |name| place.path(name)).wait();
    let log = place.read("stdout");
    assert_eq!(status.code(), Some(0), "{log}{}", place.read("stderr"));
    assert!(log.contains("hello: the counter stands at 42"), "{log}");
    assert!(log.contains("hello: all is said, the node ends now"), "{log}");
}

#[test]
fn the_front_page_example_runs() {
    let program = Path::new(env!("CARGO_BIN_EXE_skynet-rs"));
    let example = program.parent().expect("a folder").join("examples/embed");
    let mut command = Command::new(&example);
    if !example.exists() {
        // `cargo test --test program` alone does not build it, `cargo test` does.
        command = Command::new(env!("CARGO"));
        command.args(["run", "--quiet", "--profile", "test", "--example", "embed"]);
        command.current_dir(env!("CARGO_MANIFEST_DIR"));
    }
    let output = command.stdin(Stdio::null()).output().expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output.stdout, b"[:00000002] LAUNCH echo\n");
}

// -- daemon

/// The process that a pid file names, which is stopped when the test ends.
struct Daemon(i32);

impl Daemon {
    fn of(place: &Place, file: &str) -> Daemon {
        let pid = || place.read(file).strip_suffix('\n').and_then(|pid| pid.parse().ok());
        wait_until("the pid file is there", || pid().is_some(), || place.read("stderr"));
        Daemon(pid().expect("it is there"))
    }

    /// Whether the process is there. It is no child of ours: once it has ended, somebody else waits for it, at
    /// some time or never, so a dead one counts as gone.
    fn lives(&self) -> bool {
        fs::read_to_string(format!("/proc/{}/stat", self.0))
            .is_ok_and(|stat| stat.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.lives() {
            send_signal(self.0, libc::SIGKILL);
        }
    }
}

const DAEMON: &str = "daemon = './skynet.pid'\nlogger = './node.log'";

#[test]
fn a_daemon_leaves_the_terminal_and_is_known_by_its_file() {
    let place = Place::new(DAEMON, STAYS);
    let (code, out, err) = place.run(&["config"]);
    assert_eq!((code, out.as_str(), err.as_str()), (Some(0), "", ""));
    let daemon = Daemon::of(&place, "skynet.pid");
    place.wait_for("node.log", "the main service runs");
    let stat = fs::read_to_string(format!("/proc/{}/stat", daemon.0)).expect("it lives");
    let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    assert_eq!(fields[3], daemon.0.to_string(), "it leads a session of its own");
    for stream in 0..=2 {
        let target = fs::read_link(format!("/proc/{}/fd/{stream}", daemon.0)).expect("it is open");
        assert_eq!(target, Path::new("/dev/null"));
    }
    let folder = fs::read_link(format!("/proc/{}/cwd", daemon.0)).expect("it lives");
    assert_eq!(folder, fs::canonicalize(place.0.path()).expect("it is there"));

    // A second one is told so, and does not harm the first.
    let (code, _, err) = place.run(&["config"]);
    assert_eq!((code, err), (Some(1), format!("Skynet is already running, pid = {}.\n", daemon.0)));
    assert_eq!(place.read("skynet.pid"), format!("{}\n", daemon.0));

    assert!(send_signal(daemon.0, libc::SIGTERM));
    wait_until("the daemon ends", || !daemon.lives(), String::new);
    assert!(!place.path("skynet.pid").exists());
}

#[test]
fn a_daemon_that_ends_by_itself_removes_its_file() {
    let place = Place::new(DAEMON, ENDS);
    place.write("skynet.pid", "999999999\n"); // Of one that was killed: nobody has this number.
    assert_eq!(place.run(&["config"]).0, Some(0));
    place.wait_for("node.log", "the main service runs");
    wait_until("the file is removed", || !place.path("skynet.pid").exists(), || place.read("node.log"));
}

#[test]
fn a_pid_file_that_is_locked_or_cannot_be_made_is_an_error() {
    let place = Place::new(DAEMON, ENDS);
    place.write("skynet.pid", "999999999\n");
    let held = File::open(place.path("skynet.pid")).expect("it is there");
    held.lock().expect("nobody else has it");
    let (code, _, err) = place.run(&["config"]);
    assert_eq!((code, err.as_str()), (Some(1), "Can't lock pidfile, lock is held by pid 999999999.\n"));
    assert!(!place.path("node.log").exists());

    let place = Place::new("daemon = './no/such/folder/pid'", ENDS);
    let (code, _, err) = place.run(&["config"]);
    assert_eq!((code, err.as_str()), (Some(1), "Can't create pidfile [./no/such/folder/pid].\n"));
}
