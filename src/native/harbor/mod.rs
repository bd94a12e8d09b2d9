//! [`Harbor`]: where messages to other nodes and to global names arrive, and where those from other nodes come in.
//!
//! It is an actor like any other. The Lua side (`.cslave`) speaks with the master, makes and accepts connections, and hands
//! them over by texts; from then on they are the actor's: one [`Link`] for each other node. On a single node (harbor 0)
//! there are none, and what is meant for another node is refused to its sender.
//!
//! - `wire/`: the bytes, as pure code. `conn.rs`: one connection. `handshake.rs`: how it comes to carry a life.
//! - `link.rs`: what goes to one node, and how a life ends; `incoming.rs`: what comes; `retry.rs`: asking for a new connection.
//! - `flow.rs` with `sender.rs`, `lanes.rs` and `receiver.rs`: the two directions of an extended link; `classic_out.rs`: the way
//!   out of a classic one.
//! - `names.rs`: global names. `waiting.rs`: who waits for an answer. `stats.rs`: figures. `report.rs`: log lines in bounds.
//! - `desk.rs`: what links have in common and what they may ask for.
//!
//! # Turns
//!
//! While messages are handled frames are only put together; when the turn ends, each link that has some writes them with
//! one system call. There is one timer, for the earliest moment at which a link has something to do.

mod classic_out;
mod command;
mod conn;
mod desk;
mod flow;
mod handshake;
mod incoming;
mod lanes;
mod link;
mod names;
mod options;
mod receiver;
mod report;
mod retry;
mod sender;
mod stats;
mod waiting;
mod wire;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use self::command::{BadCommand, Command};
use self::desk::{Desk, Own};
use self::link::{End, Link};
use self::names::{NAME_LEN_MAX, Names, Wait, Waiter};
use self::options::Options;
use self::waiting::Waiting;
use self::wire::Header;
use crate::context::Context;
use crate::handle::Handle;
use crate::message::{Message, MessageKind, Session};
use crate::remote::{RemoteMessage, RemoteTarget, ServiceEnded};
use crate::service::{Service, ServiceError};
use crate::socket::{SocketEvent, SocketEventKind, SocketId};

/// For `fuzz/`: no part of the interface.
#[cfg(any(fuzzing, feature = "bench"))]
pub mod door {
    pub use super::command::door::command;
    pub use super::wire::door::*;
}

/// The harbor service: `harbor <id> <handle of .cslave>`.
pub(super) struct Harbor {
    own: Own,
    links: Vec<Option<Box<Link>>>,
    timer: Option<Timer>,
    /// The session of a timer that goes off at once, for work that is left over.
    again: Option<Session>,
}

struct Timer {
    session: Session,
    at: Duration,
}

impl Harbor {
    pub(super) fn new(args: &str) -> Result<Harbor, ServiceError> {
        let mut words = args.split_ascii_whitespace();
        let id: u8 = words.next().unwrap_or_default().parse().map_err(|_| bad_args(args))?;
        let slave: u32 = words.next().unwrap_or_default().parse().map_err(|_| bad_args(args))?;
        if slave == 0 {
            return Err(bad_args(args));
        }
        let own = Own {
            id,
            incarnation: 0,
            slave: Handle::from_u32(slave),
            options: Options::read(|_| None)?,
            waiting: Waiting::default(),
            names: Names::default(),
            sockets: HashMap::new(),
            closing: HashSet::new(),
            dirty: Vec::new(),
        };
        let links = (0..if id == 0 { 0 } else { 256 }).map(|_| None).collect();
        Ok(Harbor { own, links, timer: None, again: None })
    }

    // ---- what the Lua side says

