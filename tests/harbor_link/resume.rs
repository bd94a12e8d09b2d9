//! A connection that breaks while both ends live.

use skynet_rs::packed::Value;
use skynet_rs::{Config, Handle, MessageKind};

use crate::cluster::{Member, Spy, order};
use crate::peer::{Hello, Peer, ack, frame};
use crate::proxy::Proxy;

/// Two nodes with a wire between them; the first connects.
fn wired(config: &Config) -> (Member, Member, Proxy) {
    let (one, two) = (Member::with(1, config.clone()), Member::with(2, config.clone()));
    let proxy = Proxy::to(two.address());
    one.knows(2, proxy.address(), false);
    one.connect(2);
    one.wait_up(2, 1);
    two.wait_up(1, 1);
    (one, two, proxy)
}

/// A number from a seed, for the next time another one.
fn random(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

/// The bytes of the message with this number: of many sizes, some in fragments, some that compress.
fn content(number: u32, state: &mut u64) -> Vec<u8> {
    let len = match random(state) % 40 {
        0 => 200_000,
        1 => 70_000,
        2..5 => 20_000,
        5..10 => 5_000,
        _ => random(state) as usize % 300,
    };
    let mut bytes = number.to_le_bytes().to_vec();
    let noise = random(state);
    bytes.extend(
        (0..len as u64)
            .map(|at| if noise.is_multiple_of(2) { at as u8 } else { (at.wrapping_mul(noise) >> 5) as u8 }),
    );
    bytes
}

fn numbers(spy: &Spy) -> Vec<u32> {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes[..4].try_into().expect("4 bytes"));
    spy.got.all().iter().map(|got| number(&got.bytes)).collect()
}

#[test]
fn nothing_is_lost_or_twice_or_out_of_order_wherever_the_connection_is_cut() {
    let (one, two, proxy) = wired(&Config::new().set("harbor_resume_window", 20));
    let mut state = 0x5eed_u64;
    let pairs = [(&one, one.spy(), two.spy()), (&two, two.spy(), one.spy())];
    let mut sent: u32 = 0;
    let mut wanted: Vec<Vec<Vec<u8>>> = vec![Vec::new(), Vec::new()];
    for round in 0..60 {
        proxy.cut_after((random(&mut state) % 400_000) as usize);
        for _ in 0..20 {
            for ((member, from, to), wanted) in pairs.iter().zip(&mut wanted) {
                let bytes = content(sent, &mut state);
                member.tell(from, vec![order(to.handle, 0, bytes.clone())]);
                wanted.push(bytes);
            }
            sent += 1;
        }
        if round % 4 == 0 {
            pairs[0].2.got.wait_len(sent as usize / 2);
        }
    }
    for ((_, _, to), wanted) in pairs.iter().zip(&wanted) {
        to.got.wait_len(sent as usize);
        assert_eq!(numbers(to), (0..sent).collect::<Vec<_>>());
        assert!(to.got.all().iter().zip(wanted).all(|(got, wanted)| got.bytes == *wanted));
    }
    // Once more at the handshake itself: it is some 150 bytes each way.
    for cut in 0..60 {
        proxy.cut();
        proxy.cut_after(cut * 5);
        for (member, from, to) in &pairs {
            member.tell(from, vec![order(to.handle, 0, content(sent, &mut state))]);
        }
        sent += 1;
        pairs.iter().for_each(|(_, _, to)| drop(to.got.wait_len(sent as usize)));
    }
    assert_eq!(numbers(&pairs[0].2), (0..sent).collect::<Vec<_>>());
    assert_eq!(numbers(&pairs[1].2), (0..sent).collect::<Vec<_>>());
    assert_eq!((one.lives(2), two.lives(1)), ("U".to_owned(), "U".to_owned()));
    assert!(proxy.connections() > 20, "{}", proxy.connections());
    assert!(matches!(one.stat(2, "resumed"), Value::Integer(20..)));
    // Everything was acknowledged, and nothing is kept.
    one.wait_stat(2, "bytes", |bytes| *bytes == 0.into());
    two.wait_stat(1, "queue", |queue| *queue == 0.into());
}

