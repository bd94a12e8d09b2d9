//! [`Context`]: what a service may ask of its node while it handles a message.

mod sockets;

use std::collections::HashSet;
use std::time::Duration;

use crate::clock::Clock;
use crate::env::KeyExists;
use crate::handle::Handle;
use crate::host::{Host, LaunchError, SendError, Stat};
use crate::message::{Message, MessageKind, Origin, Payload, Session};

pub use self::sockets::Sockets;

/// The largest message, in bytes: the top byte of a size carries the kind in skynet's queues.
pub const MESSAGE_SIZE_MAX: usize = (1 << 56) - 1;

/// The tick of skynet's timers.
const TICK_MS: u64 = 10;

/// Open requests that the engine remembers for one service, at the most. A service that never answers must not make
/// its book grow for ever: beyond this nothing is noted.
const OPEN_MAX: usize = 1 << 20;
/// Up to this many of them are looked through; more are hashed.
const OPEN_FEW: usize = 32;

/// What the engine remembers for a service from one message to the next.
#[derive(Default)]
pub(crate) struct Book {
    session: i32,
    /// Requests without an answer yet, where the engine keeps that book.
    open: Vec<Origin>,
    /// Those for which `open` has no room.
    #[expect(clippy::box_collection, reason = "a set takes 48 bytes, and most services never need it")]
    more: Option<Box<HashSet<Origin>>>,
    pub(crate) tracks: bool,
    /// Its end is not worth a log line.
    quiet: bool,
}

impl Book {
    pub(crate) fn new(tracks: bool, quiet: bool) -> Book {
        Book { tracks, quiet, ..Book::default() }
    }

    #[inline]
    pub(crate) fn request_came(&mut self, origin: Origin) {
        if self.tracks {
            if self.open.len() < OPEN_FEW {
                self.open.push(origin);
            } else {
                let more = self.more.get_or_insert_default();
                if more.len() < OPEN_MAX {
                    more.insert(origin);
                }
            }
        }
    }

    /// An answer passed, or the request itself to somebody else: it is no longer open. Newest first, since most are answered at once.
    fn answered(&mut self, origin: Origin) {
        if self.more.as_mut().is_some_and(|more| more.remove(&origin)) {
            self.more = self.more.take().filter(|more| !more.is_empty());
        } else if let Some(at) = self.open.iter().rposition(|open| *open == origin) {
            self.open.swap_remove(at);
        }
    }

    pub(crate) fn is_open(&self, origin: Origin) -> bool {
        self.open.contains(&origin) || self.more.as_ref().is_some_and(|more| more.contains(&origin))
    }

    pub(crate) fn take_open(&mut self) -> impl Iterator<Item = Origin> + use<> {
        std::mem::take(&mut self.open).into_iter().chain(self.more.take().into_iter().flat_map(|more| *more))
    }
}

/// A service's view of its node, valid during one call of one of its functions.
pub struct Context<'a> {
    host: &'a dyn Host,
    handle: Handle,
    book: &'a mut Book,
}

