//! `skynet.profile`: the processor time of a coroutine, without the time that it is suspended.
//!
//! The clock is the processor's time stamp counter, which costs no system call.
//! Annotations: lualib/meta/skynet_profile.lua.

use std::ffi::c_int;

use crate::clock::cheap_ticks;
use crate::lua::kernel::Kernel;
use crate::lua::raw::entry::{kernel_of, raise_text};
use crate::lua::raw::{Binding, Call, Raise, Returned, entry, ffi, lua_State, push_module};

pub(super) const FUNCTIONS: &[Binding] =
    &[(c"start", start), (c"stop", stop), (c"resume", super::coroutine::resume), (c"wrap", wrap)];

/// The time of one coroutine under measurement, in clock ticks.
#[derive(Clone, Copy, Default)]
pub(crate) struct Profile {
    spent: u64,
    /// When it last began to run; 0 while it is suspended.
    since: u64,
}

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

unsafe extern "C-unwind" fn wrap(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it. The global one is ours as well.
    unsafe {
        ffi::lua_getglobal(state, c"coroutine".as_ptr());
        ffi::lua_getfield(state, -1, c"wrap".as_ptr());
        ffi::lua_pushvalue(state, 1);
        ffi::lua_call(state, 1, 1);
        1
    }
}

/// A coroutine goes on.
pub(crate) unsafe fn resumed(kernel: *mut Kernel, state: *mut lua_State) {
    // SAFETY: the kernel is valid, and nobody else uses it now.
    if let Some(profile) = unsafe { (*kernel).profiles.get_mut(&(state as usize)) } {
        profile.since = cheap_ticks();
    }
}

/// A coroutine stops running; it may have come under measurement while it ran.
pub(crate) unsafe fn suspended(kernel: *mut Kernel, state: *mut lua_State) {
    // SAFETY: as in `resumed`.
    if let Some(profile) = unsafe { (*kernel).profiles.get_mut(&(state as usize)) }
        && profile.since != 0
    {
        profile.spent += cheap_ticks().saturating_sub(std::mem::take(&mut profile.since));
    }
}

/// The coroutine that is meant: `forget_namesake` has put it there.
fn thread(call: &Call) -> *mut lua_State {
    // SAFETY: the state is the one that Lua called with.
    unsafe { ffi::lua_tothread(call.state, 1) }
}

/// The registry key of the threads that have been measured, which the table does not keep alive.
static MEASURED: u8 = 0;

/// Forgets what was measured of a thread that is gone, where the one that is meant now has its address.
unsafe fn forget_namesake(state: *mut lua_State) {
    let key = (&raw const MEASURED).cast();
    // SAFETY: a C function has free stack slots, and nothing here owns memory.
    unsafe {
        if ffi::lua_gettop(state) == 0 {
            ffi::lua_pushthread(state);
        } else if ffi::lua_type(state, 1) != ffi::LUA_TTHREAD {
            raise_text(state, format_args!("bad argument #1 (thread expected)"));
        }
        ffi::lua_settop(state, 1);
        if ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, key) != ffi::LUA_TTABLE {
            ffi::lua_settop(state, 1);
            ffi::lua_newtable(state);
            ffi::lua_createtable(state, 0, 1);
            ffi::lua_pushstring(state, c"k".as_ptr());
            ffi::lua_setfield(state, -2, c"__mode".as_ptr());
            ffi::lua_setmetatable(state, -2);
            ffi::lua_pushvalue(state, -1);
            ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, key);
        }
        ffi::lua_pushvalue(state, 1);
        if ffi::lua_rawget(state, 2) == ffi::LUA_TNIL {
            (*kernel_of(state)).profiles.remove(&(ffi::lua_tothread(state, 1) as usize));
            ffi::lua_pushvalue(state, 1);
            ffi::lua_pushboolean(state, 1);
            ffi::lua_rawset(state, 2);
        }
        ffi::lua_settop(state, 1);
    }
}

/// `start(thread?)`
unsafe extern "C-unwind" fn start(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it.
    unsafe {
        forget_namesake(state);
        entry!(begin)(state)
    }
}

/// `stop(thread?) -> seconds`
unsafe extern "C-unwind" fn stop(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it.
    unsafe {
        forget_namesake(state);
        entry!(end)(state)
    }
}

fn begin(call: &mut Call) -> Result<Returned, Raise> {
    let state = thread(call);
    let runs = state == call.state;
    // SAFETY: the kernel outlives the call.
    let profiles = unsafe { &mut (*call.kernel).profiles };
    if profiles.contains_key(&(state as usize)) {
        // Matched by programs: keep the words.
        return Err(Raise::Text(format!("Thread {state:p} start profile more than once")));
    }
    profiles.insert(state as usize, Profile { spent: 0, since: if runs { cheap_ticks() } else { 0 } });
    Ok(Returned::Values(0))
}

fn end(call: &mut Call) -> Result<Returned, Raise> {
    let state = thread(call);
    // SAFETY: the kernel outlives the call.
    let profile = unsafe { (*call.kernel).profiles.remove(&(state as usize)) };
    // Matched by programs: keep the words.
    let profile = profile.ok_or_else(|| Raise::text("Call profile.start() before profile.stop()"))?;
    let running = if profile.since == 0 { 0 } else { cheap_ticks().saturating_sub(profile.since) };
    let ns = call.context()?.clock().scale().to_ns(profile.spent + running);
    Ok(call.push_number(ns as f64 / 1e9))
}
