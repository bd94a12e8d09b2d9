//! [`Task`]: a coroutine of the kernel, and the request that it works on.
//!
//! Coroutines are used again: one that ended well waits in the pool for the next message.

use std::ffi::c_int;
use std::ptr::NonNull;

use super::{Kernel, Waiter};
use crate::lua::raw::{ffi, lua_State, protect};
use crate::message::Origin;

/// Coroutines that wait for work, at the most; more are left to the collector.
const IDLE_MAX: usize = 256;

/// What a Lua thread's extra space points to. The main thread's, which every new thread inherits, has no task.
#[repr(C)]
pub(crate) struct Seat {
    pub(crate) kernel: *mut Kernel,
    pub(crate) task: Option<TaskPtr>,
}

/// One coroutine.
#[repr(C)]
pub(crate) struct Task {
    seat: Seat,
    pub(crate) state: *mut lua_State,
    /// Keeps the coroutine from the collector.
    anchor: c_int,
    /// Its place in the kernel's slab.
    key: usize,
    /// The request that it works on, until it is answered.
    pub(crate) request: Option<Origin>,
    /// The session and the source of the message that it began with, for `skynet.context`.
    pub(crate) origin: Option<Origin>,
    /// The session that it waits for, or 0.
    pub(crate) waits_for: i32,
    /// It sleeps with itself as the token.
    pub(crate) sleeps: bool,
    /// A function reference of the handler, for the warning about a forgotten answer.
    pub(crate) handler: c_int,
    /// The tag of its trace, if it is traced.
    pub(crate) trace: Option<Box<[u8]>>,
    /// Its protocol is never traced, whatever it asks for.
    pub(crate) untraced: bool,
}

/// A task in the kernel's slab, which boxes it: the pointer stays good until the task is freed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TaskPtr(NonNull<Task>);

impl TaskPtr {
    #[inline]
    pub(crate) fn get(self) -> *mut Task {
        self.0.as_ptr()
    }

    #[inline]
    pub(crate) unsafe fn state(self) -> *mut lua_State {
        (*self.get()).state
    }
}

/// Pushes a task's thread, also where that stands between two instructions and its stack has no room for a push.
pub(crate) unsafe fn push_thread(state: *mut lua_State, task: TaskPtr) {
    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, (*task.get()).anchor.into());
}

impl Kernel {
    /// A coroutine with an empty stack, from the pool or new. Nothing where the VM has no memory for one.
    pub(crate) unsafe fn take_task(kernel: *mut Kernel) -> Option<TaskPtr> {
        if let Some(task) = (*kernel).idle.pop() {
            return Some(task);
        }
        let main = (*kernel).main;
        let anchored = protect(main, |main| {
            let state = ffi::lua_newthread(main);
            (state, ffi::luaL_ref(main, ffi::LUA_REGISTRYINDEX))
        });
        let (state, anchor) = match anchored {
            Ok(made) => made,
            Err(_) => {
                ffi::lua_settop(main, -2);
                return None;
            }
        };
        let entry = (*kernel).tasks.vacant_entry();
        let key = entry.key();
        let task = entry.insert(Box::new(Task {
            seat: Seat { kernel, task: None },
            state,
            anchor,
            key,
            request: None,
            origin: None,
            waits_for: 0,
            sleeps: false,
            handler: ffi::LUA_NOREF,
            trace: None,
            untraced: false,
        }));
        let task = TaskPtr(NonNull::from(&mut **task));
        (*task.get()).seat.task = Some(task);
        set_seat(state, &raw mut (*task.get()).seat);
        Some(task)
    }

    /// The coroutine ended well.
    #[inline]
    pub(crate) unsafe fn retire_task(kernel: *mut Kernel, task: TaskPtr) {
        let inner = &mut *task.get();
        inner.request = None;
        inner.origin = None;
        inner.sleeps = false;
        inner.trace = None;
        inner.untraced = false;
        if !(*kernel).profiles.is_empty() || !(*kernel).blocked.is_empty() || (*kernel).hooks {
            (*kernel).forget_task(task);
            ffi::lua_sethook(inner.state, None, 0, 0);
        }
        if (*kernel).idle.len() < IDLE_MAX {
            ffi::lua_settop(inner.state, 0);
            (*kernel).idle.push(task);
        } else {
            Kernel::free_task(kernel, task);
        }
    }

