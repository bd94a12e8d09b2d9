//! [`Payload`]: who owns the bytes of a message.
//!
//! The only place where a payload becomes a raw pointer with a length, and back. Lua code hands such pairs on
//! (`skynet.redirect`, netpack), and C modules `free` what they get, so the bytes live in one block of the C
//! library's `malloc`.
#![allow(unsafe_code)]

use std::any::Any;
use std::ffi::c_void;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;

/// What a message carries: nothing, a block of bytes, or a typed value that never leaves its node.
///
/// Bytes that are not delivered are freed, and a typed value is dropped.
pub struct Payload(Repr);

enum Repr {
    Empty,
    Bytes(Block),
    /// A part of a block that several payloads have in common; the last of them frees it.
    Shared {
        block: Arc<Block>,
        start: u32,
        len: u32,
    },
    Typed(Box<dyn Any + Send>),
}

/// A block of `malloc` with the number of its bytes that count; freed on drop.
struct Block {
    data: NonNull<u8>,
    len: usize,
}

// SAFETY: a block has one owner and no interior sharing; `free` may be called on any thread.
unsafe impl Send for Block {}
// SAFETY: a shared block is only read.
unsafe impl Sync for Block {}

impl Drop for Block {
    fn drop(&mut self) {
        // SAFETY: `data` came from `malloc` (`from_raw` asks for it) and nobody else owns it.
        unsafe { libc::free(self.data.as_ptr().cast()) }
    }
}

impl Payload {
    /// No bytes at all.
    #[must_use]
    pub const fn empty() -> Payload {
        Payload(Repr::Empty)
    }

