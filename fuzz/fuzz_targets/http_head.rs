//! Any bytes, as the head of a request or a response: `cargo +nightly fuzz run http_head`.
//!
//! What is read has nothing in it that could end a line, and is read again when it is written out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use skynet_rs::http_door::{fields, request_line, status_line};

fuzz_target!(|bytes: &[u8]| {
    if let Some((method, url, version)) = request_line(bytes) {
        let again = [method, b" ", url, b" HTTP/", version].concat();
        assert_eq!(request_line(&again), Some((method, url, version)));
    }
    if let Some((code, reason)) = status_line(bytes) {
        assert!((0..1000).contains(&code) && reason.len() < bytes.len());
    }
    let Some(all) = fields(bytes) else { return };
    let mut again = Vec::new();
    for (name, value) in &all {
        assert!(!name.is_empty() && !name.iter().any(u8::is_ascii_uppercase));
        assert!(!name.iter().chain(value).any(|byte| b"\r\n\0".contains(byte)));
        again.extend_from_slice(&[name, &b": "[..], value, b"\r\n"].concat());
    }
    assert_eq!(fields(&again), Some(all));
});
