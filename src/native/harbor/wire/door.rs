//! The frame readers, for `fuzz/`: no part of the interface.

use super::extended::{Control, Frame};
use super::{classic, extended, hello};

/// What a reader found in pieces of bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// The frames, written again.
    pub frames: Vec<Vec<u8>>,
    /// Why it stopped.
    pub error: Option<String>,
}

/// Reads classic frames.
#[must_use]
pub fn classic(pieces: &[&[u8]]) -> Read {
    let (mut reader, mut read) = (classic::Reader::default(), Read::default());
    for piece in pieces {
        let mut input = *piece;
        loop {
            match reader.next(&mut input) {
                Ok(Some(frame)) => {
                    let content = frame.content.as_bytes();
                    if let Some(found) = hello::Hello::read(&frame.header, content) {
                        assert!(content.starts_with(&found.to_bytes()));
                    }
                    let mut bytes = Vec::new();
                    classic::put(&mut bytes, frame.header, content);
                    read.frames.push(bytes);
                }
                Ok(None) => break,
                Err(error) => {
                    read.error = Some(error.to_string());
                    return read;
                }
            }
        }
    }
    read
}

/// Reads extended frames, and decompresses what is compressed.
#[must_use]
pub fn extended(pieces: &[&[u8]]) -> Read {
    let (mut reader, mut read, mut scratch) = (extended::Reader::default(), Read::default(), Vec::new());
    for piece in pieces {
        let mut input = *piece;
        loop {
            match reader.next(&mut input) {
                Ok(Some(Frame::Control(control))) => read.frames.push(match control {
                    Control::Ack(count) => extended::ack(count).to_vec(),
                    Control::Ping => extended::PING.to_vec(),
                    Control::Pong => extended::PONG.to_vec(),
                    Control::Goodbye => extended::GOODBYE.to_vec(),
                }),
                Ok(Some(Frame::Message(body))) => {
                    let (content, mut bytes) = (body.content.as_bytes(), Vec::new());
                    if let Some(raw) = body.raw
                        && extended::decompress(&mut scratch, content, raw).is_ok()
                    {
                        assert_eq!(scratch.len(), raw);
                    }
                    extended::put_special_head(&mut bytes, body.header, body.place, body.raw, content.len());
                    bytes.extend_from_slice(content);
                    read.frames.push(bytes);
                }
                Ok(None) => break,
                Err(error) => {
                    read.error = Some(error.to_string());
                    return read;
                }
            }
        }
    }
    read
}
