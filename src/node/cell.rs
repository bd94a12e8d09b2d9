//! [`Cell`]: one service with its mailbox, and the turn in which it handles what waits there.
//!
//! The scheduler runs it; `route.rs` pushes into it; `launch.rs` makes and ends it.
//!
//! # Who may touch the service
//!
//! The owner of the mailbox's turn, and nobody else. A new cell is born with its turn taken, by the thread that
//! launches it. Ending one is asked for by `retire`, from any thread, and done by whoever has the turn next: the
//! service is dropped, and everyone who waits for it gets an error.
//!
//! A panic in a service stops here: the service ends, the worker goes on.
#![allow(unsafe_code)]

use std::any::Any;
use std::cell::UnsafeCell;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use super::message_log::MessageLog;
use super::{NewcomerKind, Node};
use crate::clock;
use crate::context::{Book, Context};
use crate::handle::Handle;
use crate::host::Host;
use crate::mailbox::Mailbox;
use crate::message::{Message, MessageKind, Payload};
use crate::sched::{Task, Turn};
use crate::service::{Service, ServiceError, Signals};
use crate::table::Addressed;

/// Messages that one turn handles at the most, so that a service with a backlog does not hold up the others.
const BUDGET: usize = 128;

/// The length from which on a mailbox is worth a warning; doubled with each.
const OVERLOAD_MIN: usize = 1024;

/// What shutting down says to each service, as a message of kind `SYSTEM`.
pub(super) struct ShutdownNotice;

/// One service of a node.
pub(crate) struct Cell {
    handle: Handle,
    node: Arc<Node>,
    mailbox: Mailbox,
    body: UnsafeCell<Body>,
    /// It is to end: the next owner of the turn does it.
    retired: AtomicBool,
    /// It handles what waits in its mailbox before it ends, instead of refusing it: the log service.
    drains: AtomicBool,
    pub(super) kind: NewcomerKind,
    /// It has, or had, a name.
    named: AtomicBool,
    /// The harbor service is told when it ends.
    told: AtomicBool,
    pub(super) endless: AtomicBool,
    messages: AtomicU64,
    /// Clock ticks spent in messages.
    ticks: AtomicU64,
    /// The tick at which the current message was begun; 0 outside of one.
    begun: AtomicU64,
    signals: OnceLock<Arc<dyn Signals>>,
    log: MessageLog,
}

struct Body {
    service: Option<Box<dyn Service>>,
    book: Book,
    overload: usize,
}

// SAFETY: `body` is reached by the owner of the mailbox's turn only (see the top of this file), and the mailbox
// hands the turn from thread to thread under its lock. Everything in it is `Send`.
unsafe impl Sync for Cell {}

impl Addressed for Cell {
    fn handle(&self) -> Handle {
        self.handle
    }
}

impl Cell {
    pub(super) fn new(
        node: Arc<Node>,
        handle: Handle,
        service: Box<dyn Service>,
        kind: NewcomerKind,
    ) -> Cell {
        let signals = OnceLock::new();
        if let Some(reach) = service.signals() {
            let _ = signals.set(reach);
        }
        let book = Book::new(service.engine_tracks_requests(), kind != NewcomerKind::Named);
        Cell {
            handle,
            node,
            mailbox: Mailbox::running(),
            body: UnsafeCell::new(Body { service: Some(service), book, overload: OVERLOAD_MIN }),
            retired: AtomicBool::new(false),
            drains: AtomicBool::new(false),
            kind,
            named: AtomicBool::new(false),
            told: AtomicBool::new(false),
            endless: AtomicBool::new(false),
            messages: AtomicU64::new(0),
            ticks: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            signals,
            log: MessageLog::default(),
        }
    }

