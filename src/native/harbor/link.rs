//! [`Link`]: the way to one other node.
//!
//! A *life* of a peer begins when a connection is agreed and ends when the peer is down; the Lua side hears of both. On an
//! extended link a life outlasts its connections: they may break and be made anew, and nothing is lost.
//!
//! - `handshake.rs`: how a connection comes to carry a life.
//! - `retry.rs`: how a new one is asked for.
//! - `incoming.rs`: what comes. Here: what goes, and how a life ends.

use std::collections::VecDeque;
use std::time::Duration;

use super::classic_out::ClassicOut;
use super::conn::Conn;
use super::desk::Desk;
use super::flow::Flow;
use super::report::Report;
use super::retry::Retry;
use super::sender::Load;
use super::wire::{Header, WireError, classic, extended};
use crate::handle::Handle;
use crate::message::Payload;

pub(super) struct Link {
    pub(super) id: u8,
    pub(super) life: Option<Life>,
    /// The connection that carries the life.
    pub(super) conn: Option<Box<Conn>>,
    /// One that may come to carry it.
    pub(super) candidate: Option<Box<Conn>>,
    /// What is sent before there is a life.
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// A life of the peer that was spoken of on a connection that did not come to carry it; 0 for none.
    pub(super) provisional: u64,
    /// A life has ended, or could not begin: sends fail.
    pub(super) was_down: bool,
    /// The peer was of this kind when last heard.
    pub(super) was_extended: bool,
    is_dirty: bool,
    pub(super) retry: Retry,
    /// When the peer was last heard.
    pub(super) heard: Duration,
    pub(super) pinged: Option<Duration>,
    pub(super) counts: Counts,
    drops: Report,
    pub(super) strays: Report,
}

/// How messages travel, while the peer lives.
pub(super) enum Life {
    Classic(ClassicOut),
    Extended(Box<Flow>),
}

struct Queued {
    header: Header,
    payload: Payload,
    since: Duration,
}

/// Figures of a link, over all lives.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) sent: u64,
    pub(super) received: u64,
    pub(super) dropped: u64,
    pub(super) resumed: u64,
    pub(super) rtt: Option<Duration>,
}

/// Why a message is not taken.
pub(super) enum Refused {
    Down,
    TooLong(usize),
    Full,
    Open,
}

