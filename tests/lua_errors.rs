//! What goes wrong in Lua code: each error is logged, its caller hears of it, and the service lives on.

mod support;

use std::time::Duration;

#[test]
fn an_error_in_a_handler_is_logged_and_fails_the_call() {
    let node = support::node();
    let peer = node.launch_eval();
    node.check(&format!(
        "raises('call failed', skynet.call, {0}, 'lua', 'fail') same(skynet.call({0}, 'lua', 'echo', 1), 1)",
        peer.as_u32()
    ));
    let line = node.log.wait_for("eval fails as asked");
    assert!(line.starts_with(&format!("[{peer}] lua call [8 to :{:x} : ", peer.as_u32())), "{line}");
    assert!(line.contains(" msgsz = ") && line.contains("] error : \u{1b}[31m"), "{line}");
    assert!(line.contains("eval.lua:") && line.contains("stack traceback:"), "{line}");
    assert!(line.ends_with("\u{1b}[0m"), "{line}");
}

#[test]
fn an_error_after_the_answer_is_only_logged() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[ skynet.dispatch('lua', function() skynet.retpack 'answered' error 'too late' end) ]]
        same(skynet.call(peer, 'lua'), 'answered')
        same(skynet.call(peer, 'lua'), 'answered')
        "#,
    );
    node.log.wait_for_count("too late", 2);
}

#[test]
fn an_error_in_a_timer_or_a_fork_is_logged_and_harms_nothing_else() {
    let node = support::node_with_manual_clock();
    node.check(
        r#"
        after = 0
        skynet.timeout(1, function() error 'bad timer' end)
        skynet.timeout(1, function() after = after + 1 end)
        skynet.fork(function() error 'bad fork' end)
        skynet.fork(function() after = after + 1 end)
        skynet.fork(function() skynet.sleep(1) error 'bad sleeper' end)
        skynet.fork(function() skynet.wait 'x' error 'bad waiter' end)
        skynet.fork(function() skynet.wakeup 'x' skynet.fork(function() after = after + 1 end) end)
        "#,
    );
    node.advance(Duration::from_millis(20));
    for text in ["bad timer", "bad fork", "bad sleeper", "bad waiter"] {
        assert!(node.log.wait_for(text).contains("stack traceback:"));
    }
    node.check("same(after, 3)");
}

#[test]
fn an_error_value_of_any_type_is_shown() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function(_, _, what)
                if what == 'table' then error { 'a table' } end
                if what == 'shown' then error(setmetatable({}, { __tostring = function() return 'shown by itself' end })) end
                if what == 'broken' then error(setmetatable({}, { __tostring = function() error 'inner' end })) end
                if what == 'odd' then error(setmetatable({}, { __tostring = function() return 5 end })) end
                if what == 'nil' then error(nil) end
                if what == 'number' then error(42) end
                if what == 'boolean' then error(false) end
                if what == 'function' then error(print) end
                if what == 'deep' then error(setmetatable({}, { __tostring = function() skynet.sleep(1) end })) end
            end)
        ]]
        for _, what in ipairs { 'table', 'shown', 'broken', 'odd', 'nil', 'number', 'boolean', 'function', 'deep' } do
            raises('call failed', skynet.call, peer, 'lua', what)
        end
        skynet.call(peer, 'debug', 'PING')
        "#,
    );
    for text in ["31mtable: 0x", "31mshown by itself", "31m42", "31mfalse", "31mfunction: ", "31m5"] {
        node.log.wait_for(text);
    }
    node.log.wait_for_count("lua error in error : [", 2);
}

#[test]
fn a_stack_overflow_is_an_error_of_its_coroutine() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local function deep(n) return 1 + deep(n + 1) end
            local strange = setmetatable({}, { __index = function(t, k) return t[k .. 'x'] end })
            skynet.dispatch('lua', function(_, _, how)
                if how == 'lua' then deep(1)
                elseif how == 'c' then return strange.x
                elseif how == 'pcall' then skynet.retpack(pcall(deep, 1))
                elseif how == 'gsub' then
                    local function again(s) return (s:gsub('.', again)) end
                    again 'x'
                else skynet.retpack 'fine' end
            end)
        ]]
        raises('call failed', skynet.call, peer, 'lua', 'lua')
        raises('call failed', skynet.call, peer, 'lua', 'c')
        raises('call failed', skynet.call, peer, 'lua', 'gsub')
        local ok, why = skynet.call(peer, 'lua', 'pcall')
        assert(ok == false and why:find 'stack overflow')
        same(skynet.call(peer, 'lua'), 'fine')
        "#,
    );
    node.log.wait_for("stack overflow");
    node.log.wait_for("C stack overflow");
}

