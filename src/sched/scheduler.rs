//! [`Scheduler`]: starts and stops the workers, and takes in tasks.

use std::io;
use std::time::Duration;

use crossbeam_utils::CachePadded;

use crate::clock::{Clock, Follower, doze, real_now};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::thread::{self, JoinHandle};
use crate::sync::{Arc, Mutex, lock, spawn_engine};

use super::guest::GUESTS;
use super::monitor::{self, Monitor, Watcher};
use super::park::Park;
use super::runqueue::{Local, RunQueues};
use super::task::Task;
use super::worker::{self, Seat};

/// How a scheduler is set up.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// Workers that are always there; at least one is started.
    pub(crate) workers: usize,
    /// Workers that may come in while those are held. Their threads are made when first needed.
    pub(crate) spare_max: usize,
    /// A dispatch that lasts for so long is reported.
    pub(crate) long_dispatch: Duration,
    /// A dispatch that lasts for so long is to be interrupted.
    pub(crate) loop_kill: Option<Duration>,
    /// Called on each worker when all have run out of work, after some 50 ms of it.
    pub(crate) when_idle: Option<fn()>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            workers: 8,
            spare_max: 8,
            long_dispatch: Duration::from_secs(5),
            loop_kill: None,
            when_idle: None,
        }
    }
}

/// Runs tasks of one kind on its workers.
pub(crate) struct Scheduler<T: Task> {
    pub(super) shared: Arc<Shared<T>>,
}

/// What the threads of a scheduler share.
pub(super) struct Shared<T: Task> {
    pub(super) options: Options,
    pub(super) queues: RunQueues<Arc<T>>,
    pub(super) park: Park,
    pub(super) seats: Box<[CachePadded<Seat>]>,
    pub(super) monitor: Monitor,
    pub(super) watcher: Arc<dyn Watcher>,
    /// More workers than this would only disturb each other in a search.
    pub(super) searchers_max: usize,
    stopped: AtomicBool,
    /// Workers whose threads have not come to their end.
    alive: AtomicUsize,
    /// Workers on duty, awake or asleep.
    active: AtomicUsize,
    /// How many may be on duty, as the monitor sees it.
    places: AtomicUsize,
    /// Guests that run tasks at the moment.
    pub(super) guests: AtomicUsize,
    threads: Mutex<Threads<T>>,
}

struct Threads<T> {
    /// The deques of seats without a thread; the next one to start is last.
    vacant: Vec<Local<Arc<T>>>,
    /// Those of guests that have not come, by their numbers.
    guests: Vec<Option<Local<Arc<T>>>>,
    workers: Vec<JoinHandle<()>>,
    monitor: Option<JoinHandle<()>>,
}

impl<T: Task> Scheduler<T> {
    /// Starts the workers and the monitor.
    ///
    /// # Errors
    /// What the system said where it gives no thread.
    pub(crate) fn start(
        mut options: Options,
        clock: &Clock,
        watcher: Arc<dyn Watcher>,
    ) -> io::Result<Arc<Self>> {
        options.workers = options.workers.max(1);
        let workers = options.workers;
        let worker_seats = workers + options.spare_max;
        let (queues, mut vacant) = RunQueues::new(worker_seats + GUESTS);
        let guests = vacant.drain(worker_seats..).map(Some).collect();
        vacant.reverse();
        let shared = Arc::new(Shared {
            park: Park::new(worker_seats),
            seats: (0..worker_seats + GUESTS).map(|_| CachePadded::default()).collect(),
            options,
            queues,
            monitor: Monitor::new()?,
            watcher,
            searchers_max: workers.div_ceil(2),
            stopped: AtomicBool::new(false),
            alive: AtomicUsize::new(0),
            active: AtomicUsize::new(0),
            places: AtomicUsize::new(workers),
            guests: AtomicUsize::new(0),
            threads: Mutex::new(Threads { vacant, guests, workers: Vec::new(), monitor: None }),
        });
        let follower: Arc<dyn Follower> = shared.clone();
        clock.follow(Arc::downgrade(&follower));
        // From here on a failure drops the scheduler, which ends the threads there are.
        let scheduler = Arc::new(Scheduler { shared });
        for _ in 0..workers {
            Self::start_worker(&scheduler.shared)?;
        }
        let shared = scheduler.shared.clone();
        let monitor = spawn_engine("monitor", move || monitor::run(&shared))?;
        lock(&scheduler.shared.threads).monitor = Some(monitor);
        Ok(scheduler)
    }

