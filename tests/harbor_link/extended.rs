//! Links between nodes of the newer kind.

use std::sync::Arc;

use skynet_rs::packed::Value;
use skynet_rs::{CallError, Config, Handle, MessageKind};

use crate::cluster::{Member, order};
use crate::peer::{Hello, Peer, ack, frame};

#[test]
fn two_nodes_agree_on_the_extended_form_by_themselves() {
    let (one, two) = (Member::start(1), Member::start(2));
    one.link(&two);
    let (echo_one, echo_two) = (one.echo(), two.echo());
    assert_eq!(one.call(echo_two, "there").expect("it answers"), b"there");
    assert_eq!(two.call(echo_one, "back").expect("it answers"), b"back");
    for (member, other) in [(&one, &two), (&two, &one)] {
        assert_eq!(member.stat(other.id, "form").as_str(), Some("extended"));
        let incarnation = format!("{:016x}", other.incarnation);
        assert_eq!(member.stat(other.id, "incarnation").as_str(), Some(&*incarnation));
        let up = format!("U {} {incarnation}", other.id);
        assert!(member.texts().all().contains(&up));
        member.wait_stat(other.id, "rtt_ms", |rtt| matches!(rtt, Value::Float(ms) if *ms >= 0.0));
        assert_eq!((member.lives(other.id), member.stat(other.id, "calls")), ("U".to_owned(), 0.into()));
    }
}

#[test]
fn messages_of_every_kind_cross_with_their_session_and_source() {
    let (one, two, spy) = (Member::start(1), Member::start(2), ());
    let () = spy;
    one.link(&two);
    let (from, to) = (one.spy(), two.spy());
    let mut orders = Vec::new();
    for kind in [0, 1, 2, 3, 6, 7, 8, 10, 11, 12, 77, 255] {
        let mut order = order(to.handle, i32::from(kind) - 5, vec![kind; usize::from(kind) * 100]);
        order.kind = MessageKind(kind);
        orders.push(order);
    }
    let mut redirected = order(to.handle, i32::MIN, "");
    redirected.source = Some(Handle::from_u32(0x0900_0001));
    orders.push(redirected);
    one.tell(&from, orders);
    let got = to.got.wait_len(13);
    for (got, kind) in got.iter().zip([0_u8, 1, 2, 3, 6, 7, 8, 10, 11, 12, 77, 255]) {
        assert_eq!(
            (got.kind, got.session, got.source),
            (MessageKind(kind), i32::from(kind) - 5, from.handle)
        );
        assert_eq!(got.bytes, vec![kind; usize::from(kind) * 100]);
    }
    assert_eq!((got[12].source.as_u32(), got[12].session, got[12].bytes.len()), (0x0900_0001, i32::MIN, 0));
    // Those of the engine and of the Lua side do not, and typed values do not either.
    for (kind, payload) in [(4, "x".into()), (5, "x".into()), (10, skynet_rs::Payload::typed(1))] {
        let mut order = order(to.handle, 5, "");
        (order.kind, order.payload) = (MessageKind(kind), payload);
        one.tell(&from, vec![order]);
    }
    let refused = from.got.wait(&"three are refused", |got| {
        got.iter().filter(|got| got.kind == MessageKind::ERROR && got.session == 5).count() == 3
    });
    assert!(refused.iter().all(|got| got.source == to.handle || got.kind != MessageKind::ERROR));
}

#[test]
fn a_scripted_peer_sees_these_bytes() {
    let member = Member::start(1);
    let echo = member.echo();
    let mut peer = Peer::accept(&member, 2, true);
    peer.write(&[2]);
    let theirs = peer.greet(Hello::of(77));
    assert_eq!((theirs.flags, theirs.incarnation), (0, member.incarnation));
    assert_eq!((theirs.knows, theirs.received), (0, 0));
    member.wait_up(2, 1);
    // It wants to know how far away we are.
    assert_eq!(peer.extended_raw(), (4, vec![2]));
    peer.write(&[4, 0, 0, 1, 3]);
    member.wait_stat(2, "rtt_ms", |rtt| matches!(rtt, Value::Float(_)));
    let call = frame(0x0200_0009, 0x0a00_0000 | echo.local(), 7, b"hi");
    peer.write(&call.extended());
    // The answer goes with the acknowledgement of what came, in front of it.
    assert_eq!(peer.extended_raw(), (4, b"\x01\0\0\0\0\0\0\0\x01".to_vec()));
    let answer = [&echo.as_u32().to_be_bytes()[..], b"\x01\x00\x00\x09\x00\x00\x00\x07hi"].concat();
    assert_eq!(peer.extended_raw(), (0, answer));
    assert_eq!(member.stat(2, "queue"), 1.into());
    peer.write(&ack(1));
    member.wait_stat(2, "queue", |queue| *queue == 0.into());
    // What needs no answer is acknowledged a little later.
    peer.write(&frame(0x0200_0009, 0x0a00_0000 | echo.local(), 0, b"").extended());
    assert_eq!(peer.extended_raw(), (4, b"\x01\0\0\0\0\0\0\0\x02".to_vec()));
}

