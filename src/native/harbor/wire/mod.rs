//! The bytes of a link between two nodes, as pure code: nothing here knows a socket.
//!
//! - `classic.rs`: the frames that the original speaks.
//! - `hello.rs`: the two classic frames by which nodes of this kind find out about each other.
//! - `extended.rs`: what such nodes speak then.
//!
//! A reader takes bytes as they come, cut anywhere, and gives out whole frames; a frame that lies whole in what came is
//! read in place.

pub(super) mod classic;
#[cfg(any(fuzzing, feature = "bench"))]
pub(super) mod door;
pub(super) mod extended;
pub(super) mod hello;

use crate::handle::Handle;
use crate::message::{MessageKind, Payload, Session};

/// What a peer sent that is no frame. The link is closed then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("the first length byte of a frame is {0}, not 0")]
    TooLong(u8),
    #[error("a frame of {len} bytes has no room for its {min} bytes of addresses")]
    TooShort { len: usize, min: usize },
    #[error("a frame has the unknown flags {0:#04x}")]
    Flags(u8),
    #[error("a frame of {len} bytes is over the limit of {max}")]
    Frame { len: usize, max: usize },
    #[error("a control frame of kind {kind} has {len} bytes")]
    Control { kind: u8, len: usize },
    #[error("a fragment of {len} bytes at {offset} is beyond the {total} bytes of its message")]
    Fragment { total: usize, offset: usize, len: usize },
    #[error("a message of {total} bytes comes in fragments, over the limit of {max}")]
    Message { total: usize, max: usize },
    #[error("a fragment at {offset} does not continue its message, of which {have} bytes are there")]
    Gap { offset: usize, have: usize },
    #[error("there is no memory for a message of {0} bytes")]
    Memory(usize),
    #[error("more than {0} messages come in fragments at a time")]
    Assemblies(usize),
    #[error("compressed bytes claim to be {raw}, over the limit of {max}")]
    Raw { raw: usize, max: usize },
    #[error("compressed bytes are damaged")]
    Compressed,
    #[error("{0} frames are acknowledged, of {1} that were sent")]
    Ack(u64, u64),
}

/// Whom a frame is from and for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) source: Handle,
    pub(super) kind: MessageKind,
    /// The local id of the receiver; the node is the one at the other end.
    pub(super) local: u32,
    pub(super) session: Option<Session>,
}

impl Header {
    pub(super) const LEN: usize = 12;

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let destination = u32::from(self.kind.0) << 24 | (self.local & Handle::LOCAL_MAX);
        let words = [self.source.as_u32(), destination, Session::number(self.session).cast_unsigned()];
        let mut bytes = [0; Self::LEN];
        for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8; Self::LEN]) -> Header {
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        Header {
            source: Handle::from_u32(word(0)),
            kind: MessageKind(bytes[4]),
            local: word(4) & Handle::LOCAL_MAX,
            session: Session::new(word(8).cast_signed()),
        }
    }
}

/// The bytes of a frame: still among those that came, or in a block of their own since they came in pieces.
#[derive(Debug)]
pub(super) enum Content<'a> {
    Slice(&'a [u8]),
    Whole(Payload),
}

impl Content<'_> {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Content::Slice(bytes) => bytes,
            Content::Whole(payload) => payload.as_bytes(),
        }
    }

    /// The payload of a message: a part of `source`, in which the bytes came, copied once, or as it is.
    pub(super) fn into_payload(self, source: &Payload) -> Payload {
        match self {
            Content::Slice(bytes) => source.part(bytes),
            Content::Whole(payload) => payload,
        }
    }
}

/// Takes `count` bytes from the front, or as many as there are.
fn take<'i>(input: &mut &'i [u8], count: usize) -> &'i [u8] {
    let (taken, rest) = input.split_at(count.min(input.len()));
    *input = rest;
    taken
}

#[cfg(test)]
pub(super) fn any_header() -> impl proptest::strategy::Strategy<Value = Header> {
    use proptest::prelude::*;
    (any::<u32>(), any::<u8>(), 0..=Handle::LOCAL_MAX, any::<i32>()).prop_map(
        |(source, kind, local, session)| Header {
            source: Handle::from_u32(source),
            kind: MessageKind(kind),
            local,
            session: Session::new(session),
        },
    )
}

/// Cuts bytes into pieces at these places, each taken modulo what is left.
#[cfg(test)]
pub(super) fn cut<'b>(bytes: &'b [u8], places: &[usize]) -> Vec<&'b [u8]> {
    let (mut pieces, mut rest) = (Vec::new(), bytes);
    for place in places {
        let (piece, after) = rest.split_at(place % (rest.len() + 1));
        pieces.push(piece);
        rest = after;
    }
    pieces.push(rest);
    pieces
}
