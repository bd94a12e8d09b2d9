//! A wire between two nodes that a test may cut, halt and join again.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Passes connections on to an address.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    streams: Mutex<Vec<TcpStream>>,
    /// Connections are taken and closed at once.
    cut: AtomicBool,
    stopped: AtomicBool,
    halted: (Mutex<bool>, Condvar),
    /// After so many bytes more, of both directions, all connections are cut; `usize::MAX` for never.
    left: AtomicUsize,
    connections: AtomicUsize,
}

impl Proxy {
    pub fn to(target: SocketAddr) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared { left: AtomicUsize::new(usize::MAX), ..Shared::default() });
        let thread = {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || accept(&listener, target, &shared))
        };
        Proxy { shared, address, thread: Some(thread) }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts all connections after so many bytes more.
    pub fn cut_after(&self, bytes: usize) {
        self.shared.left.store(bytes, Ordering::SeqCst);
    }

    /// Cuts all connections; new ones pass.
    pub fn cut(&self) {
        self.shared.cut_all();
    }

    /// New connections are cut at once, until it is taken back.
    pub fn keep_cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::SeqCst);
        if cut {
            self.cut();
        }
    }

    /// Nothing passes, and nobody is told.
    pub fn halt(&self, halt: bool) {
        *self.shared.halted.0.lock().expect("nobody panics meanwhile") = halt;
        self.shared.halted.1.notify_all();
    }

    /// How many connections there have been.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        self.halt(false);
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn cut_all(&self) {
        for stream in self.streams.lock().expect("nobody panics meanwhile").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    fn wait_while_halted(&self) {
        let mut halted = self.halted.0.lock().expect("nobody panics meanwhile");
        while *halted && !self.stopped.load(Ordering::SeqCst) {
            halted = self
                .halted
                .1
                .wait_timeout(halted, Duration::from_millis(100))
                .expect("nobody panics meanwhile")
                .0;
        }
    }

    /// How many of `len` bytes may pass; all connections are to be cut after them where it is fewer.
    fn allow(&self, len: usize) -> usize {
        let mut allowed = 0;
        let _ = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
            allowed = len.min(left);
            if left == usize::MAX {
                None
            } else {
                Some(if allowed < left { left - allowed } else { usize::MAX })
            }
        });
        allowed
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        shared.connections.fetch_add(1, Ordering::SeqCst);
        if shared.cut.load(Ordering::SeqCst) {
            continue;
        }
        let Ok(other) = TcpStream::connect(target) else { continue };
        let (Ok(stream_too), Ok(other_too)) = (stream.try_clone(), other.try_clone()) else { continue };
        {
            let mut streams = shared.streams.lock().expect("nobody panics meanwhile");
            streams.extend([stream_too, other_too]);
        }
        for (from, to) in [(&stream, &other), (&other, &stream)] {
            let _ = from.set_nodelay(true);
            let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
            let shared = Arc::clone(shared);
            std::thread::spawn(move || pump(from, to, &shared));
        }
    }
}

fn pump(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        shared.wait_while_halted();
        let allowed = shared.allow(len);
        if to.write_all(&buffer[..allowed]).is_err() {
            break;
        }
        if allowed < len {
            shared.cut_all();
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
