//! [`Sender`]: one direction of an extended link, in one life of the peer.
//!
//! Frames are numbered from 1 and kept until the peer says that it has them. A connection that was made anew goes on with
//! the first one that the peer does not have. Small contents are copied into the block of a batch; large ones stand
//! beside it as they are, in the same memory that the socket's queue holds.

use std::collections::VecDeque;

use super::lanes::{Lanes, Step};
use super::wire::extended::{self, ACK_LEN, CONTENT_MAX, Place};
use super::wire::{Header, WireError};
use crate::message::Payload;

/// Content up to so many bytes is copied into the batch.
const COPY_MAX: usize = 4 * 1024;
/// A batch is closed when it is longer than this.
const BATCH_MAX: usize = 64 * 1024;
/// The room of a batch that is kept.
const BATCH_KEEP_MAX: usize = 128 * 1024;

pub(super) struct Sender {
    /// The frames of this turn, behind room for an acknowledgement.
    batch: Vec<u8>,
    /// The number of the first of them.
    batch_first: u64,
    /// Bytes of large messages in it.
    batch_large: usize,
    /// The number of the last frame that was written.
    sent: u64,
    /// The number of the last one that a socket was given.
    given: u64,
    /// The number of the last one that the peer has.
    acked: u64,
    /// What is not acknowledged, in order.
    kept: VecDeque<Piece>,
    /// What the socket has not got.
    ready: Vec<Payload>,
    ready_bytes: usize,
    lanes: Lanes,
    /// Bytes that are kept, but for those of large messages.
    small_bytes: usize,
    /// Bytes of large messages of which not everything is acknowledged.
    large_bytes: usize,
    /// Those of them that were written, and are not acknowledged.
    large_kept: usize,
    packed: Vec<u8>,
}

/// Bytes that are kept until they are acknowledged.
struct Piece {
    bytes: Payload,
    /// The frame that begins with it, or in whose content it is.
    first: u64,
    /// The last frame that has bytes in it.
    last: u64,
    /// Bytes of large messages in it.
    large: usize,
    /// It is the content of a frame whose head ends the piece before.
    is_content: bool,
}

/// How much of a queue's limits is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) small_bytes: usize,
    pub(super) large_bytes: usize,
}

impl Sender {
    pub(super) fn new() -> Sender {
        Sender {
            batch: vec![0; ACK_LEN],
            batch_first: 1,
            batch_large: 0,
            sent: 0,
            given: 0,
            acked: 0,
            kept: VecDeque::new(),
            ready: Vec::new(),
            ready_bytes: 0,
            lanes: Lanes::default(),
            small_bytes: 0,
            large_bytes: 0,
            large_kept: 0,
            packed: Vec::new(),
        }
    }

    /// What waits here, or is not acknowledged.
    pub(super) fn load(&self) -> Load {
        Load {
            messages: usize::try_from(self.sent - self.acked).unwrap_or(usize::MAX) + self.lanes.messages(),
            small_bytes: self.small_bytes + self.batch.len() - ACK_LEN + self.lanes.small_bytes(),
            large_bytes: self.large_bytes,
        }
    }

    /// Takes a message. `compress` is the config's threshold.
    #[inline]
    pub(super) fn put(&mut self, header: Header, payload: Payload, compress: usize) {
        if payload.len() > CONTENT_MAX {
            self.large_bytes += payload.len();
            self.lanes.push(header, payload.share());
        } else if !self.lanes.is_empty() && self.lanes.holds(&header) {
            self.lanes.push(header, payload);
        } else {
            self.put_small(header, payload, compress);
        }
    }

    #[inline]
    fn put_small(&mut self, header: Header, payload: Payload, compress: usize) {
        let len = payload.len();
        self.sent += 1;
        if compress > 0 && len > compress && self.put_packed(header, None, payload.as_bytes()) {
            return self.close_long_batch();
        }
        extended::put_head(&mut self.batch, header, len);
        if len <= COPY_MAX {
            self.batch.extend_from_slice(payload.as_bytes());
            self.close_long_batch();
        } else {
            self.seal(None);
            self.keep(Piece {
                bytes: payload.share(),
                first: self.sent,
                last: self.sent,
                large: 0,
                is_content: true,
            });
        }
    }

