//! `skynet-rs bench-echo`: loads a server that answers each request, and tells how fast it was.
//!
//! One thread drives all connections: each sends a request, waits for the whole answer, and sends the next. The machine is
//! mostly shared with the server, so the load must cost little itself.
#![allow(clippy::disallowed_methods)] // A load is measured in real time: there is no node here.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

/// How requests and answers are framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Frame {
    /// Bare bytes: the answer has as many as the request.
    Raw,
    /// A length of two bytes, high byte first, in front of each (`snax.gateserver`).
    Len2,
    /// Binary messages of a `WebSocket` at the path `/`.
    Ws,
}

/// Load an echo server, and print requests per second and latencies.
#[derive(Args)]
pub(crate) struct BenchEcho {
    /// The server, as host:port.
    #[arg(long)]
    addr: String,
    /// How many connections at once.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    conns: u32,
    /// Bytes of each request, without its frame.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_535))]
    size: u32,
    /// For how long to measure; a tenth of it, at most a second, is spent before as warm-up.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    seconds: f64,
    /// How requests are framed.
    #[arg(long, value_enum, default_value_t = Frame::Raw)]
    frame: Frame,
    /// Wait so long between an answer and the next request, in microseconds.
    #[arg(long, default_value_t = 0)]
    pause_us: u64,
    /// Close a connection after so many requests and open a new one; 0: close it as soon as it is there.
    #[arg(long)]
    per_conn: Option<u64>,
    /// Only hold the connections open.
    #[arg(long)]
    idle: bool,
    /// The server's process: tells its CPU time for each request, and its memory.
    #[arg(long)]
    pid: Option<u32>,
}

/// An answer that takes longer than this is an error: the server hangs.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// The longest head of a `WebSocket` handshake's answer.
const HEAD_MAX: usize = 16 * 1024;
/// The mask of our `WebSocket` frames. It hides nothing from anybody: the bytes are no secret.
const MASK: [u8; 4] = [0x5a, 0xa5, 0x0f, 0xf0];

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| format!("{text} is no number of seconds"))?;
    if (0.01..=86_400.0).contains(&seconds) { Ok(seconds) } else { Err("must be 0.01 to 86400".to_owned()) }
}

/// How far a connection has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    Connecting,
    /// Waits for the answer to the `WebSocket` handshake.
    Handshake,
    /// Waits for its next request to be due.
    Resting,
    Waiting,
}

struct Connection {
    stream: TcpStream,
    phase: Phase,
    /// What is left to send.
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    begun: Instant,
    requests: u64,
}

struct Load<'a> {
    options: &'a BenchEcho,
    addr: SocketAddr,
    request: Vec<u8>,
    poll: Poll,
    connections: Vec<Connection>,
    /// Those that rest, in the order in which they go on.
    resting: std::collections::VecDeque<(Instant, usize)>,
    latencies: Histogram<u64>,
    answers: u64,
    opened: u64,
    recording: bool,
    buffer: Vec<u8>,
}

/// Runs the load and prints the figures.
///
/// # Errors
/// The server cannot be reached, ends a connection, or does not answer.
pub(crate) fn run(options: &BenchEcho) -> Result<(), String> {
    let addr = options
        .addr
        .to_socket_addrs()
        .map_err(|error| format!("--addr {}: {error}", options.addr))?
        .next()
        .ok_or_else(|| format!("--addr {}: no address", options.addr))?;
    let fail = |error: io::Error| format!("{addr}: {error}");
    let mut load = Load {
        options,
        addr,
        request: request(options),
        poll: Poll::new().map_err(fail)?,
        connections: Vec::new(),
        resting: std::collections::VecDeque::new(),
        latencies: Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(|error| error.to_string())?,
        answers: 0,
        opened: 0,
        recording: false,
        buffer: vec![0; 256 * 1024],
    };
    let memory_before = options.pid.and_then(process_memory);
    for slot in 0..options.conns as usize {
        let connection = load.connect(slot).map_err(fail)?;
        load.connections.push(connection);
    }
    load.wait_until_open().map_err(fail)?;
    let total = Duration::from_secs_f64(options.seconds);
    load.drive((total / 10).min(Duration::from_secs(1))).map_err(fail)?;
    let cpu_before = options.pid.and_then(process_cpu);
    load.recording = true;
    (load.answers, load.opened) = (0, 0);
    let begun = Instant::now();
    load.drive(total).map_err(fail)?;
    let elapsed = begun.elapsed().as_secs_f64();
    load.print(elapsed);
    if let (Some(before), Some(after)) = (cpu_before, options.pid.and_then(process_cpu)) {
        let done = if options.per_conn == Some(0) { load.opened } else { load.answers };
        if done > 0 {
            let spent = (after - before).as_secs_f64() * 1e6;
            println!("server CPU  {:.2} us each", spent / done as f64);
        }
    }
    if let (Some(before), Some(after)) = (memory_before, options.pid.and_then(process_memory)) {
        let each = (after as f64 - before as f64) / 1024.0 / f64::from(options.conns);
        println!("server RSS  {} KiB, {each:.2} KiB more for each connection", after / 1024);
    }
    Ok(())
}

