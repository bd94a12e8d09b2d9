//! Coroutines and time: `fork`, `timeout`, `sleep`, `wait`, `wakeup`, `killthread`.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::c_int;
use std::time::Duration;

use super::kernel;
use crate::lua::kernel::task::{TaskPtr, task_of};
use crate::lua::kernel::{Kernel, Waiter, Wake};
use crate::lua::raw::entry::{kernel_of, raise_text};
use crate::lua::raw::{Call, Raise, Returned, ffi, lua_State};
use crate::message::Session;

/// Moves a function and its arguments, which lie from `first` on, to a coroutine of their own, and returns that.
pub(super) fn new_task(call: &mut Call, first: c_int) -> Result<TaskPtr, Raise> {
    let count = call.top() - first + 1;
    // SAFETY: the values are moved between threads of one VM, after the room for them has been made.
    unsafe {
        let task = Kernel::take_task(call.kernel).ok_or_else(|| Raise::text("not enough memory"))?;
        if ffi::lua_checkstack(task.state(), count + 2) == 0 {
            Kernel::retire_task(call.kernel, task);
            return Err(Raise::text("stack overflow"));
        }
        ffi::lua_xmove(call.state, task.state(), count);
        ffi::lua_pushthread(task.state());
        ffi::lua_xmove(task.state(), call.state, 1);
        Ok(task)
    }
}

pub(super) fn want_function(call: &Call, index: c_int) -> Result<(), Raise> {
    // SAFETY: the state is the one that Lua called with. Whatever has a `__call` may be called too.
    let callable = call.kind(index) == ffi::LUA_TFUNCTION
        || unsafe {
            ffi::lua_getmetatable(call.state, index) != 0 && {
                ffi::lua_settop(call.state, -2);
                true
            }
        };
    if callable {
        Ok(())
    } else {
        Err(Raise::argument(index, &format!("function expected, got {}", call.type_name(index))))
    }
}

/// `fork(function, ...) -> thread`
pub(super) fn fork(call: &mut Call) -> Result<Returned, Raise> {
    want_function(call, 1)?;
    let arguments = call.top() - 1;
    let task = new_task(call, 1)?;
    kernel(call).forks.push_back((task, arguments));
    Ok(Returned::Values(1))
}

/// Centiseconds as Lua code gives them: an integer of 32 bits, and nothing below 0.
pub(in crate::lua::modules) fn delay(centiseconds: i64) -> Duration {
    let centiseconds = u64::try_from(centiseconds as i32).unwrap_or(0);
    Duration::from_millis(centiseconds * 10)
}

/// `timeout(centiseconds, function) -> thread`
pub(super) fn timeout(call: &mut Call) -> Result<Returned, Raise> {
    let time = delay(call.int(1)?);
    want_function(call, 2)?;
    // SAFETY: the state is the one that Lua called with.
    unsafe { ffi::lua_settop(call.state, 2) };
    let session =
        kernel(call).new_session().ok_or_else(|| Raise::text("the service is not in a dispatch"))?;
    let task = new_task(call, 2)?;
    let kernel = kernel(call);
    // SAFETY: the task was just made.
    unsafe { (*task.get()).waits_for = session.get() };
    kernel.sessions.insert(session.get(), Waiter::Start(task));
    if kernel.timeout_traces.is_some() {
        // SAFETY: the state is the one that Lua called with.
        unsafe { remember_timer(call, session.get()) };
    }
    call.context()?.timeout_in_ticks(session, time);
    Ok(Returned::Values(1))
}

/// Notes where a timer was made, for `skynet.task`.
pub(super) unsafe fn remember_timer(call: &mut Call, session: i32) {
    let mut info: ffi::lua_Debug = std::mem::zeroed();
    let mut text = String::from("timeout");
    let mut level = 1;
    while level < 8 && ffi::lua_getstack(call.state, level, &raw mut info) != 0 {
        if ffi::lua_getinfo(call.state, c"Sl".as_ptr(), &raw mut info) != 0 && info.currentline > 0 {
            let source = std::ffi::CStr::from_ptr(info.short_src.as_ptr()).to_string_lossy();
            text.push_str(&format!("\n\t{source}:{}", info.currentline));
        }
        level += 1;
    }
    if let Some(traces) = &mut kernel(call).timeout_traces {
        traces.insert(session, text.into_bytes());
    }
}

/// The registry key of the table from a token to the session that sleeps on it.
pub(super) static TOKENS: u8 = 0;

pub(super) fn tokens_key() -> *const std::ffi::c_void {
    (&raw const TOKENS).cast()
}

