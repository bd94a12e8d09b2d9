//! Starts nodes inside the test process, runs Lua in them and waits for what they log.
#![allow(dead_code, missing_docs, unreachable_pub)] // Each test file uses its part of this.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

pub mod client;
pub mod package;
pub mod script;

use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use skynet_rs::packed::{self, Value, Values};
use skynet_rs::{Builder, CallError, Config, Handle, ManualClock, MessageKind, Runtime};

/// Nothing in a test takes longer, unless it has failed.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The next connection.
pub fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("it is set");
    let deadline = Instant::now() + DEADLINE;
    loop {
        match listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(false).expect("it is set");
                return stream;
            }
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}"),
        }
        assert!(Instant::now() < deadline, "nobody connects");
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

/// The log lines of a node, as they come.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    pub fn record(&self, source: Handle, text: &[u8]) {
        let line = format!("[{source}] {}", String::from_utf8_lossy(text));
        self.0.0.lock().expect("no test panics while it holds the log").push(line);
        self.0.1.notify_all();
    }

    /// What `Builder::log_to` wants.
    pub fn sink(&self) -> impl FnMut(Handle, &[u8]) + Send + 'static {
        let log = self.clone();
        move |source, text| log.record(source, text)
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.0.lock().expect("no test panics while it holds the log").clone()
    }

    /// Waits for a line with this text in it, and returns it.
    pub fn wait_for(&self, text: &str) -> String {
        self.wait_for_count(text, 1).pop().expect("one was asked for")
    }

    /// Waits for so many lines with this text in them.
    pub fn wait_for_count(&self, text: &str, count: usize) -> Vec<String> {
        let deadline = Instant::now() + DEADLINE;
        let mut lines = self.0.0.lock().expect("no test panics while it holds the log");
        loop {
            let found: Vec<String> = lines.iter().filter(|line| line.contains(text)).cloned().collect();
            if found.len() >= count {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no log line with {text:?} within {DEADLINE:?}; there are: {lines:#?}");
            lines = self.0.1.wait_timeout(lines, left).expect("no test panics while it holds the log").0;
        }
    }

    pub fn has(&self, text: &str) -> bool {
        self.count(text) > 0
    }

    /// How many lines have this text in them.
    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }
}

/// A booted node with the standard services and one `eval` service that runs snippets.
pub struct TestNode {
    pub runtime: Runtime,
    pub log: Log,
    pub eval: Handle,
    pub clock: Option<ManualClock>,
}

/// The folder of the Lua files for tests.
pub fn lua_dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/lua")
}

/// The config of a test node: one harbor-less node that finds the scripts in `tests/lua/`.
pub fn config() -> Config {
    let lua = lua_dir();
    let root = env!("CARGO_MANIFEST_DIR");
    Config::new()
        .set("thread", 2)
        .set("harbor", 0)
        .set("start", "eval")
        .set("luaservice", format!("{}/?.lua;{root}/service/?.lua", lua.display()))
        .set("lua_path", format!("{}/?.lua;{root}/lualib/?.lua;{root}/lualib/?/init.lua", lua.display()))
}

/// A node on the real clock.
pub fn node() -> TestNode {
    start(config(), None)
}

/// A node whose timers go off when the test advances the clock.
pub fn node_with_manual_clock() -> TestNode {
    start(config(), Some(ManualClock::new()))
}

pub fn start(config: Config, clock: Option<ManualClock>) -> TestNode {
    start_with(config, clock, |builder| builder)
}

/// A node to which the test adds something: native services, most of the time.
pub fn start_with(
    config: Config,
    clock: Option<ManualClock>,
    add: impl FnOnce(Builder) -> Builder,
) -> TestNode {
    let log = Log::default();
    let mut builder = add(Runtime::builder().config(config).boot().log_to(log.sink()));
    if let Some(clock) = &clock {
        builder = builder.clock(clock.clock());
    }
    let runtime = builder.start().expect("the node starts");
    booted(runtime, log, clock)
}

