//! [`Socket`]: what every thread may know of a socket. What only the reactor knows stands in `table.rs`.

use std::net::SocketAddr;

use super::command::Inbox;
use super::credit::Undelivered;
use super::ids::SocketId;
use super::out::{Out, Priority, Sent};
use crate::handle::Handle;
use crate::message::Payload;
use crate::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, lock};

/// What a socket is at the moment. The numbers are those of the original's `socket_info`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SocketKind {
    /// Connecting, or accepted and not started.
    Unknown = 0,
    /// Takes connections.
    Listen = 1,
    /// A connection, of TCP or in the file system.
    Tcp = 2,
    /// Datagrams.
    Udp = 3,
    /// A descriptor of the process.
    Bind = 4,
    /// One side or both have ended.
    Closing = 5,
}

/// A socket as all threads see it.
pub(super) struct Socket {
    pub(super) id: SocketId,
    owner: AtomicU32,
    kind: AtomicU8,
    reading: AtomicBool,
    /// Whether bytes wait in `out`: the reactor asks at each event, and must not need the lock for it.
    waiting: AtomicBool,
    /// Bytes, or connections of a listener.
    read: Count,
    written: Count,
    /// What its owner has not come to yet.
    pub(super) undelivered: Undelivered,
    /// Locked by a sender while it writes, and by the reactor to flush. Nothing else is locked within.
    pub(super) out: Mutex<Out>,
}

/// How much, and when last.
#[derive(Default)]
struct Count {
    sum: AtomicU64,
    at_cs: AtomicU64,
}

impl Count {
    fn add(&self, more: usize, now_cs: u64) {
        self.sum.fetch_add(more as u64, Ordering::Relaxed);
        self.at_cs.store(now_cs, Ordering::Relaxed);
    }
}

impl Socket {
    pub(super) fn new(id: SocketId, owner: Handle, kind: SocketKind, inbox: Option<Arc<Inbox>>) -> Socket {
        Socket {
            id,
            owner: AtomicU32::new(owner.as_u32()),
            kind: AtomicU8::new(kind as u8),
            reading: AtomicBool::new(false),
            waiting: AtomicBool::new(false),
            read: Count::default(),
            written: Count::default(),
            undelivered: Undelivered::new(inbox),
            out: Mutex::new(Out::new()),
        }
    }

    /// Sends from any thread; at most `len_max` bytes may wait.
    ///
    /// A write that finds no room is tried again once `waiting` is set. Room that appears before is used by that
    /// second try; of room that appears after it the system tells the reactor, which sees the flag.
    pub(super) fn send(
        &self,
        payload: Payload,
        priority: Priority,
        to: Option<SocketAddr>,
        len_max: usize,
        now_cs: u64,
    ) -> Sent {
        let mut out = lock(&self.out);
        // Pairs with the load in `is_waiting`.
        let sent = out.send(payload, priority, to, len_max, || self.waiting.store(true, Ordering::SeqCst));
        if sent.written > 0 {
            self.count_written(sent.written, now_cs);
        }
        if self.waiting.load(Ordering::Relaxed) && out.is_empty() {
            self.waiting.store(false, Ordering::Relaxed);
        }
        sent
    }

    /// Sends pieces of a stream; answers the bytes that wait then. There is no limit: the caller keeps one.
    pub(super) fn send_many(&self, payloads: impl Iterator<Item = Payload>, now_cs: u64) -> (Sent, usize) {
        let mut out = lock(&self.out);
        // As in `send`.
        let sent = out.send_many(payloads, || self.waiting.store(true, Ordering::SeqCst));
        if sent.written > 0 {
            self.count_written(sent.written, now_cs);
        }
        if self.waiting.load(Ordering::Relaxed) && out.is_empty() {
            self.waiting.store(false, Ordering::Relaxed);
        }
        (sent, out.len())
    }

    /// Whether bytes wait. May say yes while a sender finds out that all went.
    pub(super) fn is_waiting(&self) -> bool {
        self.waiting.load(Ordering::SeqCst)
    }

    /// Says whether bytes wait; the caller holds the lock of `out`.
    pub(super) fn set_waiting(&self, waiting: bool) {
        self.waiting.store(waiting, Ordering::SeqCst);
    }

    pub(super) fn count_read(&self, more: usize, now_cs: u64) {
        self.read.add(more, now_cs);
    }

    pub(super) fn count_written(&self, more: usize, now_cs: u64) {
        self.written.add(more, now_cs);
    }

    pub(super) fn owner(&self) -> Handle {
        Handle::from_u32(self.owner.load(Ordering::Relaxed))
    }

    pub(super) fn set_owner(&self, owner: Handle) {
        self.owner.store(owner.as_u32(), Ordering::Relaxed);
    }

    pub(super) fn set_kind(&self, kind: SocketKind) {
        self.kind.store(kind as u8, Ordering::Relaxed);
    }

    pub(super) fn kind(&self) -> SocketKind {
        match self.kind.load(Ordering::Relaxed) {
            1 => SocketKind::Listen,
            2 => SocketKind::Tcp,
            3 => SocketKind::Udp,
            4 => SocketKind::Bind,
            5 => SocketKind::Closing,
            _ => SocketKind::Unknown,
        }
    }

    pub(super) fn set_reading(&self, reading: bool) {
        self.reading.store(reading, Ordering::Relaxed);
    }

    /// What `netstat` shows.
    pub(super) fn info(&self) -> SocketInfo {
        let (line, peer, waiting) = {
            let out = lock(&self.out);
            (out.line().cloned(), out.peer, out.len())
        };
        let name = match (peer, line) {
            (Some(peer), _) => super::address::peer_text(peer),
            (None, line) => line.map(|line| line.name()).unwrap_or_default(),
        };
        SocketInfo {
            id: self.id,
            owner: self.owner(),
            kind: self.kind(),
            read: self.read.sum.load(Ordering::Relaxed),
            written: self.written.sum.load(Ordering::Relaxed),
            read_at_cs: self.read.at_cs.load(Ordering::Relaxed),
            written_at_cs: self.written.at_cs.load(Ordering::Relaxed),
            waiting: waiting as u64,
            reading: self.reading.load(Ordering::Relaxed),
            writing: waiting > 0,
            name,
        }
    }
}

/// What `netstat` shows of a socket.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SocketInfo {
    /// Its id.
    pub id: SocketId,
    /// The service that hears of it.
    pub owner: Handle,
    /// What it is.
    pub kind: SocketKind,
    /// Bytes read; connections taken, of a listener.
    pub read: u64,
    /// Bytes written to the descriptor.
    pub written: u64,
    /// When it was last read, in centiseconds of the node's clock.
    pub read_at_cs: u64,
    /// When it was last written to, in the same unit.
    pub written_at_cs: u64,
    /// Bytes that wait to be written.
    pub waiting: u64,
    /// Whether its owner wants to hear what comes in.
    pub reading: bool,
    /// Whether something waits to be written.
    pub writing: bool,
    /// The peer of a connection; what a listener listens on.
    pub name: String,
}
