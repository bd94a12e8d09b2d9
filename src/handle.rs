//! [`Handle`]: the address of a service.
//!
//! Everyone uses it: messages carry it as their source, the table finds services by it, Lua code sees it as an
//! integer and shows it as `:0100000a`.

use std::fmt;
use std::num::ParseIntError;
use std::str::FromStr;

/// The address of a service: the harbor id of its node in the high 8 bits, its local id in the low 24.
///
/// The value 0 ([`Handle::NONE`]) is nobody: it is the source of messages that the engine itself sends (timers,
/// signals), and no service ever has it.
///
/// ```
/// use skynet_rs::Handle;
/// let handle = Handle::new(1, 10);
/// assert_eq!(handle.to_string(), ":0100000a");
/// assert_eq!(":100000a".parse(), Ok(handle));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(transparent)]
pub struct Handle(u32);

/// The bits of a handle that name a service inside its node.
const LOCAL_MASK: u32 = 0x00ff_ffff;

impl Handle {
    /// Nobody: the source of what the engine sends itself.
    pub const NONE: Handle = Handle(0);

    /// The largest local id; the ids of a node are 1 up to this one.
    pub const LOCAL_MAX: u32 = LOCAL_MASK;

    /// Joins a harbor id and a local id, of which the low 24 bits count.
    #[must_use]
    pub const fn new(harbor: u8, local: u32) -> Handle {
        Handle((harbor as u32) << 24 | (local & LOCAL_MASK))
    }

    /// The handle with this numeric value, as it stands in messages and in Lua.
    #[must_use]
    pub const fn from_u32(value: u32) -> Handle {
        Handle(value)
    }

    /// The numeric value, as it stands in messages and in Lua.
    #[must_use]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The id of the node that the service lives on; 0 on a node without harbor.
    #[must_use]
    pub const fn harbor(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// The part that names the service inside its node.
    #[must_use]
    pub const fn local(self) -> u32 {
        self.0 & LOCAL_MASK
    }

    /// Whether this is [`Handle::NONE`].
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, ":{:08x}", self.0)
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Handle> for u32 {
    fn from(handle: Handle) -> u32 {
        handle.0
    }
}

/// Why a text is no handle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseHandleError {
    /// A handle is written with a colon before its digits.
    #[error("a handle starts with ':', not {0:?}")]
    NoColon(String),
    /// What follows the colon is not a hexadecimal number of at most 32 bits.
    #[error("{text:?} is not a hexadecimal handle: {why}")]
    Digits {
        /// The whole text.
        text: String,
        /// What the number parser said.
        why: ParseIntError,
    },
}

impl FromStr for Handle {
    type Err = ParseHandleError;

    fn from_str(text: &str) -> Result<Handle, ParseHandleError> {
        let digits = text.strip_prefix(':').ok_or_else(|| ParseHandleError::NoColon(text.to_owned()))?;
        u32::from_str_radix(digits, 16)
            .map(Handle)
            .map_err(|why| ParseHandleError::Digits { text: text.to_owned(), why })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_make_the_whole() {
        let handle = Handle::new(0xfe, 0x12_3456);
        assert_eq!((handle.harbor(), handle.local(), handle.as_u32()), (0xfe, 0x12_3456, 0xfe12_3456));
    }

    #[test]
    fn a_text_that_is_no_handle_is_refused_with_the_text() {
        for text in ["", "12", ":", ":xyz", ":123456789", ".name"] {
            let error = text.parse::<Handle>().expect_err(text).to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }
}
