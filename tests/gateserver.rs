//! `snax.gateserver`: gates made of a handler, `tests/lua/gate/recorder.lua`.

mod support;

use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use support::TestNode;
use support::client::{Client, framed};

/// A node with an open recorder; `conf` is added to what the gate is opened with.
struct Gate {
    node: TestNode,
    port: u16,
}

impl Gate {
    fn open(conf: &str) -> Gate {
        Gate::open_with("", conf)
    }

    fn open_with(words: &str, conf: &str) -> Gate {
        let node = support::node();
        let port = node.lua1(&format!(
            "gate = skynet.newservice('gate/recorder'{})
            return skynet.call(gate, 'lua', 'open', {{ address = '127.0.0.1', port = 0, {conf} }})",
            words
        ));
        let port = port.parse().unwrap_or_else(|_| panic!("no port but {port}"));
        Gate { node, port }
    }

    fn connect(&self) -> Client {
        Client::connect(self.port)
    }

    fn event(&self, text: &str) -> String {
        self.node.log.wait_for(&format!("event: {text}"))
    }

    /// The events so far, without the clients' addresses and who logged them.
    fn events(&self) -> Vec<String> {
        let lines = self.node.log.lines();
        let events = lines.iter().filter_map(|line| line.split("event: ").nth(1));
        events.filter(|event| !event.starts_with("connect")).map(str::to_owned).collect()
    }

    fn call(&self, words: &str) -> String {
        self.node.lua1(&format!("return skynet.call(gate, 'lua', {words})"))
    }
}

#[test]
fn a_gate_opens_on_any_port_and_answers_with_what_its_handler_says() {
    let node = support::node();
    let answer = node.lua(
        "gate = skynet.newservice 'gate/recorder'
        return skynet.call(gate, 'lua', 'open', { address = '127.0.0.1', port = 0, tag = 'mine' })",
    );
    assert_ne!(answer[0], "0");
    assert_eq!(answer[1], "mine");
    node.log.wait_for("Listen on 127.0.0.1:0");
    let me = node.lua1("return skynet.address(skynet.self())");
    node.log.wait_for(&format!("event: opened {me} 127.0.0.1"));
    node.check(&format!(
        "raises('call failed', skynet.call, gate, 'lua', 'open', {{ port = 0 }})
        raises('call failed', skynet.call, skynet.newservice 'gate/recorder', 'lua', 'open', {{ port = {} }})",
        answer[0]
    ));
    node.log.wait_for("the gate is open already");
    node.log.wait_for("Listen error");
}

#[test]
fn packages_come_in_order_wherever_the_pieces_end() {
    let gate = Gate::open("nodelay = true");
    let mut client = gate.connect();
    gate.event(&format!("connect 1 {}", client.address()));
    let bytes = framed(["one", "two", "", "three"]);
    for byte in &bytes {
        client.write([*byte]);
    }
    gate.event("message 1 three");
    client.write(framed(["four", "five"]));
    gate.event("message 1 five");
    let wanted = ["one", "two", "", "three", "four", "five"].map(|text| format!("message 1 {text}"));
    assert_eq!(gate.events()[1..], wanted);
    client.send(vec![b'x'; 0xffff]);
    gate.event("message 1 of 65535 bytes");
    client.send("echo back");
    assert_eq!(client.receive(), b"back");
}

#[test]
fn nothing_is_read_before_a_client_is_opened() {
    let gate = Gate::open_with(", 'plain', 'held'", "");
    let mut client = gate.connect();
    client.send("early");
    gate.event("connect 1");
    // A client that is opened at once is heard, so the other would have been.
    let mut other = gate.connect();
    other.send("other");
    gate.event("connect 2");
    gate.call("'openclient', 2");
    gate.event("message 2 other");
    assert!(!gate.node.log.has("early"));
    gate.call("'openclient', 1");
    gate.event("message 1 early");
    // Ids that the gate does not know are nothing to it.
    gate.call("'openclient', 99999");
    gate.call("'closeclient', 99999");
}

