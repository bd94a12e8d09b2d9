//! Messages that a Lua function gets whole, on the main thread: the raw callback of `skynet.core`, filters, and functions
//! for what nobody handles. Without such a function what nobody handles is a line in the log.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::ffi::c_int;

use super::dispatch::push_delivery;
use super::{Current, Delivery, Kernel};
use crate::handle::Handle;
use crate::lua::raw::entry::kernel_of;
use crate::lua::raw::{ffi, lua_State};
use crate::message::{MessageKind, Origin, Payload, Session};

/// A message on its way to a Lua function that gets it whole.
pub(super) struct Raw {
    pub(super) kind: MessageKind,
    pub(super) source: Handle,
    pub(super) session: i32,
    pub(super) delivery: Delivery,
}

impl Kernel {
    pub(super) unsafe fn unknown_response(
        kernel: *mut Kernel,
        source: Handle,
        session: i32,
        delivery: Delivery,
        owner: Payload,
    ) {
        let function = (*kernel).on_unknown_response;
        let main = (*kernel).main;
        if function == ffi::LUA_NOREF {
            let text = delivery_text(delivery);
            // Matched by log readers: keep the words.
            (*kernel).log([b"Response message : ", text.as_slice()].concat());
            let text = format!("Unknown session : {session} from {:x}", source.as_u32());
            return Kernel::log_call_error(kernel, text.as_bytes());
        }
        Kernel::call_main(kernel, |_| {
            ffi::lua_rawgeti(main, ffi::LUA_REGISTRYINDEX, function.into());
            ffi::lua_pushinteger(main, session.into());
            ffi::lua_pushinteger(main, source.as_u32().into());
            push_delivery(main, delivery);
            4
        });
        drop(owner);
    }

    pub(super) unsafe fn unknown_request(
        kernel: *mut Kernel,
        kind: MessageKind,
        origin: Origin,
        delivery: Delivery,
        owner: Payload,
    ) {
        // A call ends, whatever the function does.
        if origin.session.is_some() {
            return (*kernel).refuse(origin);
        }
        let function = (*kernel).on_unknown_request;
        let main = (*kernel).main;
        if function != ffi::LUA_NOREF {
            Kernel::call_main(kernel, |kernel| {
                ffi::lua_rawgeti(main, ffi::LUA_REGISTRYINDEX, function.into());
                ffi::lua_pushinteger(main, Session::number(origin.session).into());
                ffi::lua_pushinteger(main, origin.source.as_u32().into());
                push_delivery(main, delivery);
                match (*kernel).protocols.get(kind).map(|known| known.name_reference) {
                    Some(name) => drop(ffi::lua_rawgeti(main, ffi::LUA_REGISTRYINDEX, name.into())),
                    None => ffi::lua_pushinteger(main, lua_integer(kind.0)),
                }
                5
            });
            return drop(owner);
        }
        let name = (*kernel)
            .protocols
            .get(kind)
            .map_or_else(|| kind.0.to_string(), |known| String::from_utf8_lossy(&known.name).into_owned());
        let text = delivery_text(delivery);
        // Matched by log readers: keep the words.
        let line = [format!("Unknown request ({name}): ").as_bytes(), text.as_slice()].concat();
        (*kernel).log(&line);
        let text = format!("Unknown session : 0 from {:x}", origin.source.as_u32());
        Kernel::log_call_error(kernel, text.as_bytes());
    }

    /// Calls a Lua function on the main thread, with a traceback in the log if it fails.
    ///
    /// `push` pushes the function and its arguments, without allocating, and answers how many arguments there are.
    pub(crate) unsafe fn call_main(kernel: *mut Kernel, push: impl FnOnce(*mut Kernel) -> c_int) {
        let main = (*kernel).main;
        let base = ffi::lua_gettop(main);
        if ffi::lua_checkstack(main, 12) == 0 {
            return Kernel::log_memory_error(kernel);
        }
        ffi::lua_pushcfunction(main, traceback);
        let arguments = push(kernel);
        let outer = (*kernel).reach.enter(main);
        let status = ffi::lua_pcall(main, arguments, 0, base + 1);
        (*kernel).reach.leave(outer);
        match status {
            ffi::LUA_OK => {}
            ffi::LUA_ERRMEM => Kernel::log_memory_error(kernel),
            ffi::LUA_ERRERR => Kernel::log_current(kernel, "lua error in error"),
            _ => {
                let mut len = 0;
                // The handler made it a string.
                let text = ffi::lua_tolstring(main, -1, &raw mut len);
                let text = if text.is_null() {
                    b"(error object is not a string)".to_vec()
                } else {
                    std::slice::from_raw_parts(text.cast::<u8>(), len).to_vec()
                };
                Kernel::log_call_error(kernel, &text);
            }
        }
        ffi::lua_settop(main, base);
    }

