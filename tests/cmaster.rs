//! `cmaster` in a real node, against slaves that are written from the protocol: of skynet, and of skynet-rs.

mod support;

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use skynet_rs::Config;
use skynet_rs::packed::{Table, Value};
use support::TestNode;
use support::package::{Peer, hex, package};

/// A node that is a master and no member.
struct Master {
    node: TestNode,
    port: u16,
}

fn master() -> Master {
    master_with(|config| config)
}

fn master_with(set: impl FnOnce(Config) -> Config) -> Master {
    let node = support::start(set(support::config().set("standalone", "127.0.0.1:0")), None);
    let line = node.log.wait_for("master listen socket 127.0.0.1:");
    let port = line.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("the line ends with it");
    Master { node, port }
}

impl Master {
    fn connect(&self) -> Peer {
        Peer::connect(self.port)
    }

    /// A node of skynet joins; how many nodes it is told to wait for.
    fn join(&self, id: u8) -> (Peer, String) {
        let mut peer = self.connect();
        peer.send(&("H", id, address(id)));
        let welcome = peer.text();
        (peer, welcome)
    }

    /// A node of skynet-rs joins.
    fn join_rs(&self, id: u8, life: &str) -> (Peer, Vec<Value>) {
        let mut peer = self.connect();
        peer.send(&("H", id, address(id), extra(&[("i", life)])));
        let welcome = peer.values();
        assert_eq!(welcome[0].as_str(), Some("W"));
        (peer, welcome)
    }

    /// A node that hosts what there is one of, comes back.
    fn join_as_host(&self, id: u8, life: &str) -> Peer {
        let mut peer = self.connect();
        let Value::Table(mut table) = extra(&[("i", life)]) else { unreachable!("it is one") };
        table.pairs.push((Value::from("host"), Value::Integer(1)));
        peer.send(&("H", id, address(id), Value::Table(table)));
        assert_eq!(peer.values()[0].as_str(), Some("W"));
        peer
    }
}

fn address(id: u8) -> String {
    format!("127.0.0.1:{}", 30000 + u16::from(id))
}

/// The table by which nodes of skynet-rs know each other.
fn extra(fields: &[(&str, &str)]) -> Value {
    let texts = fields.iter().map(|(key, text)| (Value::from(*key), Value::from(*text)));
    let pairs = [(Value::from("rs"), Value::Integer(1))].into_iter().chain(texts).collect();
    Value::Table(Table { array: Vec::new(), pairs })
}

fn field<'a>(values: &'a [Value], at: usize, key: &str) -> Option<&'a Value> {
    match values.get(at) {
        Some(Value::Table(table)) => table.get(key),
        other => panic!("value {at} is {other:?} and no table"),
    }
}

#[test]
fn a_node_of_skynet_rs_is_told_where_those_are_that_were_there_before() {
    let master = master();
    let (_classic, _) = master.join(1);
    let (mut two, _) = master.join_rs(2, "aaaa");
    let (mut three, _) = master.join_rs(3, "bbbb");
    let told = |peer: &mut Peer, count: usize| -> Vec<String> {
        let mut lines: Vec<String> = (0..count)
            .map(|_| {
                let values = peer.values();
                let [kind, id, address] = &values[..] else { panic!("{values:?}") };
                format!("{:?} {:?} {:?}", kind.as_str(), id, address.as_str())
            })
            .collect();
        lines.sort();
        lines
    };
    let line = |id: u8| format!("{:?} {:?} {:?}", Some("I"), Value::Integer(id.into()), Some(address(id)));
    assert_eq!(told(&mut two, 1), [line(1)]);
    assert_eq!(told(&mut three, 2), [line(1), line(2)]);
}

// -- the protocol of skynet

