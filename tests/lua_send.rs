//! Sending, calling and answering from Lua.

mod support;

#[test]
fn a_call_to_a_dead_service_fails_at_once() {
    let node = support::node();
    let dead = node.launch_eval();
    node.runtime.kill(dead);
    node.wait_gone(dead);
    let answer = node.lua(&format!("return pcall(skynet.call, {}, 'lua', 'x')", dead.as_u32()));
    assert_eq!(answer[0], "false");
    assert!(answer[1].contains(&format!("call to invalid address {dead}")), "{answer:?}");
}

#[test]
fn a_call_returns_what_the_handler_returns() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer = node
        .lua(&format!("return skynet.call({}, 'lua', 'echo', 1, 'two', {{3}}, nil, true)", peer.as_u32()));
    assert_eq!(answer, ["1", "two", "{1=3}", "nil", "true"]);
}

#[test]
fn a_send_returns_zero_or_nothing() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn ''
        same(table.pack(skynet.send(peer, 'lua', 'echo')), { 0, n = 1 })
        same(table.pack(skynet.rawsend(peer, 'lua', skynet.pack 'echo')), { 0, n = 1 })
        same(table.pack(skynet.rawsend(peer, 'lua', skynet.packstring 'echo')), { 0, n = 1 })
        for _, nobody in ipairs { 0xffffff, '.nobody', ':00ffffff', '16777215', ':zzz' } do
            same(count(skynet.send(nobody, 'lua')), 0)
            same(count(skynet.rawsend(nobody, 'lua', 'x')), 0)
        end
        "#,
    );
}

#[test]
fn an_address_is_a_number_or_a_local_name_or_hex_digits() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[ skynet.register '.peer' ]]
        for _, address in ipairs { peer, '.peer', skynet.address(peer), tostring(peer), (':%x'):format(peer), peer + 0.0 } do
            same(skynet.call(address, 'lua', 'echo', 'here'), 'here')
        end
        same(skynet.localname '.peer', peer)
        same(skynet.localname '.nobody', nil)
        same(skynet.address(peer), (':%08x'):format(peer))
        same(skynet.address '.peer', '.peer')
        same(skynet.address(0xABCDEF), ':00abcdef')
        same({ skynet.harbor(peer) }, { 0, false })
        "#,
    );
}

#[test]
fn a_wrong_address_or_payload_is_named_in_the_error() {
    let node = support::node();
    node.check(
        r#"
        local me = skynet.self()
        raises('Invalid service address 0', skynet.send, 0, 'lua')
        raises('Invalid service address 0', skynet.call, 0, 'lua')
        raises('dest address type (nil) must be a string or number.', skynet.send, nil, 'lua')
        raises('dest address type (table) must be a string or number.', skynet.call, {}, 'lua')
        raises('dest address type (boolean) must be a string or number.', skynet.rawsend, true, 'lua', 'x')
        raises('invalid param table', skynet.rawsend, me, 'lua', {})
        raises('invalid param nil', skynet.rawsend, me, 'lua')
        raises('invalid param boolean', skynet.rawcall, me, 'lua', true)
        raises('invalid param nil', skynet.rawcall, me, 'lua')
        raises('invalid param function', skynet.redirect, me, me, 'lua', 0, print)
        raises('call to invalid address :00ffffff', skynet.call, 0xffffff, 'lua')
        raises('call to invalid address .nobody', skynet.call, '.nobody', 'lua')
        raises('call to invalid address :00ffffff', skynet.rawcall, 0xffffff, 'lua', 'x')
        raises('no protocol', skynet.send, me, 'nonsense')
        raises('Unsupport type function to serialize', skynet.send, me, 'lua', print)
        raises('Unsupport type thread to serialize', skynet.call, me, 'lua', coroutine.running())
        local cycle = {}
        cycle[1] = cycle
        raises('serialize can\'t pack too depth table', skynet.send, me, 'lua', cycle)
        "#,
    );
}

