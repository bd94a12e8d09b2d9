//! `skynet.socketdriver`: the network, as Lua code asks for it. Thin words over [`crate::Sockets`]; the behaviour lives
//! there.
//!
//! Lua face: lualib/skynet/socket.lua. Annotations: lualib/meta/skynet_socketdriver.lua.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::{CStr, c_int};

use super::send;
use super::socket_buffer::ReadBuffer;
use super::socket_event;
use crate::lua::raw::entry::raise_text;
use crate::lua::raw::{
    Binding, Call, Raise, Returned, bytes_at, entry, ffi, lua_State, push_module, userdata,
};
use crate::message::Payload;
use crate::socket::{
    BACKLOG, Priority, SocketData, SocketError, SocketId, SocketInfo, SocketKind, UdpAddress, split_address,
};

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"connect", entry!(connect)),
    (c"listen", entry!(listen)),
    (c"bind", entry!(bind)),
    (c"close", entry!(close)),
    (c"shutdown", entry!(shutdown)),
    (c"start", entry!(start)),
    (c"pause", entry!(pause)),
    (c"nodelay", entry!(nodelay)),
    (c"send", entry!(send_normal)),
    (c"lsend", entry!(send_low)),
    (c"udp", entry!(udp)),
    (c"udp_connect", entry!(udp_connect)),
    (c"udp_dial", entry!(udp_dial)),
    (c"udp_listen", entry!(udp_listen)),
    (c"udp_send", entry!(udp_send)),
    (c"udp_address", udp_address),
    (c"resolve", resolve),
    (c"info", info),
    (c"unpack", unpack),
    (c"buffer", buffer),
    (c"push", entry!(push)),
    (c"pop", pop),
    (c"readall", readall),
    (c"readline", readline),
    (c"clear", entry!(clear)),
    (c"drop", entry!(drop_block)),
    (c"header", entry!(header)),
    (c"str2p", entry!(str2p)),
];

/// The longest text in a table that is sent as one: more than any table of real use has strings.
const STRINGS_MAX: i64 = 1 << 24;

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

fn id(call: &Call, index: c_int) -> Result<SocketId, Raise> {
    // Any number may be asked for; one that no socket can have finds none.
    Ok(SocketId::new(i32::try_from(call.int(index)?).unwrap_or(0)))
}

/// Reads (address, port or nil), or (address with its port).
fn address(call: &Call, index: c_int) -> Result<(String, u16), Raise> {
    let address = if call.is_none_or_nil(index) { String::new() } else { call.text(index)? };
    let port = if call.is_none_or_nil(index + 1) {
        None
    } else {
        Some(call.opt_int(index + 1).ok_or_else(|| Raise::text("Invalid port"))?)
    };
    split_address(&address, port).map_err(Raise::text)
}

fn push_id(call: &mut Call, id: SocketId) -> Returned {
    call.push_int(id.get().into())
}

/// `connect(address, port?) -> id`
fn connect(call: &mut Call) -> Result<Returned, Raise> {
    let (host, port) = address(call, 1)?;
    match call.context()?.sockets().connect(&host, port) {
        Ok(id) => Ok(push_id(call, id)),
        // Matched by lualib: -1 means that there are too many.
        Err(SocketError::Full) => Ok(call.push_int(-1)),
        Err(error) => Err(Raise::text(error)),
    }
}

/// `listen(address, port?, backlog?) -> id`
fn listen(call: &mut Call) -> Result<Returned, Raise> {
    let (host, port) = address(call, 1)?;
    let backlog = if call.is_none_or_nil(3) { BACKLOG } else { call.int(3)? as i32 };
    match call.context()?.sockets().listen(&host, port, backlog) {
        Ok(id) => Ok(push_id(call, id)),
        // Matched by programs: keep the first two words. The original leaves out the reason.
        Err(error) => Err(Raise::Text(format!("Listen error: {host}:{port}: {error}"))),
    }
}

/// `bind(descriptor) -> id`
fn bind(call: &mut Call) -> Result<Returned, Raise> {
    let fd = i32::try_from(call.int(1)?).unwrap_or(-1);
    let id = call.context()?.sockets().bind(fd).map_err(Raise::text)?;
    Ok(push_id(call, id))
}

fn close(call: &mut Call) -> Result<Returned, Raise> {
    let id = id(call, 1)?;
    call.context()?.sockets().close(id);
    Ok(Returned::Values(0))
}

fn shutdown(call: &mut Call) -> Result<Returned, Raise> {
    let id = id(call, 1)?;
    call.context()?.sockets().shutdown(id);
    Ok(Returned::Values(0))
}

