//! One node as a value: its log, its limits, its watch, its end.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

mod support;

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use skynet_rs::{
    CallError, Config, Context, Handle, Message, MessageKind, Runtime, SendError, Service, ServiceError,
    StartError, packed,
};
use support::{DEADLINE, Log};

type Answer = Result<(), ServiceError>;

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

// -- nodes

#[test]
fn two_nodes_in_one_process_do_not_see_each_other() {
    let first = support::start(support::config().set("zone", "north"), None);
    let second = support::start(support::config().set("zone", "south"), None);
    assert_eq!(first.lua("return skynet.getenv 'zone'"), ["north"]);
    assert_eq!(second.lua("return skynet.getenv 'zone'"), ["south"]);
    first.lua("skynet.setenv('mine', 'yes') skynet.register '.mine' skynet.name('GLOBAL', skynet.self())");
    assert_eq!(second.lua("return skynet.getenv 'mine', (skynet.localname '.mine')"), ["nil", "nil"]);
    let only_first = (0..20).fold(Handle::NONE, |_, _| first.launch_eval());
    assert!(first.runtime.stat(only_first).is_some());
    assert!(second.runtime.stat(only_first).is_none());
    let call = format!("return pcall(skynet.call, {}, 'lua', 'echo')", only_first.as_u32());
    assert_eq!(first.lua(&call)[0], "true");
    assert_eq!(second.lua(&call)[0], "false");
    let log = first.log.clone();
    drop(first);
    assert_eq!(second.lua("return 1"), ["1"]);
    second.lua("skynet.error 'from the second'");
    second.log.wait_for("from the second");
    assert!(!log.has("from the second"));
}

