//! Services in Rust: what the library promises to whoever writes one.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

mod support;

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skynet_rs::packed::{self, Value};
use skynet_rs::{
    CallError, Config, Context, Handle, LaunchError, ManualClock, Message, MessageKind, Origin, Payload,
    Runtime, SendError, Service, ServiceError, Session,
};
use support::{DEADLINE, Log};

type Answer = Result<(), ServiceError>;

/// A service whose `handle` is a closure.
struct Do<F>(F);

impl<F: FnMut(&mut Context<'_>, Message) -> Answer + Send + 'static> Service for Do<F> {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Answer {
        (self.0)(ctx, message)
    }
}

/// A bare node with one module `it`, and its log.
fn node_with<S: Service>(
    make: impl Fn(&str) -> Result<S, ServiceError> + Send + Sync + 'static,
) -> (Runtime, Log) {
    let log = Log::default();
    let runtime = Runtime::builder()
        .workers(2)
        .log_to(log.sink())
        .service("it", make)
        .service("echo", |_| {
            Ok(Do(|ctx: &mut Context<'_>, message: Message| {
                ctx.respond(message.origin(), message.into_payload())?;
                Ok(())
            }))
        })
        .start()
        .expect("the node starts");
    (runtime, log)
}

fn call(runtime: &Runtime, to: Handle, text: &str) -> Result<String, CallError> {
    let answer = runtime.call_within(DEADLINE, to, MessageKind::LUA, text)?;
    Ok(String::from_utf8_lossy(answer.as_bytes()).into_owned())
}

// -- errors and panics

#[test]
fn an_error_from_handle_answers_the_request_with_an_error() {
    let (runtime, log) = node_with(|_| {
        Ok(Do(|ctx: &mut Context<'_>, message: Message| {
            if message.payload.as_bytes() == b"fail" {
                return Err("it fails as asked".into());
            }
            ctx.respond(message.origin(), "fine")?;
            Ok(())
        }))
    });
    let it = runtime.launch("it", "").expect("it starts");
    assert_eq!(call(&runtime, it, "fail"), Err(CallError::Failed(it)));
    log.wait_for(&format!("[{it}] error: it fails as asked"));
    assert_eq!(call(&runtime, it, "else").as_deref(), Ok("fine"));
}

#[test]
fn an_error_after_the_answer_does_not_answer_twice() {
    let (runtime, log) = node_with(|_| {
        Ok(Do(|ctx: &mut Context<'_>, message: Message| {
            ctx.respond(message.origin(), "fine")?;
            Err("too late".into())
        }))
    });
    let it = runtime.launch("it", "").expect("it starts");
    for _ in 0..3 {
        assert_eq!(call(&runtime, it, "x").as_deref(), Ok("fine"));
    }
    log.wait_for_count("error: too late", 3);
}

#[test]
fn a_panic_in_handle_ends_that_service_and_fails_all_that_waits_for_it() {
    let (began, has_begun) = channel::<()>();
    let (go, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let (runtime, log) = node_with(move |_| {
        let (began, gate) = (began.clone(), Arc::clone(&gate));
        Ok(Do(move |_: &mut Context<'_>, message: Message| -> Answer {
            if message.payload.as_bytes() == b"keep" {
                return Ok(());
            }
            began.send(())?;
            gate.lock().expect("one service").recv()?;
            panic!("as asked");
        }))
    });
    let it = runtime.launch("it", "").expect("it starts");
    let echo = runtime.launch("echo", "").expect("it starts");
    std::thread::scope(|scope| {
        let open = scope.spawn(|| call(&runtime, it, "keep"));
        let working = scope.spawn(|| call(&runtime, it, "panic"));
        has_begun.recv_timeout(DEADLINE).expect("it works");
        let queued: Vec<_> = (0..5).map(|_| scope.spawn(|| call(&runtime, it, "queued"))).collect();
        while runtime.stat(it).is_some_and(|stat| stat.mailbox_len < 5) {
            std::thread::yield_now();
        }
        go.send(()).expect("it waits");
        for answer in queued.into_iter().chain([open, working]) {
            assert_eq!(answer.join().expect("no panic here"), Err(CallError::Failed(it)));
        }
    });
    log.wait_for(&format!("[{it}] error: the service panicked and ends: as asked"));
    assert_eq!(runtime.stat(it), None);
    assert_eq!(call(&runtime, it, "x"), Err(CallError::Send(SendError::NoService(it))));
    assert_eq!(call(&runtime, echo, "alive").as_deref(), Ok("alive"));
}

