//! [`Conn`]: one connection of a link, from the id bytes on.

use std::time::Duration;

use super::wire::hello::{Hello, header};
use super::wire::{classic, extended};
use crate::message::Payload;
use crate::random;
use crate::socket::SocketId;

pub(super) struct Conn {
    pub(super) socket: SocketId,
    /// This node began it.
    pub(super) ours: bool,
    /// The master says that the peer is a node of this kind.
    pub(super) rs: bool,
    /// It carries the life of the link; before, it is a candidate.
    pub(super) live: bool,
    /// When it was opened; when the hello was sent, from then on.
    pub(super) since: Duration,
    pub(super) reader: Reader,
    /// Whether a frame has come.
    pub(super) has_frame: bool,
    pub(super) said: Said,
    /// What the peer said.
    pub(super) hello: Option<Hello>,
    /// The number of the next extended frame.
    pub(super) next: u64,
}

/// What of a connection is read at the moment.
pub(super) enum Reader {
    /// Nothing: the socket is not ours yet, and what came now would go to whoever had it before.
    Start,
    /// The byte by which the peer shows its id.
    Id,
    Classic(classic::Reader),
    Extended(extended::Reader),
}

/// What this node said in its hello.
#[derive(Default)]
pub(super) struct Said {
    pub(super) nonce: [u8; 16],
    /// The life of the peer that it is connected with, or 0.
    pub(super) knows: u64,
    pub(super) received: u64,
    /// That life has only been spoken of: nothing has flown in it.
    pub(super) fresh: bool,
}

impl Conn {
    pub(super) fn new(socket: SocketId, ours: bool, rs: bool, now: Duration) -> Conn {
        Conn {
            socket,
            ours,
            rs,
            live: false,
            since: now,
            reader: Reader::Start,
            has_frame: false,
            said: Said::default(),
            hello: None,
            next: 1,
        }
    }

    /// Whether the peer's id byte has not come.
    pub(super) fn expects_id(&self) -> bool {
        matches!(self.reader, Reader::Start | Reader::Id)
    }

    /// Whether a frame has been begun.
    pub(super) fn is_in_content(&self) -> bool {
        match &self.reader {
            Reader::Start | Reader::Id => false,
            Reader::Classic(reader) => reader.is_in_content(),
            Reader::Extended(reader) => reader.is_in_content(),
        }
    }

    /// Both sides have said that they were connected in these lives.
    pub(super) fn lives_match(&self, own_incarnation: u64) -> bool {
        let hello = self.hello.filter(|hello| hello.knows == own_incarnation);
        hello.is_some_and(|hello| hello.incarnation == self.said.knows)
    }

    /// The frame with the hello, and what it says is kept.
    pub(super) fn hello_frame(&mut self, own_id: u8, mut said: Said, hello: Hello) -> Payload {
        said.nonce = random::challenge();
        let hello = Hello { knows: said.knows, received: said.received, nonce: said.nonce, ..hello };
        self.said = said;
        frame_for_nobody(own_id, &hello.to_bytes())
    }
}

/// A classic frame to local id 0, of kind `ERROR`.
pub(super) fn frame_for_nobody(own_id: u8, content: &[u8]) -> Payload {
    let mut frame = Vec::new();
    classic::put(&mut frame, header(own_id), content);
    Payload::from(frame)
}
