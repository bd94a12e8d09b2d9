//! The rows of the tables of states and events.

use std::os::fd::IntoRawFd;

use super::SocketEventKind::{Accept, Close, Connect, Data, Error};
use super::*;

#[test]
fn a_listener_tells_its_port_and_accepts_from_its_start_on() {
    let net = net();
    let id = net.sockets.listen(owner(), "", 0, BACKLOG).expect("it binds");
    let (kind, port, text) = net.next_of(id);
    assert!(kind == Connect && port > 0 && text == "0.0.0.0", "{kind:?} {port} {text}");
    let mut peer = TcpStream::connect(("127.0.0.1", port as u16)).expect("the system accepts");
    net.assert_quiet();
    net.sockets.start(owner(), id);
    assert_eq!(net.next_of(id), seen(Connect, 0, "start"));
    let (new, text) = net.accept(id);
    assert_eq!(text, peer.local_addr().expect("an address").to_string());
    peer.write_all(b"early").expect("there is room");
    net.assert_quiet();
    net.sockets.start(owner(), new);
    assert_eq!(net.next_of(new), seen(Connect, 0, "start"));
    assert_eq!(net.read(new, 5), b"early");
    assert!(net.send(new, b"hello"));
    assert_eq!(read_exactly(&mut peer, 5), b"hello");
}

#[test]
fn a_port_that_is_taken_is_known_at_once() {
    let net = net();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let error = net.sockets.listen(owner(), "127.0.0.1", port, BACKLOG).expect_err("it is taken");
    assert_eq!(error.to_string(), "Address already in use");
    assert_eq!(net.sockets.info().len(), 0);
    net.assert_quiet();
}

#[test]
fn a_port_may_be_shared_where_that_is_wanted() {
    let net = net_with(Options { reuse_port: true, ..Options::default() });
    let (_, port) = net.listen();
    assert!(net.sockets.listen(owner(), "127.0.0.1", port, BACKLOG).is_ok());
}

#[test]
fn a_connection_that_is_refused_is_an_error_and_no_socket() {
    let net = net();
    let port = {
        let gone = TcpListener::bind("127.0.0.1:0").expect("a port");
        gone.local_addr().expect("an address").port()
    };
    let id = net.sockets.connect(owner(), "127.0.0.1", port).expect("an id");
    assert_eq!(net.next_of(id), seen(Error, 0, "Connection refused"));
    assert!(!net.send(id, b"x"));
    net.sockets.close(id);
    net.assert_quiet();
}

#[test]
fn a_name_is_looked_up_and_all_its_addresses_are_tried() {
    let net = net();
    // Of `localhost` the first address may be that of IPv6, where nobody listens.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let id = net.sockets.connect(owner(), "localhost", port).expect("an id");
    assert!(net.send(id, b"before it is there"));
    assert_eq!(net.next_of(id), seen(Connect, 0, "127.0.0.1"));
    let mut peer = listener.accept().expect("it came").0;
    assert_eq!(read_exactly(&mut peer, 18), b"before it is there");
    assert!(net.sockets.resolve("localhost").expect("it is known").contains(&[127, 0, 0, 1].into()));
}

#[test]
fn a_name_that_cannot_be_is_an_error_in_time() {
    let net = net();
    let id = net.sockets.connect(owner(), "no\0name", 1).expect("an id");
    let (kind, _, text) = net.next_of(id);
    assert!(kind == Error && !text.is_empty());
    assert!(
        net.sockets.resolve("no\0name").is_err() && net.sockets.listen(owner(), "no\0name", 1, 1).is_err()
    );
}

#[test]
fn a_close_while_the_name_is_looked_up_is_the_last_event() {
    let net = net();
    // Nobody knows this name, but to find that out takes a while: the close comes first.
    let id = net.sockets.connect(owner(), "nobody.invalid", 1).expect("an id");
    net.sockets.close(id);
    let (kind, ..) = net.next_of(id);
    assert!(matches!(kind, Close | Error), "{kind:?}");
    net.assert_quiet();
    assert_eq!(net.sockets.info().len(), 0);
}

