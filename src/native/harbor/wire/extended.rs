//! Extended frames: `[flags][length, 3 bytes][source, kind and local id, session: 12 bytes][content]`, all big-endian. The
//! length counts what follows it.
//!
//! - A *fragment* says behind the header how long its message is and where in it the fragment belongs.
//! - *Compressed* content says how long it really is. Where both are, each fragment is compressed by itself.
//! - A *control* frame has no header: what follows is its kind and what belongs to that.

use super::{Content, Header, WireError, take};
use crate::message::Filling;

const COMPRESSED: u8 = 1;
const FRAGMENT: u8 = 2;
const CONTROL: u8 = 4;

/// The longest content of a frame; longer messages go in fragments. A text of 64 KiB goes whole, with what packing adds.
pub(in super::super) const CONTENT_MAX: usize = 65 * 1024;

/// So many messages of one direction are on their way in fragments at a time. Others wait at the sender, so that the
/// receiver never has to hold more.
pub(in super::super) const ASSEMBLIES_MAX: usize = 16;

/// Flags and length.
const PREFIX: usize = 4;
/// What stands before the content of a plain frame.
pub(in super::super) const PLAIN_HEAD: usize = PREFIX + Header::LEN;
/// Bytes of the two numbers of a fragment.
const PLACE: usize = 8;
/// Bytes of the number before compressed content.
const RAW: usize = 4;
/// The longest that a length may say.
const LENGTH_MAX: usize = Header::LEN + PLACE + RAW + CONTENT_MAX;
/// A plain frame with more content than this, of which only a part has come, is collected in the block that becomes its
/// payload.
const DIRECT_MIN: usize = 4 * 1024;

/// Where a fragment belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Place {
    pub(in super::super) total: usize,
    pub(in super::super) offset: usize,
}

/// What is said between the actors themselves; not counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Control {
    /// So many frames of this life have arrived.
    Ack(u64),
    /// Answer, if you live.
    Ping,
    Pong,
    /// The node ends in order: it will not come back in this life.
    Goodbye,
}

/// A frame that has come whole.
#[derive(Debug)]
pub(in super::super) enum Frame<'a> {
    Control(Control),
    Message(Body<'a>),
}

/// A message, or a fragment of one.
#[derive(Debug)]
pub(in super::super) struct Body<'a> {
    pub(in super::super) header: Header,
    pub(in super::super) place: Option<Place>,
    /// How long the content is when it is no longer compressed.
    pub(in super::super) raw: Option<usize>,
    pub(in super::super) content: Content<'a>,
}

// ---- writing

/// Puts what stands before the content of a plain frame behind `batch`. At most [`CONTENT_MAX`] bytes may follow.
pub(in super::super) fn put_head(batch: &mut Vec<u8>, header: Header, len: usize) {
    debug_assert!(len <= CONTENT_MAX);
    let mut head = [0; PLAIN_HEAD];
    head[..PREFIX].copy_from_slice(&prefix(0, Header::LEN + len));
    head[PREFIX..].copy_from_slice(&header.to_bytes());
    batch.extend_from_slice(&head);
}

/// The same for a frame that is a fragment, compressed, or both.
pub(in super::super) fn put_special_head(
    batch: &mut Vec<u8>,
    header: Header,
    place: Option<Place>,
    raw: Option<usize>,
    len: usize,
) {
    debug_assert!(len <= CONTENT_MAX);
    let (mut flags, mut length) = (0, Header::LEN + len);
    if place.is_some() {
        (flags, length) = (flags | FRAGMENT, length + PLACE);
    }
    if raw.is_some() {
        (flags, length) = (flags | COMPRESSED, length + RAW);
    }
    batch.extend_from_slice(&prefix(flags, length));
    batch.extend_from_slice(&header.to_bytes());
    if let Some(Place { total, offset }) = place {
        batch.extend_from_slice(&(total as u32).to_be_bytes());
        batch.extend_from_slice(&(offset as u32).to_be_bytes());
    }
    if let Some(raw) = raw {
        batch.extend_from_slice(&(raw as u32).to_be_bytes());
    }
}

fn prefix(flags: u8, length: usize) -> [u8; PREFIX] {
    let [_, high, middle, low] = (length as u32).to_be_bytes();
    [flags, high, middle, low]
}