#[test]
fn a_cluster_of_skynet_nodes_is_served_byte_for_byte() {
    let master = master();
    let mut two = master.connect();
    two.write(&hex("14 | 0c 48 | 0a 02 | 7c 31 32 37 2e 30 2e 30 2e 31 3a 33 34 36 30 32"));
    assert_eq!(two.read(), Some(hex("0c 57 | 02")), "W 0");
    let mut three = master.connect();
    three.write(&hex("14 | 0c 48 | 0a 03 | 7c 31 32 37 2e 30 2e 30 2e 31 3a 33 34 36 30 33"));
    assert_eq!(
        two.read(),
        Some(hex("0c 43 | 0a 03 | 7c 31 32 37 2e 30 2e 30 2e 31 3a 33 34 36 30 33")),
        "C 3"
    );
    assert_eq!(three.read(), Some(hex("0c 57 | 0a 01")), "W 1");

    two.write(&hex("0e | 0c 52 | 34 50 59 4e 41 4d 45 | 22 0a 00 00 02"));
    let named = hex("0c 4e | 34 50 59 4e 41 4d 45 | 22 0a 00 00 02");
    assert_eq!(two.read().as_ref(), Some(&named), "the registrant hears of it too");
    assert_eq!(three.read().as_ref(), Some(&named));
    // An unknown name has no answer, a known one has.
    three.write(&hex("0a | 0c 51 | 3c 53 45 52 56 49 43 45"));
    three.write(&hex("09 | 0c 51 | 34 50 59 4e 41 4d 45"));
    assert_eq!(three.read().as_ref(), Some(&named));

    drop(two);
    assert_eq!(three.read(), Some(hex("0c 44 | 0a 02")), "D 2");
    for line in [
        "master listen socket 127.0.0.1:",
        "connect from 127.0.0.1:",
        "report 127.0.0.1:34602",
        "report 127.0.0.1:34603",
        "slave 2 is down",
    ] {
        master.node.log.wait_for(line);
    }
}

#[test]
fn a_handle_of_a_high_harbor_id_comes_through() {
    let master = master();
    let (mut slave, _) = master.join(200);
    slave.write(&hex("10 | 0c 52 | 24 43 32 30 30 | 32 07 00 00 c8 00 00 00 00"));
    assert_eq!(slave.read(), Some(hex("0c 4e | 24 43 32 30 30 | 32 07 00 00 c8 00 00 00 00")));
}

#[test]
fn a_package_may_come_byte_by_byte_and_several_at_once() {
    let master = master();
    let mut slave = master.connect();
    for byte in package(&("H", 9, "127.0.0.1:1")) {
        slave.write(&[byte]);
    }
    assert_eq!(slave.text(), "W 0");
    let mut both = package(&("R", "A", 0x0900_0001_u32));
    both.extend(package(&("R", "B", 0x0900_0002_u32)));
    slave.write(&both);
    assert_eq!((slave.text(), slave.text()), ("N A 150994945".to_owned(), "N B 150994946".to_owned()));
}

#[test]
fn a_live_node_of_skynet_keeps_its_id() {
    let master = master();
    let (mut holder, _) = master.join(7);
    let mut late = master.connect();
    late.send(&("H", 7, "127.0.0.1:99"));
    late.assert_closed();
    master.node.log.wait_for("error = Slave 7 already register on 127.0.0.1:30007");
    // The holder has not noticed anything.
    holder.send(&("R", "X", 0x0700_0001_u32));
    assert_eq!(holder.text(), "N X 117440513");
}

#[test]
fn a_dead_id_is_given_again() {
    let master = master();
    let (mut other, _) = master.join(1);
    for _ in 0..3 {
        let (slave, _) = master.join(2);
        assert_eq!(other.text(), "C 2 127.0.0.1:30002");
        drop(slave);
        assert_eq!(other.text(), "D 2");
    }
}

#[test]
fn a_newcomer_waits_only_for_those_who_will_connect_to_it() {
    let master = master();
    let (_old, welcome) = master.join(1);
    assert_eq!(welcome, "W 0");
    let (two, welcome) = master.join(2);
    assert_eq!(welcome, "W 1");
    drop(two);
    master.node.log.wait_for("slave 2 is down");
    // A node of skynet never connects twice to one id.
    assert_eq!(master.join(2).1, "W 0");
}

// -- names

