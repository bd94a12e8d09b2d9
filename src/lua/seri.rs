//! `skynet.pack` and `skynet.unpack`: Lua values to the packed format and back. The tag bytes themselves are in
//! `packed/format.rs`.
//!
//! Both run for nearly every message, hence the raw C interface. Packing never raises: it works on Lua's values
//! only with calls that allocate nothing, and runs what a script may have its hands in (`__pairs`) protected.
//! Unpacking allocates with every value, so it may raise at any point, and its frames own nothing that would have to
//! be dropped.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::slice;

use mlua::ffi::{self, lua_State};

use crate::message::{Payload, PayloadBuilder};
use crate::packed::format::{self, DEPTH_MAX, Damage, Item, LUA_DEPTH_MAX, Reader};

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

/// Why bytes were not unpacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnpackError {
    /// `line` is where it was found out, in this file; the bytes that remained say more.
    // Matched by scripts: keep the words.
    #[error("Invalid serialize stream {remaining} (line:{line})")]
    Damaged { remaining: usize, line: u32 },
    #[error("stack overflow (no room for the values of a message)")]
    Stack,
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

/// Pushes all values of a message and tells how many they are; with an error, none.
///
/// # Safety
/// `state` is valid, and `data` is that of `len` bytes (any, if `len` is 0) that stay as they are meanwhile, also
/// when Lua runs a finalizer. May raise a Lua error (memory, a NaN as a key): nothing between here and the next
/// protected call owns anything.
pub(crate) unsafe fn unpack(
    state: *mut lua_State,
    data: *const u8,
    len: usize,
) -> Result<c_int, UnpackError> {
    if len == 0 {
        return Ok(0);
    }
    // SAFETY: the caller's promise.
    let mut reader = Reader::new(unsafe { slice::from_raw_parts(data, len) });
    // SAFETY: the caller's promise.
    let base = unsafe { ffi::lua_gettop(state) };
    // SAFETY: the caller's promises.
    let pushed = unsafe { push_all(state, &mut reader) };
    if pushed.is_err() {
        // SAFETY: what was pushed goes: the caller needs a slot to raise the error.
        unsafe { ffi::lua_settop(state, base) };
    }
    pushed
}

/// # Safety
/// As for [`unpack`].
#[inline(always)]
unsafe fn push_all(state: *mut lua_State, reader: &mut Reader<'_>) -> Result<c_int, UnpackError> {
    /// Slots that are asked for at a time.
    const STEP: c_int = 16;
    let mut count = 0;
    while reader.remaining() > 0 {
        // SAFETY: the caller's promise about `state`, and room for each value.
        unsafe {
            if count % STEP == 0 && ffi::lua_checkstack(state, STEP) == 0 {
                return Err(UnpackError::Stack);
            }
            match reader.next().map_err(|_| damaged(reader, line!()))? {
                Item::Table(array_size) => push_top_table(state, reader, array_size)?,
                item => push_scalar(state, item),
            }
        }
        count += 1;
    }
    Ok(count)
}

#[cold]
fn damaged(reader: &Reader<'_>, line: u32) -> UnpackError {
    UnpackError::Damaged { remaining: reader.remaining(), line }
}

/// # Safety
/// `state` is valid and has a free slot. May raise.
#[inline(always)]
unsafe fn push_scalar(state: *mut lua_State, item: Item<'_>) {
    // SAFETY: the caller's promises.
    unsafe {
        match item {
            Item::String(text) => {
                ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
            }
            Item::Integer(value) => ffi::lua_pushinteger(state, value),
            Item::Float(value) => ffi::lua_pushnumber(state, value),
            Item::Bool(value) => ffi::lua_pushboolean(state, c_int::from(value)),
            Item::Pointer(address) => {
                ffi::lua_pushlightuserdata(state, std::ptr::with_exposed_provenance_mut(address as usize));
            }
            // A table is its caller's business.
            Item::Nil | Item::Table(_) => ffi::lua_pushnil(state),
        }
    }
}

/// Pushes the table whose head has just been read and that no other is round.
///
/// # Safety
/// As for [`push_scalar`].
#[inline(never)]
unsafe fn push_top_table(
    state: *mut lua_State,
    reader: &mut Reader<'_>,
    array_size: u64,
) -> Result<(), UnpackError> {
    let mut tables = Tables { state, plan: Plan::new(), scan_budget: 4 * reader.remaining() };
    // SAFETY: the caller's promises.
    unsafe { tables.push(reader, array_size, 0) }
}

