//! [`Node`]: one running node, and the wiring of its parts.
//!
//! `cell.rs` is a service with its mailbox, `route.rs` decides local or remote, `launch.rs` makes and ends services,
//! `message_log.rs` writes down what a watched service gets.

mod cell;
mod launch;
mod message_log;
mod route;

use std::any::Any;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use crate::clock::{self, Clock};
use crate::env::{Env, KeyExists};
use crate::handle::Handle;
use crate::host::{Host, LaunchError, SendError, Stat};
use crate::message::{Message, MessageKind, Payload, Session};
use crate::names::Names;
use crate::post::{Guest, Guests, Post};
use crate::sched::{Options, Scheduler, Stuck, Watcher};
use crate::service::{Factory, Service};
use crate::socket::{self, SocketError, Sockets};
use crate::sync::lock;
use crate::table::HandleTable;
use crate::timer::Timer;

pub(crate) use cell::Cell;

/// The name under which the log service is found, without its dot.
const LOGGER: &str = "logger";

/// For so long a node that stops waits until nobody reads what its services leave behind.
const RECLAIM_MAX: Duration = Duration::from_millis(500);

/// What a node is made from.
pub(crate) struct Parts {
    pub(crate) harbor: u8,
    pub(crate) incarnation: u64,
    pub(crate) workers: usize,
    pub(crate) spare_workers: usize,
    pub(crate) profile: bool,
    pub(crate) mailbox_max: usize,
    pub(crate) long_dispatch: Duration,
    pub(crate) loop_kill: Option<Duration>,
    pub(crate) when_idle: Option<fn()>,
    pub(crate) env: HashMap<String, String>,
    pub(crate) modules: HashMap<String, Factory>,
    pub(crate) clock: Clock,
    pub(crate) sockets: socket::Options,
}

/// One running node.
pub(crate) struct Node {
    me: Weak<Node>,
    harbor: u8,
    incarnation: u64,
    profile: bool,
    mailbox_max: usize,
    clock: Clock,
    table: HandleTable<Cell>,
    names: Names,
    env: Env,
    modules: HashMap<String, Factory>,
    /// Set once by `start`.
    scheduler: OnceLock<Arc<Scheduler<Cell>>>,
    timer: OnceLock<Timer>,
    /// Set when the first service needs a socket: a node without any has no reactor.
    sockets: OnceLock<Sockets>,
    /// Held while that is done.
    sockets_options: Mutex<socket::Options>,
    logger: AtomicU32,
    harbor_service: AtomicU32,
    exit_monitor: AtomicU32,
    /// Services that keep the node alive: all but harbor and the hidden ones.
    services: AtomicUsize,
    stopping: AtomicBool,
    ended: (Mutex<bool>, Condvar),
}

