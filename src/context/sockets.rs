//! [`Sockets`]: what a service may ask of the network.

use std::net::IpAddr;
use std::os::fd::RawFd;

use crate::handle::Handle;
use crate::host::Host;
use crate::message::Payload;
use crate::socket::{self, Priority, SocketError, SocketId, SocketInfo, UdpAddress};

/// A service's sockets, from [`Context::sockets`](crate::Context::sockets).
///
/// A socket has an id at once; what happens to it the service hears in messages of kind
/// [`MessageKind::SOCKET`](crate::MessageKind::SOCKET), each with a [`SocketEvent`](crate::SocketEvent) as its typed
/// payload. They go to the *owner*: the service that made the socket, or the last one that called [`Sockets::start`]
/// for it. The sockets of a service are closed when it ends.
///
/// An address is a host (a name, or an address in digits; none means all of IPv4) and a port, or `unix:/path` as the
/// host, with any port.
///
/// Nothing here waits for the network, but [`Sockets::listen`], the `udp` functions and [`Sockets::resolve`] look
/// names up on the calling thread; addresses in digits are not looked up.
///
/// ```
/// use skynet_rs::{Context, Message, Runtime, Service, ServiceError, SocketEvent, SocketEventKind};
///
/// /// Sends back whatever a client sends.
/// struct Echo;
///
/// impl Service for Echo {
///     fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
///         let listener = ctx.sockets().listen("127.0.0.1", 0, 32)?;
///         ctx.sockets().start(listener)?;
///         Ok(())
///     }
///
///     fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
///         let Ok(mut event) = message.payload.downcast::<SocketEvent>() else { return Ok(()) };
///         match event.kind {
///             SocketEventKind::Accept => ctx.sockets().start(event.accepted())?,
///             SocketEventKind::Data => {
///                 ctx.sockets().send(event.id, event.take_bytes());
///             }
///             SocketEventKind::Close => ctx.sockets().close(event.id),
///             _ => {}
///         }
///         Ok(())
///     }
/// }
/// # let runtime = Runtime::builder().workers(1).service("echo", |_| Ok(Echo)).start()?;
/// # runtime.launch("echo", "")?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct Sockets<'a> {
    host: &'a dyn Host,
    owner: Handle,
}

impl<'a> Sockets<'a> {
    pub(super) fn new(host: &'a dyn Host, owner: Handle) -> Sockets<'a> {
        Sockets { host, owner }
    }

    fn engine(self) -> Result<&'a socket::Sockets, SocketError> {
        self.host.sockets()
    }

    /// Listens; port 0 means any. A `Connect` event tells the real port (`ud`) and address. Connections come as
    /// `Accept` events from [`Sockets::start`] on, and `backlog` of them may wait in the system.
    ///
    /// # Errors
    /// What the system said, or that there are too many sockets.
    pub fn listen(self, host: &str, port: u16, backlog: i32) -> Result<SocketId, SocketError> {
        self.engine()?.listen(self.owner, host, port, backlog)
    }

    /// Connects. A `Connect` event tells that it is done, an `Error` event that it failed; what is sent before waits.
    /// Names are looked up on another thread, and all addresses of a host are tried.
    ///
    /// # Errors
    /// That there are too many sockets.
    pub fn connect(self, host: &str, port: u16) -> Result<SocketId, SocketError> {
        self.engine()?.connect(self.owner, host, port)
    }

    /// Uses a descriptor of the process, which becomes non-blocking and is not closed with the socket. A `Connect`
    /// event ("binding") or an `Error` event follows.
    ///
    /// # Errors
    /// That there are too many sockets.
    pub fn bind(self, fd: RawFd) -> Result<SocketId, SocketError> {
        self.engine()?.bind(self.owner, fd)
    }

    /// Begins to hear of a socket that listens or was accepted, takes one over from another service, or ends a pause. A
    /// `Connect` event follows ("start" or "transfer"), or an `Error` event.
    ///
    /// # Errors
    /// The engine cannot be started.
    pub fn start(self, id: SocketId) -> Result<(), SocketError> {
        self.engine()?.start(self.owner, id);
        Ok(())
    }

    /// Hears no more of what comes in, until [`Sockets::start`].
    pub fn pause(self, id: SocketId) {
        self.with(|sockets| sockets.pause(id));
    }

