//! `skynet.netpack`: packages behind their length in two bytes, for gates in Lua. The cutting itself is in `netpack.rs`.
//!
//! A package is a (pointer, size) pair that belongs to Lua: it is handed on, or freed by `tostring`.
//! Lua face: lualib/snax/gateserver.lua. Annotations: lualib/meta/skynet_netpack.lua.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::borrow::Cow;
use std::ffi::{CStr, c_int};

use super::socket_event;
use crate::lua::raw::entry::{kernel_of, raise_text};
use crate::lua::raw::userdata::{self, UserData};
use crate::lua::raw::{Binding, Call, Raise, Returned, entry, ffi, lua_State, push_module};
use crate::message::Payload;
use crate::netpack::{Fed, Queue};
use crate::socket::SocketEventKind;

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"filter", filter),
    (c"pop", entry!(pop)),
    (c"pack", entry!(pack)),
    (c"clear", entry!(clear)),
    (c"tostring", tostring),
];

/// The names of the events; the upvalues of `filter`, since it needs one with nearly every message.
const EVENTS: [&CStr; 7] = [c"data", c"more", c"open", c"close", c"error", c"warning", c"init"];
const DATA: c_int = 1;
const MORE: c_int = 2;
const OPEN: c_int = 3;
const CLOSE: c_int = 4;
const ERROR: c_int = 5;
const WARNING: c_int = 6;
const INIT: c_int = 7;

impl UserData for Queue {
    const NAME: &'static CStr = c"skynet.netpack.queue";
}

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe {
        push_module(state, FUNCTIONS);
        for event in EVENTS {
            ffi::lua_pushstring(state, event.as_ptr());
        }
        ffi::lua_pushcclosure(state, filter, EVENTS.len() as c_int);
        ffi::lua_setfield(state, -2, c"filter".as_ptr());
    }
    1
}

/// The queue at an index; nothing for nil.
fn queue(call: &mut Call, index: c_int) -> Result<Option<&mut Queue>, Raise> {
    if call.is_none_or_nil(index) {
        return Ok(None);
    }
    // SAFETY: the value stays on the stack during the call, and each function asks for it once.
    let queue = unsafe { userdata::get::<Queue>(call.state, index) };
    queue.map(Some).ok_or_else(|| {
        Raise::argument(index, &format!("a queue of netpack expected, got {}", call.type_name(index)))
    })
}

/// `filter(queue?, message, size) -> queue?, event?, ...`
unsafe extern "C-unwind" fn filter(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; nothing here owns memory.
    unsafe {
        ffi::lua_settop(state, 3);
        let is_data = socket_event::find(state, 2).is_some_and(|event| event.kind == SocketEventKind::Data);
        if is_data && ffi::lua_type(state, 1) == ffi::LUA_TNIL {
            userdata::push(state, Queue::default);
            ffi::lua_replace(state, 1);
        }
        entry!(event)(state)
    }
}

fn event(call: &mut Call) -> Result<Returned, Raise> {
    let event = socket_event::socket_event(call, 2)?;
    let (kind, id, ud, payload) = (event.kind, event.id.get(), event.ud, event.take_bytes());
    let text = event.as_text().as_bytes().to_vec();
    match kind {
        SocketEventKind::Data => match queue(call, 1)?.map(|queue| queue.feed(id, payload)) {
            Some(Fed::One(package)) => {
                push_event(call, DATA);
                Ok(push_package(call, 2, id, package))
            }
            Some(Fed::More) => Ok(push_event(call, MORE)),
            Some(Fed::Nothing) | None => Ok(push_queue(call)),
        },
        SocketEventKind::Accept => push_with_text(call, OPEN, ud, text, push_text),
        SocketEventKind::Close => {
            if let Some(queue) = queue(call, 1)? {
                queue.forget(id);
            }
            push_event(call, CLOSE);
            call.push_int(id.into());
            Ok(Returned::Values(3))
        }
        SocketEventKind::Error => {
            // No more data of it is to come.
            if let Some(queue) = queue(call, 1)? {
                queue.forget(id);
            }
            push_with_text(call, ERROR, id, text, push_text)
        }
        SocketEventKind::Warning => {
            push_event(call, WARNING);
            call.push_int(id.into());
            call.push_int(ud.into());
            Ok(Returned::Values(4))
        }
        SocketEventKind::Connect => {
            // The port waits below, in place of the message's size.
            call.push_int(ud.into());
            // SAFETY: the three arguments are on the stack.
            unsafe { ffi::lua_replace(call.state, 3) };
            push_with_text(call, INIT, id, text, push_text_and_port)
        }
        SocketEventKind::Udp => Ok(push_queue(call)),
    }
}

fn push_queue(call: &mut Call) -> Returned {
    // SAFETY: a C function has free stack slots, and copying a value takes no memory.
    unsafe { ffi::lua_pushvalue(call.state, 1) };
    Returned::Values(1)
}

/// Pushes the queue and the name of an event.
fn push_event(call: &mut Call, event: c_int) -> Returned {
    push_queue(call);
    // SAFETY: as in `push_queue`; it is one of the upvalues.
    unsafe { ffi::lua_pushvalue(call.state, ffi::lua_upvalueindex(event)) };
    Returned::Values(2)
}