fn start(call: &mut Call) -> Result<Returned, Raise> {
    let id = id(call, 1)?;
    call.context()?.sockets().start(id).map_err(Raise::text)?;
    Ok(Returned::Values(0))
}

fn pause(call: &mut Call) -> Result<Returned, Raise> {
    let id = id(call, 1)?;
    call.context()?.sockets().pause(id);
    Ok(Returned::Values(0))
}

fn nodelay(call: &mut Call) -> Result<Returned, Raise> {
    let id = id(call, 1)?;
    call.context()?.sockets().nodelay(id);
    Ok(Returned::Values(0))
}

/// What is to be sent: a string, a table of strings, a (pointer, size) pair, or full userdata.
fn data(call: &Call, index: c_int) -> Result<Payload, Raise> {
    match call.kind(index) {
        ffi::LUA_TTABLE => strings(call, index),
        ffi::LUA_TUSERDATA => {
            // SAFETY: it is userdata; the part that is asked for lies within its block.
            let block = unsafe {
                let len = ffi::lua_rawlen(call.state, index) as usize;
                std::slice::from_raw_parts(ffi::lua_touserdata(call.state, index).cast::<u8>(), len)
            };
            let len = match call.opt_int(index + 1) {
                Some(len) => usize::try_from(len).unwrap_or(usize::MAX),
                None => block.len(),
            };
            let part = block.get(..len).ok_or_else(|| {
                Raise::argument(index + 1, &format!("at most {} bytes, not {len}", block.len()))
            })?;
            Ok(Payload::copy_from(part))
        }
        ffi::LUA_TNUMBER => Ok(call.text(index)?.into()),
        ffi::LUA_TSTRING | ffi::LUA_TLIGHTUSERDATA => send::payload(call, index),
        _ => Err(Raise::argument(index, &format!("string expected, got {}", call.type_name(index)))),
    }
}

fn strings(call: &Call, index: c_int) -> Result<Payload, Raise> {
    // Matched by programs: keep the words.
    let wrong = || Raise::text("Invalid strings table");
    let mut all = Vec::new();
    // SAFETY: a raw access to a table raises nothing; one slot is used at a time. A string stays in the table while it
    // is copied. A number is not converted in place, since it is popped before.
    unsafe {
        for place in 1..=STRINGS_MAX {
            let kind = ffi::lua_rawgeti(call.state, index, place);
            if kind == ffi::LUA_TSTRING {
                all.extend_from_slice(bytes_at(call.state, -1).unwrap_or_default());
            }
            ffi::lua_settop(call.state, -2);
            match kind {
                ffi::LUA_TSTRING => {}
                ffi::LUA_TNIL => return Ok(Payload::from(all)),
                _ => return Err(wrong()),
            }
        }
    }
    Err(wrong())
}

fn send_normal(call: &mut Call) -> Result<Returned, Raise> {
    send_with(call, Priority::Normal)
}

fn send_low(call: &mut Call) -> Result<Returned, Raise> {
    send_with(call, Priority::Low)
}

/// `send(id, data, size?) -> taken`
fn send_with(call: &mut Call, priority: Priority) -> Result<Returned, Raise> {
    let id = id(call, 1)?;
    let data = data(call, 2)?;
    let taken = call.context()?.sockets().send_with(id, data, priority);
    Ok(call.push_bool(taken))
}

/// `udp(address?, port?) -> id`
fn udp(call: &mut Call) -> Result<Returned, Raise> {
    let bind = if call.is_none_or_nil(1) && call.is_none_or_nil(2) { None } else { Some(address(call, 1)?) };
    let bind = bind.as_ref().map(|(host, port)| (host.as_str(), *port));
    // Matched by programs: keep the words.
    let id = call
        .context()?
        .sockets()
        .udp(bind)
        .map_err(|error| Raise::Text(format!("udp init failed: {error}")))?;
    Ok(push_id(call, id))
}

/// `udp_connect(id, address, port?)`
fn udp_connect(call: &mut Call) -> Result<Returned, Raise> {
    let id = id(call, 1)?;
    let (host, port) = address(call, 2)?;
    // Matched by programs: keep the words.
    let done = call.context()?.sockets().udp_connect(id, &host, port);
    done.map_err(|error| Raise::Text(format!("udp connect failed: {host}:{port}: {error}")))?;
    Ok(Returned::Values(0))
}