    /// Gives a raw message to the Lua function that `skynet.core.callback` installed.
    pub(super) unsafe fn call_back(
        kernel: *mut Kernel,
        function: c_int,
        keep: bool,
        raw: Raw,
        payload: Payload,
    ) {
        let main = (*kernel).main;
        let (mut raw, mut owner) = (raw, payload);
        // A socket event is no block that could be given away: its data is, by who unpacks it.
        if keep && (*kernel).event.is_null() {
            let (data, len) = std::mem::take(&mut owner).into_raw();
            raw.delivery = Delivery { data: data.cast(), len };
        }
        Kernel::call_main(kernel, |_| {
            push_raw(main, function, &raw);
            5
        });
        (*kernel).give_back(owner);
    }

    /// Passes a raw message through a Lua function, and dispatches what that returns.
    pub(super) unsafe fn filter(kernel: *mut Kernel, function: c_int, raw: Raw, payload: Payload) {
        let main = (*kernel).main;
        Kernel::call_main(kernel, |_| {
            ffi::lua_pushcfunction(main, filter_entry);
            push_raw(main, function, &raw);
            6
        });
        (*kernel).give_back(payload);
    }

    pub(crate) unsafe fn log_call_error(kernel: *mut Kernel, text: &[u8]) {
        let Current { source, session, size } = (*kernel).current;
        let me = (*kernel).handle();
        // Matched by log readers: keep the words.
        let mut line = format!(
            "lua call [{:x} to :{:x} : {session} msgsz = {size}] error : \x1b[31m",
            source.as_u32(),
            me.as_u32()
        )
        .into_bytes();
        line.extend_from_slice(text);
        line.extend_from_slice(b"\x1b[0m");
        (*kernel).log(line);
    }

    pub(crate) unsafe fn log_memory_error(kernel: *mut Kernel) {
        Kernel::log_current(kernel, "lua memory error");
    }

    /// Logs what happened to the message in work, when no more can be said.
    pub(super) unsafe fn log_current(kernel: *mut Kernel, what: &str) {
        let Current { source, session, .. } = (*kernel).current;
        let me = (*kernel).handle();
        // Matched by log readers: keep the words.
        (*kernel).log(format!("{what} : [{:x} to :{:x} : {session}]", source.as_u32(), me.as_u32()));
    }

    pub(super) unsafe fn warn_of_memory(kernel: *mut Kernel) {
        let used = (*kernel).memory().used();
        while (*kernel).memory_warning < used {
            (*kernel).memory_warning = (*kernel).memory_warning.saturating_mul(2);
        }
        // Matched by log readers: keep the words.
        (*kernel).log(format!("Memory warning {:.2} M", used as f64 / f64::from(1 << 20)));
    }
}

/// Pushes a function and `(type, message, size, session, source)`.
unsafe fn push_raw(main: *mut lua_State, function: c_int, raw: &Raw) {
    ffi::lua_rawgeti(main, ffi::LUA_REGISTRYINDEX, function.into());
    ffi::lua_pushinteger(main, lua_integer(raw.kind.0));
    push_delivery(main, raw.delivery);
    ffi::lua_pushinteger(main, raw.session.into());
    ffi::lua_pushinteger(main, raw.source.as_u32().into());
}

pub(super) fn lua_integer(number: u8) -> ffi::lua_Integer {
    ffi::lua_Integer::from(number)
}

unsafe fn delivery_text(delivery: Delivery) -> Vec<u8> {
    if delivery.data.is_null() {
        return Vec::new();
    }
    std::slice::from_raw_parts(delivery.data, delivery.len).to_vec()
}

/// A message handler for `lua_pcall`: the error as text, with a traceback.
pub(crate) unsafe extern "C-unwind" fn traceback(state: *mut lua_State) -> c_int {
    let text = ffi::luaL_tolstring(state, 1, std::ptr::null_mut());
    ffi::luaL_traceback(state, state, text, 1);
    1
}

/// `(filter, type, message, size, session, source)`: dispatches what the filter returns.
unsafe extern "C-unwind" fn filter_entry(state: *mut lua_State) -> c_int {
    ffi::lua_call(state, ffi::lua_gettop(state) - 1, ffi::LUA_MULTRET);
    dispatch_message(state)
}

/// `skynet.dispatch_message(type, message, size, session, source)`: the raw callback.
pub(crate) unsafe extern "C-unwind" fn dispatch_message(state: *mut lua_State) -> c_int {
    let kernel = kernel_of(state);
    let kind = MessageKind(ffi::luaL_checkinteger(state, 1) as u8);
    let data = ffi::lua_touserdata(state, 2).cast::<u8>().cast_const();
    let len = usize::try_from(ffi::luaL_optinteger(state, 3, 0)).unwrap_or(0);
    let session = ffi::luaL_optinteger(state, 4, 0) as i32;
    let source = Handle::from_u32(ffi::luaL_optinteger(state, 5, 0) as u32);
    let len = if data.is_null() { 0 } else { len };
    Kernel::dispatch(kernel, kind, source, session, Delivery { data, len }, Payload::empty());
    0
}
