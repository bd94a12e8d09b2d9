//! Packing: from the stack of a VM to a payload.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::slice;

use mlua::ffi::{self, lua_State};

use crate::message::{Payload, PayloadBuilder};
use crate::packed::format::{self, LUA_DEPTH_MAX};

/// Room on the thread's stack for what is being packed. Most messages are far smaller; larger ones move to a block
/// that becomes the payload. Not more, because a `__pairs` that packs can be two hundred calls deep.
const SCRATCH_LEN: usize = 4096;

/// Its address is the registry key of the string "__pairs".
static PAIRS_KEY: u8 = 0;

fn pairs_key() -> *const c_void {
    (&raw const PAIRS_KEY).cast()
}

/// Why values were not packed. The texts are those of the Lua errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PackError {
    // Matched by scripts: keep the words.
    #[error("Unsupport type {0} to serialize")]
    Type(&'static str),
    // Matched by scripts: keep the words.
    #[error("serialize can't pack too depth table")]
    Depth,
    #[error("a string of 4 GiB or more can't be serialized")]
    StringLength,
    #[error("stack overflow (no room to serialize a table)")]
    Stack,
    /// `__pairs` or its iterator raised an error: it lies on top of the stack, to be raised again as it is.
    #[error("an error in __pairs")]
    Lua,
}

/// Puts the string "__pairs" into the registry, so that packing can ask metatables for it without making it.
///
/// # Safety
/// `state` is valid and has three free stack slots. May raise (memory): call it protected.
pub(crate) unsafe fn prepare(state: *mut lua_State) {
    // SAFETY: the caller's promises.
    unsafe {
        ffi::lua_pushlstring(state, c"__pairs".as_ptr(), 7);
        ffi::lua_rawsetp(state, ffi::LUA_REGISTRYINDEX, pairs_key());
    }
}

/// Packs the stack's values from index `first` to the top. The stack stays as it is, unless the error is
/// [`PackError::Lua`].
///
/// # Safety
/// `state` is valid and belongs to a VM that went through [`prepare`]; `first` is positive.
pub(crate) unsafe fn pack(state: *mut lua_State, first: c_int) -> Result<Payload, PackError> {
    let mut scratch = [MaybeUninit::uninit(); SCRATCH_LEN];
    let mut packer = Packer { state, out: PayloadBuilder::new(&mut scratch), disturbed: false };
    // SAFETY: the caller's promises.
    unsafe { packer.stack_from(first) }?;
    Ok(packer.out.finish())
}

/// Packs as [`pack`] does and lends the bytes instead of making a payload.
///
/// # Safety
/// As for [`pack`]. If `f` raises a Lua error, a block of memory is lost.
pub(crate) unsafe fn pack_with<R>(
    state: *mut lua_State,
    first: c_int,
    f: impl FnOnce(&[u8]) -> R,
) -> Result<R, PackError> {
    let mut scratch = [MaybeUninit::uninit(); SCRATCH_LEN];
    let mut packer = Packer { state, out: PayloadBuilder::new(&mut scratch), disturbed: false };
    // SAFETY: the caller's promises.
    unsafe { packer.stack_from(first) }?;
    Ok(f(packer.out.as_bytes()))
}

struct Packer<'s> {
    state: *mut lua_State,
    out: PayloadBuilder<'s>,
    /// A script's code has run meanwhile, so a table that is being walked may have changed under our hands, which
    /// makes `lua_next` raise an error.
    disturbed: bool,
}

