//! `coroutine.resume` and `wrap`, as services see them.
//!
//! They do what Lua's do, and three things more: they count a coroutine's time for `skynet.profile`, they tell the
//! interrupt which Lua thread runs, and a coroutine that blocks inside a skynet function suspends its resumer too,
//! which goes on with it when the answer is there.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::c_int;

use super::skynet_profile;
use crate::lua::kernel::Kernel;
use crate::lua::raw::entry::{kernel_of, raise_text};
use crate::lua::raw::{ffi, lua_State};

/// How a resume ended.
enum Resumed {
    /// So many results are on the resumer's stack.
    Values(c_int),
    /// The error value is on the resumer's stack.
    Failed,
    /// It blocks inside a native function.
    Blocked,
}

/// Replaces what Lua's own library has.
///
/// # Safety
/// Runs inside a protected call, with the standard library open.
pub(crate) unsafe fn install(state: *mut lua_State) {
    ffi::lua_getglobal(state, c"coroutine".as_ptr());
    ffi::lua_pushcfunction(state, resume);
    ffi::lua_setfield(state, -2, c"resume".as_ptr());
    ffi::lua_pushcfunction(state, wrap);
    ffi::lua_setfield(state, -2, c"wrap".as_ptr());
    ffi::lua_settop(state, -2);
}

unsafe fn run(state: *mut lua_State, co: *mut lua_State, arguments: c_int) -> Resumed {
    let kernel = kernel_of(state);
    if !(*kernel).profiles.is_empty() {
        skynet_profile::resumed(kernel, co);
    }
    let outer = (*kernel).reach.enter(co);
    (*kernel).reach.hook_if_asked(co);
    let mut results = 0;
    let status = ffi::lua_resume(co, state, arguments, &raw mut results);
    (*kernel).reach.leave(outer);
    if !(*kernel).profiles.is_empty() {
        skynet_profile::suspended(kernel, co);
    }
    match status {
        ffi::LUA_YIELD if (*kernel).suspended => Resumed::Blocked,
        ffi::LUA_OK | ffi::LUA_YIELD => {
            if ffi::lua_checkstack(state, results + 1) == 0 {
                ffi::lua_settop(co, -results - 1);
                ffi::lua_pushstring(state, c"too many results to resume".as_ptr());
                return Resumed::Failed;
            }
            ffi::lua_xmove(co, state, results);
            Resumed::Values(results)
        }
        _ => {
            ffi::lua_xmove(co, state, 1);
            Resumed::Failed
        }
    }
}

/// Moves the arguments above the coroutine to it; an error text is on the stack where that cannot be.
unsafe fn hand_over(state: *mut lua_State, co: *mut lua_State, arguments: c_int) -> bool {
    if ffi::lua_status(co) == ffi::LUA_OK && !(*kernel_of(state)).blocked.is_empty() {
        // It has not begun: what was blocked under this address died in a coroutine that was killed.
        (*kernel_of(state)).blocked.remove(&(co as usize));
    }
    if is_blocked(kernel_of(state), co) {
        // Matched by programs: keep the words.
        ffi::lua_pushstring(state, c"cannot resume a skynet coroutine suspend by skynet framework".as_ptr());
        return false;
    }
    if ffi::lua_checkstack(co, arguments) == 0 {
        ffi::lua_pushstring(state, c"too many arguments to resume".as_ptr());
        return false;
    }
    ffi::lua_xmove(state, co, arguments);
    true
}

/// Whether a coroutine of user code waits inside a native function.
pub(super) unsafe fn is_blocked(kernel: *mut Kernel, co: *mut lua_State) -> bool {
    !(*kernel).blocked.is_empty() && (*kernel).blocked.contains_key(&(co as usize))
}

