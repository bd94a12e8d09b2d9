//! [`Memory`]: the allocator of one VM, which counts its bytes and keeps its limit.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a VM has allocated. Read by any thread, written by the one that runs the VM.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicUsize,
    limit: AtomicUsize,
}

/// Lua asks for no more: its largest basic type is 8 bytes wide (`LUAI_MAXALIGN`).
const ALIGN: usize = 8;

impl Memory {
    pub(crate) fn new() -> Memory {
        Memory { used: AtomicUsize::new(0), limit: AtomicUsize::new(usize::MAX) }
    }

    /// Bytes that the VM has now.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }

    /// The most bytes that the VM may have. An allocation that goes over is a Lua error, `not enough memory`.
    pub(crate) fn set_limit(&self, bytes: usize) {
        self.limit.store(bytes, Relaxed);
    }

    /// `lua_Alloc`, with a `Memory` as its data.
    ///
    /// # Safety
    /// Lua calls it, with the sizes that it was given before.
    pub(crate) unsafe extern "C" fn allocate(
        data: *mut c_void,
        block: *mut c_void,
        old_size: usize,
        new_size: usize,
    ) -> *mut c_void {
        // SAFETY: `data` is the `Memory` that the state was made with, and outlives it.
        let memory = unsafe { &*data.cast::<Memory>() };
        // Without a block, Lua says in `old_size` what kind of object it wants.
        let old_size = if block.is_null() { 0 } else { old_size };
        let used = memory.used.load(Relaxed);
        if new_size == 0 {
            if old_size != 0 {
                memory.used.store(used - old_size, Relaxed);
                // SAFETY: the block was allocated below with this size.
                unsafe { dealloc(block.cast(), Layout::from_size_align_unchecked(old_size, ALIGN)) };
            }
            return std::ptr::null_mut();
        }
        let after = used - old_size + new_size;
        if new_size > old_size && after > memory.limit.load(Relaxed) {
            return std::ptr::null_mut();
        }
        let Ok(layout) = Layout::from_size_align(new_size, ALIGN) else { return std::ptr::null_mut() };
        let new = if old_size == 0 {
            // SAFETY: the size is not zero.
            unsafe { alloc(layout) }
        } else {
            // SAFETY: the block was allocated here with `old_size`; the new size is not zero and fits a layout.
            unsafe { realloc(block.cast(), Layout::from_size_align_unchecked(old_size, ALIGN), new_size) }
        };
        if !new.is_null() {
            memory.used.store(after, Relaxed);
        }
        new.cast()
    }
}
