//! Connecting: all addresses of a target are tried in turn, and the owner hears of the last failure or of the success.
//!
//! What is sent meanwhile waits in the out-queue.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::address::Target;
use super::event::{SocketEvent, SocketEventKind, error_text};
use super::ids::SocketId;
use super::line::{Line, Peer, Stream};
use super::reactor::Reactor;
use super::state::{Socket, SocketKind};
use super::table::{Entry, Phase};
use crate::sync::{Arc, lock};

impl Reactor {
    pub(super) fn connect(&mut self, socket: Arc<Socket>, target: Option<Target>) {
        let (id, owner, known) = (socket.id, socket.owner(), target.is_some());
        let targets = target.into_iter().collect();
        self.table.insert(Entry::new(socket, None, owner, Phase::Connecting(targets)));
        if known {
            self.try_next(id, None);
        }
    }

    pub(super) fn resolved(&mut self, id: SocketId, found: io::Result<Vec<SocketAddr>>) {
        let Some(Entry { phase: Phase::Connecting(targets), .. }) = self.table.get(id) else { return };
        let why = match found {
            Ok(addrs) => {
                *targets = addrs.into_iter().map(Target::Addr).collect::<VecDeque<_>>();
                None
            }
            Err(error) => Some(error),
        };
        self.try_next(id, why);
    }

    /// Begins a connection to the next address; `why` the one before failed.
    fn try_next(&mut self, id: SocketId, mut why: Option<io::Error>) {
        loop {
            let Some(entry) = self.table.get(id) else { return };
            let Phase::Connecting(targets) = &mut entry.phase else { return };
            // Closes the descriptor of the attempt before.
            entry.line = None;
            entry.hangup = false;
            let Some(target) = targets.pop_front() else { break };
            match Stream::connect(&target) {
                Ok(stream) => {
                    let line = Arc::new(Line::Stream(stream));
                    entry.line = Some(line.clone());
                    match self.register(id, &line) {
                        // The first event tells, even where the connection is there already.
                        Ok(()) => return,
                        Err(error) => why = Some(error),
                    }
                }
                Err(error) => why = Some(error),
            }
        }
        if self.table.get(id).is_some_and(|entry| entry.closing) {
            self.end(id);
        } else {
            let text = why.as_ref().map_or_else(|| "Unknown error".to_owned(), error_text);
            self.fail(id, &text);
        }
    }

    pub(super) fn connect_event(&mut self, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        let Some(line) = entry.line.clone() else { return };
        let Line::Stream(stream) = &*line else { return };
        match stream.connected() {
            Ok(None) => {}
            Ok(Some(peer)) => self.connected(id, line.clone(), &peer),
            Err(error) => self.try_next(id, Some(error)),
        }
    }

    fn connected(&mut self, id: SocketId, line: Arc<Line>, Peer(text): &Peer) {
        let Some(entry) = self.table.get(id) else { return };
        entry.phase = Phase::Open;
        // Before it is told, so that what its owner then sends is written at once.
        lock(&entry.socket.out).attach(line);
        if entry.closing {
            // Closed by its owner before it was there, with something left to write.
            entry.read_done = true;
        } else {
            entry.socket.set_kind(SocketKind::Tcp);
            entry.set_reading(true);
            let owner = entry.owner;
            self.tell(owner, SocketEvent::text(SocketEventKind::Connect, id, 0, text));
        }
        let Some(entry) = self.table.get(id) else { return };
        // The event that told of the connection may have told of more.
        entry.readable = true;
        self.flush_turn(id);
        self.read_turn(id, false);
    }
}
