//! [`HandleTable`]: the slab that finds a service by its handle.
//!
//! Every send looks something up here, from every worker; only launch and kill write. So a reader writes no shared
//! memory: it pins an epoch, loads one slot and compares the handle it finds there.
//!
//! # The slab
//!
//! Slot `local id & (capacity - 1)` holds the service. Ids only grow, until all 2^24 of them have been given out, and
//! an id whose slot is taken is passed over: a handle kept after its service ended finds nobody, not a stranger.
//! The table knows handles and not services, hence the `T`.
#![allow(unsafe_code)]

use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use crossbeam_epoch::{self as epoch, Atomic, Guard, Owned, Shared};

use crate::handle::Handle;

/// What a table can hold: something that knows its own handle.
pub(crate) trait Addressed {
    /// The handle under which it was put into the table.
    fn handle(&self) -> Handle;
}

/// The services of one node, by handle.
pub(crate) struct HandleTable<T> {
    harbor: u8,
    slots: Atomic<Slots<T>>,
    writer: Mutex<Writer>,
}

/// One size of the slab. A pointer in it is an `Arc` turned raw, or null.
struct Slots<T> {
    entries: Box<[Atomic<T>]>,
}

struct Writer {
    next_local: u32,
    used: usize,
}

const CAPACITY_MIN: usize = 64;
const CAPACITY_MAX: usize = Handle::LOCAL_MAX as usize + 1;

/// Every local id of the node is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("all {} local ids of the node are taken", Handle::LOCAL_MAX)]
pub struct TableFull;

impl<T> Slots<T> {
    fn new(capacity: usize) -> Slots<T> {
        Slots { entries: (0..capacity).map(|_| Atomic::null()).collect() }
    }

    fn slot(&self, local: u32) -> &Atomic<T> {
        &self.entries[local as usize & (self.entries.len() - 1)]
    }
}

impl<T: Addressed + Send + Sync + 'static> HandleTable<T> {
    /// An empty table whose handles carry this harbor id, and whose first local id is `first_local` or 1.
    pub(crate) fn new(harbor: u8, first_local: u32) -> HandleTable<T> {
        HandleTable {
            harbor,
            slots: Atomic::new(Slots::new(CAPACITY_MIN)),
            writer: Mutex::new(Writer { next_local: first_local.clamp(1, Handle::LOCAL_MAX), used: 0 }),
        }
    }

    /// Puts in what `make` builds for its new handle.
    pub(crate) fn insert(&self, make: impl FnOnce(Handle) -> Arc<T>) -> Result<Arc<T>, TableFull> {
        let mut writer = crate::sync::lock(&self.writer);
        let guard = &epoch::pin();
        let mut slots = self.current(guard);
        // A quarter stays free, so that passing over taken slots stays short.
        if writer.used >= slots.entries.len() / 4 * 3 && slots.entries.len() < CAPACITY_MAX {
            slots = self.grow(slots, guard);
        }
        if writer.used + 1 >= CAPACITY_MAX {
            return Err(TableFull);
        }
        loop {
            let local = writer.next_local;
            writer.next_local = if local == Handle::LOCAL_MAX { 1 } else { local + 1 };
            let slot = slots.slot(local);
            if !slot.load(Ordering::Relaxed, guard).is_null() {
                continue;
            }
            let value = make(Handle::new(self.harbor, local));
            let raw = Arc::into_raw(Arc::clone(&value));
            // Release pairs with the Acquire in `get`: a reader sees a finished value.
            slot.store(Shared::from(raw), Ordering::Release);
            writer.used += 1;
            return Ok(value);
        }
    }

    /// The service with this handle.
    pub(crate) fn get(&self, handle: Handle) -> Option<Arc<T>> {
        let guard = &epoch::pin();
        let found = self.find(handle, guard)?;
        // SAFETY: `found` is an `Arc` turned raw whose count falls no sooner than `guard` is dropped.
        unsafe {
            Arc::increment_strong_count(found);
            Some(Arc::from_raw(found))
        }
    }

    /// Runs `visit` with the service, which stays alive meanwhile, without touching its reference count.
    pub(crate) fn with<R>(&self, handle: Handle, visit: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
        let guard = &epoch::pin();
        let found = self.find(handle, guard)?;
        // SAFETY: as in `get`; the `Arc` made here is never dropped, so the count stays as it was.
        let value = std::mem::ManuallyDrop::new(unsafe { Arc::from_raw(found) });
        Some(visit(&value))
    }

    /// Takes the service out; its handle finds nobody from now on.
    pub(crate) fn remove(&self, handle: Handle) -> Option<Arc<T>> {
        let mut writer = crate::sync::lock(&self.writer);
        let guard = &epoch::pin();
        let found = self.find(handle, guard)?;
        self.current(guard).slot(handle.local()).store(Shared::null(), Ordering::Release);
        writer.used -= 1;
        // SAFETY: as in `get`.
        let value = unsafe {
            Arc::increment_strong_count(found);
            Arc::from_raw(found)
        };
        // SAFETY: the slot gave up its reference under the writer's lock, so this is the only drop of it, and it
        // waits until no reader that saw the slot is left.
        unsafe { guard.defer_unchecked(move || drop(Arc::from_raw(found))) };
        Some(value)
    }

    /// How many services there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        crate::sync::lock(&self.writer).used
    }

    /// All services, in the order of their slots.
    pub(crate) fn all(&self) -> Vec<Arc<T>> {
        let _writer = crate::sync::lock(&self.writer);
        let guard = &epoch::pin();
        let slots = self.current(guard);
        let mut all = Vec::new();
        for slot in &slots.entries {
            let found = slot.load(Ordering::Acquire, guard);
            if !found.is_null() {
                // SAFETY: as in `get`.
                unsafe {
                    Arc::increment_strong_count(found.as_raw());
                    all.push(Arc::from_raw(found.as_raw()));
                }
            }
        }
        all
    }

    /// Drops what was taken out, as far as no reader of any table of the process may still look at it.
    pub(crate) fn reclaim(&self) {
        epoch::pin().flush();
    }

    fn current<'g>(&self, guard: &'g Guard) -> &'g Slots<T> {
        // SAFETY: the pointer is never null, and an old one is destroyed no sooner than `guard` is dropped.
        unsafe { self.slots.load(Ordering::Acquire, guard).deref() }
    }

    fn find(&self, handle: Handle, guard: &Guard) -> Option<*const T> {
        let found = self.current(guard).slot(handle.local()).load(Ordering::Acquire, guard);
        // SAFETY: what a slot held is dropped no sooner than `guard`.
        let value = unsafe { found.as_ref() }?;
        (value.handle() == handle).then(|| found.as_raw())
    }

    /// Doubles the slab. Two services that differ in their low bits still do with one bit more, so nobody collides.
    fn grow<'g>(&self, old: &Slots<T>, guard: &'g Guard) -> &'g Slots<T> {
        let new = Slots::new(old.entries.len() * 2);
        for slot in &old.entries {
            let found = slot.load(Ordering::Relaxed, guard);
            // SAFETY: as in `find`.
            if let Some(value) = unsafe { found.as_ref() } {
                new.slot(value.handle().local()).store(found, Ordering::Relaxed);
            }
        }
        let old = self.slots.swap(Owned::new(new), Ordering::AcqRel, guard);
        // SAFETY: nobody can load the old slots any more; the references in them moved to the new ones.
        unsafe { guard.defer_destroy(old) };
        self.current(guard)
    }
}

