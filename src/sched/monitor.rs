//! The monitor: a thread that watches how long the workers stay at one thing.
//!
//! It looks every millisecond or so while a worker is awake, and not at all while all sleep: who wakes up then sets its
//! alarm, so that a message that is worked on in less than a millisecond does not wait for it. It counts in real time even on a node with a manual clock, because what it watches are real threads.
//!
//! - A turn that lasts is told to end ([`Turn::must_yield`](super::worker::Turn::must_yield)).
//! - Work that waits behind such a turn gets a sleeping worker.
//! - When every worker is held by a turn that does not end, a spare worker comes in. It leaves when it is no
//!   longer needed, some time later: what held the workers once will probably do so again.
//! - A dispatch that lasts for seconds is reported, and on request interrupted.

use std::io;
use std::time::Duration;

use crate::clock::{RealTime, doze, real_now};
use crate::handle::Handle;
use crate::sync::OnceLock;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use crate::sync::thread::{self, Thread};

use super::alarm::Alarm;
use super::task::Task;
use super::worker::{EVERY_TURN, Seat, dispatch_parts};
use super::{Scheduler, Shared};

/// Between two looks.
const TICK: Duration = Duration::from_millis(1);
/// A turn this old should end. A little less than a tick, so that the second look is enough.
const TURN_MAX: Duration = Duration::from_micros(900);
/// A turn this old holds its worker.
const HELD_AFTER: Duration = Duration::from_micros(1800);
/// For so long a spare worker stays though the workers are free again.
const SPARE_STAYS: Duration = Duration::from_millis(50);

/// So many looks, which are made while somebody works, lie between two housekeepings.
const HOUSE_TICKS: u64 = 50;

/// Hears of dispatches that last.
pub(crate) trait Watcher: Send + Sync {
    /// A dispatch has lasted for the limit, or for the limit again. Called on the monitor's thread, which
    /// must not be kept.
    fn dispatch_lasts(&self, stuck: &Stuck<'_>);

    /// A dispatch has lasted for so long that it is to be interrupted. Called again every tick until it ends.
    fn kill_loop(&self, stuck: &Stuck<'_>) {
        let _ = stuck;
    }

    /// A turn does not end on the guest with this number: its own work waits. Called again every tick until it ends.
    fn guest_is_held(&self, number: usize) {
        let _ = number;
    }
}

/// A dispatch that lasts.
pub(crate) struct Stuck<'a> {
    /// Who sent the message.
    pub(crate) source: Handle,
    /// Who works on it.
    pub(crate) destination: Handle,
    /// The number of the message on its worker.
    pub(crate) version: u64,
    seat: &'a Seat,
}

impl Stuck<'_> {
    /// Whether the dispatch still runs. It may end just after the answer.
    pub(crate) fn is_running(&self) -> bool {
        // The order of both loads is that of the stores in `Turn::begin`, backwards.
        self.seat.dispatch.load(Ordering::Acquire) != 0
            && self.seat.version.load(Ordering::Relaxed) == self.version
    }
}

/// What workers know of the monitor.
pub(super) struct Monitor {
    thread: OnceLock<Thread>,
    /// What it sleeps on while all sleep.
    alarm: Alarm,
    /// It sleeps so, and nobody has set the alarm.
    parked: AtomicBool,
    ticks: AtomicU64,
    /// How often all workers were sent to do what is done when idle.
    house: AtomicU64,
}

impl Monitor {
    /// # Errors
    /// What the system said where it gives no alarm.
    pub(super) fn new() -> io::Result<Monitor> {
        Ok(Monitor {
            thread: OnceLock::new(),
            alarm: Alarm::new()?,
            parked: AtomicBool::new(false),
            ticks: AtomicU64::new(0),
            house: AtomicU64::new(0),
        })
    }

    /// How often it has looked.
    #[inline]
    pub(super) fn ticks(&self) -> u64 {
        self.ticks.load(Ordering::Relaxed)
    }

    /// The number of the latest housekeeping.
    pub(super) fn house(&self) -> u64 {
        self.house.load(Ordering::Relaxed)
    }

    /// A worker is awake.
    pub(super) fn nudge(&self) {
        // Pairs with the fence in `rest`: the worker is counted as awake by now, so either the monitor sees
        // that, or this load sees that it is parked.
        fence(Ordering::SeqCst);
        if self.parked.load(Ordering::Relaxed) && self.parked.swap(false, Ordering::Relaxed) {
            self.alarm.set(TICK);
        }
    }

    #[cfg(test)]
    pub(super) fn is_parked(&self) -> bool {
        self.parked.load(Ordering::Relaxed)
    }

