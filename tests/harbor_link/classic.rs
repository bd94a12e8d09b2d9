//! Links with peers of the original.

use skynet_rs::{CallError, Handle, MessageKind};

use crate::cluster::{Member, order};
use crate::peer::{Peer, frame};

/// The local id that a handle ends in.
fn local(handle: Handle) -> u32 {
    handle.local()
}

#[test]
fn a_peer_that_accepts_gets_the_id_then_the_hello_and_then_classic_frames() {
    let member = Member::start(1);
    let spy = member.spy();
    // Sent before there is a connection: it waits.
    member.tell(&spy, vec![order(Handle::from_u32(0x0200_0005), 0, "\x2cearly")]);
    member.wait_stat(2, "queue", |queue| *queue == 1.into());
    let mut peer = Peer::accept(&member, 2, false);
    peer.write(&[2]);
    let hello = peer.classic();
    assert_eq!((hello.source, hello.destination, hello.session), (0x0100_0000, 0x0700_0000, 0));
    assert!(hello.content.starts_with(b"SKRS\x01"));
    // Nothing more is said before the peer has been silent for a while: it may be a node of the newer kind.
    let first = peer.classic();
    assert_eq!(first, frame(spy.handle.as_u32(), 0x0a00_0005, 0, b"\x2cearly"));
    member.wait_up(2, 1);
    member.tell(&spy, vec![order(Handle::from_u32(0x0200_0005), 7, "\x2chello\x0a\x01")]);
    let wanted = frame(spy.handle.as_u32(), 0x0a00_0005, 7, b"\x2chello\x0a\x01");
    let bytes = [
        &b"\x00\x00\x00\x14\x2chello\x0a\x01"[..],
        &spy.handle.as_u32().to_be_bytes(),
        b"\x0a\x00\x00\x05\x00\x00\x00\x07",
    ];
    assert_eq!(wanted.classic(), bytes.concat());
    assert_eq!(peer.bytes(bytes.concat().len()), bytes.concat());
    assert_eq!(member.lives(2), "U");
    assert_eq!(member.stat(2, "form").as_str(), Some("classic"));
}

#[test]
fn a_peer_that_connects_may_send_its_frames_cut_anywhere() {
    let member = Member::start(1);
    let (spy, echo) = (member.spy(), member.echo());
    let mut peer = Peer::connect(&member, 200);
    let call = frame(0xc800_0007, 0x0a00_0000 | local(echo), 98, b"ping").classic();
    for byte in call {
        peer.write(&[byte]);
    }
    assert!(peer.classic().content.starts_with(b"SKRS"));
    // Once a frame has come that is no hello, the peer is known: nothing waits any more.
    assert_eq!(peer.classic(), frame(echo.as_u32(), 0x0100_0007, 98, b"ping"));
    let two = [
        frame(0xc800_0007, 0x0c00_0000 | local(spy.handle), 0, b"tag").classic(),
        frame(0x0500_0001, 0x0200_0000 | local(spy.handle), 0x8000_0001, &[7; 5000]).classic(),
    ];
    peer.write(&two.concat());
    let got = spy.got.wait_len(2);
    assert_eq!(
        (got[0].source.as_u32(), got[0].kind, &got[0].bytes[..]),
        (0xc800_0007, MessageKind::TRACE, &b"tag"[..])
    );
    // A redirected message: the source may be anybody's.
    assert_eq!(
        (got[1].source.as_u32(), got[1].session, got[1].bytes.len()),
        (0x0500_0001, -0x7fff_ffff, 5000)
    );
}

#[test]
fn what_finds_no_receiver_is_answered_with_an_error_also_for_local_id_0() {
    let member = Member::start(1);
    let mut peer = Peer::connect(&member, 2);
    assert!(peer.classic().content.starts_with(b"SKRS"));
    peer.write(&frame(0x02ab_cdef, 0x0a99_9999, 98, b"x").classic());
    assert_eq!(peer.classic(), frame(0x0199_9999, 0x07ab_cdef, 98, b""));
    peer.write(&frame(0x02ab_cdef, 0x0a00_0000, 0, b"x").classic());
    assert_eq!(peer.classic(), frame(0x0100_0000, 0x07ab_cdef, 0, b""));
    // An error is not answered; what must not cross is, and reaches nobody.
    peer.write(&frame(0x02ab_cdef, 0x0799_9999, 1, b"").classic());
    let text = frame(0x02ab_cdef, 0x0500_0000 | local(member.actor), 5, b"D 3");
    peer.write(&text.classic());
    assert_eq!(peer.classic(), frame(member.actor.as_u32(), 0x07ab_cdef, 5, b""));
    member.log.wait_for("Unknown destination :1999999 from :2abcdef type(10)");
    member.log.wait_for("Unknown destination :1000000 from :2abcdef type(10)");
    member.log.wait_for("Unknown destination :1999999 from :2abcdef type(7)");
    member.log.wait_for("its type 5 must not cross nodes");
}