/// Panics or fails in the function that its argument names.
struct Fragile(String);

impl Service for Fragile {
    fn init(&mut self, _ctx: &mut Context<'_>) -> Answer {
        assert!(self.0 != "init", "init as asked");
        if self.0 == "refuse" { Err("refused as asked".into()) } else { Ok(()) }
    }

    fn handle(&mut self, _ctx: &mut Context<'_>, _message: Message) -> Answer {
        Ok(())
    }

    fn exit(&mut self, _ctx: &mut Context<'_>) {
        assert!(self.0 != "exit", "exit as asked");
    }
}

#[test]
fn a_panic_in_init_or_in_the_factory_fails_the_launch() {
    let (runtime, log) = node_with(|args| {
        assert!(args != "factory", "factory as asked");
        Ok(Fragile(args.to_owned()))
    });
    for (args, why) in [
        ("init", "panic: init as asked"),
        ("factory", "panic: factory as asked"),
        ("refuse", "refused as asked"),
    ] {
        let error = runtime.launch("it", args).expect_err("it does not start");
        assert!(matches!(error, LaunchError::Init { .. }), "{error:?}");
        assert_eq!(error.to_string(), format!("it: {why}"));
    }
    log.wait_for_count("error: launch it FAILED", 2);
    assert_eq!(runtime.services().len(), 1, "only the logger");
    assert!(
        matches!(runtime.launch("nosuch", ""), Err(LaunchError::UnknownModule(name)) if name == "nosuch")
    );
}

#[test]
fn a_panic_in_exit_is_logged_and_harms_nobody() {
    let (runtime, log) = node_with(|args| Ok(Fragile(args.to_owned())));
    let it = runtime.launch("it", "exit").expect("it starts");
    let echo = runtime.launch("echo", "").expect("it starts");
    std::thread::scope(|scope| {
        let open = scope.spawn(|| call(&runtime, it, "never answered"));
        while runtime.stat(it).is_some_and(|stat| stat.messages < 1) {
            std::thread::yield_now();
        }
        assert!(runtime.kill(it));
        assert_eq!(open.join().expect("no panic here"), Err(CallError::Failed(it)));
    });
    log.wait_for("error: the service panicked while it ended: exit as asked");
    assert_eq!(call(&runtime, echo, "alive").as_deref(), Ok("alive"));
}

#[test]
fn a_call_to_nobody_fails_at_once_and_without_a_log_line() {
    let (runtime, log) = node_with(|args| Ok(Fragile(args.to_owned())));
    let nobody = Handle::from_u32(0x00ab_cdef);
    assert_eq!(call(&runtime, nobody, "x"), Err(CallError::Send(SendError::NoService(nobody))));
    assert!(matches!(runtime.send(nobody, MessageKind::LUA, "x"), Err(SendError::NoService(_))));
    assert!(!runtime.kill(nobody));
    let echo = runtime.launch("echo", "").expect("it starts");
    log.wait_for("LAUNCH echo");
    assert_eq!(log.lines(), [format!("[{echo}] LAUNCH echo")]);
}

