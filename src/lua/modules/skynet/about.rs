//! What a service learns of itself and its node, and `newservice`.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::c_int;

use crate::handle::Handle;
use crate::lua::raw::entry::raise_text;
use crate::lua::raw::{Call, Raise, Returned, entry, ffi, lua_State};

pub(super) fn own_handle(call: &mut Call) -> Result<Returned, Raise> {
    let handle = call.context()?.handle();
    Ok(call.push_int(handle.as_u32().into()))
}

/// `localname(".name") -> handle?`
pub(super) fn localname(call: &mut Call) -> Result<Returned, Raise> {
    let name = call.text(1)?;
    let handle = call.context()?.query(&name).filter(|_| name.starts_with('.'));
    Ok(call.push_handle(handle))
}

/// `address(handle or anything) -> text`
pub(super) unsafe extern "C-unwind" fn address(state: *mut lua_State) -> c_int {
    ffi::luaL_checkany(state, 1);
    if ffi::lua_type(state, 1) != ffi::LUA_TNUMBER {
        ffi::luaL_tolstring(state, 1, std::ptr::null_mut());
        return 1;
    }
    entry!(number_address)(state)
}

pub(super) fn number_address(call: &mut Call) -> Result<Returned, Raise> {
    let handle = Handle::from_u32(call.int(1)? as u32);
    Ok(call.give(handle.to_string()))
}

pub(super) fn getenv(call: &mut Call) -> Result<Returned, Raise> {
    let key = call.text(1)?;
    Ok(match call.context()?.env(&key) {
        Some(value) => call.give(value),
        None => call.push_nil(),
    })
}

/// `setenv(key, value)`: once for a key.
pub(super) fn setenv(call: &mut Call) -> Result<Returned, Raise> {
    let key = call.exact_text(1)?;
    let value = match call.kind(2) {
        ffi::LUA_TBOOLEAN => call.bool(2).to_string(),
        _ => call.exact_text(2)?,
    };
    call.context()?.set_env(&key, &value).map_err(Raise::text)?;
    Ok(Returned::Values(0))
}

/// `newservice(name, ...) -> handle?`: a call to the launcher.
pub(super) unsafe extern "C-unwind" fn newservice(state: *mut lua_State) -> c_int {
    for index in 1..=ffi::lua_gettop(state) {
        let kind = ffi::lua_type(state, index);
        if kind != ffi::LUA_TSTRING && kind != ffi::LUA_TNUMBER {
            raise_text(
                state,
                format_args!("bad argument #{index} to 'newservice' (string or number expected)"),
            );
        }
    }
    ffi::luaL_checkstack(state, 6, std::ptr::null());
    for text in [c".launcher", c"lua", c"LAUNCH", c"snlua"] {
        ffi::lua_pushstring(state, text.as_ptr());
    }
    ffi::lua_rotate(state, 1, 4);
    entry!(super::call::call)(state)
}

pub(super) fn mqlen(call: &mut Call) -> Result<Returned, Raise> {
    let stat = own_stat(call)?;
    Ok(call.push_int(i64::try_from(stat.mailbox_len).unwrap_or(i64::MAX)))
}

pub(super) fn own_stat(call: &mut Call) -> Result<crate::host::Stat, Raise> {
    let ctx = call.context()?;
    let mut stat = ctx.stat(ctx.handle()).unwrap_or_default();
    // SAFETY: the kernel outlives the call.
    stat.mailbox_len += unsafe { (*call.kernel).held_len() };
    Ok(stat)
}

pub(super) fn endless(call: &mut Call) -> Result<Returned, Raise> {
    let endless = call.context()?.take_endless();
    Ok(call.push_bool(endless))
}

/// `stat(what) -> number`
pub(super) fn stat(call: &mut Call) -> Result<Returned, Raise> {
    let what = call.text(1)?;
    let stat = own_stat(call)?;
    Ok(match what.as_str() {
        "mqlen" => call.push_int(i64::try_from(stat.mailbox_len).unwrap_or(i64::MAX)),
        "message" => call.push_int(i64::try_from(stat.messages).unwrap_or(i64::MAX)),
        "cpu" => call.push_number(stat.cpu.as_secs_f64()),
        "time" => call.push_number(stat.dispatch.as_secs_f64()),
        "endless" => {
            let endless = call.context()?.take_endless();
            call.push_int(i64::from(endless))
        }
        _ => return Err(Raise::argument(1, &format!("mqlen, message, cpu, time or endless, not {what:?}"))),
    })
}
