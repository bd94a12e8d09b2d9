//! [`Kernel`]: the native dispatcher of a Lua service.
//!
//! It keeps the sessions and the coroutines of one VM, and resumes them itself: `skynet.call`, `ret`, `sleep`, `fork`
//! and the rest are C functions over it (`modules/skynet/`). `task.rs` is a coroutine and the request that it works
//! on, `dispatch.rs` brings a message to its coroutine and runs what came of it, `whole.rs` to a function instead, `loading.rs` minds the collector of a
//! service that loads, `protocol.rs` knows how the kinds of messages are packed and who handles them, `trace.rs` says
//! what is traced, and writes the lines, `debugger.rs` has the service stand still while a debugger stops a coroutine.
//!
//! # Aliasing
//!
//! A resumed coroutine calls back into the kernel. So functions that may resume one take `*mut Kernel` and borrow it
//! only between such calls; no reference into the kernel lives across one.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![allow(clippy::missing_safety_doc)] // The one rule: a valid kernel, on the thread that has the service's turn.

pub(crate) mod debugger;
pub(crate) mod dispatch;
pub(crate) mod loading;
pub(crate) mod protocol;
pub(crate) mod task;
pub(crate) mod trace;
pub(crate) mod whole;

use std::collections::{HashMap, VecDeque};
use std::ffi::c_int;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use slab::Slab;

use super::interrupt::Reach;
use super::raw::memory::Memory;
use super::raw::{ffi, lua_State};
use crate::context::Context;
use crate::handle::Handle;
use crate::message::{MessageKind, Origin, Payload, Session};
use crate::socket::SocketEvent;
use debugger::Debugged;
use loading::Loading;
use protocol::Protocols;
use task::{Seat, Task, TaskPtr};

/// A hash for session numbers, which are handed out in order: spreading them is all it has to do.
#[derive(Default)]
pub(crate) struct SessionHasher(u64);