#[test]
fn a_handler_that_waits_holds_nothing_up() {
    let gate = Gate::open("");
    let mut client = gate.connect();
    client.write(framed(["sleep", "a", "b"]));
    gate.event("message 1 b");
    client.send("c");
    gate.event("message 1 c");
    gate.call("'release'");
    gate.event("slept 1");
    let wanted = ["message 1 sleep", "message 1 a", "message 1 b", "message 1 c", "slept 1"];
    assert_eq!(gate.events()[1..], wanted);
}

#[test]
fn a_handler_that_fails_loses_its_own_package_only() {
    let gate = Gate::open("");
    let mut client = gate.connect();
    client.write(framed(["fail", "a", "fail", "b"]));
    gate.event("message 1 b");
    assert_eq!(gate.node.log.wait_for_count("the handler fails as asked", 2).len(), 2);
    client.send("fail");
    client.send("c");
    gate.event("message 1 c");
}

#[test]
fn what_comes_for_a_closed_connection_is_dropped_with_a_line() {
    let gate = Gate::open("");
    let mut client = gate.connect();
    client.write(framed(["kick", "late", ""]));
    assert_eq!(client.read_to_end(), b"");
    gate.event("disconnect 1");
    let lines = gate.node.log.wait_for_count("Drop message from fd (", 2);
    assert!(lines[0].ends_with(") : late") && lines[1].ends_with(") : "), "{lines:?}");
    assert_eq!(gate.events()[1..], ["message 1 kick", "disconnect 1"]);
}

#[test]
fn a_disconnect_is_told_once() {
    let gate = Gate::open("");
    let mut client = gate.connect();
    client.send("x");
    gate.event("message 1 x");
    drop(client);
    gate.event("disconnect 1");
    // Whatever would follow has come before an answer to a call.
    gate.call("'closeclient', 1");
    gate.call("'echo'");
    assert_eq!(gate.node.log.wait_for_count("event: disconnect", 1).len(), 1);
}

#[test]
fn a_reset_in_the_middle_of_a_package_ends_that_connection_only() {
    let gate = Gate::open("maxclient = 3");
    let mut other = gate.connect();
    gate.event("connect 1");
    for number in 2..22 {
        let mut client = gate.connect();
        client.write(b"\0\x0ahalf");
        gate.event(&format!("connect {number}"));
        client.reset();
        // As an error or as the end, as the system tells it; either way there is room for the next.
        gate.node.wait_until("it is told", || {
            gate.node.log.has(&format!("event: error {number} "))
                || gate.node.log.has(&format!("event: disconnect {number}"))
        });
    }
    other.send("echo alive");
    assert_eq!(other.receive(), b"alive");
    // They are not counted any more.
    gate.connect().send("x");
    gate.event("message 22 x");
}

#[test]
fn clients_beyond_the_limit_are_closed_and_there_is_room_again_when_one_leaves() {
    let gate = Gate::open("maxclient = 3");
    let (mut one, two) = (gate.connect(), gate.connect());
    gate.event("connect 2");
    for _ in 0..3 {
        assert_eq!(gate.connect().read_to_end(), b"");
    }
    assert!(!gate.node.log.has("event: connect 3"));
    drop(two);
    gate.event("disconnect 2");
    let mut next = gate.connect();
    next.send("echo next");
    assert_eq!(next.receive(), b"next");
    one.send("echo one");
    assert_eq!(one.receive(), b"one");
}

#[test]
fn two_thousand_connections_that_come_and_go_at_once_leave_nothing() {
    let gate = Gate::open("maxclient = 100, backlog = 1000");
    for _ in 0..2000 {
        drop(TcpStream::connect(("127.0.0.1", gate.port)).expect("somebody listens"));
    }
    let open = |gate: &Gate| gate.node.lua1("return #require 'skynet.socketdriver'.info()");
    gate.node.wait_until("all are gone", || open(&gate) == "1");
    let log = &gate.node.log;
    gate.node.wait_until("each disconnect is told", || {
        log.count("event: connect") <= log.count("event: disconnect") + log.count("event: error")
    });
    let mut client = gate.connect();
    client.send("echo well");
    assert_eq!(client.receive(), b"well");
}

