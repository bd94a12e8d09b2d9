//! What must be true of all that the members see, whatever is done to them.
//!
//! - Nothing comes twice, in another order, with other bytes, to another life than it was meant for, or from a former life
//!   behind something of the next: `twice`, `disorder`, `content`, `wrong_life`, `ghost`.
//! - Every call ends, with the answer that belongs to it or with an error: `unended`, `answer`,
//!   `answered_twice`.
//! - What is missing (`gap`) was lost with a life: the receiver's link to the sender ended one in between.
//! - Where a life ends, a fault is why: it kept just these two nodes from each other for longer than a life lasts without the
//!   other, or killed one.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::process::Line;
use super::schedule::{MEMBERS, PAIRS, Pair, Times};

/// Lines are stamped when they are read, which may be so much later than they were written.
const LAG: f64 = 0.5;
/// A gap begins with the last message that came before it. A node that was stopped, or from which a halted wire is taken, still
/// has messages of the life that has ended in its mailboxes, and its clock may be behind by what it stood still.
const BACKLOG: f64 = 1.0;
/// An end of a life is heard of on the other side when its own window is over, or when both find each other again; so much
/// more for the way there.
const FINDING: f64 = 1.5;

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

/// An end of a life, as a node saw it.
pub struct Down {
    node: u8,
    peer: u8,
    at: f64,
    line: String,
}

struct Gap {
    node: u8,
    sender: u8,
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
    pub downs: Vec<Down>,
    /// Gaps that an end of a life explains, and the messages missing in them.
    pub allowed: (u64, u64),
}

impl Oracle {
    pub fn line(&mut self, line: &Line) {
        let Line { node, start, at, text } = line;
        let Some(said) = text.strip_prefix("CHAOS ") else {
            if let Some(peer) = down(text) {
                let line = format!("node {node}, process {start}: {text}");
                self.downs.push(Down { node: *node, peer, at: *at, line });
            }
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
            node,
            sender: from,
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

    /// All has been heard: judges what was lost.
    pub fn judge(&mut self, times: Times) {
        let window = times.resume_window.as_secs_f64();
        for down in &self.downs {
            let pair = (down.node.min(down.peer), down.node.max(down.peer));
            let explains = |loss: &Loss| {
                loss.pair.is_none_or(|hit| hit == pair)
                    && down.at >= loss.from
                    && loss.to.is_none_or(|to| down.at <= to + window + FINDING)
            };
            if !self.losses.iter().any(explains) {
                self.violations.push(format!("a life ended, and no fault explains it: {}", down.line));
            }
        }
        for gap in std::mem::take(&mut self.gaps) {
            let explains = |down: &Down| {
                (down.node, down.peer) == (gap.node, gap.sender)
                    && down.at >= gap.from - BACKLOG
                    && down.at <= gap.to + LAG
            };
            if self.downs.iter().any(explains) {
                self.allowed.0 += 1;
                self.allowed.1 += gap.count;
            } else {
                let lost = format!("{} messages are lost, and no life has ended: {}", gap.count, gap.line);
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

/// The peer of which a log line says that a life has ended.
fn down(text: &str) -> Option<u8> {
    let (_, rest) = text.split_once("] harbor: harbor ")?;
    let (peer, _) = rest.split_once(" is down: ")?;
    peer.parse().ok()
}
