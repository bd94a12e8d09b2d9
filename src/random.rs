//! Where random numbers come from.

use std::hash::{BuildHasher, RandomState};

/// The operating system gives no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("no random bytes from the operating system: {0}")]
pub(crate) struct NoRandomness(getrandom::Error);

/// A number that nobody foretells: a seed for a VM's string hash.
pub(crate) fn seed() -> u32 {
    word() as u32
}

/// The number by which a life of a node is known to the others; never 0.
pub(crate) fn incarnation() -> u64 {
    u64::from_ne_bytes(challenge()).max(1)
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

/// Bytes for a challenge, which must only never come twice: the operating system's, where it has any.
pub(crate) fn challenge<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    if getrandom::fill(&mut bytes).is_err() {
        for piece in bytes.chunks_mut(8) {
            piece.copy_from_slice(&word().to_ne_bytes()[..piece.len()]);
        }
    }
    bytes
}

/// A number below `limit`, for jitter; 0 where that is 0.
pub(crate) fn below(limit: u64) -> u64 {
    word().checked_rem(limit).unwrap_or(0)
}

fn word() -> u64 {
    // Each `RandomState` has keys of its own, drawn from the operating system once for a thread.
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_draws_are_alike() {
        assert_ne!(challenge::<16>(), challenge::<16>());
        assert_ne!(bytes::<16>().ok(), bytes::<16>().ok());
        assert_ne!(incarnation(), incarnation());
        assert!(below(0) == 0 && below(1) == 0 && below(10) < 10);
    }
}
