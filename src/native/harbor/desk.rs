//! [`Desk`]: what a link may ask for while the actor handles one message.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::names::Names;
use super::options::Options;
use super::waiting::Waiting;
use crate::context::Context;
use crate::handle::Handle;
use crate::message::{Message, MessageKind, Payload, Session};
use crate::socket::SocketId;

/// What all links have in common.
pub(super) struct Own {
    pub(super) id: u8,
    pub(super) incarnation: u64,
    /// The Lua side.
    pub(super) slave: Handle,
    pub(super) options: Options,
    pub(super) waiting: Waiting,
    pub(super) names: Names,
    /// The link that a socket belongs to.
    pub(super) sockets: HashMap<SocketId, u8>,
    /// Sockets that were closed here, and of which more may be heard.
    pub(super) closing: HashSet<SocketId>,
    /// Links that have something to do when the turn ends.
    pub(super) dirty: Vec<u8>,
}

/// More sockets than this are never being closed at a time, unless some never say that they are.
const CLOSING_MAX: usize = 4096;

impl Own {
    /// A socket is no link's any more.
    pub(super) fn forget(&mut self, socket: SocketId) {
        if self.sockets.remove(&socket).is_some() && self.closing.len() < CLOSING_MAX {
            self.closing.insert(socket);
        }
    }
}

pub(super) struct Desk<'d, 'c> {
    pub(super) own: &'d mut Own,
    pub(super) ctx: &'d mut Context<'c>,
}

impl Desk<'_, '_> {
    pub(super) fn now(&self) -> Duration {
        self.ctx.clock().now()
    }

    /// Tells the Lua side something.
    pub(super) fn tell(&mut self, text: String) {
        self.tell_as(self.ctx.handle(), text);
    }

    /// The same with another source: who it is about.
    pub(super) fn tell_as(&mut self, source: Handle, text: String) {
        let message = Message::new(source, MessageKind::TEXT, text);
        // It ends with the node.
        let _ = self.ctx.send_as(self.own.slave, message);
    }

    /// Closes a socket; what waits in it is still written.
    pub(super) fn close(&mut self, socket: SocketId) {
        self.own.forget(socket);
        self.ctx.sockets().close(socket);
    }

    /// Closes a socket that nobody takes bytes from any more.
    pub(super) fn cut(&mut self, socket: SocketId) {
        self.own.forget(socket);
        self.ctx.sockets().shutdown(socket);
    }

    /// Tells a sender that its message went nowhere; an answer has nobody who waits for one.
    pub(super) fn refuse(&mut self, from: Handle, to: Handle, session: Option<Session>, kind: MessageKind) {
        if !kind.is_answer() && !to.is_none() {
            self.send_error(from, to, session);
        }
    }

    pub(super) fn send_error(&mut self, from: Handle, to: Handle, session: Option<Session>) {
        let error = Message { source: from, session, kind: MessageKind::ERROR, payload: Payload::empty() };
        // Who has ended waits for nothing.
        let _ = self.ctx.send_as(to, error);
    }
}
