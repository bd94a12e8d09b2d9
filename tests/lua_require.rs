//! `require` in coroutines, and the init functions of modules.

mod support;

use support::TestNode;

/// A node whose `eval` service has a searcher for modules made by the snippet: `module(name, source)`.
fn node_with_modules() -> TestNode {
    let node = support::node();
    node.lua(
        "sources = {}
        function module(name, source) sources[name] = source end
        local by_file = package.searchers[3]
        package.searchers[3] = function(name)
            if sources[name] then return assert(load(sources[name], '=' .. name)), 'file of ' .. name end
            return by_file(name)
        end",
    );
    node
}

#[test]
fn a_module_may_block_while_it_is_loaded() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('slow', [[
            local skynet = require 'skynet'
            skynet.yield()
            return { name = ..., file = select(2, ...), answer = skynet.call('.eval', 'lua', 'echo', 42) }
        ]])
        local slow = require 'slow'
        local function count(...) return select('#', ...) end
        return slow.name, slow.file, slow.answer, package.loaded.slow == slow, require 'slow' == slow, count(require 'slow')",
    );
    assert_eq!(answer, ["slow", "file of slow", "42", "true", "true", "1"]);
}

#[test]
fn a_module_may_block_inside_a_coroutine_of_the_users() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('slow', [[require 'skynet'.yield() return 'slow']])
        local a = coroutine.wrap(function() return require 'slow' end)()
        package.loaded.slow = nil
        local co = require 'skynet.coroutine'
        local ok, b = co.resume(co.create(function() return require 'slow' end))
        return a, ok, b",
    );
    assert_eq!(answer, ["slow", "true", "slow"]);
}

#[test]
fn those_that_require_the_same_module_wait_for_the_one_that_loads_it() {
    let node = node_with_modules();
    let answer = node.lua(
        "runs = 0
        module('slow', [[
            runs = runs + 1
            require 'skynet'.wait 'go'
            return { 'slow' }
        ]])
        local got = {}
        for i = 1, 3 do
            skynet.fork(function()
                got[i] = require 'slow'
                if #got == 3 then skynet.wakeup 'done' end
            end)
        end
        skynet.yield()
        local before = #got
        skynet.wakeup 'go'
        skynet.wait 'done'
        return runs, before, got[1] == got[2] and got[2] == got[3], got[1][1]",
    );
    assert_eq!(answer, ["1", "0", "true", "slow"]);
}

#[test]
fn a_module_without_a_result_is_true_or_what_it_put_in_package_loaded() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('empty', 'local a = 1')
        module('own', 'package.loaded[...] = 7')
        return require 'empty', require 'own', package.loaded.empty",
    );
    assert_eq!(answer, ["true", "7", "true"]);
}

#[test]
fn a_circle_of_modules_is_an_error() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('itself', [[return require 'itself']])
        module('one', [[return require 'two']])
        module('two', [[return require 'one']])
        local a = { pcall(require, 'itself') }
        local b = { pcall(require, 'one') }
        return a[1], a[2]:match 'circular dependency', b[1], b[2]:match 'circular dependency', package.loaded.one",
    );
    assert_eq!(answer, ["false", "circular dependency", "false", "circular dependency", "nil"]);
}

#[test]
fn a_circle_over_two_coroutines_is_an_error_for_one_of_them() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('left', [[require 'skynet'.yield() return { require 'right' }]])
        module('right', [[require 'skynet'.yield() return { require 'left' }]])
        local got = {}
        for _, name in ipairs { 'left', 'right' } do
            skynet.fork(function()
                local ok, err = pcall(require, name)
                table.insert(got, ok and 'loaded' or err:match 'circular dependency' or err:match 'require %a+ failed' or err)
                if #got == 2 then skynet.wakeup 'done' end
            end)
        end
        skynet.wait 'done'
        table.sort(got)
        return table.unpack(got)",
    );
    assert_eq!(answer.len(), 2);
    assert!(answer.contains(&"circular dependency".to_owned()), "{answer:?}");
}

#[test]
fn a_module_that_fails_fails_for_those_who_wait_and_is_loaded_anew_later() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('shaky', [[
            require 'skynet'.wait 'go'
            if not ready then error 'the module fails' end
            return 'loaded'
        ]])
        local first, second
        skynet.fork(function() first = { pcall(require, 'shaky') } end)
        skynet.fork(function() second = { pcall(require, 'shaky') } skynet.wakeup 'done' end)
        skynet.yield()
        skynet.wakeup 'go'
        skynet.wait 'done'
        ready = true
        skynet.fork(skynet.wakeup, 'go')
        return first[1], first[2]:match 'the module fails', first[2]:match 'stack traceback', second[1],
            second[2]:match 'require shaky failed', require 'shaky'",
    );
    assert_eq!(
        answer,
        ["false", "the module fails", "stack traceback", "false", "require shaky failed", "loaded"]
    );
}

