//! `skynet.kernel`: what lualib/skynet/*.lua needs of the native dispatcher and services do not.
//!
//! Annotations: lualib/meta/skynet_kernel.lua.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::c_int;

use super::skynet_core::handle_of;
use super::{coroutine, send};
use crate::lua::kernel::protocol::Codec;
use crate::lua::kernel::task::{TaskPtr, task_of};
use crate::lua::kernel::{Kernel, Mode, Waiter};
use crate::lua::raw::entry::{kernel_of, raise_text};
use crate::lua::raw::{Binding, Call, Raise, Returned, bytes_at, entry, ffi, lua_State};
use crate::message::{Message, MessageKind, Session};

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"skynet", super::push_skynet),
    (c"request", request),
    (c"on_response", on_response),
    (c"forget", entry!(forget)),
    (c"skip_sessions", entry!(skip_sessions)),
    (c"tasks", tasks),
    (c"session_of", session_of),
    (c"thread_of", thread_of),
    (c"start_thread", start_thread),
    (c"running", running),
    (c"is_blocked", is_blocked),
    (c"memlimit", entry!(memlimit)),
    (c"forward_map", forward_map),
    (c"filter", filter),
    (c"on_unknown_request", on_unknown_request),
    (c"on_unknown_response", on_unknown_response),
    (c"protocols", protocols),
    (c"traceproto", entry!(traceproto)),
    (c"trace", entry!(trace)),
    (c"tracetag", entry!(tracetag)),
    (c"tracelog", entry!(super::skynet_core::trace)),
    (c"trace_timeout", entry!(trace_timeout)),
    (c"timer_origin", entry!(timer_origin)),
    (c"drop_idle", entry!(drop_idle)),
    (c"debugger", entry!(super::skynet_debugchannel::debugger)),
    (c"stopped", super::skynet_debugchannel::stopped),
    (c"go_on", entry!(super::skynet_debugchannel::go_on)),
    (c"init", init),
    (c"require", standard_require),
];

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn index(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls it with (table, key).
        unsafe {
            ffi::lua_settop(state, 2);
            let name = bytes_at(state, 2).unwrap_or_default();
            let Some((_, function)) = FUNCTIONS.iter().find(|(known, _)| known.to_bytes() == name) else {
                return 0;
            };
            ffi::lua_pushcfunction(state, *function);
            ffi::lua_pushvalue(state, 2);
            ffi::lua_pushvalue(state, 3);
            ffi::lua_rawset(state, 1);
            1
        }
    }
    // Most services ask for one function only, so the others are made when they are asked for.
    ffi::lua_createtable(state, 0, 1);
    ffi::lua_createtable(state, 0, 1);
    ffi::lua_pushcfunction(state, index);
    ffi::lua_setfield(state, -2, c"__index".as_ptr());
    ffi::lua_setmetatable(state, -2);
    1
}

/// `request(address, typename, ...) -> session?`: sends a request; who waits for it is said by `on_response`.
unsafe extern "C-unwind" fn request(state: *mut lua_State) -> c_int {
    unsafe extern "C-unwind" fn packed(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
        // SAFETY: Lua calls it; what was packed lies above the address and the type.
        unsafe { entry!(request_packed)(state) }
    }
    let kernel = kernel_of(state);
    let packer = {
        let call = Call { state, kernel };
        send::protocol(&call, 2).ok().and_then(|protocol| protocol.pack)
    };
    let Some(Codec::Lua(function)) = packer else { return entry!(request_native)(state) };
    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, function.into());
    ffi::lua_rotate(state, 3, 1);
    ffi::lua_callk(state, ffi::lua_gettop(state) - 3, ffi::LUA_MULTRET, 0, Some(packed));
    packed(state, ffi::LUA_OK, 0)
}

fn request_native(call: &mut Call) -> Result<Returned, Raise> {
    let payload = send::pack(call, 3)?;
    send_request(call, payload)
}

fn request_packed(call: &mut Call) -> Result<Returned, Raise> {
    let payload = send::some_payload(call, 3)?;
    send_request(call, payload)
}

fn send_request(call: &mut Call, payload: crate::message::Payload) -> Result<Returned, Raise> {
    let kind = send::protocol(call, 2)?.kind;
    let to = send::target(call, 1)?;
    // SAFETY: the kernel outlives the call.
    let kernel = unsafe { &mut *call.kernel };
    let session = kernel.new_session();
    let source = call.context()?.handle();
    let message = Message { source, session, kind, payload };
    if send::send(call, &to, message)?.is_err() {
        return Ok(Returned::Values(0));
    }
    let number = Session::number(session);
    // Until somebody says that it waits, the answer is dropped; a dead service is noticed all the same.
    kernel.sessions.insert(number, Waiter::Callback(ffi::LUA_NOREF, handle_of(&to)));
    Ok(call.push_int(number.into()))
}

