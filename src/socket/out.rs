//! [`Out`]: what waits to be written to one socket, and who writes it.
//!
//! Any thread may come with more. Where nothing waits, it writes to the descriptor itself; what does not fit, and all
//! that comes after it, is queued, and the reactor writes it once the system says that there is room. It says so only
//! after a write that found none, which is why whoever queues has tried first.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::ControlFlow;

use super::event::number;
use super::line::{Line, Stream};
use crate::message::Payload;
use crate::sync::Arc;

/// From so many waiting bytes on the owner is warned.
pub(crate) const WARNING_SIZE: usize = 1 << 20;
/// The reactor writes about so much of one socket before it looks after the others.
const FLUSH_TURN_MAX: usize = 1 << 20;
/// So many pieces go with one system call.
const SLICES_MAX: usize = 64;
/// The queue is given back when a burst made it larger than this.
const QUEUE_KEEP_MAX: usize = 64;

/// Before or behind what else waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Priority {
    /// In the order of the calls.
    #[default]
    Normal,
    /// When nothing of normal priority waits.
    Low,
}

/// The out-queue of a socket.
pub(super) struct Out {
    /// Nothing before the connection is there, and once it is gone.
    line: Option<Arc<Line>>,
    gate: Gate,
    normal: VecDeque<Chunk>,
    low: VecDeque<Chunk>,
    /// The bytes in both queues.
    len: usize,
    /// From so many waiting bytes on the owner is warned.
    warn_from: usize,
    /// The owner is warned next when so many bytes wait; 0 while it was not warned.
    warn_at: usize,
    /// Warnings that the reactor has to tell the owner: KiB, or 0 for "drained".
    warnings: Vec<i32>,
    /// What went wrong on the thread of a sender, for the reactor to tell.
    fault: Option<Fault>,
    /// Where datagrams without an address go.
    pub(super) peer: Option<SocketAddr>,
    /// Whether datagrams go to addresses of IPv6.
    pub(super) v6: bool,
    pub(super) nodelay: bool,
}

/// Whether more is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gate {
    Open,
    /// A write failed: what comes is taken and forgotten, until the owner hears of it.
    Broken,
    /// The owner has closed the socket.
    Closed,
}

/// Why nothing more can be written.
#[derive(Debug)]
pub(super) enum Fault {
    Write(io::Error),
    /// So many bytes would wait, more than are allowed.
    Overflow(usize),
}

/// A piece that waits.
struct Chunk {
    payload: Payload,
    /// So many of its bytes are written.
    done: usize,
    /// For a datagram.
    to: Option<SocketAddr>,
}

impl Chunk {
    fn rest(&self) -> &[u8] {
        self.payload.as_bytes().get(self.done..).unwrap_or_default()
    }
}

/// What became of a send.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// Whether the socket took it.
    pub(super) taken: bool,
    /// So many bytes have been written at once.
    pub(super) written: usize,
    /// Whether the reactor has something to tell.
    pub(super) tell: bool,
}

/// How far a flush came.
#[derive(Debug)]
pub(super) enum Flushed {
    /// Nothing waits.
    Empty,
    /// There is no room: the system will say when.
    Blocked,
    /// There may be room, but others wait for their turn.
    More,
    Fault(Fault),
}

impl Out {
    pub(super) fn new() -> Out {
        Out {
            line: None,
            gate: Gate::Open,
            normal: VecDeque::new(),
            low: VecDeque::new(),
            len: 0,
            warn_from: WARNING_SIZE,
            warn_at: 0,
            warnings: Vec::new(),
            fault: None,
            peer: None,
            v6: false,
            nodelay: false,
        }
    }

