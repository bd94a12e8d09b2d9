//! `skynet.crypt`, also `client.crypt`: hashes, DES, base64 and a key exchange. Thin words over `crate::crypt`.
//! Annotations: lualib/meta/skynet_crypt.lua.

use std::ffi::c_int;

use crate::crypt::des::{Des, Padding};
use crate::crypt::hash::{self, Word};
use crate::crypt::{base64, exchange, hex};
use crate::lua::raw::{Binding, Call, Raise, Returned, entry, ffi, lua_State, push_module, string_entry};
use crate::random;

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"randomkey", entry!(random_key)),
    (c"hashkey", string_entry!(1, hash_key)),
    (c"desencode", string_entry!(2, des_encode)),
    (c"desdecode", string_entry!(2, des_decode)),
    (c"hexencode", string_entry!(1, hex_encode)),
    (c"hexdecode", string_entry!(1, hex_decode)),
    (c"hmac64", string_entry!(2, hmac64)),
    (c"hmac64_md5", string_entry!(2, hmac64_md5)),
    (c"hmac_hash", string_entry!(2, hmac_hash)),
    (c"dhexchange", string_entry!(1, dh_exchange)),
    (c"dhsecret", string_entry!(2, dh_secret)),
    (c"base64encode", string_entry!(1, base64_encode)),
    (c"base64decode", string_entry!(1, base64_decode)),
    (c"sha1", string_entry!(1, sha1)),
    (c"hmac_sha1", string_entry!(2, hmac_sha1)),
    (c"xor_str", string_entry!(2, xor_str)),
];

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe {
        push_module(state, FUNCTIONS);
        ffi::lua_createtable(state, 0, 2);
        for (name, number) in [(c"iso7816_4", 0), (c"pkcs7", 1)] {
            ffi::lua_pushinteger(state, number);
            ffi::lua_setfield(state, -2, name.as_ptr());
        }
        ffi::lua_setfield(state, -2, c"padding".as_ptr());
    }
    1
}

/// Eight bytes; the error text says what they should have been.
fn word(call: &Call, index: c_int, what: &'static str) -> Result<Word, Raise> {
    // Matched by programs: keep the words.
    call.bytes(index)?.try_into().map_err(|_| Raise::text(format_args!("Invalid {what}")))
}

/// `randomkey() -> key`: eight bytes whose xor is not zero.
fn random_key(call: &mut Call) -> Result<Returned, Raise> {
    loop {
        let key: Word = random::bytes().map_err(Raise::text)?;
        if key.iter().fold(0, |all, byte| all ^ byte) != 0 {
            return Ok(call.give(key));
        }
    }
}

/// `hashkey(text) -> key`
fn hash_key(call: &mut Call) -> Result<Returned, Raise> {
    let key = hash::hash_key(call.bytes(1)?);
    Ok(call.give(key))
}

/// The key and the padding of (key, text, padding?).
fn des(call: &Call) -> Result<(Des, Padding), Raise> {
    let key = call.bytes(1)?;
    let key = key
        .try_into()
        // Matched by programs: keep the words.
        .map_err(|_| Raise::Text(format!("Invalid key size {}, need 8 bytes", key.len())))?;
    let number = if call.is_none_or_nil(3) { 0 } else { call.int(3)? };
    let padding = Padding::from_number(number)
        // Matched by programs: keep the words.
        .ok_or_else(|| Raise::Text(format!("Invalid padding mode {number}")))?;
    Ok((Des::new(key), padding))
}

/// `desencode(key, text, padding?) -> cipher`
fn des_encode(call: &mut Call) -> Result<Returned, Raise> {
    let (des, padding) = des(call)?;
    let cipher = des.encrypt(call.bytes(2)?, padding);
    Ok(call.give(cipher))
}

