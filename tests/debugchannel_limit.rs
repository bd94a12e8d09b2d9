//! The limit of `skynet.debugchannel`, which is one of the process: no other test may run beside this one.

mod support;

#[test]
fn channels_that_nobody_connects_to_have_a_limit() {
    let node = support::node();
    node.check(
        "local channel = require 'skynet.debugchannel'
        local kept = {}
        local text = raises('new channel failed', function()
            for i = 1, 100000 do kept[i] = channel.create() end
        end)
        kept = nil
        collectgarbage() collectgarbage()
        channel.create()",
    );
}
