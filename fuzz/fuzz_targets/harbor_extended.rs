//! Any bytes of a link, as extended frames: `cargo +nightly fuzz run harbor_extended`.
//!
//! What is found must not depend on where the bytes are cut, and written again it must be the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skynet_rs::harbor_door;
use skynet_rs_fuzz::pieces;

fuzz_target!(|input: (Vec<u8>, Vec<u8>)| {
    let (cuts, bytes) = input;
    let pieces = pieces(&cuts, &bytes);
    let whole = harbor_door::extended(&[&bytes]);
    assert_eq!(harbor_door::extended(&pieces), whole);
    assert!(bytes.starts_with(&whole.frames.concat()));
});
