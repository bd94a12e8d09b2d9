//! [`Options`]: what the config says about links.

use std::time::Duration;

use crate::service::ServiceError;

/// The bounds and times of all links of a node.
pub(super) struct Options {
    /// Content above so many bytes is compressed if it pays; 0 is never.
    pub(super) compress: usize,
    /// The largest message that is sent or taken on an extended link.
    pub(super) message_max: usize,
    /// So many messages wait for one peer.
    pub(super) queue_max: usize,
    /// Messages of so many bytes wait for one peer; those that go in fragments are counted by themselves.
    pub(super) queue_bytes_max: usize,
    /// A peer that was not heard for so long is down.
    pub(super) down_after: Duration,
    /// For so long a broken connection may be made anew.
    pub(super) resume_window: Duration,
    /// For so long messages wait for a peer or a name that was never seen.
    pub(super) join_timeout: Duration,
    /// Both ends of a link have to know it; empty for none.
    pub(super) secret: Vec<u8>,
}

/// The sizes of fragments are numbers of 32 bits.
const MESSAGE_MAX: usize = u32::MAX as usize;

/// Some thirty years, which can be added to any clock.
const SECONDS_MAX: f64 = 1e9;

impl Options {
    /// Reads the keys `harbor_*`.
    pub(super) fn read(env: impl Fn(&str) -> Option<String>) -> Result<Options, ServiceError> {
        let size = |key: &str, default: usize, min: usize, max: usize| match env(key) {
            None => Ok(default),
            Some(text) => match text.trim().parse::<f64>() {
                Ok(number) if number.fract() == 0.0 && (min as f64..=max as f64).contains(&number) => {
                    Ok(number as usize)
                }
                _ => Err(format!("{key} = {text}: must be a whole number from {min} to {max}")),
            },
        };
        let time = |key: &str, default: f64, min: f64| {
            let seconds = match env(key) {
                None => default,
                Some(text) => match text.trim().parse::<f64>() {
                    Ok(seconds) if (min..=SECONDS_MAX).contains(&seconds) => seconds,
                    _ => return Err(format!("{key} = {text}: must be a number of seconds from {min}")),
                },
            };
            Ok(Duration::from_secs_f64(seconds))
        };
        Ok(Options {
            compress: size("harbor_compress", 16384, 0, MESSAGE_MAX)?,
            message_max: size("harbor_message_max", 256 << 20, 1, MESSAGE_MAX)?,
            queue_max: size("harbor_queue_max", 65536, 1, u32::MAX as usize)?,
            queue_bytes_max: size("harbor_queue_bytes_max", 64 << 20, 1, usize::MAX >> 1)?,
            down_after: time("harbor_down_after", 5.0, 0.01)?,
            resume_window: time("harbor_resume_window", 1.0, 0.0)?,
            join_timeout: time("harbor_join_timeout", 30.0, 0.0)?,
            secret: env("harbor_secret").unwrap_or_default().into_bytes(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_its_default_or_a_value_that_makes_sense() {
        let options = Options::read(|_| None).expect("all have defaults");
        assert_eq!((options.queue_max, options.down_after), (65536, Duration::from_secs(5)));
        let read = |wanted: &'static str, value: &'static str| {
            Options::read(|key| (key == wanted).then(|| value.to_owned()))
        };
        assert_eq!(read("harbor_message_max", "1e6").expect("a number").message_max, 1_000_000);
        for (key, value) in
            [("harbor_queue_max", "0"), ("harbor_down_after", "never"), ("harbor_compress", "-1")]
        {
            let error = read(key, value).err().expect("no sense").to_string();
            assert!(error.starts_with(&format!("{key} = {value}: must be")), "{error}");
        }
    }
}
