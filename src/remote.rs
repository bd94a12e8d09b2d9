//! [`RemoteMessage`]: a message on its way to the harbor service, which carries it to another node.

use std::fmt;

use crate::handle::Handle;
use crate::message::{MessageKind, Payload};

/// What the harbor service gets, as a typed payload of kind `SYSTEM`; the source and the session are the outer
/// message's.
#[derive(Debug)]
pub(crate) struct RemoteMessage {
    pub(crate) target: RemoteTarget,
    pub(crate) kind: MessageKind,
    pub(crate) payload: Payload,
}

/// What the harbor service gets, as a typed payload of kind `SYSTEM`, when a service has ended that it had asked about;
/// the source of the message is that service.
#[derive(Debug)]
pub(crate) struct ServiceEnded;

/// Whom a remote message is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum RemoteTarget {
    Handle(Handle),
    /// A global name, which some node of the cluster may know.
    Name(String),
}

impl fmt::Display for RemoteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RemoteTarget::Handle(handle) => handle.fmt(f),
            RemoteTarget::Name(name) => f.write_str(name),
        }
    }
}
