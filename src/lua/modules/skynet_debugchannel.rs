//! `skynet.debugchannel`: lines of text from one Lua service to another, and hooks that stop a coroutine.
//!
//! A channel is known to the other side by an id, in the form of a light userdata, which is no address: one that is
//! forged or stale finds no channel. The side that reads suspends its coroutine; no thread waits.
//! Lua face: lualib/skynet/remotedebug.lua, service/debug_agent.lua. Annotations: lualib/meta/skynet_debugchannel.lua.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.
#![expect(
    clippy::disallowed_methods,
    reason = "bare C functions: nothing here owns memory where Lua raises, see raw/entry.rs"
)]

use std::collections::{HashMap, VecDeque};
use std::ffi::{CStr, c_int, c_void};
use std::time::Duration;

use super::skynet::call::may_suspend;
use crate::handle::Handle;
use crate::lua::kernel::task::{push_thread, task_of};
use crate::lua::kernel::{Kernel, Waiter};
use crate::lua::raw::entry::kernel_of;
use crate::lua::raw::userdata::{self, UserData};
use crate::lua::raw::{Binding, Call, Raise, Returned, entry, ffi, lua_State, push_module};
use crate::message::{Message, MessageKind, Payload, Session};
use crate::sync::{Arc, Mutex, OnceLock, Weak, lock};

pub(super) const FUNCTIONS: &[Binding] = &[(c"create", create), (c"connect", connect), (c"sethook", sethook)];

/// What may wait in a channel, in lines and in bytes.
const LINES_MAX: usize = 1024;
const BYTES_MAX: usize = 1 << 20;
/// Channels that wait for their other side, in the process.
const OPEN_MAX: usize = 4096;

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    push_module(state, FUNCTIONS);
    1
}

/// One channel; both sides hold it.
struct Channel {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    lines: VecDeque<Box<[u8]>>,
    bytes: usize,
    /// One side is gone.
    closed: bool,
    /// Who waits for a line.
    waiter: Option<(Handle, Session)>,
}

/// What a reader finds.
enum Found {
    Line(Box<[u8]>),
    Nothing,
    Closed,
}

impl Inner {
    fn take(&mut self) -> Found {
        match self.lines.pop_front() {
            Some(line) => {
                self.bytes -= line.len();
                Found::Line(line)
            }
            None if self.closed => Found::Closed,
            None => Found::Nothing,
        }
    }
}

/// The channels of the process that nobody has connected to yet, by id.
///
/// It belongs to no node: an id is found by whoever was told it, and there is no other way to come by one.
fn open_channels() -> &'static Mutex<HashMap<usize, Weak<Channel>>> {
    static OPEN: OnceLock<Mutex<HashMap<usize, Weak<Channel>>>> = OnceLock::new();
    OPEN.get_or_init(Mutex::default)
}

/// Enters a channel under an id that nobody can guess; nothing where there are too many.
fn announce(channel: &Arc<Channel>) -> Option<usize> {
    let mut open = lock(open_channels());
    open.retain(|_, channel| channel.strong_count() > 0);
    if open.len() >= OPEN_MAX {
        return None;
    }
    loop {
        let (high, low) = (crate::random::seed(), crate::random::seed());
        // Within what a pointer may be.
        let id = ((u64::from(high) << 32 | u64::from(low)) >> 17) as usize;
        if id != 0 && !open.contains_key(&id) {
            open.insert(id, Arc::downgrade(channel));
            return Some(id);
        }
    }
}

/// Takes a channel out of the book: it is connected to once.
fn claim(id: usize) -> Result<Arc<Channel>, Raise> {
    let channel = lock(open_channels()).remove(&id).and_then(|channel| channel.upgrade());
    // Matched by programs: keep the words.
    channel.ok_or_else(|| Raise::text("Invalid channel pointer"))
}

/// One side of a channel, as Lua code holds it; empty once it has hung up.
struct End(Option<Arc<Channel>>);

impl UserData for End {
    const NAME: &'static CStr = c"debug channel";
    const METHODS: &'static [Binding] = &[(c"read", entry!(read)), (c"write", entry!(write))];
    const METAMETHODS: &'static [Binding] = &[(c"__gc", entry!(hang_up))];
}

/// The channel that a method was called with.
fn channel(call: &Call) -> Result<Arc<Channel>, Raise> {
    // SAFETY: the state is the one that Lua called with, and the reference is over with this function.
    let end = unsafe { userdata::get::<End>(call.state, 1) };
    let channel = end.and_then(|end| end.0.clone());
    channel.ok_or_else(|| Raise::argument(1, &format!("debug channel expected, got {}", call.type_name(1))))
}

/// `create() -> channel, pointer`
unsafe extern "C-unwind" fn create(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 0);
    userdata::push(state, || End(None));
    entry!(create_channel)(state)
}

fn create_channel(call: &mut Call) -> Result<Returned, Raise> {
    let channel = Arc::new(Channel { inner: Mutex::new(Inner::default()) });
    // Matched by programs: keep the words.
    let id = announce(&channel).ok_or_else(|| Raise::text("new channel failed"))?;
    fill(call, 1, channel);
    // SAFETY: a C function has free stack slots.
    unsafe { ffi::lua_pushlightuserdata(call.state, std::ptr::without_provenance_mut(id)) };
    Ok(Returned::Values(2))
}

