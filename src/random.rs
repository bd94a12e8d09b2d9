//! Where random numbers come from.

use std::hash::{BuildHasher, RandomState};

/// The operating system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes from the operating system: {0}")]
pub(crate) struct NoRandomness(getrandom::Error);

/// A number that nobody foretells: a seed for a VM's string hash.
pub(crate) fn seed() -> u32 {
    // Each `RandomState` has keys of its own, drawn from the operating system once for a thread.
    RandomState::new().hash_one(0_u8) as u32
}

/// Bytes fit for a key.
///
/// # Errors
/// The operating system has none.
pub(crate) fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(NoRandomness)?;
    Ok(bytes)
}
