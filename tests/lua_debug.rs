//! The debug protocol, `skynet.inject` and `skynet.injectcode`.

mod support;

#[test]
fn the_debug_protocol_tells_of_a_service() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[ skynet.info_func(function(...) return 'info', ... end) ]]
        local function ask(...) return skynet.call(peer, 'debug', ...) end
        same(math.type(ask 'MEM'), 'float')
        local stat = ask 'STAT'
        same({ math.type(stat.task), math.type(stat.mqlen), math.type(stat.cpu), math.type(stat.message) },
            { 'integer', 'integer', 'float', 'integer' })
        same(count(ask 'GC'), 0)
        same(count(ask 'PING'), 0)
        same({ ask('INFO', 1, 'x') }, { 'info', 1, 'x' })
        same(skynet.call(spawn '', 'debug', 'INFO'), nil)
        same({ ask('SUPPORT', 'lua'), ask('SUPPORT', 'nonsense'), ask('SUPPORT', 'response') }, { true, false, false })
        skynet.fork(skynet.call, peer, 'lua', 'hold')
        skynet.yield()
        local tasks = ask 'TASK'
        local key, trace = next(tasks)
        local session = key:match 'session: (%d+)'
        assert(trace:find('stack traceback', 1, true))
        same({ ask('TASK', session), ask('TASK', tonumber(session)) }, { trace, trace })
        same(ask('TASK', 99999), 'No session')
        same(ask('TASK', 'init'), nil)
        assert(next(ask 'UNIQTASK'):find '^1\tsessions:%[%d+%]\n$')
        same(count(ask('KILLTASK', key:match '0x%x+')), 0)
        same(ask 'TASK', {})
        same(ask('KILLTASK', 'no such thread'), 'Not found')
        raises('call failed', ask, 'NONSENSE')
        raises('call failed', ask, 5)
        raises('call failed', ask)
        "#,
    );
    for text in ["GC ", " Kb -> ", " Kb, cost ", "Kill thread: 0x", "Kill no such thread : Not found"] {
        node.log.wait_for(text);
    }
}

#[test]
fn debug_ends_a_service_or_a_link_to_one() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn ''
        local broken
        skynet.fork(function() broken = { pcall(skynet.call, peer, 'debug', 'LINK') } skynet.wakeup 'broken' end)
        skynet.yield()
        skynet.call(peer, 'debug', 'PING')
        same(broken, nil)
        skynet.send(peer, 'debug', 'EXIT')
        skynet.wait 'broken'
        same(broken[1], false)

        local waiter, callee = spawn '', spawn ''
        skynet.send(waiter, 'lua', 'eval', ('skynet.error("term", pcall(skynet.call, %d, "lua", "hold"))'):format(callee))
        skynet.send(waiter, 'debug', 'TERM', callee)
        skynet.call(waiter, 'debug', 'PING')
        "#,
    );
    assert!(node.log.wait_for("] term false").contains("call failed"));
}

#[test]
fn a_service_adds_debug_commands_of_its_own() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            require 'skynet.debug'.reg_debugcmd('DOUBLE', function(x) skynet.retpack(2 * x) end)
        ]]
        same(skynet.call(peer, 'debug', 'DOUBLE', 21), 42)
        raises('must be a function', require 'skynet.debug'.reg_debugcmd, 'X', 5)
        "#,
    );
}

#[test]
fn source_text_runs_inside_a_service_and_sees_its_locals() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local secret = { value = 'hidden' }
            local function helper() return secret end
            skynet.dispatch('lua', function() skynet.retpack(helper().value) end)
        ]]
        local function run(source, ...) return skynet.call(peer, 'debug', 'RUN', source, '=injected', ...) end
        same({ run 'print(1, "two", nil) print(_P.lua.secret.value)' }, { true, '1\ttwo\tnil\nhidden' })
        same(run '_P.lua.secret.value = "changed"', true)
        same(skynet.call(peer, 'lua'), 'changed')
        same({ run('print(...)', 'a', 2) }, { true, 'a\t2' })
        local ok, why = run 'error "in the text"'
        assert(ok == false and why:find('injected:1: in the text', 1, true), why)
        ok, why = run 'not lua'
        assert(ok == false and why:find('injected:1:', 1, true), why)
        same(run 'require "skynet".yield() print "after"', true)
        same({ run 'print(type(_U))' }, { true, 'table' })
        "#,
    );
}

#[test]
fn inject_sees_the_upvalues_of_functions() {
    let node = support::node();
    node.check(
        r#"
        local inject = require 'skynet.inject'
        local data, other = { n = 1 }, { m = 2 }
        local function inner() return other end
        local function f() return data, inner end
        local ok, output = inject(skynet, '_U.data.n = 5 print(_U.data.n, _U.other.m)', '=x', {}, f)
        same(ok, true)
        same(output, { '5\t2' })
        same(data.n, 5)
        "#,
    );
}

#[test]
fn injectcode_evaluates_in_a_running_frame() {
    let node = support::node();
    node.check(
        r#"
        local injectcode = require 'skynet.injectcode'
        local up = 10
        local function f(a, ...)
            local b = a + up
            local results = { injectcode 'up = up + 1 b = b * 2 return a, b, up, ...' }
            return b, results
        end
        local b, results = f(1, 'x', nil, 'y')
        same(b, 22)
        same(up, 11)
        same(results, { true, 1, 22, 11, 'x', nil, 'y' })
        local ok, why = injectcode 'error "in text"'
        assert(not ok and why:find 'in text')
        ok, why = injectcode 'not lua'
        assert(not ok)

        local co = coroutine.create(function(x) local y = 'local' coroutine.yield() return x, y end)
        coroutine.resume(co, 'arg')
        same({ injectcode('x = "new" return y', co, 1) }, { true, 'local' })
        same({ coroutine.resume(co) }, { true, 'new', 'local' })
        same((injectcode('return 1', co, 50)), false)
        "#,
    );
}
