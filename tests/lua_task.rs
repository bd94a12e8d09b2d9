//! What a service tells of itself: its coroutines, its figures and its memory.

mod support;

use std::time::Duration;

use skynet_rs::Handle;
use support::TestNode;

// -- Coroutines

#[test]
fn task_counts_the_coroutines_that_wait() {
    let node = support::node();
    let answer = node.lua(
        "local before = skynet.task()
        for _ = 1, 3 do skynet.fork(skynet.wait) end
        skynet.fork(skynet.call, '.launcher', 'lua', 'no answer')
        local forked = skynet.task()
        skynet.fork(function() within = skynet.task() end)
        skynet.yield()
        return before, forked, within, skynet.task()",
    );
    // The yielding one and the call are among them; a fork that has not begun is not.
    assert_eq!(answer[..3], ["0", "0", "5"]);
}

#[test]
fn task_fills_a_table_with_the_tracebacks_of_all() {
    let node = support::node();
    let answer = node.lua(
        "local function waits_here() skynet.wait 'token' end
        local thread = skynet.fork(waits_here)
        skynet.yield()
        local all = {}
        local nothing = skynet.task(all)
        local key, trace = next(all)
        local session = skynet.task(thread)
        return nothing, key == ('%s session: %d'):format(thread, session), trace:match 'stack traceback',
            trace:match 'waits_here' or trace:match 'eval:1', next(all, key), math.type(session)",
    );
    assert_eq!(answer[..3], ["nil", "true", "stack traceback"]);
    assert_ne!(answer[3], "nil");
    assert_eq!(answer[4..], ["nil", "integer"]);
}

#[test]
fn task_finds_a_traceback_by_session() {
    let node = support::node();
    let answer = node.lua(
        "local thread = skynet.fork(function() skynet.wait 'token' end)
        skynet.yield()
        local session = skynet.task(thread)
        local trace = skynet.task(session)
        skynet.wakeup 'token'
        skynet.yield()
        return trace:match 'stack traceback', trace:match 'eval:1', skynet.task(session), skynet.task(999999),
            skynet.task(thread), skynet.task(coroutine.running())",
    );
    assert_eq!(answer, ["stack traceback", "eval:1", "No session", "No session", "nil", "nil"]);
}

#[test]
fn task_shows_the_start_function_while_it_runs() {
    let node = support::node();
    assert_eq!(node.lua("return skynet.task 'init'"), ["nil"]);
    let answer = node.lua(
        "local seen
        local before = skynet.call('.launcher', 'lua', 'LIST')
        skynet.fork(skynet.newservice, 'starter', 'hang')
        local hanging
        repeat
            skynet.yield()
            for address in pairs(skynet.call('.launcher', 'lua', 'LIST')) do
                if not before[address] then hanging = address end
            end
        until hanging
        local trace
        repeat
            trace = skynet.call(hanging, 'debug', 'TASK', 'init') -- it may come before the function begins
        until trace:match 'starter.lua'
        return trace",
    );
    assert!(answer[0].contains("starter.lua") && answer[0].contains("stack traceback"), "{answer:?}");
}

#[test]
fn a_traced_timer_is_shown_with_its_origin() {
    let node = support::node_with_manual_clock();
    let answer = node.lua(
        "skynet.trace_timeout(true)
        local thread = skynet.timeout(100, function() end)
        local trace = skynet.task(skynet.task(thread))
        skynet.trace_timeout(false)
        local plain = skynet.task(skynet.task(skynet.timeout(100, function() end)))
        return trace:match 'timeout\\n\\teval:2' or trace, plain:match 'eval:2'",
    );
    assert_eq!(answer, ["timeout\n\teval:2", "nil"]);
    node.advance(Duration::from_secs(2));
}

#[test]
fn uniqtask_puts_those_at_the_same_place_together() {
    let node = support::node();
    let answer = node.lua(
        "local function here() skynet.wait() end
        local threads = {}
        for i = 1, 3 do threads[i] = skynet.fork(here) end
        skynet.fork(function() skynet.wait() end)
        skynet.yield()
        local sessions = {}
        for i, thread in ipairs(threads) do sessions[i] = skynet.task(thread) end
        table.sort(sessions)
        local all, count = skynet.uniqtask(), 0
        for _ in pairs(all) do count = count + 1 end
        local trace = all[('3\\tsessions:[%s]\\n'):format(table.concat(sessions, ','))]
        return count, trace and trace:match 'stack traceback'",
    );
    assert_eq!(answer, ["2", "stack traceback"]);
}

// -- Figures

