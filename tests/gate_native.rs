//! The service `gate` in Rust: its watchdog commands it by texts (tests/lua/gate/party.lua writes down what it hears).

mod support;

use std::net::TcpStream;

use support::TestNode;
use support::client::{Client, framed};

/// A node with a native gate and its watchdog, `.dog`.
struct Gate {
    node: TestNode,
    port: u16,
}

impl Gate {
    /// `style`: the header; `tag`: the kind of the packages to agents; `max`: how many connections.
    fn open(style: &str, tag: u8, max: u32) -> Gate {
        let node = node_with_dog();
        let gate = node.lua1(&format!(
            "gate = skynet.launch('gate', '{style}', '.dog', '127.0.0.1:0', {tag}, {max})
            return gate"
        ));
        assert_ne!(gate, "nil", "{:#?}", node.log.lines());
        let port = port_of(&node);
        Gate { node, port }
    }

    /// A new client, and its fd.
    fn connect(&self) -> (Client, String) {
        let client = Client::connect(self.port);
        let line = self.node.log.wait_for(&format!(" {}:0", client.address()));
        let words: Vec<&str> = line.split(' ').collect();
        let ["dog:", "text", "0", fd, "open", again, _] = words[1..] else { panic!("{line}") };
        assert_eq!(fd, again);
        (client, fd.to_owned())
    }

    /// A command of the watchdog.
    fn tell(&self, text: &str) {
        self.node.lua(&format!("skynet.rawsend(gate, 'text', '{text}')"));
    }

    /// Bytes for a client, as an agent sends them.
    fn write(&self, fd: &str, bytes: &str) {
        self.node.lua(&format!(
            "skynet.redirect(gate, skynet.self(), 'client', 0, '{bytes}' .. ('<I4'):pack({fd}))"
        ));
    }

    fn wait_for(&self, text: &str) -> String {
        self.node.log.wait_for(text)
    }
}

fn node_with_dog() -> TestNode {
    let node = support::node();
    node.lua(
        "require 'skynet.manager'
        skynet.register_protocol { name = 'text', id = skynet.PTYPE_TEXT }
        skynet.register_protocol { name = 'client', id = skynet.PTYPE_CLIENT }
        dog = skynet.newservice('gate/party', 'dog')
        skynet.name('.dog', dog)",
    );
    node
}

/// The port at which the service listens.
fn port_of(node: &TestNode) -> u16 {
    let port = node.lua1(
        "for _, info in ipairs(require 'skynet.socketdriver'.info()) do
            if info.type == 'LISTEN' then return info.sock:match ':(%d+)$' end
        end",
    );
    port.parse().unwrap_or_else(|_| panic!("no port but {port}"))
}

#[test]
fn a_watchdog_hears_texts_from_the_opening_to_the_close() {
    let gate = Gate::open("S", 0, 10);
    let (mut client, fd) = gate.connect();
    let hex = format!("socket open: {:x}", fd.parse::<i32>().expect("a number"));
    gate.wait_for(&hex);
    client.send("early");
    gate.tell(&format!("start {fd}"));
    gate.wait_for(&format!("dog: text {fd} {fd} data early"));
    client.write(framed(["one", "", "two"]));
    gate.wait_for(&format!("dog: text {fd} {fd} data two"));
    drop(client);
    gate.wait_for(&format!("dog: text 0 {fd} close"));
    // A package without content is none.
    assert_eq!(gate.node.log.wait_for_count(&format!("{fd} data "), 3).len(), 3);
}

#[test]
fn packages_go_to_the_agent_in_the_clients_name() {
    let gate = Gate::open("S", 0, 10);
    let (mut client, fd) = gate.connect();
    let agent =
        gate.node.lua1("agent = skynet.newservice('gate/party', 'agent') return skynet.address(agent)");
    gate.tell(&format!("forward {fd} {agent} :4d"));
    gate.tell(&format!("start {fd}"));
    client.write(framed(["one", "two"]));
    gate.wait_for(&format!("agent: package {fd} 77 two"));
    gate.wait_for(&format!("agent: package {fd} 77 one"));
    // Agent 0 is nobody: the watchdog gets them again.
    gate.tell(&format!("f {fd} :0 :0"));
    client.send("three");
    gate.wait_for(&format!("dog: text {fd} {fd} data three"));
}

