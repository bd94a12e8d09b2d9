//! [`Sockets`]: the engine that talks to the network. One thread for each node, the reactor.
//!
//! A service asks for a socket and gets its id at once; what happens to the socket it hears in messages of
//! `PTYPE_SOCKET`, each with a [`SocketEvent`]. They go to the owner: the service that made the socket, or the last one
//! that called [`Sockets::start`].
//!
//! - `event.rs`: what a service hears.
//! - `ids.rs`: from an id to its socket, on any thread.
//! - `state.rs`: a socket as all threads see it; `out.rs`: its out-queue and who writes.
//! - `credit.rs`: what of a socket is on its way to its owner.
//! - `line.rs`: the descriptor; `address.rs`: addresses as texts.
//! - `command.rs`: what the reactor is asked for.
//! - `driver.rs`: its threads; `reactor.rs`: what they do; `table.rs`: what it knows; `stream.rs`, `accept.rs`, `connect.rs`: its turns.
//! - `resolver.rs`: the threads that look names up.
//!
//! # Who does what
//!
//! Sending happens on the thread of the sender, if nothing waits before it: no other thread has to wake up for it.
//! Everything else is done by the reactor, so that each event has its place after those before it. What can be known
//! at once is done at once: a listener is bound when [`Sockets::listen`] returns.
//!
//! Nothing that the network does can make a service wait, but for the names that [`Sockets::listen`], the `udp`
//! functions and [`Sockets::resolve`] look up: an address in digits is none.

mod accept;
mod address;
mod command;
mod connect;
mod credit;
mod driver;
mod event;
mod ids;
mod line;
mod out;
mod reactor;
mod resolver;
mod state;
mod stream;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::RawFd;

use self::address::Target;
use self::command::{Command, Inbox};
use self::driver::Driver;
use self::ids::Slots;
use self::line::{Line, Listener, Stream};
use self::reactor::Reactor;
use self::resolver::Resolver;
use self::state::Socket;
use crate::clock::Clock;
use crate::handle::Handle;
use crate::message::Payload;
use crate::post::{Guests, Post};
use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, Mutex, lock, spawn_engine};

pub use self::address::AddressError;
pub(crate) use self::address::split as split_address;
pub(crate) use self::event::error_text;
pub use self::event::{SocketData, SocketEvent, SocketEventKind, UdpAddress};
pub use self::ids::SocketId;
pub use self::out::Priority;
pub use self::state::{SocketInfo, SocketKind};

/// How many connections may wait for a listener that does not say.
pub(crate) const BACKLOG: i32 = 32;

/// How the engine shall work.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// A socket is closed when more than so many bytes would wait to be written (`socket_buffer_max`).
    pub(crate) buffer_max: Option<usize>,
    /// Several processes may listen on one port.
    pub(crate) reuse_port: bool,
}

/// Takes the engine's lines for the log.
pub(crate) type Log = Arc<dyn Fn(&str) + Send + Sync>;

/// Why a socket cannot be had, or used so.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// All ids are taken.
    // Matched by Lua code: keep the words of all texts here.
    #[error("reach skynet socket number limit")]
    Full,
    /// There is no such socket, or it is not of this sort.
    #[error("invalid socket")]
    Invalid,
    /// It would listen on no port, or speak to none.
    #[error("Invalid port")]
    Port,
    /// What the system said.
    #[error("{}", error_text(.0))]
    System(#[from] io::Error),
}

/// The sockets of a node: what a service may ask. A clone is the same engine, which ends with the last of them.
#[derive(Clone)]
pub(crate) struct Sockets(Arc<Engine>);

struct Engine {
    shared: Arc<Shared>,
    driver: Arc<Driver>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// What the reactor and its callers have in common.
struct Shared {
    slots: Slots,
    inbox: Arc<Inbox>,
    resolver: Resolver,
    clock: Clock,
    post: Arc<dyn Post>,
    log: Log,
    options: Options,
    stopped: AtomicBool,
}

impl Sockets {
    /// Starts the engine.
    ///
    /// # Errors
    /// What the system said where it gives no thread or no descriptor.
    pub(crate) fn launch(
        clock: Clock,
        post: Arc<dyn Post>,
        log: Log,
        options: Options,
        guests: Option<Arc<dyn Guests>>,
    ) -> io::Result<Sockets> {
        let poll = mio::Poll::new()?;
        let shared = Arc::new(Shared {
            slots: Slots::new(),
            inbox: Arc::new(Inbox::new(mio::Waker::new(poll.registry(), reactor::WAKE)?)),
            resolver: Resolver::default(),
            clock,
            post,
            log,
            options,
            stopped: AtomicBool::new(false),
        });
        // Who runs no services is never held, and needs nobody who stands by.
        let threads = if guests.is_some() { driver::THREADS } else { 1 };
        let driver = Arc::new(Driver::new(Reactor::new(shared.clone(), poll), guests));
        // From here on a failure drops the engine, which ends the threads there are.
        let sockets = Sockets(Arc::new(Engine { shared, driver, threads: Mutex::new(Vec::new()) }));
        for number in 0..threads {
            let driver = sockets.0.driver.clone();
            let thread = spawn_engine(&format!("reactor-{number}"), move || driver.run(number))?;
            lock(&sockets.0.threads).push(thread);
        }
        Ok(sockets)
    }

