//! What nobody should do.

use super::SocketEventKind::{Accept, Error};
use super::*;

#[test]
fn an_id_that_never_was_is_harmless() {
    let net = net();
    for number in [i32::MIN, -1, 0, 1, 65536, i32::MAX] {
        let id = SocketId::new(number);
        net.sockets.close(id);
        net.sockets.shutdown(id);
        net.sockets.pause(id);
        net.sockets.nodelay(id);
        assert!(!net.send(id, b"x"));
        assert!(!net.sockets.udp_send(
            id,
            &UdpAddress::from(SocketAddr::from(([127, 0, 0, 1], 9))),
            ().into()
        ));
        assert!(net.sockets.udp_connect(owner(), id, "127.0.0.1", 9).is_err());
        net.sockets.start(owner(), id);
        assert_eq!(net.next_of(id), seen(Error, 0, "invalid socket"));
    }
    net.sockets.close_all(other());
    net.assert_quiet();
}

#[test]
fn two_thousand_connects_opened_and_dropped_are_all_seen() {
    let net = net();
    let (listener, port) = net.listen();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            std::thread::spawn(move || {
                for _ in 0..250 {
                    TcpStream::connect(("127.0.0.1", port)).expect("it accepts");
                }
            })
        })
        .collect();
    let mut accepted = Vec::new();
    while accepted.len() < 2000 {
        let (_, event) = net.next();
        match event.kind {
            Accept => {
                accepted.push(event.ud);
                net.sockets.start(owner(), SocketId::new(event.ud));
            }
            SocketEventKind::Close => net.sockets.close(event.id),
            _ => assert_eq!((event.kind, event.as_text()), (SocketEventKind::Connect, "start")),
        }
    }
    clients.into_iter().for_each(|client| client.join().expect("all connect"));
    while net.sockets.info().len() > 1 {
        let (_, event) = net.next();
        if event.kind == SocketEventKind::Close {
            net.sockets.close(event.id);
            // The reactor has closed it when it answers to what comes after.
            net.sockets.start(other(), SocketId::new(-1));
        }
    }
    assert_eq!(net.info(listener).map(|info| info.read), Some(2000));
}

#[test]
fn a_slow_name_makes_nobody_wait() {
    let net = net();
    // More names than resolvers; the answers may take long where there is no name server.
    let slow: Vec<_> = (0..20)
        .map(|at| net.sockets.connect(owner(), &format!("host-{at}.invalid"), 1).expect("an id"))
        .collect();
    let mut echo = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = echo.local_addr().expect("an address").port();
    let id = net.sockets.connect(other(), "127.0.0.1", port).expect("an id");
    loop {
        let (to, event) = net.next();
        if to == other() {
            assert_eq!((event.id, event.kind), (id, SocketEventKind::Connect));
            break;
        }
        assert_eq!(event.kind, Error);
    }
    slow.into_iter().for_each(|id| net.sockets.close(id));
    let _ = &mut echo;
}

#[test]
fn urgent_bytes_do_no_harm() {
    let net = net();
    let (id, mut peer) = net.pair();
    socket2::SockRef::from(&peer).send_out_of_band(b"!").expect("it is sent");
    peer.write_all(b"usual").expect("there is room");
    assert_eq!(net.read(id, 5), b"usual");
}
