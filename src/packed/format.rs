//! The tag bytes of the packed format, for both codecs: serde's next door and the one between Lua and bytes.
//!
//! Each value starts with a byte `type | cookie << 3`; what the cookie means depends on the type. Nothing here
//! knows what a table consists of beyond its first byte: that is the business of who walks it.

use crate::message::PayloadBuilder;

/// Tables within tables that a reader follows. It keeps hostile bytes off the end of the thread's stack; what Lua
/// packs has at most [`LUA_DEPTH_MAX`] + 1.
pub(crate) const DEPTH_MAX: u32 = 200;

/// Tables round a value that Lua packs; one more is an error that scripts know.
pub(crate) const LUA_DEPTH_MAX: u32 = 32;

pub(crate) const NIL: u8 = 0;
const BOOLEAN: u8 = 1;
const NUMBER: u8 = 2;
const POINTER: u8 = 3;
const SHORT_STRING: u8 = 4;
const LONG_STRING: u8 = 5;
const TABLE: u8 = 6;

/// Cookies of [`NUMBER`]: 0 is the integer 0; the others name what follows.
const NUMBER_U8: u8 = 1;
const NUMBER_U16: u8 = 2;
const NUMBER_I32: u8 = 4;
const NUMBER_I64: u8 = 6;
const NUMBER_F64: u8 = 8;

/// Cookies of [`LONG_STRING`]: the width of its length.
const LENGTH_U16: u8 = 2;
const LENGTH_U32: u8 = 4;

/// The cookie of [`TABLE`] that says that the array size follows as an integer.
const ARRAY_SIZE_FOLLOWS: u8 = 31;

const fn tag(kind: u8, cookie: u8) -> u8 {
    kind | cookie << 3
}

/// The first byte of every float.
pub(crate) const FLOAT_TAG: u8 = tag(NUMBER, NUMBER_F64);

#[inline(always)]
pub(crate) fn put_nil(out: &mut PayloadBuilder<'_>) {
    out.put_word(u64::from(tag(NIL, 0)), 1);
}

#[inline(always)]
pub(crate) fn put_bool(out: &mut PayloadBuilder<'_>, value: bool) {
    out.put_word(u64::from(tag(BOOLEAN, u8::from(value))), 1);
}

/// Puts an integer in the width that skynet would choose.
#[inline(always)]
pub(crate) fn put_integer(out: &mut PayloadBuilder<'_>, value: i64) {
    let (cookie, width) = match value {
        0 => (0, 0),
        1..=0xff => (NUMBER_U8, 1),
        0x100..=0xffff => (NUMBER_U16, 2),
        -0x8000_0000..=0x7fff_ffff => (NUMBER_I32, 4),
        _ => {
            out.put_word(u64::from(tag(NUMBER, NUMBER_I64)), 1);
            return out.put_word(value.cast_unsigned(), 8);
        }
    };
    out.put_word(u64::from(tag(NUMBER, cookie)) | value.cast_unsigned() << 8, 1 + width);
}

#[inline(always)]
pub(crate) fn put_float(out: &mut PayloadBuilder<'_>, value: f64) {
    out.put_word(u64::from(FLOAT_TAG), 1);
    out.put_word(value.to_bits(), 8);
}

#[inline(always)]
pub(crate) fn put_pointer(out: &mut PayloadBuilder<'_>, value: u64) {
    out.put_word(u64::from(tag(POINTER, 0)), 1);
    out.put_word(value, 8);
}

/// Puts a string, or nothing where it is too long for the format's 32-bit length.
#[inline(always)]
pub(crate) fn put_string(out: &mut PayloadBuilder<'_>, bytes: &[u8]) -> Result<(), TooLong> {
    let len = bytes.len();
    if len <= PayloadBuilder::SHORT_MAX {
        // A short string's length is a cookie: five bits.
        out.put_short(tag(SHORT_STRING, 0) | (len as u8) << 3, bytes);
        return Ok(());
    }
    if let Ok(len) = u16::try_from(len) {
        out.put_word(u64::from(tag(LONG_STRING, LENGTH_U16)) | u64::from(len) << 8, 3);
    } else if let Ok(len) = u32::try_from(len) {
        out.put_word(u64::from(tag(LONG_STRING, LENGTH_U32)) | u64::from(len) << 8, 5);
    } else {
        return Err(TooLong);
    }
    out.put(bytes);
    Ok(())
}

/// A string of 4 GiB or more.
pub(crate) struct TooLong;

