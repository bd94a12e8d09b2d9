//! Kinds of messages: register_protocol, dispatch, what nobody handles, raw callbacks, forwarding and filtering.

mod support;

#[test]
fn a_protocol_packs_and_unpacks_in_lua() {
    let node = support::node();
    node.check(
        r#"
        local class = [[{
            name = 'csv', id = 200,
            pack = function(...) return table.concat({ ... }, ',') end,
            unpack = function(msg, sz)
                local values = {}
                for value in skynet.tostring(msg, sz):gmatch '[^,]+' do table.insert(values, value) end
                return table.unpack(values)
            end,
        }]]
        local peer = spawn('skynet.register_protocol ' .. class .. [[
            skynet.dispatch('csv', function(session, source, ...)
                if session == 0 then skynet.error('csv', ...) else skynet.ret(table.concat({ 'got', ... }, ',')) end
            end)
        ]])
        load('local skynet = ... skynet.register_protocol ' .. class)(skynet)
        same({ skynet.call(peer, 'csv', 'a', 1, 2.5) }, { 'got', 'a', '1', '2.5' })
        same({ skynet.call(peer, 200, 'b') }, { 'got', 'b' })
        same(skynet.send(peer, 'csv', 'x', 'y'), 0)
        same(skynet.tostring(skynet.rawcall(peer, 'csv', 'raw')), 'got,raw')
        skynet.call(peer, 'debug', 'PING')
        "#,
    );
    node.log.wait_for("csv x y");
}

#[test]
fn a_packer_or_an_unpacker_that_fails_is_an_error_of_whoever_uses_it() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            skynet.register_protocol { name = 'bad', id = 201, unpack = function() error 'bad unpack' end,
                dispatch = function() end }
            skynet.register_protocol { name = 'raw', id = 202, unpack = function() end, dispatch = function() skynet.ret 'x' end }
        ]]
        skynet.register_protocol { name = 'bad', id = 201, pack = function() error 'bad pack' end }
        skynet.register_protocol { name = 'raw', id = 202, pack = function() return 'p' end, unpack = function() error 'bad answer' end }
        skynet.register_protocol { name = 'nothing', id = 203 }
        raises('bad pack', skynet.send, peer, 'bad')
        raises('bad pack', skynet.call, peer, 'bad')
        raises('call failed', skynet.rawcall, peer, 'bad', 'x')
        raises('bad answer', skynet.call, peer, 'raw')
        raises('pack', skynet.send, peer, 'nothing')
        raises('pack', skynet.call, peer, 'nothing')
        "#,
    );
    node.log.wait_for("bad unpack");
}

#[test]
fn a_protocol_needs_a_free_name_and_a_free_number() {
    let node = support::node();
    node.check(
        r#"
        local register = skynet.register_protocol
        register { name = 'mine', id = 255 }
        raises('', register, { name = 'mine', id = 100 })
        raises('', register, { name = 'other', id = 255 })
        raises('', register, { name = 'lua', id = 100 })
        raises('', register, { name = 'x', id = 256 })
        raises('', register, { name = 'x', id = -1 })
        raises('', register, { name = 'x', id = 1.5 })
        raises('', register, { name = 'x' })
        raises('', register, { id = 100 })
        raises('', register, { name = 5, id = 100 })
        raises('', register)
        register { name = 'zero', id = 0 }
        "#,
    );
}

#[test]
fn nearly_every_number_can_have_a_protocol() {
    let node = support::node();
    node.check(
        r#"
        local known = skynet._proto
        for id = 0, 254 do
            if not known[id] then
                skynet.register_protocol { name = 'p' .. id, id = id, pack = skynet.pack, unpack = skynet.unpack,
                    dispatch = function(_, _, ...) skynet.retpack(id, ...) end }
            end
        end
        for id = 13, 254 do
            same({ skynet.call(skynet.self(), 'p' .. id, 'x') }, { id, 'x' })
        end
        raises('255 protocols', skynet.register_protocol, { name = 'one too many', id = 255 })
        "#,
    );
}

#[test]
fn dispatch_sets_and_returns_handlers() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local before = skynet.dispatch 'lua'
            assert(type(before) == 'function')
            local function first(_, _, ...) skynet.retpack('first', ...) end
            local function second() skynet.retpack 'second' end
            assert(skynet.dispatch('lua', first) == before)
            assert(skynet.dispatch 'lua' == first)
            skynet.dispatch('lua', function(session, source, command)
                assert(skynet.dispatch('lua', second))
                skynet.sleep(0)
                skynet.retpack(math.type(session), source)
            end)
            assert(not pcall(skynet.dispatch, 'nonsense', first))
            assert(not pcall(skynet.dispatch, 'nonsense'))
            local class = { name = 'mine', id = 99, unpack = skynet.unpack }
            skynet.register_protocol(class)
            assert(skynet.dispatch 'mine' == nil)
            assert(skynet.dispatch('mine', first) == nil)
            assert(class.dispatch == first and skynet._proto.mine == class)
        ]]
        same({ skynet.call(peer, 'lua') }, { 'integer', skynet.self() })
        same(skynet.call(peer, 'lua'), 'second')
        "#,
    );
}

