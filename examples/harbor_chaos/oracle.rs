//! What must be true of all that the members see, whatever is done to them.
//!
//! - Nothing comes twice, in another order, with other bytes, to another life than it was meant for, or from a former life
//!   behind something of the next: `twice`, `disorder`, `content`, `wrong_life`, `ghost`.
//! - Every call ends, with the answer that belongs to it or with an error: `unended`, `answer`,
//!   `answered_twice`.
//! - What is missing (`gap`) was sent while a fault kept just these two nodes from each other for longer than a life lasts
//!   without the other.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::process::Line;
use super::schedule::{MEMBERS, PAIRS, Pair};

/// A gap begins with the last message that came before it. A node that was stopped, or from which a halted wire is taken,
/// still reads what the system and the proxy hold for it before it hears that its life has ended; and its clock may be
/// behind by what it stood still. So long after the end of a fault that may still go on.
const AFTER: f64 = 1.0;
/// Nodes stamp what they see with a clock of 10 ms.
const BEFORE: f64 = 0.1;

/// What nodes log only if something is wrong in them.
const BAD_WORDS: [&str; 7] = [
    "Unknown session :",
    "stack traceback",
    "panicked",
    "bad bytes from harbor",
    "Message is too long",
    "lost count",
    "that is not known here",
];

/// A time in which messages may be lost.
pub struct Loss {
    /// Those who may lose them; nothing stands for all.
    pub pair: Option<Pair>,
    pub from: f64,
    pub to: Option<f64>,
}

struct Gap {
    pair: Pair,
    count: u64,
    from: f64,
    to: f64,
    line: String,
}

/// What a member says of another one.
#[derive(Default, Clone, Copy)]
pub struct Seen {
    pub sent: u64,
    pub got: u64,
    pub ok: u64,
    pub failed: u64,
    pub resumed: u64,
    pub last_ok: f64,
    pub named_ok: f64,
}

/// One process of a member.
#[derive(Default)]
pub struct Member {
    /// When the oldest call that has no end began.
    pub oldest_call: f64,
    pub peers: BTreeMap<u8, Seen>,
}

#[derive(Default)]
pub struct Oracle {
    pub members: BTreeMap<(u8, usize), Member>,
    pub losses: Vec<Loss>,
    pub violations: Vec<String>,
    gaps: Vec<Gap>,
    /// Gaps that a fault explains, and the messages missing in them.
    pub allowed: (u64, u64),
}

impl Oracle {
    pub fn line(&mut self, line: &Line) {
        let Line { node, start, text } = line;
        let Some(said) = text.strip_prefix("CHAOS ") else {
            if BAD_WORDS.iter().any(|word| text.contains(word)) {
                self.violations.push(format!("node {node}, process {start}: {text}"));
            }
            return;
        };
        let words: Vec<&str> = said.split(' ').collect();
        let understood = match words.first() {
            Some(&"up") => Some(()),
            Some(&"stat") => self.stat(*node, *start, &words),
            Some(&"gap") => self.gap(*node, text, &words),
            // All others are told only when something is wrong.
            _ => None,
        };
        if understood.is_none() {
            self.violations.push(format!("node {node}, process {start}: {text}"));
        }
    }

    /// `stat <now> <oldest call> <peer>:<sent>:<got>:<ok>:<failed>:<resumed>:<last ok>:<named ok>...`
    fn stat(&mut self, node: u8, start: usize, words: &[&str]) -> Option<()> {
        let member = self.members.entry((node, start)).or_default();
        member.oldest_call = words.get(2)?.parse().ok()?;
        for peer in words.get(3..)? {
            let mut fields = peer.split(':');
            let id = fields.next()?.parse().ok()?;
            let mut count = || fields.next()?.parse::<u64>().ok();
            let (sent, got, ok, failed, resumed) = (count()?, count()?, count()?, count()?, count()?);
            let mut time = || fields.next()?.parse::<f64>().ok();
            let seen = Seen { sent, got, ok, failed, resumed, last_ok: time()?, named_ok: time()? };
            member.peers.insert(id, seen);
        }
        Some(())
    }