#[test]
fn a_wrong_id_byte_ends_the_connection_and_what_waited_is_answered() {
    let member = Member::start(1);
    let spy = member.spy();
    member.tell(&spy, vec![order(Handle::from_u32(0x0200_0005), 3, "x")]);
    member.wait_stat(2, "queue", |queue| *queue == 1.into());
    let mut peer = Peer::accept(&member, 2, false);
    peer.write(&[9]);
    peer.wait_closed();
    member.log.wait_for("Invalid shakehand id (2) from fd = ");
    member.log.wait_for(" , harbor = 9");
    let got = spy.got.wait_len(1);
    assert_eq!((got[0].source.as_u32(), got[0].session, got[0].kind), (0x0200_0005, 3, MessageKind::ERROR));
    assert_eq!((member.stat(2, "state").as_str(), member.lives(2)), (Some("DOWN"), String::new()));
}

#[test]
fn bad_frames_end_the_life_and_every_caller() {
    for (bytes, line) in [
        (&b"\x01\x00\x00\x0c"[..], "Message is too long from harbor 2"),
        (b"\x00\x00\x00\x0b", "bad bytes from harbor 2: a frame of 11 bytes has no room"),
    ] {
        let member = std::sync::Arc::new(Member::start(1));
        let mut peer = Peer::connect(&member, 2);
        peer.write(&frame(0x0200_0001, 0x0700_0001, 0, b"").classic());
        member.wait_up(2, 1);
        let call = member.begin_call(Handle::from_u32(0x0200_0005));
        assert!(peer.classic().content.starts_with(b"SKRS"));
        assert_eq!(peer.classic().destination, 0x0a00_0005);
        peer.write(bytes);
        peer.wait_closed();
        assert!(matches!(call.join().expect("it ends").0, Err(CallError::Failed(_))));
        member.log.wait_for(line);
        member.wait_down(2, 1);
        // And new ones fail at once.
        let spy = member.spy();
        member.tell(&spy, vec![order(Handle::from_u32(0x0200_0005), 0, "x")]);
        assert_eq!(spy.got.wait_len(1)[0].kind, MessageKind::ERROR);
        let from = spy.handle.as_u32();
        member
            .log
            .wait_for(&format!("Drop message to harbor 2 from {from:x} to 2000005 (session = 0, msgsz = 1)"));
    }
}

#[test]
fn a_classic_peer_that_closes_may_come_back() {
    let member = Member::start(1);
    let echo = member.echo();
    for life in 1..=3 {
        let mut peer = Peer::connect(&member, 2);
        assert!(peer.classic().content.starts_with(b"SKRS"));
        peer.write(&frame(0x0200_0001, 0x0a00_0000 | local(echo), 5, b"again").classic());
        assert_eq!(peer.classic().content, b"again");
        member.wait_up(2, life);
        drop(peer);
        member.wait_down(2, life);
    }
}

#[test]
fn what_does_not_fit_into_a_classic_frame_is_refused_to_its_sender() {
    let member = Member::start(1);
    let spy = member.spy();
    let mut peer = Peer::connect(&member, 2);
    peer.write(&frame(0x0200_0001, 0x0700_0001, 0, b"").classic());
    member.wait_up(2, 1);
    assert!(peer.classic().content.starts_with(b"SKRS"));
    let to = Handle::from_u32(0x0200_0005);
    member.tell(&spy, vec![order(to, 1, vec![0; (1 << 24) - 12]), order(to, 2, vec![1; (1 << 24) - 13])]);
    let long = peer.classic();
    assert_eq!((long.session, long.content.len()), (2, (1 << 24) - 13));
    assert!(long.content.iter().all(|byte| *byte == 1));
    let got = spy.got.wait_len(1);
    assert_eq!((got[0].source, got[0].session, got[0].kind), (to, 1, MessageKind::ERROR));
    member.log.wait_for("msgsz = 16777204): over the limit of 16777203 bytes");
    // And one that is as long comes in.
    peer.write(&frame(0x0200_0001, 0x0a00_0000 | local(spy.handle), 9, &vec![2; (1 << 24) - 13]).classic());
    assert_eq!(spy.got.wait_len(2)[1].bytes.len(), (1 << 24) - 13);
}
