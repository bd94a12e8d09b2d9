//! `cslave` in a real node, against a master that is written from the protocol, and a stand-in for the harbor service.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use skynet_rs::packed::{self, Table, Value};
use skynet_rs::{Config, Context, Handle, Message, MessageKind, Runtime, Service, ServiceError};
use support::package::{Peer, hex, listen, package};
use support::{DEADLINE, TestNode};

/// Writes down what `cslave` tells the harbor service.
struct StandIn(Sender<(Handle, String)>);

impl Service for StandIn {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        let text = String::from_utf8_lossy(message.payload.as_bytes()).into_owned();
        if text == "STAT" {
            let link = Table { array: Vec::new(), pairs: vec![("state".into(), "CONTENT".into())] };
            let links = Table { array: Vec::new(), pairs: vec![(Value::Integer(7), Value::Table(link))] };
            ctx.respond(message.origin(), packed::to_payload(&Value::Table(links))?)?;
        } else {
            let _ = self.0.send((message.source, text));
        }
        Ok(())
    }
}

const LIFE: u64 = 0x0123_4567_89ab_cdef;

/// A member under way: its master has not been asked yet.
struct Start {
    runtime: Runtime,
    log: support::Log,
    texts: Receiver<(Handle, String)>,
}

fn start(config: Config) -> Start {
    let log = support::Log::default();
    let (texts, received) = channel();
    let texts = Mutex::new(texts);
    let runtime = Runtime::builder()
        .config(config.set("bootstrap", "snlua member"))
        .incarnation(LIFE)
        .service("harbor", move |_| Ok(StandIn(texts.lock().expect("nobody panics").clone())))
        .boot()
        .log_to(log.sink())
        .start()
        .expect("the node starts");
    Start { runtime, log, texts: received }
}

fn config(id: u8, master: &TcpListener) -> Config {
    let master = master.local_addr().expect("it is bound");
    support::config().set("harbor", id).set("address", "127.0.0.1:0").set("master", master)
}

fn accept(listener: &TcpListener) -> Peer {
    Peer::over(support::accept(listener))
}

/// A member that has joined, and its master's end of the connection.
struct Member {
    node: TestNode,
    master: Peer,
    listener: TcpListener,
    texts: Receiver<(Handle, String)>,
    address: String,
}

/// Joins a master of skynet, as the only one.
fn member() -> Member {
    member_of(|config| config, &("W", 0))
}

/// Joins a master of skynet-rs.
fn member_rs() -> Member {
    member_of(|config| config, &("W", 0, rs(&[])))
}

fn member_of<T: serde::Serialize>(set: impl FnOnce(Config) -> Config, welcome: &T) -> Member {
    let (listener, _) = listen();
    let started = start(set(config(200, &listener)));
    let mut master = accept(&listener);
    let hello = master.values();
    let address = hello[2].as_str().expect("an address").to_owned();
    master.send(welcome);
    let node = support::booted(started.runtime, started.log, None);
    node.lua("harbor = require 'skynet.harbor'");
    Member { node, master, listener, texts: started.texts, address }
}

/// The table by which nodes of skynet-rs know each other.
fn rs(fields: &[(&str, Value)]) -> Value {
    let fields = fields.iter().map(|(key, value)| (Value::from(*key), value.clone()));
    let pairs = [(Value::from("rs"), Value::Integer(1))].into_iter().chain(fields).collect();
    Value::Table(Table { array: Vec::new(), pairs })
}

impl Member {
    /// What the harbor service is told next; descriptors are written as `#`.
    fn told(&self) -> String {
        self.told_by().1
    }

    fn told_by(&self) -> (Handle, String) {
        let (source, text) = self.texts.recv_timeout(DEADLINE).expect("the harbor service is told");
        let words: Vec<&str> = text.split(' ').collect();
        let text = match words[..] {
            [letter @ ("S" | "A"), _, ref rest @ ..] => format!("{letter} # {}", rest.join(" ")),
            _ => text,
        };
        (source, text)
    }

    /// The harbor service says something.
    fn say(&self, text: &str) {
        let slave = self.node.runtime.query(".cslave").expect("it is there");
        self.node.runtime.send(slave, MessageKind::TEXT, text).expect("it is taken");
    }

