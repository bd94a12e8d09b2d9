//! [`Table`]: what the reactor alone knows of its sockets.

use std::collections::{HashMap, VecDeque};

use super::address::Target;
use super::ids::SocketId;
use super::line::Line;
use super::state::Socket;
use crate::handle::Handle;
use crate::sync::Arc;

/// A socket as the reactor sees it.
pub(super) struct Entry {
    pub(super) socket: Arc<Socket>,
    /// Nothing while its name is looked up.
    pub(super) line: Option<Arc<Line>>,
    pub(super) owner: Handle,
    pub(super) phase: Phase,
    /// Whether the owner wants what comes in: started and not paused.
    pub(super) reading: bool,
    /// Whether something may be there to read: an edge came, and reading has not found the end since.
    pub(super) readable: bool,
    /// Whether much comes in: it is read in larger pieces then.
    pub(super) in_bulk: bool,
    /// Whether the system told of the end of the stream: it will not tell again, so reading goes on until there.
    pub(super) hangup: bool,
    /// Nothing more is read: the peer has ended its side, or the owner has closed the socket.
    pub(super) read_done: bool,
    /// A write failed and the owner was told.
    pub(super) write_failed: bool,
    /// The owner has closed the socket: it ends when all is written.
    pub(super) closing: bool,
    /// The owner has heard of the close.
    pub(super) close_told: bool,
    /// Nobody has started it yet, but bytes wait to be written: so the poll knows it, and it counts as open.
    pub(super) early: bool,
    /// Whether it waits in the reactor's line of those that want another turn.
    pub(super) queued: bool,
}

/// How far a socket has come.
pub(super) enum Phase {
    /// Not connected; these addresses are left to be tried.
    Connecting(VecDeque<Target>),
    /// Accepted or bound, waits for its start; the poll does not know it.
    Waiting,
    /// Takes connections.
    Listening,
    /// Bytes or datagrams flow.
    Open,
}

impl Entry {
    pub(super) fn new(socket: Arc<Socket>, line: Option<Arc<Line>>, owner: Handle, phase: Phase) -> Entry {
        Entry {
            socket,
            line,
            owner,
            phase,
            reading: false,
            readable: false,
            in_bulk: false,
            hangup: false,
            read_done: false,
            write_failed: false,
            closing: false,
            close_told: false,
            early: false,
            queued: false,
        }
    }

    pub(super) fn set_reading(&mut self, reading: bool) {
        self.reading = reading;
        self.socket.set_reading(reading);
    }
}

/// All sockets of a reactor, found by the slot of their id.
#[derive(Default)]
pub(super) struct Table {
    entries: Vec<Option<Box<Entry>>>,
    /// How many sockets a service owns; most services own none, and their end shall cost nothing.
    owned: HashMap<Handle, usize>,
}

impl Table {
    pub(super) fn insert(&mut self, entry: Entry) {
        let slot = entry.socket.id.slot();
        if self.entries.len() <= slot {
            self.entries.resize_with(slot + 1, || None);
        }
        *self.owned.entry(entry.owner).or_default() += 1;
        let before = self.entries[slot].replace(Box::new(entry));
        debug_assert!(before.is_none(), "a slot is given back after its entry is gone");
    }

    pub(super) fn get(&mut self, id: SocketId) -> Option<&mut Entry> {
        self.entries.get_mut(id.slot())?.as_deref_mut().filter(|entry| entry.socket.id == id)
    }

    pub(super) fn remove(&mut self, id: SocketId) -> Option<Entry> {
        self.get(id)?;
        let entry = self.entries.get_mut(id.slot())?.take()?;
        self.disown(entry.owner);
        Some(*entry)
    }

    /// Gives a socket to another service.
    pub(super) fn set_owner(&mut self, id: SocketId, owner: Handle) {
        let Some(entry) = self.get(id) else { return };
        let before = std::mem::replace(&mut entry.owner, owner);
        entry.socket.set_owner(owner);
        if before != owner {
            self.disown(before);
            *self.owned.entry(owner).or_default() += 1;
        }
    }

    fn disown(&mut self, owner: Handle) {
        if let Some(count) = self.owned.get_mut(&owner) {
            *count -= 1;
            if *count == 0 {
                self.owned.remove(&owner);
            }
        }
    }

    /// The sockets of a service.
    pub(super) fn of(&self, owner: Handle) -> Vec<SocketId> {
        let Some(count) = self.owned.get(&owner) else { return Vec::new() };
        let entries = self.entries.iter().flatten().filter(|entry| entry.owner == owner);
        entries.map(|entry| entry.socket.id).take(*count).collect()
    }

    pub(super) fn all(&self) -> Vec<SocketId> {
        self.entries.iter().flatten().map(|entry| entry.socket.id).collect()
    }
}
