//! What comes in from a peer: bytes to frames, frames to messages, messages to their receivers.

use super::conn::{Conn, Reader};
use super::desk::Desk;
use super::link::{End, Life, Link};
use super::wire::extended::{Control, Frame};
use super::wire::{Content, Header};
use crate::handle::Handle;
use crate::host::SendError;
use crate::message::{Message, MessageKind, Payload};
use crate::socket::SocketId;

impl Link {
    /// Bytes came on a connection.
    pub(super) fn on_data(&mut self, desk: &mut Desk<'_, '_>, socket: SocketId, bytes: Payload) {
        // What is large in it becomes messages without a copy.
        let bytes = bytes.share();
        let Some(mut conn) = self.take_conn(socket) else { return };
        if conn.live {
            self.heard = desk.now();
        }
        match self.read(desk, &mut conn, &bytes) {
            Ok(()) if conn.live => self.conn = Some(conn),
            Ok(()) => {
                self.candidate = Some(conn);
                self.touch(desk);
            }
            Err(end) => self.conn_ended(desk, *conn, &end),
        }
    }

    pub(super) fn take_conn(&mut self, socket: SocketId) -> Option<Box<Conn>> {
        let is_it = |conn: &mut Box<Conn>| conn.socket == socket;
        self.conn.take_if(is_it).or_else(|| self.candidate.take_if(is_it))
    }

    fn read(&mut self, desk: &mut Desk<'_, '_>, conn: &mut Conn, bytes: &Payload) -> Result<(), End> {
        let input = &mut bytes.as_bytes();
        loop {
            match &mut conn.reader {
                Reader::Start => return Ok(()),
                Reader::Id => {
                    let Some((id, rest)) = input.split_first() else { return Ok(()) };
                    *input = rest;
                    self.on_id(desk, conn, *id)?;
                }
                Reader::Classic(reader) => {
                    let Some(frame) = reader.next(input)? else { return Ok(()) };
                    self.classic_frame(desk, conn, frame.header, frame.content)?;
                }
                Reader::Extended(reader) => {
                    let Some(frame) = reader.next(input)? else { return Ok(()) };
                    self.extended_frame(desk, &mut conn.next, frame, bytes)?;
                }
            }
        }
    }

    #[inline]
    fn extended_frame(
        &mut self,
        desk: &mut Desk<'_, '_>,
        next: &mut u64,
        frame: Frame<'_>,
        bytes: &Payload,
    ) -> Result<(), End> {
        let Some(Life::Extended(flow)) = &mut self.life else { return Err(End::Lost) };
        match frame {
            Frame::Message(body) => {
                let number = *next;
                *next += 1;
                let message = flow.receiver.take(number, body, desk.own.options.message_max, bytes)?;
                self.touch(desk);
                if let Some((header, payload)) = message {
                    self.deliver(desk, header, payload);
                }
            }
            Frame::Control(Control::Ack(count)) => {
                flow.sender.acked(count)?;
                if flow.sender.has_large() {
                    self.touch(desk);
                }
            }
            Frame::Control(Control::Ping) => {
                flow.owes_pong = true;
                self.touch(desk);
            }
            Frame::Control(Control::Pong) => {
                if let Some(at) = self.pinged.take() {
                    let rtt = desk.now().saturating_sub(at);
                    self.counts.rtt = Some(rtt);
                    flow.rtt_min = Some(flow.rtt_min.unwrap_or(rtt).min(rtt));
                }
            }
            Frame::Control(Control::Goodbye) => return Err(End::Goodbye),
        }
        Ok(())
    }

    pub(super) fn deliver_content(&mut self, desk: &mut Desk<'_, '_>, header: Header, content: Content<'_>) {
        self.deliver(desk, header, content.into_payload(&Payload::empty()));
    }

    /// Hands a message from the peer to its receiver.
    #[inline]
    fn deliver(&mut self, desk: &mut Desk<'_, '_>, header: Header, payload: Payload) {
        let Header { source, kind, local, session } = header;
        self.counts.received += 1;
        let to = Handle::new(desk.own.id, local);
        if kind.is_answer() {
            if let Some(session) = session {
                desk.own.waiting.remove(to, session);
            }
        } else if kind == MessageKind::SYSTEM || kind == MessageKind::HARBOR {
            // Only the engine itself and the Lua side send those.
            if self.strays.allows(desk.now()) {
                let (from, kind) = (source.as_u32(), kind.0);
                desk.ctx.log(format!("Drop message from {from:x}: its type {kind} must not cross nodes"));
            }
            return desk.refuse(to, source, session, kind);
        }
        match desk.ctx.send_as(to, Message { source, session, kind, payload }) {
            Ok(()) => {}
            Err(error) => self.stray(desk, header, &error),
        }
    }

    /// A message has no receiver.
    #[cold]
    fn stray(&mut self, desk: &mut Desk<'_, '_>, header: Header, error: &SendError) {
        let Header { source, kind, local, session } = header;
        let to = Handle::new(desk.own.id, local);
        if self.strays.allows(desk.now()) {
            desk.ctx.log(match error {
                SendError::NoService(_) => {
                    // Matched by log readers: keep the words.
                    let (to, from) = (to.as_u32(), source.as_u32());
                    format!("Unknown destination :{to:x} from :{from:x} type({})", kind.0)
                }
                other => format!("Drop message from {source}: {other}"),
            });
        } else {
            self.touch(desk);
        }
        if kind != MessageKind::ERROR && !source.is_none() {
            desk.send_error(to, source, session);
        }
    }
}
