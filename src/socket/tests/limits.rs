//! Descriptors run out. The limit is one of the whole process, so this runs in a child.
#![allow(unsafe_code)]

use std::process::Command as Program;

use super::SocketEventKind::{Accept, Close, Connect, Error};
use super::*;

const CHILD: &str = "SKYNET_TEST_FEW_DESCRIPTORS";

#[test]
fn a_lack_of_descriptors_is_survived_with_a_word() {
    if std::env::var_os(CHILD).is_some() {
        return few_descriptors();
    }
    let name = "socket::tests::limits::a_lack_of_descriptors_is_survived_with_a_word";
    let output = Program::new(std::env::current_exe().expect("it has a name"))
        .args(["--exact", name, "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn few_descriptors() {
    let net = net();
    let (listener, port) = net.listen();
    // Clients first: they need descriptors too, and wait in the backlog.
    net.sockets.pause(listener);
    net.assert_quiet();
    let peers: Vec<_> =
        (0..100).map(|_| TcpStream::connect(("127.0.0.1", port)).expect("the system accepts")).collect();
    let open = std::fs::read_dir("/proc/self/fd").or_else(|_| std::fs::read_dir("/dev/fd"));
    let limit = open.expect("a list").count() as u64 + 20;
    let new = libc::rlimit { rlim_cur: limit, rlim_max: limit };
    // SAFETY: only reads the structure.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const new) }, 0);
    net.sockets.start(owner(), listener);
    assert_eq!(net.next_of(listener), seen(Connect, 0, "transfer"));
    let mut accepted = Vec::new();
    loop {
        match net.next_of(listener) {
            (Accept, number, _) => accepted.push(SocketId::new(number)),
            (kind, _, text) => {
                assert_eq!((kind, &*text), (Error, "Too many open files"));
                break;
            }
        }
    }
    assert!((15..=25).contains(&accepted.len()), "{} were accepted", accepted.len());
    let line = net.log.recv_timeout(PATIENCE).expect("a line in the log");
    assert!(line.contains("Too many open files") && line.contains(&format!("have {limit} ")), "{line}");
    // Who was refused hears of it; who was accepted is served.
    let mut refused = 0;
    for mut peer in peers.iter().skip(accepted.len()) {
        peer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        refused += usize::from(peer.read(&mut [0; 1]).is_ok_and(|len| len == 0));
    }
    assert_eq!(refused, 100 - accepted.len());
    // A connection out fails with a reason.
    let failed = net.sockets.connect(owner(), "127.0.0.1", port).expect("an id");
    loop {
        let (_, event) = net.next();
        assert_eq!((event.kind, event.as_text()), (Error, "Too many open files"));
        // The listener has a word for each of its turns.
        if event.id == failed {
            break;
        }
    }
    for id in accepted {
        net.sockets.close(id);
    }
    drop(peers);
    while net.sockets.info().len() > 1 {
        net.next();
    }
    let _peer = TcpStream::connect(("127.0.0.1", port)).expect("there is room again");
    loop {
        match net.next().1.kind {
            Accept => break,
            kind => assert!(matches!(kind, Close | Error), "{kind:?}"),
        }
    }
}