#[test]
fn what_is_sent_before_a_close_reaches_a_connection_that_is_not_there_yet() {
    let net = net();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let id = net.sockets.connect(owner(), "localhost", port).expect("an id");
    assert!(net.send(id, b"farewell"));
    net.sockets.close(id);
    let mut text = String::new();
    listener.accept().expect("it came").0.read_to_string(&mut text).expect("it ends");
    assert_eq!(text, "farewell");
    let kinds: Vec<_> =
        std::iter::from_fn(|| net.events.try_recv().ok()).map(|(_, event)| event.kind).collect();
    // The close may have been read before or after the connection was there.
    assert!(kinds == [Close] || kinds == [Connect, Close], "{kinds:?}");
}

#[test]
fn after_the_peers_end_the_owner_may_still_write() {
    let net = net();
    let (id, mut peer) = net.pair();
    peer.write_all(b"last words").expect("there is room");
    peer.shutdown(std::net::Shutdown::Write).expect("it is connected");
    assert_eq!(net.read(id, 10), b"last words");
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    assert!(net.send(id, b"answer"));
    assert_eq!(read_exactly(&mut peer, 6), b"answer");
    net.sockets.start(other(), id);
    let (to, event) = net.next();
    assert_eq!((to, event.kind, event.as_text()), (other(), Error, "socket closed"));
    assert_eq!(net.info(id).map(|info| info.kind), Some(SocketKind::Closing));
    net.sockets.close(id);
    let mut rest = Vec::new();
    assert_eq!(peer.read_to_end(&mut rest).expect("it ends"), 0);
    // The close was told already.
    net.assert_quiet();
    assert!(!net.send(id, b"x") && net.info(id).is_none());
}

#[test]
fn a_write_error_after_the_peers_end_is_silent() {
    let net = net();
    let (id, peer) = net.pair();
    peer.shutdown(std::net::Shutdown::Write).expect("it is connected");
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    reset(peer);
    let deadline = crate::clock::real_now();
    while net.info(id).is_some() {
        assert!(crate::clock::real_now().since(deadline) < PATIENCE);
        net.send(id, b"into the void");
        std::thread::yield_now();
    }
    net.assert_quiet();
}

#[test]
fn a_close_is_told_at_once_and_what_waits_is_still_written() {
    let net = net();
    let (id, mut peer) = net.pair();
    let sum = net.fill(id);
    net.sockets.close(id);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    assert!(!net.send(id, b"too late"));
    peer.write_all(b"nobody reads this").expect("there is room");
    net.assert_quiet();
    assert_eq!(read_exactly(&mut peer, sum).len(), sum);
    net.wait_gone(id);
    net.assert_quiet();
}

#[test]
fn a_close_without_anything_to_write_ends_the_socket() {
    let net = net();
    let (id, mut peer) = net.pair();
    net.sockets.close(id);
    net.sockets.close(id);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    assert_eq!(peer.read(&mut [0; 8]).expect("it ends"), 0);
    net.assert_quiet();
}

#[test]
fn a_shutdown_forgets_what_waits() {
    let net = net();
    let (id, mut peer) = net.pair();
    let sum = net.fill(id) + (64 << 20);
    assert!(net.send(id, &vec![0; 64 << 20]));
    assert_eq!(net.next_of(id).0, SocketEventKind::Warning);
    net.sockets.shutdown(id);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    net.assert_quiet();
    let mut rest = Vec::new();
    let _ = peer.read_to_end(&mut rest);
    assert!(rest.len() < sum, "{} of {sum}", rest.len());
}

#[test]
fn a_reset_in_mid_stream_is_one_error_and_one_close() {
    let net = net();
    let (id, mut peer) = net.pair();
    peer.write_all(b"half a fra").expect("there is room");
    assert_eq!(net.read(id, 10), b"half a fra");
    reset(peer);
    assert_eq!(net.next_of(id), seen(Error, 0, "Connection reset by peer"));
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    net.assert_quiet();
    assert!(!net.send(id, b"x"));
}

