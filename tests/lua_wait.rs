//! Coroutines and time: fork, timeout, sleep, yield, wait, wakeup, killthread, and the order in which they run.

mod support;

use std::time::Duration;

const CENTISECOND: Duration = Duration::from_millis(10);

/// Gives the snippet `say(word)` and `said()`: the words since the last time.
const DIARY: &str = r#"
    diary = {}
    function say(word) table.insert(diary, tostring(word)) end
    function said() local text = table.concat(diary, ' ') diary = {} return text end
"#;

fn node() -> support::TestNode {
    let node = support::node_with_manual_clock();
    node.check(DIARY);
    node
}

#[test]
fn forks_run_after_the_handler_and_timers_after_all_forks() {
    let node = node();
    node.check(
        r#"
        local function A() say 'A' end
        local function B() say 'B' end
        local function C() say 'C' end
        local function D() say 'D' end
        skynet.timeout(0, A); skynet.fork(B); skynet.fork(C); D()
        "#,
    );
    assert_eq!(node.lua1("return said()"), "D B C A");
}

#[test]
fn what_was_woken_runs_before_what_failed_and_that_before_forks() {
    let node = node();
    node.check(
        r#"
        local peer = spawn ''
        skynet.fork(function() pcall(skynet.call, peer, 'lua', 'hold') say 'failed' end)
        skynet.fork(function() skynet.wait 'one' say 'one' skynet.fork(say, 'nested fork') end)
        skynet.fork(function() skynet.wait 'two' say 'two' end)
        skynet.yield()
        skynet.timeout(0, function()
            skynet.fork(say, 'fork')
            skynet.term(peer)
            assert(skynet.wakeup 'two')
            assert(skynet.wakeup 'one')
            say 'handler'
        end)
        "#,
    );
    assert_eq!(node.lua1("return said()"), "handler two one failed fork nested fork");
}

#[test]
fn a_wakeup_never_runs_its_target_at_once() {
    let node = node();
    node.check(
        r#"
        local co = skynet.fork(function() say(tostring(skynet.sleep(1000))) end)
        skynet.yield()
        same(skynet.wakeup(co), true)
        say 'still here'
        skynet.yield()
        say 'yielded'
        "#,
    );
    assert_eq!(node.lua1("return said()"), "still here BREAK yielded");
}

#[test]
fn a_message_is_handled_after_all_that_the_one_before_set_in_motion() {
    let node = node();
    node.check(
        r#"
        skynet.send(skynet.self(), 'lua', 'eval', 'say "message"')
        skynet.fork(function() say 'fork' skynet.fork(say, 'inner fork') end)
        "#,
    );
    assert_eq!(node.lua1("return said()"), "fork inner fork message");
}

#[test]
fn a_fork_gets_its_arguments_and_is_a_thread() {
    let node = node();
    node.check(
        r#"
        local co = skynet.fork(function(...) say(table.concat({ ... }, ',')) same(coroutine.running(), forked) end, 1, 'b', 3)
        same(type(co), 'thread')
        forked = co
        raises('bad argument #1', skynet.fork, nil)
        raises('bad argument #1', skynet.fork, 5)
        skynet.fork(setmetatable({}, { __call = function(_, x) say(x) end }), 'callable')
        "#,
    );
    assert_eq!(node.lua1("return said()"), "1,b,3 callable");
}

#[test]
fn a_sleep_lasts_as_long_as_it_says() {
    let node = node();
    node.check(
        r#"
        skynet.fork(function()
            local start = skynet.now()
            same(count(skynet.sleep(100)), 0)
            say(skynet.now() - start)
        end)
        "#,
    );
    node.advance(99 * CENTISECOND);
    assert_eq!(node.lua1("return said()"), "");
    node.advance(CENTISECOND);
    assert_eq!(node.lua1("return said()"), "100");
}

#[test]
fn timers_go_off_in_the_order_of_their_time() {
    let node = node();
    node.check(
        r#"
        for _, time in ipairs { 30, 10, 20, 10 } do
            local thread = skynet.timeout(time, function() say(time) end)
            same(type(thread), 'thread')
        end
        raises('bad argument', skynet.timeout, 1, nil)
        raises('bad argument', skynet.timeout, 'x', print)
        "#,
    );
    node.advance(30 * CENTISECOND);
    assert_eq!(node.lua1("return said()"), "10 10 20 30");
}