    /// Another node connects and says who it is.
    fn connect_from(&self, id: u8) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).expect("cslave listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        stream.write_all(&[id]).expect("it is taken");
        stream
    }

    /// The member comes back to its master; its hello, and the new connection.
    fn back(&mut self) -> Vec<Value> {
        self.master = accept(&self.listener);
        self.master.values()
    }

    fn begin(&self, name: &str, code: &str) {
        self.node
            .lua(&format!("skynet.fork(function() {name} = table.pack({code}) skynet.wakeup('{name}') end)"));
    }

    fn end(&self, name: &str) -> Vec<String> {
        self.node.lua(&format!(
            "if not {name} then skynet.wait('{name}') end return table.unpack({name}, 1, {name}.n)"
        ))
    }
}

// -- the protocol of skynet

#[test]
fn a_member_joins_a_master_of_skynet_byte_for_byte() {
    let (listener, _) = listen();
    // A free port of five digits.
    let address = listen().0.local_addr().expect("it is bound").to_string();
    assert_eq!(address.len(), 15, "the system gives no low ports");
    let started = start(config(200, &listener).set("address", &address));
    let mut master = accept(&listener);
    let hello = master.read().expect("a package");
    let expected = [&hex("0c 48 0a c8 7c"), address.as_bytes()].concat();
    assert_eq!(hello[..20], expected, "H 200 and the address, and behind it what skynet does not read");
    master.write(&hex("04 | 0c 57 | 0a 01"));
    started.log.wait_for("Waiting for 1 harbors");

    let mut seven = TcpStream::connect(&address).expect("it listens");
    seven.write_all(&[7]).expect("it is taken");
    let log = &started.log;
    log.wait_for("Shakehand ready");
    let (_, text) = started.texts.recv_timeout(DEADLINE).expect("the harbor service is told");
    assert!(text.starts_with("A ") && text.ends_with(" 7"), "{text}");
    for line in ["slave connect to master 127.0.0.1:", "New connection (fd = ", "Harbor 7 connected (fd = "] {
        log.wait_for(line);
    }

    let node = support::booted(started.runtime, started.log, None);
    node.lua("skynet.fork(require 'skynet.harbor'.queryname, 'SERVICE')");
    assert_eq!(master.read(), Some(hex("0c 51 3c 53 45 52 56 49 43 45")), "Q SERVICE");
    node.lua("require 'skynet.harbor'.globalname('C200', 0xc8000007)");
    assert_eq!(master.read(), Some(hex("0c 52 24 43 32 30 30 32 07 00 00 c8 00 00 00 00")), "R C200");
}

#[test]
fn a_first_message_other_than_w_ends_the_node() {
    let cases: [(Vec<u8>, &str); 5] = [
        (package(&("N", "X", 1)), "slave shakehand failed: the master says N"),
        (package(&("W", "many")), "slave shakehand failed: the master says W"),
        (package(&("E", "Slave 200 already register on 1.2.3.4:5")), "already register on 1.2.3.4:5"),
        (vec![1, 0x1c], "slave shakehand failed: Invalid serialize stream"),
        (vec![], "slave shakehand failed: the master closed the connection"),
    ];
    for (bytes, reason) in cases {
        let (listener, _) = listen();
        // A master that says nothing is believed when this is over.
        let started = start(config(200, &listener).set("harbor_join_timeout", "0"));
        let mut master = accept(&listener);
        master.read().expect("a package");
        master.write(&bytes);
        drop(master);
        started.log.wait_for(reason);
        assert!(started.runtime.wait_within(DEADLINE), "the node ends");
    }
}

#[test]
fn a_master_that_dies_while_a_member_joins_is_tried_again() {
    let (listener, _) = listen();
    let started = start(config(200, &listener));
    let mut dying = accept(&listener);
    dying.read().expect("a package");
    drop(dying);
    started.log.wait_for("slave shakehand failed: the master closed the connection; trying again");
    let mut master = accept(&listener);
    assert_eq!(master.values()[1], Value::Integer(200));
    master.send(&("W", 0));
    started.log.wait_for("Shakehand ready");
    // It started the harbor service once.
    assert_eq!(started.log.count("LAUNCH harbor"), 1);
}

#[test]
fn a_member_waits_for_a_master_that_comes_later() {
    let (listener, address) = listen();
    let config = config(200, &listener);
    drop(listener);
    let started = start(config);
    started.log.wait_for("cannot be reached: Connection refused; trying again");
    let listener = TcpListener::bind(address).expect("the port is free again");
    let mut master = accept(&listener);
    master.read().expect("a package");
    master.send(&("W", 0));
    started.log.wait_for("Shakehand ready");
}