#[test]
fn a_dropped_node_drops_its_services() {
    struct Held(#[allow(dead_code)] Arc<()>);
    impl Service for Held {
        fn handle(&mut self, _: &mut Context<'_>, _: Message) -> Answer {
            Ok(())
        }
    }
    let token = Arc::new(());
    let copy = Arc::clone(&token);
    let runtime = Runtime::builder()
        .log_to(|_, _| {})
        .service("held", move |_| Ok(Held(Arc::clone(&copy))))
        .start()
        .expect("the node starts");
    for _ in 0..10 {
        runtime.launch("held", "").expect("it starts");
    }
    assert_eq!(Arc::strong_count(&token), 12);
    drop(runtime);
    assert_eq!(Arc::strong_count(&token), 1);
}

#[test]
fn a_stale_handle_finds_nobody_however_many_come_after() {
    let runtime = Runtime::builder()
        .workers(2)
        .log_to(|_, _| {})
        .service("it", |_| Ok(Gated { gate: None, count: 0 }))
        .start()
        .expect("the node starts");
    let mut stale = Vec::new();
    for round in 0..3000 {
        let handle = runtime.launch("it", "").expect("it starts");
        assert!(!stale.contains(&handle), "{handle} was given out twice");
        assert!(runtime.kill(handle));
        if round % 100 == 0 {
            stale.push(handle);
        }
    }
    let living: Vec<Handle> = (0..300).map(|_| runtime.launch("it", "").expect("it starts")).collect();
    for handle in &stale {
        assert!(!living.contains(handle));
        assert_eq!(runtime.stat(*handle), None);
        let error = runtime.send(*handle, MessageKind::TEXT, "for a dead one").expect_err("nobody is there");
        assert_eq!(error, SendError::NoService(*handle));
    }
}

#[test]
fn what_cannot_start_says_why() {
    let start = |config: Config| {
        Runtime::builder().config(config).boot().start().err().map(|error| error.to_string())
    };
    let config = || Config::new().set("harbor", 0);
    assert_eq!(
        start(config().set("logservice", "nosuch")).as_deref(),
        Some("Can't launch nosuch service: no native service is named \"nosuch\"")
    );
    let missing = start(config().set("logger", "/no/such/folder/log")).expect("an error");
    assert!(missing.starts_with("Can't launch logger service: logger: cannot open log file"), "{missing}");
    let log = Log::default();
    let error = Runtime::builder()
        .config(config().set("bootstrap", "nosuch bootstrap"))
        .boot()
        .log_to(log.sink())
        .start()
        .err()
        .expect("an error");
    assert!(matches!(error, StartError::Bootstrap { .. }), "{error}");
    assert!(log.has("[:00000000] Bootstrap error : nosuch bootstrap\n"), "{:#?}", log.lines());
    let range = start(config().set("thread", 0)).expect("an error");
    assert!(range.contains("Invalid thread 0 , should be in [1,1024]"), "{range}");
}

// -- limits

#[test]
fn a_mailbox_at_its_limit_refuses_what_comes() {
    let (runtime, gated, open, _log) = gated_node(Config::new().set("harbor", 0).set("mqueue_max", 10));
    for _ in 0..10 {
        runtime.send(gated, MessageKind::TEXT, "x").expect("there is room");
    }
    let full = SendError::MailboxFull { to: gated, limit: 10 };
    assert_eq!(runtime.send(gated, MessageKind::TEXT, "x"), Err(full.clone()));
    let call = runtime.call_within(DEADLINE, gated, MessageKind::LUA, "x");
    assert_eq!(call.expect_err("it is refused"), CallError::Send(full));
    open.send(()).expect("it waits");
    wait_until("there is room again", || runtime.stat(gated).is_some_and(|stat| stat.messages > 10));
    let answer = runtime.call_within(DEADLINE, gated, MessageKind::LUA, "x").expect("it answers");
    assert_eq!(answer.as_bytes(), b"10");
}

#[test]
fn a_lua_caller_hears_of_a_full_mailbox() {
    let node = support::start_with(support::config().set("mqueue_max", 100), None, |builder| {
        let (open, gate) = channel::<()>();
        let gate = Arc::new(Mutex::new(gate));
        builder.service("gated", move |_| {
            // The sender lives as long as the factory: the gate never opens.
            let _ = &open;
            Ok(Gated { gate: Some(Arc::clone(&gate)), count: 0 })
        })
    });
    let gated = node.lua_handle("gated = skynet.launch 'gated' skynet.send(gated, 'lua', 'x') return gated");
    // A worker has taken what was there, and stands at the gate: nothing that comes now is taken out again.
    node.wait_until("a worker is at the gate", || {
        node.runtime.stat(gated).is_some_and(|stat| stat.mailbox_len == 0)
    });
    let answer = node.lua(
        "local sent = 0
        for _ = 1, 300 do
            if skynet.send(gated, 'lua', 'x') == 0 then sent = sent + 1 end
        end
        return sent, (pcall(skynet.call, gated, 'lua', 'x'))",
    );
    assert_eq!(answer, ["100", "false"]);
    // The worker inside the gate cannot be ended: leave the node as a process would.
    std::mem::forget(node);
}

#[test]
fn an_overload_is_reported_once_for_each_doubling() {
    let (runtime, gated, open, log) = gated_node(Config::new().set("harbor", 0));
    for _ in 0..5000 {
        runtime.send(gated, MessageKind::TEXT, "x").expect("it is sent");
    }
    open.send(()).expect("it waits");
    runtime.call_within(DEADLINE, gated, MessageKind::LUA, "x").expect("it answers");
    // From the length of 5000 down to none the threshold lies above: one line.
    let lines = log.wait_for_count("May overload", 1);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    let len: usize = lines[0].rsplit(' ').next().and_then(|len| len.parse().ok()).expect("a number");
    assert!((4998..=5001).contains(&len), "{lines:#?}");
}

// -- watch

const LOOP: &str = "while true do end";

fn impatient_node(loop_kill: &str) -> support::TestNode {
    let config = support::config();
    let config = if loop_kill.is_empty() { config } else { config.set("loop_kill", loop_kill) };
    support::start_with(config, None, |builder| builder.long_dispatch(Duration::from_millis(50)))
}

#[test]
fn an_endless_loop_is_reported_and_can_be_interrupted_by_a_signal() {
    let node = impatient_node("");
    let looping = node.launch_eval();
    std::thread::scope(|scope| {
        let request = packed::to_payload(&("eval", LOOP)).expect("packs");
        let answer = scope.spawn(|| node.runtime.call_within(DEADLINE, looping, MessageKind::LUA, request));
        let line = node.log.wait_for("maybe in an endless loop");
        assert!(line.starts_with("[:00000000] error: A message from [ :"), "{line}");
        assert!(line.contains(&format!("] to [ {looping} ] maybe in an endless loop (version = ")), "{line}");
        node.lua(&format!("require 'skynet.core'.command('SIGNAL', ':{:x} 0')", looping.as_u32()));
        // The error goes through every pcall of the message.
        let answer = answer.join().expect("no panic here");
        assert_eq!(answer.err(), Some(CallError::Failed(looping)));
    });
    assert!(node.log.wait_for("signal 0\nstack traceback").contains("lua call"));
    node.log.wait_for(&format!("[{looping}] recv a signal 0"));
    assert_eq!(node.lua_in(looping, "return skynet.endless(), skynet.endless()"), ["true", "false"]);
}

#[test]
fn signal_one_tells_the_memory() {
    let node = support::node();
    node.lua("require 'skynet.core'.command('SIGNAL', skynet.address(skynet.self()) .. ' 0x1')");
    node.log.wait_for("recv a signal 1");
    let line = node.log.wait_for("Current Memory ");
    assert!(line.ends_with('K'), "{line}");
}

#[test]
fn loop_kill_interrupts_a_loop_wherever_it_runs() {
    let node = impatient_node("0.2");
    for (code, place) in [
        (LOOP.to_owned(), "a handler"),
        (format!("return pcall(function() {LOOP} end)"), "a pcall"),
        (format!("while true do pcall(function() {LOOP} end) end"), "a loop round a pcall"),
        (format!("local co = coroutine.wrap(function() {LOOP} end) return co()"), "a coroutine"),
        (format!("return coroutine.close(coroutine.create(print)), pcall(coroutine.wrap(function() {LOOP} end))"), "both"),
        ("local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) while true do pcall(function() return t[1] end) end".to_owned(), "a metamethod"),
    ] {
        let looping = node.launch_eval();
        let request = packed::to_payload(&("eval", &code)).expect("packs");
        let answer = node.runtime.call_within(DEADLINE, looping, MessageKind::LUA, request);
        // An error that no pcall holds ends the request; one that was held in time is its answer.
        if let Err(error) = answer {
            assert_eq!(error, CallError::Failed(looping), "{place}");
        }
        let line = node.log.lines().iter().rev().find(|line| line.contains("interrupted: ")).cloned();
        assert!(line.is_none_or(|line| line.contains("stack traceback")), "{place}");
        assert_eq!(node.lua_in(looping, "return 'alive'"), ["alive"], "{place}");
    }
    node.log.wait_for("interrupted: this message has been in work for longer than loop_kill allows");
}

#[test]
fn loop_kill_leaves_a_traceback_in_the_log() {
    let node = impatient_node("0.1");
    let looping = node.launch_eval();
    node.lua_in(looping, "function spin() while true do end end");
    node.lua_in(looping, "skynet.fork(function() spin() end)");
    let line = node.log.wait_for("interrupted: ");
    assert!(line.contains("stack traceback:") && line.contains("spin"), "{line}");
    assert_eq!(node.lua_in(looping, "return 'alive'"), ["alive"]);
}

// -- logs

/// A node that logs into a file.
fn logging_node(folder: &Path) -> (Runtime, std::path::PathBuf) {
    let file = folder.join("node.log");
    let runtime = Runtime::builder()
        .config(support::config().set("logger", file.display()))
        .boot()
        .start()
        .expect("the node starts");
    wait_until("it is booted", || runtime.query(".eval").is_some());
    (runtime, file)
}

fn eval(runtime: &Runtime, code: &str) {
    let request = packed::to_payload(&("eval", code)).expect("packs");
    let eval = runtime.query(".eval").expect("it is booted");
    runtime.call_within(DEADLINE, eval, MessageKind::LUA, request).expect("it answers");
}

#[test]
fn the_log_file_has_a_date_and_a_source_before_each_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runtime, file) = logging_node(folder.path());
    eval(&runtime, "skynet.error('a line', 12, nil, true)");
    runtime.shutdown();
    let text = fs::read_to_string(file).expect("it is there");
    let line = text.lines().find(|line| line.contains("a line")).expect("it is logged");
    let (date, rest) = line.split_at(21);
    assert_eq!(rest, "[:00000008] a line 12 nil true");
    let shape: String = date.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "99/99/99 99:99:99.99 ");
}

