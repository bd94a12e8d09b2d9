//! serde values to packed bytes.

use serde::ser::{self, Serialize};

use super::error::{Error, Reason};
use super::format::{self, DEPTH_MAX, FLOAT_TAG, NIL};
use super::value::{POINTER_NAME, VALUES_NAME};
use crate::message::PayloadBuilder;

pub(super) fn write<T: Serialize + ?Sized>(value: &T, out: &mut PayloadBuilder<'_>) -> Result<(), Error> {
    value.serialize(Serializer { out, place: Place::Message, depth: 0 })
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// The whole message: a tuple is a row of values.
    Message,
    /// One of the row.
    Row,
    /// Within a table: a tuple is a table too.
    Table,
}

struct Serializer<'a, 's> {
    out: &'a mut PayloadBuilder<'s>,
    place: Place,
    /// The number of tables round the value.
    depth: u32,
}

/// A table, or the row, of which more is to come.
struct Open<'a, 's> {
    out: &'a mut PayloadBuilder<'s>,
    /// The place and depth of what is in it.
    place: Place,
    depth: u32,
    array: Array,
    given: usize,
    /// How many nils end it: one for itself, one for a variant's table round it.
    ends: u8,
}

/// What is known of the array part while it is written.
#[derive(Clone, Copy)]
enum Array {
    None,
    /// Its size stands in front already.
    Size(usize),
    /// Its size is to be put in front at the end, at this place.
    HeadAt(usize),
}

impl<'a, 's> Serializer<'a, 's> {
    fn row(self) -> Open<'a, 's> {
        Open { out: self.out, place: Place::Row, depth: 0, array: Array::None, given: 0, ends: 0 }
    }

    fn table(self, array: Array) -> Result<Open<'a, 's>, Error> {
        let depth = deeper(self.depth)?;
        match array {
            Array::None => format::put_table(self.out, 0),
            Array::Size(size) => format::put_table(self.out, size as u64),
            Array::HeadAt(_) => {}
        }
        Ok(Open { out: self.out, place: Place::Table, depth, array, given: 0, ends: 1 })
    }

    /// Begins the table that is round a variant's data; what is inside comes next, and then a nil.
    fn variant(self, name: &str) -> Result<Serializer<'a, 's>, Error> {
        let depth = deeper(self.depth)?;
        format::put_table(self.out, 0);
        format::put_string(self.out, name.as_bytes())?;
        Ok(Serializer { place: Place::Table, depth, ..self })
    }
}

fn deeper(depth: u32) -> Result<u32, Error> {
    if depth >= DEPTH_MAX { Err(format::Damage::Depth.into()) } else { Ok(depth + 1) }
}

impl<'s> Open<'_, 's> {
    fn inside(&mut self) -> Serializer<'_, 's> {
        Serializer { out: self.out, place: self.place, depth: self.depth }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.given += 1;
        value.serialize(self.inside())
    }

    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        let start = self.out.len();
        key.serialize(self.inside())?;
        // A nil would end the table, and Lua refuses a NaN.
        match self.out.as_bytes().get(start..) {
            Some([NIL, ..]) => Err(Reason::Key("nil").into()),
            Some([FLOAT_TAG, bits @ ..])
                if bits.try_into().is_ok_and(|bits| f64::from_le_bytes(bits).is_nan()) =>
            {
                Err(Reason::Key("NaN").into())
            }
            _ => Ok(()),
        }
    }

    fn field<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), Error> {
        let start = self.out.len();
        format::put_string(self.out, name.as_bytes())?;
        let value_start = self.out.len();
        value.serialize(self.inside())?;
        // A field that is nil is no field, in Lua.
        if self.out.as_bytes().get(value_start..) == Some(&[NIL]) {
            self.out.truncate(start);
        }
        Ok(())
    }

    fn close(self) -> Result<(), Error> {
        match self.array {
            Array::Size(said) if said != self.given => {
                return Err(Reason::Count { said, given: self.given }.into());
            }
            Array::HeadAt(start) => {
                let end = self.out.len();
                format::put_table(self.out, self.given as u64);
                let head_len = self.out.len() - end;
                if let Some(table) = self.out.as_bytes_mut().get_mut(start..) {
                    table.rotate_right(head_len);
                }
            }
            Array::None | Array::Size(_) => {}
        }
        for _ in 0..self.ends {
            format::put_nil(self.out);
        }
        Ok(())
    }
}

