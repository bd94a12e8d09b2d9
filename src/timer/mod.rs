//! [`Timer`]: the engine that wakes services after a time. One thread for each node.
//!
//! `Context::timeout` puts (handle, session) in; when the time has come the service gets a response without
//! bytes. It is never early: a deadline is rounded up to the next millisecond of the wheel.
//!
//! The thread sleeps until the next deadline and no tick wakes it, so a node without timers costs nothing.
//! With a manual clock there is no thread: whoever moves the clock posts what is due.

mod wheel;

use std::io;
use std::time::Duration;

use crate::clock::{Clock, Follower, ns};
use crate::handle::Handle;
use crate::message::{Message, MessageKind, Payload, Session};
use crate::post::Post;
use crate::sync::thread::JoinHandle;
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, lock, spawn_engine};

use self::wheel::{Entry, Wheel};

const NS_PER_MS: u64 = 1_000_000;
/// The buffer of due entries is given back when a burst made it larger than this.
const DUE_KEEP_MAX: usize = 1024;

/// The timers of a node, and the thread that fires them.
pub(crate) struct Timer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    clock: Clock,
    post: Arc<dyn Post>,
    state: Mutex<State>,
    /// Rung for the thread: an earlier deadline than the one it sleeps for, or the end.
    bell: Condvar,
}

struct State {
    wheel: Wheel,
    /// Until when the thread sleeps; 0 while it is awake and will look at the wheel anyway.
    asleep_until_ms: u64,
    stopped: bool,
}

impl Timer {
    /// Starts the engine.
    ///
    /// # Errors
    /// What the system said where it gives no thread.
    pub(crate) fn start(clock: Clock, post: Arc<dyn Post>) -> io::Result<Timer> {
        let state = State { wheel: Wheel::new(), asleep_until_ms: 0, stopped: false };
        let shared = Arc::new(Shared { clock, post, state: Mutex::new(state), bell: Condvar::new() });
        let thread = if shared.clock.is_manual() {
            let follower: Arc<dyn Follower> = shared.clone();
            shared.clock.follow(Arc::downgrade(&follower));
            None
        } else {
            let shared = shared.clone();
            Some(spawn_engine("timer", move || shared.run())?)
        };
        Ok(Timer { shared, thread: Mutex::new(thread) })
    }

    /// Sends `to` a response to `session` after `delay`, rounded up to the end of a tick of so many milliseconds; at
    /// once where the delay is 0. Nothing after [`Timer::stop`].
    pub(crate) fn schedule(&self, delay: Duration, tick_ms: u64, to: Handle, session: Session) {
        if delay.is_zero() {
            self.shared.fire(to, session);
            return;
        }
        let deadline_ns = self.shared.clock.now_ns().saturating_add(ns(delay));
        let deadline_ms = deadline_ns.div_ceil(NS_PER_MS * tick_ms) * tick_ms;
        let mut state = lock(&self.shared.state);
        if state.stopped {
            return;
        }
        state.wheel.insert(Entry { deadline_ms, handle: to, session });
        if deadline_ms < state.asleep_until_ms {
            // Lowered at once, so that later insertions before the thread runs do not ring again.
            state.asleep_until_ms = deadline_ms;
            drop(state);
            self.shared.bell.notify_one();
        }
    }

    /// The number of timers that wait.
    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.shared.state).wheel.len()
    }

    /// Ends the thread; timers that wait are forgotten.
    pub(crate) fn stop(&self) {
        {
            let mut state = lock(&self.shared.state);
            state.stopped = true;
            state.wheel = Wheel::new();
        }
        self.shared.bell.notify_one();
        if let Some(thread) = lock(&self.thread).take()
            && thread.thread().id() != std::thread::current().id()
        {
            // It cannot have panicked: that would have ended the process.
            let _ = thread.join();
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn run(&self) {
        let mut due = Vec::new();
        let mut state = lock(&self.state);
        while !state.stopped {
            state.asleep_until_ms = 0;
            let now_ns = self.clock.now_ns();
            state.wheel.expire(now_ns / NS_PER_MS, &mut due);
            if due.is_empty() {
                state = self.sleep(state, now_ns);
                continue;
            }
            drop(state);
            self.fire_all(&mut due);
            state = lock(&self.state);
        }
    }

    fn sleep<'a>(&self, mut state: MutexGuard<'a, State>, now_ns: u64) -> MutexGuard<'a, State> {
        let Some(deadline_ms) = state.wheel.next_deadline() else {
            state.asleep_until_ms = u64::MAX;
            return self.bell.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
        };
        state.asleep_until_ms = deadline_ms;
        let time = Duration::from_nanos((deadline_ms * NS_PER_MS).saturating_sub(now_ns));
        self.bell.wait_timeout(state, time).unwrap_or_else(std::sync::PoisonError::into_inner).0
    }

    fn fire_all(&self, due: &mut Vec<Entry>) {
        due.drain(..).for_each(|entry| self.fire(entry.handle, entry.session));
        if due.capacity() > DUE_KEEP_MAX {
            *due = Vec::new();
        }
    }

    fn fire(&self, to: Handle, session: Session) {
        let message = Message {
            source: Handle::NONE,
            session: Some(session),
            kind: MessageKind::RESPONSE,
            payload: Payload::empty(),
        };
        self.post.post(to, message);
    }
}

