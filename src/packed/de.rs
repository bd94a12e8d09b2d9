//! Packed bytes to serde values.

use serde::de::value::{
    BorrowedBytesDeserializer, BorrowedStrDeserializer, I64Deserializer, StringDeserializer,
};
use serde::de::{self, Deserialize, DeserializeSeed, Visitor};

use super::error::{Error, Reason};
use super::format::{DEPTH_MAX, Damage, Item, Reader};
use super::value::{POINTER_NAME, VALUES_NAME};

/// Holes that a sequence may have for each of its elements that are in the table's hash part. It bounds the
/// memory that few bytes can ask for.
const HOLES_MAX: u64 = 16;

/// How often the bytes of a message may be walked over to find out what a table is, all tables together.
const SCANS_MAX: usize = 16;

pub(super) fn read<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    let mut state = State {
        reader: Reader::new(bytes),
        len: bytes.len(),
        depth: 0,
        scan_budget: bytes.len().saturating_mul(SCANS_MAX),
    };
    let value = T::deserialize(Cursor { state: &mut state, place: Place::Message })?;
    if state.reader.remaining() > 0 {
        return Err(Error::from(Reason::LeftOver).or_at(state.offset()));
    }
    Ok(value)
}

struct State<'de> {
    reader: Reader<'de>,
    /// The length of the whole.
    len: usize,
    /// The number of tables round the next value.
    depth: u32,
    /// How many bytes may still be walked over for nothing but a look.
    scan_budget: usize,
}

impl<'de> State<'de> {
    fn offset(&self) -> usize {
        self.len - self.reader.remaining()
    }

    fn nested<'a>(&'a mut self) -> Cursor<'a, 'de> {
        Cursor { state: self, place: Place::Table }
    }

    fn enter(&mut self) -> Result<(), Error> {
        if self.depth >= DEPTH_MAX {
            return Err(Damage::Depth.into());
        }
        self.depth += 1;
        Ok(())
    }

    /// Takes the cost of a look from the budget; false if it is used up.
    fn charge(&mut self, bytes: usize) -> bool {
        let left = self.scan_budget.checked_sub(bytes);
        self.scan_budget = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether the table whose head has been read has an array part alone. When the budget is used up the answer
    /// is no, which is never wrong: a map can be all that a sequence is.
    fn is_array(&mut self, array_size: u64) -> Result<bool, Error> {
        let mut ahead = self.reader;
        if array_size == 0 || self.scan_budget < ahead.remaining() {
            return Ok(false);
        }
        for _ in 0..array_size {
            ahead.skip(self.depth)?;
        }
        self.charge(self.reader.remaining() - ahead.remaining());
        Ok(ahead.next()? == Item::Nil)
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The whole message: a tuple is a row of values.
    Message,
    /// One of the row.
    Row,
    /// Within a table.
    Table,
    /// A hole of a sequence: nil, and no bytes.
    Hole,
}

struct Cursor<'a, 'de> {
    state: &'a mut State<'de>,
    place: Place,
}

impl<'de> Cursor<'_, 'de> {
    fn item(&mut self) -> Result<Item<'de>, Error> {
        if self.is_missing() { Ok(Item::Nil) } else { Ok(self.state.reader.next()?) }
    }

    /// What lies beyond the last value of the row is nil, as it is in Lua.
    fn is_missing(&self) -> bool {
        match self.place {
            Place::Message | Place::Row => self.state.reader.remaining() == 0,
            Place::Table => false,
            Place::Hole => true,
        }
    }

    /// Runs `read`; an error that has no place yet gets that of this value.
    fn located<R>(self, read: impl FnOnce(Self) -> Result<R, Error>) -> Result<R, Error> {
        let offset = self.state.offset();
        read(self).map_err(|error| error.or_at(offset))
    }

    /// Shows an item as what it is.
    fn show<V: Visitor<'de>>(self, item: Item<'de>, visitor: V) -> Result<V::Value, Error> {
        match item {
            Item::Nil => visitor.visit_unit(),
            Item::Bool(value) => visitor.visit_bool(value),
            Item::Integer(value) => visitor.visit_i64(value),
            Item::Float(value) => visitor.visit_f64(value),
            Item::String(bytes) => match str::from_utf8(bytes) {
                Ok(text) => visitor.visit_borrowed_str(text),
                Err(_) => visitor.visit_borrowed_bytes(bytes),
            },
            Item::Pointer(address) => {
                // On the wire they are these eight bytes; a visitor that knows pointers asks for bytes.
                visitor.visit_newtype_struct(PointerBytes(address.to_le_bytes()))
            }
            Item::Table(array_size) => {
                if self.state.is_array(array_size)? {
                    self.sequence(array_size, 0, visitor)
                } else {
                    self.entries(array_size, Keys::Any, visitor)
                }
            }
        }
    }

    /// Shows the table whose head has been read as a sequence of at least `len_min` elements.
    fn sequence<V: Visitor<'de>>(self, array_size: u64, len_min: u64, visitor: V) -> Result<V::Value, Error> {
        self.state.enter()?;
        let mut elements = Elements { state: &mut *self.state, array_size, given: 0, len_min, pairs: None };
        let value = visitor.visit_seq(&mut elements)?;
        elements.finish()?;
        self.state.depth -= 1;
        Ok(value)
    }

    /// Shows the table whose head has been read as a map.
    fn entries<V: Visitor<'de>>(self, array_size: u64, keys: Keys, visitor: V) -> Result<V::Value, Error> {
        self.state.enter()?;
        let mut entries = Entries { state: &mut *self.state, array_size, given: 0, keys, ended: false };
        let value = visitor.visit_map(&mut entries)?;
        while !entries.ended {
            if de::MapAccess::next_key::<de::IgnoredAny>(&mut entries)?.is_some() {
                de::MapAccess::next_value::<de::IgnoredAny>(&mut entries)?;
            }
        }
        self.state.depth -= 1;
        Ok(value)
    }
}

