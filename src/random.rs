//! Where random numbers come from.

use std::hash::{BuildHasher, RandomState};

/// A number that nobody foretells: a seed for a VM's string hash.
pub(crate) fn seed() -> u32 {
    word() as u32
}

/// The number by which a life of a node is known to the others; never 0.
pub(crate) fn incarnation() -> u64 {
    u64::from_ne_bytes(bytes()).max(1)
}

/// Bytes for a challenge: the operating system's, where it has any.
pub(crate) fn bytes<const N: usize>() -> [u8; N] {
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
        assert_ne!(bytes::<16>(), bytes::<16>());
        assert_ne!(incarnation(), incarnation());
        assert!(below(0) == 0 && below(1) == 0 && below(10) < 10);
    }
}