/// Waits until a node has its `eval` service.
pub fn booted(runtime: Runtime, log: Log, clock: Option<ManualClock>) -> TestNode {
    let deadline = Instant::now() + DEADLINE;
    let eval = loop {
        // The start script registers the name as the first thing it does; there is no event for that.
        if let Some(eval) = runtime.query(".eval") {
            break eval;
        }
        assert!(Instant::now() < deadline, "the node does not boot; it logged {:#?}", log.lines());
        std::thread::yield_now();
    };
    TestNode { runtime, log, eval, clock }
}

impl TestNode {
    /// Runs a Lua snippet in a coroutine of the `eval` service; what it returns, each as text.
    pub fn lua(&self, code: &str) -> Vec<String> {
        self.lua_in(self.eval, code)
    }

    /// The same in another service that speaks `eval`'s protocol.
    pub fn lua_in(&self, service: Handle, code: &str) -> Vec<String> {
        let request = packed::to_payload(&("eval", code)).expect("two strings are packed");
        let answer = self
            .runtime
            .call_within(DEADLINE, service, MessageKind::LUA, request)
            .unwrap_or_else(|error| panic!("{error} in\n{code}\nlog: {:#?}", self.log.lines()));
        let values: Values = packed::from_bytes(answer.as_bytes()).expect("eval answers with strings");
        values.0.iter().map(text_of).collect()
    }

    /// The single text that a snippet returns.
    pub fn lua1(&self, code: &str) -> String {
        self.lua(code).into_iter().next().unwrap_or_else(|| "nothing".to_owned())
    }

    /// Runs a snippet that checks by itself, with the functions of tests/lua/expect.lua at hand.
    pub fn check(&self, code: &str) {
        self.check_in(self.eval, code);
    }

    /// The same in another service that speaks `eval`'s protocol.
    pub fn check_in(&self, service: Handle, code: &str) {
        // On one line, so that the line numbers of errors are those of the snippet.
        let prologue = "local expect = require 'expect' local same, raises, count, spawn = \
                        expect.same, expect.raises, expect.count, expect.spawn ";
        let answer = self.lua_in(service, &format!("{prologue}{code}\nreturn 'ok'"));
        assert_eq!(answer, ["ok"], "in\n{code}\nlog: {:#?}", self.log.lines());
    }

    /// Launches one more `eval` service.
    pub fn launch_eval(&self) -> Handle {
        let handle = self.lua1("return skynet.newservice('eval', 'nameless')");
        Handle::from_u32(handle.parse().expect("newservice returns a handle"))
    }

    /// Waits until a service is gone.
    pub fn wait_gone(&self, handle: Handle) {
        self.wait_until("the service is gone", || self.runtime.stat(handle).is_none());
    }

    pub fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let deadline = Instant::now() + DEADLINE;
        while !is_so() {
            assert!(Instant::now() < deadline, "it does not come that {what}; log: {:#?}", self.log.lines());
            std::thread::yield_now();
        }
    }

    /// The same while the manual clock runs on, step by step, until the snippet has returned.
    pub fn lua_in_time(&self, code: &str) -> Vec<String> {
        std::thread::scope(|scope| {
            let answer = scope.spawn(|| self.lua(code));
            let deadline = Instant::now() + DEADLINE;
            while !answer.is_finished() && Instant::now() < deadline {
                self.advance(Duration::from_millis(100));
            }
            answer.join().expect("the snippet returns")
        })
    }

    /// The handle that a snippet returns.
    pub fn lua_handle(&self, code: &str) -> Handle {
        let number = self.lua1(code);
        Handle::from_u32(number.parse().unwrap_or_else(|_| panic!("{number} is not a handle, of\n{code}")))
    }

    /// Moves the manual clock.
    pub fn advance(&self, time: Duration) {
        self.clock.as_ref().expect("a node with a manual clock").advance(time);
    }

    /// Sends a request and expects it to fail.
    pub fn call_fails(&self, to: Handle) -> CallError {
        self.runtime
            .call_within(
                DEADLINE,
                to,
                MessageKind::LUA,
                packed::to_payload(&"x").expect("a string is packed"),
            )
            .expect_err("the call fails")
    }
}

fn text_of(value: &Value) -> String {
    match value {
        Value::String(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => format!("{other:?}"),
    }
}
