//! [`Retry`]: asking the Lua side for a new connection, at the end that connected before.
//!
//! In the resume window at once and then faster than the window ends, whatever the master says: it may have lost only its
//! own connection, and where the process is gone, refused connections tell soonest. To a peer that is down every second or
//! two, unless the master says that it is gone.

use std::time::Duration;

use super::desk::Desk;
use super::link::{Life, Link};
use crate::random;

/// The pauses between tries in the resume window double from this one.
const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// A peer that is down is tried after this time, and as much again by chance.
const REJOIN: Duration = Duration::from_secs(1);
/// So many refused connections in a row end a life: the process is gone.
const REFUSED_MAX: u32 = 3;
/// The Lua side answers within this time, or is asked again.
const ANSWER_MAX: Duration = Duration::from_secs(10);

#[derive(Default)]
pub(super) struct Retry {
    /// This end connects.
    connects: bool,
    /// The master says that the peer is gone.
    gone: bool,
    next: Option<Duration>,
    asked: Option<Duration>,
    attempt: u32,
    refused: u32,
}

impl Retry {
    /// A connection is there; `ours` if this end made it. One that the other end made may come to nothing without that
    /// end's harbor service ever having had it, so it takes nothing off this end.
    pub(super) fn connected(&mut self, ours: bool) {
        self.connects |= ours;
        self.gone = false;
        (self.next, self.asked) = (None, None);
    }

    /// The connection carries a life: the end that made it makes the next one.
    pub(super) fn settled(&mut self, ours: bool) {
        self.connects = ours;
        (self.attempt, self.refused) = (0, 0);
        (self.next, self.asked) = (None, None);
    }

    /// The connection broke: a new one is wanted at once.
    pub(super) fn begin_resume(&mut self, desk: &mut Desk<'_, '_>, id: u8) {
        (self.attempt, self.refused) = (0, 0);
        self.ask(desk, id);
    }

    /// The peer is down, and may come back.
    pub(super) fn begin_rejoin(&mut self, now: Duration) {
        (self.attempt, self.refused, self.next) = (0, 0, None);
        if self.connects && !self.gone && self.asked.is_none() {
            let jitter = random::below(REJOIN.as_millis() as u64);
            self.next = Some(now + REJOIN + Duration::from_millis(jitter));
        }
    }

    /// A try for the resume window failed.
    fn again_soon(&mut self, now: Duration) {
        if self.connects && self.asked.is_none() {
            let pause = PAUSE_MIN.saturating_mul(1 << self.attempt.min(16)).min(PAUSE_MAX);
            self.attempt += 1;
            self.next = Some(now + pause);
        }
    }

    fn ask(&mut self, desk: &mut Desk<'_, '_>, id: u8) {
        self.next = None;
        if self.connects {
            self.asked = Some(desk.now());
            desk.tell(format!("R {id}"));
        }
    }

    pub(super) fn due(&self) -> Option<Duration> {
        self.next.into_iter().chain(self.asked.map(|asked| asked + ANSWER_MAX)).min()
    }
}

impl Link {
    /// The master says that the peer is gone.
    pub(super) fn forget_peer(&mut self) {
        self.retry.gone = true;
        if !self.is_broken() {
            self.retry.next = None;
        }
    }

    /// The master says that the peer is there, after it said the contrary.
    pub(super) fn find_peer(&mut self, desk: &mut Desk<'_, '_>) {
        self.retry.gone = false;
        if self.life.is_none() {
            self.retry.begin_rejoin(desk.now());
            self.touch(desk);
        }
    }

    /// The connection that was asked for cannot be made.
    pub(super) fn connect_failed(&mut self, desk: &mut Desk<'_, '_>, is_refused: bool) {
        self.retry.asked = None;
        self.touch(desk);
        let is_broken = self.is_broken();
        if is_broken {
            self.retry.refused = if is_refused { self.retry.refused + 1 } else { 0 };
            if self.retry.refused >= REFUSED_MAX {
                return self.end_life(desk, "its connection broke and new ones are refused");
            }
        }
        self.try_again(desk, is_broken);
    }

    /// A connection came to nothing before it carried the life. Where there is none, what waits for one is answered if
    /// there was one before, or the peer is refused.
    pub(super) fn attempt_failed(&mut self, desk: &mut Desk<'_, '_>, is_refused: bool) {
        self.touch(desk);
        if self.life.is_none() {
            self.was_down |= is_refused;
            if self.was_down && self.candidate.is_none() {
                self.fail_queue(desk);
            }
        }
        self.try_again(desk, self.is_broken());
    }

    fn try_again(&mut self, desk: &mut Desk<'_, '_>, is_broken: bool) {
        if is_broken {
            self.retry.again_soon(desk.now());
        } else if self.life.is_none() {
            self.retry.begin_rejoin(desk.now());
        }
    }

    fn is_broken(&self) -> bool {
        matches!(&self.life, Some(Life::Extended(flow)) if flow.broken.is_some())
    }

    pub(super) fn retry_tick(&mut self, desk: &mut Desk<'_, '_>, now: Duration) {
        if self.retry.asked.is_some_and(|asked| asked + ANSWER_MAX <= now) {
            self.connect_failed(desk, false);
        }
        if self.retry.next.is_some_and(|next| next <= now) {
            self.retry.ask(desk, self.id);
        }
    }
}