/// How many pairs the hash parts of the next tables have, in the order of their heads.
///
/// Lua is told the size of a table when it is made, which spares it from growing the table in steps. The bytes
/// do not say the number of pairs, so they are walked over once before. That costs 2 ns a value, and a table of 50
/// fields is made in 2/3 of the time. By the same walk, no table is made for bytes that are damaged.
struct Plan {
    pairs: [u32; Plan::LEN],
    made: usize,
    used: usize,
}

impl Plan {
    /// A message with more tables is planned again from the first one that is beyond it.
    const LEN: usize = 64;

    fn new() -> Plan {
        Plan { pairs: [0; Plan::LEN], made: 0, used: 0 }
    }

    fn next(&mut self) -> Option<u32> {
        let pairs = *self.pairs[..self.made].get(self.used)?;
        self.used += 1;
        Some(pairs)
    }

    fn make(&mut self, reader: &mut Reader<'_>, array_size: u64, depth: u32) -> Result<(), Damage> {
        (self.made, self.used) = (0, 0);
        self.scan(reader, array_size, depth + 1)
    }

    fn scan(&mut self, reader: &mut Reader<'_>, array_size: u64, depth: u32) -> Result<(), Damage> {
        if depth > DEPTH_MAX {
            return Err(Damage::Depth);
        }
        let place = self.made;
        self.made = (place + 1).min(Plan::LEN);
        for _ in 0..array_size {
            if let Item::Table(array_size) = reader.next()? {
                self.scan(reader, array_size, depth + 1)?;
            }
        }
        let mut pairs = 0_u32;
        loop {
            match reader.next()? {
                Item::Nil => break,
                Item::Table(array_size) => self.scan(reader, array_size, depth + 1)?,
                _ => {}
            }
            if let Item::Table(array_size) = reader.next()? {
                self.scan(reader, array_size, depth + 1)?;
            }
            pairs = pairs.saturating_add(1);
        }
        if let Some(planned) = self.pairs.get_mut(place) {
            *planned = pairs;
        }
        Ok(())
    }
}

struct Tables {
    state: *mut lua_State,
    plan: Plan,
    /// How many bytes may still be scanned for the plan. Tables in tables are scanned again when the plan ran
    /// out; this keeps the whole in proportion to the message, whatever its shape.
    scan_budget: usize,
}

impl Tables {
    /// Pushes the table whose head has just been read; `depth` others are round it.
    ///
    /// # Safety
    /// As for [`push_scalar`].
    unsafe fn push(
        &mut self,
        reader: &mut Reader<'_>,
        array_size: u64,
        depth: u32,
    ) -> Result<(), UnpackError> {
        let state = self.state;
        let pairs = match self.plan.next() {
            Some(pairs) => pairs,
            None => self.plan_from(*reader, array_size, depth)?,
        };
        if depth >= DEPTH_MAX || array_size > reader.remaining() as u64 {
            return Err(damaged(reader, line!()));
        }
        // SAFETY: room is made for the table, a key and a value; a value that is a table makes room in turn.
        unsafe {
            if ffi::lua_checkstack(state, 4) == 0 {
                return Err(UnpackError::Stack);
            }
            // Both are at most the number of bytes that are there: each element and each pair was seen or is one.
            let preset = c_int::try_from(array_size).unwrap_or(c_int::MAX);
            ffi::lua_createtable(state, preset, c_int::try_from(pairs).unwrap_or(c_int::MAX));
            for index in 1..=array_size {
                match reader.next().map_err(|_| damaged(reader, line!()))? {
                    // Nothing is what a new table has there.
                    Item::Nil => continue,
                    Item::Table(array_size) => self.push(reader, array_size, depth + 1)?,
                    item => push_scalar(state, item),
                }
                ffi::lua_rawseti(state, -2, index.cast_signed());
            }
            loop {
                match reader.next().map_err(|_| damaged(reader, line!()))? {
                    Item::Nil => return Ok(()),
                    Item::Table(array_size) => self.push(reader, array_size, depth + 1)?,
                    key => push_scalar(state, key),
                }
                match reader.next().map_err(|_| damaged(reader, line!()))? {
                    Item::Table(array_size) => self.push(reader, array_size, depth + 1)?,
                    value => push_scalar(state, value),
                }
                ffi::lua_rawset(state, -3);
            }
        }
    }

