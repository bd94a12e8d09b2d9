//! The hello and the switch: classic frames of kind `ERROR` to nobody (local id 0), which a node of the original logs and
//! forgets. What they carry tells a node of this kind from one, and each how much the other has.
//!
//! Each side's first frame is its hello. Who has the other's hello sends its switch, and what it sends behind that is
//! extended.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Header;
use crate::handle::Handle;
use crate::message::MessageKind;

const HELLO: &[u8; 4] = b"SKRS";
const SWITCH: &[u8; 4] = b"SKRX";

/// The version of the extended form that is spoken here.
pub(in super::super) const VERSION: u8 = 1;

/// In [`Hello::flags`]: it has a secret.
pub(in super::super) const HAS_SECRET: u8 = 1;

/// In [`Hello::flags`]: the life of the other has only been spoken of, on a connection that did not come to carry it.
pub(in super::super) const FRESH: u8 = 2;

/// Bytes of the proof in a switch.
const PROOF: usize = 32;

/// What a node says of itself first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Hello {
    pub(in super::super) version: u8,
    pub(in super::super) flags: u8,
    /// None are known yet.
    pub(in super::super) features: u32,
    /// The random number of its life; never 0.
    pub(in super::super) incarnation: u64,
    /// The life of the other that it is connected with; 0 if it is with none.
    pub(in super::super) knows: u64,
    /// So many frames of that life it has received.
    pub(in super::super) received: u64,
    /// What the other has to prove the secret with.
    pub(in super::super) nonce: [u8; 16],
    /// The largest message that it takes.
    pub(in super::super) message_max: u64,
}

impl Hello {
    const LEN: usize = 58;

    pub(in super::super) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend_from_slice(HELLO);
        bytes.extend_from_slice(&[self.version, self.flags]);
        bytes.extend_from_slice(&self.features.to_be_bytes());
        for number in [self.incarnation, self.knows, self.received] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.message_max.to_be_bytes());
        bytes
    }

    /// Reads what a frame carries; nothing where it is no hello. What a later version may put behind it is passed over.
    pub(in super::super) fn read(header: &Header, content: &[u8]) -> Option<Hello> {
        let mut rest = content.strip_prefix(HELLO).filter(|_| is_for_nobody(header))?;
        let [version, flags] = next(&mut rest)?;
        let hello = Hello {
            version,
            flags,
            features: u32::from_be_bytes(next(&mut rest)?),
            incarnation: u64::from_be_bytes(next(&mut rest)?),
            knows: u64::from_be_bytes(next(&mut rest)?),
            received: u64::from_be_bytes(next(&mut rest)?),
            nonce: next(&mut rest)?,
            message_max: u64::from_be_bytes(next(&mut rest)?),
        };
        (hello.incarnation != 0 && hello.version != 0).then_some(hello)
    }
}

fn next<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (front, back) = rest.split_first_chunk()?;
    *rest = back;
    Some(*front)
}

fn is_for_nobody(header: &Header) -> bool {
    header.kind == MessageKind::ERROR && header.local == 0
}

/// How the frames of both are addressed.
pub(in super::super) fn header(own_id: u8) -> Header {
    Header { source: Handle::new(own_id, 0), kind: MessageKind::ERROR, local: 0, session: None }
}

/// The bytes of a switch.
pub(in super::super) fn switch(proof: Option<[u8; PROOF]>) -> Vec<u8> {
    let mut bytes = SWITCH.to_vec();
    bytes.extend(proof.into_iter().flatten());
    bytes
}

/// What proves the secret in a switch, if the frame is one at all.
pub(in super::super) fn read_switch<'c>(header: &Header, content: &'c [u8]) -> Option<&'c [u8]> {
    content.strip_prefix(SWITCH).filter(|_| is_for_nobody(header))
}

/// One end of a link, for the proof that it knows the secret.
#[derive(Clone, Copy)]
pub(in super::super) struct End {
    pub(in super::super) id: u8,
    pub(in super::super) nonce: [u8; 16],
}

/// What `from` says to `to`, to show that it has the secret.
pub(in super::super) fn proof(secret: &[u8], from: End, to: End) -> [u8; PROOF] {
    mac(secret, from, to).finalize().into_bytes().into()
}

/// Whether that is what `from` said; takes as long for any answer.
pub(in super::super) fn is_proof(secret: &[u8], from: End, to: End, said: &[u8]) -> bool {
    mac(secret, from, to).verify_slice(said).is_ok()
}

fn mac(secret: &[u8], from: End, to: End) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("a key may have any length");
    mac.update(b"link");
    mac.update(&[from.id, to.id]);
    mac.update(&to.nonce);
    mac.update(&from.nonce);
    mac
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hello() -> Hello {
        Hello {
            version: VERSION,
            flags: HAS_SECRET,
            features: 0,
            incarnation: 0x1122_3344_5566_7788,
            knows: 2,
            received: 3,
            nonce: *b"0123456789abcdef",
            message_max: 1 << 28,
        }
    }

    #[test]
    fn a_hello_has_these_bytes() {
        let mut wanted = b"SKRS\x01\x01\0\0\0\0\x11\x22\x33\x44\x55\x66\x77\x88".to_vec();
        wanted.extend_from_slice(b"\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x030123456789abcdef\0\0\0\0\x10\0\0\0");
        assert_eq!((hello().to_bytes(), hello().to_bytes().len()), (wanted, Hello::LEN));
        assert_eq!(header(3).to_bytes(), [3, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_hello_of_a_later_version_is_read_and_a_damaged_one_is_none() {
        let bytes = hello().to_bytes();
        let later = [&bytes[..], b"more"].concat();
        assert_eq!(Hello::read(&header(1), &later), Some(hello()));
        for len in 0..bytes.len() {
            assert_eq!(Hello::read(&header(1), &bytes[..len]), None, "{len}");
        }
        let nobody = Hello { incarnation: 0, ..hello() }.to_bytes();
        assert_eq!(Hello::read(&header(1), &nobody), None);
        let other = Header { kind: MessageKind::LUA, ..header(1) };
        assert_eq!(Hello::read(&other, &bytes), None);
        assert_eq!(Hello::read(&Header { local: 1, ..header(1) }, &bytes), None);
    }

    #[test]
    fn a_proof_holds_for_one_direction_one_secret_and_these_nonces() {
        let (a, b) = (End { id: 1, nonce: [1; 16] }, End { id: 2, nonce: [2; 16] });
        let right = proof(b"secret", a, b);
        assert_eq!(read_switch(&header(1), &switch(Some(right))), Some(&right[..]));
        assert!(is_proof(b"secret", a, b, &right));
        assert!(!is_proof(b"secret", b, a, &right) && !is_proof(b"Secret", a, b, &right));
        assert!(!is_proof(b"secret", a, End { id: 2, nonce: [3; 16] }, &right));
        assert!(!is_proof(b"secret", a, b, &right[..31]) && !is_proof(b"secret", a, b, b""));
        assert_eq!(read_switch(&header(1), &switch(None)), Some(&b""[..]));
        assert_eq!(read_switch(&header(1), b"SKR"), None);
    }

    proptest! {
        #[test]
        fn any_hello_comes_back(incarnation in 1_u64.., knows: u64, received: u64, nonce: [u8; 16], flags: u8) {
            let hello = Hello { incarnation, knows, received, nonce, flags, ..hello() };
            prop_assert_eq!(Hello::read(&header(1), &hello.to_bytes()), Some(hello));
        }
    }
}
