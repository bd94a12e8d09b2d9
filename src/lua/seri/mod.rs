//! `skynet.pack` and `skynet.unpack`: Lua values to the packed format and back. The tag bytes themselves are in
//! `packed/format.rs`.
//!
//! Both run for nearly every message, hence the raw C interface. Packing never raises: it works on Lua's values
//! only with calls that allocate nothing, and runs what a script may have its hands in (`__pairs`) protected.
//! Unpacking allocates with every value, so it may raise at any point, and its frames own nothing that would have to
//! be dropped.
#![allow(unsafe_code)]

mod pack;
#[cfg(test)]
mod tests;
mod unpack;

#[cfg(any(test, fuzzing, feature = "bench"))]
pub mod door;

pub(crate) use pack::{PackError, pack, pack_with, prepare};
pub(crate) use unpack::unpack;
