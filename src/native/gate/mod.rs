//! [`Gate`]: owns client connections, and sends the packages that come on them to a broker, an agent or its watchdog.
//!
//! `gate <S|L> <watchdog> <binding> <client tag> <connections>`. Its watchdog hears of connections in texts and commands
//! it by texts (`command.rs`); the texts and the routes are those of skynet's gate in C.
//!
//! A connection is read from when the watchdog says `start`. What a client can make the gate hold is one unfinished
//! package (`netpack.rs`) for each of `connections` connections.

mod command;

use std::collections::HashMap;

use crate::context::Context;
use crate::handle::Handle;
use crate::message::{Message, MessageKind, Payload, Session};
use crate::netpack::{Header, Partial};
use crate::service::{Service, ServiceError};
use crate::socket::{SocketEvent, SocketEventKind, SocketId};
use command::{Arguments, Command};

#[cfg(any(fuzzing, feature = "bench"))]
pub use command::door;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 128;

/// Bytes of a client's address that the watchdog is told; the original has room for no more.
const REMOTE_MAX: usize = 31;

/// The gate's service.
pub(super) struct Gate {
    args: String,
    /// Set when the gate listens.
    door: Option<Door>,
}

/// What a gate that has begun to listen knows.
struct Door {
    header: Header,
    watchdog: Option<Handle>,
    broker: Option<Handle>,
    tag: MessageKind,
    connections_max: usize,
    /// The socket that accepts, until `close`.
    listener: Option<SocketId>,
    connections: HashMap<SocketId, Connection>,
}

#[derive(Default)]
struct Connection {
    /// Where packages go, if not to the broker or the watchdog, and in whose name.
    agent: Option<Handle>,
    client: Handle,
    partial: Partial,
    /// A package was too large: the connection is being closed, and cannot be read any more.
    is_broken: bool,
}

impl Gate {
    pub(super) fn new(args: &str) -> Gate {
        Gate { args: args.to_owned(), door: None }
    }
}