    /// Puts a task at the end of a run queue. The caller sees to it that the task is in none.
    #[inline]
    pub(crate) fn schedule(&self, task: Arc<T>) {
        match worker::push_here(self.shared.identity(), task) {
            Ok(waiting) => {
                if waiting >= 2 {
                    self.shared.park.wake_one_if_seen();
                }
            }
            Err(task) => {
                self.shared.queues.inject(task);
                self.shared.park.wake_one();
            }
        }
    }

    /// Ends the workers after their current turns and waits for them. Tasks that wait are dropped.
    ///
    /// # Panics
    /// On a worker of this scheduler: it would wait for itself.
    pub(crate) fn stop(&self) {
        assert!(!worker::is_here(self.shared.identity()), "a worker cannot stop its own scheduler");
        self.shared.signal_stop();
        // First the monitor, which ends after the last worker: it may speak of a worker's thread until that
        // is joined.
        let monitor = lock(&self.shared.threads).monitor.take();
        monitor.into_iter().for_each(join);
        let (workers, vacant) = {
            let mut threads = lock(&self.shared.threads);
            (std::mem::take(&mut threads.workers), std::mem::take(&mut threads.vacant))
        };
        workers.into_iter().for_each(join);
        drop(vacant);
        self.shared.queues.clear();
    }

    /// Waits until every worker sleeps and no task waits, for at most `time`. True when it is so.
    pub(crate) fn settle(&self, time: Duration) -> bool {
        self.shared.settle_within(time)
    }

    /// Brings one more worker in: one that is off duty, or a new one. Without effect when all seats are
    /// taken.
    pub(super) fn add_worker(shared: &Arc<Shared<T>>) {
        shared.active.fetch_add(1, Ordering::SeqCst);
        if shared.park.recall() {
            return;
        }
        shared.active.fetch_sub(1, Ordering::SeqCst);
        // No thread for a spare is no reason to end: the workers there are will come free some time.
        let _ = Self::start_worker(shared);
    }

    fn start_worker(shared: &Arc<Shared<T>>) -> io::Result<()> {
        let mut threads = lock(&shared.threads);
        if shared.is_stopped() {
            return Ok(());
        }
        let Some(local) = threads.vacant.pop() else { return Ok(()) };
        let seat = local.seat();
        let worker_shared = shared.clone();
        shared.active.fetch_add(1, Ordering::SeqCst);
        shared.alive.fetch_add(1, Ordering::SeqCst);
        let spawned = spawn_engine(&format!("worker-{seat}"), move || worker::run(&worker_shared, local));
        let thread = spawned.inspect_err(|_| {
            shared.active.fetch_sub(1, Ordering::SeqCst);
            shared.alive.fetch_sub(1, Ordering::SeqCst);
        })?;
        threads.workers.push(thread);
        Ok(())
    }
}

/// Waits for a thread, which cannot have panicked: that would have ended the process.
fn join(thread: JoinHandle<()>) {
    let _ = thread.join();
}

impl<T: Task> Drop for Scheduler<T> {
    fn drop(&mut self) {
        if worker::is_here(self.shared.identity()) {
            // A task was its last owner. The threads end without being waited for.
            self.shared.signal_stop();
        } else {
            self.stop();
        }
    }
}

