//! `skynet.profile`: the processor time of a coroutine.

mod support;

/// Lua functions for the snippets: `burn(ms)` keeps the processor busy for so long.
const BURN: &str = "local profile = require 'skynet.profile'
    local function burn(ms) local stop = skynet.hpc() + ms * 1000000 while skynet.hpc() < stop do end end\n";

fn seconds(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is a number of seconds"))
}

#[test]
fn the_time_of_a_coroutine_is_measured_without_its_sleep() {
    let node = support::node();
    let answer = node.lua(&format!(
        "{BURN}
        profile.start()
        burn(20)
        skynet.fork(burn, 600)
        skynet.yield()
        burn(20)
        return profile.stop()"
    ));
    let time = seconds(&answer[0]);
    assert!((0.03..0.55).contains(&time), "{time}");
}

#[test]
fn what_ran_before_a_sleep_counts_in_each_round() {
    let node = support::node();
    let answer = node.lua(&format!(
        "{BURN}
        profile.start()
        for _ = 1, 4 do burn(10) skynet.yield() end
        return profile.stop()"
    ));
    assert!(seconds(&answer[0]) >= 0.039, "{answer:?}");
}

#[test]
fn another_coroutine_is_measured_by_its_thread() {
    let node = support::node();
    let answer = node.lua(&format!(
        "{BURN}
        local co = coroutine.create(function() burn(20) coroutine.yield() burn(20) end)
        profile.start(co)
        burn(600)
        coroutine.resume(co)
        burn(600)
        coroutine.resume(co)
        return profile.stop(co)"
    ));
    let time = seconds(&answer[0]);
    assert!((0.039..0.55).contains(&time), "{time}");
}

#[test]
fn a_coroutine_that_starts_its_own_measure_is_measured_from_there() {
    let node = support::node();
    let answer = node.lua(&format!(
        "{BURN}
        local co = coroutine.wrap(function()
            profile.start() burn(20) coroutine.yield() burn(20) return profile.stop()
        end)
        co()
        burn(600)
        return co()"
    ));
    let time = seconds(&answer[0]);
    assert!((0.039..0.55).contains(&time), "{time}");
}

#[test]
fn a_resumer_is_measured_with_what_it_resumes() {
    let node = support::node();
    let answer = node.lua(&format!(
        "{BURN}
        local me = coroutine.running()
        -- Asked for from inside: the resumer does not run just then, but it goes on.
        coroutine.wrap(function() profile.start(me) end)()
        burn(20)
        skynet.yield()
        burn(20)
        local first = profile.stop()
        profile.start()
        coroutine.wrap(function() burn(20) end)()
        return first, profile.stop()"
    ));
    assert!(seconds(&answer[0]) < 5.0, "{answer:?}");
    assert!((0.02..5.0).contains(&seconds(&answer[1])), "{answer:?}");
}

#[test]
fn a_measure_is_started_once_and_stopped_after_that() {
    let node = support::node();
    let answer = node.lua(
        "local profile = require 'skynet.profile'
        profile.start()
        local twice = { pcall(profile.start) }
        profile.stop()
        local late = { pcall(profile.stop) }
        return twice[1], twice[2], late[1], late[2]",
    );
    assert_eq!((answer[0].as_str(), answer[2].as_str()), ("false", "false"));
    assert!(
        answer[1].contains("Thread 0x") && answer[1].contains("start profile more than once"),
        "{answer:?}"
    );
    assert!(answer[3].contains("Call profile.start() before profile.stop()"), "{answer:?}");
    let answer = node.lua("return pcall(require('skynet.profile').start, 'no thread')");
    assert_eq!(answer, ["false", "bad argument #1 (thread expected)"]);
}

#[test]
fn a_coroutine_that_ended_takes_its_measure_with_it() {
    let node = support::node();
    let answer = node.lua(
        "local profile = require 'skynet.profile'
        local failed = false
        for _ = 1, 3 do
            skynet.fork(function() failed = failed or not pcall(profile.start) end)
            skynet.yield()
        end
        for _ = 1, 2000 do
            local co = coroutine.create(function() end)
            failed = failed or not pcall(profile.start, co)
            coroutine.resume(co)
        end
        collectgarbage()
        for _ = 1, 2000 do failed = failed or not pcall(profile.start, coroutine.create(function() end)) end
        return failed",
    );
    assert_eq!(answer, ["false"]);
}

#[test]
fn resume_and_wrap_are_those_of_the_coroutine_library() {
    let node = support::node();
    let answer = node.lua(
        "local profile = require 'skynet.profile'
        local co = coroutine.create(function(a) local b = coroutine.yield(a + 1) error('gives ' .. b, 0) end)
        local _, one = profile.resume(co, 1)
        local ok, err = profile.resume(co, 'up')
        local f = profile.wrap(function(a) local b = coroutine.yield(a) return b * 2 end)
        return one, ok, err, f(1), f(21), profile.resume == coroutine.resume",
    );
    assert_eq!(answer, ["2", "false", "gives up", "1", "42", "true"]);
}
