//! `skynet.core`: what the Lua library asks of the node. Thin words over [`crate::Context`]; the behaviour lives there.
//!
//! The native dispatcher does not need it, but older projects carry a dispatcher in Lua over `callback`.
//! Annotations: lualib/meta/skynet_core.lua.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::c_int;

use super::send::{self, Target};
use crate::command;
use crate::handle::Handle;
use crate::host::SendError;
use crate::lua::kernel::{Kernel, Mode};
use crate::lua::raw::entry::{kernel_of, unpack as unpack_bytes};
use crate::lua::raw::{Binding, Call, Raise, Returned, bytes_at, entry, ffi, lua_State, push_module};
use crate::lua::seri;
use crate::message::{Message, MessageKind, Payload, Session};

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"send", entry!(send)),
    (c"redirect", entry!(redirect)),
    (c"genid", entry!(genid)),
    (c"command", entry!(command)),
    (c"intcommand", entry!(int_command)),
    (c"addresscommand", entry!(address_command)),
    (c"error", error),
    (c"harbor", entry!(harbor)),
    (c"callback", callback),
    (c"trace", entry!(trace)),
    (c"tostring", tostring),
    (c"pack", entry!(pack)),
    (c"unpack", unpack),
    (c"packstring", packstring),
    (c"trash", entry!(trash)),
    (c"now", entry!(now)),
    (c"hpc", entry!(hpc)),
];

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

/// Reads (kind, session or nil, payload...) from `index` on; the flag says that a session is wanted.
fn message(call: &mut Call, source: Option<Handle>, index: c_int) -> Result<Message, Raise> {
    let kind = send::kind(call, index)?;
    let session = if call.is_none_or_nil(index + 1) {
        // SAFETY: the kernel outlives the call.
        unsafe { (*call.kernel).new_session() }
    } else {
        Session::new(call.int(index + 1)? as i32)
    };
    let payload = send::some_payload(call, index + 2)?;
    let source = match source {
        Some(source) => source,
        None => call.context()?.handle(),
    };
    Ok(Message { source, session, kind, payload })
}

fn sent(call: &mut Call, session: Option<Session>, result: Result<(), SendError>) -> Returned {
    match result {
        Ok(()) => call.push_int(Session::number(session).into()),
        Err(SendError::TooLarge { .. }) => call.push_bool(false),
        // Matched by lualib: no result means no such address.
        Err(_) => Returned::Values(0),
    }
}

/// `send(address, kind, session?, message, size?) -> session`
fn send(call: &mut Call) -> Result<Returned, Raise> {
    let to = send::target(call, 1)?;
    let message = message(call, None, 2)?;
    let session = message.session;
    let result = send::send(call, &to, message)?;
    Ok(sent(call, session, result))
}

/// `redirect(address, source, kind, session?, message, size?) -> session`
fn redirect(call: &mut Call) -> Result<Returned, Raise> {
    let to = send::target(call, 1)?;
    let source = Handle::from_u32(call.int(2)? as u32);
    let message = message(call, Some(source), 3)?;
    let session = message.session;
    let result = send::send(call, &to, message)?;
    Ok(sent(call, session, result))
}

/// `genid() -> session`
pub(super) fn genid(call: &mut Call) -> Result<Returned, Raise> {
    call.context()?;
    // SAFETY: the kernel outlives the call.
    let session = unsafe { (*call.kernel).new_session() };
    Ok(call.push_int(Session::number(session).into()))
}

fn run_command(call: &mut Call) -> Result<Option<String>, Raise> {
    let name = call.text(1)?;
    let parameter = if call.is_none_or_nil(2) { None } else { Some(call.exact_text(2)?) };
    command::run(call.context()?, &name, parameter.as_deref()).map_err(Raise::text)
}

/// `command(name, parameter?) -> result?`
fn command(call: &mut Call) -> Result<Returned, Raise> {
    Ok(match run_command(call)? {
        Some(result) => call.give(result),
        None => Returned::Values(0),
    })
}

