//! The keys with which a WebSocket handshake is answered (RFC 6455, section 4), and masks.

use data_encoding::BASE64;
use sha1::{Digest, Sha1};

/// What every server of the protocol adds to a client's key.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// `Sec-WebSocket-Accept` for a client's `Sec-WebSocket-Key`, which has to be 16 bytes in base64.
pub(crate) fn accept(key: &[u8]) -> Option<String> {
    if BASE64.decode(key).ok()?.len() != 16 {
        return None;
    }
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    Some(BASE64.encode(&digest))
}

/// A key for a client.
pub(crate) fn key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64.encode(&bytes))
}

/// A mask that the sender of what is masked cannot foretell: this is all that masks are for.
pub(crate) fn mask() -> Result<[u8; 4], getrandom::Error> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
        assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ==").as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }

    #[test]
    fn a_key_is_sixteen_bytes_in_base64() {
        for bad in [
            "",
            "junk",
            "dGhlIHNhbXBsZSBub25jZQ",
            "dGhlIHNhbXBsZSBub25jZSE=",
            "AAAA",
            "!GhlIHNhbXBsZSBub25jZQ==",
        ] {
            assert_eq!(accept(bad.as_bytes()), None, "{bad:?}");
        }
        let (one, other) = (key().expect("random bytes"), key().expect("random bytes"));
        assert_ne!(one, other);
        assert_eq!(accept(one.as_bytes()).map(|accept| accept.len()), Some(28));
    }
}
