//! [`Names`]: the global names that this node knows, and the messages that wait for others.

use std::collections::HashMap;
use std::time::Duration;

use crate::handle::Handle;
use crate::message::{MessageKind, Payload, Session};

/// Bytes of a global name, at the most.
pub(super) const NAME_LEN_MAX: usize = 15;

/// Names that are known at a time.
const NAMES_MAX: usize = 1 << 20;

/// Messages that wait for one unknown name; more are refused.
const WAITING_MAX: usize = 65536;

/// Names for which messages wait; messages for more are refused.
const WAITING_NAMES_MAX: usize = 4096;

/// After this time the Lua side is asked again for a name.
const ASK_AGAIN: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Names {
    known: HashMap<String, Handle>,
    waiting: HashMap<String, Queue>,
    /// When something is to be done next, at the latest.
    due: Option<Duration>,
}

struct Queue {
    messages: Vec<Waiter>,
    asked: Duration,
}

/// A message for a name that is not known.
pub(super) struct Waiter {
    pub(super) source: Handle,
    pub(super) session: Option<Session>,
    pub(super) kind: MessageKind,
    pub(super) payload: Payload,
    pub(super) since: Duration,
}

/// What became of a message that has to wait.
pub(super) enum Wait {
    Queued,
    /// It is the first for its name: somebody has to ask.
    Ask,
    Full,
}

impl Names {
    pub(super) fn find(&self, name: &str) -> Option<Handle> {
        self.known.get(name).copied()
    }

    /// A name is known, or has another owner; what waits for it. Nothing where there are too many.
    pub(super) fn set(&mut self, name: &str, owner: Handle) -> Option<Vec<Waiter>> {
        if self.known.len() >= NAMES_MAX && !self.known.contains_key(name) {
            return None;
        }
        self.known.insert(name.to_owned(), owner);
        Some(self.waiting.remove(name).map(|queue| queue.messages).unwrap_or_default())
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.known.remove(name);
    }

    /// The names of one service.
    pub(super) fn of_owner(&self, owner: Handle) -> Vec<String> {
        let known = self.known.iter().filter(|(_, handle)| **handle == owner);
        known.map(|(name, _)| name.clone()).collect()
    }

    /// Forgets the names of all services of a node.
    pub(super) fn forget_node(&mut self, id: u8) {
        self.known.retain(|_, handle| handle.harbor() != id);
    }

    pub(super) fn wait(&mut self, name: &str, waiter: Waiter) -> Wait {
        let count = self.waiting.len();
        let now = waiter.since;
        match self.waiting.get_mut(name) {
            Some(queue) if queue.messages.len() >= WAITING_MAX => Wait::Full,
            Some(queue) => {
                queue.messages.push(waiter);
                Wait::Queued
            }
            None if count >= WAITING_NAMES_MAX => Wait::Full,
            None => {
                self.waiting.insert(name.to_owned(), Queue { messages: vec![waiter], asked: now });
                self.due = Some(self.due.unwrap_or(now + ASK_AGAIN).min(now + ASK_AGAIN));
                Wait::Ask
            }
        }
    }

    /// When [`Names::tick`] has something to do.
    pub(super) fn due(&self) -> Option<Duration> {
        self.due
    }

    /// The names to ask for again, and the messages that have waited for too long.
    pub(super) fn tick(&mut self, now: Duration, limit: Duration) -> (Vec<String>, Vec<(String, Waiter)>) {
        let (mut ask, mut late) = (Vec::new(), Vec::new());
        if self.due.is_none_or(|due| due > now) {
            return (ask, late);
        }
        let mut due = None::<Duration>;
        self.waiting.retain(|name, queue| {
            let split = queue.messages.iter().take_while(|waiter| waiter.since + limit <= now).count();
            late.extend(queue.messages.drain(..split).map(|waiter| (name.clone(), waiter)));
            let Some(first) = queue.messages.first() else { return false };
            if queue.asked + ASK_AGAIN <= now {
                queue.asked = now;
                ask.push(name.clone());
            }
            let next = (queue.asked + ASK_AGAIN).min(first.since + limit);
            due = Some(due.unwrap_or(next).min(next));
            true
        });
        self.due = due;
        (ask, late)
    }

    /// Takes all that waits.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Waiter> + use<> {
        std::mem::take(&mut self.waiting).into_values().flat_map(|queue| queue.messages)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiter(seconds: u64) -> Waiter {
        Waiter {
            source: Handle::new(1, 1),
            session: None,
            kind: MessageKind::LUA,
            payload: Payload::empty(),
            since: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn a_name_is_asked_for_again_and_its_messages_do_not_wait_for_ever() {
        let (mut names, limit) = (Names::default(), Duration::from_secs(3));
        assert!(matches!(names.wait("A", waiter(0)), Wait::Ask));
        assert!(matches!(names.wait("A", waiter(2)), Wait::Queued));
        let at = Duration::from_millis;
        assert_eq!(names.due(), Some(at(1000)));
        assert!(names.tick(at(999), limit).0.is_empty());
        let (ask, late) = names.tick(at(1000), limit);
        assert_eq!((ask, late.len(), names.due()), (vec!["A".to_owned()], 0, Some(at(2000))));
        let (ask, late) = names.tick(at(3000), limit);
        assert_eq!((ask.len(), late.len()), (1, 1));
        let (ask, late) = names.tick(at(5000), limit);
        assert_eq!((ask.len(), late.len(), names.due()), (0, 1, None));
    }

    #[test]
    fn names_go_with_their_owner_or_their_node() {
        let mut names = Names::default();
        assert!(matches!(names.wait("A", waiter(0)), Wait::Ask));
        assert_eq!(names.set("A", Handle::new(2, 1)).map(|waiters| waiters.len()), Some(1));
        names.set("B", Handle::new(2, 2));
        names.set("C", Handle::new(3, 1));
        assert_eq!(names.of_owner(Handle::new(2, 1)), ["A"]);
        names.forget_node(2);
        assert_eq!((names.find("A"), names.find("B")), (None, None));
        assert_eq!(names.find("C"), Some(Handle::new(3, 1)));
    }
}
