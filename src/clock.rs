//! [`Clock`]: the one place where time comes from.
//!
//! Every engine of a node reads the node's clock; none asks the system. A node with a manual clock lives in a
//! time that a test moves, so a `sleep` of an hour takes none.
//!
//! Two things stay on the system's time even then, because they watch real threads and measure real work: the
//! functions [`real_now`] and [`doze`], used by the scheduler's monitor, and [`cheap_ticks`], used for
//! profiles.
#![allow(unsafe_code)]
#![expect(clippy::disallowed_methods, reason = "this is where time comes from")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::sync::atomic::{AtomicU64, Ordering};
use crate::sync::{Arc, Mutex, Weak, lock};

const NS_PER_CENTISECOND: u64 = 10_000_000;

/// The time of a node, counted from its start. A clone reads the same clock.
#[derive(Clone)]
pub struct Clock(Arc<Inner>);

struct Inner {
    /// The wall clock when the node started, since the Unix epoch.
    started: Duration,
    /// The monotonic clock at the same moment; of a manual clock too, for `scale`.
    origin: Instant,
    scale: TickScale,
    manual: Option<Manual>,
}

/// The state of a clock that is moved by hand.
struct Manual {
    now_ns: AtomicU64,
    /// Held for a whole `advance`: two callers must not step through each other's time.
    advancing: Mutex<()>,
    followers: Mutex<Vec<Weak<dyn Follower>>>,
}

/// An engine that acts when a manual clock moves.
pub(crate) trait Follower: Send + Sync {
    /// When it next has something to do.
    fn next_ns(&self) -> Option<u64> {
        None
    }

    /// Does what is due at `now_ns`, on the calling thread.
    fn reach(&self, now_ns: u64) {
        let _ = now_ns;
    }

    /// Waits, in real time and not for ever, until what was started so far has run.
    fn settle(&self) {}
}

impl Clock {
    /// A clock that follows the system's.
    #[must_use]
    pub fn real() -> Clock {
        Clock::start(None)
    }

    fn start(manual: Option<Manual>) -> Clock {
        let origin = Instant::now();
        // A wall clock before 1970 is not ours to mend: such a node counts from the epoch.
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock(Arc::new(Inner { started, origin, scale: TickScale::start(origin), manual }))
    }

    /// Nanoseconds since the node started; never goes back.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        match &self.0.manual {
            None => ns(self.0.origin.elapsed()),
            // Pairs with the store in `advance`.
            Some(manual) => manual.now_ns.load(Ordering::Acquire),
        }
    }

    /// Time since the node started; never goes back.
    #[must_use]
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now_ns())
    }

    /// The wall clock at the node's start, since the Unix epoch; `skynet.starttime` is its whole seconds.
    #[must_use]
    pub fn unix_start(&self) -> Duration {
        self.0.started
    }

    /// What `skynet.now` answers: centiseconds since the second in which the node started.
    #[must_use]
    pub fn centiseconds(&self) -> u64 {
        u64::from(self.0.started.subsec_millis() / 10) + self.now_ns() / NS_PER_CENTISECOND
    }

    /// Whether the time is moved by hand.
    #[must_use]
    pub fn is_manual(&self) -> bool {
        self.0.manual.is_some()
    }

    /// Converts what [`cheap_ticks`] counts.
    pub(crate) fn scale(&self) -> &TickScale {
        &self.0.scale
    }

    /// Lets `follower` act when this clock is moved by hand; nothing on a real clock.
    pub(crate) fn follow(&self, follower: Weak<dyn Follower>) {
        if let Some(manual) = &self.0.manual {
            let mut followers = lock(&manual.followers);
            followers.retain(|follower| follower.strong_count() > 0);
            followers.push(follower);
        }
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.is_manual() { "manual" } else { "real" };
        write!(f, "{kind} clock at {:?}", self.now())
    }
}

/// A clock that stands still until it is moved: time for tests.
///
/// Give [`ManualClock::clock`] to a node, then move its time with [`ManualClock::advance`].
#[derive(Clone, Debug)]
pub struct ManualClock(Clock);

impl ManualClock {
    /// A clock that stands at the start of its node.
    #[must_use]
    pub fn new() -> ManualClock {
        ManualClock(Clock::start(Some(Manual {
            now_ns: AtomicU64::new(0),
            advancing: Mutex::new(()),
            followers: Mutex::new(Vec::new()),
        })))
    }

    /// The clock as a node reads it.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.0.clone()
    }

    /// Moves the time on, stopping at each moment at which a timer is due.
    ///
    /// All timers up to the new time have fired when this returns: in the order of their deadlines, and those
    /// of one deadline in the order in which they were made. Before the first step and after each one it
    /// waits until the services of the node have run what they had to, so a timer that is made in answer to
    /// another fires in the same call where its time is reached. A service that never comes to rest is waited
    /// for about a second.
    ///
    /// Not to be called by a service of a node that has this clock: it would wait for itself.
    pub fn advance(&self, time: Duration) {
        let Some(manual) = &self.0.0.manual else { return };
        let _advancing = lock(&manual.advancing);
        let start = manual.now_ns.load(Ordering::Relaxed);
        let target = start.saturating_add(ns(time));
        loop {
            // Held strongly and outside of the lock: a follower may start another one meanwhile.
            let followers: Vec<_> = lock(&manual.followers).iter().filter_map(Weak::upgrade).collect();
            followers.iter().for_each(|follower| follower.settle());
            let now = manual.now_ns.load(Ordering::Relaxed);
            let next = followers.iter().filter_map(|follower| follower.next_ns()).min();
            match next.filter(|next| *next <= target) {
                Some(next) => {
                    let now = next.max(now);
                    // Pairs with the load in `now_ns`.
                    manual.now_ns.store(now, Ordering::Release);
                    followers.iter().for_each(|follower| follower.reach(now));
                }
                None => {
                    manual.now_ns.store(target, Ordering::Release);
                    return;
                }
            }
        }
    }
}

