//! Any text of the Lua side to the harbor service: `cargo +nightly fuzz run harbor_command`.
//!
//! What is read, written again, is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skynet_rs::harbor_door::command;

fuzz_target!(|text: &str| {
    if let Some(written) = command(text) {
        assert_eq!(command(&written), Some(written));
    }
});