#[test]
fn packages_go_to_a_broker_before_all_others_and_with_the_gates_own_tag() {
    let gate = Gate::open("S", 90, 10);
    let handle = gate.node.lua1("return gate");
    gate.node.lua(
        "agent = skynet.newservice('gate/party', 'agent', 90)
        broker = skynet.newservice('gate/party', 'broker', 90)
        skynet.name('.broker', broker)",
    );
    let (mut client, fd) = gate.connect();
    let agent = gate.node.lua1("return skynet.address(agent)");
    gate.tell(&format!("forward {fd} {agent} :1"));
    gate.tell(&format!("start {fd}"));
    client.send("one");
    gate.wait_for(&format!("agent: package {fd} 1 one"));
    gate.tell("broker .broker");
    client.send("two");
    gate.wait_for(&format!("broker: package {fd} {handle} two"));
    // A broker that does not exist is none.
    gate.tell("broker .none");
    client.send("three");
    gate.wait_for(&format!("agent: package {fd} 1 three"));
}

#[test]
fn headers_of_four_bytes_carry_larger_packages() {
    let gate = Gate::open("L", 0, 10);
    let (mut client, fd) = gate.connect();
    gate.node.lua("agent = skynet.newservice('gate/party', 'agent')");
    gate.tell(&format!("start {fd}"));
    let package = vec![b'x'; 100_000];
    client.write(100_000_u32.to_be_bytes());
    client.write(&package);
    client.write(b"\0\0\0\x03end");
    gate.wait_for(&format!("dog: text {fd} {fd} data end"));
    let line = gate.wait_for(&format!("dog: text {fd} {fd} data xxx"));
    assert_eq!(line.matches('x').count(), 100_000 + usize::from(line.contains("text")));
}

#[test]
fn a_package_of_16_mib_is_refused_and_its_connection_closed() {
    let gate = Gate::open("L", 0, 10);
    let (mut good, fd) = gate.connect();
    gate.tell(&format!("start {fd}"));
    for header in [b"\x01\0\0\0", b"\xff\xff\xff\xff", b"GET "] {
        let (mut client, bad) = gate.connect();
        gate.tell(&format!("start {bad}"));
        client.write(header);
        client.write("more junk");
        client.read_to_end();
        gate.wait_for(&format!("dog: text 0 {bad} close"));
    }
    gate.node.log.wait_for_count("Recv socket message > 16M", 3);
    assert!(!gate.node.log.has("junk"));
    good.write(b"\0\0\0\x04good");
    gate.wait_for(&format!("dog: text {fd} {fd} data good"));
}

#[test]
fn what_services_send_to_a_client_is_written_as_it_is() {
    let gate = Gate::open("S", 0, 10);
    let (mut client, fd) = gate.connect();
    gate.write(&fd, "raw bytes");
    assert_eq!(client.read(9), b"raw bytes");
    gate.write(&fd, "more");
    assert_eq!(client.read(4), b"more");
    let me = gate.node.lua1("return ('%x'):format(skynet.self())");
    gate.write("12345", "x");
    gate.wait_for(&format!("Invalid client id 12345 from {me}"));
    gate.write(&fd, "");
    gate.wait_for(&format!("Invalid client message from {me}"));
    gate.node.lua("skynet.redirect(gate, skynet.self(), 'client', 0, 'abc')");
    gate.node.log.wait_for_count(&format!("Invalid client message from {me}"), 2);
}

#[test]
fn commands_kick_close_and_are_told_apart() {
    let gate = Gate::open("S", 0, 10);
    let (mut client, fd) = gate.connect();
    gate.tell("kick 12345");
    gate.tell("start 12345");
    gate.tell("forward 12345 :1 :1");
    for junk in ["kick", "kick x", "forward", "forward 1", "broker", "start -"] {
        gate.tell(junk);
    }
    gate.tell("hello 1");
    gate.wait_for("[gate] Unknown command : hello 1");
    assert_eq!(gate.node.log.wait_for_count("[gate] Unknown command", 1).len(), 1);
    gate.tell(&format!("kick {fd}"));
    assert_eq!(client.read_to_end(), b"");
    gate.wait_for(&format!("dog: text 0 {fd} close"));
    let (mut stays, fd) = gate.connect();
    gate.tell("close");
    gate.node.wait_until("nobody listens", || TcpStream::connect(("127.0.0.1", gate.port)).is_err());
    gate.tell("close");
    gate.tell(&format!("start {fd}"));
    stays.send("still served");
    gate.wait_for("still served");
}

#[test]
fn connections_beyond_the_limit_are_closed() {
    let gate = Gate::open("S", 0, 2);
    let (one, fd) = gate.connect();
    let (_two, _) = gate.connect();
    gate.tell(&format!("start {fd}"));
    for _ in 0..3 {
        assert_eq!(Client::connect(gate.port).read_to_end(), b"");
    }
    assert_eq!(gate.node.log.wait_for_count("dog: text 0", 2).len(), 2);
    drop(one);
    gate.wait_for(&format!("dog: text 0 {fd} close"));
    gate.connect();
}

