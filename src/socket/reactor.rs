//! The reactor: what waits for the network, on one thread at a time (see `driver.rs`).
//!
//! It reads and accepts, writes what senders had to leave in the out-queues, does what the [`Inbox`] asks for, and
//! is the only one that makes events. It never blocks but in its poll.
//!
//! # Edges
//!
//! A descriptor is registered once, for both directions, and the poll tells of changes only. So whoever stops reading
//! before the end keeps in mind that there is more: [`Entry::readable`]. A socket whose turn ended because others wait
//! stands in `ready`; one that is paused is looked at again when its owner resumes it.
//!
//! [`Entry::readable`]: super::table::Entry::readable
//! [`Inbox`]: super::command::Inbox

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};

use super::command::Command;
use super::event::{SocketEvent, SocketEventKind};
use super::ids::SocketId;
use super::line::Line;
use super::state::Socket;
use super::stream::Room;
use super::table::{Entry, Phase, Table};
use super::{Shared, accept};
use crate::clock::{RealTime, real_now};
use crate::handle::Handle;
use crate::message::{Message, MessageKind, Payload};
use crate::sync::{Arc, lock};

pub(super) const WAKE: Token = Token(usize::MAX);
/// So many events are taken from the system at once.
const EVENTS_MAX: usize = 1024;
/// So many commands are done before the network is looked at again.
const COMMANDS_TURN_MAX: usize = 1024;
/// One read takes at most so much; a whole datagram fits in.
pub(super) const READ_SIZE: usize = 64 * 1024;
/// A listener that finds no descriptor, not even the reserve, tries again after this time.
const STARVED_RETRY: Duration = Duration::from_millis(50);

pub(super) struct Reactor {
    pub(super) shared: Arc<Shared>,
    pub(super) poll: Poll,
    events: Events,
    /// Bytes that were read while commands came in, which may give the socket to another service.
    pub(super) late: Vec<SocketEvent>,
    pub(super) table: Table,
    /// Sockets that want another turn.
    ready: VecDeque<SocketId>,
    /// Listeners that found no descriptor, and since when they wait.
    pub(super) starved: Vec<SocketId>,
    starved_since: RealTime,
    /// What is read comes here first, so that its payload can have the right size.
    pub(super) buffer: Box<[u8]>,
    /// Of a socket through which much comes it comes here.
    pub(super) room: Room,
    /// Given up for a moment when descriptors run out: a connection can be refused only after it was accepted.
    pub(super) reserve: Option<File>,
    /// When the log was last told that descriptors run out.
    pub(super) complained: Option<RealTime>,
}

impl Reactor {
    pub(super) fn new(shared: Arc<Shared>, poll: Poll) -> Reactor {
        Reactor {
            shared,
            poll,
            events: Events::with_capacity(EVENTS_MAX),
            late: Vec::new(),
            table: Table::default(),
            ready: VecDeque::new(),
            starved: Vec::new(),
            starved_since: real_now(),
            buffer: vec![0; READ_SIZE].into_boxed_slice(),
            room: Room::default(),
            reserve: accept::reserve(),
            complained: None,
        }
    }

    /// Waits for the network and does what is to be done; without a wait if its thread is `busy` otherwise. Answers
    /// whether the reactor goes on.
    pub(super) fn step(&mut self, busy: bool) -> bool {
        let timeout = if busy || !self.shared.inbox.may_sleep() || !self.ready.is_empty() {
            Some(Duration::ZERO)
        } else {
            (!self.starved.is_empty()).then_some(STARVED_RETRY)
        };
        match self.poll.poll(&mut self.events, timeout) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => self.events.clear(),
            // Nothing that comes from outside can cause this.
            Err(error) => panic!("the reactor cannot poll: {error}"),
        }
        self.shared.inbox.awake();
        // Before the events: a service that takes a socket over and writes at once must get the answer, and the event of
        // that answer comes with the command or after it.
        if !self.commands() {
            return false;
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in events.iter().filter(|event| event.token() != WAKE) {
            let Ok(number) = i32::try_from(event.token().0) else { continue };
            let hangup = event.is_read_closed();
            self.event(
                SocketId::new(number),
                Edge {
                    readable: event.is_readable() || hangup,
                    writable: event.is_writable() || event.is_write_closed(),
                    hangup,
                    error: event.is_error(),
                },
            );
        }
        self.events = events;
        if !self.tell_late() {
            return false;
        }
        self.turns();
        self.tell_late()
    }

