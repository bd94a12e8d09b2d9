//! [`Waiting`]: who of this node waits for an answer from another one.
//!
//! A request that goes out is written down, an answer that comes in crosses it out. What is left when a node goes down
//! is answered with an error: no caller waits for ever.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};

use crate::handle::Handle;
use crate::message::Session;

/// So many requests are open to one node.
pub(super) const OPEN_MAX: u32 = 1 << 20;
/// From so many on it is looked whether those who wait still live.
const SWEEP_MIN: usize = 1 << 16;

/// Open requests: who waits, under which session, and for whom.
pub(super) struct Waiting {
    open: HashMap<(u32, i32), Handle, Mixer>,
    /// How many for each node.
    counts: Box<[u32; 256]>,
    sweep_at: usize,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting { open: HashMap::default(), counts: Box::new([0; 256]), sweep_at: SWEEP_MIN }
    }
}

impl Waiting {
    /// Whether one more request to a node can be written down. `lives` tells of those who wait.
    #[inline]
    pub(super) fn has_room(&mut self, id: u8, lives: impl Fn(Handle) -> bool) -> bool {
        if self.open.len() >= self.sweep_at {
            self.sweep(lives);
        }
        self.counts[usize::from(id)] < OPEN_MAX
    }

    /// Forgets those who have ended while they waited.
    #[cold]
    fn sweep(&mut self, lives: impl Fn(Handle) -> bool) {
        let counts = &mut self.counts;
        self.open.retain(|(source, _), destination| {
            let keep = lives(Handle::from_u32(*source));
            if !keep {
                counts[usize::from(destination.harbor())] -= 1;
            }
            keep
        });
        self.sweep_at = self.open.len().saturating_mul(2).max(SWEEP_MIN);
    }

    #[inline]
    pub(super) fn add(&mut self, source: Handle, session: Session, destination: Handle) {
        let before = self.open.insert((source.as_u32(), session.get()), destination);
        if let Some(before) = before {
            self.counts[usize::from(before.harbor())] -= 1;
        }
        self.counts[usize::from(destination.harbor())] += 1;
    }

    /// An answer came.
    #[inline]
    pub(super) fn remove(&mut self, source: Handle, session: Session) -> Option<Handle> {
        let destination = self.open.remove(&(source.as_u32(), session.get()))?;
        self.counts[usize::from(destination.harbor())] -= 1;
        Some(destination)
    }

    /// Takes all that wait for a node: who, under which session, and for whom.
    pub(super) fn take_node(&mut self, id: u8) -> Vec<(Handle, Session, Handle)> {
        let mut taken = Vec::with_capacity(self.counts[usize::from(id)] as usize);
        if self.counts[usize::from(id)] > 0 {
            for ((source, session), destination) in
                self.open.extract_if(|_, destination| destination.harbor() == id)
            {
                taken.extend(
                    Session::new(session).map(|session| (Handle::from_u32(source), session, destination)),
                );
            }
            self.counts[usize::from(id)] = 0;
        }
        // In the order in which they asked, as far as sessions tell.
        taken.sort_unstable_by_key(|(source, session, _)| (source.as_u32(), session.get()));
        taken
    }

    /// How many wait for a node.
    pub(super) fn count(&self, id: u8) -> u32 {
        self.counts[usize::from(id)]
    }
}

/// Mixes the two words of a key. The keys are made by services of this node, so nobody can make them collide.
#[derive(Default, Clone)]
struct Mixer;

impl BuildHasher for Mixer {
    type Hasher = Mix;

    fn build_hasher(&self) -> Mix {
        Mix(0)
    }
}

struct Mix(u64);

impl Mix {
    fn word(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word ^ 0x9e37_79b9_7f4a_7c15) * 0xd6e8_feb8_6659_fd93;
        self.0 = product as u64 ^ (product >> 64) as u64;
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.word(u64::from(*byte)));
    }

    fn write_u32(&mut self, word: u32) {
        self.word(word.into());
    }

    fn write_i32(&mut self, word: i32) {
        self.word(word.cast_unsigned().into());
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(number: i32) -> Session {
        Session::new(number).expect("not 0")
    }

    #[test]
    fn what_is_not_answered_is_taken_with_its_node() {
        let (mut waiting, me) = (Waiting::default(), Handle::new(1, 9));
        for number in 1..=6 {
            waiting.add(me, session(number), Handle::new(2 + (number % 2) as u8, 5));
        }
        assert_eq!(waiting.remove(me, session(2)), Some(Handle::new(2, 5)));
        assert_eq!(waiting.remove(me, session(2)), None);
        let left: Vec<i32> = waiting.take_node(2).iter().map(|(_, session, _)| session.get()).collect();
        assert_eq!((left, waiting.count(2), waiting.count(3)), (vec![4, 6], 0, 3));
        assert!(waiting.take_node(2).is_empty());
    }

    #[test]
    fn those_who_have_ended_are_forgotten_before_anybody_is_refused() {
        let mut waiting = Waiting::default();
        for number in 1..=SWEEP_MIN as i32 {
            waiting.add(Handle::new(1, number as u32 % 2 + 1), session(number), Handle::new(2, 5));
        }
        assert!(waiting.has_room(2, |source| source.local() == 1));
        assert_eq!(waiting.count(2) as usize, SWEEP_MIN / 2);
        assert_eq!(waiting.take_node(2).len(), SWEEP_MIN / 2);
    }
}
