//! [`Reach`]: what other threads may do to a VM while it runs: ask for its memory, and interrupt it.
//!
//! # How a loop is interrupted
//!
//! The asking thread notes that it wants to, and sends a signal to the worker that runs the VM. The signal's handler,
//! on that very worker, sets a hook on the Lua thread that runs: `lua_sethook` is made for that. The hook raises an
//! error at the next instruction, and goes on raising until the dispatch is over, so that an inner `pcall` cannot
//! swallow it. A hook that is left behind on another coroutine takes itself away when it fires.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, Ordering::Relaxed};

use super::raw::entry::{kernel_of, raise_text};
use super::raw::memory::Memory;
use super::raw::{ffi, lua_State};
use crate::service::Signals;

thread_local! {
    /// The VM that this thread runs. Without a destructor, so that a signal handler may read it.
    static RUNNING: Cell<*const Reach> = const { Cell::new(null()) };
}

/// Nobody uses it for anything else, and its default is to do nothing.
const SIGNAL: i32 = libc::SIGURG;

const NOT_ASKED: i32 = 0;
const SIGNAL_ZERO: i32 = 1;
const LOOP_KILL: i32 = 2;

/// What other threads may reach of a VM.
pub(crate) struct Reach {
    pub(crate) memory: Memory,
    /// The Lua thread that runs now.
    active: AtomicPtr<lua_State>,
    /// The operating system's thread that runs the VM, or 0.
    thread: AtomicU64,
    asked: AtomicI32,
}

impl Reach {
    pub(crate) fn new() -> Reach {
        Reach {
            memory: Memory::new(),
            active: AtomicPtr::new(null_mut()),
            thread: AtomicU64::new(0),
            asked: AtomicI32::new(NOT_ASKED),
        }
    }

    /// This thread begins a dispatch of the VM; it ends when what is returned is dropped.
    pub(crate) fn begin(&self) -> Dispatch<'_> {
        RUNNING.set(self);
        // SAFETY: always allowed.
        self.thread.store(unsafe { libc::pthread_self() }, Relaxed);
        Dispatch(self)
    }

    /// A Lua thread begins to run; answers which one ran before it.
    #[inline]
    pub(crate) fn enter(&self, state: *mut lua_State) -> *mut lua_State {
        let before = self.active.load(Relaxed);
        self.active.store(state, Relaxed);
        before
    }

    #[inline]
    pub(crate) fn leave(&self, before: *mut lua_State) {
        self.active.store(before, Relaxed);
    }

    /// Hooks a Lua thread that is about to run, if an interruption was asked for while nothing ran.
    #[inline]
    pub(crate) fn hook_if_asked(&self, state: *mut lua_State) {
        if self.asked.load(Relaxed) != NOT_ASKED {
            set_hook(state);
        }
    }

    fn ask(&self, what: i32) {
        install();
        self.asked.store(what, Relaxed);
        let thread = self.thread.load(Relaxed);
        if thread != 0 {
            // SAFETY: workers live until their node stops, and only a running dispatch leaves its thread here. If it
            // has ended since, the handler finds another VM, or none, that was asked for nothing.
            unsafe { libc::pthread_kill(thread, SIGNAL) };
        }
    }
}

/// One dispatch of a VM on this thread.
pub(crate) struct Dispatch<'a>(&'a Reach);

impl Drop for Dispatch<'_> {
    fn drop(&mut self) {
        RUNNING.set(null());
        self.0.thread.store(0, Relaxed);
        self.0.active.store(null_mut(), Relaxed);
        if self.0.asked.load(Relaxed) != NOT_ASKED {
            self.0.asked.store(NOT_ASKED, Relaxed);
        }
    }
}

impl Signals for Reach {
    fn signal(&self, number: i32, log: &dyn Fn(&str)) {
        // Matched by log readers: keep the words.
        log(&format!("recv a signal {number}"));
        match number {
            0 => self.ask(SIGNAL_ZERO),
            1 => log(&format!("Current Memory {:.3}K", self.memory.used() as f64 / 1024.0)),
            _ => {}
        }
    }

    fn interrupt(&self) {
        self.ask(LOOP_KILL);
    }

    fn memory(&self) -> usize {
        self.memory.used()
    }
}

/// Installs the signal's handler, once for the process.
fn install() {
    static INSTALLED: OnceLock<()> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        // SAFETY: the handler reads a thread-local without a destructor, two atomics, and calls `lua_sethook`, which
        // may be called from a signal handler.
        let installed = unsafe { signal_hook_registry::register(SIGNAL, on_signal) };
        if let Err(why) = installed {
            eprintln!("cannot install the handler that interrupts Lua code: {why}");
        }
    });
}

fn on_signal() {
    let reach = RUNNING.get();
    if reach.is_null() {
        return;
    }
    // SAFETY: the VM runs on this thread, below this very handler, so its `Reach` is alive.
    let reach = unsafe { &*reach };
    let state = reach.active.load(Relaxed);
    if reach.asked.load(Relaxed) != NOT_ASKED && !state.is_null() {
        set_hook(state);
    }
}

fn set_hook(state: *mut lua_State) {
    // SAFETY: `state` runs on this thread, or is about to.
    unsafe { ffi::lua_sethook(state, Some(hook), ffi::LUA_MASKCOUNT, 1) };
}

unsafe extern "C-unwind" fn hook(state: *mut lua_State, _info: *mut ffi::lua_Debug) {
    // SAFETY: Lua calls it with its own state; nothing here owns memory when it raises.
    unsafe {
        let kernel = &*kernel_of(state);
        match kernel.reach.asked.load(Relaxed) {
            // Matched by log readers: keep the words.
            SIGNAL_ZERO => raise_text(state, format_args!("signal 0")),
            LOOP_KILL => raise_text(
                state,
                format_args!("interrupted: this message has been in work for longer than loop_kill allows"),
            ),
            _ => ffi::lua_sethook(state, None, 0, 0),
        }
    }
}
