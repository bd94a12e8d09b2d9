//! [`Harbor`]: where messages to other nodes and to global names arrive.
//!
//! This is the form of a single node: there are no other nodes, so what is meant for one is refused to its sender. A
//! global name is a service of this node, and what comes for it before it is known waits.

mod wire;

#[cfg(any(fuzzing, feature = "bench"))]
pub use wire::door;

use std::collections::HashMap;

use crate::context::Context;
use crate::handle::Handle;
use crate::host::SendError;
use crate::message::{Message, MessageKind, Payload, Session};
use crate::remote::{RemoteMessage, RemoteTarget};
use crate::service::{Service, ServiceError};

/// Bytes of a global name, at the most.
const NAME_LEN_MAX: usize = 15;

/// Messages that wait for one unknown name; more are refused.
const WAITING_MAX: usize = 65536;

/// Names for which messages wait; messages for more are refused.
const WAITING_NAMES_MAX: usize = 4096;

/// The harbor service: `harbor <id> <handle of .cslave>`.
pub(super) struct Harbor {
    slave: Handle,
    names: HashMap<String, Handle>,
    waiting: HashMap<String, Vec<Waiting>>,
}

struct Waiting {
    source: Handle,
    session: Option<Session>,
    kind: MessageKind,
    payload: Payload,
}

impl Harbor {
    pub(super) fn new(args: &str) -> Result<Harbor, ServiceError> {
        let mut words = args.split_ascii_whitespace();
        let id: u8 = words.next().unwrap_or_default().parse().map_err(|_| bad_args(args))?;
        let slave: u32 = words.next().unwrap_or_default().parse().map_err(|_| bad_args(args))?;
        if slave == 0 {
            return Err(bad_args(args));
        }
        if id != 0 {
            return Err(format!("harbor = {id}: this version runs single nodes only; set harbor = 0").into());
        }
        Ok(Harbor { slave: Handle::from_u32(slave), names: HashMap::new(), waiting: HashMap::new() })
    }

    fn command(&mut self, ctx: &mut Context<'_>, message: &Message) {
        let text = String::from_utf8_lossy(message.payload.as_bytes());
        match text.split_at_checked(2) {
            Some(("N ", name)) => self.name(ctx, name, message.source),
            // Matched by log readers: keep the words.
            _ => ctx.log(format!("Unknown command {text}")),
        }
    }

    fn name(&mut self, ctx: &mut Context<'_>, name: &str, handle: Handle) {
        if name.is_empty() || name.len() > NAME_LEN_MAX {
            // Matched by log readers: keep the words.
            return ctx.log(format!("Invalid global name {name}"));
        }
        self.names.insert(name.to_owned(), handle);
        for waiting in self.waiting.remove(name).unwrap_or_default() {
            let message = Message {
                source: waiting.source,
                session: waiting.session,
                kind: waiting.kind,
                payload: waiting.payload,
            };
            Self::pass_on(ctx, handle, message);
        }
    }

    fn send(&mut self, ctx: &mut Context<'_>, outer: Message) {
        let (source, session) = (outer.source, outer.session);
        let Ok(remote) = outer.payload.downcast::<RemoteMessage>() else {
            // Matched by log readers: keep the words.
            return ctx.log(format!("recv invalid message from {:x},  type = 4", source.as_u32()));
        };
        let RemoteMessage { target, kind, payload } = remote;
        match target {
            RemoteTarget::Handle(handle) => {
                // Matched by log readers: keep the words.
                ctx.log(format!(
                    "Drop message to harbor {} from {:x} to {:x} (session = {}, msgsz = {})",
                    handle.harbor(),
                    source.as_u32(),
                    handle.as_u32(),
                    Session::number(session),
                    payload.len()
                ));
                Self::refuse(ctx, handle, source, session, kind);
            }
            RemoteTarget::Name(name) => match self.names.get(&name) {
                Some(handle) => {
                    Self::pass_on(ctx, *handle, Message { source, session, kind, payload });
                }
                None => self.wait(ctx, &name, Waiting { source, session, kind, payload }),
            },
        }
    }

    fn wait(&mut self, ctx: &mut Context<'_>, name: &str, waiting: Waiting) {
        let is_new = !self.waiting.contains_key(name);
        let is_full = self.waiting.get(name).is_some_and(|queue| queue.len() >= WAITING_MAX);
        if is_full || (is_new && self.waiting.len() >= WAITING_NAMES_MAX) {
            ctx.log(format!("Drop message to {name}: too many messages wait for unknown names"));
            return Self::refuse(ctx, Handle::NONE, waiting.source, waiting.session, waiting.kind);
        }
        self.waiting.entry(name.to_owned()).or_default().push(waiting);
        if is_new {
            // The Lua side may know the name already, or ask for it.
            let _ = ctx.send(self.slave, MessageKind::TEXT, format!("Q {name}"));
        }
    }

    fn pass_on(ctx: &mut Context<'_>, to: Handle, message: Message) {
        let (source, session, kind) = (message.source, message.session, message.kind);
        if let Err(SendError::NoService(_) | SendError::MailboxFull { .. }) = ctx.send_as(to, message) {
            Self::refuse(ctx, to, source, session, kind);
        }
    }

    /// Tells a sender that its message went nowhere; an answer has nobody who waits for one.
    fn refuse(ctx: &mut Context<'_>, from: Handle, to: Handle, session: Option<Session>, kind: MessageKind) {
        if !kind.is_answer() && !to.is_none() {
            let error =
                Message { source: from, session, kind: MessageKind::ERROR, payload: Payload::empty() };
            let _ = ctx.send_as(to, error);
        }
    }
}

fn bad_args(args: &str) -> ServiceError {
    format!("harbor wants \"<harbor id> <handle of .cslave>\", not {args:?}").into()
}

impl Service for Harbor {
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        if ctx.become_harbor() { Ok(()) } else { Err("the node has a harbor service already".into()) }
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        match message.kind {
            MessageKind::HARBOR => self.command(ctx, &message),
            MessageKind::SYSTEM => self.send(ctx, message),
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

    /// What comes as `SYSTEM` carries somebody else's source and session: it is not a request to this service.
    fn engine_tracks_requests(&self) -> bool {
        false
    }

    fn exit(&mut self, ctx: &mut Context<'_>) {
        for (_, queue) in self.waiting.drain() {
            for waiting in queue {
                Self::refuse(ctx, Handle::NONE, waiting.source, waiting.session, waiting.kind);
            }
        }
    }
}