impl<'a> Context<'a> {
    pub(crate) fn new(host: &'a dyn Host, handle: Handle, book: &'a mut Book) -> Context<'a> {
        Context { host, handle, book }
    }

    /// The service's own handle.
    #[must_use]
    pub fn handle(&self) -> Handle {
        self.handle
    }

    /// The harbor id of this node; 0 where it is a single one.
    #[must_use]
    pub fn harbor(&self) -> u8 {
        self.host.harbor()
    }

    /// The random number of this life of the node, by which other nodes tell it from the one before.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.host.incarnation()
    }

    /// Whether a handle belongs to another node.
    #[must_use]
    pub fn is_remote(&self, handle: Handle) -> bool {
        handle.harbor() != 0 && handle.harbor() != self.host.harbor()
    }

    /// The node's clock.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        self.host.clock()
    }

    /// A session that no open request of this service has, as far as 2^31 - 1 of them allow.
    pub fn new_session(&mut self) -> Session {
        loop {
            self.book.session = self.book.session.checked_add(1).unwrap_or(1);
            if let Some(session) = Session::new(self.book.session) {
                return session;
            }
        }
    }

    /// Goes on as if the sessions up to `last` had been used.
    pub(crate) fn skip_sessions(&mut self, last: i32) {
        self.book.session = last.max(0);
    }

    /// Sends a message that wants no answer.
    ///
    /// # Errors
    /// See [`SendError`]; the payload is dropped then. Sending to another node always succeeds here, and a failure
    /// comes back as a message of kind [`MessageKind::ERROR`].
    pub fn send(
        &mut self,
        to: Handle,
        kind: MessageKind,
        payload: impl Into<Payload>,
    ) -> Result<(), SendError> {
        self.send_as(to, Message { source: self.handle, session: None, kind, payload: payload.into() })
    }

    /// Sends a request; the answer is a later message of kind [`MessageKind::RESPONSE`], or [`MessageKind::ERROR`],
    /// with the session that is returned.
    ///
    /// # Errors
    /// As for [`Context::send`].
    pub fn request(
        &mut self,
        to: Handle,
        kind: MessageKind,
        payload: impl Into<Payload>,
    ) -> Result<Session, SendError> {
        let session = self.new_session();
        let message = Message { source: self.handle, session: Some(session), kind, payload: payload.into() };
        self.send_as(to, message)?;
        Ok(session)
    }

    /// Answers a request. Where it wants no answer, nothing happens.
    ///
    /// # Errors
    /// The one who asked may be gone: [`SendError::NoService`].
    pub fn respond(&mut self, origin: Origin, payload: impl Into<Payload>) -> Result<(), SendError> {
        self.answer(origin, MessageKind::RESPONSE, payload.into())
    }

    /// Answers a request with an error: its `skynet.call` raises `call failed`.
    ///
    /// # Errors
    /// As for [`Context::respond`].
    pub fn respond_error(&mut self, origin: Origin) -> Result<(), SendError> {
        self.answer(origin, MessageKind::ERROR, Payload::empty())
    }

    fn answer(&mut self, origin: Origin, kind: MessageKind, payload: Payload) -> Result<(), SendError> {
        if origin.session.is_none() {
            return Ok(());
        }
        let message = Message { source: self.handle, session: origin.session, kind, payload };
        self.send_as(origin.source, message)
    }

    /// Sends a message as it is, with whatever source and session it says (`skynet.redirect`).
    ///
    /// # Errors
    /// As for [`Context::send`].
    #[inline]
    pub fn send_as(&mut self, to: Handle, message: Message) -> Result<(), SendError> {
        if message.payload.len() > MESSAGE_SIZE_MAX {
            return Err(SendError::TooLarge { size: message.payload.len(), limit: MESSAGE_SIZE_MAX });
        }
        if self.book.tracks {
            if message.kind.is_answer() {
                self.book.answered(Origin { source: to, session: message.session });
            } else {
                self.note_handed_on(&message);
            }
        }
        self.host.deliver(to, message)
    }

    /// A request that is sent on in the name of the one who asked is the next one's to answer.
    fn note_handed_on(&mut self, message: &Message) {
        if message.source != self.handle && message.is_request() {
            self.book.answered(Origin { source: message.source, session: message.session });
        }
    }

    /// Sends a message to a global name, by way of harbor.
    ///
    /// # Errors
    /// As for [`Context::send`].
    pub fn send_global(&mut self, name: &str, message: Message) -> Result<(), SendError> {
        if message.payload.len() > MESSAGE_SIZE_MAX {
            return Err(SendError::TooLarge { size: message.payload.len(), limit: MESSAGE_SIZE_MAX });
        }
        if self.book.tracks {
            self.note_handed_on(&message);
        }
        self.host.deliver_global(name, message)
    }

    /// Asks for a message of kind [`MessageKind::RESPONSE`] with the returned session, not before `delay` has passed.
    /// The resolution is a millisecond; a delay of zero goes to the end of the service's own mailbox at once.
    pub fn timeout(&mut self, delay: Duration) -> Session {
        let session = self.new_session();
        self.timeout_with(session, delay, 1);
        session
    }

    /// The timer of skynet's API, which counts in ticks of 10 ms: timers that end close to each other wake the node once.
    pub(crate) fn timeout_in_ticks(&mut self, session: Session, delay: Duration) {
        self.timeout_with(session, delay, TICK_MS);
    }

    fn timeout_with(&mut self, session: Session, delay: Duration, tick_ms: u64) {
        if delay.is_zero() {
            let message = Message {
                source: Handle::NONE,
                session: Some(session),
                kind: MessageKind::RESPONSE,
                payload: Payload::empty(),
            };
            // A service that is ending is not in the table any more, and needs no timer either.
            let _ = self.host.deliver(self.handle, message);
        } else {
            self.host.timeout(self.handle, session, delay, tick_ms);
        }
    }

    /// Launches a native service: `module` as registered, `args` as its factory wants them.
    ///
    /// # Errors
    /// See [`LaunchError`].
    pub fn launch(&mut self, module: &str, args: &str) -> Result<Handle, LaunchError> {
        self.host.launch(module, args)
    }

    /// The network: see [`Sockets`]. Its engine, a thread, starts when it is first needed.
    #[must_use]
    pub fn sockets(&self) -> Sockets<'a> {
        Sockets::new(self.host, self.handle)
    }

    pub(crate) fn host(&self) -> &'a dyn Host {
        self.host
    }

    /// Takes a local name for this service, such as `.db`; false where somebody has it already.
    pub fn register(&mut self, name: &str) -> bool {
        self.register_for(name, self.handle)
    }

    /// Gives a local name to a service; false where somebody has it already, or where the name has no leading dot.
    pub fn register_for(&mut self, name: &str, handle: Handle) -> bool {
        match name.strip_prefix('.') {
            Some(local) => self.host.register_name(local, handle),
            None => false,
        }
    }

    /// Who has this local name (`.db`), or this handle as text (`:0000000a`, which is not looked up).
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Handle> {
        match name.strip_prefix('.') {
            Some(local) => self.host.find_name(local),
            None => name.parse().ok(),
        }
    }

    /// Ends this service when the current message is done.
    pub fn exit(&mut self) {
        if !self.book.quiet {
            self.log("KILL self"); // Matched by log readers: keep the words.
        }
        self.host.kill(self.handle);
    }

    /// Ends this service without a log line.
    pub(crate) fn leave(&mut self) {
        self.host.kill(self.handle);
    }

    /// From now on the engine remembers which requests the service has not answered.
    pub(crate) fn track_requests(&mut self) {
        self.book.tracks = true;
    }

    /// Ends a service: what waits in its mailbox, and what it has not answered, fails. False where there is none.
    pub fn kill(&mut self, handle: Handle) -> bool {
        self.log(format!("KILL :{:x}", handle.as_u32())); // Matched by log readers: keep the words.
        self.host.kill(handle)
    }

    /// Ends all services, and with them the node.
    pub fn abort(&mut self) {
        self.host.abort();
    }

    /// False where the node has a harbor service already.
    pub(crate) fn become_harbor(&mut self) -> bool {
        self.host.become_harbor(self.handle)
    }

    /// Has this service, the harbor service, told when another one ends; false where it has ended already.
    pub(crate) fn tell_harbor_of_end(&mut self, handle: Handle) -> bool {
        self.host.tell_harbor_of_end(handle)
    }

    /// What the node's environment says about a key.
    #[must_use]
    pub fn env(&self, key: &str) -> Option<String> {
        self.host.env(key)
    }

    /// Sets a key of the node's environment.
    ///
    /// # Errors
    /// A key is set once.
    pub fn set_env(&mut self, key: &str, value: &str) -> Result<(), KeyExists> {
        self.host.set_env(key, value)
    }

    /// Writes a log line in this service's name.
    pub fn log(&self, text: impl AsRef<[u8]>) {
        self.host.log(self.handle, text.as_ref());
    }

    /// The service that is told of every service that ends.
    #[must_use]
    pub fn exit_monitor(&self) -> Option<Handle> {
        self.host.exit_monitor()
    }

    /// Has a service told of every service that ends: an empty message of kind [`MessageKind::CLIENT`] from it.
    pub fn set_exit_monitor(&mut self, handle: Handle) {
        self.host.set_exit_monitor(handle);
    }

    /// The figures of a service.
    #[must_use]
    pub fn stat(&self, handle: Handle) -> Option<Stat> {
        self.host.stat(handle)
    }

    /// Whether the monitor has found this service in one message for long; reading clears it.
    pub fn take_endless(&mut self) -> bool {
        self.host.take_endless(self.handle)
    }

    /// Starts or ends the log of a service's messages (config `logpath`); false where there is no such service.
    pub fn message_log(&mut self, handle: Handle, on: bool) -> bool {
        self.host.message_log(handle, on)
    }

    /// Sends a signal to a service; false where there is none.
    pub fn signal(&mut self, handle: Handle, number: i32) -> bool {
        self.host.signal(handle, number)
    }

    /// Every service's handle with the bytes of memory that it says it uses.
    #[must_use]
    pub fn memory(&self) -> Vec<(Handle, usize)> {
        self.host.memory()
    }
}
