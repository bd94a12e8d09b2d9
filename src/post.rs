//! [`Post`]: all that an engine knows of the rest of the node.

use crate::handle::Handle;
use crate::message::Message;

/// Delivers what an engine (timer, reactor) has to say to a service.
pub(crate) trait Post: Send + Sync {
    /// Puts the message into the mailbox of `to`; a receiver that is gone is nobody's error here.
    fn post(&self, to: Handle, message: Message);
}
