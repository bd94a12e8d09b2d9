//! Datagrams, of both families.

use std::net::UdpSocket;

use super::SocketEventKind::{Close, Error, Udp};
use super::*;

fn peer(host: &str) -> Option<(UdpSocket, u16)> {
    let socket = UdpSocket::bind((host, 0)).ok()?;
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let port = socket.local_addr().expect("an address").port();
    Some((socket, port))
}

fn datagram(net: &Net, id: SocketId) -> (Vec<u8>, UdpAddress) {
    let (to, event) = net.next();
    assert_eq!((to, event.id, event.kind), (owner(), id, Udp), "{event:?}");
    let SocketData::Datagram(payload, from) = event.data else { panic!("no datagram") };
    assert_eq!(event.ud as usize, payload.len());
    (payload.as_bytes().to_vec(), from)
}

fn a_conversation(host: &str) {
    let Some((peer, port)) = peer(host) else {
        println!("skipped: no {host} here");
        return;
    };
    let net = net();
    let id = net.sockets.udp(owner(), Some((host, 0))).expect("a socket");
    let to = UdpAddress::from(peer.local_addr().expect("an address"));
    assert!(net.sockets.udp_send(id, &to, Payload::from("ping")));
    let mut buffer = [0; 65536];
    let (len, from) = peer.recv_from(&mut buffer).expect("it comes");
    assert_eq!(&buffer[..len], b"ping");
    for bytes in [&b"pong"[..], b"", &[7; 60_000]] {
        peer.send_to(bytes, from).expect("it is sent");
        assert_eq!(datagram(&net, id), (bytes.to_vec(), to));
    }
    assert!(!net.send(id, b"to whom?"));
    net.sockets.udp_connect(owner(), id, host, port).expect("an address");
    assert!(net.send(id, b"by default") && net.send(id, b""));
    for wanted in [&b"by default"[..], b""] {
        let len = peer.recv(&mut buffer).expect("it comes");
        assert_eq!(&buffer[..len], wanted);
    }
    assert_eq!(net.info(id).map(|info| info.kind), Some(SocketKind::Udp));
    net.sockets.close(id);
    assert_eq!(net.next_of(id), seen(Close, 0, ""));
    assert!(!net.sockets.udp_send(id, &to, Payload::from("x")));
}

#[test]
fn datagrams_of_ipv4_go_and_come() {
    a_conversation("127.0.0.1");
}

#[test]
fn datagrams_of_ipv6_go_and_come() {
    a_conversation("::1");
}

#[test]
fn a_dialled_socket_speaks_to_one_address_and_a_listening_one_to_all() {
    let net = net();
    // The port of a socket that is gone is free.
    let port = peer("127.0.0.1").expect("a port").1;
    let server = net.sockets.udp_listen(owner(), "127.0.0.1", port).expect("a socket");
    let client = net.sockets.udp_dial(owner(), "127.0.0.1", port).expect("a socket");
    assert!(net.send(client, b"hello"));
    let (bytes, from) = datagram(&net, server);
    assert_eq!(bytes, b"hello");
    assert!(net.sockets.udp_send(server, &from, Payload::from("you too")));
    let (bytes, from) = datagram(&net, client);
    assert_eq!((&*bytes, from.to_addr().port()), (&b"you too"[..], port));
    for id in [net.sockets.udp_listen(owner(), "127.0.0.1", 0), net.sockets.udp_dial(owner(), "127.0.0.1", 0)]
    {
        assert!(matches!(id, Err(SocketError::Port)));
    }
}

#[test]
fn an_unbound_socket_gets_a_port_with_its_first_datagram() {
    let net = net();
    let (peer, _) = peer("127.0.0.1").expect("a port");
    let id = net.sockets.udp(owner(), None).expect("a socket");
    let to = UdpAddress::from(peer.local_addr().expect("an address"));
    assert!(net.sockets.udp_send(id, &to, Payload::from("x")));
    let (_, from) = peer.recv_from(&mut [0; 8]).expect("it comes");
    peer.send_to(b"y", from).expect("it is sent");
    assert_eq!(datagram(&net, id).0, b"y");
}

#[test]
fn an_address_of_the_other_family_is_refused() {
    let net = net();
    let id = net.sockets.udp(owner(), None).expect("a socket");
    let v6 = UdpAddress::from(SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 9)));
    assert!(!net.sockets.udp_send(id, &v6, Payload::from("x")));
    net.sockets.udp_connect(owner(), id, "::1", 9).expect("an address");
    assert_eq!(net.next_of(id), seen(Error, 0, "protocol mismatch"));
    let (tcp, _peer) = net.pair();
    assert!(net.sockets.udp_connect(owner(), tcp, "127.0.0.1", 9).is_err());
    assert!(!net.sockets.udp_send(tcp, &v6, Payload::from("x")));
}

#[test]
fn a_datagram_that_is_too_large_is_lost_alone() {
    let net = net();
    let (peer, port) = peer("127.0.0.1").expect("a port");
    let id = net.sockets.udp_dial(owner(), "127.0.0.1", port).expect("a socket");
    net.send(id, &[0; 70_000]);
    assert!(net.send(id, b"small"));
    let mut buffer = [0; 16];
    let len = peer.recv(&mut buffer).expect("it comes");
    assert_eq!(&buffer[..len], b"small");
    net.assert_quiet();
}