    /// A block with a copy of these bytes.
    #[must_use]
    pub fn copy_from(bytes: &[u8]) -> Payload {
        if bytes.is_empty() {
            return Payload::empty();
        }
        // SAFETY: `malloc` takes any size; the result is checked below.
        let data = unsafe { libc::malloc(bytes.len()) }.cast::<u8>();
        let Some(data) = NonNull::new(data) else {
            std::alloc::handle_alloc_error(std::alloc::Layout::for_value(bytes));
        };
        // SAFETY: the new block has `bytes.len()` bytes and overlaps nothing.
        unsafe { data.as_ptr().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        Payload(Repr::Bytes(Block { data, len: bytes.len() }))
    }

    /// A block with the bytes of two slices, one behind the other.
    pub(crate) fn join(first: &[u8], second: &[u8]) -> Payload {
        let len = first.len() + second.len();
        if len == 0 {
            return Payload::empty();
        }
        // SAFETY: `malloc` takes any size; the result is checked below.
        let data = unsafe { libc::malloc(len) }.cast::<u8>();
        let Some(data) = NonNull::new(data) else { out_of_memory(len) };
        // SAFETY: the new block has room for both, and overlaps neither.
        unsafe {
            data.as_ptr().copy_from_nonoverlapping(first.as_ptr(), first.len());
            data.as_ptr().add(first.len()).copy_from_nonoverlapping(second.as_ptr(), second.len());
        }
        Payload(Repr::Bytes(Block { data, len }))
    }

    /// Takes the first bytes away; the block stays the same.
    pub(crate) fn remove_front(&mut self, count: usize) {
        match &mut self.0 {
            Repr::Bytes(block) if count < block.len => {
                block.len -= count;
                // SAFETY: the block has `count + len` bytes, and nobody else reads or writes them.
                unsafe { block.data.as_ptr().copy_from(block.data.as_ptr().add(count), block.len) };
            }
            Repr::Shared { start, len, .. } if count < *len as usize => {
                // Less than `len`, which is a `u32`.
                *start += count as u32;
                *len -= count as u32;
            }
            Repr::Bytes(_) | Repr::Shared { .. } => self.0 = Repr::Empty,
            Repr::Empty | Repr::Typed(_) => {}
        }
    }

    /// Forgets the bytes from `len` on; the block stays the same.
    pub(crate) fn truncate(&mut self, len: usize) {
        match &mut self.0 {
            Repr::Bytes(block) if len > 0 => block.len = block.len.min(len),
            Repr::Shared { len: before, .. } if len > 0 => {
                *before = (*before).min(u32::try_from(len).unwrap_or(u32::MAX));
            }
            Repr::Bytes(_) | Repr::Shared { .. } => self.0 = Repr::Empty,
            Repr::Empty | Repr::Typed(_) => {}
        }
    }

    /// Wraps a value that is not bytes. It reaches local services only: harbor refuses to carry it.
    #[must_use]
    pub fn typed<T: Any + Send>(value: T) -> Payload {
        Payload(Repr::Typed(Box::new(value)))
    }

    /// The bytes; none for a typed payload.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            // SAFETY: the block holds `len` initialized bytes and lives as long as `self`.
            Repr::Bytes(block) => unsafe { std::slice::from_raw_parts(block.data.as_ptr(), block.len) },
            Repr::Shared { block, start, len } => {
                let (start, len) = (*start as usize, *len as usize);
                debug_assert!(start + len <= block.len);
                // SAFETY: `share` and `slice` keep the part within the block, which holds `block.len` initialized
                // bytes, is only read while it is shared, and lives as long as `self`.
                unsafe { std::slice::from_raw_parts(block.data.as_ptr().add(start), len) }
            }
            Repr::Empty | Repr::Typed(_) => &[],
        }
    }

    /// The number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Repr::Bytes(block) => block.len,
            Repr::Shared { len, .. } => *len as usize,
            Repr::Empty | Repr::Typed(_) => 0,
        }
    }

    /// Whether it is a typed value.
    pub(crate) fn is_typed(&self) -> bool {
        matches!(self.0, Repr::Typed(_))
    }

    /// The same bytes in a form of which [`slice`](Self::slice) makes parts without copying them. Bytes that are too
    /// many for that (4 GiB), and what is no bytes, stay as they are.
    #[must_use]
    pub(crate) fn share(self) -> Payload {
        match self.0 {
            Repr::Bytes(block) => match u32::try_from(block.len) {
                Ok(len) => Payload(Repr::Shared { block: Arc::new(block), start: 0, len }),
                Err(_) => Payload(Repr::Bytes(block)),
            },
            other => Payload(other),
        }
    }

    /// Some of the bytes: the same ones where they are shared, a copy otherwise. What lies beyond the end is left out.
    #[must_use]
    pub(crate) fn slice(&self, range: Range<usize>) -> Payload {
        let end = range.end.min(self.len());
        let begin = range.start.min(end);
        match &self.0 {
            // Both fit: they are at most `len`, which is a `u32`.
            Repr::Shared { block, start, .. } if begin < end => Payload(Repr::Shared {
                block: Arc::clone(block),
                start: start + begin as u32,
                len: (end - begin) as u32,
            }),
            _ => Payload::copy_from(self.as_bytes().get(begin..end).unwrap_or_default()),
        }
    }

    /// The same bytes as `bytes`, which must be some of these: a part of them where that saves much copying and keeps little
    /// else alive, a copy otherwise.
    #[must_use]
    pub(crate) fn part(&self, bytes: &[u8]) -> Payload {
        const PART_MIN: usize = 16 * 1024;
        /// A part keeps the whole block.
        const WHOLE_MAX: usize = 8;
        let is_worth = bytes.len() >= PART_MIN.max(self.len() / WHOLE_MAX);
        let offset = bytes.as_ptr().addr().checked_sub(self.as_bytes().as_ptr().addr());
        match offset.filter(|_| is_worth && matches!(self.0, Repr::Shared { .. })) {
            Some(offset) if offset.checked_add(bytes.len()).is_some_and(|end| end <= self.len()) => {
                self.slice(offset..offset + bytes.len())
            }
            _ => Payload::copy_from(bytes),
        }
    }

    /// Whether there are no bytes. True for a typed payload.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The typed value, if it is a `T`.
    #[must_use]
    pub fn downcast_ref<T: Any>(&self) -> Option<&T> {
        match &self.0 {
            Repr::Typed(value) => value.downcast_ref(),
            Repr::Empty | Repr::Bytes(_) | Repr::Shared { .. } => None,
        }
    }

    /// The typed value, if it is a `T`, to be changed.
    #[must_use]
    pub fn downcast_mut<T: Any>(&mut self) -> Option<&mut T> {
        match &mut self.0 {
            Repr::Typed(value) => value.downcast_mut(),
            Repr::Empty | Repr::Bytes(_) | Repr::Shared { .. } => None,
        }
    }

    /// Takes the typed value.
    ///
    /// # Errors
    /// The payload itself, where it is not a `T`.
    pub fn downcast<T: Any>(self) -> Result<T, Payload> {
        match self.0 {
            Repr::Typed(value) => match value.downcast() {
                Ok(value) => Ok(*value),
                Err(value) => Err(Payload(Repr::Typed(value))),
            },
            other => Err(Payload(other)),
        }
    }

    /// Gives the block away: a pointer that its new owner has to `free`, and the number of bytes. Null for a
    /// payload without bytes. Shared bytes are copied.
    pub(crate) fn into_raw(self) -> (*mut c_void, usize) {
        match self.0 {
            Repr::Shared { .. } => Payload::copy_from(self.as_bytes()).into_raw(),
            Repr::Bytes(block) => {
                let block = ManuallyDrop::new(block);
                (block.data.as_ptr().cast(), block.len)
            }
            Repr::Empty | Repr::Typed(_) => (std::ptr::null_mut(), 0),
        }
    }

    /// Takes over a block.
    ///
    /// # Safety
    /// `data` is null, or a block of the C library's `malloc` with at least `len` initialized bytes that nobody
    /// else frees or writes.
    pub(crate) unsafe fn from_raw(data: *mut c_void, len: usize) -> Payload {
        match NonNull::new(data.cast::<u8>()) {
            Some(data) => Payload(Repr::Bytes(Block { data, len })),
            None => Payload::empty(),
        }
    }
}