struct PointerBytes([u8; 8]);

impl<'de> de::Deserializer<'de> for PointerBytes {
    type Error = Error;
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_bytes(&self.0)
    }
    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// The integer that a float is, if it is one exactly.
fn exact_integer(value: f64) -> Option<i64> {
    // 2^63 is the first float that is too large; every float between the two is in range.
    let in_range = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    (in_range && value.fract() == 0.0).then_some(value as i64)
}

macro_rules! integers {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            self.located(|mut this| match this.item()? {
                Item::Float(value) => match exact_integer(value) {
                    Some(integer) => visitor.visit_i64(integer),
                    None => visitor.visit_f64(value),
                },
                item => this.show(item, visitor),
            })
        })*
    };
}

impl<'de> de::Deserializer<'de> for Cursor<'_, 'de> {
    type Error = Error;

    integers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|mut this| {
            let item = this.item()?;
            this.show(item, visitor)
        })
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|mut this| match this.item()? {
            Item::String(bytes) => visitor.visit_borrowed_bytes(bytes),
            item => this.show(item, visitor),
        })
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|mut this| {
            if this.is_missing() || this.state.reader.at_nil() {
                this.item()?;
                visitor.visit_none()
            } else {
                visitor.visit_some(this)
            }
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        if name == POINTER_NAME { self.deserialize_any(visitor) } else { visitor.visit_newtype_struct(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|mut this| match this.item()? {
            Item::Table(array_size) => this.sequence(array_size, 0, visitor),
            item => this.show(item, visitor),
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        if self.place == Place::Message {
            return visitor.visit_seq(Row { state: self.state, left: Some(len) });
        }
        self.located(|mut this| match this.item()? {
            Item::Table(array_size) => this.sequence(array_size, len as u64, visitor),
            item => this.show(item, visitor),
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Error> {
        match self.place {
            Place::Message | Place::Row if name == VALUES_NAME => {
                visitor.visit_seq(Row { state: self.state, left: None })
            }
            _ => self.deserialize_tuple(len, visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|mut this| match this.item()? {
            Item::Table(array_size) => this.entries(array_size, Keys::OfEntries, visitor),
            item => this.show(item, visitor),
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.located(|mut this| match this.item()? {
            Item::Table(array_size) => this.entries(array_size, Keys::OfFields, visitor),
            item => this.show(item, visitor),
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.located(|mut this| match this.item()? {
            Item::String(bytes) => match str::from_utf8(bytes) {
                Ok(text) => visitor.visit_enum(BorrowedStrDeserializer::new(text)),
                Err(_) => visitor.visit_borrowed_bytes(bytes),
            },
            Item::Table(0) => {
                this.state.enter()?;
                let value = visitor.visit_enum(Variant { state: &mut *this.state })?;
                if this.state.reader.next()? != Item::Nil {
                    return Err(Reason::Variant.into());
                }
                this.state.depth -= 1;
                Ok(value)
            }
            Item::Table(_) => Err(Reason::Variant.into()),
            item => this.show(item, visitor),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.located(|this| {
            if !this.is_missing() {
                this.state.reader.skip(this.state.depth)?;
            }
            visitor.visit_unit()
        })
    }

    serde::forward_to_deserialize_any! { bool f32 f64 char str string unit unit_struct identifier }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// The values of a message one after another: so many, those that are missing being nil, or all that there are.
struct Row<'a, 'de> {
    state: &'a mut State<'de>,
    left: Option<usize>,
}

impl<'de> de::SeqAccess<'de> for Row<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        match &mut self.left {
            Some(0) => return Ok(None),
            Some(left) => *left -= 1,
            None if self.state.reader.remaining() == 0 => return Ok(None),
            None => {}
        }
        seed.deserialize(Cursor { state: self.state, place: Place::Row }).map(Some)
    }
}

/// A table as a sequence.
struct Elements<'a, 'de> {
    state: &'a mut State<'de>,
    array_size: u64,
    given: u64,
    /// Up to here, what is missing is nil.
    len_min: u64,
    /// Elements of the hash part, the first one last; known once the array part has been read.
    pairs: Option<Vec<(u64, Reader<'de>)>>,
}

impl<'de> Elements<'_, 'de> {
    /// Finds the elements in the hash part, which is what comes next, and passes over it.
    fn find_pairs(&mut self) -> Result<Vec<(u64, Reader<'de>)>, Error> {
        let start = self.state.reader.remaining();
        let mut pairs = Vec::new();
        loop {
            let offset = self.state.offset();
            match self.state.reader.next()? {
                Item::Nil => break,
                Item::Integer(key) if key > 0 && key.cast_unsigned() > self.array_size => {
                    pairs.push((key.cast_unsigned(), self.state.reader));
                    self.state.reader.skip(self.state.depth)?;
                }
                _ => return Err(Error::from(Reason::NoSequence).or_at(offset)),
            }
        }
        pairs.sort_by_key(|&(key, _)| std::cmp::Reverse(key));
        if pairs.windows(2).any(|two| matches!(two, [(a, _), (b, _)] if a == b)) {
            return Err(Reason::NoSequence.into());
        }
        if let Some(&(last, _)) = pairs.first() {
            if last - self.array_size > pairs.len() as u64 * (1 + HOLES_MAX) {
                return Err(Reason::Sparse.into());
            }
            if !self.state.charge(start - self.state.reader.remaining()) {
                return Err(Reason::Tangled.into());
            }
        }
        Ok(pairs)
    }

    fn pairs(&mut self) -> Result<&mut Vec<(u64, Reader<'de>)>, Error> {
        if self.pairs.is_none() {
            self.pairs = Some(self.find_pairs()?);
        }
        Ok(self.pairs.as_mut().expect("it was put there"))
    }

    /// What was not asked for must not be there.
    fn finish(mut self) -> Result<(), Error> {
        if self.given < self.array_size || !self.pairs()?.is_empty() {
            return Err(Reason::LongSequence.into());
        }
        Ok(())
    }
}

impl<'de> de::SeqAccess<'de> for Elements<'_, 'de> {
    type Error = Error;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Error> {
        if self.given < self.array_size {
            self.given += 1;
            return seed.deserialize(self.state.nested()).map(Some);
        }
        let (index, len_min) = (self.given + 1, self.len_min);
        match self.pairs()?.last() {
            Some(&(key, place)) if key == index => {
                self.pairs()?.pop();
                self.given = index;
                let behind = std::mem::replace(&mut self.state.reader, place);
                let value = seed.deserialize(self.state.nested())?;
                self.state.reader = behind;
                Ok(Some(value))
            }
            None if index > len_min => Ok(None),
            _ => {
                self.given = index;
                seed.deserialize(Cursor { state: self.state, place: Place::Hole }).map(Some)
            }
        }
    }

    fn size_hint(&self) -> Option<usize> {
        // Each element takes a byte at least, so no claim is believed beyond what is there.
        let left =
            (self.array_size - self.given.min(self.array_size)).min(self.state.reader.remaining() as u64);
        usize::try_from(left).ok()
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Keys {
    /// Nothing is known of what is wanted: holes are shown.
    Any,
    /// Keys of a map: a hole is no entry.
    OfEntries,
    /// Names of fields: they are strings, also where the key is an integer, and a nil is no field.
    OfFields,
}

/// A table as a map: elements of the array part first.
struct Entries<'a, 'de> {
    state: &'a mut State<'de>,
    array_size: u64,
    given: u64,
    keys: Keys,
    ended: bool,
}

impl<'de> de::MapAccess<'de> for Entries<'_, 'de> {
    type Error = Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Error> {
        while self.given < self.array_size {
            self.given += 1;
            if self.keys != Keys::Any && self.state.reader.at_nil() {
                self.state.reader.next()?;
                continue;
            }
            let key = self.given.cast_signed();
            return match self.keys {
                Keys::OfFields => seed.deserialize(StringDeserializer::new(key.to_string())).map(Some),
                Keys::Any | Keys::OfEntries => seed.deserialize(I64Deserializer::new(key)).map(Some),
            };
        }
        while !self.ended {
            if self.keys != Keys::OfFields {
                if self.state.reader.at_nil() {
                    break;
                }
                return seed.deserialize(self.state.nested()).map(Some);
            }
            let offset = self.state.offset();
            let key = self.state.reader.next()?;
            if key != Item::Nil {
                self.state.reader.skip_rest_of(key, self.state.depth)?;
                if self.state.reader.at_nil() {
                    self.state.reader.next()?;
                    continue;
                }
            }
            return match key {
                Item::Nil => {
                    self.ended = true;
                    Ok(None)
                }
                Item::String(bytes) => match str::from_utf8(bytes) {
                    Ok(name) => seed.deserialize(BorrowedStrDeserializer::new(name)),
                    Err(_) => seed.deserialize(BorrowedBytesDeserializer::new(bytes)),
                }
                .map(Some),
                Item::Integer(key) => seed.deserialize(StringDeserializer::new(key.to_string())).map(Some),
                // No field is called so, but it may be there.
                _ => seed.deserialize(BorrowedStrDeserializer::new("")).map(Some),
            }
            .map_err(|error: Error| error.or_at(offset));
        }
        if !self.ended {
            self.state.reader.next()?;
            self.ended = true;
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Error> {
        seed.deserialize(self.state.nested())
    }
}

/// A table with one field, whose key is a variant's name.
struct Variant<'a, 'de> {
    state: &'a mut State<'de>,
}

impl<'de> de::EnumAccess<'de> for Variant<'_, 'de> {
    type Error = Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Error> {
        let Item::String(name) = self.state.reader.next()? else { return Err(Reason::Variant.into()) };
        let variant = match str::from_utf8(name) {
            Ok(name) => seed.deserialize(BorrowedStrDeserializer::<Error>::new(name))?,
            Err(_) => seed.deserialize(BorrowedBytesDeserializer::<Error>::new(name))?,
        };
        Ok((variant, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'_, 'de> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        <()>::deserialize(self.state.nested())
    }
    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Error> {
        seed.deserialize(self.state.nested())
    }
    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_tuple(self.state.nested(), len, visitor)
    }
    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        de::Deserializer::deserialize_struct(self.state.nested(), "", fields, visitor)
    }
}