impl<T> Drop for HandleTable<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: there is no reader and no writer.
        unsafe {
            let guard = epoch::unprotected();
            let slots = self.slots.load(Ordering::Relaxed, guard).into_owned();
            for slot in &slots.entries {
                let found = slot.load(Ordering::Relaxed, guard);
                if !found.is_null() {
                    drop(Arc::from_raw(found.as_raw()));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Named(Handle);
    impl Addressed for Named {
        fn handle(&self) -> Handle {
            self.0
        }
    }

    fn put(table: &HandleTable<Named>) -> Handle {
        table.insert(|handle| Arc::new(Named(handle))).expect("there is room").0
    }

    #[test]
    fn handles_count_up_from_one_and_carry_the_harbor() {
        let table = HandleTable::new(3, 1);
        assert_eq!(put(&table), Handle::new(3, 1));
        assert_eq!(put(&table), Handle::new(3, 2));
        assert!(table.get(Handle::new(0, 1)).is_none(), "a bare local id finds nothing on a harbor node");
    }

    #[test]
    fn a_stale_handle_finds_nobody() {
        let table = HandleTable::new(0, 1);
        let first = put(&table);
        assert!(table.remove(first).is_some() && table.remove(first).is_none());
        for _ in 0..1000 {
            let next = put(&table);
            assert_ne!(next, first);
            table.remove(next);
        }
        assert!(table.get(first).is_none());
    }

    #[test]
    fn growth_loses_nobody_and_drop_frees_everybody() {
        let table = HandleTable::new(0, 1);
        let kept: Vec<_> = (0..5000).map(|_| put(&table)).collect();
        assert!(kept.iter().all(|handle| table.get(*handle).is_some_and(|found| found.0 == *handle)));
        assert_eq!((table.len(), table.all().len()), (5000, 5000));
        let witness = table.get(kept[7]).expect("it is there");
        drop(table);
        assert_eq!(Arc::strong_count(&witness), 1);
    }

    #[test]
    fn ids_wrap_to_one_and_pass_over_those_in_use() {
        let table = HandleTable::new(0, Handle::LOCAL_MAX);
        assert_eq!(put(&table).local(), Handle::LOCAL_MAX);
        assert_eq!(put(&table).local(), 1);
    }

    #[test]
    fn readers_meet_whole_values_while_services_come_and_go() {
        let table = Arc::new(HandleTable::<Named>::new(0, 1));
        let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let reader = {
            let (table, stop) = (Arc::clone(&table), Arc::clone(&stop));
            std::thread::spawn(move || {
                let mut local = 0;
                while !stop.load(Ordering::Relaxed) {
                    local = (local + 1) % 3000;
                    if let Some(found) = table.get(Handle::new(0, local)) {
                        assert_eq!(found.0.local(), local);
                    }
                }
            })
        };
        for _ in 0..20 {
            let some: Vec<_> = (0..100).map(|_| put(&table)).collect();
            some.into_iter().for_each(|handle| assert!(table.remove(handle).is_some()));
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().expect("the reader saw only whole values");
    }
}