/// `on_response(session, function)`: the function is run as `f(ok, message, size)` when the answer comes.
unsafe extern "C-unwind" fn on_response(state: *mut lua_State) -> c_int {
    let session = ffi::luaL_checkinteger(state, 1) as i32;
    ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
    ffi::lua_settop(state, 2);
    let function = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
    match (*kernel_of(state)).sessions.get_mut(&session) {
        Some(Waiter::Callback(place, _)) if *place == ffi::LUA_NOREF => *place = function,
        _ => {
            ffi::luaL_unref(state, ffi::LUA_REGISTRYINDEX, function);
            raise_text(state, format_args!("session {session} is no open request"));
        }
    }
    0
}

/// `forget(session)`: the answer of a request is dropped when it comes.
fn forget(call: &mut Call) -> Result<Returned, Raise> {
    let session = call.int(1)? as i32;
    // SAFETY: the kernel outlives the call; freeing a reference allocates nothing.
    unsafe {
        if let Some(place) = (*call.kernel).sessions.get_mut(&session)
            && let Waiter::Callback(function, _) = *place
        {
            *place = Waiter::Gone;
            ffi::luaL_unref(call.state, ffi::LUA_REGISTRYINDEX, function);
        }
    }
    Ok(Returned::Values(0))
}

/// `skip_sessions(last)`: the next session is the one after `last`, as if so many had been used.
fn skip_sessions(call: &mut Call) -> Result<Returned, Raise> {
    let last = call.int(1)?;
    let last = i32::try_from(last).map_err(|_| Raise::argument(1, &format!("a session, not {last}")))?;
    call.context()?.skip_sessions(last);
    Ok(Returned::Values(0))
}

/// `tasks() -> { [thread] = session }`: the suspended coroutines.
unsafe extern "C-unwind" fn tasks(state: *mut lua_State) -> c_int {
    let kernel = kernel_of(state);
    // The sessions are noted in memory of Lua's, since nothing is lost then if a push raises; and each is looked up
    // again, since a push may run finalizers.
    let count = (*kernel).suspended().count();
    let sessions = ffi::lua_newuserdatauv(state, count * size_of::<i32>(), 0).cast::<i32>();
    let count = note_sessions(&*kernel, sessions, count);
    ffi::lua_createtable(state, 0, c_int::try_from(count).unwrap_or(0));
    for place in 0..count {
        let session = sessions.add(place).read_unaligned();
        if let Some(task) = task_waiting_for(&*kernel, session) {
            ffi::lua_pushthread(task.state());
            ffi::lua_xmove(task.state(), state, 1);
            ffi::lua_pushinteger(state, session.into());
            ffi::lua_rawset(state, -3);
        }
    }
    1
}

unsafe fn note_sessions(kernel: &Kernel, sessions: *mut i32, room: usize) -> usize {
    let mut count = 0;
    for (_, session) in kernel.suspended().take(room) {
        sessions.add(count).write_unaligned(session);
        count += 1;
    }
    count
}

fn task_waiting_for(kernel: &Kernel, session: i32) -> Option<TaskPtr> {
    match kernel.sessions.get(&session)? {
        Waiter::Call(task, _) | Waiter::Sleep(task) | Waiter::Wait(task) | Waiter::Start(task) => Some(*task),
        Waiter::Gone | Waiter::Callback(..) => None,
    }
}

/// `session_of(thread) -> session?`
unsafe extern "C-unwind" fn session_of(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TTHREAD);
    match task_of(ffi::lua_tothread(state, 1)) {
        Some(task) if (*task.get()).waits_for != 0 => {
            ffi::lua_pushinteger(state, (*task.get()).waits_for.into());
        }
        _ => ffi::lua_pushnil(state),
    }
    1
}

/// `thread_of(session) -> thread?`
unsafe extern "C-unwind" fn thread_of(state: *mut lua_State) -> c_int {
    let session = ffi::luaL_checkinteger(state, 1) as i32;
    let Some(task) = task_waiting_for(&*kernel_of(state), session) else { return 0 };
    ffi::lua_pushthread(task.state());
    ffi::lua_xmove(task.state(), state, 1);
    1
}

/// `start_thread() -> thread?`: the coroutine that runs the start function, while it does.
unsafe extern "C-unwind" fn start_thread(state: *mut lua_State) -> c_int {
    let Some(task) = (*kernel_of(state)).start_task else { return 0 };
    ffi::lua_pushthread(task.state());
    ffi::lua_xmove(task.state(), state, 1);
    1
}

/// `running() -> thread?`: the kernel's coroutine that runs now, whatever runs inside it.
unsafe extern "C-unwind" fn running(state: *mut lua_State) -> c_int {
    let Some(task) = (*kernel_of(state)).running else { return 0 };
    ffi::lua_pushthread(task.state());
    if task.state() != state {
        ffi::lua_xmove(task.state(), state, 1);
    }
    1
}

