//! How Lua services begin and end: start, exit, kill, term, and what their callers and peers hear of it.

mod support;

use std::time::Duration;

use skynet_rs::Handle;

/// The service that a global of the `eval` service names.
fn handle(node: &support::TestNode, global: &str) -> Handle {
    Handle::from_u32(node.lua1(&format!("return {global}")).parse().expect("a handle"))
}

#[test]
fn a_service_that_exits_answers_all_its_callers_with_an_error() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local kept
            skynet.dispatch('lua', function(_, _, command)
                if command == 'wait' then
                    skynet.wait()
                elseif command == 'keep' then
                    kept = skynet.response()
                elseif command == 'forget' then
                    return
                else
                    skynet.exit()
                end
            end)
        ]]
        local failed = 0
        for _, command in ipairs { 'wait', 'keep', 'forget', 'exit', 'wait' } do
            skynet.fork(function()
                raises('call', skynet.call, peer, 'lua', command)
                failed = failed + 1
                if failed == 5 then skynet.wakeup 'all' end
            end)
        end
        if failed < 5 then skynet.wait 'all' end
        same(failed, 5)
        "#,
    );
}

#[test]
fn a_service_that_is_killed_answers_all_its_callers_with_an_error() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local kept
            skynet.dispatch('lua', function(_, _, command)
                if command == 'keep' then kept = skynet.response() elseif command ~= 'forget' then skynet.wait() end
            end)
        ]]
        local failed = 0
        for _, command in ipairs { 'wait', 'keep', 'forget', 'wait' } do
            skynet.fork(function()
                raises('call failed', skynet.call, peer, 'lua', command)
                failed = failed + 1
                if failed == 4 then skynet.wakeup 'all' end
            end)
        end
        skynet.yield()
        skynet.call(peer, 'debug', 'PING')
        skynet.kill(peer)
        if failed < 4 then skynet.wait 'all' end
        same(failed, 4)
        "#,
    );
}

#[test]
fn exit_closes_the_other_coroutines_and_runs_no_forks() {
    let node = support::node_with_manual_clock();
    node.check(
        r#"
        local peer = spawn(([[
            local function closing(word)
                return setmetatable({}, { __close = function() skynet.error('closed ' .. word) end })
            end
            skynet.fork(function() local _ <close> = closing 'sleeper' skynet.sleep(100) skynet.error 'no' end)
            skynet.fork(function() local _ <close> = closing 'waiter' skynet.wait() skynet.error 'no' end)
            skynet.fork(function()
                local _ <close> = closing 'caller'
                skynet.call(%d, 'lua', 'hold')
                skynet.error 'no'
            end)
            skynet.timeout(50, function() skynet.error 'no' end)
            skynet.dispatch('lua', function()
                local _ <close> = closing 'never: the coroutine that exits stays as it is'
                skynet.fork(function() skynet.error 'no' end)
                skynet.exit()
                skynet.error 'no'
            end)
        ]]):format(skynet.self()))
        skynet.call(peer, 'debug', 'PING')
        raises('call failed', skynet.call, peer, 'lua')
        "#,
    );
    node.advance(Duration::from_secs(2));
    for word in ["closed sleeper", "closed waiter", "closed caller", "KILL self"] {
        node.log.wait_for(word);
    }
    assert!(!node.log.has("] no") && !node.log.has("never:"), "{:#?}", node.log.lines());
}

#[test]
fn exit_takes_no_longer_for_each_of_many_coroutines() {
    let node = support::node();
    let crowded = node.launch_eval();
    node.lua_in(
        crowded,
        "local function sleep() skynet.sleep(100000) end
        for _ = 1, 50000 do skynet.fork(sleep) end",
    );
    // Looking at all of them for each of them takes minutes.
    node.lua_in(
        crowded,
        "skynet.fork(function()
            for _ = 1, 50000 do skynet.fork(print) end
            skynet.exit()
        end)",
    );
    node.log.wait_for(&format!("[{crowded}] KILL self"));
}

