//! How a service begins and ends: `start`, `init_service`, `exit`, `term`.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::c_int;
use std::time::Duration;

use super::super::send;
use super::super::skynet_core::{self, handle_of};
use super::kernel;
use crate::handle::Handle;
use crate::lua::kernel::whole;
use crate::lua::kernel::{Kernel, Mode, Waiter};
use crate::lua::raw::entry::{kernel_of, raise_text};
use crate::lua::raw::{Call, Raise, Returned, entry, ffi, lua_State};
use crate::message::{MessageKind, Payload};

/// `start(function)`: from now on messages are dispatched, and the function runs with the first of them.
pub(super) unsafe extern "C-unwind" fn start(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
    ffi::lua_settop(state, 1);
    let kernel = kernel_of(state);
    if !matches!((*kernel).mode, Mode::Filter(_)) {
        (*kernel).mode = Mode::Native;
    }
    ffi::lua_pushcfunction(state, init_service);
    ffi::lua_rotate(state, 1, 1);
    entry!(start_soon)(state)
}

pub(super) fn start_soon(call: &mut Call) -> Result<Returned, Raise> {
    let session =
        kernel(call).new_session().ok_or_else(|| Raise::text("the service is not in a dispatch"))?;
    let task = super::wait::new_task(call, 1)?;
    let kernel = kernel(call);
    // SAFETY: the task was just made.
    unsafe { (*task.get()).waits_for = session.get() };
    kernel.sessions.insert(session.get(), Waiter::Start(task));
    kernel.start_task = Some(task);
    // SAFETY: the task was just made.
    unsafe { Kernel::watch_loading(kernel, task.state()) };
    call.context()?.timeout_in_ticks(session, Duration::ZERO);
    Ok(Returned::Values(0))
}

/// A service that has more bytes than this when it has started is collected at once.
pub(super) const COLLECT_AFTER_LOAD_MIN: usize = 96 << 10;

/// `init_service(function)`: runs the init functions and the function, and tells the launcher how it went.
pub(super) unsafe extern "C-unwind" fn init_service(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn run(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls it with the start function.
        unsafe {
            if ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, super::super::inits_key()) == ffi::LUA_TTABLE {
                ffi::lua_pushnil(state);
                ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, super::super::inits_key());
                return run_inits(state, ffi::LUA_OK, 0);
            }
            ffi::lua_settop(state, 1);
            ffi::lua_callk(state, 0, 0, 0, Some(done));
            0
        }
    }
    unsafe extern "C-unwind" fn run_inits(
        state: *mut lua_State,
        _: c_int,
        index: ffi::lua_KContext,
    ) -> c_int {
        // SAFETY: Lua calls it with (start function, init functions).
        unsafe {
            let mut index = index;
            loop {
                ffi::lua_settop(state, 2);
                index += 1;
                if ffi::lua_rawgeti(state, 2, index as ffi::lua_Integer) == ffi::LUA_TNIL {
                    ffi::lua_settop(state, 1);
                    ffi::lua_callk(state, 0, 0, 0, Some(done));
                    return 0;
                }
                ffi::lua_callk(state, 0, 0, index, Some(run_inits));
            }
        }
    }
    unsafe extern "C-unwind" fn done(_: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
        0
    }
    ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
    ffi::lua_settop(state, 1);
    ffi::lua_pushcfunction(state, whole::traceback);
    ffi::lua_pushcfunction(state, run);
    ffi::lua_pushvalue(state, 1);
    let status = ffi::lua_pcallk(state, 1, 0, 2, 0, Some(inited));
    inited(state, status, 0)
}

pub(super) unsafe extern "C-unwind" fn inited(
    state: *mut lua_State,
    status: c_int,
    _: ffi::lua_KContext,
) -> c_int {
    let kernel = kernel_of(state);
    (*kernel).start_task = None;
    if status == ffi::LUA_OK || status == ffi::LUA_YIELD {
        // The collector was held back while the service loaded. What loading left behind, the chunks of modules above
        // all, is worth a look where there is much of it: then its memory serves the next service that loads.
        if (*kernel).loading.is_some() {
            Kernel::loaded(kernel, state);
        }
        if (*kernel).memory().used() > COLLECT_AFTER_LOAD_MIN {
            ffi::lua_gc(state, ffi::LUA_GCSTEP, 0);
        }
        return entry!(started)(state);
    }
    if ffi::lua_type(state, -1) != ffi::LUA_TSTRING {
        ffi::luaL_tolstring(state, -1, std::ptr::null_mut());
    }
    entry!(start_failed)(state);
    exit(state)
}

pub(super) fn started(call: &mut Call) -> Result<Returned, Raise> {
    tell_launcher(call, b"")?;
    Ok(Returned::Values(0))
}

