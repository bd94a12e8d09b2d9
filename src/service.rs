//! [`Service`]: what an actor is, and the factories that make them by name.

use std::sync::Arc;

use crate::context::Context;
use crate::handle::Handle;
use crate::host::LaunchError;
use crate::message::Message;

pub use crate::host::ServiceError;

/// An actor: it owns its state and handles one message at a time.
///
/// A service may move between threads from one message to the next, and is never used by two at once. A panic in one
/// of its functions ends this service only: who waits for an answer from it gets an error.
pub trait Service: Send + 'static {
    /// Runs once, before any message: the handle is valid and messages may be sent.
    ///
    /// # Errors
    /// An error ends the launch: the service is dropped, and whoever launched it is told.
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        let _ = ctx;
        Ok(())
    }

    /// Handles one message.
    ///
    /// # Errors
    /// An error is logged; if the message was a request that still has no answer, its sender gets an error. The
    /// service lives on.
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError>;

    /// The turn ends: so many messages have been handled, and others have theirs now. What a service collects from
    /// message to message, to do it for all of them at once, it does here.
    fn batch_end(&mut self, ctx: &mut Context<'_>) {
        let _ = ctx;
    }

    /// Whether the engine remembers which requests this service has not answered, to fail them when it ends.
    /// A service that keeps that book itself (the Lua host does) answers `false`.
    #[doc(hidden)]
    fn engine_tracks_requests(&self) -> bool {
        true
    }

    /// The node shuts down and tells every service, while messages still flow.
    ///
    /// # Errors
    /// An error is logged.
    fn shutdown(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        let _ = ctx;
        Ok(())
    }

    /// Runs once, when the service ends and before it is dropped; answers to open requests may still be sent.
    fn exit(&mut self, ctx: &mut Context<'_>) {
        let _ = ctx;
    }

    /// What other threads may ask of the service while it works (`SIGNAL`), if anything.
    fn signals(&self) -> Option<Arc<dyn Signals>> {
        None
    }
}

/// The part of a service that other threads may reach while it works.
pub trait Signals: Send + Sync {
    /// Somebody sent the signal `number` (`skynet_command` SIGNAL); `log` writes a line in the service's name.
    fn signal(&self, number: i32, log: &dyn Fn(&str));

    /// The service has been in one message for longer than the node's `loop_kill`: interrupt it if that can be done.
    /// Called by the node's monitor, again and again until the message is done.
    fn interrupt(&self) {}

    /// Bytes of memory that the service uses by its own count.
    fn memory(&self) -> usize {
        0
    }
}

impl Context<'_> {
    /// Launches a service that is made already. It is a service like any other, but has no module, and nothing is
    /// logged of its launch and its end: meant for services that come and go in great number.
    ///
    /// # Errors
    /// See [`LaunchError`].
    pub fn spawn(&mut self, service: impl Service) -> Result<Handle, LaunchError> {
        let service: Box<dyn Service> = Box::new(service);
        self.host().spawn(Box::new(service))
    }
}

/// Makes services of one kind; the argument is the rest of the launch line.
pub(crate) type Factory = Arc<dyn Fn(&str) -> Result<Box<dyn Service>, ServiceError> + Send + Sync>;
