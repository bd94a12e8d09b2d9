//! `md5.core`: MD5 and a cipher made of it. Lua face: lualib/md5.lua. Annotations: lualib/meta/md5_core.lua.

use std::ffi::c_int;

use crate::crypt::{hash, hex, stream};
use crate::lua::raw::{Binding, Call, Raise, Returned, lua_State, push_module, string_entry};
use crate::random;

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"sum", string_entry!(1, sum)),
    (c"sumhexa", string_entry!(1, sum_hex)),
    (c"hmacmd5", string_entry!(2, hmac_md5)),
    (c"exor", string_entry!(2, exor)),
    (c"crypt", string_entry!(3, crypt)),
    (c"decrypt", string_entry!(2, decrypt)),
];

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

/// `sum(text) -> hash`
fn sum(call: &mut Call) -> Result<Returned, Raise> {
    let sum = hash::md5(call.bytes(1)?);
    Ok(call.give(sum))
}

/// `sumhexa(text) -> digits`
fn sum_hex(call: &mut Call) -> Result<Returned, Raise> {
    let sum = hash::md5(call.bytes(1)?);
    Ok(call.give(hex::encode(&sum)))
}

/// `hmacmd5(text, key) -> digits`
fn hmac_md5(call: &mut Call) -> Result<Returned, Raise> {
    let sum = hash::hmac_md5(call.bytes(2)?, call.bytes(1)?);
    Ok(call.give(hex::encode(&sum)))
}

/// `exor(a, b) -> text`
fn exor(call: &mut Call) -> Result<Returned, Raise> {
    let (a, b) = (call.bytes(1)?, call.bytes(2)?);
    if a.len() != b.len() {
        // Matched by programs: keep the words.
        return Err(Raise::argument(2, "lengths must be equal"));
    }
    let out: Vec<u8> = a.iter().zip(b).map(|(a, b)| a ^ b).collect();
    Ok(call.give(out))
}

/// `crypt(message, key, seed?) -> cipher`
fn crypt(call: &mut Call) -> Result<Returned, Raise> {
    let (message, key) = (call.bytes(1)?, call.bytes(2)?);
    let cipher = if call.top() < 3 {
        let seed: [u8; 8] = random::bytes().map_err(Raise::text)?;
        stream::encrypt(message, key, &seed)
    } else {
        stream::encrypt(message, key, call.bytes(3)?)
    };
    Ok(call.give(cipher.map_err(Raise::text)?))
}

/// `decrypt(cipher, key) -> message`
fn decrypt(call: &mut Call) -> Result<Returned, Raise> {
    let message = stream::decrypt(call.bytes(1)?, call.bytes(2)?).map_err(|error| match error {
        stream::StreamError::Cipher => Raise::argument(1, &error.to_string()),
        other => Raise::text(other),
    })?;
    Ok(call.give(message))
}
