//! `skynet.httpcodec`: the parts of HTTP and WebSocket that are not for Lua: heads, chunks, frames, keys.
//!
//! Thin words over [`crate::http`]. Lua face: lualib/http. Annotations: lualib/meta/skynet_httpcodec.lua.
//!
//! A body decodes into the kernel's scratch buffer and pushes numbers; the bare function behind it (`Returned::Then`) makes
//! strings and tables of that, when nothing is owned any more.

use std::ffi::c_int;

use crate::http::{chunked, frame, handshake, head};
use crate::lua::raw::entry::kernel_of;
use crate::lua::raw::{Binding, Call, Raise, Returned, bytes_at, entry, ffi, lua_State, push_module};

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"request", entry!(request)),
    (c"response", entry!(response)),
    (c"fields", entry!(fields)),
    (c"chunks", entry!(chunks)),
    (c"frame", entry!(frame)),
    (c"encode", entry!(encode)),
    (c"accept", entry!(accept)),
    (c"key", entry!(key)),
    (c"mask", entry!(mask)),
];

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

/// Strings one behind the other, each with its length before it.
#[derive(Default)]
struct Parts(Vec<u8>);

impl Parts {
    fn add(&mut self, part: &[u8]) {
        // What comes here is part of one Lua string of a head, far below four gigabytes.
        self.0.extend_from_slice(&(part.len() as u32).to_ne_bytes());
        self.0.extend_from_slice(part);
    }
}

/// Takes the first of such strings off.
fn next_part<'a>(parts: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (len, rest) = parts.split_first_chunk::<4>()?;
    let (part, rest) = rest.split_at_checked(u32::from_ne_bytes(*len) as usize)?;
    *parts = rest;
    Some(part)
}

/// Pushes what the body has left in the scratch buffer.
unsafe fn push_scratch(state: *mut lua_State) {
    // SAFETY: the caller is a C function with free stack slots, and owns nothing. Lua copies before it may collect, so
    // that a finalizer that uses the buffer too does no harm.
    unsafe {
        let scratch: *const Vec<u8> = &raw const (*kernel_of(state)).scratch;
        ffi::lua_pushlstring(state, (*scratch).as_ptr().cast(), (*scratch).len());
    }
}

unsafe fn push_bytes(state: *mut lua_State, bytes: &[u8]) {
    // SAFETY: the caller is a C function with free stack slots.
    unsafe { ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len()) };
}

/// The table that gets the fields: the argument, or none yet.
fn check_table(call: &Call, index: c_int) -> Result<(), Raise> {
    if call.is_none_or_nil(index) || call.kind(index) == ffi::LUA_TTABLE {
        return Ok(());
    }
    Err(Raise::argument(index, &format!("table expected, got {}", call.type_name(index))))
}

/// Leaves `count` parts of a first line and then the fields behind it to `push_head`, or those parts alone if the fields
/// are malformed.
fn leave_head(call: &mut Call, line: &[&[u8]], text: &[u8]) -> Returned {
    let mut parts = Parts(Vec::with_capacity(text.len() * 2));
    line.iter().for_each(|part| parts.add(part));
    let front = parts.0.len();
    let well = head::fields(text, |name, value| {
        parts.add(name);
        parts.add(value);
    });
    if well.is_err() {
        parts.0.truncate(front);
    }
    // SAFETY: the kernel outlives the call.
    unsafe { (*call.kernel).scratch = parts.0 };
    call.push_int(line.len() as i64);
    call.push_bool(well.is_ok());
    Returned::Then(push_head)
}