unsafe fn block(state: *mut lua_State, co: *mut lua_State, next: ffi::lua_KFunction) -> c_int {
    let kernel = kernel_of(state);
    let running = (*kernel).running.filter(|_| ffi::lua_isyieldable(state) != 0);
    let Some(task) = running else {
        // It waits already, but whoever resumed it cannot: it dies, and what it waits for is forgotten.
        (*kernel).suspended = false;
        if let Some(task) = (*kernel).running {
            Kernel::cancel_wait(kernel, task);
        }
        ffi::lua_closethread(co, state);
        raise_text(state, format_args!("attempt to yield across a C-call boundary"));
    };
    (*kernel).blocked.insert(co as usize, task);
    ffi::lua_yieldk(state, 0, 0, Some(next))
}

/// `resume(co, ...) -> true, ... | false, error`
pub(super) unsafe extern "C-unwind" fn resume(state: *mut lua_State) -> c_int {
    let co = ffi::lua_tothread(state, 1);
    if co.is_null() {
        raise_text(state, format_args!("bad argument #1 to 'resume' (coroutine expected)"));
    }
    let arguments = ffi::lua_gettop(state) - 1;
    if !hand_over(state, co, arguments) {
        ffi::lua_pushboolean(state, 0);
        ffi::lua_rotate(state, -2, 1);
        return 2;
    }
    finish_resume(state, co, run(state, co, arguments))
}

unsafe fn finish_resume(state: *mut lua_State, co: *mut lua_State, resumed: Resumed) -> c_int {
    match resumed {
        Resumed::Values(count) => {
            ffi::lua_pushboolean(state, 1);
            ffi::lua_rotate(state, -(count + 1), 1);
            count + 1
        }
        Resumed::Failed => {
            ffi::lua_pushboolean(state, 0);
            ffi::lua_rotate(state, -2, 1);
            2
        }
        Resumed::Blocked => block(state, co, resume_again),
    }
}

unsafe extern "C-unwind" fn resume_again(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
    let co = ffi::lua_tothread(state, 1);
    (*kernel_of(state)).blocked.remove(&(co as usize));
    finish_resume(state, co, run(state, co, 0))
}

/// `wrap(function) -> function`
unsafe extern "C-unwind" fn wrap(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
    let co = ffi::lua_newthread(state);
    ffi::lua_pushvalue(state, 1);
    ffi::lua_xmove(state, co, 1);
    ffi::lua_pushcclosure(state, wrapped, 1);
    1
}

unsafe extern "C-unwind" fn wrapped(state: *mut lua_State) -> c_int {
    let co = ffi::lua_tothread(state, ffi::lua_upvalueindex(1));
    let arguments = ffi::lua_gettop(state);
    if !hand_over(state, co, arguments) {
        return raise_with_position(state);
    }
    finish_wrapped(state, co, run(state, co, arguments))
}

unsafe fn finish_wrapped(state: *mut lua_State, co: *mut lua_State, resumed: Resumed) -> c_int {
    match resumed {
        Resumed::Values(count) => count,
        Resumed::Failed => {
            let status = ffi::lua_status(co);
            if status != ffi::LUA_OK && status != ffi::LUA_YIELD {
                // It died of the error: its to-be-closed variables run, and may put another error in its place.
                if ffi::lua_closethread(co, state) != ffi::LUA_OK {
                    ffi::lua_settop(state, -2);
                    ffi::lua_xmove(co, state, 1);
                }
            }
            raise_with_position(state)
        }
        Resumed::Blocked => block(state, co, wrapped_again),
    }
}

unsafe extern "C-unwind" fn wrapped_again(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
    let co = ffi::lua_tothread(state, ffi::lua_upvalueindex(1));
    (*kernel_of(state)).blocked.remove(&(co as usize));
    finish_wrapped(state, co, run(state, co, 0))
}

/// Raises the error on top of the stack; a text gets the position of the caller before it.
unsafe fn raise_with_position(state: *mut lua_State) -> c_int {
    if ffi::lua_type(state, -1) == ffi::LUA_TSTRING {
        ffi::luaL_where(state, 1);
        ffi::lua_rotate(state, -2, 1);
        ffi::lua_concat(state, 2);
    }
    ffi::lua_error(state)
}