    fn command(&mut self, ctx: &mut Context<'_>, message: &Message) {
        let text = String::from_utf8_lossy(message.payload.as_bytes());
        let done = match Command::parse(&text) {
            Ok(Command::Name(name)) => return self.name(ctx, name, message.source),
            Ok(Command::NameGone(name)) => return self.own.names.forget(name),
            Ok(Command::Stat) => {
                let stats = stats::stats(self.links.iter().flatten().map(|link| &**link), &self.own);
                let _ = ctx.respond(message.origin(), stats);
                return;
            }
            Ok(Command::Connection { ours, socket, id, rs }) => self.with_peer(ctx, id, |link, desk| {
                link.on_socket(desk, SocketId::new(socket), ours, rs);
            }),
            Ok(Command::ConnectFailed { id, refused }) => {
                self.with_peer(ctx, id, |link, desk| link.connect_failed(desk, refused))
            }
            Ok(Command::PeerGone(id)) => self.with_peer(ctx, id, |link, _| link.forget_peer()),
            Ok(Command::PeerThere(id)) => self.with_peer(ctx, id, Link::find_peer),
            // Matched by log readers: keep the words here and below.
            Err(BadCommand::Unknown) => return ctx.log(format!("Unknown command {text}")),
            Err(BadCommand::Invalid) => None,
        };
        if done.is_none() {
            ctx.log(format!("Invalid command {text}"));
        }
    }

    /// Does something with the link to another node; nothing where there is none to that one.
    fn with_peer(
        &mut self,
        ctx: &mut Context<'_>,
        id: u8,
        work: impl FnOnce(&mut Link, &mut Desk<'_, '_>),
    ) -> Option<()> {
        if id == self.own.id {
            return None;
        }
        let link = link_of(&mut self.links, id)?;
        work(link, &mut Desk { own: &mut self.own, ctx });
        Some(())
    }

    // ---- names

    fn name(&mut self, ctx: &mut Context<'_>, name: &str, handle: Handle) {
        if name.is_empty() || name.len() > NAME_LEN_MAX {
            // Matched by log readers: keep the words.
            return ctx.log(format!("Invalid global name {name}"));
        }
        let lives = handle.harbor() != self.own.id || ctx.tell_harbor_of_end(handle);
        if !lives {
            self.tell_of_end(ctx, handle, name);
            // On a member somebody may take the name over, and messages wait for that. On a single node who sends to it
            // is told at once.
            if self.own.id != 0 {
                return self.own.names.forget(name);
            }
        }
        let Some(waiters) = self.own.names.set(name, handle) else {
            return ctx.log(format!("Drop global name {name}: too many names are known"));
        };
        for Waiter { source, session, kind, payload, .. } in waiters {
            self.forward(ctx, handle, Message { source, session, kind, payload });
        }
    }

    /// A service has ended, and with it its names.
    fn owner_ended(&mut self, ctx: &mut Context<'_>, owner: Handle) {
        let keep = self.own.id == 0;
        for name in self.own.names.of_owner(owner) {
            self.tell_of_end(ctx, owner, &name);
            if !keep {
                self.own.names.forget(&name);
            }
        }
    }

    fn tell_of_end(&mut self, ctx: &mut Context<'_>, owner: Handle, name: &str) {
        Desk { own: &mut self.own, ctx }.tell_as(owner, format!("E {name}"));
    }

    #[cold]
    fn wait(&mut self, ctx: &mut Context<'_>, name: &str, message: Message) {
        let Message { source, session, kind, payload } = message;
        let why = if name.is_empty() || name.len() > NAME_LEN_MAX {
            "a global name has 1 to 15 bytes"
        } else {
            let since = ctx.clock().now();
            match self.own.names.wait(name, Waiter { source, session, kind, payload, since }) {
                Wait::Queued => return,
                // It may know the name already, or ask for it.
                Wait::Ask => return Desk { own: &mut self.own, ctx }.tell(format!("Q {name}")),
                Wait::Full => "too many messages wait for unknown names",
            }
        };
        ctx.log(format!("Drop message to {name}: {why}"));
        Desk { own: &mut self.own, ctx }.refuse(Handle::NONE, source, session, kind);
    }

    // ---- messages to other nodes

    #[inline]
    fn outgoing(&mut self, ctx: &mut Context<'_>, outer: Message) {
        let (source, session) = (outer.source, outer.session);
        match outer.payload.downcast::<RemoteMessage>() {
            Ok(RemoteMessage { target, kind, payload }) => {
                let message = Message { source, session, kind, payload };
                match target {
                    RemoteTarget::Handle(to) => self.forward(ctx, to, message),
                    RemoteTarget::Name(name) => match self.own.names.find(&name) {
                        Some(to) => self.forward(ctx, to, message),
                        None => self.wait(ctx, &name, message),
                    },
                }
            }
            Err(payload) if payload.downcast_ref::<ServiceEnded>().is_some() => {
                self.owner_ended(ctx, source);
            }
            // Matched by log readers: keep the words.
            Err(_) => ctx.log(format!("recv invalid message from {:x},  type = 4", source.as_u32())),
        }
    }