    /// Has it look at once, however it sleeps.
    pub(super) fn unpark(&self) {
        self.alarm.set(Duration::ZERO);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}

/// The body of the monitor's thread.
pub(super) fn run<T: Task>(scheduler: &std::sync::Arc<Shared<T>>) {
    let shared: &Shared<T> = scheduler;
    let _ = shared.monitor.thread.set(thread::current());
    let now = real_now();
    let mut watch = Watch {
        records: shared.seats.iter().map(|_| Record::new(now)).collect(),
        spare_until: now,
        house_tick: 0,
    };
    let mut has_slept = false;
    // It outlives the workers: one that is caught in a loop at the end must still be interrupted.
    while !(shared.is_stopped() && shared.has_ended()) {
        if !std::mem::take(&mut has_slept) {
            doze(TICK);
        }
        shared.monitor.ticks.fetch_add(1, Ordering::Relaxed);
        watch.look(scheduler, real_now());
        // It does not linger: to set the alarm for each of many short messages costs less than looking all the while.
        if shared.all_sleep() && shared.places() <= shared.options.workers && !watch.keep_house(shared) {
            has_slept = rest(shared);
        }
    }
}

/// Sleeps until a tick after a worker has woken up; false where one is awake already.
fn rest<T: Task>(shared: &Shared<T>) -> bool {
    let monitor = &shared.monitor;
    let mut has_slept = false;
    monitor.parked.store(true, Ordering::Relaxed);
    // Pairs with the fence in `nudge`.
    fence(Ordering::SeqCst);
    while monitor.parked.load(Ordering::Relaxed) && shared.all_sleep() && !shared.is_stopped() {
        monitor.alarm.wait();
        has_slept = true;
    }
    monitor.parked.store(false, Ordering::Relaxed);
    has_slept
}

/// What the monitor remembers from one look to the next.
struct Watch {
    records: Vec<Record>,
    /// Until when the number of places is not lowered.
    spare_until: RealTime,
    /// The tick at which all workers were last sent to do what is done when idle.
    house_tick: u64,
}

struct Record {
    turn: u64,
    turn_since: RealTime,
    version: u64,
    dispatch_since: RealTime,
    /// At this age the dispatch is reported, once more.
    report_at: Duration,
}

impl Record {
    fn new(now: RealTime) -> Record {
        Record { turn: 0, turn_since: now, version: 0, dispatch_since: now, report_at: Duration::ZERO }
    }
}

impl Watch {
    fn look<T: Task>(&mut self, shared: &std::sync::Arc<Shared<T>>, now: RealTime) {
        let (mut held, mut behind) = (0, false);
        for (index, seat) in shared.seats.iter().enumerate() {
            let record = &mut self.records[index];
            let age = record.turn_age(seat, now);
            if shared.is_stopped() {
                seat.overdue.store(EVERY_TURN, Ordering::Relaxed);
            } else if age >= TURN_MAX {
                seat.overdue.store(record.turn, Ordering::Relaxed);
                behind |= shared.queues.waiting(index) > 0;
            }
            match index.checked_sub(shared.guest_seat(0)) {
                None => held += usize::from(age >= HELD_AFTER),
                Some(number) if age >= HELD_AFTER => shared.watcher.guest_is_held(number),
                Some(_) => {}
            }
            if let Some(age) = record.dispatch_age(seat, now) {
                record.report(shared, seat, age);
            }
        }
        self.set_places(shared, held, now);
        if !(behind || shared.queues.has_surplus()) {
            return;
        }
        let sleeping = shared.park.sleeping();
        if sleeping > 0 {
            shared.park.wake_one();
        } else if held >= shared.active() {
            Scheduler::add_worker(shared);
        }
    }

    /// After a time of work, has each worker do once what is done when idle: those that fell asleep first may have the
    /// most to do since. Answers whether they do.
    fn keep_house<T: Task>(&mut self, shared: &Shared<T>) -> bool {
        let tick = shared.monitor.ticks();
        let due = shared.options.when_idle.is_some() && tick.wrapping_sub(self.house_tick) >= HOUSE_TICKS;
        if due {
            self.house_tick = tick;
            shared.monitor.house.fetch_add(1, Ordering::Relaxed);
            shared.park.wake_sleeping();
        }
        due
    }

    /// Says how many workers may be on duty: as many as are configured, and one for each that is held.
    fn set_places<T: Task>(&mut self, shared: &Shared<T>, held: usize, now: RealTime) {
        let (wanted, places) = (shared.options.workers + held, shared.places());
        if wanted >= places {
            shared.set_places(wanted);
            self.spare_until = now;
        } else if now.since(self.spare_until) > SPARE_STAYS {
            shared.set_places(places - 1);
        }
    }
}

impl Record {
    /// For how long the seat's turn has been seen to last; 0 where there is none.
    fn turn_age(&mut self, seat: &Seat, now: RealTime) -> Duration {
        let turn = seat.turn.load(Ordering::Relaxed);
        if turn != self.turn {
            (self.turn, self.turn_since) = (turn, now);
        }
        if turn % 2 == 1 { now.since(self.turn_since) } else { Duration::ZERO }
    }

    /// For how long the seat's dispatch has been seen to last.
    fn dispatch_age(&mut self, seat: &Seat, now: RealTime) -> Option<Duration> {
        // Pairs with the store in `Turn::begin`.
        let running = seat.dispatch.load(Ordering::Acquire) != 0;
        let version = seat.version.load(Ordering::Relaxed);
        if !running || version != self.version {
            (self.version, self.dispatch_since, self.report_at) = (version, now, Duration::ZERO);
        }
        running.then(|| now.since(self.dispatch_since))
    }

    fn report<T: Task>(&mut self, shared: &Shared<T>, seat: &Seat, lasted: Duration) {
        let options = &shared.options;
        let report_at = if self.report_at.is_zero() { options.long_dispatch } else { self.report_at };
        let reports = lasted >= report_at;
        let kills = options.loop_kill.is_some_and(|limit| lasted >= limit);
        if !reports && !kills {
            return;
        }
        let (source, destination) = dispatch_parts(seat.dispatch.load(Ordering::Relaxed));
        let stuck = Stuck { source, destination, version: self.version, seat };
        // It may have ended since it was looked at; then the parts above are another one's.
        if !stuck.is_running() {
            return;
        }
        if reports {
            self.report_at = lasted + options.long_dispatch;
            shared.watcher.dispatch_lasts(&stuck);
        }
        if kills {
            shared.watcher.kill_loop(&stuck);
        }
    }
}
