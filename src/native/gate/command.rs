//! The texts that a gate is given: its arguments, and the commands of its watchdog.

use crate::handle::Handle;
use crate::message::MessageKind;
use crate::netpack::Header;
use crate::socket::split_address;

/// What a gate is launched with: `<S|L> <watchdog> <binding> <client tag> <connections>`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arguments {
    pub(super) header: Header,
    /// `.name` or `:hex`; nothing where nobody is to be told.
    pub(super) watchdog: Option<String>,
    pub(super) host: String,
    pub(super) port: u16,
    /// The kind of the messages to agents.
    pub(super) tag: MessageKind,
    pub(super) connections_max: usize,
}

impl Arguments {
    /// # Errors
    /// The log line that says what is wrong.
    pub(super) fn parse(text: &str) -> Result<Arguments, String> {
        // Matched by log readers: keep the words of all errors here.
        let invalid = || format!("Invalid gate parm {text}");
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [style, watchdog, binding, tag, ref rest @ ..] = words[..] else { return Err(invalid()) };
        let tag = match tag.parse().map_err(|_| invalid())? {
            0 => MessageKind::CLIENT,
            number => MessageKind(number),
        };
        let connections_max = rest.first().map_or(Ok(0), |word| word.parse().map_err(|_| invalid()))?;
        if connections_max == 0 {
            return Err("Need max connection".to_owned());
        }
        let header = match style {
            "S" => Header::Short,
            "L" => Header::Long,
            _ => return Err("Invalid data header style".to_owned()),
        };
        let (host, port) = address(binding).ok_or_else(|| format!("Invalid gate address {binding}"))?;
        let watchdog = (!watchdog.starts_with('!')).then(|| watchdog.to_owned());
        Ok(Arguments { header, watchdog, host, port, tag, connections_max })
    }
}

/// Reads `port` or `host:port`.
fn address(binding: &str) -> Option<(String, u16)> {
    if binding.contains(':') {
        return split_address(binding, None).ok();
    }
    Some(("0.0.0.0".to_owned(), binding.parse().ok()?))
}

/// What a gate is told to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command {
    /// Close a connection.
    Kick(i32),
    /// Send what comes on a connection to this agent, in the name of the client.
    Forward { id: i32, agent: Option<Handle>, client: Handle },
    /// Send everything to a service of this name.
    Broker(String),
    /// Begin to read from a connection.
    Start(i32),
    /// Take no more connections.
    Close,
}

const WORDS: [&str; 5] = ["kick", "forward", "broker", "start", "close"];

impl Command {
    /// Reads `<word> <parameters>`; any beginning of a word stands for the word. Nothing where there is no such word, or
    /// its parameters are missing.
    pub(super) fn parse(text: &str) -> Result<Option<Command>, Unknown> {
        // Senders in C let a text end with a zero.
        let text = text.split('\0').next().unwrap_or_default().trim_ascii();
        let (word, parameters) = text.split_once(' ').unwrap_or((text, ""));
        let word = WORDS.iter().find(|known| known.starts_with(word)).ok_or(Unknown)?;
        let mut parameters = parameters.split_ascii_whitespace();
        let first = parameters.next();
        let id = first.and_then(|first| first.parse().ok());
        Ok(match *word {
            "kick" => id.map(Command::Kick),
            "start" => id.map(Command::Start),
            "broker" => first.map(|name| Command::Broker(name.to_owned())),
            "close" => Some(Command::Close),
            _ => match (id, parameters.next()) {
                (Some(id), Some(agent)) => {
                    let client = parameters.next().and_then(handle).unwrap_or(Handle::NONE);
                    Some(Command::Forward { id, agent: handle(agent), client })
                }
                _ => None,
            },
        })
    }
}

/// For `fuzz/`.
#[cfg(any(fuzzing, feature = "bench"))]
pub mod door {
    use super::{Arguments, Command, Handle, Header};

    /// What the arguments of a gate are read as, as a text again.
    #[must_use]
    pub fn arguments(text: &str) -> Option<String> {
        let Arguments { header, watchdog, host, port, tag, connections_max } = Arguments::parse(text).ok()?;
        let style = if header == Header::Short { "S" } else { "L" };
        let watchdog = watchdog.as_deref().unwrap_or("!");
        let binding = match &host {
            path if path.starts_with("unix:") => host,
            ipv6 if ipv6.contains(':') => format!("[{ipv6}]:{port}"),
            name => format!("{name}:{port}"),
        };
        Some(format!("{style} {watchdog} {binding} {} {connections_max}", tag.0))
    }

