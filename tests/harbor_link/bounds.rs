//! A slow peer does not make the node grow.

use skynet_rs::packed::Value;
use skynet_rs::{Config, Handle, MessageKind};

use crate::cluster::{Member, order};
use crate::peer::{Hello, Peer, ack, frame};

const TO: Handle = Handle::from_u32(0x0200_0005);

fn errors(spy: &crate::cluster::Spy) -> usize {
    spy.got.all().iter().filter(|got| got.kind == MessageKind::ERROR).count()
}

#[test]
fn the_queue_before_a_link_holds_so_many_messages() {
    let member = Member::with(1, Config::new().set("harbor_queue_max", 10));
    let spy = member.spy();
    member.tell(&spy, (1..=15).map(|number| order(TO, number, "x")).collect());
    let got = spy.got.wait_len(5);
    assert_eq!(got.iter().map(|got| got.session).collect::<Vec<_>>(), [11, 12, 13, 14, 15]);
    member.log.wait_for("10 messages or 67108864 bytes wait (harbor_queue_max, harbor_queue_bytes_max)");
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    for number in 1..=10 {
        assert_eq!(peer.extended().session, number);
    }
    assert_eq!((member.stat(2, "dropped"), errors(&spy)), (5.into(), 5));
}

#[test]
fn frames_that_are_not_acknowledged_count() {
    let config = Config::new().set("harbor_queue_max", 10).set("harbor_queue_bytes_max", 5000);
    let member = Member::with(1, config);
    let spy = member.spy();
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.wait_up(2, 1);
    member.tell(&spy, (1..=11).map(|number| order(TO, number, "x")).collect());
    assert_eq!(spy.got.wait_len(1)[0].session, 11);
    (1..=10).for_each(|number| assert_eq!(peer.extended().session, number));
    peer.write(&ack(10));
    member.wait_stat(2, "queue", |queue| *queue == 0.into());
    // And so do bytes; one message that is longer than the limit goes if nothing else waits.
    member.tell(&spy, vec![order(TO, 12, vec![1; 9000]), order(TO, 13, "x")]);
    assert_eq!(spy.got.wait_len(2)[1].session, 13);
    assert_eq!(peer.extended().content.len(), 9000);
    peer.write(&ack(11));
    member.wait_stat(2, "bytes", |bytes| *bytes == 0.into());
    member.tell(&spy, vec![order(TO, 14, "x")]);
    assert_eq!(peer.extended().session, 14);
}

#[test]
fn a_classic_peer_that_does_not_read_costs_no_more_than_the_limit() {
    let member = Member::with(1, Config::new().set("harbor_queue_bytes_max", 1 << 20));
    let spy = member.spy();
    let mut peer = Peer::connect(&member, 2);
    peer.write(&frame(0x0200_0001, 0x0700_0001, 0, b"").classic());
    member.wait_up(2, 1);
    let mut sent = 0;
    // The system takes some megabytes itself.
    while errors(&spy) == 0 {
        member.tell(&spy, (0..10).map(|_| order(TO, 0, vec![7; 50_000])).collect());
        sent += 10;
        assert!(sent < 10_000, "it never refuses");
        member.stat(2, "bytes");
    }
    let Value::Integer(bytes) = member.stat(2, "bytes") else { panic!("a number") };
    assert!(bytes <= 1 << 20, "{bytes}");
    assert!(peer.classic().content.starts_with(b"SKRS"));
    // What was taken arrives, and then there is room again.
    let taken = sent - errors(&spy);
    (0..taken).for_each(|_| assert_eq!(peer.classic().content.len(), 50_000));
    member.tell(&spy, vec![order(TO, 5, "x")]);
    assert_eq!(peer.classic().session, 5);
}

#[test]
fn a_flood_of_dropped_messages_is_summed_up_in_the_log() {
    let member = Member::with(1, Config::new().set("harbor_queue_max", 1));
    let spy = member.spy();
    member.tell(&spy, (0..1000).map(|_| order(TO, 0, "x")).collect());
    spy.got.wait_len(999);
    assert_eq!(errors(&spy), 999);
    member.log.wait_for("more messages to harbor 2 were dropped in this second");
    assert!(member.log.count("Drop message to harbor 2") < 300);
    assert_eq!(member.stat(2, "dropped"), 999.into());
}