    /// Sends a message on, to this node or another one.
    #[inline]
    fn forward(&mut self, ctx: &mut Context<'_>, to: Handle, message: Message) {
        let Message { source, session, kind, payload } = message;
        let id = to.harbor();
        let mut desk = Desk { own: &mut self.own, ctx };
        if id == desk.own.id || id == 0 {
            let message = Message { source, session, kind, payload };
            if desk.ctx.send_as(to, message).is_err() {
                desk.refuse(to, source, session, kind);
            }
            return;
        }
        let len = payload.len();
        if kind == MessageKind::SYSTEM || kind == MessageKind::HARBOR || payload.is_typed() {
            let line = drop_line(to, source, session, len);
            desk.ctx.log(format!("{line}: its type {} must not cross nodes", kind.0));
            return desk.refuse(to, source, session, kind);
        }
        let Some(link) = link_of(&mut self.links, id) else {
            desk.ctx.log(drop_line(to, source, session, len));
            return desk.refuse(to, source, session, kind);
        };
        let header = Header { source, kind, local: to.local(), session };
        if let Err(refused) = link.send(&mut desk, header, payload) {
            link.drop_message(&mut desk, header, len, &refused);
        }
    }

    // ---- sockets and time

    fn event(&mut self, ctx: &mut Context<'_>, event: &mut SocketEvent) {
        let id = event.id;
        let mut desk = Desk { own: &mut self.own, ctx };
        let link = desk.own.sockets.get(&id).and_then(|peer| link_of(&mut self.links, *peer));
        let Some(link) = link else {
            let was_closed = match event.kind {
                SocketEventKind::Close => {
                    desk.own.closing.remove(&id);
                    true
                }
                SocketEventKind::Data => desk.own.closing.contains(&id),
                _ => true,
            };
            if !was_closed {
                // Matched by log readers: keep the words.
                desk.ctx.log(format!("Invalid socket fd ({id}) data"));
            }
            return;
        };
        match event.kind {
            SocketEventKind::Connect => link.on_started(&mut desk, id),
            SocketEventKind::Data => link.on_data(&mut desk, id, event.take_bytes()),
            SocketEventKind::Close | SocketEventKind::Error => {
                if event.kind == SocketEventKind::Error {
                    // More of it may be heard.
                    desk.own.forget(id);
                } else {
                    desk.own.sockets.remove(&id);
                }
                if let Some(conn) = link.take_conn(id) {
                    link.conn_ended(&mut desk, *conn, &End::Lost);
                }
            }
            // All is written: what waited for that goes on.
            SocketEventKind::Warning if event.ud == 0 => link.touch(&mut desk),
            SocketEventKind::Warning if event.ud >= 1024 => {
                // Matched by log readers: keep the words.
                let (peer, kib) = (link.id, event.ud);
                desk.ctx.log(format!("message havn't send to Harbor ({peer}) reach {kib} K"));
            }
            _ => {}
        }
    }

    /// A timer went off.
    fn woken(&mut self, ctx: &mut Context<'_>, session: Option<Session>) {
        if self.again.is_some() && session == self.again {
            self.again = None;
            return;
        }
        let Some(timer) = self.timer.take_if(|timer| Some(timer.session) == session) else { return };
        let mut desk = Desk { own: &mut self.own, ctx };
        let now = desk.now();
        let stood_still = now.saturating_sub(timer.at) > desk.own.options.down_after / 3;
        for link in self.links.iter_mut().flatten() {
            if stood_still {
                link.forgive(now);
            }
            link.tick(&mut desk, now);
            link.touch(&mut desk);
        }
        let (ask, late) = desk.own.names.tick(now, desk.own.options.join_timeout);
        for name in ask {
            desk.tell(format!("Q {name}"));
        }
        for (name, waiter) in late {
            desk.ctx.log(format!("Drop message to {name}: nobody took this name in time"));
            desk.refuse(Handle::NONE, waiter.source, waiter.session, waiter.kind);
        }
    }

