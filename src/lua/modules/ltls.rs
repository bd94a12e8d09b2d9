//! `ltls.c` and `ltls.init.c`: TLS for Lua code that has the socket. Thin words over `crate::tls`.
//! Annotations: lualib/meta/ltls_c.lua, lualib/meta/ltls_init_c.lua.

use std::ffi::{CStr, c_int};

use crate::lua::raw::userdata::{self, UserData};
use crate::lua::raw::{Binding, Call, Raise, Returned, entry, ffi, lua_State, push_module, string_entry};
use crate::tls::{ServerName, Settings, Stream, host_name, load_system_roots};

const FUNCTIONS: &[Binding] = &[(c"newctx", new_context), (c"newtls", new_stream)];

const INIT_FUNCTIONS: &[Binding] =
    &[(c"constructor", entry!(constructor)), (c"destructor", entry!(destructor))];

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

pub(super) unsafe extern "C-unwind" fn open_init(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, INIT_FUNCTIONS) };
    1
}

/// What the connections of a context have in common; empty only while it is made.
struct LuaContext(Option<Box<Settings>>);

impl UserData for LuaContext {
    const NAME: &'static CStr = c"ltls.context";
    const METHODS: &'static [Binding] = &[
        (c"set_cert", string_entry!(3, set_cert)),
        (c"set_ciphers", string_entry!(2, set_ciphers)),
        (c"set_ca", string_entry!(2, set_ca)),
        (c"set_verify", entry!(set_verify)),
        (c"set_alpn", entry!(set_alpn)),
    ];
}

/// One connection; empty once it is closed.
struct LuaStream(Option<Box<Stream>>);

impl UserData for LuaStream {
    const NAME: &'static CStr = c"ltls.tls";
    const METHODS: &'static [Binding] = &[
        (c"handshake", string_entry!(2, handshake)),
        (c"finished", entry!(finished)),
        (c"read", string_entry!(2, read)),
        (c"write", string_entry!(2, write)),
        (c"set_ext_host_name", string_entry!(2, set_ext_host_name)),
        (c"close", entry!(close)),
        (c"peer_closed", entry!(peer_closed)),
        (c"alpn", entry!(alpn)),
        (c"server_name", entry!(server_name)),
    ];
    const METAMETHODS: &'static [Binding] = &[(c"__close", entry!(close))];
}

const _: () = {
    // A service, and what its Lua state holds, moves from thread to thread.
    const fn is_send<T: Send>() {}
    is_send::<LuaContext>();
    is_send::<LuaStream>();
};

fn wrong_type(call: &Call, index: c_int, name: &CStr) -> Raise {
    let name = name.to_string_lossy();
    Raise::argument(index, &format!("{name} expected, got {}", call.type_name(index)))
}

/// The settings of the context at an index.
fn context<'a>(call: &Call, index: c_int) -> Result<&'a mut Settings, Raise> {
    // SAFETY: the value is an argument, so it stays on the stack for the call; no body asks for it twice or runs Lua.
    let value = unsafe { userdata::get::<LuaContext>(call.state, index) };
    let settings = value.and_then(|context| context.0.as_deref_mut());
    settings.ok_or_else(|| wrong_type(call, index, LuaContext::NAME))
}

/// The place of the connection at index 1.
fn place<'a>(call: &Call) -> Result<&'a mut Option<Box<Stream>>, Raise> {
    // SAFETY: as in `context`.
    let value = unsafe { userdata::get::<LuaStream>(call.state, 1) };
    value.map(|stream| &mut stream.0).ok_or_else(|| wrong_type(call, 1, LuaStream::NAME))
}

fn stream<'a>(call: &Call) -> Result<&'a mut Stream, Raise> {
    // Matched by programs: keep the words.
    place(call)?.as_deref_mut().ok_or_else(|| Raise::text("context is closed"))
}

