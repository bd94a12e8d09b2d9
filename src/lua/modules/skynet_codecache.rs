//! `skynet.codecache`: the process's cache of compiled files, as a service sees it; and `loadfile` and `dofile` over it.
//!
//! Annotations: lualib/meta/skynet_codecache.lua.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::{CStr, c_int};
use std::sync::Arc;

use crate::lua::chunk::{self, Chunk};
use crate::lua::kernel::Kernel;
use crate::lua::raw::compat::BINARY_MODE;
use crate::lua::raw::entry::kernel_of;
use crate::lua::raw::{Binding, Call, Raise, Returned, bytes_at, entry, ffi, lua_State, push_module};

pub(super) const FUNCTIONS: &[Binding] =
    &[(c"clear", entry!(clear)), (c"mode", entry!(mode)), (c"loadfile", loadfile)];

/// How a service uses the cache.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum CacheMode {
    /// Reads and fills it.
    On,
    /// Reads it, but does not fill it.
    Exist,
    /// Goes past it.
    Off,
}

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    push_module(state, FUNCTIONS);
    1
}

/// Puts the cached `loadfile` and `dofile` in place of Lua's.
///
/// # Safety
/// Runs inside a protected call, with the standard library open.
pub(crate) unsafe fn install(state: *mut lua_State) {
    ffi::lua_pushcfunction(state, loadfile);
    ffi::lua_setglobal(state, c"loadfile".as_ptr());
    ffi::lua_pushcfunction(state, dofile);
    ffi::lua_setglobal(state, c"dofile".as_ptr());
}

fn clear(_call: &mut Call) -> Result<Returned, Raise> {
    chunk::clear();
    Ok(Returned::Values(0))
}

/// `mode(mode?) -> mode?`
fn mode(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the kernel outlives the call.
    let mode = unsafe { &mut (*call.kernel).code_cache };
    if call.is_none_or_nil(1) {
        let name = match mode {
            CacheMode::On => "ON",
            CacheMode::Exist => "EXIST",
            CacheMode::Off => "OFF",
        };
        return Ok(call.give(name));
    }
    *mode = match call.bytes(1)? {
        b"ON" => CacheMode::On,
        b"EXIST" => CacheMode::Exist,
        b"OFF" => CacheMode::Off,
        other => {
            return Err(Raise::argument(
                1,
                &format!("ON, EXIST or OFF, not {:?}", String::from_utf8_lossy(other)),
            ));
        }
    };
    Ok(Returned::Values(0))
}

/// A chunk that the kernel holds while the VM loads it, and afterwards if the VM goes on reading it.
#[derive(Clone, Copy)]
pub(crate) struct Held {
    chunk: *const Chunk,
    mode: &'static CStr,
}

/// Chunks that one VM reads in place, at the most; what it loads beyond them is copied. A service that clears the cache
/// and loads again and again must not hold every version for ever.
const IN_PLACE_MAX: usize = 1024;

/// Hands a chunk to the kernel, since nothing may be owned while Lua is called.
///
/// # Safety
/// A valid kernel.
pub(crate) unsafe fn hold(kernel: *mut Kernel, chunk: Arc<Chunk>) -> Held {
    let raw = Arc::as_ptr(&chunk);
    let chunks = &mut (*kernel).chunks;
    if chunks.iter().any(|known| std::ptr::eq(Arc::as_ptr(known), raw)) {
        return Held { chunk: raw, mode: BINARY_MODE };
    }
    // What is not in the cache is loaded once: it is not worth being kept.
    let is_shared = Arc::strong_count(&chunk) > 1;
    if cfg!(feature = "lua55") && is_shared && chunks.len() < IN_PLACE_MAX {
        chunks.push(chunk);
        return Held { chunk: raw, mode: BINARY_MODE };
    }
    (*kernel).chunk_in_work = Some(chunk);
    Held { chunk: raw, mode: c"b" }
}

