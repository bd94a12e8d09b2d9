//! Frames: messages on a stream of bytes, each behind its length.
//!
//! [`Partial`] cuts the stream of one connection into frames, whatever pieces it comes in; it is pure data, and what a
//! client sends can damage nothing but its own stream. [`Queue`] is what `skynet.netpack` keeps for a whole gate: the
//! frames that are complete and the beginnings of those that are not. The native gate has a `Partial` for each of its
//! connections.
//!
//! # What an outsider can make it hold
//!
//! Of each connection at most one unfinished frame, and of that only what has come: a length that is announced reserves
//! nothing. See [`Header::size_max`].

use std::collections::{HashMap, VecDeque};

use crate::message::Payload;

/// How the length stands before a frame: unsigned, the highest byte first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Header {
    /// Two bytes.
    Short,
    /// Four bytes.
    Long,
}

impl Header {
    /// The number of bytes of the length itself.
    pub(crate) const fn len(self) -> usize {
        match self {
            Header::Short => 2,
            Header::Long => 4,
        }
    }

    /// The longest frame.
    pub(crate) const fn size_max(self) -> usize {
        match self {
            Header::Short => 0xffff,
            Header::Long => (1 << 24) - 1,
        }
    }

    /// The length that these bytes begin with; nothing while it is not there as a whole.
    fn read(self, bytes: &[u8]) -> Option<usize> {
        let bytes = bytes.get(..self.len())?;
        Some(bytes.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)))
    }
}

/// A frame is announced that is longer than its header's kind allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a frame of {size} bytes is over the limit of {limit}")]
pub(crate) struct TooLarge {
    pub(crate) size: usize,
    pub(crate) limit: usize,
}

/// What has come of a frame that is not complete: of one connection.
#[derive(Default)]
pub(crate) struct Partial {
    /// The header, as far as it came, and what follows it.
    bytes: Vec<u8>,
    /// The frame in `bytes` was complete and has been handed out: it goes with the next call.
    is_done: bool,
}

impl Partial {
    /// The next complete frame, which lies in `bytes` or began in an earlier piece; nothing when `bytes` are used up.
    ///
    /// # Errors
    /// After an error, the stream cannot be read any more.
    pub(crate) fn next<'s, 'b: 's>(
        &'s mut self,
        header: Header,
        bytes: &mut &'b [u8],
    ) -> Result<Option<&'s [u8]>, TooLarge> {
        if self.is_done {
            *self = Partial::default();
        }
        if self.bytes.is_empty() {
            let size = header.read(bytes).map(|size| check(header, size)).transpose()?;
            if let Some(size) = size
                && let Some((frame, rest)) = bytes.split_at_checked(header.len() + size)
            {
                *bytes = rest;
                return Ok(Some(&frame[header.len()..]));
            }
        }
        if !self.fill(header.len(), bytes) {
            return Ok(None);
        }
        let size = check(header, header.read(&self.bytes).unwrap_or(0))?;
        if !self.fill(header.len() + size, bytes) {
            return Ok(None);
        }
        self.is_done = true;
        Ok(Some(&self.bytes[header.len()..]))
    }

    /// Whether nothing is begun.
    pub(crate) fn is_empty(&self) -> bool {
        self.is_done || self.bytes.is_empty()
    }

    /// Takes bytes until there are `wanted`; whether there are.
    fn fill(&mut self, wanted: usize, bytes: &mut &[u8]) -> bool {
        let missing = wanted.saturating_sub(self.bytes.len());
        let (head, rest) = bytes.split_at(missing.min(bytes.len()));
        if self.bytes.capacity() - self.bytes.len() < head.len() {
            // Twice of what there is, so that small pieces cost no more than large ones, but no more than the whole.
            let room = (self.bytes.len() * 2).clamp(self.bytes.len() + head.len(), wanted);
            self.bytes.reserve_exact(room - self.bytes.len());
        }
        self.bytes.extend_from_slice(head);
        *bytes = rest;
        self.bytes.len() >= wanted
    }
}

fn check(header: Header, size: usize) -> Result<usize, TooLarge> {
    let limit = header.size_max();
    if size > limit { Err(TooLarge { size, limit }) } else { Ok(size) }
}