    /// Puts a frame whose content is compressed, if that pays.
    #[cold]
    fn put_packed(&mut self, header: Header, place: Option<Place>, content: &[u8]) -> bool {
        self.packed.clear();
        let pays = extended::compress(&mut self.packed, content);
        if pays {
            let (raw, len) = (Some(content.len()), self.packed.len());
            extended::put_special_head(&mut self.batch, header, place, raw, len);
            self.batch.extend_from_slice(&self.packed);
        }
        pays
    }

    #[inline]
    fn close_long_batch(&mut self) {
        if self.batch.len() > BATCH_MAX {
            self.seal(None);
        }
    }

    /// Closes the batch, with an acknowledgement in front of it if there is one.
    fn seal(&mut self, ack: Option<u64>) {
        if let Some(count) = ack {
            self.batch[..ACK_LEN].copy_from_slice(&extended::ack(count));
        }
        if self.batch.len() > ACK_LEN {
            let block = Payload::copy_from(&self.batch).share();
            let bytes = block.slice(ACK_LEN..block.len());
            let large = std::mem::take(&mut self.batch_large);
            self.keep(Piece { bytes, first: self.batch_first, last: self.sent, large, is_content: false });
            if ack.is_some()
                && let Some(last) = self.ready.last_mut()
            {
                *last = block;
                self.ready_bytes += ACK_LEN;
            }
        } else if ack.is_some() {
            self.ready_bytes += ACK_LEN;
            self.ready.push(Payload::copy_from(&self.batch));
        }
        self.batch.truncate(ACK_LEN);
        if self.batch.capacity() > BATCH_KEEP_MAX {
            self.batch.shrink_to(ACK_LEN);
        }
        self.batch_first = self.sent + 1;
    }

    fn keep(&mut self, piece: Piece) {
        self.ready_bytes += piece.bytes.len();
        self.ready.push(piece.bytes.slice(0..piece.bytes.len()));
        self.small_bytes += piece.bytes.len().saturating_sub(piece.large);
        self.large_kept += piece.large;
        self.batch_first = self.sent + 1;
        self.kept.push_back(piece);
    }

    /// Whether something was written that the socket has not got.
    pub(super) fn has_batch(&self) -> bool {
        self.batch.len() > ACK_LEN || !self.ready.is_empty()
    }

    /// Puts a control frame behind what is ready; it is not kept.
    pub(super) fn control(&mut self, frame: &[u8]) {
        self.seal(None);
        self.ready_bytes += frame.len();
        self.ready.push(Payload::copy_from(frame));
    }

