//! The native part of the `skynet` table: what sends, waits and answers.
//!
//! The functions are bound when first asked for (`mod.rs`), so a service pays only for those that it uses. What is rare
//! or composed of these is in lualib/skynet/extra.lua. Annotations: lualib/meta/skynet.lua.
#![allow(unsafe_op_in_unsafe_fn)] // Raw Lua calls on every line: a block round each would say nothing.

mod about;
pub(super) mod answer;
pub(super) mod call;
mod life;
mod protocols;
pub(super) mod wait;

use super::skynet_core;
use crate::lua::kernel::Kernel;
use crate::lua::kernel::dispatch::LAZY;
use crate::lua::kernel::protocol::{Codec, Protocol};
use crate::lua::kernel::task::TaskPtr;
use crate::lua::kernel::whole;
use crate::lua::raw::entry::kernel_of;
use crate::lua::raw::{Binding, Call, entry, ffi, lua_State};
use crate::message::MessageKind;

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"send", entry!(call::send)),
    (c"rawsend", entry!(call::rawsend)),
    (c"call", entry!(call::call)),
    (c"rawcall", entry!(call::rawcall)),
    (c"redirect", entry!(call::redirect)),
    (c"ret", entry!(answer::ret)),
    (c"retpack", entry!(answer::retpack)),
    (c"response", entry!(answer::response)),
    (c"ignoreret", entry!(answer::ignoreret)),
    (c"context", entry!(answer::context)),
    (c"genid", entry!(skynet_core::genid)),
    (c"pack", entry!(skynet_core::pack)),
    (c"packstring", skynet_core::packstring),
    (c"unpack", skynet_core::unpack),
    (c"tostring", skynet_core::tostring),
    (c"trash", entry!(skynet_core::trash)),
    (c"fork", entry!(wait::fork)),
    (c"timeout", entry!(wait::timeout)),
    (c"sleep", wait::sleep),
    (c"yield", wait::yield_now),
    (c"wait", wait::wait),
    (c"wakeup", wait::wakeup),
    (c"killthread", wait::killthread),
    (c"now", entry!(skynet_core::now)),
    (c"hpc", entry!(skynet_core::hpc)),
    (c"starttime", entry!(wait::starttime)),
    (c"time", entry!(wait::time)),
    (c"dispatch", protocols::dispatch_function),
    (c"dispatch_message", whole::dispatch_message),
    (c"register_protocol", protocols::register_protocol),
    (c"start", life::start),
    (c"init_service", life::init_service),
    (c"exit", life::exit),
    (c"term", entry!(life::term)),
    (c"error", skynet_core::error),
    (c"self", entry!(about::own_handle)),
    (c"localname", entry!(about::localname)),
    (c"address", about::address),
    (c"harbor", entry!(skynet_core::harbor)),
    (c"getenv", entry!(about::getenv)),
    (c"setenv", entry!(about::setenv)),
    (c"newservice", about::newservice),
    (c"mqlen", entry!(about::mqlen)),
    (c"endless", entry!(about::endless)),
    (c"stat", entry!(about::stat)),
];

/// The names of message types in the `skynet` table.
pub(super) const CONSTANTS: &[(&std::ffi::CStr, u8)] = &[
    (c"PTYPE_TEXT", 0),
    (c"PTYPE_RESPONSE", 1),
    (c"PTYPE_MULTICAST", 2),
    (c"PTYPE_CLIENT", 3),
    (c"PTYPE_SYSTEM", 4),
    (c"PTYPE_HARBOR", 5),
    (c"PTYPE_SOCKET", 6),
    (c"PTYPE_ERROR", 7),
    (c"PTYPE_QUEUE", 8),
    (c"PTYPE_DEBUG", 9),
    (c"PTYPE_LUA", 10),
    (c"PTYPE_SNAX", 11),
    (c"PTYPE_TRACE", 12),
];

/// Registers what every service speaks.
///
/// # Safety
/// Runs inside a protected call, once for a VM, with its kernel in place.
pub(crate) unsafe fn register_defaults(state: *mut lua_State) {
    let kernel = kernel_of(state);
    for (kind, name) in [
        (MessageKind::LUA, c"lua"),
        (MessageKind::RESPONSE, c"response"),
        (MessageKind::ERROR, c"error"),
        (MessageKind::DEBUG, c"debug"),
    ] {
        // The VM keeps the string, so its address stays what it is.
        let at = ffi::lua_pushstring(state, name.as_ptr());
        let reference = ffi::luaL_ref(state, ffi::LUA_REGISTRYINDEX);
        let mut protocol = Protocol::new(kind, name.to_bytes(), at.cast(), reference);
        if matches!(kind, MessageKind::LUA | MessageKind::DEBUG) {
            protocol.pack = Some(Codec::Packed);
            protocol.unpack = Codec::Packed;
        }
        if kind == MessageKind::DEBUG {
            protocol.dispatch = LAZY;
        }
        (*kernel).protocols.add(protocol);
    }
}

fn kernel(call: &mut Call) -> &mut Kernel {
    // SAFETY: the kernel outlives the call; bodies use the reference only between calls into Lua.
    unsafe { &mut *call.kernel }
}

fn task(call: &Call) -> Option<TaskPtr> {
    // SAFETY: as in `kernel`.
    unsafe { (*call.kernel).running }
}
