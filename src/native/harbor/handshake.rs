//! How a connection comes to carry a life: id bytes, hello, switch; or the first frame of a classic peer, or its silence.
//!
//! A connection is a candidate until both switches have passed. What flows on an older one goes on until then, so that a
//! stranger who connects disturbs nothing. Both sides decide from the same two hellos whether the life goes on.

use std::time::Duration;

use super::classic_out::ClassicOut;
use super::conn::{Conn, Reader, Said, frame_for_nobody};
use super::desk::Desk;
use super::flow::{Flow, WARNING_SIZE};
use super::link::{End, Life, Link};
use super::wire::hello::{self, End as Side, FRESH, HAS_SECRET, Hello, VERSION};
use super::wire::{Content, Header, extended};
use crate::socket::SocketId;

/// A peer that says nothing for so long after the id bytes is a classic one, unless it is known not to be.
const HELLO_WAIT: Duration = Duration::from_millis(300);

/// The system takes so many bytes beyond those that are under way.
const UNSENT_MAX: u32 = 128 * 1024;

impl Link {
    /// The Lua side has a connection for us: `ours` if this node began it, else the peer's id byte is read already.
    pub(super) fn on_socket(&mut self, desk: &mut Desk<'_, '_>, socket: SocketId, ours: bool, rs: bool) {
        if let Some(other) = self.candidate.take() {
            // Where both ends begin a connection at the same time, that of the lower id goes on: both decide alike.
            let older_wins = other.ours != ours && other.ours == (desk.own.id < self.id);
            if older_wins {
                self.candidate = Some(other);
                return desk.ctx.sockets().close(socket);
            }
            desk.close(other.socket);
        }
        self.retry.connected(ours);
        desk.own.sockets.insert(socket, self.id);
        desk.own.closing.remove(&socket);
        self.candidate = Some(Box::new(Conn::new(socket, ours, rs, desk.now())));
        self.touch(desk);
        // There is a socket already, hence an engine.
        let _ = desk.ctx.sockets().start(socket);
    }

    /// What comes on a connection from now on comes here.
    pub(super) fn on_started(&mut self, desk: &mut Desk<'_, '_>, socket: SocketId) {
        let started = |conn: &mut Box<Conn>| conn.socket == socket && matches!(conn.reader, Reader::Start);
        let Some(mut conn) = self.candidate.take_if(started) else { return };
        let sockets = desk.ctx.sockets();
        sockets.nodelay(socket);
        sockets.keep_short(socket, WARNING_SIZE, UNSENT_MAX);
        sockets.send(socket, &[desk.own.id]);
        if conn.ours {
            conn.reader = Reader::Id;
        } else {
            conn.reader = Reader::Classic(Default::default());
            self.say_hello(desk, &mut conn);
        }
        self.candidate = Some(conn);
        self.touch(desk);
    }

    /// The id byte of the peer.
    pub(super) fn on_id(&mut self, desk: &mut Desk<'_, '_>, conn: &mut Conn, id: u8) -> Result<(), End> {
        if id != self.id {
            return Err(End::Id(id));
        }
        conn.reader = Reader::Classic(Default::default());
        self.say_hello(desk, conn);
        Ok(())
    }

    fn say_hello(&self, desk: &mut Desk<'_, '_>, conn: &mut Conn) {
        let said = match &self.life {
            _ if self.provisional != 0 => Said { knows: self.provisional, fresh: true, ..Said::default() },
            Some(Life::Extended(flow)) => {
                Said { knows: flow.peer, received: flow.receiver.received(), ..Said::default() }
            }
            _ => Said::default(),
        };
        let own = &desk.own;
        let secret = if own.options.secret.is_empty() { 0 } else { HAS_SECRET };
        let hello = Hello {
            version: VERSION,
            flags: secret | if said.fresh { FRESH } else { 0 },
            features: 0,
            incarnation: own.incarnation,
            knows: 0,
            received: 0,
            nonce: [0; 16],
            message_max: own.options.message_max as u64,
        };
        let frame = conn.hello_frame(own.id, said, hello);
        conn.since = desk.now();
        desk.ctx.sockets().send(conn.socket, frame);
    }

