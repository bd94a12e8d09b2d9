//! [`SocketEvent`]: what a service hears of its sockets, the payload of a `PTYPE_SOCKET` message.
//!
//! Only the reactor makes them, so the events of one socket reach its owner in the order in which they happened.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::credit::Credit;
use super::ids::SocketId;
use super::state::Socket;
use crate::message::Payload;
use crate::sync::Arc;

/// A longer text is cut: receivers of the original's structure have room for so many bytes.
const TEXT_MAX: usize = 128;

/// What happened. The numbers are those of `SKYNET_SOCKET_TYPE_*`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum SocketEventKind {
    /// Bytes arrived.
    Data = 1,
    /// A connection is made, a listener is bound, or [`start`](crate::Sockets::start) was heard.
    Connect = 2,
    /// The peer has ended its side, or the service closed the socket. Comes once.
    Close = 3,
    /// A listener has a new connection.
    Accept = 4,
    /// Something failed; the text says what.
    Error = 5,
    /// A datagram arrived.
    Udp = 6,
    /// Much waits to be written, or no longer.
    Warning = 7,
}

/// One event of one socket.
#[derive(Debug)]
pub struct SocketEvent {
    /// What happened.
    pub kind: SocketEventKind,
    /// To which socket.
    pub id: SocketId,
    /// A number whose meaning depends on the kind: the size of the data, the port of a listener, the id of an
    /// accepted socket, the KiB of a warning.
    pub ud: i32,
    /// What comes with it.
    pub data: SocketData,
    /// Counts the bytes until the event is handled.
    _credit: Option<Credit>,
}

/// What comes with an event.
#[derive(Debug)]
pub enum SocketData {
    /// An address or the reason of an error; of at most 128 bytes.
    Text(String),
    /// Bytes of a stream; never none.
    Bytes(Payload),
    /// A datagram, perhaps an empty one, and its sender.
    Datagram(Payload, UdpAddress),
}

impl SocketEvent {
    pub(super) fn text(kind: SocketEventKind, id: SocketId, ud: i32, text: &str) -> SocketEvent {
        let end = (0..=TEXT_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        SocketEvent { kind, id, ud, data: SocketData::Text(text[..end].to_owned()), _credit: None }
    }

    pub(super) fn data(socket: &Arc<Socket>, bytes: Payload) -> SocketEvent {
        let len = bytes.len();
        SocketEvent {
            kind: SocketEventKind::Data,
            id: socket.id,
            ud: number(len),
            data: SocketData::Bytes(bytes),
            _credit: Some(Credit::new(socket, len)),
        }
    }

    pub(super) fn datagram(socket: &Arc<Socket>, bytes: &[u8], from: SocketAddr) -> SocketEvent {
        let data = SocketData::Datagram(Payload::copy_from(bytes), UdpAddress::from(from));
        let credit = Some(Credit::new(socket, bytes.len()));
        SocketEvent {
            kind: SocketEventKind::Udp,
            id: socket.id,
            ud: number(bytes.len()),
            data,
            _credit: credit,
        }
    }

    /// The new socket that an [`Accept`](SocketEventKind::Accept) event tells of.
    #[must_use]
    pub fn accepted(&self) -> SocketId {
        SocketId::new(self.ud)
    }

    /// Takes the bytes of data or of a datagram; nothing of them is left.
    #[must_use]
    pub fn take_bytes(&mut self) -> Payload {
        match &mut self.data {
            SocketData::Bytes(payload) | SocketData::Datagram(payload, _) => std::mem::take(payload),
            SocketData::Text(_) => Payload::empty(),
        }
    }

    /// The text of an event that has one.
    #[must_use]
    pub fn as_text(&self) -> &str {
        match &self.data {
            SocketData::Text(text) => text,
            SocketData::Bytes(_) | SocketData::Datagram(..) => "",
        }
    }

    /// The bytes of data or of a datagram.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.data {
            SocketData::Bytes(payload) | SocketData::Datagram(payload, _) => payload.as_bytes(),
            SocketData::Text(_) => &[],
        }
    }
}

/// A length as an event carries it.
pub(super) fn number(len: usize) -> i32 {
    i32::try_from(len).unwrap_or(i32::MAX)
}

