//! `skynet.request` and `select`: requests in parallel.

mod support;

use support::TestNode;

/// Runs a snippet with two more `eval` services as `a` and `b`.
fn with_peers(node: &TestNode, code: &str) -> Vec<String> {
    let (a, b) = (node.launch_eval().as_u32(), node.launch_eval().as_u32());
    node.lua(&format!("local a, b = {a}, {b}\n{code}"))
}

/// Answers that nobody waits for would be in the log.
fn assert_no_stray_answer(node: &TestNode) {
    assert!(!node.log.has("Unknown session"), "{:#?}", node.log.lines());
}

#[test]
fn answers_come_in_the_order_in_which_they_arrive() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local order = {}
        for req, resp in skynet.request { a, 'lua', 'hold' }:add { b, 'lua', 'echo', 'quick' }:select() do
            table.insert(order, req[3] .. ' ' .. resp[1])
            if req[3] == 'echo' then skynet.send(a, 'lua', 'release') end
        end
        return table.unpack(order)",
    );
    assert_eq!(answer, ["echo quick", "hold released"]);
}

#[test]
fn requests_are_sent_at_once_and_in_order() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "skynet.call(a, 'lua', 'eval', 'seen = {}')
        local set = skynet.request()
        for i = 1, 5 do set:add { a, 'lua', 'eval', ('table.insert(seen, %d)'):format(i) } end
        local count = 0
        for _ in set:select() do count = count + 1 end
        return count, skynet.call(a, 'lua', 'eval', 'return table.concat(seen)')",
    );
    assert_eq!(answer, ["5", "12345"]);
}

#[test]
fn an_answer_is_packed_with_its_count() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local set = skynet.request { a, 'lua', 'echo', nil, 2, nil, n = 6 }
        for req, resp in set:select() do
            return resp.n, resp[1], resp[2], resp[3], req == set[1], set.timeout
        end",
    );
    assert_eq!(answer, ["3", "nil", "2", "nil", "true", "nil"]);
}

#[test]
fn a_set_is_called_to_add_to_it() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local sum = 0
        local set = skynet.request()
        set { a, 'lua', 'echo', 1 } { b, 'lua', 'echo', 10 } { a, 'lua', 'echo', 100 }
        for _, resp in set:select() do sum = sum + resp[1] end
        return sum, (pcall(set.add, set, 'no table'))",
    );
    assert_eq!(answer, ["111", "false"]);
}

#[test]
fn an_empty_set_ends_at_once() {
    let node = support::node();
    assert_eq!(
        node.lua("for _ in skynet.request():select() do return 'entered' end return 'over'"),
        ["over"]
    );
}

#[test]
fn a_request_that_fails_is_answered_with_false() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local got = {}
        for req, resp in skynet.request { a, 'lua', 'fail' }:add { b, 'lua', 'echo', 'well' }:select() do
            got[req[3]] = resp and resp[1]
        end
        return got.fail, got.echo",
    );
    assert_eq!(answer, ["false", "well"]);
}

#[test]
fn a_service_that_ends_with_requests_in_work_answers_them_with_false() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local got = {}
        local set = skynet.request { a, 'lua', 'hold' }:add { b, 'lua', 'hold' }:add { b, 'lua', 'quit' }
        skynet.fork(function() skynet.call(b, 'lua', 'echo') end)
        skynet.fork(function() skynet.call(a, 'lua', 'echo') skynet.kill(a) end)
        for req, resp in set:select() do table.insert(got, resp) end
        return #got, got[1], got[2], got[3]",
    );
    assert_eq!(answer, ["3", "false", "false", "false"]);
}

#[test]
fn requests_that_could_not_be_sent_come_first_without_an_answer() {
    let node = support::node();
    let dead = node.launch_eval();
    node.runtime.kill(dead);
    node.wait_gone(dead);
    let answer = with_peers(
        &node,
        &format!(
            "local order = {{}}
            local set = skynet.request {{ a, 'lua', 'echo', 'sent' }}
            set {{ {dead}, 'lua', 'echo', 'to the dead' }} {{ '.nobody', 'lua', 'echo', 'to nobody' }}
            set {{ b, 'lua', 'echo', print }} {{ b, 'no protocol', 'unknown' }}
            for req, resp in set:select() do
                table.insert(order, tostring(req[4] or req[3]) .. '=' .. tostring(resp and resp[1]))
            end
            order[3] = order[3]:match '^builtin' and 'unpackable' or order[3]:match '^function' and 'unpackable' or order[3]
            return table.unpack(order)",
            dead = dead.as_u32()
        ),
    );
    assert_eq!(answer, ["to the dead=nil", "to nobody=nil", "unpackable", "unknown=nil", "sent=sent"]);
}