    /// Listens on an address, or on a path where `host` is `unix:/path`; no host means all of IPv4, and port 0 any.
    ///
    /// The socket is bound when this returns; a CONNECT event tells the real port. Connections are accepted from
    /// [`Sockets::start`] on. Looks a name up on the calling thread.
    ///
    /// # Errors
    /// What the system said, or that there are too many sockets.
    pub(crate) fn listen(
        &self,
        owner: Handle,
        host: &str,
        port: u16,
        backlog: i32,
    ) -> Result<SocketId, SocketError> {
        let target = match Target::new(host, port) {
            Target::Name(host, port) => Target::Addr(first(address::lookup(&host, port)?)?),
            target => target,
        };
        let (listener, port, text) = Listener::bind(&target, backlog, self.0.shared.options.reuse_port)?;
        let socket = self.reserve(owner, SocketKind::Listen)?;
        let id = socket.id;
        let line = Arc::new(Line::Listener(listener));
        lock(&socket.out).attach(line.clone());
        self.push(Command::Listener { socket, line, port, text });
        Ok(id)
    }

    /// Connects to a host, or to a path where `host` is `unix:/path`. A CONNECT event tells when it is done, an ERROR
    /// event that it failed; what is sent before waits.
    ///
    /// # Errors
    /// That there are too many sockets.
    pub(crate) fn connect(&self, owner: Handle, host: &str, port: u16) -> Result<SocketId, SocketError> {
        let socket = self.reserve(owner, SocketKind::Unknown)?;
        let id = socket.id;
        match Target::new(host, port) {
            Target::Name(host, port) => {
                // Before the lookup, so that the reactor knows the socket when the answer comes.
                self.push(Command::Connect { socket, target: None });
                let shared = self.0.shared.clone();
                let answer = move |found| shared.inbox.push(Command::Resolved(id, found));
                self.0.shared.resolver.submit(host, port, Box::new(answer));
            }
            target => self.push(Command::Connect { socket, target: Some(target) }),
        }
        Ok(id)
    }

    /// Uses what a descriptor of the process refers to; it becomes non-blocking, and is not closed with the socket. A
    /// CONNECT event ("binding") or an ERROR event follows.
    ///
    /// # Errors
    /// That there are too many sockets.
    pub(crate) fn bind(&self, owner: Handle, fd: RawFd) -> Result<SocketId, SocketError> {
        let socket = self.reserve(owner, SocketKind::Bind)?;
        let id = socket.id;
        match Stream::lend(fd) {
            Ok(stream) => self.open(socket, Line::Stream(stream), Some("binding")),
            Err(error) => self.push(Command::Failed(socket, error_text(&error))),
        }
        Ok(id)
    }

    /// Begins to hear of a socket that was accepted or listens, takes one over from another service, or ends a pause. A
    /// CONNECT event follows ("start" or "transfer"), or an ERROR event.
    pub(crate) fn start(&self, owner: Handle, id: SocketId) {
        self.push(Command::Start(id, owner));
    }

    /// Hears no more of what comes in, until [`Sockets::start`].
    pub(crate) fn pause(&self, id: SocketId) {
        self.push(Command::Pause(id));
    }

    /// Closes a socket: it takes no more at once, its owner gets a CLOSE event, and what waits is still written.
    pub(crate) fn close(&self, id: SocketId) {
        if let Some(socket) = self.0.shared.slots.get(id) {
            lock(&socket.out).close();
            self.push(Command::Close(id));
        }
    }

    /// Closes a socket and forgets what waits.
    pub(crate) fn shutdown(&self, id: SocketId) {
        if let Some(socket) = self.0.shared.slots.get(id) {
            lock(&socket.out).close();
            self.push(Command::Shutdown(id));
        }
    }

    /// Closes all sockets of a service that is gone.
    pub(crate) fn close_all(&self, owner: Handle) {
        if self.0.shared.slots.len() > 0 {
            self.push(Command::CloseAll(owner));
        }
    }

