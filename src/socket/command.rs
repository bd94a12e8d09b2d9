//! [`Command`] and [`Inbox`]: what other threads ask of the reactor.
//!
//! A command that only makes or ends something goes this way; bytes do not, they wait in the socket that they are for.

use std::io;
use std::net::SocketAddr;

use crossbeam_queue::SegQueue;

use super::address::Target;
use super::ids::SocketId;
use super::line::Line;
use super::state::Socket;
use crate::handle::Handle;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicBool, Ordering, fence};

/// What the reactor shall do.
pub(super) enum Command {
    /// Have a new socket that is ready. A listener tells its port and address, and waits for its start.
    Listener {
        socket: Arc<Socket>,
        line: Arc<Line>,
        port: u16,
        text: String,
    },
    /// Have a new socket that is read at once; `text` is told to its owner.
    Open {
        socket: Arc<Socket>,
        line: Arc<Line>,
        text: Option<&'static str>,
    },
    /// Connect to the target; where there is none its name is being looked up.
    Connect {
        socket: Arc<Socket>,
        target: Option<Target>,
    },
    /// The addresses behind a name.
    Resolved(SocketId, io::Result<Vec<SocketAddr>>),
    /// A new socket could not be made.
    Failed(Arc<Socket>, String),
    Start(SocketId, Handle),
    Pause(SocketId),
    /// The owner has caught up.
    Resume(SocketId),
    Close(SocketId),
    Shutdown(SocketId),
    /// Look what the senders of this socket have left.
    Flush(SocketId),
    /// Tell the service that something is wrong with this socket.
    Report(Handle, SocketId, &'static str),
    CloseAll(Handle),
    Stop,
}

/// Where commands wait.
///
/// It has no limit: each command stands for a call that a service of this node has just made, and the reactor never
/// waits for anybody.
pub(super) struct Inbox {
    queue: SegQueue<Command>,
    /// Whether the reactor waits, or is about to: only then it has to be woken.
    asleep: AtomicBool,
    waker: mio::Waker,
}

impl Inbox {
    pub(super) fn new(waker: mio::Waker) -> Inbox {
        Inbox { queue: SegQueue::new(), asleep: AtomicBool::new(false), waker }
    }

    pub(super) fn push(&self, command: Command) {
        self.queue.push(command);
        // Pairs with the fence in `may_sleep`: either we see that it sleeps, or it sees the command.
        fence(Ordering::SeqCst);
        if self.asleep.load(Ordering::Relaxed) && self.asleep.swap(false, Ordering::Relaxed) {
            // It fails only where the reactor is gone, and with it all that the command is about.
            let _ = self.waker.wake();
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub(super) fn pop(&self) -> Option<Command> {
        self.queue.pop()
    }

    /// Announces a sleep of the reactor; answers whether it may.
    pub(super) fn may_sleep(&self) -> bool {
        self.asleep.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.queue.is_empty()
    }

    pub(super) fn awake(&self) {
        self.asleep.store(false, Ordering::Relaxed);
    }
}