#[test]
fn a_message_to_another_node_fails_later_and_not_at_once() {
    let node = support::node();
    node.check(
        r#"
        same(skynet.send(0x07000001, 'lua', 'x'), 0)
        raises('call failed', skynet.call, 0x07000001, 'lua', 'x')
        "#,
    );
}

#[test]
fn raw_bytes_travel_as_pointer_and_size() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.register_protocol { name = 'bytes', id = 100, unpack = skynet.tostring,
                dispatch = function(_, _, text) skynet.ret(text:reverse()) end }
        ]]
        skynet.register_protocol { name = 'bytes', id = 100, pack = function(...) return ... end,
            unpack = skynet.tostring }
        local msg, sz = skynet.rawcall(peer, 'bytes', 'a\0bc')
        same(type(msg), 'userdata')
        same(sz, 4)
        same(skynet.tostring(msg, sz), 'cb\0a')
        same(skynet.call(peer, 'bytes', 'xyz'), 'zyx')
        same(skynet.call(peer, 100, 'by number'), 'rebmun yb')
        -- The receiver of a pointer owns it.
        same(skynet.unpack(skynet.rawcall(peer, 'lua', skynet.pack('echo', 1, 2))), 1)
        "#,
    );
}

#[test]
fn a_redirected_message_has_a_forged_source_and_session() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function(session, source, ...)
                skynet.ignoreret()
                skynet.error('redirected', session, source, ...)
            end)
        ]]
        same(skynet.redirect(peer, 0x123, 'lua', 77, skynet.pack('a', 1)), 77)
        same(skynet.redirect(peer, 0x124, 'lua', 0, skynet.packstring('b', 2)), 0)
        same(skynet.redirect(peer, '.eval', 'lua', 0, skynet.packstring('c', 3)), 0)
        same(count(skynet.redirect(0xffffff, 1, 'lua', 0, 'x')), 0)
        skynet.call(peer, 'debug', 'PING')
        "#,
    );
    node.log.wait_for("redirected 77 291 a 1");
    node.log.wait_for("redirected 0 292 b 2");
    node.log.wait_for(&format!("redirected 0 {} c 3", node.eval.as_u32()));
}

#[test]
fn a_request_can_be_passed_on_and_is_answered_by_another() {
    let node = support::node();
    node.check(
        r#"
        local worker = spawn ''
        local front = spawn(([[
            skynet.dispatch('lua', function(session, source, ...)
                skynet.redirect(%d, source, 'lua', session, skynet.packstring('echo', 'passed', ...))
                skynet.ignoreret()
            end)
        ]]):format(worker))
        same({ skynet.call(front, 'lua', 1, 2) }, { 'passed', 1, 2 })
        "#,
    );
    assert!(!node.log.has("Maybe forgot response"));
}

#[test]
fn ret_answers_once_and_says_whether_it_was_sent() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function(session, source, what)
                local seen = { skynet.context() }
                local first = skynet.retpack('answer')
                local after = { skynet.context() }
                assert(after[1] == nil and after[2] == source)
                local ok, why = pcall(skynet.ret)
                local again, text = pcall(skynet.retpack, 1)
                skynet.error(what, session ~= 0, seen[1] == session, seen[2] == source, first, ok, why, again, text)
            end)
        ]]
        same(skynet.call(peer, 'lua', 'called'), 'answer')
        skynet.send(peer, 'lua', 'sent')
        "#,
    );
    let called = node.log.wait_for("called true");
    assert!(called.contains("called true true true true false") && called.contains("No session"), "{called}");
    let sent = node.log.wait_for("sent false");
    assert!(sent.contains("sent false true true false false") && sent.contains("No session"), "{sent}");
}

#[test]
fn ret_without_arguments_answers_with_nothing() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[ skynet.dispatch('lua', function() skynet.ret() end) ]]
        same(count(skynet.call(peer, 'lua')), 0)
        same({ select(2, skynet.rawcall(peer, 'lua', 'x')) }, { 0 })
        "#,
    );
}