pub(super) fn start_failed(call: &mut Call) -> Result<Returned, Raise> {
    let text = call.opt_bytes(-1).unwrap_or_default().to_vec();
    // Matched by log readers: keep the words.
    call.context()?.log([b"init service failed: ", text.as_slice()].concat());
    tell_launcher(call, b"ERROR")?;
    Ok(Returned::Values(0))
}

/// Tells the launcher, by its text protocol, that a start is over.
pub(super) fn tell_launcher(call: &mut Call, text: &[u8]) -> Result<(), Raise> {
    let launcher = call.context()?.query(".launcher");
    match launcher {
        Some(launcher) => skynet_core::send_text(call, launcher, MessageKind::TEXT, text),
        None => Ok(()),
    }
}

/// `exit()`: ends the service; never returns.
pub(super) unsafe extern "C-unwind" fn exit(state: *mut lua_State) -> c_int {
    let kernel = kernel_of(state);
    ffi::lua_settop(state, 0);
    if (*kernel).exiting {
        return park_for_ever(state, kernel);
    }
    (*kernel).exiting = true;
    entry!(say_goodbye)(state);
    close_all(state, kernel);
    entry!(leave)(state);
    park_for_ever(state, kernel)
}

/// Closes every coroutine but the running one. That runs to-be-closed variables, which may fork, make timers and end
/// coroutines of their own; so it goes round until nothing is left.
pub(super) unsafe fn close_all(state: *mut lua_State, kernel: *mut Kernel) {
    // Nobody is resumed any more, and each coroutine that is closed would be looked for there.
    (*kernel).wakeups.clear();
    (*kernel).failures.clear();
    loop {
        // A debugger may have stopped one between two lines: it waits for no session.
        let stopped = (*kernel).take_stopped();
        let mut closed = stopped.is_some();
        if let Some(task) = stopped {
            Kernel::close_task(kernel, task, state);
        }
        while let Some((task, _)) = (*kernel).forks.pop_front() {
            Kernel::close_task(kernel, task, state);
        }
        let mut from = 0;
        while let Some((place, task)) = (*kernel).task_from(from) {
            if (*task.get()).waits_for != 0 {
                Kernel::kill_task(kernel, task, state);
                closed = true;
            }
            from = place + 1;
        }
        if !closed && (*kernel).forks.is_empty() {
            return;
        }
    }
}

pub(super) unsafe fn park_for_ever(state: *mut lua_State, kernel: *mut Kernel) -> c_int {
    unsafe extern "C-unwind" fn never(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
        // SAFETY: nobody resumes a service that has ended; if somebody does, it ends again.
        unsafe { exit(state) }
    }
    if (*kernel).running.is_none() || ffi::lua_isyieldable(state) == 0 {
        raise_text(state, format_args!("the service exits"));
    }
    (*kernel).suspended = true;
    ffi::lua_yieldk(state, 0, 0, Some(never))
}

/// The first half of `exit`: who waits for an answer gets an error, and who was asked learns of the end.
pub(super) fn say_goodbye(call: &mut Call) -> Result<Returned, Raise> {
    let me = call.context()?.handle();
    if let Some(launcher) = call.context()?.query(".launcher") {
        // SAFETY: a C function has free stack slots; packing reads them and allocates nothing in the VM.
        let payload = crate::packed::to_payload(&("REMOVE", me.as_u32(), false)).unwrap_or_default();
        let message = super::call::new_message(call, MessageKind::LUA, None, payload)?;
        let _ = call.context()?.send_as(launcher, message);
    }
    let mut asked: Vec<Handle> = kernel(call)
        .sessions
        .values()
        .filter_map(|waiter| match waiter {
            Waiter::Call(_, asked) | Waiter::Callback(_, asked) if !asked.is_none() => Some(*asked),
            _ => None,
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    for handle in asked {
        let message = super::call::new_message(call, MessageKind::ERROR, None, Payload::empty())?;
        let _ = call.context()?.send_as(handle, message);
    }
    // Last: whoever hears that the service is gone may then ask those that it was calling, and they know.
    for origin in kernel(call).take_open_requests() {
        kernel(call).refuse(origin);
    }
    Ok(Returned::Values(0))
}

pub(super) fn leave(call: &mut Call) -> Result<Returned, Raise> {
    call.context()?.exit();
    Ok(Returned::Values(0))
}

/// `term(address)`: this service takes another for dead.
pub(super) fn term(call: &mut Call) -> Result<Returned, Raise> {
    let dead = handle_of(&send::target(call, 1)?);
    kernel(call).service_died(dead);
    super::answer::ignoreret(call)
}
