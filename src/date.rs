//! Dates in local time, as log lines show them.

use chrono::{DateTime, Local};

fn local(seconds: u64) -> DateTime<Local> {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    DateTime::from_timestamp(seconds, 0).unwrap_or(DateTime::UNIX_EPOCH).with_timezone(&Local)
}

/// `dd/mm/yy HH:MM:SS` of a time in seconds since 1970.
pub(crate) fn log_date(seconds: u64) -> String {
    local(seconds).format("%d/%m/%y %H:%M:%S").to_string()
}

/// The form of C's `ctime`, such as `Thu Jan  1 00:00:00 1970`, without its newline.
pub(crate) fn ctime(seconds: u64) -> String {
    local(seconds).format("%a %b %e %H:%M:%S %Y").to_string()
}