    /// Closes a socket: it takes no more, its owner gets a `Close` event, and what waits is still written.
    pub fn close(self, id: SocketId) {
        self.with(|sockets| sockets.close(id));
    }

    /// Closes a socket and forgets what waits.
    pub fn shutdown(self, id: SocketId) {
        self.with(|sockets| sockets.shutdown(id));
    }

    /// Sends small pieces at once instead of waiting for more (`TCP_NODELAY`).
    pub fn nodelay(self, id: SocketId) {
        self.with(|sockets| sockets.nodelay(id));
    }

    /// Sends bytes. False where there is no such socket, or it is closed: then they are forgotten. What cannot be
    /// written at once waits; `Warning` events tell of much that waits.
    pub fn send(self, id: SocketId, bytes: impl Into<Payload>) -> bool {
        self.send_with(id, bytes, Priority::Normal)
    }

    /// The same with a priority.
    pub fn send_with(self, id: SocketId, bytes: impl Into<Payload>, priority: Priority) -> bool {
        self.engine().is_ok_and(|sockets| sockets.send(id, bytes.into(), priority))
    }

    /// Sends several pieces in their order, as one. Answers the bytes that wait to be written then; nothing where there
    /// is no such socket, or it is closed.
    pub(crate) fn send_many(self, id: SocketId, pieces: impl IntoIterator<Item = Payload>) -> Option<usize> {
        self.engine().ok()?.send_many(id, pieces)
    }

    /// The bytes that wait to be written; nothing where there is no such socket.
    pub(crate) fn waiting(self, id: SocketId) -> Option<usize> {
        self.host.open_sockets()?.waiting(id)
    }

    /// Has the owner warned early, and keeps little in the system: for connections on which nothing may wait long.
    pub(crate) fn keep_short(self, id: SocketId, warning: usize, unsent: u32) {
        self.with(|sockets| sockets.keep_short(id, warning, unsent));
    }

    /// Opens a datagram socket, bound to an address or, without one, to none of IPv4.
    ///
    /// # Errors
    /// What the system said, or that there are too many sockets.
    pub fn udp(self, bind: Option<(&str, u16)>) -> Result<SocketId, SocketError> {
        self.engine()?.udp(self.owner, bind)
    }

    /// Opens a datagram socket that listens on a port.
    ///
    /// # Errors
    /// As [`Sockets::udp`]; the port 0 is none.
    pub fn udp_listen(self, host: &str, port: u16) -> Result<SocketId, SocketError> {
        self.engine()?.udp_listen(self.owner, host, port)
    }

    /// Opens a datagram socket that speaks to one address.
    ///
    /// # Errors
    /// As [`Sockets::udp`]; the port 0 is none.
    pub fn udp_dial(self, host: &str, port: u16) -> Result<SocketId, SocketError> {
        self.engine()?.udp_dial(self.owner, host, port)
    }

    /// Gives a datagram socket the address to which [`Sockets::send`] sends.
    ///
    /// # Errors
    /// That there is no such socket, or no such host.
    pub fn udp_connect(self, id: SocketId, host: &str, port: u16) -> Result<(), SocketError> {
        self.engine()?.udp_connect(self.owner, id, host, port)
    }

    /// Sends a datagram. False where there is no such socket, or it cannot send to such an address.
    pub fn udp_send(self, id: SocketId, to: &UdpAddress, bytes: impl Into<Payload>) -> bool {
        self.engine().is_ok_and(|sockets| sockets.udp_send(id, to, bytes.into()))
    }

    /// All sockets of the node, whoever owns them.
    #[must_use]
    pub fn info(self) -> Vec<SocketInfo> {
        self.host.open_sockets().map(socket::Sockets::info).unwrap_or_default()
    }

    /// The addresses of a host, each once. Blocks the calling thread where the host is a name.
    ///
    /// # Errors
    /// What the system's resolver said.
    pub fn resolve(self, host: &str) -> Result<Vec<IpAddr>, SocketError> {
        self.engine()?.resolve(host)
    }

    /// Where no socket was ever made there is nothing to do.
    fn with(self, work: impl FnOnce(&socket::Sockets)) {
        if let Some(sockets) = self.host.open_sockets() {
            work(sockets);
        }
    }
}
