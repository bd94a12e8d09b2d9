//! What stands between the nodes: each connects to the others, and to the master, through a [`Proxy`] that may fail.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the thread that accepts looks round.
const LOOK: Duration = Duration::from_millis(2);

/// All connections between two nodes, which fail together.
#[derive(Default)]
pub struct Wire {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    halted: bool,
    ended: bool,
    delay: Duration,
    /// Bytes until the next cuts.
    cuts: VecDeque<usize>,
    cut_count: u64,
    open: Vec<(u64, TcpStream)>,
    last_id: u64,
}

impl State {
    fn cut_all(&mut self) {
        for (_, stream) in self.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Wire {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics meanwhile")
    }

    /// Cuts the connections after so many bytes more, of both directions together; the next ones after the next number.
    pub fn cut_after(&self, bytes: &[usize]) {
        self.state().cuts.extend(bytes);
    }

    pub fn cut(&self) {
        self.state().cut_all();
    }

    pub fn halt(&self, halted: bool) {
        self.state().halted = halted;
        self.changed.notify_all();
    }

    pub fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// No cut is to come any more.
    pub fn calm(&self) {
        self.state().cuts.clear();
    }

    pub fn cut_count(&self) -> u64 {
        self.state().cut_count
    }

    pub fn end(&self) {
        let mut state = self.state();
        state.ended = true;
        state.cut_all();
        drop(state);
        self.changed.notify_all();
    }

    fn wait_while_halted(&self) -> MutexGuard<'_, State> {
        self.changed
            .wait_while(self.state(), |state| state.halted && !state.ended)
            .expect("nobody panics meanwhile")
    }

    /// How many of `len` bytes may pass, and whether the connections are to be cut behind them.
    fn pass(&self, len: usize) -> (usize, bool, Duration) {
        let mut state = self.wait_while_halted();
        let delay = state.delay;
        match state.cuts.front_mut() {
            Some(left) if *left >= len => {
                *left -= len;
                (len, false, delay)
            }
            Some(left) => {
                let allowed = *left;
                state.cuts.pop_front();
                (allowed, true, delay)
            }
            None => (len, false, delay),
        }
    }

    fn pump(&self, id: u64, mut from: &TcpStream, mut to: &TcpStream) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let read = from.read(&mut buffer);
            let len = *read.as_ref().unwrap_or(&0);
            let (allowed, is_cut, delay) = self.pass(len);
            if !delay.is_zero() {
                std::thread::sleep(delay);
            }
            if len == 0 || to.write_all(&buffer[..allowed]).is_err() {
                break;
            }
            if is_cut {
                let mut state = self.state();
                state.cut_count += 1;
                state.cut_all();
                break;
            }
        }
        for stream in [from, to] {
            let _ = stream.shutdown(Shutdown::Both);
        }
        self.state().open.retain(|(other, _)| *other != id);
    }

    /// Joins two connections, of which the first one's first byte is read.
    fn join(self: &Arc<Wire>, client: TcpStream, first: u8, port: u16) {
        drop(self.wait_while_halted());
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let (Ok(one), Ok(other)) = (client.try_clone(), server.try_clone()) else { return };
        let id = {
            let mut state = self.state();
            if state.ended {
                return;
            }
            state.last_id += 1;
            let id = state.last_id;
            state.open.extend([(id, one), (id, other)]);
            id
        };
        let (allowed, is_cut, _) = self.pass(1);
        if is_cut || (&server).write_all(&[first][..allowed]).is_err() {
            let _ = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
            self.state().open.retain(|(other, _)| *other != id);
            return;
        }
        let (wire, client, server) = (Arc::clone(self), Arc::new(client), Arc::new(server));
        let (client_too, server_too) = (Arc::clone(&client), Arc::clone(&server));
        std::thread::spawn(move || wire.pump(id, &server_too, &client_too));
        self.pump(id, &client, &server);
    }
}

/// Which wire a connection belongs to, by its first byte: a member says its id with it.
pub type Route = Box<dyn Fn(u8) -> Option<Arc<Wire>> + Send + Sync>;

/// Where others reach a node.
pub struct Proxy {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    port: u16,
    target: u16,
    route: Route,
    refusing: AtomicBool,
    ended: AtomicBool,
}

impl Proxy {
    /// Listens at `port` for the node that listens at `target`.
    pub fn new(port: u16, target: u16, route: Route) -> Proxy {
        let (refusing, ended) = (AtomicBool::new(false), AtomicBool::new(false));
        let shared = Arc::new(Shared { port, target, route, refusing, ended });
        let thread = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&shared)
        });
        Proxy { shared, thread: Some(thread) }
    }

    /// Connections are refused from now on, or no longer.
    pub fn refuse(&self, refusing: bool) {
        self.shared.refusing.store(refusing, Ordering::SeqCst);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(shared: &Arc<Shared>) {
    let mut listener: Option<TcpListener> = None;
    while !shared.ended.load(Ordering::SeqCst) {
        if shared.refusing.load(Ordering::SeqCst) {
            listener = None;
        } else if listener.is_none() && TcpStream::connect((Ipv4Addr::LOCALHOST, shared.target)).is_ok() {
            // Not before the node listens, or it would look like one that takes connections and drops them. If the port cannot
            // be had now, the next round tries again.
            listener = TcpListener::bind((Ipv4Addr::LOCALHOST, shared.port)).ok();
            if let Some(listener) = &listener {
                listener.set_nonblocking(true).expect("it can be asked to");
            }
        }
        match listener.as_ref().map(TcpListener::accept) {
            Some(Ok((client, _))) => {
                let _ = client.set_nonblocking(false);
                let shared = Arc::clone(shared);
                std::thread::spawn(move || {
                    let mut first = [0];
                    if (&client).read_exact(&mut first).is_ok()
                        && let Some(wire) = (shared.route)(first[0])
                    {
                        wire.join(client, first[0], shared.target);
                    }
                });
            }
            Some(Err(error)) if error.kind() != ErrorKind::WouldBlock => listener = None,
            _ => std::thread::sleep(LOOK),
        }
    }
}

/// Ports that are free, below those that the system gives to connections by itself: while a node is dead, nobody takes its
/// port.
pub fn free_ports(count: usize, mut candidate: impl FnMut() -> u16) -> Vec<u16> {
    let mut taken = Vec::new();
    while taken.len() < count {
        if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, candidate())) {
            taken.push(listener);
        }
    }
    taken.iter().map(|listener| listener.local_addr().expect("it is bound").port()).collect()
}
