//! A stream of frames, in any pieces: `cargo +nightly fuzz run netpack`.
//!
//! Wherever the pieces end, the frames are the same, and they hold the bytes of the stream, each once.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skynet_rs::netpack_door::{cut, queue};
use skynet_rs_fuzz::pieces;

fuzz_target!(|input: (bool, Vec<u8>, Vec<u8>)| {
    let (long, plan, bytes) = input;
    let whole = cut(long, [&bytes[..]]);
    assert_eq!(cut(long, pieces(&plan, &bytes)), whole);
    let header = if long { 4 } else { 2 };
    let mut at = 0;
    for frame in &whole.0 {
        assert_eq!(&bytes[at + header..][..frame.len()], frame);
        at += header + frame.len();
    }
    if !long {
        // A second connection with the same stream, which comes as one piece in the middle.
        let mut turns: Vec<(i32, &[u8])> = pieces(&plan, &bytes).into_iter().map(|piece| (1, piece)).collect();
        turns.insert(turns.len() / 2, (2, &bytes));
        let frames = queue(turns);
        for of in [1, 2] {
            let found: Vec<&Vec<u8>> = frames.iter().filter(|(fd, _)| *fd == of).map(|(_, frame)| frame).collect();
            assert_eq!(found, whole.0.iter().collect::<Vec<_>>());
        }
    }
});