/// (text, table or nil, ..., number of parts, well) -> part..., table or nil
unsafe extern "C-unwind" fn push_head(state: *mut lua_State) -> c_int {
    // SAFETY: an entry's body goes on here; nothing owns memory. The parts stay on the stack, as a Lua string.
    unsafe {
        let count = ffi::lua_tointegerx(state, -2, std::ptr::null_mut()) as c_int;
        let well = ffi::lua_toboolean(state, -1) != 0;
        ffi::lua_settop(state, 2);
        push_scratch(state);
        let mut parts = bytes_at(state, 3).unwrap_or_default();
        if !well {
            ffi::lua_pushnil(state);
        } else if ffi::lua_type(state, 2) == ffi::LUA_TTABLE {
            ffi::lua_pushvalue(state, 2);
        } else {
            ffi::lua_newtable(state);
        }
        for _ in 0..count {
            push_bytes(state, next_part(&mut parts).unwrap_or_default());
        }
        while let (Some(name), Some(value)) = (next_part(&mut parts), next_part(&mut parts)) {
            add_field(state, name, value);
        }
        ffi::lua_pushvalue(state, 4);
        count + 1
    }
}

/// Adds a field to the table at 4: a name that is there already gets an array of all values.
unsafe fn add_field(state: *mut lua_State, name: &[u8], value: &[u8]) {
    // SAFETY: as in `push_head`, which has a few of its stack slots in use.
    unsafe {
        push_bytes(state, name);
        ffi::lua_pushvalue(state, -1);
        match ffi::lua_rawget(state, 4) {
            ffi::LUA_TNIL => {
                ffi::lua_pop(state, 1);
                push_bytes(state, value);
                ffi::lua_rawset(state, 4);
            }
            ffi::LUA_TTABLE => {
                let len = ffi::lua_rawlen(state, -1);
                push_bytes(state, value);
                ffi::lua_rawseti(state, -2, len as ffi::lua_Integer + 1);
                ffi::lua_pop(state, 2);
            }
            _ => {
                ffi::lua_createtable(state, 2, 0);
                ffi::lua_insert(state, -2);
                ffi::lua_rawseti(state, -2, 1);
                push_bytes(state, value);
                ffi::lua_rawseti(state, -2, 2);
                ffi::lua_rawset(state, 4);
            }
        }
    }
}

/// Divides a head at the end of its first line.
fn split(head: &[u8]) -> (&[u8], &[u8]) {
    match head.windows(2).position(|two| two == b"\r\n") {
        Some(at) => (head.get(..at).unwrap_or_default(), head.get(at + 2..).unwrap_or_default()),
        None => (head, &[]),
    }
}

/// `request(head) -> method, url, version, fields?`; nothing if the request line is malformed.
fn request(call: &mut Call) -> Result<Returned, Raise> {
    let bytes = call.bytes(1)?.to_vec();
    let (line, text) = split(&bytes);
    Ok(match head::request_line(line) {
        Some(line) => leave_head(call, &[line.method, line.url, line.version], text),
        None => Returned::Values(0),
    })
}

/// `response(head, into?) -> code, reason, fields?`; nothing if the status line is malformed.
fn response(call: &mut Call) -> Result<Returned, Raise> {
    check_table(call, 2)?;
    let bytes = call.bytes(1)?.to_vec();
    let (line, text) = split(&bytes);
    Ok(match head::status_line(line) {
        Some(line) => leave_head(call, &[line.code.to_string().as_bytes(), line.reason], text),
        None => Returned::Values(0),
    })
}

/// `fields(text, into?) -> fields?`
fn fields(call: &mut Call) -> Result<Returned, Raise> {
    check_table(call, 2)?;
    let text = call.bytes(1)?.to_vec();
    Ok(leave_head(call, &[], &text))
}

/// Pushes the scratch buffer behind two values that are there.
unsafe extern "C-unwind" fn give_three(state: *mut lua_State) -> c_int {
    // SAFETY: an entry's body goes on here; nothing owns memory.
    unsafe { push_scratch(state) };
    3
}

unsafe extern "C-unwind" fn give_four(state: *mut lua_State) -> c_int {
    // SAFETY: an entry's body goes on here; nothing owns memory.
    unsafe { push_scratch(state) };
    4
}