#[test]
fn of_a_reset_a_paused_owner_hears_too() {
    let net = net();
    let (id, peer) = net.pair();
    net.sockets.pause(id);
    net.assert_quiet();
    reset(peer);
    assert_eq!(net.next_of(id), seen(Error, 0, "Connection reset by peer"));
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
}

#[test]
fn a_failed_write_is_one_error_and_the_close_follows() {
    let net = net();
    let (id, _ours, peer) = net.still_pair();
    // The owner does not look, and finds out by writing.
    net.sockets.pause(id);
    net.assert_quiet();
    drop(peer);
    assert!(net.send(id, b"into the void") && net.send(id, b"and more"));
    assert_eq!(net.next_of(id), seen(Error, 0, "Broken pipe"));
    assert!(net.send(id, b"forgotten"));
    net.assert_quiet();
    net.sockets.start(owner(), id);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    net.assert_quiet();
    assert!(!net.send(id, b"x"));
}

#[test]
fn a_pause_keeps_what_comes_for_later() {
    let net = net();
    let (id, mut peer) = net.pair();
    net.sockets.pause(id);
    net.assert_quiet();
    assert_eq!(net.info(id).map(|info| info.reading), Some(false));
    peer.write_all(b"patience").expect("there is room");
    drop(peer);
    net.assert_quiet();
    net.sockets.start(owner(), id);
    assert_eq!(net.next_of(id), seen(Connect, 0, "transfer"));
    assert_eq!(net.read(id, 8), b"patience");
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
}

#[test]
fn a_paused_listener_accepts_later() {
    let net = net();
    let (id, port) = net.listen();
    net.sockets.pause(id);
    net.assert_quiet();
    let _peer = TcpStream::connect(("127.0.0.1", port)).expect("the system accepts");
    net.assert_quiet();
    net.sockets.start(owner(), id);
    assert_eq!(net.next_of(id), seen(Connect, 0, "transfer"));
    net.accept(id);
}

#[test]
fn a_start_by_another_service_takes_the_socket_over() {
    let net = net();
    let (id, mut peer) = net.pair();
    net.sockets.start(other(), id);
    let (to, event) = net.next();
    assert_eq!((to, event.kind, event.as_text()), (other(), Connect, "transfer"));
    peer.write_all(b"x").expect("there is room");
    let (to, event) = net.next();
    assert_eq!((to, event.kind), (other(), Data));
    net.sockets.close_all(owner());
    net.assert_quiet();
    net.sockets.close_all(other());
    assert_eq!(net.next().1.kind, Close);
}

#[test]
fn who_takes_a_socket_over_and_writes_at_once_gets_the_answer() {
    let net = net();
    let (id, mut peer) = net.pair();
    let echo = std::thread::spawn(move || {
        let mut byte = [0];
        while peer.read_exact(&mut byte).is_ok() && peer.write_all(&byte).is_ok() {}
    });
    for round in 0..1000 {
        let to = if round % 2 == 0 { other() } else { owner() };
        net.sockets.start(to, id);
        assert!(net.send(id, b"x"));
        for kind in [Connect, Data] {
            let (told, event) = net.next();
            assert_eq!((told, event.kind), (to, kind), "round {round}: {event:?}");
        }
    }
    net.sockets.shutdown(id);
    echo.join().expect("the connection ends");
}

