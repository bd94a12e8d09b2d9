//! Bodies with `Transfer-Encoding: chunked`, in whatever pieces they come.
//!
//! The caller keeps the [`State`] and what was not used; how much body it takes is its limit to keep, since no call gives
//! more than it was given. Behind the last chunk come the trailers, which are header fields.

/// A size line, its extensions and end of line included, has no more bytes than that.
pub(crate) const SIZE_LINE_MAX: usize = 256;

/// More hexadecimal digits would not fit an `i64`. Zeros in front count, too.
const SIZE_DIGITS_MAX: usize = 15;

/// Where in the body the next byte lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// At the line with a chunk's size.
    Size,
    /// In a chunk, with so many bytes to come, not 0.
    Data(u64),
    /// At the end of line behind a chunk.
    DataEnd,
    /// Behind the line of the last chunk, whose size is 0.
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChunkError {
    #[error("a chunk's size is no hexadecimal number")]
    Size,
    #[error("the line of a chunk's size has over {SIZE_LINE_MAX} bytes")]
    Line,
    #[error("a chunk has more bytes than its size says")]
    End,
}

impl State {
    /// A number for those who cannot keep an enum; [`State::from_number`] knows it again.
    pub(crate) fn number(self) -> i64 {
        match self {
            State::Size => 0,
            State::Data(left) => i64::try_from(left).unwrap_or(i64::MAX),
            State::DataEnd => -1,
            State::Done => -2,
        }
    }

    pub(crate) fn from_number(number: i64) -> Option<State> {
        match number {
            0 => Some(State::Size),
            -1 => Some(State::DataEnd),
            -2 => Some(State::Done),
            left => u64::try_from(left).ok().map(State::Data),
        }
    }
}

/// Reads on. What belongs to the body is added to it; answers the new state, and how many bytes were used.
pub(crate) fn decode(
    mut state: State,
    bytes: &[u8],
    body: &mut Vec<u8>,
) -> Result<(State, usize), ChunkError> {
    let mut rest = bytes;
    loop {
        state = match state {
            State::Size => {
                let window = rest.get(..SIZE_LINE_MAX).unwrap_or(rest);
                let Some(end) = window.iter().position(|byte| *byte == b'\n') else {
                    if window.len() == SIZE_LINE_MAX {
                        return Err(ChunkError::Line);
                    }
                    // Of a line that cannot become one, no more is waited for.
                    size(window.strip_suffix(b"\r").unwrap_or(window), true)?;
                    break;
                };
                let line = window.get(..end).unwrap_or_default();
                let size = size(line.strip_suffix(b"\r").ok_or(ChunkError::Size)?, false)?;
                rest = rest.get(end + 1..).unwrap_or_default();
                if size == 0 { State::Done } else { State::Data(size) }
            }
            State::Data(left) => {
                let len = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                let (data, behind) = rest.split_at_checked(len).unwrap_or((rest, &[]));
                body.extend_from_slice(data);
                rest = behind;
                match left - len as u64 {
                    0 => State::DataEnd,
                    left => {
                        state = State::Data(left);
                        break;
                    }
                }
            }
            State::DataEnd => match rest {
                [] | [b'\r'] => break,
                [b'\r', b'\n', behind @ ..] => {
                    rest = behind;
                    State::Size
                }
                _ => return Err(ChunkError::End),
            },
            State::Done => break,
        };
    }
    Ok((state, bytes.len() - rest.len()))
}

