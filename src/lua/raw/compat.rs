//! What differs from Lua 5.4 to Lua 5.5.

use std::ffi::{CStr, c_int, c_void};

use super::{ffi, lua_State};

/// The mode in which a compiled chunk is loaded. In 5.5 the chunk stays in the buffer that it is loaded from.
pub(crate) const BINARY_MODE: &CStr = if cfg!(feature = "lua55") { c"B" } else { c"b" };

/// A new state, or null where there is no memory.
///
/// # Safety
/// `alloc` and `data` fit each other, and `data` lives as long as the state.
pub(crate) unsafe fn new_state(alloc: ffi::lua_Alloc, data: *mut c_void, seed: u32) -> *mut lua_State {
    // SAFETY: the caller's promise.
    #[cfg(feature = "lua55")]
    unsafe {
        ffi::lua_newstate(alloc, data, seed)
    }
    // SAFETY: as above. Lua 5.4 makes its seed itself.
    #[cfg(not(feature = "lua55"))]
    unsafe {
        let _ = seed;
        ffi::lua_newstate(alloc, data)
    }
}

/// How much a VM may grow, in percent, before the collector looks at what is young. Lua's own 20 has it look at every
/// suspended coroutine so often that a service with many of them spends a quarter of its time there.
const MINOR_GROWTH: c_int = 40;

/// Turns the generational collector on.
///
/// # Safety
/// A valid state.
pub(crate) unsafe fn gc_generational(state: *mut lua_State) {
    // SAFETY: the caller's promise.
    #[cfg(feature = "lua55")]
    unsafe {
        ffi::lua_gc(state, ffi::LUA_GCGEN);
        ffi::lua_gc(state, ffi::LUA_GCPARAM, ffi::LUA_GCPMINORMUL, MINOR_GROWTH);
    }
    // SAFETY: as above; 0 keeps the parameter of major collections.
    #[cfg(not(feature = "lua55"))]
    unsafe {
        ffi::lua_gc(state, ffi::LUA_GCGEN, MINOR_GROWTH, 0 as c_int);
    }
}
