//! Where messages wait: one [`Mailbox`] for each service.
//!
//! Any thread pushes; only the worker that has the service's turn takes, a whole queue at a time.
//!
//! # The turn
//!
//! A mailbox is `Idle` (empty, in no run queue), `Queued` (in exactly one) or `Running`. A push that finds it
//! idle makes it queued and says so: the caller owes the scheduler one entry. The worker takes everything at
//! once, works through a part of it without any lock, and gives the rest back when its turn ends. The mailbox
//! becomes idle in the same locked step that finds it empty; in two steps, a push between them would be
//! stranded (`loom_tests/mailbox.rs` holds this).
//!
//! # Memory
//!
//! The queue is unbounded, as the original's is; its owner may limit it by the length that a push answers. An
//! idle mailbox keeps room for a few messages only, and the large buffer of a burst is given back when the
//! burst is worked off: a node has many mailboxes, and most of them are idle.

use std::collections::VecDeque;

use crate::message::Message;
use crate::sync::{Mutex, lock};

/// Up to this many messages an idle mailbox keeps room for.
const IDLE_KEEP_MAX: usize = 4;
/// Up to this many messages are moved one by one; above, the buffers change places. Moving few is cheaper
/// than the buffers' wandering from service to service.
const MOVE_MAX: usize = 8;
/// A buffer for more messages than this is given back as soon as it is mostly empty.
const BUFFER_KEEP_MAX: usize = 1024;

/// One service's queue and whose turn it is.
pub(crate) struct Mailbox(Mutex<Inner>);

struct Inner {
    queue: VecDeque<Message>,
    turn: Turn,
    closed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// In no run queue, and empty.
    Idle,
    /// In one run queue.
    Queued,
    /// A worker has it.
    Running,
    /// A worker has it and must come again, message or not.
    RunningWoken,
}

/// What became of a message that was taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pushed {
    /// The caller owes the scheduler one entry for this mailbox.
    pub(crate) schedule: bool,
    /// How many messages wait now, this one included. Those that the current turn has taken do not count.
    pub(crate) len: usize,
}

impl Mailbox {
    /// An idle one. The node's mailboxes begin as [`Mailbox::running`].
    #[cfg(test)]
    pub(crate) fn new() -> Mailbox {
        Mailbox(Mutex::new(Inner { queue: VecDeque::new(), turn: Turn::Idle, closed: false }))
    }

    /// A mailbox whose turn is taken already, by the thread that makes it.
    pub(crate) fn running() -> Mailbox {
        Mailbox(Mutex::new(Inner { queue: VecDeque::new(), turn: Turn::Running, closed: false }))
    }

    /// Adds a message at the end.
    ///
    /// # Errors
    /// The message itself, where the mailbox is closed.
    // Inlined into the send path; a message is returned by value because nobody else has it.
    #[allow(clippy::result_large_err)]
    pub(crate) fn push(&self, message: Message) -> Result<Pushed, Message> {
        let mut inner = lock(&self.0);
        if inner.closed {
            return Err(message);
        }
        inner.queue.push_back(message);
        let len = inner.queue.len();
        Ok(Pushed { schedule: inner.wake(), len })
    }

    /// Gives the service a turn though no message came, for a matter that is written elsewhere (it is to be
    /// killed).
    ///
    /// True when the caller owes the scheduler an entry. A turn that runs now is followed by another one, so
    /// what was written before this call is seen.
    pub(crate) fn wake(&self) -> bool {
        let mut inner = lock(&self.0);
        if inner.turn == Turn::Running {
            inner.turn = Turn::RunningWoken;
        }
        inner.wake()
    }

    /// Begins a turn: moves everything that waits to the end of `batch`, in order.
    ///
    /// Only for whoever holds the entry of the run queue. `batch` is empty, and its buffer may become the
    /// mailbox's.
    pub(crate) fn take(&self, batch: &mut VecDeque<Message>) {
        let mut inner = lock(&self.0);
        inner.turn = Turn::Running;
        inner.move_to(batch);
    }

    /// Ends a turn: puts back what is `left` of the batch, before what came since.
    ///
    /// True when there is more to do: the mailbox counts as queued, and the caller owes the scheduler an
    /// entry. A closed mailbox takes nothing back: `left` then keeps its messages, and they are the caller's.
    pub(crate) fn finish(&self, left: &mut VecDeque<Message>) -> bool {
        // Before the lock is taken, so that no sender waits for it.
        give_back(left);
        let mut inner = lock(&self.0);
        if !left.is_empty() && !inner.closed {
            left.append(&mut inner.queue);
            std::mem::swap(left, &mut inner.queue);
        }
        let woken = inner.turn == Turn::RunningWoken;
        if woken || !inner.queue.is_empty() {
            inner.turn = Turn::Queued;
            return true;
        }
        inner.turn = Turn::Idle;
        let unused = inner.idle_buffer();
        drop(inner);
        // Freed after the lock.
        drop(unused);
        false
    }

    /// Takes no more messages, and moves those that wait to the end of `left`. The turn stays whose it is.
    pub(crate) fn close(&self, left: &mut VecDeque<Message>) {
        let mut inner = lock(&self.0);
        inner.closed = true;
        let mut queue = std::mem::take(&mut inner.queue);
        drop(inner);
        left.append(&mut queue);
    }