#[test]
fn exit_tells_those_whom_the_service_was_calling() {
    let node = support::node();
    node.check(
        r#"
        local callee = spawn [[
            local kept
            skynet.dispatch('lua', function(_, _, command)
                if command == 'keep' then
                    kept = skynet.response()
                else
                    skynet.retpack(kept 'TEST', kept(true))
                end
            end)
        ]]
        local caller = spawn(([[
            skynet.fork(function() skynet.call(%d, 'lua', 'keep') end)
            skynet.dispatch('lua', function() skynet.exit() end)
        ]]):format(callee))
        skynet.call(caller, 'debug', 'PING')
        skynet.call(callee, 'debug', 'PING')
        pcall(skynet.call, caller, 'lua')
        exit_caller, exit_callee = caller, callee
        "#,
    );
    node.wait_gone(handle(&node, "exit_caller"));
    node.check("same({ skynet.call(exit_callee, 'lua', 'look') }, { false, false })");
}

#[test]
fn exit_removes_the_service_from_the_launcher_and_its_names() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[ skynet.register '.short' ]]
        local listed = skynet.call('.launcher', 'lua', 'LIST')
        same(listed[skynet.address(peer)], 'snlua eval nameless')
        same(skynet.localname '.short', peer)
        pcall(skynet.call, peer, 'lua', 'quit')
        quits = peer
        "#,
    );
    node.wait_gone(handle(&node, "quits"));
    node.check(
        r#"
        same(skynet.call('.launcher', 'lua', 'LIST')[skynet.address(quits)], nil)
        same(skynet.localname '.short', nil)
        same(count(skynet.send(quits, 'lua')), 0)
        "#,
    );
}

#[test]
fn exit_in_a_closing_coroutine_or_twice_does_no_harm() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.fork(function()
                local _ <close> = setmetatable({}, { __close = function()
                    skynet.fork(skynet.error, 'no')
                    skynet.timeout(0, function() skynet.error 'no' end)
                    pcall(skynet.sleep, 1)
                    error 'in a close'
                end })
                skynet.wait()
            end)
            skynet.fork(function()
                local _ <close> = setmetatable({}, { __close = function() skynet.exit() end })
                skynet.wait()
            end)
            skynet.dispatch('lua', function() pcall(skynet.exit) end)
        ]]
        skynet.call(peer, 'debug', 'PING')
        raises('call failed', skynet.call, peer, 'lua')
        "#,
    );
    assert!(!node.log.has("] no"), "{:#?}", node.log.lines());
}

#[test]
fn messages_that_wait_when_a_service_ends_are_refused() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[ skynet.dispatch('lua', function() skynet.exit() end) ]]
        local failed = 0
        for i = 1, 100 do
            skynet.fork(function()
                raises('call', skynet.call, peer, 'lua', i)
                failed = failed + 1
                if failed == 100 then skynet.wakeup 'all' end
            end)
        end
        if failed < 100 then skynet.wait 'all' end
        "#,
    );
}

#[test]
fn a_message_that_a_dead_service_did_not_handle_tells_its_sender_of_the_death() {
    let node = support::node();
    node.check(
        r#"
        -- The killer's own message waits behind the one that ends the service; then the session-less error comes.
        local peer = spawn [[
            local kept
            skynet.dispatch('lua', function(_, _, command)
                if command == 'keep' then kept = skynet.response() skynet.error 'kept' else skynet.exit() end
            end)
        ]]
        skynet.fork(function() raises('call failed', skynet.call, peer, 'lua', 'keep') skynet.wakeup 'done' end)
        skynet.yield()
        skynet.kill(peer)
        skynet.wait 'done'
        "#,
    );
}