    /// Plans anew from this table on; answers for the table itself.
    #[inline(never)]
    fn plan_from(&mut self, mut reader: Reader<'_>, array_size: u64, depth: u32) -> Result<u32, UnpackError> {
        if self.scan_budget == 0 {
            return Ok(0);
        }
        let before = reader.remaining();
        self.plan.make(&mut reader, array_size, depth).map_err(|_| damaged(&reader, line!()))?;
        // One at least: an empty table has a byte too, so the budget ends for sure.
        self.scan_budget = self.scan_budget.saturating_sub(before - reader.remaining());
        Ok(self.plan.next().unwrap_or(0))
    }
}

/// The Lua functions that tests, benchmarks and fuzzing reach the codec by. They free what they pack.
#[cfg(any(test, fuzzing, feature = "bench"))]
#[cfg_attr(not(any(fuzzing, feature = "bench")), expect(unreachable_pub, reason = "only tests see it"))]
pub mod door {
    use std::ffi::c_int;

    use mlua::ffi::{self, lua_State};

    use super::{PackError, pack, pack_with, prepare, unpack};

    /// A table with `pack`, `packstring`, `unpack` and `trash`, which frees what `pack` gave.
    ///
    /// # Errors
    /// Memory.
    pub fn open(lua: &mlua::Lua) -> mlua::Result<mlua::Table> {
        unsafe extern "C-unwind" fn lua_prepare(state: *mut lua_State) -> c_int {
            // SAFETY: Lua calls it, with room for twenty values.
            unsafe { prepare(state) };
            0
        }
        // SAFETY: the functions keep to Lua's rules.
        unsafe {
            lua.create_c_function(lua_prepare)?.call::<()>(())?;
            let module = lua.create_table()?;
            module.set("pack", lua.create_c_function(lua_pack)?)?;
            module.set("packstring", lua.create_c_function(lua_packstring)?)?;
            module.set("unpack", lua.create_c_function(lua_unpack)?)?;
            module.set("trash", lua.create_c_function(lua_trash)?)?;
            Ok(module)
        }
    }

    #[expect(clippy::disallowed_methods, reason = "its text is dropped before it raises")]
    unsafe fn raise(state: *mut lua_State, text: Option<String>) -> c_int {
        // SAFETY: the text is dropped before the error is raised.
        unsafe {
            if let Some(text) = text {
                ffi::lua_pushlstring(state, text.as_ptr().cast(), text.len());
                drop(text);
            }
            ffi::lua_error(state)
        }
    }

    unsafe fn raise_pack(state: *mut lua_State, error: PackError) -> c_int {
        let text = (error != PackError::Lua).then(|| error.to_string());
        // SAFETY: `error` is `Copy`, and the error value is where it says.
        unsafe { raise(state, text) }
    }

    unsafe extern "C-unwind" fn lua_pack(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls it; the payload is given away before anything is pushed.
        unsafe {
            match pack(state, 1) {
                Ok(payload) => {
                    let (data, len) = payload.into_raw();
                    ffi::lua_pushlightuserdata(state, data);
                    ffi::lua_pushinteger(state, len as ffi::lua_Integer);
                    2
                }
                Err(error) => raise_pack(state, error),
            }
        }
    }

    unsafe extern "C-unwind" fn lua_packstring(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls it. A memory error in here would lose a block; these are tests.
        unsafe {
            match pack_with(state, 1, |bytes| {
                ffi::lua_pushlstring(state, bytes.as_ptr().cast(), bytes.len());
            }) {
                Ok(()) => 1,
                Err(error) => raise_pack(state, error),
            }
        }
    }

    unsafe extern "C-unwind" fn lua_unpack(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls it, with a string, which stays on the stack, or with what `pack` gave.
        unsafe {
            let mut len = 0;
            let data = if ffi::lua_type(state, 1) == ffi::LUA_TLIGHTUSERDATA {
                len = ffi::lua_tointegerx(state, 2, std::ptr::null_mut()) as usize;
                ffi::lua_touserdata(state, 1).cast::<u8>().cast_const()
            } else {
                ffi::lua_tolstring(state, 1, &raw mut len).cast()
            };
            match unpack(state, data, len) {
                Ok(count) => count,
                Err(error) => raise(state, Some(error.to_string())),
            }
        }
    }

