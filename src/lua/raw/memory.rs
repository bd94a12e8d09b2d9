//! [`Memory`]: the allocator of one VM, which counts its bytes and keeps its limit.

use std::alloc::{Layout, alloc, dealloc, realloc};
use std::ffi::c_void;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What a VM has allocated. Read by any thread, written by the one that runs the VM.
#[derive(Debug)]
pub(crate) struct Memory {
    used: AtomicUsize,
    limit: AtomicUsize,
}

/// A block below this size is asked of the allocator without a second look.
const LARGE_BLOCK_MIN: usize = 1 << 30;

/// Whether a block has no room in this machine, whatever else is freed.
///
/// An allocator may promise it all the same, since the system lets it reserve more than there is. Then `("x"):rep(1 << 40)`
/// would fill the machine until the system ends the process, instead of being an error of the script.
fn has_no_room(size: usize) -> bool {
    static INSTALLED: OnceLock<usize> = OnceLock::new();
    size >= LARGE_BLOCK_MIN && size > *INSTALLED.get_or_init(installed_bytes)
}

/// The memory of the machine.
fn installed_bytes() -> usize {
    // SAFETY: `sysconf` reads no memory of ours.
    let (pages, page) = unsafe { (libc::sysconf(libc::_SC_PHYS_PAGES), libc::sysconf(libc::_SC_PAGESIZE)) };
    match (usize::try_from(pages), usize::try_from(page)) {
        (Ok(pages), Ok(page)) => pages.saturating_mul(page),
        _ => usize::MAX,
    }
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
        if new_size > old_size && (after > memory.limit.load(Relaxed) || has_no_room(new_size)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_larger_than_the_machine_has_no_room() {
        let installed = installed_bytes();
        assert!(installed > LARGE_BLOCK_MIN / 16, "a machine with {installed} bytes");
        assert!(!has_no_room(installed.min(LARGE_BLOCK_MIN - 1)));
        assert!(!has_no_room(installed));
        assert!(has_no_room(installed.max(LARGE_BLOCK_MIN) + 1));
    }
}
