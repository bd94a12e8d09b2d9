//! `skynet.socketchannel`, against servers of the test's own.

#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use support::{DEADLINE, TestNode};

/// A server whose connections the test serves itself, one by one.
struct Server {
    listener: TcpListener,
}

/// One connection of it.
struct Peer {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Server {
    fn new() -> Server {
        Server { listener: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().expect("it has one").port()
    }

    fn accept(&self) -> Peer {
        self.listener.set_nonblocking(true).expect("it is set");
        let mut found = None;
        let deadline = std::time::Instant::now() + DEADLINE;
        while found.is_none() {
            assert!(std::time::Instant::now() < deadline, "nobody connects");
            found = self.listener.accept().ok();
            std::thread::yield_now();
        }
        let (stream, _) = found.expect("it is there");
        stream.set_nonblocking(false).expect("it is set");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is set");
        let lines = BufReader::new(stream.try_clone().expect("it is copied"));
        Peer { stream, lines }
    }
}

impl Peer {
    /// The next line; empty: the other side has ended.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("a line comes");
        line.trim_end().to_owned()
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).expect("it is open");
    }
}

/// Starts a snippet; `result` waits for what it returned: "true" and its values, or "false" and the error.
struct Job<'a> {
    node: &'a TestNode,
    n: usize,
}

impl Job<'_> {
    fn result(&self) -> Vec<String> {
        self.node.log.wait_for(&format!("result {} is there", self.n));
        self.node.lua(&format!("return table.unpack(results[{n}], 1, results[{n}].n)", n = self.n))
    }

    fn is_done(&self) -> bool {
        self.node.log.has(&format!("result {} is there", self.n))
    }
}

fn start<'a>(node: &'a TestNode, n: usize, code: &str) -> Job<'a> {
    node.lua(&format!(
        "results = results or {{}}
        skynet.fork(function()
            results[{n}] = table.pack(pcall(function() {code} end))
            skynet.error('result {n} is there')
        end)"
    ));
    Job { node, n }
}

/// A channel `ch` in order mode, whose requests are answered by lines: `ask(text)`.
fn in_order(node: &TestNode, port: u16, more: &str) {
    node.lua(&format!(
        "socketchannel = require 'skynet.socketchannel'
        ch = socketchannel.channel {{ host = '127.0.0.1', port = {port}, {more} }}
        function read_line(sock) return true, sock:readline() end
        function ask(text) return ch:request(text .. '\\n', read_line) end"
    ));
}

/// The same in session mode: a request is `<session> <text>`, an answer `<session> ok|no|part <text>`.
fn by_session(node: &TestNode, port: u16, more: &str) {
    node.lua(&format!(
        "socketchannel = require 'skynet.socketchannel'
        ch = socketchannel.channel {{
            host = '127.0.0.1', port = {port},
            response = function(sock)
                local session, state, text = sock:readline():match '^(%d+) (%a+) (.*)$'
                assert(session, 'a line makes no sense')
                return tonumber(session), state ~= 'no', text, state == 'part'
            end,
            {more}
        }}
        function ask(session, text) return ch:request(('%d %s\\n'):format(session, text), session) end"
    ));
}

fn text(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

// -- order mode

#[test]
fn answers_come_in_the_order_of_the_requests() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    let jobs: Vec<Job<'_>> = (0..5).map(|n| start(&node, n, &format!("return ask 'question {n}'"))).collect();
    let mut peer = server.accept();
    for n in 0..5 {
        assert_eq!(peer.line(), format!("question {n}"));
    }
    for (n, job) in jobs.iter().enumerate() {
        peer.say(&format!("answer {n}\n"));
        assert_eq!(job.result(), text(&["true", &format!("answer {n}")]));
    }
}

#[test]
fn a_request_without_a_response_does_not_wait() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    assert!(node.lua("return ch:request 'tell\\n'").is_empty());
    let mut peer = server.accept();
    assert_eq!(peer.line(), "tell");
    let job = start(&node, 0, "return ch:response(read_line)");
    peer.say("out of the blue\n");
    assert_eq!(job.result(), text(&["true", "out of the blue"]));
}