#[test]
fn stat_tells_the_figures_of_the_service() {
    let node = support::node();
    let answer = node.lua(
        "local message = skynet.stat 'message'
        skynet.yield()
        local cpu, time = skynet.stat 'cpu', skynet.stat 'time'
        local stop = skynet.hpc() + 20000000
        while skynet.hpc() < stop do end
        return skynet.stat 'message' - message, math.type(cpu), math.type(time), skynet.stat 'time' - time > 0.01,
            skynet.stat 'time' < 10, skynet.stat 'mqlen', skynet.stat 'endless', (pcall(skynet.stat, 'weather'))",
    );
    assert_eq!(answer, ["1", "float", "float", "true", "true", "0", "0", "false"]);
    let cpu: f64 = node.lua1("return skynet.stat 'cpu'").parse().expect("cpu is a number");
    assert!(cpu >= 0.019, "{cpu}");
}

#[test]
fn mqlen_counts_the_messages_that_wait() {
    let node = support::node();
    let answer = node.lua(
        "for _ = 1, 5 do skynet.send(skynet.self(), 'lua', 'echo') end
        local full, same = skynet.mqlen(), skynet.stat 'mqlen'
        skynet.yield()
        return full, same, skynet.mqlen()",
    );
    assert_eq!(answer, ["5", "5", "0"]);
}

#[test]
fn endless_is_false_where_nothing_loops() {
    let node = support::node();
    assert_eq!(node.lua("return skynet.endless(), skynet.stat 'endless'"), ["false", "0"]);
}

// -- Memory

fn limited(node: &TestNode, bytes: usize) -> Handle {
    node.lua_handle(&format!("return skynet.newservice('limited', {bytes})"))
}

#[test]
fn a_service_over_its_limit_gets_an_error_that_it_can_catch() {
    let node = support::node();
    let service = limited(&node, 4 << 20).as_u32();
    node.log.wait_for("Set memory limit to 4.00 M");
    let answer = node.lua(&format!(
        "local small = skynet.call({service}, 'lua', 'keep', 1 << 20)
        local ok, err = skynet.call({service}, 'lua', 'keep', 8 << 20)
        local dropped = skynet.call({service}, 'lua', 'drop')
        return small, ok, err, dropped, (skynet.call({service}, 'lua', 'keep', 1 << 20))"
    ));
    assert_eq!(answer, ["true", "false", "not enough memory", "true", "true"]);
}

#[test]
fn a_handler_that_runs_out_of_memory_fails_its_request_and_nothing_else() {
    let node = support::node();
    let service = limited(&node, 4 << 20).as_u32();
    for _ in 0..3 {
        let answer = node.lua(&format!("return pcall(skynet.call, {service}, 'lua', 'burst', 64 << 20)"));
        assert!(answer[0] == "false" && answer[1].contains("call failed"), "{answer:?}");
    }
    node.log.wait_for_count(&format!("lua memory error : [8 to :{service:x} : "), 3);
    assert_eq!(node.lua(&format!("return skynet.call({service}, 'lua', 'burst', 1 << 20)")), ["1048576"]);
    assert_eq!(node.lua("return #('x'):rep(8 << 20)"), ["8388608"]);
}

#[test]
fn messages_too_large_for_the_limit_are_refused() {
    let node = support::node();
    let service = limited(&node, 4 << 20).as_u32();
    let answer = node.lua(&format!(
        "local text = ('x'):rep(16 << 20)
        local ok = pcall(skynet.call, {service}, 'lua', 'again', text)
        return ok, skynet.call({service}, 'lua', 'burst', 100)"
    ));
    assert_eq!(answer, ["false", "100"]);
}

#[test]
fn memlimit_is_there_once() {
    let node = support::node();
    let service = limited(&node, 64 << 20).as_u32();
    assert_eq!(node.lua(&format!("return skynet.call({service}, 'lua', 'again')")), ["nil"]);
}

#[test]
fn a_service_that_does_not_start_within_its_limit_is_reported() {
    let node = support::node();
    let answer = node.lua("return pcall(skynet.newservice, 'limited', 1000)");
    assert_eq!(answer[0], "false");
    assert_eq!(node.lua("return 'alive'"), ["alive"]);
}

#[test]
fn growth_is_noted_at_32_mebibytes_and_each_time_it_doubles() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(peer, "a = ('x'):rep(40 << 20)");
    let line = node.log.wait_for("Memory warning ");
    assert!(line.starts_with(&format!("[{peer}] Memory warning 40.")) && line.ends_with(" M"), "{line}");
    node.lua_in(peer, "b = ('x'):rep(8 << 20)");
    node.lua_in(peer, "c = ('x'):rep(40 << 20)");
    node.log.wait_for_count("Memory warning ", 2);
    node.lua_in(peer, "return 1");
    assert_eq!(node.log.lines().iter().filter(|line| line.contains("Memory warning")).count(), 2);
}