    /// What the socket shall have, with an acknowledgement in front.
    pub(super) fn take_ready(&mut self, ack: Option<u64>) -> std::vec::Drain<'_, Payload> {
        match ack {
            Some(_) if self.ready.is_empty() => self.seal(ack),
            Some(count) => {
                self.seal(None);
                self.ready.insert(0, Payload::copy_from(&extended::ack(count)));
            }
            None => self.seal(None),
        }
        self.ready_bytes = 0;
        self.given = self.sent;
        self.ready.drain(..)
    }

    /// There is no connection: what was to be written is kept, and no more.
    pub(super) fn forget_ready(&mut self) {
        self.seal(None);
        self.ready.clear();
        self.ready_bytes = 0;
    }

    /// Whether large messages wait for their turn.
    pub(super) fn has_large(&self) -> bool {
        !self.lanes.is_empty()
    }

    /// Writes fragments until so many bytes are ready, or nothing is left. Of large messages no more than `window` bytes
    /// are on their way and not acknowledged. Answers whether something was written.
    pub(super) fn fill(&mut self, bytes: usize, window: usize, compress: usize) -> bool {
        let before = self.sent;
        while self.ready_bytes + self.batch.len() < bytes && self.large_kept + self.batch_large < window {
            match self.lanes.next() {
                Some(Step::Fragment(header, place, content)) => {
                    self.put_fragment(header, place, content, compress)
                }
                Some(Step::Small(header, payload)) => self.put_small(header, payload, compress),
                None => break,
            }
        }
        self.sent > before
    }

    fn put_fragment(&mut self, header: Header, place: Place, content: Payload, compress: usize) {
        self.sent += 1;
        let len = content.len();
        if compress > 0 && self.put_packed(header, Some(place), content.as_bytes()) {
            self.batch_large += len;
            return self.close_long_batch();
        }
        extended::put_special_head(&mut self.batch, header, Some(place), None, len);
        self.seal(None);
        self.keep(Piece { bytes: content, first: self.sent, last: self.sent, large: len, is_content: true });
    }

    /// The peer has so many frames.
    pub(super) fn acked(&mut self, count: u64) -> Result<(), WireError> {
        if count > self.given {
            return Err(WireError::Ack(count, self.given));
        }
        // An older one may come late, on a connection that was made anew.
        self.acked = self.acked.max(count);
        while let Some(piece) = self.kept.front().filter(|piece| piece.last <= self.acked) {
            self.small_bytes -= piece.bytes.len().saturating_sub(piece.large);
            self.large_bytes -= piece.large;
            self.large_kept -= piece.large;
            self.kept.pop_front();
        }
        Ok(())
    }

    /// Whether the peer acknowledged more than that.
    pub(super) fn has_acked_more(&self, received: u64) -> bool {
        received < self.acked
    }

    /// The peer has so many frames, on a new connection: the others go again. False where that cannot be.
    pub(super) fn resume(&mut self, received: u64) -> bool {
        self.forget_ready();
        if received < self.acked || self.acked(received).is_err() {
            return false;
        }
        for piece in &self.kept {
            let start = piece.start_after(received);
            self.ready_bytes += piece.bytes.len() - start;
            self.ready.push(piece.bytes.slice(start..piece.bytes.len()));
        }
        true
    }

    /// Ends the life: whom the messages are from and for that the peer may not have, each with its length.
    pub(super) fn drain(&mut self) -> Vec<(Header, usize)> {
        self.forget_ready();
        let mut lost = Vec::new();
        for piece in std::mem::take(&mut self.kept).into_iter().filter(|piece| !piece.is_content) {
            let mut rest = piece.bytes.as_bytes();
            let mut number = piece.first;
            while let Some(frame) = extended::written(rest) {
                if number > self.acked && frame.ends_message {
                    lost.push((frame.header, frame.message_len));
                }
                number += 1;
                rest = rest.get(frame.len..).unwrap_or_default();
            }
        }
        lost.extend(self.lanes.drain());
        (self.small_bytes, self.large_bytes, self.large_kept) = (0, 0, 0);
        lost
    }
}