#[test]
fn a_log_file_that_was_moved_away_is_opened_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runtime, file) = logging_node(folder.path());
    eval(&runtime, "skynet.error 'before'");
    let moved = folder.path().join("node.log.1");
    // The line is written by another service: wait until it is there.
    wait_until("it is logged", || fs::read_to_string(&file).is_ok_and(|text| text.contains("before")));
    fs::rename(&file, &moved).expect("it is moved");
    eval(&runtime, "skynet.error 'between'");
    runtime.reopen_log();
    eval(&runtime, "skynet.error 'after'");
    runtime.shutdown();
    let (old, new) = (fs::read_to_string(moved).expect("there"), fs::read_to_string(file).expect("there"));
    assert!(old.contains("before") && old.contains("between") && !old.contains("after"), "{old}");
    assert!(new.contains("after") && !new.contains("between"), "{new}");
}

#[test]
fn no_line_is_lost_when_a_node_shuts_down() {
    let folder = tempfile::tempdir().expect("a folder");
    let (runtime, file) = logging_node(folder.path());
    let eval = runtime.query(".eval").expect("it is booted");
    let code = "for i = 1, 20000 do skynet.error('line', i) end";
    let request = packed::to_payload(&("eval", code)).expect("packs");
    runtime.send(eval, MessageKind::LUA, request).expect("it is sent");
    runtime.shutdown();
    let text = fs::read_to_string(file).expect("it is there");
    assert_eq!(text.lines().filter(|line| line.contains("] line ")).count(), 20000);
    assert!(text.ends_with('\n'));
}