/// A payload in the making: bytes are put at its end.
///
/// They are collected in scratch room of the caller, which costs nothing, and move to a growing block of `malloc`
/// when they no longer fit. That block becomes the payload as it is; what stayed in the scratch room is copied
/// once, into a block of exactly its size.
pub(crate) struct PayloadBuilder<'s> {
    /// Start of the scratch room or of our block; the first `len` bytes are initialized, `capacity` are ours.
    data: *mut u8,
    len: usize,
    capacity: usize,
    /// Whether `data` is a block of `malloc`.
    spilled: bool,
    scratch: PhantomData<&'s mut [MaybeUninit<u8>]>,
}

impl<'s> PayloadBuilder<'s> {
    /// Shorter runs of bytes are copied without a call.
    pub(crate) const SHORT_MAX: usize = 31;

    #[inline(always)]
    pub(crate) fn new(scratch: &'s mut [MaybeUninit<u8>]) -> PayloadBuilder<'s> {
        PayloadBuilder {
            data: scratch.as_mut_ptr().cast(),
            len: 0,
            capacity: scratch.len(),
            spilled: false,
            scratch: PhantomData,
        }
    }

    #[inline(always)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline(always)]
    pub(crate) fn as_bytes(&self) -> &[u8] {
        // SAFETY: `data` holds `len` initialized bytes that only `self` can write.
        unsafe { std::slice::from_raw_parts(self.data, self.len) }
    }

    pub(crate) fn as_bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed alone.
        unsafe { std::slice::from_raw_parts_mut(self.data, self.len) }
    }

    /// Forgets the bytes from `len` on.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    #[inline(always)]
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        // SAFETY: `reserve` made room for them behind `len`; `bytes` is borrowed from elsewhere.
        unsafe { self.data.add(self.len).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        self.len += bytes.len();
    }