impl Piece {
    /// Where the first frame begins that has a higher number.
    fn start_after(&self, number: u64) -> usize {
        let mut start = 0;
        for _ in self.first..=number {
            let rest = self.bytes.as_bytes().get(start..).unwrap_or_default();
            start += extended::written(rest).map_or(0, |frame| frame.len);
        }
        start
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::extended::{Control, Frame, Reader};
    use super::*;
    use crate::handle::Handle;
    use crate::message::{MessageKind, Session};

    fn header(source: u32, session: i32) -> Header {
        let source = Handle::new(1, source);
        Header { source, kind: MessageKind::LUA, local: 7, session: Session::new(session) }
    }

    /// Messages of all sorts, each from somebody else: the session says which it is.
    fn lengths() -> Vec<usize> {
        vec![0, 3, COPY_MAX, COPY_MAX + 1, 10, 60_000, 20_000, CONTENT_MAX + 1, 5, 3 * CONTENT_MAX, 0, 9]
    }

    fn filled(compress: usize) -> Sender {
        let mut sender = Sender::new();
        for (session, len) in (1..).zip(lengths()) {
            sender.put(header(session as u32, session), Payload::from(vec![session as u8; len]), compress);
            if session == 5 {
                // A batch in between.
                drop(sender.take_ready(None));
            }
        }
        sender.fill(usize::MAX, usize::MAX, compress);
        drop(sender.take_ready(None));
        sender
    }

    /// The frames in what goes to the socket: session and place of each.
    fn frames(sender: &mut Sender, ack: Option<u64>) -> Vec<(i32, Option<Place>)> {
        let bytes: Vec<u8> = sender.take_ready(ack).flat_map(|piece| piece.as_bytes().to_vec()).collect();
        let (mut reader, mut input, mut seen) = (Reader::default(), &bytes[..], Vec::new());
        while let Some(frame) = reader.next(&mut input).expect("they are frames") {
            match frame {
                Frame::Message(body) => seen.push((Session::number(body.header.session), body.place)),
                Frame::Control(control) => assert_eq!(Some(control), ack.map(Control::Ack)),
            }
        }
        seen
    }

    #[test]
    fn a_new_connection_goes_on_behind_any_frame() {
        for compress in [0, 1000] {
            let mut all = filled(compress);
            assert!(all.resume(0));
            let all = frames(&mut all, Some(9));
            assert_eq!(all.len(), 10 + 2 + 3);
            for received in 0..=all.len() {
                let mut sender = filled(compress);
                assert!(sender.resume(received as u64));
                assert_eq!(frames(&mut sender, None), all[received..]);
                // It cannot go back, nor beyond what was sent.
                assert!(received == 0 || !sender.resume(received as u64 - 1));
                assert!(!sender.resume(all.len() as u64 + 1));
            }
        }
    }

    #[test]
    fn what_is_acknowledged_is_let_go_and_the_rest_is_told_at_the_end() {
        for compress in [0, 1000] {
            let total = filled(compress).load();
            assert_eq!((total.messages, total.large_bytes), (15, 4 * CONTENT_MAX + 1));
            for count in 0..=15 {
                let mut sender = filled(compress);
                sender.acked(count).expect("they were sent");
                assert_eq!(sender.load().messages as u64, 15 - count);
                let mut lost: Vec<(i32, usize)> = sender
                    .drain()
                    .iter()
                    .map(|(header, len)| (Session::number(header.session), *len))
                    .collect();
                lost.sort_unstable();
                // The first seven are a frame each; a long one is lost until its last fragment is there.
                let first = if count <= 7 { count as usize } else { 12 - lost.len() };
                let all: Vec<(i32, usize)> = (1..).zip(lengths()).collect();
                assert!(lost.len() == 12 - first && (count < 15 || lost.is_empty()), "{count}: {lost:?}");
                assert!(count > 7 || lost == all[first..]);
            }
            let mut sender = filled(compress);
            sender.acked(15).expect("they were sent");
            assert_eq!(sender.load(), Load::default());
            assert!(sender.acked(16).is_err() && sender.drain().is_empty());
        }
    }

    #[test]
    fn messages_that_did_not_go_yet_are_told_at_the_end_too() {
        let mut sender = Sender::new();
        sender.put(header(1, 1), Payload::from(vec![1; 3 * CONTENT_MAX]), 0);
        sender.put(header(1, 2), Payload::from("behind it"), 0);
        sender.fill(CONTENT_MAX, usize::MAX, 0);
        let mut lost = sender.drain();
        lost.sort_unstable_by_key(|(header, _)| header.session);
        assert_eq!(lost, [(header(1, 1), 3 * CONTENT_MAX), (header(1, 2), 9)]);
    }

    #[test]
    fn an_acknowledgement_goes_in_front_of_what_is_ready() {
        let mut sender = Sender::new();
        assert_eq!(sender.take_ready(Some(3)).map(|piece| piece.len()).sum::<usize>(), ACK_LEN);
        sender.put(header(1, 1), Payload::from("x"), 0);
        let pieces: Vec<Payload> = sender.take_ready(Some(4)).collect();
        assert_eq!(pieces.len(), 1);
        assert!(pieces[0].as_bytes().starts_with(&extended::ack(4)));
        sender.put(header(1, 2), Payload::from(vec![0; 50_000]), 0);
        let pieces: Vec<Payload> = sender.take_ready(Some(5)).collect();
        assert_eq!((pieces.len(), pieces[0].as_bytes()), (3, &extended::ack(5)[..]));
        assert_eq!(pieces[2].len(), 50_000);
    }
}