    /// A classic frame: the hello or the switch of a peer of this kind, or a message.
    pub(super) fn classic_frame(
        &mut self,
        desk: &mut Desk<'_, '_>,
        conn: &mut Conn,
        header: Header,
        content: Content<'_>,
    ) -> Result<(), End> {
        let is_first = !std::mem::replace(&mut conn.has_frame, true);
        if is_first && let Some(hello) = Hello::read(&header, content.as_bytes()) {
            return self.on_hello(desk, conn, hello);
        }
        if conn.hello.is_some() {
            if let Some(said) = hello::read_switch(&header, content.as_bytes()) {
                return self.on_switch(desk, conn, said);
            }
            if !desk.own.options.secret.is_empty() {
                return Err(End::Refused("it sends messages before it has proved the secret"));
            }
        } else if !desk.own.options.secret.is_empty() {
            return Err(End::Refused("it speaks the classic form, which knows no secret"));
        } else if conn.rs {
            return Err(End::Refused("it is known as skynet-rs, but says no hello"));
        } else if !conn.live && matches!(self.life, Some(Life::Extended(_))) {
            return Err(End::Refused("it speaks the classic form, and the peer that is connected does not"));
        } else if !conn.live {
            self.begin_classic(desk, conn);
        }
        self.deliver_content(desk, header, content);
        Ok(())
    }

    fn begin_classic(&mut self, desk: &mut Desk<'_, '_>, conn: &mut Conn) {
        self.end_life(desk, "a classic peer took its place");
        self.life = Some(Life::Classic(ClassicOut::default()));
        self.provisional = 0;
        self.settle(desk, conn);
        self.begin_life(desk, "classic", "");
    }

    fn on_hello(&mut self, desk: &mut Desk<'_, '_>, conn: &mut Conn, hello: Hello) -> Result<(), End> {
        let own = &desk.own;
        let has_secret = !own.options.secret.is_empty();
        match (has_secret, hello.flags & HAS_SECRET != 0) {
            (true, false) => return Err(End::Refused("it has no harbor_secret, and this node has one")),
            (false, true) => return Err(End::Refused("it has a harbor_secret, and this node has none")),
            _ => {}
        }
        if hello.incarnation == own.incarnation {
            return Err(End::Refused("it is this node itself"));
        }
        conn.hello = Some(hello);
        let proof = has_secret.then(|| {
            let me = Side { id: own.id, nonce: conn.said.nonce };
            hello::proof(&own.options.secret, me, Side { id: self.id, nonce: hello.nonce })
        });
        if conn.live {
            // It was taken for a classic peer, since its hello came late: what is written so far goes in that form.
            if let Some(Life::Classic(out)) = &mut self.life {
                desk.ctx.sockets().send_many(conn.socket, out.take_ready());
            }
            self.life = Some(Life::Extended(self.new_flow(desk, hello)));
            self.was_extended = true;
            self.heard = desk.now();
            self.touch(desk);
        } else if !conn.lives_match(own.incarnation) && (self.life.is_none() || !has_secret) {
            // Should this connection break, the peer may have heard the end of it and we not.
            self.provisional = hello.incarnation;
        }
        let switch = frame_for_nobody(desk.own.id, &hello::switch(proof));
        desk.ctx.sockets().send(conn.socket, switch);
        Ok(())
    }

    fn new_flow(&self, desk: &Desk<'_, '_>, hello: Hello) -> Box<Flow> {
        let peer_max = usize::try_from(hello.message_max).unwrap_or(usize::MAX);
        Box::new(Flow::new(hello.incarnation, desk.own.options.message_max.min(peer_max)))
    }