    /// Runs the service's `init`, on the thread that launches it. An error or a panic leaves the cell to `finalize`.
    pub(super) fn init(self: &Arc<Cell>) -> Result<(), ServiceError> {
        // SAFETY: the turn is taken since `new`, by this thread.
        let body = unsafe { &mut *self.body.get() };
        let Body { service: Some(service), book, .. } = body else { return Ok(()) };
        let mut ctx = Context::new(&*self.node, self.handle, book);
        match catch_unwind(AssertUnwindSafe(|| service.init(&mut ctx))) {
            Ok(result) => result,
            Err(panic) => Err(format!("panic: {}", panic_text(&*panic)).into()),
        }
    }

    /// Ends the turn that began with `new`.
    pub(super) fn open(self: &Arc<Cell>) {
        if self.mailbox.finish(&mut VecDeque::new()) {
            self.node.schedule(Arc::clone(self));
        }
    }

    /// Gives the cell up after a failed `init`.
    pub(super) fn discard(self: &Arc<Cell>) {
        self.finalize(&mut VecDeque::new());
    }

    /// Puts a message into the mailbox. The one that comes too late is dropped: its sender got its error already, or
    /// gets it from whoever empties the mailbox.
    pub(super) fn push(self: &Arc<Cell>, message: Message) -> Result<(), Message> {
        if self.mailbox.push(message)?.schedule {
            self.node.schedule(Arc::clone(self));
        }
        Ok(())
    }

    /// Asks for the end of the service.
    pub(super) fn retire(self: &Arc<Cell>) {
        self.retired.store(true, std::sync::atomic::Ordering::SeqCst);
        if self.mailbox.wake() {
            self.node.schedule(Arc::clone(self));
        }
    }

    pub(super) fn mark_named(&self) {
        self.named.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn is_named(&self) -> bool {
        self.named.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub(super) fn mark_told(&self) {
        self.told.store(true, std::sync::atomic::Ordering::SeqCst);
    }

    pub(super) fn is_told(&self) -> bool {
        self.told.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub(super) fn drain_before_end(&self) {
        self.drains.store(true, Relaxed);
    }

    pub(super) fn mailbox_len(&self) -> usize {
        self.mailbox.len()
    }

    pub(super) fn messages(&self) -> u64 {
        self.messages.load(Relaxed)
    }

    pub(super) fn ticks(&self) -> u64 {
        self.ticks.load(Relaxed)
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Relaxed)
    }

    pub(super) fn signals(&self) -> Option<&Arc<dyn Signals>> {
        self.signals.get()
    }

    pub(super) fn message_log(&self) -> &MessageLog {
        &self.log
    }

    #[inline]
    fn dispatch(&self, body: &mut Body, message: Message) {
        let Body { service: Some(service), book, .. } = body else { return };
        if self.log.is_on() {
            self.log.write(&self.node, &message);
        }
        let origin = message.origin();
        let is_request = message.is_request();
        if is_request {
            book.request_came(origin);
        }
        let is_notice =
            message.kind == MessageKind::SYSTEM && message.payload.downcast_ref::<ShutdownNotice>().is_some();
        let mut ctx = Context::new(&*self.node, self.handle, book);
        let result = catch_unwind(AssertUnwindSafe(|| {
            if is_notice { service.shutdown(&mut ctx) } else { service.handle(&mut ctx, message) }
        }));
        match result {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                ctx.log(format!("error: {error}"));
                if is_request && book.is_open(origin) {
                    let mut ctx = Context::new(&*self.node, self.handle, book);
                    let _ = ctx.respond_error(origin);
                }
            }
            Err(panic) => {
                ctx.log(format!("error: the service panicked and ends: {}", panic_text(&*panic)));
                self.node.kill(self.handle);
            }
        }
    }

    #[inline]
    fn end_batch(&self, body: &mut Body) {
        let Body { service: Some(service), book, .. } = body else { return };
        let mut ctx = Context::new(&*self.node, self.handle, book);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| service.batch_end(&mut ctx))) {
            ctx.log(format!("error: the service panicked and ends: {}", panic_text(&*panic)));
            self.node.kill(self.handle);
        }
    }

    /// Ends the service: what waits is refused, what it has not answered fails, then it is dropped.
    fn finalize(self: &Arc<Cell>, batch: &mut VecDeque<Message>) {
        // SAFETY: the caller has the turn.
        let body = unsafe { &mut *self.body.get() };
        if self.drains.load(Relaxed) {
            loop {
                while let Some(message) = batch.pop_front() {
                    self.dispatch(body, message);
                }
                self.mailbox.take(batch);
                if batch.is_empty() {
                    break;
                }
            }
        }
        let mut late = VecDeque::new();
        self.mailbox.close(&mut late);
        for message in batch.drain(..).chain(late) {
            self.refuse(&message);
        }
        let Body { service, book, .. } = body;
        if let Some(mut service) = service.take() {
            let mut ctx = Context::new(&*self.node, self.handle, book);
            let end = catch_unwind(AssertUnwindSafe(|| {
                service.exit(&mut ctx);
                drop(service);
            }));
            if let Err(panic) = end {
                ctx.log(format!("error: the service panicked while it ended: {}", panic_text(&*panic)));
            }
        }
        for origin in book.take_open() {
            self.send_error(origin.source, Message::error(self.handle, origin.session));
        }
        self.log.close(&self.node, self.handle);
        self.node.service_ended(self);
    }

    /// Tells the sender of a message that it was not handled. An answer has nobody who waits for one.
    fn refuse(&self, message: &Message) {
        if !message.kind.is_answer() {
            self.send_error(message.source, Message::error(self.handle, message.session));
        }
    }

    fn send_error(&self, to: Handle, message: Message) {
        if !to.is_none() {
            let _ = self.node.deliver(to, message);
        }
    }
}

