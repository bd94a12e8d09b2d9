//! [`Flow`]: both directions of an extended link in one life of the peer, and when what is written.

use std::time::Duration;

use super::desk::Desk;
use super::receiver::Receiver;
use super::sender::Sender;
use super::wire::extended;
use crate::socket::SocketId;

/// What came is acknowledged after this time at the latest.
const ACK_DELAY: Duration = Duration::from_millis(50);

/// The socket warns from so many waiting bytes on, and tells when they are written: then fragments go on.
pub(super) const WARNING_SIZE: usize = 128 * 1024;
/// The socket is filled with fragments up to so many bytes.
const FILL_SIZE: usize = 256 * 1024;
/// So many bytes of large messages are on their way to the peer and not acknowledged, where it is near: it handles them
/// one after the other, and what is small shall not wait behind more.
const WINDOW_MIN: usize = 1 << 20;
/// For each millisecond of the way there and back so many are.
const WINDOW_PER_MS: f64 = 512.0 * 1024.0;
/// So many bytes of fragments are written in one turn, where the network takes them all.
const FILL_TURN_MAX: usize = 4 << 20;

/// Both directions of an extended link.
pub(super) struct Flow {
    /// The incarnation of the peer.
    pub(super) peer: u64,
    pub(super) sender: Sender,
    pub(super) receiver: Receiver,
    /// The largest message that both sides take.
    pub(super) message_max: usize,
    /// When the connection broke, while there is none.
    pub(super) broken: Option<Duration>,
    pub(super) ack_due: Option<Duration>,
    pub(super) wants_ping: bool,
    pub(super) owes_pong: bool,
    /// The shortest way there and back that was measured.
    pub(super) rtt_min: Option<Duration>,
}

impl Flow {
    pub(super) fn new(peer: u64, message_max: usize) -> Flow {
        Flow {
            peer,
            sender: Sender::new(),
            receiver: Receiver::default(),
            message_max,
            broken: None,
            ack_due: None,
            wants_ping: true,
            owes_pong: false,
            rtt_min: None,
        }
    }

    /// How much of large messages may be on its way.
    fn window(&self, limit: usize) -> usize {
        let ms = self.rtt_min.map_or(0.0, |rtt| rtt.as_secs_f64() * 1000.0);
        ((ms * WINDOW_PER_MS) as usize).min(limit).max(WINDOW_MIN)
    }

    pub(super) fn resumed(&mut self) {
        (self.broken, self.ack_due) = (None, None);
        (self.wants_ping, self.owes_pong) = (true, false);
    }
}

impl Flow {
    /// Writes what is ready; true where more has to follow in another turn.
    pub(super) fn flush(
        &mut self,
        desk: &mut Desk<'_, '_>,
        socket: SocketId,
        pinged: &mut Option<Duration>,
    ) -> bool {
        if std::mem::take(&mut self.wants_ping) {
            self.sender.control(&extended::PING);
            *pinged = Some(desk.now());
        }
        if std::mem::take(&mut self.owes_pong) {
            self.sender.control(&extended::PONG);
        }
        let compress = desk.own.options.compress;
        let ack = self.ack(desk);
        if ack.is_none() && !self.sender.has_batch() && !self.sender.has_large() {
            return false;
        }
        let Some(mut waiting) = desk.ctx.sockets().send_many(socket, self.sender.take_ready(ack)) else {
            return false;
        };
        let window = self.window(desk.own.options.queue_bytes_max);
        let mut left = FILL_TURN_MAX;
        while self.sender.has_large() && waiting < WARNING_SIZE {
            if left == 0 {
                return true;
            }
            if !self.sender.fill(FILL_SIZE - waiting, window, compress) {
                // The next acknowledgement brings us back.
                return false;
            }
            left = left.saturating_sub(FILL_SIZE);
            match desk.ctx.sockets().send_many(socket, self.sender.take_ready(None)) {
                Some(now) => waiting = now,
                None => return false,
            }
        }
        false
    }

    /// What to acknowledge now, if anything: together with other frames, or if it is much, or late.
    fn ack(&mut self, desk: &Desk<'_, '_>) -> Option<u64> {
        if !self.receiver.owes_ack() {
            self.ack_due = None;
            return None;
        }
        let now = desk.now();
        let is_due = self.ack_due.is_some_and(|due| due <= now);
        if is_due || self.sender.has_batch() || self.receiver.owes_ack_now() {
            self.ack_due = None;
            return Some(self.receiver.take_ack());
        }
        self.ack_due.get_or_insert(now + ACK_DELAY);
        None
    }
}
