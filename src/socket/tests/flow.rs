//! Much to write: order, warnings, priorities.

use super::SocketEventKind::{Close, Error, Warning};
use super::*;

const MIB: usize = 1 << 20;

#[test]
fn a_hundred_megabytes_arrive_in_order_at_a_slow_reader() {
    let net = net();
    let (id, mut peer) = net.pair();
    let len = 100 * MIB;
    let reader = std::thread::spawn(move || {
        let (mut next, mut buffer) = (0_u64, vec![0; 1 << 20]);
        let mut held = Vec::new();
        let mut sum = 0;
        // Small reads after large ones, so that writes find room of every size.
        for size in [1, 100, 7_000, 1 << 16, 1 << 20].into_iter().cycle() {
            let count = peer.read(&mut buffer[..size]).expect("it comes in time");
            sum += count;
            held.extend_from_slice(&buffer[..count]);
            let whole = held.len() / 8 * 8;
            for word in held[..whole].chunks_exact(8) {
                assert_eq!(word, next.to_le_bytes());
                next += 1;
            }
            held.drain(..whole);
            if count == 0 || sum == len {
                break;
            }
        }
        sum
    });
    let mut next = 0_u64;
    let mut sent = 0;
    let mut size = 8;
    while sent < len {
        let count = (len - sent).min(size) / 8;
        let bytes: Vec<u8> = (next..next + count as u64).flat_map(u64::to_le_bytes).collect();
        assert!(net.send(id, &bytes));
        (next, sent) = (next + count as u64, sent + bytes.len());
        size = if size > 200_000 { 8 } else { size * 2 };
    }
    assert_eq!(reader.join().expect("all is in order"), len);
    let mut last = None;
    loop {
        match net.next_of(id) {
            (Warning, kib, _) => last = Some(kib),
            other => break assert_eq!(other, seen(Close, 0, "")),
        }
    }
    let info = net.info(id).expect("its owner has not closed it");
    assert_eq!((info.written, info.waiting, last.unwrap_or(0)), (len as u64, 0, 0));
}

#[test]
fn what_is_sent_before_the_start_is_written_and_nothing_is_read() {
    let net = net();
    let (listener, port) = net.listen();
    let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    peer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let (id, _) = net.accept(listener);
    peer.write_all(b"early").expect("there is room");
    let len = net.fill(id);
    let more = 8 * MIB - len % MIB;
    assert!(net.send(id, &vec![b'f'; more]));
    assert!(read_exactly(&mut peer, len + more).iter().all(|byte| *byte == b'f'));
    while net.waiting(id) > 0 {
        std::thread::yield_now();
    }
    // Its start is the first all the same.
    net.sockets.start(other(), id);
    let (to, event) = loop {
        let (to, event) = net.next();
        if event.kind != Warning {
            break (to, event);
        }
    };
    assert_eq!((to, event.id, event.as_text()), (other(), id, "start"));
    let (to, event) = net.next();
    assert_eq!((to, event.as_bytes()), (other(), &b"early"[..]));
    net.sockets.start(owner(), id);
    assert_eq!(net.next_of(id), seen(SocketEventKind::Connect, 0, "transfer"));
    assert_eq!(net.info(id).map(|info| info.kind), Some(SocketKind::Tcp));
}

#[test]
fn a_peer_that_floods_leaves_a_turn_to_the_others() {
    let net = net();
    let (loud, mut flood) = net.pair();
    let (quiet, mut peer) = net.pair();
    net.sockets.start(other(), loud);
    net.next();
    let stop = Arc::new(AtomicBool::new(false));
    let writer = {
        let stop = stop.clone();
        std::thread::spawn(
            move || {
                while !stop.load(Ordering::Relaxed) && flood.write_all(&[0; 65536]).is_ok() {}
            },
        )
    };
    for _ in 0..20 {
        peer.write_all(b"x").expect("there is room");
        while net.next().1.id != quiet {}
    }
    stop.store(true, Ordering::Relaxed);
    net.sockets.shutdown(loud);
    writer.join().expect("no panic");
}