    fn on_switch(&mut self, desk: &mut Desk<'_, '_>, conn: &mut Conn, said: &[u8]) -> Result<(), End> {
        let Some(hello) = conn.hello else { return Err(End::Refused("it says no hello")) };
        let secret = &desk.own.options.secret;
        if !secret.is_empty() {
            let me = Side { id: desk.own.id, nonce: conn.said.nonce };
            if !hello::is_proof(secret, Side { id: self.id, nonce: hello.nonce }, me, said) {
                return Err(End::Refused("its harbor_secret is another one"));
            }
        }
        conn.reader = Reader::Extended(extended::Reader::default());
        if conn.live {
            return Ok(());
        }
        let goes_on = conn.lives_match(desk.own.incarnation) && !conn.said.fresh;
        if goes_on && !(hello.flags & FRESH != 0 && self.has_flowed()) {
            self.resume(desk, conn, hello)?;
        } else {
            self.end_life(desk, "it began a new life");
            self.life = Some(Life::Extended(self.new_flow(desk, hello)));
            self.provisional = 0;
            self.settle(desk, conn);
            self.was_extended = true;
            self.begin_life(desk, "extended", &format!(" {:016x}", hello.incarnation));
        }
        Ok(())
    }

    /// Whether frames of this life have come or were acknowledged. To a peer that knows nothing of that it is another one,
    /// of which it has heard the end; before, the two cannot be told apart.
    fn has_flowed(&self) -> bool {
        let Some(Life::Extended(flow)) = &self.life else { return false };
        flow.receiver.received() > 0 || flow.sender.has_acked_more(0)
    }

    /// The life goes on where the older connection broke.
    fn resume(&mut self, desk: &mut Desk<'_, '_>, conn: &mut Conn, hello: Hello) -> Result<(), End> {
        let Some(Life::Extended(flow)) = &mut self.life else {
            return Err(End::Refused("it goes on with a life that has ended here"));
        };
        if flow.sender.has_acked_more(hello.received) {
            // It acknowledged more on the older connection, behind its hello: the next hello has the right count.
            return Err(End::Refused("its count is out of date"));
        }
        if flow.peer != hello.incarnation || !flow.sender.resume(hello.received) {
            self.end_life(desk, "it lost count of what it received");
            return Err(End::Refused("it lost count of what it received"));
        }
        flow.receiver.told(conn.said.received);
        flow.resumed();
        conn.next = conn.said.received + 1;
        self.counts.resumed += 1;
        self.provisional = 0;
        self.settle(desk, conn);
        let id = self.id;
        desk.ctx.log(format!("harbor: the link to harbor {id} goes on over a new connection"));
        Ok(())
    }

    /// The connection carries the life from now on; an older one is closed.
    fn settle(&mut self, desk: &mut Desk<'_, '_>, conn: &mut Conn) {
        for other in self.conn.take().into_iter().chain(self.candidate.take()) {
            desk.cut(other.socket);
        }
        conn.live = true;
        self.heard = desk.now();
        self.retry.settled(conn.ours);
        self.touch(desk);
    }

    fn begin_life(&mut self, desk: &mut Desk<'_, '_>, form: &str, incarnation: &str) {
        let id = self.id;
        desk.ctx.log(format!("harbor: the link to harbor {id} is up, in the {form} form"));
        desk.tell(format!("U {id}{incarnation}"));
        self.send_queue(desk);
    }

    /// When something must have come on a candidate.
    pub(super) fn handshake_due(&self, desk: &Desk<'_, '_>, conn: &Conn) -> Duration {
        conn.since + if self.may_be_classic(desk, conn) { HELLO_WAIT } else { desk.own.options.down_after }
    }

    /// Whether the silence of a candidate means that the peer is a classic one.
    fn may_be_classic(&self, desk: &Desk<'_, '_>, conn: &Conn) -> bool {
        let is_known = conn.rs || conn.hello.is_some() || self.was_extended || self.provisional != 0;
        desk.own.options.secret.is_empty() && !is_known && !conn.expects_id()
    }

    /// Nothing came.
    pub(super) fn handshake_late(&mut self, desk: &mut Desk<'_, '_>) {
        let Some(mut conn) = self.candidate.take() else { return };
        if self.may_be_classic(desk, &conn) {
            self.begin_classic(desk, &mut conn);
            self.conn = Some(conn);
        } else {
            // The next one may be a classic peer that has its id.
            self.was_extended = false;
            self.provisional = 0;
            self.conn_ended(desk, *conn, &End::Late);
        }
    }

    /// Whether a connection is on its way to carry the life.
    pub(super) fn is_shaking_hands(&self) -> bool {
        self.candidate.is_some()
    }
}
