//! [`Post`] and [`Guests`]: all that an engine knows of the rest of the node.

use crate::handle::Handle;
use crate::message::Message;

/// Delivers what an engine (timer, reactor) has to say to a service.
pub(crate) trait Post: Send + Sync {
    /// Puts the message into the mailbox of `to`; a receiver that is gone is nobody's error here.
    fn post(&self, to: Handle, message: Message);
}

/// Lets a thread of an engine run services between its own work; see `sched/guest.rs`.
pub(crate) trait Guests: Send + Sync {
    /// Makes the calling thread the guest with this number, 0 or 1; nothing where that cannot be.
    fn join(&self, number: usize) -> Option<Box<dyn Guest>>;
}

/// What such a thread can do.
pub(crate) trait Guest {
    /// Runs services that this thread has made ready, for a while and as long as `goes_on`.
    fn run(&mut self, goes_on: &dyn Fn() -> bool) -> GuestState;
    /// Leaves to others what it has not run.
    fn retreat(&mut self);
}

/// How a guest left its services.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GuestState {
    /// Nothing waits for it.
    Idle,
    /// More waits.
    Busy,
}
