//! WebSocket frames (RFC 6455, section 5).
//!
//! A frame is known by its header, so that one over the limit is refused before its payload comes. Masked or not is not
//! judged here: skynet's clients do not mask, and its servers take both. Nor is the text of text frames.

use std::fmt;

/// The longest payload of a frame that is no data: close, ping, pong.
pub(crate) const CONTROL_MAX: usize = 125;

/// The bit that says "last of its message", beside the opcode.
const FIN: u8 = 0x80;
/// Extensions would use these; we speak none.
const RESERVED: u8 = 0x70;
/// The bit beside the length that says "masked".
const MASKED: u8 = 0x80;

/// A frame that has come as a whole.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) op: u8,
    pub(crate) fin: bool,
    pub(crate) mask: Option<[u8; 4]>,
    /// As it came: masked, if there is a mask.
    pub(crate) payload: &'a [u8],
    /// Of the whole frame.
    pub(crate) len: usize,
}

impl Frame<'_> {
    /// The payload as it was before it was masked.
    pub(crate) fn unmasked(&self) -> Vec<u8> {
        let mut payload = self.payload.to_vec();
        if let Some(mask) = self.mask {
            apply(&mut payload, mask);
        }
        payload
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded<'a> {
    Whole(Frame<'a>),
    /// So many bytes have to come at least, not 0; the payload's are counted once its length is known.
    Partial {
        missing: usize,
    },
}

/// Why no frame can begin with these bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameError {
    ReservedBits,
    Opcode(u8),
    ControlInParts(u8),
    ControlTooLong(u64),
    TooLarge,
}

impl fmt::Display for FrameError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::ReservedBits => to.write_str("websocket frame: reserved bits are set"),
            FrameError::Opcode(op) => write!(to, "websocket frame: unknown opcode {op:#x}"),
            FrameError::ControlInParts(op) => {
                write!(to, "websocket frame: control frame {op:#x} is fragmented")
            }
            FrameError::ControlTooLong(len) => write!(to, "websocket frame: control frame has {len} bytes"),
            // Matched by programs: keep the words.
            FrameError::TooLarge => to.write_str("payload_len is too large"),
        }
    }
}

impl std::error::Error for FrameError {}

/// Looks at the frame that these bytes begin with; its payload may have `limit` bytes.
pub(crate) fn decode(bytes: &[u8], limit: usize) -> Result<Decoded<'_>, FrameError> {
    let [first, rest @ ..] = bytes else { return Ok(Decoded::Partial { missing: 2 }) };
    let (op, fin) = (first & 0x0f, first & FIN != 0);
    let control = op >= 8;
    if first & RESERVED != 0 {
        return Err(FrameError::ReservedBits);
    } else if !matches!(op, 0..=2 | 8..=10) {
        return Err(FrameError::Opcode(op));
    } else if control && !fin {
        return Err(FrameError::ControlInParts(op));
    }
    let [second, rest @ ..] = rest else { return Ok(Decoded::Partial { missing: 1 }) };
    let short = second & !MASKED;
    let length_len = match short {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let Some((length, rest)) = rest.split_at_checked(length_len) else {
        return Ok(Decoded::Partial { missing: length_len - rest.len() });
    };
    let length = match length_len {
        0 => u64::from(short),
        _ => length.iter().fold(0, |length, byte| length << 8 | u64::from(*byte)),
    };
    if control && length > CONTROL_MAX as u64 {
        return Err(FrameError::ControlTooLong(length));
    }
    let length =
        usize::try_from(length).ok().filter(|length| *length <= limit).ok_or(FrameError::TooLarge)?;
    let mask_len = if second & MASKED != 0 { 4 } else { 0 };
    let missing = (mask_len + length).saturating_sub(rest.len());
    if missing > 0 {
        return Ok(Decoded::Partial { missing });
    }
    let (mask, rest) = rest.split_at_checked(mask_len).unwrap_or((&[], rest));
    let payload = rest.get(..length).unwrap_or_default();
    let len = 2 + length_len + mask_len + length;
    Ok(Decoded::Whole(Frame { op, fin, mask: mask.try_into().ok(), payload, len }))
}

