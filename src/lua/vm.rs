//! [`Vm`]: the Lua state of one service, with its kernel.

use std::ffi::c_int;
use std::sync::Arc;

use super::interrupt::Reach;
use super::kernel::Kernel;
use super::kernel::task::set_seat;
use super::modules::{coroutine, skynet, skynet_codecache};
use super::raw::memory::Memory;
use super::raw::{compat, ffi, lua_State, protect};
use super::{loader, seri};

/// One Lua state. It is owned by its service and moves with it from thread to thread.
pub(crate) struct Vm {
    kernel: Box<Kernel>,
}

// SAFETY: a Lua state may be used by any thread, one at a time. No handle into it ever leaves the service that owns
// the `Vm`, and the service is used by the owner of its turn only.
unsafe impl Send for Vm {}

/// There is no memory for a Lua state.
#[derive(Debug, thiserror::Error)]
#[error("not enough memory for a Lua state")]
pub(crate) struct NoMemory;

impl Vm {
    /// A state with the standard library, our modules within reach of `require`, and the collector held back.
    pub(crate) fn new(reach: Arc<Reach>, seed: u32) -> Result<Vm, NoMemory> {
        let mut kernel = Box::new(Kernel::new(reach));
        let memory: *const Memory = &raw const kernel.reach.memory;
        // SAFETY: the memory is behind an `Arc` that the kernel holds, and the kernel outlives the state (see `drop`).
        let state = unsafe { compat::new_state(Memory::allocate, memory.cast_mut().cast(), seed) };
        if state.is_null() {
            return Err(NoMemory);
        }
        kernel.main = state;
        kernel.seat.kernel = &raw mut *kernel;
        let mut vm = Vm { kernel };
        // SAFETY: a fresh state; the seat lies in the boxed kernel.
        let opened = unsafe {
            set_seat(state, &raw mut vm.kernel.seat);
            protect(state, |state| open(state))
        };
        opened.map(|()| vm).map_err(|_| NoMemory)
    }

    pub(crate) fn kernel(&mut self) -> *mut Kernel {
        &raw mut *self.kernel
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        // SAFETY: closing frees all that the state has; the kernel, with the chunks and the memory's book, is freed
        // after it.
        unsafe { ffi::lua_close(self.kernel.main) };
    }
}

/// # Safety
/// Runs inside a protected call, in a fresh state with its seat.
unsafe fn open(state: *mut lua_State) {
    // SAFETY: the caller's promise.
    unsafe {
        ffi::lua_gc(state, ffi::LUA_GCSTOP);
        compat::gc_generational(state);
        ffi::lua_pushboolean(state, 1);
        ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, c"LUA_NOENV".as_ptr());
        ffi::luaL_openlibs(state);
        ffi::lua_pushlightuserdata(state, super::raw::entry::kernel_of(state).cast());
        ffi::lua_setfield(state, ffi::LUA_REGISTRYINDEX, c"skynet_context".as_ptr());
        seri::prepare(state);
        coroutine::install(state);
        skynet_codecache::install(state);
        loader::install(state);
        skynet::register_defaults(state);
        let _: c_int = ffi::lua_gettop(state);
        ffi::lua_settop(state, 0);
    }
}
