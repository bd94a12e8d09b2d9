//! `harbor_secret`: who does not know it is refused.

use skynet_rs::{Config, Handle, MessageKind};

use crate::cluster::{Member, order};
use crate::peer::{Hello, Peer, frame};

fn with_secret(id: u8, secret: &str) -> Member {
    Member::with(id, Config::new().set("harbor_secret", secret).set("harbor_down_after", 1))
}

#[test]
fn two_nodes_with_the_same_secret_are_linked() {
    let (one, two) = (with_secret(1, "sesame"), with_secret(2, "sesame"));
    one.link(&two);
    assert_eq!(one.call(two.echo(), "x").expect("it answers"), b"x");
}

#[test]
fn nodes_with_different_secrets_or_with_one_only_are_refused_with_the_reason() {
    let cases = [
        (Some("other"), "its harbor_secret is another one"),
        (None, "it has no harbor_secret, and this node has one"),
    ];
    for (secret, line) in cases {
        let one = with_secret(1, "sesame");
        let two = match secret {
            Some(secret) => with_secret(2, secret),
            None => Member::start(2),
        };
        one.knows(2, two.address(), false);
        one.connect(2);
        one.log.wait_for(&format!("harbor 2 is refused: {line}"));
        let spy = one.spy();
        one.tell(&spy, vec![order(two.echo(), 5, "x")]);
        assert_eq!(spy.got.wait_len(1)[0].kind, MessageKind::ERROR);
        assert_eq!((one.lives(2), two.lives(1)), (String::new(), String::new()));
    }
}

#[test]
fn the_node_without_a_secret_refuses_too() {
    let (one, two) = (Member::start(1), with_secret(2, "sesame"));
    let mut peer = Peer::connect(&one, 2);
    peer.write(&Hello { flags: 1, ..Hello::of(77) }.frame(2).classic());
    peer.wait_closed();
    one.log.wait_for("harbor 2 is refused: it has a harbor_secret, and this node has none");
    drop(two);
}

#[test]
fn no_message_passes_before_the_secret_is_proved() {
    let member = with_secret(1, "sesame");
    let spy = member.spy();
    let to_spy = 0x0a00_0000 | spy.handle.local();
    member.tell(&spy, vec![order(Handle::from_u32(0x0200_0005), 0, "waits")]);
    // A classic peer.
    let mut peer = Peer::connect(&member, 2);
    peer.write(&frame(0x0200_0001, to_spy, 0, b"classic").classic());
    assert_eq!(Hello::read(&peer.classic()).flags, 1);
    peer.wait_closed();
    member.log.wait_for("harbor 2 is refused: it speaks the classic form, which knows no secret");
    // One that says hello and goes on without the switch.
    let mut peer = Peer::connect(&member, 3);
    peer.write(&Hello { flags: 1, ..Hello::of(77) }.frame(3).classic());
    peer.write(&frame(0x0300_0001, to_spy, 0, b"unproved").classic());
    peer.wait_closed();
    member.log.wait_for("harbor 3 is refused: it sends messages before it has proved the secret");
    // One that repeats the member's own proof.
    let mut peer = Peer::connect(&member, 4);
    let theirs = Hello::read(&peer.classic());
    peer.write(&Hello { flags: 1, nonce: theirs.nonce, ..Hello::of(77) }.frame(4).classic());
    let switch = peer.classic();
    assert_eq!(switch.content.len(), 36);
    peer.write(&frame(0x0400_0000, 0x0700_0000, 0, &switch.content).classic());
    peer.wait_closed();
    member.log.wait_for("harbor 4 is refused: its harbor_secret is another one");
    // One that says nothing.
    let mut peer = Peer::connect(&member, 5);
    assert_eq!(Hello::read(&peer.classic()).flags, 1);
    peer.wait_closed();
    member.log.wait_for("harbor 5 is not taken: its handshake takes too long");
    // What waited was answered when the peer was refused; nothing came in.
    let got = spy.got.wait_len(1);
    assert_eq!((got.len(), got[0].kind), (1, MessageKind::ERROR));
}

#[test]
fn a_stranger_does_not_disturb_a_link_that_has_proved_the_secret() {
    let (one, two) = (with_secret(1, "sesame"), with_secret(2, "sesame"));
    one.link(&two);
    let echo = two.echo();
    for hello in [
        Hello { flags: 1, ..Hello::of(77) },
        Hello { flags: 1, knows: one.incarnation, ..Hello::of(two.incarnation) },
    ] {
        let mut peer = Peer::connect(&one, 2);
        peer.write(&hello.frame(2).classic());
        peer.write(&frame(0x0200_0000, 0x0700_0000, 0, b"SKRXguess").classic());
        peer.wait_closed();
        assert_eq!(one.call(echo, "still there").expect("it answers"), b"still there");
    }
    assert_eq!((one.lives(2), two.lives(1)), ("U".to_owned(), "U".to_owned()));
}
