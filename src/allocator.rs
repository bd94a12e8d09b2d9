//! The program's allocator: mimalloc, for Rust, for Lua and for what C modules ask `malloc` for.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};

/// One allocator for the whole program: a node makes and drops many small blocks, on many threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    // Of mimalloc, which the allocator above links.
    fn mi_collect(force: bool);
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// `mi_option_purge_delay` of `mimalloc.h`.
const PURGE_DELAY: c_int = 15;
/// For so many milliseconds free memory is kept for the next one who needs some. With mimalloc's own 10 a large message took
/// nearly twice as long, since its memory was given back before the next one came, and then had to be mapped anew.
const PURGE_AFTER: c_long = 100;

/// To be called first. `MIMALLOC_PURGE_DELAY` in the environment still goes before what is set here.
pub(crate) fn tune() {
    // SAFETY: may be called at any time; an option that is not there is ignored.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_AFTER) }
}

/// Gives back to the system what is free of the calling thread's blocks. What other threads have freed of them waits for
/// it to ask, and a worker that sleeps after a burst would keep it for ever.
pub(crate) fn collect() {
    // SAFETY: may be called on any thread at any time.
    unsafe { mi_collect(true) }
}