#[test]
fn a_call_that_is_given_up_leaves_nothing_behind() {
    let (runtime, _log) = node_with(|args| Ok(Fragile(args.to_owned())));
    let it = runtime.launch("it", "").expect("it starts");
    let before = runtime.services().len();
    let limit = Duration::from_millis(1);
    let error = runtime.call_within(limit, it, MessageKind::LUA, "x").expect_err("nobody answers");
    assert_eq!(error, CallError::TimedOut { to: it, limit });
    let deadline = std::time::Instant::now() + DEADLINE;
    while runtime.services().len() > before {
        assert!(std::time::Instant::now() < deadline, "{:?}", runtime.services());
        std::thread::yield_now();
    }
}

// -- killing

/// Keeps requests open; `answer` answers all, `kill` kills the service that it names.
#[derive(Default)]
struct Keeper {
    open: Vec<Origin>,
}

impl Service for Keeper {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Answer {
        match message.payload.as_bytes() {
            b"answer" => {
                for origin in self.open.drain(..) {
                    ctx.respond(origin, "late")?;
                }
                ctx.respond(message.origin(), "done")?;
            }
            _ => self.open.push(message.origin()),
        }
        Ok(())
    }

    fn exit(&mut self, ctx: &mut Context<'_>) {
        // The first is answered at the very end; the engine fails the others.
        if let Some(first) = self.open.first() {
            let _ = ctx.respond(*first, "last words");
        }
    }
}

#[test]
fn a_kept_request_is_answered_later() {
    let (runtime, _log) = node_with(|_| Ok(Keeper::default()));
    let it = runtime.launch("it", "").expect("it starts");
    std::thread::scope(|scope| {
        let kept = scope.spawn(|| call(&runtime, it, "keep"));
        while runtime.stat(it).is_some_and(|stat| stat.messages < 1) {
            std::thread::yield_now();
        }
        assert_eq!(call(&runtime, it, "answer").as_deref(), Ok("done"));
        assert_eq!(kept.join().expect("no panic here").as_deref(), Ok("late"));
    });
}

#[test]
fn a_killed_service_answers_in_exit_or_fails_what_is_open() {
    let (runtime, _log) = node_with(|_| Ok(Keeper::default()));
    let it = runtime.launch("it", "").expect("it starts");
    let answers: Vec<_> = std::thread::scope(|scope| {
        let kept: Vec<_> = (0..4).map(|_| scope.spawn(|| call(&runtime, it, "keep"))).collect();
        while runtime.stat(it).is_some_and(|stat| stat.messages < 4) {
            std::thread::yield_now();
        }
        assert!(runtime.kill(it));
        assert!(!runtime.kill(it));
        kept.into_iter().map(|answer| answer.join().expect("no panic here")).collect()
    });
    assert_eq!(answers.iter().filter(|answer| answer.as_deref() == Ok("last words")).count(), 1);
    assert_eq!(answers.iter().filter(|answer| **answer == Err(CallError::Failed(it))).count(), 3);
}

#[test]
fn a_service_ends_itself_and_others() {
    let (runtime, log) = node_with(|_| {
        Ok(Do(|ctx: &mut Context<'_>, message: Message| {
            let (word, victim): (String, u32) = packed::from_bytes(message.payload.as_bytes())?;
            if word == "exit" {
                ctx.exit();
            } else {
                let killed = ctx.kill(Handle::from_u32(victim));
                ctx.respond(message.origin(), packed::to_payload(&killed)?)?;
            }
            Ok(())
        }))
    });
    let it = runtime.launch("it", "").expect("it starts");
    let echo = runtime.launch("echo", "").expect("it starts");
    let ask = |word: &str| {
        runtime.call_within(
            DEADLINE,
            it,
            MessageKind::LUA,
            packed::to_payload(&(word, echo.as_u32())).expect("packs"),
        )
    };
    for expected in [true, false] {
        let answer = ask("kill").expect("it answers");
        assert_eq!(packed::from_bytes(answer.as_bytes()), Ok(expected));
    }
    log.wait_for(&format!("[{it}] KILL :{:x}", echo.as_u32()));
    assert_eq!(runtime.stat(echo), None);
    assert!(matches!(ask("exit"), Err(CallError::Failed(_))));
    log.wait_for(&format!("[{it}] KILL self"));
}

