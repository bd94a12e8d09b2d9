//! [`Wheel`]: the timers of a node in the order in which they are due. Pure data: it knows no clock and no
//! thread.
//!
//! Used by the timer alone, which asks when the next one is due and takes those that are.
//!
//! # Levels
//!
//! Seven levels of 64 slots. A slot of level 0 is one millisecond, one of level `n` is 64^n. An entry lives
//! on the level of the highest digit (in base 64) in which its deadline differs from the wheel's time, so all
//! of level 0 comes before all of level 1 and so on, and within a level the slots are in order: the next
//! entry is found by the lowest bit of the lowest map that is not 0. When the time comes to a slot of a
//! higher level its entries move down.
//!
//! # Order
//!
//! Entries of one deadline leave in the order of insertion. Entries of a slot keep their order when they move
//! down, and they do so when the time enters the slot; what is put into the lower slot directly was inserted
//! later than that.

use crate::handle::Handle;
use crate::message::Session;

const LEVELS: usize = 7;
const DIGIT_BITS: u32 = 6;
const SLOTS: usize = 1 << DIGIT_BITS;
/// The last millisecond that the wheel can name, some 139 years after the start; later ones count as this
/// one.
const HORIZON_MS: u64 = (1 << (DIGIT_BITS * LEVELS as u32)) - 1;
/// An empty slot keeps a buffer of up to this many entries; more is given back.
const SLOT_KEEP_MAX: usize = 8;

/// One timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) deadline_ms: u64,
    pub(super) handle: Handle,
    pub(super) session: Session,
}

/// The timers of a node.
pub(super) struct Wheel {
    /// The wheel's time: nothing in it is due before. It moves only in `expire`.
    now_ms: u64,
    len: usize,
    levels: [Level; LEVELS],
}

struct Level {
    /// Bit `n`: slot `n` is not empty.
    occupied: u64,
    slots: [Slot; SLOTS],
}

#[derive(Default)]
struct Slot {
    entries: Vec<Entry>,
    /// The earliest deadline in it, so that the next deadline is known without a walk through the entries.
    earliest_ms: u64,
}

impl Wheel {
    pub(super) fn new() -> Wheel {
        let level = || Level { occupied: 0, slots: std::array::from_fn(|_| Slot::default()) };
        Wheel { now_ms: 0, len: 0, levels: std::array::from_fn(|_| level()) }
    }

    /// The number of timers that wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a timer; one whose deadline has passed is due at once.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.len += 1;
        self.place(entry);
    }

    fn place(&mut self, entry: Entry) {
        let due = entry.deadline_ms.clamp(self.now_ms, HORIZON_MS);
        let level = match (due ^ self.now_ms).checked_ilog2() {
            Some(bit) => (bit / DIGIT_BITS) as usize,
            None => 0,
        };
        let index = digit(due, level);
        let level = &mut self.levels[level];
        let slot = &mut level.slots[index];
        slot.earliest_ms = if slot.entries.is_empty() { due } else { slot.earliest_ms.min(due) };
        slot.entries.push(entry);
        level.occupied |= 1 << index;
    }

    /// When the next timer is due.
    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.first().map(|(level, index)| self.levels[level].slots[index].earliest_ms)
    }

    /// The slot that comes first.
    fn first(&self) -> Option<(usize, usize)> {
        let level = self.levels.iter().position(|level| level.occupied != 0)?;
        Some((level, self.levels[level].occupied.trailing_zeros() as usize))
    }

    /// Moves the time to `now_ms` and appends what is due to `due`: by deadline, then by insertion.
    pub(super) fn expire(&mut self, now_ms: u64, due: &mut Vec<Entry>) {
        let now_ms = now_ms.min(HORIZON_MS);
        while let Some((level, index)) = self.first() {
            let start = self.slot_start(level, index);
            if start > now_ms {
                break;
            }
            self.now_ms = self.now_ms.max(start);
            self.levels[level].occupied &= !(1 << index);
            let mut entries = std::mem::take(&mut self.levels[level].slots[index].entries);
            if level == 0 {
                self.len -= entries.len();
                due.append(&mut entries);
            } else {
                entries.drain(..).for_each(|entry| self.place(entry));
            }
            if entries.capacity() <= SLOT_KEEP_MAX {
                self.levels[level].slots[index].entries = entries;
            }
        }
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// The first millisecond of a slot that is not empty: its higher digits are those of the wheel's time.
    fn slot_start(&self, level: usize, index: usize) -> u64 {
        let shift = DIGIT_BITS * level as u32;
        let above = !0 << (shift + DIGIT_BITS);
        (self.now_ms & above) | (index as u64) << shift
    }
}

