//! `skynet.queue`: critical sections.

mod support;

#[test]
fn functions_run_one_after_another_and_in_the_order_in_which_they_came() {
    let node = support::node();
    let answer = node.lua(
        "local cs = require 'skynet.queue'()
        local order, done = {}, 0
        for i = 1, 4 do
            skynet.fork(function()
                cs(function()
                    table.insert(order, i)
                    for _ = 1, 5 - i do skynet.yield() end
                    table.insert(order, i)
                end)
                done = done + 1
                if done == 4 then skynet.wakeup 'done' end
            end)
        end
        skynet.wait 'done'
        return table.concat(order)",
    );
    assert_eq!(answer, ["11223344"]);
}

#[test]
fn who_comes_while_another_is_let_in_stands_at_the_end_of_the_line() {
    let node = support::node();
    let answer = node.lua(
        "local cs = require 'skynet.queue'()
        local order = {}
        skynet.fork(cs, function() skynet.yield() end)
        skynet.fork(cs, function() table.insert(order, 'second') end)
        skynet.yield()
        skynet.yield()
        cs(function() table.insert(order, 'third') end)
        return table.unpack(order)",
    );
    assert_eq!(answer, ["second", "third"]);
}

#[test]
fn a_coroutine_enters_its_own_section_again() {
    let node = support::node();
    let answer = node.lua(
        "local cs = require 'skynet.queue'()
        local order = {}
        skynet.fork(function() skynet.yield() end)
        local result = cs(function()
            skynet.fork(function() cs(function() table.insert(order, 'other') end) skynet.wakeup 'done' end)
            local inner = cs(function() skynet.yield() table.insert(order, 'inner') return cs(cs, function() return 7 end) end)
            skynet.yield()
            table.insert(order, 'outer')
            return inner
        end)
        if #order < 3 then skynet.wait 'done' end
        return result, table.concat(order, ' ')",
    );
    assert_eq!(answer, ["7", "inner outer other"]);
}

#[test]
fn an_error_inside_an_inner_entry_keeps_the_section() {
    let node = support::node();
    let answer = node.lua(
        "local cs = require 'skynet.queue'()
        local order = {}
        cs(function()
            skynet.fork(function() cs(table.insert, order, 'other') skynet.wakeup 'done' end)
            pcall(cs, error, 'inside')
            skynet.yield()
            table.insert(order, 'outer')
        end)
        if #order < 2 then skynet.wait 'done' end
        return table.unpack(order)",
    );
    assert_eq!(answer, ["outer", "other"]);
}

#[test]
fn an_error_is_raised_with_its_traceback_and_the_next_goes_on() {
    let node = support::node();
    let answer = node.lua(
        "local cs = require 'skynet.queue'()
        local after
        skynet.fork(function() cs(function() after = true end) skynet.wakeup 'after' end)
        local ok, err = pcall(cs, function() skynet.yield() error 'in the section' end)
        if not after then skynet.wait 'after' end
        return ok, err:match 'in the section', err:match 'stack traceback', after, cs(function() return 'open' end)",
    );
    assert_eq!(answer, ["false", "in the section", "stack traceback", "true", "open"]);
}

#[test]
fn results_and_arguments_pass_through() {
    let node = support::node();
    let answer = node.lua(
        "local cs = require 'skynet.queue'()
        local function count(...) return select('#', ...), ... end
        skynet.fork(cs, skynet.yield)
        skynet.yield()
        return cs(count, nil, 2, nil)",
    );
    assert_eq!(answer, ["3", "nil", "2", "nil"]);
}

#[test]
fn two_queues_are_independent() {
    let node = support::node();
    let answer = node.lua(
        "require 'skynet.queue'
        local one, two = skynet.queue(), skynet.queue()
        return one(function()
            local reached
            skynet.fork(function() two(function() reached = true end) end)
            skynet.yield()
            return reached
        end)",
    );
    assert_eq!(answer, ["true"]);
}

#[test]
fn a_coroutine_that_is_killed_leaves_the_section_and_the_line() {
    let node = support::node();
    let answer = node.lua(
        "local cs = require 'skynet.queue'()
        local order = {}
        local owner = skynet.fork(cs, function() skynet.wait 'for ever' end)
        local waiter = skynet.fork(cs, function() table.insert(order, 'killed') end)
        skynet.fork(function() cs(table.insert, order, 'next') skynet.wakeup 'done' end)
        skynet.yield()
        skynet.killthread(waiter)
        skynet.killthread(owner)
        skynet.wait 'done'
        return #order, order[1], cs(function() return 'open' end)",
    );
    assert_eq!(answer, ["1", "next", "open"]);
}

#[test]
fn one_who_is_killed_between_being_called_and_entering_passes_the_section_on() {
    let node = support::node();
    let answer = node.lua(
        "local cs = require 'skynet.queue'()
        local order = {}
        local waiter
        skynet.fork(cs, function() skynet.wait 'leave' end)
        waiter = skynet.fork(cs, function() table.insert(order, 'killed') end)
        skynet.fork(function() cs(table.insert, order, 'next') skynet.wakeup 'done' end)
        skynet.yield()
        -- The killer is woken right behind the owner, thus before the one that the owner calls.
        skynet.fork(function() skynet.wait 'kill' skynet.killthread(waiter) end)
        skynet.yield()
        skynet.wakeup 'leave'
        skynet.wakeup 'kill'
        skynet.wait 'done'
        return table.unpack(order)",
    );
    assert_eq!(answer, ["next"]);
}
