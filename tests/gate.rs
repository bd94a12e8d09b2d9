//! The service `gate` in Lua: a watchdog, agents, and clients over real sockets.

mod support;

use std::net::{Shutdown, TcpStream};

use support::TestNode;
use support::client::{Client, framed};

/// A node with an open gate, whose watchdog `dog` writes down what it is told (tests/lua/gate/party.lua).
struct Gate {
    node: TestNode,
    port: u16,
}

impl Gate {
    fn open(conf: &str) -> Gate {
        let node = support::node();
        let answer = node.lua(&format!(
            "gate = skynet.newservice 'gate'
            dog = skynet.newservice('gate/party', 'dog')
            return skynet.call(gate, 'lua', 'open',
                {{ address = '127.0.0.1', port = 0, watchdog = dog, nodelay = true, {conf} }})"
        ));
        assert_eq!(answer[0], "127.0.0.1");
        let port = answer[1].parse().expect("a port");
        Gate { node, port }
    }

    /// A new client, and its fd.
    fn connect(&self) -> (Client, String) {
        let client = Client::connect(self.port);
        let line = self.node.log.wait_for(&format!(" {}", client.address()));
        let fd = line.split("dog: open ").nth(1).and_then(|rest| rest.split(' ').next());
        let fd = fd.unwrap_or_else(|| panic!("no fd in {line}")).to_owned();
        (client, fd)
    }

    fn wait_for(&self, text: &str) -> String {
        self.node.log.wait_for(text)
    }

    fn call(&self, words: &str) -> Vec<String> {
        self.node.lua(&format!("return pcall(skynet.call, gate, 'lua', {words})"))
    }
}

#[test]
fn a_watchdog_hears_of_a_connection_from_its_opening_to_its_close() {
    let gate = Gate::open("");
    gate.wait_for("Listen on 127.0.0.1:0");
    let (mut client, fd) = gate.connect();
    client.send("early");
    assert_eq!(gate.call(&format!("'accept', {fd}")), ["true"]);
    gate.wait_for(&format!("dog: data {fd} early"));
    client.write(framed(["one", "", "two"]));
    gate.wait_for(&format!("dog: data {fd} two"));
    assert!(gate.node.log.lines().iter().any(|line| line.ends_with(&format!("dog: data {fd} "))));
    drop(client);
    gate.wait_for(&format!("dog: close {fd}"));
}

#[test]
fn who_opens_a_gate_is_its_watchdog_if_nobody_else_is_named() {
    let node = support::node();
    let port = node.lua1(
        "gate = skynet.newservice 'gate'
        skynet.dispatch('lua', function(session, source, command, ...)
            if command == 'socket' then
                skynet.error('heard', ...)
            else
                skynet.retpack(load(...)())
            end
        end)
        return (select(2, skynet.call(gate, 'lua', 'open', { port = 0 })))",
    );
    let client = Client::connect(port.parse().expect("a port"));
    node.log.wait_for("heard open");
    node.log.wait_for(&client.address());
}

#[test]
fn packages_are_forwarded_to_an_agent_in_the_name_of_the_client() {
    let gate = Gate::open("");
    let (mut client, fd) = gate.connect();
    gate.node.lua("agent = skynet.newservice('gate/party', 'agent')");
    assert_eq!(gate.call(&format!("'forward', {fd}, 77, agent")), ["true"]);
    client.write(framed(["one", "", "two"]));
    gate.wait_for(&format!("agent: package {fd} 77 two"));
    let lines = gate.node.log.lines();
    let packages: Vec<&str> = lines.iter().filter_map(|line| line.split("agent: package ").nth(1)).collect();
    assert_eq!(packages, ["one", "", "two"].map(|text| format!("{fd} 77 {text}")));
    // By default the agent is the one who asks, and the client is nobody. The gate's table of forwards can change.
    let asked =
        gate.node.lua(&format!("return skynet.call(agent, 'lua', 'call', gate, 'lua', 'forward', {fd})"));
    assert_eq!(asked, ["true"]);
    client.send("three");
    gate.wait_for(&format!("agent: package {fd} 0 three"));
    assert_eq!(gate.call(&format!("'accept', {fd}")), ["true"]);
    client.send("four");
    gate.wait_for(&format!("dog: data {fd} four"));
}

#[test]
fn agents_and_watchdogs_write_to_the_socket_itself() {
    let gate = Gate::open("");
    let (mut client, fd) = gate.connect();
    gate.node.lua(&format!(
        "local driver, netpack = require 'skynet.socketdriver', require 'skynet.netpack'
        assert(driver.send({fd}, netpack.pack 'hello'))"
    ));
    assert_eq!(client.receive(), b"hello");
    // Also after the client has ended its side, until it is kicked.
    client.stream.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(gate.call(&format!("'accept', {fd}")), ["true"]);
    gate.wait_for(&format!("dog: close {fd}"));
    gate.node.lua(&format!("require 'skynet.socketdriver'.send({fd}, '\\0\\3bye')"));
    assert_eq!(client.receive(), b"bye");
}

#[test]
fn a_kick_closes_and_is_told_once() {
    let gate = Gate::open("");
    let (mut client, fd) = gate.connect();
    gate.call(&format!("'accept', {fd}"));
    assert_eq!(gate.call(&format!("'kick', {fd}")), ["true"]);
    assert_eq!(client.read_to_end(), b"");
    gate.wait_for(&format!("dog: close {fd}"));
    assert_eq!(gate.call(&format!("'kick', {fd}")), ["true"]);
    let (_next, _) = gate.connect();
    assert_eq!(gate.node.log.wait_for_count("dog: close", 1).len(), 1);
}