/// Bytes of the frame [`ack`].
pub(in super::super) const ACK_LEN: usize = PREFIX + 9;

pub(in super::super) fn ack(count: u64) -> [u8; ACK_LEN] {
    let mut frame = [0; ACK_LEN];
    frame[..PREFIX].copy_from_slice(&prefix(CONTROL, 9));
    frame[PREFIX] = 1;
    frame[PREFIX + 1..].copy_from_slice(&count.to_be_bytes());
    frame
}

pub(in super::super) const PING: [u8; 5] = [CONTROL, 0, 0, 1, 2];
pub(in super::super) const PONG: [u8; 5] = [CONTROL, 0, 0, 1, 3];
pub(in super::super) const GOODBYE: [u8; 5] = [CONTROL, 0, 0, 1, 4];

/// The frame at the front of bytes that this module has written, of which only the head need be there.
pub(in super::super) struct Written {
    pub(in super::super) header: Header,
    /// The bytes of the whole frame.
    pub(in super::super) len: usize,
    pub(in super::super) message_len: usize,
    /// Whether it is a whole message, or the last fragment of one.
    pub(in super::super) ends_message: bool,
}

pub(in super::super) fn written(bytes: &[u8]) -> Option<Written> {
    let len = frame_len(bytes).ok().flatten()?;
    let flags = *bytes.first()?;
    let header = Header::from_bytes(bytes.get(PREFIX..)?.first_chunk()?);
    let number = |at: usize| Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?) as usize);
    let raw_at = PLAIN_HEAD + if flags & FRAGMENT == 0 { 0 } else { PLACE };
    let content = if flags & COMPRESSED == 0 { len - raw_at } else { number(raw_at)? };
    let (message_len, end) = match flags & FRAGMENT {
        0 => (content, content),
        _ => (number(PLAIN_HEAD)?, number(PLAIN_HEAD + 4)? + content),
    };
    Some(Written { header, len, message_len, ends_message: end == message_len })
}

// ---- reading

/// Finds frames in the bytes of a link.
#[derive(Default)]
pub(in super::super) struct Reader {
    /// The beginning of a frame, or a whole one that was given out last.
    carry: Vec<u8>,
    given_out: bool,
    /// A long plain frame that has begun.
    body: Option<(Header, Filling)>,
}

impl Reader {
    /// Whether a frame has been begun.
    pub(in super::super) fn is_in_content(&self) -> bool {
        self.body.is_some() || !(self.carry.is_empty() || self.given_out)
    }

    /// The next frame; nothing when all of `input` is taken and the frame goes on.
    pub(in super::super) fn next<'f, 'i: 'f>(
        &'f mut self,
        input: &mut &'i [u8],
    ) -> Result<Option<Frame<'f>>, WireError> {
        if std::mem::take(&mut self.given_out) {
            self.carry.clear();
        }
        if self.carry.is_empty() && self.body.is_none() {
            match frame_len(input)? {
                Some(len) if len <= input.len() => return parse(take(input, len)).map(Some),
                _ => {}
            }
        }
        if self.body.is_none() && !self.collect(input)? {
            return Ok(None);
        }
        if let Some((_, filling)) = &mut self.body {
            let taken = filling.put(input);
            take(input, taken);
            if filling.missing() > 0 {
                return Ok(None);
            }
            return Ok(self.body.take().map(|(header, filling)| {
                let content = Content::Whole(filling.finish());
                Frame::Message(Body { header, place: None, raw: None, content })
            }));
        }
        self.given_out = true;
        parse(&self.carry).map(Some)
    }

    /// Adds to the beginning of a frame; true when it is whole, or goes on in `body`.
    fn collect(&mut self, input: &mut &[u8]) -> Result<bool, WireError> {
        loop {
            let len = frame_len(&self.carry)?;
            let is_long_plain =
                len.is_some_and(|len| self.carry.first() == Some(&0) && len > PLAIN_HEAD + DIRECT_MIN);
            let wanted = match len {
                None => PREFIX,
                Some(_) if is_long_plain => PLAIN_HEAD,
                Some(len) => len,
            };
            if self.carry.len() == wanted && len.is_some() {
                if is_long_plain
                    && let Some(head) = self.carry.get(PREFIX..).and_then(|head| head.first_chunk())
                {
                    let content = len.unwrap_or(wanted) - PLAIN_HEAD;
                    let filling = Filling::new(content).ok_or(WireError::Memory(content))?;
                    self.body = Some((Header::from_bytes(head), filling));
                    self.carry.clear();
                }
                return Ok(true);
            }
            if input.is_empty() {
                return Ok(false);
            }
            let more = take(input, wanted - self.carry.len());
            self.carry.extend_from_slice(more);
        }
    }
}