#[test]
fn a_member_without_a_master_ends_after_its_time() {
    let (listener, _) = listen();
    let config = config(200, &listener).set("harbor_join_timeout", "0.2");
    drop(listener);
    let started = start(config);
    started.log.wait_for("Can't connect to master 127.0.0.1:");
    assert!(started.runtime.wait_within(DEADLINE), "the node ends");
}

#[test]
fn a_member_does_not_wait_for_ever_for_nodes_that_do_not_come() {
    let member = member_of(|config| config.set("harbor_join_timeout", "0.2"), &("W", 3));
    member.node.log.wait_for("3 harbors have not connected within 0.2 s");
    member.node.log.wait_for("Shakehand ready");
}

// -- names

#[test]
fn a_query_asks_once_and_all_who_wait_are_answered() {
    let mut member = member();
    for name in ["one", "two"] {
        member.begin(name, "harbor.queryname 'BOSS'");
    }
    assert_eq!(member.master.text(), "Q BOSS");
    member.begin("late", "harbor.queryname('BOSS', 1)");
    assert_eq!(member.end("late"), ["nil", "timeout"]);
    member.master.send(&("N", "BOSS", 0x0700_0001_u32));
    let told = (Handle::from_u32(0x0700_0001), "N BOSS".to_owned());
    assert_eq!(member.told_by(), told, "the owner is the message's source");
    assert_eq!(
        (member.end("one"), member.end("two")),
        (vec!["117440513".to_owned()], vec!["117440513".to_owned()])
    );
    // Known from now on; the master is not asked, and what it says later wins.
    assert_eq!(member.node.lua1("return harbor.queryname('BOSS', 0)"), "117440513");
    member.master.send(&("N", "BOSS", 0xc700_0001_u32));
    assert_eq!(member.told_by(), (Handle::from_u32(0xc700_0001), "N BOSS".to_owned()));
    assert_eq!(member.node.lua1("return harbor.queryname 'BOSS'"), "3338665985");
    member.begin("next", "harbor.queryname 'NEXT'");
    assert_eq!(member.master.text(), "Q NEXT");
}

#[test]
fn a_local_name_is_looked_up_here() {
    let member = member();
    assert_ne!(member.node.lua1("return harbor.queryname '.eval'"), "nil");
    assert_eq!(member.node.lua1("return harbor.queryname '.nobody'"), "nil");
}

#[test]
fn a_registration_goes_to_the_master_and_to_the_harbor_service() {
    let mut member = member();
    member.begin("waits", "harbor.queryname 'MINE'");
    assert_eq!(member.master.text(), "Q MINE");
    let me = member.node.lua1("require 'skynet.manager'.register 'MINE' return skynet.self()");
    assert_eq!(member.master.text(), format!("R MINE {me}"));
    assert_eq!(member.told_by(), (member.node.eval, "N MINE".to_owned()));
    assert_eq!(member.end("waits"), [me]);
    member.node.lua("harbor.globalname('MINE', 12)");
    member.node.log.wait_for("the global name MINE belongs to");
}

#[test]
fn what_cannot_be_a_name_is_an_error_of_the_caller() {
    let member = member();
    member.node.check(
        r#"for name, reason in pairs {
            ["1234567890123456"] = "the global name 1234567890123456 is longer than 15 bytes",
            ["42"] = "a global name cannot be a number: 42",
            [":01000001"] = ":01000001 is an address and cannot be a name",
            [""] = "a global name must not be empty",
            [5] = "a global name must be a string, not number",
        } do
            raises(reason, harbor.globalname, name)
            raises(reason, harbor.queryname, name)
        end
        raises(".x is a local name", harbor.globalname, ".x")
        raises("a time must be an integer from 0, not -1", harbor.queryname, "X", -1)
        raises("a time must be an integer from 0, not 1.5", harbor.queryname, "X", 1.5)
        raises("call failed", skynet.call, ".cslave", "lua", "QUERYNAME", "42")
        raises("call failed", skynet.call, ".cslave", "lua", "REGISTER", "X", "no handle")
        raises("call failed", skynet.call, ".cslave", "lua", "FLY")"#,
    );
    member.node.log.wait_for("cslave: no command FLY");
}