#[test]
fn what_is_sent_while_the_connection_is_broken_waits_for_the_next_one() {
    let (one, two, proxy) = wired(&Config::new().set("harbor_resume_window", 20));
    let echo = two.echo();
    proxy.keep_cut(true);
    one.wait_stat(2, "state", |state| state.as_str() != Some("HEADER"));
    let one = std::sync::Arc::new(one);
    let calls: Vec<_> = (0..5).map(|_| one.begin_call(echo)).collect();
    one.wait_stat(2, "queue", |queue| matches!(queue, Value::Integer(5..)));
    proxy.keep_cut(false);
    for call in calls {
        assert_eq!(call.join().expect("it ends").0.expect("it is answered"), b"waits");
    }
    assert_eq!(one.lives(2), "U");
}

#[test]
fn a_life_ends_when_the_window_is_over() {
    let (one, two, proxy) = wired(&Config::new().set("harbor_resume_window", 0.2));
    let (one, mute) = (std::sync::Arc::new(one), two.mute());
    let in_flight = one.begin_call(mute);
    one.wait_stat(2, "calls", |calls| *calls == 1.into());
    proxy.keep_cut(true);
    let spy = one.spy();
    let (answer, _) = in_flight.join().expect("it ends");
    answer.expect_err("the peer is down");
    one.wait_down(2, 1);
    two.wait_down(1, 1);
    one.tell(&spy, vec![order(mute, 0, "x"), order(mute, 9, "x")]);
    let got = spy.got.wait_len(2);
    assert!(got.iter().all(|got| got.kind == MessageKind::ERROR && got.source == mute));
    // The request that was under way may count, too.
    assert!(matches!(one.stat(2, "dropped"), Value::Integer(2 | 3)));
    // The wire is mended: the end that had connected tries again by itself.
    proxy.keep_cut(false);
    one.wait_up(2, 2);
    two.wait_up(1, 2);
    assert_eq!(one.call(two.echo(), "healed").expect("it answers"), b"healed");
}

#[test]
fn a_scripted_peer_that_comes_back_gets_what_it_had_not_received() {
    let member = Member::with(1, Config::new().set("harbor_resume_window", 20));
    let (spy, to) = (member.spy(), Handle::from_u32(0x0200_0005));
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.wait_up(2, 1);
    // In one batch; the third beside it, since it is long.
    let contents: Vec<Vec<u8>> = vec![vec![1], vec![2; 100], vec![3; 9000], vec![4]];
    member.tell(&spy, contents.iter().map(|content| order(to, 0, content.clone())).collect());
    for content in &contents {
        assert_eq!(peer.extended().content, *content);
    }
    peer.write(&frame(0x0200_0001, 0x0a00_0000 | spy.handle.local(), 0, b"first").extended());
    spy.got.wait_len(1);
    for received in [1, 2, 3, 4] {
        drop(peer);
        member.wait_stat(2, "state", |state| state.as_str() == Some("BROKEN"));
        peer = Peer::connect(&member, 2);
        let hello = Hello { knows: member.incarnation, received, ..Hello::of(77) };
        let theirs = peer.greet(hello);
        assert_eq!((theirs.knows, theirs.received), (77, received));
        for content in &contents[received as usize..] {
            assert_eq!(peer.extended().content, *content);
        }
        // What the member has already is passed over; numbers go on from there.
        peer.write(&frame(0x0200_0001, 0x0a00_0000 | spy.handle.local(), 0, b"next").extended());
        spy.got.wait_len(1 + received as usize);
    }
    peer.write(&ack(4));
    member.wait_stat(2, "queue", |queue| *queue == 0.into());
    assert_eq!((member.lives(2), member.stat(2, "resumed")), ("U".to_owned(), 4.into()));
}