/// Pushes a package, behind so many values.
fn push_package(call: &mut Call, before: c_int, fd: i32, package: Payload) -> Returned {
    let (data, len) = package.into_raw();
    call.push_int(fd.into());
    // SAFETY: as in `push_queue`.
    unsafe { ffi::lua_pushlightuserdata(call.state, data) };
    call.push_int(i64::try_from(len).unwrap_or(i64::MAX));
    Returned::Values(before + 3)
}

/// Pushes an event and a connection; the text follows when the body is over, since that may raise.
fn push_with_text(
    call: &mut Call,
    event: c_int,
    fd: i32,
    text: Vec<u8>,
    then: ffi::lua_CFunction,
) -> Result<Returned, Raise> {
    push_event(call, event);
    call.push_int(fd.into());
    // SAFETY: the kernel outlives the call.
    unsafe { (*call.kernel).scratch = text };
    Ok(Returned::Then(then))
}

/// Adds the text in the kernel's scratch buffer to three values.
unsafe extern "C-unwind" fn push_text(state: *mut lua_State) -> c_int {
    // SAFETY: only the body of `filter` goes on here; nothing here owns memory.
    unsafe {
        let scratch: *const Vec<u8> = &raw const (*kernel_of(state)).scratch;
        ffi::lua_pushlstring(state, (*scratch).as_ptr().cast(), (*scratch).len());
    }
    4
}

unsafe extern "C-unwind" fn push_text_and_port(state: *mut lua_State) -> c_int {
    // SAFETY: as in `push_text`; `event` has put the port at 3.
    unsafe {
        push_text(state);
        ffi::lua_pushvalue(state, 3);
    }
    5
}

/// `pop(queue?) -> fd?, data, size`
fn pop(call: &mut Call) -> Result<Returned, Raise> {
    match queue(call, 1)?.and_then(Queue::pop) {
        Some((fd, package)) => Ok(push_package(call, 0, fd, package)),
        None => Ok(Returned::Values(0)),
    }
}

/// `pack(data)` or `pack(pointer, size) -> pointer, size`: a new block, with the length before the bytes.
fn pack(call: &mut Call) -> Result<Returned, Raise> {
    let bytes = bytes_or_block(call, 1)?;
    let Ok(len) = u16::try_from(bytes.len()) else {
        // Matched by programs: keep the words.
        return Err(Raise::Text(format!("Invalid size (too long) of data : {}", bytes.len())));
    };
    let (data, len) = Payload::join(&len.to_be_bytes(), &bytes).into_raw();
    // SAFETY: as in `push_queue`.
    unsafe { ffi::lua_pushlightuserdata(call.state, data) };
    call.push_int(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(Returned::Values(2))
}

/// A string, or the bytes of a (pointer, size) pair, which stays the caller's.
fn bytes_or_block(call: &Call, index: c_int) -> Result<Cow<'_, [u8]>, Raise> {
    let kind = call.kind(index);
    match kind {
        ffi::LUA_TLIGHTUSERDATA | ffi::LUA_TUSERDATA => {
            let len = call.int(index + 1)?;
            // SAFETY: it is userdata.
            let (data, room) = unsafe {
                (
                    ffi::lua_touserdata(call.state, index).cast::<u8>(),
                    ffi::lua_rawlen(call.state, index) as usize,
                )
            };
            let room = if kind == ffi::LUA_TUSERDATA { room } else { usize::MAX };
            let len = usize::try_from(len).ok().filter(|len| *len <= room && (!data.is_null() || *len == 0));
            let len = len.ok_or_else(|| Raise::argument(index + 1, "a size within the block expected"))?;
            if len == 0 {
                return Ok(Cow::Borrowed(&[]));
            }
            // SAFETY: so many bytes are there: Lua says so of its own block, and whoever hands over a pair promises it.
            Ok(Cow::Borrowed(unsafe { std::slice::from_raw_parts(data, len) }))
        }
        ffi::LUA_TNUMBER => Ok(Cow::Owned(call.text(index)?.into_bytes())),
        _ => call.bytes(index).map(Cow::Borrowed),
    }
}

/// `clear(queue?)`
fn clear(call: &mut Call) -> Result<Returned, Raise> {
    if let Some(queue) = queue(call, 1)? {
        queue.clear();
    }
    Ok(Returned::Values(0))
}

/// `tostring(pointer, size) -> string`: frees the block.
unsafe extern "C-unwind" fn tostring(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; nothing here owns memory. The (pointer, size) pair is the caller's promise, as with every C
    // module.
    unsafe {
        if ffi::lua_type(state, 1) != ffi::LUA_TLIGHTUSERDATA && ffi::lua_type(state, 1) > ffi::LUA_TNIL {
            raise_text(state, format_args!("bad argument #1 (a pointer expected)"));
        }
        let data = ffi::lua_touserdata(state, 1);
        let len = ffi::luaL_checkinteger(state, 2);
        if data.is_null() {
            ffi::lua_pushlstring(state, c"".as_ptr(), 0);
            return 1;
        }
        let Ok(len) = usize::try_from(len) else {
            raise_text(state, format_args!("bad argument #2 (a size, not {len})"));
        };
        // The kernel holds the block meanwhile: there may be no memory for the string.
        let kernel = kernel_of(state);
        (*kernel).lent = Payload::from_raw(data, len);
        ffi::lua_pushlstring(state, data.cast(), len);
        (*kernel).lent = Payload::empty();
        1
    }
}