/// Whether this node has TLS at all: its config says so.
fn check_enabled(call: &mut Call) -> Result<(), Raise> {
    if call.context()?.env("enablessl").as_deref() == Some("true") {
        return Ok(());
    }
    // Matched by programs: keep the words.
    Err(Raise::text("ltls need init, Put enablessl = true in you config file."))
}

/// `newctx() -> ctx`
unsafe extern "C-unwind" fn new_context(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; nothing here owns memory.
    unsafe {
        ffi::lua_settop(state, 0);
        userdata::push(state, || LuaContext(None));
        entry!(fill_context)(state)
    }
}

fn fill_context(call: &mut Call) -> Result<Returned, Raise> {
    check_enabled(call)?;
    let clock = call.context()?.clock().clone();
    // SAFETY: as in `context`.
    if let Some(context) = unsafe { userdata::get::<LuaContext>(call.state, 1) } {
        context.0 = Some(Box::new(Settings::new(clock)));
    }
    Ok(Returned::Values(1))
}

/// `newtls(method, ctx, hostname?) -> tls`
unsafe extern "C-unwind" fn new_stream(state: *mut lua_State) -> c_int {
    // SAFETY: as in `new_context`.
    unsafe {
        ffi::lua_settop(state, 3);
        userdata::push(state, || LuaStream(None));
        string_entry!(3, fill_stream)(state)
    }
}

fn fill_stream(call: &mut Call) -> Result<Returned, Raise> {
    check_enabled(call)?;
    let settings = context(call, 2)?;
    let made = match call.bytes(1)? {
        b"client" => {
            let name = if call.is_none_or_nil(3) { None } else { Some(name_at(call, 3)?) };
            Stream::client(settings.client().map_err(Raise::text)?, name, settings.verifies())
        }
        b"server" => Stream::server(settings.server().map_err(Raise::text)?).map_err(Raise::text)?,
        other => {
            let method = String::from_utf8_lossy(other);
            // Matched by programs: keep the words.
            return Err(Raise::Text(format!("invalid method:{method} e.g[server, client]")));
        }
    };
    // SAFETY: as in `context`.
    if let Some(stream) = unsafe { userdata::get::<LuaStream>(call.state, 4) } {
        stream.0 = Some(Box::new(made));
    }
    Ok(Returned::Values(1))
}

fn name_at(call: &Call, index: c_int) -> Result<ServerName<'static>, Raise> {
    host_name(&String::from_utf8_lossy(call.bytes(index)?)).map_err(Raise::text)
}

/// `ctx:set_cert(certfile, keyfile)`
fn set_cert(call: &mut Call) -> Result<Returned, Raise> {
    context(call, 1)?.set_cert(&call.text(2)?, &call.text(3)?).map_err(Raise::text)?;
    Ok(Returned::Values(0))
}

/// `ctx:set_ciphers(list)`
fn set_ciphers(call: &mut Call) -> Result<Returned, Raise> {
    context(call, 1)?.set_ciphers(&call.text(2)?).map_err(Raise::text)?;
    Ok(Returned::Values(0))
}

/// `ctx:set_ca(file)`
fn set_ca(call: &mut Call) -> Result<Returned, Raise> {
    context(call, 1)?.add_authorities(&call.text(2)?).map_err(Raise::text)?;
    Ok(Returned::Values(0))
}

/// `ctx:set_verify(flag)`
fn set_verify(call: &mut Call) -> Result<Returned, Raise> {
    // Not any value: a forgotten argument must not turn it off.
    if call.kind(2) != ffi::LUA_TBOOLEAN {
        return Err(Raise::argument(2, &format!("boolean expected, got {}", call.type_name(2))));
    }
    context(call, 1)?.set_verify(call.bool(2));
    Ok(Returned::Values(0))
}

