//! [`Guest`]: a thread that has work of its own and runs tasks between, as a worker would.
//!
//! The reactor is one. What it reads makes services ready; to run them on the spot saves the wake-up of a worker, which
//! on a quiet node costs more than the service's work. A guest has a seat, where the monitor sees it, and a deque, from
//! which workers steal; but it never sleeps as a worker does, so nobody counts on it: what it leaves in its deque it
//! comes back for, or gives away ([`Guest::retreat`]).

use std::collections::VecDeque;
use std::rc::Rc;

use crate::message::Message;
use crate::post::{Guest as Hands, GuestState};
use crate::sync::Arc;
use crate::sync::atomic::Ordering;

use super::runqueue::Local;
use super::task::Task;
use super::worker::{self, Seat};
use super::{Scheduler, Shared};

/// So many threads can be guests.
pub(super) const GUESTS: usize = 2;
/// So many turns a guest runs before it looks after its own work.
const TURNS_MAX: usize = 16;

/// A guest of a scheduler; lives on its thread.
struct Guest<T: Task> {
    shared: Arc<Shared<T>>,
    local: Rc<Local<Arc<T>>>,
    scratch: VecDeque<Message>,
}

impl<T: Task> Scheduler<T> {
    /// Makes the calling thread a guest, the one with this number; nothing where there is one already, or where the
    /// scheduler ends.
    pub(crate) fn guest(&self, number: usize) -> Option<Box<dyn Hands>> {
        let local = Rc::new(self.shared.take_guest_seat(number)?);
        if !worker::belong(self.shared.identity(), local.clone()) {
            return None;
        }
        Some(Box::new(Guest { shared: self.shared.clone(), local, scratch: VecDeque::new() }))
    }
}

impl<T: Task> Hands for Guest<T> {
    fn run(&mut self, goes_on: &dyn Fn() -> bool) -> GuestState {
        if self.local.len() == 0 || self.shared.is_stopped() {
            return GuestState::Idle;
        }
        self.shared.guest_begins();
        let mut turns = 0;
        let state = loop {
            let Some(task) = self.local.pop() else { break GuestState::Idle };
            let seat: &Seat = &self.shared.seats[self.local.seat()];
            if let Some(task) = worker::run_turn(seat, task, &mut self.scratch) {
                self.local.push(task);
            }
            turns += 1;
            if self.shared.is_stopped() || !goes_on() {
                break GuestState::Idle;
            }
            if turns == TURNS_MAX && self.local.len() > 0 {
                break GuestState::Busy;
            }
        };
        self.shared.guest_ends();
        state
    }

    fn retreat(&mut self) {
        let mut any = false;
        while let Some(task) = self.local.pop() {
            self.shared.queues.inject(task);
            any = true;
        }
        if any {
            self.shared.park.wake_one();
        }
    }
}

impl<T: Task> Drop for Guest<T> {
    fn drop(&mut self) {
        if self.shared.is_stopped() {
            while let Some(task) = self.local.pop() {
                drop(task);
            }
        } else {
            self.retreat();
        }
    }
}

impl<T: Task> Shared<T> {
    fn guest_begins(&self) {
        self.guests.fetch_add(1, Ordering::SeqCst);
        self.monitor.nudge();
    }

    fn guest_ends(&self) {
        self.guests.fetch_sub(1, Ordering::SeqCst);
    }
}