/// The bytes of a frame with its prefix, once that is there and says something sensible.
fn frame_len(bytes: &[u8]) -> Result<Option<usize>, WireError> {
    let Some([flags, high, middle, low]) = bytes.first_chunk().copied() else { return Ok(None) };
    let len = u32::from_be_bytes([0, high, middle, low]) as usize;
    let (min, max) = match flags {
        0 => (Header::LEN, Header::LEN + CONTENT_MAX),
        COMPRESSED => (Header::LEN + RAW, LENGTH_MAX - PLACE),
        FRAGMENT => (Header::LEN + PLACE, LENGTH_MAX - RAW),
        3 => (Header::LEN + PLACE + RAW, LENGTH_MAX),
        CONTROL => (1, 9),
        _ => return Err(WireError::Flags(flags)),
    };
    if len < min {
        return Err(WireError::TooShort { len, min });
    }
    if len > max {
        return Err(WireError::Frame { len, max });
    }
    Ok(Some(PREFIX + len))
}

/// Reads a whole frame, whose length [`frame_len`] has found right.
fn parse(frame: &[u8]) -> Result<Frame<'_>, WireError> {
    let short = |min| WireError::TooShort { len: frame.len(), min };
    let (&[flags, ..], rest) = frame.split_first_chunk::<PREFIX>().ok_or(short(PREFIX))?;
    if flags == CONTROL {
        return control(rest).map(Frame::Control);
    }
    let (head, mut rest) = rest.split_first_chunk().ok_or(short(PLAIN_HEAD))?;
    let mut number = || -> Result<usize, WireError> {
        let (number, after) = rest.split_first_chunk().ok_or(short(PLAIN_HEAD + PLACE + RAW))?;
        rest = after;
        Ok(u32::from_be_bytes(*number) as usize)
    };
    let place = match flags & FRAGMENT {
        0 => None,
        _ => Some(Place { total: number()?, offset: number()? }),
    };
    let raw = match flags & COMPRESSED {
        0 => None,
        _ => Some(number()?),
    };
    let len = raw.unwrap_or(rest.len());
    if len > CONTENT_MAX {
        return Err(WireError::Raw { raw: len, max: CONTENT_MAX });
    }
    if let Some(Place { total, offset }) = place
        && (len == 0 || offset.checked_add(len).is_none_or(|end| end > total))
    {
        return Err(WireError::Fragment { total, offset, len });
    }
    Ok(Frame::Message(Body { header: Header::from_bytes(head), place, raw, content: Content::Slice(rest) }))
}

fn control(content: &[u8]) -> Result<Control, WireError> {
    match *content {
        [1, a, b, c, d, e, f, g, h] => Ok(Control::Ack(u64::from_be_bytes([a, b, c, d, e, f, g, h]))),
        [2] => Ok(Control::Ping),
        [3] => Ok(Control::Pong),
        [4] => Ok(Control::Goodbye),
        _ => Err(WireError::Control { kind: content.first().copied().unwrap_or(0), len: content.len() }),
    }
}

// ---- compression

/// Compressed bytes are sent where they are shorter than this share of the others.
const WORTH: (usize, usize) = (4, 5);
/// So many bytes are tried first.
const SAMPLE: usize = 4 * 1024;

/// Compresses `content` to the end of `batch`; false, and nothing is changed, where that is not worth it.
pub(in super::super) fn compress(batch: &mut Vec<u8>, content: &[u8]) -> bool {
    let start = batch.len();
    let sample = content.get(..SAMPLE).filter(|_| content.len() > 2 * SAMPLE);
    let done = sample.is_none_or(|sample| try_compress(batch, start, sample)) && {
        batch.truncate(start);
        try_compress(batch, start, content)
    };
    if !done {
        batch.truncate(start);
    }
    done
}