#[test]
fn handlers_may_be_set_again_and_again() {
    let node = support::node();
    node.check(
        r#"
        local function set(count)
            for i = 1, count do
                skynet.dispatch('text', function() return i end)
            end
            collectgarbage()
            return collectgarbage 'count'
        end
        skynet.register_protocol { name = 'text', id = skynet.PTYPE_TEXT, unpack = skynet.tostring }
        local before = set(10)
        local after = set(100000)
        assert(after - before < 100, after - before)
        same(skynet.dispatch 'text'(), 100000)
        "#,
    );
}

#[test]
fn each_message_has_a_coroutine_of_its_own() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local waiting = {}
            skynet.dispatch('lua', function(_, _, n)
                if n < 3 then
                    waiting[n] = {}
                    skynet.wait(waiting[n])
                else
                    skynet.wakeup(waiting[2]) skynet.wakeup(waiting[1])
                end
                skynet.retpack(n)
            end)
        ]]
        local order = {}
        for n = 1, 3 do
            skynet.fork(function() table.insert(order, skynet.call(peer, 'lua', n)) if #order == 3 then skynet.wakeup(order) end end)
        end
        skynet.wait(order)
        same(order, { 3, 2, 1 })
        "#,
    );
}

#[test]
fn a_request_that_nobody_handles_is_refused_and_a_message_logged() {
    let node = support::node();
    node.check(
        r#"
        local core = require 'skynet.core'
        local peer = spawn [[ skynet.register_protocol { name = 'mute', id = 98 } ]]
        skynet.register_protocol { name = 'mute', id = 98 }
        skynet.register_protocol { name = 'unknown', id = 97 }
        raises('call failed', skynet.rawcall, peer, 'mute', 'x')
        raises('call failed', skynet.rawcall, peer, 'unknown', 'x')
        core.send(peer, 98, 0, 'to the mute')
        core.send(peer, 97, 0, 'to the unknown')
        skynet.call(peer, 'debug', 'PING')
        "#,
    );
    node.log.wait_for("Unknown request (mute): to the mute");
    node.log.wait_for("Unknown request (97): to the unknown");
    node.log.wait_for_count("Unknown session : 0 from 8", 2);
}

#[test]
fn what_nobody_handles_can_be_given_to_a_function() {
    let node = support::node();
    node.check(
        r#"
        local core = require 'skynet.core'
        local peer = spawn [[
            local before = skynet.dispatch_unknown_request(function(session, address, msg, sz, prototype)
                skynet.error('unknown', session, address, skynet.tostring(msg, sz), prototype)
            end)
            assert(type(before) == 'function')
            skynet.register_protocol { name = 'mute', id = 98 }
        ]]
        skynet.register_protocol { name = 'unknown', id = 97 }
        core.send(peer, 97, 0, 'message')
        core.send(peer, 98, 0, 'mute message')
        -- A request is refused all the same: a call ends.
        raises('call failed', skynet.rawcall, peer, 'unknown', 'x')
        "#,
    );
    node.log.wait_for(&format!("unknown 0 {} message 97", node.eval.as_u32()));
    node.log.wait_for(&format!("unknown 0 {} mute message mute", node.eval.as_u32()));
    node.check(
        r#"
        local first, second = function() end, function() end
        local default = skynet.dispatch_unknown_request(first)
        same(skynet.dispatch_unknown_request(second), first)
        same(skynet.dispatch_unknown_request(default), second)
        default = skynet.dispatch_unknown_response(first)
        same(type(default), 'function')
        same(skynet.dispatch_unknown_response(second), first)
        same(skynet.dispatch_unknown_response(default), second)
        "#,
    );
}

#[test]
fn an_answer_that_nobody_awaits_is_logged_or_given_to_a_function() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn ''
        skynet.redirect(peer, skynet.self(), 'response', 7777, 'stray')
        skynet.call(peer, 'debug', 'PING')
        "#,
    );
    node.log.wait_for("Response message : stray");
    node.log.wait_for("Unknown session : 7777 from 8");
    node.check(
        r#"
        local peer = spawn [[
            skynet.dispatch_unknown_response(function(session, address, msg, sz)
                skynet.error('stray answer', session, address, skynet.tostring(msg, sz))
                error 'in the function'
            end)
        ]]
        skynet.redirect(peer, skynet.self(), 'response', 7777, 'bytes')
        skynet.call(peer, 'debug', 'PING')
        "#,
    );
    node.log.wait_for(&format!("stray answer 7777 {} bytes", node.eval.as_u32()));
    node.log.wait_for("in the function");
}

