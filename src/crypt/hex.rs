//! Bytes as hexadecimal text, in lower case.

/// Why a text does not stand for bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotHex {
    // Matched by programs: keep the words.
    #[error("Invalid hex text size {0}")]
    Size(usize),
    #[error("Invalid hex text")]
    Digit,
}

const NO_DIGIT: u8 = 0xff;

static DIGITS: [[u8; 2]; 256] = {
    let digits = b"0123456789abcdef";
    let mut pairs = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        pairs[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    pairs
};

static VALUES: [u8; 256] = {
    let mut values = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        let digit = DIGITS[value as usize][1];
        values[digit as usize] = value;
        values[digit.to_ascii_uppercase() as usize] = value;
        value += 1;
    }
    values
};

pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut text = vec![0; bytes.len() * 2];
    for (byte, place) in bytes.iter().zip(text.as_chunks_mut::<2>().0) {
        *place = DIGITS[usize::from(*byte)];
    }
    text
}

/// # Errors
/// A digit is missing, or something is no digit.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, NotHex> {
    if !text.len().is_multiple_of(2) {
        return Err(NotHex::Size(text.len()));
    }
    let mut bytes = vec![0; text.len() / 2];
    let mut seen = 0;
    for (pair, place) in text.as_chunks::<2>().0.iter().zip(&mut bytes) {
        let (high, low) = (VALUES[usize::from(pair[0])], VALUES[usize::from(pair[1])]);
        seen |= high | low;
        *place = high << 4 | low;
    }
    if seen > 15 { Err(NotHex::Digit) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digits_of_either_case_are_read_and_those_of_lower_case_written() {
        assert_eq!(encode(b"\x00\x9f\xff"), b"009fff");
        assert_eq!(decode(b"009Fff").as_deref(), Ok(&b"\x00\x9f\xff"[..]));
    }

    #[test]
    fn a_text_of_odd_length_or_with_another_sign_is_refused() {
        assert_eq!(decode(b"123"), Err(NotHex::Size(3)));
        for text in ["0g", "g0", " 1", "1\0", "0x", "\u{e9}"] {
            assert_eq!(decode(text.as_bytes()), Err(NotHex::Digit), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_decoded_to_the_bytes_it_was_made_of(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert_eq!(decode(&encode(&bytes)), Ok(bytes));
        }
    }
}
