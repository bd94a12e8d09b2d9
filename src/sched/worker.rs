//! The worker: a thread that runs one task after another.
//!
//! It looks for work in its own deque, then in the injector, then in the deques of others, and sleeps when
//! there is none. The injector also comes first once in a while, or a worker with much of its own would never
//! see it.
//!
//! What a worker is doing it writes into its [`Seat`], where the monitor reads it: plain stores, no clock, no
//! lock.

use std::any::Any;
use std::cell::OnceCell;
use std::collections::VecDeque;
use std::rc::Rc;

use crossbeam_utils::CachePadded;

use crate::handle::Handle;
use crate::mailbox::give_back;
use crate::message::Message;
use crate::sync::Arc;
use crate::sync::atomic::{AtomicU64, Ordering};

use super::Shared;
use super::runqueue::Local;
use super::task::Task;

/// After so many turns the injector comes first once. A prime, so that it does not keep step with the
/// program.
const INJECTOR_TURNS: u32 = 61;
/// How often a worker looks round for work before it sleeps.
const SEARCH_ROUNDS: usize = 3;
/// How long it waits between two looks when a lone task is to be seen: some microseconds, in which an owner
/// that makes progress takes its task.
const LONE_TASK_SPINS: usize = 64;

/// What one worker is doing, for the monitor to read. Only its worker writes the first three.
#[derive(Default)]
pub(super) struct Seat {
    /// Odd during a turn; grows by one when a turn begins or ends.
    pub(super) turn: AtomicU64,
    /// Source and destination of the message that is being worked on; 0 between two.
    pub(super) dispatch: AtomicU64,
    /// How many messages have been begun.
    pub(super) version: AtomicU64,
    /// The turn that should end soon, in the monitor's opinion. On its own line: the worker reads it often,
    /// and the line above changes with each message.
    pub(super) overdue: CachePadded<AtomicU64>,
}

/// In [`Seat::overdue`]: the scheduler ends, and each turn with it.
pub(super) const EVERY_TURN: u64 = u64::MAX;

/// Source and destination in one word.
pub(super) fn dispatch_word(source: Handle, destination: Handle) -> u64 {
    u64::from(source.as_u32()) << 32 | u64::from(destination.as_u32())
}

/// The parts of [`dispatch_word`].
pub(super) fn dispatch_parts(word: u64) -> (Handle, Handle) {
    (Handle::from_u32((word >> 32) as u32), Handle::from_u32(word as u32))
}

/// A task's turn on a worker: what the task may ask of it, and tells it.
pub(crate) struct Turn<'a> {
    seat: &'a Seat,
    number: u64,
    scratch: &'a mut VecDeque<Message>,
}

impl Turn<'_> {
    /// A message is worked on from now on.
    #[inline]
    pub(crate) fn begin(&self, source: Handle, destination: Handle) {
        let version = self.seat.version.load(Ordering::Relaxed).wrapping_add(1);
        self.seat.version.store(version, Ordering::Relaxed);
        // Pairs with the load in the monitor: it sees this message with its version, or a later one.
        self.seat.dispatch.store(dispatch_word(source, destination), Ordering::Release);
    }

    /// No message is worked on any more.
    #[inline]
    pub(crate) fn end(&self) {
        self.seat.dispatch.store(0, Ordering::Release);
    }

    /// Whether the turn has lasted long enough: the task should return after the current message.
    #[inline]
    pub(crate) fn must_yield(&self) -> bool {
        let overdue = self.seat.overdue.load(Ordering::Relaxed);
        overdue == self.number || overdue == EVERY_TURN
    }

    /// Which turn of its worker it is.
    #[cfg(test)]
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The worker's buffer for the batch of a turn. Empty when the turn begins, and to be left empty.
    #[inline]
    pub(crate) fn scratch(&mut self) -> &mut VecDeque<Message> {
        self.scratch
    }
}

/// Which scheduler's worker a thread is, and its deque.
struct Current {
    scheduler: usize,
    local: Rc<dyn Any>,
}

thread_local! {
    static CURRENT: OnceCell<Current> = const { OnceCell::new() };
}

/// Gives `task` to the deque of the calling thread, if it is a worker of the scheduler `scheduler`; returns
/// how many tasks wait there now, or the task.
#[inline]
pub(super) fn push_here<T: Task>(scheduler: usize, task: Arc<T>) -> Result<usize, Arc<T>> {
    let mut task = Some(task);
    let pushed = CURRENT.try_with(|current| {
        let current = current.get().filter(|current| current.scheduler == scheduler)?;
        let local = current.local.downcast_ref::<Local<Arc<T>>>()?;
        local.push(task.take()?);
        Some(local.len())
    });
    match (pushed, task) {
        (Ok(Some(waiting)), _) => Ok(waiting),
        (_, Some(task)) => Err(task),
        (_, None) => unreachable!("the task is taken only where it is pushed"),
    }
}

/// Whether the calling thread is a worker of the scheduler `scheduler`.
pub(super) fn is_here(scheduler: usize) -> bool {
    CURRENT
        .try_with(|current| current.get().is_some_and(|current| current.scheduler == scheduler))
        .unwrap_or(false)
}

/// Makes the calling thread one that has a deque of the scheduler `scheduler`; false where it has one already.
pub(super) fn belong(scheduler: usize, local: Rc<dyn Any>) -> bool {
    CURRENT.with(|cell| cell.set(Current { scheduler, local }).is_ok())
}