/// The number at the front of a size line; what stands behind a semicolon is for others. Of a line that has not come as a
/// whole, as much as there is must be right.
fn size(line: &[u8], partial: bool) -> Result<u64, ChunkError> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (digits, rest) = line.split_at_checked(digits).ok_or(ChunkError::Size)?;
    let behind = rest.trim_ascii_start();
    let missing = digits.is_empty() && !(partial && line.is_empty());
    if missing || digits.len() > SIZE_DIGITS_MAX || !(behind.is_empty() || behind.starts_with(b";")) {
        return Err(ChunkError::Size);
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).unwrap_or(0);
    Ok(digits.iter().fold(0, |size, byte| size << 4 | u64::from(digit(*byte))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A body and what lies behind its last chunk, if that has come.
    type Read = Result<Option<(Vec<u8>, Vec<u8>)>, ChunkError>;

    /// Reads bytes that come in pieces of this length.
    fn read(bytes: &[u8], piece: usize) -> Read {
        let (mut state, mut body, mut buffer) = (State::Size, Vec::new(), Vec::new());
        for (at, part) in bytes.chunks(piece).enumerate() {
            buffer.extend_from_slice(part);
            let (next, used) = decode(state, &buffer, &mut body)?;
            assert_eq!(State::from_number(next.number()), Some(next));
            buffer.drain(..used);
            assert!(buffer.len() < SIZE_LINE_MAX || next == State::Done);
            state = next;
            if state == State::Done {
                buffer.extend_from_slice(bytes.get((at + 1) * piece..).unwrap_or_default());
                return Ok(Some((body, buffer)));
            }
        }
        Ok(None)
    }

    #[test]
    fn chunks_make_a_body_however_they_come() {
        let bytes = b"a\r\npppppppppp\r\n14;x=y\r\nqqqqqqqqqqqqqqqqqqqq\r\n0F \r\nccccccccccccccc\r\n000\r\nx: y\r\n\r\nmore";
        for piece in 1..=bytes.len() {
            let (body, rest) = read(bytes, piece).expect("it is one").expect("it is whole");
            assert_eq!(body, format!("{}{}{}", "p".repeat(10), "q".repeat(20), "c".repeat(15)).as_bytes());
            assert_eq!(rest, b"x: y\r\n\r\nmore");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_as_soon_as_it_is_seen() {
        for bad in [
            "x",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "\r\n",
            ";\r\n",
            " 1\r\n",
            "1\n",
            "1 1\r\n",
            "1\r\n\r\n",
            "1\r\nab",
            "1\r\na\r\r\n",
        ] {
            for piece in 1..=bad.len() {
                assert!(read(bad.as_bytes(), piece).is_err(), "{bad:?} in pieces of {piece}");
            }
        }
        assert_eq!(read(b"1000000000000000\r\n", 99), Err(ChunkError::Size), "sixteen digits");
        assert_eq!(read(b"fffffffffffffff\r\n", 99), Ok(None), "fifteen are fine, and take no memory");
        assert_eq!(read(&[b'0'; 16], 1), Err(ChunkError::Size));
        let long = format!("1;{}", "x".repeat(300));
        assert_eq!(read(long.as_bytes(), 7), Err(ChunkError::Line));
    }

    #[test]
    fn a_part_of_a_body_is_no_error() {
        for part in
            ["", "1", "1\r", "1\r\n", "1\r\na", "1\r\na\r", "1\r\na\r\n", "1\r\na\r\n0", "1\r\na\r\n0\r"]
        {
            assert_eq!(read(part.as_bytes(), 99), Ok(None), "{part:?}");
        }
    }

    proptest! {
        #[test]
        fn the_pieces_make_no_difference(
            bytes in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'0'), Just(b'1'), Just(b'2'), any::<u8>()], 0..60),
            piece in 1_usize..8,
        ) {
            let (whole, pieces) = (read(&bytes, 1000), read(&bytes, piece));
            prop_assert_eq!(whole.is_err(), pieces.is_err());
            if let (Ok(whole), Ok(pieces)) = (whole, pieces) {
                prop_assert_eq!(whole, pieces);
            }
        }

        #[test]
        fn a_chunked_body_is_the_body(parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..40), 0..10), piece in 1_usize..50) {
            let mut bytes = Vec::new();
            for part in &parts {
                bytes.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
                bytes.extend_from_slice(part);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
            prop_assert_eq!(read(&bytes, piece), Ok(Some((parts.concat(), b"\r\n".to_vec()))));
        }
    }
}