#[test]
fn a_refused_registration_is_logged_with_its_owner() {
    let mut member = member_rs();
    let me = member.node.lua1("harbor.globalname 'BOSS' return skynet.address(skynet.self())");
    assert!(member.master.text().starts_with("R BOSS "));
    assert_eq!(member.told(), "N BOSS");
    member.master.send(&("X", "BOSS", 0x0100_0009_u32, "10.0.0.1:2526"));
    assert_eq!(member.told_by(), (Handle::from_u32(0x0100_0009), "N BOSS".to_owned()));
    let line =
        format!("the global name BOSS belongs to :01000009 (harbor 1, 10.0.0.1:2526): refused to {me}");
    member.node.log.wait_for(&line);
    assert_eq!(member.node.lua1("return harbor.queryname 'BOSS'"), "16777225");
}

#[test]
fn the_names_of_a_service_that_ends_are_taken_back() {
    let mut member = member_rs();
    let other = member.node.launch_eval();
    let register = format!("harbor.globalname('BOSS', {})", other.as_u32());
    member.node.lua(&register);
    assert_eq!(member.master.text(), format!("R BOSS {}", other.as_u32()));
    assert_eq!(member.told(), "N BOSS");
    // Of a name of somebody else nothing can be said.
    member.say("E OTHER");
    let slave = member.node.runtime.query(".cslave").expect("it is there");
    let end = format!("skynet.redirect({}, {}, 'text', 0, 'E BOSS')", slave.as_u32(), other.as_u32());
    member
        .node
        .lua("skynet.register_protocol { name = 'text', id = 0, pack = function(text) return text end }");
    member.node.lua(&end);
    assert_eq!(member.told(), "G BOSS");
    assert_eq!(member.master.text(), format!("U BOSS {}", other.as_u32()));
    // Now another one may have it, and a late word about the first changes nothing.
    member.node.lua("harbor.globalname 'BOSS'");
    assert_eq!(member.master.text(), format!("R BOSS {}", member.node.eval.as_u32()));
    assert_eq!(member.told(), "N BOSS");
    member.node.lua(&end);
    assert_eq!(member.node.lua1("return harbor.queryname 'BOSS'"), member.node.eval.as_u32().to_string());
}

#[test]
fn a_master_of_skynet_is_not_told_of_names_that_end() {
    let mut member = member();
    member.node.lua("harbor.globalname 'BOSS'");
    assert!(member.master.text().starts_with("R BOSS "));
    assert_eq!(member.told(), "N BOSS");
    let slave = member.node.runtime.query(".cslave").expect("it is there");
    member
        .node
        .lua("skynet.register_protocol { name = 'text', id = 0, pack = function(text) return text end }");
    member.node.lua(&format!("skynet.redirect({}, skynet.self(), 'text', 0, 'E BOSS')", slave.as_u32()));
    assert_eq!(member.told(), "G BOSS");
    member.begin("asks", "harbor.queryname 'BOSS'");
    assert_eq!(member.master.text(), "Q BOSS");
}

#[test]
fn a_name_that_is_gone_elsewhere_is_forgotten() {
    let mut member = member_rs();
    member.master.send(&("N", "BOSS", 0x0700_0001_u32));
    member.master.send(&("U", "BOSS", 0x0700_0002_u32));
    member.master.send(&("U", "BOSS", 0x0700_0001_u32));
    assert_eq!((member.told(), member.told()), ("N BOSS".to_owned(), "G BOSS".to_owned()));
    member.begin("asks", "harbor.queryname 'BOSS'");
    assert_eq!(member.master.text(), "Q BOSS");
}

#[test]
fn the_harbor_service_may_ask_for_names() {
    let mut member = member();
    member.say("Q BOSS");
    assert_eq!(member.master.text(), "Q BOSS");
    member.master.send(&("N", "BOSS", 0x0700_0001_u32));
    let named = (Handle::from_u32(0x0700_0001), "N BOSS".to_owned());
    assert_eq!(member.told_by(), named);
    member.say("Q BOSS");
    assert_eq!(member.told_by(), named);
    for text in ["FOO", "Z 1", "", "\x01\u{7f}x"] {
        member.say(text);
    }
    member.node.log.wait_for_count("Unknown command ", 4);
    member.node.log.wait_for("Unknown command \\x01\\x7fx");
}

// -- other nodes

