//! [`SocketId`] and [`Slots`]: which socket a number means, for every thread.
//!
//! An id is taken by the caller, not by the reactor: `connect` must return one at once, and what is sent to it waits
//! in the socket that stands in the slot from then on.
//!
//! An id finds its slot by its low bits, and the socket there is asked for its whole id. Ids grow until 2^31 of them
//! have been given out, so a stale one finds nobody instead of a stranger.

use std::fmt;

use super::state::Socket;
use crate::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use crate::sync::{Arc, Mutex, OnceLock, lock};

/// So many sockets can be open at once.
pub(super) const SOCKETS_MAX: usize = 1 << 16;
/// Slots are made so many at a time: a node with few sockets pays for few.
const CHUNK: usize = 1 << 10;

/// The number of a socket, unique in its node; no descriptor.
///
/// Those of sockets are positive. Any other number may be asked for too, and is nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct SocketId(i32);

impl SocketId {
    /// The id with this number, whether there is such a socket or not.
    #[must_use]
    pub const fn new(number: i32) -> SocketId {
        SocketId(number)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i32 {
        self.0
    }

    /// Where it stands in a table of [`SOCKETS_MAX`] entries.
    pub(super) fn slot(self) -> usize {
        self.0.cast_unsigned() as usize % SOCKETS_MAX
    }
}

impl fmt::Display for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for SocketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

type Slot = Mutex<Option<Arc<Socket>>>;

/// All sockets of a node.
pub(super) struct Slots {
    next: AtomicU32,
    /// The number of ids that are taken.
    len: AtomicUsize,
    chunks: [OnceLock<Box<[Slot]>>; SOCKETS_MAX / CHUNK],
}

impl Slots {
    pub(super) fn new() -> Slots {
        Slots::starting_at(1)
    }

    fn starting_at(first: u32) -> Slots {
        let chunks = [const { OnceLock::new() }; SOCKETS_MAX / CHUNK];
        Slots { next: AtomicU32::new(first), len: AtomicUsize::new(0), chunks }
    }

    /// Takes an id and puts the socket that `make` gives into its slot. Nothing where all slots are taken.
    pub(super) fn reserve(&self, make: impl FnOnce(SocketId) -> Socket) -> Option<Arc<Socket>> {
        if self.len.fetch_add(1, Ordering::Relaxed) >= SOCKETS_MAX {
            self.len.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        // One slot at least is free, or becomes so: a slot is emptied before it is counted as free.
        for _ in 0..2 * SOCKETS_MAX {
            let number = self.next.fetch_add(1, Ordering::Relaxed) & 0x7fff_ffff;
            if number == 0 {
                continue;
            }
            let id = SocketId(number.cast_signed());
            let mut slot = lock(self.slot(id));
            if slot.is_none() {
                return Some(slot.insert(Arc::new(make(id))).clone());
            }
        }
        self.len.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// The socket with this id.
    pub(super) fn get(&self, id: SocketId) -> Option<Arc<Socket>> {
        lock(self.slot(id)).as_ref().filter(|socket| socket.id == id).cloned()
    }

    /// Gives the id back.
    pub(super) fn release(&self, id: SocketId) {
        let taken = lock(self.slot(id)).take_if(|socket| socket.id == id);
        if taken.is_some() {
            self.len.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// All sockets, those with a higher id after a lower one but for where ids have wrapped.
    pub(super) fn all(&self) -> Vec<Arc<Socket>> {
        let slots = self.chunks.iter().filter_map(OnceLock::get).flatten();
        slots.filter_map(|slot| lock(slot).clone()).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    fn slot(&self, id: SocketId) -> &Slot {
        let slot = id.slot();
        let chunk = self.chunks[slot / CHUNK].get_or_init(|| (0..CHUNK).map(|_| Slot::default()).collect());
        &chunk[slot % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::Handle;
    use crate::socket::state::SocketKind;

    fn take(slots: &Slots) -> Option<SocketId> {
        slots.reserve(|id| Socket::new(id, Handle::NONE, SocketKind::Unknown, None)).map(|socket| socket.id)
    }

    #[test]
    fn ids_grow_and_wrap_past_nobody() {
        let slots = Slots::starting_at(0x7fff_fffe);
        let taken: Vec<_> = (0..3).filter_map(|_| take(&slots)).map(SocketId::get).collect();
        assert_eq!(taken, [0x7fff_fffe, 0x7fff_ffff, 1]);
        let slots = Slots::starting_at(u32::MAX);
        assert_eq!((take(&slots), take(&slots)), (Some(SocketId(0x7fff_ffff)), Some(SocketId(1))));
    }

    #[test]
    fn a_given_back_id_is_not_the_next_one() {
        let slots = Slots::new();
        let first = take(&slots).expect("there is room");
        slots.release(first);
        slots.release(first);
        let second = take(&slots).expect("there is room");
        assert!(first != second && slots.get(first).is_none() && slots.get(second).is_some());
        assert_eq!((slots.len(), slots.all().len()), (1, 1));
    }

    #[test]
    fn a_stale_id_does_not_find_the_socket_in_its_slot() {
        let slots = Slots::starting_at(5 + (1 << 16));
        let there = take(&slots).expect("there is room");
        assert_eq!((there.slot(), slots.get(SocketId(5)).is_none()), (5, true));
        slots.release(SocketId(5));
        assert!(slots.get(there).is_some());
    }

    #[test]
    fn a_full_table_says_so_and_a_free_slot_is_found() {
        let slots = Slots::new();
        assert_eq!((0..SOCKETS_MAX).filter_map(|_| take(&slots)).count(), SOCKETS_MAX);
        assert_eq!(take(&slots), None);
        slots.release(SocketId(7));
        assert_eq!(take(&slots).map(SocketId::slot), Some(7));
    }
}