/// `intcommand(name, parameter?) -> number?`
fn int_command(call: &mut Call) -> Result<Returned, Raise> {
    let Some(result) = (match call.opt_int(2) {
        Some(number) if call.kind(2) == ffi::LUA_TNUMBER => {
            let name = call.text(1)?;
            command::run(call.context()?, &name, Some(&(number as i32).to_string())).map_err(Raise::text)?
        }
        _ => run_command(call)?,
    }) else {
        return Ok(Returned::Values(0));
    };
    if let Ok(number) = result.parse::<i64>() {
        return Ok(call.push_int(number));
    }
    // Matched by programs: keep the words.
    let number: f64 = result.parse().map_err(|_| Raise::Text(format!("Invalid result {result}")))?;
    Ok(call.push_number(number))
}

/// `addresscommand(name, parameter?) -> handle?`
fn address_command(call: &mut Call) -> Result<Returned, Raise> {
    let handle = run_command(call)?.and_then(|result| result.parse::<Handle>().ok());
    Ok(call.push_handle(handle.filter(|handle| !handle.is_none())))
}

/// `error(...)`: a log line of the arguments, joined by spaces.
pub(super) unsafe extern "C-unwind" fn error(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; while `luaL_tolstring` may raise, nothing here owns memory.
    unsafe {
        for index in 1..=ffi::lua_gettop(state) {
            ffi::luaL_checkstack(state, 2, std::ptr::null());
            ffi::luaL_tolstring(state, index, std::ptr::null_mut());
            ffi::lua_replace(state, index);
        }
        entry!(log_arguments)(state)
    }
}

fn log_arguments(call: &mut Call) -> Result<Returned, Raise> {
    let mut line = Vec::new();
    for index in 1..=call.top() {
        if index > 1 {
            line.push(b' ');
        }
        line.extend_from_slice(call.bytes(index)?);
    }
    call.context()?.log(line);
    Ok(Returned::Values(0))
}

/// `harbor(handle) -> id, is_remote`
pub(super) fn harbor(call: &mut Call) -> Result<Returned, Raise> {
    let handle = Handle::from_u32(call.int(1)? as u32);
    let remote = call.context()?.is_remote(handle);
    call.push_int(handle.harbor().into());
    call.push_bool(remote);
    Ok(Returned::Values(2))
}

/// `callback(function, forward?)`: from the next message on, the function gets each as
/// `(kind, pointer, size, session, source)`. With `forward` the pointer becomes its own.
unsafe extern "C-unwind" fn callback(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; nothing here owns memory.
    unsafe {
        ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
        let keep = ffi::lua_toboolean(state, 2) != 0;
        ffi::lua_settop(state, 1);
        let function = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
        let kernel = kernel_of(state);
        if let Mode::Callback { function: before, .. } = (*kernel).mode {
            ffi::luaL_unref(state, ffi::LUA_REGISTRYINDEX, before);
        }
        (*kernel).mode = Mode::Callback { function, keep };
        // Such a dispatcher keeps its own book of requests, which the kernel cannot read.
        if let Some(ctx) = (*kernel).context() {
            ctx.track_requests();
        }
        0
    }
}

/// `trace(tag, text, thread?, level?)`: a trace line with the frames of a coroutine.
pub(super) fn trace(call: &mut Call) -> Result<Returned, Raise> {
    let tag = call.bytes(1)?.to_vec();
    let text = call.text(2)?;
    // SAFETY: the kernel outlives the call; a thread argument stays on the stack meanwhile.
    unsafe {
        let (state, level_at, level) = match call.kind(3) {
            ffi::LUA_TTHREAD => (ffi::lua_tothread(call.state, 3), 4, 0),
            _ => (call.state, 3, 1),
        };
        let level = call.opt_int(level_at).map_or(level, |level| level as i32);
        Kernel::trace_line(call.kernel, Some((state, level)), &tag, &text);
    }
    Ok(Returned::Values(0))
}

