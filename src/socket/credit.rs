//! [`Undelivered`] and [`Credit`]: how much of a socket's data its owner has not come to yet.
//!
//! A service that is slow, or busy for long, must not have the network fill its mailbox: from a limit on nothing more is
//! read of a socket, the system's own buffer fills, and the peer has to wait.

use super::command::{Command, Inbox};
use super::state::Socket;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// So many bytes of one socket may wait in its owner's mailbox before it is not read further.
pub(super) const UNDELIVERED_MAX: usize = 1 << 20;
/// It is read again when so few are left.
const RESUME_AT: usize = UNDELIVERED_MAX / 2;
/// What an event takes beside its bytes; without it a flood of tiny pieces would count for nothing.
const EVENT_SIZE: usize = 128;

/// The count of one socket.
pub(super) struct Undelivered {
    bytes: AtomicUsize,
    /// Whether the reactor has stopped reading, and wants to be told.
    held: AtomicBool,
    /// Nothing where there is no reactor, in tests.
    inbox: Option<Arc<Inbox>>,
}

impl Undelivered {
    pub(super) fn new(inbox: Option<Arc<Inbox>>) -> Undelivered {
        Undelivered { bytes: AtomicUsize::new(0), held: AtomicBool::new(false), inbox }
    }

    /// Asked by the reactor before it reads: whether the owner has to catch up first. If so, a [`Command::Resume`] comes
    /// when it has.
    pub(super) fn must_wait(&self) -> bool {
        if self.bytes.load(Ordering::Relaxed) < UNDELIVERED_MAX {
            return false;
        }
        self.held.store(true, Ordering::SeqCst);
        // Pairs with `Credit::drop`: either it sees that we wait, or we see what it has given back.
        if self.bytes.load(Ordering::SeqCst) > RESUME_AT {
            return true;
        }
        // If the flag is gone already a command is on its way, and does no harm.
        self.held.store(false, Ordering::SeqCst);
        false
    }
}

/// Bytes that are on their way to the owner; given back when the event is handled, or dropped.
pub(super) struct Credit {
    socket: Arc<Socket>,
    size: usize,
}

impl Credit {
    pub(super) fn new(socket: &Arc<Socket>, len: usize) -> Credit {
        let size = len + EVENT_SIZE;
        socket.undelivered.bytes.fetch_add(size, Ordering::Relaxed);
        Credit { socket: socket.clone(), size }
    }
}

impl Drop for Credit {
    fn drop(&mut self) {
        let count = &self.socket.undelivered;
        let left = count.bytes.fetch_sub(self.size, Ordering::SeqCst) - self.size;
        if left <= RESUME_AT
            && count.held.load(Ordering::SeqCst)
            && count.held.swap(false, Ordering::SeqCst)
            && let Some(inbox) = &count.inbox
        {
            inbox.push(Command::Resume(self.socket.id));
        }
    }
}

impl std::fmt::Debug for Credit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.size)
    }
}
