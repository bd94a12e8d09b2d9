//! [`protect`]: runs what may raise, from Rust code that is not inside a Lua call.

use std::ffi::{c_int, c_void};
use std::mem::{MaybeUninit, needs_drop};

use super::{ffi, lua_State};

/// Runs `work` under a pcall. After an error, the error value is on top of the stack; else the stack is as it was.
///
/// A Lua error jumps out of `work` without running destructors: hence it owns nothing, and only calls Lua.
///
/// # Safety
/// `state` is valid, has three free stack slots, and `work` leaves the stack as it found it, at least below.
pub(crate) unsafe fn protect<F, R>(state: *mut lua_State, work: F) -> Result<R, c_int>
where
    F: FnOnce(*mut lua_State) -> R + Copy,
    R: Copy,
{
    const { assert!(!needs_drop::<F>(), "a Lua error would skip this closure's destructors") };

    struct Job<F, R> {
        work: F,
        result: MaybeUninit<R>,
    }

    unsafe extern "C-unwind" fn run<F, R>(state: *mut lua_State) -> c_int
    where
        F: FnOnce(*mut lua_State) -> R + Copy,
        R: Copy,
    {
        // SAFETY: the one argument is the job below, which waits for this call.
        unsafe {
            let job = &mut *ffi::lua_touserdata(state, 1).cast::<Job<F, R>>();
            ffi::lua_settop(state, 0);
            let work = job.work;
            job.result.write(work(state));
        }
        0
    }

    let mut job = Job::<F, R> { work, result: MaybeUninit::uninit() };
    // SAFETY: the caller's promise. Pushing a light function and a pointer allocates nothing.
    unsafe {
        ffi::lua_pushcfunction(state, run::<F, R>);
        ffi::lua_pushlightuserdata(state, (&raw mut job).cast::<c_void>());
        match ffi::lua_pcall(state, 1, 0, 0) {
            ffi::LUA_OK => Ok(job.result.assume_init()),
            status => Err(status),
        }
    }
}