/// `is_blocked(thread) -> boolean`: it waits inside a skynet function.
unsafe extern "C-unwind" fn is_blocked(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TTHREAD);
    let blocked = coroutine::is_blocked(kernel_of(state), ffi::lua_tothread(state, 1));
    ffi::lua_pushboolean(state, c_int::from(blocked));
    1
}

/// `memlimit(bytes)`
fn memlimit(call: &mut Call) -> Result<Returned, Raise> {
    let bytes = call.int(1)?;
    let limit = usize::try_from(bytes)
        .ok()
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| Raise::argument(1, &format!("a number of bytes above 0, not {bytes}")))?;
    // SAFETY: the kernel outlives the call.
    unsafe { (*call.kernel).memory().set_limit(limit) };
    // Matched by log readers: keep the words.
    call.context()?.log(format!("Set memory limit to {:.2} M", limit as f64 / f64::from(1 << 20)));
    Ok(Returned::Values(0))
}

/// `forward_map({ [type] = type })`: messages of these types are dispatched as another, and not freed.
unsafe extern "C-unwind" fn forward_map(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TTABLE);
    ffi::lua_settop(state, 1);
    let mut map = [0_u8; 256];
    ffi::lua_pushnil(state);
    while ffi::lua_next(state, 1) != 0 {
        let from = u8::try_from(ffi::lua_tointeger(state, -2));
        let to = u8::try_from(ffi::lua_tointeger(state, -1));
        let (Ok(from), Ok(to @ 1..)) = (from, to) else {
            raise_text(state, format_args!("forward_type wants a table from message types to message types"));
        };
        map[usize::from(from)] = to;
        ffi::lua_settop(state, -2);
    }
    set_forward_map(state, &map);
    0
}

unsafe fn set_forward_map(state: *mut lua_State, map: &[u8; 256]) {
    (*kernel_of(state)).forwarded = Some(Box::new(*map));
}

/// `filter(function)`: every message goes through it before it is dispatched.
unsafe extern "C-unwind" fn filter(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
    ffi::lua_settop(state, 1);
    let function = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
    (*kernel_of(state)).mode = Mode::Filter(function);
    0
}

/// Swaps a function reference; the one before is pushed.
unsafe fn swap(state: *mut lua_State, place: *mut c_int) -> c_int {
    ffi::lua_settop(state, 1);
    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, (*place).into());
    ffi::lua_rotate(state, 1, 1);
    let function = if ffi::lua_isnil(state, 2) != 0 {
        ffi::LUA_NOREF
    } else {
        ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX)
    };
    ffi::luaL_unref(state, ffi::LUA_REGISTRYINDEX, *place);
    *place = function;
    ffi::lua_settop(state, 1);
    1
}

/// `on_unknown_request(function?) -> previous?`
unsafe extern "C-unwind" fn on_unknown_request(state: *mut lua_State) -> c_int {
    swap(state, &raw mut (*kernel_of(state)).on_unknown_request)
}

/// `on_unknown_response(function?) -> previous?`
unsafe extern "C-unwind" fn on_unknown_response(state: *mut lua_State) -> c_int {
    swap(state, &raw mut (*kernel_of(state)).on_unknown_response)
}

/// `protocols() -> { [name] = class, [id] = class }`
pub(super) unsafe extern "C-unwind" fn protocols(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 0);
    ffi::lua_newtable(state);
    let mut place = 0;
    while let Some((kind, name, class, dispatch, packed)) = nth_protocol(&*kernel_of(state), place) {
        place += 1;
        if class == ffi::LUA_NOREF {
            ffi::lua_newtable(state);
            ffi::lua_pushlstring(state, name.cast(), name.len());
            ffi::lua_setfield(state, -2, c"name".as_ptr());
            ffi::lua_pushinteger(state, i64::from(kind));
            ffi::lua_setfield(state, -2, c"id".as_ptr());
            if packed {
                ffi::lua_pushcfunction(state, super::skynet::answer::entry_pack());
                ffi::lua_setfield(state, -2, c"pack".as_ptr());
                ffi::lua_pushcfunction(state, super::skynet_core::unpack);
                ffi::lua_setfield(state, -2, c"unpack".as_ptr());
            }
            // From now on it is the class, so that `dispatch` shows there too.
            ffi::lua_pushvalue(state, -1);
            let class = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
            if let Some(protocol) = (*kernel_of(state)).protocols.get_mut(MessageKind(kind)) {
                protocol.class = class;
            }
        } else {
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, class.into());
        }
        if dispatch > 0 {
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, dispatch.into());
            ffi::lua_setfield(state, -2, c"dispatch".as_ptr());
        }
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawseti(state, 1, i64::from(kind));
        ffi::lua_pushlstring(state, name.cast(), name.len());
        ffi::lua_rotate(state, -2, 1);
        ffi::lua_rawset(state, 1);
        ffi::lua_settop(state, 1);
    }
    1
}

