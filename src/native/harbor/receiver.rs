//! [`Receiver`]: the other direction of an extended link, in one life of the peer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::wire::extended::{self, ASSEMBLIES_MAX, Body, Place};
use super::wire::{Content, Header, WireError};
use crate::message::{Filling, Payload};

/// So many frames are acknowledged together.
const ACK_FRAMES: u64 = 256;
/// Or frames with so many bytes.
const ACK_BYTES: usize = 256 * 1024;

#[derive(Default)]
pub(super) struct Receiver {
    /// The number of the last frame that came.
    received: u64,
    /// The number that the peer was told.
    told: u64,
    /// Bytes that came since.
    bytes: usize,
    assemblies: HashMap<(u32, u32), Assembly>,
    scratch: Vec<u8>,
}

/// A message of which fragments are missing.
struct Assembly {
    header: Header,
    filling: Filling,
}

impl Receiver {
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// The peer knows that so many have come.
    pub(super) fn told(&mut self, received: u64) {
        (self.told, self.bytes) = (received, 0);
    }

    /// Whether there is something that the peer was not told.
    pub(super) fn owes_ack(&self) -> bool {
        self.received > self.told
    }

    /// Whether that is so much that it should not wait.
    pub(super) fn owes_ack_now(&self) -> bool {
        self.received - self.told >= ACK_FRAMES || self.bytes >= ACK_BYTES
    }

    /// What to tell the peer, which is told then.
    pub(super) fn take_ack(&mut self) -> u64 {
        self.told(self.received);
        self.received
    }

    /// Takes the frame with this number; the message that is whole now, if one is. A frame that came before, on another
    /// connection, is passed over.
    #[inline]
    pub(super) fn take(
        &mut self,
        number: u64,
        body: Body<'_>,
        message_max: usize,
        source: &Payload,
    ) -> Result<Option<(Header, Payload)>, WireError> {
        if number <= self.received {
            return Ok(None);
        }
        let Body { header, place, raw, content } = body;
        let content = match raw {
            None => content,
            Some(raw) => {
                extended::decompress(&mut self.scratch, content.as_bytes(), raw)?;
                Content::Slice(&self.scratch)
            }
        };
        let bytes = content.as_bytes().len();
        let message = match place {
            None => Some((header, content.into_payload(source))),
            Some(place) => assemble(&mut self.assemblies, header, place, content.as_bytes(), message_max)?,
        };
        self.received = number;
        self.bytes += bytes + extended::PLAIN_HEAD;
        Ok(message)
    }
}

fn assemble(
    assemblies: &mut HashMap<(u32, u32), Assembly>,
    header: Header,
    Place { total, offset }: Place,
    content: &[u8],
    message_max: usize,
) -> Result<Option<(Header, Payload)>, WireError> {
    if total > message_max {
        return Err(WireError::Message { total, max: message_max });
    }
    let count = assemblies.len();
    let mut entry = match assemblies.entry((header.source.as_u32(), header.local)) {
        Entry::Occupied(entry) => entry,
        Entry::Vacant(_) if offset > 0 => return Err(WireError::Gap { offset, have: 0 }),
        Entry::Vacant(_) if count >= ASSEMBLIES_MAX => return Err(WireError::Assemblies(ASSEMBLIES_MAX)),
        Entry::Vacant(entry) => {
            let filling = Filling::new(total).ok_or(WireError::Memory(total))?;
            entry.insert_entry(Assembly { header, filling })
        }
    };
    let Assembly { header: first, filling } = entry.get_mut();
    if *first != header || filling.total() != total || filling.len() != offset {
        return Err(WireError::Gap { offset, have: filling.len() });
    }
    filling.put(content);
    if filling.missing() > 0 {
        return Ok(None);
    }
    let Assembly { header, filling } = entry.remove();
    Ok(Some((header, filling.finish())))
}