/// `udp_dial(address, port?) -> id`
fn udp_dial(call: &mut Call) -> Result<Returned, Raise> {
    let (host, port) = address(call, 1)?;
    // Matched by programs: keep the words.
    let made = call.context()?.sockets().udp_dial(&host, port);
    let id = made.map_err(|error| Raise::Text(format!("udp dial host failed: {host}:{port}: {error}")))?;
    Ok(push_id(call, id))
}

/// `udp_listen(address, port?) -> id`
fn udp_listen(call: &mut Call) -> Result<Returned, Raise> {
    let (host, port) = address(call, 1)?;
    // Matched by programs: keep the words.
    let made = call.context()?.sockets().udp_listen(&host, port);
    let id = made.map_err(|error| Raise::Text(format!("udp listen host failed: {host}:{port}: {error}")))?;
    Ok(push_id(call, id))
}

/// `udp_send(id, address, data, size?) -> sent`
fn udp_send(call: &mut Call) -> Result<Returned, Raise> {
    let id = id(call, 1)?;
    let to = UdpAddress::from_bytes(call.bytes(2)?).ok_or_else(|| Raise::text("Invalid udp address"))?;
    let data = data(call, 3)?;
    let sent = call.context()?.sockets().udp_send(id, &to, data);
    Ok(call.push_bool(sent))
}

/// `udp_address(binary) -> ip, port`
unsafe extern "C-unwind" fn udp_address(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; the text is a plain array, so nothing is owned where Lua may raise.
    unsafe {
        let found = if ffi::lua_type(state, 1) == ffi::LUA_TSTRING {
            bytes_at(state, 1).and_then(UdpAddress::from_bytes)
        } else {
            None
        };
        let Some(found) = found else { raise_text(state, format_args!("Invalid udp address")) };
        let addr = found.to_addr();
        push_display(state, addr.ip());
        ffi::lua_pushinteger(state, addr.port().into());
        2
    }
}

/// Pushes what is shown of a value that owns nothing, in at most 64 bytes.
unsafe fn push_display(state: *mut lua_State, value: impl std::fmt::Display + Copy) {
    use std::io::Write;
    let mut text = [0_u8; 64];
    let mut rest = &mut text[..];
    let _ = write!(rest, "{value}");
    let len = 64 - rest.len();
    // SAFETY: the caller is a C function with a free stack slot.
    unsafe { ffi::lua_pushlstring(state, text.as_ptr().cast(), len) };
}

/// Answers of a body that are too many for the stack of a C function; Lua's collector owns them on the way.
struct List<T>(Vec<T>);

impl userdata::UserData for List<std::net::IpAddr> {
    const NAME: &'static CStr = c"skynet.socket.addresses";
}

impl userdata::UserData for List<SocketInfo> {
    const NAME: &'static CStr = c"skynet.socket.info";
}

/// `resolve(host) -> addresses`
unsafe extern "C-unwind" fn resolve(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it. The list belongs to a value on the stack before anything else is pushed.
    unsafe {
        ffi::lua_settop(state, 1);
        userdata::push(state, || List::<std::net::IpAddr>(Vec::new()));
        entry!(resolve_body)(state);
        let Some(list) = userdata::get::<List<std::net::IpAddr>>(state, 2) else { return 0 };
        ffi::lua_createtable(state, c_int::try_from(list.0.len()).unwrap_or(0), 0);
        for (place, ip) in (1..).zip(&list.0) {
            push_display(state, *ip);
            ffi::lua_rawseti(state, -2, place);
        }
        1
    }
}

fn resolve_body(call: &mut Call) -> Result<Returned, Raise> {
    let host = call.text(1)?;
    let found = call.context()?.sockets().resolve(&host).map_err(Raise::text)?;
    // SAFETY: the value at 2 is the one that `resolve` pushed; nothing runs meanwhile.
    if let Some(list) = unsafe { userdata::get::<List<std::net::IpAddr>>(call.state, 2) } {
        list.0 = found;
    }
    Ok(Returned::Values(0))
}

/// `info() -> list of tables`
unsafe extern "C-unwind" fn info(state: *mut lua_State) -> c_int {
    // SAFETY: as in `resolve`.
    unsafe {
        ffi::lua_settop(state, 0);
        userdata::push(state, || List::<SocketInfo>(Vec::new()));
        entry!(info_body)(state);
        let Some(list) = userdata::get::<List<SocketInfo>>(state, 1) else { return 0 };
        ffi::lua_createtable(state, c_int::try_from(list.0.len()).unwrap_or(0), 0);
        for (place, socket) in (1..).zip(&list.0) {
            push_info(state, socket);
            ffi::lua_rawseti(state, -2, place);
        }
        1
    }
}