#[test]
fn a_name_has_one_owner_while_its_node_lives() {
    let master = master();
    let (mut one, _) = master.join(1);
    let (mut two, _) = master.join(2);
    assert_eq!(one.text(), "C 2 127.0.0.1:30002");
    one.send(&("R", "BOSS", 0x0100_0009_u32));
    assert_eq!((one.text(), two.text()), ("N BOSS 16777225".to_owned(), "N BOSS 16777225".to_owned()));
    // A node of skynet that tries to take it hears who has it, and nobody else hears anything.
    two.send(&("R", "BOSS", 0x0200_0009_u32));
    assert_eq!(two.text(), "N BOSS 16777225");
    let line = master.node.log.wait_for("the global name BOSS belongs to");
    assert!(
        line.contains(
            ":01000009 (harbor 1, 127.0.0.1:30001): refused to :02000009 (harbor 2, 127.0.0.1:30002)"
        )
    );
    // A node may give a name of its own to another of its services.
    one.send(&("R", "BOSS", 0x0100_000a_u32));
    assert_eq!((one.text(), two.text()), ("N BOSS 16777226".to_owned(), "N BOSS 16777226".to_owned()));
}

#[test]
fn names_go_with_their_node() {
    let master = master();
    let (mut one, _) = master.join(1);
    let (mut two, _) = master.join(2);
    one.send(&("R", "BOSS", 0x0100_0009_u32));
    two.send(&("R", "OTHER", 0x0200_0001_u32));
    assert_eq!((two.text(), two.text()), ("N BOSS 16777225".to_owned(), "N OTHER 33554433".to_owned()));
    drop(one);
    assert_eq!(two.text(), "D 1");
    // The first has no answer, so what comes first is the answer to the second.
    two.send(&("Q", "BOSS"));
    two.send(&("Q", "OTHER"));
    assert_eq!(two.text(), "N OTHER 33554433");
    two.send(&("R", "BOSS", 0x0200_0009_u32));
    assert_eq!(two.text(), "N BOSS 33554441");
}

#[test]
fn a_node_of_skynet_rs_takes_a_name_back_and_hears_of_refusals() {
    let master = master();
    let (mut classic, _) = master.join(1);
    let (mut two, _) = master.join_rs(2, "aaaa");
    let (mut three, _) = master.join_rs(3, "bbbb");
    two.send(&("R", "BOSS", 0x0200_0009_u32));
    assert_eq!((two.text(), two.text()), ("C 3 127.0.0.1:30003 {}".to_owned(), "N BOSS 33554441".to_owned()));
    assert_eq!(three.text(), "N BOSS 33554441");
    three.send(&("R", "BOSS", 0x0300_0009_u32));
    assert_eq!(three.text(), "X BOSS 33554441 127.0.0.1:30002");
    // Somebody else's name, and a handle that has it no longer, are not taken back.
    three.send(&("U", "BOSS", 0x0200_0009_u32));
    two.send(&("U", "BOSS", 0x0200_0001_u32));
    two.send(&("U", "BOSS", 0x0200_0009_u32));
    assert_eq!((two.text(), three.text()), ("U BOSS 33554441".to_owned(), "U BOSS 33554441".to_owned()));
    three.send(&("R", "BOSS", 0x0300_0009_u32));
    assert_eq!(three.text(), "N BOSS 50331657");
    // A node of skynet does not know of removals.
    assert_eq!(classic.text(), "C 2 127.0.0.1:30002");
    assert_eq!(classic.text(), "C 3 127.0.0.1:30003");
    assert_eq!(
        (classic.text(), classic.text()),
        ("N BOSS 33554441".to_owned(), "N BOSS 50331657".to_owned())
    );
}

#[test]
fn what_cannot_be_a_name_is_not_registered() {
    let master = master();
    let (mut slave, _) = master.join(1);
    for name in ["", "1234567890123456", "42", ":01000001", ".local", "0x10", "nul\0"] {
        slave.send(&("R", name, 0x0100_0001_u32));
    }
    slave.send(&("R", "fifteen_bytes_x", 0x0100_0001_u32));
    assert_eq!(slave.text(), "N fifteen_bytes_x 16777217");
    assert_eq!(master.node.log.wait_for_count("slave 1 cannot register", 7).len(), 7);
}

