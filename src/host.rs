//! [`Host`]: the whole list of what a service may ask of its node.
//!
//! It stands between [`crate::Context`] and the node, so that services and Lua do not know the node, and a test can
//! seat a service on a fake one.

use std::any::Any;
use std::time::Duration;

use crate::clock::Clock;
use crate::env::KeyExists;
use crate::handle::Handle;
use crate::message::{Message, Session};
use crate::socket::{SocketError, Sockets};

/// Whatever went wrong in a service; it ends up in the log.
pub type ServiceError = Box<dyn std::error::Error + Send + Sync>;

/// Why a message was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// Nobody has this handle: the service ended, or never was.
    #[error("no service at {0}")]
    NoService(Handle),
    /// Nobody has this name.
    #[error("no service has the name {0:?}")]
    NoName(String),
    /// More bytes than a message may carry.
    #[error("message of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// The bytes of the message.
        size: usize,
        /// The bytes that are allowed.
        limit: usize,
    },
    /// The receiver's mailbox holds `mqueue_max` messages already.
    #[error("mailbox of {to} is full at {limit} messages")]
    MailboxFull {
        /// The receiver.
        to: Handle,
        /// The limit, from the config key `mqueue_max`.
        limit: usize,
    },
}

/// Why a service did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// No native service is registered under this name.
    #[error("no native service is named {0:?}")]
    UnknownModule(String),
    /// Every local id is taken.
    #[error(transparent)]
    TableFull(#[from] crate::table::TableFull),
    /// The factory or `init` refused.
    #[error("{module}: {why}")]
    Init {
        /// The module's name.
        module: String,
        /// What it said.
        why: ServiceError,
    },
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopping,
}

/// A figure that a service or an operator may ask for.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Stat {
    /// Messages that wait in the mailbox.
    pub mailbox_len: usize,
    /// Messages handled so far.
    pub messages: u64,
    /// Time spent in messages so far; zero where the config says `profile = false`.
    pub cpu: Duration,
    /// Time since the current message was begun; zero outside of one.
    pub dispatch: Duration,
    /// Bytes of memory, by the service's own count (a Lua service's VM).
    pub memory: usize,
}

/// What a service may ask of its node.
pub(crate) trait Host: Send + Sync {
    fn clock(&self) -> &Clock;
    fn harbor(&self) -> u8;
    /// The random number of this life of the node.
    fn incarnation(&self) -> u64;

    /// Hands a message over, here or to harbor. In case of an error it is dropped.
    fn deliver(&self, to: Handle, message: Message) -> Result<(), SendError>;
    /// Hands a message for a global name to harbor.
    fn deliver_global(&self, name: &str, message: Message) -> Result<(), SendError>;
    /// A response after `delay`, at the end of a tick of so many milliseconds.
    fn timeout(&self, to: Handle, session: Session, delay: Duration, tick_ms: u64);

    /// The socket engine, which is started if there is none yet.
    fn sockets(&self) -> Result<&Sockets, SocketError>;
    /// The socket engine, if it was ever needed.
    fn open_sockets(&self) -> Option<&Sockets>;

    fn find_name(&self, name: &str) -> Option<Handle>;
    fn register_name(&self, name: &str, handle: Handle) -> bool;

    fn launch(&self, module: &str, args: &str) -> Result<Handle, LaunchError>;
    /// Launches a service that is made already, of which nothing is logged. What is given is a `Box<dyn Service>`;
    /// services stand above the host, so it goes by as anything.
    fn spawn(&self, service: Box<dyn Any + Send>) -> Result<Handle, LaunchError>;
    /// Ends a service; false where there is none.
    fn kill(&self, handle: Handle) -> bool;
    fn abort(&self);
    /// Declares the caller the service that harbor's messages go to; false where there is one already.
    fn become_harbor(&self, handle: Handle) -> bool;
    /// Has the harbor service told when a service ends (see [`crate::remote::ServiceEnded`]); false where it has ended
    /// already.
    fn tell_harbor_of_end(&self, handle: Handle) -> bool;

    fn env(&self, key: &str) -> Option<String>;
    fn set_env(&self, key: &str, value: &str) -> Result<(), KeyExists>;

    fn log(&self, source: Handle, text: &[u8]);
    fn exit_monitor(&self) -> Option<Handle>;
    fn set_exit_monitor(&self, handle: Handle);
    fn stat(&self, handle: Handle) -> Option<Stat>;
    /// Whether the monitor has found the service in one message for long; reading clears it.
    fn take_endless(&self, handle: Handle) -> bool;
    /// Starts or ends the service's message log; false where there is no such service.
    fn message_log(&self, handle: Handle, on: bool) -> bool;
    /// False where there is no such service.
    fn signal(&self, handle: Handle, number: i32) -> bool;
    /// All services, with the memory that each says it uses.
    fn memory(&self) -> Vec<(Handle, usize)>;
}
