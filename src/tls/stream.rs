//! [`Stream`]: one connection, fed with what came from the peer and emptied of what is to go there.

use std::io::{BufRead, Write};
use std::mem;
use std::sync::Arc;

use rustls::{ClientConfig, ClientConnection, Connection, ServerConfig, ServerConnection};
use rustls_pki_types::{IpAddr, Ipv4Addr, ServerName};

use super::verify::reason;

/// What a peer may make wait here: text that came before somebody reads, and answers that nobody has sent on.
const WAITING_MAX: usize = 1 << 20;

/// Why a step was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamError {
    // Matched by programs: keep the words.
    #[error("handshake is finished")]
    Finished,
    #[error("handshake is not finished")]
    NotFinished,
    #[error("handshake has begun: it is too late for another host name")]
    Begun,
    #[error(
        "no host name to find in the server's certificate: give newtls one, or turn the verification off with \
         ctx:set_verify(false)"
    )]
    NoName,
    #[error("a server has no host name to ask for")]
    Server,
    #[error("invalid host name {0:?}: it is neither a DNS name nor an address, without a port")]
    Name(String),
    /// The connection is at its end. The numbers are OpenSSL's for a failure of the protocol.
    // Matched by programs: keep the words.
    #[error("{step} error:1{ret}: {why}", ret = if *step == HANDSHAKE { " ret:-1" } else { "" })]
    Failed { step: &'static str, why: String },
}

const HANDSHAKE: &str = "SSL_do_handshake";
const READ: &str = "SSL_read";
const WRITE: &str = "SSL_write";

/// A host name as it may be in a certificate.
///
/// # Errors
/// It is no name.
pub(crate) fn host_name(text: &str) -> Result<ServerName<'static>, StreamError> {
    ServerName::try_from(text).map(|name| name.to_owned()).map_err(|_| StreamError::Name(text.to_owned()))
}

enum State {
    /// A client that has said nothing yet: its host name may still change.
    Waiting {
        config: Arc<ClientConfig>,
        verifies: bool,
    },
    Open(Box<Connection>),
}

pub(crate) struct Stream {
    state: State,
    /// Whom a client looks for.
    name: Option<ServerName<'static>>,
    /// What the peer said before it was asked for.
    text: Vec<u8>,
    /// What is to go to the peer.
    out: Vec<u8>,
    failed: Option<StreamError>,
    peer_closed: bool,
}