#[test]
fn no_time_or_less_goes_through_the_mailbox_at_once() {
    let node = node();
    node.check(
        r#"
        skynet.timeout(0, function() say 'zero' end)
        skynet.timeout(-5, function() say 'less' end)
        skynet.fork(function() skynet.sleep(-1) say 'slept' end)
        skynet.fork(function() same(count(skynet.yield()), 0) say 'yielded' end)
        "#,
    );
    assert_eq!(node.lua1("return said()"), "zero less slept yielded");
}

#[test]
fn a_wait_lasts_until_its_token_is_woken() {
    let node = node();
    node.check(
        r#"
        local token = {}
        skynet.fork(function() say(count(skynet.wait(token))) end)
        local own = skynet.fork(function() say('own ' .. count(skynet.wait())) end)
        same(count(skynet.wakeup(token)), 0)
        skynet.yield()
        same(skynet.wakeup(token), true)
        same(skynet.wakeup(own), true)
        skynet.yield()
        same(count(skynet.wakeup(token)), 0)
        same(count(skynet.wakeup(own)), 0)
        same(count(skynet.wakeup 'nobody sleeps on this'), 0)
        "#,
    );
    assert_eq!(node.lua1("return said()"), "0 own 0");
}

#[test]
fn a_token_is_slept_on_by_one() {
    let node = node();
    node.check(
        r#"
        local token = {}
        skynet.fork(skynet.wait, token)
        skynet.yield()
        raises('token duplicative', skynet.wait, token)
        raises('token duplicative', skynet.sleep, 10, token)
        skynet.wakeup(token)
        skynet.yield()
        skynet.fork(function() skynet.sleep(5, token) say 'free again' end)
        "#,
    );
    node.advance(5 * CENTISECOND);
    assert_eq!(node.lua1("return said()"), "free again");
}

#[test]
fn a_sleep_that_was_broken_says_so_and_its_timer_does_no_harm() {
    let node = node();
    node.check(
        r#"
        local token = {}
        skynet.fork(function()
            say((skynet.sleep(10, token)))
            say((skynet.sleep(20, token)))
        end)
        skynet.yield()
        same(skynet.wakeup(token), true)
        same(skynet.wakeup(token), true)
        "#,
    );
    node.advance(10 * CENTISECOND);
    assert_eq!(node.lua1("return said()"), "BREAK");
    node.advance(10 * CENTISECOND);
    assert_eq!(node.lua1("return said()"), "nil");
    assert!(!node.log.has("error"));
}

#[test]
fn a_coroutine_that_awaits_an_answer_is_not_woken() {
    let node = node();
    node.check(
        r#"
        local peer = spawn ''
        local co = skynet.fork(function() say(skynet.call(peer, 'lua', 'hold')) end)
        skynet.yield()
        same(count(skynet.wakeup(co)), 0)
        skynet.call(peer, 'lua', 'release')
        skynet.call(peer, 'debug', 'PING')
        "#,
    );
    assert_eq!(node.lua1("return said()"), "released");
}

#[test]
fn blocking_needs_a_coroutine() {
    let node = node();
    let failing = |code: &str| {
        node.check(&format!("raises('call failed', skynet.newservice, 'mainchunk', {code:?})"));
    };
    failing("skynet.sleep(1)");
    failing("skynet.wait()");
    failing("skynet.yield()");
    failing("skynet.call(skynet.self(),'lua')");
    node.log.wait_for_count("attempt to yield from outside a coroutine", 4);
}