    /// Has a timer go off when the first of the links, or the names, have something to do.
    fn set_timer(&mut self, ctx: &mut Context<'_>, due: Option<Duration>) {
        let Some(at) = due.filter(|at| self.timer.as_ref().is_none_or(|timer| *at < timer.at)) else {
            return;
        };
        let delay = at.saturating_sub(ctx.clock().now()).max(Duration::from_millis(1));
        self.timer = Some(Timer { session: ctx.timeout(delay), at });
    }
}

fn link_of(links: &mut [Option<Box<Link>>], id: u8) -> Option<&mut Link> {
    let link = links.get_mut(usize::from(id))?;
    Some(link.get_or_insert_with(|| Box::new(Link::new(id))))
}

/// The line that tells of a message that goes nowhere.
fn drop_line(to: Handle, source: Handle, session: Option<Session>, len: usize) -> String {
    // Matched by log readers: keep the words.
    format!(
        "Drop message to harbor {} from {:x} to {:x} (session = {}, msgsz = {len})",
        to.harbor(),
        source.as_u32(),
        to.as_u32(),
        Session::number(session),
    )
}

fn bad_args(args: &str) -> ServiceError {
    format!("harbor wants \"<harbor id> <handle of .cslave>\", not {args:?}").into()
}

impl Service for Harbor {
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        let id = self.own.id;
        if id != ctx.harbor() {
            return Err(format!("harbor = {id}: this node has the id {}", ctx.harbor()).into());
        }
        self.own.options = Options::read(|key| ctx.env(key))?;
        self.own.incarnation = ctx.incarnation();
        if ctx.become_harbor() { Ok(()) } else { Err("the node has a harbor service already".into()) }
    }

    fn handle(&mut self, ctx: &mut Context<'_>, mut message: Message) -> Result<(), ServiceError> {
        match message.kind {
            MessageKind::SYSTEM => self.outgoing(ctx, message),
            MessageKind::SOCKET => {
                if let Some(event) = message.payload.downcast_mut() {
                    self.event(ctx, event);
                }
            }
            MessageKind::HARBOR => self.command(ctx, &message),
            MessageKind::RESPONSE if message.source.is_none() => self.woken(ctx, message.session),
            _ => {
                // Matched by log readers: keep the words.
                ctx.log(format!(
                    "recv invalid message from {:x},  type = {}",
                    message.source.as_u32(),
                    message.kind.0
                ));
                if message.is_request() {
                    let _ = ctx.respond_error(message.origin());
                }
            }
        }
        Ok(())
    }

    fn batch_end(&mut self, ctx: &mut Context<'_>) {
        let mut desk = Desk { own: &mut self.own, ctx };
        // On a single node there is no join to wait for: what is sent to a name waits until somebody takes it.
        let mut due = desk.own.names.due().filter(|_| desk.own.id != 0);
        // Those that want another turn for the rest of a large message come back into the list.
        let dirty = std::mem::take(&mut desk.own.dirty);
        for id in &dirty {
            let Some(link) = link_of(&mut self.links, *id) else { continue };
            link.flush(&mut desk);
            due = due.into_iter().chain(link.due(&desk)).min();
        }
        let wants_more = !desk.own.dirty.is_empty();
        if !wants_more {
            desk.own.dirty = dirty;
            desk.own.dirty.clear();
        }
        if wants_more && self.again.is_none() {
            self.again = Some(ctx.timeout(Duration::ZERO));
        }
        self.set_timer(ctx, due);
    }

    /// What comes as `SYSTEM` carries somebody else's source and session: it is not a request to this service.
    fn engine_tracks_requests(&self) -> bool {
        false
    }

    fn exit(&mut self, ctx: &mut Context<'_>) {
        let mut desk = Desk { own: &mut self.own, ctx };
        for link in self.links.iter_mut().flatten() {
            link.goodbye(&mut desk);
        }
        let waiters: Vec<Waiter> = desk.own.names.drain().collect();
        for waiter in waiters {
            desk.refuse(Handle::NONE, waiter.source, waiter.session, waiter.kind);
        }
    }
}
