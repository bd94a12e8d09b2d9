//! [`ClassicOut`]: what goes out on a classic link. The peer acknowledges nothing: what the socket took is gone.

use std::collections::VecDeque;

use super::sender::Load;
use super::wire::Header;
use super::wire::classic;
use crate::message::Payload;

/// Content up to so many bytes is copied into the batch.
const COPY_MAX: usize = 4 * 1024;
/// A batch is closed when it is longer than this.
const BATCH_MAX: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct ClassicOut {
    batch: Vec<u8>,
    ready: Vec<Payload>,
    ready_bytes: usize,
    /// The messages of both.
    unsent: Vec<(Header, usize)>,
    /// Bytes that the socket's queue was given in all, and those that were in it last.
    given: u64,
    waiting: usize,
    /// The messages of each flush that are in the socket's queue, with `given` after it.
    marks: VecDeque<(u64, usize)>,
    marked: usize,
}

impl ClassicOut {
    /// What waits here and in the socket's queue.
    pub(super) fn load(&self) -> Load {
        Load {
            messages: self.unsent.len() + self.marked,
            small_bytes: self.batch.len() + self.ready_bytes + self.waiting,
            large_bytes: 0,
        }
    }

    /// Takes a message of at most [`classic::CONTENT_MAX`] bytes.
    pub(super) fn put(&mut self, header: Header, payload: Payload) {
        self.unsent.push((header, payload.len()));
        if payload.len() <= COPY_MAX {
            classic::put(&mut self.batch, header, payload.as_bytes());
            if self.batch.len() > BATCH_MAX {
                self.seal();
            }
        } else {
            self.batch.extend_from_slice(&classic::length(payload.len()));
            self.seal();
            self.ready_bytes += payload.len();
            self.ready.push(payload);
            self.batch.extend_from_slice(&header.to_bytes());
        }
    }

    fn seal(&mut self) {
        if !self.batch.is_empty() {
            self.ready_bytes += self.batch.len();
            self.ready.push(Payload::copy_from(&self.batch));
            self.batch.clear();
            if self.batch.capacity() > 2 * BATCH_MAX {
                self.batch.shrink_to(0);
            }
        }
    }

    /// What the socket shall have.
    pub(super) fn take_ready(&mut self) -> std::vec::Drain<'_, Payload> {
        self.seal();
        self.given += self.ready_bytes as u64;
        self.ready_bytes = 0;
        self.ready.drain(..)
    }

    /// The socket took it, and so many bytes wait there.
    pub(super) fn flushed(&mut self, waiting: usize) {
        if !self.unsent.is_empty() {
            self.marks.push_back((self.given, self.unsent.len()));
            self.marked += self.unsent.len();
            self.unsent.clear();
        }
        self.set_waiting(waiting);
    }

    /// So many bytes wait in the socket's queue.
    pub(super) fn set_waiting(&mut self, waiting: usize) {
        self.waiting = waiting;
        let written = self.given.saturating_sub(waiting as u64);
        while let Some((_, count)) = self.marks.front().copied().filter(|(end, _)| *end <= written) {
            self.marked -= count;
            self.marks.pop_front();
        }
    }

    /// Ends the life: the messages that the socket did not get.
    pub(super) fn drain(&mut self) -> Vec<(Header, usize)> {
        std::mem::take(&mut self.unsent)
    }
}