// -- nodes of skynet-rs

#[test]
fn nodes_of_skynet_rs_are_told_of_each_other_as_such() {
    let master = master();
    let (mut one, welcome) = master.join_rs(1, "aaaa");
    assert_eq!(welcome[1], Value::Integer(0));
    assert_eq!(field(&welcome, 2, "peers"), Some(&Value::String(vec![0; 32])));
    let (mut classic, _) = master.join(2);
    assert_eq!(one.text(), "C 2 127.0.0.1:30002");
    let (_three, welcome) = master.join_rs(3, "cccc");
    assert_eq!(welcome[1], Value::Integer(2));
    let mut peers = vec![0; 32];
    peers[0] = 0b10;
    assert_eq!(field(&welcome, 2, "peers"), Some(&Value::String(peers)));
    let announced = one.values();
    assert_eq!(field(&announced, 3, "i"), Some(&Value::from("cccc")));
    assert_eq!(classic.text(), "C 3 127.0.0.1:30003");
}

#[test]
fn a_newcomer_with_a_live_id_is_told_who_has_it() {
    let master = master();
    let (mut holder, _) = master.join_rs(1, "aaaa");
    let mut late = master.connect();
    late.send(&("H", 1, "127.0.0.1:99", extra(&[("i", "bbbb")])));
    // The holder is asked for a sign of life, and gives one.
    while holder.values().len() != 2 {}
    holder.send(&("P",));
    assert_eq!(late.text(), "E Slave 1 already register on 127.0.0.1:30001");
    late.assert_closed();
}

#[test]
fn a_holder_that_does_not_answer_loses_its_id() {
    let master = master();
    let (mut other, _) = master.join(9);
    let (mut holder, _) = master.join_rs(1, "aaaa");
    holder.send(&("R", "BOSS", 0x0100_0001_u32));
    assert_eq!(other.text(), "C 1 127.0.0.1:30001");
    assert_eq!(other.text(), "N BOSS 16777217");
    let (mut late, _) = master.join_rs(1, "bbbb");
    assert_eq!((other.text(), other.text()), ("D 1".to_owned(), "C 1 127.0.0.1:30001".to_owned()));
    while holder.read().is_some() {}
    late.send(&("Q", "BOSS"));
    late.send(&("R", "BOSS", 0x0100_0002_u32));
    assert_eq!(late.text(), "N BOSS 16777218");
}

#[test]
fn a_process_that_comes_back_over_a_new_connection_replaces_the_old_one() {
    let master = master();
    let (mut other, _) = master.join(9);
    let (mut before, _) = master.join_rs(1, "aaaa");
    before.send(&("R", "BOSS", 0x0100_0001_u32));
    assert_eq!(other.text(), "C 1 127.0.0.1:30001");
    assert_eq!(other.text(), "N BOSS 16777217");
    let (mut after, _) = master.join_rs(1, "aaaa");
    while before.read().is_some() {}
    after.send(&("R", "BOSS", 0x0100_0001_u32));
    assert_eq!(after.text(), "N BOSS 16777217");
    // Nobody was told that the node had gone.
    assert_eq!(other.text(), "C 1 127.0.0.1:30001");
    assert_eq!(other.text(), "N BOSS 16777217");
    assert!(!master.node.log.has("is down"));
}

#[test]
fn a_silent_node_of_skynet_rs_is_lost_and_one_that_speaks_is_not() {
    let master = master_with(|config| config.set("harbor_down_after", "0.4"));
    let (mut other, _) = master.join(9);
    let (mut speaks, _) = master.join_rs(1, "aaaa");
    let (mut silent, _) = master.join_rs(2, "bbbb");
    assert_eq!(other.text(), "C 1 127.0.0.1:30001");
    assert_eq!(other.text(), "C 2 127.0.0.1:30002");
    // For each sign of life from the master one in return, for longer than the silence that is allowed.
    let heard = speaks.text_answering_pings(10);
    assert_eq!(heard, "I 9 127.0.0.1:30009 C 2 127.0.0.1:30002 D 2");
    assert_eq!(other.text(), "D 2");
    while silent.read().is_some() {}
    assert!(!master.node.log.has("slave 1 is down"));
    assert!(!master.node.log.has("slave 9 is down"), "a node of skynet may be silent");
}

