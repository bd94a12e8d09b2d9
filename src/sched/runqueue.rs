//! Run queues: a deque for each worker and one queue for everybody else. The only place that knows the
//! deques.
//!
//! A worker pushes to the end of its own deque and pops at its front, so services take turns in the order in
//! which they became ready. What is scheduled from outside goes to the injector. A worker that has nothing
//! takes a batch from the injector or half of what another worker has.
//!
//! # A lone task
//!
//! A task that waits alone behind a worker which makes progress is left to that worker: it will run it within
//! microseconds, while moving it costs as much and draws the two partners of a conversation to different
//! workers. It is taken when the worker has been seen in the same turn twice.

use crossbeam_deque::{Injector, Steal, Stealer, Worker};

/// The shared side: what thieves and outsiders use.
pub(super) struct RunQueues<T> {
    injector: Injector<T>,
    stealers: Box<[Stealer<T>]>,
}

/// One worker's own deque.
pub(super) struct Local<T> {
    seat: usize,
    deque: Worker<T>,
}

impl<T> RunQueues<T> {
    /// The queues for so many seats, with the deque of each.
    pub(super) fn new(seats: usize) -> (RunQueues<T>, Vec<Local<T>>) {
        let locals: Vec<_> = (0..seats).map(|seat| Local { seat, deque: Worker::new_fifo() }).collect();
        let stealers = locals.iter().map(|local| local.deque.stealer()).collect();
        (RunQueues { injector: Injector::new(), stealers }, locals)
    }

    /// Adds a task from outside of the workers.
    pub(super) fn inject(&self, task: T) {
        self.injector.push(task);
    }

    /// Whether tasks wait in the injector.
    pub(super) fn is_injected(&self) -> bool {
        !self.injector.is_empty()
    }

    /// How many tasks wait in the deque of `seat`.
    pub(super) fn waiting(&self, seat: usize) -> usize {
        self.stealers[seat].len()
    }

    /// Whether there is work that an idle worker may take: in the injector, or a deque with more than a lone
    /// task.
    pub(super) fn has_surplus(&self) -> bool {
        self.is_injected() || self.stealers.iter().any(|stealer| stealer.len() >= 2)
    }

    /// Whether no task waits anywhere.
    pub(super) fn is_empty(&self) -> bool {
        !self.is_injected() && self.stealers.iter().all(Stealer::is_empty)
    }

    /// Takes a batch from the injector: one task to run, more into the worker's deque.
    pub(super) fn take_injected(&self, local: &Local<T>) -> Option<T> {
        if self.injector.is_empty() {
            return None;
        }
        retry(|| self.injector.steal_batch_and_pop(&local.deque))
    }

    /// Takes about half of what the deque of `victim` holds: one task to run, more into the worker's deque.
    pub(super) fn steal(&self, victim: usize, local: &Local<T>) -> Option<T> {
        retry(|| self.stealers[victim].steal_batch_and_pop(&local.deque))
    }

    /// Drops what waits in the injector.
    pub(super) fn clear(&self) {
        while retry(|| self.injector.steal()).is_some() {}
    }
}

impl<T> Local<T> {
    /// The seat whose deque it is.
    pub(super) fn seat(&self) -> usize {
        self.seat
    }

    /// Adds a task at the end.
    #[inline]
    pub(super) fn push(&self, task: T) {
        self.deque.push(task);
    }

    /// Takes the task at the front.
    #[inline]
    pub(super) fn pop(&self) -> Option<T> {
        self.deque.pop()
    }

    /// How many tasks wait.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.deque.len()
    }
}

/// Repeats a theft that another one disturbed: each failure means that someone else went on.
fn retry<T>(mut theft: impl FnMut() -> Steal<T>) -> Option<T> {
    loop {
        match theft() {
            Steal::Success(task) => return Some(task),
            Steal::Empty => return None,
            Steal::Retry => std::hint::spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deque_is_first_in_first_out() {
        let (_, locals) = RunQueues::new(1);
        (1..=3).for_each(|task| locals[0].push(task));
        assert_eq!((locals[0].pop(), locals[0].pop(), locals[0].len()), (Some(1), Some(2), 1));
    }

    #[test]
    fn a_thief_takes_the_oldest_and_leaves_the_rest() {
        let (queues, locals) = RunQueues::new(2);
        (1..=10).for_each(|task| locals[0].push(task));
        assert_eq!(queues.steal(0, &locals[1]), Some(1));
        assert!(locals[0].len() >= 5 && locals[0].len() + locals[1].len() == 9);
    }

    #[test]
    fn a_lone_task_is_no_surplus() {
        let (queues, locals) = RunQueues::new(2);
        locals[0].push(1);
        assert!(!queues.has_surplus() && !queues.is_empty());
        locals[0].push(2);
        assert!(queues.has_surplus());
    }

    #[test]
    fn the_injector_is_surplus_until_it_is_taken() {
        let (queues, locals) = RunQueues::new(1);
        queues.inject(1);
        assert!(queues.has_surplus());
        assert_eq!(queues.take_injected(&locals[0]), Some(1));
        assert!(queues.is_empty() && queues.take_injected(&locals[0]).is_none());
    }
}
