//! The journey of a message inside a Lua service: to its coroutine, and on through what that set in motion.
//!
//! # Order
//!
//! A coroutine runs until it suspends. Then those that were woken go on, first in first out, then those whose request
//! failed, then the forks; then comes the next message.

use std::ffi::{CStr, c_int};

use super::task::TaskPtr;
use super::whole::{Raw, lua_integer};
use super::{Current, Delivery, Kernel, Mode, Waiter, Wake};
use crate::handle::Handle;
use crate::lua::kernel::protocol::Codec;
use crate::lua::modules::skynet_profile;
use crate::lua::raw::entry::{kernel_of, unpack};
use crate::lua::raw::{ffi, lua_State, protect};
use crate::message::{Message, MessageKind, Origin, Payload, Session};
use crate::socket::SocketEvent;

impl Kernel {
    /// Handles one message.
    pub(crate) unsafe fn handle_message(kernel: *mut Kernel, message: Message) {
        if !(*kernel).stopped {
            Kernel::receive(kernel, message);
        } else if let Some(message) = Kernel::unless_held(kernel, message) {
            Kernel::receive(kernel, message);
        }
        if (*kernel).held_len() > 0 {
            while let Some(message) = (*kernel).next_held() {
                Kernel::receive(kernel, message);
            }
        }
        if (*kernel).memory().used() > (*kernel).memory_warning {
            Kernel::warn_of_memory(kernel);
        }
    }

    unsafe fn receive(kernel: *mut Kernel, message: Message) {
        let Message { source, session, kind, mut payload } = message;
        let session = Session::number(session);
        (*kernel).current = Current { source, session, size: payload.len() };
        let mut delivery = Delivery::of(&payload);
        if kind == MessageKind::SOCKET
            && let Some(event) = payload.downcast_mut::<SocketEvent>()
        {
            // Lua code hands the pointer to `socketdriver.unpack` or `netpack.filter`, which compare it with `event`.
            (*kernel).event = event;
            delivery = Delivery { data: (*kernel).event.cast_const().cast(), len: size_of::<SocketEvent>() };
        }
        match (*kernel).mode {
            Mode::Native => Kernel::dispatch(kernel, kind, source, session, delivery, payload),
            Mode::Callback { function, keep } => {
                let raw = Raw { kind, source, session, delivery };
                Kernel::call_back(kernel, function, keep, raw, payload);
            }
            Mode::Filter(function) => {
                let raw = Raw { kind, source, session, delivery };
                Kernel::filter(kernel, function, raw, payload);
            }
            Mode::Deaf if kind == MessageKind::RESPONSE || kind == MessageKind::ERROR => {}
            Mode::Deaf => (*kernel).refuse(Origin { source, session: Session::new(session) }),
        }
        (*kernel).event = std::ptr::null_mut();
    }

    /// Dispatches a message whose bytes `owner` holds, or somebody else.
    pub(crate) unsafe fn dispatch(
        kernel: *mut Kernel,
        kind: MessageKind,
        source: Handle,
        session: i32,
        mut delivery: Delivery,
        mut owner: Payload,
    ) {
        let mut kind = kind;
        if let Some(map) = &(*kernel).forwarded
            && map[kind.index()] != 0
        {
            kind = MessageKind(map[kind.index()]);
            // The handler hands the block on, or frees it; who waits for an answer does, too.
            if (*kernel).event.is_null() {
                let (data, len) = std::mem::take(&mut owner).into_raw();
                if !data.is_null() {
                    delivery = Delivery { data: data.cast(), len };
                }
            }
        }
        if kind == MessageKind::RESPONSE {
            Kernel::answer(kernel, source, session, delivery, owner);
        } else {
            Kernel::request_came(kernel, kind, source, session, delivery, owner);
        }
        Kernel::settle(kernel);
    }

