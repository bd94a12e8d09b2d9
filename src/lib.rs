//! skynet-rs: an actor runtime that runs skynet's Lua services, with native services in Rust beside them.
//!
//! A [`Runtime`] is one node. It runs [`Service`]s: each owns its state and handles one message at a time, on a
//! work-stealing scheduler. A service is known by its [`Handle`]; it asks its node for things through [`Context`].
//! Services in Lua are services like any other: the module `snlua` makes them, and the packed format
//! ([`packed`]) is what both sides understand.
//!
//! ```
//! use skynet_rs::{Context, Message, Runtime, Service, ServiceError};
//!
//! struct Echo;
//! impl Service for Echo {
//!     fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
//!         Ok(ctx.respond(message.origin(), message.into_payload())?)
//!     }
//! }
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let runtime = Runtime::builder().workers(2).service("echo", |_args| Ok(Echo)).start()?;
//!     let echo = runtime.launch("echo", "")?;
//!     assert_eq!(runtime.call(echo, "hello")?.as_bytes(), b"hello");
//!     runtime.shutdown();
//!     Ok(())
//! }
//! ```

#[cfg(not(loom))]
mod check;
#[cfg(not(loom))]
mod clock;
#[cfg(not(loom))]
mod command;
#[cfg(not(loom))]
mod config;
#[cfg(not(loom))]
mod context;
#[cfg(not(loom))]
mod crypt;
#[cfg(not(loom))]
mod date;
#[cfg(not(loom))]
mod env;
mod handle;
#[cfg(not(loom))]
mod host;
#[cfg(not(loom))]
mod http;
#[cfg(all(test, loom))]
mod loom_tests;
#[cfg(not(loom))]
mod lua;
#[cfg_attr(loom, allow(dead_code))]
mod mailbox;
#[cfg_attr(loom, allow(dead_code, unused_imports))]
mod message;
#[cfg(not(loom))]
mod names;
#[cfg(not(loom))]
mod native;
#[cfg(not(loom))]
mod netpack;
#[cfg(not(loom))]
mod node;
#[cfg(not(loom))]
pub mod packed;
#[cfg_attr(loom, allow(dead_code))]
mod post;
#[cfg(not(loom))]
mod random;
#[cfg(not(loom))]
mod remote;
#[cfg(not(loom))]
mod runtime;
#[cfg_attr(loom, allow(dead_code, unused_imports))]
mod sched;
#[cfg(not(loom))]
mod service;
#[cfg(not(loom))]
mod socket;
#[cfg_attr(loom, allow(dead_code, unused_imports))]
mod sync;
#[cfg(not(loom))]
mod table;
#[cfg(not(loom))]
mod timer;
#[cfg(not(loom))]
mod tls;

#[cfg(not(loom))]
pub use check::{Finding, Severity};
#[cfg(not(loom))]
pub use clock::{Clock, ManualClock};
#[cfg(not(loom))]
pub use config::{Config, ConfigError, Place};
#[cfg(not(loom))]
pub use context::{Context, MESSAGE_SIZE_MAX, Sockets};
#[cfg(not(loom))]
pub use env::KeyExists;
pub use handle::{Handle, ParseHandleError};
#[cfg(not(loom))]
pub use host::{LaunchError, SendError, Stat};
#[cfg(not(loom))]
pub use lua::script::{ScriptError, run_script};
pub use message::{Message, MessageKind, Origin, Payload, Session};
#[cfg(not(loom))]
pub use runtime::{Builder, CallError, Runtime, StartError, check};
#[cfg(not(loom))]
pub use service::{Service, ServiceError, Signals};
#[cfg(not(loom))]
pub use socket::{
    AddressError, Priority, SocketData, SocketError, SocketEvent, SocketEventKind, SocketId, SocketInfo,
    SocketKind, UdpAddress,
};
#[cfg(not(loom))]
pub use table::TableFull;

#[cfg(any(fuzzing, feature = "bench"))]
#[doc(hidden)]
pub use http::door as http_door;
#[cfg(feature = "bench")]
#[doc(hidden)]
pub use lua::floor;
#[cfg(any(fuzzing, feature = "bench"))]
#[doc(hidden)]
pub use lua::seri_door;
#[cfg(any(fuzzing, feature = "bench"))]
#[doc(hidden)]
pub use native::{gate_door, harbor_door};
#[cfg(any(fuzzing, feature = "bench"))]
#[doc(hidden)]
pub use netpack::door as netpack_door;

// What the documents show is compiled and run by `cargo test`.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
#[cfg(doctest)]
#[doc = include_str!("../docs/native-services.md")]
mod native_services {}