/// The bytes of one request with its frame.
fn request(options: &BenchEcho) -> Vec<u8> {
    let size = options.size as usize;
    let body: Vec<u8> = (b'a'..=b'z').cycle().take(size).collect();
    match options.frame {
        Frame::Raw => body,
        Frame::Len2 => [&(size as u16).to_be_bytes()[..], &body].concat(),
        Frame::Ws => {
            let mut frame = vec![0x82];
            if size < 126 {
                frame.push(0x80 | size as u8);
            } else {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(size as u16).to_be_bytes());
            }
            frame.extend_from_slice(&MASK);
            frame.extend(body.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
            frame
        }
    }
}

impl Load<'_> {
    fn connect(&mut self, slot: usize) -> io::Result<Connection> {
        let mut stream = TcpStream::connect(self.addr)?;
        self.poll.registry().register(&mut stream, Token(slot), Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection {
            stream,
            phase: Phase::Connecting,
            out: Vec::new(),
            sent: 0,
            input: Vec::new(),
            begun: Instant::now(),
            requests: 0,
        })
    }

    fn wait_until_open(&mut self) -> io::Result<()> {
        let begun = Instant::now();
        let opening = |load: &Load<'_>| {
            load.connections.iter().any(|one| matches!(one.phase, Phase::Connecting | Phase::Handshake))
        };
        while opening(self) {
            if begun.elapsed() > ANSWER_MAX {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server takes no connections"));
            }
            self.turn(Duration::from_millis(10))?;
            if self.options.per_conn == Some(0) {
                break;
            }
        }
        Ok(())
    }

    fn drive(&mut self, time: Duration) -> io::Result<()> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let left = end.saturating_duration_since(Instant::now());
            let next = self.resting.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
            let wait = left.min(next.unwrap_or(left)).min(Duration::from_millis(100));
            // The poll counts in milliseconds, and would come late to a request that is due before.
            self.turn(if next.is_some() && wait < Duration::from_millis(2) { Duration::ZERO } else { wait })?;
            while let Some((due, slot)) = self.resting.front().copied() {
                if due > Instant::now() {
                    break;
                }
                self.resting.pop_front();
                self.ask(slot)?;
            }
        }
        Ok(())
    }

    fn turn(&mut self, timeout: Duration) -> io::Result<()> {
        let mut events = Events::with_capacity(1024);
        match self.poll.poll(&mut events, Some(timeout)) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &events {
            self.event(event.token().0, event.is_writable(), event.is_readable() || event.is_read_closed())?;
        }
        if self.connections.iter().any(|one| one.phase == Phase::Waiting && one.begun.elapsed() > ANSWER_MAX)
        {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "no answer within 10 s"));
        }
        Ok(())
    }

    fn event(&mut self, slot: usize, writable: bool, readable: bool) -> io::Result<()> {
        if self.connections[slot].phase == Phase::Connecting && writable {
            self.connected(slot)?;
        }
        if writable {
            self.write(slot)?;
        }
        if readable {
            self.read(slot)?;
        }
        Ok(())
    }

    fn connected(&mut self, slot: usize) -> io::Result<()> {
        let one = &mut self.connections[slot];
        if let Some(error) = one.stream.take_error()? {
            return Err(error);
        }
        if let Err(error) = one.stream.peer_addr() {
            return if error.kind() == io::ErrorKind::NotConnected { Ok(()) } else { Err(error) };
        }
        one.stream.set_nodelay(true)?;
        self.opened += 1;
        if self.options.per_conn == Some(0) {
            return self.reconnect(slot);
        }
        if self.options.frame == Frame::Ws {
            let one = &mut self.connections[slot];
            one.phase = Phase::Handshake;
            one.out = format!(
                "GET / HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
                self.addr
            )
            .into_bytes();
            one.sent = 0;
            return self.write(slot);
        }
        self.rest(slot)
    }

    fn reconnect(&mut self, slot: usize) -> io::Result<()> {
        // The old one is closed by being dropped.
        self.connections[slot] = self.connect(slot)?;
        Ok(())
    }

    /// The connection is open and idle: its next request is due now, or after the pause.
    fn rest(&mut self, slot: usize) -> io::Result<()> {
        self.connections[slot].phase = Phase::Resting;
        if self.options.idle {
            return Ok(());
        }
        if self.options.pause_us == 0 {
            return self.ask(slot);
        }
        self.resting.push_back((Instant::now() + Duration::from_micros(self.options.pause_us), slot));
        Ok(())
    }

    fn ask(&mut self, slot: usize) -> io::Result<()> {
        let one = &mut self.connections[slot];
        one.phase = Phase::Waiting;
        one.out.clear();
        one.out.extend_from_slice(&self.request);
        one.sent = 0;
        one.begun = Instant::now();
        self.write(slot)
    }

    fn write(&mut self, slot: usize) -> io::Result<()> {
        let one = &mut self.connections[slot];
        while one.sent < one.out.len() {
            match one.stream.write(&one.out[one.sent..]) {
                Ok(len) => one.sent += len,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::NotConnected => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn read(&mut self, slot: usize) -> io::Result<()> {
        loop {
            let one = &mut self.connections[slot];
            match one.stream.read(&mut self.buffer) {
                Ok(0) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "the server ended a connection",
                    ));
                }
                Ok(len) => {
                    one.input.extend_from_slice(&self.buffer[..len]);
                    let short = len < self.buffer.len();
                    self.answered(slot)?;
                    if short {
                        return Ok(());
                    }
                }
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks whether the answer is whole.
    fn answered(&mut self, slot: usize) -> io::Result<()> {
        let one = &mut self.connections[slot];
        if one.phase == Phase::Handshake {
            let Some(end) = one.input.windows(4).position(|four| four == b"\r\n\r\n") else {
                if one.input.len() > HEAD_MAX {
                    return Err(io::Error::other("the answer to the WebSocket handshake has no end"));
                }
                return Ok(());
            };
            if !one.input.starts_with(b"HTTP/1.1 101") {
                let line = one.input.split(|byte| *byte == b'\r').next().unwrap_or_default();
                let line = String::from_utf8_lossy(line).into_owned();
                return Err(io::Error::other(format!("the server refuses the WebSocket: {line}")));
            }
            one.input.drain(..end + 4);
            return self.rest(slot);
        }
        let Some(len) = answer_len(self.options.frame, &one.input, self.options.size as usize) else {
            return Ok(());
        };
        if one.phase != Phase::Waiting || one.input.len() > len {
            return Err(io::Error::other("the server sends more than it was asked for"));
        }
        one.input.clear();
        if self.recording {
            let nanos = u64::try_from(one.begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.latencies.saturating_record(nanos.max(1));
        }
        self.answers += 1;
        one.requests += 1;
        if self.options.per_conn.is_some_and(|limit| one.requests >= limit) {
            return self.reconnect(slot);
        }
        self.rest(slot)
    }

    fn print(&self, elapsed: f64) {
        let options = self.options;
        if options.idle {
            println!("{} connections held for {elapsed:.1} s", options.conns);
            return;
        }
        let frame = format!("{:?}", options.frame).to_lowercase();
        println!("{} connections, {} bytes, frame {frame}, {elapsed:.1} s", options.conns, options.size);
        if options.per_conn.is_some() {
            println!("connections {:.0} /s ({} in all)", self.opened as f64 / elapsed, self.opened);
        }
        if self.answers > 0 {
            println!("requests    {:.0} /s ({} in all)", self.answers as f64 / elapsed, self.answers);
            let at = |quantile| self.latencies.value_at_quantile(quantile) as f64 / 1000.0;
            println!(
                "latency     p50 {:.1} us, p99 {:.1} us, p999 {:.1} us, max {:.1} us",
                at(0.5),
                at(0.99),
                at(0.999),
                self.latencies.max() as f64 / 1000.0
            );
        }
    }
}

/// The bytes of the answer that begins `input`, if it is whole.
fn answer_len(frame: Frame, input: &[u8], size: usize) -> Option<usize> {
    let len = match frame {
        Frame::Raw => size,
        Frame::Len2 => 2 + usize::from(u16::from_be_bytes([*input.first()?, *input.get(1)?])),
        Frame::Ws => match *input.get(1)? & 0x7f {
            126 => 4 + usize::from(u16::from_be_bytes([*input.get(2)?, *input.get(3)?])),
            127 => {
                let bytes: [u8; 8] = input.get(2..10)?.try_into().ok()?;
                10_usize.saturating_add(usize::try_from(u64::from_be_bytes(bytes)).ok()?)
            }
            len => 2 + usize::from(len),
        },
    };
    (input.len() >= len).then_some(len)
}

/// The CPU time that a process has used.
fn process_cpu(pid: u32) -> Option<Duration> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    // Linux counts hundredths of a second here, whatever its own clock does.
    Some(Duration::from_millis(ticks * 10))
}

/// The bytes of memory that a process has in use.
fn process_memory(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<u64>().ok()? * 1024)
}
