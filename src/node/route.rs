//! Where a message goes: into a mailbox here, or to harbor.

use std::sync::atomic::Ordering;

use super::Node;
use crate::handle::Handle;
use crate::host::{Host, SendError};
use crate::message::{Message, MessageKind, Payload};
use crate::remote::{RemoteMessage, RemoteTarget};

impl Node {
    /// Whether a handle belongs to another node. A bare local id does not, although on a harbor node it finds nobody.
    fn is_remote(&self, handle: Handle) -> bool {
        handle.harbor() != 0 && handle.harbor() != self.harbor
    }

    #[inline]
    pub(super) fn route(&self, to: Handle, message: Message) -> Result<(), SendError> {
        if self.is_remote(to) {
            self.route_remote(RemoteTarget::Handle(to), message);
            return Ok(());
        }
        let must_fit = message.kind.is_answer();
        self.push(to, message, must_fit)
    }

    /// Puts a message into a mailbox here, even a full one if it `must_fit`: somebody waits for it, or it is the log.
    #[inline]
    pub(super) fn push(&self, to: Handle, message: Message, must_fit: bool) -> Result<(), SendError> {
        let pushed = self.table.with(to, |cell| {
            // The length is asked for under its own lock; a limit need not be exact.
            if self.mailbox_max != usize::MAX && !must_fit && cell.mailbox_len() >= self.mailbox_max {
                return Err(SendError::MailboxFull { to, limit: self.mailbox_max });
            }
            cell.push(message).map_err(|_late| SendError::NoService(to))
        });
        pushed.unwrap_or(Err(SendError::NoService(to)))
    }

    pub(super) fn route_global(&self, name: &str, message: Message) -> Result<(), SendError> {
        self.route_remote(RemoteTarget::Name(name.to_owned()), message);
        Ok(())
    }

    /// Hands a message to the harbor service. Where there is none, its sender gets an error back: a send to another
    /// node always succeeds here.
    fn route_remote(&self, target: RemoteTarget, message: Message) {
        let Message { source, session, kind, payload } = message;
        let harbor = Handle::from_u32(self.harbor_service.load(Ordering::Acquire));
        let wanted = target.clone();
        let remote = Message {
            source,
            session,
            kind: MessageKind::SYSTEM,
            payload: Payload::typed(RemoteMessage { target, kind, payload }),
        };
        if self.push(harbor, remote, kind.is_answer()).is_err() {
            self.log(source, format!("error: no harbor service carries a message to {wanted}").as_bytes());
            if !kind.is_answer() && !source.is_none() {
                let from = match wanted {
                    RemoteTarget::Handle(handle) => handle,
                    RemoteTarget::Name(_) => Handle::NONE,
                };
                let _ = self.route(source, Message::error(from, session));
            }
        }
    }
}