impl<T: Task> Shared<T> {
    /// What tells this scheduler from all others that live.
    #[inline]
    pub(super) fn identity(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    #[inline]
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    fn signal_stop(&self) {
        self.stopped.store(true, Ordering::SeqCst);
        self.monitor.unpark();
        self.park.wake_all();
    }

    /// A worker comes to its end.
    pub(super) fn worker_ends(&self) {
        if self.alive.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.monitor.unpark();
        }
    }

    /// Whether all workers have come to their ends, and guests run nothing more.
    pub(super) fn has_ended(&self) -> bool {
        self.alive.load(Ordering::SeqCst) == 0 && self.guests.load(Ordering::SeqCst) == 0
    }

    /// The seat of the guest with this number.
    pub(super) fn guest_seat(&self, number: usize) -> usize {
        self.seats.len() - GUESTS + number
    }

    /// The deque of that seat, once.
    pub(super) fn take_guest_seat(&self, number: usize) -> Option<Local<Arc<T>>> {
        if self.is_stopped() {
            return None;
        }
        lock(&self.threads).guests.get_mut(number)?.take()
    }

    /// Workers on duty.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::SeqCst)
    }

    /// Whether no thread runs a task, or looks for one.
    pub(super) fn all_sleep(&self) -> bool {
        self.park.sleeping() >= self.active() && self.guests.load(Ordering::SeqCst) == 0
    }

    pub(super) fn places(&self) -> usize {
        self.places.load(Ordering::Relaxed)
    }

    pub(super) fn set_places(&self, places: usize) {
        if places != self.places() {
            self.places.store(places, Ordering::Relaxed);
        }
    }

    /// Whether more workers are on duty than there are places.
    #[inline]
    pub(super) fn has_excess(&self) -> bool {
        self.active.load(Ordering::Relaxed) > self.places.load(Ordering::Relaxed)
    }

    /// Takes the calling worker off duty, if there still is an excess.
    pub(super) fn give_up_place(&self) -> bool {
        let places = self.places();
        let fewer = |active: usize| (active > places).then(|| active - 1);
        self.active.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok()
    }

    fn settle_within(&self, time: Duration) -> bool {
        let start = real_now();
        for poll in 0_usize.. {
            // In this order: a worker that pushes is awake, so what is empty before all sleep stays empty.
            if self.queues.is_empty() && self.all_sleep() {
                return true;
            }
            if self.is_stopped() || worker::is_here(self.identity()) || real_now().since(start) > time {
                return false;
            }
            if poll < SETTLE_YIELDS {
                thread::yield_now();
            } else {
                doze(SETTLE_POLL);
            }
        }
        false
    }
}

/// How often a settling scheduler is looked at; for tests with a manual clock only, so no bell is worth it.
const SETTLE_POLL: Duration = Duration::from_micros(20);
/// So often it is looked at before the first pause: most steps of a test are over by then.
const SETTLE_YIELDS: usize = 64;
/// For so long a move of a manual clock waits for the workers.
const SETTLE_MAX: Duration = Duration::from_secs(1);

impl<T: Task> Follower for Shared<T> {
    fn settle(&self) {
        self.settle_within(SETTLE_MAX);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Weak, mpsc};

    use super::*;
    use crate::clock::RealTime;
    use crate::handle::Handle;
    use crate::mailbox::Mailbox;
    use crate::message::{Message, MessageKind, Payload, Session};
    use crate::sched::{Stuck, Turn};

    const PATIENCE: Duration = Duration::from_secs(10);

    type Behaviour = dyn Fn(&Actor, &Message) + Send + Sync;

    /// The smallest thing with a mailbox that does something for each message.
    struct Actor {
        handle: Handle,
        mailbox: Mailbox,
        scheduler: Weak<Scheduler<Actor>>,
        behaviour: Box<Behaviour>,
    }

