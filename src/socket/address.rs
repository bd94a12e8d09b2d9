//! Addresses as services write them: `host:port`, `[v6]:port`, `unix:/path`.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Before the path of a socket in the file system.
const UNIX: &str = "unix:";

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddressError {
    // Matched by Lua code: keep the words of all three.
    /// There is no port in the text and none beside it.
    #[error("Invalid address {0}.")]
    Address(String),
    /// What stands behind the colon is no port.
    #[error("Invalid port in address {0}.")]
    PortText(String),
    /// The port that stands beside the host is none.
    #[error("Invalid port")]
    Port,
}

/// Splits an address that may carry its port, unless the port stands beside it.
///
/// A path of `unix:` is left whole and gets the port 0.
pub(crate) fn split(address: &str, port: Option<i64>) -> Result<(String, u16), AddressError> {
    if address.starts_with(UNIX) {
        return Ok((address.to_owned(), 0));
    }
    if let Some(port) = port {
        return Ok((address.to_owned(), u16::try_from(port).map_err(|_| AddressError::Port)?));
    }
    let wrong = || AddressError::Address(address.to_owned());
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']').ok_or_else(wrong)?;
            (host, rest.strip_prefix(':').ok_or_else(wrong)?)
        }
        None => address.split_once(':').ok_or_else(wrong)?,
    };
    let digits = !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit());
    let port = port.parse().ok().filter(|_| digits);
    port.map(|port| (host.to_owned(), port)).ok_or_else(|| AddressError::PortText(address.to_owned()))
}

/// Where a stream socket binds or connects to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    Unix(PathBuf),
    Addr(SocketAddr),
    Name(String, u16),
}

impl Target {
    pub(super) fn new(host: &str, port: u16) -> Target {
        if let Some(path) = host.strip_prefix(UNIX) {
            return Target::Unix(PathBuf::from(path));
        }
        if host.is_empty() {
            return Target::Addr(SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), port));
        }
        match host.parse::<IpAddr>() {
            Ok(ip) => Target::Addr(SocketAddr::new(ip, port)),
            Err(_) => Target::Name(host.to_owned(), port),
        }
    }
}

/// All addresses of a host; asks the system's resolver where the host is a name, which may take seconds.
pub(super) fn lookup(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    match Target::new(host, port) {
        Target::Addr(addr) => Ok(vec![addr]),
        Target::Unix(_) => Err(io::Error::from_raw_os_error(libc::EAFNOSUPPORT)),
        Target::Name(host, port) => {
            let found: Vec<_> = (host.as_str(), port).to_socket_addrs()?.collect();
            if found.is_empty() {
                return Err(io::Error::other("Name or service not known"));
            }
            Ok(found)
        }
    }
}

/// How events show a socket in the file system.
pub(super) fn unix_text(path: Option<&Path>) -> String {
    format!("{UNIX}{}", path.map(Path::to_string_lossy).unwrap_or_default())
}

/// How events show a peer: a v6 address has no brackets.
pub(super) fn peer_text(addr: SocketAddr) -> String {
    format!("{}:{}", addr.ip(), addr.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_carries_its_port_or_has_it_beside_it() {
        let cases = [
            ("127.0.0.1:80", None, ("127.0.0.1", 80)),
            (":65535", None, ("", 65535)),
            ("[::1]:0", None, ("::1", 0)),
            ("::1", Some(7), ("::1", 7)),
            ("a.b", Some(0), ("a.b", 0)),
            ("unix:/tmp/x:1", None, ("unix:/tmp/x:1", 0)),
        ];
        for (address, port, (host, wanted)) in cases {
            assert_eq!(split(address, port), Ok((host.to_owned(), wanted)), "{address}");
        }
    }

    #[test]
    fn a_text_that_is_no_address_is_named_in_the_error() {
        for address in ["", "host", "[::1]", "[::1", "[::1]80"] {
            assert_eq!(
                split(address, None).map_err(|e| e.to_string()),
                Err(format!("Invalid address {address}."))
            );
        }
        for address in ["h:", "h:x", "h:65536", "h:-1", "h:+1", "h: 1", "::1", "[::1]:99999"] {
            let text = format!("Invalid port in address {address}.");
            assert_eq!(split(address, None).map_err(|e| e.to_string()), Err(text));
        }
        for port in [-1, 65536, i64::MAX] {
            assert_eq!(split("h", Some(port)), Err(AddressError::Port));
        }
    }

    #[test]
    fn numbers_are_not_looked_up() {
        assert_eq!(Target::new("", 1), Target::Addr(SocketAddr::from(([0, 0, 0, 0], 1))));
        assert!(matches!(Target::new("::1", 1), Target::Addr(addr) if addr.is_ipv6()));
        assert!(matches!(Target::new("unix:x", 1), Target::Unix(path) if path.as_os_str() == "x"));
        assert_eq!(Target::new("localhost", 1), Target::Name("localhost".to_owned(), 1));
        assert!(lookup("a\0b", 1).is_err());
    }
}
