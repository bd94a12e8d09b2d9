//! The texts that the Lua side, `service/cslave.lua`, gives to the harbor service. The letters N, S and A are those of skynet's.

/// What the Lua side says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'t> {
    /// `N name`: the name is the sender's.
    Name(&'t str),
    /// `G name`: nobody has the name any more.
    NameGone(&'t str),
    /// `STAT`: asks for the counters.
    Stat,
    /// `S fd id [rs]` and `A fd id [rs]`: a connection that the Lua side has made or accepted.
    Connection { ours: bool, socket: i32, id: u8, rs: bool },
    /// `F id refused|failed`: a connection could not be made.
    ConnectFailed { id: u8, refused: bool },
    /// `X id`: the node has gone for good.
    PeerGone(u8),
    /// `C id`: the node is there, and a link to it is to be had.
    PeerThere(u8),
}

/// What is wrong with a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadCommand {
    /// There is no such command.
    Unknown,
    /// Its parameters are not those of the command.
    Invalid,
}

impl<'t> Command<'t> {
    pub(super) fn parse(text: &'t str) -> Result<Command<'t>, BadCommand> {
        let (letter, rest) = text.split_once(' ').unwrap_or((text, ""));
        let words: Vec<&str> = rest.split_ascii_whitespace().collect();
        let command = match (letter, &words[..]) {
            ("N", _) => Some(Command::Name(rest)),
            ("G", _) => Some(Command::NameGone(rest)),
            ("STAT", _) => Some(Command::Stat),
            ("S" | "A", [socket, peer, tail @ ..]) => {
                let rs = match tail {
                    [] => Some(false),
                    ["rs"] => Some(true),
                    _ => None,
                };
                socket.parse().ok().zip(id(peer)).zip(rs).map(|((socket, id), rs)| Command::Connection {
                    ours: letter == "S",
                    socket,
                    id,
                    rs,
                })
            }
            ("F", [peer, why @ ("refused" | "failed")]) => {
                id(peer).map(|id| Command::ConnectFailed { id, refused: *why == "refused" })
            }
            ("X", [peer]) => id(peer).map(Command::PeerGone),
            ("C", [peer]) => id(peer).map(Command::PeerThere),
            ("S" | "A" | "F" | "X" | "C", _) => None,
            _ => return Err(BadCommand::Unknown),
        };
        command.ok_or(BadCommand::Invalid)
    }

    /// The text that is read as this command.
    #[cfg(any(test, fuzzing, feature = "bench"))]
    pub(super) fn to_text(&self) -> String {
        match self {
            Command::Name(name) => format!("N {name}"),
            Command::NameGone(name) => format!("G {name}"),
            Command::Stat => "STAT".to_owned(),
            Command::Connection { ours, socket, id, rs } => {
                let (letter, tail) = (if *ours { "S" } else { "A" }, if *rs { " rs" } else { "" });
                format!("{letter} {socket} {id}{tail}")
            }
            Command::ConnectFailed { id, refused } => {
                format!("F {id} {}", if *refused { "refused" } else { "failed" })
            }
            Command::PeerGone(id) => format!("X {id}"),
            Command::PeerThere(id) => format!("C {id}"),
        }
    }
}

/// The id of another node: nobody has 0.
fn id(text: &str) -> Option<u8> {
    text.parse().ok().filter(|id| *id != 0)
}

/// For `fuzz/`.
#[cfg(any(fuzzing, feature = "bench"))]
pub(super) mod door {
    use super::Command;

    /// What a text of the Lua side is read as, as a text again.
    #[must_use]
    pub fn command(text: &str) -> Option<String> {
        Command::parse(text).ok().map(|command| command.to_text())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_read() {
        for (text, command) in [
            ("N name", Command::Name("name")),
            ("N a name", Command::Name("a name")),
            ("N", Command::Name("")),
            ("G name", Command::NameGone("name")),
            ("STAT", Command::Stat),
            ("S 7 2", Command::Connection { ours: true, socket: 7, id: 2, rs: false }),
            ("A 7 255 rs", Command::Connection { ours: false, socket: 7, id: 255, rs: true }),
            ("F 3 refused", Command::ConnectFailed { id: 3, refused: true }),
            ("F 3 failed", Command::ConnectFailed { id: 3, refused: false }),
            ("X 3", Command::PeerGone(3)),
            ("C 3", Command::PeerThere(3)),
        ] {
            assert_eq!(Command::parse(text), Ok(command), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told_from_what_is_unknown() {
        for text in ["", "Z 1", "S7 1", "n name", "STATS"] {
            assert_eq!(Command::parse(text), Err(BadCommand::Unknown), "{text}");
        }
        for text in [
            "S",
            "S 7",
            "S x 2",
            "S 7 0",
            "S 7 256",
            "S 7 2 sr",
            "A 7 2 rs rs",
            "F 3",
            "F 3 gone",
            "F 0 failed",
            "X",
            "X 0",
            "C 1 2",
        ] {
            assert_eq!(Command::parse(text), Err(BadCommand::Invalid), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_read_again(text in "(S|A|F|X|C|N|G|STAT) [0-9a-z -]{0,20}") {
            if let Ok(command) = Command::parse(&text) {
                let again = command.to_text();
                prop_assert_eq!(Command::parse(&again), Ok(command));
            }
        }
    }
}