    /// Puts the low `len` bytes of `word`, the lowest first; at most eight.
    #[inline(always)]
    pub(crate) fn put_word(&mut self, word: u64, len: usize) {
        debug_assert!(len <= 8);
        self.reserve(8);
        // SAFETY: there is room for all eight; those beyond `len` are overwritten by what follows.
        unsafe { self.data.add(self.len).cast::<u64>().write_unaligned(word.to_le()) };
        self.len += len;
    }

    /// Puts one byte and then at most [`SHORT_MAX`](Self::SHORT_MAX) others.
    #[inline(always)]
    pub(crate) fn put_short(&mut self, first: u8, bytes: &[u8]) {
        let len = bytes.len();
        debug_assert!(len <= Self::SHORT_MAX);
        self.reserve(1 + Self::SHORT_MAX);
        // SAFETY: `reserve` made room for the byte and for 31 others behind it. Each branch reads and writes
        // within the first `len` bytes: two moves of a fixed size that meet or overlap in the middle.
        unsafe {
            let to = self.data.add(self.len);
            to.write(first);
            let (from, to) = (bytes.as_ptr(), to.add(1));
            if len >= 16 {
                move_both_ends::<u128>(from, to, len);
            } else if len >= 8 {
                move_both_ends::<u64>(from, to, len);
            } else if len >= 4 {
                move_both_ends::<u32>(from, to, len);
            } else if len >= 2 {
                move_both_ends::<u16>(from, to, len);
            } else if len == 1 {
                to.write(from.read());
            }
        }
        self.len += 1 + len;
    }

    #[inline(always)]
    fn reserve(&mut self, more: usize) {
        if self.capacity - self.len < more {
            self.grow(more);
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, more: usize) {
        // Twice of what was, but not twice of what comes: one large string takes little more than its own length.
        let capacity = self.capacity.saturating_mul(2).max(self.len.saturating_add(more).saturating_add(64));
        // SAFETY: `realloc` gets null or the block that we own, and any size.
        let block = unsafe {
            let old = if self.spilled { self.data } else { std::ptr::null_mut() };
            libc::realloc(old.cast(), capacity).cast::<u8>()
        };
        if block.is_null() {
            out_of_memory(capacity);
        }
        if !self.spilled {
            // SAFETY: the new block is larger than the scratch room and overlaps nothing.
            unsafe { block.copy_from_nonoverlapping(self.data, self.len) };
        }
        (self.data, self.capacity, self.spilled) = (block, capacity, true);
    }

    /// The payload.
    #[inline]
    pub(crate) fn finish(self) -> Payload {
        if !self.spilled {
            return Payload::copy_from(self.as_bytes());
        }
        let this = ManuallyDrop::new(self);
        let mut data = this.data;
        if this.capacity - this.len > this.len / 4 + 64 {
            // SAFETY: the block is ours, and `len` is not 0: it was outgrown before.
            let smaller = unsafe { libc::realloc(data.cast(), this.len.max(1)) }.cast::<u8>();
            if !smaller.is_null() {
                data = smaller;
            }
        }
        // SAFETY: a block of `malloc` with `len` initialized bytes, which `this` will not free.
        unsafe { Payload::from_raw(data.cast(), this.len) }
    }
}

impl Drop for PayloadBuilder<'_> {
    fn drop(&mut self) {
        if self.spilled {
            // SAFETY: the block is ours, and `finish` has not given it away.
            unsafe { libc::free(self.data.cast()) }
        }
    }
}

/// A payload of a known length whose bytes come one after the other.
///
/// The block is taken whole at the start: one that grew would be copied again and again, and a long one is more than a
/// turn may copy. The system gives it pages as they are written, so what a peer promises and never sends costs none.
pub(crate) struct Filling {
    block: Block,
    total: usize,
}

impl Filling {
    /// Nothing where there is no memory for so much.
    pub(crate) fn new(total: usize) -> Option<Filling> {
        // SAFETY: `malloc` takes any size; the result is checked.
        let data = NonNull::new(unsafe { libc::malloc(total.max(1)) }.cast::<u8>())?;
        Some(Filling { block: Block { data, len: 0 }, total })
    }