/// Begins a table: its array values follow, then keys with values, then a nil.
#[inline(always)]
pub(crate) fn put_table(out: &mut PayloadBuilder<'_>, array_size: u64) {
    if array_size < u64::from(ARRAY_SIZE_FOLLOWS) {
        out.put_word(u64::from(tag(TABLE, 0)) | array_size << 3, 1);
    } else {
        out.put_word(u64::from(tag(TABLE, ARRAY_SIZE_FOLLOWS)), 1);
        put_integer(out, i64::try_from(array_size).expect("no memory holds an array of 2^63"));
    }
}

/// What a tag byte and the bytes that belong to it say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Item<'a> {
    Nil,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Pointer(u64),
    String(&'a [u8]),
    /// The number of array values that follow, as the sender claims it.
    Table(u64),
}

/// Why bytes are not the packed format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("the bytes end within a value")]
    Truncated,
    #[error("{0:#04x} begins no value")]
    Tag(u8),
    #[error("the array size of a table is no integer from 0 on")]
    ArraySize,
    #[error("more than {DEPTH_MAX} tables within each other")]
    Depth,
}

/// Walks over packed bytes from front to back. A copy is a bookmark.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    #[inline(always)]
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    /// How many bytes are still to be read.
    #[inline(always)]
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Whether a nil comes next.
    #[inline(always)]
    pub(crate) fn at_nil(&self) -> bool {
        self.rest.first().is_some_and(|tag| tag & 7 == NIL)
    }

    #[inline(always)]
    fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        let (chunk, rest) = self.rest.split_first_chunk().ok_or(Damage::Truncated)?;
        self.rest = rest;
        Ok(*chunk)
    }

    #[inline(always)]
    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Damage> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Damage::Truncated)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Item<'a>, Damage> {
        let [tag] = self.chunk()?;
        let cookie = tag >> 3;
        match tag & 7 {
            NIL => Ok(Item::Nil),
            BOOLEAN => Ok(Item::Bool(cookie != 0)),
            NUMBER => match cookie {
                NUMBER_F64 => Ok(Item::Float(f64::from_le_bytes(self.chunk()?))),
                _ => self.integer(tag).map(Item::Integer),
            },
            POINTER => Ok(Item::Pointer(u64::from_le_bytes(self.chunk()?))),
            SHORT_STRING => self.bytes(usize::from(cookie)).map(Item::String),
            LONG_STRING => {
                let len = match cookie {
                    LENGTH_U16 => u32::from(u16::from_le_bytes(self.chunk()?)),
                    LENGTH_U32 => u32::from_le_bytes(self.chunk()?),
                    _ => return Err(Damage::Tag(tag)),
                };
                self.bytes(len as usize).map(Item::String)
            }
            TABLE if cookie == ARRAY_SIZE_FOLLOWS => self.array_size().map(Item::Table),
            TABLE => Ok(Item::Table(u64::from(cookie))),
            _ => Err(Damage::Tag(tag)),
        }
    }

    /// The integer behind this tag, whose type is [`NUMBER`].
    #[inline(always)]
    fn integer(&mut self, tag: u8) -> Result<i64, Damage> {
        match tag >> 3 {
            0 => Ok(0),
            NUMBER_U8 => Ok(i64::from(u8::from_le_bytes(self.chunk()?))),
            NUMBER_U16 => Ok(i64::from(u16::from_le_bytes(self.chunk()?))),
            NUMBER_I32 => Ok(i64::from(i32::from_le_bytes(self.chunk()?))),
            NUMBER_I64 => Ok(i64::from_le_bytes(self.chunk()?)),
            _ => Err(Damage::Tag(tag)),
        }
    }

    fn array_size(&mut self) -> Result<u64, Damage> {
        let [tag] = self.chunk()?;
        if tag & 7 != NUMBER || tag == FLOAT_TAG {
            return Err(Damage::ArraySize);
        }
        u64::try_from(self.integer(tag)?).map_err(|_| Damage::ArraySize)
    }

    /// Passes over one value, a table with all that is in it; `depth` tables are round it.
    pub(crate) fn skip(&mut self, depth: u32) -> Result<(), Damage> {
        let item = self.next()?;
        self.skip_rest_of(item, depth)
    }

    /// Passes over what belongs to an item that was just read.
    pub(crate) fn skip_rest_of(&mut self, item: Item<'_>, depth: u32) -> Result<(), Damage> {
        let Item::Table(array_size) = item else { return Ok(()) };
        let depth = depth + 1;
        if depth > DEPTH_MAX {
            return Err(Damage::Depth);
        }
        for _ in 0..array_size {
            self.skip(depth)?;
        }
        loop {
            let key = self.next()?;
            if key == Item::Nil {
                return Ok(());
            }
            self.skip_rest_of(key, depth)?;
            self.skip(depth)?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(put: impl FnOnce(&mut PayloadBuilder<'_>)) -> Vec<u8> {
        let mut out = PayloadBuilder::new(&mut []);
        put(&mut out);
        out.as_bytes().to_vec()
    }

    fn read(bytes: &[u8]) -> Result<Item<'_>, Damage> {
        let mut reader = Reader::new(bytes);
        let item = reader.next()?;
        assert_eq!(reader.remaining(), 0, "of {bytes:02x?}");
        Ok(item)
    }

    #[test]
    fn an_integer_takes_the_narrowest_form_and_comes_back() {
        let vectors: &[(i64, &[u8])] = &[
            (0, &[0x02]),
            (1, &[0x0a, 1]),
            (255, &[0x0a, 0xff]),
            (256, &[0x12, 0, 1]),
            (65535, &[0x12, 0xff, 0xff]),
            (65536, &[0x22, 0, 0, 1, 0]),
            (0x7fff_ffff, &[0x22, 0xff, 0xff, 0xff, 0x7f]),
            (0x8000_0000, &[0x32, 0, 0, 0, 0x80, 0, 0, 0, 0]),
            (-1, &[0x22, 0xff, 0xff, 0xff, 0xff]),
            (-0x8000_0000, &[0x22, 0, 0, 0, 0x80]),
            (-0x8000_0001, &[0x32, 0xff, 0xff, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff]),
            (i64::MAX, &[0x32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            (i64::MIN, &[0x32, 0, 0, 0, 0, 0, 0, 0, 0x80]),
        ];
        for &(value, bytes) in vectors {
            assert_eq!(written(|out| put_integer(out, value)), bytes);
            assert_eq!(read(bytes), Ok(Item::Integer(value)));
        }
    }

    #[test]
    fn a_string_says_its_length_in_the_tag_or_in_two_or_four_bytes() {
        for (len, head) in [
            (0, &[0x04][..]),
            (1, &[0x0c]),
            (31, &[0xfc]),
            (32, &[0x15, 0x20, 0]),
            (65535, &[0x15, 0xff, 0xff]),
            (65536, &[0x25, 0, 0, 1, 0]),
        ] {
            let text = vec![b'x'; len];
            let bytes = written(|out| assert!(put_string(out, &text).is_ok()));
            assert_eq!(bytes, [head, &text].concat());
            assert_eq!(read(&bytes), Ok(Item::String(&text)));
        }
    }

    #[test]
    fn the_other_items_have_one_form_each() {
        for (bytes, item) in [
            (written(put_nil), Item::Nil),
            (written(|out| put_bool(out, true)), Item::Bool(true)),
            (written(|out| put_bool(out, false)), Item::Bool(false)),
            (written(|out| put_float(out, 1.0)), Item::Float(1.0)),
            (written(|out| put_pointer(out, 0x1234)), Item::Pointer(0x1234)),
            (written(|out| put_table(out, 0)), Item::Table(0)),
            (written(|out| put_table(out, 30)), Item::Table(30)),
            (written(|out| put_table(out, 31)), Item::Table(31)),
            (written(|out| put_table(out, 300)), Item::Table(300)),
        ] {
            assert_eq!(read(&bytes), Ok(item));
        }
        assert_eq!(written(|out| put_float(out, -0.5)), [0x42, 0, 0, 0, 0, 0, 0, 0xe0, 0xbf]);
        assert_eq!(written(|out| put_table(out, 300)), [0xfe, 0x12, 0x2c, 0x01]);
    }

    #[test]
    fn cookies_without_meaning_are_refused_or_passed_over_as_in_the_original() {
        assert_eq!(read(&[0x11]), Ok(Item::Bool(true)));
        assert_eq!(read(&[0xf8]), Ok(Item::Nil));
        for tag in [0x07, 0x1a, 0x2a, 0x3a, 0x4a, 0x05, 0x0d, 0x1d, 0x2d, 0xff] {
            assert_eq!(Reader::new(&[tag; 16]).next(), Err(Damage::Tag(tag)));
        }
        for size in
            [&[0x42, 0, 0, 0, 0, 0, 0, 0, 0][..], &[0x09], &[0x0c, b'1'], &[0x22, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(Reader::new(&[&[0xfe], size].concat()).next(), Err(Damage::ArraySize));
        }
    }
}
