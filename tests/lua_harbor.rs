//! The Lua side of harbor on one node: `skynet.harbor.core`, the library, and what a node alone answers.

mod support;

#[test]
fn the_incarnation_is_the_nodes() {
    let node =
        support::start_with(support::config(), None, |builder| builder.incarnation(0x00ab_cdef_0123_4567));
    assert_eq!(node.lua1("return require 'skynet.harbor.core'.incarnation()"), "00abcdef01234567");
}

#[test]
fn two_nodes_have_two_incarnations() {
    let incarnation =
        |node: &support::TestNode| node.lua1("return require 'skynet.harbor.core'.incarnation()");
    let (one, other) = (support::node(), support::node());
    assert_eq!(incarnation(&one), incarnation(&one));
    assert_ne!(incarnation(&one), incarnation(&other));
    assert_eq!(incarnation(&one).len(), 16);
}

#[test]
fn the_functions_of_the_secret_take_and_give_strings() {
    let node = support::node();
    node.check(
        r#"local core = require "skynet.harbor.core"
        same(#core.nonce(), 16)
        assert(core.nonce() ~= core.nonce())
        local mac = core.hmac_sha256("Jefe", "what do ya want for nothing?")
        same((mac:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end)),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        same(core.equal(mac, mac .. ""), true)
        same(core.equal(mac, mac .. "x"), false)
        same(core.equal("", "\0"), false)
        raises("bad argument #1 (string expected, got no value)", core.hmac_sha256)
        raises("bad argument #2 (string expected, got table)", core.hmac_sha256, "key", {})
        raises("bad argument #2 (string expected, got nil)", core.equal, "a", nil)"#,
    );
}