/// Runs a task for a turn on this seat; gives it back where more is waiting.
#[inline]
pub(super) fn run_turn<T: Task>(
    seat: &Seat,
    task: Arc<T>,
    scratch: &mut VecDeque<Message>,
) -> Option<Arc<T>> {
    let number = seat.turn.load(Ordering::Relaxed).wrapping_add(1);
    seat.turn.store(number, Ordering::Relaxed);
    let more = task.run(&mut Turn { seat, number, scratch });
    seat.dispatch.store(0, Ordering::Relaxed);
    seat.turn.store(number.wrapping_add(1), Ordering::Relaxed);
    debug_assert!(scratch.is_empty(), "a task left messages behind");
    give_back(scratch);
    more.then_some(task)
}

/// The body of a worker thread.
pub(super) fn run<T: Task>(shared: &Shared<T>, local: Local<Arc<T>>) {
    let local = Rc::new(local);
    assert!(belong(shared.identity(), local.clone()), "a thread is the worker of one scheduler");
    let mut worker = Worker {
        shared,
        seat: local.seat(),
        local: &local,
        scratch: VecDeque::new(),
        lone: vec![u64::MAX; shared.seats.len()],
        searching: false,
        turns: 0,
        tick: 0,
        kept_house: 0,
    };
    while !shared.is_stopped() {
        match worker.next() {
            Some(task) => worker.turn(task),
            None => worker.rest(),
        }
    }
    // A task may own the scheduler; what is dropped here would otherwise keep it, and itself, for ever.
    while let Some(task) = local.pop() {
        drop(task);
    }
    shared.worker_ends();
}

struct Worker<'a, T: Task> {
    shared: &'a Shared<T>,
    seat: usize,
    local: &'a Local<Arc<T>>,
    scratch: VecDeque<Message>,
    /// For each seat: the turn in which its worker was last seen with a lone task waiting.
    lone: Vec<u64>,
    searching: bool,
    /// Turns since the injector last came first.
    turns: u32,
    /// The monitor's tick at that time.
    tick: u64,
    /// The housekeeping that it took part in last; see the monitor.
    kept_house: u64,
}

impl<T: Task> Worker<'_, T> {
    fn next(&mut self) -> Option<Arc<T>> {
        let queues = &self.shared.queues;
        let tick = self.shared.monitor.ticks();
        if self.turns >= INJECTOR_TURNS || self.tick != tick {
            (self.turns, self.tick) = (0, tick);
            if let Some(task) = queues.take_injected(self.local) {
                self.found();
                return Some(task);
            }
        }
        self.turns += 1;
        let task = self.local.pop().or_else(|| queues.take_injected(self.local)).or_else(|| self.search());
        if task.is_some() {
            self.found();
        }
        task
    }

    /// Looks for work elsewhere.
    fn search(&mut self) -> Option<Arc<T>> {
        if !self.searching {
            self.searching = self.shared.park.search(self.shared.searchers_max);
            if !self.searching {
                return None;
            }
        }
        self.lone.fill(u64::MAX);
        for _ in 0..SEARCH_ROUNDS {
            if let Some(task) = self.shared.queues.take_injected(self.local) {
                return Some(task);
            }
            let (task, lone) = self.look_round();
            if task.is_some() {
                return task;
            }
            if lone {
                (0..LONE_TASK_SPINS).for_each(|_| std::hint::spin_loop());
            }
        }
        None
    }

    /// Tries the deque of each other seat once; also says whether a lone task was left to its owner.
    fn look_round(&mut self) -> (Option<Arc<T>>, bool) {
        let seats = self.shared.seats.len();
        let mut lone = false;
        for step in 1..seats {
            let victim = (self.seat + step) % seats;
            match self.shared.queues.waiting(victim) {
                0 => continue,
                1 => {
                    let turn = self.shared.seats[victim].turn.load(Ordering::Relaxed);
                    if std::mem::replace(&mut self.lone[victim], turn) != turn {
                        lone = true;
                        continue;
                    }
                }
                _ => {}
            }
            let task = self.shared.queues.steal(victim, self.local);
            if task.is_some() {
                return (task, lone);
            }
        }
        (None, lone)
    }

    /// Ends a search, and passes it on when more is waiting.
    fn found(&mut self) {
        if std::mem::take(&mut self.searching) && self.shared.park.found() && self.shared.queues.has_surplus()
        {
            self.shared.park.wake_one();
        }
    }

    fn turn(&mut self, task: Arc<T>) {
        if let Some(task) = run_turn(&self.shared.seats[self.seat], task, &mut self.scratch) {
            self.local.push(task);
        }
        if self.shared.has_excess() {
            self.leave();
        }
    }

    /// Sleeps until there is work.
    fn rest(&mut self) {
        if self.shared.has_excess() && self.leave() {
            return;
        }
        self.call_when_idle();
        let park = &self.shared.park;
        park.announce(self.seat, std::mem::take(&mut self.searching));
        if self.shared.is_stopped() || self.shared.queues.has_surplus() {
            park.cancel(self.seat);
        } else {
            park.wait(self.seat);
        }
        self.searching = true;
        self.shared.monitor.nudge();
    }

    /// What the embedder wants done after a time of work.
    fn call_when_idle(&mut self) {
        let house = self.shared.monitor.house();
        if house != self.kept_house
            && let Some(call) = self.shared.options.when_idle
        {
            self.kept_house = house;
            call();
        }
    }

    /// Goes off duty, if there are still more workers than needed; its tasks go to the others.
    fn leave(&mut self) -> bool {
        if !self.shared.give_up_place() {
            return false;
        }
        self.found();
        while let Some(task) = self.local.pop() {
            self.shared.queues.inject(task);
        }
        if self.shared.queues.is_injected() {
            self.shared.park.wake_one();
        }
        self.shared.park.leave(self.seat);
        if !self.shared.is_stopped() {
            self.shared.park.wait(self.seat);
        }
        self.shared.monitor.nudge();
        true
    }
}
