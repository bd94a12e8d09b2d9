//! Sending and calling: `send`, `rawsend`, `redirect`, `call`, `rawcall`.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.

use std::ffi::c_int;

use super::super::send::{self, Target};
use super::super::skynet_core::handle_of;
use super::{kernel, task};
use crate::handle::Handle;
use crate::host::SendError;
use crate::lua::kernel::dispatch::push_delivery;
use crate::lua::kernel::protocol::{Codec, Protocol};
use crate::lua::kernel::task::TaskPtr;
use crate::lua::kernel::{Kernel, Waiter, Wake};
use crate::lua::raw::entry::{kernel_of, raise_text, unpack as unpack_bytes};
use crate::lua::raw::{Call, Raise, Returned, bytes_at, entry, ffi, lua_State};
use crate::message::{Message, MessageKind, Payload, Session};

pub(super) fn new_message(
    call: &mut Call,
    kind: MessageKind,
    session: Option<Session>,
    payload: Payload,
) -> Result<Message, Raise> {
    Ok(Message { source: call.context()?.handle(), session, kind, payload })
}

/// What a send without a session returns.
pub(super) fn sent(call: &mut Call, result: Result<(), SendError>) -> Returned {
    match result {
        Ok(()) => call.push_int(0),
        Err(SendError::TooLarge { .. }) => call.push_bool(false),
        Err(_) => Returned::Values(0),
    }
}

/// `send(address, typename, ...)`: 0, or nothing where nobody has the address, or false where it is too large.
pub(super) fn send(call: &mut Call) -> Result<Returned, Raise> {
    let to = send::target(call, 1)?;
    let protocol = send::protocol(call, 2)?;
    let kind = protocol.kind;
    match protocol.pack {
        Some(Codec::Packed) => {}
        Some(_) => return Ok(Returned::Then(packed_by_lua::<false>)),
        None => return Err(no_packer(protocol)),
    }
    let payload = send::pack(call, 3)?;
    let message = new_message(call, kind, None, payload)?;
    let result = send::send(call, &to, message)?;
    Ok(sent(call, result))
}

pub(super) fn no_packer(protocol: &Protocol) -> Raise {
    Raise::Text(format!("protocol {} has no pack function", String::from_utf8_lossy(&protocol.name)))
}

/// `(address, typename, ...)` whose protocol packs in Lua: goes on as rawsend or as a call.
pub(super) unsafe extern "C-unwind" fn packed_by_lua<const CALL: bool>(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn packed<const CALL: bool>(
        state: *mut lua_State,
        _status: c_int,
        _context: ffi::lua_KContext,
    ) -> c_int {
        // SAFETY: Lua calls it. What was packed lies above the address and the type.
        unsafe { if CALL { entry!(call_packed)(state) } else { entry!(rawsend)(state) } }
    }
    let kernel = kernel_of(state);
    let protocol = match ffi::lua_type(state, 2) {
        ffi::LUA_TNUMBER => (*kernel).protocols.get(MessageKind(ffi::lua_tointeger(state, 2) as u8)),
        _ => (*kernel).protocols.by_name(bytes_at(state, 2).unwrap_or_default()),
    };
    let Some(Codec::Lua(function)) = protocol.and_then(|protocol| protocol.pack) else { return 0 };
    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, function.into());
    ffi::lua_rotate(state, 3, 1);
    ffi::lua_callk(state, ffi::lua_gettop(state) - 3, ffi::LUA_MULTRET, 0, Some(packed::<CALL>));
    packed::<CALL>(state, ffi::LUA_OK, 0)
}

/// `rawsend(address, typename, message, size?)`
pub(super) fn rawsend(call: &mut Call) -> Result<Returned, Raise> {
    let to = send::target(call, 1)?;
    let kind = send::protocol(call, 2)?.kind;
    let payload = send::some_payload(call, 3)?;
    let message = new_message(call, kind, None, payload)?;
    let result = send::send(call, &to, message)?;
    Ok(sent(call, result))
}

/// `redirect(address, source, typename, session, message, size?)`
pub(super) fn redirect(call: &mut Call) -> Result<Returned, Raise> {
    let to = send::target(call, 1)?;
    let source = match call.kind(2) {
        ffi::LUA_TNUMBER => Handle::from_u32(call.int(2)? as u32),
        _ => handle_of(&send::target(call, 2)?),
    };
    let kind = send::protocol(call, 3)?.kind;
    let session =
        if call.is_none_or_nil(4) { kernel(call).new_session() } else { Session::new(call.int(4)? as i32) };
    let payload = send::some_payload(call, 5)?;
    let number = Session::number(session);
    let result = send::send(call, &to, Message { source, session, kind, payload })?;
    Ok(match result {
        Ok(()) => call.push_int(number.into()),
        Err(SendError::TooLarge { .. }) => call.push_bool(false),
        Err(_) => Returned::Values(0),
    })
}

