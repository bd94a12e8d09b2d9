//! Classic frames: `[length, 4 bytes][content][source, kind and local id, session: 12 bytes]`, all big-endian. The length
//! counts what follows it, and its first byte is 0.

use super::{Content, Header, WireError, take};
use crate::message::Filling;

/// So many bytes of content, and no more, fit into a frame.
pub(in super::super) const CONTENT_MAX: usize = 0x00ff_ffff - Header::LEN;

/// Bytes of the length.
const LENGTH: usize = 4;

/// The bytes before the content; the header's bytes follow behind it. `len` is at most [`CONTENT_MAX`].
pub(in super::super) fn length(len: usize) -> [u8; LENGTH] {
    debug_assert!(len <= CONTENT_MAX);
    ((len + Header::LEN) as u32).to_be_bytes()
}

/// Puts a whole frame behind `batch`.
pub(in super::super) fn put(batch: &mut Vec<u8>, header: Header, content: &[u8]) {
    batch.extend_from_slice(&length(content.len()));
    batch.extend_from_slice(content);
    batch.extend_from_slice(&header.to_bytes());
}

/// A frame that has come whole.
#[derive(Debug)]
pub(in super::super) struct Frame<'a> {
    pub(in super::super) header: Header,
    pub(in super::super) content: Content<'a>,
}

/// Finds frames in the bytes of a link.
#[derive(Default)]
pub(in super::super) struct Reader {
    length: [u8; LENGTH],
    length_len: usize,
    body: Option<Body>,
}

/// A frame of which a part has come.
struct Body {
    content: Filling,
    header: [u8; Header::LEN],
    header_len: usize,
}

impl Reader {
    /// Whether a frame has been begun whose length is known.
    pub(in super::super) fn is_in_content(&self) -> bool {
        self.body.is_some()
    }

    /// The next frame; nothing when all of `input` is taken and the frame goes on.
    pub(in super::super) fn next<'i>(
        &mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'i>>, WireError> {
        if self.body.is_none() {
            if self.length_len == 0
                && let Some((length, rest)) = input.split_first_chunk()
            {
                let len = content_len(*length)?;
                if let Some((content, rest)) = rest.split_at_checked(len)
                    && let Some((header, rest)) = rest.split_first_chunk()
                {
                    *input = rest;
                    let header = Header::from_bytes(header);
                    return Ok(Some(Frame { header, content: Content::Slice(content) }));
                }
            }
            let more = take(input, LENGTH - self.length_len);
            self.length[self.length_len..self.length_len + more.len()].copy_from_slice(more);
            self.length_len += more.len();
            if self.length_len < LENGTH {
                let first = self.length[0];
                return if self.length_len > 0 && first > 0 {
                    Err(WireError::TooLong(first))
                } else {
                    Ok(None)
                };
            }
            let len = content_len(self.length)?;
            let content = Filling::new(len).ok_or(WireError::Memory(len))?;
            self.body = Some(Body { content, header: [0; Header::LEN], header_len: 0 });
        }
        let Some(body) = &mut self.body else { return Ok(None) };
        let taken = body.content.put(input);
        take(input, taken);
        if body.content.missing() == 0 {
            let more = take(input, Header::LEN - body.header_len);
            body.header[body.header_len..body.header_len + more.len()].copy_from_slice(more);
            body.header_len += more.len();
        }
        if body.header_len < Header::LEN {
            return Ok(None);
        }
        self.length_len = 0;
        Ok(self.body.take().map(|body| Frame {
            header: Header::from_bytes(&body.header),
            content: Content::Whole(body.content.finish()),
        }))
    }
}

fn content_len(length: [u8; LENGTH]) -> Result<usize, WireError> {
    let len = u32::from_be_bytes(length) as usize;
    match length[0] {
        0 if len < Header::LEN => Err(WireError::TooShort { len, min: Header::LEN }),
        0 => Ok(len - Header::LEN),
        first => Err(WireError::TooLong(first)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{any_header, cut};
    use super::*;
    use crate::handle::Handle;
    use crate::message::{MessageKind, Session};

    fn read_all(pieces: &[&[u8]]) -> Result<Vec<(Header, Vec<u8>)>, WireError> {
        let (mut reader, mut frames) = (Reader::default(), Vec::new());
        for piece in pieces {
            let mut input = *piece;
            while let Some(frame) = reader.next(&mut input)? {
                frames.push((frame.header, frame.content.as_bytes().to_vec()));
            }
            assert!(input.is_empty());
        }
        Ok(frames)
    }

    fn header(source: u32, kind: u8, local: u32, session: i32) -> Header {
        let (source, kind) = (Handle::from_u32(source), MessageKind(kind));
        Header { source, kind, local, session: Session::new(session) }
    }

    /// The bytes that were measured between nodes of the original.
    fn measured() -> [(Header, &'static [u8], &'static [u8]); 3] {
        [
            (
                header(0x0100_0009, 10, 5, 0),
                b"\x2cearly",
                b"\x00\x00\x00\x12\x2cearly\x01\x00\x00\x09\x0a\x00\x00\x05\x00\x00\x00\x00",
            ),
            (
                header(0x0100_0009, 10, 5, 7),
                b"\x2chello\x0a\x01",
                b"\x00\x00\x00\x14\x2chello\x0a\x01\x01\x00\x00\x09\x0a\x00\x00\x05\x00\x00\x00\x07",
            ),
            (
                header(0x01ab_cdef, 7, 5, 0x62),
                b"",
                b"\x00\x00\x00\x0c\x01\xab\xcd\xef\x07\x00\x00\x05\x00\x00\x00\x62",
            ),
        ]
    }

    #[test]
    fn frames_have_the_measured_bytes_wherever_they_are_cut() {
        for (header, content, bytes) in measured() {
            let mut batch = Vec::new();
            put(&mut batch, header, content);
            assert_eq!(batch, bytes);
            for at in 0..=bytes.len() {
                let (front, back) = bytes.split_at(at);
                assert_eq!(read_all(&[front, back]), Ok(vec![(header, content.to_vec())]), "cut at {at}");
            }
        }
    }

    #[test]
    fn a_frame_that_is_too_long_or_too_short_is_refused_as_soon_as_it_is_known() {
        assert_eq!(read_all(&[&[1]]), Err(WireError::TooLong(1)));
        assert_eq!(read_all(&[&[0x80, 0, 0, 12]]), Err(WireError::TooLong(0x80)));
        for len in 0..12_u8 {
            let short = Err(WireError::TooShort { len: len.into(), min: 12 });
            assert_eq!(read_all(&[&[0, 0], &[0, len]]), short);
        }
        // The longest that there is takes no memory before it comes.
        assert_eq!(read_all(&[&[0, 0xff, 0xff, 0xff]]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn frames_come_back_whole_wherever_they_are_cut(
            frames in prop::collection::vec((any_header(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
            places in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            let mut bytes = Vec::new();
            for (header, content) in &frames {
                put(&mut bytes, *header, content);
            }
            prop_assert_eq!(read_all(&cut(&bytes, &places)), Ok(frames));
        }
    }
}