#[test]
fn a_member_connects_to_the_nodes_that_come_after_it() {
    let mut member = member();
    let (other, address) = listen();
    member.master.send(&("C", 7, address.to_string()));
    let (mut stream, _) = other.accept().expect("it connects");
    assert_eq!(member.told(), "S # 7");
    member.node.log.wait_for("Connect to harbor 7 (fd=");
    // Nothing is sent before the harbor service has the connection.
    stream.set_nonblocking(true).expect("it is open");
    assert!(stream.read(&mut [0; 1]).is_err());
    // One of skynet-rs is called so.
    member.master.send(&("C", 8, address.to_string(), rs(&[("i", "aaaa".into())])));
    assert_eq!(member.told(), "S # 8 rs");
}

#[test]
fn a_node_that_cannot_be_reached_is_tried_until_it_can_or_is_gone() {
    let mut member = member();
    let (other, address) = listen();
    drop(other);
    member.master.send(&("C", 7, address.to_string()));
    member.node.log.wait_for(&format!("Can't connect to {address}: Connection refused"));
    let other = TcpListener::bind(address).expect("the port is free again");
    assert_eq!(member.told(), "S # 7");
    drop(other);
    member.master.send(&("C", 9, address.to_string()));
    member.node.log.wait_for_count("Can't connect to", 2);
    member.master.send(&("D", 9));
    assert_eq!(member.told(), "X 9");
    let other = TcpListener::bind(address).expect("the port is free again");
    other.set_nonblocking(true).expect("it is open");
    // Longer than until the next try.
    member.node.lua("skynet.sleep(60)");
    assert!(other.accept().is_err(), "nobody connects any more");
}

#[test]
fn a_live_link_is_left_alone_when_the_master_tells_of_the_same_life_again() {
    let mut member = member_rs();
    let (other, address) = listen();
    let announce = |life: &str| ("C", 7, address.to_string(), rs(&[("i", life.into())]));
    member.master.send(&announce("aaaa"));
    assert_eq!(member.told(), "S # 7 rs");
    other.accept().expect("it connects");
    member.say("U 7 aaaa");
    member.master.send(&announce("aaaa"));
    assert_eq!(member.told(), "C 7", "should the link be down later, it is made anew");
    // To another life it connects.
    member.master.send(&announce("bbbb"));
    assert_eq!(member.told(), "S # 7 rs");
    assert_eq!(member.node.log.wait_for_count("Connect to harbor 7", 2).len(), 2);
}

#[test]
fn the_master_says_which_nodes_are_of_skynet_rs() {
    let mut peers = vec![0; 32];
    peers[0] = 0b1000_0000;
    peers[31] = 0b1000_0000;
    let welcome = ("W", 0, rs(&[("peers", Value::String(peers))]));
    let member = member_of(|config| config, &welcome);
    let _connections = [7, 8, 255].map(|id| {
        let stream = member.connect_from(id);
        (stream, member.told())
    });
    assert_eq!(_connections.map(|(_, told)| told), ["A # 7 rs", "A # 8", "A # 255 rs"]);
}

#[test]
fn a_node_that_is_here_before_the_master_tells_of_it_may_connect_again() {
    let mut member = member_rs();
    let _first = member.connect_from(7);
    assert_eq!(member.told(), "A # 7");
    member.say("U 7 00000000000000aa");
    member.node.lua("harbor.connect(7)");
    // Its connection broke, and the harbor service here has not noticed.
    let _second = member.connect_from(7);
    assert_eq!(member.told(), "A # 7 rs");
    // The master tells of it when it comes back to the master.
    member.master.send(&("C", 7, "127.0.0.1:1", rs(&[("i", Value::from("00000000000000aa"))])));
    assert_eq!(member.told(), "C 7");
    let _third = member.connect_from(7);
    assert_eq!(member.told(), "A # 7 rs");
}

#[test]
fn a_stranger_harms_nobody() {
    let member = member_of(|config| config.set("harbor_down_after", "0.3"), &("W", 0));
    for id in [0, 200] {
        let mut stream = member.connect_from(id);
        assert_eq!(stream.read(&mut [0; 1]).expect("it is closed"), 0);
        member.node.log.wait_for(&format!("says that it is harbor {id}"));
    }
    drop(TcpStream::connect(&member.address).expect("cslave listens"));
    member.node.log.wait_for("Connection (fd =");
    // Who says nothing is sent away.
    let mut silent = TcpStream::connect(&member.address).expect("cslave listens");
    silent.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    assert_eq!(silent.read(&mut [0; 1]).expect("it is closed"), 0);
    let _seven = member.connect_from(7);
    assert_eq!(member.told(), "A # 7");
    // A second one under the id of a node of skynet that is connected.
    member.say("U 7");
    member.node.lua("harbor.connect(7)");
    let mut second = member.connect_from(7);
    assert_eq!(second.read(&mut [0; 1]).expect("it is closed"), 0);
    member.node.log.wait_for("Slave 7 exist (fd =");
}

