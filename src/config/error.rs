//! [`ConfigError`]: why a configuration cannot be used, in the words that the user reads.

use std::io;
use std::path::PathBuf;

use super::{Place, THREAD_MAX};

/// Why a configuration cannot be used. Each text begins with the file and line where they are known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A file cannot be read.
    #[error("{}{}: {}", prefix(.place), .file.display(), io_text(.why))]
    Read {
        /// The `include` that named it; `None` for the file of the command line.
        place: Option<Place>,
        /// The file.
        file: PathBuf,
        /// What the system said.
        #[source]
        why: io::Error,
    },
    /// A file is longer than any config file should be.
    #[error("{}{}: longer than {max} bytes: not a config file", prefix(.place), .file.display())]
    FileTooLarge {
        /// The `include` that named it; `None` for the file of the command line.
        place: Option<Place>,
        /// The file.
        file: PathBuf,
        /// The limit.
        max: u64,
    },
    /// A file holds compiled Lua.
    #[error("{}: compiled Lua is refused: a config file is text", .file.display())]
    Precompiled {
        /// The file.
        file: PathBuf,
    },
    /// The text has `$NAME` and the process has no such environment variable.
    // Matched by users of skynet: keep the words `os.getenv() failed: NAME`.
    #[error("{place}: os.getenv() failed: {name}")]
    Variable {
        /// Where the name stands.
        place: Place,
        /// The name, without the dollar sign.
        name: String,
    },
    /// A file includes itself, perhaps by way of others.
    #[error("{}include of {} in itself: {}", prefix(.place), .file.display(), chain(.through))]
    IncludeCycle {
        /// The `include` that closes the circle.
        place: Option<Place>,
        /// The file that it names.
        file: PathBuf,
        /// The files that are being read, from the outermost.
        through: Vec<PathBuf>,
    },
    /// Includes are nested too deep.
    #[error("{}include of {}: more than {max} files inside each other", prefix(.place), .file.display())]
    IncludeDepth {
        /// The `include` that goes too far.
        place: Option<Place>,
        /// The file that it names.
        file: PathBuf,
        /// The limit.
        max: usize,
    },
    /// `include` was given something other than a file name.
    #[error("{}include needs a file name, not a {found}", prefix(.place))]
    IncludeArgument {
        /// The call.
        place: Option<Place>,
        /// The Lua type of what was given.
        found: &'static str,
    },
    /// The file does not end: a loop, most likely.
    #[error("{}the config file has not ended after {max} steps: an endless loop?", prefix(.place))]
    Endless {
        /// Where it was when it was stopped.
        place: Option<Place>,
        /// The limit.
        max: u64,
    },
    /// Lua refuses the text, or running it failed. The message names file and line.
    #[error("{0}")]
    Lua(String),
    /// A key is not a string, as after `_ENV[1] = 2`.
    // Matched by users of skynet: keep the words.
    #[error("{}Invalid config table", prefix(.place))]
    KeyType {
        /// Where it was set.
        place: Option<Place>,
    },
    /// A global variable holds something other than a string, a number or a boolean.
    // Matched by users of skynet: keep the words `Invalid config table key = K`.
    #[error("{}Invalid config table key = {key}: a {found} cannot be a value", prefix(.place))]
    ValueType {
        /// Where it was set.
        place: Option<Place>,
        /// The variable.
        key: String,
        /// The Lua type of what it holds.
        found: &'static str,
    },
    /// A key or a value is text in an encoding other than UTF-8.
    #[error("{}key {key} is not UTF-8 text", prefix(.place))]
    Encoding {
        /// Where it was set.
        place: Option<Place>,
        /// The key, as far as it can be shown.
        key: String,
    },
    /// `thread` is out of range.
    // Matched by users of skynet: keep the words and the blank before the comma.
    #[error("{}Invalid thread {value} , should be in [1,{THREAD_MAX}]", prefix(.place))]
    Thread {
        /// Where it was set.
        place: Option<Place>,
        /// What it was set to.
        value: i64,
    },
    /// A value is not what its key needs.
    #[error("{}{key} = {value}: must be {range}", prefix(.place))]
    Value {
        /// Where it was set.
        place: Option<Place>,
        /// The key.
        key: &'static str,
        /// What it was set to.
        value: String,
        /// What it may be.
        range: &'static str,
    },
}

/// How an error text begins: the place, where there is one.
fn prefix(place: &Option<Place>) -> String {
    place.as_ref().map(|place| format!("{place}: ")).unwrap_or_default()
}

fn chain(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(" includes ")
}

/// The system's words, without the error number that Rust adds: scripts look for `: No such file or directory`.
fn io_text(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.rfind(" (os error ") {
        text.truncate(end);
    }
    text
}