#[test]
fn a_timeout_ends_the_loop_and_is_noted() {
    let node = support::node_with_manual_clock();
    let peer = node.launch_eval().as_u32();
    let answer = node.lua_in_time(&format!(
        "local set = skynet.request {{ {peer}, 'lua', 'hold' }}:add {{ {peer}, 'lua', 'echo', 'quick' }}
        local before = skynet.now()
        local got = {{}}
        for req in set:select(100) do table.insert(got, req[3]) end
        local waited = skynet.now() - before
        skynet.call({peer}, 'lua', 'release')
        skynet.call({peer}, 'lua', 'echo')
        return #got, got[1], set.timeout, waited >= 100"
    ));
    assert_eq!(answer, ["1", "echo", "true", "true"]);
    assert_no_stray_answer(&node);
}

#[test]
fn a_timeout_that_is_not_reached_is_not_noted() {
    let node = support::node_with_manual_clock();
    let peer = node.launch_eval().as_u32();
    let answer = node.lua(&format!(
        "local set = skynet.request {{ {peer}, 'lua', 'echo', 1 }}
        local count = 0
        for _ in set:select(100) do count = count + 1 end
        return count, set.timeout, skynet.task()"
    ));
    assert_eq!(answer, ["1", "nil", "0"]);
}

#[test]
fn leaving_the_loop_early_drops_what_is_outstanding() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local set = skynet.request { a, 'lua', 'hold' }:add { b, 'lua', 'echo', 1 }
        for req in set:select() do break end
        local failing = skynet.request { a, 'lua', 'hold' }:add { b, 'lua', 'echo', 1 }
        local ok, err = pcall(function() for _ in failing:select() do error 'in the loop' end end)
        skynet.call(a, 'lua', 'release')
        return skynet.call(a, 'lua', 'echo', 'after'), ok, err:match 'in the loop', skynet.task()",
    );
    assert_eq!(answer, ["after", "false", "in the loop", "0"]);
    assert_no_stray_answer(&node);
}

#[test]
fn a_coroutine_that_is_killed_in_a_loop_drops_its_requests() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local thread = skynet.fork(function() for _ in skynet.request { a, 'lua', 'hold' }:select() do end end)
        skynet.yield()
        local killed = skynet.killthread(thread) == thread
        skynet.call(a, 'lua', 'release')
        return killed, skynet.call(a, 'lua', 'echo', 'after'), skynet.task()",
    );
    assert_eq!(answer, ["true", "after", "0"]);
    assert_no_stray_answer(&node);
}

#[test]
fn a_set_is_closed_by_hand_too() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local set = skynet.request { a, 'lua', 'hold' }
        set:close()
        set:select()
        set:close()
        set:close()
        skynet.call(a, 'lua', 'release')
        return skynet.call(a, 'lua', 'echo', 'after')",
    );
    assert_eq!(answer, ["after"]);
    assert_no_stray_answer(&node);
}

#[test]
fn a_set_is_selected_once() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local set = skynet.request { a, 'lua', 'echo' }
        for _ in set:select() do end
        return pcall(set.select, set)",
    );
    assert_eq!(answer[0], "false");
}

#[test]
fn a_request_is_packed_and_its_answer_unpacked_by_its_protocol() {
    let node = support::node();
    let protocol = "skynet.register_protocol {
        name = 'shout', id = 100,
        pack = function(text) return text:upper() end,
        unpack = function(msg, sz) return skynet.tostring(msg, sz), sz end,
        dispatch = function(_, _, text) skynet.ret(text .. '!') end,
    }";
    let peer = node.launch_eval();
    node.lua_in(peer, protocol);
    node.lua(protocol);
    let answer = node.lua(&format!(
        "for _, resp in skynet.request {{ {peer}, 'shout', 'hey' }}:select() do return resp[1], resp[2] end",
        peer = peer.as_u32()
    ));
    assert_eq!(answer, ["HEY!", "4"]);
}

#[test]
fn answers_that_are_there_already_are_given_without_waiting() {
    let node = support::node();
    let answer = with_peers(
        &node,
        "local set = skynet.request { a, 'lua', 'echo', 1 }:add { a, 'lua', 'echo', 2 }
        local seen = {}
        for _, resp in set:select() do
            table.insert(seen, resp[1])
            skynet.call(a, 'lua', 'echo') -- the other answer comes meanwhile
        end
        return table.concat(seen, ' ')",
    );
    assert_eq!(answer, ["1 2"]);
}