impl Node {
    /// Starts the engines. Nothing is launched yet.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub(crate) fn start(parts: Parts) -> io::Result<Arc<Node>> {
        let node = Arc::new_cyclic(|me| Node {
            me: Weak::clone(me),
            harbor: parts.harbor,
            incarnation: parts.incarnation,
            profile: parts.profile,
            mailbox_max: parts.mailbox_max,
            clock: parts.clock,
            table: HandleTable::new(parts.harbor, first_local(parts.harbor, parts.incarnation)),
            names: Names::default(),
            env: Env::new(parts.env),
            modules: parts.modules,
            scheduler: OnceLock::new(),
            timer: OnceLock::new(),
            sockets: OnceLock::new(),
            sockets_options: Mutex::new(parts.sockets),
            logger: AtomicU32::new(0),
            harbor_service: AtomicU32::new(0),
            exit_monitor: AtomicU32::new(0),
            services: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            ended: (Mutex::new(false), Condvar::new()),
        });
        let options = Options {
            workers: parts.workers,
            spare_max: parts.spare_workers,
            long_dispatch: parts.long_dispatch,
            loop_kill: parts.loop_kill,
            when_idle: parts.when_idle,
        };
        let door = Arc::new(Door(Arc::downgrade(&node)));
        let scheduler = Scheduler::start(options, &node.clock, Arc::clone(&door) as Arc<dyn Watcher>)?;
        let _ = node.scheduler.set(scheduler);
        let _ = node.timer.set(Timer::start(node.clock.clone(), door as Arc<dyn Post>)?);
        Ok(node)
    }

    fn schedule(&self, cell: Arc<Cell>) {
        if let Some(scheduler) = self.scheduler.get() {
            scheduler.schedule(cell);
        }
    }

    /// Starts the socket engine, unless another thread has done so meanwhile.
    #[cold]
    fn start_sockets(&self) -> Result<&Sockets, SocketError> {
        let options = lock(&self.sockets_options);
        if self.sockets.get().is_none() {
            let door = Arc::new(Door(Weak::clone(&self.me)));
            let log_door = Arc::clone(&door);
            let log = Arc::new(move |text: &str| log_door.log(text));
            let guests = Some(Arc::clone(&door) as Arc<dyn Guests>);
            let sockets = Sockets::launch(self.clock.clone(), door, log, options.clone(), guests)?;
            let _ = self.sockets.set(sockets);
        }
        self.sockets.get().ok_or(SocketError::Invalid)
    }

    fn profile(&self) -> bool {
        self.profile
    }

    /// The services of the node, for figures.
    pub(crate) fn services(&self) -> Vec<(Handle, Stat)> {
        self.table.all().iter().map(|cell| (self.handle_of(cell), self.stat_of(cell))).collect()
    }

    fn handle_of(&self, cell: &Arc<Cell>) -> Handle {
        use crate::table::Addressed;
        cell.handle()
    }

    fn stat_of(&self, cell: &Cell) -> Stat {
        let begun = cell.begun();
        let ticks = |ticks| Duration::from_nanos(self.clock.scale().to_ns(ticks));
        let dispatch =
            if self.profile && begun != 0 { clock::cheap_ticks().saturating_sub(begun) } else { 0 };
        Stat {
            mailbox_len: cell.mailbox_len(),
            messages: cell.messages(),
            cpu: ticks(cell.ticks()),
            dispatch: ticks(dispatch),
            memory: cell.signals().map_or(0, |signals| signals.memory()),
        }
    }

    /// Makes a service the one that log lines go to.
    pub(crate) fn set_logger(&self, handle: Handle) {
        self.names.register(LOGGER, handle);
        self.logger.store(handle.as_u32(), Ordering::Release);
        self.table.with(handle, |cell| cell.drain_before_end());
    }

    /// Tells the log service to open its file anew.
    pub(crate) fn reopen_log(&self) {
        let logger = Handle::from_u32(self.logger.load(Ordering::Acquire));
        let _ = self.deliver(logger, Message::new(Handle::NONE, MessageKind::SYSTEM, Payload::empty()));
    }

    /// Waits until the last service is gone, for at most `limit` of real time; true if it is.
    pub(crate) fn wait(&self, limit: Option<Duration>) -> bool {
        let start = clock::real_now();
        let mut ended = lock(&self.ended.0);
        while !*ended {
            let Some(limit) = limit else {
                ended = self.ended.1.wait(ended).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = limit.saturating_sub(clock::real_now().since(start));
            if left.is_zero() {
                return false;
            }
            ended = self.ended.1.wait_timeout(ended, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Tells every service that the node shuts down, lets the mailboxes drain for up to `grace`, then ends all.
    pub(crate) fn shut_down(&self, grace: Duration) {
        for cell in self.table.all() {
            let _ = cell.push(Message::new(
                Handle::NONE,
                MessageKind::SYSTEM,
                Payload::typed(cell::ShutdownNotice),
            ));
        }
        if let Some(scheduler) = self.scheduler.get() {
            scheduler.settle(grace);
        }
        self.abort();
        // A service in an endless loop cannot be ended; the process may go on without it.
        self.wait(Some(grace.max(Duration::from_millis(100))));
    }

    /// Stops the engines. What still waits is dropped. Where a service could not be ended, its worker is left behind.
    pub(crate) fn stop(&self, all_ended: bool) {
        if let Some(timer) = self.timer.get() {
            timer.stop();
        }
        if let Some(sockets) = self.sockets.get() {
            sockets.stop(all_ended);
        }
        if let Some(scheduler) = self.scheduler.get().filter(|_| all_ended) {
            scheduler.stop();
        }
        // The cells hold the node: let go of them.
        for cell in self.table.all() {
            self.table.remove(self.handle_of(&cell));
        }
        // The caller has the node, too. Where a reader elsewhere stands in the way the node goes a little later.
        let start = clock::real_now();
        while all_ended && self.me.strong_count() > 1 && clock::real_now().since(start) < RECLAIM_MAX {
            self.table.reclaim();
            std::thread::yield_now();
        }
    }
}

impl Host for Node {
    fn clock(&self) -> &Clock {
        &self.clock
    }

    fn harbor(&self) -> u8 {
        self.harbor
    }

    #[inline]
    fn deliver(&self, to: Handle, message: Message) -> Result<(), SendError> {
        self.route(to, message)
    }

    fn incarnation(&self) -> u64 {
        self.incarnation
    }

    fn deliver_global(&self, name: &str, message: Message) -> Result<(), SendError> {
        self.route_global(name, message)
    }

    fn timeout(&self, to: Handle, session: Session, delay: Duration, tick_ms: u64) {
        if let Some(timer) = self.timer.get() {
            timer.schedule(delay, tick_ms, to, session);
        }
    }

    #[inline]
    fn sockets(&self) -> Result<&Sockets, SocketError> {
        match self.sockets.get() {
            Some(sockets) => Ok(sockets),
            None => self.start_sockets(),
        }
    }

    fn open_sockets(&self) -> Option<&Sockets> {
        self.sockets.get()
    }

    fn find_name(&self, name: &str) -> Option<Handle> {
        self.names.find(name)
    }

    fn register_name(&self, name: &str, handle: Handle) -> bool {
        // Marked first: whoever ends the service then looks for its names.
        if self.table.with(handle, |cell| cell.mark_named()).is_none() {
            return false;
        }
        // A service that has ended in the meantime must not keep a name for ever.
        self.names.register(name, handle)
            && (self.table.with(handle, |_| ()).is_some() || {
                self.names.remove(handle);
                false
            })
    }

    fn launch(&self, module: &str, args: &str) -> Result<Handle, LaunchError> {
        self.launch_module(module, args)
    }

    fn spawn(&self, service: Box<dyn Any + Send>) -> Result<Handle, LaunchError> {
        let service: Box<Box<dyn Service>> = service.downcast().expect("`Context::spawn` gives a service");
        self.launch_service("", "", Newcomer { service: *service, kind: NewcomerKind::Quiet })
    }

    fn kill(&self, handle: Handle) -> bool {
        self.retire(handle)
    }

    fn abort(&self) {
        self.retire_all();
    }

    fn become_harbor(&self, handle: Handle) -> bool {
        self.set_harbor(handle)
    }

    fn tell_harbor_of_end(&self, handle: Handle) -> bool {
        // Marked first: whoever ends the service then sees the mark.
        let marked = self.table.with(handle, |cell| cell.mark_told()).is_some();
        marked && self.table.with(handle, |_| ()).is_some()
    }

    fn env(&self, key: &str) -> Option<String> {
        self.env.get(key)
    }

    fn set_env(&self, key: &str, value: &str) -> Result<(), KeyExists> {
        self.env.set(key, value)
    }

    fn log(&self, source: Handle, text: &[u8]) {
        let logger = Handle::from_u32(self.logger.load(Ordering::Acquire));
        let message = Message::new(source, MessageKind::TEXT, text);
        if logger.is_none() || self.push(logger, message, true).is_err() {
            // Before the log service is there, and after it is gone, a line must still be seen by somebody.
            eprintln!("[{source}] {}", String::from_utf8_lossy(text));
        }
    }

    fn exit_monitor(&self) -> Option<Handle> {
        let monitor = Handle::from_u32(self.exit_monitor.load(Ordering::Relaxed));
        (!monitor.is_none()).then_some(monitor)
    }

    fn set_exit_monitor(&self, handle: Handle) {
        self.exit_monitor.store(handle.as_u32(), Ordering::Relaxed);
    }

    fn stat(&self, handle: Handle) -> Option<Stat> {
        self.table.with(handle, |cell| self.stat_of(cell))
    }

    fn take_endless(&self, handle: Handle) -> bool {
        self.table.with(handle, |cell| cell.endless.swap(false, Ordering::Relaxed)).unwrap_or(false)
    }

    fn message_log(&self, handle: Handle, on: bool) -> bool {
        let Some(cell) = self.table.get(handle) else { return false };
        if on {
            cell.message_log().open(self, handle);
        } else {
            cell.message_log().close(self, handle);
        }
        true
    }

    fn signal(&self, handle: Handle, number: i32) -> bool {
        let Some(cell) = self.table.get(handle) else { return false };
        if let Some(signals) = cell.signals() {
            signals.signal(number, &|text| self.log(handle, text.as_bytes()));
        }
        true
    }

    fn memory(&self) -> Vec<(Handle, usize)> {
        self.services().into_iter().map(|(handle, stat)| (handle, stat.memory)).collect()
    }
}

/// Where the local ids of a node begin. A member of a cluster begins at a place that its incarnation gives, so that a
/// handle of its former life finds nobody there.
fn first_local(harbor: u8, incarnation: u64) -> u32 {
    match harbor {
        0 => 1,
        _ => ((incarnation >> 16) as u32 & 0xffff) << 8 | 1,
    }
}

/// What the engines hold of their node: it owns them, and must not be kept by them.
struct Door(Weak<Node>);

impl Door {
    fn log(&self, text: &str) {
        if let Some(node) = self.0.upgrade() {
            node.log(Handle::NONE, text.as_bytes());
        }
    }
}

impl Post for Door {
    fn post(&self, to: Handle, message: Message) {
        if let Some(node) = self.0.upgrade() {
            // A timer, or a socket, of a service that has ended in the meantime. What comes from the network was taken
            // from it, so that it must not be lost: the reactor, not the mailbox, is what limits it.
            let must_fit = message.kind.is_answer() || message.kind == MessageKind::SOCKET;
            let _ = node.push(to, message, must_fit);
        }
    }
}

impl Guests for Door {
    fn join(&self, number: usize) -> Option<Box<dyn Guest>> {
        self.0.upgrade()?.scheduler.get()?.guest(number)
    }
}

impl Watcher for Door {
    fn guest_is_held(&self, number: usize) {
        if let Some(node) = self.0.upgrade()
            && let Some(sockets) = node.sockets.get()
        {
            sockets.is_held(number);
        }
    }

    fn dispatch_lasts(&self, stuck: &Stuck<'_>) {
        let Some(node) = self.0.upgrade() else { return };
        node.table.with(stuck.destination, |cell| cell.endless.store(true, Ordering::Relaxed));
        // Matched by log readers: keep the words.
        let text = format!(
            "error: A message from [ {} ] to [ {} ] maybe in an endless loop (version = {})",
            stuck.source, stuck.destination, stuck.version
        );
        node.log(Handle::NONE, text.as_bytes());
    }

    fn kill_loop(&self, stuck: &Stuck<'_>) {
        let cell = self.0.upgrade().and_then(|node| node.table.get(stuck.destination));
        if let Some(signals) = cell.as_ref().and_then(|cell| cell.signals()).filter(|_| stuck.is_running()) {
            signals.interrupt();
        }
    }
}

/// A service together with what `launch` says of it.
pub(crate) struct Newcomer {
    pub(crate) service: Box<dyn Service>,
    pub(crate) kind: NewcomerKind,
}

/// How much is made of a service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewcomerKind {
    /// Its launch and its end are logged.
    Named,
    /// Nothing is logged of it.
    Quiet,
    /// Neither logged nor counted: the node does not wait for it.
    Hidden,
}