    impl Actor {
        fn new(
            scheduler: &Arc<Scheduler<Actor>>,
            local: u32,
            behaviour: impl Fn(&Actor, &Message) + Send + Sync + 'static,
        ) -> Arc<Actor> {
            let handle = Handle::new(0, local);
            let scheduler = Arc::downgrade(scheduler);
            Arc::new(Actor { handle, mailbox: Mailbox::new(), scheduler, behaviour: Box::new(behaviour) })
        }

        fn send(self: &Arc<Self>, number: i32) {
            let message = Message {
                source: Handle::NONE,
                session: Session::new(number),
                kind: MessageKind::TEXT,
                payload: Payload::empty(),
            };
            if self.mailbox.push(message).expect("it is open").schedule
                && let Some(scheduler) = self.scheduler.upgrade()
            {
                scheduler.schedule(self.clone());
            }
        }
    }

    impl Task for Actor {
        fn run(self: &Arc<Self>, turn: &mut Turn<'_>) -> bool {
            let mut batch = std::mem::take(turn.scratch());
            self.mailbox.take(&mut batch);
            for _ in 0..64 {
                let Some(message) = batch.pop_front() else { break };
                turn.begin(message.source, self.handle);
                (self.behaviour)(self, &message);
                turn.end();
                if turn.must_yield() {
                    break;
                }
            }
            let more = self.mailbox.finish(&mut batch);
            *turn.scratch() = batch;
            more
        }
    }

    /// Writes down what the monitor says, and when.
    struct Reports {
        lasting: Mutex<Vec<(Handle, Duration)>>,
        start: RealTime,
        kills: AtomicUsize,
    }

    impl Reports {
        fn new() -> Arc<Reports> {
            Arc::new(Reports { lasting: Mutex::default(), start: real_now(), kills: AtomicUsize::new(0) })
        }
    }

    impl Watcher for Reports {
        fn dispatch_lasts(&self, stuck: &Stuck<'_>) {
            lock(&self.lasting).push((stuck.destination, real_now().since(self.start)));
        }