#[test]
fn term_fails_the_calls_to_a_service_and_drops_its_closures() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local kept
            skynet.dispatch('lua', function(_, source, command)
                if command == 'keep' then
                    kept = skynet.response()
                elseif command == 'term' then
                    skynet.term(source)
                elseif command == 'look' then
                    skynet.retpack(kept 'TEST', kept(true))
                end
            end)
        ]]
        local result
        local call = skynet.fork(function()
            result = { pcall(skynet.call, peer, 'lua', 'keep') }
            skynet.wakeup 'failed'
        end)
        skynet.yield()
        skynet.fork(function() skynet.term(peer) end)
        skynet.wait 'failed'
        assert(not result[1] and result[2]:find('call failed', 1, true))
        -- The request that carries the order counts as ignored.
        skynet.send(peer, 'lua', 'term')
        same({ skynet.call(peer, 'lua', 'look') }, { false, false })
        "#,
    );
    assert!(!node.log.has("Maybe forgot response"));
}

#[test]
fn newservice_returns_the_handle_once_the_start_function_is_over() {
    let node = support::node_with_manual_clock();
    node.check(
        r#"
        skynet.fork(function()
            handle = skynet.newservice('mainchunk', 'local start = skynet.start skynet.start = function() start(function() skynet.sleep(100) skynet.error "started" end) end')
            same(math.type(handle), 'integer')
        end)
        "#,
    );
    node.advance(Duration::from_millis(990));
    assert_eq!(node.lua1("return handle"), "nil");
    node.advance(Duration::from_millis(10));
    node.check("assert(handle)");
    node.log.wait_for("started");
}

#[test]
fn newservice_returns_nil_for_a_service_that_exits_while_it_starts() {
    let node = support::node();
    node.check(
        r#"
        same(skynet.newservice('mainchunk', 'local start = skynet.start skynet.start = function() start(function() skynet.exit() end) end'), nil)
        raises('bad argument #2', skynet.newservice, 'eval', {})
        raises('bad argument #1', skynet.newservice, true)
        same(math.type(skynet.newservice('eval', 1)), 'integer')
        "#,
    );
}

#[test]
fn a_start_function_that_fails_ends_the_service_and_its_launch() {
    let node = support::node();
    node.check(
        r#"
        raises('call failed', skynet.newservice, 'mainchunk',
            'local start = skynet.start skynet.start = function() start(function() error "not today" end) end')
        raises('call failed', skynet.newservice, 'mainchunk',
            'local start = skynet.start skynet.start = function() start(function() error {} end) end')
        "#,
    );
    let line = node.log.wait_for("not today");
    assert!(line.contains("init service failed: ") && line.contains("stack traceback"), "{line}");
    node.log.wait_for("init service failed: table: 0x");
    assert_eq!(node.log.wait_for_count("KILL self", 3).len(), 3);
}

#[test]
fn a_main_chunk_that_fails_ends_the_service_and_its_launch() {
    let node = support::node();
    node.check("raises('call failed', skynet.newservice, 'mainchunk', 'error \"no main\"')");
    let line = node.log.wait_for("lua loader error : ");
    assert!(line.contains("no main") && line.contains("stack traceback"), "{line}");
    node.check("raises('call failed', skynet.newservice, 'mainchunk', 'error(nil)')");
    node.check("raises('call failed', skynet.newservice, 'mainchunk', 'error({})')");
    node.check("raises('call failed', skynet.newservice, 'mainchunk', 'local t = {} while true do t[#t+1] = \"x\" .. #t error(#t) end')");
}

#[test]
fn a_script_that_is_missing_is_named_with_all_places_that_were_tried() {
    let node = support::node();
    node.check("raises('call failed', skynet.newservice, 'no_such_script')");
    let line = node.log.wait_for("lua loader error : ");
    assert!(
        line.contains("tests/lua/no_such_script.lua") && line.contains("service/no_such_script.lua"),
        "{line}"
    );
    assert!(line.contains("cannot open"), "{line}");
}

#[test]
fn a_script_that_does_not_compile_is_reported() {
    let node = support::node();
    node.check("raises('call failed', skynet.newservice, 'bad/syntax')");
    let line = node.log.wait_for("lua loader error : ");
    assert!(line.contains("bad/syntax.lua:2:"), "{line}");
}