/// The frames of many connections, with headers of two bytes.
#[derive(Default)]
pub(crate) struct Queue {
    /// Begun frames, by connection.
    partial: HashMap<i32, Partial>,
    /// Complete frames. No limit of its own: whoever is told of them takes them all, before the next bytes come.
    ready: VecDeque<(i32, Payload)>,
}

/// What came of some bytes.
#[derive(Debug)]
pub(crate) enum Fed {
    /// No frame is complete.
    Nothing,
    /// This one is, and no other.
    One(Payload),
    /// There are frames in the queue.
    More,
}

impl Queue {
    /// Takes the bytes that a connection sent.
    pub(crate) fn feed(&mut self, fd: i32, mut payload: Payload) -> Fed {
        const HEADER: Header = Header::Short;
        let begun = if self.partial.is_empty() { None } else { self.partial.remove(&fd) };
        let bytes = payload.as_bytes();
        if begun.is_none()
            && self.ready.is_empty()
            && HEADER.read(bytes).is_some_and(|size| size == bytes.len() - HEADER.len())
        {
            // Most often a read is one frame: then its block is the frame's.
            payload.remove_front(HEADER.len());
            return Fed::One(payload);
        }
        let (mut rest, before) = (bytes, self.ready.len());
        let mut partial = begun.unwrap_or_default();
        // A header of two bytes can announce nothing that is too large.
        while let Ok(Some(frame)) = partial.next(HEADER, &mut rest) {
            self.ready.push_back((fd, Payload::copy_from(frame)));
        }
        if !partial.is_empty() {
            self.partial.insert(fd, partial);
        }
        if self.ready.len() == before {
            return Fed::Nothing;
        }
        // One that came behind others has to wait for its turn.
        let only = if before == 0 && self.ready.len() == 1 { self.ready.pop_front() } else { None };
        only.map_or(Fed::More, |(_, frame)| Fed::One(frame))
    }

    /// The next complete frame.
    pub(crate) fn pop(&mut self) -> Option<(i32, Payload)> {
        let next = self.ready.pop_front();
        if self.ready.is_empty() && self.ready.capacity() > READY_KEPT {
            self.ready = VecDeque::new();
        }
        next
    }

    /// Forgets what has begun to come on a connection.
    pub(crate) fn forget(&mut self, fd: i32) {
        self.partial.remove(&fd);
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Queue::default();
    }
}

/// A queue that was longer does not keep its room when it is empty.
const READY_KEPT: usize = 4096;

/// For `fuzz/`: what a stream in these pieces is cut into, or the size that was refused.
#[cfg(any(fuzzing, feature = "bench"))]
pub mod door {
    use super::{Fed, Header, Partial, Queue};
    use crate::message::Payload;

    /// With headers of two bytes, or of four; the frames as far as they go, and the size that was refused.
    pub fn cut<'p>(long: bool, pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<Vec<u8>>, Option<usize>) {
        let header = if long { Header::Long } else { Header::Short };
        let (mut partial, mut frames) = (Partial::default(), Vec::new());
        for mut piece in pieces {
            loop {
                match partial.next(header, &mut piece) {
                    Ok(Some(frame)) => frames.push(frame.to_vec()),
                    Ok(None) => break,
                    Err(error) => return (frames, Some(error.size)),
                }
            }
        }
        (frames, None)
    }

    /// The same through the queue of `skynet.netpack`, where connections take turns: (connection, piece).
    pub fn queue<'p>(pieces: impl IntoIterator<Item = (i32, &'p [u8])>) -> Vec<(i32, Vec<u8>)> {
        let (mut queue, mut frames) = (Queue::default(), Vec::new());
        for (fd, piece) in pieces {
            match queue.feed(fd, Payload::copy_from(piece)) {
                Fed::Nothing => assert!(queue.pop().is_none()),
                Fed::One(frame) => frames.push((fd, frame.as_bytes().to_vec())),
                Fed::More => {
                    while let Some((fd, frame)) = queue.pop() {
                        frames.push((fd, frame.as_bytes().to_vec()));
                    }
                }
            }
        }
        frames
    }
}

#[cfg(test)]
mod tests;