    unsafe extern "C-unwind" fn lua_trash(state: *mut lua_State) -> c_int {
        // SAFETY: Lua calls it with what `pack` gave.
        unsafe { libc::free(ffi::lua_touserdata(state, 1)) };
        0
    }
}

#[cfg(test)]
mod tests {
    use mlua::{Function, Lua, Table as LuaTable};
    use proptest::prelude::*;

    use super::door;
    use crate::packed::{self, Table, Value, Values};

    fn lua() -> Lua {
        // SAFETY: nothing in these tests loads foreign code.
        let lua = unsafe { Lua::unsafe_new() };
        let module = door::open(&lua).expect("there is memory");
        lua.globals().set("seri", module).expect("there is memory");
        lua
    }

    /// Runs Lua text in which `seri` is the module; a failed assertion in it fails the test.
    fn run(text: &str) {
        lua().load(text).exec().unwrap_or_else(|error| panic!("{error}"));
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        digits.chunks(2).map(|two| u8::from_str_radix(str::from_utf8(two).unwrap(), 16).unwrap()).collect()
    }

    #[test]
    fn values_have_the_bytes_that_the_original_gives_them() {
        let lua = lua();
        let vectors = [
            ("", ""),
            ("nil", "00"),
            ("true, false", "09 01"),
            ("0, 1, 255, 256, 65535, 65536", "02 0a01 0aff 120001 12ffff 2200000100"),
            ("0x7fffffff, 0x80000000", "22ffffff7f 320000008000000000"),
            ("-1, -0x80000000, -0x80000001", "22ffffffff 2200000080 32ffffff7fffffffff"),
            ("math.maxinteger, math.mininteger", "32ffffffffffffff7f 320000000000000080"),
            ("0.0, 1.0, -0.5", "420000000000000000 42000000000000f03f 42000000000000e0bf"),
            ("'', 'a', '1', 'a\\0b'", "04 0c61 0c31 1c610062"),
            ("{}, {1,2}, {a=1}", "0600 160a010a0200 060c610a0100"),
            ("{10,20,x='y'}", "160a0a0a140c780c7900"),
            ("{{},{{}}}", "16 0600 0e060000 00"),
            ("{[1.5]=true}", "06 42000000000000f83f 09 00"),
            ("{[2^53]=true}", "06 320000000000002000 09 00"),
            ("{['1']=1, 5}", "0e 0a05 0c31 0a01 00"),
            ("{[{}]={}}", "06 0600 0600 00"),
        ];
        for (values, bytes) in vectors {
            let bytes = hex(bytes);
            let text =
                format!("local s = seri.packstring({values}) return s, seri.packstring(seri.unpack(s))");
            let (packed, again): (mlua::LuaString, mlua::LuaString) =
                lua.load(text).eval().expect("it packs");
            assert_eq!((&*packed.as_bytes(), &*again.as_bytes()), (&bytes[..], &bytes[..]), "of {values}");
        }
    }