/// `sleep(centiseconds, token?) -> "BREAK"?`
pub(super) unsafe extern "C-unwind" fn sleep(state: *mut lua_State) -> c_int {
    let time = delay(ffi::luaL_checkinteger(state, 1));
    suspend_on_token(state, Some(time), 2)
}

/// `yield() -> "BREAK"?`
pub(super) unsafe extern "C-unwind" fn yield_now(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 0);
    suspend_on_token(state, Some(Duration::ZERO), 1)
}

/// `wait(token?)`
pub(super) unsafe extern "C-unwind" fn wait(state: *mut lua_State) -> c_int {
    suspend_on_token(state, None, 1)
}

/// Suspends until the time is over, or until somebody wakes the token at `index`: by default the coroutine itself.
pub(super) unsafe fn suspend_on_token(state: *mut lua_State, time: Option<Duration>, index: c_int) -> c_int {
    let kernel = kernel_of(state);
    let Some(task) = (*kernel).running else {
        // Matched by programs: keep the words.
        raise_text(state, format_args!("attempt to yield from outside a coroutine"));
    };
    if ffi::lua_isyieldable(state) == 0 {
        raise_text(state, format_args!("attempt to yield across a C-call boundary"));
    }
    let own = task.state() == state && ffi::lua_isnoneornil(state, index) != 0;
    let Some(session) = (*kernel).new_session().map(Session::get) else {
        raise_text(state, format_args!("the service is not in a dispatch"));
    };
    if own {
        ffi::lua_settop(state, 0);
        (*task.get()).sleeps = true;
    } else {
        // Leaves (tokens, token) on the stack, for the continuation.
        ffi::lua_settop(state, index);
        if ffi::lua_isnil(state, index) != 0 {
            ffi::lua_pushthread(state);
            ffi::lua_replace(state, index);
        }
        ffi::lua_rotate(state, 1, 1);
        ffi::lua_settop(state, 1);
        push_tokens(state);
        ffi::lua_rotate(state, 1, 1);
        ffi::lua_pushvalue(state, 2);
        if ffi::lua_rawget(state, 1) != ffi::LUA_TNIL
            && is_waited_for(&*kernel, ffi::lua_tointeger(state, -1) as i32)
        {
            // Matched by programs: keep the words.
            raise_text(state, format_args!("token duplicative"));
        }
        ffi::lua_settop(state, 2);
        ffi::lua_pushvalue(state, 2);
        ffi::lua_pushinteger(state, session.into());
        ffi::lua_rawset(state, 1);
    }
    if (*task.get()).trace.is_some() {
        Kernel::trace_event(kernel, task, state, "sleep");
    }
    begin_sleep(kernel, task, session, time);
    ffi::lua_yieldk(state, 0, isize::from(own) * OWN + isize::from(time.is_some()) * TIMED, Some(slept))
}

/// In the context of `slept`: the token is the coroutine itself.
pub(super) const OWN: ffi::lua_KContext = 1;
/// The same: it sleeps, and says how that ended.
pub(super) const TIMED: ffi::lua_KContext = 2;

pub(super) fn is_waited_for(kernel: &Kernel, session: i32) -> bool {
    matches!(kernel.sessions.get(&session), Some(Waiter::Sleep(_) | Waiter::Wait(_)))
}

/// Owns nothing when it returns, so that the caller may yield.
pub(super) unsafe fn begin_sleep(kernel: *mut Kernel, task: TaskPtr, session: i32, time: Option<Duration>) {
    let waiter = if time.is_some() { Waiter::Sleep(task) } else { Waiter::Wait(task) };
    (*kernel).sessions.insert(session, waiter);
    (*kernel).suspend(task, session);
    if let (Some(time), Some(session)) = (time, Session::new(session))
        && let Some(ctx) = (*kernel).context()
    {
        ctx.timeout_in_ticks(session, time);
    }
}

pub(super) unsafe fn push_tokens(state: *mut lua_State) {
    if ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, tokens_key()) != ffi::LUA_TTABLE {
        ffi::lua_settop(state, -2);
        ffi::lua_newtable(state);
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, tokens_key());
    }
}