/// A refusal in the middle of a stream: `nil, text`.
fn refuse(call: &mut Call, why: &str) -> Returned {
    unsafe extern "C-unwind" fn give_two(state: *mut lua_State) -> c_int {
        // SAFETY: an entry's body goes on here; nothing owns memory.
        unsafe { push_scratch(state) };
        2
    }
    call.push_nil();
    // SAFETY: the kernel outlives the call.
    unsafe { (*call.kernel).scratch = why.as_bytes().to_vec() };
    Returned::Then(give_two)
}

/// `chunks(data, state) -> state, used, body`, or `nil, why`. The state is 0 at first, and -2 behind the last chunk.
fn chunks(call: &mut Call) -> Result<Returned, Raise> {
    let state = chunked::State::from_number(call.int(2)?)
        .ok_or_else(|| Raise::argument(2, "no state of a chunked body"))?;
    let mut body = Vec::new();
    match chunked::decode(state, call.bytes(1)?, &mut body) {
        Ok((state, used)) => {
            call.push_int(state.number());
            call.push_int(used as i64);
            // SAFETY: the kernel outlives the call.
            unsafe { (*call.kernel).scratch = body };
            Ok(Returned::Then(give_three))
        }
        Err(error) => Ok(refuse(call, &error.to_string())),
    }
}

/// `frame(buffer, at, limit) -> op, fin, next, payload`, or `false, missing`, or `nil, why`. The frame begins at the byte
/// number `at` of the buffer, from 1.
fn frame(call: &mut Call) -> Result<Returned, Raise> {
    let (at, limit) = (call.int(2)?, call.int(3)?);
    let bytes = call.bytes(1)?;
    let start = usize::try_from(at - 1).ok().filter(|start| *start <= bytes.len());
    let start = start.ok_or_else(|| Raise::argument(2, "it lies outside of the buffer"))?;
    let limit = usize::try_from(limit).map_err(|_| Raise::argument(3, "a limit is not negative"))?;
    match frame::decode(bytes.get(start..).unwrap_or_default(), limit) {
        Ok(frame::Decoded::Whole(frame)) => {
            let (op, fin, next) = (frame.op, frame.fin, at + frame.len as i64);
            let payload = frame.unmasked();
            call.push_int(op.into());
            call.push_bool(fin);
            call.push_int(next);
            // SAFETY: the kernel outlives the call.
            unsafe { (*call.kernel).scratch = payload };
            Ok(Returned::Then(give_four))
        }
        Ok(frame::Decoded::Partial { missing }) => {
            call.push_bool(false);
            call.push_int(missing as i64);
            Ok(Returned::Values(2))
        }
        Err(error) => Ok(refuse(call, &error.to_string())),
    }
}

/// `encode(op, payload, mask?, more?) -> bytes`. The mask is a number, whose bytes are taken from the highest down.
fn encode(call: &mut Call) -> Result<Returned, Raise> {
    let op = u8::try_from(call.int(1)?).ok().filter(|op| *op < 16);
    let op = op.ok_or_else(|| Raise::argument(1, "an opcode is a number from 0 to 15"))?;
    let mask = if call.is_none_or_nil(3) {
        None
    } else {
        let mask = u32::try_from(call.int(3)?);
        Some(mask.map_err(|_| Raise::argument(3, "a mask is a number of 32 bits"))?.to_be_bytes())
    };
    let bytes = frame::encode(op, !call.bool(4), call.bytes(2)?, mask);
    Ok(call.give(bytes))
}

/// `accept(key) -> answer?`: nothing if the key is not 16 bytes in base64.
fn accept(call: &mut Call) -> Result<Returned, Raise> {
    Ok(match handshake::accept(call.bytes(1)?) {
        Some(answer) => call.give(answer),
        None => Returned::Values(0),
    })
}

/// `key() -> key`: a new one for a client.
fn key(call: &mut Call) -> Result<Returned, Raise> {
    let key = handshake::key().map_err(Raise::text)?;
    Ok(call.give(key))
}

/// `mask() -> number`: a new one for a frame.
fn mask(call: &mut Call) -> Result<Returned, Raise> {
    let mask = handshake::mask().map_err(Raise::text)?;
    Ok(call.push_int(u32::from_be_bytes(mask).into()))
}