impl Follower for Shared {
    fn next_ns(&self) -> Option<u64> {
        lock(&self.state).wheel.next_deadline().map(|ms| ms.saturating_mul(NS_PER_MS))
    }

    fn reach(&self, now_ns: u64) {
        let mut due = Vec::new();
        lock(&self.state).wheel.expire(now_ns / NS_PER_MS, &mut due);
        self.fire_all(&mut due);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::clock::{ManualClock, real_now};

    /// Hands on what is posted.
    struct Outbox(Mutex<mpsc::Sender<(Handle, Message)>>);

    impl Post for Outbox {
        fn post(&self, to: Handle, message: Message) {
            let _ = lock(&self.0).send((to, message));
        }
    }

    fn timer(clock: Clock) -> (Timer, mpsc::Receiver<(Handle, Message)>) {
        let (sender, receiver) = mpsc::channel();
        let timer =
            Timer::start(clock, Arc::new(Outbox(Mutex::new(sender)))).expect("the system has a thread");
        (timer, receiver)
    }

    fn session(number: i32) -> Session {
        Session::new(number).expect("tests count from 1")
    }

    fn sessions(receiver: &mpsc::Receiver<(Handle, Message)>) -> Vec<i32> {
        receiver.try_iter().map(|(_, message)| Session::number(message.session)).collect()
    }

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_timer_answers_its_session_and_is_not_early() {
        let (timer, receiver) = timer(Clock::real());
        let start = real_now();
        timer.schedule(Duration::from_millis(12), 1, Handle::new(0, 7), session(3));
        let (to, message) = receiver.recv_timeout(PATIENCE).expect("it fires");
        assert!(real_now().since(start) >= Duration::from_millis(12));
        assert_eq!(
            (to, message.source, message.kind),
            (Handle::new(0, 7), Handle::NONE, MessageKind::RESPONSE)
        );
        assert_eq!((message.session, message.payload.len()), (Some(session(3)), 0));
    }

    #[test]
    fn an_earlier_timer_wakes_the_thread() {
        let (timer, receiver) = timer(Clock::real());
        timer.schedule(Duration::from_secs(1000), 1, Handle::new(0, 1), session(1));
        timer.schedule(Duration::from_millis(1), 1, Handle::new(0, 1), session(2));
        let (_, message) = receiver.recv_timeout(PATIENCE).expect("it fires");
        assert_eq!((message.session, timer.len()), (Some(session(2)), 1));
    }

    #[test]
    fn a_manual_clock_fires_in_order_on_the_thread_that_moves_it() {
        let manual = ManualClock::new();
        let (timer, receiver) = timer(manual.clock());
        for (number, ms) in [(1, 30), (2, 10), (3, 30), (4, 40), (5, 0)] {
            timer.schedule(Duration::from_millis(ms), 1, Handle::new(0, 1), session(number));
        }
        assert_eq!(sessions(&receiver), [5]);
        manual.advance(Duration::from_millis(9));
        assert_eq!(sessions(&receiver), [0; 0]);
        manual.advance(Duration::from_millis(25));
        assert_eq!(sessions(&receiver), [2, 1, 3]);
        manual.advance(Duration::from_secs(3600));
        assert_eq!(sessions(&receiver), [4]);
    }

    #[test]
    fn nothing_fires_after_the_stop() {
        let manual = ManualClock::new();
        let (timer, receiver) = timer(manual.clock());
        timer.schedule(Duration::from_millis(1), 1, Handle::new(0, 1), session(1));
        timer.stop();
        timer.schedule(Duration::from_millis(1), 1, Handle::new(0, 1), session(2));
        manual.advance(Duration::from_secs(1));
        assert_eq!(sessions(&receiver), [0; 0]);
    }
}
