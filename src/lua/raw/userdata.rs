//! [`UserData`]: a Rust value that Lua owns, with methods, dropped by Lua's collector.

use std::ffi::{CStr, c_int, c_void};

use super::{Binding, ffi, lua_State, set_functions};

/// A type whose values Lua code may hold.
pub(crate) trait UserData: Sized {
    /// The name of the type, as error messages show it. Each type has its own text, at its own address.
    const NAME: &'static CStr;
    /// What `value:method()` finds.
    const METHODS: &'static [Binding] = &[];
    /// Metamethods beside `__gc`, `__name` and `__index`.
    const METAMETHODS: &'static [Binding] = &[];
}

fn key<T: UserData>() -> *const c_void {
    T::NAME.as_ptr().cast()
}

/// Pushes a new value, which `make` gives once nothing can fail any more.
///
/// # Safety
/// Runs where a Lua error is caught and nothing is owned, with three free stack slots; `make` owns nothing and does not
/// panic.
pub(crate) unsafe fn push<T: UserData>(state: *mut lua_State, make: impl FnOnce() -> T) {
    const { assert!(align_of::<T>() <= align_of::<u128>(), "Lua aligns blocks for its largest type") };
    // SAFETY: the caller's promise. The value is in its place before the metatable, and with it `__gc`, is set.
    unsafe {
        let place = ffi::lua_newuserdatauv(state, size_of::<T>(), 0).cast::<T>();
        push_metatable::<T>(state);
        place.write(make());
        ffi::lua_setmetatable(state, -2);
    }
}

unsafe fn push_metatable<T: UserData>(state: *mut lua_State) {
    // SAFETY: the caller is `push`.
    unsafe {
        if ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, key::<T>()) == ffi::LUA_TTABLE {
            return;
        }
        ffi::lua_settop(state, -2);
        ffi::lua_createtable(state, 0, 3);
        ffi::lua_pushstring(state, T::NAME.as_ptr());
        ffi::lua_setfield(state, -2, c"__name".as_ptr());
        ffi::lua_pushcfunction(state, collect::<T>);
        ffi::lua_setfield(state, -2, c"__gc".as_ptr());
        if !T::METHODS.is_empty() {
            ffi::lua_createtable(state, 0, c_int::try_from(T::METHODS.len()).unwrap_or(0));
            set_functions(state, T::METHODS);
            ffi::lua_setfield(state, -2, c"__index".as_ptr());
        }
        set_functions(state, T::METAMETHODS);
        ffi::lua_pushvalue(state, -1);
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, key::<T>());
    }
}

/// The value at an index, if it is of this type.
///
/// # Safety
/// A valid state with two free stack slots. The value stays on the stack, and is not asked for twice, while the
/// reference is used; no Lua code runs meanwhile.
#[inline]
pub(crate) unsafe fn get<'a, T: UserData>(state: *mut lua_State, index: c_int) -> Option<&'a mut T> {
    // SAFETY: the caller's promise. Only `push` gives a value this metatable, and Lua code cannot: `setmetatable` takes
    // tables only, and `debug.setmetatable` is in the hands of who breaks what is theirs. The block's size is checked.
    unsafe {
        let block = ffi::lua_touserdata(state, index);
        if block.is_null() || ffi::lua_getmetatable(state, index) == 0 {
            return None;
        }
        ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, key::<T>());
        let is_one = ffi::lua_rawequal(state, -1, -2) != 0;
        ffi::lua_settop(state, -3);
        (is_one && ffi::lua_rawlen(state, index) as usize >= size_of::<T>()).then(|| &mut *block.cast::<T>())
    }
}

unsafe extern "C-unwind" fn collect<T: UserData>(state: *mut lua_State) -> c_int {
    // SAFETY: Lua calls it with the value, and takes the metatable away so that nobody finds it again.
    unsafe {
        if let Some(value) = get::<T>(state, 1) {
            let value = std::ptr::from_mut(value);
            ffi::lua_pushnil(state);
            ffi::lua_setmetatable(state, 1);
            value.drop_in_place();
        }
    }
    0
}