#[test]
fn strangers_are_limited_in_number() {
    let member = member();
    let crowd: Vec<_> =
        (0..64).map(|_| TcpStream::connect(&member.address).expect("cslave listens")).collect();
    member.node.log.wait_for_count("New connection", 64);
    let mut one_more = TcpStream::connect(&member.address).expect("cslave listens");
    one_more.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    assert_eq!(one_more.read(&mut [0; 1]).expect("it is closed"), 0);
    member.node.log.wait_for("64 others have not said who they are");
    drop(crowd);
    member.node.log.wait_for_count(") closed", 64);
    let _seven = member.connect_from(7);
    assert_eq!(member.told(), "A # 7");
}

#[test]
fn a_connection_is_made_again_when_the_harbor_service_wants_it() {
    let mut member = member_rs();
    let (other, address) = listen();
    member.say("R 7");
    assert_eq!(member.told(), "F 7 failed", "nobody knows where it is");
    member.master.send(&("C", 7, address.to_string(), rs(&[("i", "aaaa".into())])));
    assert_eq!(member.told(), "S # 7 rs");
    other.accept().expect("it connects");
    member.say("R 7");
    other.accept().expect("it connects again");
    assert_eq!(member.told(), "S # 7 rs");
    drop(other);
    member.say("R 7");
    assert_eq!(member.told(), "F 7 refused");
    member.master.send(&("D", 7));
    assert_eq!(member.told(), "X 7");
    // Only the master's connection may be gone: whether the node is, a connection tells.
    member.say("R 7");
    assert_eq!(member.told(), "F 7 refused");
}

#[test]
fn link_and_connect_return_once_for_each_life() {
    let member = member();
    member.begin("before", "harbor.link(7)");
    assert_eq!(member.end("before"), [""; 0], "it is not connected");
    member.begin("connects", "harbor.connect(7)");
    member.node.lua("skynet.sleep(2)");
    assert_eq!(member.node.lua1("return connects"), "nil");
    member.say("U 7");
    assert_eq!(member.end("connects"), [""; 0]);
    member.node.lua("harbor.connect(7)");
    member.begin("one", "harbor.link(7)");
    member.begin("two", "skynet.rawcall('.cslave', 'lua', skynet.pack('LINK', 7))");
    member.node.lua("skynet.sleep(2)");
    assert_eq!(member.node.lua("return one, two"), ["nil", "nil"]);
    member.say("D 7");
    assert_eq!(member.end("one"), [""; 0]);
    // No values have no bytes.
    assert_eq!(member.end("two")[1], "0");
    member.node.lua("harbor.link(7)");
    member
        .node
        .check("raises('call failed', harbor.link, 'seven') raises('call failed', harbor.connect, 256)");
}

#[test]
fn names_of_a_node_go_with_its_link_and_with_the_masters_word() {
    let mut member = member();
    for (name, handle) in [("A", 0x0700_0001_u32), ("B", 0x0800_0001)] {
        member.master.send(&("N", name, handle));
        assert_eq!(member.told(), format!("N {name}"));
    }
    member.say("U 7");
    member.say("D 7");
    assert_eq!(member.told(), "G A");
    member.master.send(&("D", 8));
    assert_eq!((member.told(), member.told()), ("G B".to_owned(), "X 8".to_owned()));
}

#[test]
fn stat_tells_what_the_harbor_service_knows_and_the_addresses() {
    let mut member = member();
    let (_other, address) = listen();
    member.master.send(&("C", 7, address.to_string()));
    assert_eq!(member.told(), "S # 7");
    member.master.send(&("D", 9));
    assert_eq!(member.told(), "X 9");
    let stat = member.node.lua1("return harbor.nodes()");
    assert_eq!(stat, format!("{{7={{address={address},state=CONTENT}},9={{gone=true}}}}"));
}

// -- the master is lost