/// What `protocols` shows of one; a raw slice, since nothing may be owned while Lua is called.
fn nth_protocol(kernel: &Kernel, place: usize) -> Option<(u8, *const [u8], c_int, c_int, bool)> {
    let protocol = kernel.protocols.iter().nth(place)?;
    let packed = protocol.pack == Some(Codec::Packed);
    Some((protocol.kind.0, &raw const *protocol.name, protocol.class, protocol.dispatch, packed))
}

/// `traceproto(name, true | false | nil)`
fn traceproto(call: &mut Call) -> Result<Returned, Raise> {
    let kind: MessageKind = send::protocol(call, 1)?.kind;
    let flag = (!call.is_none_or_nil(2)).then(|| call.bool(2));
    // SAFETY: the kernel outlives the call.
    if let Some(protocol) = unsafe { (*call.kernel).protocols.get_mut(kind) } {
        protocol.trace = flag;
    }
    Ok(Returned::Values(0))
}

/// `trace(info?) -> tag?`: tags the running coroutine, and logs that it did; not where its protocol is never traced.
fn trace(call: &mut Call) -> Result<Returned, Raise> {
    let info = if call.is_none_or_nil(1) { String::new() } else { format!(" {}", call.text(1)?) };
    // SAFETY: the kernel outlives the call, and the running task is alive.
    unsafe {
        let task =
            (*call.kernel).running.ok_or_else(|| Raise::text("trace is called outside of a coroutine"))?;
        let before = (*task.get()).trace.clone();
        // Matched by log readers: keep the words.
        let before = before.as_deref().map_or("nil".into(), String::from_utf8_lossy);
        call.context()?.log(format!("TRACE {before}"));
        if (*task.get()).untraced {
            return Ok(Returned::Values(0));
        }
        let tag = Kernel::new_trace_tag(call.kernel);
        Kernel::trace_line(call.kernel, Some((call.state, 1)), &tag, &format!("trace{info}"));
        (*task.get()).trace = Some(tag.clone());
        Ok(call.give(tag.into_vec()))
    }
}

/// `tracetag() -> tag?`
fn tracetag(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: as in `trace`.
    let tag = unsafe { (*call.kernel).running.and_then(|task| (*task.get()).trace.clone()) };
    Ok(match tag {
        Some(tag) => call.give(tag.into_vec()),
        None => call.push_nil(),
    })
}

/// `trace_timeout(on)`
fn trace_timeout(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the kernel outlives the call.
    unsafe { (*call.kernel).timeout_traces = call.bool(1).then(Default::default) };
    Ok(Returned::Values(0))
}

/// `timer_origin(session) -> text?`: where the timer was made, if `trace_timeout` was on.
fn timer_origin(call: &mut Call) -> Result<Returned, Raise> {
    let session = call.int(1)? as i32;
    // SAFETY: the kernel outlives the call.
    let text =
        unsafe { (*call.kernel).timeout_traces.as_ref().and_then(|traces| traces.get(&session).cloned()) };
    Ok(match text {
        Some(text) => call.give(text),
        None => Returned::Values(0),
    })
}

/// `drop_idle()`: gives the pooled coroutines to the collector.
fn drop_idle(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the kernel outlives the call, and no pooled coroutine runs.
    unsafe { Kernel::drop_idle_tasks(call.kernel) };
    Ok(Returned::Values(0))
}

/// `require(name)`: Lua's own.
unsafe extern "C-unwind" fn standard_require(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 1);
    ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, super::require_key());
    ffi::lua_rotate(state, 1, 1);
    ffi::lua_call(state, 1, ffi::LUA_MULTRET);
    ffi::lua_gettop(state)
}

/// `init(function) -> boolean`: keeps the function for the start of the service; false in a coroutine.
unsafe extern "C-unwind" fn init(state: *mut lua_State) -> c_int {
    ffi::luaL_checktype(state, 1, ffi::LUA_TFUNCTION);
    ffi::lua_settop(state, 1);
    if (*kernel_of(state)).running.is_some() {
        ffi::lua_pushboolean(state, 0);
        return 1;
    }
    if ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, super::inits_key()) != ffi::LUA_TTABLE {
        ffi::lua_settop(state, 1);
        ffi::lua_newtable(state);
        ffi::lua_pushvalue(state, 2);
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, super::inits_key());
    }
    ffi::lua_pushvalue(state, 1);
    ffi::lua_rawseti(state, 2, ffi::lua_rawlen(state, 2) as ffi::lua_Integer + 1);
    ffi::lua_pushboolean(state, 1);
    1
}