    /// Tells what was read while commands came in, once those are done; answers whether the reactor goes on.
    fn tell_late(&mut self) -> bool {
        if self.late.is_empty() {
            return true;
        }
        let goes_on = self.commands();
        for event in std::mem::take(&mut self.late) {
            // Whoever has closed the socket meanwhile does not want it.
            if let Some(entry) = self.table.get(event.id).filter(|entry| !entry.closing && !entry.read_done) {
                let owner = entry.owner;
                self.tell(owner, event);
            }
        }
        goes_on
    }

    fn event(&mut self, id: SocketId, edge: Edge) {
        // An event of a socket that has ended meanwhile is nobody's.
        let Some(entry) = self.table.get(id) else { return };
        match entry.phase {
            Phase::Connecting(_) => {
                // The peer may have said all it had to say by now, and this edge be the last one.
                entry.hangup |= edge.hangup;
                if edge.writable || edge.error || edge.hangup {
                    self.connect_event(id);
                }
            }
            Phase::Waiting => {}
            Phase::Listening => {
                entry.readable = true;
                self.accept_turn(id);
            }
            Phase::Open => {
                entry.readable |= edge.readable || edge.error;
                entry.hangup |= edge.hangup || edge.error;
                if edge.error && entry.read_done {
                    // The owner has heard of the end: what it wrote since is lost in silence.
                    self.end(id);
                    return;
                }
                let waiting = edge.writable && entry.socket.is_waiting();
                if entry.readable {
                    // Of a reset even a paused owner hears: there is nothing left to save.
                    self.read_turn(id, edge.error);
                }
                if waiting {
                    self.flush_turn(id);
                }
            }
        }
    }

    /// Does what was asked for; answers whether the reactor goes on.
    fn commands(&mut self) -> bool {
        for _ in 0..COMMANDS_TURN_MAX {
            let Some(command) = self.shared.inbox.pop() else { break };
            match command {
                Command::Listener { socket, line, port, text } => {
                    let (id, owner) = (socket.id, socket.owner());
                    self.table.insert(Entry::new(socket, Some(line), owner, Phase::Waiting));
                    self.tell(owner, SocketEvent::text(SocketEventKind::Connect, id, port.into(), &text));
                }
                Command::Open { socket, line, text } => self.open(socket, line, text),
                Command::Connect { socket, target } => self.connect(socket, target),
                Command::Resolved(id, found) => self.resolved(id, found),
                Command::Failed(socket, text) => {
                    self.shared.slots.release(socket.id);
                    self.tell(socket.owner(), SocketEvent::text(SocketEventKind::Error, socket.id, 0, &text));
                }
                Command::Start(id, owner) => self.start(id, owner),
                Command::Pause(id) => {
                    if let Some(entry) = self.table.get(id) {
                        entry.set_reading(false);
                    }
                }
                Command::Resume(id) => self.again(id),
                Command::Close(id) => self.close(id),
                Command::Shutdown(id) => self.shutdown(id),
                Command::Flush(id) => self.flush_turn(id),
                Command::Report(owner, id, text) => {
                    self.tell(owner, SocketEvent::text(SocketEventKind::Error, id, 0, text));
                }
                Command::CloseAll(owner) => {
                    for id in self.table.of(owner) {
                        self.close(id);
                    }
                }
                Command::Stop => {
                    for id in self.table.all() {
                        self.end(id);
                    }
                    return false;
                }
            }
        }
        true
    }