#[test]
fn a_lost_master_is_found_again_and_told_the_names() {
    let mut member = member_rs();
    member.begin("lost", "harbor.linkmaster()");
    let me = member.node.lua1("harbor.globalname 'MINE' return skynet.self()");
    assert_eq!(member.master.text(), format!("R MINE {me}"));
    member.master.send(&("N", "MINE", member.node.eval.as_u32()));
    member.master.send(&("N", "THEIRS", 0x0700_0001_u32));
    assert_eq!([member.told(), member.told(), member.told()], ["N MINE", "N MINE", "N THEIRS"]);
    member.begin("asks", "harbor.queryname 'LATER'");
    assert_eq!(member.master.text(), "Q LATER");
    let life = member.node.lua1("return require 'skynet.harbor.core'.incarnation()");

    member.master.0.shutdown(std::net::Shutdown::Both).expect("it is open");
    member.node.log.wait_for("Master disconnect");
    assert_eq!(member.end("lost"), [""; 0]);
    let hello = member.back();
    assert_eq!((hello[0].as_str(), &hello[1]), (Some("H"), &Value::Integer(200)));
    let Value::Table(extra) = &hello[3] else { panic!("skynet-rs says who it is") };
    assert_eq!(extra.get("i").and_then(Value::as_str), Some(life.as_str()));
    // It has started already, and cannot host any more.
    assert_eq!((life, extra.get("host")), (format!("{LIFE:016x}"), Some(&Value::Integer(0))));
    member.master.send(&("W", 5, rs(&[])));
    assert_eq!(member.master.text(), format!("R MINE {me}"));
    assert_eq!(member.master.text(), "Q LATER");
    assert_eq!(member.told(), "G THEIRS", "it may have gone while nobody told");
    member.master.send(&("N", "LATER", 0x0700_0002_u32));
    assert_eq!(member.end("asks"), ["117440514"]);
    member.node.log.wait_for("is back");
    member.begin("again", "harbor.linkmaster()");
    member.node.lua("skynet.sleep(2)");
    assert_eq!(member.node.lua1("return again"), "nil");
}

#[test]
fn names_of_nodes_of_skynet_are_kept_since_nobody_would_tell_them_again() {
    let mut member = member();
    member.master.send(&("N", "THEIRS", 0x0700_0001_u32));
    assert_eq!(member.told(), "N THEIRS");
    member.say("U 7");
    member.node.lua("harbor.connect(7)");
    member.master.0.shutdown(std::net::Shutdown::Both).expect("it is open");
    member.back();
    member.master.send(&("W", 0));
    member.node.log.wait_for("is back");
    assert_eq!(member.node.lua1("return harbor.queryname('THEIRS', 0)"), "117440513");
}

#[test]
fn a_member_that_is_refused_when_it_comes_back_lives_on_and_asks_again() {
    let mut member = member_rs();
    member.master.0.shutdown(std::net::Shutdown::Both).expect("it is open");
    member.back();
    member.master.send(&("E", "Slave 200 already register on 10.0.0.1:2526"));
    member
        .node
        .log
        .wait_for("does not take this node back: slave shakehand failed: the master says: Slave 200");
    member.back();
    member.master.send(&("W", 0));
    member.node.log.wait_for("is back");
}

#[test]
fn junk_from_the_master_ends_the_connection_and_not_the_node() {
    let mut member = member();
    let cases: [(Vec<u8>, &str); 7] = [
        (vec![0], "a package without bytes"),
        (vec![1, 0x1c], "Invalid serialize stream"),
        (package(&("N", "X", "text")), "N needs a name and a handle"),
        (package(&("N", 1, 1)), "N needs a name and a handle"),
        (package(&("C", 300, "a:1")), "C needs an id"),
        (package(&("C", 3)), "C needs an address"),
        (package(&("D", "x")), "D needs an id"),
    ];
    for (bytes, reason) in cases {
        member.master.write(&bytes);
        member.node.log.wait_for(&format!("the connection to the master is given up: {reason}"));
        member.back();
        member.master.send(&("W", 0));
    }
    member.master.send(&("Z", 1));
    member.master.send(&(false,));
    member.master.send(&("N", "A", 0x0700_0001_u32));
    assert_eq!(member.told(), "N A");
    member.node.log.wait_for("Invalid master message type Z");
}

