//! What the Lua side is told of the links: `STAT`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::desk::Own;
use super::link::{Life, Link};
use crate::message::Payload;
use crate::packed;

/// One link. The words of `state` are the original's, and BROKEN.
#[derive(Serialize)]
struct LinkStat {
    state: &'static str,
    /// `classic`, `extended`, or nothing while there is no life.
    form: &'static str,
    /// The peer's incarnation in hexadecimal digits, where it is known.
    incarnation: String,
    /// Messages that wait or are not acknowledged, and their bytes.
    queue: usize,
    bytes: usize,
    /// Requests that wait for an answer.
    calls: u32,
    /// Messages, in all lives.
    sent: u64,
    received: u64,
    dropped: u64,
    resumed: u64,
    rtt_ms: Option<f64>,
}

/// A table of all links by the id of the peer.
pub(super) fn stats<'l>(links: impl Iterator<Item = &'l Link>, own: &Own) -> Payload {
    let all: BTreeMap<u8, LinkStat> = links.map(|link| (link.id, of(link, own))).collect();
    // A table of numbers and texts of this size can always be packed.
    packed::to_payload(&all).unwrap_or_default()
}

fn of(link: &Link, own: &Own) -> LinkStat {
    let load = link.load();
    let (form, incarnation) = match &link.life {
        Some(Life::Classic(_)) => ("classic", String::new()),
        Some(Life::Extended(flow)) => ("extended", format!("{:016x}", flow.peer)),
        None => ("", String::new()),
    };
    LinkStat {
        state: state(link),
        form,
        incarnation,
        queue: load.messages,
        bytes: load.small_bytes + load.large_bytes,
        calls: own.waiting.count(link.id),
        sent: link.counts.sent,
        received: link.counts.received,
        dropped: link.counts.dropped,
        resumed: link.counts.resumed,
        rtt_ms: link.counts.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
    }
}

fn state(link: &Link) -> &'static str {
    match (&link.life, &link.conn) {
        (Some(_), Some(conn)) if conn.is_in_content() => "CONTENT",
        (Some(_), Some(_)) => "HEADER",
        (Some(_), None) => "BROKEN",
        (None, _) if link.is_shaking_hands() => "HANDSHAKE",
        (None, _) if link.was_down => "DOWN",
        (None, _) => "WAIT",
    }
}
