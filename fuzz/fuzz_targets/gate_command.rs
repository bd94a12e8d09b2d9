//! Any text as the arguments of the native gate, and as a command of its watchdog: `cargo +nightly fuzz run gate_command`.
//!
//! What is read, written again, is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skynet_rs::gate_door::{arguments, command};

fuzz_target!(|text: &str| {
    for read in [arguments, command] {
        if let Some(written) = read(text) {
            assert_eq!(read(&written), Some(written));
        }
    }
});