#[test]
fn a_coroutine_that_is_killed_while_it_loads_a_module_fails_those_who_wait() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('slow', [[if not ready then require 'skynet'.wait 'never' end return 'loaded']])
        local waited
        local loader = skynet.fork(require, 'slow')
        skynet.fork(function() waited = { pcall(require, 'slow') } skynet.wakeup 'done' end)
        skynet.yield()
        skynet.killthread(loader)
        skynet.wait 'done'
        ready = true
        return waited[1], waited[2]:match 'require slow failed', require 'slow'",
    );
    assert_eq!(answer, ["false", "require slow failed", "loaded"]);
}

#[test]
fn a_module_that_is_not_there_or_does_not_compile_is_the_standard_error() {
    let node = support::node();
    let answer = node.lua(
        "local a = { pcall(require, 'nowhere.at.all') }
        local b = { pcall(require, 'broken') }
        return a[1], a[2]:match \"module 'nowhere.at.all' not found\", b[1], b[2]:match \"error loading module 'broken'\"",
    );
    assert_eq!(answer[..2], ["false", "module 'nowhere.at.all' not found"]);
    assert_eq!(answer[2..], ["false", "error loading module 'broken'"]);
}

#[test]
fn preloaded_and_native_modules_are_found_in_a_coroutine() {
    let node = support::node();
    let answer = node.lua(
        "package.preload.ready = function(name, extra) return { name, extra } end
        local ready = require 'ready'
        return ready[1], ready[2], type(require 'skynet.memory'.total), type(require 'skynet.harbor'.link)",
    );
    assert_eq!(answer, ["ready", ":preload:", "function", "function"]);
}

#[test]
fn init_functions_run_right_after_the_chunk_and_in_order() {
    let node = node_with_modules();
    let answer = node.lua(
        "order = {}
        module('inner', [[
            local skynet = require 'skynet'
            skynet.init(function() table.insert(order, 'inner init') end)
            table.insert(order, 'inner chunk')
        ]])
        module('outer', [[
            local skynet = require 'skynet'
            skynet.init(function() skynet.yield() table.insert(order, 'first') end)
            require 'inner'
            skynet.init(function() table.insert(order, 'second') end)
            table.insert(order, 'outer chunk')
        ]])
        require 'outer'
        table.insert(order, 'required')
        return table.unpack(order)",
    );
    assert_eq!(answer, ["inner chunk", "inner init", "outer chunk", "first", "second", "required"]);
}

#[test]
fn an_init_function_that_fails_fails_its_module() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('shaky', [[require 'skynet'.init(function() error 'init fails' end) return 1]])
        local ok, err = pcall(require, 'shaky')
        return ok, err:match 'init fails', package.loaded.shaky",
    );
    assert_eq!(answer, ["false", "init fails", "nil"]);
}

#[test]
fn init_outside_of_a_module_raises_in_a_coroutine() {
    let node = node_with_modules();
    let answer = node.lua(
        "module('late', [[
            local skynet = require 'skynet'
            skynet.fork(function() late = { pcall(skynet.init, print) } end)
            skynet.yield()
        ]])
        require 'late'
        return (pcall(skynet.init, print)), late[1]",
    );
    assert_eq!(answer, ["false", "false"]);
}

#[test]
fn init_functions_of_the_main_chunk_run_in_order_before_the_start_function() {
    let node = support::node();
    let order = node.lua("return skynet.call(skynet.newservice 'require/inits', 'lua')");
    assert_eq!(
        order,
        [
            "main chunk",
            "module chunk",
            "module init",
            "main init",
            "init of an init's module",
            "after it",
            "start"
        ]
    );
}

#[test]
fn an_init_function_that_fails_fails_the_start() {
    let node = support::node();
    let answer = node.lua("return pcall(skynet.newservice, 'require/inits', 'fail')");
    assert_eq!(answer[0], "false");
    node.log.wait_for("init service failed: ");
    node.log.wait_for("the init function fails as asked");
}

#[test]
fn in_the_main_chunk_a_module_cannot_block() {
    let node = support::node();
    let answer = node.lua("return pcall(skynet.newservice, 'require/inits', 'block')");
    assert_eq!(answer[0], "false");
    node.log.wait_for("attempt to yield from outside a coroutine");
}
