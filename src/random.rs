//! Where random numbers come from.

use std::hash::{BuildHasher, RandomState};

/// A number that nobody foretells: a seed for a VM's string hash.
pub(crate) fn seed() -> u32 {
    // Each `RandomState` has keys of its own, drawn from the operating system once for a thread.
    RandomState::new().hash_one(0_u8) as u32
}