    /// How many messages wait. Those that the current turn has taken do not count: the turn's batch knows
    /// them.
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).queue.len()
    }

    /// The room that the mailbox keeps, in messages.
    #[cfg(test)]
    fn capacity(&self) -> usize {
        lock(&self.0).queue.capacity()
    }
}

impl Inner {
    /// Makes an idle mailbox queued; true when it was idle.
    fn wake(&mut self) -> bool {
        let idle = self.turn == Turn::Idle;
        if idle {
            self.turn = Turn::Queued;
        }
        idle
    }

    fn move_to(&mut self, batch: &mut VecDeque<Message>) {
        if batch.is_empty() && self.queue.len() > MOVE_MAX {
            std::mem::swap(batch, &mut self.queue);
        } else {
            batch.append(&mut self.queue);
        }
    }

    /// Takes the buffer out when it is too large for an idle mailbox.
    fn idle_buffer(&mut self) -> Option<VecDeque<Message>> {
        (self.queue.capacity() > IDLE_KEEP_MAX).then(|| std::mem::take(&mut self.queue))
    }
}

/// Shrinks the buffer of a burst that is worked off.
///
/// For a worker's batch between two services, too.
pub(crate) fn give_back(batch: &mut VecDeque<Message>) {
    if batch.capacity() > BUFFER_KEEP_MAX && batch.len() < batch.capacity() / 8 {
        batch.shrink_to(2 * batch.len());
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::handle::Handle;
    use crate::message::{MessageKind, Payload, Session};

    fn message(number: i32) -> Message {
        let session = Session::new(number);
        Message { source: Handle::NONE, session, kind: MessageKind::TEXT, payload: Payload::empty() }
    }

    fn numbers(batch: &VecDeque<Message>) -> Vec<i32> {
        batch.iter().map(|message| Session::number(message.session)).collect()
    }

    fn push(mailbox: &Mailbox, number: i32) -> Pushed {
        mailbox.push(message(number)).expect("it is open")
    }

    #[test]
    fn a_mailbox_fits_a_cache_line() {
        assert!(size_of::<Mailbox>() <= 64, "{}", size_of::<Mailbox>());
    }

    #[test]
    fn only_a_push_that_finds_it_idle_asks_for_an_entry() {
        let (mailbox, mut batch) = (Mailbox::new(), VecDeque::new());
        assert_eq!(push(&mailbox, 1), Pushed { schedule: true, len: 1 });
        assert_eq!(push(&mailbox, 2), Pushed { schedule: false, len: 2 });
        mailbox.take(&mut batch);
        assert_eq!(numbers(&batch), [1, 2]);
        assert!(!push(&mailbox, 3).schedule);
        batch.clear();
        assert!(mailbox.finish(&mut batch));
        mailbox.take(&mut batch);
        batch.clear();
        assert!(!mailbox.finish(&mut batch));
        assert!(push(&mailbox, 4).schedule);
    }

    #[test]
    fn what_is_left_goes_before_what_came_since() {
        for first in [3, 100] {
            let (mailbox, mut batch) = (Mailbox::new(), VecDeque::new());
            for number in 1..=first {
                push(&mailbox, number);
            }
            mailbox.take(&mut batch);
            batch.pop_front();
            push(&mailbox, first + 1);
            assert!(mailbox.finish(&mut batch) && batch.is_empty());
            assert_eq!(mailbox.len(), first as usize);
            mailbox.take(&mut batch);
            assert_eq!(numbers(&batch), (2..=first + 1).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_wake_during_a_turn_asks_for_another_one() {
        let (mailbox, mut batch) = (Mailbox::new(), VecDeque::new());
        assert!(mailbox.wake() && !mailbox.wake());
        mailbox.take(&mut batch);
        assert!(!mailbox.wake());
        assert!(mailbox.finish(&mut batch));
        mailbox.take(&mut batch);
        assert!(!mailbox.finish(&mut batch));
    }

    #[test]
    fn a_closed_mailbox_gives_everything_back() {
        let (mailbox, mut batch) = (Mailbox::new(), VecDeque::new());
        push(&mailbox, 1);
        mailbox.take(&mut batch);
        push(&mailbox, 2);
        mailbox.close(&mut batch);
        assert_eq!(numbers(&batch), [1, 2]);
        assert!(mailbox.push(message(3)).is_err());
        assert!(!mailbox.finish(&mut batch));
        assert_eq!(numbers(&batch), [1, 2]);
    }

    #[test]
    fn the_memory_of_a_burst_is_given_back() {
        let (mailbox, mut batch) = (Mailbox::new(), VecDeque::new());
        for number in 1..=100_000 {
            push(&mailbox, number);
        }
        let mut seen = 0;
        loop {
            mailbox.take(&mut batch);
            seen += batch.drain(..batch.len().min(64)).len();
            if !mailbox.finish(&mut batch) {
                break;
            }
        }
        assert_eq!(seen, 100_000);
        assert!(mailbox.capacity() <= IDLE_KEEP_MAX, "{}", mailbox.capacity());
        assert!(batch.capacity() <= BUFFER_KEEP_MAX, "{}", batch.capacity());
    }
}