/// `ctx:set_alpn(names)`
fn set_alpn(call: &mut Call) -> Result<Returned, Raise> {
    let settings = context(call, 1)?;
    if call.kind(2) != ffi::LUA_TTABLE {
        return Err(Raise::argument(2, &format!("table expected, got {}", call.type_name(2))));
    }
    // One more than the limit is enough to go over it.
    let mut names = Vec::new();
    for place in 1..=Settings::PROTOCOLS_MAX as ffi::lua_Integer + 1 {
        // SAFETY: the value is a table, and a C function has free stack slots.
        let kind = unsafe { ffi::lua_rawgeti(call.state, 2, place) };
        if kind == ffi::LUA_TNIL {
            break;
        }
        let name = call.opt_bytes(-1).map(<[u8]>::to_vec);
        names.push(name.ok_or_else(|| Raise::argument(2, "a list of strings expected"))?);
        // SAFETY: the name was pushed above.
        unsafe { ffi::lua_settop(call.state, -2) };
    }
    settings.set_protocols(names).map_err(Raise::text)?;
    Ok(Returned::Values(0))
}

/// What came from the peer, or the text to send: a string or nothing.
fn data(call: &Call) -> Result<&[u8], Raise> {
    if call.is_none_or_nil(2) { Ok(&[]) } else { call.bytes(2) }
}

/// `tls:handshake(data?) -> data?`
fn handshake(call: &mut Call) -> Result<Returned, Raise> {
    let out = stream(call)?.handshake(data(call)?).map_err(Raise::text)?;
    Ok(if out.is_empty() { Returned::Values(0) } else { call.give(out) })
}

/// `tls:finished() -> boolean`
fn finished(call: &mut Call) -> Result<Returned, Raise> {
    let finished = stream(call)?.is_finished();
    Ok(call.push_bool(finished))
}

/// `tls:read(data?) -> text`
fn read(call: &mut Call) -> Result<Returned, Raise> {
    let text = stream(call)?.read(data(call)?).map_err(Raise::text)?;
    Ok(call.give(text))
}

/// `tls:write(text?) -> data`
fn write(call: &mut Call) -> Result<Returned, Raise> {
    let out = stream(call)?.write(data(call)?).map_err(Raise::text)?;
    Ok(call.give(out))
}

/// `tls:set_ext_host_name(name)`
fn set_ext_host_name(call: &mut Call) -> Result<Returned, Raise> {
    let stream = stream(call)?;
    stream.set_name(name_at(call, 2)?).map_err(Raise::text)?;
    Ok(Returned::Values(0))
}

/// `tls:close() -> data?`: the goodbye to the peer. Nothing if it is closed already.
fn close(call: &mut Call) -> Result<Returned, Raise> {
    let out = place(call)?.take().map(|stream| stream.close()).unwrap_or_default();
    Ok(if out.is_empty() { Returned::Values(0) } else { call.give(out) })
}

/// `tls:peer_closed() -> boolean`
fn peer_closed(call: &mut Call) -> Result<Returned, Raise> {
    let closed = stream(call)?.peer_closed();
    Ok(call.push_bool(closed))
}

/// `tls:alpn() -> name?`
fn alpn(call: &mut Call) -> Result<Returned, Raise> {
    let name = stream(call)?.protocol().map(<[u8]>::to_vec);
    Ok(name.map_or(Returned::Values(0), |name| call.give(name)))
}

/// `tls:server_name() -> name?`
fn server_name(call: &mut Call) -> Result<Returned, Raise> {
    let name = stream(call)?.name();
    Ok(name.map_or(Returned::Values(0), |name| call.give(name)))
}

/// `constructor()`: reads whom the system trusts, so that no service waits for that later.
fn constructor(_: &mut Call) -> Result<Returned, Raise> {
    load_system_roots();
    Ok(Returned::Values(0))
}

/// `destructor()`: nothing is left behind that is not freed with its owner.
fn destructor(_: &mut Call) -> Result<Returned, Raise> {
    Ok(Returned::Values(0))
}