        fn kill_loop(&self, _stuck: &Stuck<'_>) {
            self.kills.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn scheduler(options: Options) -> (Arc<Scheduler<Actor>>, Arc<Reports>) {
        let reports = Reports::new();
        let scheduler =
            Scheduler::start(options, &Clock::real(), reports.clone()).expect("threads are to be had");
        (scheduler, reports)
    }

    fn two_workers() -> Options {
        Options { workers: 2, spare_max: 4, ..Options::default() }
    }

    /// Keeps its thread until `done` says so.
    fn spin_until(done: impl Fn() -> bool) {
        let start = real_now();
        while !done() {
            assert!(real_now().since(start) < PATIENCE, "what is waited for does not happen");
            std::thread::yield_now();
        }
    }

    #[test]
    fn every_message_is_run_once_and_in_order() {
        let (scheduler, _) = scheduler(two_workers());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (finished, wait) = mpsc::channel();
        let actor = {
            let seen = seen.clone();
            Actor::new(&scheduler, 1, move |_, message| {
                lock(&seen).push(Session::number(message.session));
                if message.session == Session::new(10_000) {
                    finished.send(()).expect("the test waits");
                }
            })
        };
        (1..=10_000).for_each(|number| actor.send(number));
        wait.recv_timeout(PATIENCE).expect("all are run");
        assert_eq!(*lock(&seen), (1..=10_000).collect::<Vec<_>>());
        scheduler.stop();
    }

    #[test]
    fn a_ring_of_actors_passes_all_tokens_round() {
        let (scheduler, _) = scheduler(two_workers());
        let (finished, wait) = mpsc::channel();
        let ring: Arc<Mutex<Vec<Arc<Actor>>>> = Arc::default();
        let actors = (0..100).map(|index| {
            let (ring, finished) = (Arc::downgrade(&ring), finished.clone());
            Actor::new(&scheduler, index as u32 + 1, move |_, message| {
                match Session::number(message.session) {
                    1 => finished.send(()).expect("the test waits"),
                    left => {
                        let ring = ring.upgrade().expect("the test keeps the ring");
                        let next = lock(&ring)[(index + 1) % 100].clone();
                        next.send(left - 1);
                    }
                }
            })
        });
        let actors: Vec<_> = actors.collect();
        *lock(&ring) = actors.clone();
        actors.iter().take(10).for_each(|actor| actor.send(10_000));
        (0..10).for_each(|_| wait.recv_timeout(PATIENCE).expect("each token arrives"));
        assert!(scheduler.settle(PATIENCE));
        scheduler.stop();
    }

    #[test]
    fn spare_workers_run_what_waits_behind_held_ones() {
        let (scheduler, _) = scheduler(two_workers());
        let runs = Arc::new(AtomicUsize::new(0));
        let (finished, wait) = mpsc::channel();
        let held: Vec<_> = (1..=4)
            .map(|local| {
                let (runs, finished) = (runs.clone(), finished.clone());
                Actor::new(&scheduler, local, move |_, _| {
                    spin_until(|| runs.load(Ordering::SeqCst) == 100);
                    finished.send(()).expect("the test waits");
                })
            })
            .collect();
        held.iter().for_each(|actor| actor.send(1));
        let light = {
            let runs = runs.clone();
            Actor::new(&scheduler, 5, move |_, _| {
                runs.fetch_add(1, Ordering::SeqCst);
            })
        };
        (1..=100).for_each(|number| light.send(number));
        (0..4).for_each(|_| wait.recv_timeout(PATIENCE).expect("the light one runs, so the held ones end"));
        // The spare workers go off duty, so only those that are configured are left when there is work again.
        spin_until(|| {
            light.send(1);
            scheduler.settle(PATIENCE);
            scheduler.shared.active() == 2
        });
        scheduler.stop();
    }

    #[test]
    fn work_behind_one_held_worker_goes_to_the_other() {
        let (scheduler, _) = scheduler(Options { spare_max: 0, ..two_workers() });
        let (finished, wait) = mpsc::channel();
        let other = Actor::new(&scheduler, 2, move |_, _| finished.send(()).expect("the test waits"));
        // It holds its worker until the other one, which waits in the deque of this worker alone, has run.
        let ran = Arc::new(AtomicBool::new(false));
        let first = {
            let ran = ran.clone();
            Actor::new(&scheduler, 1, move |_, _| {
                other.send(1);
                spin_until(|| ran.load(Ordering::SeqCst));
            })
        };
        first.send(1);
        wait.recv_timeout(PATIENCE).expect("it runs on the other worker");
        ran.store(true, Ordering::SeqCst);
        scheduler.stop();
    }

    #[test]
    fn a_turn_that_lasts_is_told_to_yield() {
        struct Long(mpsc::Sender<u64>);
        impl Task for Long {
            fn run(self: &Arc<Self>, turn: &mut Turn<'_>) -> bool {
                spin_until(|| turn.must_yield());
                self.0.send(turn.number()).is_ok()
            }
        }
        let scheduler = Scheduler::start(two_workers(), &Clock::real(), Reports::new());
        let scheduler = scheduler.expect("threads are to be had");
        let (sender, receiver) = mpsc::channel();
        scheduler.schedule(Arc::new(Long(sender)));
        let turns: Vec<_> = (0..3).map(|_| receiver.recv_timeout(PATIENCE).expect("it yields")).collect();
        assert!(turns[0] != turns[1] && turns[1] != turns[2]);
        drop(receiver);
        scheduler.stop();
    }

    #[test]
    fn a_dispatch_that_lasts_is_reported_and_interrupted() {
        let limit = Duration::from_millis(20);
        let (scheduler, reports) =
            scheduler(Options { long_dispatch: limit, loop_kill: Some(3 * limit), ..two_workers() });
        let actor = {
            let reports = reports.clone();
            Actor::new(&scheduler, 7, move |_, _| spin_until(|| reports.kills.load(Ordering::SeqCst) >= 2))
        };
        actor.send(1);
        spin_until(|| reports.kills.load(Ordering::SeqCst) >= 2);
        assert!(scheduler.settle(PATIENCE));
        let lasting = lock(&reports.lasting);
        assert!(lasting.len() >= 2 && lasting.iter().all(|(who, _)| *who == Handle::new(0, 7)));
        assert!(lasting[0].1 >= limit && lasting[1].1 >= 2 * limit, "{:?}", *lasting);
        drop(lasting);
        scheduler.stop();
    }

    #[test]
    fn a_loop_is_interrupted_while_the_scheduler_stops() {
        let limit = Duration::from_millis(50);
        let (scheduler, reports) = scheduler(Options { loop_kill: Some(limit), ..two_workers() });
        let (entered, wait) = mpsc::channel();
        let actor = {
            let reports = reports.clone();
            Actor::new(&scheduler, 7, move |_, _| {
                entered.send(()).expect("the test waits");
                spin_until(|| reports.kills.load(Ordering::SeqCst) > 0);
            })
        };
        actor.send(1);
        wait.recv_timeout(PATIENCE).expect("it runs");
        scheduler.stop();
        assert!(reports.kills.load(Ordering::SeqCst) > 0);
    }

    #[test]
    fn an_idle_scheduler_does_not_tick() {
        let (scheduler, _) = scheduler(two_workers());
        spin_until(|| scheduler.shared.monitor.is_parked());
        let (finished, wait) = mpsc::channel();
        let actor = Actor::new(&scheduler, 1, move |_, _| finished.send(()).expect("the test waits"));
        actor.send(1);
        wait.recv_timeout(PATIENCE).expect("it runs");
        spin_until(|| scheduler.shared.monitor.is_parked());
        scheduler.stop();
    }

    #[test]
    fn a_stop_drops_what_waits() {
        struct Waits;
        impl Task for Waits {
            fn run(self: &Arc<Self>, _: &mut Turn<'_>) -> bool {
                true
            }
        }
        let scheduler = Scheduler::start(two_workers(), &Clock::real(), Reports::new());
        let scheduler = scheduler.expect("threads are to be had");
        let task = Arc::new(Waits);
        scheduler.schedule(task.clone());
        scheduler.stop();
        scheduler.schedule(Arc::new(Waits));
        assert_eq!(Arc::strong_count(&task), 1);
    }

    #[test]
    fn a_manual_clock_waits_for_the_workers() {
        let manual = crate::clock::ManualClock::new();
        let scheduler = Scheduler::start(two_workers(), &manual.clock(), Reports::new());
        let scheduler = scheduler.expect("threads are to be had");
        let ran = Arc::new(AtomicUsize::new(0));
        let actor = {
            let ran = ran.clone();
            Actor::new(&scheduler, 1, move |_, _| {
                std::thread::yield_now();
                ran.fetch_add(1, Ordering::SeqCst);
            })
        };
        for round in 1..=100 {
            actor.send(1);
            manual.advance(Duration::from_millis(1));
            assert_eq!(ran.load(Ordering::SeqCst), round);
        }
        scheduler.stop();
    }

    #[test]
    fn two_schedulers_keep_their_tasks_apart() {
        let ((one, _), (two, _)) = (scheduler(two_workers()), scheduler(two_workers()));
        let (finished, wait) = mpsc::channel();
        let name = || std::thread::current().id();
        let there = Actor::new(&two, 2, move |_, _| finished.send(name()).expect("the test waits"));
        let (told, here) = mpsc::channel();
        let first = Actor::new(&one, 1, move |_, _| {
            there.send(1);
            told.send(name()).expect("the test waits");
        });
        first.send(1);
        let (mine, other) = (here.recv_timeout(PATIENCE), wait.recv_timeout(PATIENCE));
        assert_ne!(mine.expect("it runs"), other.expect("it runs"));
        one.stop();
        two.stop();
    }
}