impl Task for Cell {
    fn run(self: &Arc<Cell>, turn: &mut Turn<'_>) -> bool {
        let mut batch = std::mem::take(turn.scratch());
        self.mailbox.take(&mut batch);
        // SAFETY: the scheduler runs a cell only after a push or a wake gave out its turn, and `take` took it.
        let body = unsafe { &mut *self.body.get() };
        if batch.len() > body.overload {
            self.warn_of_overload(body, batch.len());
        }
        let profile = self.node.profile();
        let mut now = if profile { clock::cheap_ticks() } else { 1 };
        let mut spent = 0;
        let mut handled = 0;
        while handled < BUDGET && !self.retired.load(Relaxed) {
            let Some(message) = batch.pop_front() else { break };
            turn.begin(message.source, self.handle);
            self.begun.store(now, Relaxed);
            self.dispatch(body, message);
            handled += 1;
            if profile {
                let end = clock::cheap_ticks();
                spent += end.saturating_sub(now);
                now = end;
                self.ticks.store(self.ticks.load(Relaxed) + spent, Relaxed);
                spent = 0;
            }
            self.messages.store(self.messages.load(Relaxed) + 1, Relaxed);
            if turn.must_yield() {
                break;
            }
        }
        if handled > 0 {
            self.end_batch(body);
        }
        self.begun.store(0, Relaxed);
        turn.end();
        let more = if self.retired.load(std::sync::atomic::Ordering::SeqCst) {
            self.finalize(&mut batch);
            false
        } else {
            if batch.is_empty() {
                body.overload = OVERLOAD_MIN;
            }
            self.mailbox.finish(&mut batch)
        };
        *turn.scratch() = batch;
        more
    }
}

impl Cell {
    #[cold]
    fn warn_of_overload(&self, body: &mut Body, len: usize) {
        while len > body.overload {
            body.overload = body.overload.saturating_mul(2);
        }
        // Matched by log readers: keep the words.
        self.node.log(self.handle, format!("error: May overload, message queue length = {len}").as_bytes());
    }
}

impl Message {
    /// An error for whoever waits for an answer under this session; without one it says that `source` is dead.
    pub(super) fn error(source: Handle, session: Option<crate::message::Session>) -> Message {
        Message { source, session, kind: MessageKind::ERROR, payload: Payload::empty() }
    }
}

/// What a panic said.
pub(super) fn panic_text(panic: &(dyn Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "(no text)"
    }
}
