//! The hashes: MD5 and SHA-1 with their HMACs, and skynet's own of 64 bits.

use hmac::{Hmac, KeyInit, Mac};
use md5::block_api::compress;
use md5::{Digest, Md5};
use sha1::Sha1;

/// Eight bytes: a key, a challenge or a hash of skynet's handshakes.
pub(crate) type Word = [u8; 8];

const MD5_START: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];

pub(crate) fn md5(text: &[u8]) -> [u8; 16] {
    Md5::digest(text).into()
}

pub(crate) fn sha1(text: &[u8]) -> [u8; 20] {
    Sha1::digest(text).into()
}

fn hmac<M: Mac + KeyInit>(key: &[u8], text: &[u8]) -> hmac::digest::CtOutput<M> {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("HMAC takes a key of any length");
    mac.update(text);
    mac.finalize()
}

pub(crate) fn hmac_sha1(key: &[u8], text: &[u8]) -> [u8; 20] {
    hmac::<Hmac<Sha1>>(key, text).into_bytes().into()
}

pub(crate) fn hmac_md5(key: &[u8], text: &[u8]) -> [u8; 16] {
    hmac::<Hmac<Md5>>(key, text).into_bytes().into()
}

/// Any text as a key: two simple hashes of 32 bits, side by side.
pub(crate) fn hash_key(text: &[u8]) -> Word {
    let (mut low, mut high) = (5381_u32, 1_315_423_911_u32);
    for byte in text {
        let byte = u32::from(*byte);
        low = low.wrapping_add((low << 5).wrapping_add(byte));
        high ^= (high << 5).wrapping_add(byte).wrapping_add(high >> 2);
    }
    halves(low, high)
}

fn halves(low: u32, high: u32) -> Word {
    (u64::from(high) << 32 | u64::from(low)).to_le_bytes()
}

/// One step of MD5 over both words four times, as they are: without padding, and without what the step began with
/// being added to its end.
pub(crate) fn hmac64(x: Word, y: Word) -> Word {
    let mut block = [0; 64];
    for (index, place) in block.chunks_exact_mut(4).enumerate() {
        let word = if index % 4 < 2 { &x } else { &y };
        // The upper half comes first.
        place.copy_from_slice(if index % 2 == 0 { &word[4..] } else { &word[..4] });
    }
    let mut state = MD5_START;
    compress(&mut state, &[block]);
    // The crate's step has added its beginning already.
    let [a, b, c, d] = std::array::from_fn(|index| state[index].wrapping_sub(MD5_START[index]));
    halves(c ^ d, a ^ b)
}

/// MD5 of both words three times, its halves over each other.
pub(crate) fn hmac64_md5(x: Word, y: Word) -> Word {
    let pair = [x, y];
    let sum = md5([pair, pair, pair].as_flattened().as_flattened());
    std::array::from_fn(|index| sum[index] ^ sum[index + 8])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypt::hex;

    fn text(bytes: &[u8]) -> String {
        String::from_utf8(hex::encode(bytes)).expect("digits")
    }

    #[test]
    fn the_measured_vectors_hold() {
        assert_eq!(text(&hash_key(b"hello")), "9930920fcbef1867");
        assert_eq!(text(&hmac64(*b"12345678", *b"abcdefgh")), "ac9ffda9547a027a");
        assert_eq!(text(&hmac64_md5(*b"12345678", *b"abcdefgh")), "c2a34748cf834af4");
        assert_eq!(text(&hmac64(hash_key(b"hello"), *b"abcdefgh")), "1ab2a24b8a0b4f6c");
    }
}