/// The words of the system for an error, as `strerror` and `gai_strerror` have them.
pub(crate) fn error_text(error: &io::Error) -> String {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => text.strip_suffix(&format!(" (os error {code})")).unwrap_or(&text).to_owned(),
        // Put before `gai_strerror` by the standard library.
        None => text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned(),
    }
}

/// The address of a datagram in its binary form: 1 or 2 for the family, the port in network order, and the 4 or 16
/// bytes of the address.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UdpAddress {
    bytes: [u8; UdpAddress::V6_LEN],
    len: u8,
}

impl UdpAddress {
    const V4: u8 = 1;
    const V6: u8 = 2;
    const V4_LEN: usize = 7;
    const V6_LEN: usize = 19;

    /// Reads the binary form; nothing where it is none.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<UdpAddress> {
        let right = match *bytes.first()? {
            Self::V4 => bytes.len() == Self::V4_LEN,
            Self::V6 => bytes.len() == Self::V6_LEN,
            _ => false,
        };
        let mut address = UdpAddress { bytes: [0; Self::V6_LEN], len: u8::try_from(bytes.len()).ok()? };
        address.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        right.then_some(address)
    }

    /// The binary form.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The address and the port.
    #[must_use]
    pub fn to_addr(self) -> SocketAddr {
        let port = u16::from_be_bytes([self.bytes[1], self.bytes[2]]);
        let mut v6 = [0; 16];
        v6.copy_from_slice(&self.bytes[3..]);
        let [a, b, c, d, ..] = v6;
        let ip = if self.bytes[0] == Self::V6 { IpAddr::from(v6) } else { IpAddr::from([a, b, c, d]) };
        SocketAddr::new(ip, port)
    }
}

impl From<SocketAddr> for UdpAddress {
    fn from(addr: SocketAddr) -> UdpAddress {
        let mut bytes = [0; Self::V6_LEN];
        bytes[1..3].copy_from_slice(&addr.port().to_be_bytes());
        let len = match addr.ip() {
            IpAddr::V4(ip) => {
                bytes[0] = Self::V4;
                bytes[3..Self::V4_LEN].copy_from_slice(&ip.octets());
                Self::V4_LEN
            }
            IpAddr::V6(ip) => {
                bytes[0] = Self::V6;
                bytes[3..].copy_from_slice(&ip.octets());
                Self::V6_LEN
            }
        };
        UdpAddress { bytes, len: len as u8 }
    }
}

impl fmt::Debug for UdpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.to_addr(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_udp_address_survives_its_binary_form() {
        for text in ["127.0.0.1:258", "[fe80::1]:65535", "0.0.0.0:0"] {
            let addr: SocketAddr = text.parse().expect("an address");
            let address = UdpAddress::from(addr);
            assert_eq!(UdpAddress::from_bytes(address.as_bytes()).map(UdpAddress::to_addr), Some(addr));
        }
        let v4 = UdpAddress::from(SocketAddr::from(([10, 0, 0, 7], 258)));
        assert_eq!(v4.as_bytes(), [1, 1, 2, 10, 0, 0, 7]);
    }

    #[test]
    fn other_bytes_are_no_udp_address() {
        for bytes in [&[][..], &[1; 6], &[1; 19], &[2; 7], &[2; 20], &[3; 7], &[0; 7], &[2; 300]] {
            assert!(UdpAddress::from_bytes(bytes).is_none(), "{bytes:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let id = SocketId::new(1);
        let event = SocketEvent::text(SocketEventKind::Error, id, 0, &"ä".repeat(100));
        assert_eq!(event.as_text().len(), 128);
        let event = SocketEvent::text(SocketEventKind::Error, id, 0, &format!("x{}", "ä".repeat(100)));
        assert_eq!(event.as_text().len(), 127);
    }

    #[test]
    fn an_error_has_the_words_of_the_system_alone() {
        let error = io::Error::from_raw_os_error(libc::ECONNREFUSED);
        assert_eq!(error_text(&error), "Connection refused");
        let error = io::Error::other("failed to lookup address information: Name or service not known");
        assert_eq!(error_text(&error), "Name or service not known");
    }
}
