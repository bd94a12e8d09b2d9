//! [`MessageLog`]: the file into which a service's messages are written while somebody watches it (`LOGON`).

use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::Node;
use crate::handle::Handle;
use crate::host::Host;
use crate::message::{Message, Session};
use crate::socket::{SocketData, SocketEvent};
use crate::sync::lock;

/// The log of one service's messages; off until somebody turns it on.
#[derive(Default)]
pub(super) struct MessageLog {
    on: AtomicBool,
    file: Mutex<Option<Box<File>>>,
}

impl MessageLog {
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// Opens `<logpath>/<handle>.log`, in the name of `handle`. Without a `logpath` nothing happens.
    pub(super) fn open(&self, node: &Node, handle: Handle) {
        let mut file = lock(&self.file);
        let Some(folder) = node.env("logpath") else { return };
        if file.is_some() {
            return;
        }
        let path = Path::new(&folder).join(format!("{:08x}.log", handle.as_u32()));
        // Matched by log readers: keep the words.
        match OpenOptions::new().append(true).create(true).open(&path) {
            Ok(mut opened) => {
                node.log(handle, format!("Open log file {}", path.display()).as_bytes());
                let clock = node.clock();
                let seconds = clock.unix_start().as_secs() + clock.centiseconds() / 100;
                let date = crate::date::ctime(seconds);
                let _ = writeln!(opened, "open time: {} {date}", clock.centiseconds());
                *file = Some(Box::new(opened));
                self.on.store(true, Relaxed);
            }
            Err(_) => node.log(handle, format!("Open log file {} fail", path.display()).as_bytes()),
        }
    }

    pub(super) fn close(&self, node: &Node, handle: Handle) {
        let Some(mut file) = lock(&self.file).take() else { return };
        self.on.store(false, Relaxed);
        let _ = writeln!(file, "close time: {}", node.clock().centiseconds());
        node.log(handle, format!("Close log file {handle}").as_bytes());
    }

    pub(super) fn write(&self, node: &Node, message: &Message) {
        if let Some(event) = message.payload.downcast_ref::<SocketEvent>() {
            return self.write_line(&socket_line(event));
        }
        let mut line = format!(
            "{} {} {} {} ",
            message.source,
            message.kind.0,
            Session::number(message.session),
            node.clock().centiseconds()
        );
        push_hex(&mut line, message.payload.as_bytes());
        self.write_line(&line);
    }

    fn write_line(&self, line: &str) {
        if let Some(file) = lock(&self.file).as_mut() {
            // A full disk must not stop the service that is watched.
            let _ = file.write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// What happened to a socket: `[socket] type id ud`, and the text in brackets or the bytes.
fn socket_line(event: &SocketEvent) -> String {
    let mut line = format!("[socket] {} {} {} ", event.kind as u8, event.id, event.ud);
    match &event.data {
        SocketData::Text(text) => {
            let _ = write!(line, "[{text}]");
        }
        SocketData::Bytes(_) | SocketData::Datagram(..) => push_hex(&mut line, event.as_bytes()),
    }
    line
}

fn push_hex(line: &mut String, bytes: &[u8]) {
    for byte in bytes {
        let _ = write!(line, "{byte:02x}");
    }
}