    /// `gap <from> <life> <stream> <first> <last> <before> <after>`
    fn gap(&mut self, node: u8, line: &str, words: &[&str]) -> Option<()> {
        let [_, from, _, _, first, last, before, after] = words else { return None };
        let from: u8 = from.parse().ok()?;
        let (first, last): (u64, u64) = (first.parse().ok()?, last.parse().ok()?);
        self.gaps.push(Gap {
            pair: (from.min(node), from.max(node)),
            count: last - first + 1,
            from: before.parse().ok()?,
            to: after.parse().ok()?,
            line: format!("node {node}: {line}"),
        });
        Some(())
    }

    pub fn begin_loss(&mut self, pair: Option<Pair>, from: f64) -> usize {
        self.losses.push(Loss { pair, from, to: None });
        self.losses.len() - 1
    }

    /// Whether all pairs, in both directions, have exchanged calls that began after a time, and none from before is open.
    pub fn is_healed(&self, starts: &BTreeMap<u8, usize>, since: f64) -> bool {
        MEMBERS.iter().all(|id| {
            let member = starts.get(id).and_then(|start| self.members.get(&(*id, *start)));
            member.is_some_and(|member| {
                let is_ok = |seen: &Seen| seen.last_ok > since && seen.named_ok > since;
                member.oldest_call > since
                    && MEMBERS
                        .iter()
                        .filter(|peer| *peer != id)
                        .all(|peer| member.peers.get(peer).is_some_and(is_ok))
            })
        })
    }

    /// Who has not exchanged calls since a time.
    pub fn unhealed(&self, starts: &BTreeMap<u8, usize>, since: f64) -> String {
        let mut text = String::new();
        for id in MEMBERS {
            let member = starts.get(&id).and_then(|start| self.members.get(&(id, *start)));
            let Some(member) = member else {
                let _ = write!(text, " {id} says nothing;");
                continue;
            };
            if member.oldest_call <= since {
                let _ = write!(text, " {id} has an open call of {:.2} s before;", since - member.oldest_call);
            }
            for (peer, seen) in &member.peers {
                let late = |at: f64| if at > since { "ok" } else { "no answer" };
                if seen.last_ok <= since || seen.named_ok <= since {
                    let (handle, name) = (late(seen.last_ok), late(seen.named_ok));
                    let _ = write!(text, " {id} -> {peer}: by handle {handle}, by name {name};");
                }
            }
        }
        text
    }

    /// All has been heard: judges the gaps.
    pub fn judge(&mut self) {
        for gap in std::mem::take(&mut self.gaps) {
            let explains = |loss: &Loss| {
                loss.pair.is_none_or(|pair| pair == gap.pair)
                    && gap.to >= loss.from - BEFORE
                    && loss.to.is_none_or(|to| gap.from <= to + AFTER)
            };
            if self.losses.iter().any(explains) {
                self.allowed.0 += 1;
                self.allowed.1 += gap.count;
            } else {
                let lost = format!("{} messages are lost, and no fault explains it: {}", gap.count, gap.line);
                self.violations.push(lost);
            }
        }
    }

    /// Figures over all processes: sent, got, calls that had an answer, calls that failed, resumed links.
    pub fn totals(&self) -> Seen {
        let mut sum = Seen::default();
        for seen in self.members.values().flat_map(|member| member.peers.values()) {
            sum.sent += seen.sent;
            sum.got += seen.got;
            sum.ok += seen.ok;
            sum.failed += seen.failed;
            sum.resumed += seen.resumed;
        }
        sum
    }

    /// The pairs of a member.
    pub fn pairs_of(id: u8) -> impl Iterator<Item = Pair> {
        PAIRS.into_iter().filter(move |pair| pair.0 == id || pair.1 == id)
    }
}
