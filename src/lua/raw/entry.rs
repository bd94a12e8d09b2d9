//! [`entry!`]: the C function round a Rust body, and the usual place where Lua errors are raised.
//!
//! # The rule
//!
//! Lua raises by `longjmp`, which skips destructors and must not cross a `catch_unwind`. So no Rust frame that owns
//! memory may be there when Lua raises, yields, or is called in a way that may raise. Three things keep it:
//!
//! - A body runs and drops everything inside `enter`, which answers with a `Copy` outcome; the C function itself owns
//!   nothing when it raises, yields or calls on.
//! - What may raise, in Rust code that Lua did not call, runs in `protect.rs`, round a closure that owns nothing.
//! - A *bare* C function, written by hand where a body will not do (it calls Lua back, or yields in the middle), owns
//!   nothing at any call to Lua: what must live longer moves into the kernel first. Modules that have such functions
//!   say so by lifting clippy's ban on what raises; everywhere else the ban holds.
#![expect(clippy::disallowed_methods, reason = "this is where errors are raised")]

use std::any::Any;
use std::ffi::{c_char, c_int};
use std::fmt::{self, Write};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{ffi, lua_State};
use crate::context::Context;
use crate::handle::Handle;
use crate::lua::kernel::Kernel;
use crate::lua::kernel::task::Seat;
use crate::lua::seri;

/// What a body wants done when it is over.
#[derive(Clone, Copy)]
pub(crate) enum Returned {
    /// This many values on top of the stack are the results.
    Values(c_int),
    /// Suspend the coroutine for the kernel; the continuation runs when it is resumed.
    Yield(ffi::lua_KFunction, isize),
    /// The result is the text in the kernel's scratch buffer.
    Scratch,
    /// Go on in this C function, with the stack as it is.
    Then(ffi::lua_CFunction),
}

/// Why a body did not do its work.
#[derive(Debug)]
pub(crate) enum Raise {
    /// An error with this text; the position in the Lua code is put before it.
    Text(String),
    /// What is on top of the stack is the error value.
    Top,
}

impl Raise {
    pub(crate) fn text(text: impl fmt::Display) -> Raise {
        Raise::Text(text.to_string())
    }

    /// The error of `luaL_argerror`, shortened to what can be known without the debug library.
    pub(crate) fn argument(index: c_int, what: &str) -> Raise {
        Raise::Text(format!("bad argument #{index} ({what})"))
    }
}

#[derive(Clone, Copy)]
enum Outcome {
    Done(Returned),
    Raise,
    RaiseTop,
}

/// The text of an error on its way out of a body: a `Copy` buffer, since nothing may own memory while Lua jumps.
pub(crate) struct ErrorText {
    len: usize,
    bytes: MaybeUninit<[u8; 512]>,
}

impl ErrorText {
    pub(crate) const fn new() -> ErrorText {
        ErrorText { len: 0, bytes: MaybeUninit::uninit() }
    }

    fn bytes_mut(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: an array of `MaybeUninit` needs no initialization.
        unsafe { &mut *self.bytes.as_mut_ptr().cast::<[MaybeUninit<u8>; 512]>() }
    }

    /// Raises the text as a Lua error, with the position in the Lua code before it.
    ///
    /// # Safety
    /// No Rust frame with a destructor lies between here and the Lua call that catches it.
    pub(crate) unsafe fn raise(&self, state: *mut lua_State) -> ! {
        // SAFETY: the caller's promise; `len` bytes are written.
        unsafe {
            ffi::luaL_checkstack(state, 3, std::ptr::null());
            ffi::luaL_where(state, 1);
            ffi::lua_pushlstring(state, self.bytes.as_ptr().cast::<c_char>(), self.len);
            ffi::lua_concat(state, 2);
            ffi::lua_error(state)
        }
    }
}

impl Write for ErrorText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let at = self.len;
        let bytes = self.bytes_mut();
        let fits = text.len().min(bytes.len() - at);
        for (to, from) in bytes[at..].iter_mut().zip(&text.as_bytes()[..fits]) {
            to.write(*from);
        }
        self.len += fits;
        Ok(())
    }
}

/// The arguments of one call from Lua, and the way to the kernel behind it.
pub(crate) struct Call {
    pub(crate) state: *mut lua_State,
    pub(crate) kernel: *mut Kernel,
}

impl Call {
    /// The number of arguments.
    pub(crate) fn top(&self) -> c_int {
        // SAFETY: `state` is the one that Lua called with.
        unsafe { ffi::lua_gettop(self.state) }
    }

    /// The Lua type at an index.
    pub(crate) fn kind(&self, index: c_int) -> c_int {
        // SAFETY: as in `top`; any index is allowed.
        unsafe { ffi::lua_type(self.state, index) }
    }

    pub(crate) fn is_none_or_nil(&self, index: c_int) -> bool {
        self.kind(index) <= ffi::LUA_TNIL
    }

    pub(crate) fn type_name(&self, index: c_int) -> String {
        // SAFETY: Lua gives a static C string for any type.
        unsafe {
            let name = ffi::lua_typename(self.state, self.kind(index));
            std::ffi::CStr::from_ptr(name).to_string_lossy().into_owned()
        }
    }