    unsafe fn answer(kernel: *mut Kernel, source: Handle, session: i32, delivery: Delivery, owner: Payload) {
        match (*kernel).sessions.remove(&session) {
            Some(Waiter::Call(task, _) | Waiter::Sleep(task) | Waiter::Wait(task)) => {
                (*kernel).wake = Wake::Answer;
                (*kernel).delivery = delivery;
                (*kernel).pending = owner;
                Kernel::resume(kernel, task, 0);
            }
            Some(Waiter::Start(task)) => {
                if let Some(traces) = &mut (*kernel).timeout_traces {
                    traces.remove(&session);
                }
                let arguments = ffi::lua_gettop(task.state()) - 1;
                Kernel::resume(kernel, task, arguments);
            }
            Some(Waiter::Callback(function, _)) => {
                (*kernel).delivery = delivery;
                (*kernel).pending = owner;
                Kernel::run_callback(kernel, function, true);
            }
            Some(Waiter::Gone) => {}
            None => Kernel::unknown_response(kernel, source, session, delivery, owner),
        }
    }

    unsafe fn request_came(
        kernel: *mut Kernel,
        kind: MessageKind,
        source: Handle,
        session: i32,
        delivery: Delivery,
        owner: Payload,
    ) {
        let origin = Origin { source, session: Session::new(session) };
        let (handler, traced) = match (*kernel).protocols.get(kind) {
            Some(known) => (known.dispatch, known.trace),
            None => (ffi::LUA_NOREF, None),
        };
        if handler == ffi::LUA_NOREF {
            return Kernel::unhandled(kernel, kind, origin, delivery, owner);
        }
        let Some(task) = Kernel::take_task(kernel) else {
            (*kernel).refuse(origin);
            return Kernel::log_memory_error(kernel);
        };
        let inner = &mut *task.get();
        inner.request = Some(origin);
        inner.origin = Some(origin);
        inner.handler = handler;
        if traced.is_some() || !(*kernel).trace_tags.is_empty() {
            Kernel::begin_trace(kernel, task, source, traced);
        }
        (*kernel).delivery = delivery;
        (*kernel).pending = owner;
        ffi::lua_pushcfunction(
            task.state(),
            if kind == MessageKind::DEBUG && handler == LAZY { debug_entry } else { handler_entry },
        );
        ffi::lua_pushinteger(task.state(), lua_integer(kind.0));
        Kernel::resume(kernel, task, 1);
    }

    /// A message that no Lua function handles: the kernel does, or nobody.
    unsafe fn unhandled(
        kernel: *mut Kernel,
        kind: MessageKind,
        origin: Origin,
        delivery: Delivery,
        owner: Payload,
    ) {
        match kind {
            MessageKind::ERROR => Kernel::error_came(kernel, origin),
            MessageKind::TRACE => {
                let tag = std::slice::from_raw_parts(
                    if delivery.data.is_null() {
                        std::ptr::NonNull::dangling().as_ptr()
                    } else {
                        delivery.data
                    },
                    delivery.len,
                );
                // A source that never sends the request must not make the table grow.
                if (*kernel).trace_tags.len() < 65536 {
                    (*kernel).trace_tags.insert(origin.source.as_u32(), tag.to_vec());
                }
            }
            _ => Kernel::unknown_request(kernel, kind, origin, delivery, owner),
        }
    }

    /// A request failed; or, without a session, its sender is dead. For a coroutine that sleeps it is a wake-up, which
    /// may come too late: that is how one service wakes a coroutine of another.
    pub(crate) unsafe fn error_came(kernel: *mut Kernel, origin: Origin) {
        match origin.session {
            // A message to a name that nobody took has come to nothing. Calls to names are kept as calls to nobody, and may
            // well have an answer.
            None if origin.source.is_none() => {}
            None => (*kernel).service_died(origin.source),
            Some(session) => {
                if matches!(
                    (*kernel).sessions.get(&session.get()),
                    Some(Waiter::Call(..) | Waiter::Callback(..))
                ) {
                    (*kernel).failures.push_back(session.get());
                } else if matches!(
                    (*kernel).sessions.get(&session.get()),
                    Some(Waiter::Sleep(_) | Waiter::Wait(_))
                ) {
                    (*kernel).wakeups.push_back(session.get());
                } else if matches!((*kernel).sessions.get(&session.get()), Some(Waiter::Gone)) {
                    (*kernel).sessions.remove(&session.get());
                }
            }
        }
    }