impl Hasher for SessionHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn write_i32(&mut self, number: i32) {
        self.0 = u64::from(number.cast_unsigned()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn write_usize(&mut self, number: usize) {
        self.0 = (number as u64 >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

type SessionMap<V> = HashMap<i32, V, BuildHasherDefault<SessionHasher>>;
type StateMap<V> = HashMap<usize, V, BuildHasherDefault<SessionHasher>>;

/// Who waits for a session.
#[derive(Clone, Copy)]
pub(crate) enum Waiter {
    /// A coroutine in a call; the handle is the service that it asked.
    Call(TaskPtr, Handle),
    /// A coroutine that sleeps: a timer is on its way.
    Sleep(TaskPtr),
    /// A coroutine that waits for a wake-up, and nothing else.
    Wait(TaskPtr),
    /// A coroutine that has not begun: a timer's.
    Start(TaskPtr),
    /// Nobody any more: the answer is still on its way, and dropped when it comes.
    Gone,
    /// A Lua function (a reference) that is run with the answer; the handle is the service that was asked.
    Callback(c_int, Handle),
}

/// What a resumed continuation finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wake {
    /// The answer is in `pending`.
    Answer,
    /// The request failed.
    Failed,
    /// `skynet.wakeup` came before the time was over.
    Break,
}

/// How messages reach the service's Lua code.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Nobody asked for messages yet: they are dropped.
    Deaf,
    /// This kernel dispatches them.
    Native,
    /// A Lua function (a reference) gets each raw message; `keep`: the payload becomes its own.
    Callback { function: c_int, keep: bool },
    /// A Lua function (a reference) changes what the kernel then dispatches.
    Filter(c_int),
}

/// A closure made by `skynet.response` that has not answered yet.
#[derive(Clone, Copy)]
pub(crate) struct Pledge {
    pub(crate) origin: Origin,
    /// The one who asked has died.
    pub(crate) orphan: bool,
}

/// The bytes of a message, while somebody else owns them.
#[derive(Clone, Copy)]
pub(crate) struct Delivery {
    pub(crate) data: *const u8,
    pub(crate) len: usize,
}

impl Delivery {
    pub(crate) fn of(payload: &Payload) -> Delivery {
        let bytes = payload.as_bytes();
        let data = if bytes.is_empty() { std::ptr::null() } else { bytes.as_ptr() };
        Delivery { data, len: bytes.len() }
    }
}

/// What is known of the message in work, for log lines.
#[derive(Clone, Copy)]
pub(crate) struct Current {
    pub(crate) source: Handle,
    pub(crate) session: i32,
    pub(crate) size: usize,
}

/// The dispatcher of one Lua service.
pub(crate) struct Kernel {
    /// What the main thread's extra space points to.
    pub(crate) seat: Seat,
    /// The VM's main thread, at its base level: nothing is ever left on its stack.
    pub(crate) main: *mut lua_State,
    context: *mut Context<'static>,
    pub(crate) reach: Arc<Reach>,
    pub(crate) mode: Mode,
    /// The coroutine that runs now.
    pub(crate) running: Option<TaskPtr>,
    /// A native function suspended it, and not a stray `coroutine.yield`.
    pub(crate) suspended: bool,
    pub(crate) wake: Wake,
    /// The bytes of the message in work.
    pub(crate) delivery: Delivery,
    /// Who owns them, until the coroutine suspends or ends.
    pub(crate) pending: Payload,
    /// The socket event in work, or null: what Lua code gets as a pointer is good only if it is this one.
    pub(crate) event: *mut SocketEvent,
    pub(crate) current: Current,
    pub(crate) sessions: SessionMap<Waiter>,
    pub(crate) tasks: Slab<Box<Task>>,
    idle: Vec<TaskPtr>,
    pub(crate) wakeups: VecDeque<i32>,
    pub(crate) failures: VecDeque<i32>,
    pub(crate) forks: VecDeque<(TaskPtr, c_int)>,
    pub(crate) pledges: Slab<Pledge>,
    /// Requests whose handler ended without an answer: their callers hear of the service's end at least.
    forgotten: VecDeque<Origin>,
    pub(crate) protocols: Protocols,
    /// Coroutines of user code that wait inside a native function, each with the task that waits with it.
    pub(crate) blocked: StateMap<TaskPtr>,
    /// Sources whose next request is traced, with the tag.
    pub(crate) trace_tags: HashMap<u32, Vec<u8>>,
    pub(crate) trace_count: u64,
    /// Where timers were made, if `skynet.trace_timeout` is on.
    pub(crate) timeout_traces: Option<HashMap<i32, Vec<u8>>>,
    pub(crate) profiles: HashMap<usize, super::modules::skynet_profile::Profile>,
    /// References to Lua functions that replace the defaults, or `LUA_NOREF`.
    pub(crate) on_unknown_response: c_int,
    pub(crate) on_unknown_request: c_int,
    pub(crate) start_task: Option<TaskPtr>,
    pub(crate) exiting: bool,
    /// There is one once somebody has debugged the service.
    debugged: Option<Box<Debugged>>,
    /// A coroutine stands between two lines, and the service with it.
    pub(crate) stopped: bool,
    /// The running coroutine yields because its hook stops it.
    pub(crate) stopping: bool,
    /// Lua code has set a hook, which a coroutine must not take along to its next message.
    pub(crate) hooks: bool,
    /// The collector is held back, since the service loads: how often the watch over that has looked, and the bytes
    /// from which on it is enough.
    pub(crate) loading: Option<Loading>,
    /// Text on its way to Lua; see `Returned::Scratch`.
    pub(crate) scratch: Vec<u8>,
    /// A block of which a Lua string is being made: there may be no memory for the string.
    pub(crate) lent: Payload,
    /// The number of bytes from which on the VM's growth is worth a line in the log.
    pub(crate) memory_warning: usize,
    /// Types that are dispatched as another and not freed (`skynet.forward_type`).
    pub(crate) forwarded: Option<Box<[u8; 256]>>,
    pub(crate) code_cache: super::modules::skynet_codecache::CacheMode,
    /// Compiled chunks that the VM reads in place.
    pub(crate) chunks: Vec<Arc<super::chunk::Chunk>>,
    /// One that it is copying.
    pub(crate) chunk_in_work: Option<Arc<super::chunk::Chunk>>,
}

/// Forgotten requests that are remembered, at the most.
const FORGOTTEN_MAX: usize = 4096;

/// The first line about memory comes at this size.
const MEMORY_WARNING_MIN: usize = 32 << 20;

impl Kernel {
    pub(crate) fn new(reach: Arc<Reach>) -> Kernel {
        Kernel {
            seat: Seat { kernel: std::ptr::null_mut(), task: None },
            main: std::ptr::null_mut(),
            context: std::ptr::null_mut(),
            reach,
            mode: Mode::Deaf,
            running: None,
            suspended: false,
            wake: Wake::Failed,
            delivery: Delivery { data: std::ptr::null(), len: 0 },
            pending: Payload::empty(),
            event: std::ptr::null_mut(),
            current: Current { source: Handle::NONE, session: 0, size: 0 },
            sessions: SessionMap::default(),
            tasks: Slab::new(),
            idle: Vec::new(),
            wakeups: VecDeque::new(),
            failures: VecDeque::new(),
            forks: VecDeque::new(),
            pledges: Slab::new(),
            forgotten: VecDeque::new(),
            protocols: Protocols::new(),
            blocked: StateMap::default(),
            trace_tags: HashMap::new(),
            trace_count: 0,
            timeout_traces: None,
            profiles: HashMap::new(),
            on_unknown_response: ffi::LUA_NOREF,
            on_unknown_request: ffi::LUA_NOREF,
            start_task: None,
            exiting: false,
            debugged: None,
            stopped: false,
            stopping: false,
            hooks: false,
            loading: Some(Loading::default()),
            scratch: Vec::new(),
            lent: Payload::empty(),
            memory_warning: MEMORY_WARNING_MIN,
            forwarded: None,
            code_cache: super::modules::skynet_codecache::CacheMode::On,
            chunks: Vec::new(),
            chunk_in_work: None,
        }
    }

    /// What the service may ask of its node; nothing outside of a dispatch.
    #[inline]
    pub(crate) fn context(&mut self) -> Option<&mut Context<'static>> {
        // SAFETY: `seated` sets the pointer for the length of one dispatch, on this thread, and clears it.
        unsafe { self.context.as_mut() }
    }

    /// Runs `work` with the node within reach.
    pub(crate) unsafe fn seated<R>(
        kernel: *mut Kernel,
        ctx: &mut Context<'_>,
        work: impl FnOnce(*mut Kernel) -> R,
    ) -> R {
        struct Unseat(*mut Kernel);
        impl Drop for Unseat {
            fn drop(&mut self) {
                // SAFETY: the kernel outlives the dispatch.
                unsafe { (*self.0).context = std::ptr::null_mut() };
            }
        }
        (*kernel).context = std::ptr::from_mut(ctx).cast();
        let _unseat = Unseat(kernel);
        work(kernel)
    }

    /// The running coroutine is about to suspend, and waits for a session.
    #[inline]
    pub(crate) fn suspend(&mut self, task: TaskPtr, session: i32) {
        // SAFETY: the running task is alive.
        unsafe { (*task.get()).waits_for = session };
        self.suspended = true;
    }

    /// A session that nobody waits for.
    pub(crate) fn new_session(&mut self) -> Option<Session> {
        loop {
            // SAFETY: as in `context`; written out, since `sessions` is borrowed beside it.
            let session = unsafe { self.context.as_mut() }?.new_session();
            if !self.sessions.contains_key(&session.get()) {
                return Some(session);
            }
        }
    }

    pub(crate) fn log(&mut self, text: impl AsRef<[u8]>) {
        if let Some(ctx) = self.context() {
            ctx.log(text);
        }
    }

    pub(crate) fn handle(&mut self) -> Handle {
        self.context().map_or(Handle::NONE, |ctx| ctx.handle())
    }

    /// What the VM has allocated.
    pub(crate) fn memory(&self) -> &Memory {
        &self.reach.memory
    }

    /// Answers a request with an error, if it wants an answer.
    pub(crate) fn refuse(&mut self, origin: Origin) {
        if let Some(ctx) = self.context() {
            let _ = ctx.respond_error(origin);
        }
    }

    /// The coroutine that sleeps under this session is woken at the next suspension point.
    pub(crate) fn wake_up(&mut self, session: i32) {
        self.wakeups.push_back(session);
    }

    /// Everybody who waits for `dead` gets an error, and closures that would answer it are dropped.
    pub(crate) fn service_died(&mut self, dead: Handle) {
        for (_, pledge) in &mut self.pledges {
            pledge.orphan |= pledge.origin.source == dead;
        }
        for (session, waiter) in &self.sessions {
            match waiter {
                Waiter::Call(_, asked) | Waiter::Callback(_, asked) if *asked == dead => {
                    self.failures.push_back(*session);
                }
                _ => {}
            }
        }
    }

    /// A handler ended without an answer, which may still come by `skynet.redirect`, or never.
    #[cold]
    pub(crate) fn forgot(&mut self, origin: Origin) {
        if self.forgotten.len() == FORGOTTEN_MAX {
            self.forgotten.pop_front();
        }
        self.forgotten.push_back(origin);
    }

    /// Requests that have no answer yet, for the end of the service.
    pub(crate) fn take_open_requests(&mut self) -> Vec<Origin> {
        let mut open: Vec<Origin> =
            self.tasks.iter_mut().filter_map(|(_, task)| task.request.take()).collect();
        open.extend(self.pledges.drain().filter(|pledge| !pledge.orphan).map(|pledge| pledge.origin));
        open.extend(self.forgotten.drain(..));
        open.extend(self.take_held_requests());
        open.retain(|origin| origin.session.is_some());
        open
    }

    /// Suspended coroutines, for `skynet.task`.
    pub(crate) fn suspended(&self) -> impl Iterator<Item = (TaskPtr, i32)> {
        self.sessions.iter().filter_map(|(session, waiter)| match waiter {
            Waiter::Call(task, _) | Waiter::Sleep(task) | Waiter::Wait(task) | Waiter::Start(task) => {
                Some((*task, *session))
            }
            Waiter::Gone | Waiter::Callback(..) => None,
        })
    }
}

impl MessageKind {
    pub(crate) const fn index(self) -> usize {
        self.0 as usize
    }
}