impl Service for Gate {
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        self.door = Some(Door::open(&self.args, ctx)?);
        Ok(())
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        let Some(door) = &mut self.door else { return Ok(()) };
        match message.kind {
            MessageKind::TEXT => door.command(ctx, &message),
            MessageKind::CLIENT => door.write(ctx, message),
            MessageKind::SOCKET => {
                if let Ok(event) = message.payload.downcast::<SocketEvent>() {
                    door.event(ctx, event);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Door {
    fn open(args: &str, ctx: &mut Context<'_>) -> Result<Door, ServiceError> {
        let args = Arguments::parse(args)?;
        let watchdog = match &args.watchdog {
            // Matched by log readers: keep the words.
            Some(name) => Some(find(ctx, name).ok_or_else(|| format!("Invalid watchdog {name}"))?),
            None => None,
        };
        let listener = ctx.sockets().listen(&args.host, args.port, BACKLOG)?;
        ctx.sockets().start(listener)?;
        Ok(Door {
            header: args.header,
            watchdog,
            broker: None,
            tag: args.tag,
            connections_max: args.connections_max,
            listener: Some(listener),
            connections: HashMap::new(),
        })
    }

    /// A text of the watchdog.
    fn command(&mut self, ctx: &mut Context<'_>, message: &Message) {
        let text = String::from_utf8_lossy(message.payload.as_bytes());
        let Ok(command) = Command::parse(&text) else {
            // Matched by log readers: keep the words.
            return ctx.log(format!("[gate] Unknown command : {text}"));
        };
        match command {
            Some(Command::Kick(id)) => {
                let id = SocketId::new(id);
                if self.connections.contains_key(&id) {
                    ctx.sockets().close(id);
                }
            }
            Some(Command::Start(id)) => {
                let id = SocketId::new(id);
                if self.connections.contains_key(&id)
                    && let Err(error) = ctx.sockets().start(id)
                {
                    ctx.log(format!("[gate] cannot start {}: {error}", id.get()));
                }
            }
            Some(Command::Forward { id, agent, client }) => {
                if let Some(connection) = self.connections.get_mut(&SocketId::new(id)) {
                    (connection.agent, connection.client) = (agent, client);
                }
            }
            Some(Command::Broker(name)) => self.broker = find(ctx, &name),
            Some(Command::Close) => {
                if let Some(listener) = self.listener.take() {
                    ctx.sockets().close(listener);
                }
            }
            None => {}
        }
    }

    /// Bytes for a client, and behind them the id of its connection in four bytes, the low one first.
    fn write(&self, ctx: &mut Context<'_>, message: Message) {
        let source = message.source.as_u32();
        let mut payload = message.payload;
        let Some((bytes, id)) = payload.as_bytes().split_last_chunk().filter(|(bytes, _)| !bytes.is_empty())
        else {
            // Matched by log readers: keep the words here and below.
            return ctx.log(format!("Invalid client message from {source:x}"));
        };
        let (len, id) = (bytes.len(), SocketId::new(i32::from_le_bytes(*id)));
        if !self.connections.contains_key(&id) {
            return ctx.log(format!("Invalid client id {} from {source:x}", id.get()));
        }
        payload.truncate(len);
        ctx.sockets().send(id, payload);
    }

    fn event(&mut self, ctx: &mut Context<'_>, mut event: SocketEvent) {
        let id = event.id;
        match event.kind {
            SocketEventKind::Data => self.data(ctx, id, &event.take_bytes()),
            SocketEventKind::Accept => self.accept(ctx, event.accepted(), event.as_text()),
            SocketEventKind::Connect => {
                if self.listener != Some(id) && !self.connections.contains_key(&id) {
                    // Matched by log readers: keep the words here and below.
                    ctx.log(format!("Close unknown connection {}", id.get()));
                    ctx.sockets().close(id);
                }
            }
            SocketEventKind::Close | SocketEventKind::Error => {
                if self.connections.remove(&id).is_some() {
                    self.report(ctx, format!("{} close", id.get()));
                    // The other side, or the engine, has closed it. It is still ours to give back.
                    ctx.sockets().close(id);
                }
            }
            SocketEventKind::Warning => {
                ctx.log(format!("fd ({}) send buffer ({})K", id.get(), event.ud));
            }
            SocketEventKind::Udp => {}
        }
    }

    fn accept(&mut self, ctx: &mut Context<'_>, id: SocketId, address: &str) {
        if self.connections.len() >= self.connections_max {
            return ctx.sockets().close(id);
        }
        self.connections.insert(id, Connection::default());
        // An address is ASCII.
        let remote = address.get(..REMOTE_MAX).unwrap_or(address);
        self.report(ctx, format!("{0} open {0} {remote}:0", id.get()));
        ctx.log(format!("socket open: {:x}", id.get()));
    }

    fn data(&mut self, ctx: &mut Context<'_>, id: SocketId, bytes: &Payload) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return ctx.log(format!("Drop unknown connection {} message", id.get()));
        };
        if connection.is_broken {
            return;
        }
        let (agent, client) = (connection.agent, connection.client);
        let mut rest = bytes.as_bytes();
        loop {
            match connection.partial.next(self.header, &mut rest) {
                // Nothing is sent for a package without content.
                Ok(Some([])) => {}
                Ok(Some(package)) => match (self.broker, agent, self.watchdog) {
                    (Some(broker), _, _) => send(ctx, ctx.handle(), broker, self.tag, id, package.into()),
                    (None, Some(agent), _) => send(ctx, client, agent, self.tag, id, package.into()),
                    (None, None, Some(watchdog)) => {
                        let text = Payload::join(format!("{} data ", id.get()).as_bytes(), package);
                        send(ctx, ctx.handle(), watchdog, MessageKind::TEXT, id, text);
                    }
                    (None, None, None) => {}
                },
                Ok(None) => return,
                Err(_) => {
                    (connection.is_broken, connection.partial) = (true, Partial::default());
                    ctx.sockets().close(id);
                    // Matched by log readers: keep the words.
                    return ctx.log("Recv socket message > 16M");
                }
            }
        }
    }

    /// Tells the watchdog.
    fn report(&self, ctx: &mut Context<'_>, text: String) {
        if let Some(watchdog) = self.watchdog {
            // A watchdog that is gone is told nothing.
            let _ = ctx.send(watchdog, MessageKind::TEXT, text);
        }
    }
}

/// Whom a command means: `.name` or `:hex`.
fn find(ctx: &Context<'_>, name: &str) -> Option<Handle> {
    if !name.starts_with(['.', ':']) {
        return None;
    }
    ctx.query(name).filter(|handle| !handle.is_none())
}

/// Sends a package; one for a service that is gone is dropped, and the connection stays.
fn send(
    ctx: &mut Context<'_>,
    source: Handle,
    to: Handle,
    kind: MessageKind,
    id: SocketId,
    payload: Payload,
) {
    let _ = ctx.send_as(to, Message { source, session: Session::new(id.get()), kind, payload });
}