#[test]
fn warnings_double_and_the_last_one_says_that_all_is_written() {
    let net = net();
    let (id, _ours, mut peer) = net.still_pair();
    let mut sum = net.fill(id);
    let push = |want: usize| {
        let more = want - net.waiting(id);
        assert!(net.send(id, &vec![0; more]));
        more
    };
    sum += push(MIB - 1);
    net.assert_quiet();
    for (want, kib) in [(MIB, 1024), (2 * MIB + 1, 2049), (4 * MIB, 4096)] {
        sum += push(want);
        assert_eq!(net.next_of(id), seen(Warning, kib, ""));
    }
    sum += push(8 * MIB - 1);
    net.assert_quiet();
    assert_eq!(read_exactly(&mut peer, sum).len(), sum);
    assert_eq!(net.next_of(id), seen(Warning, 0, ""));
    sum = net.fill(id) + push(MIB);
    assert_eq!(net.next_of(id), seen(Warning, 1024, ""));
    read_exactly(&mut peer, sum);
    assert_eq!(net.next_of(id), seen(Warning, 0, ""));
    net.assert_quiet();
}

#[test]
fn one_large_send_is_one_warning() {
    let net = net();
    let (id, _ours, _peer) = net.still_pair();
    net.fill(id);
    net.send(id, &vec![0; 20 * MIB]);
    assert!(matches!(net.next_of(id), (Warning, kib, _) if kib >= 20 * 1024));
    net.assert_quiet();
    net.send(id, b"x");
    assert_eq!(net.next_of(id).0, Warning);
}

#[test]
fn low_priority_waits_for_all_that_is_normal() {
    let net = net();
    let (id, _ours, mut peer) = net.still_pair();
    let low = |byte: u8, len| assert!(net.sockets.send(id, Payload::from(vec![byte; len]), Priority::Low));
    let filled = net.fill(id);
    low(b'l', 100);
    net.send(id, &[b'n'; 100]);
    low(b'm', 100);
    net.send(id, &[b'o'; 100]);
    let bytes = read_exactly(&mut peer, filled + 400);
    let order: Vec<u8> = bytes[filled..].chunk_by(u8::eq).map(|run| run[0]).collect();
    assert_eq!(order, b"nolm");
}

#[test]
fn a_low_priority_piece_that_was_begun_is_finished_first() {
    let net = net();
    let (id, _ours, mut peer) = net.still_pair();
    let filled = net.fill(id);
    // Larger than what the system takes at once: begun when the rest is written, and not finished.
    let len = 16 * MIB;
    assert!(net.sockets.send(id, Payload::from(vec![b'l'; len]), Priority::Low));
    assert_eq!(read_exactly(&mut peer, filled + 1)[filled], b'l');
    assert!(net.waiting(id) > 0);
    net.send(id, b"n");
    let bytes = read_exactly(&mut peer, len);
    assert_eq!((bytes.iter().filter(|byte| **byte == b'l').count(), bytes[len - 1]), (len - 1, b'n'));
}

#[test]
fn a_low_priority_is_none_where_nothing_waits() {
    let net = net();
    let (id, mut peer) = net.pair();
    assert!(net.sockets.send(id, Payload::from("low"), Priority::Low));
    assert_eq!((net.waiting(id), read_exactly(&mut peer, 3)), (0, b"low".to_vec()));
}

#[test]
fn a_reader_that_is_too_slow_is_cut_off_with_a_reason() {
    let net = net_with(Options { buffer_max: Some(MIB), ..Options::default() });
    let (id, _ours, _peer) = net.still_pair();
    net.fill(id);
    assert!(!net.send(id, &[0; MIB]));
    let (kind, _, text) = net.next_of(id);
    assert!(kind == Error && text.ends_with("over the limit of 1048576"), "{text}");
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    let line = net.log.recv_timeout(PATIENCE).expect("a line in the log");
    assert!(line.contains(&format!("closed {id}")) && line.contains(&text), "{line}");
    assert!(!net.send(id, b"x"));
    net.assert_quiet();
}

