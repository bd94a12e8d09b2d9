//! Base64 with the standard alphabet. The encoder pads; the decoder takes what mailers and hands do to such texts.

/// The text is not base64, even with what may be skipped taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
// Matched by programs: keep the words.
#[error("Invalid base64 text")]
pub(crate) struct NotBase64;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Two letters for each 12 bits: half the steps of one letter for each 6.
static PAIRS: [[u8; 2]; 4096] = {
    let mut pairs = [[0; 2]; 4096];
    let mut bits = 0;
    while bits < pairs.len() {
        pairs[bits] = [ALPHABET[bits >> 6], ALPHABET[bits & 63]];
        bits += 1;
    }
    pairs
};

/// Set in the tables below for what is no letter; such a sum is over all that four letters can give.
const NO_LETTER: u32 = 1 << 31;

/// What a letter adds to its group of 24 bits, by its place in the group.
static VALUES: [[u32; 256]; 4] = {
    let mut values = [[NO_LETTER; 256]; 4];
    let mut place = 0;
    while place < 4 {
        let mut value = 0;
        while value < 64 {
            values[place][ALPHABET[value] as usize] = (value as u32) << (18 - 6 * place);
            value += 1;
        }
        place += 1;
    }
    values
};

fn pair(bits: u32) -> [u8; 2] {
    PAIRS[(bits & 0xfff) as usize]
}

/// The bytes as text.
pub(crate) fn encode(bytes: &[u8]) -> Vec<u8> {
    let mut text = vec![0; bytes.len().div_ceil(3) * 4];
    let (groups, rest) = bytes.as_chunks::<3>();
    let (places, _) = text.as_chunks_mut::<4>();
    let (places, last) = places.split_at_mut(groups.len());
    for (group, place) in groups.iter().zip(places) {
        let bits = u32::from(group[0]) << 16 | u32::from(group[1]) << 8 | u32::from(group[2]);
        let ([a, b], [c, d]) = (pair(bits >> 12), pair(bits));
        *place = [a, b, c, d];
    }
    if let [place] = last {
        let second = rest.get(1).map_or(0, |byte| u32::from(*byte));
        let bits = u32::from(rest[0]) << 16 | second << 8;
        let ([a, b], [c, _]) = (pair(bits >> 12), pair(bits));
        *place = [a, b, if rest.len() == 2 { c } else { b'=' }, b'='];
    }
    text
}

/// The bytes of a text. What is no letter is skipped, and `=` may be missing at the end; texts may follow one another.
///
/// # Errors
/// A letter is left alone, bits are left over, or `=` stands where a letter belongs.
pub(crate) fn decode(text: &[u8]) -> Result<Vec<u8>, NotBase64> {
    let mut bytes = vec![0; text.len().div_ceil(4) * 3];
    let (mut read, mut written) = (0, 0);
    loop {
        let groups = decode_plain(&text[read..], &mut bytes[written..]);
        read += groups * 4;
        written += groups * 3;
        if read == text.len() {
            bytes.truncate(written);
            return Ok(bytes);
        }
        let (used, whole, len) = decode_group(&text[read..])?;
        bytes[written..written + len].copy_from_slice(&whole[..len]);
        read += used;
        written += len;
    }
}

/// Decodes groups of four letters as long as nothing is between them; answers how many there were.
fn decode_plain(text: &[u8], bytes: &mut [u8]) -> usize {
    let mut done = 0;
    for (group, place) in text.as_chunks::<4>().0.iter().zip(bytes.as_chunks_mut::<3>().0) {
        let value = |place: usize| VALUES[place][usize::from(group[place])];
        let bits = value(0) | value(1) | value(2) | value(3);
        if bits >= NO_LETTER {
            break;
        }
        let [_, whole @ ..] = bits.to_be_bytes();
        *place = whole;
        done += 1;
    }
    done
}

/// Decodes one group, with what is to be skipped before it and in it. Answers how much of the text it took, and up to
/// three bytes with their number.
fn decode_group(text: &[u8]) -> Result<(usize, [u8; 3], usize), NotBase64> {
    let (mut bits, mut letters, mut padding) = (0, 0, 0);
    let mut used = 0;
    for byte in text {
        if letters + padding == 4 {
            break;
        }
        used += 1;
        match VALUES[3][usize::from(*byte)] {
            NO_LETTER if *byte == b'=' => padding += 1,
            NO_LETTER => {}
            _ if padding > 0 => return Err(NotBase64),
            value => {
                bits = bits << 6 | value;
                letters += 1;
            }
        }
    }
    let (len, left_over) = match letters {
        4 => (3, 0),
        3 => (2, 2),
        2 => (1, 4),
        // Only what is skipped came before the end.
        0 if padding == 0 => (0, 0),
        _ => return Err(NotBase64),
    };
    // Bits of the last letter that belong to no byte must be zero.
    if bits & ((1 << left_over) - 1) != 0 {
        return Err(NotBase64);
    }
    let [_, whole @ ..] = if letters == 0 { [0; 4] } else { (bits << (24 - 6 * letters)).to_be_bytes() };
    Ok((used, whole, len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode(bytes.as_bytes()), text.as_bytes());
            assert_eq!(decode(text.as_bytes()).as_deref(), Ok(bytes.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_letter_is_skipped_and_padding_may_be_missing() {
        for (text, bytes) in [
            ("Zm9v\r\nYmFy\r\n", "foobar"),
            ("\0 Z-m_9*v ", "foo"),
            ("Zm9vYg", "foob"),
            ("Zm9vYmE", "fooba"),
            ("Zg=\n=", "f"),
            ("Zg=", "f"),
            ("Zg==Zm8=", "ffo"),
            ("\n\n", ""),
        ] {
            assert_eq!(decode(text.as_bytes()).as_deref(), Ok(bytes.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn what_cannot_be_a_text_is_refused() {
        for text in ["Z", "Zm9vY", "=", "====", "Z===", "Z=g=", "Zg=g", "Zh==", "Zm9=", "Zm9vYmE=="] {
            assert_eq!(decode(text.as_bytes()), Err(NotBase64), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_decoded_to_the_bytes_it_was_made_of(
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
            breaks in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut text = encode(&bytes);
            prop_assert_eq!(text.len(), bytes.len().div_ceil(3) * 4);
            for place in breaks {
                text.insert(place.index(text.len() + 1), b'\n');
            }
            prop_assert_eq!(decode(&text), Ok(bytes.clone()));
            text.retain(|byte| *byte != b'=');
            prop_assert_eq!(decode(&text), Ok(bytes));
        }

        #[test]
        fn any_text_is_decoded_or_refused(text in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(bytes) = decode(&text) {
                prop_assert!(bytes.len() <= text.len().div_ceil(4) * 3);
            }
        }
    }
}