macro_rules! integers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            let value = i64::try_from(value).map_err(|_| Reason::Integer(i128::try_from(value).unwrap_or(i128::MAX)))?;
            format::put_integer(self.out, value);
            Ok(())
        })*
    };
}

impl<'a, 's> ser::Serializer for Serializer<'a, 's> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Open<'a, 's>;
    type SerializeTuple = Open<'a, 's>;
    type SerializeTupleStruct = Open<'a, 's>;
    type SerializeTupleVariant = Open<'a, 's>;
    type SerializeMap = Open<'a, 's>;
    type SerializeStruct = Open<'a, 's>;
    type SerializeStructVariant = Open<'a, 's>;

    integers!(serialize_i64: i64, serialize_u64: u64, serialize_i128: i128, serialize_u128: u128);

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }
    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(value.into())
    }
    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        format::put_float(self.out, value);
        Ok(())
    }
    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        format::put_bool(self.out, value);
        Ok(())
    }
    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, value: &str) -> Result<(), Error> {
        self.serialize_bytes(value.as_bytes())
    }
    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        Ok(format::put_string(self.out, value)?)
    }
    fn serialize_none(self) -> Result<(), Error> {
        format::put_nil(self.out);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }
    fn serialize_unit(self) -> Result<(), Error> {
        if self.place != Place::Message {
            format::put_nil(self.out);
        }
        Ok(())
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }
    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        if name == POINTER_NAME {
            // Its eight bytes arrive as a byte string, whose tag becomes a pointer's: both are one byte long.
            let start = self.out.len();
            value.serialize(Serializer { out: &mut *self.out, ..self })?;
            let bytes = self.out.as_bytes().get(start + 1..).and_then(|bytes| bytes.try_into().ok());
            let address =
                bytes.map(u64::from_le_bytes).ok_or(Reason::Other("a pointer has eight bytes".into()))?;
            self.out.truncate(start);
            format::put_pointer(self.out, address);
            return Ok(());
        }
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        let Serializer { out, place, depth } = self.variant(variant)?;
        value.serialize(Serializer { out: &mut *out, place, depth })?;
        format::put_nil(out);
        Ok(())
    }
    fn serialize_seq(self, len: Option<usize>) -> Result<Open<'a, 's>, Error> {
        let array = match len {
            Some(len) => Array::Size(len),
            None => Array::HeadAt(self.out.len()),
        };
        self.table(array)
    }
    fn serialize_tuple(self, len: usize) -> Result<Open<'a, 's>, Error> {
        match self.place {
            Place::Message => Ok(self.row()),
            Place::Row | Place::Table => self.table(Array::Size(len)),
        }
    }
    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Open<'a, 's>, Error> {
        match self.place {
            Place::Row if name == VALUES_NAME => Ok(self.row()),
            _ => self.serialize_tuple(len),
        }
    }
    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Open<'a, 's>, Error> {
        Ok(Open { ends: 2, ..self.variant(variant)?.table(Array::Size(len))? })
    }
    fn serialize_map(self, _len: Option<usize>) -> Result<Open<'a, 's>, Error> {
        self.table(Array::None)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'a, 's>, Error> {
        self.table(Array::None)
    }
    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Open<'a, 's>, Error> {
        Ok(Open { ends: 2, ..self.variant(variant)?.table(Array::None)? })
    }
    fn is_human_readable(&self) -> bool {
        false
    }
}

impl ser::SerializeSeq for Open<'_, '_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTuple for Open<'_, '_> {
    type Ok = ();
    type Error = Error;
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTupleStruct for Open<'_, '_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeTupleVariant for Open<'_, '_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = Error;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(self.inside())
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeStruct for Open<'_, '_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.field(name, value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

impl ser::SerializeStructVariant for Open<'_, '_> {
    type Ok = ();
    type Error = Error;
    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
        self.field(name, value)
    }
    fn end(self) -> Result<(), Error> {
        self.close()
    }
}