#[test]
fn wrong_arguments_are_logged_and_nothing_is_started() {
    let node = node_with_dog();
    for (args, line) in [
        ("'S', '.dog', 8888", "Invalid gate parm S .dog 8888"),
        ("'S', '.dog', 8888, 0", "Need max connection"),
        ("'X', '.dog', 8888, 0, 1", "Invalid data header style"),
        ("'S', '.cat', 8888, 0, 1", "Invalid watchdog .cat"),
        ("'S', 'dog', 8888, 0, 1", "Invalid watchdog dog"),
        ("'S', '.dog', 'here', 0, 1", "Invalid gate address here"),
    ] {
        assert_eq!(node.lua(&format!("return tostring((skynet.launch('gate', {args})))")), ["nil"], "{args}");
        node.log.wait_for(line);
    }
    let held = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = held.local_addr().expect("it is bound");
    let launched =
        node.lua1(&format!("return tostring((skynet.launch('gate', 'S', '.dog', '{address}', 0, 1)))"));
    assert_eq!(launched, "nil");
    node.log.wait_for("Address already in use");
}

#[test]
fn a_gate_needs_no_watchdog() {
    let node = node_with_dog();
    node.lua("gate = skynet.launch('gate', 'S', '!', '127.0.0.1:0', 0, 10)");
    let gate = Gate { port: port_of(&node), node };
    let mut client = Client::connect(gate.port);
    let fd = gate.wait_for("socket open: ");
    let fd =
        i32::from_str_radix(fd.split("open: ").nth(1).expect("a number"), 16).expect("it is hex").to_string();
    gate.tell(&format!("start {fd}"));
    client.send("to nobody");
    gate.write(&fd, "hello");
    assert_eq!(client.read(5), b"hello");
}

#[test]
fn the_gate_outlives_its_watchdog_and_its_agents() {
    let gate = Gate::open("S", 0, 100);
    let (mut client, fd) = gate.connect();
    let agent =
        gate.node.lua1("agent = skynet.newservice('gate/party', 'agent') return skynet.address(agent)");
    gate.tell(&format!("forward {fd} {agent} :0"));
    gate.tell(&format!("start {fd}"));
    client.send("to the agent");
    gate.wait_for("to the agent");
    for name in ["agent", "dog"] {
        let handle = gate.node.lua_handle(&format!("return {name}"));
        gate.node.lua(&format!("skynet.call({name}, 'lua', 'quit')"));
        gate.node.wait_gone(handle);
    }
    for _ in 0..10 {
        client.send("to nobody");
        drop(Client::connect(gate.port));
    }
    let heir = gate.node.lua1("agent = skynet.newservice('gate/party', 'heir') return skynet.address(agent)");
    gate.tell(&format!("forward {fd} {heir} :0"));
    gate.write(&fd, "told");
    assert_eq!(client.read(4), b"told");
    client.send("to the heir");
    gate.wait_for("to the heir");
}

#[test]
fn a_slow_reader_is_logged() {
    let gate = Gate::open("S", 0, 10);
    let (mut client, fd) = gate.connect();
    gate.node
        .lua(&format!("skynet.redirect(gate, 0, 'client', 0, ('x'):rep(16 << 20) .. ('<I4'):pack({fd}))"));
    gate.wait_for(&format!("fd ({fd}) send buffer ("));
    assert_eq!(client.read(16 << 20).len(), 16 << 20);
    gate.wait_for(&format!("fd ({fd}) send buffer (0)K"));
}

#[test]
fn connections_that_come_and_go_at_once_leave_nothing() {
    let node = support::node();
    node.lua(
        "require 'skynet.manager'
        skynet.register_protocol {
            name = 'text',
            id = skynet.PTYPE_TEXT,
            unpack = skynet.tostring,
            dispatch = function(_, gate, text)
                skynet.ignoreret()
                local fd, event = text:match '^(%d+) (%a+)'
                if event == 'open' then skynet.redirect(gate, skynet.self(), 'text', 0, 'start ' .. fd) end
            end,
        }
        gate = skynet.launch('gate', 'S', skynet.address(skynet.self()), '127.0.0.1:0', 0, 5000)",
    );
    let port = port_of(&node);
    for round in 0..2000 {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        if round % 3 == 0 {
            let mut client = Client { stream };
            client.write(b"\0\x09half");
            client.reset();
        }
    }
    let open = || node.lua1("return #require 'skynet.socketdriver'.info()");
    node.wait_until("all are gone", || open() == "1");
}
