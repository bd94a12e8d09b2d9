//! The door of the debug console: HTTP, the secret, and clients and services that behave badly.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

#[path = "support/console.rs"]
mod console;
mod support;

use std::io::Write;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use console::{Client, console, console_of, request};
use support::{DEADLINE, TestNode};

// -- HTTP

#[test]
fn a_request_of_http_is_a_command() {
    let (node, port) = console();
    let welcome = "Welcome to skynet console\n";
    assert_eq!(
        request(port, "GET /getenv/thread HTTP/1.1\r\nHost: x\r\nX-Other: y\r\n\r\n"),
        format!("{welcome}thread\t2\n<CMD OK>\n")
    );
    assert_eq!(
        request(port, "POST / HTTP/1.1\r\nContent-Length: 13\r\n\r\ngetenv threadIGNORED"),
        format!("{welcome}thread\t2\n<CMD OK>\n")
    );
    assert_eq!(
        request(port, &format!("GET /call/{:x}/'echo',%201%2B1 HTTP/1.0\r\n\r\n", node.eval.as_u32())),
        format!("{welcome}1\t2\nn\t1\n<CMD OK>\n")
    );
    assert_eq!(
        request(port, "GET /dance HTTP/1.1\r\n\r\n"),
        format!("{welcome}Invalid command, type help for command list\n\n<CMD Error>\n")
    );
    // Nobody can type to the debugger.
    let answer = request(port, &format!("GET /debug/{:x} HTTP/1.1\r\n\r\n", node.eval.as_u32()));
    assert!(answer.ends_with("<CMD OK>\n"), "{answer}");
}

#[test]
fn requests_of_http_that_are_too_long_or_have_no_end_are_refused() {
    let (_node, port) = console();
    let long = format!("GET /list HTTP/1.1\r\n{}\r\n", "X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n".repeat(400));
    assert!(request(port, &long).contains("longer than 8192 bytes"));
    for length in ["8193", "99999999999999999999999", "-1", "x"] {
        let answer = request(port, &format!("POST / HTTP/1.1\r\nContent-Length: {length}\r\n\r\n"));
        assert!(answer.contains("longer than 8192 bytes"), "{length}: {answer}");
    }
    for half in ["GET /list HTTP/1.1\r\nHost: x\r\n", "POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nlist"] {
        let mut client = Client::new(port);
        client.say(half);
        client.stream.shutdown(Shutdown::Write).expect("it is open");
        let answer = client.rest();
        assert!(answer.contains("has no end") && !answer.contains("<CMD"), "{answer}");
    }
}

// -- the secret

fn guarded() -> (TestNode, u16) {
    console_of(support::start(support::config().set("debug_console_token", "open sesame"), None))
}

#[test]
fn the_first_line_tells_the_secret() {
    let (_node, port) = guarded();
    let mut client = Client::new(port);
    assert!(client.run("token open sesame").ok);
    assert_eq!(client.run("getenv thread").one(), "thread\t2");
}

#[test]
fn whoever_does_not_know_the_secret_is_turned_away_with_one_line() {
    let (node, port) = guarded();
    for line in [
        "getenv thread",
        "token",
        "token ",
        "token open",
        "token open sesame ",
        "token open sesameopen sesame",
        "",
        "TOKEN open sesame",
    ] {
        let mut client = Client::new(port);
        client.say(format!("{line}\nsetenv broken in\n"));
        assert_eq!(client.rest(), "Invalid token\n", "{line:?}");
    }
    assert_eq!(node.lua1("return skynet.getenv 'broken'"), "nil");
}

#[test]
fn http_brings_the_secret_in_a_header_or_in_the_query() {
    let (_node, port) = guarded();
    for good in [
        "GET /getenv/thread HTTP/1.1\r\nAuthorization: Bearer open sesame\r\n\r\n",
        "GET /getenv/thread?x=y&token=open%20sesame HTTP/1.1\r\n\r\n",
        "POST /?token=open%20sesame HTTP/1.1\r\nContent-Length: 13\r\n\r\ngetenv thread",
    ] {
        assert!(request(port, good).ends_with("thread\t2\n<CMD OK>\n"), "{good}");
    }
    for bad in [
        "GET /getenv/thread HTTP/1.1\r\n\r\n",
        "GET /getenv/thread HTTP/1.1\r\nAuthorization: Bearer open\r\n\r\n",
        "GET /getenv/thread?token=open HTTP/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 13\r\n\r\ngetenv thread",
    ] {
        assert!(request(port, bad).ends_with("Invalid token\n"), "{bad}");
    }
}

