//! Turns of an open socket: reading what came, writing what waits, and how each of the two ends.
//!
//! The sides end one by one. When the peer ends its side, the owner hears of it and may go on writing until it closes
//! the socket. When a write fails, the owner hears of that, and goes on hearing what the peer had sent before.

use std::io;

use super::event::{SocketEvent, SocketEventKind, error_text};
use super::ids::SocketId;
use super::line::{Line, Stream};
use super::out::{Fault, Flushed};
use super::reactor::{READ_SIZE, Reactor};
use super::state::SocketKind;
use super::table::Phase;
use crate::message::{Filling, Payload};
use crate::sync::lock;

/// So often, [`READ_SIZE`] bytes each time, one socket is read before the others have their turn.
const READS_TURN_MAX: usize = 4;
/// Where a read finds [`READ_SIZE`] bytes, those after it ask for so many at a time.
const BULK_SIZE: usize = 256 * 1024;
/// So many datagrams of one socket are taken before the others have their turn.
const DATAGRAMS_TURN_MAX: usize = 64;

/// What comes in large pieces is read into the block that its owner gets.
#[derive(Default)]
pub(super) struct Room(Option<Filling>);

impl Room {
    /// Reads some bytes; also says how many it would have taken.
    fn read(&mut self, stream: &Stream) -> (io::Result<usize>, usize) {
        if self.0.is_none() {
            self.0 = Filling::new(BULK_SIZE);
        }
        match &mut self.0 {
            Some(room) => (stream.read_into(room), BULK_SIZE),
            None => (Err(io::ErrorKind::OutOfMemory.into()), BULK_SIZE),
        }
    }

    /// The bytes that were read: the block itself, where most of it is used.
    fn take(&mut self) -> Payload {
        match self.0.take_if(|room| room.missing() <= BULK_SIZE / 4) {
            Some(room) => room.finish(),
            None => self.0.as_mut().map_or_else(Payload::empty, Filling::copy_out),
        }
    }
}

impl Reactor {
    /// Hands on what has come in; of a paused socket only with `force`.
    pub(super) fn read_turn(&mut self, id: SocketId, force: bool) {
        let Some(entry) = self.table.get(id) else { return };
        if !entry.readable {
            return;
        }
        if entry.closing {
            self.discard_turn(id);
            return;
        }
        if entry.read_done || !(entry.reading || force) || entry.socket.undelivered.must_wait() {
            return;
        }
        let now_cs = self.shared.clock.centiseconds();
        match entry.line.as_deref() {
            Some(Line::Stream(stream)) => {
                let mut turn = 0;
                let end = loop {
                    let (read, read_max) = if entry.in_bulk {
                        self.room.read(stream)
                    } else {
                        (stream.read(&mut self.buffer), self.buffer.len())
                    };
                    match read {
                        Ok(0) => break Ok(()),
                        Ok(len) => {
                            entry.socket.count_read(len, now_cs);
                            let bytes = if entry.in_bulk {
                                turn += BULK_SIZE / READ_SIZE - 1;
                                self.room.take()
                            } else {
                                Payload::copy_from(&self.buffer[..len])
                            };
                            let event = SocketEvent::data(&entry.socket, bytes);
                            entry.in_bulk = len >= READ_SIZE && !stream.is_lent();
                            if !self.shared.inbox.is_empty() {
                                // These bytes may be the answer to what a new owner has sent, whose takeover is in there.
                                entry.readable = len >= read_max || entry.hangup || stream.is_lent();
                                self.late.push(event);
                                self.again(id);
                                return;
                            }
                            self.shared.tell(entry.owner, event);
                            // A short read has emptied the socket: the next edge tells of more. But the edge of
                            // the end may be over, and a terminal gives line by line.
                            if len < read_max && !entry.hangup && !stream.is_lent() {
                                entry.readable = false;
                                return;
                            }
                            turn += 1;
                            if turn >= READS_TURN_MAX {
                                self.again(id);
                                return;
                            }
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                            entry.readable = false;
                            return;
                        }
                        Err(error) => break Err(error),
                    }
                };
                match end {
                    Ok(()) => self.end_of_stream(id),
                    Err(error) => self.read_failed(id, &error),
                }
            }
            Some(Line::Udp(socket)) => {
                for _ in 0..DATAGRAMS_TURN_MAX {
                    match socket.recv_from(&mut self.buffer) {
                        Ok((len, from)) => {
                            entry.socket.count_read(len, now_cs);
                            self.shared.tell(
                                entry.owner,
                                SocketEvent::datagram(&entry.socket, &self.buffer[..len], from),
                            );
                        }
                        Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                        Err(error) => {
                            entry.readable = false;
                            if error.kind() != io::ErrorKind::WouldBlock {
                                self.tell_error(id, &error_text(&error));
                            }
                            return;
                        }
                    }
                }
                self.again(id);
            }
            Some(Line::Listener(_)) | None => {}
        }
    }