#[test]
fn a_new_connection_takes_over_from_one_that_still_seems_to_be_there() {
    let member = Member::start(1);
    let (spy, to) = (member.spy(), Handle::from_u32(0x0200_0005));
    let mut old = Peer::connect(&member, 2);
    old.greet(Hello::of(77));
    member.wait_up(2, 1);
    member.tell(&spy, vec![order(to, 0, "a")]);
    assert_eq!(old.extended().content, b"a");
    let mut new = Peer::connect(&member, 2);
    // A stranger who says nothing more disturbs nobody.
    member.tell(&spy, vec![order(to, 0, "b")]);
    assert_eq!(old.extended().content, b"b");
    new.greet(Hello { knows: member.incarnation, received: 1, ..Hello::of(77) });
    old.wait_closed();
    assert_eq!(new.extended().content, b"b");
    // A frame that came on both is taken once.
    assert_eq!(member.lives(2), "U");
}

#[test]
fn a_connection_that_comes_to_nothing_changes_not_who_connects() {
    let member = Member::with(1, Config::new().set("harbor_resume_window", 600));
    let (peer, listener) = Peer::linked(&member);
    // Its Lua side had begun a connection as well, and drops it when it hears of the link.
    let mut other = Peer::connect(&member, 2);
    other.classic();
    drop(other);
    // The harbor service has heard of the end when it takes the next one, which it drops itself.
    let mut next = Peer::connect(&member, 2);
    next.classic();
    next.write(&frame(0, 0, 0, &[0; 20]).classic());
    next.wait_closed();
    drop(peer);
    let mut peer = Peer::accepted(&member, 2, &listener);
    peer.write(&[2]);
    peer.greet(Hello { knows: member.incarnation, ..Hello::of(77) });
    member.log.wait_for("the link to harbor 2 goes on over a new connection");
    assert_eq!(member.lives(2), "U");
}

#[test]
fn a_restarted_peer_gets_nothing_of_its_former_life() {
    let member = std::sync::Arc::new(Member::with(1, Config::new().set("harbor_resume_window", 20)));
    let to = Handle::from_u32(0x0200_0005);
    let spy = member.spy();
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.wait_up(2, 1);
    let call = member.begin_call(to);
    assert_eq!(peer.extended().destination, 0x0a00_0005);
    // Half of a long message came.
    let half = [
        &[2, 0, 0, 21][..],
        &0x0200_0001_u32.to_be_bytes(),
        &[10, 0, 0, 0],
        &[0; 4],
        &[0, 0, 0, 2],
        &[0; 4],
        b"h",
    ];
    peer.write(&half.concat());
    drop(peer);
    member.wait_stat(2, "state", |state| state.as_str() == Some("BROKEN"));
    member.tell(&spy, vec![order(to, 0, "for the old life"), order(to, 4, "too")]);
    member.wait_stat(2, "queue", |queue| matches!(queue, Value::Integer(3..)));
    let mut peer = Peer::connect(&member, 2);
    let theirs = peer.greet(Hello::of(78));
    assert_eq!(theirs.knows, 77);
    member.wait_up(2, 2);
    call.join().expect("it ends").0.expect_err("who was asked is gone");
    let got = spy.got.wait_len(2);
    assert!(got.iter().all(|got| got.kind == MessageKind::ERROR && got.source == to));
    member.tell(&spy, vec![order(to, 0, "for the new life")]);
    assert_eq!(peer.extended().content, b"for the new life");
    assert_eq!(member.lives(2), "UDU");
}

#[test]
fn a_peer_that_has_given_the_life_up_begins_a_new_one_on_both_sides() {
    let member = Member::with(1, Config::new().set("harbor_resume_window", 20));
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.wait_up(2, 1);
    drop(peer);
    member.wait_stat(2, "state", |state| state.as_str() == Some("BROKEN"));
    // The same process, which says that it knows nobody.
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.wait_up(2, 2);
    assert_eq!(member.lives(2), "UDU");
    // One that claims what it cannot have.
    drop(peer);
    member.wait_stat(2, "state", |state| state.as_str() == Some("BROKEN"));
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello { knows: member.incarnation, received: 1000, ..Hello::of(77) });
    peer.wait_closed();
    member.wait_down(2, 2);
    member.log.wait_for("it lost count of what it received");
}

