//! A peer of `cmaster` and `cslave`, written from the protocol: packages over a plain TCP connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde::Serialize;
use skynet_rs::packed::{self, Value, Values};

use super::DEADLINE;

/// One end of a connection between a master and a slave.
pub struct Peer(pub TcpStream);

impl Peer {
    pub fn connect(port: u16) -> Peer {
        Peer::over(TcpStream::connect(("127.0.0.1", port)).expect("somebody listens"))
    }

    pub fn over(stream: TcpStream) -> Peer {
        stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        stream.set_write_timeout(Some(DEADLINE)).expect("a time above zero");
        stream.set_nodelay(true).expect("it is open");
        Peer(stream)
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the peer takes it");
    }

    /// Sends a package of these values.
    pub fn send<T: Serialize>(&mut self, values: &T) {
        let bytes = package(values);
        self.write(&bytes);
    }

    /// Reads a package; nothing if the peer has closed the connection.
    pub fn read(&mut self) -> Option<Vec<u8>> {
        let mut length = [0];
        if let Err(error) = self.0.read_exact(&mut length) {
            let is_end =
                matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset);
            assert!(is_end, "the peer sends nothing, and does not end: {error}");
            return None;
        }
        let mut body = vec![0; length[0].into()];
        self.0.read_exact(&mut body).expect("a package is whole");
        Some(body)
    }

    /// Reads a package and unpacks it.
    pub fn values(&mut self) -> Vec<Value> {
        let body = self.read().expect("the peer has not closed the connection");
        let values: Values = packed::from_bytes(&body).expect("a package is packed values");
        values.0
    }

    /// The values as text, as `"N" "NAME" 16777226`; signs of life, and where the others are, are left out.
    pub fn text(&mut self) -> String {
        loop {
            let text = self.values().iter().map(shown).collect::<Vec<_>>().join(" ");
            if text != "P" && !text.starts_with("I ") {
                return text;
            }
        }
    }

    /// The peer closes the connection, and says nothing more than signs of life.
    pub fn assert_closed(&mut self) {
        while let Some(body) = self.read() {
            assert_eq!(body, [0x0c, b'P'], "the peer says something before it closes");
        }
    }
}

/// A package of these values, with its length before it.
pub fn package<T: Serialize>(values: &T) -> Vec<u8> {
    let mut bytes = packed::to_vec(values).expect("the values can be packed");
    bytes.insert(0, u8::try_from(bytes.len()).expect("a package holds 255 bytes"));
    bytes
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Table(_) => "{}".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A listener on a free port.
pub fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    (listener, address)
}

/// Bytes written in hex, with blanks between them.
pub fn hex(text: &str) -> Vec<u8> {
    text.split_whitespace()
        .filter(|word| *word != "|")
        .map(|word| u8::from_str_radix(word, 16).expect("two hex digits"))
        .collect()
}