    /// The number of bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.normal.is_empty() && self.low.is_empty()
    }

    pub(super) fn line(&self) -> Option<&Arc<Line>> {
        self.line.as_ref()
    }

    /// From so many waiting bytes on the owner is warned, and told when nothing waits any more.
    pub(super) fn set_warning(&mut self, size: usize) {
        self.warn_from = size.max(1);
    }

    /// From now on bytes can be written.
    pub(super) fn attach(&mut self, line: Arc<Line>) {
        if self.nodelay {
            line.set_nodelay();
        }
        self.line = Some(line);
    }

    /// Takes no more; what waits stays.
    pub(super) fn close(&mut self) {
        self.gate = Gate::Closed;
    }

    /// Forgets what waits and lets go of the descriptor; what is returned is to be dropped outside of the lock.
    pub(super) fn end(&mut self) -> impl Sized + use<> {
        self.gate = Gate::Closed;
        (self.line.take(), self.clear())
    }

    /// Forgets what waits: the descriptor takes nothing more.
    pub(super) fn fail(&mut self) -> impl Sized + use<> {
        if self.gate == Gate::Open {
            self.gate = Gate::Broken;
        }
        self.clear()
    }

    fn clear(&mut self) -> impl Sized + use<> {
        self.len = 0;
        (std::mem::take(&mut self.normal), std::mem::take(&mut self.low))
    }

    pub(super) fn take_warnings(&mut self) -> Vec<i32> {
        std::mem::take(&mut self.warnings)
    }

    pub(super) fn take_fault(&mut self) -> Option<Fault> {
        self.fault.take()
    }

    /// Writes the payload, or queues what of it cannot be written now. A datagram has an address, a stream none.
    ///
    /// `announce` is called between a write that found no room and the next try: see [`Socket::send`].
    ///
    /// [`Socket::send`]: super::state::Socket::send
    pub(super) fn send(
        &mut self,
        payload: Payload,
        priority: Priority,
        to: Option<SocketAddr>,
        len_max: usize,
        announce: impl FnOnce(),
    ) -> Sent {
        match self.gate {
            Gate::Closed => return Sent::default(),
            Gate::Broken => return Sent { taken: true, ..Sent::default() },
            Gate::Open => {}
        }
        if payload.is_empty() && to.is_none() {
            return Sent { taken: true, ..Sent::default() };
        }
        let mut chunk = Chunk { payload, done: 0, to };
        let idle = self.is_empty();
        let mut outcome = ControlFlow::Continue(());
        if idle && let Some(line) = &self.line {
            outcome = write_chunk(line, &mut chunk);
            if outcome.is_continue() {
                announce();
                // There may have been room before the reactor could know that somebody waits for it.
                outcome = write_chunk(line, &mut chunk);
            }
        } else if idle {
            announce();
        }
        let written = chunk.done;
        match outcome {
            ControlFlow::Break(Ok(())) => Sent { taken: true, written, ..Sent::default() },
            ControlFlow::Break(Err(error)) => {
                self.fault = Some(Fault::Write(error));
                self.gate = Gate::Broken;
                Sent { taken: true, written, tell: true }
            }
            ControlFlow::Continue(()) => self.queue(chunk, priority, idle, len_max, written),
        }
    }

    fn queue(
        &mut self,
        chunk: Chunk,
        priority: Priority,
        idle: bool,
        len_max: usize,
        written: usize,
    ) -> Sent {
        let len = self.len.saturating_add(chunk.rest().len());
        if len > len_max {
            self.fault = Some(Fault::Overflow(len));
            self.gate = Gate::Closed;
            return Sent { taken: false, written, tell: true };
        }
        self.len = len;
        // Where nothing else waits a low priority is none.
        let queue = if priority == Priority::Low && !idle { &mut self.low } else { &mut self.normal };
        queue.push_back(chunk);
        Sent { taken: true, written, tell: self.warn() }
    }

    /// Leaves a warning for the owner where it is time for one.
    fn warn(&mut self) -> bool {
        let warn = self.len >= self.warn_from && self.len >= self.warn_at;
        if warn {
            self.warn_at = self.warn_at.max(self.warn_from).saturating_mul(2);
            self.warnings.push(number(self.len.div_ceil(1024)));
        }
        warn
    }

    /// Writes pieces of a stream in their order, as many as possible with one system call, and queues what is left.
    /// `announce` is as for [`Out::send`].
    pub(super) fn send_many(
        &mut self,
        payloads: impl Iterator<Item = Payload>,
        announce: impl FnOnce(),
    ) -> Sent {
        match self.gate {
            Gate::Closed => return Sent::default(),
            Gate::Broken => return Sent { taken: true, ..Sent::default() },
            Gate::Open => {}
        }
        let idle = self.is_empty();
        for payload in payloads.filter(|payload| !payload.is_empty()) {
            self.len += payload.len();
            self.normal.push_back(Chunk { payload, done: 0, to: None });
        }
        let before = self.len;
        if !idle {
            return Sent { taken: true, written: 0, tell: self.warn() };
        }
        let Some(line) = self.line.clone() else {
            announce();
            return Sent { taken: true, written: 0, tell: self.warn() };
        };
        let Line::Stream(stream) = &*line else {
            drop(self.clear());
            return Sent { taken: true, ..Sent::default() };
        };
        let mut announce = Some(announce);
        while !self.normal.is_empty() {
            match self.write_stream(stream) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => match announce.take() {
                    Some(announce) => announce(),
                    None => break,
                },
                Err(error) => {
                    self.fault = Some(Fault::Write(error));
                    let written = before - self.len;
                    drop(self.fail());
                    return Sent { taken: true, written, tell: true };
                }
            }
        }
        Sent { taken: true, written: before - self.len, tell: self.warn() }
    }

    /// Writes what waits, within the bounds of a turn; answers how many bytes it wrote.
    pub(super) fn flush(&mut self) -> (usize, Flushed) {
        let Some(line) = self.line.clone() else { return (0, Flushed::Blocked) };
        let (mut written, before) = (0, self.len);
        let flushed = loop {
            // A low-priority piece that has been begun is finished first.
            if self.low.front().is_some_and(|chunk| chunk.done > 0)
                && let Some(begun) = self.low.pop_front()
            {
                self.normal.push_front(begun);
            }
            if self.is_empty() {
                break Flushed::Empty;
            }
            if written >= FLUSH_TURN_MAX {
                break Flushed::More;
            }
            let result = match &*line {
                Line::Stream(stream) => self.write_stream(stream),
                Line::Udp(_) | Line::Listener(_) => self.write_datagram(&line),
            };
            match result {
                Ok(()) => written = before - self.len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Flushed::Blocked,
                Err(error) => break Flushed::Fault(Fault::Write(error)),
            }
        };
        if self.is_empty() {
            if self.warn_at > 0 {
                self.warn_at = 0;
                self.warnings.push(0);
            }
            for queue in [&mut self.normal, &mut self.low] {
                if queue.capacity() > QUEUE_KEEP_MAX {
                    *queue = VecDeque::new();
                }
            }
        }
        (before - self.len, flushed)
    }

    fn write_stream(&mut self, stream: &Stream) -> io::Result<()> {
        let queue = if self.normal.is_empty() { &mut self.low } else { &mut self.normal };
        let mut slices: [_; SLICES_MAX] = std::array::from_fn(|_| IoSlice::new(&[]));
        let mut count = 0;
        for (slice, chunk) in slices.iter_mut().zip(queue.iter()) {
            *slice = IoSlice::new(chunk.rest());
            count += 1;
        }
        let mut written = match &slices[..count] {
            [one] => stream.write(one)?,
            several => stream.write_vectored(several)?,
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.len -= written;
        while let Some(first) = queue.front_mut() {
            let rest = first.rest().len();
            if written < rest {
                first.done += written;
                break;
            }
            written -= rest;
            queue.pop_front();
        }
        Ok(())
    }

    fn write_datagram(&mut self, line: &Line) -> io::Result<()> {
        let queue = if self.normal.is_empty() { &mut self.low } else { &mut self.normal };
        let Some(chunk) = queue.front_mut() else { return Ok(()) };
        let len = chunk.rest().len();
        match write_chunk(line, chunk) {
            ControlFlow::Continue(()) => return Err(io::ErrorKind::WouldBlock.into()),
            ControlFlow::Break(_) => queue.pop_front(),
        };
        self.len -= len;
        Ok(())
    }
}

/// Writes as much of a piece as there is room for: all of it or the reason why not, or it goes on.
fn write_chunk(line: &Line, chunk: &mut Chunk) -> ControlFlow<io::Result<()>> {
    loop {
        let rest = chunk.rest();
        let result = match (line, chunk.to) {
            (Line::Stream(stream), _) => stream.write(rest),
            (Line::Udp(socket), Some(to)) => match socket.send_to(rest, to) {
                // A datagram that the system refuses is lost, like one that the network loses.
                Err(error) if !is_passing(&error) => Ok(rest.len()),
                other => other.map(|_| rest.len()),
            },
            (Line::Udp(_) | Line::Listener(_), _) => Ok(rest.len()),
        };
        match result {
            Ok(0) if !rest.is_empty() => return ControlFlow::Break(Err(io::ErrorKind::WriteZero.into())),
            Ok(written) => {
                chunk.done += written;
                if chunk.rest().is_empty() {
                    return ControlFlow::Break(Ok(()));
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return ControlFlow::Continue(()),
            Err(error) => return ControlFlow::Break(Err(error)),
        }
    }
}

fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
