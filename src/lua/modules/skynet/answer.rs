//! Answering: `ret`, `retpack`, `response`, `ignoreret`, `context`.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.

use std::ffi::c_int;

use super::super::send;
use super::{kernel, task};
use crate::lua::kernel::{Kernel, Pledge};
use crate::lua::raw::entry::{kernel_of, raise_text};
use crate::lua::raw::{Call, Raise, Returned, bytes_at, entry, ffi, lua_State};
use crate::message::{Origin, Payload, Session};

/// Takes the request that the running coroutine works on.
pub(super) fn take_request(call: &Call) -> Result<Origin, Raise> {
    // SAFETY: the running task is alive.
    // Matched by programs: keep the words.
    task(call)
        .and_then(|task| unsafe { (*task.get()).request.take() })
        .ok_or_else(|| Raise::text("No session"))
}

pub(super) fn answer(call: &mut Call, origin: Origin, payload: Payload) -> Result<Returned, Raise> {
    if let Some(task) = task(call) {
        // SAFETY: as in `take_request`.
        unsafe {
            if (*task.get()).trace.is_some() {
                Kernel::trace_event(call.kernel, task, call.state, "response");
            }
        }
    }
    let delivered = origin.session.is_some() && call.context()?.respond(origin, payload).is_ok();
    Ok(call.push_bool(delivered))
}

/// `ret(message?, size?) -> delivered`
pub(super) fn ret(call: &mut Call) -> Result<Returned, Raise> {
    let payload = send::payload(call, 1)?;
    let origin = take_request(call)?;
    answer(call, origin, payload)
}

/// `retpack(...) -> delivered`
pub(super) fn retpack(call: &mut Call) -> Result<Returned, Raise> {
    let payload = send::pack(call, 1)?;
    let origin = take_request(call)?;
    answer(call, origin, payload)
}

/// `ignoreret()`: no answer is due.
pub(super) fn ignoreret(call: &mut Call) -> Result<Returned, Raise> {
    if let Some(task) = task(call) {
        // SAFETY: the running task is alive.
        unsafe { (*task.get()).request = None };
    }
    Ok(Returned::Values(0))
}

/// `context() -> session, source`: the session is nil once the request is answered.
pub(super) fn context(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the running task is alive.
    let (request, origin) = task(call).map_or((None, None), |task| unsafe {
        let task = &*task.get();
        (task.request, task.origin)
    });
    match request {
        Some(request) => call.push_int(Session::number(request.session).into()),
        None => call.push_nil(),
    };
    match origin {
        Some(origin) => call.push_int(origin.source.as_u32().into()),
        None => call.push_nil(),
    };
    Ok(Returned::Values(2))
}

/// What a response closure keeps in place of its pledge once it has answered.
pub(super) const ANSWERED: i64 = -2;
/// The same where nobody wants an answer.
pub(super) const UNWANTED: i64 = -1;

/// `response(pack?) -> function`: takes the request over, to answer it later.
pub(super) fn response(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the running task is alive.
    let origin = task(call).and_then(|task| unsafe { (*task.get()).request.take() });
    // Matched by programs: keep the words.
    let origin = origin.ok_or_else(|| Raise::text("no session"))?;
    let key = match origin.session {
        Some(_) => kernel(call).pledges.insert(Pledge { origin, orphan: false }) as i64,
        None => UNWANTED,
    };
    // SAFETY: the state is the one that Lua called with. Without a packer there is nil in its place.
    unsafe { ffi::lua_settop(call.state, 1) };
    call.push_int(key);
    Ok(Returned::Then(make_response))
}

pub(super) unsafe extern "C-unwind" fn make_response(state: *mut lua_State) -> c_int {
    // The key lies on top, the packer, if there is one, at the bottom.
    let key = ffi::lua_tointeger(state, -1);
    ffi::lua_settop(state, 1);
    ffi::lua_pushinteger(state, key);
    ffi::lua_pushcclosure(state, respond, 2);
    1
}

/// The closure: `(packer, key)` are its upvalues, `(ok, ...)` its arguments.
pub(super) unsafe extern "C-unwind" fn respond(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn packed(
        state: *mut lua_State,
        _status: c_int,
        _context: ffi::lua_KContext,
    ) -> c_int {
        // SAFETY: Lua calls it; the packer's results are all that lies above `ok`.
        unsafe { entry!(respond_packed)(state) }
    }
    let key = ffi::lua_tointeger(state, ffi::lua_upvalueindex(2));
    let is_test = ffi::lua_type(state, 1) == ffi::LUA_TSTRING && bytes_at(state, 1) == Some(b"TEST");
    if key == UNWANTED {
        return 0;
    }
    if is_test {
        let pledges = &(*kernel_of(state)).pledges;
        let alive = usize::try_from(key).ok().and_then(|key| pledges.get(key));
        ffi::lua_pushboolean(state, c_int::from(alive.is_some_and(|pledge| !pledge.orphan)));
        return 1;
    }
    if key == ANSWERED {
        // Matched by programs: keep the words.
        raise_text(state, format_args!("Can't response more than once"));
    }
    let packer = ffi::lua_upvalueindex(1);
    let native = ffi::lua_isnoneornil(state, packer) != 0
        || ffi::lua_tocfunction(state, packer)
            .is_some_and(|function| std::ptr::fn_addr_eq(function, entry_pack()));
    if ffi::lua_toboolean(state, 1) == 0 || native {
        return entry!(respond_native)(state);
    }
    ffi::lua_pushvalue(state, packer);
    ffi::lua_rotate(state, 2, 1);
    ffi::lua_callk(state, ffi::lua_gettop(state) - 2, ffi::LUA_MULTRET, 0, Some(packed));
    packed(state, ffi::LUA_OK, 0)
}

/// The C function behind `skynet.pack`.
pub(in crate::lua::modules) fn entry_pack() -> ffi::lua_CFunction {
    // Looked up, not made: each use of `entry!` is another function.
    super::FUNCTIONS.iter().find(|(name, _)| *name == c"pack").map_or(respond, |(_, function)| *function)
}

pub(super) fn respond_native(call: &mut Call) -> Result<Returned, Raise> {
    let payload = if call.bool(1) { Some(send::pack(call, 2)?) } else { None };
    redeem(call, payload)
}

pub(super) fn respond_packed(call: &mut Call) -> Result<Returned, Raise> {
    let payload = send::payload(call, 2)?;
    redeem(call, Some(payload))
}

/// Answers what a response closure pledged; an error where there is no payload.
pub(super) fn redeem(call: &mut Call, payload: Option<Payload>) -> Result<Returned, Raise> {
    // SAFETY: the upvalues are those of `make_response`; no value is allocated.
    let key = unsafe {
        let key = ffi::lua_tointeger(call.state, ffi::lua_upvalueindex(2));
        ffi::lua_pushinteger(call.state, ANSWERED);
        ffi::lua_copy(call.state, -1, ffi::lua_upvalueindex(2));
        ffi::lua_settop(call.state, -2);
        key
    };
    let pledge = usize::try_from(key).ok().and_then(|key| kernel(call).pledges.try_remove(key));
    let Some(Pledge { origin, orphan: false }) = pledge else { return Ok(call.push_bool(false)) };
    let ctx = call.context()?;
    let delivered = match payload {
        Some(payload) => ctx.respond(origin, payload),
        None => ctx.respond_error(origin),
    };
    Ok(call.push_bool(delivered.is_ok()))
}
