//! Turns of a listener: taking connections, also when descriptors run out.

use std::fs::File;
use std::io;
use std::time::Duration;

use super::event::{SocketEvent, SocketEventKind, error_text};
use super::ids::SocketId;
use super::line::{Line, Stream, descriptor_limit};
use super::reactor::Reactor;
use super::state::SocketKind;
use super::table::{Entry, Phase};
use crate::clock::real_now;
use crate::sync::{Arc, lock};

/// So many connections are taken before the others have their turn.
const ACCEPTS_TURN_MAX: usize = 256;
/// The log hears at most so often that descriptors run out.
const COMPLAIN_EVERY: Duration = Duration::from_secs(1);
// Matched by Lua code: keep the words.
const FULL: &str = "reach skynet socket number limit";

/// A descriptor that is kept to be given up.
pub(super) fn reserve() -> Option<File> {
    File::open("/dev/null").ok()
}

impl Reactor {
    pub(super) fn accept_turn(&mut self, id: SocketId) {
        // One refusal is told in each turn: a flood of connections shall not become a flood of events.
        let mut refusal = None;
        let mut turn = 0;
        loop {
            let Some(entry) = self.table.get(id) else { return };
            if !entry.readable || !entry.reading {
                break;
            }
            let Some(line) = entry.line.clone() else { return };
            let Line::Listener(listener) = &*line else { return };
            match listener.accept() {
                Ok((stream, peer)) => {
                    if !self.accepted(id, stream, &peer) {
                        refusal = Some(FULL.to_owned());
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => entry.readable = false,
                // The connection has ended before it was taken.
                Err(error) if is_of_peer(&error) => {}
                Err(error) if is_exhausted(&error) && self.reserve.take().is_some() => {
                    // In place of the reserve there is room for one, which we can now refuse.
                    let _ = listener.accept();
                    self.reserve = reserve();
                    refusal = Some(error_text(&error));
                    self.complain(&error);
                }
                Err(error) => {
                    self.reserve = self.reserve.take().or_else(reserve);
                    self.complain(&error);
                    refusal = Some(error_text(&error));
                    self.starve(id);
                    break;
                }
            }
            turn += 1;
            if turn == ACCEPTS_TURN_MAX {
                self.again(id);
                break;
            }
        }
        if let Some(text) = refusal {
            self.tell_error(id, &text);
        }
    }

    /// Makes a socket of a connection, which waits for its start; answers whether there was a slot for it.
    fn accepted(&mut self, id: SocketId, stream: Stream, peer: &str) -> bool {
        let now_cs = self.shared.clock.centiseconds();
        let Some(listener) = self.table.get(id) else { return false };
        let owner = listener.owner;
        let socket = self.shared.slots.reserve(|id| self.shared.socket(id, owner, SocketKind::Unknown));
        let Some(socket) = socket else { return false };
        listener.socket.count_read(1, now_cs);
        let line = Arc::new(Line::Stream(stream));
        lock(&socket.out).attach(line.clone());
        let event = SocketEvent::text(SocketEventKind::Accept, id, socket.id.get(), peer);
        self.table.insert(Entry::new(socket, Some(line), owner, Phase::Waiting));
        self.tell(owner, event);
        true
    }

    #[cold]
    fn complain(&mut self, error: &io::Error) {
        let now = real_now();
        if self.complained.is_some_and(|before| now.since(before) < COMPLAIN_EVERY) {
            return;
        }
        self.complained = Some(now);
        let (open, limit) = (self.shared.slots.len(), descriptor_limit());
        let text = error_text(error);
        (self.shared.log)(&format!(
            "socket: connections are refused: {text} ({open} sockets are open, the process may have {limit} \
             descriptors: ulimit -n)"
        ));
    }
}

/// Whether only the connection is concerned, not the listener.
fn is_of_peer(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted)
        || error.raw_os_error() == Some(libc::EPROTO)
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}