#[test]
fn nothing_can_be_answered_outside_of_a_request() {
    let node = support::node();
    node.check(
        r#"
        local done = {}
        skynet.fork(function()
            raises('No session', skynet.ret, '')
            raises('No session', skynet.retpack)
            raises('no session', skynet.response)
            same(count(skynet.ignoreret()), 0)
            same(table.pack(skynet.context()).n, 2)
            same(skynet.context(), nil)
            done.yes = true
            skynet.wakeup(done)
        end)
        skynet.wait(done)
        assert(done.yes)
        "#,
    );
}

#[test]
fn a_response_closure_answers_later_and_once() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local responses = {}
            skynet.dispatch('lua', function(session, _, command, ...)
                if command == 'later' then
                    table.insert(responses, skynet.response())
                    local ok, why = pcall(skynet.response)
                    assert(not ok and why:find('no session', 1, true), why)
                elseif command == 'fail' then
                    table.insert(responses, skynet.response())
                elseif command == 'packed' then
                    table.insert(responses, skynet.response(function(text) return '<' .. text .. '>' end))
                else
                    local respond = table.remove(responses, 1)
                    local alive = respond 'TEST'
                    local sent = respond(...)
                    local ok, why = pcall(respond, true)
                    skynet.retpack(alive, sent, ok, why)
                end
            end)
        ]]
        local got = {}
        skynet.fork(function() got.value = table.pack(skynet.call(peer, 'lua', 'later')) end)
        skynet.fork(function() got.failed = { pcall(skynet.call, peer, 'lua', 'fail') } end)
        skynet.fork(function()
            got.bytes = skynet.tostring(skynet.rawcall(peer, 'lua', skynet.packstring 'packed'))
        end)
        skynet.yield()
        local alive, sent, ok, why = skynet.call(peer, 'lua', 'go', true, 'value', nil, 3)
        same({ alive, sent, ok }, { true, true, false })
        assert(why:find("Can't response more than once", 1, true), why)
        same({ skynet.call(peer, 'lua', 'go', false) }, { true, true, false, why })
        same({ skynet.call(peer, 'lua', 'go', true, 'text') }, { true, true, false, why })
        skynet.yield()
        same(got.value, { 'value', nil, 3, n = 3 })
        same(got.failed[1], false)
        assert(got.failed[2]:find('call failed', 1, true))
        same(got.bytes, '<text>')
        "#,
    );
}

#[test]
fn a_response_closure_knows_that_its_requester_is_gone() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local respond
            skynet.dispatch('lua', function(_, _, command)
                if command == 'later' then
                    respond = skynet.response()
                else
                    skynet.retpack(respond 'TEST', respond(true, 1))
                end
            end)
        ]]
        local asker = spawn(([[
            skynet.fork(function() skynet.call(%d, 'lua', 'later') end)
            skynet.dispatch('lua', function() skynet.exit() end)
        ]]):format(peer))
        skynet.call(asker, 'debug', 'PING')
        pcall(skynet.call, asker, 'lua', 'end')
        asked, gone = peer, asker
        "#,
    );
    let gone = node.lua1("return gone").parse().expect("a handle");
    node.wait_gone(skynet_rs::Handle::from_u32(gone));
    node.check("same({ skynet.call(asked, 'lua', 'go') }, { false, false })");
}

#[test]
fn a_response_closure_for_a_message_without_session_does_nothing() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function()
                local respond = skynet.response()
                skynet.error('no-op', select('#', respond(true, 1)), select('#', respond(false)), respond 'TEST')
            end)
        ]]
        skynet.send(peer, 'lua')
        "#,
    );
    assert!(node.log.wait_for("no-op 0 0").ends_with("no-op 0 0"));
}

