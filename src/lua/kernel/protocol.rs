//! [`Protocols`]: how each kind of message is packed and unpacked, and who handles it.

use std::ffi::c_int;

use crate::lua::raw::ffi;
use crate::message::MessageKind;

/// Who turns values into bytes, or back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Codec {
    /// Nobody: the raw (pointer, size) pair is passed on.
    Raw,
    /// The packed format, natively.
    Packed,
    /// A Lua function (a reference).
    Lua(c_int),
}

/// One kind of message, as the service knows it.
pub(crate) struct Protocol {
    pub(crate) kind: MessageKind,
    pub(crate) name: Box<[u8]>,
    /// Where the VM keeps the name, which it interns: mostly, comparing this is enough.
    name_at: *const u8,
    /// The reference by which it keeps it.
    pub(crate) name_reference: c_int,
    pub(crate) pack: Option<Codec>,
    pub(crate) unpack: Codec,
    /// The handler (a reference), or `LUA_NOREF`.
    pub(crate) dispatch: c_int,
    /// The class that Lua code registered (a reference), or `LUA_NOREF`.
    pub(crate) class: c_int,
    /// `skynet.traceproto`: trace its requests always, never, or as the coroutine says.
    pub(crate) trace: Option<bool>,
}

impl Protocol {
    pub(crate) fn new(kind: MessageKind, name: &[u8], name_at: *const u8, name_reference: c_int) -> Protocol {
        Protocol {
            kind,
            name: name.into(),
            name_at,
            name_reference,
            pack: None,
            unpack: Codec::Raw,
            dispatch: ffi::LUA_NOREF,
            class: ffi::LUA_NOREF,
            trace: None,
        }
    }
}

/// The protocols of one service, by number and by name.
pub(crate) struct Protocols {
    list: Vec<Protocol>,
    /// One more than the place in `list`; 0 where there is none.
    by_kind: [u8; 256],
}

impl Protocols {
    pub(crate) fn new() -> Protocols {
        Protocols { list: Vec::with_capacity(4), by_kind: [0; 256] }
    }

    /// Adds a protocol; false where its number or its name is taken, or 255 protocols are there.
    pub(crate) fn add(&mut self, protocol: Protocol) -> bool {
        let taken = self.list.iter().any(|known| known.name == protocol.name || known.kind == protocol.kind);
        let Ok(place) = u8::try_from(self.list.len() + 1) else { return false };
        if taken {
            return false;
        }
        self.by_kind[protocol.kind.index()] = place;
        self.list.push(protocol);
        true
    }

    #[inline]
    pub(crate) fn get(&self, kind: MessageKind) -> Option<&Protocol> {
        self.list.get(usize::from(self.by_kind[kind.index()]).wrapping_sub(1))
    }

    pub(crate) fn get_mut(&mut self, kind: MessageKind) -> Option<&mut Protocol> {
        self.list.get_mut(usize::from(self.by_kind[kind.index()]).wrapping_sub(1))
    }

    #[inline]
    pub(crate) fn by_name(&self, name: &[u8]) -> Option<&Protocol> {
        self.list
            .iter()
            .find(|known| known.name_at == name.as_ptr() && known.name.len() == name.len())
            .or_else(|| self.list.iter().find(|known| *known.name == *name))
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Protocol> {
        self.list.iter()
    }
}
