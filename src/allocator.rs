//! The program's allocator: mimalloc, for Rust, for Lua and for what C modules ask `malloc` for.
#![allow(unsafe_code)]

/// One allocator for the whole program: a node makes and drops many small blocks, on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Of mimalloc, which the allocator above links.
    fn mi_collect(force: bool);
}

/// Gives back to the system what is free of the calling thread's blocks. What other threads have freed of them waits for
/// it to ask, and a worker that sleeps after a burst would keep it for ever.
pub(crate) fn collect() {
    // SAFETY: may be called on any thread at any time.
    unsafe { mi_collect(true) }
}
