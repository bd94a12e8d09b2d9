//! [`ReadBuffer`]: what came in on one socket and was not read by Lua code yet.
//!
//! A block that comes while nothing waits stays what it is, and is mostly taken whole. What comes before it was taken is
//! put behind it in one growing run of bytes: so a search sees the bytes as one piece, and looks at none of them twice.

use crate::message::Payload;

/// The run of bytes is given back when it is empty and larger than this.
const KEEP_MAX: usize = 4096;

/// The bytes of one socket that wait to be read.
#[derive(Default)]
pub(super) struct ReadBuffer {
    /// The block that came first; `head_at` of its bytes are gone.
    head: Payload,
    head_at: usize,
    /// What came after it; `tail_at` of its bytes are gone.
    tail: Vec<u8>,
    tail_at: usize,
    /// So many bytes have been searched for `separator_len` bytes that were not there.
    searched: usize,
    separator_len: usize,
}

impl ReadBuffer {
    /// Adds a block; answers how many bytes wait then.
    pub(super) fn push(&mut self, block: Payload) -> usize {
        if self.is_empty() {
            (self.head, self.head_at) = (block, 0);
        } else {
            self.compact();
            self.tail.extend_from_slice(block.as_bytes());
        }
        self.len()
    }

    /// The number of bytes that wait.
    pub(super) fn len(&self) -> usize {
        (self.head.len() - self.head_at) + (self.tail.len() - self.tail_at)
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first `len` bytes, if there are so many.
    pub(super) fn peek(&mut self, len: usize) -> Option<&[u8]> {
        if len > self.len() {
            return None;
        }
        let rest = self.head.len() - self.head_at;
        if rest > 0 && len > rest {
            self.merge();
        }
        let bytes = if self.head.len() > self.head_at {
            &self.head.as_bytes()[self.head_at..]
        } else {
            &self.tail[self.tail_at..]
        };
        bytes.get(..len)
    }

    /// Forgets the first `len` bytes, or all.
    pub(super) fn consume(&mut self, len: usize) {
        let from_head = len.min(self.head.len() - self.head_at);
        self.head_at += from_head;
        self.tail_at = (self.tail_at + len - from_head).min(self.tail.len());
        (self.searched, self.separator_len) = (0, 0);
        if self.head_at == self.head.len() {
            (self.head, self.head_at) = (Payload::empty(), 0);
        }
        if self.tail_at == self.tail.len() {
            self.tail_at = 0;
            if self.tail.capacity() > KEEP_MAX {
                self.tail = Vec::new();
            } else {
                self.tail.clear();
            }
        }
    }

    /// Where the separator begins, counted from the first byte.
    pub(super) fn find(&mut self, separator: &[u8]) -> Option<usize> {
        if separator.is_empty() {
            return None;
        }
        let len = self.len();
        if self.separator_len != separator.len() {
            (self.searched, self.separator_len) = (0, separator.len());
        }
        // The last bytes may be the beginning of a separator.
        let from = self.searched;
        let bytes = self.peek(len)?;
        let found = find_in(bytes.get(from..)?, separator).map(|at| from + at);
        if found.is_none() {
            self.searched = (len + 1).saturating_sub(separator.len()).max(from);
        }
        found
    }

    /// Moves what is left of the block to the front of the run.
    fn merge(&mut self) {
        let mut all = Vec::with_capacity(self.len().next_power_of_two());
        all.extend_from_slice(&self.head.as_bytes()[self.head_at..]);
        all.extend_from_slice(&self.tail[self.tail_at..]);
        (self.head, self.head_at) = (Payload::empty(), 0);
        (self.tail, self.tail_at) = (all, 0);
    }

    /// Bytes that are gone make room for those that come, once they are the most of the run.
    fn compact(&mut self) {
        if self.tail_at > 0 && self.tail_at >= self.tail.len() / 2 {
            self.tail.drain(..self.tail_at);
            self.tail_at = 0;
        }
    }
}

/// Where `needle` begins; it is short, and its last byte is the one that is rare (a line's end).
fn find_in(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    let (last, before) = needle.split_last()?;
    let mut at = 0;
    while let Some(found) = memchr::memchr(*last, bytes.get(at..)?) {
        let end = at + found;
        if end >= before.len() && bytes[end - before.len()..end] == *before {
            return Some(end - before.len());
        }
        at = end + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn taken(buffer: &mut ReadBuffer, len: usize) -> Option<Vec<u8>> {
        let bytes = buffer.peek(len)?.to_vec();
        buffer.consume(len);
        Some(bytes)
    }

    #[test]
    fn a_block_is_taken_whole_and_in_parts() {
        let mut buffer = ReadBuffer::default();
        assert_eq!((buffer.push("hello".into()), buffer.push(" world".into())), (5, 11));
        assert_eq!(taken(&mut buffer, 12), None);
        assert_eq!(taken(&mut buffer, 2).as_deref(), Some(&b"he"[..]));
        assert_eq!(taken(&mut buffer, 5).as_deref(), Some(&b"llo w"[..]));
        assert_eq!((buffer.len(), taken(&mut buffer, 4).as_deref()), (4, Some(&b"orld"[..])));
        assert_eq!((buffer.push("x".into()), buffer.len()), (1, 1));
    }

    #[test]
    fn a_separator_that_comes_in_pieces_is_found() {
        let mut buffer = ReadBuffer::default();
        buffer.push("ab\r".into());
        assert_eq!(buffer.find(b"\r\n"), None);
        buffer.push("\r".into());
        assert_eq!(buffer.find(b"\r\n"), None);
        buffer.push("\ncd\n".into());
        assert_eq!((buffer.find(b"\r\n"), buffer.find(b"\n"), buffer.find(b"")), (Some(3), Some(4), None));
    }

    proptest! {
        #[test]
        fn bytes_and_separators_are_those_of_a_plain_string(
            steps in prop::collection::vec((prop::collection::vec(0_u8..3, 0..9), 0_usize..12, 1_usize..4), 1..60)
        ) {
            let mut buffer = ReadBuffer::default();
            let mut model: Vec<u8> = Vec::new();
            for (block, take, separator) in steps {
                model.extend_from_slice(&block);
                prop_assert_eq!(buffer.push(Payload::copy_from(&block)), model.len());
                let separator = &[2_u8, 1, 2][..separator];
                let wanted = model.windows(separator.len()).position(|window| window == separator);
                prop_assert_eq!(buffer.find(separator), wanted);
                if take <= model.len() {
                    prop_assert_eq!(taken(&mut buffer, take), Some(model.drain(..take).collect::<Vec<_>>()));
                } else {
                    prop_assert_eq!(buffer.peek(take), None);
                }
                prop_assert_eq!(buffer.len(), model.len());
            }
        }
    }
}