/// The digit of `ms` that counts on `level`.
fn digit(ms: u64, level: usize) -> usize {
    (ms >> (DIGIT_BITS * level as u32)) as usize % SLOTS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(deadline_ms: u64, session: i32) -> Entry {
        let session = Session::new(session).expect("tests count from 1");
        Entry { deadline_ms, handle: Handle::new(0, 1), session }
    }

    #[test]
    fn a_timer_is_due_at_its_deadline_and_not_before() {
        for deadline in [1, 63, 64, 65, 4095, 4096, 4097, 1 << 20, (1 << 35) + 7, HORIZON_MS] {
            let (mut wheel, mut due) = (Wheel::new(), Vec::new());
            wheel.insert(entry(deadline, 1));
            assert_eq!(wheel.next_deadline(), Some(deadline));
            wheel.expire(deadline - 1, &mut due);
            assert_eq!((due.len(), wheel.next_deadline()), (0, Some(deadline)));
            wheel.expire(deadline, &mut due);
            assert_eq!((due.len(), wheel.len(), wheel.next_deadline()), (1, 0, None));
        }
    }

    #[test]
    fn a_deadline_that_has_passed_is_due_at_once() {
        let (mut wheel, mut due) = (Wheel::new(), Vec::new());
        wheel.expire(1000, &mut due);
        wheel.insert(entry(10, 1));
        assert_eq!(wheel.next_deadline(), Some(1000));
        wheel.expire(1000, &mut due);
        assert_eq!(due, [entry(10, 1)]);
    }

    #[test]
    fn a_deadline_beyond_the_horizon_waits_for_the_horizon() {
        let (mut wheel, mut due) = (Wheel::new(), Vec::new());
        wheel.insert(entry(u64::MAX, 1));
        wheel.expire(HORIZON_MS - 1, &mut due);
        assert!(due.is_empty());
        wheel.expire(u64::MAX, &mut due);
        assert_eq!(due.len(), 1);
    }

    #[test]
    fn a_burst_gives_its_memory_back() {
        let (mut wheel, mut due) = (Wheel::new(), Vec::new());
        for session in 1..=100_000 {
            wheel.insert(entry(session as u64 % 5_000 + 1, session));
        }
        wheel.insert(entry(1 << 30, 1));
        wheel.expire(6_000, &mut due);
        assert_eq!((due.len(), wheel.len()), (100_000, 1));
        let kept: usize =
            wheel.levels.iter().flat_map(|level| &level.slots).map(|slot| slot.entries.capacity()).sum();
        assert!(kept <= LEVELS * SLOTS * SLOT_KEEP_MAX, "{kept}");
    }

    /// Either a timer after so many ms, or a move of the time.
    fn steps() -> impl Strategy<Value = Vec<(bool, u64)>> {
        let delay = prop_oneof![0..70_u64, 0..5_000_u64, 0..(1_u64 << 36)];
        proptest::collection::vec((any::<bool>(), delay), 0..200)
    }

    proptest! {
        #[test]
        fn timers_leave_by_deadline_and_then_by_insertion(steps in steps()) {
            let (mut wheel, mut now) = (Wheel::new(), 0);
            let mut model: Vec<Entry> = Vec::new();
            for (session, (inserts, ms)) in (1..).zip(steps) {
                if inserts {
                    wheel.insert(entry(now + ms, session));
                    model.push(entry(now + ms, session));
                    continue;
                }
                now += ms;
                // A stable sort keeps the order of insertion.
                model.sort_by_key(|entry| entry.deadline_ms);
                prop_assert_eq!(wheel.next_deadline(), model.first().map(|entry| entry.deadline_ms));
                let rest = model.split_off(model.partition_point(|entry| entry.deadline_ms <= now));
                let mut due = Vec::new();
                wheel.expire(now, &mut due);
                prop_assert_eq!(&due, &model);
                model = rest;
                prop_assert_eq!(wheel.len(), model.len());
            }
        }
    }
}