fn info_body(call: &mut Call) -> Result<Returned, Raise> {
    let found = call.context()?.sockets().info();
    // SAFETY: the value at 1 is the one that `info` pushed; nothing runs meanwhile.
    if let Some(list) = unsafe { userdata::get::<List<SocketInfo>>(call.state, 1) } {
        list.0 = found;
    }
    Ok(Returned::Values(0))
}

unsafe fn push_info(state: *mut lua_State, socket: &SocketInfo) {
    // SAFETY: the caller is a C function; `socket` belongs to a value on its stack.
    unsafe {
        ffi::lua_createtable(state, 0, 12);
        let int = |name: &CStr, value: u64| {
            ffi::lua_pushinteger(state, value.cast_signed());
            ffi::lua_setfield(state, -2, name.as_ptr());
        };
        let text = |name: &CStr, value: &str| {
            ffi::lua_pushlstring(state, value.as_ptr().cast(), value.len());
            ffi::lua_setfield(state, -2, name.as_ptr());
        };
        let flag = |name: &CStr, value: bool| {
            ffi::lua_pushboolean(state, value.into());
            ffi::lua_setfield(state, -2, name.as_ptr());
        };
        int(c"id", socket.id.get().cast_unsigned().into());
        int(c"address", socket.owner.as_u32().into());
        let (kind, is_listener) = match socket.kind {
            SocketKind::Unknown => ("UNKNOWN", false),
            SocketKind::Listen => ("LISTEN", true),
            SocketKind::Tcp => ("TCP", false),
            SocketKind::Udp => ("UDP", false),
            SocketKind::Bind => ("BIND", false),
            SocketKind::Closing => ("CLOSING", false),
        };
        text(c"type", kind);
        int(c"rtime", socket.read_at_cs);
        if is_listener {
            int(c"accept", socket.read);
            if !socket.name.is_empty() {
                text(c"sock", &socket.name);
            }
            return;
        }
        int(c"read", socket.read);
        int(c"write", socket.written);
        int(c"wbuffer", socket.waiting);
        int(c"wtime", socket.written_at_cs);
        flag(c"reading", socket.reading);
        flag(c"writing", socket.writing);
        if !socket.name.is_empty() {
            text(c"peer", &socket.name);
        }
    }
}

/// `unpack(message, size) -> type, id, ud, text | pointer, address?`
unsafe extern "C-unwind" fn unpack(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; the event belongs to the message in work. The block of its data is taken over by Lua code,
    // and is not owned by anybody on the way: a light pointer needs no memory. The address is pushed before.
    unsafe {
        let Some(event) = socket_event::find(state, 1) else {
            raise_text(
                state,
                format_args!("bad argument #1 to 'unpack' (the socket message in work expected)"),
            )
        };
        ffi::lua_pushinteger(state, (event.kind as u8).into());
        ffi::lua_pushinteger(state, event.id.get().into());
        ffi::lua_pushinteger(state, event.ud.into());
        match &mut event.data {
            SocketData::Text(text) => {
                ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
                4
            }
            SocketData::Bytes(bytes) => {
                let (block, _) = std::mem::take(bytes).into_raw();
                ffi::lua_pushlightuserdata(state, block);
                4
            }
            SocketData::Datagram(bytes, from) => {
                ffi::lua_pushlstring(state, from.as_bytes().as_ptr().cast(), from.as_bytes().len());
                let (block, _) = std::mem::take(bytes).into_raw();
                ffi::lua_pushlightuserdata(state, block);
                ffi::lua_rotate(state, -2, 1);
                5
            }
        }
    }
}

impl userdata::UserData for ReadBuffer {
    const NAME: &'static CStr = c"skynet.socket.buffer";
}

/// `buffer() -> buffer`
unsafe extern "C-unwind" fn buffer(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; an empty buffer owns nothing.
    unsafe { userdata::push(state, ReadBuffer::default) };
    1
}

/// The buffer at 1, or an error.
unsafe fn buffer_at<'a>(state: *mut lua_State) -> &'a mut ReadBuffer {
    // SAFETY: the caller is a C function that owns nothing, and keeps to the rule of `userdata::get`.
    unsafe {
        match userdata::get::<ReadBuffer>(state, 1) {
            Some(buffer) => buffer,
            // Matched by programs: keep the words.
            None => raise_text(state, format_args!("need buffer object at param 1")),
        }
    }
}