/// Puts a channel into the userdata that was made for it.
fn fill(call: &Call, index: c_int, channel: Arc<Channel>) {
    // SAFETY: the state is the one that Lua called with, and the reference is over at once.
    if let Some(end) = unsafe { userdata::get::<End>(call.state, index) } {
        end.0 = Some(channel);
    }
}

/// `connect(pointer) -> channel`: once for each.
unsafe extern "C-unwind" fn connect(state: *mut lua_State) -> c_int {
    ffi::lua_settop(state, 1);
    userdata::push(state, || End(None));
    entry!(connect_userdata)(state)
}

fn connect_userdata(call: &mut Call) -> Result<Returned, Raise> {
    if call.kind(1) != ffi::LUA_TLIGHTUSERDATA {
        // Matched by programs: keep the words.
        return Err(Raise::text("Invalid channel pointer"));
    }
    // SAFETY: the state is the one that Lua called with.
    let id = unsafe { ffi::lua_touserdata(call.state, 1) } as usize;
    fill(call, 2, claim(id)?);
    Ok(Returned::Values(1))
}

/// A side goes: who reads on the other one learns it.
fn hang_up(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the state is the one that Lua called with, and the reference is over at once.
    let held = unsafe { userdata::get::<End>(call.state, 1) }.and_then(|end| end.0.take());
    if let Some(channel) = held {
        let waiter = {
            let mut inner = lock(&channel.inner);
            inner.closed = true;
            inner.waiter.take()
        };
        poke(call, waiter)?;
    }
    Ok(Returned::Values(0))
}

/// Wakes a reader of another service, or of this one.
fn poke(call: &mut Call, waiter: Option<(Handle, Session)>) -> Result<(), Raise> {
    if let Some((to, session)) = waiter {
        let source = call.context()?.handle();
        let message =
            Message { source, session: Some(session), kind: MessageKind::ERROR, payload: Payload::empty() };
        // One that has ended meanwhile needs no word.
        let _ = call.context()?.send_as(to, message);
    }
    Ok(())
}

/// `channel:write(text)`
fn write(call: &mut Call) -> Result<Returned, Raise> {
    let channel = channel(call)?;
    let text = call.bytes(2)?;
    let waiter = {
        let mut inner = lock(&channel.inner);
        if inner.lines.len() >= LINES_MAX || inner.bytes + text.len() > BYTES_MAX {
            return Err(Raise::Text(format!(
                "debug channel: {} lines of {} bytes wait already, the limit is {LINES_MAX} of {BYTES_MAX}",
                inner.lines.len(),
                inner.bytes
            )));
        }
        inner.bytes += text.len();
        inner.lines.push_back(text.into());
        inner.waiter.take()
    };
    poke(call, waiter)?;
    Ok(Returned::Values(0))
}

/// `channel:read(timeout?) -> text?`: waits for a line, so many centiseconds at the most. Nothing: the time is over,
/// or the other side is gone.
fn read(call: &mut Call) -> Result<Returned, Raise> {
    let channel = channel(call)?;
    let time = if call.is_none_or_nil(2) { None } else { Some(super::skynet::wait::delay(call.int(2)?)) };
    let mut inner = lock(&channel.inner);
    match inner.take() {
        Found::Line(line) => Ok(call.give(line)),
        Found::Closed => Ok(Returned::Values(0)),
        Found::Nothing if time == Some(Duration::ZERO) => Ok(Returned::Values(0)),
        Found::Nothing => {
            let task = may_suspend(call)?;
            let me = call.context()?.handle();
            // SAFETY: the kernel outlives the call.
            let kernel = unsafe { &mut *call.kernel };
            let session =
                kernel.new_session().ok_or_else(|| Raise::text("the service is not in a dispatch"))?;
            // Whoever waited before is not told any more: a channel has one reader.
            inner.waiter = Some((me, session));
            let waiter = if time.is_some() { Waiter::Sleep(task) } else { Waiter::Wait(task) };
            kernel.sessions.insert(session.get(), waiter);
            kernel.suspend(task, session.get());
            if let Some(time) = time {
                call.context()?.timeout_in_ticks(session, time);
            }
            // SAFETY: the state is the one that Lua called with: the channel stays for the continuation.
            unsafe { ffi::lua_settop(call.state, 1) };
            Ok(Returned::Yield(read_on, 0))
        }
    }
}

unsafe extern "C-unwind" fn read_on(state: *mut lua_State, _: c_int, _: ffi::lua_KContext) -> c_int {
    entry!(read_woken)(state)
}

fn read_woken(call: &mut Call) -> Result<Returned, Raise> {
    let channel = channel(call)?;
    let mut inner = lock(&channel.inner);
    inner.waiter = None;
    Ok(match inner.take() {
        Found::Line(line) => call.give(line),
        Found::Nothing | Found::Closed => Returned::Values(0),
    })
}