#[test]
fn a_late_hello_turns_a_classic_link_into_an_extended_one() {
    let member = Member::start(1);
    let (spy, to) = (member.spy(), Handle::from_u32(0x0200_0005));
    let mut peer = Peer::accept(&member, 2, false);
    peer.write(&[2]);
    let theirs = Hello::read(&peer.classic());
    assert_eq!(theirs.incarnation, member.incarnation);
    member.wait_up(2, 1);
    member.tell(&spy, vec![order(to, 0, "old form")]);
    assert_eq!(peer.classic().content, b"old form");
    peer.write(&Hello::of(77).frame(2).classic());
    assert_eq!(peer.classic().content, b"SKRX");
    peer.write(&frame(0x0200_0000, 0x0700_0000, 0, b"SKRX").classic());
    member.tell(&spy, vec![order(to, 0, "new form")]);
    assert_eq!(peer.extended().content, b"new form");
    assert_eq!((member.lives(2), member.stat(2, "form").as_str()), ("U".to_owned(), Some("extended")));
}

#[test]
fn a_peer_that_is_known_to_be_of_the_newer_kind_is_waited_for_and_must_say_hello() {
    let member = Member::with(1, Config::new().set("harbor_down_after", 2));
    let (spy, to) = (member.spy(), Handle::from_u32(0x0200_0005));
    let mut peer = Peer::accept(&member, 2, true);
    peer.write(&[2]);
    assert!(peer.classic().content.starts_with(b"SKRS"));
    member.tell(&spy, vec![order(to, 0, "waits")]);
    member.wait_stat(2, "queue", |queue| *queue == 1.into());
    // Longer than a classic peer may be silent.
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!((member.lives(2), member.stat(2, "state").as_str()), (String::new(), Some("HANDSHAKE")));
    peer.write(&frame(0x0200_0001, 0x0a00_0001, 0, b"classic").classic());
    peer.wait_closed();
    member.log.wait_for("harbor 2 is refused: it is known as skynet-rs, but says no hello");
    assert_eq!(spy.got.wait_len(1)[0].kind, MessageKind::ERROR);
}

#[test]
fn bad_frames_are_named_and_end_the_life() {
    let member = Arc::new(Member::start(1));
    let cases: [(&[u8], &str); 4] = [
        (&[9, 0, 0, 20], "a frame has the unknown flags 0x09"),
        (&[0, 2, 0, 0], "a frame of 131072 bytes is over the limit of 66572"),
        (&[4, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 9], "9 frames are acknowledged, of 1 that were sent"),
        (
            &[2, 0, 0, 21, 2, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 5, 7],
            "a fragment at 5 does not continue its message, of which 0 bytes are there",
        ),
    ];
    for (life, (bytes, line)) in (1..).zip(cases) {
        let mut peer = Peer::connect(&member, 2);
        peer.greet(Hello::of(77));
        member.wait_up(2, life);
        let call = member.begin_call(Handle::from_u32(0x0200_0005));
        assert_eq!(peer.extended().destination, 0x0a00_0005);
        peer.write(bytes);
        peer.wait_closed();
        assert!(matches!(call.join().expect("it ends").0, Err(CallError::Failed(_))));
        member.log.wait_for(&format!("bad bytes from harbor 2: {line}"));
        member.wait_down(2, life);
    }
}

#[test]
fn two_connections_that_cross_leave_one_link() {
    let (one, two) = (Member::start(1), Member::start(2));
    one.knows(2, two.address(), false);
    two.knows(1, one.address(), false);
    for _ in 0..5 {
        one.connect(2);
        two.connect(1);
    }
    one.wait_up(2, 1);
    two.wait_up(1, 1);
    let (echo_one, echo_two) = (one.echo(), two.echo());
    for _ in 0..50 {
        assert_eq!(one.call(echo_two, "a").expect("it answers"), b"a");
        assert_eq!(two.call(echo_one, "b").expect("it answers"), b"b");
    }
    assert_eq!((one.lives(2), two.lives(1)), ("U".to_owned(), "U".to_owned()));
}

#[test]
fn a_stranger_of_either_form_does_not_end_an_extended_link() {
    let (one, two) = (Member::start(1), Member::start(2));
    one.link(&two);
    let echo = two.echo();
    let mut classic = Peer::connect(&one, 2);
    classic.write(&frame(0x0200_0001, 0x0a00_0001, 0, b"").classic());
    classic.wait_closed();
    one.log
        .wait_for("harbor 2 is refused: it speaks the classic form, and the peer that is connected does not");
    let silent = Peer::connect(&one, 2);
    std::thread::sleep(std::time::Duration::from_millis(400));
    assert_eq!(one.call(echo, "there").expect("it answers"), b"there");
    drop(silent);
    assert_eq!((one.lives(2), two.lives(1)), ("U".to_owned(), "U".to_owned()));
}

#[test]
fn commands_that_make_no_sense_are_logged() {
    let member = Member::start(1);
    for text in ["S x 2", "S 5", "A 5 0", "A 5 1", "A 5 256", "S 5 2 xy", "F 2", "F 2 sometimes", "X"] {
        member.say(text);
        member.log.wait_for(&format!("Invalid command {text}"));
    }
    member.say("Z 1");
    member.log.wait_for("Unknown command Z 1");
    // A socket that is none comes to nothing.
    member.say("S 12345 2");
    member.wait_stat(2, "state", |state| state.as_str() == Some("WAIT"));
}
