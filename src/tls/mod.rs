//! TLS over bytes in memory: whoever has the socket gives what came and sends what is to go out.
//!
//! `settings.rs` is what connections have in common (certificates, what is trusted), `pem.rs` reads the files,
//! `ciphers.rs` the lists of cipher suites, `verify.rs` says whom a client trusts, `stream.rs` is one connection.
//! The protocol itself is rustls's.

mod ciphers;
mod pem;
mod settings;
mod stream;
mod verify;

use settings::SettingsError;

pub(crate) use rustls_pki_types::ServerName;
pub(crate) use settings::Settings;
pub(crate) use stream::{Stream, host_name};
pub(crate) use verify::load_system_roots;