    #[test]
    fn strings_and_arrays_of_every_length_come_back() {
        run("for _, n in ipairs { 0, 1, 2, 3, 4, 7, 8, 15, 16, 30, 31, 32, 255, 4090, 4096, 9000, 65535, 65536, 200000 } do
                local s = ('abcdefg'):rep(n // 7 + 1):sub(1, n)
                local packed = seri.packstring(n, s, true)
                local head = n < 32 and string.char(4 + 8 * n) or n < 65536 and '\\x15' .. string.pack('<I2', n)
                    or '\\x25' .. string.pack('<I4', n)
                assert(packed == seri.packstring(n) .. head .. s .. '\\9')
                local a, b, c = seri.unpack(packed)
                assert(a == n and b == s and c == true)

                local data, size = seri.pack(n, s, true)
                assert(size == #packed)
                local a, b, c = seri.unpack(data, size)
                assert(a == n and b == s and c == true)
                seri.trash(data)

                local list = {}
                for i = 1, n do list[i] = i * 3 end
                local packed = seri.packstring(list)
                local back = seri.unpack(packed)
                assert(#back == n and back[n + 1] == nil)
                for i = 1, n do assert(back[i] == i * 3) end
            end");
        run("assert(seri.packstring({ table.unpack({}, 1, 31) }) == '\\6\\0')
            local t = {} for i = 1, 31 do t[i] = true end
            assert(seri.packstring(t) == '\\xfe\\x0a\\x1f' .. ('\\9'):rep(31) .. '\\0')
            for i = 32, 300 do t[i] = true end
            assert(seri.packstring(t) == '\\xfe\\x12\\x2c\\x01' .. ('\\9'):rep(300) .. '\\0')");
    }

    #[test]
    fn a_table_is_whole_however_lua_keeps_its_elements() {
        run("local function same(t)
                local back, keys = seri.unpack(seri.packstring(t)), 0
                for k, v in pairs(t) do assert(back[k] == v, k) keys = keys + 1 end
                for k in pairs(back) do keys = keys - 1 end
                assert(keys == 0)
            end
            same { 1, nil, 3 }
            same { nil, nil, 3 }
            same { 1, 2, 3, nil, 5, nil, nil, 8, x = 1 }
            local t = {} for i = 10, 1, -1 do t[i] = i end same(t)
            local t = { a = 1, b = 2, ['1'] = 'one' } for i = 1, 5 do t[i] = i end same(t)
            local t = {} for i = 1, 64 do t[i] = i end for i = 2, 63, 3 do t[i] = nil end same(t)
            local t = {} for i = 1, 64 do t[i] = i end for i = 33, 64 do t[i] = nil end t.x, t[-1], t[0] = 1, 2, 3 same(t)
            for seed = 1, 300 do
                local t = {}
                for i = 1, seed % 40 do t[(i * seed * 7919) % 50 - 3] = i end
                for i = 1, seed % 7 do t['k' .. i] = i end
                for i = 1, seed % 11 do t[(i * seed) % 17] = nil end
                same(t)
            end");
    }

    #[test]
    fn a_hole_is_packed_as_the_lua_in_use_counts() {
        let bytes = if cfg!(feature = "lua55") { "0e0a010a030a0300" } else { "1e0a01000a0300" };
        let lua = lua();
        let packed: mlua::LuaString =
            lua.load("return seri.packstring { 1, nil, 3 }").eval().expect("it packs");
        assert_eq!(&*packed.as_bytes(), hex(bytes));
        for bytes in [&b"\x0e\x0a\x01\x0a\x03\x0a\x03\0"[..], b"\x1e\x0a\x01\0\x0a\x03\0"] {
            lua.globals().set("bytes", lua.create_string(bytes).expect("memory")).expect("memory");
            lua.load("local t = seri.unpack(bytes) assert(t[1] == 1 and t[2] == nil and t[3] == 3)")
                .exec()
                .expect("it unpacks");
        }
    }

    #[test]
    fn what_cannot_be_packed_is_refused_in_the_known_words() {
        run("local function refuses(text, ...)
                local ok, err = pcall(seri.pack, ...)
                assert(not ok and err == text, err)
                local ok, err = pcall(seri.packstring, ...)
                assert(not ok and err == text, err)
            end
            refuses('Unsupport type function to serialize', print)
            refuses('Unsupport type thread to serialize', 1, coroutine.create(print))
            refuses('Unsupport type userdata to serialize', { x = { io.stdout } })
            refuses('Unsupport type function to serialize', { [print] = 1 })
            refuses('Unsupport type function to serialize', ('x'):rep(100000), print)
            local deep = {}
            for _ = 1, 32 do deep = { deep } end
            assert(seri.packstring(deep) == ('\\x0e'):rep(32) .. '\\6' .. ('\\0'):rep(33))
            refuses('serialize can\\'t pack too depth table', { deep })
            local inner = setmetatable({}, { __pairs = function() return next, { 1 } end })
            for _ = 1, 32 do inner = { x = inner } end
            refuses('serialize can\\'t pack too depth table', inner)
            local deep = { 1 }
            for _ = 1, 32 do deep = { x = deep } end
            refuses('serialize can\\'t pack too depth table', deep)
            local cycle = {} cycle[1] = cycle
            refuses('serialize can\\'t pack too depth table', cycle)
            local cycle = {} cycle[cycle] = 1
            refuses('serialize can\\'t pack too depth table', cycle)");
    }

    #[test]
    fn pairs_metamethods_are_asked() {
        run("local function proxy(t) return setmetatable({ hidden = 1 }, { __pairs = function() return next, t end }) end
            assert(seri.packstring(proxy {}) == '\\6\\0')
            assert(seri.packstring(proxy { 7 }) == '\\6\\x0a\\1\\x0a\\7\\0')
            local back = seri.unpack(seri.packstring { proxy { x = proxy { y = 1 } }, z = proxy { 2 } })
            assert(back[1].x.y == 1 and back.z[1] == 2)
            assert(seri.packstring(setmetatable({ 1 }, {})) == seri.packstring { 1 })
            -- The iterator may pack, too.
            local nested = setmetatable({}, { __pairs = function()
                return function(_, k) if not k then return 'inner', seri.packstring(('x'):rep(5000), proxy { 1 }) end end
            end })
            local before, inner, after = seri.unpack(seri.packstring('before', nested, 'after'))
            assert(before == 'before' and after == 'after')
            local s, t = seri.unpack(inner.inner)
            assert(#s == 5000 and t[1] == 1)");
    }

    #[test]
    fn an_error_in_a_pairs_metamethod_arrives_unchanged() {
        run("local problem = setmetatable({}, { __tostring = function() return 'x' end })
            local function raises() error(problem) end
            local function check(t, wanted)
                local ok, err = pcall(seri.pack, ('x'):rep(10000), { { t } })
                assert(not ok and (wanted and err:find(wanted, 1, true) or err == problem), err)
            end
            check(setmetatable({}, { __pairs = raises }))
            check(setmetatable({}, { __pairs = function() return raises end }))
            check(setmetatable({}, { __pairs = 1 }), 'attempt to call a number value')
            check(setmetatable({}, { __pairs = function() return 1 end }), 'attempt to call a number value')
            check(setmetatable({}, { __pairs = function() coroutine.yield() end }), 'attempt to yield')");
    }

    #[test]
    fn a_table_that_changes_under_its_walk_is_an_error_at_worst() {
        run("for count = 1, 40 do
                local outer = {}
                local vandal = setmetatable({}, { __pairs = function()
                    for k in pairs(outer) do outer[k] = nil end
                    for i = 1, count * 3 do outer['new' .. i] = i end
                    collectgarbage()
                    return next, {}
                end })
                for i = 1, count do outer['k' .. i] = vandal end
                for i = 1, count do outer[i] = vandal end
                local ok, err = pcall(seri.packstring, outer)
                assert(ok or err:find('next', 1, true), err)
            end");
    }

    #[test]
    fn damaged_bytes_are_refused_in_the_known_words() {
        run(r"local function refuses(bytes)
                local ok, err = pcall(seri.unpack, bytes)
                assert(not ok and err:find('^Invalid serialize stream %d+ %(line:%d+%)$'), err)
            end
            for _, bytes in ipairs {
                '\7', '\x0a', '\x12\0', '\x22\0\0\0', '\x32\0\0\0\0\0\0\0', '\x42\0\0\0\0\0\0\0', '\x1a\0', '\x2a\0\0', '\x4a\0',
                '\3\0', '\x0c', '\xfcshort', '\x15\1', '\x15\1\0', '\x25\1\0\0\0', '\x25\xff\xff\xff\xffx', '\x0d\0', '\x05',
                '\6', '\x0e', '\x0e\9', '\6\9', '\6\9\9', '\xfe', '\xfe\9', '\xfe\x0c1', '\xfe\x42\0\0\0\0\0\0\xf0\x3f',
                '\xfe\x22\xff\xff\xff\xff', '\xfe\x22\xff\xff\xff\x7f\0\0', '\xfe\x32\xff\xff\xff\xff\xff\xff\xff\x7f\0\0',
                ('\x0e'):rep(1000), ('\6'):rep(100000), ('\xfe\x22\xff\xff\xff\x7f'):rep(1000), '\9\9\6\7\9\0',
            } do refuses(bytes) end
            local function nested(n) return ('\x0e'):rep(n) .. '\6\0' .. ('\0'):rep(n) end
            assert(seri.unpack(nested(199)))
            refuses(nested(200))
            local ok, err = pcall(seri.unpack, '\6\x42' .. string.pack('<d', 0/0) .. '\9\0')
            assert(not ok and err:find('NaN', 1, true), err)
            assert(select('#', seri.unpack('')) == 0)
            local ok, err = pcall(seri.unpack, ('\0'):rep(1100000))
            assert(not ok and err:find('stack overflow', 1, true), err)
            assert(select('#', seri.unpack(('\0'):rep(100000))) == 100000)
            assert(seri.unpack '\x11' == true and seri.unpack '\xf8' == nil)
            assert(next(seri.unpack '\6\9\0\0') == nil, 'a pair with nil is none')");
    }

    #[test]
    fn few_bytes_take_little_memory() {
        let lua = lua();
        lua.load("collectgarbage() collectgarbage('stop')").exec().expect("it is Lua");
        let before = lua.used_memory();
        lua.load(
            r"for _, claim in ipairs { '\xfe\x22\xff\xff\xff\x7f', '\xfe\x22\0\0\1\0', '\xfe\x12\xff\xff' } do
                pcall(seri.unpack, claim:rep(190) .. ('\9'):rep(30000))
            end",
        )
        .exec()
        .expect("it is Lua");
        assert!(lua.used_memory() - before < 2_000_000, "it took {}", lua.used_memory() - before);
    }

    #[test]
    fn tables_beyond_the_plan_are_whole() {
        run("local rows = {}
            for i = 1, 500 do rows[i] = { id = i, tags = { a = i, b = { i } }, [i] = { {}, { x = { y = i } } } } end
            local back = seri.unpack(seri.packstring(rows))
            assert(#back == 500)
            for i = 1, 500 do
                local row = back[i]
                assert(row.id == i and row.tags.a == i and row.tags.b[1] == i and row[i][2].x.y == i)
            end");
    }

    #[test]
    fn a_failed_pack_leaves_nothing_behind() {
        run("local t = setmetatable({}, { __pairs = function() error 'no' end })
            for _ = 1, 1000 do pcall(seri.pack, ('x'):rep(20000), t) pcall(seri.pack, { { print } }) end");
    }

    /// The same value in one form for all that are equal to Lua: pairs sorted, no entry that is nil.
    fn canonical(value: Value) -> Value {
        let Value::Table(Table { array, pairs }) = value else { return value };
        let array = array.into_iter().map(canonical).collect();
        let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, canonical(value))).collect();
        pairs.sort_by_key(|(key, _)| format!("{key:?}"));
        Value::Table(Table { array, pairs })
    }

    proptest! {
        #[test]
        fn lua_and_serde_read_what_the_other_wrote(
            values in proptest::collection::vec(packed::tests::any_value(), 0..4)
        ) {
            let lua = lua();
            let values = Values(values);
            let module: LuaTable = lua.globals().get("seri").unwrap();
            let (pack, unpack): (Function, Function) =
                (module.get("packstring").unwrap(), module.get("unpack").unwrap());
            let bytes = lua.create_string(packed::to_vec(&values).unwrap()).unwrap();
            let in_lua: mlua::MultiValue = unpack.call(bytes).unwrap();
            prop_assert_eq!(in_lua.len(), values.0.len());
            let bytes: mlua::LuaString = pack.call(in_lua).unwrap();
            let back: Values = packed::from_bytes(&bytes.as_bytes()).unwrap();
            let canonical = |values: Values| values.0.into_iter().map(canonical).collect::<Vec<_>>();
            prop_assert_eq!(canonical(back), canonical(values));
        }

        #[test]
        fn both_refuse_the_same_bytes(
            values in proptest::collection::vec(packed::tests::any_value(), 0..3),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
            noise in proptest::collection::vec(any::<u8>(), 0..20),
            end in any::<prop::sample::Index>(),
        ) {
            let mut bytes = packed::to_vec(&Values(values)).unwrap();
            for (place, byte) in damage {
                if !bytes.is_empty() {
                    let place = place.index(bytes.len());
                    bytes[place] = byte;
                }
            }
            bytes.truncate(end.index(bytes.len() + 1));
            bytes.extend(noise);
            let lua = lua();
            let module: LuaTable = lua.globals().get("seri").unwrap();
            let unpack: Function = module.get("unpack").unwrap();
            let by_lua = unpack.call::<mlua::MultiValue>(lua.create_string(&bytes).unwrap());
            let by_serde = packed::from_bytes::<Values>(&bytes);
            if let Err(error) = &by_lua && error.to_string().contains("NaN") {
                return Ok(());
            }
            prop_assert_eq!(by_lua.is_ok(), by_serde.is_ok(), "{:?} {:?}", by_lua, by_serde);
        }
    }
}