    /// Runs all that the last coroutine set in motion.
    pub(crate) unsafe fn settle(kernel: *mut Kernel) {
        Kernel::run_woken(kernel);
        while !(*kernel).stopped
            && let Some((task, arguments)) = (*kernel).forks.pop_front()
        {
            if (*kernel).exiting {
                break;
            }
            Kernel::resume(kernel, task, arguments);
            Kernel::run_woken(kernel);
        }
    }

    unsafe fn run_woken(kernel: *mut Kernel) {
        while !(*kernel).exiting {
            if (*kernel).is_debugged() {
                Kernel::run_released(kernel);
            }
            if let Some(session) = (*kernel).next_of(|kernel| &mut kernel.wakeups) {
                let task = match (*kernel).sessions.remove(&session) {
                    Some(Waiter::Sleep(task)) => {
                        // Its timer still comes.
                        (*kernel).sessions.insert(session, Waiter::Gone);
                        task
                    }
                    Some(Waiter::Wait(task)) => task,
                    Some(other) => {
                        (*kernel).sessions.insert(session, other);
                        continue;
                    }
                    None => continue,
                };
                (*kernel).wake = Wake::Break;
                Kernel::resume(kernel, task, 0);
            } else if let Some(session) = (*kernel).next_of(|kernel| &mut kernel.failures) {
                match (*kernel).sessions.remove(&session) {
                    Some(Waiter::Call(task, _)) => {
                        (*kernel).wake = Wake::Failed;
                        Kernel::resume(kernel, task, 0);
                    }
                    Some(Waiter::Callback(function, _)) => {
                        (*kernel).delivery = Delivery { data: std::ptr::null(), len: 0 };
                        Kernel::run_callback(kernel, function, false);
                    }
                    Some(other) => drop((*kernel).sessions.insert(session, other)),
                    None => {}
                }
            } else {
                break;
            }
        }
    }

    /// Resumes a coroutine and deals with how it comes back.
    pub(crate) unsafe fn resume(kernel: *mut Kernel, task: TaskPtr, arguments: c_int) {
        let state = task.state();
        let before = (*kernel).running.replace(task);
        (*task.get()).waits_for = 0;
        if !(*kernel).profiles.is_empty() {
            skynet_profile::resumed(kernel, state);
        }
        let outer = (*kernel).reach.enter(state);
        (*kernel).reach.hook_if_asked(state);
        let mut results = 0;
        let status = ffi::lua_resume(state, (*kernel).main, arguments, &raw mut results);
        (*kernel).reach.leave(outer);
        if !(*kernel).profiles.is_empty() {
            skynet_profile::suspended(kernel, state);
        }
        (*kernel).running = before;
        if (*kernel).stopping {
            return Kernel::stop(kernel, task);
        }
        (*kernel).pending = Payload::empty();
        (*kernel).event = std::ptr::null_mut();
        match status {
            ffi::LUA_YIELD if std::mem::take(&mut (*kernel).suspended) => {
                if (*kernel).loading.is_some() {
                    Kernel::loaded(kernel, task.state());
                }
            }
            ffi::LUA_OK => {
                if (*task.get()).request.is_some() || (*task.get()).trace.is_some() {
                    Kernel::ended(kernel, task);
                }
                Kernel::retire_task(kernel, task);
            }
            ffi::LUA_YIELD => {
                let what = protect((*kernel).main, |main| {
                    ffi::lua_pushstring(main, c"Unknown command : ".as_ptr());
                    if results == 0 {
                        ffi::lua_pushnil(main);
                    } else {
                        ffi::lua_settop(state, -results);
                        ffi::lua_xmove(state, main, 1);
                    }
                    ffi::luaL_tolstring(main, -1, std::ptr::null_mut());
                    ffi::lua_replace(main, -2);
                    ffi::lua_concat(main, 2);
                    ffi::luaL_traceback(main, state, ffi::lua_tostring(main, -1), 0);
                    keep_text(main);
                });
                Kernel::fail_task(kernel, task, what);
            }
            ffi::LUA_ERRMEM => {
                Kernel::log_memory_error(kernel);
                Kernel::bury(kernel, task);
            }
            _ => {
                let what = protect((*kernel).main, |main| {
                    // Shown by the main thread: a dead coroutine calls no `__tostring`.
                    ffi::lua_xmove(state, main, 1);
                    let text = ffi::luaL_tolstring(main, -1, std::ptr::null_mut());
                    ffi::luaL_traceback(main, state, text, 0);
                    keep_text(main);
                });
                Kernel::fail_task(kernel, task, what);
            }
        }
    }

