//! [`Line`]: the descriptor below a socket, how it is made and what can be done with it at once.
//!
//! The reactor reads from it without a lock; who writes to it holds the lock of the socket's out-queue. Nothing here
//! blocks. It is closed when both have let go of it.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};

use mio::net::{TcpListener, UnixListener};
use socket2::{Domain, Protocol, SockAddr, SockRef, Socket, Type};

use super::address::{Target, peer_text, unix_text};
use crate::message::Filling;

/// A write to a connection that is gone is an error, not a signal, whatever the process does with `SIGPIPE`.
#[cfg(any(target_os = "linux", target_os = "android", target_os = "freebsd"))]
const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android", target_os = "freebsd")))]
const SEND_FLAGS: i32 = 0;

/// An open descriptor.
pub(super) enum Line {
    /// A connection, or a descriptor of the process that was given to us.
    Stream(Stream),
    /// Takes connections.
    Listener(Listener),
    /// Datagrams.
    Udp(UdpSocket),
}

/// Bytes in order, both ways.
pub(super) enum Stream {
    /// A connection of ours.
    Socket(File),
    /// A second descriptor of something that the process has open and keeps.
    Lent(File),
}

/// Takes connections.
pub(super) enum Listener {
    Tcp(TcpListener),
    /// The path is removed with the listener.
    Unix(UnixListener, PathBuf),
}

impl Line {
    pub(super) fn raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }

    pub(super) fn set_nodelay(&self) {
        // What is no TCP has no delay either.
        let _ = SockRef::from(&self).set_tcp_nodelay(true);
    }

    /// The system takes no more than so many bytes beyond those that are under way, where it knows such a limit.
    pub(super) fn set_unsent_max(&self, size: u32) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        let _ = SockRef::from(&self).set_tcp_notsent_lowat(size);
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = size;
    }

    /// The peer of a connection, or what a listener or a bound datagram socket listens on; empty where there is none.
    pub(super) fn name(&self) -> String {
        let socket = SockRef::from(&self);
        let addr = match self {
            Line::Stream(Stream::Lent(_)) => return String::new(),
            Line::Stream(Stream::Socket(_)) => socket.peer_addr(),
            Line::Listener(Listener::Unix(_, path)) => return unix_text(Some(path)),
            Line::Listener(Listener::Tcp(_)) | Line::Udp(_) => socket.local_addr(),
        };
        addr.map(|addr| name_of(&addr)).unwrap_or_default()
    }
}

impl AsFd for Line {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Line::Stream(stream) => stream.file().as_fd(),
            Line::Listener(Listener::Tcp(listener)) => listener.as_fd(),
            Line::Listener(Listener::Unix(listener, _)) => listener.as_fd(),
            Line::Udp(socket) => socket.as_fd(),
        }
    }
}

fn name_of(addr: &SockAddr) -> String {
    match addr.as_socket() {
        Some(addr) => peer_text(addr),
        None if addr.is_unix() => unix_text(addr.as_pathname()),
        None => String::new(),
    }
}

impl Stream {
    fn file(&self) -> &File {
        match self {
            Stream::Socket(file) | Stream::Lent(file) => file,
        }
    }

    pub(super) fn is_lent(&self) -> bool {
        matches!(self, Stream::Lent(_))
    }

    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file().read(buffer)
    }

    /// Reads into what becomes a payload.
    pub(super) fn read_into(&self, room: &mut Filling) -> io::Result<usize> {
        room.read_from(self.file().as_fd())
    }

    pub(super) fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Socket(file) => SockRef::from(file).send_with_flags(bytes, SEND_FLAGS),
            Stream::Lent(file) => {
                let mut file = file;
                file.write(bytes)
            }
        }
    }

    pub(super) fn write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Socket(file) => SockRef::from(file).send_vectored_with_flags(slices, SEND_FLAGS),
            Stream::Lent(file) => {
                let mut file = file;
                file.write_vectored(slices)
            }
        }
    }

    /// Whether a connection that was begun is there: not yet, or why not.
    pub(super) fn connected(&self) -> io::Result<Option<Peer>> {
        let socket = SockRef::from(self.file());
        if let Some(error) = socket.take_error()? {
            return Err(error);
        }
        match socket.peer_addr() {
            Ok(addr) => Ok(Some(Peer(match addr.as_socket() {
                Some(addr) => addr.ip().to_string(),
                None => unix_text(addr.as_pathname()),
            }))),
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins a connection.
    pub(super) fn connect(target: &Target) -> io::Result<Stream> {
        let (socket, addr) = match target {
            Target::Addr(addr) => {
                let socket = Socket::new(Domain::for_address(*addr), Type::STREAM, Some(Protocol::TCP))?;
                socket.set_keepalive(true)?;
                (socket, SockAddr::from(*addr))
            }
            Target::Unix(path) => (Socket::new(Domain::UNIX, Type::STREAM, None)?, SockAddr::unix(path)?),
            Target::Name(..) => return Err(io::Error::other("Name or service not known")),
        };
        socket.set_nonblocking(true)?;
        match socket.connect(&addr) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
            Err(error) => return Err(error),
        }
        Ok(Stream::Socket(File::from(OwnedFd::from(socket))))
    }

    /// Uses a descriptor of the process by a copy of its own: should its owner close it, the number may become that of
    /// something else.
    pub(super) fn lend(fd: RawFd) -> io::Result<Stream> {
        // SAFETY: asks about a number, which may be any.
        let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0) };
        if copy < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the copy is new and nobody else knows it.
        let file = unsafe { File::from_raw_fd(copy) };
        SockRef::from(&file).set_nonblocking(true)?;
        Ok(Stream::Lent(file))
    }
}