    /// An integer, or what converts to one.
    pub(crate) fn opt_int(&self, index: c_int) -> Option<i64> {
        let mut ok = 0;
        // SAFETY: as in `top`. It converts a string without changing it.
        let value = unsafe { ffi::lua_tointegerx(self.state, index, &raw mut ok) };
        (ok != 0).then_some(value)
    }

    pub(crate) fn int(&self, index: c_int) -> Result<i64, Raise> {
        self.opt_int(index).ok_or_else(|| {
            if self.kind(index) == ffi::LUA_TNUMBER {
                return Raise::argument(index, "number has no integer representation");
            }
            Raise::argument(index, &format!("number expected, got {}", self.type_name_or_none(index)))
        })
    }

    fn type_name_or_none(&self, index: c_int) -> String {
        if self.kind(index) == ffi::LUA_TNONE { "no value".to_owned() } else { self.type_name(index) }
    }

    /// The bytes of a string; nothing for any other type.
    pub(crate) fn opt_bytes(&self, index: c_int) -> Option<&[u8]> {
        if self.kind(index) != ffi::LUA_TSTRING {
            return None;
        }
        // SAFETY: it is a string, so nothing is converted; it stays on the stack during the call.
        unsafe { super::bytes_at(self.state, index) }
    }

    pub(crate) fn bytes(&self, index: c_int) -> Result<&[u8], Raise> {
        self.opt_bytes(index).ok_or_else(|| {
            Raise::argument(index, &format!("string expected, got {}", self.type_name_or_none(index)))
        })
    }

    /// A string as text: what is not UTF-8 in it is replaced.
    pub(crate) fn text(&self, index: c_int) -> Result<String, Raise> {
        if self.kind(index) == ffi::LUA_TNUMBER {
            return Ok(self.number_text(index));
        }
        self.bytes(index).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    /// The same where a text that is changed would do harm.
    pub(crate) fn exact_text(&self, index: c_int) -> Result<String, Raise> {
        match self.opt_bytes(index) {
            Some(bytes) => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(Raise::argument(index, &format!("{} is not UTF-8 text", bytes.escape_ascii()))),
            },
            None => self.text(index),
        }
    }

    /// A number as `tostring` shows it. Lua's own conversion may allocate in the VM, so it is done by hand.
    fn number_text(&self, index: c_int) -> String {
        // SAFETY: as in `top`.
        let number = unsafe {
            if ffi::lua_isinteger(self.state, index) != 0 {
                return ffi::lua_tointegerx(self.state, index, std::ptr::null_mut()).to_string();
            }
            ffi::lua_tonumberx(self.state, index, std::ptr::null_mut())
        };
        float_text(number)
    }

    pub(crate) fn bool(&self, index: c_int) -> bool {
        // SAFETY: as in `top`.
        unsafe { ffi::lua_toboolean(self.state, index) != 0 }
    }

    /// What the service may ask of its node.
    ///
    /// # Errors
    /// Outside of a dispatch there is no node to ask.
    pub(crate) fn context(&mut self) -> Result<&mut Context<'static>, Raise> {
        // SAFETY: the kernel lives as long as its VM, and sets the slot for the length of one dispatch.
        unsafe { (*self.kernel).context() }.ok_or_else(|| Raise::text("the service is not in a dispatch"))
    }

    pub(crate) fn push_int(&mut self, value: i64) -> Returned {
        // SAFETY: a C function has `LUA_MINSTACK` free slots, and no body pushes near as many.
        unsafe { ffi::lua_pushinteger(self.state, value) };
        Returned::Values(1)
    }

    pub(crate) fn push_number(&mut self, value: f64) -> Returned {
        // SAFETY: as in `push_int`.
        unsafe { ffi::lua_pushnumber(self.state, value) };
        Returned::Values(1)
    }

    pub(crate) fn push_bool(&mut self, value: bool) -> Returned {
        // SAFETY: as in `push_int`.
        unsafe { ffi::lua_pushboolean(self.state, c_int::from(value)) };
        Returned::Values(1)
    }

    pub(crate) fn push_nil(&mut self) -> Returned {
        // SAFETY: as in `push_int`.
        unsafe { ffi::lua_pushnil(self.state) };
        Returned::Values(1)
    }

    pub(crate) fn push_handle(&mut self, handle: Option<Handle>) -> Returned {
        match handle {
            Some(handle) => self.push_int(i64::from(handle.as_u32())),
            None => Returned::Values(0),
        }
    }

    /// Returns a text. It is pushed after the body is over, since that may raise.
    pub(crate) fn give(&mut self, text: impl Into<Vec<u8>>) -> Returned {
        // SAFETY: as in `context`.
        unsafe { (*self.kernel).scratch = text.into() };
        Returned::Scratch
    }
}

/// A float as Lua shows it. Lua 5.5 takes as many digits as it needs to read the same number again.
fn float_text(number: f64) -> String {
    let mut text = printed(number, if cfg!(feature = "lua54") { 14 } else { 15 });
    if cfg!(not(feature = "lua54")) && text.parse() != Ok(number) {
        text = printed(number, 17);
    }
    if text.bytes().all(|byte| byte == b'-' || byte.is_ascii_digit()) {
        text.push_str(".0");
    }
    text
}