// -- names, monitor, launch

#[test]
fn a_service_has_names_until_it_ends() {
    let (runtime, _log) = node_with(|_| {
        Ok(Do(|ctx: &mut Context<'_>, message: Message| {
            let name: String = packed::from_bytes(message.payload.as_bytes())?;
            let taken = ctx.register(&name);
            assert_eq!(ctx.query(&name) == Some(ctx.handle()), taken);
            ctx.respond(message.origin(), packed::to_payload(&taken)?)?;
            Ok(())
        }))
    });
    let (first, second) =
        (runtime.launch("it", "").expect("starts"), runtime.launch("it", "").expect("starts"));
    let register = |who, name: &str| -> bool {
        let request = packed::to_payload(name).expect("packs");
        let answer = runtime.call_within(DEADLINE, who, MessageKind::LUA, request).expect("it answers");
        packed::from_bytes(answer.as_bytes()).expect("a boolean")
    };
    assert!(register(first, ".db") && register(first, ".store"));
    assert!(!register(second, ".db"));
    assert!(!register(second, "no_dot"));
    assert_eq!((runtime.query(".db"), runtime.query(".store")), (Some(first), Some(first)));
    assert_eq!((runtime.query(".nobody"), runtime.query("db")), (None, None));
    runtime.kill(first);
    assert_eq!(runtime.query(".db"), None);
    assert!(register(second, ".db"));
}

#[test]
fn the_exit_monitor_gets_a_client_message_from_each_that_ended() {
    let (heard, hears) = channel();
    let (runtime, _log) = node_with(move |_| {
        let heard = heard.clone();
        Ok(Do(move |ctx: &mut Context<'_>, message: Message| {
            if message.kind == MessageKind::CLIENT {
                heard.send((message.source, message.session, message.payload.len()))?;
            } else {
                ctx.set_exit_monitor(ctx.handle());
                assert_eq!(ctx.exit_monitor(), Some(ctx.handle()));
                ctx.respond(message.origin(), ())?;
            }
            Ok(())
        }))
    });
    let it = runtime.launch("it", "").expect("it starts");
    call(&runtime, it, "watch").expect("it answers");
    let victims: Vec<_> = (0..3).map(|_| runtime.launch("echo", "").expect("it starts")).collect();
    for victim in &victims {
        assert_eq!(call(&runtime, *victim, "hi").as_deref(), Ok("hi"));
        runtime.kill(*victim);
        assert_eq!(hears.recv_timeout(DEADLINE), Ok((*victim, None, 0)));
    }
    // Neither calls from outside nor the monitor itself are worth a message.
    assert!(hears.try_recv().is_err());
}

#[test]
fn a_service_launches_others_while_it_works() {
    let (runtime, log) = node_with(|_| {
        Ok(Do(|ctx: &mut Context<'_>, message: Message| {
            assert!(matches!(ctx.launch("nosuch", ""), Err(LaunchError::UnknownModule(_))));
            let child = ctx.launch("echo", "some words")?;
            ctx.respond(message.origin(), child.to_string())?;
            Ok(())
        }))
    });
    let it = runtime.launch("it", "").expect("it starts");
    let child: Handle = call(&runtime, it, "x").expect("it answers").parse().expect("a handle");
    assert_eq!(call(&runtime, child, "hello").as_deref(), Ok("hello"));
    log.wait_for(&format!("[{child}] LAUNCH echo some words"));
}