/// The bytes of a frame.
pub(crate) fn encode(op: u8, fin: bool, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(payload.len() + 14);
    let bit = if mask.is_some() { MASKED } else { 0 };
    bytes.push(op | if fin { FIN } else { 0 });
    match payload.len() {
        len @ 0..=125 => bytes.push(bit | len as u8),
        len @ 126..=0xffff => {
            bytes.push(bit | 126);
            bytes.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            bytes.push(bit | 127);
            bytes.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    if let Some(mask) = mask {
        bytes.extend_from_slice(&mask);
    }
    let head = bytes.len();
    bytes.extend_from_slice(payload);
    if let (Some(mask), Some(payload)) = (mask, bytes.get_mut(head..)) {
        apply(payload, mask);
    }
    bytes
}

/// Masks, or takes the mask off: they are the same.
fn apply(payload: &mut [u8], mask: [u8; 4]) {
    // In words of eight bytes, and the compiler makes vectors of those.
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = payload.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= mask;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 256 << 10;

    fn whole(bytes: &[u8]) -> Frame<'_> {
        match decode(bytes, LIMIT) {
            Ok(Decoded::Whole(frame)) => frame,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn frames_have_the_bytes_that_the_original_gives_them() {
        let masked = [0x81, 0x82, 1, 2, 3, 4, 0x69, 0x6b];
        assert_eq!(encode(1, true, b"hi", Some([1, 2, 3, 4])), masked);
        assert_eq!(encode(1, true, b"hi", None), [0x81, 2, 0x68, 0x69]);
        assert_eq!(encode(10, true, b"", None), [0x8a, 0]);
        assert_eq!(encode(8, true, b"", None), [0x88, 0]);
        let frame = whole(&masked);
        assert_eq!((frame.op, frame.fin, frame.unmasked(), frame.len), (1, true, b"hi".to_vec(), 8));
        assert_eq!(encode(2, false, &[7; 126], None)[..4], [0x02, 126, 0, 126]);
        assert_eq!(encode(2, true, &[7; 0xffff], None)[..4], [0x82, 126, 0xff, 0xff]);
        assert_eq!(encode(2, true, &[7; 0x10000], None)[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn a_part_of_a_frame_says_what_is_missing() {
        for payload in [0, 1, 125, 126, 200, 0xffff, 0x10000] {
            for mask in [None, Some([9, 8, 7, 6])] {
                let bytes = encode(2, true, &vec![5; payload], mask);
                let mut have = 0;
                let mut reads = 0;
                while have < bytes.len() {
                    match decode(&bytes[..have], LIMIT) {
                        Ok(Decoded::Partial { missing }) => have += missing,
                        other => panic!("{other:?} with {have} of {} bytes", bytes.len()),
                    }
                    assert!(have <= bytes.len(), "no more is asked for than the frame has");
                    reads += 1;
                }
                assert!(reads <= 3);
                assert_eq!(whole(&bytes).unmasked(), vec![5; payload]);
            }
        }
    }

    #[test]
    fn a_frame_against_the_rules_is_refused_by_its_first_bytes() {
        for (bytes, error) in [
            (&[0xc1][..], FrameError::ReservedBits),
            (&[0x91], FrameError::ReservedBits),
            (&[0xa1], FrameError::ReservedBits),
            (&[0x83], FrameError::Opcode(3)),
            (&[0x8b], FrameError::Opcode(11)),
            (&[0x09], FrameError::ControlInParts(9)),
            (&[0x08, 0], FrameError::ControlInParts(8)),
            (&[0x89, 126, 0, 126], FrameError::ControlTooLong(126)),
            (&[0x88, 0xff, 0, 0, 0, 0, 0, 1, 0, 0], FrameError::ControlTooLong(65536)),
            (&[0x82, 127, 0, 0, 0, 0, 0, 4, 0, 1], FrameError::TooLarge),
            (&[0x82, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], FrameError::TooLarge),
        ] {
            assert_eq!(decode(bytes, LIMIT), Err(error));
        }
        assert_eq!(FrameError::TooLarge.to_string(), "payload_len is too large");
        let at_the_limit = decode(&[0x82, 127, 0, 0, 0, 0, 0, 4, 0, 0], LIMIT);
        assert_eq!(at_the_limit, Ok(Decoded::Partial { missing: LIMIT }));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            op in prop_oneof![Just(0_u8), Just(1), Just(2)],
            fin in any::<bool>(),
            payload in proptest::collection::vec(any::<u8>(), 0..300),
            mask in proptest::option::of(any::<[u8; 4]>()),
            behind in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut bytes = encode(op, fin, &payload, mask);
            let len = bytes.len();
            bytes.extend_from_slice(&behind);
            let frame = whole(&bytes);
            prop_assert_eq!((frame.op, frame.fin, frame.mask, frame.len), (op, fin, mask, len));
            prop_assert_eq!(frame.unmasked(), payload);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            match decode(&bytes, LIMIT) {
                Ok(Decoded::Whole(frame)) => {
                    prop_assert!(frame.len <= bytes.len() && frame.payload.len() < frame.len);
                    prop_assert_eq!(decode(&bytes[..frame.len], LIMIT), decode(&bytes, LIMIT));
                }
                Ok(Decoded::Partial { missing }) => prop_assert!(missing > 0 && missing <= LIMIT + 12),
                Err(_) => {}
            }
        }
    }
}