#[test]
fn junk_closes_nobody_else() {
    let gate = Gate::open("");
    let mut good = gate.connect();
    good.send("echo 1");
    assert_eq!(good.receive(), b"1");
    let mut junk = gate.connect();
    // Whatever the bytes are, they are a length and so much of a package.
    junk.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    junk.write([0xff; 100_000]);
    gate.event("message 2 of 65535 bytes");
    drop(junk);
    gate.node.wait_until("it is told", || {
        gate.node.log.has("event: disconnect 2") || gate.node.log.has("event: error 2")
    });
    good.send("echo 2");
    assert_eq!(good.receive(), b"2");
}

#[test]
fn a_slow_reader_is_warned_of() {
    let gate = Gate::open("");
    let mut client = gate.connect();
    client.send("much 16384");
    gate.event("warning 1");
    assert_eq!(client.read(16 << 20), vec![b'x'; 16 << 20]);
    gate.event("warning 1 0");
}

#[test]
fn a_gate_that_is_closed_takes_no_more_and_keeps_whom_it_has() {
    let gate = Gate::open("");
    let mut client = gate.connect();
    client.send("echo 1");
    assert_eq!(client.receive(), b"1");
    assert_eq!(gate.call("'close'"), "nothing");
    gate.node.wait_until("nobody listens", || TcpStream::connect(("127.0.0.1", gate.port)).is_err());
    client.send("echo 2");
    assert_eq!(client.receive(), b"2");
    // It may be opened again.
    let port = gate.call("'open', { address = '127.0.0.1', port = 0 }").parse().expect("a port");
    let mut next = Client::connect(port);
    next.send("echo 3");
    assert_eq!(next.receive(), b"3");
}

#[test]
fn other_commands_are_the_handlers_and_are_answered() {
    let gate = Gate::open("");
    assert_eq!(gate.node.lua("return skynet.call(gate, 'lua', 'echo', 1, nil, 'x')"), ["1", "nil", "x"]);
    gate.node.check("raises('call failed', skynet.call, gate, 'lua', 'unheard of')");
}

#[test]
fn a_client_that_has_ended_its_side_still_hears_the_handler() {
    let gate = Gate::open_with(", 'plain', 'plain', 'halfopen'", "");
    let mut client = gate.connect();
    client.write(framed(["sleep", "echo first"]));
    client.stream.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(client.receive(), b"first");
    gate.event("disconnect 1");
    gate.call("'send', 1, 'later'");
    assert_eq!(client.receive(), b"later");
    gate.call("'closeclient', 1");
    assert_eq!(client.read_to_end(), b"");
    assert_eq!(gate.node.log.wait_for_count("event: disconnect", 1).len(), 1);
}

#[test]
fn a_half_closed_client_that_the_handler_forgets_is_closed_in_the_end() {
    let node = support::node_with_manual_clock();
    let port = node.lua1(
        "gate = skynet.newservice('gate/recorder', 'plain', 'plain', 'halfopen')
        return skynet.call(gate, 'lua', 'open', { address = '127.0.0.1', port = 0 })",
    );
    let mut client = Client::connect(port.parse().expect("a port"));
    client.stream.shutdown(Shutdown::Write).expect("it is open");
    node.log.wait_for("event: disconnect 1");
    node.advance(Duration::from_secs(59));
    node.lua("skynet.call(gate, 'lua', 'send', 1, 'still there')");
    assert_eq!(client.receive(), b"still there");
    node.advance(Duration::from_secs(1));
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn an_embedded_gate_is_started_by_its_script() {
    let gate = Gate::open_with(", 'embed'", "");
    gate.event("started by the script");
    gate.connect().send("x");
    gate.event("message 1 x");
}

#[test]
fn a_handler_without_its_functions_is_refused() {
    support::node().check(
        "local gateserver = require 'snax.gateserver'
        raises('the function message', gateserver.start, { connect = print })
        raises('the function connect', gateserver.start, { message = print })",
    );
}