#[test]
fn a_coroutine_that_dies_closes_its_variables() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function(_, _, how)
                local outer <close> = setmetatable({}, { __close = function(_, e) skynet.error('outer', e) end })
                local inner <close> = setmetatable({}, { __close = function(_, e)
                    skynet.error('inner', e)
                    if how == 'close' then error 'from close' end
                end })
                skynet.yield()
                error 'dies'
            end)
        ]]
        raises('call failed', skynet.call, peer, 'lua', 'plain')
        raises('call failed', skynet.call, peer, 'lua', 'close')
        "#,
    );
    node.log.wait_for_count("] inner", 2);
    node.log.wait_for_count("] outer", 2);
    node.log.wait_for("from close");
}

#[test]
fn a_stray_yield_is_an_unknown_command() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function(_, _, ...)
                local _ <close> = setmetatable({}, { __close = function() skynet.error 'closed' end })
                coroutine.yield(...)
            end)
        ]]
        raises('call failed', skynet.call, peer, 'lua', 'first', 'second')
        raises('call failed', skynet.call, peer, 'lua')
        raises('call failed', skynet.call, peer, 'lua', {})
        "#,
    );
    node.log.wait_for("Unknown command : first");
    node.log.wait_for("Unknown command : nil");
    node.log.wait_for("Unknown command : table: 0x");
    node.log.wait_for_count("] closed", 3);
}

#[test]
fn a_damaged_request_fails_and_its_service_lives_on() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn ''
        for _, bytes in ipairs { '\x14', '\xff', '\x06\xff', '\xfe\x32\xff\xff\xff\x7f\x00\x00\x00\x00', '\x25\xff\xff\xff\xff', '\x07' } do
            raises('call failed', skynet.rawcall, peer, 'lua', bytes)
        end
        -- An answer that cannot be read is an error of the one who asked.
        local liar = spawn [[ skynet.dispatch('lua', function() skynet.ret '\x14' end) ]]
        raises('Invalid serialize stream', skynet.call, liar, 'lua')
        same(skynet.call(peer, 'lua', 'echo', 1), 1)
        "#,
    );
    node.log.wait_for_count("Invalid serialize stream", 5);
}

#[test]
fn an_answer_that_cannot_be_packed_is_an_error_of_the_handler() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[ skynet.dispatch('lua', function() skynet.retpack(print) end) ]]
        raises('call failed', skynet.call, peer, 'lua')
        local bad = spawn [[ skynet.dispatch('lua', function()
            skynet.retpack(setmetatable({}, { __pairs = function() error 'no pairs' end }))
        end) ]]
        raises('call failed', skynet.call, bad, 'lua')
        "#,
    );
    node.log.wait_for("Unsupport type function to serialize");
    node.log.wait_for("no pairs");
}

