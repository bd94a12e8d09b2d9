//! The small cryptography of skynet's `crypt` and `md5` modules: pure functions over bytes.
//!
//! They are there to speak with what exists: DES, MD5 and a 64-bit Diffie-Hellman exchange are broken by today's means.
//! New protocols have TLS.

pub(crate) mod base64;
pub(crate) mod des;
pub(crate) mod exchange;
pub(crate) mod hash;
pub(crate) mod hex;
pub(crate) mod stream;