trait AnswersPings {
    fn text_answering_pings(&mut self, count: usize) -> String;
}

impl AnswersPings for Peer {
    /// Answers so many signs of life; what else came, joined.
    fn text_answering_pings(&mut self, count: usize) -> String {
        let mut others = Vec::new();
        let mut pings = 0;
        while pings < count {
            let values = self.values();
            if values[0].as_str() == Some("P") {
                self.send(&("P",));
                pings += 1;
            } else {
                others.push(values);
            }
        }
        let words = others.iter().flatten().filter_map(|value| match value {
            Value::Integer(number) => Some(number.to_string()),
            other => other.as_str().map(str::to_owned),
        });
        words.collect::<Vec<_>>().join(" ")
    }
}

#[test]
fn the_first_member_of_skynet_rs_is_appointed_host_and_no_other_while_it_lives() {
    let master = master();
    let (_classic, _) = master.join(9);
    let (first, welcome) = master.join_rs(1, "aaaa");
    assert_eq!(field(&welcome, 2, "host"), Some(&Value::Integer(1)));
    let (_second, welcome) = master.join_rs(2, "bbbb");
    assert_eq!(field(&welcome, 2, "host"), None);
    drop(first);
    master.node.log.wait_for("slave 1 is down");
    let (_third, welcome) = master.join_rs(3, "cccc");
    assert_eq!(field(&welcome, 2, "host"), Some(&Value::Integer(1)));
}

/// Of two that join one after the other, the second as a host of before: what the first is told.
fn join_before_the_host(master: &Master) -> Vec<Value> {
    let before = master.node.log.count("connect from");
    std::thread::scope(|scope| {
        let newcomer = scope.spawn(|| master.join_rs(2, "bbbb"));
        master.node.log.wait_for_count("connect from", before + 1);
        let _host = master.join_as_host(1, "aaaa");
        newcomer.join().expect("it is welcome").1
    })
}

#[test]
fn a_host_of_before_stays_host_when_the_master_was_restarted() {
    let master = master();
    // The newcomer is first, but the master waits for a moment.
    let newcomer = join_before_the_host(&master);
    assert_eq!(field(&newcomer, 2, "host"), None);
}

#[test]
fn a_host_that_lost_only_its_connection_stays_host() {
    let master = master();
    let (host, welcome) = master.join_rs(1, "aaaa");
    assert_eq!(field(&welcome, 2, "host"), Some(&Value::Integer(1)));
    drop(host);
    master.node.log.wait_for("slave 1 is down");
    let newcomer = join_before_the_host(&master);
    assert_eq!(field(&newcomer, 2, "host"), None);
}

#[test]
fn a_host_that_came_too_late_counts_no_longer() {
    let master = master();
    let (mut host, _) = master.join_rs(1, "aaaa");
    host.send(&("R", "SERVICE", 0x0100_0007_u32));
    assert_eq!(host.text(), "N SERVICE 16777223");
    // It had been appointed before, and was away for long.
    let mut late = master.join_as_host(2, "bbbb");
    late.send(&("R", "SERVICE", 0x0200_0007_u32));
    assert!(late.text().starts_with("X SERVICE 16777223"));
    drop(host);
    master.node.log.wait_for("slave 1 is down");
    let (_newcomer, welcome) = master.join_rs(3, "cccc");
    assert_eq!(field(&welcome, 2, "host"), Some(&Value::Integer(1)));
}

// -- the secret