#[test]
fn an_answer_of_several_parts_is_a_list() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    let job = start(
        &node,
        0,
        "return ch:request('x\\n', function(sock)
            local line = sock:readline()
            return true, line, line ~= 'end'
        end)",
    );
    let next = start(&node, 1, "return ask 'y'");
    let mut peer = server.accept();
    peer.say("one\ntwo\nend\nafter\n");
    assert_eq!(job.result(), text(&["true", "{1=one,2=two,3=end}"]));
    assert_eq!(next.result(), text(&["true", "after"]));
}

#[test]
fn a_result_that_is_not_ok_is_raised() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    let job = start(
        &node,
        0,
        "return ch:request('x\\n', function(sock) return false, 'WRONGTYPE ' .. sock:readline() end)",
    );
    let other = start(
        &node,
        1,
        "local ok, problem = pcall(ch.request, ch, 'x\\n', function(sock) sock:readline() return false, { code = 5 } end)
        return problem.code",
    );
    let mut peer = server.accept();
    peer.say("indeed\n\n");
    let answer = job.result();
    assert!(
        answer[1].contains("socketchannel.lua:") && answer[1].ends_with(": WRONGTYPE indeed"),
        "{answer:?}"
    );
    assert_eq!(other.result(), text(&["true", "5"]));
    // The connection is as good as before.
    let job = start(&node, 2, "return ask 'more'");
    peer.say("yes\n");
    assert_eq!(job.result(), text(&["true", "yes"]));
}

#[test]
fn a_reader_that_fails_ends_the_connection_and_all_that_wait() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    let jobs = [
        start(
            &node,
            0,
            "return ch:request('x\\n', function(sock) sock:readline() error 'cannot parse this' end)",
        ),
        start(&node, 1, "return ask 'y'"),
    ];
    let mut peer = server.accept();
    assert_eq!((peer.line(), peer.line()), ("x".into(), "y".into()));
    peer.say("junk\n");
    for job in jobs {
        let answer = job.result();
        assert_eq!(answer[0], "false");
        assert!(answer[1].contains("cannot parse this"), "{answer:?}");
    }
    assert_eq!(peer.line(), "");
    let job = start(&node, 2, "return ask 'again'");
    let mut peer = server.accept();
    assert_eq!(peer.line(), "again");
    peer.say("fine\n");
    assert_eq!(job.result(), text(&["true", "fine"]));
}

#[test]
fn a_peer_that_goes_while_nothing_is_due_is_noticed_at_once() {
    let node = support::node();
    let server = Server::new();
    let port = server.port();
    in_order(&node, port, "");
    let job = start(&node, 0, "return ask 'x'");
    let mut peer = server.accept();
    peer.say("y\n");
    assert_eq!(job.result(), text(&["true", "y"]));
    drop(peer);
    node.log.wait_for(&format!("socket closed by peer :  127.0.0.1 {port}"));
    let job = start(&node, 1, "return ask 'x'");
    server.accept().say("z\n");
    assert_eq!(job.result(), text(&["true", "z"]));
}

#[test]
fn a_break_fails_what_waits_with_the_error_object() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    let jobs: Vec<Job<'_>> = (0..3)
        .map(|n| {
            start(
                &node,
                n,
                "local ok, problem = pcall(ask, 'x')
                return ok, problem == socketchannel.error, tostring(problem), type(problem)",
            )
        })
        .collect();
    let mut peer = server.accept();
    peer.line();
    peer.say("half an ans");
    drop(peer);
    for job in jobs {
        assert_eq!(job.result(), text(&["true", "false", "true", "[Error: socket]", "table"]));
    }
}

// -- session mode