#[test]
fn a_service_that_is_gone_leaves_no_socket() {
    let net = net();
    let (listener, port) = net.listen();
    let peers: Vec<_> =
        (0..1000).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("it accepts")).collect();
    let accepted: Vec<_> = (0..1000).map(|_| net.accept(listener).0).collect();
    for id in accepted.into_iter().step_by(2) {
        net.sockets.start(owner(), id);
        assert_eq!(net.next_of(id), seen(Connect, 0, "start"));
    }
    net.sockets.close_all(owner());
    for _ in 0..1001 {
        assert_eq!(net.next().1.kind, Close);
    }
    net.assert_quiet();
    assert_eq!(net.sockets.info().len(), 0);
    for mut peer in peers {
        assert_eq!(peer.read(&mut [0; 8]).expect("it ends"), 0);
    }
}

#[test]
fn one_path_in_the_file_system_is_an_address_too() {
    let net = net();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("socket");
    let address = format!("unix:{}", path.display());
    let id = net.sockets.listen(owner(), &address, 0, BACKLOG).expect("it binds");
    assert_eq!(net.next_of(id), seen(Connect, 0, &address));
    assert!(net.sockets.listen(owner(), &address, 0, BACKLOG).is_err());
    net.sockets.start(owner(), id);
    assert_eq!(net.next_of(id), seen(Connect, 0, "start"));
    let client = net.sockets.connect(owner(), &address, 0).expect("an id");
    let mut events = [net.next(), net.next()];
    events.sort_by_key(|(_, event)| event.kind as u8);
    assert_eq!((events[0].1.id, events[0].1.as_text()), (client, &*address));
    assert_eq!((events[1].1.kind, events[1].1.as_text()), (Accept, "unix:"));
    let server = SocketId::new(events[1].1.ud);
    net.sockets.start(owner(), server);
    net.next_of(server);
    assert!(net.send(client, b"by path"));
    assert_eq!(net.read(server, 7), b"by path");
    net.sockets.close(id);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    assert!(!path.exists(), "the path goes with the listener");
    drop(std::os::unix::net::UnixListener::bind(&path).expect("the path is free"));
    net.sockets.listen(owner(), &address, 0, BACKLOG).expect("what a dead process left is taken over");
}

#[test]
fn a_descriptor_of_the_process_is_read_and_not_closed() {
    let net = net();
    let (ours, mut theirs) = UnixStream::pair().expect("a pair");
    let id = net.sockets.bind(owner(), ours.as_raw_fd()).expect("an id");
    assert_eq!(net.next_of(id), seen(Connect, 0, "binding"));
    theirs.write_all(b"typed").expect("there is room");
    assert_eq!(net.read(id, 5), b"typed");
    assert!(net.send(id, b"shown"));
    let mut bytes = [0; 5];
    theirs.read_exact(&mut bytes).expect("it comes");
    assert_eq!((&bytes, net.info(id).map(|info| info.kind)), (b"shown", Some(SocketKind::Bind)));
    net.sockets.close(id);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    theirs.write_all(b"still open").expect("nobody closed it");
    drop(ours);
}

#[test]
fn a_pipe_can_be_bound_and_ends_with_its_writer() {
    let net = net();
    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let id = net.sockets.bind(owner(), reader.as_raw_fd()).expect("an id");
    assert_eq!(net.next_of(id), seen(Connect, 0, "binding"));
    writer.write_all(b"one\n").expect("there is room");
    assert_eq!(net.read(id, 4), b"one\n");
    drop(writer);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    let (reader, writer) = std::io::pipe().expect("a pipe");
    let id = net.sockets.bind(owner(), writer.as_raw_fd()).expect("an id");
    assert_eq!(net.next_of(id), seen(Connect, 0, "binding"));
    let sum = net.fill(id);
    let copied = std::thread::spawn(move || {
        let mut reader = reader;
        let mut bytes = vec![0; sum];
        reader.read_exact(&mut bytes).map(|()| bytes.len())
    });
    assert_eq!(copied.join().expect("no panic").expect("all comes"), sum);
    // Nobody will read any more.
    assert_eq!((net.next_of(id).0, net.next_of(id).0), (Error, Close));
}

