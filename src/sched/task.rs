//! [`Task`]: all that a worker knows of a service.

use crate::sync::Arc;

use super::worker::Turn;

/// What waits in the run queues: something that wants a worker for a while.
///
/// A task is in the queues at most once; whoever schedules it sees to that (a mailbox does).
pub(crate) trait Task: Send + Sync + Sized + 'static {
    /// Runs one turn. True when more is waiting: the worker then puts the task at the end of its queue.
    ///
    /// A panic in here ends the process; a task stops its own.
    fn run(self: &Arc<Self>, turn: &mut Turn<'_>) -> bool;
}