    /// What a command of the watchdog is read as, as a text again.
    #[must_use]
    pub fn command(text: &str) -> Option<String> {
        let hex = |handle: Handle| format!(":{:x}", handle.as_u32());
        Some(match Command::parse(text).ok()?? {
            Command::Kick(id) => format!("kick {id}"),
            Command::Start(id) => format!("start {id}"),
            Command::Broker(name) => format!("broker {name}"),
            Command::Close => "close".to_owned(),
            Command::Forward { id, agent, client } => {
                format!("forward {id} {} {}", hex(agent.unwrap_or(Handle::NONE)), hex(client))
            }
        })
    }
}

/// There is no such command.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unknown;

/// Reads `:hex`; nothing for 0, or where it is none.
fn handle(text: &str) -> Option<Handle> {
    let number = u32::from_str_radix(text.strip_prefix(':')?, 16).ok()?;
    (number != 0).then(|| Handle::from_u32(number))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn arguments_are_read() {
        let wanted = |header, watchdog: Option<&str>, host: &str, port, tag, connections_max| Arguments {
            header,
            watchdog: watchdog.map(str::to_owned),
            host: host.to_owned(),
            port,
            tag: MessageKind(tag),
            connections_max,
        };
        for (text, right) in [
            ("S .dog 8888 0 10", wanted(Header::Short, Some(".dog"), "0.0.0.0", 8888, 3, 10)),
            ("L :0a 127.0.0.1:1 12 64", wanted(Header::Long, Some(":0a"), "127.0.0.1", 1, 12, 64)),
            ("  S  ! [::1]:70 3 1 more", wanted(Header::Short, None, "::1", 70, 3, 1)),
        ] {
            assert_eq!(Arguments::parse(text), Ok(right), "{text}");
        }
    }

    #[test]
    fn wrong_arguments_are_named() {
        for (text, error) in [
            ("", "Invalid gate parm "),
            ("S .dog 8888", "Invalid gate parm S .dog 8888"),
            ("S .dog 8888 x 1", "Invalid gate parm S .dog 8888 x 1"),
            ("S .dog 8888 256 1", "Invalid gate parm S .dog 8888 256 1"),
            ("S .dog 8888 0", "Need max connection"),
            ("S .dog 8888 0 0", "Need max connection"),
            ("S .dog 8888 0 -1", "Invalid gate parm S .dog 8888 0 -1"),
            ("X .dog 8888 0 1", "Invalid data header style"),
            ("SL .dog 8888 0 1", "Invalid data header style"),
            ("S .dog here 0 1", "Invalid gate address here"),
            ("S .dog 1.2.3.4:65536 0 1", "Invalid gate address 1.2.3.4:65536"),
            ("S .dog 65536 0 1", "Invalid gate address 65536"),
        ] {
            assert_eq!(Arguments::parse(text), Err(error.to_owned()), "{text}");
        }
    }

    #[test]
    fn commands_are_read_and_may_be_cut_short() {
        let agent = Some(Handle::from_u32(0x0100_000a));
        for (text, right) in [
            ("kick 5", Some(Command::Kick(5))),
            ("k 5", Some(Command::Kick(5))),
            ("kick", None),
            ("kick x", None),
            ("kick 99999999999", None),
            ("start 7\0", Some(Command::Start(7))),
            ("start 7\0 more", Some(Command::Start(7))),
            ("broker \0", None),
            ("s 7", Some(Command::Start(7))),
            ("close", Some(Command::Close)),
            ("c", Some(Command::Close)),
            ("broker .broker", Some(Command::Broker(".broker".to_owned()))),
            ("broker", None),
            ("forward 5 :100000a :b", {
                Some(Command::Forward { id: 5, agent, client: Handle::from_u32(11) })
            }),
            ("f 5 :100000a", Some(Command::Forward { id: 5, agent, client: Handle::NONE })),
            ("forward 5 :0 :0", Some(Command::Forward { id: 5, agent: None, client: Handle::NONE })),
            ("forward 5 junk", Some(Command::Forward { id: 5, agent: None, client: Handle::NONE })),
            ("forward 5", None),
            ("forward", None),
            ("", None),
        ] {
            assert_eq!(Command::parse(text), Ok(right), "{text:?}");
        }
        for text in ["kickx 5", "x", "5 kick", "KICK 5", "forwards 5 :1 :1"] {
            assert_eq!(Command::parse(text), Err(Unknown), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            let _ = Arguments::parse(&text);
            let _ = Command::parse(&text);
        }

        #[test]
        fn any_parameters_are_read_or_refused(word in "[kfbsc]", rest in "[ :0-9a-fx.\u{e9}-]{0,30}") {
            let text = format!("{word} {rest}");
            prop_assert!(Command::parse(&text).is_ok(), "{}", text);
        }
    }
}