    /// A handler ended without an error: is an answer still due?
    #[inline]
    unsafe fn ended(kernel: *mut Kernel, task: TaskPtr) {
        let inner = &mut *task.get();
        if let Some(origin) = inner.request.take()
            && let Some(session) = origin.session
        {
            let mut info: ffi::lua_Debug = std::mem::zeroed();
            let main = (*kernel).main;
            ffi::lua_rawgeti(main, ffi::LUA_REGISTRYINDEX, inner.handler.into());
            let (mut place, mut line) = (String::from("?"), 0);
            if ffi::lua_isfunction(main, -1) != 0
                && ffi::lua_getinfo(main, c">S".as_ptr(), &raw mut info) != 0
            {
                place = CStr::from_ptr(info.source).to_string_lossy().into_owned();
                line = info.linedefined;
            } else {
                ffi::lua_settop(main, -2);
            }
            // Matched by log readers: keep the words.
            let text =
                format!("Maybe forgot response session {session} from {} : {place}:{line}", origin.source);
            (*kernel).log(text);
            (*kernel).forgot(origin);
        }
        if let Some(tag) = (*task.get()).trace.take() {
            Kernel::trace_line(kernel, None, &tag, "end");
        }
    }

    /// A coroutine failed; its text is in the scratch buffer, if it could be made.
    unsafe fn fail_task(kernel: *mut Kernel, task: TaskPtr, made: Result<(), c_int>) {
        if let Some(tag) = (*task.get()).trace.take() {
            Kernel::trace_line(kernel, None, &tag, "error");
        }
        match made {
            Ok(()) => {
                let text = std::mem::take(&mut (*kernel).scratch);
                Kernel::log_call_error(kernel, &text);
            }
            Err(status) => {
                ffi::lua_settop((*kernel).main, -2);
                match status {
                    ffi::LUA_ERRMEM => Kernel::log_memory_error(kernel),
                    _ => Kernel::log_current(kernel, "lua error in error"),
                }
            }
        }
        Kernel::bury(kernel, task);
    }

    /// Closes a failed coroutine: its to-be-closed variables run, and who waits for its answer gets an error.
    unsafe fn bury(kernel: *mut Kernel, task: TaskPtr) {
        if let Some(origin) = (*task.get()).request.take() {
            (*kernel).refuse(origin);
        }
        let before = (*kernel).running.replace(task);
        ffi::lua_closethread(task.state(), (*kernel).main);
        (*kernel).running = before;
        Kernel::free_task(kernel, task);
    }

    /// Runs a Lua function as `f(ok, message, size)` in a coroutine of its own, and gives its reference back.
    unsafe fn run_callback(kernel: *mut Kernel, function: c_int, ok: bool) {
        if function == ffi::LUA_NOREF {
            return;
        }
        let Some(task) = Kernel::take_task(kernel) else {
            ffi::luaL_unref((*kernel).main, ffi::LUA_REGISTRYINDEX, function);
            return Kernel::log_memory_error(kernel);
        };
        let state = task.state();
        ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, function.into());
        ffi::luaL_unref((*kernel).main, ffi::LUA_REGISTRYINDEX, function);
        ffi::lua_pushboolean(state, c_int::from(ok));
        push_delivery(state, (*kernel).delivery);
        Kernel::resume(kernel, task, 3);
    }
}

/// A handler reference that stands for a Lua module which is loaded with the first message: `skynet.debug`.
pub(crate) const LAZY: c_int = -3;