#[test]
fn a_killed_thread_never_goes_on_and_closes_its_variables() {
    let node = node();
    node.check(
        r#"
        local peer = spawn ''
        local function closing(word)
            return setmetatable({}, { __close = function() say('closed ' .. word) end })
        end
        local sleeper = skynet.fork(function() local _ <close> = closing 'sleeper' skynet.sleep(10) say 'no' end)
        local waiter = skynet.fork(function() local _ <close> = closing 'waiter' skynet.wait 'w' say 'no' end)
        local caller = skynet.fork(function()
            local _ <close> = closing 'caller'
            skynet.call(peer, 'lua', 'hold')
            say 'no'
        end)
        skynet.yield()
        local timer = skynet.timeout(10, function() say 'no' end)
        local forked = skynet.fork(function() say 'no' end)
        same(skynet.killthread(sleeper), sleeper)
        same(skynet.killthread(waiter), waiter)
        same(skynet.killthread(caller), caller)
        same(skynet.killthread(timer), timer)
        same(skynet.killthread(forked), forked)
        same(skynet.call(peer, 'lua', 'release'), 'ok')
        same(count(skynet.killthread(sleeper)), 0)
        same(count(skynet.killthread(coroutine.running())), 0)
        same(count(skynet.wakeup 'w'), 0)
        same(count(skynet.killthread 'thread: no such address'), 0)
        local other = skynet.fork(function() skynet.wait 'x' say 'no' end)
        skynet.yield()
        same(skynet.killthread(tostring(other):match '0x%x+'), other)
        local third = skynet.fork(function() skynet.wait 'x' say 'no' end)
        skynet.yield()
        same(count(skynet.killthread('^' .. tostring(third):match '0x%x+')), 0)
        same(skynet.killthread('^thread: ' .. tostring(third):match '0x%x+' .. '$'), third)
        raises('malformed pattern', skynet.killthread, '[')
        raises('bad argument #1', skynet.killthread, 12)
        "#,
    );
    node.advance(20 * CENTISECOND);
    assert_eq!(node.lua1("return said()"), "closed sleeper closed waiter closed caller");
    assert!(!node.log.has("error"));
}

#[test]
fn whoever_asked_a_killed_thread_gets_an_error() {
    let node = node();
    node.check(
        r#"
        local peer = spawn [[
            local working
            skynet.dispatch('lua', function(_, _, command)
                if command == 'work' then
                    working = coroutine.running()
                    skynet.wait()
                else
                    skynet.retpack(skynet.killthread(working) == working)
                end
            end)
        ]]
        skynet.fork(function() say((select(2, pcall(skynet.call, peer, 'lua', 'work')))) end)
        skynet.yield()
        same(skynet.call(peer, 'lua', 'kill'), true)
        "#,
    );
    let said = node.lua1("return said()");
    assert!(said.contains("call failed"), "{said}");
}

#[test]
fn a_thread_that_blocks_inside_another_coroutine_can_be_killed_and_its_address_used_again() {
    let node = node();
    node.check(
        r#"
        for round = 1, 200 do
            local task = skynet.fork(function()
                coroutine.wrap(function() skynet.wait(round) end)()
            end)
            skynet.yield()
            same(skynet.killthread(task), task)
            task = nil
            collectgarbage()
            for i = 1, 20 do
                local co = coroutine.create(function(x) return coroutine.yield(x) end)
                same({ coroutine.resume(co, i) }, { true, i })
                same({ coroutine.resume(co, 'end') }, { true, 'end' })
            end
        end
        "#,
    );
}

#[test]
fn the_time_is_that_of_the_node() {
    let node = node();
    node.check(
        r#"
        same(math.type(skynet.now()), 'integer')
        same(math.type(skynet.starttime()), 'integer')
        same(math.type(skynet.time()), 'float')
        same(skynet.time(), skynet.starttime() + skynet.now() / 100)
        same(math.type(skynet.hpc()), 'integer')
        assert(math.abs(skynet.starttime() - os.time()) < 60)
        before, hpc = skynet.now(), skynet.hpc()
        "#,
    );
    node.advance(Duration::from_secs(3600));
    node.check("same(skynet.now() - before, 360000) same(skynet.hpc() - hpc, 3600 * 1000000000)");
}

#[test]
fn a_timer_of_a_service_that_ended_harms_nobody() {
    let node = node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.timeout(10, function() skynet.error 'it lives' end)
            skynet.dispatch('lua', function() skynet.exit() end)
        ]]
        pcall(skynet.call, peer, 'lua')
        "#,
    );
    node.advance(20 * CENTISECOND);
    assert!(!node.log.has("it lives"));
}

#[test]
fn ten_thousand_coroutines_sleep_at_once() {
    let node = node();
    node.check(
        r#"
        sum = 0
        for i = 1, 10000 do
            skynet.timeout(i % 100 + 1, function() skynet.sleep(i % 7) sum = sum + 1 end)
        end
        same(skynet.task() >= 10000, true)
        "#,
    );
    node.advance(200 * CENTISECOND);
    node.check("same(sum, 10000)");
}