    /// The bytes that there are.
    pub(crate) fn len(&self) -> usize {
        self.block.len
    }

    /// The bytes that there will be.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// How many bytes have not come.
    pub(crate) fn missing(&self) -> usize {
        self.total - self.block.len
    }

    /// Puts in as many of these bytes as are missing; answers how many.
    pub(crate) fn put(&mut self, bytes: &[u8]) -> usize {
        let count = bytes.len().min(self.missing());
        // SAFETY: the block has room for `total` bytes, of which `count` are missing; `bytes` is borrowed from elsewhere.
        unsafe {
            self.block.data.as_ptr().add(self.block.len).copy_from_nonoverlapping(bytes.as_ptr(), count)
        };
        self.block.len += count;
        count
    }

    /// Reads from a descriptor what is missing, or a part of it; answers how many bytes came.
    pub(crate) fn read_from(&mut self, source: BorrowedFd<'_>) -> io::Result<usize> {
        // SAFETY: the block has room for `total` bytes, of which `missing` are behind the first `len`, and nobody else
        // has it.
        let count = unsafe {
            let room = self.block.data.as_ptr().add(self.block.len);
            libc::read(source.as_raw_fd(), room.cast(), self.missing())
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.block.len += count;
        Ok(count)
    }

    /// A payload with a copy of what has come, which is forgotten: the room is as it was.
    pub(crate) fn copy_out(&mut self) -> Payload {
        // SAFETY: the first `len` bytes are initialized, and nobody writes them meanwhile.
        let bytes = unsafe { std::slice::from_raw_parts(self.block.data.as_ptr(), self.block.len) };
        let copy = Payload::copy_from(bytes);
        self.block.len = 0;
        copy
    }

    /// The payload with what has come.
    pub(crate) fn finish(self) -> Payload {
        if self.block.len == 0 { Payload::empty() } else { Payload(Repr::Bytes(self.block)) }
    }
}

/// Copies `len` bytes as a `W` at the start and a `W` at the end.
///
/// # Safety
/// Both sides have `len` bytes, they do not overlap, and `len` is between one `W` and two.
#[inline(always)]
unsafe fn move_both_ends<W: Copy>(from: *const u8, to: *mut u8, len: usize) {
    let last = len - size_of::<W>();
    // SAFETY: `last` is the last place where a whole `W` lies within `len` bytes.
    unsafe {
        let (head, tail) = (from.cast::<W>().read_unaligned(), from.add(last).cast::<W>().read_unaligned());
        to.cast::<W>().write_unaligned(head);
        to.add(last).cast::<W>().write_unaligned(tail);
    }
}

#[cold]
fn out_of_memory(size: usize) -> ! {
    match std::alloc::Layout::array::<u8>(size) {
        Ok(layout) => std::alloc::handle_alloc_error(layout),
        Err(_) => panic!("a payload of {size} bytes cannot be"),
    }
}

impl Default for Payload {
    fn default() -> Payload {
        Payload::empty()
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Payload {
        Payload::copy_from(bytes)
    }
}

impl<const N: usize> From<&[u8; N]> for Payload {
    fn from(bytes: &[u8; N]) -> Payload {
        Payload::copy_from(bytes)
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Payload {
        Payload::copy_from(text.as_bytes())
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Payload {
        Payload::copy_from(text.as_bytes())
    }
}

impl From<Vec<u8>> for Payload {
    fn from(bytes: Vec<u8>) -> Payload {
        Payload::copy_from(&bytes)
    }
}

impl From<()> for Payload {
    fn from((): ()) -> Payload {
        Payload::empty()
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Empty => f.write_str("nothing"),
            Repr::Bytes(_) | Repr::Shared { .. } => write!(f, "{} bytes", self.len()),
            Repr::Typed(_) => f.write_str("typed"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_way_through_a_raw_pair() {
        let (data, len) = Payload::from("hello").into_raw();
        // SAFETY: the pair is the one that `into_raw` gave.
        let payload = unsafe { Payload::from_raw(data, len) };
        assert_eq!(payload.as_bytes(), b"hello");
    }

    #[test]
    fn a_block_is_made_of_two_parts_and_loses_its_ends() {
        let mut payload = Payload::join(b"ab", b"cdefg");
        assert_eq!(payload.as_bytes(), b"abcdefg");
        payload.remove_front(2);
        assert_eq!(payload.as_bytes(), b"cdefg");
        payload.remove_front(0);
        payload.truncate(9);
        payload.truncate(4);
        assert_eq!(payload.as_bytes(), b"cdef");
        payload.remove_front(3);
        assert_eq!(payload.as_bytes(), b"f");
        payload.remove_front(1);
        payload.remove_front(1);
        payload.truncate(1);
        assert!(payload.into_raw().0.is_null());
        assert!(Payload::join(b"", b"").into_raw().0.is_null());
        let mut payload = Payload::from("x");
        payload.truncate(0);
        assert!(payload.into_raw().0.is_null());
    }

    #[test]
    fn parts_of_shared_bytes_are_the_same_bytes_and_outlive_each_other() {
        let whole = Payload::from("0123456789").share();
        let part = whole.slice(2..6);
        assert_eq!(part.as_bytes().as_ptr(), whole.as_bytes()[2..].as_ptr());
        let again = part.slice(1..100);
        drop((whole, part));
        assert_eq!((again.as_bytes(), again.len()), (&b"345"[..], 3));
        assert!(again.slice(3..9).is_empty() && again.slice(7..9).is_empty());
        let (data, len) = again.into_raw();
        // SAFETY: the pair is the one that `into_raw` gave.
        assert_eq!(unsafe { Payload::from_raw(data, len) }.as_bytes(), b"345");
        assert!(Payload::empty().share().slice(0..4).is_empty());
    }

    #[test]
    fn a_filling_takes_what_it_was_made_for_and_no_more() {
        let mut filling = Filling::new(5).expect("there is memory");
        assert_eq!(filling.put(b"abc"), 3);
        assert_eq!((filling.missing(), filling.put(b"defg")), (2, 2));
        assert_eq!(filling.finish().as_bytes(), b"abcde");
        assert!(Filling::new(0).is_some_and(|filling| filling.finish().is_empty()));
    }

    #[test]
    fn a_typed_payload_has_no_bytes_and_comes_back_whole() {
        let payload = Payload::typed(7_u64);
        assert!(payload.is_empty() && payload.downcast_ref::<u64>() == Some(&7));
        let payload = payload.downcast::<String>().expect_err("it is no String");
        assert_eq!(payload.downcast::<u64>().ok(), Some(7));
    }

    #[test]
    fn a_builder_keeps_all_bytes_in_order_wherever_it_puts_them() {
        for room in [0, 1, 40, 4096] {
            let mut scratch = [MaybeUninit::uninit(); 4096];
            let mut builder = PayloadBuilder::new(&mut scratch[..room]);
            let mut wanted = Vec::new();
            let text: Vec<u8> = (0..200).collect();
            for len in 0..200 {
                if len <= PayloadBuilder::SHORT_MAX {
                    builder.put_short(0xee, &text[..len]);
                    wanted.push(0xee);
                } else {
                    builder.put(&text[..len]);
                }
                wanted.extend_from_slice(&text[..len]);
                builder.put_word(0x0807_0605_0403_0201, len % 9);
                wanted.extend_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8][..len % 9]);
                assert_eq!((builder.as_bytes(), builder.len()), (&wanted[..], wanted.len()));
            }
            assert_eq!(builder.finish().as_bytes(), wanted);
        }
    }

    #[test]
    fn an_abandoned_or_empty_builder_leaves_nothing() {
        let mut builder = PayloadBuilder::new(&mut []);
        builder.put(&[7; 100]);
        drop(builder);
        assert!(PayloadBuilder::new(&mut []).finish().is_empty());
    }

    #[test]
    fn an_empty_text_takes_no_block() {
        assert!(Payload::from("").into_raw().0.is_null());
    }
}