#[test]
fn a_packer_that_fails_leaves_the_response_open() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function()
                local respond = skynet.response()
                assert(not pcall(respond, true, print))
                respond(true, 'second try')
            end)
        ]]
        same(skynet.call(peer, 'lua'), 'second try')
        "#,
    );
}

#[test]
fn a_forgotten_answer_is_logged_and_ignoreret_says_that_none_is_due() {
    let node = support::node();
    let peer = node.launch_eval();
    node.check_in(
        peer,
        "skynet.dispatch('lua', function(_, _, quiet) if quiet then skynet.ignoreret() end end)",
    );
    node.check(&format!(
        r#"
        local peer = {}
        skynet.fork(function() skynet.call(peer, 'lua', true) end)
        skynet.fork(function() skynet.call(peer, 'lua', false) end)
        "#,
        peer.as_u32()
    ));
    let line = node.log.wait_for("Maybe forgot response session");
    assert!(
        line.starts_with(&format!("[{peer}]")) && line.contains(&format!(" from {} : ", node.eval)),
        "{line}"
    );
    assert!(line.ends_with("eval:1"), "{line}");
    assert_eq!(node.log.wait_for_count("Maybe forgot response", 1).len(), 1);
}

#[test]
fn a_caller_whose_answer_was_forgotten_hears_of_the_end_of_the_service() {
    let node = support::node();
    node.check(
        r#"
        for _, ending in ipairs { 'exit', 'kill' } do
            local peer = spawn [[ skynet.dispatch('lua', function(_, _, end_now)
                if end_now then skynet.exit() end
            end) ]]
            local result
            skynet.fork(function() result = { pcall(skynet.call, peer, 'lua') } skynet.wakeup(peer) end)
            skynet.yield()
            skynet.call(peer, 'debug', 'PING')
            if ending == 'exit' then skynet.send(peer, 'lua', true) else skynet.kill(peer) end
            if not result then skynet.wait(peer) end
            same(result[1], false)
        end
        "#,
    );
}

#[test]
fn sessions_are_positive_and_not_given_twice() {
    let node = support::node();
    node.check(
        r#"
        local a, b = skynet.genid(), skynet.genid()
        assert(math.type(a) == 'integer' and a > 0 and b > a)
        "#,
    );
}

#[test]
fn the_packed_format_is_at_hand() {
    let node = support::node();
    node.check(
        r#"
        local msg, sz = skynet.pack(1, 'two', { 3, four = 4 })
        same(type(msg), 'userdata')
        same(#skynet.tostring(msg, sz), sz)
        same({ skynet.unpack(msg, sz) }, { 1, 'two', { 3, four = 4 } })
        same(count(skynet.trash(msg, sz)), 0)
        same(count(skynet.trash('a string is left alone', 3)), 0)
        raises('skynet.trash invalid param table', skynet.trash, {})
        same({ skynet.unpack(skynet.packstring(nil, false, 1.5)) }, { nil, false, 1.5 })
        same(count(skynet.unpack()), 0)
        same(count(skynet.unpack ''), 0)
        same(skynet.packstring(), '')
        same(count(skynet.tostring()), 0)
        same(skynet.tostring(nil), nil)
        raises('Invalid serialize stream', skynet.unpack, '\x14')
        raises('Invalid serialize stream', skynet.unpack, '\xff\xff\xff')
        "#,
    );
}

#[test]
fn messages_of_one_sender_arrive_in_order() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local seen, n = true, 0
            skynet.dispatch('lua', function(session, _, i)
                if session ~= 0 then return skynet.retpack(seen, n) end
                seen = seen and i == n + 1
                n = n + 1
            end)
        ]]
        for i = 1, 3000 do skynet.send(peer, 'lua', i) end
        same({ skynet.call(peer, 'lua') }, { true, 3000 })
        "#,
    );
}

#[test]
fn a_call_may_cross_itself() {
    let node = support::node();
    node.check("same(skynet.call(skynet.self(), 'lua', 'echo', 'me'), 'me')");
}