#[test]
fn an_error_message_fails_a_call_or_all_calls_to_its_source() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn ''
        local results = {}
        local function begin(n)
            skynet.fork(function()
                results[n] = table.pack(pcall(skynet.call, peer, 'lua', 'hold'))
                skynet.wakeup('result ' .. n)
            end)
        end
        begin(1)
        skynet.yield()
        begin(2)
        skynet.yield()
        -- An error for a session that nobody has, or from somebody else without one, does nothing.
        skynet.redirect(skynet.self(), peer, 'error', 999999, '')
        skynet.redirect(skynet.self(), 0x123456, 'error', 0, '')
        skynet.yield()
        same(results, {})
        -- Without a session: its source is dead.
        skynet.redirect(skynet.self(), peer, 'error', 0, '')
        skynet.wait 'result 2'
        for n = 1, 2 do
            same(results[n][1], false)
            assert(results[n][2]:find('call failed', 1, true))
        end
        -- With a session: that call failed.
        begin(3)
        skynet.yield()
        local tasks = {}
        skynet.task(tasks)
        local newest = 0
        for key in pairs(tasks) do newest = math.max(newest, tonumber(key:match 'session: (%d+)')) end
        for session = newest - 5, newest do
            skynet.redirect(skynet.self(), peer, 'error', session, '')
        end
        skynet.wait 'result 3'
        same(results[3][1], false)
        "#,
    );
}

#[test]
fn the_numbers_of_message_types_are_skynets() {
    let node = support::node();
    node.check(
        r#"
        for name, number in pairs { TEXT = 0, RESPONSE = 1, MULTICAST = 2, CLIENT = 3, SYSTEM = 4, HARBOR = 5, SOCKET = 6,
            ERROR = 7, QUEUE = 8, DEBUG = 9, LUA = 10, SNAX = 11, TRACE = 12 } do
            same(skynet['PTYPE_' .. name], number)
        end
        for _, name in ipairs { 'lua', 'response', 'error', 'debug' } do
            local class = skynet._proto[name]
            same(class.name, name)
            same(skynet._proto[class.id].name, name)
        end
        same(skynet._proto.lua.pack, skynet.pack)
        same(skynet._proto.lua.unpack, skynet.unpack)
        "#,
    );
}

#[test]
fn sessions_wrap_round_and_skip_those_in_use() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn ''
        local held
        skynet.fork(function() held = skynet.call(peer, 'lua', 'hold') skynet.wakeup 'held' end)
        local token = {}
        skynet.fork(function() skynet.wait(token) token.woken = true end)
        skynet.yield()
        local in_use = {}
        local tasks = {}
        skynet.task(tasks)
        for key in pairs(tasks) do in_use[tonumber(key:match 'session: (%d+)')] = true end
        require 'skynet.kernel'.skip_sessions(0x7ffffffd)
        local seen = {}
        for i = 1, 100 do
            local session = skynet.genid()
            assert(session > 0 and session <= 0x7fffffff and not seen[session] and not in_use[session], session)
            seen[session] = true
        end
        assert(seen[0x7ffffffe] and seen[0x7fffffff])
        same(skynet.call(peer, 'lua', 'echo', 'wrapped'), 'wrapped')
        skynet.call(peer, 'lua', 'release')
        skynet.wait 'held'
        same(held, 'released')
        skynet.wakeup(token)
        skynet.yield()
        same(token.woken, true)
        "#,
    );
}

#[test]
fn dispatch_message_is_the_raw_callback() {
    let node = support::node();
    node.check(
        r#"
        local peer = spawn [[
            local core = require 'skynet.core'
            local count = 0
            core.callback(function(kind, msg, sz, session, source)
                count = count + 1
                skynet.dispatch_message(kind, msg, sz, session, source)
            end)
            skynet.dispatch('lua', function(_, _, ...)
                skynet.sleep(0)
                skynet.retpack(count, ...)
            end)
        ]]
        local count, word = skynet.call(peer, 'lua', 'through')
        assert(count >= 2)
        same(word, 'through')
        raises('call failed', skynet.call, peer, 'debug', 'NONSENSE')
        "#,
    );
}

#[test]
fn a_forwarded_type_is_dispatched_as_another_and_its_bytes_are_handed_on() {
    let node = support::node();
    node.check(
        r#"
        local worker = spawn [[
            skynet.dispatch('lua', function(_, _, ...) skynet.retpack('worker', ...) end)
        ]]
        local proxy = skynet.newservice('forward/proxy', worker)
        same({ skynet.call(proxy, 'lua', 1, 'two', ('x'):rep(1000)) }, { 'worker', 1, 'two', ('x'):rep(1000) })
        for i = 1, 100 do same({ skynet.call(proxy, 'lua', i) }, { 'worker', i }) end
        same(count(skynet.call(proxy, 'debug', 'PING')), 0)
        raises('', skynet.forward_type, { [1] = 300 }, function() end)
        raises('', skynet.forward_type, 5, function() end)
        "#,
    );
}

#[test]
fn a_filter_sees_every_message_first() {
    let node = support::node();
    node.check(
        r#"
        local filtered = skynet.newservice 'forward/filter'
        same({ skynet.call(filtered, 'lua', 'hello') }, { 'filtered', 'hello' })
        raises('call failed', skynet.call, filtered, 'lua', 'fail in filter')
        same({ skynet.call(filtered, 'lua', 'hello') }, { 'filtered', 'hello' })
        "#,
    );
}