#[test]
fn answers_by_session_come_in_any_order() {
    let node = support::node();
    let server = Server::new();
    by_session(&node, server.port(), "");
    let jobs: Vec<Job<'_>> = (1..=4).map(|n| start(&node, n, &format!("return ask({n}, 'q')"))).collect();
    let mut peer = server.accept();
    for n in 1..=4 {
        assert_eq!(peer.line(), format!("{n} q"));
    }
    peer.say("4 ok four\n2 no two\n77 ok nobody\n1 part a\n3 part x\n1 part b\n3 ok y\n1 ok c\n");
    assert_eq!(jobs[3].result(), text(&["true", "four"]));
    assert!(jobs[1].result()[1].ends_with(": two"));
    assert_eq!(jobs[0].result(), text(&["true", "{1=a,2=b,3=c}"]));
    assert_eq!(jobs[2].result(), text(&["true", "{1=x,2=y}"]));
    node.log.wait_for("socket: unknown session : 77");
}

#[test]
fn one_session_waits_once() {
    let node = support::node();
    let server = Server::new();
    by_session(&node, server.port(), "");
    let first = start(&node, 0, "return ask(1, 'x')");
    let mut peer = server.accept();
    peer.line();
    let second = start(&node, 1, "return ask(1, 'y')").result();
    assert!(second[1].contains("session 1 waits for an answer already"), "{second:?}");
    peer.say("1 ok fine\n");
    assert_eq!(first.result(), text(&["true", "fine"]));
}

#[test]
fn a_line_that_makes_no_sense_fails_every_session() {
    let node = support::node();
    let server = Server::new();
    by_session(&node, server.port(), "");
    let jobs: Vec<Job<'_>> = (1..=2).map(|n| start(&node, n, &format!("return ask({n}, 'q')"))).collect();
    let mut peer = server.accept();
    peer.line();
    peer.line();
    peer.say("nonsense\n");
    for job in jobs {
        let answer = job.result();
        assert!(answer[0] == "false" && answer[1].contains("a line makes no sense"), "{answer:?}");
    }
    let job = start(&node, 9, "return ask(9, 'q')");
    server.accept().say("9 ok again\n");
    assert_eq!(job.result(), text(&["true", "again"]));
}

#[test]
fn a_peer_that_goes_between_two_sessions_is_connected_again() {
    let node = support::node();
    let server = Server::new();
    by_session(&node, server.port(), "");
    for n in 1..=3 {
        let job = start(&node, n, &format!("return ask({n}, 'q')"));
        let mut peer = server.accept();
        assert_eq!(peer.line(), format!("{n} q"));
        peer.say(&format!("{n} ok yes\n"));
        assert_eq!(job.result(), text(&["true", "yes"]));
        drop(peer);
        node.wait_until("the end is noticed", || {
            node.lua1("return #require 'skynet.socket'.netstat()") == "0"
        });
    }
}

// -- connecting

/// A port that nobody listens on.
fn closed_port() -> u16 {
    Server::new().port()
}

#[test]
fn a_request_that_cannot_connect_fails_once() {
    let node = support::node();
    let port = closed_port();
    in_order(&node, port, "");
    let answer = node.lua("local ok, problem = pcall(ask, 'x') return ok, problem == socketchannel.error");
    assert_eq!(answer, ["false", "true"]);
    node.log.wait_for(&format!("Connect failed Connection refused 127.0.0.1 {port}"));
    let answer =
        node.lua("local ok, problem = pcall(ch.connect, ch, true) return ok, problem == socketchannel.error");
    assert_eq!(answer, ["false", "true"]);
}

#[test]
fn connect_tries_again_with_growing_pauses_until_it_works() {
    let node = support::node_with_manual_clock();
    let port = closed_port();
    in_order(&node, port, "");
    let job = start(&node, 0, "local from = skynet.now() ch:connect() return skynet.now() - from");
    // 0 + 1 + 2 seconds, and the next attempt after three more.
    for n in 1..=4 {
        let deadline = std::time::Instant::now() + DEADLINE;
        while node.log.count("socket: connect Connection refused") < n {
            assert!(std::time::Instant::now() < deadline, "{:#?}", node.log.lines());
            node.advance(Duration::from_millis(10));
            std::thread::park_timeout(Duration::from_micros(200));
        }
    }
    assert!(!job.is_done());
    let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) else { return };
    let server = Server { listener };
    let deadline = std::time::Instant::now() + DEADLINE;
    while !job.is_done() {
        assert!(std::time::Instant::now() < deadline, "{:#?}", node.log.lines());
        node.advance(Duration::from_millis(10));
        std::thread::park_timeout(Duration::from_micros(200));
    }
    let time: u32 = job.result()[1].parse().expect("a time");
    assert!((600..1100).contains(&time), "{time}");
    node.log.wait_for(&format!("socket: connect to 127.0.0.1 {port}"));
    server.accept();
}

