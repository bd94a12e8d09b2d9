//! The cipher of the `md5` module: MD5 as a key stream, each block of which depends on the cipher text before it.
//!
//! A cipher text is the length of its seed in one byte, the seed, and the message under the stream.

use super::hash::md5;

/// Bytes of a seed, and of a block of the stream.
pub(crate) const BLOCK: usize = 16;
/// Bytes of a key.
pub(crate) const KEY_MAX: usize = 256;

/// Why nothing is encrypted or decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamError {
    // Matched by programs: keep the words.
    #[error("key too long (> {KEY_MAX})")]
    Key,
    #[error("seed too long (> {BLOCK})")]
    Seed,
    #[error("invalid cyphered string")]
    Cipher,
}

/// What the next block of the stream is made of: the last cipher text (at first the seed), and the key.
struct Stream {
    input: Vec<u8>,
}

impl Stream {
    fn new(key: &[u8], seed: &[u8]) -> Result<Stream, StreamError> {
        if key.len() > KEY_MAX {
            return Err(StreamError::Key);
        }
        let mut input = vec![0; BLOCK];
        input.get_mut(..seed.len()).ok_or(StreamError::Seed)?.copy_from_slice(seed);
        input.extend_from_slice(key);
        Ok(Stream { input })
    }

    /// Adds the stream to a block, which is up to [`BLOCK`] bytes; then takes the cipher text of it in.
    fn apply(&mut self, from: &[u8], to: &mut Vec<u8>, encrypts: bool) {
        let before = to.len();
        to.extend(from.iter().zip(md5(&self.input)).map(|(byte, mask)| byte ^ mask));
        let cipher = if encrypts { &to[before..] } else { from };
        self.input[..cipher.len()].copy_from_slice(cipher);
    }
}

/// # Errors
/// The key or the seed is too long.
pub(crate) fn encrypt(message: &[u8], key: &[u8], seed: &[u8]) -> Result<Vec<u8>, StreamError> {
    let seed_len = u8::try_from(seed.len()).map_err(|_| StreamError::Seed)?;
    let mut stream = Stream::new(key, seed)?;
    let mut out = Vec::with_capacity(1 + seed.len() + message.len());
    out.push(seed_len);
    out.extend_from_slice(seed);
    for block in message.chunks(BLOCK) {
        stream.apply(block, &mut out, true);
    }
    Ok(out)
}

/// # Errors
/// The key is too long, or this is no cipher text.
pub(crate) fn decrypt(cipher: &[u8], key: &[u8]) -> Result<Vec<u8>, StreamError> {
    let (seed_len, rest) = cipher.split_first().ok_or(StreamError::Cipher)?;
    let (seed, rest) = rest.split_at_checked(usize::from(*seed_len)).ok_or(StreamError::Cipher)?;
    let mut stream = Stream::new(key, seed).map_err(|error| match error {
        StreamError::Seed => StreamError::Cipher,
        other => other,
    })?;
    let mut out = Vec::with_capacity(rest.len());
    for block in rest.chunks(BLOCK) {
        stream.apply(block, &mut out, false);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_block_is_the_message_under_the_sum_of_seed_and_key() {
        let mut input = b"seed".to_vec();
        input.resize(BLOCK, 0);
        input.extend_from_slice(b"key");
        let cipher = encrypt(b"message", b"key", b"seed").expect("both are short");
        assert_eq!(&cipher[..5], b"\x04seed");
        for ((byte, mask), plain) in cipher[5..].iter().zip(md5(&input)).zip(b"message") {
            assert_eq!(byte ^ mask, *plain);
        }
    }

    #[test]
    fn what_is_too_long_or_cut_is_refused() {
        assert_eq!(encrypt(b"", &[0; KEY_MAX + 1], b""), Err(StreamError::Key));
        assert_eq!(encrypt(b"", b"", &[0; BLOCK + 1]), Err(StreamError::Seed));
        assert_eq!(encrypt(b"", b"", &[0; 300]), Err(StreamError::Seed));
        assert_eq!(decrypt(b"", b""), Err(StreamError::Cipher));
        assert_eq!(decrypt(b"\x02a", b""), Err(StreamError::Cipher));
        assert_eq!(decrypt(&[17; 40], b""), Err(StreamError::Cipher));
        assert_eq!(decrypt(b"\0", &[0; KEY_MAX + 1]), Err(StreamError::Key));
    }

    proptest! {
        #[test]
        fn what_was_encrypted_is_decrypted(
            message in proptest::collection::vec(any::<u8>(), 0..100),
            key in proptest::collection::vec(any::<u8>(), 0..=KEY_MAX),
            seed in proptest::collection::vec(any::<u8>(), 0..=BLOCK),
        ) {
            let cipher = encrypt(&message, &key, &seed).expect("both are short enough");
            prop_assert_eq!(cipher.len(), 1 + seed.len() + message.len());
            prop_assert_eq!(decrypt(&cipher, &key), Ok(message));
        }
    }
}
