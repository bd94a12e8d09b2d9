//! `skynet.crypt`, `client.crypt` and `md5`: what a Lua service sees of them.

mod support;

use proptest::prelude::*;
use support::TestNode;

/// A node where `crypt`, `md5`, `hex` and `bytes` are at hand.
fn node() -> TestNode {
    let node = support::node();
    node.lua(
        "crypt, md5 = require 'skynet.crypt', require 'md5'
        hex, bytes = crypt.hexencode, crypt.hexdecode",
    );
    node
}

#[test]
fn the_vectors_measured_on_the_original_hold() {
    node().check(
        "same(hex(crypt.hashkey 'hello'), '9930920fcbef1867')
        same(hex(crypt.hmac64('12345678', 'abcdefgh')), 'ac9ffda9547a027a')
        same(hex(crypt.hmac64_md5('12345678', 'abcdefgh')), 'c2a34748cf834af4')
        same(hex(crypt.hmac_hash('abcdefgh', 'hello')), '1ab2a24b8a0b4f6c')
        same(hex(crypt.dhexchange '12345678'), 'a18e89af97222f0e')
        same(hex(crypt.dhsecret('12345678', 'abcdefgh')), 'c28f6c29ade90908')
        same(hex(crypt.desencode('12345678', 'hello')), '7e38177924357156')
        same(hex(crypt.desencode('12345678', 'hello', crypt.padding.pkcs7)), 'ba16c6a0257125af')
        same(hex(crypt.desencode('12345678', '')), '8d3d438a718b4510')",
    );
}

#[test]
fn the_module_has_two_names_and_an_old_one() {
    node().check(
        "local client = require 'client.crypt'
        package.path = package.path:gsub('/%?%.lua', '%0;./lualib/compat10/?.lua', 1)
        local old = require 'crypt'
        local names = 0
        for name, value in pairs(crypt) do
            names = names + 1
            if name == 'padding' then
                same(value.iso7816_4, 0)
                same(value.pkcs7, 1)
                same(client.padding.pkcs7, 1)
            else
                same(client[name], value)
                same(old[name], value)
            end
        end
        same(names, 17)",
    );
}

