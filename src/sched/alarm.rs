//! [`Alarm`]: what a thread sleeps on until some time after another one has said so.
//!
//! To wake a thread costs the one that wakes it as much as a small message, and where both share a processor the woken
//! one comes first. To set a timer of the system costs a tenth of that, and nobody is disturbed before it goes off.
#![allow(unsafe_code)]

use std::io;
use std::time::Duration;

/// See above.
pub(super) struct Alarm(imp::Alarm);

impl Alarm {
    /// # Errors
    /// What the system said where it gives no descriptor.
    pub(super) fn new() -> io::Result<Alarm> {
        imp::Alarm::new().map(Alarm)
    }

    /// Ends a [`wait`](Alarm::wait), the one that goes on or else the next one, after this time. Only the latest call
    /// counts.
    pub(super) fn set(&self, after: Duration) {
        self.0.set(after);
    }

    /// Sleeps until the alarm goes off.
    pub(super) fn wait(&self) {
        self.0.wait();
    }
}

#[cfg(target_os = "linux")]
mod imp {
    use std::fs::File;
    use std::io::{self, Read};
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
    use std::time::Duration;

    /// A timer descriptor.
    pub(super) struct Alarm(File);

    impl Alarm {
        pub(super) fn new() -> io::Result<Alarm> {
            // SAFETY: a system call without pointers.
            let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor is new, and nobody else's.
            Ok(Alarm(File::from(unsafe { OwnedFd::from_raw_fd(fd) })))
        }

        pub(super) fn set(&self, after: Duration) {
            // Zero would call it off.
            let after = after.max(Duration::from_nanos(1));
            // SAFETY: plain numbers, for which zero is a value.
            let mut time: libc::itimerspec = unsafe { std::mem::zeroed() };
            time.it_value.tv_sec = libc::time_t::try_from(after.as_secs()).unwrap_or(libc::time_t::MAX);
            time.it_value.tv_nsec = libc::c_long::from(after.subsec_nanos() as i32);
            // SAFETY: the descriptor is a timer's, the pointer is good for the call. It fails for wrong numbers only.
            let result = unsafe {
                libc::timerfd_settime(self.0.as_raw_fd(), 0, &raw const time, std::ptr::null_mut())
            };
            debug_assert_eq!(result, 0, "{}", io::Error::last_os_error());
        }

        pub(super) fn wait(&self) {
            // How often it went off does not matter. An error ends the sleep too early at worst.
            let _ = (&self.0).read(&mut [0; 8]);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::io;
    use std::time::Duration;

    use crate::clock::{RealTime, real_now};
    use crate::sync::{Condvar, Mutex, lock};

    /// When it was set, and for how long; the sleeper is woken at once and sleeps on until then.
    #[derive(Default)]
    pub(super) struct Alarm {
        due: Mutex<Option<(RealTime, Duration)>>,
        bell: Condvar,
    }

    impl Alarm {
        pub(super) fn new() -> io::Result<Alarm> {
            Ok(Alarm::default())
        }

        pub(super) fn set(&self, after: Duration) {
            *lock(&self.due) = Some((real_now(), after));
            self.bell.notify_one();
        }

        pub(super) fn wait(&self) {
            let mut due = lock(&self.due);
            loop {
                let left = due.map(|(since, after)| after.saturating_sub(real_now().since(since)));
                due = match left {
                    Some(Duration::ZERO) => break,
                    Some(left) => {
                        let waited = self.bell.wait_timeout(due, left);
                        waited.unwrap_or_else(std::sync::PoisonError::into_inner).0
                    }
                    None => self.bell.wait(due).unwrap_or_else(std::sync::PoisonError::into_inner),
                };
            }
            *due = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::real_now;

    #[test]
    fn it_goes_off_after_its_time_and_once() {
        let alarm = Alarm::new().expect("a descriptor");
        let start = real_now();
        alarm.set(Duration::from_secs(3600));
        // The latest counts.
        alarm.set(Duration::from_millis(20));
        alarm.wait();
        assert!(real_now().since(start) >= Duration::from_millis(20));
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| alarm.wait());
            assert!(!waiter.is_finished());
            alarm.set(Duration::ZERO);
            waiter.join().expect("it was woken");
        });
    }

    #[test]
    fn one_that_went_off_before_is_not_slept_through() {
        let alarm = Alarm::new().expect("a descriptor");
        alarm.set(Duration::ZERO);
        alarm.wait();
        alarm.set(Duration::from_nanos(1));
        crate::clock::doze(Duration::from_millis(2));
        alarm.wait();
    }
}
