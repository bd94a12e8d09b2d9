//! Unpacking: from the bytes of a message to the stack of a VM.

use std::ffi::c_int;
use std::slice;

use mlua::ffi::{self, lua_State};

use crate::packed::format::{DEPTH_MAX, Damage, Item, Reader};

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