#[test]
fn a_descriptor_that_is_none_is_an_error() {
    let net = net();
    let closed = {
        let (reader, _writer) = std::io::pipe().expect("a pipe");
        // Far above what the tests beside this one open.
        reader.into_raw_fd() + 100_000
    };
    for fd in [-1, i32::MIN, i32::MAX, closed] {
        let id = net.sockets.bind(owner(), fd).expect("an id");
        assert_eq!(net.next_of(id), seen(Error, 0, "Bad file descriptor"));
    }
    let file = tempfile::tempfile().expect("a file");
    let id = net.sockets.bind(owner(), file.as_raw_fd()).expect("an id");
    assert_eq!(net.next_of(id), seen(Error, 0, "Operation not permitted"));
    assert_eq!(net.sockets.info().len(), 0);
}

#[test]
fn the_information_counts_what_was_read_and_written() {
    let net = net();
    let (listener, port) = net.listen();
    let mut peer = TcpStream::connect(("127.0.0.1", port)).expect("the system accepts");
    let (id, text) = net.accept(listener);
    net.sockets.start(owner(), id);
    assert_eq!(net.next_of(id), seen(Connect, 0, "start"));
    peer.write_all(b"12345").expect("there is room");
    net.read(id, 5);
    net.send(id, b"123");
    let info = net.info(id).expect("it is there");
    assert_eq!((info.read, info.written, info.waiting, info.kind), (5, 3, 0, SocketKind::Tcp));
    let now = net.sockets.0.shared.clock.centiseconds();
    assert!(info.read_at_cs <= now && info.written_at_cs <= now);
    assert_eq!((info.name, info.owner, info.reading, info.writing), (text, owner(), true, false));
    let info = net.info(listener).expect("it is there");
    assert_eq!((info.read, info.kind, info.name), (1, SocketKind::Listen, format!("127.0.0.1:{port}")));
}

#[test]
fn every_connection_is_kept_alive_and_hurries_where_asked() {
    let net = net();
    let (listener, port) = net.listen();
    let client = net.sockets.connect(owner(), "127.0.0.1", port).expect("an id");
    let mut events = [net.next().1, net.next().1];
    events.sort_by_key(|event| event.kind as u8);
    let server = SocketId::new(events[1].ud);
    for id in [client, server] {
        let socket = net.sockets.0.shared.slots.get(id).expect("it is there");
        net.sockets.nodelay(id);
        let out = lock(&socket.out);
        let socket = socket2::SockRef::from(&**out.line().expect("it has one"));
        assert!(socket.keepalive().expect("a socket") && socket.tcp_nodelay().expect("a socket"));
        assert!(socket.nonblocking().expect("a socket"));
    }
    assert!(net.info(listener).is_some());
}

#[test]
fn after_the_stop_nothing_works_and_nothing_hangs() {
    let net = net();
    let (id, mut peer) = net.pair();
    net.sockets.stop(true);
    net.sockets.stop(true);
    assert_eq!(peer.read(&mut [0; 8]).expect("it ends"), 0);
    assert!(!net.send(id, b"x"));
    net.sockets.close(id);
    assert!(net.sockets.connect(owner(), "localhost", 1).is_err());
    assert!(net.sockets.listen(owner(), "127.0.0.1", 0, 1).is_err());
    assert!(net.events.try_recv().is_err());
}

#[test]
fn a_peer_that_says_something_and_ends_before_the_connection_is_noticed_is_heard_to_its_end() {
    let net = net();
    for _ in 0..50 {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let peer = std::thread::spawn(move || {
            let mut peer = listener.accept().expect("it came").0;
            peer.write_all(b"bye").expect("it is open");
        });
        let id = net.sockets.connect(owner(), "127.0.0.1", port).expect("an id");
        peer.join().expect("the peer is well");
        assert_eq!(net.next_of(id), seen(Connect, 0, "127.0.0.1"));
        assert_eq!(net.read(id, 3), b"bye");
        assert_eq!(net.next_of(id), seen(Close, 0, ""));
        net.sockets.close(id);
    }
}
