//! The Lua wing: what turns a Lua script into a service.
//!
//! `conf.rs` reads a config file. `vm.rs` makes the Lua state of one service; `loader.rs` finds and runs its script.
//! `kernel/` is the native dispatcher, `modules/` what `require` finds in Rust, `seri.rs` the packed format,
//! `chunk.rs` the compiled files and `embedded.rs` those that the program carries in itself. `interrupt.rs` is what
//! other threads may do to a VM. `raw/` tames the C interface.
#![allow(unsafe_code)]

pub(crate) mod chunk;
pub(crate) mod conf;
pub(crate) mod embedded;
#[cfg(feature = "bench")]
pub mod floor;
pub(crate) mod interrupt;
pub(crate) mod kernel;
pub(crate) mod loader;
pub(crate) mod modules;
pub(crate) mod raw;
pub(crate) mod script;
pub(crate) mod seri;
pub(crate) mod vm;

#[cfg(any(fuzzing, feature = "bench"))]
pub use seri::door as seri_door;