fn try_compress(batch: &mut Vec<u8>, start: usize, content: &[u8]) -> bool {
    batch.resize(start + lz4_flex::block::get_maximum_output_size(content.len()), 0);
    let Some(room) = batch.get_mut(start..) else { return false };
    match lz4_flex::block::compress_into(content, room) {
        Ok(len) if len * WORTH.1 < content.len() * WORTH.0 => {
            batch.truncate(start + len);
            true
        }
        _ => false,
    }
}

/// Decompresses content that says it is `raw` bytes long, which [`Reader`] has found within its limit.
pub(in super::super) fn decompress(
    scratch: &mut Vec<u8>,
    content: &[u8],
    raw: usize,
) -> Result<(), WireError> {
    scratch.clear();
    scratch.resize(raw.min(CONTENT_MAX), 0);
    match lz4_flex::block::decompress_into(content, scratch) {
        Ok(len) if len == raw => Ok(()),
        _ => Err(WireError::Compressed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{any_header, cut};
    use super::*;
    use crate::handle::Handle;
    use crate::message::{MessageKind, Session};

    #[derive(Debug, Clone, PartialEq)]
    enum Seen {
        Control(Control),
        Message(Header, Option<Place>, Vec<u8>),
    }

    fn read_all(pieces: &[&[u8]]) -> Result<Vec<Seen>, WireError> {
        let (mut reader, mut seen, mut scratch) = (Reader::default(), Vec::new(), Vec::new());
        for piece in pieces {
            let mut input = *piece;
            while let Some(frame) = reader.next(&mut input)? {
                seen.push(match frame {
                    Frame::Control(control) => Seen::Control(control),
                    Frame::Message(body) => {
                        let content = match body.raw {
                            Some(raw) => {
                                decompress(&mut scratch, body.content.as_bytes(), raw)?;
                                scratch.clone()
                            }
                            None => body.content.as_bytes().to_vec(),
                        };
                        Seen::Message(body.header, body.place, content)
                    }
                });
            }
            assert!(input.is_empty());
        }
        Ok(seen)
    }

    fn header() -> Header {
        let source = Handle::from_u32(0x0100_0009);
        Header { source, kind: MessageKind::LUA, local: 5, session: Session::new(7) }
    }

    fn write(batch: &mut Vec<u8>, seen: &Seen) {
        match seen {
            Seen::Control(Control::Ack(count)) => batch.extend_from_slice(&ack(*count)),
            Seen::Control(Control::Ping) => batch.extend_from_slice(&PING),
            Seen::Control(Control::Pong) => batch.extend_from_slice(&PONG),
            Seen::Control(Control::Goodbye) => batch.extend_from_slice(&GOODBYE),
            Seen::Message(header, place, content) => {
                let mut packed = Vec::new();
                if compress(&mut packed, content) {
                    put_special_head(batch, *header, *place, Some(content.len()), packed.len());
                    batch.extend_from_slice(&packed);
                } else if place.is_some() {
                    put_special_head(batch, *header, *place, None, content.len());
                    batch.extend_from_slice(content);
                } else {
                    put_head(batch, *header, content.len());
                    batch.extend_from_slice(content);
                }
            }
        }
    }

    #[test]
    fn frames_have_these_bytes() {
        let mut batch = Vec::new();
        put_head(&mut batch, header(), 2);
        batch.extend_from_slice(b"hi");
        assert_eq!(batch, b"\x00\x00\x00\x0e\x01\x00\x00\x09\x0a\x00\x00\x05\x00\x00\x00\x07hi");
        batch.clear();
        put_special_head(&mut batch, header(), Some(Place { total: 0x1_0000, offset: 2 }), Some(9), 1);
        batch.push(b'z');
        let wanted =
            b"\x03\x00\x00\x19\x01\x00\x00\x09\x0a\x00\x00\x05\x00\x00\x00\x07\0\x01\0\0\0\0\0\x02\0\0\0\x09z";
        assert_eq!(batch, wanted);
        assert_eq!(ack(258), *b"\x04\x00\x00\x09\x01\0\0\0\0\0\0\x01\x02");
    }

    #[test]
    fn what_is_no_frame_is_named_as_soon_as_it_is_known() {
        let refused = |bytes: &[u8]| read_all(&[bytes]).expect_err("it is no frame");
        assert_eq!(refused(&[8, 0, 0, 20]), WireError::Flags(8));
        assert_eq!(refused(&[5, 0, 0, 1]), WireError::Flags(5));
        assert_eq!(refused(&[0, 0, 0, 11]), WireError::TooShort { len: 11, min: 12 });
        assert_eq!(refused(&[3, 0, 0, 23]), WireError::TooShort { len: 23, min: 24 });
        assert_eq!(refused(&[0, 1, 4, 13]), WireError::Frame { len: 66573, max: 66572 });
        assert_eq!(refused(&[3, 1, 4, 25]), WireError::Frame { len: 66585, max: 66584 });
        assert_eq!(refused(&[4, 0, 0, 10]), WireError::Frame { len: 10, max: 9 });
        assert_eq!(refused(&[4, 0, 0, 1, 9]), WireError::Control { kind: 9, len: 1 });
        assert_eq!(refused(&[4, 0, 0, 2, 1, 0]), WireError::Control { kind: 1, len: 2 });
        let mut bytes = Vec::new();
        put_special_head(&mut bytes, header(), Some(Place { total: 10, offset: 9 }), None, 2);
        bytes.extend_from_slice(b"ab");
        assert_eq!(refused(&bytes), WireError::Fragment { total: 10, offset: 9, len: 2 });
        bytes.clear();
        put_special_head(&mut bytes, header(), None, Some(CONTENT_MAX + 1), 1);
        bytes.push(0);
        assert_eq!(refused(&bytes), WireError::Raw { raw: CONTENT_MAX + 1, max: CONTENT_MAX });
        bytes.clear();
        put_special_head(&mut bytes, header(), None, Some(100), 3);
        bytes.extend_from_slice(&[0xf0, 0xff, 0xff]);
        assert_eq!(refused(&bytes), WireError::Compressed);
    }

    #[test]
    fn only_what_shrinks_is_compressed() {
        let (mut batch, text) = (b"before".to_vec(), b"all work and no play ".repeat(2000));
        assert!(compress(&mut batch, &text) && batch.len() < text.len() / 10 && batch.starts_with(b"before"));
        let mut scratch = Vec::new();
        decompress(&mut scratch, &batch[6..], text.len()).expect("it was compressed");
        assert_eq!(scratch, text);
        let mut state = 1_u32;
        let noise = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        });
        let noise: Vec<u8> = noise.take(40_000).collect();
        batch.truncate(6);
        assert!(!compress(&mut batch, &noise) && batch == b"before");
    }

    fn any_seen() -> impl Strategy<Value = Seen> {
        let control = prop_oneof![
            any::<u64>().prop_map(Control::Ack),
            Just(Control::Ping),
            Just(Control::Pong),
            Just(Control::Goodbye)
        ];
        let content = prop_oneof![
            4 => prop::collection::vec(any::<u8>(), 1..300),
            1 => (any::<u8>(), 1..=CONTENT_MAX).prop_map(|(byte, len)| vec![byte; len]),
            1 => Just((0..CONTENT_MAX).map(|at| (at * at / 7) as u8).collect()),
        ];
        let place = prop::option::of(any::<u16>());
        prop_oneof![
            1 => control.prop_map(Seen::Control),
            4 => (any_header(), place, content).prop_map(|(header, offset, content)| {
                let place = offset.map(usize::from);
                let place = place.map(|offset| Place { total: offset + content.len() + 3, offset });
                Seen::Message(header, place, content)
            }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn frames_come_back_whole_wherever_they_are_cut(
            frames in prop::collection::vec(any_seen(), 0..12),
            places in prop::collection::vec(any::<usize>(), 0..40),
        ) {
            let mut bytes = Vec::new();
            for frame in &frames {
                write(&mut bytes, frame);
            }
            prop_assert_eq!(read_all(&cut(&bytes, &places)), Ok(frames.clone()));
            for frame in frames.iter().filter(|frame| matches!(frame, Seen::Message(..))) {
                let mut single = Vec::new();
                write(&mut single, frame);
                let found = written(&single).expect("it is one");
                prop_assert_eq!(found.len, single.len());
                let Seen::Message(header, place, content) = frame else { continue };
                let total = place.map_or(content.len(), |place| place.total);
                prop_assert_eq!((found.header, found.message_len), (*header, total));
                prop_assert_eq!(found.ends_message, place.is_none());
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let whole = read_all(&[&bytes]);
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            prop_assert_eq!(read_all(&single), whole);
        }
    }
}
