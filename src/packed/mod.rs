//! The packed format: what `skynet.pack` makes of Lua values, for Rust.
//!
//! A message of kind `lua` carries several values in a row. With serde, a tuple is such a row; everything else is
//! one value. So `("get", 1)` here is what a Lua service sends with `skynet.send(addr, "lua", "get", 1)`.
//!
//! ```
//! use std::collections::BTreeMap;
//! use serde::{Deserialize, Serialize};
//! use skynet_rs::packed;
//!
//! #[derive(Serialize, Deserialize, Debug, PartialEq)]
//! struct Player {
//!     name: String,
//!     level: u32,
//!     guild: Option<String>,
//! }
//!
//! # fn main() -> Result<(), packed::Error> {
//! let player = Player { name: "Ada".into(), level: 7, guild: None };
//! // Lua: cmd, id, player = skynet.unpack(...), and player.name == "Ada", player.guild == nil.
//! let payload = packed::to_payload(&("login", 1001, &player))?;
//!
//! let (cmd, id, back): (String, u64, Player) = packed::from_bytes(payload.as_bytes())?;
//! assert_eq!((cmd.as_str(), id, back), ("login", 1001, player));
//!
//! // What Lua packs with skynet.pack { hp = 10, mp = 2.5 }:
//! let stats: BTreeMap<String, f64> = packed::from_bytes(b"\x06\x14hp\x0a\x0a\x14mp\x42\0\0\0\0\0\0\x04\x40\0")?;
//! assert_eq!(stats["hp"] + stats["mp"], 12.5);
//! # Ok(())
//! # }
//! ```
//!
//! # What becomes what
//!
//! | Rust | Lua |
//! |---|---|
//! | tuple, tuple struct: the whole message | several values |
//! | the same inside of something; sequences | array table |
//! | map, struct | table; a field that is `None` is left out |
//! | `None`, `()` inside of something | nil; the whole message `()` is no value at all |
//! | `bool`; integers; floats | boolean; integer; float |
//! | `String`, `char`, bytes | string |
//! | enum: variant without data | its name, a string |
//! | enum: variant with data | table with one field, the variant's name |
//! | [`Pointer`] | light userdata |
//! | [`Value`] | any of them |
//! | [`Values`], alone or last in the row | all the values that are left |
//!
//! Reading is as lenient as Lua is: an integer serves where a float is wanted, a float where an integer is wanted
//! if it is one exactly, values that are missing at the end of the row are nil, and an array may have holes and
//! elements in the table's hash part, as long as it is not mostly holes.

mod de;
mod error;
pub(crate) mod format;
mod ser;
mod value;

use std::mem::MaybeUninit;

use serde::{Deserialize, Serialize};

use crate::message::{Payload, PayloadBuilder};

pub use error::Error;
pub use value::{Pointer, Table, Value, Values};

/// Room on the stack for what is being written; more moves to the heap.
const SCRATCH_LEN: usize = 1024;

/// Packs a value, or the row of values that a tuple is, into a message's payload.
///
/// # Errors
/// What the format cannot express: an integer beyond `i64`, nil or NaN as a key, tables more than 200 deep, a
/// string of 4 GiB; and errors of `T` itself.
pub fn to_payload<T: Serialize + ?Sized>(value: &T) -> Result<Payload, Error> {
    let mut scratch = [MaybeUninit::uninit(); SCRATCH_LEN];
    let mut out = PayloadBuilder::new(&mut scratch);
    ser::write(value, &mut out)?;
    Ok(out.finish())
}

/// Packs as [`to_payload`] does, into a vector.
///
/// # Errors
/// As for [`to_payload`].
pub fn to_vec<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, Error> {
    let mut scratch = [MaybeUninit::uninit(); SCRATCH_LEN];
    let mut out = PayloadBuilder::new(&mut scratch);
    ser::write(value, &mut out)?;
    Ok(out.as_bytes().to_vec())
}

/// Unpacks a value, or the row of values that a tuple is. Strings and bytes may be borrowed.
///
/// # Errors
/// Bytes that are not the packed format, values that are not a `T`, and values that are left over.
pub fn from_bytes<'de, T: Deserialize<'de>>(bytes: &'de [u8]) -> Result<T, Error> {
    de::read(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