    fn turns(&mut self) {
        if !self.starved.is_empty() && real_now().since(self.starved_since) >= STARVED_RETRY {
            for id in std::mem::take(&mut self.starved) {
                self.again(id);
            }
        }
        // Those that come back meanwhile wait until the network has been looked at.
        for _ in 0..self.ready.len() {
            let Some(id) = self.ready.pop_front() else { break };
            let Some(entry) = self.table.get(id) else { continue };
            entry.queued = false;
            match entry.phase {
                Phase::Listening => self.accept_turn(id),
                Phase::Open => {
                    self.read_turn(id, false);
                    if self.table.get(id).is_some_and(|entry| entry.socket.is_waiting()) {
                        self.flush_turn(id);
                    }
                }
                Phase::Connecting(_) | Phase::Waiting => {}
            }
        }
    }

    /// Gives the socket another turn after the others.
    pub(super) fn again(&mut self, id: SocketId) {
        if let Some(entry) = self.table.get(id)
            && !std::mem::replace(&mut entry.queued, true)
        {
            self.ready.push_back(id);
        }
    }

    /// Lets the listener try again later.
    pub(super) fn starve(&mut self, id: SocketId) {
        if self.starved.is_empty() {
            self.starved_since = real_now();
        }
        if !self.starved.contains(&id) {
            self.starved.push(id);
        }
    }

    fn open(&mut self, socket: Arc<Socket>, line: Arc<Line>, text: Option<&'static str>) {
        let (id, owner) = (socket.id, socket.owner());
        let mut entry = Entry::new(socket, Some(line.clone()), owner, Phase::Open);
        entry.set_reading(true);
        self.table.insert(entry);
        if let Err(error) = self.register(id, &line) {
            self.fail(id, &super::error_text(&error));
            return;
        }
        if let Some(text) = text {
            self.tell(owner, SocketEvent::text(SocketEventKind::Connect, id, 0, text));
        }
    }

    /// A service wants to hear of this socket: for the first time, in place of another, or after a pause.
    fn start(&mut self, id: SocketId, owner: Handle) {
        // Matched by Lua code: keep the words of all texts.
        let Some(entry) = self.table.get(id) else {
            self.tell(owner, SocketEvent::text(SocketEventKind::Error, id, 0, "invalid socket"));
            return;
        };
        match entry.phase {
            // Its owner hears of it when it is there.
            Phase::Connecting(_) => {}
            Phase::Waiting => {
                let listens = matches!(entry.line.as_deref(), Some(Line::Listener(_)));
                entry.phase = if listens { Phase::Listening } else { Phase::Open };
                entry.socket.set_kind(if listens {
                    super::SocketKind::Listen
                } else {
                    super::SocketKind::Tcp
                });
                entry.set_reading(true);
                let line = entry.line.clone();
                self.table.set_owner(id, owner);
                match line.map(|line| self.register(id, &line)) {
                    Some(Ok(())) => {
                        self.tell(owner, SocketEvent::text(SocketEventKind::Connect, id, 0, "start"));
                    }
                    _ => self.fail(id, "enable read failed"),
                }
            }
            Phase::Open if entry.read_done => {
                self.tell(owner, SocketEvent::text(SocketEventKind::Error, id, 0, "socket closed"));
            }
            Phase::Open | Phase::Listening => {
                entry.set_reading(true);
                // Of one that cannot be written to the new owner hears the close, as soon as it is read.
                let well = !entry.write_failed;
                let is_first = std::mem::take(&mut entry.early);
                if is_first && well {
                    entry.socket.set_kind(super::SocketKind::Tcp);
                }
                self.table.set_owner(id, owner);
                if well {
                    let text = if is_first { "start" } else { "transfer" };
                    self.tell(owner, SocketEvent::text(SocketEventKind::Connect, id, 0, text));
                }
                self.again(id);
            }
        }
    }