#[test]
fn long_pauses_are_announced() {
    let node = support::node_with_manual_clock();
    let port = closed_port();
    in_order(&node, port, "");
    let job = start(&node, 0, "ch:connect()");
    let deadline = std::time::Instant::now() + DEADLINE;
    while !node.log.has(&format!("socket: try to reconnect 127.0.0.1 {port}")) {
        assert!(std::time::Instant::now() < deadline, "{:#?}", node.log.lines());
        node.advance(Duration::from_millis(100));
        std::thread::park_timeout(Duration::from_micros(200));
    }
    assert_eq!(node.log.wait_for_count("socket: connect Connection refused", 12).len(), 12);
    node.lua("ch:close()");
    assert_eq!(job.result()[0], "false");
}

#[test]
fn those_that_ask_while_it_connects_share_the_connection() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    let jobs: Vec<Job<'_>> = (0..20).map(|n| start(&node, n, &format!("return ask '{n}'"))).collect();
    let mut peer = server.accept();
    for _ in 0..20 {
        let line = peer.line();
        peer.say(&format!("re {line}\n"));
    }
    for (n, job) in jobs.iter().enumerate() {
        assert_eq!(job.result(), text(&["true", &format!("re {n}")]));
    }
    server.listener.set_nonblocking(true).expect("it is set");
    assert!(server.listener.accept().is_err(), "there is one connection");
}

#[test]
fn authentication_comes_first() {
    let node = support::node();
    let server = Server::new();
    in_order(
        &node,
        server.port(),
        "auth = function(ch)
            local answer = ch:request('AUTH me\\n', read_line)
            assert(answer == 'OK', 'refused: ' .. answer)
            ch:request('SELECT 1\\n', read_line)
        end",
    );
    let jobs = [start(&node, 0, "return ask 'a'"), start(&node, 1, "return ask 'b'")];
    let mut peer = server.accept();
    assert_eq!(peer.line(), "AUTH me");
    peer.say("OK\n");
    assert_eq!(peer.line(), "SELECT 1");
    peer.say("OK\n");
    assert_eq!((peer.line(), peer.line()), ("a".into(), "b".into()));
    peer.say("1\n2\n");
    assert_eq!(jobs[0].result(), text(&["true", "1"]));
    assert_eq!(jobs[1].result(), text(&["true", "2"]));
}

#[test]
fn a_failed_authentication_goes_on_to_the_backups_and_then_fails() {
    let node = support::node();
    let (server, backup) = (Server::new(), Server::new());
    let (port, backup_port) = (server.port(), backup.port());
    in_order(
        &node,
        port,
        &format!(
            "backup = {{ {{ host = '127.0.0.1', port = {backup_port} }} }},
            auth = function(ch)
                local answer = ch:request('AUTH\\n', read_line)
                if answer ~= 'OK' then error('refused: ' .. answer, 0) end
            end"
        ),
    );
    let job = start(&node, 0, "return ask 'x'");
    let mut peer = server.accept();
    peer.line();
    peer.say("wrong password\n");
    let mut second = backup.accept();
    node.log.wait_for("socket: auth failed refused: wrong password");
    node.log.wait_for(&format!("socket: connect to backup host 127.0.0.1 {backup_port}"));
    assert_eq!(peer.line(), "");
    second.line();
    second.say("OK\n");
    assert_eq!(second.line(), "x");
    second.say("from the backup\n");
    assert_eq!(job.result(), text(&["true", "from the backup"]));
    drop(second);
    node.log.wait_for("socket closed by peer");
    let job = start(&node, 1, "return pcall(ask, 'x')");
    for server in [&server, &backup] {
        server.accept().say("no\n");
    }
    assert_eq!(job.result(), text(&["true", "false", "[Error: socket]"]));
    node.log.wait_for(&format!("Connect failed no more backup host 127.0.0.1 {port}"));
}

