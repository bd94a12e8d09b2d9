//! A debug console, and a client of it.
#![allow(dead_code, missing_docs, unreachable_pub)] // Each test file uses its part of this.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::support::{self, DEADLINE, TestNode};

/// A node with a console, on the port that is returned.
pub fn console() -> (TestNode, u16) {
    console_of(support::node())
}

pub fn console_of(node: TestNode) -> (TestNode, u16) {
    node.lua("return skynet.newservice('debug_console', 0)");
    let line = node.log.wait_for("Start debug console at 127.0.0.1:");
    let port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    (node, port)
}

pub struct Client {
    pub stream: TcpStream,
    pub lines: BufReader<TcpStream>,
}

/// What a command shows: its lines, and whether it went well.
#[derive(Debug, PartialEq, Eq)]
pub struct Shown {
    pub lines: Vec<String>,
    pub ok: bool,
}

impl Shown {
    pub fn one(&self) -> &str {
        assert!(self.ok, "{self:?}");
        assert_eq!(self.lines.len(), 1, "{self:?}");
        &self.lines[0]
    }

    pub fn has(&self, part: &str) -> bool {
        self.lines.iter().any(|line| line.contains(part))
    }
}

impl Client {
    pub fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the console listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is set");
        stream.set_write_timeout(Some(DEADLINE)).expect("it is set");
        let lines = BufReader::new(stream.try_clone().expect("it is copied"));
        Client { stream, lines }
    }

    pub fn new(port: u16) -> Client {
        let mut client = Client::connect(port);
        assert_eq!(client.line(), "Welcome to skynet console");
        client
    }

    pub fn say(&mut self, text: impl AsRef<[u8]>) {
        self.stream.write_all(text.as_ref()).expect("it is open");
    }

    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        self.lines.read_until(b'\n', &mut line).expect("a line comes");
        String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned()
    }

    pub fn shown(&mut self) -> Shown {
        let mut lines = Vec::new();
        loop {
            let line = self.line();
            match line.as_str() {
                "<CMD OK>" => return Shown { lines, ok: true },
                "<CMD Error>" => return Shown { lines, ok: false },
                _ => lines.push(line),
            }
            assert!(lines.len() < 100_000, "the end of the command does not come: {:?}", lines.last());
        }
    }

    pub fn run(&mut self, command: &str) -> Shown {
        self.say(format!("{command}\n"));
        self.shown()
    }

    /// All that still comes, until the other side ends.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.lines.read_to_end(&mut rest).expect("the end comes");
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Reads until this has come.
    pub fn until(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(text.as_bytes()) {
            self.lines.read_exact(&mut byte).unwrap_or_else(|why| {
                panic!("{why} while {text:?} is due; so far: {}", String::from_utf8_lossy(&seen))
            });
            seen.push(byte[0]);
        }
        String::from_utf8_lossy(&seen).into_owned()
    }
}

pub fn request(port: u16, text: &str) -> String {
    let mut client = Client::connect(port);
    client.say(text);
    client.rest()
}
