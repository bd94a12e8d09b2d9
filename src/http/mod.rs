//! The bytes of HTTP/1.1 and of WebSocket, read and written: no socket, no Lua, no state beyond what a caller keeps.
//!
//! `head.rs` reads request and status lines and header fields, `chunked.rs` bodies in chunks, `frame.rs` WebSocket
//! frames, `handshake.rs` its keys. All that is read comes from strangers: a decoder answers with what it found, with
//! what is missing, or with an error, and takes no memory that the bytes in hand do not justify.
//! Lua face: `lua/modules/skynet_httpcodec.rs`, under lualib/http.

pub(crate) mod chunked;
pub(crate) mod frame;
pub(crate) mod handshake;
pub(crate) mod head;

/// The way in for the fuzz targets.
#[cfg(any(fuzzing, feature = "bench"))]
pub mod door {
    use super::{chunked, frame, head};

    /// Header fields: name in lower case and value of each, if the text is one.
    #[must_use]
    pub fn fields(text: &[u8]) -> Option<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut all = Vec::new();
        head::fields(text, |name, value| all.push((name.to_vec(), value.to_vec()))).ok()?;
        Some(all)
    }

    /// Method, URL and version of a request line.
    #[must_use]
    pub fn request_line(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
        head::request_line(line).map(|line| (line.method, line.url, line.version))
    }

    /// Code and reason of a status line.
    #[must_use]
    pub fn status_line(line: &[u8]) -> Option<(u16, &[u8])> {
        head::status_line(line).map(|line| (line.code, line.reason))
    }

    /// A body in chunks that comes in pieces of so many bytes: the body, and the bytes behind its last chunk.
    #[must_use]
    pub fn chunked(bytes: &[u8], piece: usize) -> Option<(Vec<u8>, usize)> {
        let (mut state, mut body, mut at, mut end) = (chunked::State::Size, Vec::new(), 0, 0);
        loop {
            end = bytes.len().min(end + piece.max(1));
            let (next, used) = chunked::decode(state, bytes.get(at..end)?, &mut body).ok()?;
            (state, at) = (next, at + used);
            if state == chunked::State::Done {
                return Some((body, bytes.len() - at));
            }
            if end == bytes.len() {
                return None;
            }
        }
    }

    /// The frame at the front: its opcode, whether it is the last of its message, its payload, and its length.
    /// `Ok(Err(missing))` says how many bytes are to come at least.
    ///
    /// # Errors
    /// The text of what is wrong with it.
    #[expect(clippy::type_complexity, reason = "a door for one caller")]
    pub fn frame(bytes: &[u8], limit: usize) -> Result<Result<(u8, bool, Vec<u8>, usize), usize>, String> {
        match frame::decode(bytes, limit).map_err(|error| error.to_string())? {
            frame::Decoded::Partial { missing } => Ok(Err(missing)),
            frame::Decoded::Whole(frame) => Ok(Ok((frame.op, frame.fin, frame.unmasked(), frame.len))),
        }
    }

    /// A frame's bytes.
    #[must_use]
    pub fn encode(op: u8, fin: bool, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
        frame::encode(op, fin, payload, mask)
    }
}