/// The coroutine that may suspend, or the error that Lua would raise.
pub(in crate::lua::modules) fn may_suspend(call: &Call) -> Result<TaskPtr, Raise> {
    // SAFETY: the state is the one that Lua called with.
    let can_yield = unsafe { ffi::lua_isyieldable(call.state) } != 0;
    match task(call) {
        Some(task) if can_yield => Ok(task),
        Some(_) => Err(Raise::text("attempt to yield across a C-call boundary")),
        // Matched by programs: keep the words.
        None => Err(Raise::text("attempt to yield from outside a coroutine")),
    }
}

/// Sends a request and has the running coroutine wait for its answer.
#[inline]
pub(super) fn begin_call(call: &mut Call, kind: MessageKind, payload: Payload) -> Result<(), Raise> {
    let task = may_suspend(call)?;
    let to = send::target(call, 1)?;
    let session = kernel(call).new_session();
    let Some(session) = session else { return Err(Raise::text("the service is not in a dispatch")) };
    let message = new_message(call, kind, Some(session), payload)?;
    // SAFETY: the running task is alive.
    if unsafe { (*task.get()).trace.is_some() } {
        trace_call(call, task, &to);
    }
    if send::send(call, &to, message)?.is_err() {
        // Matched by programs: keep the words.
        return Err(Raise::Text(format!("call to invalid address {}", address_text(call, 1))));
    }
    let kernel = kernel(call);
    kernel.sessions.insert(session.get(), Waiter::Call(task, handle_of(&to)));
    kernel.suspend(task, session.get());
    Ok(())
}

#[cold]
pub(super) fn trace_call(call: &mut Call, task: TaskPtr, to: &Target) {
    // SAFETY: the task runs; the kernel outlives the call.
    unsafe {
        let Some(tag) = (*task.get()).trace.clone() else { return };
        Kernel::trace_line(call.kernel, Some((call.state, 1)), &tag, "call");
        let source = (*call.kernel).handle();
        let message =
            Message { source, session: None, kind: MessageKind::TRACE, payload: Payload::copy_from(&tag) };
        let _ = send::send(call, to, message);
    }
}

pub(super) fn address_text(call: &Call, index: c_int) -> String {
    match call.kind(index) {
        ffi::LUA_TNUMBER => Handle::from_u32(call.opt_int(index).unwrap_or(0) as u32).to_string(),
        _ => call.text(index).unwrap_or_default(),
    }
}

/// `call(address, typename, ...) -> ...`
pub(super) fn call(call: &mut Call) -> Result<Returned, Raise> {
    let protocol = send::protocol(call, 2)?;
    let kind = protocol.kind;
    match protocol.pack {
        Some(Codec::Packed) => {}
        Some(_) => return Ok(Returned::Then(packed_by_lua::<true>)),
        None => return Err(no_packer(protocol)),
    }
    let payload = send::pack(call, 3)?;
    begin_call(call, kind, payload)?;
    Ok(Returned::Yield(called, kind.index() as isize))
}

/// A call whose payload is packed: `(address, typename, message, size?)`.
pub(super) fn call_packed(call: &mut Call) -> Result<Returned, Raise> {
    let kind = send::protocol(call, 2)?.kind;
    let payload = send::some_payload(call, 3)?;
    begin_call(call, kind, payload)?;
    Ok(Returned::Yield(called, kind.index() as isize))
}

/// `rawcall(address, typename, message, size?) -> pointer, size`
pub(super) fn rawcall(call: &mut Call) -> Result<Returned, Raise> {
    let kind = send::protocol(call, 2)?.kind;
    let payload = send::some_payload(call, 3)?;
    begin_call(call, kind, payload)?;
    Ok(Returned::Yield(called, RAW))
}

/// The context of a continuation that returns the answer as it is.
pub(super) const RAW: isize = -1;

/// The answer of a call has come, or an error.
pub(super) unsafe extern "C-unwind" fn called(
    state: *mut lua_State,
    _status: c_int,
    kind: ffi::lua_KContext,
) -> c_int {
    let kernel = kernel_of(state);
    if let Some(task) = (*kernel).running
        && (*task.get()).trace.is_some()
    {
        Kernel::trace_event(kernel, task, state, "resume");
    }
    if (*kernel).wake != Wake::Answer {
        // Matched by programs: keep the words.
        raise_text(state, format_args!("call failed"));
    }
    let delivery = (*kernel).delivery;
    if kind == RAW {
        push_delivery(state, delivery);
        return 2;
    }
    match (*kernel).protocols.get(MessageKind(kind as u8)).map(|known| known.unpack) {
        Some(Codec::Packed) => {
            ffi::lua_settop(state, 0);
            unpack_bytes(state, delivery.data, delivery.len)
        }
        Some(Codec::Lua(function)) => {
            ffi::lua_settop(state, 0);
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, function.into());
            push_delivery(state, delivery);
            ffi::lua_call(state, 2, ffi::LUA_MULTRET);
            ffi::lua_gettop(state)
        }
        Some(Codec::Raw) | None => {
            push_delivery(state, delivery);
            2
        }
    }
}