/// `tostring(pointer, size) -> string?`
pub(super) unsafe extern "C-unwind" fn tostring(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; the (pointer, size) pair is the caller's promise, as with every C module.
    unsafe {
        if ffi::lua_type(state, 1) <= ffi::LUA_TNIL {
            return 0;
        }
        let data = ffi::lua_touserdata(state, 1);
        let len = usize::try_from(ffi::luaL_checkinteger(state, 2)).unwrap_or(0);
        if data.is_null() {
            ffi::lua_pushlstring(state, c"".as_ptr(), 0);
        } else {
            ffi::lua_pushlstring(state, data.cast(), len);
        }
        1
    }
}

/// `pack(...) -> pointer, size`
pub(super) fn pack(call: &mut Call) -> Result<Returned, Raise> {
    let (data, len) = send::pack(call, 1)?.into_raw();
    // SAFETY: a C function has free stack slots, and neither value allocates.
    unsafe { ffi::lua_pushlightuserdata(call.state, data) };
    call.push_int(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(Returned::Values(2))
}

/// `packstring(...) -> string`
pub(super) unsafe extern "C-unwind" fn packstring(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it.
    unsafe { entry!(pack_to_scratch)(state) }
}

fn pack_to_scratch(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the state is the one that Lua called with.
    let bytes = unsafe { seri::pack_with(call.state, 1, <[u8]>::to_vec) }.map_err(send::pack_error)?;
    Ok(call.give(bytes))
}

/// `unpack(string)` or `unpack(pointer, size) -> ...`
pub(super) unsafe extern "C-unwind" fn unpack(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; nothing here owns memory. The string stays on the stack meanwhile.
    unsafe {
        let (data, len) = match ffi::lua_type(state, 1) {
            ffi::LUA_TNONE | ffi::LUA_TNIL => return 0,
            ffi::LUA_TSTRING => {
                let bytes = bytes_at(state, 1).unwrap_or_default();
                (bytes.as_ptr(), bytes.len())
            }
            _ => {
                let data = ffi::lua_touserdata(state, 1).cast::<u8>().cast_const();
                let len = usize::try_from(ffi::luaL_checkinteger(state, 2)).unwrap_or(0);
                if data.is_null() && len != 0 {
                    ffi::luaL_error(state, c"deserialize null pointer".as_ptr());
                }
                (data, len)
            }
        };
        if len == 0 {
            return 0;
        }
        ffi::lua_settop(state, 1);
        unpack_bytes(state, data, len)
    }
}

/// `trash(message, size)`: frees a (pointer, size) pair; a string is left alone.
pub(super) fn trash(call: &mut Call) -> Result<Returned, Raise> {
    match call.kind(1) {
        ffi::LUA_TLIGHTUSERDATA => drop(send::payload(call, 1)?),
        ffi::LUA_TSTRING => {}
        // Matched by programs: keep the words.
        _ => return Err(Raise::Text(format!("skynet.trash invalid param {}", call.type_name(1)))),
    }
    Ok(Returned::Values(0))
}

/// `now() -> centiseconds`
pub(super) fn now(call: &mut Call) -> Result<Returned, Raise> {
    let now = call.context()?.clock().centiseconds();
    Ok(call.push_int(i64::try_from(now).unwrap_or(i64::MAX)))
}

/// `hpc() -> nanoseconds`
pub(super) fn hpc(call: &mut Call) -> Result<Returned, Raise> {
    let now = call.context()?.clock().now_ns();
    Ok(call.push_int(i64::try_from(now).unwrap_or(i64::MAX)))
}

/// Sends a plain message in the service's name, for the modules beside this one.
pub(super) fn send_text(call: &mut Call, to: Handle, kind: MessageKind, text: &[u8]) -> Result<(), Raise> {
    let source = call.context()?.handle();
    let message = Message { source, session: None, kind, payload: Payload::copy_from(text) };
    let _ = call.context()?.send_as(to, message);
    Ok(())
}

/// Whom an address names, if it is a service of this node or a handle.
pub(super) fn handle_of(target: &Target) -> Handle {
    match target {
        Target::Handle(handle) => *handle,
        Target::Global(_) | Target::Nobody => Handle::NONE,
    }
}
