//! Coroutines of user code: `skynet.coroutine`, and Lua's own where they block inside skynet functions.

mod support;

use std::time::Duration;

const SLEEPER: &str = r#"
    function sleeper(...)
        local sum = 0
        for _, time in ipairs { ... } do
            skynet.sleep(time)
            sum = sum + time
            coroutine.yield(sum)
        end
        return 'end'
    end
"#;

#[test]
fn a_plain_coroutine_works_as_in_lua() {
    let node = support::node();
    node.check(
        r#"
        local co = coroutine.create(function(a, b)
            local c = coroutine.yield(a + b)
            local d, e = coroutine.yield(c * 2)
            return d, e, 'end'
        end)
        same({ coroutine.resume(co, 1, 2) }, { true, 3 })
        same(coroutine.status(co), 'suspended')
        same({ coroutine.resume(co, 5) }, { true, 10 })
        same({ coroutine.resume(co, 'd', nil) }, { true, 'd', nil, 'end' })
        same(coroutine.status(co), 'dead')
        same({ coroutine.resume(co) }, { false, 'cannot resume dead coroutine' })
        same({ coroutine.resume(co, print, 'must not be called', 3) }, { false, 'cannot resume dead coroutine' })
        raises('bad argument #1', coroutine.resume, 5)
        raises('bad argument #1', coroutine.wrap, 5)
        same({ coroutine.resume(coroutine.running()) }, { false, 'cannot resume non-suspended coroutine' })
        same({ coroutine.resume(coroutine.running(), 1, 2) }, { false, 'cannot resume non-suspended coroutine' })

        local outer = coroutine.running()
        coroutine.wrap(function()
            same(coroutine.status(outer), 'normal')
            same({ coroutine.resume(outer, 1, 2, 3) }, { false, 'cannot resume non-suspended coroutine' })
        end)()

        local failing = coroutine.create(function() error 'inside' end)
        local ok, why = coroutine.resume(failing)
        assert(not ok and why:find 'inside')
        local value = {}
        ok, why = coroutine.resume(coroutine.create(function() error(value) end))
        assert(not ok and why == value)

        local generator = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(i) end end)
        same({ generator(), generator(), generator() }, { 1, 2, 3 })
        same(count(generator()), 0)
        raises('cannot resume dead coroutine', generator)
        raises('inside', coroutine.wrap(function() error 'inside' end))
        local closed
        raises('inside', coroutine.wrap(function()
            local _ <close> = setmetatable({}, { __close = function() closed = true end })
            error 'inside'
        end))
        same(closed, true)
        local many = coroutine.wrap(function(...) return select('#', coroutine.yield(...)) end)
        same(count(many(table.unpack({}, 1, 200))), 200)
        same(many(table.unpack({}, 1, 150)), 150)
        same(coroutine.isyieldable(), true)
        same(select(2, coroutine.running()), false)
        local never = coroutine.create(function() end)
        same(coroutine.close(never), true)
        same(coroutine.status(never), 'dead')
        "#,
    );
}

#[test]
fn a_coroutine_that_blocks_suspends_its_resumer_too() {
    let node = support::node_with_manual_clock();
    node.check(SLEEPER);
    node.check(
        r#"
        local peer = spawn ''
        skynet.fork(function()
            local values = {}
            local co = coroutine.create(sleeper)
            for i = 1, 3 do table.insert(values, select(2, coroutine.resume(co, 10, 20))) end
            same(values, { 10, 30, 'end' })
            for sum in coroutine.wrap(function() sleeper(1, 2, 3) end) do table.insert(values, sum) end
            same(values, { 10, 30, 'end', 1, 3, 6 })
            -- A call, several coroutines deep.
            local function nest(depth)
                if depth == 0 then return skynet.call(peer, 'lua', 'echo', 'deep') end
                return coroutine.wrap(nest)(depth - 1)
            end
            same(nest(20), 'deep')
            -- Inside a pcall, a sort, a metamethod: where Lua itself can yield.
            same({ pcall(coroutine.wrap(function() skynet.sleep(1) error('late', 0) end)) }, { false, 'late' })
            done = true
        end)
        "#,
    );
    node.advance(Duration::from_secs(1));
    node.check("same(done, true)");
}

#[test]
fn a_coroutine_that_blocks_cannot_be_resumed_by_another() {
    let node = support::node();
    for (create, resume) in [("coroutine.create", "coroutine.resume"), ("sc.create", "sc.resume")] {
        node.check(&format!(
            r#"
            local sc = require 'skynet.coroutine'
            local co = {create}(function() skynet.wait 'token' return 'went on' end)
            local result
            skynet.fork(function() result = {{ {resume}(co) }} end)
            skynet.yield()
            same({{ {resume}(co) }}, {{ false, 'cannot resume a skynet coroutine suspend by skynet framework' }})
            same({{ {resume}(co, 1, 2) }}, {{ false, 'cannot resume a skynet coroutine suspend by skynet framework' }})
            same(sc.status(co), 'blocked')
            skynet.wakeup 'token'
            skynet.yield()
            same(result, {{ true, 'went on' }})
            same(sc.status(co), 'dead')
            "#
        ));
    }
}

