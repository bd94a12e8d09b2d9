//! Arguments that the modules share: addresses, kinds and payloads.

use std::ffi::c_int;

use crate::handle::Handle;
use crate::host::SendError;
use crate::lua::kernel::protocol::Protocol;
use crate::lua::raw::{Call, Raise, ffi};
use crate::lua::seri::{self, PackError};
use crate::message::{Message, MessageKind, Payload};

/// Whom a message is for, as Lua code says it.
pub(crate) enum Target {
    Handle(Handle),
    /// A name that harbor has to find.
    Global(String),
    /// A local name that nobody has.
    Nobody,
}

/// Reads an address: a handle, a numeric string, `.name`, `:hex`, or a global name.
#[inline]
pub(crate) fn target(call: &mut Call, index: c_int) -> Result<Target, Raise> {
    match call.kind(index) {
        ffi::LUA_TNUMBER => match call.opt_int(index).unwrap_or(0) as u32 {
            0 => Err(Raise::text("Invalid service address 0")),
            handle => Ok(Target::Handle(Handle::from_u32(handle))),
        },
        ffi::LUA_TSTRING => named_target(call, index),
        // Matched by programs: keep the words.
        _ => Err(Raise::Text(format!(
            "dest address type ({}) must be a string or number.",
            call.type_name(index)
        ))),
    }
}

fn named_target(call: &mut Call, index: c_int) -> Result<Target, Raise> {
    if let Some(handle) = call.opt_int(index).map(|number| number as u32)
        && handle != 0
    {
        return Ok(Target::Handle(Handle::from_u32(handle)));
    }
    let name = call.text(index)?;
    Ok(match name.as_bytes().first() {
        Some(b'.') => call.context()?.query(&name).map_or(Target::Nobody, Target::Handle),
        Some(b':') => {
            let digits = &name[1..];
            let end = digits.find(|digit: char| !digit.is_ascii_hexdigit()).unwrap_or(digits.len());
            match u32::from_str_radix(&digits[..end], 16) {
                Ok(handle) if handle != 0 => Target::Handle(Handle::from_u32(handle)),
                _ => Target::Nobody,
            }
        }
        None => return Err(Raise::text("Invalid service address 0")),
        Some(_) => Target::Global(name),
    })
}

/// Sends to a target; nobody answers for a name that nobody has.
#[inline]
pub(crate) fn send(
    call: &mut Call,
    target: &Target,
    message: Message,
) -> Result<Result<(), SendError>, Raise> {
    Ok(match target {
        Target::Handle(handle) => call.context()?.send_as(*handle, message),
        Target::Global(name) => call.context()?.send_global(name, message),
        Target::Nobody => Err(SendError::NoService(Handle::NONE)),
    })
}

/// Reads a payload: a string is copied, a (pointer, size) pair is taken over, nothing is empty.
pub(crate) fn payload(call: &Call, index: c_int) -> Result<Payload, Raise> {
    match call.kind(index) {
        ffi::LUA_TSTRING => Ok(Payload::copy_from(call.opt_bytes(index).unwrap_or_default())),
        ffi::LUA_TLIGHTUSERDATA => {
            let len = call.int(index + 1)?;
            let len = usize::try_from(len)
                .map_err(|_| Raise::argument(index + 1, &format!("a size, not {len}")))?;
            // SAFETY: the (pointer, size) contract of skynet: the block comes from `skynet.pack` or a C module's
            // `malloc`, and whoever hands it to a send gives it away.
            Ok(unsafe { Payload::from_raw(ffi::lua_touserdata(call.state, index), len) })
        }
        ffi::LUA_TNIL | ffi::LUA_TNONE => Ok(Payload::empty()),
        // Matched by programs: keep the words.
        _ => Err(Raise::Text(format!("invalid param {}", call.type_name(index)))),
    }
}

/// The same where there has to be one.
pub(crate) fn some_payload(call: &Call, index: c_int) -> Result<Payload, Raise> {
    if call.is_none_or_nil(index) {
        return Err(Raise::Text(format!(
            "invalid param {}",
            call.type_name(index).replace("no value", "nil")
        )));
    }
    payload(call, index)
}

/// Reads the number of a message kind.
pub(crate) fn kind(call: &Call, index: c_int) -> Result<MessageKind, Raise> {
    let number = call.int(index)?;
    u8::try_from(number)
        .map(MessageKind)
        .map_err(|_| Raise::argument(index, &format!("a message type from 0 to 255, not {number}")))
}

/// The protocol that a name or a number stands for.
#[inline]
pub(crate) fn protocol(call: &Call, index: c_int) -> Result<&Protocol, Raise> {
    // SAFETY: the kernel outlives the call, and nothing changes its protocols while the reference is used.
    let protocols = unsafe { &(*call.kernel).protocols };
    let found = match call.opt_bytes(index) {
        Some(name) => protocols.by_name(name),
        None => call
            .opt_int(index)
            .and_then(|number| u8::try_from(number).ok())
            .map(MessageKind)
            .and_then(|kind| protocols.get(kind)),
    };
    found.ok_or_else(|| match call.opt_bytes(index) {
        Some(name) => {
            Raise::Text(format!("no protocol is registered as {:?}", String::from_utf8_lossy(name)))
        }
        None if call.opt_int(index).is_some() => {
            Raise::Text(format!("no protocol is registered under {}", call.opt_int(index).unwrap_or(0)))
        }
        None => Raise::argument(index, &format!("the name of a protocol, not a {}", call.type_name(index))),
    })
}

/// Packs the values from `first` to the top.
#[inline]
pub(crate) fn pack(call: &Call, first: c_int) -> Result<Payload, Raise> {
    // SAFETY: the state is the one that Lua called with.
    unsafe { seri::pack(call.state, first) }.map_err(pack_error)
}

pub(crate) fn pack_error(error: PackError) -> Raise {
    match error {
        PackError::Lua => Raise::Top,
        other => Raise::Text(other.to_string()),
    }
}
