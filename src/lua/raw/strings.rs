//! [`string_entry!`]: an `entry!` whose first arguments are strings, for functions that took numbers for strings in C.

use std::ffi::c_int;

use super::{ffi, lua_State};

/// Turns the numbers among the first `count` arguments into strings, in place.
///
/// # Safety
/// Lua called the C function that this runs in, and no Rust frame with a destructor lies between: it may raise.
#[inline(always)]
pub(crate) unsafe fn numbers_to_strings(state: *mut lua_State, count: c_int) {
    for index in 1..=count {
        // SAFETY: the caller's promise; any index is allowed.
        unsafe {
            if ffi::lua_type(state, index) == ffi::LUA_TNUMBER {
                ffi::lua_tolstring(state, index, std::ptr::null_mut());
            }
        }
    }
}

/// The C function round `$body` (see `entry!`), whose first `$count` arguments are strings: numbers have become so.
macro_rules! string_entry {
    ($count:literal, $body:path) => {{
        unsafe extern "C-unwind" fn raw(state: *mut $crate::lua::raw::lua_State) -> ::std::ffi::c_int {
            // SAFETY: only Lua calls it, in a VM that has a kernel; nothing here owns memory.
            unsafe {
                $crate::lua::raw::strings::numbers_to_strings(state, $count);
                $crate::lua::raw::entry::run(state, $body)
            }
        }
        raw as $crate::lua::raw::ffi::lua_CFunction
    }};
}
pub(crate) use string_entry;
