//! [`Value`]: anything that can be packed.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer};
use serde::ser::{Serialize, SerializeMap, SerializeTupleStruct, Serializer};

/// How our codecs know a [`Pointer`] and [`Values`] when serde shows them.
pub(super) const POINTER_NAME: &str = "skynet_rs::packed::Pointer";
pub(super) const VALUES_NAME: &str = "skynet_rs::packed::Values";

/// A value of Lua, as far as it can be packed.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Value {
    /// `nil`.
    #[default]
    Nil,
    /// A boolean.
    Bool(bool),
    /// An integer.
    Integer(i64),
    /// A float, also one without a fraction.
    Float(f64),
    /// A string: any bytes.
    String(Vec<u8>),
    /// A table.
    Table(Table),
    /// A light userdata.
    Pointer(Pointer),
}

/// A table: the elements 1, 2, 3... and what else is in it, in the order in which it is packed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Table {
    /// The elements from 1 on. A nil is a hole.
    pub array: Vec<Value>,
    /// Keys with their values.
    pub pairs: Vec<(Value, Value)>,
}

/// A light userdata: an address, of use only within the process that it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pointer(pub u64);

/// All the values of a message, or all those that are left: `(String, Values)` is a command with any arguments.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Values(pub Vec<Value>);

impl Value {
    /// The text of a string that is UTF-8.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(bytes) => str::from_utf8(bytes).ok(),
            _ => None,
        }
    }
}

impl Table {
    /// The value at a string key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.pairs.iter().find(|(name, _)| name.as_str() == Some(key)).map(|(_, value)| value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.as_bytes().to_vec())
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Value {
        Value::Bool(value)
    }
}

impl From<i64> for Value {
    fn from(value: i64) -> Value {
        Value::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Value {
        Value::Float(value)
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Nil => serializer.serialize_none(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::String(bytes) => match str::from_utf8(bytes) {
                Ok(text) => serializer.serialize_str(text),
                Err(_) => serializer.serialize_bytes(bytes),
            },
            Value::Table(table) => table.serialize(serializer),
            Value::Pointer(pointer) => pointer.serialize(serializer),
        }
    }
}

impl Serialize for Table {
    /// An array, where there are no pairs; else a map in which the elements come first.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.pairs.is_empty() {
            return self.array.serialize(serializer);
        }
        let mut map = serializer.serialize_map(Some(self.array.len() + self.pairs.len()))?;
        for (index, value) in (1_i64..).zip(&self.array) {
            map.serialize_entry(&index, value)?;
        }
        for (key, value) in &self.pairs {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl Serialize for Pointer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Bytes([u8; 8]);
        impl Serialize for Bytes {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }
        serializer.serialize_newtype_struct(POINTER_NAME, &Bytes(self.0.to_le_bytes()))
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_tuple_struct(VALUES_NAME, self.0.len())?;
        for value in &self.0 {
            row.serialize_field(value)?;
        }
        row.end()
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> de::Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that Lua can pack")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }
    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }
    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        let integer =
            i64::try_from(value).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(value), &self))?;
        Ok(Value::Integer(integer))
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }
    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::from(text))
    }
    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Value, E> {
        Ok(Value::String(bytes.to_vec()))
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        PointerVisitor.visit_newtype_struct(deserializer).map(Value::Pointer)
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut table = Table::default();
        while let Some(value) = elements.next_element()? {
            table.array.push(value);
        }
        Ok(Value::Table(table))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut table = Table::default();
        while let Some((key, value)) = entries.next_entry()? {
            let next = Value::Integer(table.array.len() as i64 + 1);
            if table.pairs.is_empty() && key == next {
                table.array.push(value);
            } else {
                table.pairs.push((key, value));
            }
        }
        Ok(Value::Table(table))
    }
}

impl<'de> Deserialize<'de> for Pointer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pointer, D::Error> {
        deserializer.deserialize_newtype_struct(POINTER_NAME, PointerVisitor)
    }
}

struct PointerVisitor;

impl<'de> de::Visitor<'de> for PointerVisitor {
    type Value = Pointer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a light userdata")
    }
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Pointer, D::Error> {
        deserializer.deserialize_bytes(self)
    }
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Pointer, E> {
        let bytes = bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))?;
        Ok(Pointer(u64::from_le_bytes(bytes)))
    }
}

impl<'de> Deserialize<'de> for Values {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Values, D::Error> {
        struct ValuesVisitor;
        impl<'de> de::Visitor<'de> for ValuesVisitor {
            type Value = Values;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a row of values")
            }
            fn visit_seq<A: de::SeqAccess<'de>>(self, mut row: A) -> Result<Values, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = row.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
        }
        deserializer.deserialize_tuple_struct(VALUES_NAME, 0, ValuesVisitor)
    }
}
