//! `skynet.harbor.core`: what `cmaster` and `cslave` need of the engine to tell lives of nodes apart, and to prove
//! that a secret is shared. Annotations: lualib/meta/skynet_harbor_core.lua.

use std::ffi::c_int;
use std::hint::black_box;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::lua::raw::{Binding, Call, Raise, Returned, entry, lua_State, push_module};
use crate::random;

/// Bytes of a nonce.
const NONCE_LEN: usize = 16;

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"incarnation", entry!(incarnation)),
    (c"nonce", entry!(nonce)),
    (c"hmac_sha256", entry!(hmac_sha256)),
    (c"equal", entry!(equal)),
];

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

/// `incarnation() -> string`: 16 hex digits, since a Lua number has a sign and a package has little room.
fn incarnation(call: &mut Call) -> Result<Returned, Raise> {
    let number = call.context()?.incarnation();
    Ok(call.give(format!("{number:016x}")))
}

/// `nonce() -> string`
fn nonce(call: &mut Call) -> Result<Returned, Raise> {
    Ok(call.give(random::challenge::<NONCE_LEN>()))
}

/// `hmac_sha256(key, text) -> string`
fn hmac_sha256(call: &mut Call) -> Result<Returned, Raise> {
    let mac = mac(call.bytes(1)?, call.bytes(2)?);
    Ok(call.give(mac))
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of HMAC has any length");
    mac.update(text);
    mac.finalize().into_bytes().into()
}

/// `equal(a, b) -> boolean`, in a time that does not tell where two strings of one length differ.
fn equal(call: &mut Call) -> Result<Returned, Raise> {
    let is_equal = same(call.bytes(1)?, call.bytes(2)?);
    Ok(call.push_bool(is_equal))
}

fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |found, (a, b)| black_box(found | (a ^ b)));
    one.len() == other.len() && black_box(difference) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, cases 1, 2 and 6.
    #[test]
    fn the_mac_is_that_of_the_standard() {
        let long_key = [0xaa; 131];
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &long_key,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, text, expected) in cases {
            let shown: String = mac(key, text).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(shown, expected);
        }
    }

    #[test]
    fn strings_are_the_same_if_all_bytes_are() {
        assert!(same(b"", b"") && same(b"abc", b"abc"));
        assert!(!same(b"abc", b"abd") && !same(b"abc", b"ab") && !same(b"", b"a") && !same(b"xbc", b"abc"));
    }
}
