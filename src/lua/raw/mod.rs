//! The C interface of Lua, tamed.
//!
//! `memory.rs` is the allocator of a VM, `entry.rs` the C function round a Rust body (and the only place that raises),
//! `strings.rs` one that takes strings, `protect.rs` runs what may raise, `userdata.rs` is a Rust value that Lua owns,
//! `compat.rs` hides what differs from Lua 5.4 to 5.5.

pub(crate) mod compat;
pub(crate) mod entry;
pub(crate) mod memory;
pub(crate) mod protect;
pub(crate) mod strings;
pub(crate) mod userdata;

pub(crate) use entry::{Call, Raise, Returned, entry};
pub(crate) use mlua::ffi;
pub(crate) use mlua::ffi::lua_State;
pub(crate) use protect::protect;
pub(crate) use strings::string_entry;

use std::ffi::c_int;

/// A Lua function in Rust, with the name that Lua code finds it by (a C string).
pub(crate) type Binding = (&'static std::ffi::CStr, ffi::lua_CFunction);

/// Adds functions to the table on top of the stack. As light C functions they take no memory of their own.
///
/// # Safety
/// Runs where a Lua error is caught; a table is on top of the stack.
pub(crate) unsafe fn set_functions(state: *mut lua_State, functions: &[Binding]) {
    for (name, function) in functions {
        // SAFETY: the caller's promise.
        unsafe {
            ffi::lua_pushcfunction(state, *function);
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
    }
}

/// Pushes a new table with these functions.
///
/// # Safety
/// Runs where a Lua error is caught, with two free stack slots.
pub(crate) unsafe fn push_module(state: *mut lua_State, functions: &[Binding]) {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_createtable(state, 0, c_int::try_from(functions.len()).unwrap_or(0));
        set_functions(state, functions);
    }
}

/// The bytes of the string (or number, which becomes a string in place) at `index`.
///
/// # Safety
/// The value stays on the stack while the slice is used. For a number, runs where a Lua error is caught.
pub(crate) unsafe fn bytes_at<'a>(state: *mut lua_State, index: c_int) -> Option<&'a [u8]> {
    let mut len = 0;
    // SAFETY: the caller's promise; Lua gives `len` readable bytes.
    unsafe {
        let text = ffi::lua_tolstring(state, index, &raw mut len);
        (!text.is_null()).then(|| std::slice::from_raw_parts(text.cast(), len))
    }
}
