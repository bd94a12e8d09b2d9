//! Any bytes, as a body in chunks: `cargo +nightly fuzz run http_chunked`.
//!
//! In whatever pieces they come, the body is the same, and no longer than they are. The first byte is the pieces' length.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skynet_rs::http_door::chunked;

fuzz_target!(|bytes: &[u8]| {
    let Some((piece, bytes)) = bytes.split_first() else { return };
    let whole = chunked(bytes, bytes.len());
    if let Some((body, behind)) = &whole {
        assert!(body.len() + behind <= bytes.len());
    }
    assert_eq!(chunked(bytes, usize::from(*piece)), whole);
});
