//! The collector of a service that loads: it is held back, and comes back in time.
//!
//! The VM is made with its collector stopped (`vm.rs`). It works again once the script is over (`loader.rs`), or, where
//! that has a start function, once that is over, waits, works for long or takes much memory.

use std::ffi::c_int;

use super::Kernel;
use crate::lua::raw::entry::kernel_of;
use crate::lua::raw::{ffi, lua_State};

/// A service that loads, with its collector held back.
#[derive(Clone, Copy, Default)]
pub(crate) struct Loading {
    pub(crate) looks: u32,
    pub(crate) memory_max: usize,
}

/// Instructions of a start function between two looks at it, and the looks after which the collector comes back.
const LOADING_LOOK_EVERY: c_int = 1000;
const LOADING_LOOKS_MAX: u32 = 20;
/// Bytes that a start function may add before that.
const LOADING_GROWTH_MAX: usize = 128 << 10;

impl Kernel {
    /// The service has loaded, or waits for somebody while it does: the collector works from now on.
    #[cold]
    pub(crate) unsafe fn loaded(kernel: *mut Kernel, state: *mut lua_State) {
        (*kernel).loading = None;
        ffi::lua_sethook(state, None, 0, 0);
        ffi::lua_gc((*kernel).main, ffi::LUA_GCRESTART);
    }

    /// Watches a start function, which runs with the collector held back: most are over at once, and a collection would
    /// cost more than they do. One that works for long, or takes much memory, gets the collector back.
    pub(crate) unsafe fn watch_loading(kernel: *mut Kernel, state: *mut lua_State) {
        let memory_max = (*kernel).memory().used() + LOADING_GROWTH_MAX;
        if let Some(loading) = &mut (*kernel).loading {
            *loading = Loading { looks: 0, memory_max };
            ffi::lua_sethook(state, Some(look_at_loading), ffi::LUA_MASKCOUNT, LOADING_LOOK_EVERY);
        }
    }
}

unsafe extern "C-unwind" fn look_at_loading(state: *mut lua_State, _info: *mut ffi::lua_Debug) {
    let kernel = kernel_of(state);
    let used = (*kernel).memory().used();
    let Some(loading) = &mut (*kernel).loading else {
        // A coroutine that was made in the start function and runs on.
        return ffi::lua_sethook(state, None, 0, 0);
    };
    loading.looks += 1;
    if loading.looks >= LOADING_LOOKS_MAX || used > loading.memory_max {
        Kernel::loaded(kernel, state);
    }
}
