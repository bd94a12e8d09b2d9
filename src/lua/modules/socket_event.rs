//! The way from the (pointer, size) pair of a `PTYPE_SOCKET` message, as Lua code sees it, to the [`SocketEvent`] behind
//! it.

use std::ffi::c_int;

use crate::lua::raw::entry::kernel_of;
use crate::lua::raw::{Call, Raise, ffi, lua_State};
use crate::socket::SocketEvent;

/// The socket event that the argument at `index` points to; its data may be taken.
///
/// # Errors
/// The pointer is not that of the message in work: a message's bytes are valid only until its handler waits.
#[allow(dead_code)] // For `netpack`, which comes next.
pub(crate) fn socket_event(call: &mut Call, index: c_int) -> Result<&mut SocketEvent, Raise> {
    // SAFETY: the state is the one that Lua called with; the reference ends with the borrow of the call.
    let event = unsafe { find(call.state, index) };
    event.ok_or_else(|| Raise::argument(index, "the socket message in work expected"))
}

/// The same for a bare function.
///
/// # Safety
/// The reference is not used after the message: not when the coroutine has waited, and not in another one.
pub(super) unsafe fn find<'a>(state: *mut lua_State, index: c_int) -> Option<&'a mut SocketEvent> {
    // SAFETY: Lua takes any index; the kernel says which event is valid now, and nobody else refers to it.
    unsafe {
        let event = (*kernel_of(state)).event;
        let asked = ffi::lua_touserdata(state, index);
        (!asked.is_null() && asked == event.cast()).then(|| &mut *event)
    }
}