impl Stream {
    /// A client; `verifies`: the server's certificate must have the name.
    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: Option<ServerName<'static>>,
        verifies: bool,
    ) -> Stream {
        Stream { name, ..Stream::new(State::Waiting { config, verifies }) }
    }

    /// # Errors
    /// The settings make no connection.
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Stream, StreamError> {
        let connection = ServerConnection::new(config).map_err(|error| failure(HANDSHAKE, reason(&error)))?;
        Ok(Stream::new(State::Open(Box::new(connection.into()))))
    }

    fn new(state: State) -> Stream {
        Stream { state, name: None, text: Vec::new(), out: Vec::new(), failed: None, peer_closed: false }
    }

    /// The name that a client asks for, and looks for in the certificate.
    ///
    /// # Errors
    /// This is a server, or it is too late.
    pub(crate) fn set_name(&mut self, name: ServerName<'static>) -> Result<(), StreamError> {
        match self.connection() {
            None => {
                self.name = Some(name);
                Ok(())
            }
            // Said again, as the libraries over it do.
            Some(Connection::Client(_)) if self.name.as_ref() == Some(&name) => Ok(()),
            Some(Connection::Client(_)) => Err(StreamError::Begun),
            Some(Connection::Server(_)) => Err(StreamError::Server),
        }
    }

    fn connection(&self) -> Option<&Connection> {
        match &self.state {
            State::Open(connection) => Some(connection),
            State::Waiting { .. } => None,
        }
    }

    /// The connection, begun if it was not.
    fn open(&mut self) -> Result<&mut Connection, StreamError> {
        if let State::Waiting { config, verifies } = &self.state {
            let name = match &self.name {
                Some(name) => name.clone(),
                None if *verifies => return Err(StreamError::NoName),
                // An address: the peer is not told of it.
                None => ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0; 4]))),
            };
            let connection = ClientConnection::new(Arc::clone(config), name)
                .map_err(|error| failure(HANDSHAKE, reason(&error)))?;
            self.state = State::Open(Box::new(connection.into()));
        }
        match &mut self.state {
            State::Open(connection) => Ok(connection),
            State::Waiting { .. } => unreachable!("it has just been opened"),
        }
    }

    /// Both sides know each other, and text may flow.
    pub(crate) fn is_finished(&self) -> bool {
        self.failed.is_none() && self.connection().is_some_and(|connection| !connection.is_handshaking())
    }

    /// One step of the handshake, with what came from the peer; what is to go there.
    ///
    /// # Errors
    /// It is over, or has failed.
    pub(crate) fn handshake(&mut self, data: &[u8]) -> Result<Vec<u8>, StreamError> {
        if self.is_finished() {
            return Err(StreamError::Finished);
        }
        self.feed(HANDSHAKE, data)?;
        Ok(mem::take(&mut self.out))
    }

    /// The text in what came from the peer, with what had come before.
    ///
    /// # Errors
    /// The connection has failed. What was right before is given first.
    pub(crate) fn read(&mut self, data: &[u8]) -> Result<Vec<u8>, StreamError> {
        let fed = self.feed(READ, data);
        let text = mem::take(&mut self.text);
        if text.is_empty() {
            fed?;
        }
        Ok(text)
    }

    /// What is to go to the peer: what was waiting, and this text. After a failure, without a text, the last words to
    /// the peer.
    ///
    /// # Errors
    /// There is a text, but the handshake is not over, or the connection has failed.
    pub(crate) fn write(&mut self, mut text: &[u8]) -> Result<Vec<u8>, StreamError> {
        if !text.is_empty() {
            self.check()?;
            if !self.is_finished() {
                return Err(StreamError::NotFinished);
            }
        }
        while !text.is_empty() {
            // It takes as much as its buffer holds, which is emptied each time.
            let written = self.open()?.writer().write(text);
            self.collect();
            match written {
                Ok(len) if len > 0 => text = text.get(len..).unwrap_or_default(),
                Ok(_) => return Err(self.fail(WRITE, "the connection takes no more text".to_owned())),
                Err(error) => return Err(self.fail(WRITE, error.to_string())),
            }
        }
        Ok(mem::take(&mut self.out))
    }

    /// Says goodbye; what is to go to the peer.
    pub(crate) fn close(mut self) -> Vec<u8> {
        if self.is_finished()
            && let State::Open(connection) = &mut self.state
        {
            connection.send_close_notify();
        }
        self.collect();
        self.out
    }

    /// The peer has said goodbye: nothing was cut off.
    pub(crate) fn peer_closed(&self) -> bool {
        self.peer_closed
    }

    /// The protocol that both sides agreed on.
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        self.connection()?.alpn_protocol()
    }

    /// The host name that a client asks for; a server knows it from its client.
    pub(crate) fn name(&self) -> Option<String> {
        match self.connection() {
            Some(Connection::Server(connection)) => connection.server_name().map(str::to_owned),
            _ => self.name.as_ref().map(|name| name.to_str().into_owned()),
        }
    }

    fn check(&self) -> Result<(), StreamError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    #[cold]
    fn fail(&mut self, step: &'static str, why: String) -> StreamError {
        self.failed.insert(failure(step, why)).clone()
    }

    /// Takes in what came from the peer, and brings what there is to say into `out`.
    fn feed(&mut self, step: &'static str, mut data: &[u8]) -> Result<(), StreamError> {
        self.check()?;
        self.open()?;
        loop {
            let taken = match data {
                [] => Ok(0),
                _ => self.open()?.read_tls(&mut data),
            };
            let result = self.open()?.process_new_packets();
            // Also after a failure: there is an alert for the peer, and text that came before is good.
            self.collect();
            match (taken, result) {
                (Err(error), _) => return Err(self.fail(step, error.to_string())),
                (_, Err(error)) => return Err(self.fail(step, reason(&error))),
                // Nothing is left, or nothing counts after the peer's goodbye.
                (Ok(taken), Ok(state)) => {
                    self.peer_closed = state.peer_has_closed();
                    if taken == 0 {
                        break;
                    }
                }
            }
        }
        let waiting = self.out.len() + if step == READ { 0 } else { self.text.len() };
        if waiting > WAITING_MAX {
            (self.text, self.out) = (Vec::new(), Vec::new());
            return Err(self.fail(step, format!("{waiting} bytes wait, over the limit of {WAITING_MAX}")));
        }
        Ok(())
    }

    /// Moves what the connection has ready to `text` and `out`.
    fn collect(&mut self) {
        let State::Open(connection) = &mut self.state else { return };
        // An error says that there is no more for now; nothing, that the peer said goodbye.
        while let Ok(text @ [_, ..]) = connection.reader().fill_buf() {
            let len = text.len();
            self.text.extend_from_slice(text);
            connection.reader().consume(len);
        }
        while connection.wants_write() {
            let Ok(1..) = connection.write_tls(&mut self.out) else { break };
        }
    }
}

fn failure(step: &'static str, why: String) -> StreamError {
    StreamError::Failed { step, why }
}