/// # Safety
/// For all methods: `state` is valid; an `index` is that of a value, positive; so is a `depth` the number of tables
/// round it.
impl Packer<'_> {
    #[inline(always)]
    unsafe fn stack_from(&mut self, first: c_int) -> Result<(), PackError> {
        // SAFETY: indexes up to the top are valid.
        unsafe {
            let top = ffi::lua_gettop(self.state);
            for index in first..=top {
                if let Err(error) = self.value(index, ffi::lua_type(self.state, index), 0) {
                    if error != PackError::Lua {
                        // The caller needs a slot to raise it.
                        ffi::lua_settop(self.state, top);
                    }
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Packs a value of this type.
    #[inline(always)]
    unsafe fn value(&mut self, index: c_int, kind: c_int, depth: u32) -> Result<(), PackError> {
        let state = self.state;
        // SAFETY: `index` is valid, and each accessor is called for the type that it is for, so that none converts
        // the value in its place.
        unsafe {
            match kind {
                ffi::LUA_TSTRING => {
                    let mut len = 0;
                    let text = ffi::lua_tolstring(state, index, &raw mut len);
                    // The string is referred to by the stack, and nothing in here lets Lua run.
                    format::put_string(&mut self.out, slice::from_raw_parts(text.cast(), len))
                        .map_err(|format::TooLong| PackError::StringLength)?;
                }
                ffi::LUA_TNUMBER => {
                    if ffi::lua_isinteger(state, index) != 0 {
                        let value = ffi::lua_tointegerx(state, index, std::ptr::null_mut());
                        format::put_integer(&mut self.out, value);
                    } else {
                        let value = ffi::lua_tonumberx(state, index, std::ptr::null_mut());
                        format::put_float(&mut self.out, value);
                    }
                }
                ffi::LUA_TTABLE => return self.table(index, depth),
                ffi::LUA_TBOOLEAN => format::put_bool(&mut self.out, ffi::lua_toboolean(state, index) != 0),
                ffi::LUA_TNIL => format::put_nil(&mut self.out),
                ffi::LUA_TLIGHTUSERDATA => {
                    format::put_pointer(
                        &mut self.out,
                        ffi::lua_touserdata(state, index).expose_provenance() as u64,
                    );
                }
                ffi::LUA_TFUNCTION => return Err(PackError::Type("function")),
                ffi::LUA_TTHREAD => return Err(PackError::Type("thread")),
                _ => return Err(PackError::Type("userdata")),
            }
        }
        Ok(())
    }

    unsafe fn table(&mut self, index: c_int, depth: u32) -> Result<(), PackError> {
        let state = self.state;
        // SAFETY: `lua_checkstack` makes room for what is pushed, at most: a metatable, a field, or a key, a value.
        unsafe {
            // Twelve: seven in `pairs` are the most.
            if ffi::lua_checkstack(state, 12) == 0 {
                return Err(PackError::Stack);
            }
            let base = ffi::lua_gettop(state);
            if ffi::lua_getmetatable(state, index) != 0 {
                ffi::lua_rawgetp(state, ffi::LUA_REGISTRYINDEX, pairs_key());
                if ffi::lua_rawget(state, -2) != ffi::LUA_TNIL {
                    return self.pairs(index, base, depth);
                }
                ffi::lua_settop(state, base);
            }
            self.plain_table(index, base, depth)
        }
    }

    /// Packs a table without `__pairs`: an array, as long as Lua says, and the rest.
    ///
    /// `lua_next` gives an array's elements in order, before the rest. So one walk serves for both parts as long as
    /// it gives 1, 2, 3... Where it does not (a hole, an element that is kept in the hash part), the array is taken
    /// by index from there on, and the walk goes on with elements of the array left out.
    #[inline(always)]
    unsafe fn plain_table(&mut self, index: c_int, base: c_int, depth: u32) -> Result<(), PackError> {
        let state = self.state;
        let (key, value) = (base + 1, base + 2);
        // SAFETY: `table` has made room for a key and a value; what is read there has just been pushed.
        unsafe {
            let array_size = ffi::lua_rawlen(state, index) as i64;
            format::put_table(&mut self.out, array_size as u64);
            ffi::lua_pushnil(state);
            let mut more = self.next(index)?;
            if depth == LUA_DEPTH_MAX && (array_size > 0 || more) {
                return Err(PackError::Depth);
            }
            let mut element = 1;
            while element <= array_size && more && self.is_key(key, element) {
                self.value(value, ffi::lua_type(state, value), depth + 1)?;
                ffi::lua_settop(state, key);
                element += 1;
                more = self.next(index)?;
            }
            let in_order = element > array_size;
            while element <= array_size {
                let kind = ffi::lua_rawgeti(state, index, element);
                let place = ffi::lua_gettop(state);
                self.value(place, kind, depth + 1)?;
                ffi::lua_settop(state, place - 1);
                element += 1;
            }
            while more {
                let kind = ffi::lua_type(state, key);
                if in_order || kind != ffi::LUA_TNUMBER || !self.is_element(key, array_size) {
                    self.value(key, kind, depth + 1)?;
                    self.value(value, ffi::lua_type(state, value), depth + 1)?;
                }
                ffi::lua_settop(state, key);
                more = self.next(index)?;
            }
        }
        format::put_nil(&mut self.out);
        Ok(())
    }

    /// Whether the key at this index is this integer.
    #[inline(always)]
    unsafe fn is_key(&mut self, index: c_int, wanted: i64) -> bool {
        // SAFETY: as for all methods. A string is not asked for its integer: it could have one.
        unsafe {
            ffi::lua_isinteger(self.state, index) != 0
                && ffi::lua_tointegerx(self.state, index, std::ptr::null_mut()) == wanted
        }
    }

    /// Whether the number at this index is an integer from 1 to `array_size`.
    unsafe fn is_element(&mut self, index: c_int, array_size: i64) -> bool {
        // SAFETY: as for all methods.
        unsafe {
            ffi::lua_isinteger(self.state, index) != 0
                && (1..=array_size).contains(&ffi::lua_tointegerx(self.state, index, std::ptr::null_mut()))
        }
    }

    /// Takes the key from the top and pushes the next key and its value, or nothing after the last.
    #[inline(always)]
    unsafe fn next(&mut self, table: c_int) -> Result<bool, PackError> {
        if self.disturbed {
            // SAFETY: as below.
            return unsafe { self.next_protected(table) };
        }
        // SAFETY: the key is nil or the last one, and the table has not changed since, so this does not raise.
        Ok(unsafe { ffi::lua_next(self.state, table) } != 0)
    }

    #[cold]
    unsafe fn next_protected(&mut self, table: c_int) -> Result<bool, PackError> {
        unsafe extern "C-unwind" fn raw_next(state: *mut lua_State) -> c_int {
            // SAFETY: Lua calls it with the two arguments below; one is replaced by two.
            unsafe {
                if ffi::lua_next(state, 1) == 0 {
                    ffi::lua_pushnil(state);
                    ffi::lua_pushnil(state);
                }
            }
            2
        }
        let state = self.state;
        // SAFETY: `table` has made room for these two and what `next` pushes. A light C function takes no memory.
        unsafe {
            ffi::lua_pushcfunction(state, raw_next);
            ffi::lua_pushvalue(state, table);
            ffi::lua_rotate(state, -3, 2);
            if ffi::lua_pcall(state, 2, 2, 0) != ffi::LUA_OK {
                return Err(PackError::Lua);
            }
            let more = ffi::lua_type(state, -2) != ffi::LUA_TNIL;
            if !more {
                ffi::lua_settop(state, -3);
            }
            Ok(more)
        }
    }

    /// Packs what the `__pairs` on top of the stack gives for a table, all of it as keys and values.
    #[cold]
    #[inline(never)]
    unsafe fn pairs(&mut self, index: c_int, base: c_int, depth: u32) -> Result<(), PackError> {
        let state = self.state;
        self.disturbed = true;
        format::put_table(&mut self.out, 0);
        // SAFETY: `table` has made room. The metatable is at base + 1, `__pairs` above it, and in its place then the
        // iterator, what it walks over and the last key.
        unsafe {
            let (iterator, control, key, value) = (base + 2, base + 4, base + 5, base + 6);
            ffi::lua_pushvalue(state, index);
            if ffi::lua_pcall(state, 1, 3, 0) != ffi::LUA_OK {
                return Err(PackError::Lua);
            }
            loop {
                for slot in iterator..=control {
                    ffi::lua_pushvalue(state, slot);
                }
                if ffi::lua_pcall(state, 2, 2, 0) != ffi::LUA_OK {
                    return Err(PackError::Lua);
                }
                let kind = ffi::lua_type(state, key);
                if kind == ffi::LUA_TNIL {
                    break;
                }
                if depth == LUA_DEPTH_MAX {
                    return Err(PackError::Depth);
                }
                self.value(key, kind, depth + 1)?;
                self.value(value, ffi::lua_type(state, value), depth + 1)?;
                ffi::lua_copy(state, key, control);
                ffi::lua_settop(state, control);
            }
            ffi::lua_settop(state, base);
        }
        format::put_nil(&mut self.out);
        Ok(())
    }
}