#[test]
fn a_life_that_only_the_peer_has_heard_of_goes_on() {
    let member = Member::with(1, Config::new().set("harbor_resume_window", 20));
    let spy = member.spy();
    // The peer has the member's switch, and the member not the peer's: the connection breaks in between.
    let mut peer = Peer::connect(&member, 2);
    peer.write(&Hello::of(77).frame(2).classic());
    assert_eq!(Hello::read(&peer.classic()).knows, 0);
    assert_eq!(peer.classic().content, b"SKRX");
    drop(peer);
    member.wait_stat(2, "state", |state| state.as_str() == Some("WAIT"));
    let mut peer = Peer::connect(&member, 2);
    let theirs = peer.greet(Hello { knows: member.incarnation, ..Hello::of(77) });
    assert_eq!((theirs.knows, theirs.received), (77, 0));
    peer.write(&frame(0x0200_0001, 0x0a00_0000 | spy.handle.local(), 0, b"first").extended());
    assert_eq!(spy.got.wait_len(1)[0].bytes, b"first");
    assert_eq!(member.lives(2), "U");
}

#[test]
fn a_peer_that_has_heard_the_end_of_a_life_and_spoken_of_the_next_gets_it_at_once() {
    // A peer that was down for the other, and has got its hello on a connection that then broke.
    let member = Member::with(1, Config::new().set("harbor_resume_window", 20));
    let spy = member.spy();
    let first = |number| frame(0x0200_0001, 0x0a00_0000 | spy.handle.local(), number, b"first").extended();
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    peer.write(&first(0));
    spy.got.wait_len(1);
    drop(peer);
    member.wait_stat(2, "state", |state| state.as_str() == Some("BROKEN"));
    let mut peer = Peer::connect(&member, 2);
    let theirs = peer.greet(Hello { knows: member.incarnation, flags: 2, ..Hello::of(77) });
    assert_eq!((theirs.knows, theirs.received, theirs.flags), (77, 1, 0));
    member.wait_up(2, 2);
    // Both count from the beginning.
    peer.write(&first(0));
    spy.got.wait_len(2);
    assert_eq!(member.lives(2), "UDU");
}

#[test]
fn a_member_that_has_only_heard_of_a_life_says_so_and_begins_it_anew() {
    let member = Member::with(1, Config::new().set("harbor_resume_window", 20));
    let mut peer = Peer::connect(&member, 2);
    peer.write(&Hello::of(77).frame(2).classic());
    peer.classic();
    peer.classic();
    drop(peer);
    member.wait_stat(2, "state", |state| state.as_str() == Some("WAIT"));
    // To the peer it is a life in which frames have come, that it has not heard the end of.
    let mut peer = Peer::connect(&member, 2);
    let theirs = peer.greet(Hello { knows: member.incarnation, received: 5, ..Hello::of(77) });
    assert_eq!((theirs.knows, theirs.received, theirs.flags), (77, 0, 2));
    member.wait_up(2, 1);
    assert_eq!(member.lives(2), "U");
}

#[test]
fn a_count_that_is_out_of_date_ends_no_life() {
    let member = Member::with(1, Config::new().set("harbor_resume_window", 20));
    let spy = member.spy();
    let to = Handle::from_u32(0x0200_0005);
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.tell(&spy, vec![order(to, 0, "one")]);
    assert_eq!(peer.extended().content, b"one");
    // The hello of a new connection is written before what comes on the older one is acknowledged.
    let mut early = Peer::connect(&member, 2);
    early.write(&Hello { knows: member.incarnation, ..Hello::of(77) }.frame(2).classic());
    peer.write(&ack(1));
    member.wait_stat(2, "queue", |queue| *queue == 0.into());
    early.write(&frame(0x0200_0000, 0x0700_0000, 0, b"SKRX").classic());
    early.wait_closed();
    member.tell(&spy, vec![order(to, 0, "two")]);
    assert_eq!(peer.extended().content, b"two");
    assert_eq!(member.lives(2), "U");
}
