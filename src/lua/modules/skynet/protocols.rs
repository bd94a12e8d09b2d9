//! What the service does with each type of message: `dispatch`, `register_protocol`.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::c_int;

use super::super::send;
use super::super::skynet_core;

use crate::lua::kernel::protocol::{Codec, Protocol};
use crate::lua::raw::entry::{kernel_of, raise_text};
use crate::lua::raw::{Binding, Call, bytes_at, ffi, lua_State};
use crate::message::MessageKind;

/// `dispatch(typename, function?) -> previous function?`
pub(super) unsafe extern "C-unwind" fn dispatch_function(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 2);
    let mut kind = MessageKind(0);
    let mut before = ffi::LUA_NOREF;
    let mut class = ffi::LUA_NOREF;
    let found = {
        let call = Call { state, kernel: kernel_of(state) };
        send::protocol(&call, 1)
            .map(|protocol| {
                kind = protocol.kind;
                before = protocol.dispatch;
                class = protocol.class;
            })
            .is_ok()
    };
    if !found {
        raise_text(
            state,
            format_args!("bad argument #1 to 'dispatch' (no protocol of this name is registered)"),
        );
    }
    if ffi::lua_isnil(state, 2) != 0 {
        ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, before.into());
        return 1;
    }
    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, before.into());
    ffi::lua_rotate(state, 2, 1);
    // (typename, before, function)
    if class != ffi::LUA_NOREF {
        ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, class.into());
        ffi::lua_pushvalue(state, 3);
        ffi::lua_setfield(state, -2, c"dispatch".as_ptr());
        ffi::lua_settop(state, 3);
    }
    // Those without a place of their own are below.
    if before > 0 {
        // A coroutine that begins takes the handler from its place at once.
        ffi::lua_rawseti(state, ffi::LUA_REGISTRYINDEX, before.into());
        return 1;
    }
    let function = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
    if let Some(protocol) = (*kernel_of(state)).protocols.get_mut(kind) {
        protocol.dispatch = function;
    }
    1
}

/// `register_protocol(class)`
pub(super) unsafe extern "C-unwind" fn register_protocol(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
    ffi::lua_settop(state, 1);
    ffi::lua_getfield(state, 1, c"id".as_ptr());
    let mut is_number = 0;
    let id = ffi::lua_tointegerx(state, -1, &raw mut is_number);
    let Some(kind) = u8::try_from(id).ok().filter(|_| is_number != 0).map(MessageKind) else {
        raise_text(state, format_args!("register_protocol: id must be an integer from 0 to 255"));
    };
    if ffi::lua_getfield(state, 1, c"name".as_ptr()) != ffi::LUA_TSTRING {
        raise_text(state, format_args!("register_protocol: name must be a string"));
    }
    let name = bytes_at(state, -1).unwrap_or_default();
    let taken = (*kernel_of(state)).protocols.get(kind).is_some()
        || (*kernel_of(state)).protocols.by_name(name).is_some();
    if taken {
        raise_text(
            state,
            format_args!(
                "register_protocol: the name {:?} or the id {id} is registered already",
                std::str::from_utf8(name).unwrap_or("?")
            ),
        );
    }
    let pack = codec_field(state, c"pack");
    let unpack = codec_field(state, c"unpack");
    ffi::lua_getfield(state, 1, c"trace".as_ptr());
    let trace = (ffi::lua_isnil(state, -1) == 0).then(|| ffi::lua_toboolean(state, -1) != 0);
    let dispatch = if ffi::lua_getfield(state, 1, c"dispatch".as_ptr()) == ffi::LUA_TNIL {
        ffi::LUA_NOREF
    } else {
        ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX)
    };
    ffi::lua_pushvalue(state, 1);
    let class = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
    // The class may change its name; the string itself has to stay.
    ffi::lua_pushvalue(state, 3);
    let kept = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
    let codecs = (pack, unpack.unwrap_or(Codec::Raw));
    if !add_protocol(state, kind, (name, kept), codecs, (dispatch, class), trace) {
        raise_text(state, format_args!("register_protocol: there are 255 protocols already"));
    }
    0
}

pub(super) unsafe fn add_protocol(
    state: *mut lua_State,
    kind: MessageKind,
    (name, name_reference): (&[u8], c_int),
    codecs: (Option<Codec>, Codec),
    references: (c_int, c_int),
    trace: Option<bool>,
) -> bool {
    let mut protocol = Protocol::new(kind, name, name.as_ptr(), name_reference);
    (protocol.pack, protocol.unpack) = codecs;
    (protocol.dispatch, protocol.class) = references;
    protocol.trace = trace;
    (*kernel_of(state)).protocols.add(protocol)
}

/// Reads a packer or an unpacker: ours are known and done natively.
pub(super) unsafe fn codec_field(state: *mut lua_State, field: &std::ffi::CStr) -> Option<Codec> {
    if ffi::lua_getfield(state, 1, field.as_ptr()) == ffi::LUA_TNIL {
        ffi::lua_settop(state, -2);
        return None;
    }
    if let Some(function) = ffi::lua_tocfunction(state, -1) {
        let is_ours = |(name, known): &Binding| {
            std::ptr::fn_addr_eq(*known, function) && (*name == c"pack" || *name == c"unpack")
        };
        if super::FUNCTIONS.iter().any(is_ours) || skynet_core::FUNCTIONS.iter().any(is_ours) {
            ffi::lua_settop(state, -2);
            return Some(Codec::Packed);
        }
    }
    Some(Codec::Lua(ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX)))
}