/// Loads a chunk as a function, on top of the stack. The status is Lua's; an error value is there in its place.
///
/// # Safety
/// Runs where a Lua error is caught. The chunk was held for this load, as the last one.
pub(crate) unsafe fn load_held(state: *mut lua_State, held: Held) -> c_int {
    let bytes = (*held.chunk).bytes();
    ffi::luaL_loadbufferx(state, bytes.as_ptr().cast(), bytes.len(), c"=?".as_ptr(), held.mode.as_ptr())
}

/// Finds a file's chunk as the service's mode says; the error is Lua's text.
pub(crate) fn find(mode: CacheMode, path: &str) -> Result<Arc<Chunk>, String> {
    match mode {
        CacheMode::Off => chunk::compile_file(path).map(Arc::new),
        _ => chunk::load(path, mode == CacheMode::On),
    }
}

/// Loads the file at the path on the stack; the status is Lua's.
unsafe fn load_path(state: *mut lua_State, index: c_int) -> c_int {
    let kernel = kernel_of(state);
    let found = {
        let path = String::from_utf8_lossy(bytes_at(state, index).unwrap_or_default()).into_owned();
        match find((*kernel).code_cache, &path) {
            Ok(chunk) => Some(hold(kernel, chunk)),
            Err(text) => {
                (*kernel).scratch = text.into_bytes();
                None
            }
        }
    };
    match found {
        Some(held) => load_held(state, held),
        None => {
            let scratch: *const Vec<u8> = &raw const (*kernel).scratch;
            ffi::lua_pushlstring(state, (*scratch).as_ptr().cast(), (*scratch).len());
            ffi::LUA_ERRFILE
        }
    }
}

/// `loadfile(path?, mode?, env?) -> function | nil, error`
unsafe extern "C-unwind" fn loadfile(state: *mut lua_State) -> c_int {
    let has_env = ffi::lua_type(state, 3) != ffi::LUA_TNONE;
    let mode = bytes_at(state, 2).unwrap_or(b"bt");
    let text_only = !mode.contains(&b'b');
    let binary_only = !mode.contains(&b't');
    ffi::lua_settop(state, 3);
    let status = if ffi::lua_isnil(state, 1) != 0 || binary_only || text_only {
        // Standard input is read once, and a mode asks what the file itself is: both go past the cache.
        let path =
            if ffi::lua_isnil(state, 1) != 0 { std::ptr::null() } else { ffi::luaL_checkstring(state, 1) };
        let mode = if ffi::lua_isnil(state, 2) != 0 { std::ptr::null() } else { ffi::lua_tostring(state, 2) };
        ffi::luaL_loadfilex(state, path, mode)
    } else {
        ffi::luaL_checkstring(state, 1);
        load_path(state, 1)
    };
    if status != ffi::LUA_OK {
        ffi::lua_pushnil(state);
        ffi::lua_rotate(state, -2, 1);
        return 2;
    }
    if has_env {
        ffi::lua_pushvalue(state, 3);
        if ffi::lua_setupvalue(state, -2, 1).is_null() {
            ffi::lua_settop(state, -2);
        }
    }
    1
}

/// `dofile(path?) -> ...`
unsafe extern "C-unwind" fn dofile(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn done(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
        // SAFETY: Lua calls it; the path lies below the results.
        unsafe { ffi::lua_gettop(state) - 1 }
    }
    ffi::lua_settop(state, 1);
    let status = if ffi::lua_isnil(state, 1) != 0 {
        ffi::luaL_loadfilex(state, std::ptr::null(), std::ptr::null())
    } else {
        ffi::luaL_checkstring(state, 1);
        load_path(state, 1)
    };
    if status != ffi::LUA_OK {
        ffi::lua_error(state);
    }
    ffi::lua_callk(state, 0, ffi::LUA_MULTRET, 0, Some(done));
    done(state, ffi::LUA_OK, 0)
}