/// `desdecode(key, cipher, padding?) -> text`
fn des_decode(call: &mut Call) -> Result<Returned, Raise> {
    let (des, padding) = des(call)?;
    let text = des.decrypt(call.bytes(2)?, padding).map_err(Raise::text)?;
    Ok(call.give(text))
}

/// `hexencode(bytes) -> text`
fn hex_encode(call: &mut Call) -> Result<Returned, Raise> {
    let text = hex::encode(call.bytes(1)?);
    Ok(call.give(text))
}

/// `hexdecode(text) -> bytes`
fn hex_decode(call: &mut Call) -> Result<Returned, Raise> {
    let bytes = hex::decode(call.bytes(1)?).map_err(Raise::text)?;
    Ok(call.give(bytes))
}

fn two_words(call: &Call) -> Result<(Word, Word), Raise> {
    Ok((word(call, 1, "uint64 x")?, word(call, 2, "uint64 y")?))
}

/// `hmac64(x, y) -> word`
fn hmac64(call: &mut Call) -> Result<Returned, Raise> {
    let (x, y) = two_words(call)?;
    Ok(call.give(hash::hmac64(x, y)))
}

/// `hmac64_md5(x, y) -> word`
fn hmac64_md5(call: &mut Call) -> Result<Returned, Raise> {
    let (x, y) = two_words(call)?;
    Ok(call.give(hash::hmac64_md5(x, y)))
}

/// `hmac_hash(key, text) -> word`
fn hmac_hash(call: &mut Call) -> Result<Returned, Raise> {
    let key = word(call, 1, "uint64 key")?;
    let hash = hash::hash_key(call.bytes(2)?);
    Ok(call.give(hash::hmac64(hash, key)))
}

/// A number of the exchange, which is not zero.
fn dh_number(word: Word) -> Result<u64, Raise> {
    match u64::from_le_bytes(word) {
        // Matched by programs: keep the words.
        0 => Err(Raise::text("Can't be 0")),
        number => Ok(number),
    }
}

/// `dhexchange(secret) -> public`
fn dh_exchange(call: &mut Call) -> Result<Returned, Raise> {
    let secret = dh_number(word(call, 1, "dh uint64 key")?)?;
    Ok(call.give(exchange::public(secret).to_le_bytes()))
}

/// `dhsecret(public, secret) -> shared`
fn dh_secret(call: &mut Call) -> Result<Returned, Raise> {
    let (public, secret) = two_words(call)?;
    let shared = exchange::shared(dh_number(public)?, dh_number(secret)?);
    Ok(call.give(shared.to_le_bytes()))
}

/// `base64encode(bytes) -> text`
fn base64_encode(call: &mut Call) -> Result<Returned, Raise> {
    let text = base64::encode(call.bytes(1)?);
    Ok(call.give(text))
}

/// `base64decode(text) -> bytes`
fn base64_decode(call: &mut Call) -> Result<Returned, Raise> {
    let bytes = base64::decode(call.bytes(1)?).map_err(Raise::text)?;
    Ok(call.give(bytes))
}

/// `sha1(text) -> hash`
fn sha1(call: &mut Call) -> Result<Returned, Raise> {
    let hash = hash::sha1(call.bytes(1)?);
    Ok(call.give(hash))
}

/// `hmac_sha1(key, text) -> hash`
fn hmac_sha1(call: &mut Call) -> Result<Returned, Raise> {
    let hash = hash::hmac_sha1(call.bytes(1)?, call.bytes(2)?);
    Ok(call.give(hash))
}

/// `xor_str(text, mask) -> text`: the mask is repeated.
fn xor_str(call: &mut Call) -> Result<Returned, Raise> {
    let (text, mask) = (call.bytes(1)?, call.bytes(2)?);
    if mask.is_empty() {
        // Matched by programs: keep the words.
        return Err(Raise::text("Can't xor empty string"));
    }
    let mut out = text.to_vec();
    for block in out.chunks_mut(mask.len()) {
        for (byte, mask) in block.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    Ok(call.give(out))
}