impl Default for ManualClock {
    fn default() -> ManualClock {
        ManualClock::new()
    }
}

/// Nanoseconds of a duration; 584 years where it is longer.
pub(crate) fn ns(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A moment of the system's monotonic clock, whatever clock the node has.
#[derive(Clone, Copy)]
pub(crate) struct RealTime(Instant);

impl RealTime {
    /// Time from `earlier` to this moment.
    pub(crate) fn since(self, earlier: RealTime) -> Duration {
        self.0.saturating_duration_since(earlier.0)
    }
}

/// The system's monotonic clock. For what watches real threads; everything else asks its [`Clock`].
pub(crate) fn real_now() -> RealTime {
    RealTime(Instant::now())
}

/// Sleeps in real time; an `unpark` of the thread ends it early.
pub(crate) fn doze(time: Duration) {
    std::thread::park_timeout(time);
}

/// The processor's own counter: some nanoseconds to read, no system call. [`TickScale`] says what it counts.
#[inline]
pub(crate) fn cheap_ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 processor has the instruction, and it only reads a counter.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(target_arch = "aarch64")]
    {
        let ticks: u64;
        // SAFETY: reads the virtual counter, which Linux and macOS let user code read; touches nothing else.
        unsafe {
            core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags));
        }
        ticks
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        static ORIGIN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        ns(ORIGIN.get_or_init(Instant::now).elapsed())
    }
}

/// How long a tick of [`cheap_ticks`] is: the ratio of both clocks since the node started.
///
/// The longer the node lives the better it knows; nothing is calibrated, so nothing waits.
pub(crate) struct TickScale {
    ticks: u64,
    origin: Instant,
    /// Nanoseconds in 2^32 ticks, once known well enough; 0 before.
    ns_per_unit: AtomicU64,
}

/// From this age on the ratio is kept instead of measured again: it is then right to about 1 in 10^6.
const SCALE_SETTLED_NS: u64 = 200_000_000;

impl TickScale {
    fn start(origin: Instant) -> TickScale {
        TickScale { ticks: cheap_ticks(), origin, ns_per_unit: AtomicU64::new(0) }
    }

    /// Nanoseconds in so many ticks.
    pub(crate) fn to_ns(&self, ticks: u64) -> u64 {
        let unit = match self.ns_per_unit.load(Ordering::Relaxed) {
            0 => self.measure(),
            unit => unit,
        };
        u64::try_from((u128::from(ticks) * u128::from(unit)) >> 32).unwrap_or(u64::MAX)
    }

    #[cold]
    fn measure(&self) -> u64 {
        let elapsed = ns(self.origin.elapsed()).max(1);
        let ticks = cheap_ticks().saturating_sub(self.ticks).max(1);
        let unit = u64::try_from((u128::from(elapsed) << 32) / u128::from(ticks)).unwrap_or(u64::MAX).max(1);
        if elapsed > SCALE_SETTLED_NS {
            self.ns_per_unit.store(unit, Ordering::Relaxed);
        }
        unit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Is due at each of some moments, and writes down when it is called.
    struct Diary {
        due: Mutex<Vec<u64>>,
        seen: Mutex<Vec<u64>>,
    }

    impl Follower for Diary {
        fn next_ns(&self) -> Option<u64> {
            lock(&self.due).first().copied()
        }

        fn reach(&self, now_ns: u64) {
            lock(&self.due).retain(|due| *due > now_ns);
            lock(&self.seen).push(now_ns);
        }
    }

    #[test]
    fn a_manual_clock_stands_until_it_is_moved() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        assert!(clock.is_manual() && clock.now_ns() == 0);
        manual.advance(Duration::from_millis(15));
        assert_eq!(clock.now(), Duration::from_millis(15));
    }

    #[test]
    fn an_advance_stops_at_each_deadline() {
        let manual = ManualClock::new();
        let diary = Arc::new(Diary { due: Mutex::new(vec![5, 7, 20]), seen: Mutex::default() });
        let follower: Arc<dyn Follower> = diary.clone();
        manual.clock().follow(Arc::downgrade(&follower));
        manual.advance(Duration::from_nanos(10));
        assert_eq!((lock(&diary.seen).clone(), manual.clock().now_ns()), (vec![5, 7], 10));
        manual.advance(Duration::from_nanos(10));
        assert_eq!(lock(&diary.seen).clone(), [5, 7, 20]);
    }

    #[test]
    fn centiseconds_start_within_the_first_second() {
        let manual = ManualClock::new();
        let clock = manual.clock();
        let start = clock.centiseconds();
        assert!(start < 100);
        manual.advance(Duration::from_millis(1_234));
        assert_eq!(clock.centiseconds(), start + 123);
    }

    #[test]
    fn cheap_ticks_measure_real_time() {
        let clock = Clock::real();
        let (ticks, start) = (cheap_ticks(), real_now());
        while real_now().since(start) < Duration::from_millis(20) {}
        let (measured, real) = (clock.scale().to_ns(cheap_ticks() - ticks), ns(real_now().since(start)));
        // The machine may be taken from us between two readings, so the bounds are wide.
        assert!(measured > real / 4 && measured < real * 4, "{measured} ns against {real} ns");
    }
}