#[test]
fn a_random_key_is_eight_bytes_whose_xor_is_not_zero() {
    node().check(
        "local seen = {}
        for _ = 1, 2000 do
            local key = crypt.randomkey()
            same(#key, 8)
            local xor = 0
            for _, byte in ipairs { key:byte(1, -1) } do xor = xor ~ byte end
            assert(xor ~= 0)
            assert(not seen[key])
            seen[key] = true
        end",
    );
}

#[test]
fn both_sides_of_an_exchange_come_to_the_same_secret() {
    node().check(
        "for _ = 1, 50 do
            local a, b = crypt.randomkey(), crypt.randomkey()
            same(crypt.dhsecret(crypt.dhexchange(b), a), crypt.dhsecret(crypt.dhexchange(a), b))
        end",
    );
}

#[test]
fn known_answers_of_des_hold() {
    // Of the validation tests of NBS SP 500-20. The second block is the filling.
    node().check(
        "local function first(key, plain)
            return hex(crypt.desencode(bytes(key), bytes(plain)):sub(1, 8))
        end
        same(first('0101010101010101', '8000000000000000'), '95f8a5e5dd31d900')
        same(first('0101010101010101', '0000000000000001'), '166b40b44aba4bd6')
        same(first('8001010101010101', '0000000000000000'), '95a8d72813daa94d')
        same(first('1046913489980131', '0000000000000000'), '88d55e54f54c97b4')
        same(first('7ca110454a1a6e57', '01a1d6d039776742'), '690f5b0d9a26939b')
        same(first('43297fad38e373fe', '762514b829bf486a'), 'ea676b2cb7db2b7a')",
    );
}

#[test]
fn a_whole_block_of_filling_follows_a_text_of_whole_blocks() {
    node().check(
        "for mode = 0, 1 do
            for length = 0, 40 do
                local text = ('x'):rep(length)
                local cipher = crypt.desencode('12345678', text, mode)
                same(#cipher, (length // 8 + 1) * 8)
                same(crypt.desdecode('12345678', cipher, mode), text)
            end
        end",
    );
}

#[test]
fn des_refuses_other_keys_modes_and_texts() {
    node().check(
        "raises('Invalid key size 7, need 8 bytes', crypt.desencode, '1234567', 'x')
        raises('Invalid key size 9, need 8 bytes', crypt.desdecode, '123456789', 'x')
        raises('Invalid padding mode 2', crypt.desencode, '12345678', 'x', 2)
        raises('Invalid padding mode -1', crypt.desdecode, '12345678', 'x', -1)
        raises('number expected, got table', crypt.desencode, '12345678', 'x', {})
        raises('string expected, got nil', crypt.desencode, nil, 'x')
        raises('string expected, got no value', crypt.desdecode, '12345678')
        raises('Invalid des crypt text length 0', crypt.desdecode, '12345678', '')
        raises('Invalid des crypt text length 9', crypt.desdecode, '12345678', '123456789')
        -- The filling is of another kind, or there is none.
        local cipher = crypt.desencode('12345678', 'hello')
        raises('Invalid des crypt text', crypt.desdecode, '12345678', cipher, crypt.padding.pkcs7)
        local without = crypt.desencode('12345678', '12345678'):sub(1, 8)
        raises('Invalid des crypt text', crypt.desdecode, '12345678', without)
        raises('Invalid des crypt text', crypt.desdecode, '12345678', without, 1)",
    );
}

#[test]
fn hex_is_lower_case_and_read_in_either() {
    node().check(
        "same(crypt.hexencode '\\0\\xff\\x1a', '00ff1a')
        same(crypt.hexdecode '00Ff1A', '\\0\\xff\\x1a')
        same(crypt.hexencode(crypt.hexdecode ''), '')
        raises('Invalid hex text size 3', crypt.hexdecode, '123')
        raises('Invalid hex text', crypt.hexdecode, '0g')
        raises('Invalid hex text', crypt.hexdecode, 'g0')
        raises('string expected, got nil', crypt.hexdecode, nil)",
    );
}

#[test]
fn words_of_another_size_are_refused_by_name() {
    node().check(
        "for _, f in ipairs { crypt.hmac64, crypt.hmac64_md5, crypt.dhsecret } do
            raises('Invalid uint64 x', f, '1234567', '12345678')
            raises('Invalid uint64 y', f, '12345678', '123456789')
        end
        raises('Invalid uint64 key', crypt.hmac_hash, '', 'text')
        raises('Invalid dh uint64 key', crypt.dhexchange, '123456789')
        local zero = ('\\0'):rep(8)
        raises(\"Can't be 0\", crypt.dhexchange, zero)
        raises(\"Can't be 0\", crypt.dhsecret, zero, '12345678')
        raises(\"Can't be 0\", crypt.dhsecret, '12345678', zero)",
    );
}

#[test]
fn base64_is_that_of_rfc_4648_and_forgives_what_is_between() {
    node().check(
        "for text, code in pairs { [''] = '', f = 'Zg==', fo = 'Zm8=', foo = 'Zm9v', foob = 'Zm9vYg==', fooba = 'Zm9vYmE=', foobar = 'Zm9vYmFy' } do
            same(crypt.base64encode(text), code)
            same(crypt.base64decode(code), text)
            same(crypt.base64decode((code:gsub('=', ''))), text)
            same(crypt.base64decode((code:gsub('.', '%0\\r\\n'))), text)
        end
        for _, code in ipairs { 'Z', '=', 'Zm9vY', 'Zg=g', 'Z===', 'Zh==', 'Zm9=' } do
            raises('Invalid base64 text', crypt.base64decode, code)
        end",
    );
}

#[test]
fn hashes_are_those_of_the_rfcs() {
    node().check(
        "-- RFC 3174
        same(hex(crypt.sha1 'abc'), 'a9993e364706816aba3e25717850c26c9cd0d89d')
        same(hex(crypt.sha1 ''), 'da39a3ee5e6b4b0d3255bfef95601890afd80709')
        same(hex(crypt.sha1 'abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq'),
            '84983e441c3bd26ebaae4aa1f95129e5e54670f1')
        same(hex(crypt.sha1(('a'):rep(1000000))), '34aa973cd4c4daa4f61eeb2bdbad27316534016f')
        -- RFC 2202
        same(hex(crypt.hmac_sha1(('\\x0b'):rep(20), 'Hi There')), 'b617318655057264e28bc0b6fb378c8ef146be00')
        same(hex(crypt.hmac_sha1('Jefe', 'what do ya want for nothing?')), 'effcdf6ae5eb2fa2d27416d5f184df9c259a7c79')
        same(hex(crypt.hmac_sha1(('\\xaa'):rep(20), ('\\xdd'):rep(50))), '125d7342b9ac11cd91a39af48aa17b4f63f175d3')
        same(hex(crypt.hmac_sha1(('\\xaa'):rep(80), 'Test Using Larger Than Block-Size Key - Hash Key First')),
            'aa4ae5e15272d00e95705637ce8a3b55ed402112')
        same(md5.hmacmd5('Hi There', ('\\x0b'):rep(16)), '9294727a3638bb1c13f48ef8158bfc9d')
        same(md5.hmacmd5('what do ya want for nothing?', 'Jefe'), '750c783e6ab0b503eaa86e310a5db738')
        same(md5.hmacmd5('Test Using Larger Than Block-Size Key - Hash Key First', ('\\xaa'):rep(80)),
            '6b1ab7fe4bd7bf8f0b62e6ce61b9d0cd')
        -- RFC 1321
        for text, sum in pairs {
            [''] = 'd41d8cd98f00b204e9800998ecf8427e',
            a = '0cc175b9c0f1b6a831c399e269772661',
            abc = '900150983cd24fb0d6963f7d28e17f72',
            ['message digest'] = 'f96b697d7cb7938d525a2f31aaf161d0',
            abcdefghijklmnopqrstuvwxyz = 'c3fcd3d76192e4007dfb496cca67e13b',
            ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 = 'd174ab98d277d9f5a5611c2c9f419d9f',
            [('1234567890'):rep(8)] = '57edf4a22be3c955ac49da2e2107b67a',
        } do
            same(md5.sumhexa(text), sum)
            same(hex(md5.sum(text)), sum)
        end",
    );
}

#[test]
fn a_mask_is_repeated_over_the_text() {
    node().check(
        "same(crypt.xor_str('', 'x'), '')
        same(crypt.xor_str('abcd', 'bb\\x62d'), '\\3\\0\\1\\0')
        same(crypt.xor_str(crypt.xor_str('hello', 'key'), 'key'), 'hello')
        same(crypt.xor_str('a', '`longer than the text'), '\\x01')
        raises(\"Can't xor empty string\", crypt.xor_str, 'a', '')",
    );
}

#[test]
fn numbers_are_taken_for_strings() {
    node().check(
        "same(md5.sumhexa(12345), md5.sumhexa '12345')
        same(md5.sumhexa(1.5), md5.sumhexa '1.5')
        same(crypt.base64encode(10), crypt.base64encode '10')
        same(crypt.desencode(12345678, 1, '1'), crypt.desencode('12345678', '1', 1))
        same(md5.crypt(1, 2, 3), md5.crypt('1', '2', '3'))
        raises('string expected, got boolean', crypt.sha1, true)
        raises('string expected, got no value', md5.sumhexa)",
    );
}

#[test]
fn exor_needs_equal_lengths() {
    node().check(
        "same(md5.exor('ab', 'bb'), '\\3\\0')
        same(md5.exor('', ''), '')
        raises('lengths must be equal', md5.exor, 'a', 'ab')",
    );
}

#[test]
fn the_ciphers_seed_comes_first_and_makes_each_text_another() {
    node().check(
        "local cipher = md5.crypt('message', 'key', 'seed')
        same(cipher:sub(1, 5), '\\4seed')
        local stream = md5.sum('seed' .. ('\\0'):rep(12) .. 'key')
        same(cipher:sub(6), md5.exor('message', stream:sub(1, 7)))
        -- The second block stands under the sum of the first one's cipher text and the key.
        local text = ('0123456789abcdef'):rep(2) .. 'end'
        cipher = md5.crypt(text, 'key', '')
        same(cipher:sub(18, 33), md5.exor(text:sub(17, 32), md5.sum(cipher:sub(2, 17) .. 'key')))
        same(md5.decrypt(cipher, 'key'), text)
        local one, other = md5.crypt(text, 'key'), md5.crypt(text, 'key')
        assert(one ~= other)
        same(#one, 1 + 8 + #text)
        same(md5.decrypt(one, 'key'), text)
        same(md5.decrypt(other, 'key'), text)
        assert(md5.decrypt(one, 'kex') ~= text)",
    );
}

#[test]
fn the_cipher_refuses_what_is_too_long_or_cut() {
    node().check(
        "raises('key too long (> 256)', md5.crypt, 'x', ('k'):rep(257))
        raises('key too long (> 256)', md5.decrypt, '\\0', ('k'):rep(257))
        raises('seed too long (> 16)', md5.crypt, 'x', 'key', ('s'):rep(17))
        raises('seed too long (> 16)', md5.crypt, 'x', 'key', ('s'):rep(300))
        raises('invalid cyphered string', md5.decrypt, '', 'key')
        raises('invalid cyphered string', md5.decrypt, '\\5seed', 'key')
        raises('invalid cyphered string', md5.decrypt, '\\x11' .. ('s'):rep(40), 'key')
        raises('string expected, got nil', md5.crypt, 'x', 'key', nil)",
    );
}

#[test]
fn any_text_comes_back_as_it_was() {
    let node = node();
    node.lua(
        "function there_and_back(text, key8, key)
            local same = require 'expect'.same
            same(bytes(hex(text)), text)
            same(crypt.base64decode(crypt.base64encode(text)), text)
            same(crypt.xor_str(crypt.xor_str(text, key8), key8), text)
            same(md5.decrypt(md5.crypt(text, key), key), text)
            for mode = 0, 1 do
                same(crypt.desdecode(key8, crypt.desencode(key8, text, mode), mode), text)
            end
        end",
    );
    let literal = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let strategy = (
        proptest::collection::vec(any::<u8>(), 0..200),
        any::<[u8; 8]>(),
        proptest::collection::vec(any::<u8>(), 0..20),
    );
    proptest!(ProptestConfig::with_cases(64), |((text, key8, key) in strategy)| {
        node.check(&format!(
            "there_and_back('{}', '{}', '{}')", literal(&text), literal(&key8), literal(&key)
        ));
    });
}