#[test]
fn many_senders_of_one_socket_lose_nothing() {
    let net = net();
    let (id, mut peer) = net.pair();
    const EACH: usize = 20_000;
    let senders: Vec<_> = (0..4_u8)
        .map(|name| {
            let sockets = net.sockets.clone();
            std::thread::spawn(move || {
                for at in 0..EACH as u32 {
                    let mut bytes = [name; 64];
                    bytes[..4].copy_from_slice(&at.to_le_bytes());
                    assert!(sockets.send(id, Payload::from(&bytes), Priority::Normal));
                }
            })
        })
        .collect();
    let mut next = [0_u32; 4];
    for _ in 0..4 * EACH {
        let piece = read_exactly(&mut peer, 64);
        let name = usize::from(piece[63]);
        assert_eq!(piece[..4], next[name].to_le_bytes());
        next[name] += 1;
    }
    senders.into_iter().for_each(|sender| sender.join().expect("all is taken"));
    assert_eq!((next, net.waiting(id)), ([EACH as u32; 4], 0));
}

#[test]
fn an_owner_that_does_not_come_to_its_events_stops_the_peer() {
    let net = net();
    let (id, ours, peer) = net.still_pair();
    peer.set_nonblocking(true).expect("it is a socket");
    let (mut sent, mut refused) = (0, 0);
    let read = || net.info(id).map_or(0, |info| info.read as usize);
    let start = crate::clock::real_now();
    // Nothing is taken from the channel meanwhile, as by a service that is busy.
    while refused < 1000 {
        match (&peer).write(&[b'x'; 4096]) {
            Ok(len) => (sent, refused) = (sent + len, 0),
            // Full: the engine has to catch up, or will not any more.
            Err(_) if read() < super::credit::UNDELIVERED_MAX / 2 => std::thread::yield_now(),
            Err(_) => refused += 1,
        }
        assert!(read() < super::credit::UNDELIVERED_MAX + MIB / 2, "the engine reads without end");
        assert!(crate::clock::real_now().since(start) < PATIENCE, "it stops too early, after {}", read());
    }
    drop(peer);
    // The owner catches up: all that was sent comes, then the end.
    assert_eq!(net.read(id, sent).len(), sent);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    drop(ours);
}

#[test]
fn pieces_sent_together_arrive_in_order_and_warn_at_the_given_size() {
    let net = net();
    let (id, _ours, mut peer) = net.still_pair();
    net.sockets.keep_short(id, 128 * 1024, 128 * 1024);
    let (mut sent, mut waiting) = (Vec::new(), 0);
    let mut pieces = 0_u32;
    while waiting < 300_000 {
        // More pieces than go with one system call, some of them empty, now and then a long one.
        let batch: Vec<Payload> = (0..100_u32)
            .map(|at| match at {
                17 => Payload::from(vec![at as u8; 5000]).share(),
                18 => Payload::empty(),
                _ => Payload::copy_from(&(pieces + at).to_le_bytes()),
            })
            .collect();
        batch.iter().for_each(|piece| sent.extend_from_slice(piece.as_bytes()));
        pieces += 100;
        waiting = net.sockets.send_many(id, batch).expect("it is open");
        assert_eq!(net.sockets.waiting(id), Some(waiting));
    }
    for least in [128, 256] {
        let (kind, kib, _) = net.next_of(id);
        assert!(kind == Warning && kib >= least && kib < 2 * least, "{kib}");
    }
    assert!(read_exactly(&mut peer, sent.len()) == sent);
    assert_eq!(net.next_of(id), seen(Warning, 0, ""));
    assert_eq!(net.sockets.send_many(id, [Payload::from("a"), Payload::from("b")]), Some(0));
    assert_eq!(read_exactly(&mut peer, 2), b"ab");
    net.sockets.close(id);
    assert_eq!(net.sockets.send_many(id, [Payload::from("c")]), None);
    assert_eq!(net.sockets.send_many(SocketId::new(-1), [Payload::from("c")]), None);
}