/// Pushes the (pointer, size) pair of a message.
pub(crate) unsafe fn push_delivery(state: *mut lua_State, delivery: Delivery) {
    ffi::lua_pushlightuserdata(state, delivery.data.cast_mut().cast());
    ffi::lua_pushinteger(state, i64::try_from(delivery.len).unwrap_or(i64::MAX));
}

/// Moves the text on top of the stack into the scratch buffer.
unsafe fn keep_text(main: *mut lua_State) {
    let mut len = 0;
    let text = ffi::lua_tolstring(main, -1, &raw mut len);
    let kernel = kernel_of(main);
    (*kernel).scratch = std::slice::from_raw_parts(text.cast::<u8>(), len).to_vec();
}

/// The body of a coroutine that handles a message: `handler(session, source, unpacked...)`.
unsafe extern "C-unwind" fn handler_entry(state: *mut lua_State) -> c_int {
    let kernel = kernel_of(state);
    let Some(task) = (*kernel).running else { return 0 };
    let kind = MessageKind(ffi::lua_tointeger(state, 1) as u8);
    ffi::lua_settop(state, 0);
    let (handler, origin) = ((*task.get()).handler, (*task.get()).origin);
    ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, handler.into());
    push_origin(state, origin);
    let values = unpack_delivery(state, kernel, kind);
    ffi::lua_callk(state, 2 + values, 0, 0, Some(nothing_left));
    0
}

/// The same for debug messages, whose handler is a Lua module.
unsafe extern "C-unwind" fn debug_entry(state: *mut lua_State) -> c_int {
    let kernel = kernel_of(state);
    let Some(task) = (*kernel).running else { return 0 };
    let origin = (*task.get()).origin;
    ffi::lua_settop(state, 0);
    // Unpack before anything else runs: loading a module may take the message's bytes away.
    push_origin(state, origin);
    let values = unpack_delivery(state, kernel, MessageKind::DEBUG);
    ffi::lua_getglobal(state, c"require".as_ptr());
    ffi::lua_pushstring(state, c"skynet.debug".as_ptr());
    ffi::lua_callk(state, 1, 1, values as ffi::lua_KContext, Some(debug_loaded));
    debug_loaded(state, ffi::LUA_OK, values as ffi::lua_KContext)
}

unsafe extern "C-unwind" fn debug_loaded(
    state: *mut lua_State,
    _status: c_int,
    values: ffi::lua_KContext,
) -> c_int {
    ffi::lua_getfield(state, -1, c"dispatch".as_ptr());
    ffi::lua_rotate(state, 1, 1);
    ffi::lua_settop(state, -2);
    ffi::lua_callk(state, 2 + values as c_int, 0, 0, Some(nothing_left));
    0
}

unsafe fn push_origin(state: *mut lua_State, origin: Option<Origin>) {
    let (session, source) =
        origin.map_or((0, 0), |origin| (Session::number(origin.session), origin.source.as_u32()));
    ffi::lua_pushinteger(state, session.into());
    ffi::lua_pushinteger(state, source.into());
}

/// Pushes what the message in work carries, as its protocol unpacks it.
unsafe fn unpack_delivery(state: *mut lua_State, kernel: *mut Kernel, kind: MessageKind) -> c_int {
    let Delivery { data, len } = (*kernel).delivery;
    match (*kernel).protocols.get(kind).map(|known| known.unpack) {
        Some(Codec::Packed) => unpack(state, data, len),
        Some(Codec::Lua(function)) => {
            let base = ffi::lua_gettop(state);
            ffi::lua_rawgeti(state, ffi::LUA_REGISTRYINDEX, function.into());
            push_delivery(state, (*kernel).delivery);
            ffi::lua_call(state, 2, ffi::LUA_MULTRET);
            ffi::lua_gettop(state) - base
        }
        Some(Codec::Raw) | None => {
            push_delivery(state, (*kernel).delivery);
            2
        }
    }
}

unsafe extern "C-unwind" fn nothing_left(
    _state: *mut lua_State,
    _status: c_int,
    _context: ffi::lua_KContext,
) -> c_int {
    0
}