#[test]
fn whoever_says_nothing_does_not_stay() {
    let config = support::config().set("debug_console_token", "x");
    let node = support::start(config, Some(skynet_rs::ManualClock::new()));
    let (node, port) = console_of(node);
    let mut client = Client::new(port);
    node.log.wait_for("connected");
    client.say("tok");
    node.advance(Duration::from_secs(11));
    assert_eq!(client.rest(), "");
    node.log.wait_for("disconnect");
}

#[test]
fn a_config_that_makes_no_sense_stops_the_start() {
    for (key, value, problem) in [
        ("debug_console_token", "", "debug_console_token is empty"),
        ("debug_console_timeout", "soon", "debug_console_timeout must be"),
        ("debug_console_timeout", "0", "debug_console_timeout must be"),
    ] {
        let node = support::start(support::config().set(key, value), None);
        node.lua("return pcall(skynet.newservice, 'debug_console', 0)");
        node.log.wait_for(problem);
    }
    let node = support::node();
    node.lua("return pcall(skynet.newservice, 'debug_console')");
    node.log.wait_for("the port is missing");
}

#[test]
fn the_address_is_that_of_the_loopback_unless_it_is_told() {
    let node = support::node();
    node.lua("return skynet.newservice('debug_console', '0.0.0.0', 0)");
    let line = node.log.wait_for("Start debug console at 0.0.0.0:");
    node.log.wait_for("debug_console_token sets a secret");
    let port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    assert!(Client::new(port).run("getenv thread").ok);
}

// -- bad clients, bad services

#[test]
fn a_line_without_an_end_is_cut() {
    let (node, port) = console();
    let mut client = Client::new(port);
    client.say("x".repeat(8192));
    client.say("\n");
    assert!(client.shown().has("Invalid command"));
    client.say("y".repeat(8193));
    assert_eq!(client.rest(), "The line is longer than 8192 bytes\n");
    // One that goes on and on.
    let mut client = Client::new(port);
    let chunk = vec![b'z'; 1 << 16];
    let mut sent = 0_usize;
    while client.stream.write_all(&chunk).is_ok() {
        sent += chunk.len();
        assert!(sent < 1 << 30, "nobody stops it");
    }
    assert!(Client::new(port).run("getenv thread").ok);
    node.log.wait_for_count("disconnect", 2);
}

#[test]
fn bytes_that_are_no_text_do_no_harm() {
    let (node, port) = console();
    let mut client = Client::new(port);
    client.say(b"\xff\xfe\x00\x01 \xc3\x28\n");
    assert!(!client.shown().ok);
    client.say(b"getenv \xff\x00\n");
    assert!(client.shown().lines[0].ends_with("\tnil"));
    client.say(format!("info {} ", node.eval).as_bytes());
    client.say(b"\xff\xff\n");
    assert!(client.shown().ok);
    client.say([b"call ".as_slice(), format!("{}", node.eval).as_bytes(), b" 'echo', '\xff\x80'\n"].concat());
    assert!(client.shown().ok);
    // Telnet's negotiation, as a real telnet may send it.
    client.say(b"\xff\xfd\x03\xff\xfb\x18getenv thread\n");
    assert!(!client.shown().ok);
    assert!(client.run("getenv thread").ok);
}

#[test]
fn a_client_that_goes_in_the_middle_of_a_command_leaves_nothing_behind() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let sockets = || node.lua1("return #require 'skynet.socket'.netstat()");
    let before = sockets();
    for command in [
        "he",
        "stat",
        "help\nhelp\nhelp\nlist\n",
        &format!("call {peer} 'hold'\n"),
        &format!("debug {peer}\n"),
    ] {
        let mut client = Client::new(port);
        client.say(command);
        drop(client);
    }
    node.lua(&format!("skynet.call({}, 'lua', 'release')", peer.as_u32()));
    node.log.wait_for_count("disconnect", 5);
    node.wait_until("the sockets are closed", || sockets() == before);
    assert!(Client::new(port).run("list").ok);
}

#[test]
fn a_client_that_only_closes_its_side_gets_its_answers() {
    let (_node, port) = console();
    let mut client = Client::new(port);
    client.say("getenv thread\ngetenv harbor");
    client.stream.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(client.rest(), "thread\t2\n<CMD OK>\nharbor\t0\n<CMD OK>\n");
}