/// What C's `printf` makes of a float.
fn printed(number: f64, digits: c_int) -> String {
    let mut buffer = [0_u8; 64];
    // SAFETY: the buffer is as long as is said, and the format has these two arguments.
    let len =
        unsafe { libc::snprintf(buffer.as_mut_ptr().cast(), buffer.len(), c"%.*g".as_ptr(), digits, number) };
    let len = usize::try_from(len).unwrap_or(0).min(buffer.len());
    String::from_utf8_lossy(&buffer[..len]).into_owned()
}

/// The kernel of the VM that this state belongs to.
///
/// # Safety
/// `state` belongs to a VM made by `lua/vm.rs`.
#[inline(always)]
pub(crate) unsafe fn kernel_of(state: *mut lua_State) -> *mut Kernel {
    // SAFETY: the VM puts a seat there when it is made, and every thread of the VM starts with a copy.
    unsafe { (**ffi::lua_getextraspace(state).cast::<*mut Seat>()).kernel }
}

#[inline(always)]
fn enter<F>(call: &mut Call, body: F, text: &mut ErrorText) -> Outcome
where
    F: FnOnce(&mut Call) -> Result<Returned, Raise>,
{
    match catch_unwind(AssertUnwindSafe(|| body(call))) {
        Ok(Ok(returned)) => Outcome::Done(returned),
        Ok(Err(raise)) => fail(raise, text),
        Err(panic) => stop(&*panic, text),
    }
}

#[cold]
fn fail(raise: Raise, text: &mut ErrorText) -> Outcome {
    match raise {
        Raise::Text(message) => {
            let _ = text.write_str(&message);
            Outcome::Raise
        }
        Raise::Top => Outcome::RaiseTop,
    }
}

#[cold]
fn stop(panic: &(dyn Any + Send), text: &mut ErrorText) -> Outcome {
    let what = panic.downcast_ref::<&str>().copied();
    let what = what.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let _ = write!(text, "panic in a native function: {}", what.unwrap_or("(no text)"));
    Outcome::Raise
}

/// Runs a body as a C function.
///
/// # Safety
/// Lua calls it, in a VM made by `lua/vm.rs`.
#[inline(always)]
pub(crate) unsafe fn run<F>(state: *mut lua_State, body: F) -> c_int
where
    F: FnOnce(&mut Call) -> Result<Returned, Raise> + Copy,
{
    const { assert!(!std::mem::needs_drop::<F>(), "a Lua error would skip its destructors") };
    let mut text = ErrorText::new();
    // SAFETY: the caller's promise.
    let mut call = Call { state, kernel: unsafe { kernel_of(state) } };
    let outcome = enter(&mut call, body, &mut text);
    // SAFETY: `enter` is over, so no Rust frame with a destructor lies between here and Lua.
    unsafe {
        match outcome {
            Outcome::Done(Returned::Values(count)) => count,
            Outcome::Done(Returned::Yield(next, context)) => ffi::lua_yieldk(state, 0, context, Some(next)),
            Outcome::Done(Returned::Scratch) => {
                let scratch: *const Vec<u8> = &raw const (*call.kernel).scratch;
                ffi::lua_pushlstring(state, (*scratch).as_ptr().cast(), (*scratch).len());
                1
            }
            Outcome::Done(Returned::Then(next)) => next(state),
            Outcome::Raise => text.raise(state),
            Outcome::RaiseTop => ffi::lua_error(state),
        }
    }
}

/// Pushes the values of packed bytes, or raises.
///
/// # Safety
/// No Rust frame with a destructor lies between here and Lua; the bytes stay valid until it is over.
#[inline]
pub(crate) unsafe fn unpack(state: *mut lua_State, data: *const u8, len: usize) -> c_int {
    // SAFETY: the caller's promise.
    match unsafe { seri::unpack(state, data, len) } {
        Ok(count) => count,
        // SAFETY: as above; an unpack error owns nothing.
        Err(error) => unsafe { raise_text(state, format_args!("{error}")) },
    }
}

/// Raises a text that owns nothing.
///
/// # Safety
/// No Rust frame with a destructor lies between here and Lua.
#[cold]
pub(crate) unsafe fn raise_text(state: *mut lua_State, text: fmt::Arguments<'_>) -> ! {
    let mut out = ErrorText::new();
    let _ = out.write_fmt(text);
    // SAFETY: the caller's promise.
    unsafe { out.raise(state) }
}

/// The C function round `$body`, a `fn(&mut Call) -> Result<Returned, Raise>`.
macro_rules! entry {
    ($body:path) => {{
        unsafe extern "C-unwind" fn raw(state: *mut $crate::lua::raw::lua_State) -> ::std::ffi::c_int {
            // SAFETY: only Lua calls it, in a VM that has a kernel.
            unsafe { $crate::lua::raw::entry::run(state, $body) }
        }
        raw as $crate::lua::raw::ffi::lua_CFunction
    }};
}
pub(crate) use entry;