    /// Sends small pieces at once, instead of waiting for more (`TCP_NODELAY`).
    pub(crate) fn nodelay(&self, id: SocketId) {
        let Some(socket) = self.0.shared.slots.get(id) else { return };
        let mut out = lock(&socket.out);
        out.nodelay = true;
        if let Some(line) = out.line() {
            line.set_nodelay();
        }
    }

    /// Sends bytes; a datagram socket sends to the address that it is connected to. False where there is no such socket,
    /// or it is closed: then the bytes are forgotten.
    pub(crate) fn send(&self, id: SocketId, payload: Payload, priority: Priority) -> bool {
        let Some(socket) = self.0.shared.slots.get(id) else { return false };
        let to = match socket.kind() {
            SocketKind::Listen => return false,
            SocketKind::Udp => match lock(&socket.out).peer {
                Some(peer) => Some(peer),
                None => return false,
            },
            _ => None,
        };
        self.send_to(&socket, payload, priority, to)
    }

    /// Sends pieces of a stream in their order: under one lock, and with one system call for many where nothing waits.
    /// Answers the bytes that wait then; nothing where there is no such socket, or it is closed, and the pieces are
    /// forgotten. The limit `socket_buffer_max` does not count here: who uses this keeps one of its own.
    pub(crate) fn send_many(
        &self,
        id: SocketId,
        payloads: impl IntoIterator<Item = Payload>,
    ) -> Option<usize> {
        let shared = &self.0.shared;
        let socket = shared
            .slots
            .get(id)
            .filter(|socket| !matches!(socket.kind(), SocketKind::Listen | SocketKind::Udp))?;
        let (sent, waiting) = socket.send_many(payloads.into_iter(), shared.clock.centiseconds());
        if sent.tell {
            self.push(Command::Flush(socket.id));
        }
        sent.taken.then_some(waiting)
    }

    /// The bytes that wait to be written; nothing where there is no such socket.
    pub(crate) fn waiting(&self, id: SocketId) -> Option<usize> {
        self.0.shared.slots.get(id).map(|socket| lock(&socket.out).len())
    }

    /// Warns the owner when so many bytes wait, and again at twice that; the default is 1 MiB. The system shall take few
    /// beyond those that are under way, so that what is sent later is not long behind them.
    pub(crate) fn keep_short(&self, id: SocketId, warning: usize, unsent: u32) {
        let Some(socket) = self.0.shared.slots.get(id) else { return };
        let mut out = lock(&socket.out);
        out.set_warning(warning);
        if let Some(line) = out.line() {
            line.set_unsent_max(unsent);
        }
    }

    fn send_to(&self, socket: &Socket, payload: Payload, priority: Priority, to: Option<SocketAddr>) -> bool {
        let shared = &self.0.shared;
        let len_max = shared.options.buffer_max.unwrap_or(usize::MAX);
        let sent = socket.send(payload, priority, to, len_max, shared.clock.centiseconds());
        // Of room for a socket that nobody has started the poll tells nothing, unless the reactor asks it to.
        if sent.tell || (socket.kind() == SocketKind::Unknown && socket.is_waiting()) {
            self.push(Command::Flush(socket.id));
        }
        sent.taken
    }

    /// Opens a datagram socket; without an address it is one of IPv4 that is bound to no port. Looks a name up on the
    /// calling thread, as the other `udp` functions do.
    ///
    /// # Errors
    /// What the system said, or that there are too many sockets.
    pub(crate) fn udp(&self, owner: Handle, bind: Option<(&str, u16)>) -> Result<SocketId, SocketError> {
        let addr = bind.map(|(host, port)| first(address::lookup(host, port)?)).transpose()?;
        self.udp_open(owner, addr.is_some_and(|addr| addr.is_ipv6()), addr, None)
    }

    /// Opens a datagram socket that listens on a port.
    ///
    /// # Errors
    /// As [`Sockets::udp`]; the port 0 is none.
    pub(crate) fn udp_listen(&self, owner: Handle, host: &str, port: u16) -> Result<SocketId, SocketError> {
        if port == 0 {
            return Err(SocketError::Port);
        }
        self.udp(owner, Some((host, port)))
    }

    /// Opens a datagram socket that speaks to one address.
    ///
    /// # Errors
    /// As [`Sockets::udp`]; the port 0 is none.
    pub(crate) fn udp_dial(&self, owner: Handle, host: &str, port: u16) -> Result<SocketId, SocketError> {
        if port == 0 {
            return Err(SocketError::Port);
        }
        let peer = first(address::lookup(host, port)?)?;
        self.udp_open(owner, peer.is_ipv6(), None, Some(peer))
    }

