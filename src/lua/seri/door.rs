//! The Lua functions that tests, benchmarks and fuzzing reach the codec by. They free what they pack.
#![cfg_attr(not(any(fuzzing, feature = "bench")), expect(unreachable_pub, reason = "only tests see it"))]

use std::ffi::c_int;

use mlua::ffi::{self, lua_State};

use super::{PackError, pack, pack_with, prepare, unpack};

/// A table with `pack`, `packstring`, `unpack` and `trash`, which frees what `pack` gave.
///
/// # Errors
/// Memory.
pub fn open(lua: &mlua::Lua) -> mlua::Result<mlua::Table> {
    unsafe extern "C-unwind" fn lua_prepare(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls it, with room for twenty values.
        unsafe { prepare(state) };
        0
    }
    // SAFETY: the functions keep to Lua's rules.
    unsafe {
        lua.create_c_function(lua_prepare)?.call::<()>(())?;
        let module = lua.create_table()?;
        module.set("pack", lua.create_c_function(lua_pack)?)?;
        module.set("packstring", lua.create_c_function(lua_packstring)?)?;
        module.set("unpack", lua.create_c_function(lua_unpack)?)?;
        module.set("trash", lua.create_c_function(lua_trash)?)?;
        Ok(module)
    }
}

#[expect(clippy::disallowed_methods, reason = "its text is dropped before it raises")]
unsafe fn raise(state: *mut lua_State, text: Option<String>) -> c_int {
    // SAFETY: the text is dropped before the error is raised.
    unsafe {
        if let Some(text) = text {
            ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
            drop(text);
        }
        ffi::lua_error(state)
    }
}

unsafe fn raise_pack(state: *mut lua_State, error: PackError) -> c_int {
    let text = (error != PackError::Lua).then(|| error.to_string());
    // SAFETY: `error` is `Copy`, and the error value is where it says.
    unsafe { raise(state, text) }
}

unsafe extern "C-unwind" fn lua_pack(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it; the payload is given away before anything is pushed.
    unsafe {
        match pack(state, 1) {
            Ok(payload) => {
                let (data, len) = payload.into_raw();
                ffi::lua_pushlightuserdata(state, data);
                ffi::lua_pushinteger(state, len as ffi::lua_Integer);
                2
            }
            Err(error) => raise_pack(state, error),
        }
    }
}

unsafe extern "C-unwind" fn lua_packstring(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it. A memory error in here would lose a block; these are tests.
    unsafe {
        match pack_with(state, 1, |bytes| {
            ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len());
        }) {
            Ok(()) => 1,
            Err(error) => raise_pack(state, error),
        }
    }
}

unsafe extern "C-unwind" fn lua_unpack(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it, with a string, which stays on the stack, or with what `pack` gave.
    unsafe {
        let mut len = 0;
        let data = if ffi::lua_type(state, 1) == ffi::LUA_TLIGHTUSERDATA {
            len = ffi::lua_tointegerx(state, 2, std::ptr::null_mut()) as usize;
            ffi::lua_touserdata(state, 1).cast::<u8>().cast_const()
        } else {
            ffi::lua_tolstring(state, 1, &raw mut len).cast()
        };
        match unpack(state, data, len) {
            Ok(count) => count,
            Err(error) => raise(state, Some(error.to_string())),
        }
    }
}

unsafe extern "C-unwind" fn lua_trash(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it with what `pack` gave.
    unsafe { libc::free(ffi::lua_touserdata(state, 1)) };
    0
}