#[test]
fn the_message_log_of_a_service_has_one_line_for_each_message() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = support::start(support::config().set("logpath", folder.path().display()), None);
    let peer = node.launch_eval();
    let file = folder.path().join(format!("{:08x}.log", peer.as_u32()));
    node.lua(&format!(
        "local core = require 'skynet.core'
        local address = skynet.address({peer})
        skynet.call({peer}, 'lua', 'echo', 'not logged')
        core.command('LOGON', address)
        core.command('LOGON', address)
        skynet.call({peer}, 'lua', 'echo', 'logged')
        skynet.send({peer}, 'lua', 'echo', 1)
        skynet.call({peer}, 'lua', 'echo')
        core.command('LOGOFF', address)
        skynet.call({peer}, 'lua', 'echo', 'not logged')",
        peer = peer.as_u32()
    ));
    node.log.wait_for(&format!("[{peer}] Open log file {}", file.display()));
    node.log.wait_for(&format!("[{peer}] Close log file {peer}"));
    let text = fs::read_to_string(file).expect("it is there");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5, "{text}");
    assert!(lines[0].starts_with("open time: ") && lines[4].starts_with("close time: "), "{text}");
    assert!(lines[0].split(' ').count() >= 8, "the number and the date: {text}");
    let words: Vec<&str> = lines[1].split(' ').collect();
    assert_eq!((words[0], words[1], words.len()), (":00000008", "10", 5), "{text}");
    assert!(words[2].parse::<u32>().is_ok_and(|session| session > 0), "{text}");
    assert_eq!(words[4], format!("246563686f{}", "346c6f67676564"), "{text}");
    assert_eq!(lines[2].split(' ').nth(2), Some("0"), "a send: {text}");
}

#[test]
fn a_message_log_needs_a_folder() {
    let node = support::node();
    node.lua("require 'skynet.core'.command('LOGON', skynet.address(skynet.self()))");
    assert_eq!(node.lua("return 1"), ["1"]);
    assert!(!node.log.has("log file"), "{:#?}", node.log.lines());
    let node = support::start(support::config().set("logpath", "/no/such/folder"), None);
    node.lua("require 'skynet.core'.command('LOGON', skynet.address(skynet.self()))");
    node.log.wait_for("Open log file /no/such/folder/00000008.log fail");
}

// -- the end