/// `push(buffer, pool, pointer, size) -> bytes that wait`: the block becomes the buffer's. A pool of chunks, as the
/// original has it, is not needed.
fn push(call: &mut Call) -> Result<Returned, Raise> {
    if call.kind(3) != ffi::LUA_TLIGHTUSERDATA {
        // Matched by programs: keep the words.
        return Err(Raise::text("need message block at param 3"));
    }
    let block = send::payload(call, 3)?;
    // SAFETY: the value stays on the stack; no Lua code runs while the reference is used.
    let Some(buffer) = (unsafe { userdata::get::<ReadBuffer>(call.state, 1) }) else {
        return Err(Raise::text("need buffer object at param 1"));
    };
    let len = buffer.push(block);
    Ok(call.push_int(i64::try_from(len).unwrap_or(i64::MAX)))
}

/// Pushes the first `len` bytes of the buffer and forgets them and `more`.
unsafe fn push_front(state: *mut lua_State, buffer: &mut ReadBuffer, len: usize, more: usize) {
    // SAFETY: the caller is a C function that owns nothing: the buffer belongs to Lua.
    unsafe {
        let bytes = buffer.peek(len).unwrap_or_default();
        ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len());
    }
    buffer.consume(len + more);
}

/// `pop(buffer, pool, size) -> string?, bytes that are left`
unsafe extern "C-unwind" fn pop(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; nothing here owns memory.
    unsafe {
        let buffer = buffer_at(state);
        let wanted = usize::try_from(ffi::luaL_checkinteger(state, 3)).unwrap_or(usize::MAX);
        if wanted == 0 || wanted > buffer.len() {
            ffi::lua_pushnil(state);
        } else {
            push_front(state, buffer, wanted, 0);
        }
        ffi::lua_pushinteger(state, ffi::lua_Integer::try_from(buffer.len()).unwrap_or(0));
        2
    }
}

/// `readall(buffer, pool) -> string`
unsafe extern "C-unwind" fn readall(state: *mut lua_State) -> c_int {
    // SAFETY: as in `pop`.
    unsafe {
        let buffer = buffer_at(state);
        push_front(state, buffer, buffer.len(), 0);
        1
    }
}

/// `readline(buffer, pool?, separator) -> line?`; without a pool only whether there is one.
unsafe extern "C-unwind" fn readline(state: *mut lua_State) -> c_int {
    // SAFETY: as in `pop`; the separator stays on the stack.
    unsafe {
        let buffer = buffer_at(state);
        let mut len = 0;
        let separator = ffi::luaL_checklstring(state, 3, &raw mut len);
        let separator = std::slice::from_raw_parts(separator.cast::<u8>(), len);
        let Some(at) = buffer.find(separator) else { return 0 };
        if ffi::lua_type(state, 2) == ffi::LUA_TNIL {
            ffi::lua_pushboolean(state, 1);
        } else {
            push_front(state, buffer, at, separator.len());
        }
        1
    }
}

/// `clear(buffer, pool)`
fn clear(call: &mut Call) -> Result<Returned, Raise> {
    if call.is_none_or_nil(1) {
        return Ok(Returned::Values(0));
    }
    // SAFETY: as in `push`.
    match unsafe { userdata::get::<ReadBuffer>(call.state, 1) } {
        Some(buffer) => *buffer = ReadBuffer::default(),
        None => return Err(Raise::text("need buffer object at param 1")),
    }
    Ok(Returned::Values(0))
}

/// `drop(pointer, size)`: frees a block.
fn drop_block(call: &mut Call) -> Result<Returned, Raise> {
    if call.kind(1) == ffi::LUA_TLIGHTUSERDATA {
        drop(send::payload(call, 1)?);
    }
    Ok(Returned::Values(0))
}

/// `header(string) -> integer`: one to four bytes, the highest first.
fn header(call: &mut Call) -> Result<Returned, Raise> {
    let bytes = call.bytes(1)?;
    if !(1..=4).contains(&bytes.len()) {
        // Matched by programs: keep the words.
        return Err(Raise::Text(format!("Invalid read {}", String::from_utf8_lossy(bytes))));
    }
    let number = bytes.iter().fold(0_i64, |number, byte| number << 8 | i64::from(*byte));
    Ok(call.push_int(number))
}

/// `str2p(string) -> pointer, size`
fn str2p(call: &mut Call) -> Result<Returned, Raise> {
    let (block, len) = Payload::copy_from(call.bytes(1)?).into_raw();
    // SAFETY: a C function has free stack slots, and a light pointer allocates nothing.
    unsafe { ffi::lua_pushlightuserdata(call.state, block) };
    call.push_int(i64::try_from(len).unwrap_or(i64::MAX));
    Ok(Returned::Values(2))
}
