//! Why something was not packed or unpacked.

use std::fmt;

use super::format::{Damage, TooLong};

/// Why something was not packed or unpacked: the reason, and when reading the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    reason: Box<Reason>,
    offset: Option<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Reason {
    #[error(transparent)]
    Damage(#[from] Damage),
    #[error("values are left over")]
    LeftOver,
    #[error("the sequence has more elements than are wanted")]
    LongSequence,
    #[error("a table with other keys than 1, 2, 3... is no sequence")]
    NoSequence,
    #[error("the table has too many holes for a sequence")]
    Sparse,
    #[error("tables with many keys out of order within each other cost too much to read as sequences")]
    Tangled,
    #[error("a variant is a table with one field")]
    Variant,
    #[error("{0} is beyond what a 64-bit signed integer holds")]
    Integer(i128),
    #[error("{0} is no key of a table")]
    Key(&'static str),
    #[error("a string of 4 GiB or more cannot be packed")]
    StringLength,
    #[error("the sequence said it had {said} elements and gave {given}")]
    Count { said: usize, given: usize },
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// How many bytes lie before the value that was not read; none for an error of packing.
    #[must_use]
    pub fn offset(&self) -> Option<usize> {
        self.offset
    }

    /// The same error, at this place if none is known yet: the innermost value is the one to name.
    pub(super) fn or_at(mut self, offset: usize) -> Error {
        self.offset.get_or_insert(offset);
        self
    }
}

impl<R: Into<Reason>> From<R> for Error {
    #[cold]
    fn from(reason: R) -> Error {
        Error { reason: Box::new(reason.into()), offset: None }
    }
}

impl From<TooLong> for Reason {
    fn from(TooLong: TooLong) -> Reason {
        Reason::StringLength
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            Some(offset) => write!(f, "{} (at byte {offset})", self.reason),
            None => self.reason.fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl serde::ser::Error for Error {
    fn custom<T: fmt::Display>(text: T) -> Error {
        Error::from(Reason::Other(text.to_string()))
    }
}

impl serde::de::Error for Error {
    fn custom<T: fmt::Display>(text: T) -> Error {
        Error::from(Reason::Other(text.to_string()))
    }
}
