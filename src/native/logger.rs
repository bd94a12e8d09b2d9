//! [`Logger`]: the log service: every text message is one line, on the standard output or in a file.

use std::fs::{File, OpenOptions};
use std::io::Write;

use crate::context::Context;
use crate::message::{Message, MessageKind};
use crate::service::{Service, ServiceError};

/// The log service. Its argument is the file to append to; without one it writes to the standard output.
pub(super) struct Logger {
    path: Option<String>,
    file: Option<File>,
    line: Vec<u8>,
    /// The second whose date `date` is.
    second: u64,
    date: String,
}

impl Logger {
    pub(super) fn new(args: &str) -> Logger {
        let path = (!args.is_empty()).then(|| args.to_owned());
        Logger { path, file: None, line: Vec::new(), second: u64::MAX, date: String::new() }
    }

    fn open(&mut self) -> Result<(), ServiceError> {
        if let Some(path) = &self.path {
            let file = OpenOptions::new().append(true).create(true).open(path);
            self.file = Some(file.map_err(|why| format!("cannot open log file {path:?}: {why}"))?);
        }
        Ok(())
    }

    fn write(&mut self, ctx: &Context<'_>, message: &Message) {
        self.line.clear();
        // Writing into a Vec cannot fail.
        if self.file.is_some() {
            let now = ctx.clock().centiseconds();
            let second = ctx.clock().unix_start().as_secs() + now / 100;
            if second != self.second {
                self.date = crate::date::log_date(second);
                self.second = second;
            }
            let _ = write!(self.line, "{}.{:02} ", self.date, now % 100);
        }
        let _ = write!(self.line, "[{}] ", message.source);
        self.line.extend_from_slice(message.payload.as_bytes());
        self.line.push(b'\n');
        // There is nobody left to tell that the log cannot be written.
        let _ = match &mut self.file {
            Some(file) => file.write_all(&self.line),
            None => {
                let mut out = std::io::stdout().lock();
                out.write_all(&self.line).and_then(|()| out.flush())
            }
        };
        if self.line.capacity() > 1 << 20 {
            self.line = Vec::new();
        }
    }
}

impl Service for Logger {
    fn init(&mut self, _ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        self.open()
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        match message.kind {
            MessageKind::TEXT => self.write(ctx, &message),
            // The file may have been moved away: go on in a new one. If that fails, the old one is better than none.
            MessageKind::SYSTEM => self.open()?,
            _ => {}
        }
        Ok(())
    }
}
