//! The faults of a run: what is done to the cluster, and when, as it follows from the seed.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

/// Numbers by chance, the same for the same seed on every machine (splitmix64).
pub struct Rng(u64);

impl Rng {
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `low` up to `high`, both among them.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.between(0, from.len() as u64 - 1) as usize]
    }
}

/// Two members, the lower id first.
pub type Pair = (u8, u8);

/// The members of the cluster; the master is 0.
pub const MEMBERS: [u8; 3] = [1, 2, 3];
pub const PAIRS: [Pair; 3] = [(1, 2), (1, 3), (2, 3)];

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The connections of a pair are cut after so many bytes more, of both directions; the next ones after the next number.
    Cut(Pair, Vec<usize>),
    /// Each piece of data between the two takes so many milliseconds more.
    Delay(Pair, u64),
    /// Nothing passes between the two, and neither is told.
    Halt(Pair),
    /// Connections to the member are refused, and those that there are, cut.
    Refuse(u8),
    /// SIGSTOP, and SIGCONT at the end.
    Stop(u8),
    /// SIGKILL, and at the end a new process; 0 is the master.
    Kill(u8),
    /// The connections to the master are cut after so many bytes more.
    CutMaster(usize),
    /// The master is stopped, and goes on at the end.
    StopMaster,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// From the start of the schedule.
    pub at: Duration,
    /// For so long.
    pub len: Duration,
    pub kind: Kind,
    /// Whether messages between the members that it hits may be lost: it lasts for longer than a life does without the
    /// other, or ends one.
    pub loses: bool,
}

impl Fault {
    /// Whether it keeps these two from each other.
    pub fn hits(&self, pair: Pair) -> bool {
        match &self.kind {
            Kind::Cut(hit, _) | Kind::Delay(hit, _) | Kind::Halt(hit) => *hit == pair,
            Kind::Refuse(id) | Kind::Stop(id) | Kind::Kill(id) => pair.0 == *id || pair.1 == *id,
            Kind::CutMaster(_) | Kind::StopMaster => false,
        }
    }

    fn hits_master(&self) -> bool {
        matches!(self.kind, Kind::CutMaster(_) | Kind::StopMaster | Kind::Kill(0))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:8.3} s", self.at.as_secs_f64())?;
        match &self.kind {
            Kind::Cut((one, other), after) => write!(f, "  cut {one}-{other} after {after:?} bytes")?,
            Kind::Delay((one, other), ms) => write!(f, "  delay {one}-{other} by {ms} ms")?,
            Kind::Halt((one, other)) => write!(f, "  halt {one}-{other}")?,
            Kind::Refuse(id) => write!(f, "  refuse connections to {id}")?,
            Kind::Stop(id) => write!(f, "  stop member {id}")?,
            Kind::Kill(0) => write!(f, "  kill the master")?,
            Kind::Kill(id) => write!(f, "  kill member {id}")?,
            Kind::CutMaster(after) => write!(f, "  cut the master's connections after {after} bytes")?,
            Kind::StopMaster => write!(f, "  stop the master")?,
        }
        if !self.len.is_zero() {
            write!(f, ", for {:.3} s", self.len.as_secs_f64())?;
        }
        f.write_str(if self.loses { " (may lose)" } else { "" })
    }
}

/// The times of the config that faults have to be longer or shorter than.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub resume_window: Duration,
    pub down_after: Duration,
}

/// After a fault nothing else is done to the same members for so long, so that short faults do not add up to a long one.
const REST: Duration = Duration::from_millis(600);

/// All faults that begin and end within `length`.
pub fn schedule(seed: u64, length: Duration, times: Times) -> Vec<Fault> {
    let mut rng = Rng::new(seed);
    let mut faults: Vec<Fault> = Vec::new();
    let mut at = Duration::from_millis(300);
    // Each sort comes once before chance decides.
    let mut owed: VecDeque<u64> = (0..SORTS).collect();
    for last in (1..owed.len()).rev() {
        owed.swap(last, rng.between(0, last as u64) as usize);
    }
    while at < length {
        let is_owed = !owed.is_empty();
        let sort = owed.pop_front().unwrap_or_else(|| sort_of(rng.between(0, 99)));
        let fault = fault(&mut rng, at, sort, times);
        let fits = fault.at + fault.len <= length;
        let is_free = faults.iter().all(|other| {
            let is_over = other.at + other.len + REST <= fault.at;
            let same_members = PAIRS.iter().any(|pair| other.hits(*pair) && fault.hits(*pair));
            is_over || !(same_members || other.hits_master() && fault.hits_master())
        });
        if fits && is_free {
            at += Duration::from_millis(rng.between(50, 500));
            faults.push(fault);
            continue;
        }
        at += Duration::from_millis(40);
        if fits && is_owed {
            owed.push_back(sort);
        }
    }
    faults
}

const SORTS: u64 = 12;

fn sort_of(dice: u64) -> u64 {
    const OUT_OF_HUNDRED: [u64; SORTS as usize] = [24, 14, 8, 10, 5, 5, 10, 4, 8, 3, 5, 4];
    let mut sum = 0;
    (0..SORTS)
        .find(|sort| {
            sum += OUT_OF_HUNDRED[*sort as usize];
            dice < sum
        })
        .expect("they are a hundred")
}

fn fault(rng: &mut Rng, at: Duration, sort: u64, times: Times) -> Fault {
    let (window, down_after) = (times.resume_window, times.down_after);
    let pair = rng.pick(&PAIRS);
    let member = rng.pick(&MEMBERS);
    let mut ms = |low: u64, high: u64| Duration::from_millis(rng.between(low, high));
    let short = ms(50, window.as_millis() as u64 / 2);
    let long = down_after + ms(500, 1500);
    let (len, loses, kind) = match sort {
        // Somewhere in the stream of frames.
        0 => (Duration::ZERO, false, Kind::Cut(pair, vec![rng.between(0, 200_000) as usize])),
        // And again while the two find each other: id bytes, hello, switch, the first frames.
        1 => {
            let handshakes = rng.between(1, 3);
            let cuts = [rng.between(0, 20_000) as usize].into_iter();
            let again = (0..handshakes).map(|_| rng.between(0, 400) as usize);
            (Duration::ZERO, false, Kind::Cut(pair, cuts.chain(again).collect()))
        }
        2 => (short * 2, false, Kind::Delay(pair, rng.between(1, 20))),
        3 => (short, false, Kind::Halt(pair)),
        4 => (long, true, Kind::Halt(pair)),
        5 => (window + short, true, Kind::Refuse(member)),
        6 => (short, false, Kind::Stop(member)),
        7 => (long, true, Kind::Stop(member)),
        8 => (short, true, Kind::Kill(member)),
        9 => (short, false, Kind::Kill(0)),
        10 => (Duration::ZERO, false, Kind::CutMaster(rng.between(0, 300) as usize)),
        _ => (if rng.between(0, 1) == 0 { short } else { long }, false, Kind::StopMaster),
    };
    Fault { at, len, kind, loses }
}
