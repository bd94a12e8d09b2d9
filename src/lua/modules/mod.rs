//! What `require` finds in Rust: the table of native modules, and the `skynet` table that fills itself.

pub(crate) mod client_socket;
pub(crate) mod coroutine;
pub(crate) mod ltls;
pub(crate) mod md5_core;
pub(crate) mod send;
pub(crate) mod skynet;
pub(crate) mod skynet_codecache;
pub(crate) mod skynet_core;
pub(crate) mod skynet_crypt;
pub(crate) mod skynet_debugchannel;
pub(crate) mod skynet_harbor_core;
pub(crate) mod skynet_httpcodec;
pub(crate) mod skynet_kernel;
pub(crate) mod skynet_memory;
pub(crate) mod skynet_netpack;
pub(crate) mod skynet_profile;
pub(crate) mod skynet_socketdriver;
mod socket_buffer;
pub(crate) mod socket_event;

use std::ffi::{CStr, c_int, c_void};

use super::raw::{Binding, bytes_at, ffi, lua_State};

/// The native modules, by the name that Lua code requires.
pub(crate) const NATIVE: &[Binding] = &[
    (c"skynet.core", skynet_core::open),
    (c"skynet.kernel", skynet_kernel::open),
    (c"skynet.profile", skynet_profile::open),
    (c"skynet.codecache", skynet_codecache::open),
    (c"skynet.memory", skynet_memory::open),
    (c"skynet.debugchannel", skynet_debugchannel::open),
    (c"skynet.httpcodec", skynet_httpcodec::open),
    (c"skynet.socketdriver", skynet_socketdriver::open),
    (c"skynet.netpack", skynet_netpack::open),
    (c"client.socket", client_socket::open),
    (c"skynet.crypt", skynet_crypt::open),
    (c"client.crypt", skynet_crypt::open),
    (c"md5.core", md5_core::open),
    (c"ltls.c", ltls::open),
    (c"ltls.init.c", ltls::open_init),
    (c"skynet.harbor.core", skynet_harbor_core::open),
];

/// The registry key of the functions that `skynet.init` was given before the service started.
pub(crate) fn inits_key() -> *const c_void {
    static INITS: u8 = 0;
    (&raw const INITS).cast()
}

/// The registry key of Lua's own `require`.
pub(crate) fn require_key() -> *const c_void {
    static REQUIRE: u8 = 0;
    (&raw const REQUIRE).cast()
}

/// Pushes the `skynet` table: empty, but each field is made when it is first asked for, so that a service pays only for
/// what it uses. `pairs` makes them all.
pub(crate) unsafe extern "C-unwind" fn push_skynet(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it.
    unsafe {
        ffi::lua_newtable(state);
        ffi::lua_createtable(state, 0, 2);
        ffi::lua_pushcfunction(state, lazy_index);
        ffi::lua_setfield(state, -2, c"__index".as_ptr());
        ffi::lua_pushcfunction(state, lazy_pairs);
        ffi::lua_setfield(state, -2, c"__pairs".as_ptr());
        ffi::lua_setmetatable(state, -2);
        1
    }
}

/// Pushes the native field of this name, if there is one.
unsafe fn push_native(state: *mut lua_State, name: &[u8]) -> bool {
    // SAFETY: the caller is a C function with free stack slots.
    unsafe {
        if let Some((_, function)) = skynet::FUNCTIONS.iter().find(|(known, _)| known.to_bytes() == name) {
            ffi::lua_pushcfunction(state, *function);
            return true;
        }
        if let Some((_, kind)) = skynet::CONSTANTS.iter().find(|(known, _)| known.to_bytes() == name) {
            ffi::lua_pushinteger(state, ffi::lua_Integer::from(*kind));
            return true;
        }
        false
    }
}

unsafe extern "C-unwind" fn lazy_index(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it with (table, key); nothing here owns memory.
    unsafe {
        ffi::lua_settop(state, 2);
        if ffi::lua_type(state, 2) != ffi::LUA_TSTRING {
            return 0;
        }
        let name = bytes_at(state, 2).unwrap_or_default();
        if name == b"_proto" {
            // Made anew each time: what is in it may have changed.
            return skynet_kernel::protocols(state);
        }
        if push_native(state, name) {
            ffi::lua_pushvalue(state, 2);
            ffi::lua_pushvalue(state, 3);
            ffi::lua_rawset(state, 1);
            return 1;
        }
        add_extra(state);
        ffi::lua_pushvalue(state, 2);
        if ffi::lua_rawget(state, 1) == ffi::LUA_TNIL {
            // What the part in Lua makes anew each time it is asked for.
            ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, ffi::LUA_LOADED_TABLE);
            if ffi::lua_getfield(state, -1, EXTRA.as_ptr()) == ffi::LUA_TTABLE {
                ffi::lua_pushvalue(state, 2);
                ffi::lua_gettable(state, -2);
            }
        }
        1
    }
}

/// Adds the part in Lua to the table at 1, once.
unsafe fn add_extra(state: *mut lua_State) {
    // SAFETY: as in `lazy_index`.
    unsafe {
        ffi::lua_getfield(state, ffi::LUA_REGISTRYINDEX, ffi::LUA_LOADED_TABLE);
        let there = ffi::lua_getfield(state, -1, EXTRA.as_ptr()) != ffi::LUA_TNIL;
        ffi::lua_settop(state, 2);
        if there {
            return;
        }
        ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, require_key());
        ffi::lua_pushstring(state, EXTRA.as_ptr());
        ffi::lua_call(state, 1, 1);
        ffi::lua_pushnil(state);
        while ffi::lua_next(state, 3) != 0 {
            // A field that somebody has set already stays.
            ffi::lua_pushvalue(state, 4);
            if ffi::lua_rawget(state, 1) == ffi::LUA_TNIL {
                ffi::lua_pushvalue(state, 4);
                ffi::lua_pushvalue(state, 5);
                ffi::lua_rawset(state, 1);
            }
            ffi::lua_settop(state, 4);
        }
        ffi::lua_settop(state, 2);
    }
}

const EXTRA: &CStr = c"skynet.extra";

unsafe extern "C-unwind" fn lazy_pairs(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn next(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls it with (table, key).
        unsafe {
            ffi::lua_settop(state, 2);
            if ffi::lua_next(state, 1) != 0 { 2 } else { 0 }
        }
    }
    // SAFETY: as in `lazy_index`.
    unsafe {
        ffi::lua_settop(state, 1);
        ffi::lua_pushnil(state);
        let names = skynet::FUNCTIONS.iter().map(|(name, _)| name);
        for name in names.chain(skynet::CONSTANTS.iter().map(|(name, _)| name)) {
            ffi::lua_getfield(state, 1, name.as_ptr());
            ffi::lua_settop(state, 2);
        }
        add_extra(state);
        ffi::lua_pushcfunction(state, next);
        ffi::lua_pushvalue(state, 1);
        ffi::lua_pushnil(state);
        3
    }
}