#[test]
fn a_service_over_its_memory_limit_fails_the_message_and_lives_on() {
    let node = support::node();
    node.check(
        r#"
        local peer = skynet.newservice('mainchunk', [[
            skynet.memlimit(8 * 1024 * 1024)
            assert(skynet.memlimit == nil)
            skynet.dispatch('lua', function(_, _, how)
                if how == 'string' then
                    local s = string.rep('x', 100 * 1024 * 1024)
                elseif how == 'table' then
                    local t = {}
                    while true do t[#t + 1] = { #t } end
                elseif how == 'pcall' then
                    local ok, why = pcall(string.rep, 'x', 100 * 1024 * 1024)
                    skynet.retpack(ok, why)
                elseif how == 'coroutines' then
                    local held = {}
                    while true do held[#held + 1] = coroutine.create(function() end) end
                elseif how == 'forks' then
                    while true do skynet.fork(function() end) end
                else
                    skynet.retpack 'alive'
                end
            end)
        ]])
        raises('call failed', skynet.call, peer, 'lua', 'string')
        same({ skynet.call(peer, 'lua', 'pcall') }, { false, 'not enough memory' })
        raises('call failed', skynet.call, peer, 'lua', 'table')
        raises('call failed', skynet.call, peer, 'lua', 'coroutines')
        raises('call failed', skynet.rawcall, peer, 'lua', skynet.pack(('x'):rep(20 * 1024 * 1024)))
        same(skynet.call(peer, 'lua'), 'alive')
        "#,
    );
    node.log.wait_for("Set memory limit to 8.00 M");
    node.log.wait_for("lua memory error : [8 to :");
}

#[test]
fn a_string_larger_than_the_machine_is_an_error_that_can_be_caught() {
    let node = support::node();
    // Lua 5.4 makes no string above 2 GiB, whatever the machine has.
    let says = if cfg!(feature = "lua54") { "resulting string too large" } else { "not enough memory" };
    assert_eq!(node.lua("return pcall(string.rep, 'x', 1 << 45)"), ["false", says]);
    assert_eq!(node.lua("return 'it lives on'"), ["it lives on"]);
}

#[test]
fn forks_until_the_memory_is_full_fail_and_harm_nobody() {
    let node = support::node();
    node.check(
        r#"
        local peer = skynet.newservice('mainchunk', [[
            skynet.memlimit(4 * 1024 * 1024)
            skynet.dispatch('lua', function(_, _, how)
                if how == 'forks' then while true do skynet.fork(function() end) end end
                skynet.retpack 'alive'
            end)
        ]])
        raises('call failed', skynet.call, peer, 'lua', 'forks')
        same(skynet.call(peer, 'lua'), 'alive')
        "#,
    );
}

#[test]
fn a_memory_limit_is_set_once_and_not_below_one() {
    let node = support::node();
    node.check(
        r#"
        raises('call failed', skynet.newservice, 'mainchunk', 'skynet.memlimit(0)')
        raises('call failed', skynet.newservice, 'mainchunk', 'skynet.memlimit(1 << 20) skynet.memlimit(1 << 21)')
        raises('call failed', skynet.newservice, 'mainchunk', 'skynet.memlimit(1)')
        same(math.type(skynet.newservice('mainchunk', 'skynet.memlimit(1 << 20)')), 'integer')
        "#,
    );
}

#[test]
fn a_service_that_grows_is_logged_from_32_mib_on_and_at_each_doubling() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            held = {}
            skynet.dispatch('lua', function(_, _, mib)
                table.insert(held, string.rep('x', mib << 20))
                skynet.ret()
            end)
        ]]
        skynet.call(peer, 'lua', 20)
        skynet.call(peer, 'lua', 20)
        skynet.call(peer, 'lua', 10)
        skynet.call(peer, 'lua', 20)
        skynet.call(peer, 'debug', 'PING')
        "#,
    );
    let lines = node.log.wait_for_count("Memory warning ", 2);
    assert!(lines[0].contains("Memory warning 4") && lines[1].contains("Memory warning 7"), "{lines:?}");
    assert_eq!(lines.len(), 2);
}

#[test]
fn garbage_collection_may_call_into_the_node() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function(_, _, how)
                setmetatable({}, { __gc = function() skynet.error 'collected' error 'in gc' end })
                collectgarbage()
                kept = setmetatable({}, { __gc = function() skynet.error 'at the end' skynet.send('.eval', 'lua', 'echo') end })
                skynet.retpack 'done'
            end)
        ]]
        same(skynet.call(peer, 'lua'), 'done')
        skynet.kill(peer)
        "#,
    );
    node.log.wait_for("collected");
    node.log.wait_for("at the end");
}

#[test]
fn an_endless_loop_is_reported_and_can_be_asked_for() {
    let log = support::Log::default();
    let sink = log.clone();
    let runtime = skynet_rs::Runtime::builder()
        .config(support::config())
        .long_dispatch(Duration::from_millis(50))
        .boot()
        .log_to(move |source, text| sink.record(source, text))
        .start()
        .expect("the node starts");
    let node = support::booted(runtime, log, None);
    let endless = node.lua(
        "local before = skynet.endless() local start = os.clock() while os.clock() - start < 0.5 do end \
         return before, skynet.stat 'endless', skynet.endless(), skynet.stat 'endless'",
    );
    assert_eq!(endless, ["false", "1", "false", "0"]);
    let line = node.log.wait_for("maybe in an endless loop");
    assert!(
        line.contains("error: A message from [ :") && line.contains(&format!(" ] to [ {} ]", node.eval)),
        "{line}"
    );
}

#[test]
fn a_loop_that_lasts_too_long_is_interrupted_and_its_service_lives_on() {
    let node = support::start(support::config().set("loop_kill", 1), None);
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function(_, _, how)
                if how == 'pcall' then while true do pcall(function() while true do end end) end end
                if how == 'coroutine' then coroutine.wrap(function() while true do end end)() end
                skynet.retpack 'alive'
            end)
        ]]
        local ended = 0
        for _, how in ipairs { 'pcall', 'coroutine' } do
            raises('call failed', skynet.call, peer, 'lua', how)
            same(skynet.call(peer, 'lua'), 'alive')
        end
        "#,
    );
    let line = node.log.wait_for("interrupted: ");
    assert!(line.contains("stack traceback"), "{line}");
}