    /// Lets go of a coroutine that is dead or closed.
    pub(crate) unsafe fn free_task(kernel: *mut Kernel, task: TaskPtr) {
        let (key, anchor) = ((*task.get()).key, (*task.get()).anchor);
        (*kernel).forget_task(task);
        // User code may keep the thread: it must not find the task any more.
        set_seat(task.state(), &raw mut (*kernel).seat);
        // Freeing a reference writes to an existing slot of the registry: it allocates nothing.
        ffi::luaL_unref((*kernel).main, ffi::LUA_REGISTRYINDEX, anchor);
        (*kernel).tasks.remove(key);
    }

    /// Nothing may name a task that has ended, or its thread.
    unsafe fn forget_task(&mut self, task: TaskPtr) {
        self.profiles.remove(&(task.state() as usize));
        self.blocked.retain(|_, owner| *owner != task);
        if self.start_task == Some(task) {
            self.start_task = None;
        }
        self.forget_debugger(task);
    }

    /// Gives the pooled coroutines to the collector.
    pub(crate) unsafe fn drop_idle_tasks(kernel: *mut Kernel) {
        while let Some(task) = (*kernel).idle.pop() {
            Kernel::free_task(kernel, task);
        }
    }

    /// Nobody waits any longer for what a coroutine waited for.
    pub(crate) unsafe fn cancel_wait(kernel: *mut Kernel, task: TaskPtr) {
        let session = std::mem::take(&mut (*task.get()).waits_for);
        if session != 0 {
            (*kernel).wakeups.retain(|woken| *woken != session);
            (*kernel).failures.retain(|failed| *failed != session);
            match (*kernel).sessions.get(&session) {
                // The answer, or the timer, is still on its way.
                Some(Waiter::Call(..) | Waiter::Sleep(_) | Waiter::Start(_)) => {
                    (*kernel).sessions.insert(session, Waiter::Gone);
                }
                Some(Waiter::Wait(_)) => drop((*kernel).sessions.remove(&session)),
                _ => {}
            }
        }
    }

    /// The task at this place of the slab, or the next one after it, with its place. A walk over all of them owns nothing
    /// then, and tasks may come and go meanwhile.
    pub(crate) fn task_from(&self, place: usize) -> Option<(usize, TaskPtr)> {
        (place..self.tasks.capacity()).find_map(|place| Some((place, self.tasks.get(place)?.seat.task?)))
    }

    /// Closes a suspended coroutine, or one that has not begun: its session is forgotten.
    pub(crate) unsafe fn kill_task(kernel: *mut Kernel, task: TaskPtr, from: *mut lua_State) {
        if (*task.get()).waits_for == 0 {
            (*kernel).forks.retain(|(fork, _)| *fork != task);
        } else {
            Kernel::cancel_wait(kernel, task);
        }
        Kernel::close_task(kernel, task, from);
    }

    /// Closes a coroutine that nothing will resume: its to-be-closed variables run, and its request fails.
    pub(crate) unsafe fn close_task(kernel: *mut Kernel, task: TaskPtr, from: *mut lua_State) {
        if let Some(origin) = (*task.get()).request.take() {
            (*kernel).refuse(origin);
        }
        ffi::lua_closethread(task.state(), from);
        Kernel::free_task(kernel, task);
    }
}

/// The task that this thread is the coroutine of, if it is one.
pub(crate) unsafe fn task_of(state: *mut lua_State) -> Option<TaskPtr> {
    (**ffi::lua_getextraspace(state).cast::<*mut Seat>()).task
}

/// Says where a thread finds its kernel.
pub(crate) unsafe fn set_seat(state: *mut lua_State, seat: *mut Seat) {
    *ffi::lua_getextraspace(state).cast::<*mut Seat>() = seat;
}