    /// The owner wants no more of the socket. What waits is still written.
    fn close(&mut self, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        let empty = {
            let mut out = lock(&entry.socket.out);
            out.close();
            out.is_empty()
        };
        if empty || matches!(entry.line.as_deref(), Some(Line::Listener(_))) {
            self.shutdown(id);
            return;
        }
        entry.closing = true;
        entry.socket.set_kind(super::SocketKind::Closing);
        match entry.phase {
            // Nothing is known yet of the room for what waits.
            Phase::Connecting(_) | Phase::Listening => {}
            Phase::Waiting => {
                entry.phase = Phase::Open;
                entry.read_done = true;
                let line = entry.line.clone();
                if line.is_none_or(|line| self.register(id, &line).is_err()) {
                    self.shutdown(id);
                    return;
                }
            }
            Phase::Open => entry.read_done = true,
        }
        self.stop_reading(id);
        self.tell_close(id);
    }

    fn stop_reading(&mut self, id: SocketId) {
        if let Some(entry) = self.table.get(id) {
            entry.set_reading(false);
        }
    }

    /// Ends the socket at once; what waits is lost.
    pub(super) fn shutdown(&mut self, id: SocketId) {
        if let Some(ended) = self.end(id) {
            ended.tell_close(&self.shared);
        }
    }

    /// Ends a socket that never came to be, with the reason.
    pub(super) fn fail(&mut self, id: SocketId, text: &str) {
        if let Some(ended) = self.end(id) {
            ended.tell_error(&self.shared, text);
        }
    }

    /// Tells the owner that the socket is closed, if it was not told before.
    pub(super) fn tell_close(&mut self, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        if !std::mem::replace(&mut entry.close_told, true) {
            let owner = entry.owner;
            self.tell(owner, SocketEvent::text(SocketEventKind::Close, id, 0, ""));
        }
    }

    pub(super) fn tell_error(&mut self, id: SocketId, text: &str) {
        if let Some(entry) = self.table.get(id) {
            let owner = entry.owner;
            self.tell(owner, SocketEvent::text(SocketEventKind::Error, id, 0, text));
        }
    }

    pub(super) fn tell(&self, owner: Handle, event: SocketEvent) {
        self.shared.tell(owner, event);
    }

    /// The socket is no more: its id finds nobody from now on, and its descriptor is closed.
    ///
    /// What is told of it is told after: its owner shall find it gone then.
    pub(super) fn end(&mut self, id: SocketId) -> Option<Ended> {
        let entry = self.table.remove(id)?;
        if let Some(line) = entry.line.as_deref()
            && matches!(line, Line::Stream(stream) if stream.is_lent())
        {
            // The others leave the poll by being closed; this one stays open elsewhere.
            let _ = self.poll.registry().deregister(&mut SourceFd(&line.raw_fd()));
        }
        // Bound to a name, to be dropped after the lock.
        let rest = lock(&entry.socket.out).end();
        self.shared.slots.release(id);
        drop(rest);
        Some(Ended { id, owner: entry.owner, close_told: entry.close_told })
    }

    pub(super) fn register(&self, id: SocketId, line: &Line) -> io::Result<()> {
        let token = Token(id.get().cast_unsigned() as usize);
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut SourceFd(&line.raw_fd()), token, interest)
    }
}

/// What the poll tells of a descriptor.
struct Edge {
    readable: bool,
    writable: bool,
    /// The peer has ended its side.
    hangup: bool,
    error: bool,
}

/// A socket that is no more.
pub(super) struct Ended {
    id: SocketId,
    owner: Handle,
    close_told: bool,
}

impl Ended {
    pub(super) fn tell_error(&self, shared: &Shared, text: &str) {
        shared.tell(self.owner, SocketEvent::text(SocketEventKind::Error, self.id, 0, text));
    }

    pub(super) fn tell_close(&self, shared: &Shared) {
        if !self.close_told {
            shared.tell(self.owner, SocketEvent::text(SocketEventKind::Close, self.id, 0, ""));
        }
    }
}

impl Shared {
    pub(super) fn tell(&self, owner: Handle, event: SocketEvent) {
        let payload = Payload::typed(event);
        self.post
            .post(owner, Message { source: Handle::NONE, session: None, kind: MessageKind::SOCKET, payload });
    }
}
