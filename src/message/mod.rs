//! [`Message`]: what services send each other, and the words for its parts.

mod payload;

use std::fmt;
use std::num::NonZeroI32;

use crate::handle::Handle;

pub use payload::Payload;
pub(crate) use payload::{Filling, PayloadBuilder};

/// What a message is about; the receiver chooses the decoder and the handler by it.
///
/// The numbers are skynet's `PTYPE_*`. A program may use any other number up to 255 for a protocol of its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct MessageKind(pub u8);

impl MessageKind {
    /// `PTYPE_TEXT`, 0: plain text; the logger's messages and commands of native services.
    pub const TEXT: MessageKind = MessageKind(0);
    /// `PTYPE_RESPONSE`, 1: the answer to a request, or a timer that went off.
    pub const RESPONSE: MessageKind = MessageKind(1);
    /// `PTYPE_MULTICAST`, 2: a package for the subscribers of a channel.
    pub const MULTICAST: MessageKind = MessageKind(2);
    /// `PTYPE_CLIENT`, 3: bytes from or to a client's connection.
    pub const CLIENT: MessageKind = MessageKind(3);
    /// `PTYPE_SYSTEM`, 4: from the engine to its own services.
    pub const SYSTEM: MessageKind = MessageKind(4);
    /// `PTYPE_HARBOR`, 5: between harbor and its Lua side.
    pub const HARBOR: MessageKind = MessageKind(5);
    /// `PTYPE_SOCKET`, 6: an event of a socket.
    pub const SOCKET: MessageKind = MessageKind(6);
    /// `PTYPE_ERROR`, 7: a request failed; without a session: the sender is dead.
    pub const ERROR: MessageKind = MessageKind(7);
    /// `PTYPE_QUEUE`, 8: the serial protocol of `skynet.mqueue`.
    pub const QUEUE: MessageKind = MessageKind(8);
    /// `PTYPE_DEBUG`, 9: the debug protocol.
    pub const DEBUG: MessageKind = MessageKind(9);
    /// `PTYPE_LUA`, 10: packed Lua values; the format of `skynet.pack`.
    pub const LUA: MessageKind = MessageKind(10);
    /// `PTYPE_SNAX`, 11: the protocol of snax services.
    pub const SNAX: MessageKind = MessageKind(11);
    /// `PTYPE_TRACE`, 12: marks the next request from its source as traced.
    pub const TRACE: MessageKind = MessageKind(12);

    /// Whether a message of this kind ends a request instead of making one.
    #[must_use]
    pub const fn is_answer(self) -> bool {
        self.0 == Self::RESPONSE.0 || self.0 == Self::ERROR.0
    }
}

impl fmt::Debug for MessageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 13] = [
            "text",
            "response",
            "multicast",
            "client",
            "system",
            "harbor",
            "socket",
            "error",
            "queue",
            "debug",
            "lua",
            "snax",
            "trace",
        ];
        match NAMES.get(usize::from(self.0)) {
            Some(name) => f.write_str(name),
            None => write!(f, "kind {}", self.0),
        }
    }
}

/// The number that joins an answer to its request; unique among the open requests of the service that asked.
///
/// A message without one wants no answer, hence it is never 0. Requests have positive numbers; a forged message
/// (`skynet.redirect`) may carry any other.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Session(NonZeroI32);

impl Session {
    /// The session with this number; nothing for 0, which means that no answer is wanted.
    #[must_use]
    pub const fn new(number: i32) -> Option<Session> {
        match NonZeroI32::new(number) {
            Some(number) => Some(Session(number)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0.get()
    }

    /// The number as it stands in messages: 0 where there is no session.
    #[must_use]
    pub const fn number(session: Option<Session>) -> i32 {
        match session {
            Some(session) => session.get(),
            None => 0,
        }
    }
}

impl fmt::Display for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// Where an answer goes: who asked, and under which session.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Origin {
    /// The service that sent the request.
    pub source: Handle,
    /// Its session; nothing where no answer is wanted.
    pub session: Option<Session>,
}

/// One message on its way to a service.
#[derive(Debug)]
pub struct Message {
    /// Who sent it; [`Handle::NONE`] for the engine.
    pub source: Handle,
    /// The session of the request that it makes or ends.
    pub session: Option<Session>,
    /// What it is about.
    pub kind: MessageKind,
    /// What it carries.
    pub payload: Payload,
}

impl Message {
    /// A message of `kind` from `source` that wants no answer.
    #[must_use]
    pub fn new(source: Handle, kind: MessageKind, payload: impl Into<Payload>) -> Message {
        Message { source, session: None, kind, payload: payload.into() }
    }

    /// Where an answer to this message goes.
    #[must_use]
    pub fn origin(&self) -> Origin {
        Origin { source: self.source, session: self.session }
    }

    /// Takes what the message carries.
    #[must_use]
    pub fn into_payload(self) -> Payload {
        self.payload
    }

    /// Whether its receiver owes an answer.
    #[must_use]
    pub fn is_request(&self) -> bool {
        self.session.is_some() && !self.kind.is_answer()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_small_enough_to_move_about() {
        assert!(size_of::<Message>() <= 40, "{}", size_of::<Message>());
        assert_eq!(size_of::<Option<Session>>(), 4);
    }

    #[test]
    fn answers_are_no_requests() {
        let mut message = Message::new(Handle::new(0, 1), MessageKind::LUA, "x");
        assert!(!message.is_request());
        message.session = Session::new(1);
        assert!(message.is_request());
        message.kind = MessageKind::ERROR;
        assert!(!message.is_request());
    }
}