#[test]
fn the_figures_of_a_service_count_its_messages() {
    let (runtime, _log) = node_with(|_| {
        Ok(Do(|ctx: &mut Context<'_>, message: Message| {
            let stat = ctx.stat(ctx.handle()).unwrap_or_default();
            ctx.respond(message.origin(), format!("{}", stat.messages))?;
            Ok(())
        }))
    });
    let it = runtime.launch("it", "").expect("it starts");
    assert_eq!(call(&runtime, it, "x").as_deref(), Ok("0"));
    assert_eq!(call(&runtime, it, "x").as_deref(), Ok("1"));
    let deadline = std::time::Instant::now() + DEADLINE;
    while runtime.stat(it).is_some_and(|stat| stat.messages < 2 || stat.cpu.is_zero()) {
        assert!(std::time::Instant::now() < deadline, "{:?}", runtime.stat(it));
    }
}

#[test]
fn the_environment_is_set_once() {
    let runtime = Runtime::builder()
        .config(Config::new().set("harbor", 0).set("zone", "north"))
        .log_to(|_, _| {})
        .service("it", |_| {
            Ok(Do(|ctx: &mut Context<'_>, message: Message| {
                assert_eq!(ctx.env("zone").as_deref(), Some("north"));
                assert!(ctx.set_env("zone", "south").is_err());
                assert!(ctx.set_env("fresh", "value").is_ok());
                ctx.respond(message.origin(), ctx.env("fresh").unwrap_or_default())?;
                Ok(())
            }))
        })
        .start()
        .expect("the node starts");
    let it = runtime.launch("it", "").expect("it starts");
    assert_eq!(call(&runtime, it, "x").as_deref(), Ok("value"));
    assert_eq!(runtime.env("fresh").as_deref(), Some("value"));
    assert_eq!(runtime.env("nothing"), None);
}

// -- time

/// Tells the test when its timers go off.
struct Alarm {
    delays: Vec<u64>,
    rang: Sender<(i32, u64)>,
}

impl Service for Alarm {
    fn init(&mut self, ctx: &mut Context<'_>) -> Answer {
        for delay in &self.delays {
            ctx.timeout(Duration::from_millis(*delay));
        }
        Ok(())
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Answer {
        assert_eq!((message.kind, message.source), (MessageKind::RESPONSE, Handle::NONE));
        self.rang.send((Session::number(message.session), ctx.clock().now_ns() / 1_000_000))?;
        Ok(())
    }
}

fn alarm(clock: ManualClock, delays: &[u64]) -> (Runtime, Receiver<(i32, u64)>) {
    let (rang, rings) = channel();
    let delays = delays.to_vec();
    let runtime = Runtime::builder()
        .workers(2)
        .clock(clock.clock())
        .log_to(|_, _| {})
        .service("alarm", move |_| Ok(Alarm { delays: delays.clone(), rang: rang.clone() }))
        .start()
        .expect("the node starts");
    runtime.launch("alarm", "").expect("it starts");
    (runtime, rings)
}

#[test]
fn timeouts_go_off_in_order_and_to_the_millisecond() {
    let clock = ManualClock::new();
    let (_runtime, rings) = alarm(clock.clone(), &[7, 3, 0, 3, 12]);
    clock.advance(Duration::from_millis(2));
    assert_eq!(rings.try_iter().map(|(session, _)| session).collect::<Vec<_>>(), [3]);
    clock.advance(Duration::from_millis(8));
    assert_eq!(rings.try_iter().collect::<Vec<_>>(), [(2, 3), (4, 3), (1, 7)]);
    clock.advance(Duration::from_millis(2));
    assert_eq!(rings.try_iter().collect::<Vec<_>>(), [(5, 12)]);
}

#[test]
fn an_hour_on_a_manual_clock_takes_no_time() {
    let clock = ManualClock::new();
    let started = std::time::Instant::now();
    let hour = 3_600_000;
    let (_runtime, rings) = alarm(clock.clone(), &[hour, 24 * hour]);
    clock.advance(Duration::from_millis(24 * hour));
    assert_eq!(rings.try_iter().collect::<Vec<_>>(), [(1, hour), (2, 24 * hour)]);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}

#[test]
fn a_real_timeout_is_never_early() {
    let (rang, rings) = channel();
    let runtime = Runtime::builder()
        .log_to(|_, _| {})
        .service("alarm", move |_| Ok(Alarm { delays: vec![1, 5, 23], rang: rang.clone() }))
        .start()
        .expect("the node starts");
    let started = std::time::Instant::now();
    runtime.launch("alarm", "").expect("it starts");
    for delay in [1, 5, 23] {
        rings.recv_timeout(DEADLINE).expect("it rings");
        assert!(started.elapsed() >= Duration::from_millis(delay));
    }
}

// -- Rust and Lua

#[derive(Serialize, Deserialize, Debug, PartialEq)]
struct Player {
    name: String,
    level: u32,
    guild: Option<String>,
    scores: Vec<f64>,
}

#[test]
fn a_native_service_answers_lua_in_the_packed_format() {
    let node = support::start_with(support::config(), None, |builder| {
        builder.service("registry", |_| {
            Ok(Do(|ctx: &mut Context<'_>, message: Message| {
                let (word, mut player): (String, Player) = packed::from_bytes(message.payload.as_bytes())?;
                assert_eq!(word, "promote");
                player.level += 1;
                player.scores.push(0.5);
                ctx.respond(message.origin(), packed::to_payload(&(true, &player))?)?;
                Ok(())
            }))
        })
    });
    let answer = node.lua(
        "local registry = skynet.launch 'registry'
        local ok, player = skynet.call(registry, 'lua', 'promote', { name = 'Ada', level = 6, scores = { 1, 2.25 } })
        return ok, player.name, player.level, math.type(player.level), player.guild, table.concat(player.scores, ' '),
            (pcall(skynet.call, registry, 'lua', 'promote', { name = 'no level' }))",
    );
    assert_eq!(answer, ["true", "Ada", "7", "integer", "nil", "1.0 2.25 0.5", "false"]);
    node.log.wait_for("error: ");
}