/// A sleeper goes on.
pub(super) unsafe extern "C-unwind" fn slept(
    state: *mut lua_State,
    _status: c_int,
    how: ffi::lua_KContext,
) -> c_int {
    let kernel = kernel_of(state);
    let own = how & OWN != 0;
    if let Some(task) = (*kernel).running {
        if own {
            (*task.get()).sleeps = false;
        }
        if (*task.get()).trace.is_some() {
            Kernel::trace_event(kernel, task, state, "resume");
        }
    }
    if !own {
        ffi::lua_settop(state, 2);
        ffi::lua_pushnil(state);
        ffi::lua_rawset(state, 1);
    }
    if how & TIMED != 0 && (*kernel).wake == Wake::Break {
        ffi::lua_pushstring(state, c"BREAK".as_ptr());
        return 1;
    }
    0
}

/// `wakeup(token) -> true?`
pub(super) unsafe extern "C-unwind" fn wakeup(state: *mut lua_State) -> c_int {
    let kernel = kernel_of(state);
    ffi::luaL_checkany(state, 1);
    ffi::lua_settop(state, 1);
    let mut session = 0;
    let thread = ffi::lua_tothread(state, 1);
    if !thread.is_null()
        && let Some(task) = task_of(thread)
        && (*task.get()).sleeps
    {
        session = (*task.get()).waits_for;
    } else if ffi::lua_isnil(state, 1) == 0
        && ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, tokens_key()) == ffi::LUA_TTABLE
    {
        ffi::lua_pushvalue(state, 1);
        ffi::lua_rawget(state, 2);
        session = ffi::lua_tointeger(state, -1) as i32;
    }
    if session == 0 || !is_waited_for(&*kernel, session) {
        return 0;
    }
    (*kernel).wake_up(session);
    ffi::lua_pushboolean(state, 1);
    1
}

/// `killthread(thread or pattern) -> thread?`
pub(super) unsafe extern "C-unwind" fn killthread(state: *mut lua_State) -> c_int {
    let kernel = kernel_of(state);
    ffi::lua_settop(state, 1);
    let found = match ffi::lua_type(state, 1) {
        ffi::LUA_TTHREAD => {
            task_of(ffi::lua_tothread(state, 1)).filter(|task| can_be_killed(&*kernel, *task))
        }
        ffi::LUA_TSTRING => find_thread(state, kernel),
        _ => raise_text(state, format_args!("bad argument #1 to 'killthread' (thread or string expected)")),
    };
    let Some(task) = found else { return 0 };
    ffi::lua_settop(state, 0);
    ffi::lua_pushthread(task.state());
    ffi::lua_xmove(task.state(), state, 1);
    Kernel::kill_task(kernel, task, state);
    1
}

pub(super) fn can_be_killed(kernel: &Kernel, task: TaskPtr) -> bool {
    // SAFETY: a task that is found by its thread is alive.
    let waits = unsafe { (*task.get()).waits_for } != 0;
    Some(task) != kernel.running && (waits || kernel.forks.iter().any(|(fork, _)| *fork == task))
}

/// The first coroutine that can be killed and whose text matches the Lua pattern at 1.
pub(super) unsafe fn find_thread(state: *mut lua_State, kernel: *mut Kernel) -> Option<TaskPtr> {
    ffi::luaL_checkstack(state, 8, std::ptr::null());
    ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, ffi::LUA_LOADED_TABLE);
    ffi::lua_getfield(state, -1, c"string".as_ptr());
    ffi::lua_getfield(state, -1, c"find".as_ptr());
    let find = ffi::lua_gettop(state);
    let mut from = 0;
    while let Some((place, task)) = (*kernel).task_from(from) {
        from = place + 1;
        ffi::lua_settop(state, find);
        ffi::lua_pushvalue(state, find);
        ffi::lua_pushthread(task.state());
        if task.state() != state {
            ffi::lua_xmove(task.state(), state, 1);
        }
        ffi::luaL_tolstring(state, -1, std::ptr::null_mut());
        ffi::lua_remove(state, -2);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_call(state, 2, 1);
        // Lua ran meanwhile, a finalizer perhaps: it may be another task by now.
        if ffi::lua_toboolean(state, -1) != 0
            && (*kernel).task_from(place) == Some((place, task))
            && can_be_killed(&*kernel, task)
        {
            return Some(task);
        }
    }
    None
}

pub(super) fn starttime(call: &mut Call) -> Result<Returned, Raise> {
    let seconds = call.context()?.clock().unix_start().as_secs();
    Ok(call.push_int(i64::try_from(seconds).unwrap_or(i64::MAX)))
}

pub(super) fn time(call: &mut Call) -> Result<Returned, Raise> {
    let clock = call.context()?.clock();
    let seconds = clock.unix_start().as_secs() as f64 + clock.centiseconds() as f64 / 100.0;
    Ok(call.push_number(seconds))
}
