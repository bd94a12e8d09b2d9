//! [`Park`]: who sleeps, who searches, and how one is woken.
//!
//! The workers and whoever schedules use it; it knows no queue. Its users keep two rules, and then no task
//! waits while all workers sleep (`loom_tests/park.rs` holds this):
//!
//! - who adds work for all calls [`Park::wake_one`] *after* it has added it;
//! - a worker that says it sleeps ([`Park::announce`]), or that it no longer searches ([`Park::found`]),
//!   looks into the queues once more *after* that.
//!
//! # Searching
//!
//! A worker between "I have nothing" and "I found something" searches. While one does, nobody is woken: it
//! will find the new work. A woken worker counts as searching from the moment it is chosen, so a burst of
//! sends wakes one worker, and that one wakes the next if it leaves something behind.
//!
//! # Off duty
//!
//! A spare worker that is not needed any more waits aside, where [`Park::wake_one`] does not look; the
//! monitor alone calls it back ([`Park::recall`]).

use crate::sync::atomic::{AtomicUsize, Ordering, fence};
use crate::sync::{Bell, Mutex, lock};

/// One searching worker, in `Park::counts`; the sleeping ones are counted above.
const SEARCHING: usize = 1;
const SLEEPING: usize = 1 << 16;

/// Where workers sleep.
pub(crate) struct Park {
    /// Searching workers in the low 16 bits, sleeping ones above. Changed under the lock where `sleeping`
    /// changes.
    counts: AtomicUsize,
    rooms: Mutex<Rooms>,
    /// For each seat.
    bells: Box<[Bell]>,
}

#[derive(Default)]
struct Rooms {
    /// The last to fall asleep is woken first: its cache is the warmest.
    sleeping: Vec<usize>,
    off_duty: Vec<usize>,
}

impl Park {
    pub(crate) fn new(seats: usize) -> Park {
        assert!(seats < SLEEPING, "{seats} workers are more than can be counted");
        Park {
            counts: AtomicUsize::new(0),
            rooms: Mutex::new(Rooms::default()),
            bells: (0..seats).map(|_| Bell::default()).collect(),
        }
    }

    /// How many workers sleep.
    pub(crate) fn sleeping(&self) -> usize {
        self.counts.load(Ordering::SeqCst) / SLEEPING
    }

    /// Wakes a worker for work that has been added, unless one searches already. True when one was woken.
    pub(crate) fn wake_one(&self) -> bool {
        // Pairs with the fences in `announce` and `found`: either this load sees what the worker said there,
        // or the worker's look into the queues sees the work.
        fence(Ordering::SeqCst);
        self.wake_one_if_seen()
    }

    /// As [`Park::wake_one`], without a promise: a worker that falls asleep at this moment may be missed. For
    /// work that its owner will come to anyway.
    #[inline]
    pub(crate) fn wake_one_if_seen(&self) -> bool {
        let wanted = |counts: usize| counts >= SLEEPING && counts.is_multiple_of(SLEEPING);
        if !wanted(self.counts.load(Ordering::Relaxed)) {
            return false;
        }
        self.wake(wanted)
    }

    #[cold]
    fn wake(&self, wanted: impl Fn(usize) -> bool) -> bool {
        let mut rooms = lock(&self.rooms);
        if !wanted(self.counts.load(Ordering::SeqCst)) {
            return false;
        }
        let Some(seat) = rooms.sleeping.pop() else { return false };
        self.counts.fetch_sub(SLEEPING - SEARCHING, Ordering::SeqCst);
        drop(rooms);
        self.bells[seat].ring();
        true
    }

    /// Begins a search, unless so many search already that one more would only be in the way.
    pub(crate) fn search(&self, searchers_max: usize) -> bool {
        if self.counts.load(Ordering::Relaxed) % SLEEPING >= searchers_max {
            return false;
        }
        self.counts.fetch_add(SEARCHING, Ordering::SeqCst);
        true
    }

    /// Ends a search that found something. True when it was the last one: the caller then looks whether there
    /// is more work, and wakes another worker for it.
    pub(crate) fn found(&self) -> bool {
        let last = self.counts.fetch_sub(SEARCHING, Ordering::SeqCst) % SLEEPING == 1;
        // Pairs with the fence in `wake_one`.
        fence(Ordering::SeqCst);
        last
    }

    /// Says that the worker of `seat`, which is the calling thread, sleeps from now on; ends its search if it
    /// was `searching`.
    ///
    /// The caller then looks into the queues once more, and calls [`Park::cancel`] or [`Park::wait`].
    pub(crate) fn announce(&self, seat: usize, searching: bool) {
        self.bells[seat].claim();
        let mut rooms = lock(&self.rooms);
        rooms.sleeping.push(seat);
        self.counts.fetch_add(if searching { SLEEPING - SEARCHING } else { SLEEPING }, Ordering::SeqCst);
        drop(rooms);
        // Pairs with the fence in `wake_one`.
        fence(Ordering::SeqCst);
    }

    /// Takes an [`Park::announce`] back: the worker searches again.
    pub(crate) fn cancel(&self, seat: usize) {
        let mut rooms = lock(&self.rooms);
        if let Some(place) = rooms.sleeping.iter().position(|sleeper| *sleeper == seat) {
            rooms.sleeping.remove(place);
            self.counts.fetch_sub(SLEEPING - SEARCHING, Ordering::SeqCst);
            return;
        }
        drop(rooms);
        // It has been woken meanwhile and searches already; the sign of that must not be left for the next
        // sleep.
        self.wait(seat);
    }

    /// Sleeps until woken. After [`Park::announce`] the worker then searches; after [`Park::leave`] it does
    /// not.
    pub(crate) fn wait(&self, seat: usize) {
        self.bells[seat].wait();
    }

    /// Puts the worker of `seat`, which is the calling thread, off duty. [`Park::wait`] follows.
    pub(crate) fn leave(&self, seat: usize) {
        self.bells[seat].claim();
        lock(&self.rooms).off_duty.push(seat);
    }

    /// Calls a worker back that is off duty; false when there is none.
    pub(crate) fn recall(&self) -> bool {
        let Some(seat) = lock(&self.rooms).off_duty.pop() else { return false };
        self.bells[seat].ring();
        true
    }

    /// Wakes everybody who sleeps on duty; they search.
    pub(crate) fn wake_sleeping(&self) {
        self.ring_sleeping(&mut lock(&self.rooms));
    }

    fn ring_sleeping(&self, rooms: &mut Rooms) {
        self.counts.fetch_sub(rooms.sleeping.len() * (SLEEPING - SEARCHING), Ordering::SeqCst);
        rooms.sleeping.drain(..).for_each(|seat| self.bells[seat].ring());
    }

    /// Wakes everybody, on duty or off, at the end of the scheduler.
    pub(crate) fn wake_all(&self) {
        let mut rooms = lock(&self.rooms);
        self.ring_sleeping(&mut rooms);
        rooms.off_duty.drain(..).for_each(|seat| self.bells[seat].ring());
    }
}