/// Asks a Lua service for each message that it gets, and passes the answer on.
struct Broker {
    asked: Vec<(Session, Origin)>,
    lua: Handle,
}

impl Service for Broker {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Answer {
        if message.kind.is_answer() {
            let at = self.asked.iter().position(|(session, _)| Some(*session) == message.session);
            let (_, origin) = self.asked.swap_remove(at.ok_or("an answer that was not asked for")?);
            if message.kind == MessageKind::ERROR {
                ctx.respond_error(origin)?;
            } else {
                ctx.respond(origin, message.into_payload())?;
            }
        } else {
            let origin = message.origin();
            let session = ctx.request(self.lua, MessageKind::LUA, message.into_payload())?;
            self.asked.push((session, origin));
        }
        Ok(())
    }
}

#[test]
fn a_native_service_asks_lua_and_gets_answers_and_errors() {
    let node = support::start_with(support::config(), None, |builder| {
        builder.service("broker", |args| {
            Ok(Broker { asked: Vec::new(), lua: args.parse().map_err(|_| "no handle")? })
        })
    });
    let peer = node.launch_eval();
    let broker = node.runtime.launch("broker", &peer.to_string()).expect("it starts");
    let ask = |request: Payload| {
        let answer = node.runtime.call_within(DEADLINE, broker, MessageKind::LUA, request)?;
        Ok(answer.as_bytes().to_vec())
    };
    let answer = ask(packed::to_payload(&("echo", 1, "two", [3.5])).expect("packs")).expect("it answers");
    let (one, two, three): (i64, String, Vec<f64>) = packed::from_bytes(&answer).expect("three values");
    assert_eq!((one, two.as_str(), three.as_slice()), (1, "two", &[3.5][..]));
    assert_eq!(ask(packed::to_payload(&"fail").expect("packs")), Err(CallError::Failed(broker)));
    assert_eq!(ask(Payload::from("\u{1}\u{2}")), Err(CallError::Failed(broker)));
    // The Lua service is killed while it works on a request.
    std::thread::scope(|scope| {
        let held = scope.spawn(|| ask(packed::to_payload(&"hold").expect("packs")));
        node.lua_in(peer, "while skynet.task() == 0 do skynet.yield() end");
        node.runtime.kill(peer);
        assert_eq!(held.join().expect("no panic here"), Err(CallError::Failed(broker)));
    });
    // It is gone: the request cannot be sent, and the error of `handle` answers.
    assert_eq!(ask(packed::to_payload(&"echo").expect("packs")), Err(CallError::Failed(broker)));
}

