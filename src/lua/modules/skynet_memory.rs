//! `skynet.memory`: what the process and its services have allocated.
//!
//! The figures of services are exact: each VM counts its own. Those of the process come from the operating system;
//! there is no jemalloc to ask. Annotations: lualib/meta/skynet_memory.lua.

use std::ffi::c_int;

use crate::lua::raw::entry::kernel_of;
use crate::lua::raw::{Binding, Call, Raise, Returned, entry, ffi, lua_State, push_module};

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"total", entry!(total)),
    (c"block", entry!(block)),
    (c"current", entry!(current)),
    (c"info", info),
    (c"dumpinfo", entry!(dump)),
    (c"dump", entry!(dump)),
    (c"jestat", jestat),
    (c"mallctl", entry!(mallctl)),
    (c"dumpheap", entry!(dumpheap)),
    (c"profactive", entry!(profactive)),
];

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

/// Bytes of memory that the process holds, as Linux says.
fn resident() -> i64 {
    let pages: i64 = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok())
        .unwrap_or(0);
    pages * 4096
}

/// `total() -> bytes`
fn total(call: &mut Call) -> Result<Returned, Raise> {
    Ok(call.push_int(resident()))
}

/// `block() -> blocks`: nobody counts them.
fn block(call: &mut Call) -> Result<Returned, Raise> {
    Ok(call.push_int(0))
}

/// `current() -> bytes` of this service.
fn current(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the kernel outlives the call.
    let used = unsafe { (*call.kernel).memory().used() };
    Ok(call.push_int(i64::try_from(used).unwrap_or(i64::MAX)))
}

/// `info() -> { [handle] = bytes }`
unsafe extern "C-unwind" fn info(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it. The list lives in the kernel, so that nothing is lost if a push raises.
    unsafe {
        let kernel = kernel_of(state);
        {
            let list = (*kernel).context().map(|ctx| ctx.memory()).unwrap_or_default();
            (*kernel).scratch = list
                .iter()
                .flat_map(|(handle, bytes)| [u64::from(handle.as_u32()), *bytes as u64])
                .flat_map(u64::to_ne_bytes)
                .collect();
        }
        ffi::lua_newtable(state);
        let scratch: *const Vec<u8> = &raw const (*kernel).scratch;
        for pair in (*scratch).chunks_exact(16) {
            let (handle, bytes) = pair.split_at(8);
            let number = |bytes: &[u8]| u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
            ffi::lua_pushinteger(state, number(bytes).cast_signed());
            ffi::lua_rawseti(state, -2, number(handle).cast_signed());
        }
        1
    }
}

/// `dump()`: a log line for each service that has memory to speak of.
fn dump(call: &mut Call) -> Result<Returned, Raise> {
    let ctx = call.context()?;
    for (handle, bytes) in ctx.memory() {
        if bytes > 0 {
            ctx.log(format!("{handle} -> {}kb {}b", bytes >> 10, bytes % 1024));
        }
    }
    ctx.log(format!("+total: {}kb", resident() >> 10));
    Ok(Returned::Values(0))
}

/// `jestat() -> table`, with the keys of jemalloc: only the resident bytes are known.
unsafe extern "C-unwind" fn jestat(state: *mut lua_State) -> c_int {
    let resident = resident();
    // SAFETY: Lua calls it; nothing here owns memory.
    unsafe {
        ffi::lua_newtable(state);
        for (key, value) in [
            (c"stats.allocated", resident),
            (c"stats.resident", resident),
            (c"stats.retained", 0),
            (c"stats.mapped", resident),
            (c"stats.active", resident),
        ] {
            ffi::lua_pushinteger(state, value);
            ffi::lua_setfield(state, -2, key.as_ptr());
        }
        1
    }
}

/// `mallctl(name) -> 0`
fn mallctl(call: &mut Call) -> Result<Returned, Raise> {
    let name = call.text(1)?;
    // Matched by log readers: keep the words.
    call.context()?.log(format!("No jemalloc : mallctl_int64 {name}."));
    Ok(call.push_int(0))
}

fn dumpheap(call: &mut Call) -> Result<Returned, Raise> {
    call.context()?.log("No jemalloc : mallctl_cmd prof.dump.");
    Ok(Returned::Values(0))
}

fn profactive(call: &mut Call) -> Result<Returned, Raise> {
    call.context()?.log("No jemalloc : mallctl_bool prof.active.");
    Ok(call.push_bool(false))
}
