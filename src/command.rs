//! The commands of `skynet_command`, as text: what `skynet.core.command` and C modules speak.

use std::time::Duration;

use crate::context::Context;
use crate::handle::Handle;

/// Runs a command; the result is text, or nothing.
///
/// # Errors
/// Only `SETENV` has one: a key is set once.
pub(crate) fn run(
    ctx: &mut Context<'_>,
    command: &str,
    parameter: Option<&str>,
) -> Result<Option<String>, crate::env::KeyExists> {
    let text = parameter.unwrap_or_default();
    Ok(match command {
        "TIMEOUT" => Some(timeout(ctx, text).to_string()),
        "REG" => register(ctx, text),
        "QUERY" => text.strip_prefix('.').and_then(|_| ctx.query(text)).map(short),
        "NAME" => name(ctx, text),
        "EXIT" => {
            ctx.exit();
            None
        }
        "KILL" => {
            if let Some(handle) = address(ctx, text) {
                ctx.kill(handle);
            }
            None
        }
        "LAUNCH" => {
            let (module, args) = text.split_once(' ').unwrap_or((text, ""));
            match ctx.launch(module, args) {
                Ok(handle) => Some(format!(":{:08X}", handle.as_u32())),
                Err(why) => {
                    ctx.log(format!("error: cannot launch {text:?}: {why}"));
                    None
                }
            }
        }
        "GETENV" => ctx.env(text),
        "SETENV" => {
            let (key, value) = text.split_once(' ').unwrap_or((text, ""));
            ctx.set_env(key, value)?;
            None
        }
        "STARTTIME" => Some(ctx.clock().unix_start().as_secs().to_string()),
        "ABORT" => {
            ctx.abort();
            None
        }
        "MONITOR" if text.is_empty() => ctx.exit_monitor().map(short),
        "MONITOR" => {
            if let Some(handle) = address(ctx, text) {
                ctx.set_exit_monitor(handle);
            }
            None
        }
        "STAT" => Some(stat(ctx, text)),
        "LOGON" | "LOGOFF" => {
            if let Some(handle) = address(ctx, text) {
                ctx.message_log(handle, command == "LOGON");
            }
            None
        }
        "SIGNAL" => {
            signal(ctx, text);
            None
        }
        _ => None,
    })
}

/// The form of handles in results.
fn short(handle: Handle) -> String {
    format!(":{:x}", handle.as_u32())
}

fn address(ctx: &Context<'_>, text: &str) -> Option<Handle> {
    let handle = ctx.query(text);
    if handle.is_none() && !text.starts_with('.') {
        // Matched by log readers: keep the words.
        ctx.log(format!("error: Can't convert {text} to handle"));
    }
    handle
}

fn timeout(ctx: &mut Context<'_>, text: &str) -> i32 {
    let centiseconds = text.parse::<i64>().map_or(0, |number| number as i32);
    let delay = Duration::from_millis(u64::try_from(centiseconds).unwrap_or(0) * 10);
    let session = ctx.new_session();
    ctx.timeout_in_ticks(session, delay);
    session.get()
}

fn register(ctx: &mut Context<'_>, text: &str) -> Option<String> {
    if text.is_empty() {
        return Some(short(ctx.handle()));
    }
    if !text.starts_with('.') {
        // Matched by log readers: keep the words.
        ctx.log(format!("error: Can't register global name {text} in C"));
        return None;
    }
    ctx.register(text).then(|| text[1..].to_owned())
}

fn name(ctx: &mut Context<'_>, text: &str) -> Option<String> {
    let (name, handle) = text.split_once(' ')?;
    let handle: Handle = handle.parse().ok().filter(|handle: &Handle| !handle.is_none())?;
    if !name.starts_with('.') {
        // Matched by log readers: keep the words.
        ctx.log(format!("error: Can't set global name {name} in C"));
        return None;
    }
    ctx.register_for(name, handle).then(|| name[1..].to_owned())
}

fn stat(ctx: &mut Context<'_>, key: &str) -> String {
    if key == "endless" {
        return u8::from(ctx.take_endless()).to_string();
    }
    let stat = ctx.stat(ctx.handle()).unwrap_or_default();
    match key {
        "mqlen" => stat.mailbox_len.to_string(),
        "cpu" => format!("{:.6}", stat.cpu.as_secs_f64()),
        "time" if stat.dispatch.is_zero() => "0".to_owned(),
        "time" => format!("{:.6}", stat.dispatch.as_secs_f64()),
        "message" => stat.messages.to_string(),
        _ => String::new(),
    }
}

fn signal(ctx: &mut Context<'_>, text: &str) {
    let (to, number) = text.split_once(' ').unwrap_or((text, "0"));
    let Some(handle) = address(ctx, to) else { return };
    let number = number.trim();
    // The number may say its base by a prefix, as in C.
    let number = match number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")) {
        Some(hex) => i32::from_str_radix(hex, 16),
        None => match number.strip_prefix('0').filter(|rest| !rest.is_empty()) {
            Some(octal) => i32::from_str_radix(octal, 8),
            None => number.parse(),
        },
    };
    ctx.signal(handle, number.unwrap_or(0));
}