#[test]
fn a_script_that_never_starts_fails_its_launch_and_refuses_requests() {
    let node = support::node();
    node.check(
        r#"
        raises('call failed', skynet.newservice, 'bad/never_starts')
        local handle = skynet.launch('snlua', 'bad/never_starts')
        raises('call failed', skynet.call, handle, 'lua', 'x')
        same(skynet.send(handle, 'lua', 'x'), 0)
        "#,
    );
}

#[test]
fn messages_from_before_the_start_are_handled_in_order_before_the_start_function() {
    // With one worker, the new service does not run before the snippet is over.
    let node = support::start(support::config().set("thread", 1).set("spare_workers", 0), None);
    node.check(
        r#"
        local handle = skynet.launch('snlua', [[mainchunk
            skynet.dispatch('lua', function(_, _, i) skynet.error('message ' .. i) end)
            local start = skynet.start
            skynet.start = function() start(function() skynet.error 'start' end) end
        ]])
        for i = 1, 5 do skynet.send(handle, 'lua', i) end
        skynet.call(handle, 'debug', 'PING')
        "#,
    );
    node.log.wait_for("] start");
    let lines = node.log.lines();
    let order: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split("] ").nth(1))
        .filter(|text| text.starts_with("message ") || *text == "start")
        .collect();
    assert_eq!(order, ["message 1", "message 2", "message 3", "message 4", "message 5", "start"]);
}

#[test]
fn init_functions_run_in_order_before_the_start_function() {
    let node = support::node();
    node.check(
        r#"
        skynet.newservice('mainchunk', [[
            for i = 1, 3 do skynet.init(function() skynet.yield() skynet.error('init ' .. i) end) end
            local start = skynet.start
            skynet.start = function() start(function() skynet.error 'start' end) end
        ]])
        raises('skynet.init', skynet.init, function() end)
        raises('bad argument', skynet.init, nil)
        "#,
    );
    let lines = node.log.lines();
    let order: Vec<&str> = lines
        .iter()
        .filter_map(|line| line.split("] ").nth(1))
        .filter(|text| text.starts_with("init ") || *text == "start")
        .collect();
    assert_eq!(order, ["init 1", "init 2", "init 3", "start"]);
}

#[test]
fn an_init_function_that_fails_fails_the_start() {
    let node = support::node();
    node.check("raises('call failed', skynet.newservice, 'mainchunk', 'skynet.init(function() error \"bad init\" end)')");
    assert!(node.log.wait_for("init service failed: ").contains("bad init"));
}

#[test]
fn init_service_is_the_body_of_start() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn ''
        skynet.call(peer, 'lua', 'eval', [[ skynet.init_service(function() skynet.error 'once more' end) ]])
        "#,
    );
    node.log.wait_for("once more");
}

#[test]
fn an_exit_monitor_hears_of_every_end() {
    let node = support::node();
    node.check(
        r#"
        local core = require 'skynet.core'
        local monitor = spawn [[
            skynet.register_protocol { name = 'client', id = skynet.PTYPE_CLIENT, unpack = function() end,
                dispatch = function(_, source) skynet.error('dead ' .. source) end }
        ]]
        core.command('MONITOR', skynet.address(monitor))
        exited, killed = spawn '', spawn ''
        pcall(skynet.call, exited, 'lua', 'quit')
        skynet.kill(killed)
        "#,
    );
    let ends = node.lua("return 'dead ' .. exited, 'dead ' .. killed");
    for end in ends {
        node.log.wait_for(&end);
    }
}

#[test]
fn abort_ends_all_services() {
    let node = support::node();
    let _ = node.runtime.send(
        node.eval,
        skynet_rs::MessageKind::LUA,
        skynet_rs::packed::to_payload(&("eval", "skynet.abort()")).expect("two strings are packed"),
    );
    assert!(node.runtime.wait_within(support::DEADLINE));
}
