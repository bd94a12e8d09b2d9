//! Any bytes, as WebSocket frames: `cargo +nightly fuzz run ws_frame`.
//!
//! Each frame is within its limit and its bytes, what is missing is known, and a frame written again is read as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skynet_rs::http_door::{encode, frame};

const LIMIT: usize = 1000;

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    loop {
        match frame(rest, LIMIT) {
            Ok(Ok((op, fin, payload, len))) => {
                assert!(len >= 2 + payload.len() && payload.len() <= LIMIT);
                for mask in [None, Some([1, 2, 3, 4])] {
                    let again = encode(op, fin, &payload, mask);
                    assert_eq!(frame(&again, LIMIT), Ok(Ok((op, fin, payload.clone(), again.len()))));
                    // One byte less is a part of it, and that byte is what is missing.
                    let part = &again[..again.len() - 1];
                    assert_eq!(frame(part, LIMIT), Ok(Err(1)));
                }
                rest = &rest[len..];
            }
            Ok(Err(missing)) => {
                assert!(missing > 0 && missing <= LIMIT + 12);
                return;
            }
            Err(_) => return,
        }
    }
});