/// Why a connection ends.
#[derive(Debug, thiserror::Error)]
pub(super) enum End {
    #[error("{0}")]
    Wire(#[from] WireError),
    /// The peer's id byte is another one.
    #[error("it says that it is harbor {0}")]
    Id(u8),
    /// It is not taken, for this reason.
    #[error("{0}")]
    Refused(&'static str),
    #[error("it said goodbye")]
    Goodbye,
    #[error("the connection is closed")]
    Lost,
    #[error("its handshake takes too long")]
    Late,
}

impl Link {
    pub(super) fn new(id: u8) -> Link {
        Link {
            id,
            life: None,
            conn: None,
            candidate: None,
            queue: VecDeque::new(),
            queue_bytes: 0,
            provisional: 0,
            was_down: false,
            was_extended: false,
            is_dirty: false,
            retry: Retry::default(),
            heard: Duration::ZERO,
            pinged: None,
            counts: Counts::default(),
            drops: Report::default(),
            strays: Report::default(),
        }
    }

    /// Has the link looked at when the turn ends.
    #[inline]
    pub(super) fn touch(&mut self, desk: &mut Desk<'_, '_>) {
        if !std::mem::replace(&mut self.is_dirty, true) {
            desk.own.dirty.push(self.id);
        }
    }

    // ---- out

    /// Takes a message for the peer.
    #[inline]
    pub(super) fn send(
        &mut self,
        desk: &mut Desk<'_, '_>,
        header: Header,
        payload: Payload,
    ) -> Result<(), Refused> {
        let options = &desk.own.options;
        let waits = header.source.harbor() == desk.own.id && !header.kind.is_answer();
        let waiter = header.session.filter(|_| waits);
        if waiter.is_some() && !desk.own.waiting.has_room(self.id, |who| desk.ctx.stat(who).is_some()) {
            return Err(Refused::Open);
        }
        let fits = |load: Load, len: usize| {
            let (bytes, is_large) = match len > extended::CONTENT_MAX {
                true => (load.large_bytes, true),
                false => (load.small_bytes, false),
            };
            let is_empty = if is_large { bytes == 0 } else { load.messages == 0 };
            load.messages < options.queue_max && (is_empty || bytes + len <= options.queue_bytes_max)
        };
        let len = payload.len();
        match &mut self.life {
            Some(Life::Extended(flow)) => {
                if len > flow.message_max {
                    return Err(Refused::TooLong(flow.message_max));
                }
                if !fits(flow.sender.load(), len) {
                    return Err(Refused::Full);
                }
                flow.sender.put(header, payload, options.compress);
            }
            Some(Life::Classic(out)) => {
                if len > classic::CONTENT_MAX {
                    return Err(Refused::TooLong(classic::CONTENT_MAX));
                }
                let fits_now = |out: &ClassicOut| {
                    let load = out.load();
                    let is_full = load.messages >= options.queue_max
                        || load.small_bytes + len > options.queue_bytes_max;
                    load.messages == 0 || !is_full
                };
                if !fits_now(out) {
                    // The socket may have written much since it was last asked.
                    let waiting = self.conn.as_ref().and_then(|conn| desk.ctx.sockets().waiting(conn.socket));
                    out.set_waiting(waiting.unwrap_or(0));
                    if !fits_now(out) {
                        return Err(Refused::Full);
                    }
                }
                out.put(header, payload);
            }
            None => return self.enqueue(desk, header, payload),
        }
        if let Some(session) = waiter {
            desk.own.waiting.add(header.source, session, Handle::new(self.id, header.local));
        }
        self.counts.sent += 1;
        self.touch(desk);
        Ok(())
    }

    #[cold]
    fn enqueue(&mut self, desk: &mut Desk<'_, '_>, header: Header, payload: Payload) -> Result<(), Refused> {
        let options = &desk.own.options;
        if self.was_down && self.candidate.is_none() {
            return Err(Refused::Down);
        }
        let len = payload.len();
        if len > options.message_max {
            return Err(Refused::TooLong(options.message_max));
        }
        let is_full =
            self.queue.len() >= options.queue_max || self.queue_bytes + len > options.queue_bytes_max;
        if is_full && !self.queue.is_empty() {
            return Err(Refused::Full);
        }
        self.queue_bytes += len;
        self.queue.push_back(Queued { header, payload, since: desk.now() });
        self.touch(desk);
        Ok(())
    }

    /// A life has begun: what waited for it goes.
    pub(super) fn send_queue(&mut self, desk: &mut Desk<'_, '_>) {
        self.queue_bytes = 0;
        for Queued { header, payload, .. } in std::mem::take(&mut self.queue) {
            let len = payload.len();
            if let Err(refused) = self.send(desk, header, payload) {
                self.drop_message(desk, header, len, &refused);
            }
        }
    }

    /// There will be no life soon: what waited for it is answered.
    pub(super) fn fail_queue(&mut self, desk: &mut Desk<'_, '_>) {
        self.queue_bytes = 0;
        for Queued { header, payload, .. } in std::mem::take(&mut self.queue) {
            self.drop_message(desk, header, payload.len(), &Refused::Down);
        }
    }

    /// Answers a message that goes nowhere, and counts it.
    pub(super) fn drop_message(
        &mut self,
        desk: &mut Desk<'_, '_>,
        header: Header,
        len: usize,
        why: &Refused,
    ) {
        self.counts.dropped += 1;
        let to = Handle::new(self.id, header.local);
        if self.drops.allows(desk.now()) {
            // Matched by log readers: keep the words.
            let line = super::drop_line(to, header.source, header.session, len);
            let options = &desk.own.options;
            desk.ctx.log(match why {
                Refused::Down => line,
                Refused::TooLong(max) => format!("{line}: over the limit of {max} bytes"),
                Refused::Full => format!(
                    "{line}: {} messages or {} bytes wait (harbor_queue_max, harbor_queue_bytes_max)",
                    options.queue_max, options.queue_bytes_max
                ),
                Refused::Open => format!("{line}: {} requests wait for an answer", super::waiting::OPEN_MAX),
            });
        } else {
            self.touch(desk);
        }
        desk.refuse(to, header.source, header.session, header.kind);
    }

    /// Writes what the turn has collected.
    pub(super) fn flush(&mut self, desk: &mut Desk<'_, '_>) {
        self.is_dirty = false;
        let Some(socket) = self.conn.as_ref().map(|conn| conn.socket) else {
            if let Some(Life::Extended(flow)) = &mut self.life {
                flow.sender.forget_ready();
            }
            return;
        };
        match &mut self.life {
            Some(Life::Classic(out)) => {
                let waiting = desk.ctx.sockets().send_many(socket, out.take_ready());
                if let Some(waiting) = waiting {
                    out.flushed(waiting);
                }
            }
            Some(Life::Extended(flow)) => {
                let has_more = flow.flush(desk, socket, &mut self.pinged);
                if has_more {
                    self.touch(desk);
                }
            }
            None => {}
        }
    }

    // ---- the end

    /// A connection is over, by the other side or by something wrong in it.
    pub(super) fn conn_ended(&mut self, desk: &mut Desk<'_, '_>, conn: Conn, end: &End) {
        match end {
            End::Lost => desk.close(conn.socket),
            _ => desk.cut(conn.socket),
        }
        let id = self.id;
        match end {
            // Matched by log readers: keep the words.
            End::Id(other) => desk
                .ctx
                .log(format!("Invalid shakehand id ({id}) from fd = {} , harbor = {other}", conn.socket)),
            End::Wire(WireError::TooLong(_)) => {
                desk.ctx.log(format!("Message is too long from harbor {id}"));
            }
            End::Wire(error) => desk.ctx.log(format!("harbor: bad bytes from harbor {id}: {error}")),
            End::Refused(why) => desk.ctx.log(format!("harbor: harbor {id} is refused: {why}")),
            End::Late => desk.ctx.log(format!("harbor: harbor {id} is not taken: {end}")),
            End::Goodbye | End::Lost => {}
        }
        let is_extended = matches!(self.life, Some(Life::Extended(_)));
        if !conn.live {
            return self.attempt_failed(desk, !matches!(end, End::Lost | End::Late));
        }
        let window = desk.own.options.resume_window;
        if matches!(end, End::Lost) && is_extended && !window.is_zero() {
            self.broke(desk);
        } else {
            self.end_life(desk, &end.to_string());
        }
    }

    /// The connection of an extended link is gone; the life goes on for a while.
    fn broke(&mut self, desk: &mut Desk<'_, '_>) {
        let now = desk.now();
        if let Some(Life::Extended(flow)) = &mut self.life {
            flow.broken = Some(now);
            flow.sender.forget_ready();
        }
        self.pinged = None;
        self.retry.begin_resume(desk, self.id);
        self.touch(desk);
    }

    /// The peer is down: everybody who waits for it is told.
    pub(super) fn end_life(&mut self, desk: &mut Desk<'_, '_>, why: &str) {
        let Some(life) = self.life.take() else { return };
        let id = self.id;
        desk.ctx.log(format!("harbor: harbor {id} is down: {why}"));
        for conn in self.conn.take().into_iter().chain(self.candidate.take()) {
            desk.close(conn.socket);
        }
        (self.was_down, self.was_extended, self.pinged) = (true, false, None);
        desk.own.names.forget_node(id);
        let lost = match life {
            Life::Extended(mut flow) => flow.sender.drain(),
            Life::Classic(mut out) => out.drain(),
        };
        for (header, len) in lost {
            // Those who wait for an answer come below, each once.
            let waits = header.session.is_some() && header.source.harbor() == desk.own.id;
            if waits || header.kind.is_answer() {
                self.counts.dropped += 1;
            } else {
                self.drop_message(desk, header, len, &Refused::Down);
            }
        }
        for (source, session, destination) in desk.own.waiting.take_node(id) {
            desk.send_error(destination, source, Some(session));
        }
        desk.tell(format!("D {id}"));
        self.retry.begin_rejoin(desk.now());
        self.touch(desk);
    }

    // ---- time

    /// When the link has to be looked at, at the latest.
    pub(super) fn due(&self, desk: &Desk<'_, '_>) -> Option<Duration> {
        let options = &desk.own.options;
        let mut due = [self.drops.due(), self.strays.due(), self.retry.due()].into_iter().flatten().min();
        let mut add = |at: Duration| due = Some(due.unwrap_or(at).min(at));
        if let Some(conn) = &self.candidate {
            add(self.handshake_due(desk, conn));
        }
        match &self.life {
            Some(Life::Extended(flow)) => match flow.broken {
                Some(since) => add(since + options.resume_window),
                None => {
                    flow.ack_due.into_iter().for_each(&mut add);
                    let patience = if self.pinged.is_none() { 3 } else { 1 };
                    add(self.heard + options.down_after / patience);
                }
            },
            Some(Life::Classic(_)) => {}
            None => self.queue.front().into_iter().for_each(|first| add(first.since + options.join_timeout)),
        }
        due
    }

    /// Does what is due.
    pub(super) fn tick(&mut self, desk: &mut Desk<'_, '_>, now: Duration) {
        let id = self.id;
        if let Some(more) = self.drops.summary(now) {
            desk.ctx.log(format!("harbor: {more} more messages to harbor {id} were dropped in this second"));
        }
        if let Some(more) = self.strays.summary(now) {
            desk.ctx.log(format!("harbor: {more} more messages from harbor {id} found no receiver"));
        }
        if self.candidate.as_ref().is_some_and(|conn| self.handshake_due(desk, conn) <= now) {
            self.handshake_late(desk);
        }
        let options = &desk.own.options;
        let (down_after, window) = (options.down_after, options.resume_window);
        match &mut self.life {
            Some(Life::Extended(flow)) => match flow.broken {
                Some(since) if since + window <= now => {
                    self.end_life(desk, "its connection broke and did not come back");
                }
                Some(_) => {}
                None if self.heard + down_after <= now => {
                    if let Some(conn) = self.conn.take() {
                        desk.cut(conn.socket);
                    }
                    self.end_life(desk, "it is silent");
                }
                None => {
                    if self.pinged.is_none() && self.heard + down_after / 3 <= now {
                        flow.wants_ping = true;
                        self.touch(desk);
                    } else if flow.ack_due.is_some_and(|due| due <= now) {
                        self.touch(desk);
                    }
                }
            },
            Some(Life::Classic(_)) => {}
            None => self.expire_queue(desk, now),
        }
        self.retry_tick(desk, now);
    }

    /// The node itself stood still: that the peer was not heard says nothing.
    pub(super) fn forgive(&mut self, now: Duration) {
        self.heard = now;
    }

    fn expire_queue(&mut self, desk: &mut Desk<'_, '_>, now: Duration) {
        let limit = desk.own.options.join_timeout;
        while let Some(late) = self.queue.pop_front_due(now, limit) {
            self.queue_bytes -= late.payload.len();
            self.drop_message(desk, late.header, late.payload.len(), &Refused::Down);
        }
    }

    /// How much waits, for figures.
    pub(super) fn load(&self) -> Load {
        match &self.life {
            Some(Life::Extended(flow)) => flow.sender.load(),
            Some(Life::Classic(out)) => out.load(),
            None => Load { messages: self.queue.len(), small_bytes: self.queue_bytes, large_bytes: 0 },
        }
    }

    /// Ends the link in order: the node stops.
    pub(super) fn goodbye(&mut self, desk: &mut Desk<'_, '_>) {
        self.flush(desk);
        if let (Some(Life::Extended(_)), Some(conn)) = (&self.life, &self.conn) {
            desk.ctx.sockets().send_many(conn.socket, [Payload::from(&extended::GOODBYE)]);
        }
        self.end_life(desk, "this node says goodbye");
        self.fail_queue(desk);
        for conn in self.conn.take().into_iter().chain(self.candidate.take()) {
            desk.close(conn.socket);
        }
    }
}

trait PopDue {
    fn pop_front_due(&mut self, now: Duration, limit: Duration) -> Option<Queued>;
}

impl PopDue for VecDeque<Queued> {
    fn pop_front_due(&mut self, now: Duration, limit: Duration) -> Option<Queued> {
        self.front().filter(|first| first.since + limit <= now)?;
        self.pop_front()
    }
}
