//! A client of a gate: packages, each behind its length, over a socket of the standard library.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::DEADLINE;

/// A connection whose reads and writes end within the deadline.
pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        stream.set_write_timeout(Some(DEADLINE)).expect("a time above zero");
        stream.set_nodelay(true).expect("it is a TCP socket");
        Client { stream }
    }

    /// The address that the server sees.
    pub fn address(&self) -> String {
        self.stream.local_addr().expect("it is connected").to_string()
    }

    /// Sends bytes as they are.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("the connection is open");
    }

    /// Sends a package behind two bytes of length.
    pub fn send(&mut self, package: impl AsRef<[u8]>) {
        self.write(framed([package]));
    }

    /// The next package.
    pub fn receive(&mut self) -> Vec<u8> {
        let mut len = [0; 2];
        self.stream.read_exact(&mut len).expect("a package comes");
        self.read(usize::from(u16::from_be_bytes(len)))
    }

    /// The next package as text.
    pub fn receive_text(&mut self) -> String {
        String::from_utf8(self.receive()).expect("it is a text")
    }

    /// So many bytes.
    pub fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).expect("they come");
        bytes
    }

    /// The next line, without its end.
    pub fn line(&mut self) -> String {
        let mut line = Vec::new();
        loop {
            match self.read(1)[0] {
                b'\n' => return String::from_utf8(line).expect("it is a text"),
                byte => line.push(byte),
            }
        }
    }

    /// Reads until the server has closed; what came before. A connection that is reset is closed, too.
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.stream.read_to_end(&mut bytes) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the server does not close: {error}"),
        }
        bytes
    }

    /// Ends the connection with a reset: what the server has sent and what is on its way is forgotten.
    pub fn reset(self) {
        let raw = socket2::SockRef::from(&self.stream);
        raw.set_linger(Some(Duration::ZERO)).expect("it is a socket");
    }
}

/// Packages, each behind two bytes of length.
pub fn framed(packages: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for package in packages {
        let len = u16::try_from(package.as_ref().len()).expect("it is short");
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(package.as_ref());
    }
    bytes
}