/// Says goodbye when the node shuts down, and at its own end.
struct Polite(Sender<&'static str>);

impl Service for Polite {
    fn handle(&mut self, _: &mut Context<'_>, message: Message) -> Answer {
        if message.kind == MessageKind::RESPONSE {
            self.0.send("a message on the way")?;
        }
        Ok(())
    }

    fn shutdown(&mut self, ctx: &mut Context<'_>) -> Answer {
        self.0.send("told")?;
        // Messages still flow.
        ctx.timeout(Duration::ZERO);
        Ok(())
    }

    fn exit(&mut self, ctx: &mut Context<'_>) {
        ctx.log("ends politely");
        let _ = self.0.send("ends");
    }
}

#[test]
fn a_shutdown_tells_the_services_drains_and_ends_them() {
    let log = Log::default();
    let (said, hears) = channel();
    let runtime = Runtime::builder()
        .workers(2)
        .log_to(log.sink())
        .service("polite", move |_| Ok(Polite(said.clone())))
        .start()
        .expect("the node starts");
    runtime.launch("polite", "").expect("it starts");
    let started = Instant::now();
    runtime.shutdown();
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "an idle node waits for nothing: {:?}",
        started.elapsed()
    );
    assert_eq!(hears.try_iter().collect::<Vec<_>>(), ["told", "a message on the way", "ends"]);
    assert!(log.has("ends politely"), "{:#?}", log.lines());
    assert!(runtime.services().is_empty());
    assert!(runtime.launch("polite", "").is_err());
    assert!(runtime.wait_within(Duration::ZERO));
    runtime.shutdown();
}

#[test]
fn a_shutdown_lets_what_is_queued_be_handled() {
    let (runtime, gated, open, log) = gated_node(Config::new().set("harbor", 0));
    for _ in 0..10_000 {
        runtime.send(gated, MessageKind::TEXT, "x").expect("it is sent");
    }
    std::thread::scope(|scope| {
        let call = scope.spawn(|| runtime.call_within(DEADLINE, gated, MessageKind::LUA, "x"));
        wait_until("it is queued", || runtime.stat(gated).is_some_and(|stat| stat.mailbox_len > 10_000));
        open.send(()).expect("it waits");
        runtime.shutdown();
        let answer = call.join().expect("no panic here").expect("it is answered");
        // The notice counts as none of its messages.
        assert_eq!(answer.as_bytes(), b"10000");
    });
    drop(log);
}

#[test]
fn a_shutdown_does_not_wait_for_a_loop_longer_than_its_grace() {
    let config = support::config().set("shutdown_grace", 0.2);
    let node = support::start(config, None);
    let looping = node.launch_eval();
    let request = packed::to_payload(&("eval", "skynet.error 'loops' while true do end")).expect("packs");
    node.runtime.send(looping, MessageKind::LUA, request).expect("it is sent");
    node.log.wait_for("loops");
    let started = Instant::now();
    node.runtime.shutdown();
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    // The worker inside the loop cannot be ended: leave the node as a process would.
    std::mem::forget(node);
}

#[test]
fn a_node_ends_when_its_last_service_does() {
    let node = support::node();
    assert!(!node.runtime.wait_within(Duration::from_millis(1)));
    node.runtime
        .send(
            node.eval,
            MessageKind::LUA,
            packed::to_payload(&(
                "eval",
                "skynet.fork(function() skynet.error 'last words' skynet.abort() end)",
            ))
            .expect("packs"),
        )
        .expect("it is sent");
    assert!(node.runtime.wait_within(DEADLINE));
    node.log.wait_for("last words");
    assert!(matches!(node.call_fails(node.eval), CallError::Send(_) | CallError::Stopping));
}

#[test]
fn the_log_service_takes_more_than_a_mailbox_may_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.log");
    let runtime = Runtime::builder()
        .config(support::config().set("logger", file.display()).set("mqueue_max", 5))
        .boot()
        .start()
        .expect("the node starts");
    wait_until("it is booted", || runtime.query(".eval").is_some());
    eval(&runtime, "for i = 1, 5000 do skynet.error('line', i) end");
    runtime.shutdown();
    let text = fs::read_to_string(file).expect("it is there");
    assert_eq!(text.lines().filter(|line| line.contains("] line ")).count(), 5000);
}