fn proof(secret: &str, side: &str, id: u8, theirs: &[u8], ours: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key will do");
    for part in [side.as_bytes(), &[id], theirs, ours] {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

const NONCE: &str = "0123456789abcdef";

/// Begins to join with a secret; what the master proves, and its nonce.
fn begin_secret(master: &Master) -> (Peer, Vec<u8>, Vec<u8>) {
    let mut slave = master.connect();
    slave.send(&("H", 5, address(5), extra(&[("i", "aaaa"), ("n", NONCE)])));
    let [kind, Value::String(nonce), Value::String(proof)] = &slave.values()[..] else {
        panic!("the master shows that it knows the secret")
    };
    assert_eq!(kind.as_str(), Some("A"));
    (slave, nonce.clone(), proof.clone())
}

#[test]
fn with_a_secret_both_sides_prove_that_they_know_it() {
    let master = master_with(|config| config.set("harbor_secret", "open sesame"));
    let (mut slave, nonce, masters) = begin_secret(&master);
    assert_eq!(nonce.len(), 16);
    assert_eq!(masters, proof("open sesame", "master", 5, NONCE.as_bytes(), &nonce));
    let ours = proof("open sesame", "slave", 5, &nonce, NONCE.as_bytes());
    slave.send(&("A", Value::String(ours)));
    assert_eq!(slave.text(), "W 0 {}");
    assert_ne!(begin_secret(&master).1, nonce);
}

#[test]
fn with_a_secret_strangers_are_refused() {
    let master = master_with(|config| config.set("harbor_secret", "open sesame"));
    let mut classic = master.connect();
    classic.send(&("H", 4, address(4)));
    classic.assert_closed();
    master.node.log.wait_for("error = harbor_secret is set here, and slave 4 does not take part in it");
    let mut without = master.connect();
    without.send(&("H", 6, address(6), extra(&[("i", "aaaa")])));
    assert_eq!(without.text(), "E harbor_secret is set here, and slave 6 does not take part in it");

    let (mut wrong, nonce, masters) = begin_secret(&master);
    wrong.send(&("A", Value::String(proof("guess", "slave", 5, &nonce, NONCE.as_bytes()))));
    assert_eq!(wrong.text(), "E slave 5 does not know harbor_secret");
    wrong.assert_closed();
    // What the master has shown is no proof of a slave's.
    let (mut echo, ..) = begin_secret(&master);
    echo.send(&("A", Value::String(masters)));
    assert_eq!(echo.text(), "E slave 5 does not know harbor_secret");
    let (mut junk, ..) = begin_secret(&master);
    junk.write(&[3, 0xff, 0xff, 0xff]);
    assert_eq!(junk.text(), "E slave 5 does not know harbor_secret");
    assert!(!master.node.log.has("report"));
}

// -- what is wrong

#[test]
fn a_handshake_that_is_none_is_refused_with_its_reason() {
    let master = master();
    let cases: [(Vec<u8>, &str); 10] = [
        (package(&("Q", "x")), "error = Invalid handshake type Q"),
        (package(&("H", 0, "a:1")), "error = Invalid slave id 0"),
        (package(&("H", 256, "a:1")), "error = Invalid slave id 256"),
        (package(&("H", "1", "a:1")), "error = Invalid slave id 1"),
        (package(&("H", 3)), "error = Invalid slave address nil"),
        (package(&("H", 4, "")), "error = Invalid slave address"),
        (package(&(1.5,)), "error = Invalid handshake type 1.5"),
        (package(&(Value::String(vec![7, 0x1b, 200]),)), "error = Invalid handshake type \\x07\\x1b\\xc8"),
        (vec![0], "error = a package without bytes"),
        (vec![1, 0x1c], "Invalid serialize stream"),
    ];
    for (bytes, reason) in cases {
        let mut peer = master.connect();
        peer.write(&bytes);
        peer.assert_closed();
        master.node.log.wait_for(reason);
    }
    // Who ends before it has said anything, and who ends in the middle.
    drop(master.connect());
    let mut half = master.connect();
    half.write(&[20, 0x0c]);
    drop(half);
    master.node.log.wait_for_count("error = closed", 2);
    assert_eq!(master.join(1).1, "W 0");
}

#[test]
fn a_slave_that_breaks_the_protocol_is_lost_and_nobody_else() {
    let master = master();
    let (mut other, _) = master.join(9);
    let cases: [(Vec<u8>, &str); 6] = [
        (package(&("R", "X", "text")), "R needs a handle"),
        (package(&("R", "X", 1_i64 << 32)), "R needs a handle"),
        (package(&("R", 5, 5)), "R needs a name"),
        (package(&("Q",)), "Q needs a name"),
        (vec![0], "a package without bytes"),
        (vec![1, 0xff], "Invalid serialize stream"),
    ];
    for (bytes, reason) in cases {
        let (mut slave, _) = master.join(2);
        slave.write(&bytes);
        while slave.read().is_some() {}
        master.node.log.wait_for(reason);
        assert_eq!((other.text(), other.text()), ("C 2 127.0.0.1:30002".to_owned(), "D 2".to_owned()));
    }
}

#[test]
fn a_message_of_an_unknown_type_is_logged_and_the_connection_kept() {
    let master = master();
    let (mut slave, _) = master.join(2);
    slave.send(&("Z", 1));
    slave.send(&(true,));
    slave.send(&("R", "A", 0x0200_0001_u32));
    assert_eq!(slave.text(), "N A 33554433");
    master.node.log.wait_for("Invalid slave message type Z");
    master.node.log.wait_for("Invalid slave message type true");
}

#[test]
fn who_says_nothing_is_sent_away() {
    let master = master_with(|config| config.set("harbor_down_after", "0.2"));
    let mut slow = master.connect();
    slow.write(&[10]);
    master.connect().assert_closed();
    slow.assert_closed();
    master.node.log.wait_for_count("error = no handshake in time", 2);
}

#[test]
fn strangers_are_limited_in_number() {
    let master = master();
    let crowd: Vec<Peer> = (0..256).map(|_| master.connect()).collect();
    master.node.log.wait_for_count("connect from", 256);
    master.connect().assert_closed();
    master.node.log.wait_for("256 others have not said who they are");
    drop(crowd);
    master.node.log.wait_for_count("error = closed", 256);
    assert_eq!(master.join(1).1, "W 0");
}

#[test]
fn a_slave_that_takes_nothing_in_is_lost_before_it_fills_the_memory() {
    let master = master();
    let (mut other, _) = master.join(9);
    let (stalled, _) = master.join(2);
    assert_eq!(other.text(), "C 2 127.0.0.1:30002");
    // Answers for one who does not read them: each question of 20 bytes has one of 25.
    let mut writer = stalled.0.try_clone().expect("it is open");
    let flood = std::thread::spawn(move || {
        use std::io::Write;
        let mut questions = package(&("R", "BOSS", 0x0200_0001_u32));
        for _ in 0..5000 {
            questions.extend(package(&("Q", "BOSS")));
        }
        while writer.write_all(&questions).is_ok() {}
    });
    let mut text = other.text();
    while text == "N BOSS 33554433" {
        text = other.text();
    }
    assert_eq!(text, "D 2");
    flood.join().expect("the connection ends");
    let memory: usize = master.node.runtime.services().iter().map(|(_, stat)| stat.memory).sum();
    assert!(memory < 64 << 20, "{memory}");
}

#[test]
fn a_master_whose_port_is_taken_ends_with_the_reason() {
    let (taken, address) = support::package::listen();
    let log = support::Log::default();
    let runtime = skynet_rs::Runtime::builder()
        .config(support::config().set("standalone", address))
        .boot()
        .log_to(log.sink())
        .start()
        .expect("the node starts");
    log.wait_for("Listen error");
    assert!(runtime.wait_within(Duration::from_secs(10)), "{:?}", log.lines());
    drop(taken);
}

#[test]
fn a_master_says_who_is_there() {
    let master = master();
    let (_one, _) = master.join(1);
    let (two, _) = master.join_rs(2, "aaaa");
    drop(two);
    master.node.log.wait_for("slave 2 is down");
    let stat = master.node.lua1("return skynet.call('.cmaster', 'lua', 'STAT')");
    assert_eq!(
        stat,
        "{1={address=127.0.0.1:30001,connected=true,rs=false},\
          2={address=127.0.0.1:30002,connected=false,host=true,rs=true}}"
    );
    assert_eq!(
        master.node.lua1("return skynet.call('.cmaster', 'lua', 'ADDRESS')"),
        format!("127.0.0.1:{}", master.port)
    );
}
