//! [`Driver`]: which thread is the reactor.
//!
//! The reactor's thread also runs the services that it has made ready (see [`Guest`]): on a node that is not busy, what
//! comes from the network is answered without waking anybody. A service may keep it for long, though, and the network must
//! not wait for that. So there are two threads: one drives, the other stands by. When the monitor sees the one that
//! drives held by a service, the other takes over; the first one stands by when it comes back. While it is away the one
//! that drives runs no services, or it might be held as well.
//!
//! [`Guest`]: crate::post::Guest

use super::reactor::Reactor;
use crate::post::{GuestState, Guests};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::{Arc, Condvar, Mutex, lock};

/// The threads of a reactor.
pub(super) const THREADS: usize = 2;

/// What the two threads share.
pub(super) struct Driver {
    /// Held by the one that drives while it does the reactor's own work.
    reactor: Mutex<Reactor>,
    guests: Option<Arc<dyn Guests>>,
    /// The number of the thread that drives.
    at_wheel: AtomicUsize,
    /// The other one is held by a service.
    away: AtomicBool,
    stopped: AtomicBool,
    /// Where the other one stands by.
    door: Mutex<()>,
    bell: Condvar,
}

impl Driver {
    pub(super) fn new(reactor: Reactor, guests: Option<Arc<dyn Guests>>) -> Driver {
        Driver {
            reactor: Mutex::new(reactor),
            guests,
            at_wheel: AtomicUsize::new(0),
            away: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            door: Mutex::new(()),
            bell: Condvar::new(),
        }
    }

    /// The body of the thread with this number.
    pub(super) fn run(&self, me: usize) {
        let mut guest = self.guests.as_ref().and_then(|guests| guests.join(me));
        let mut busy = false;
        loop {
            if self.at_wheel.load(Ordering::SeqCst) != me {
                if let Some(guest) = &mut guest {
                    guest.retreat();
                }
                self.stand_by(me);
            }
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            if !lock(&self.reactor).step(busy) {
                self.stop();
                return;
            }
            let Some(guest) = &mut guest else { continue };
            busy = if self.away.load(Ordering::SeqCst) {
                guest.retreat();
                false
            } else {
                let drives = || self.at_wheel.load(Ordering::Relaxed) == me;
                guest.run(&drives) == GuestState::Busy
            };
        }
    }

    /// Waits until this thread is to drive, or the reactor ends.
    fn stand_by(&self, me: usize) {
        let mut door = lock(&self.door);
        // Only from here on may the other one be relieved by this one.
        self.away.store(false, Ordering::SeqCst);
        while self.at_wheel.load(Ordering::SeqCst) != me && !self.stopped.load(Ordering::SeqCst) {
            door = self.bell.wait(door).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn ring(&self) {
        // Who has looked and is about to wait holds the door.
        drop(lock(&self.door));
        self.bell.notify_all();
    }

    /// The thread with this number is held by a service: the other one takes over, if it stands by.
    pub(super) fn is_held(&self, held: usize) {
        let other = (held + 1) % THREADS;
        if self.away.load(Ordering::SeqCst) {
            return;
        }
        let (current, new) = (Ordering::SeqCst, Ordering::SeqCst);
        // The flag first: the other one must see it when it begins.
        self.away.store(true, Ordering::SeqCst);
        if self.at_wheel.compare_exchange(held, other, current, new).is_ok() {
            self.ring();
        } else {
            self.away.store(false, Ordering::SeqCst);
        }
    }

    /// Both threads end when they come to look.
    pub(super) fn stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.ring();
    }
}