#[test]
fn a_lua_caller_hears_when_a_native_service_is_killed_while_it_works() {
    let node = support::start_with(support::config(), None, |builder| {
        builder.service("keeper", |_| Ok(Keeper::default()))
    });
    let answer = node.lua(
        "local keeper = skynet.launch 'keeper'
        local ended, answered = 0, 0
        for i = 1, 3 do
            skynet.fork(function()
                answered = answered + (pcall(skynet.rawcall, keeper, 'lua', 'keep') and 1 or 0)
                ended = ended + 1
                if ended == 3 then skynet.wakeup 'all' end
            end)
        end
        skynet.yield()
        skynet.kill(keeper)
        if ended < 3 then skynet.wait 'all' end
        return answered",
    );
    // One is answered by its `exit`, if it had begun before the end; no one waits for ever.
    assert!(answer == ["0"] || answer == ["1"], "{answer:?}");
}

#[test]
fn values_of_any_shape_go_from_lua_to_rust() {
    let (seen, sees) = channel();
    let node = support::start_with(support::config(), None, |builder| {
        builder.service("sink", move |_| {
            let seen = seen.clone();
            Ok(Do(move |_: &mut Context<'_>, message: Message| {
                seen.send(packed::from_bytes::<packed::Values>(message.payload.as_bytes())?)?;
                Ok(())
            }))
        })
    });
    node.lua("skynet.send(skynet.launch 'sink', 'lua', nil, true, -1, 2.5, 'text', { 1, x = { y = 2 } })");
    let values = sees.recv_timeout(DEADLINE).expect("they arrive").0;
    assert_eq!(values[..4], [Value::Nil, Value::Bool(true), Value::Integer(-1), Value::Float(2.5)]);
    assert_eq!(values[4].as_str(), Some("text"));
    let Value::Table(table) = &values[5] else { panic!("not a table: {values:?}") };
    assert_eq!(table.array, [Value::Integer(1)]);
    let Some(Value::Table(inner)) = table.get("x") else { panic!("not a table: {table:?}") };
    assert_eq!(inner.get("y"), Some(&Value::Integer(2)));
}

#[test]
fn a_killed_service_fails_its_callers_however_many_there_are() {
    let node = support::start_with(support::config(), None, |builder| {
        builder.service("keeper", |_| Ok(Keeper::default()))
    });
    let keeper = node.lua_handle("keeper = skynet.launch 'keeper' return keeper");
    node.lua(
        "ended = 0
        for _ = 1, 10000 do
            skynet.fork(function()
                pcall(skynet.rawcall, keeper, 'lua', 'keep')
                ended = ended + 1
                if ended == 10000 then skynet.wakeup 'all' end
            end)
        end",
    );
    node.wait_until("all are open", || node.runtime.stat(keeper).is_some_and(|stat| stat.messages >= 10_000));
    assert_eq!(node.lua("return ended"), ["0"]);
    node.runtime.kill(keeper);
    assert_eq!(node.lua("if ended < 10000 then skynet.wait 'all' end return ended"), ["10000"]);
}

