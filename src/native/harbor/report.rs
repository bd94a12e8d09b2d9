//! [`Report`]: log lines that a peer or a service can cause in any number.

use std::time::Duration;

/// So many lines of a sort are written in a second.
const LINES_MAX: u32 = 64;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct Report {
    since: Duration,
    lines: u32,
    more: u64,
}

impl Report {
    /// Whether a line shall be written; otherwise it is counted.
    pub(super) fn allows(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.since) >= SECOND && self.more == 0 {
            (self.since, self.lines) = (now, 0);
        }
        let allows = self.lines < LINES_MAX;
        if allows {
            self.lines += 1;
        } else {
            self.more += 1;
        }
        allows
    }

    /// When there is a summary to be written.
    pub(super) fn due(&self) -> Option<Duration> {
        (self.more > 0).then(|| self.since + SECOND)
    }

    /// How many lines were left out, once a second is over.
    pub(super) fn summary(&mut self, now: Duration) -> Option<u64> {
        let more = self.due().filter(|due| *due <= now).map(|_| self.more)?;
        *self = Report { since: now, lines: 0, more: 0 };
        Some(more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_much_for_a_second_is_summed_up_after_it() {
        let (mut report, start) = (Report::default(), Duration::from_secs(10));
        assert_eq!((0..100).filter(|_| report.allows(start)).count(), 64);
        assert_eq!(report.due(), Some(start + SECOND));
        assert_eq!(report.summary(start), None);
        assert_eq!(report.summary(start + SECOND), Some(36));
        assert!(report.due().is_none() && report.allows(start + SECOND));
    }
}
