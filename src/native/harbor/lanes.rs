//! [`Lanes`]: messages that are too long for one frame, and what waits behind them.
//!
//! Each pair of sender and receiver has a lane while a long message of it is on its way: what the sender has for the same
//! receiver meanwhile waits there, so that the pair's order is kept. Lanes take turns, a fragment each.

use std::collections::{HashMap, VecDeque};

use super::wire::Header;
use super::wire::extended::{ASSEMBLIES_MAX, CONTENT_MAX, Place};
use crate::message::Payload;

type Pair = (u32, u32);

fn pair(header: &Header) -> Pair {
    (header.source.as_u32(), header.local)
}

#[derive(Default)]
pub(super) struct Lanes {
    lanes: HashMap<Pair, Lane>,
    /// Those whose first message was begun; they take turns.
    begun: VecDeque<Pair>,
    /// Those whose first message, a long one, was not begun: the receiver collects a few at a time only.
    line: VecDeque<Pair>,
    /// One whose long message is done, and whose short ones go now.
    open: Option<Pair>,
    messages: usize,
    small_bytes: usize,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<(Header, Payload)>,
    /// So many bytes of the first message are sent.
    offset: usize,
}

/// What is to be sent next.
pub(super) enum Step {
    Fragment(Header, Place, Payload),
    Small(Header, Payload),
}

impl Lanes {
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Whether messages of this pair have to wait.
    pub(super) fn holds(&self, header: &Header) -> bool {
        self.lanes.contains_key(&pair(header))
    }

    /// How many messages wait, those that were begun among them.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// Bytes of those that are short.
    pub(super) fn small_bytes(&self) -> usize {
        self.small_bytes
    }

    /// Takes a long message, or one whose pair has a lane.
    pub(super) fn push(&mut self, header: Header, payload: Payload) {
        self.messages += 1;
        if payload.len() <= CONTENT_MAX {
            self.small_bytes += payload.len();
        }
        let pair = pair(&header);
        let lane = self.lanes.entry(pair).or_insert_with(|| {
            self.line.push_back(pair);
            Lane::default()
        });
        lane.queue.push_back((header, payload));
    }

    /// The next fragment, or a short message that waited behind one.
    pub(super) fn next(&mut self) -> Option<Step> {
        while let Some(pair) = self.open {
            let Some(lane) = self.lanes.get_mut(&pair) else {
                self.open = None;
                break;
            };
            match lane.queue.front() {
                None => {
                    self.lanes.remove(&pair);
                    self.open = None;
                }
                Some((_, payload)) if payload.len() > CONTENT_MAX => {
                    self.line.push_back(pair);
                    self.open = None;
                }
                Some(_) => {
                    let (header, payload) = lane.queue.pop_front()?;
                    self.messages -= 1;
                    self.small_bytes -= payload.len();
                    return Some(Step::Small(header, payload));
                }
            }
        }
        while self.begun.len() < ASSEMBLIES_MAX
            && let Some(pair) = self.line.pop_front()
        {
            self.begun.push_back(pair);
        }
        let pair = self.begun.pop_front()?;
        let lane = self.lanes.get_mut(&pair)?;
        let (header, payload) = lane.queue.front()?;
        let place = Place { total: payload.len(), offset: lane.offset };
        let content = payload.slice(lane.offset..lane.offset + CONTENT_MAX);
        lane.offset += content.len();
        let header = *header;
        if lane.offset == place.total {
            lane.offset = 0;
            lane.queue.pop_front();
            self.messages -= 1;
            self.open = Some(pair);
        } else {
            self.begun.push_back(pair);
        }
        Some(Step::Fragment(header, place, content))
    }

    /// Takes all that is left; of each message whom it is from and for, and its length.
    pub(super) fn drain(&mut self) -> Vec<(Header, usize)> {
        let lanes = std::mem::take(self).lanes;
        let messages = lanes.into_values().flat_map(|lane| lane.queue);
        messages.map(|(header, payload)| (header, payload.len())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handle::Handle;
    use crate::message::{MessageKind, Session};

    fn header(source: u32, session: i32) -> Header {
        let source = Handle::new(1, source);
        Header { source, kind: MessageKind::LUA, local: 7, session: Session::new(session) }
    }

    fn long(len: usize) -> Payload {
        Payload::from(vec![1; len]).share()
    }

    /// What comes next: the sender, its session, and the offset of a fragment.
    fn step(lanes: &mut Lanes) -> Option<(u32, i32, Option<usize>)> {
        Some(match lanes.next()? {
            Step::Fragment(header, place, _) => {
                (header.source.local(), Session::number(header.session), Some(place.offset))
            }
            Step::Small(header, _) => (header.source.local(), Session::number(header.session), None),
        })
    }

    #[test]
    fn lanes_take_turns_and_each_keeps_its_order() {
        let mut lanes = Lanes::default();
        lanes.push(header(1, 1), long(2 * CONTENT_MAX + 1));
        assert!(lanes.holds(&header(1, 9)) && !lanes.holds(&header(2, 9)));
        lanes.push(header(1, 2), Payload::from("short"));
        lanes.push(header(1, 3), long(CONTENT_MAX + 1));
        lanes.push(header(2, 4), long(CONTENT_MAX + 1));
        assert_eq!((lanes.messages(), lanes.small_bytes()), (4, 5));
        let c = CONTENT_MAX;
        let wanted = [
            (1, 1, Some(0)),
            (2, 4, Some(0)),
            (1, 1, Some(c)),
            (2, 4, Some(c)),
            (1, 1, Some(2 * c)),
            (1, 2, None),
            (1, 3, Some(0)),
            (1, 3, Some(c)),
        ];
        for wanted in wanted {
            assert_eq!(step(&mut lanes), Some(wanted));
        }
        assert!(step(&mut lanes).is_none() && lanes.is_empty() && lanes.messages() == 0);
    }

    #[test]
    fn no_more_messages_are_begun_than_the_receiver_collects() {
        let mut lanes = Lanes::default();
        for source in 0..ASSEMBLIES_MAX as u32 + 5 {
            lanes.push(header(source, 1), long(3 * CONTENT_MAX));
        }
        let mut begun = std::collections::HashSet::new();
        while let Some((source, _, offset)) = step(&mut lanes) {
            begun.insert(source);
            assert!(begun.len() <= ASSEMBLIES_MAX);
            if offset == Some(2 * CONTENT_MAX) {
                begun.remove(&source);
            }
        }
        assert!(begun.is_empty());
    }
}