    /// Throws away what comes in while the rest is written: a descriptor that is closed with bytes unread makes the
    /// system reset the connection, and forget what it has taken from us.
    #[cold]
    fn discard_turn(&mut self, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        let Some(Line::Stream(stream)) = entry.line.as_deref() else { return };
        for _ in 0..READS_TURN_MAX {
            match stream.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(0) | Err(_) => {
                    // If the connection is broken, writing will tell.
                    entry.readable = false;
                    return;
                }
                Ok(_) => {}
            }
        }
        self.again(id);
    }

    /// The peer has ended its side.
    #[cold]
    fn end_of_stream(&mut self, id: SocketId) {
        // A sender may have found the connection broken before we came to its end.
        self.tell_fault(id);
        let Some(entry) = self.table.get(id) else { return };
        entry.read_done = true;
        entry.set_reading(false);
        entry.socket.set_kind(SocketKind::Closing);
        if entry.write_failed {
            self.shutdown(id);
        } else {
            self.tell_close(id);
        }
    }

    /// The connection is broken, in both directions.
    #[cold]
    fn read_failed(&mut self, id: SocketId, error: &io::Error) {
        let Some(entry) = self.table.get(id) else { return };
        let told = entry.write_failed;
        let Some(ended) = self.end(id) else { return };
        if !told {
            ended.tell_error(&self.shared, &error_text(error));
        }
        ended.tell_close(&self.shared);
    }

    #[cold]
    fn tell_fault(&mut self, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        let fault = lock(&entry.socket.out).take_fault();
        if let Some(fault) = fault {
            self.fault(id, fault);
        }
    }

    /// Writes what waits, and tells what the senders have left to be told.
    pub(super) fn flush_turn(&mut self, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        let (written, flushed, warnings) = {
            let mut out = lock(&entry.socket.out);
            let (written, flushed) = match out.take_fault() {
                Some(fault) => (0, Flushed::Fault(fault)),
                None => out.flush(),
            };
            entry.socket.set_waiting(!out.is_empty());
            (written, flushed, out.take_warnings())
        };
        if written > 0 {
            entry.socket.count_written(written, self.shared.clock.centiseconds());
        }
        if !entry.closing {
            for kib in warnings {
                self.shared.tell(entry.owner, SocketEvent::text(SocketEventKind::Warning, id, kib, ""));
            }
        }
        match flushed {
            Flushed::Empty if entry.closing => {
                self.read_turn(id, false);
                self.end(id);
            }
            Flushed::Blocked if matches!(entry.phase, Phase::Waiting) => self.open_early(id),
            Flushed::Empty | Flushed::Blocked => {}
            Flushed::More => self.again(id),
            Flushed::Fault(fault) => self.fault(id, fault),
        }
    }

    /// What was sent to an accepted socket before its start waits for room: only the poll can tell of that.
    #[cold]
    fn open_early(&mut self, id: SocketId) {
        let Some(entry) = self.table.get(id) else { return };
        (entry.phase, entry.early) = (Phase::Open, true);
        let line = entry.line.clone();
        if line.is_none_or(|line| self.register(id, &line).is_err()) {
            self.fail(id, "enable write failed");
        }
    }

    #[cold]
    fn fault(&mut self, id: SocketId, fault: Fault) {
        let Some(entry) = self.table.get(id) else { return };
        match fault {
            // The owner has heard of the end of the connection, or does not want to hear more.
            Fault::Write(_) if entry.read_done => {
                self.end(id);
            }
            Fault::Write(error) => {
                let rest = {
                    let mut out = lock(&entry.socket.out);
                    entry.socket.set_waiting(false);
                    out.fail()
                };
                drop(rest);
                entry.write_failed = true;
                entry.socket.set_kind(SocketKind::Closing);
                self.tell_error(id, &error_text(&error));
            }
            Fault::Overflow(len) => {
                let limit = self.shared.options.buffer_max.unwrap_or(usize::MAX);
                let text = format!("{len} bytes wait to be written, over the limit of {limit}");
                (self.shared.log)(&format!("socket: closed {id} of {}: {text}", entry.owner));
                let Some(ended) = self.end(id) else { return };
                ended.tell_error(&self.shared, &text);
                ended.tell_close(&self.shared);
            }
        }
    }
}
