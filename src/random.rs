//! Where random numbers come from.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU64;

/// Bytes that nobody foretells, from the operating system: what a secret's challenge is made of.
///
/// # Errors
/// The operating system has none to give.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], getrandom::Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A number that is not 0 and that no other node draws.
pub(crate) fn nonzero() -> NonZeroU64 {
    let drawn = bytes().map(u64::from_ne_bytes).ok().and_then(NonZeroU64::new);
    // Without the system's random numbers it is still one that is new for each process.
    drawn.unwrap_or_else(|| NonZeroU64::MIN | RandomState::new().hash_one(0_u8))
}

/// A number that nobody foretells: a seed for a VM's string hash.
pub(crate) fn seed() -> u32 {
    // Each `RandomState` has keys of its own, drawn from the operating system once for a thread.
    RandomState::new().hash_one(0_u8) as u32
}