#[test]
fn a_flood_of_commands_is_answered_in_order() {
    let (node, port) = console();
    let client = Client::new(port);
    let count = 20_000;
    std::thread::scope(|scope| {
        let mut writer = client.stream.try_clone().expect("it is copied");
        scope.spawn(move || {
            for n in 0..count {
                writer.write_all(format!("getenv key{n}\n").as_bytes()).expect("it is open");
            }
        });
        let mut reader =
            Client { stream: client.stream.try_clone().expect("it is copied"), lines: client.lines };
        // The first ones are left unread until other clients have been served.
        assert!(Client::new(port).run("list").ok);
        assert_eq!(node.lua("return 1"), ["1"]);
        for n in 0..count {
            assert_eq!(reader.shown().one(), format!("key{n}\tnil"));
        }
    });
}

#[test]
fn a_client_that_takes_nothing_is_let_go() {
    let node = support::start(support::config(), Some(skynet_rs::ManualClock::new()));
    let (node, port) = console_of(node);
    let client = Client::new(port);
    let mut writer = client.stream.try_clone().expect("it is copied");
    writer.set_write_timeout(Some(Duration::from_millis(20))).expect("it is set");
    // It asks, and never reads what it gets.
    let lines = "help\n".repeat(1000);
    let buffered = || {
        let most = node.lua1(
            "local most = 0
            for _, info in ipairs(require 'skynet.socket'.netstat()) do most = math.max(most, info.wbuffer or 0) end
            return most",
        );
        most.parse::<u32>().expect("a number")
    };
    // The system takes some megabytes for the client, and more while it finds out how many.
    let deadline = Instant::now() + 3 * DEADLINE;
    let mut most = 0;
    while !node.log.has("does not take what it asked for") {
        assert!(Instant::now() < deadline, "{:#?}", node.log.lines());
        if writer.write_all(lines.as_bytes()).is_err() {
            node.advance(Duration::from_secs(1));
            assert!(Client::new(port).run("getenv thread").ok);
            most = most.max(buffered());
        }
    }
    assert!((1..4 << 20).contains(&most), "{most} bytes waited");
    node.log.wait_for("disconnect");
}

#[test]
fn there_is_a_limit_of_clients() {
    let (node, port) = console();
    let clients: Vec<Client> = (0..64).map(|_| Client::new(port)).collect();
    assert_eq!(Client::connect(port).rest(), "Too many connections\n");
    drop(clients);
    node.log.wait_for_count("disconnect", 64);
    assert!(Client::new(port).run("getenv thread").ok);
}

#[test]
fn a_service_that_hangs_costs_a_command_its_time_and_no_more() {
    let (node, port) = console_of(support::node_with_manual_clock());
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    client.say(format!("call {peer} 'hold'\n"));
    node.wait_until("it is asked", || node.lua_in(peer, "return skynet.task()") != ["0"]);
    node.advance(Duration::from_secs(29));
    // Meanwhile the others are served.
    assert!(Client::new(port).run("getenv thread").ok);
    node.advance(Duration::from_secs(2));
    let shown = client.shown();
    assert!(!shown.ok && shown.has("no answer within 30 seconds"), "{shown:?}");
    // Its late answer disturbs nobody.
    node.lua(&format!("skynet.call({}, 'lua', 'release')", peer.as_u32()));
    assert!(client.run(&format!("ping {peer}")).ok);
    assert!(!node.log.has("Unknown session"), "{:#?}", node.log.lines());
}

#[test]
fn the_time_of_a_command_can_be_set() {
    let config = support::config().set("debug_console_timeout", "50");
    let (_node, port) = console_of(support::start(config, None));
    let shown = Client::new(port).run("start starter hang");
    assert!(!shown.ok && shown.has("no answer within 0.5 seconds"), "{shown:?}");
}

#[test]
fn commands_for_the_dead_fail() {
    let (node, port) = console();
    let dead = node.launch_eval();
    node.runtime.kill(dead);
    node.wait_gone(dead);
    let mut client = Client::new(port);
    for command in
        ["ping", "info", "task", "uniqtask", "dbgcmd {} MEM", "trace", "killtask {} x", "call {} 'echo'"]
    {
        let line = if command.contains("{}") {
            command.replace("{}", &dead.to_string())
        } else {
            format!("{command} {dead}")
        };
        let shown = client.run(&line);
        assert!(!shown.ok && shown.has("call to invalid address"), "{line}: {shown:?}");
    }
    for command in ["exit", "logon", "logoff", "signal"] {
        assert!(client.run(&format!("{command} {dead}")).ok, "{command}");
    }
    // One that dies while it is asked.
    let peer = node.launch_eval();
    client.say(format!("call {peer} 'hold'\n"));
    node.wait_until("it is asked", || node.lua_in(peer, "return skynet.task()") != ["0"]);
    node.runtime.kill(peer);
    let shown = client.shown();
    assert!(!shown.ok && shown.has("call failed"), "{shown:?}");
}