#[test]
fn a_peer_that_goes_during_the_authentication_fails_it() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "auth = function(ch) ch:request('AUTH\\n', read_line) end");
    let job = start(&node, 0, "return ask 'x'");
    let mut peer = server.accept();
    peer.line();
    drop(peer);
    assert_eq!(job.result(), text(&["false", "[Error: socket]"]));
    node.log.wait_for("socket: auth failed [Error: socket]");
}

#[test]
fn backups_are_tried_when_the_host_does_not_answer() {
    let node = support::node();
    let server = Server::new();
    let (dead, port) = (closed_port(), server.port());
    in_order(&node, dead, "");
    node.lua(&format!("ch:changebackup {{ {{ host = '127.0.0.1', port = {dead} }}, {{ host = '127.0.0.1', port = {port} }} }}"));
    let job = start(&node, 0, "return ask 'x'");
    server.accept().say("y\n");
    assert_eq!(job.result(), text(&["true", "y"]));
    node.log.wait_for(&format!("socket: connect to backup host 127.0.0.1 {port}"));
}

#[test]
fn a_channel_may_change_its_host() {
    let node = support::node();
    let (first, second) = (Server::new(), Server::new());
    in_order(&node, first.port(), "");
    let waiting = start(&node, 0, "return ask 'never answered'");
    let mut peer = first.accept();
    peer.line();
    node.lua(&format!("ch:changehost('127.0.0.1', {})", second.port()));
    assert_eq!(waiting.result(), text(&["false", "[Error: socket]"]));
    assert_eq!(peer.line(), "");
    let job = start(&node, 1, "return ask 'x'");
    second.accept().say("from the second\n");
    assert_eq!(job.result(), text(&["true", "from the second"]));
}

#[test]
fn an_authentication_may_change_the_host_but_not_for_ever() {
    let node = support::node();
    let (first, second) = (Server::new(), Server::new());
    let (one, two) = (first.port(), second.port());
    in_order(
        &node,
        one,
        &format!(
            "auth = function(ch)
                if ch:request('PRIMARY?\\n', read_line) == 'no' then ch:changehost('127.0.0.1', {two}) end
            end"
        ),
    );
    let job = start(&node, 0, "return ask 'x'");
    let mut peer = first.accept();
    peer.line();
    peer.say("no\n");
    let mut peer = second.accept();
    assert_eq!(peer.line(), "PRIMARY?");
    peer.say("yes\n");
    assert_eq!(peer.line(), "x");
    peer.say("y\n");
    assert_eq!(job.result(), text(&["true", "y"]));
    // One that is never content.
    node.lua(&format!(
        "restless = socketchannel.channel {{ host = '127.0.0.1', port = {one},
            auth = function(ch) ch:changehost('127.0.0.1', {one}) end }}"
    ));
    let job = start(&node, 1, "return pcall(restless.connect, restless, true)");
    assert_eq!(job.result(), text(&["true", "false", "[Error: socket]"]));
    node.log.wait_for("auth has changed the host 16 times");
}

// -- closing

#[test]
fn closing_fails_what_waits_by_name() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    let jobs: Vec<Job<'_>> = (0..2).map(|n| start(&node, n, "return ask 'x'")).collect();
    let mut peer = server.accept();
    peer.line();
    peer.line();
    node.lua("ch:close() ch:close()");
    for job in jobs {
        let answer = job.result();
        assert!(answer[0] == "false" && answer[1].contains("channel_closed"), "{answer:?}");
    }
    assert_eq!(peer.line(), "");
    let answer = node.lua("return pcall(ask, 'x')");
    assert!(answer[1].contains("channel_closed"), "{answer:?}");
    // It may be opened again.
    let job = start(&node, 5, "ch:connect(true) return ask 'x'");
    server.accept().say("y\n");
    assert_eq!(job.result(), text(&["true", "y"]));
}