#[test]
fn many_open_requests_are_answered_oldest_first() {
    let node = support::start_with(support::config(), None, |builder| {
        builder.service("keeper", |_| Ok(Keeper::default()))
    });
    let keeper = node.lua_handle("keeper = skynet.launch 'keeper' return keeper");
    let answer = node.lua(
        "answered = 0
        for _ = 1, 50000 do
            skynet.fork(function()
                local text = skynet.tostring(skynet.rawcall(keeper, 'lua', 'keep'))
                answered = answered + (text == 'late' and 1 or 0)
            end)
        end
        skynet.yield()
        skynet.rawcall(keeper, 'lua', 'answer')
        skynet.yield()
        return answered",
    );
    assert_eq!(answer, ["50000"]);
    node.runtime.kill(keeper);
}

#[test]
fn a_service_that_does_not_start_keeps_no_name() {
    struct Named;
    impl Service for Named {
        fn init(&mut self, ctx: &mut Context<'_>) -> Answer {
            assert!(ctx.register(".name"));
            Err("refused as asked".into())
        }

        fn handle(&mut self, _ctx: &mut Context<'_>, _message: Message) -> Answer {
            Ok(())
        }
    }
    let (runtime, _log) = node_with(|_| Ok(Named));
    for _ in 0..2 {
        let error = runtime.launch("it", "").expect_err("it refuses");
        assert_eq!(error.to_string(), "it: refused as asked");
        assert_eq!(runtime.query(".name"), None);
    }
}

// -- turns

/// Adds up what it gets, and tells the sum when its turn ends.
struct Sums {
    sum: u64,
    turns: Sender<u64>,
}

impl Service for Sums {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Answer {
        match message.payload.as_bytes() {
            b"panic at the end" => self.sum = u64::MAX,
            _ => self.sum += 1,
        }
        ctx.respond(message.origin(), "taken")?;
        Ok(())
    }

    fn batch_end(&mut self, _ctx: &mut Context<'_>) {
        assert_ne!(self.sum, u64::MAX, "as asked");
        let _ = self.turns.send(std::mem::take(&mut self.sum));
    }
}

#[test]
fn the_end_of_a_turn_is_told_after_its_messages() {
    let (turns, sums) = channel();
    let turns = Mutex::new(turns);
    let (runtime, log) =
        node_with(move |_| Ok(Sums { sum: 0, turns: turns.lock().expect("no panic").clone() }));
    let it = runtime.launch("it", "").expect("it starts");
    for _ in 0..1000 {
        runtime.send(it, MessageKind::TEXT, "one").expect("it lives");
    }
    let (mut sum, mut count) = (0, 0);
    while sum < 1000 {
        let turn = sums.recv_timeout(DEADLINE).expect("each message belongs to a turn");
        assert!((1..=128).contains(&turn), "{turn}");
        (sum, count) = (sum + turn, count + 1);
    }
    assert!(sum == 1000 && count >= 8);
    // A panic there ends the service, and nothing else.
    assert_eq!(call(&runtime, it, "panic at the end").expect("it was answered before"), "taken");
    log.wait_for("error: the service panicked and ends");
    call(&runtime, it, "x").expect_err("it is gone");
    let echo = runtime.launch("echo", "").expect("the node goes on");
    assert_eq!(call(&runtime, echo, "x").expect("it answers"), "x");
}

#[test]
fn the_handles_of_a_member_begin_where_its_incarnation_says() {
    let node = |harbor, incarnation| {
        let log = Log::default();
        let builder = Runtime::builder().workers(1).harbor(harbor).incarnation(incarnation);
        builder.log_to(log.sink()).start().expect("it starts")
    };
    let first = |runtime: &Runtime| runtime.services()[0].0.as_u32();
    assert_eq!(first(&node(7, 0x0123_4567_89ab_cdef)), 0x0789_ab01);
    assert_eq!(first(&node(7, 1)), 0x0700_0001);
    assert_eq!(first(&node(0, 0x0123_4567_89ab_cdef)), 1);
}
