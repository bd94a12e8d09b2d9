//! The floor under a call between two Lua services: two states, pack, resume, unpack, and nothing of an engine.
//!
//! `benches/floor.rs` runs it beside the same call through a node. The ratio says how far the engine is from the floor,
//! whatever the machine does at that hour.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![allow(clippy::undocumented_unsafe_blocks)]
#![expect(clippy::disallowed_methods, reason = "bare C functions, as in kernel/, and it measures real time")]

use std::ffi::c_int;
use std::time::{Duration, Instant};

use super::raw::{compat, ffi, lua_State};
use super::seri;
use crate::message::Payload;

/// What both states share: the message on its way.
struct Wire {
    request: Payload,
    answer: Payload,
}

unsafe fn wire(state: *mut lua_State) -> *mut Wire {
    *ffi::lua_getextraspace(state).cast::<*mut Wire>()
}

unsafe fn new_state(wire: *mut Wire, script: &std::ffi::CStr) -> *mut lua_State {
    let state = ffi::luaL_newstate();
    *ffi::lua_getextraspace(state).cast::<*mut Wire>() = wire;
    ffi::luaL_openlibs(state);
    compat::gc_generational(state);
    seri::prepare(state);
    ffi::lua_pushcfunction(state, call);
    ffi::lua_setglobal(state, c"call".as_ptr());
    ffi::lua_pushcfunction(state, ret);
    ffi::lua_setglobal(state, c"ret".as_ptr());
    assert_eq!(ffi::luaL_loadstring(state, script.as_ptr()), ffi::LUA_OK, "the script compiles");
    ffi::lua_call(state, 0, 1);
    state
}

/// `call(...) -> ...`: packs a request, suspends, and unpacks the answer.
unsafe extern "C-unwind" fn call(state: *mut lua_State) -> c_int {
    if let Ok(payload) = seri::pack(state, 1) {
        (*wire(state)).request = payload;
    }
    ffi::lua_settop(state, 0);
    ffi::lua_yieldk(state, 0, 0, Some(called))
}

unsafe extern "C-unwind" fn called(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
    let wire = &*wire(state);
    let answer = wire.answer.as_bytes();
    seri::unpack(state, answer.as_ptr(), answer.len()).unwrap_or(0)
}

/// `ret(...)`: packs the answer.
unsafe extern "C-unwind" fn ret(state: *mut lua_State) -> c_int {
    if let Ok(payload) = seri::pack(state, 1) {
        (*wire(state)).answer = payload;
    }
    0
}

/// The body of a handler's coroutine: `(handler)`.
unsafe extern "C-unwind" fn handle(state: *mut lua_State) -> c_int {
    let wire = &*wire(state);
    let request = wire.request.as_bytes();
    ffi::lua_pushinteger(state, 1);
    ffi::lua_pushinteger(state, 2);
    let count = seri::unpack(state, request.as_ptr(), request.len()).unwrap_or(0);
    ffi::lua_callk(state, 2 + count, 0, 0, Some(handled));
    0
}

unsafe extern "C-unwind" fn handled(_: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
    0
}

/// The time of so many round trips.
#[must_use]
pub fn round_trips(count: u64) -> Duration {
    unsafe {
        let mut wire = Wire { request: Payload::empty(), answer: Payload::empty() };
        let asker = new_state(
            &raw mut wire,
            c"local call = call return function(n) for i = 1, n do call('ping', i) end end",
        );
        let answerer = new_state(
            &raw mut wire,
            c"local ret = ret return function(_, _, command, i) ret(command, i) end",
        );
        let co = ffi::lua_newthread(asker);
        ffi::lua_pushvalue(asker, -2);
        ffi::lua_xmove(asker, co, 1);
        ffi::lua_pushinteger(co, i64::try_from(count).unwrap_or(i64::MAX));
        let handler = ffi::lua_newthread(answerer);
        let begun = Instant::now();
        let mut results = 0;
        let mut arguments = 1;
        while ffi::lua_resume(co, asker, arguments, &raw mut results) == ffi::LUA_YIELD {
            arguments = 0;
            ffi::lua_pushcfunction(handler, handle);
            ffi::lua_pushvalue(answerer, 1);
            ffi::lua_xmove(answerer, handler, 1);
            let status = ffi::lua_resume(handler, answerer, 1, &raw mut results);
            assert_eq!(status, ffi::LUA_OK, "the handler answers");
            wire.request = Payload::empty();
        }
        let spent = begun.elapsed();
        ffi::lua_close(asker);
        ffi::lua_close(answerer);
        spent
    }
}