#[test]
fn closing_ends_an_attempt_to_connect() {
    let node = support::node();
    in_order(&node, closed_port(), "");
    let job = start(&node, 0, "ch:connect()");
    node.log.wait_for_count("socket: connect Connection refused", 2);
    node.lua("ch:close()");
    let answer = job.result();
    assert!(answer[1].contains("channel_closed"), "{answer:?}");
}

#[test]
fn the_death_of_the_one_that_connects_does_not_hold_up_the_others() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "auth = function(ch) ch:request('AUTH\\n', read_line) end");
    node.lua("first = skynet.fork(ask, 'first')");
    let mut peer = server.accept();
    peer.line();
    let second = start(&node, 0, "return pcall(ask, 'second')");
    node.lua("skynet.killthread(first)");
    assert_eq!(peer.line(), "");
    assert_eq!(second.result()[1], "false");
    let third = start(&node, 1, "return ask 'third'");
    let mut peer = server.accept();
    assert_eq!(peer.line(), "AUTH");
    peer.say("\n");
    assert_eq!(peer.line(), "third");
    peer.say("fine\n");
    assert_eq!(third.result(), text(&["true", "fine"]));
}

// -- much to send

#[test]
fn overload_is_told_when_it_begins_and_when_it_is_over() {
    let node = support::node();
    let server = Server::new();
    in_order(
        &node,
        server.port(),
        "nodelay = true, overload = function(is) skynet.error('overload:', is) end",
    );
    node.lua("ch:connect(true)");
    let mut peer = server.accept();
    let megabyte = 1 << 20;
    node.lua(&format!("for _ = 1, 16 do ch:request(('x'):rep({megabyte})) end"));
    node.log.wait_for("overload: true");
    assert!(!node.log.has("overload: false"));
    let mut left = 16 * megabyte;
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        left -= peer.stream.read(&mut buffer).expect("it comes");
    }
    node.log.wait_for("overload: false");
    assert_eq!(node.log.wait_for_count("overload: true", 1).len(), 1);
}

#[test]
fn the_end_of_an_overloaded_connection_ends_the_overload() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "overload = function(is) skynet.error('overload:', is) end");
    node.lua("ch:connect(true)");
    let _peer = server.accept();
    node.lua(&format!("for _ = 1, 16 do ch:request(('x'):rep({})) end", 1 << 20));
    node.log.wait_for("overload: true");
    node.lua("ch:close()");
    node.log.wait_for("overload: false");
}

#[test]
fn parts_of_a_request_stay_together() {
    let node = support::node();
    let server = Server::new();
    in_order(&node, server.port(), "");
    let job = start(
        &node,
        0,
        "for i = 1, 50 do
            skynet.fork(function() ch:request('s' .. i .. '\\n') end)
        end
        return ch:request('head\\n', read_line, { 'part 1\\n', ('p'):rep(300000) .. '\\n', 'part 3\\n' })",
    );
    let mut peer = server.accept();
    let lines: Vec<String> = (0..54).map(|_| peer.line()).collect();
    let at = lines.iter().position(|line| line == "head").expect("it is sent");
    assert_eq!(lines[at + 1], "part 1");
    assert_eq!(lines[at + 2].len(), 300_000);
    assert_eq!(lines[at + 3], "part 3");
    peer.say("done\n");
    assert_eq!(job.result(), text(&["true", "done"]));
}

#[test]
fn the_reading_functions_may_be_others() {
    let node = support::node();
    let server = Server::new();
    in_order(
        &node,
        server.port(),
        "socket_readline = function(id, sep)
            local line = require 'skynet.socket'.readline(id, sep)
            return line and line:upper()
        end",
    );
    let job = start(&node, 0, "return ask 'x'");
    server.accept().say("loud\n");
    assert_eq!(job.result(), text(&["true", "LOUD"]));
}

#[test]
fn a_description_without_a_host_is_refused() {
    let node = support::node();
    node.check(
        "local channel = require 'skynet.socketchannel'.channel
        raises('must be a table with a host', channel)
        raises('must be a table with a host', channel, {})
        raises('must be a table with a host', channel, { host = 5 })",
    );
}