/// The registry key of the table from a thread to its hook function; its keys are weak.
fn hooks_key() -> *const c_void {
    static HOOKS: u8 = 0;
    (&raw const HOOKS).cast()
}

unsafe fn push_hooks(state: *mut lua_State) {
    if ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, hooks_key()) != ffi::LUA_TTABLE {
        ffi::lua_settop(state, -2);
        ffi::lua_newtable(state);
        ffi::lua_createtable(state, 0, 1);
        ffi::lua_pushstring(state, c"k".as_ptr());
        ffi::lua_setfield(state, -2, c"__mode".as_ptr());
        ffi::lua_setmetatable(state, -2);
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, hooks_key());
    }
}

/// `sethook(thread?, function?, mask, count?)`: like `debug.sethook`; a function that returns true at a line or at a count
/// makes the thread yield there. It gets the event, the line, and whether the thread may yield.
unsafe extern "C-unwind" fn sethook(state: *mut lua_State) -> c_int {
    let mut target = ffi::lua_tothread(state, 1);
    if target.is_null() {
        target = state;
        ffi::lua_pushthread(state);
        ffi::lua_rotate(state, 1, 1);
    }
    // (thread, function, mask, count)
    ffi::lua_settop(state, 4);
    let mut mask = 0;
    let mut count = 0;
    if ffi::lua_isnil(state, 2) == 0 {
        ffi::luaL_checktype(state, 2, ffi::LUA_TFUNCTION);
        let mut len = 0;
        let letters =
            std::slice::from_raw_parts(ffi::luaL_checklstring(state, 3, &raw mut len).cast::<u8>(), len);
        for (letter, event) in
            [(b'c', ffi::LUA_MASKCALL), (b'r', ffi::LUA_MASKRET), (b'l', ffi::LUA_MASKLINE)]
        {
            if letters.contains(&letter) {
                mask |= event;
            }
        }
        count = c_int::try_from(ffi::luaL_optinteger(state, 4, 0)).unwrap_or(c_int::MAX);
        if count > 0 {
            mask |= ffi::LUA_MASKCOUNT;
        }
    }
    push_hooks(state);
    ffi::lua_pushvalue(state, 1);
    if mask == 0 {
        ffi::lua_pushnil(state);
    } else {
        ffi::lua_pushvalue(state, 2);
    }
    ffi::lua_rawset(state, -3);
    (*kernel_of(state)).hooks |= mask != 0;
    ffi::lua_sethook(target, if mask == 0 { None } else { Some(hook) }, mask, count);
    0
}

unsafe extern "C-unwind" fn hook(state: *mut lua_State, info: *mut ffi::lua_Debug) {
    push_hooks(state);
    ffi::lua_pushthread(state);
    if ffi::lua_rawget(state, -2) != ffi::LUA_TFUNCTION {
        // A thread that was made by one with a hook has the hook, but no function for it.
        ffi::lua_settop(state, -3);
        return ffi::lua_sethook(state, None, 0, 0);
    }
    let event = (*info).event;
    let name = match event {
        ffi::LUA_HOOKCALL => c"call",
        ffi::LUA_HOOKRET => c"return",
        ffi::LUA_HOOKLINE => c"line",
        ffi::LUA_HOOKCOUNT => c"count",
        _ => c"tail call",
    };
    ffi::lua_pushstring(state, name.as_ptr());
    if (*info).currentline >= 0 {
        ffi::lua_pushinteger(state, (*info).currentline.into());
    } else {
        ffi::lua_pushnil(state);
    }
    let may_yield =
        matches!(event, ffi::LUA_HOOKLINE | ffi::LUA_HOOKCOUNT) && ffi::lua_isyieldable(state) != 0;
    ffi::lua_pushboolean(state, c_int::from(may_yield));
    ffi::lua_call(state, 3, 1);
    let stop = ffi::lua_toboolean(state, -1) != 0;
    ffi::lua_settop(state, -3);
    if stop && may_yield {
        // A coroutine of user code yields to whoever resumed it; the kernel's own is stopped, and the service with it.
        (*kernel_of(state)).stopping = task_of(state).is_some();
        ffi::lua_yield(state, 0);
    }
}

/// `skynet.kernel.debugger(on)`: the running coroutine debugs this service: what it waits for reaches it while another
/// one is stopped.
pub(super) fn debugger(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the kernel outlives the call.
    let kernel = unsafe { &mut *call.kernel };
    let task = kernel.running.filter(|_| call.bool(1));
    kernel.set_debugger(task);
    Ok(Returned::Values(0))
}

/// `skynet.kernel.stopped() -> thread?`: the coroutine that its hook has stopped.
pub(super) unsafe extern "C-unwind" fn stopped(state: *mut lua_State) -> c_int {
    let Some(task) = (*kernel_of(state)).stopped_task() else { return 0 };
    push_thread(state, task);
    1
}

/// `skynet.kernel.go_on() -> boolean`: the stopped coroutine goes on when the running one suspends.
pub(super) fn go_on(call: &mut Call) -> Result<Returned, Raise> {
    // SAFETY: the kernel outlives the call.
    let there = unsafe { Kernel::go_on(&mut *call.kernel) };
    Ok(call.push_bool(there))
}