/// How the event of a new connection shows its peer: the ip alone.
pub(super) struct Peer(pub(super) String);

impl Listener {
    /// Binds; answers the port and the text for the event too.
    pub(super) fn bind(
        target: &Target,
        backlog: i32,
        reuse_port: bool,
    ) -> io::Result<(Listener, u16, String)> {
        match target {
            Target::Addr(addr) => {
                let socket = Socket::new(Domain::for_address(*addr), Type::STREAM, Some(Protocol::TCP))?;
                socket.set_reuse_address(true)?;
                if reuse_port {
                    socket.set_reuse_port(true)?;
                }
                // Accepted sockets inherit it: one system call less for each.
                socket.set_keepalive(true)?;
                socket.set_nonblocking(true)?;
                socket.bind(&SockAddr::from(*addr))?;
                socket.listen(backlog)?;
                let bound = socket.local_addr()?.as_socket().unwrap_or(*addr);
                let listener = TcpListener::from(OwnedFd::from(socket));
                Ok((Listener::Tcp(listener), bound.port(), bound.ip().to_string()))
            }
            Target::Unix(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                socket.set_nonblocking(true)?;
                bind_path(&socket, path)?;
                socket.listen(backlog)?;
                let listener = UnixListener::from(OwnedFd::from(socket));
                Ok((Listener::Unix(listener, path.clone()), 0, unix_text(Some(path))))
            }
            Target::Name(..) => Err(io::Error::other("Name or service not known")),
        }
    }

    /// The next connection, with the text that shows its peer.
    pub(super) fn accept(&self) -> io::Result<(Stream, String)> {
        let (fd, text) = match self {
            Listener::Tcp(listener) => {
                let (stream, addr) = listener.accept()?;
                (OwnedFd::from(stream), peer_text(addr))
            }
            Listener::Unix(listener, _) => {
                let (stream, addr) = listener.accept()?;
                (OwnedFd::from(stream), unix_text(addr.as_pathname()))
            }
        };
        Ok((Stream::Socket(File::from(fd)), text))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Binds to a path; one that a dead process has left behind is taken over.
fn bind_path(socket: &Socket, path: &Path) -> io::Result<()> {
    let addr = SockAddr::unix(path)?;
    match socket.bind(&addr) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            // Of the wrong sort, so that a live listener does not see a connection: it is no match for it. Only a
            // socket that nobody has open refuses.
            let probe = Socket::new(Domain::UNIX, Type::DGRAM, None)?;
            match probe.connect(&addr) {
                Err(refused) if refused.kind() == io::ErrorKind::ConnectionRefused => {
                    if std::fs::symlink_metadata(path)?.file_type().is_file() {
                        return Err(error);
                    }
                    std::fs::remove_file(path)?;
                    socket.bind(&addr)
                }
                _ => Err(error),
            }
        }
        other => other,
    }
}

/// A datagram socket; bound where an address is given.
pub(super) fn udp(v6: bool, bind: Option<SocketAddr>) -> io::Result<UdpSocket> {
    let domain = if v6 { Domain::IPV6 } else { Domain::IPV4 };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(addr) = bind {
        socket.set_reuse_address(true)?;
        socket.bind(&SockAddr::from(addr))?;
    }
    Ok(UdpSocket::from(OwnedFd::from(socket)))
}

/// The number of descriptors that this process may have open.
pub(super) fn descriptor_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the structure is ours, and only written to.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    limit.rlim_cur
}