#[test]
fn unknown_connections_are_kicked_in_silence_but_not_forwarded() {
    let gate = Gate::open("");
    assert_eq!(gate.call("'kick', 12345"), ["true"]);
    for words in ["'forward', 12345", "'accept', 12345", "'unheard of'", "'open', { port = 0 }"] {
        assert_eq!(gate.call(words)[0], "false", "{words}");
    }
    gate.node.log.wait_for_count("the gate has no such connection", 2);
    gate.wait_for("the gate has no such command");
}

#[test]
fn clients_beyond_the_limit_are_closed_and_nobody_hears_of_them() {
    let gate = Gate::open("maxclient = 2");
    let (_client, _) = gate.connect();
    for _ in 0..3 {
        assert_eq!(Client::connect(gate.port).read_to_end(), b"");
    }
    assert_eq!(gate.node.log.wait_for_count("dog: open", 1).len(), 1);
    assert_eq!(gate.node.log.count("dog: close"), 0);
}

#[test]
fn a_closed_gate_takes_nobody_and_can_be_opened_again() {
    let gate = Gate::open("");
    let mut port = gate.port;
    for round in 1..=20 {
        assert_eq!(gate.call("'close'"), ["true"]);
        // At once: the close of the socket may not have been told yet.
        let answer = gate.call("'open', { address = '127.0.0.1', port = 0, watchdog = dog }");
        assert_eq!(answer[0], "true", "{answer:?}");
        let next = answer[2].parse().expect("a port");
        // The system may give the same one again.
        if next != port {
            gate.node.wait_until("nobody listens", || TcpStream::connect(("127.0.0.1", port)).is_err());
        }
        port = next;
        Client::connect(port);
        gate.node.log.wait_for_count("dog: open", round);
    }
    // What is not a client's is nobody's to hear of, and these have not been accepted.
    assert_eq!(gate.node.log.count("dog: close"), 0);
}

#[test]
fn the_gate_outlives_its_agents() {
    let gate = Gate::open("");
    let (mut client, fd) = gate.connect();
    gate.node.lua("agent = skynet.newservice('gate/party', 'agent')");
    gate.call(&format!("'forward', {fd}, 0, agent"));
    client.send("to the agent");
    gate.wait_for("to the agent");
    let agent = gate.node.lua_handle("return agent");
    gate.node.lua("skynet.call(agent, 'lua', 'quit')");
    gate.node.wait_gone(agent);
    for _ in 0..10 {
        client.send("to nobody");
    }
    // What follows on the same connection comes behind those: they are dropped by now.
    gate.node.lua("agent = skynet.newservice('gate/party', 'heir')");
    gate.call(&format!("'forward', {fd}, 0, agent"));
    client.send("to the heir");
    gate.wait_for(&format!("heir: package {fd} 0 to the heir"));
}

#[test]
fn the_gate_outlives_its_watchdog() {
    let gate = Gate::open("");
    let (mut client, fd) = gate.connect();
    gate.node.lua("agent = skynet.newservice('gate/party', 'agent')");
    gate.call(&format!("'forward', {fd}, 0, agent"));
    let dog = gate.node.lua_handle("return dog");
    gate.node.lua("skynet.call(dog, 'lua', 'quit')");
    gate.node.wait_gone(dog);
    // Clients come and go, and nobody hears of them; those that are served go on.
    for _ in 0..20 {
        let mut stray = Client::connect(gate.port);
        stray.send("x");
    }
    client.send("still served");
    gate.wait_for("still served");
    assert_eq!(gate.call(&format!("'kick', {fd}")), ["true"]);
    assert_eq!(client.read_to_end(), b"");
}

#[test]
fn a_slow_reader_is_the_watchdogs_to_judge() {
    let gate = Gate::open("");
    let (mut client, fd) = gate.connect();
    gate.call(&format!("'accept', {fd}"));
    gate.node.lua(&format!("require 'skynet.socketdriver'.send({fd}, ('x'):rep(16 << 20))"));
    gate.wait_for(&format!("dog: warning {fd} "));
    assert_eq!(gate.call(&format!("'kick', {fd}")), ["true"]);
    // What was sent before is still on its way.
    assert_eq!(client.read_to_end().len(), 16 << 20);
}

#[test]
fn a_reset_is_told_as_an_error_or_a_close_and_once() {
    let gate = Gate::open("");
    for round in 1..=20 {
        let (mut client, fd) = gate.connect();
        gate.call(&format!("'accept', {fd}"));
        client.write(b"\0\x07half");
        client.reset();
        let told = || gate.node.log.count("dog: error") + gate.node.log.count("dog: close");
        gate.node.wait_until("it is told", || told() >= round);
        assert_eq!(told(), round);
    }
}

#[test]
fn a_watchdog_that_kicks_is_left_with_nothing_by_two_thousand_connections() {
    let node = support::node();
    let port: u16 = node
        .lua1(
            "kicker = skynet.newservice('eval', 'nameless')
            skynet.call(kicker, 'lua', 'eval', [[
                skynet.dispatch('lua', function(_, gate, _, event, fd)
                    skynet.call(gate, 'lua', event == 'open' and 'accept' or 'kick', fd)
                end)]])
            gate = skynet.newservice 'gate'
            return (select(2, skynet.call(gate, 'lua', 'open',
                { address = '127.0.0.1', port = 0, watchdog = kicker, backlog = 1000, maxclient = 5000 })))",
        )
        .parse()
        .expect("a port");
    for _ in 0..2000 {
        drop(TcpStream::connect(("127.0.0.1", port)).expect("somebody listens"));
    }
    let open = || node.lua1("return #require 'skynet.socketdriver'.info()");
    node.wait_until("all are gone", || open() == "1");
}