#[test]
fn a_silent_master_of_skynet_rs_is_lost_and_one_of_skynet_is_not() {
    let set = |config: Config| config.set("harbor_down_after", "0.3");
    let classic = member_of(set, &("W", 0));
    let mut silent = member_of(set, &("W", 0, rs(&[])));
    assert_eq!(silent.master.values(), [Value::from("P")], "it gives signs of life");
    silent.master.send(&("P", 1));
    silent.node.log.wait_for("the master is silent for");
    silent.node.log.wait_for("Master disconnect");
    silent.back();
    assert!(!classic.node.log.has("Master disconnect"));
}

// -- the secret

fn proof(side: &str, theirs: &[u8], ours: &[u8]) -> Value {
    let mut mac = Hmac::<Sha256>::new_from_slice(b"open sesame").expect("any key will do");
    for part in [side.as_bytes(), &[200], theirs, ours] {
        mac.update(part);
    }
    Value::String(mac.finalize().into_bytes().to_vec())
}

const NONCE: &[u8] = b"0123456789abcdef";

/// A member with a secret says who it is.
fn with_secret() -> (Start, Peer, Vec<u8>) {
    let (listener, _) = listen();
    let started = start(config(200, &listener).set("harbor_secret", "open sesame"));
    let mut master = accept(&listener);
    let hello = master.values();
    let Value::Table(extra) = &hello[3] else { panic!("skynet-rs says who it is") };
    let Some(Value::String(nonce)) = extra.get("n").cloned() else { panic!("there is a nonce") };
    assert_eq!(nonce.len(), 16);
    (started, master, nonce)
}

#[test]
fn a_member_shows_that_it_knows_the_secret_once_the_master_has() {
    let (started, mut master, nonce) = with_secret();
    let ours = proof("master", &nonce, NONCE);
    master.send(&("A", Value::String(NONCE.to_vec()), ours));
    assert_eq!(master.values(), [Value::from("A"), proof("slave", NONCE, &nonce)]);
    master.send(&("W", 0, rs(&[])));
    started.log.wait_for("Shakehand ready");
}

#[test]
fn a_master_that_does_not_know_the_secret_is_not_joined() {
    type Answer = fn(&mut Peer, &[u8]);
    let cases: [(Answer, &str); 4] = [
        (
            |master, _| master.send(&("W", 0)),
            "harbor_secret is set here, and the master does not take part in it",
        ),
        (
            |master, nonce| {
                let theirs = proof("master", NONCE, nonce);
                master.send(&("A", Value::String(NONCE.to_vec()), theirs));
            },
            "the master does not know harbor_secret",
        ),
        (
            |master, nonce| {
                let theirs = proof("master", nonce, b"short");
                master.send(&("A", "short", theirs));
            },
            "the master does not know harbor_secret",
        ),
        (|master, _| master.send(&("A",)), "the master does not know harbor_secret"),
    ];
    for (answer, reason) in cases {
        let (started, mut master, nonce) = with_secret();
        answer(&mut master, &nonce);
        started.log.wait_for(&format!("slave shakehand failed: {reason}"));
        assert!(started.runtime.wait_within(DEADLINE), "the node ends");
    }
}

#[test]
fn a_member_without_the_secret_says_so() {
    let (listener, _) = listen();
    let started = start(config(200, &listener));
    let mut master = accept(&listener);
    master.values();
    master.send(&("A", Value::String(NONCE.to_vec()), Value::String(vec![0; 32])));
    started.log.wait_for("slave shakehand failed: the master has a harbor_secret, and none is set here");
    assert!(started.runtime.wait_within(Duration::from_secs(10)), "the node ends");
}

#[test]
fn a_member_behind_a_proxy_listens_elsewhere_than_it_is_reached() {
    let (listener, _) = listen();
    // Free again when it is dropped.
    let (_, inner) = listen();
    let behind = config(200, &listener).set("address", "game.example:2526").set("harbor_listen", inner);
    let started = start(behind);
    let mut master = accept(&listener);
    assert_eq!(master.values()[2].as_str(), Some("game.example:2526"));
    master.send(&("W", 1));
    started.log.wait_for("Waiting for 1 harbors");
    let mut seven = TcpStream::connect(inner).expect("it listens");
    seven.write_all(&[7]).expect("it is taken");
    started.log.wait_for("Harbor 7 connected (fd = ");
}

#[test]
fn a_member_whose_address_is_taken_ends_with_the_reason() {
    let (listener, _) = listen();
    let (_taken, address) = listen();
    let started = start(config(200, &listener).set("address", address));
    started.log.wait_for("Listen error");
    assert!(started.runtime.wait_within(DEADLINE), "the node ends");
}
