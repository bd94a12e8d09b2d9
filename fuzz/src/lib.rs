//! What several targets need.

/// The pieces of a stream: each as long as the next byte of the plan says, and the rest.
#[must_use]
pub fn pieces<'b>(plan: &[u8], mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    for len in plan {
        let (piece, rest) = bytes.split_at(usize::from(*len).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}