    fn udp_open(
        &self,
        owner: Handle,
        v6: bool,
        bind: Option<SocketAddr>,
        peer: Option<SocketAddr>,
    ) -> Result<SocketId, SocketError> {
        let line = Line::Udp(line::udp(v6, bind)?);
        let socket = self.reserve(owner, SocketKind::Udp)?;
        let id = socket.id;
        {
            let mut out = lock(&socket.out);
            (out.peer, out.v6) = (peer, v6);
        }
        self.open(socket, line, None);
        Ok(id)
    }

    /// Gives a datagram socket an address to which [`Sockets::send`] sends. Where the address is of the other family, an
    /// ERROR event tells `owner` so.
    ///
    /// # Errors
    /// That there is no such socket, or no such host.
    pub(crate) fn udp_connect(
        &self,
        owner: Handle,
        id: SocketId,
        host: &str,
        port: u16,
    ) -> Result<(), SocketError> {
        let socket = self.udp_socket(id)?;
        let found = address::lookup(host, port)?;
        let v6 = lock(&socket.out).v6;
        match found.into_iter().find(|addr| addr.is_ipv6() == v6) {
            Some(addr) => lock(&socket.out).peer = Some(addr),
            // Matched by Lua code: keep the words.
            None => self.push(Command::Report(owner, id, "protocol mismatch")),
        }
        Ok(())
    }

    /// Sends a datagram to an address in its binary form. False where there is no such socket, or it cannot send there.
    pub(crate) fn udp_send(&self, id: SocketId, to: &UdpAddress, payload: Payload) -> bool {
        let Ok(socket) = self.udp_socket(id) else { return false };
        let (to, v6) = (to.to_addr(), lock(&socket.out).v6);
        v6 == to.is_ipv6() && self.send_to(&socket, payload, Priority::Normal, Some(to))
    }

    fn udp_socket(&self, id: SocketId) -> Result<Arc<Socket>, SocketError> {
        let socket = self.0.shared.slots.get(id).filter(|socket| socket.kind() == SocketKind::Udp);
        socket.ok_or(SocketError::Invalid)
    }

    /// All sockets, for `netstat`.
    pub(crate) fn info(&self) -> Vec<SocketInfo> {
        self.0.shared.slots.all().iter().map(|socket| socket.info()).collect()
    }

    /// The addresses of a host, each once. Blocks the calling thread where the host is a name.
    ///
    /// # Errors
    /// The resolver's text.
    pub(crate) fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, SocketError> {
        let mut found = Vec::new();
        for addr in address::lookup(host, 0)? {
            if !found.contains(&addr.ip()) {
                found.push(addr.ip());
            }
        }
        Ok(found)
    }

    /// The thread with this number is held by a service: another one takes the network over.
    pub(crate) fn is_held(&self, number: usize) {
        self.0.driver.is_held(number);
    }

    /// Ends the engine and closes all sockets; nobody hears of it. Waits for its threads only if told so: one of them may
    /// be held by a service that does not end.
    pub(crate) fn stop(&self, waits: bool) {
        self.0.stop(waits);
    }

    fn open(&self, socket: Arc<Socket>, line: Line, text: Option<&'static str>) {
        let line = Arc::new(line);
        lock(&socket.out).attach(line.clone());
        self.push(Command::Open { socket, line, text });
    }

    fn reserve(&self, owner: Handle, kind: SocketKind) -> Result<Arc<Socket>, SocketError> {
        let shared = &self.0.shared;
        if shared.stopped.load(Ordering::Relaxed) {
            return Err(SocketError::Full);
        }
        shared.slots.reserve(|id| shared.socket(id, owner, kind)).ok_or(SocketError::Full)
    }

    fn push(&self, command: Command) {
        self.0.shared.inbox.push(command);
    }
}

impl Shared {
    fn socket(&self, id: SocketId, owner: Handle, kind: SocketKind) -> Socket {
        Socket::new(id, owner, kind, Some(self.inbox.clone()))
    }
}

impl Engine {
    fn stop(&self, waits: bool) {
        self.shared.stopped.store(true, Ordering::Relaxed);
        self.shared.resolver.stop();
        self.shared.inbox.push(Command::Stop);
        let threads = std::mem::take(&mut *lock(&self.threads));
        if threads.iter().any(|thread| thread.thread().id() == std::thread::current().id()) {
            // A service that ran on it was the node's last owner: it cannot wait for itself, or for the other one.
            self.driver.stop();
            return;
        }
        for thread in threads.into_iter().filter(|_| waits) {
            // It cannot have panicked: that would have ended the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop(true);
    }
}

fn first(found: Vec<SocketAddr>) -> io::Result<SocketAddr> {
    found.into_iter().next().ok_or_else(|| io::Error::other("Name or service not known"))
}