#[test]
fn blocking_across_a_c_function_is_an_error() {
    let node = support::node();
    node.check(
        r#"
        raises('attempt to yield across a C-call boundary', table.sort, { 2, 1, 3 }, function() skynet.sleep(1) end)
        raises('attempt to yield', string.gsub, 'x', 'x', function() skynet.yield() end)
        raises('attempt to yield', string.gsub, 'x', 'x', function() skynet.call(skynet.self(), 'lua', 'echo') end)
        local closed = 0
        local function closing() return setmetatable({}, { __close = function() closed = closed + 1 end }) end
        for _, blocks in ipairs { function() skynet.sleep(0) end, function() skynet.wait 'x' end,
            function() skynet.call(skynet.self(), 'lua', 'echo', 'not this one') end } do
            local co = coroutine.create(function() local _ <close> = closing() blocks() error 'it goes on' end)
            raises('attempt to yield', string.gsub, 'x', 'x', function() coroutine.resume(co) end)
            same(coroutine.status(co), 'dead')
            same(skynet.call(skynet.self(), 'lua', 'echo', 'fine'), 'fine')
            raises('attempt to yield', string.gsub, 'x', 'x', coroutine.wrap(function()
                coroutine.wrap(blocks)()
                error 'it goes on'
            end))
            same(skynet.call(skynet.self(), 'lua', 'echo', 'fine'), 'fine')
        end
        same(closed, 3)
        same(count(skynet.wakeup 'x'), 0)
        same(skynet.call(skynet.self(), 'lua', 'echo', 'fine'), 'fine')
        "#,
    );
}

#[test]
fn skynet_coroutines_say_what_they_are() {
    let node = support::node();
    node.check(
        r#"
        local sc = require 'skynet.coroutine'
        local me = coroutine.running()
        same({ sc.thread() }, { me, true })
        local co = sc.create(function(...)
            same({ sc.thread() }, { me, false })
            same(sc.running(), coroutine.running())
            same(sc.isyieldable(), true)
            local more = sc.yield(...)
            return more
        end)
        same(sc.status(co), 'suspended')
        same({ sc.resume(co, 1, 2) }, { true, 1, 2 })
        same({ sc.thread(co) }, { me, false })
        same({ sc.resume(co, 'more') }, { true, 'more' })
        same(sc.status(co), 'dead')
        same({ sc.resume(co) }, { false, 'cannot resume dead coroutine' })
        same({ sc.resume(coroutine.create(print)) }, { false, 'cannot resume none skynet coroutine' })
        local plain = coroutine.wrap(function() coroutine.yield(coroutine.running()) end)()
        same({ sc.resume(plain) }, { false, 'cannot resume none skynet coroutine' })
        raises('Call skynet.coroutine.yield out of skynet.coroutine.resume', sc.yield)
        same({ sc.thread(plain) }, { plain, true })

        local wrapped = sc.wrap(function(a) local b = sc.yield(a + 1) error('from wrap ' .. b, 0) end)
        same(wrapped(1), 2)
        raises('from wrap x', wrapped, 'x')
        raises('cannot resume dead coroutine', wrapped)
        local unused = sc.create(print)
        same(sc.close(unused), true)
        same(sc.status(unused), 'dead')
        "#,
    );
}

#[test]
fn a_skynet_coroutine_may_block_and_yield_in_any_order() {
    let node = support::node_with_manual_clock();
    node.check(
        r#"
        local sc = require 'skynet.coroutine'
        local peer = spawn ''
        skynet.fork(function()
            local co = sc.create(function(n)
                for i = 1, n do
                    skynet.sleep(10)
                    same(skynet.call(peer, 'lua', 'echo', i), i)
                    sc.yield(i)
                end
                return 'end'
            end)
            local seen = {}
            repeat
                local ok, value = sc.resume(co, 3)
                same(ok, true)
                table.insert(seen, value)
            until sc.status(co) == 'dead'
            same(seen, { 1, 2, 3, 'end' })
            local gen = sc.wrap(function() skynet.sleep(5) sc.yield 'a' skynet.sleep(5) error 'gone' end)
            same(gen(), 'a')
            raises('gone', gen)
            done = true
        end)
        "#,
    );
    node.advance(Duration::from_secs(1));
    node.check("same(done, true)");
}

#[test]
fn a_coroutine_may_move_from_one_service_coroutine_to_another() {
    let node = support::node();
    node.check(
        r#"
        local sc = require 'skynet.coroutine'
        local co = sc.create(function() for i = 1, 3 do skynet.yield() sc.yield((sc.thread())) end end)
        local seen = {}
        for i = 1, 3 do
            skynet.fork(function()
                local ok, owner = sc.resume(co)
                same({ ok, owner }, { true, (coroutine.running()) })
                table.insert(seen, owner)
                skynet.wakeup(seen)
            end)
            skynet.wait(seen)
        end
        same(#seen, 3)
        "#,
    );
}

#[test]
fn answers_may_be_given_from_inside_a_coroutine() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch('lua', function(session)
                coroutine.wrap(function()
                    skynet.yield()
                    assert(skynet.context() == session)
                    coroutine.wrap(function() skynet.retpack('from inside', coroutine.running() ~= nil) end)()
                end)()
            end)
        ]]
        same({ skynet.call(peer, 'lua') }, { 'from inside', true })
        "#,
    );
}

#[test]
fn a_wait_inside_a_coroutine_has_that_as_its_token() {
    let node = support::node();
    node.check(
        r#"
        local inner
        local result
        skynet.fork(function()
            inner = coroutine.create(function() skynet.wait() return 'woken' end)
            result = { coroutine.resume(inner) }
        end)
        skynet.yield()
        same(skynet.wakeup(inner), true)
        skynet.yield()
        same(result, { true, 'woken' })
        "#,
    );
}
