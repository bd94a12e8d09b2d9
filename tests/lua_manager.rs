//! `skynet.manager`: launch, kill, names, monitor; unique services, services from functions, and the data centre.

mod support;

#[test]
fn launch_starts_a_service_that_the_launcher_does_not_know() {
    let node = support::node();
    node.check(
        r#"
        local handle = skynet.launch('snlua', 'eval', 'nameless')
        skynet.call(handle, 'debug', 'PING')
        same(skynet.call(handle, 'lua', 'echo', 1), 1)
        same(skynet.call('.launcher', 'lua', 'LIST')[skynet.address(handle)], nil)
        same(skynet.launch 'no_such_module', nil)
        raises('word 2', skynet.launch, 'snlua', {})
        "#,
    );
}

#[test]
fn kill_takes_a_handle_hex_digits_or_a_name() {
    let node = support::node();
    node.check(
        r#"
        for _, form in ipairs { function(h) return h end, skynet.address, tostring, function(h) skynet.name('.victim', h) return '.victim' end } do
            local victim = spawn ''
            skynet.kill(form(victim))
            same(count(skynet.send(victim, 'lua')), 0)
            same(skynet.call('.launcher', 'lua', 'LIST')[skynet.address(victim)], nil)
        end
        skynet.kill(0xffffff)
        skynet.kill '.nobody'
        raises('cannot kill', skynet.kill, {})
        raises('cannot kill', skynet.kill)
        "#,
    );
}

#[test]
fn a_local_name_belongs_to_the_first_who_takes_it() {
    let node = support::node();
    node.check(
        r#"
        local a, b = spawn '', spawn ''
        skynet.name('.service_name', a)
        skynet.name('.service_name', b)
        same(skynet.localname '.service_name', a)
        skynet.kill(a)
        skynet.name('.service_name', b)
        same(skynet.localname '.service_name', b)
        raises('', skynet.register, 'a_name_that_is_too_long')
        raises('', skynet.register, '1234')
        raises('', skynet.register, ':12')
        raises('', skynet.register)
        skynet.name('GLOBAL', b)
        same(skynet.call('GLOBAL', 'lua', 'echo', 'by global name'), 'by global name')
        same(require 'skynet.harbor'.queryname 'GLOBAL', b)
        same(require 'skynet.harbor'.queryname '.service_name', b)
        "#,
    );
}

#[test]
fn a_unique_service_is_launched_once() {
    let node = support::node();
    node.check(
        r#"
        local found
        skynet.fork(function() found = skynet.queryservice 'eval' skynet.wakeup 'found' end)
        skynet.yield()
        same(found, nil)
        local handle = skynet.uniqueservice('eval', 'nameless')
        same(skynet.uniqueservice('eval', 'nameless'), handle)
        if not found then skynet.wait 'found' end
        same(found, handle)
        local global = skynet.uniqueservice(true, 'eval', 'nameless')
        same(skynet.queryservice(true, 'eval'), global)
        raises('', skynet.uniqueservice, 'no_such_script')
        "#,
    );
}

#[test]
fn the_exit_monitor_of_a_node_is_a_unique_service() {
    let node = support::node();
    node.check(
        r#"
        local monitor = skynet.monitor 'exit_monitor'
        same(skynet.monitor('exit_monitor', true), monitor)
        local victim = spawn ''
        skynet.kill(victim)
        same(skynet.call(monitor, 'lua', victim), true)
        "#,
    );
}

#[test]
fn a_service_is_made_from_a_function() {
    let node = support::node();
    node.check(
        r#"
        local service = require 'skynet.service'
        local function main(a, b)
            local skynet = require 'skynet'
            skynet.start(function()
                skynet.dispatch('lua', function(_, _, ...) skynet.retpack(a, b, ...) end)
            end)
        end
        local waiting
        skynet.fork(function() waiting = service.query 'from a function' skynet.wakeup 'made' end)
        local handle = service.new('from a function', main, 1, 'two')
        same({ skynet.call(handle, 'lua', 3) }, { 1, 'two', 3 })
        same(service.new('from a function', main), handle)
        same(service.query 'from a function', handle)
        if not waiting then skynet.wait 'made' end
        same(waiting, handle)
        same(service.close 'from a function', true)
        same(service.close 'from a function', false)
        local upvalue = 1
        raises('local upvalue', service.new, 'bad', function() return upvalue end)
        raises('', service.new, 'bad', print)
        raises('', service.new, 'bad', 5)
        raises('', service.new, 'failing', function() error 'the function fails' end)
        "#,
    );
    node.log.wait_for("the function fails");
}

#[test]
fn the_data_centre_keeps_a_tree_of_values() {
    let node = support::node();
    node.check(
        r#"
        local dc = require 'skynet.datacenter'
        same(dc.get('a', 'b'), nil)
        same(dc.set('a', 'b', 1), nil)
        same(dc.set('a', 'b', 2), 1)
        same(dc.get('a', 'b'), 2)
        same(dc.get 'a', { b = 2 })
        local value
        skynet.fork(function() value = dc.wait('x', 'y') skynet.wakeup 'set' end)
        skynet.yield()
        dc.set('x', 'y', 'here')
        if not value then skynet.wait 'set' end
        same(value, 'here')
        same(dc.wait('a', 'b'), 2)
        "#,
    );
}
