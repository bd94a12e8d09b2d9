//! Messages that are too long for one frame, and those that compress.

use std::time::{Duration, Instant};

use skynet_rs::{Config, Handle, MessageKind};

use crate::cluster::{Member, order};
use crate::peer::{Hello, Peer, ack};
use crate::support::DEADLINE;

fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

#[test]
fn two_hundred_megabytes_pass_while_small_calls_go_on() {
    let (one, two) = (Member::start(1), Member::start(2));
    one.link(&two);
    let (echo, from, to) = (two.echo(), one.spy(), two.spy());
    let large = noise(200 << 20, 3);
    one.tell(&from, vec![order(to.handle, 1, large.clone()), order(to.handle, 2, "behind it")]);
    let (mut calls, mut longest) = (0, Duration::ZERO);
    let start = Instant::now();
    while to.got.len() == 0 {
        let begun = Instant::now();
        assert_eq!(one.call(echo, "small").expect("it answers"), b"small");
        longest = longest.max(begun.elapsed());
        calls += 1;
        assert!(start.elapsed() < 6 * DEADLINE, "it does not arrive");
    }
    let got = to.got.wait_len(2);
    assert!(got[0].session == 1 && got[0].bytes == large, "it is not the same");
    assert_eq!((got[1].session, &got[1].bytes[..]), (2, &b"behind it"[..]));
    assert!(calls > 10, "{calls} calls beside it, the longest took {longest:?}");
    one.wait_stat(2, "bytes", |bytes| *bytes == 0.into());
}

#[test]
fn a_pair_keeps_its_order_and_others_do_not_wait() {
    let member = Member::with(1, Config::new().set("harbor_compress", 0));
    let (slow, quick) = (member.spy(), member.spy());
    let to = Handle::from_u32(0x0200_0005);
    let mut peer = Peer::connect(&member, 2);
    peer.greet(Hello::of(77));
    member.wait_up(2, 1);
    member.tell(&slow, vec![order(to, 1, noise(20 << 20, 5)), order(to, 2, "after")]);
    member.wait_stat(2, "bytes", |bytes| matches!(bytes, skynet_rs::packed::Value::Integer(1..)));
    member.tell(&quick, vec![order(to, 3, "between")]);
    let (mut seen, mut sum, mut frames) = (Vec::new(), 0, 0);
    let mut unacknowledged = 0;
    while seen.len() < 3 {
        let (flags, content) = peer.extended_raw();
        let session = content.get(11).copied().unwrap_or(0);
        match flags {
            0 => seen.push((session, sum)),
            2 => {
                sum += content.len() - 20;
                if sum == 20 << 20 {
                    seen.push((session, sum));
                }
            }
            _ => continue,
        }
        frames += 1;
        unacknowledged += content.len();
        // No more than a window comes before it is acknowledged.
        assert!(unacknowledged < (1 << 20) + 2 * 65536, "{unacknowledged}");
        if unacknowledged > 512 * 1024 {
            peer.write(&ack(frames));
            unacknowledged = 0;
        }
    }
    let order: Vec<u8> = seen.iter().map(|(session, _)| *session).collect();
    assert_eq!(order, [3, 1, 2]);
}

#[test]
fn what_compresses_takes_less_of_the_wire_and_arrives_whole() {
    let text = b"all work and no play makes jack a dull boy. ".repeat(4000);
    for (compress, is_less) in [("16384", true), ("0", false)] {
        let (one, two) = (Member::with(1, Config::new().set("harbor_compress", compress)), Member::start(2));
        let proxy = crate::proxy::Proxy::to(two.address());
        one.knows(2, proxy.address(), false);
        one.connect(2);
        one.wait_up(2, 1);
        let (from, to) = (one.spy(), two.spy());
        // The wire breaks if more comes than the compressed bytes.
        let limit = text.len() / 2;
        proxy.cut_after(limit);
        one.tell(&from, vec![order(to.handle, 0, text.clone()), order(to.handle, 0, &text[..60_000])]);
        let got = to.got.wait_len(2);
        assert!(got[0].bytes == text && got[1].bytes == text[..60_000]);
        assert_eq!(proxy.connections() == 1, is_less);
    }
}

#[test]
fn a_message_over_the_limit_of_either_side_is_refused_to_its_sender() {
    let one = Member::with(1, Config::new().set("harbor_message_max", 1_000_000));
    let two = Member::with(2, Config::new().set("harbor_message_max", 500_000));
    one.link(&two);
    for (member, other) in [(&one, &two), (&two, &one)] {
        let (from, to) = (member.spy(), other.spy());
        member.tell(
            &from,
            vec![order(to.handle, 1, noise(500_001, 1)), order(to.handle, 2, noise(500_000, 2))],
        );
        assert_eq!(to.got.wait_len(1)[0].session, 2);
        let got = from.got.wait_len(1);
        assert_eq!((got[0].session, got[0].kind), (1, MessageKind::ERROR));
        member.log.wait_for("msgsz = 500001): over the limit of 500000 bytes");
    }
    assert_eq!(one.lives(2), "U");
}

#[test]
fn many_large_messages_of_many_pairs_arrive_each_whole() {
    let (one, two) = (Member::start(1), Member::start(2));
    one.link(&two);
    let pairs: Vec<_> = (0..40).map(|_| (one.spy(), two.spy())).collect();
    for (number, (from, to)) in (0..).zip(&pairs) {
        let orders = (0..3).map(|part| order(to.handle, part + 1, noise(100_000 + number, number as u64)));
        one.tell(from, orders.collect());
    }
    for (number, (_, to)) in (0..).zip(&pairs) {
        let got = to.got.wait_len(3);
        assert_eq!(got.iter().map(|got| got.session).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(got.iter().all(|got| got.bytes == noise(100_000 + number, number as u64)));
    }
}
