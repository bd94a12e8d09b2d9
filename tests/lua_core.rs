//! `skynet.core`, function by function, and dispatchers in Lua over its `callback`.

mod support;

use std::time::Duration;

use skynet_rs::Handle;
use support::TestNode;

fn core(node: &TestNode, code: &str) -> Vec<String> {
    node.lua(&format!("local core = require 'skynet.core'\n{code}"))
}

fn assert_raises(node: &TestNode, code: &str, text: &str) {
    let answer = core(node, code);
    assert!(answer[0] == "error" && answer[1].contains(text), "{code}: {answer:?}");
}

// -- Sending

#[test]
fn send_returns_the_session_that_it_was_given_or_a_new_one() {
    let node = support::node();
    let peer = node.launch_eval().as_u32();
    let answer = core(
        &node,
        &format!(
            "local a = core.send({peer}, 10, 0, core.pack('echo'))
            local b = core.send({peer}, 10, 77, core.packstring('echo'))
            skynet.dispatch_unknown_response(function() end)
            local c = core.send({peer}, 10, nil, core.pack('echo'))
            local d = core.send({peer}, 10, nil, core.pack('echo'))
            return a, b, c > 0, d - c, core.genid() - d"
        ),
    );
    assert_eq!(answer, ["0", "77", "true", "1", "1"]);
}

#[test]
fn send_takes_an_address_in_any_form() {
    let node = support::node();
    let answer = core(
        &node,
        "local me = skynet.self()
        local got = 0
        skynet.register_protocol { name = 'tick', id = 90, unpack = skynet.tostring, dispatch = function(_, _, text)
            got = got + #text
        end }
        for _, address in ipairs { me, tostring(me), ':' .. ('%x'):format(me), ':0000000' .. ('%x'):format(me), '.eval' } do
            assert(core.send(address, 90, 0, 'x') == 0)
        end
        skynet.yield()
        return got",
    );
    assert_eq!(answer, ["5"]);
}

#[test]
fn send_to_nobody_returns_nothing() {
    let node = support::node();
    let dead = node.launch_eval();
    node.runtime.kill(dead);
    node.wait_gone(dead);
    let answer = core(
        &node,
        &format!(
            "local function count(...) return select('#', ...) end
            return count(core.send({dead}, 10, 0, 'x')), count(core.send('.nobody', 10, 0, 'x')),
                count(core.redirect({dead}, 0, 10, 0, 'x'))",
            dead = dead.as_u32()
        ),
    );
    assert_eq!(answer, ["0", "0", "0"]);
}

#[test]
fn send_refuses_what_is_no_address_or_no_payload() {
    let node = support::node();
    assert_raises(&node, "core.send(0, 10, 0, 'x')", "Invalid service address 0");
    assert_raises(
        &node,
        "core.send({}, 10, 0, 'x')",
        "dest address type (table) must be a string or number.",
    );
    assert_raises(&node, "core.send(nil, 10, 0, 'x')", "dest address type (nil) must be a string or number.");
    assert_raises(&node, "core.send(8, 10, 0, {})", "invalid param table");
    assert_raises(&node, "core.send(8, 10, 0, true)", "invalid param boolean");
    assert_raises(&node, "core.send(8, 10, 0)", "invalid param nil");
    assert_raises(&node, "core.send(8, 'lua', 0, 'x')", "bad argument #2");
    assert_raises(&node, "core.send(8, 256, 0, 'x')", "bad argument #2");
}

#[test]
fn redirect_forges_the_source() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(
        peer,
        "skynet.register_protocol { name = 'tick', id = 90, unpack = skynet.tostring, dispatch = function(...)
            seen = { ... }
        end }",
    );
    let answer = core(
        &node,
        &format!(
            "local sent = core.redirect({peer}, 0x1234, 90, 5, 'text')
            local seen = skynet.call({peer}, 'lua', 'eval', 'return seen[1], seen[2], seen[3]')
            return sent, select(1, skynet.call({peer}, 'lua', 'eval', 'return seen[1], seen[2], seen[3]'))",
            peer = peer.as_u32()
        ),
    );
    assert_eq!(answer, ["5", "5", &0x1234.to_string(), "text"]);
    assert!(
        core(&node, &format!("return core.redirect({}, 1, 90, nil, 'x') > 0", peer.as_u32()))[0] == "true"
    );
}

// -- Payloads

#[test]
fn packing_and_unpacking_are_inverse() {
    let node = support::node();
    let answer = core(
        &node,
        "local p, sz = core.pack(1, 'two', nil, true)
        local text = core.tostring(p, sz)
        local a, b, c, d = core.unpack(p, sz)
        core.trash(p, sz)
        local function count(...) return select('#', ...) end
        return type(p), sz == #text, a, b, c, d, text == core.packstring(1, 'two', nil, true),
            count(core.unpack(text)), count(core.unpack()), count(core.unpack('')), count(core.unpack(nil, 0))",
    );
    assert_eq!(answer, ["userdata", "true", "1", "two", "nil", "true", "true", "4", "0", "0", "0"]);
}

#[test]
fn tostring_copies_and_is_nothing_for_nothing() {
    let node = support::node();
    let answer = core(
        &node,
        "local p, sz = core.pack('a\\0b')
        local text = core.tostring(p, sz)
        core.trash(p, sz)
        local function count(...) return select('#', ...) end
        return #text == sz, count(core.tostring()), count(core.tostring(nil)), count(core.tostring(nil, 3))",
    );
    assert_eq!(answer, ["true", "0", "0", "0"]);
}

#[test]
fn trash_frees_pointers_ignores_strings_and_refuses_the_rest() {
    let node = support::node();
    let answer = core(
        &node,
        "local p, sz = core.pack(('x'):rep(100000))
        local function count(...) return select('#', ...) end
        return count(core.trash(p, sz)), count(core.trash 'text')",
    );
    assert_eq!(answer, ["0", "0"]);
    assert_raises(&node, "core.trash({})", "skynet.trash invalid param table");
    assert_raises(&node, "core.trash(nil)", "skynet.trash invalid param nil");
}

#[test]
fn packing_a_function_is_an_error() {
    let node = support::node();
    assert_raises(&node, "core.pack(1, print)", "Unsupport type function to serialize");
    assert_raises(&node, "core.packstring(coroutine.running())", "Unsupport type thread to serialize");
}

#[test]
fn unpacking_refuses_damaged_bytes_and_a_null_pointer() {
    let node = support::node();
    assert_raises(&node, "core.unpack('\\255\\255')", "Invalid serialize stream");
    let answer = core(
        &node,
        "skynet.register_protocol { name = 'tick', id = 90, unpack = function(msg, sz)
            found = { pcall(core.unpack, msg, 5) }
            return sz
        end, dispatch = function() end }
        core.send(skynet.self(), 90, 0, '')
        skynet.yield()
        return found[1], found[2]",
    );
    assert_eq!(answer[0], "false");
    assert!(answer[1].contains("deserialize null pointer"), "{answer:?}");
}

// -- Commands

#[test]
fn commands_answer_with_text_numbers_or_addresses() {
    let node = support::node();
    let answer = core(
        &node,
        "local function count(...) return select('#', ...) end
        return core.command('REG'), core.command('QUERY', '.eval'), core.addresscommand('REG'),
            core.addresscommand('QUERY', '.eval') == skynet.self(), core.command('GETENV', 'thread'),
            core.intcommand('GETENV', 'thread'), math.type(core.intcommand('STAT', 'cpu')),
            math.type(core.intcommand('STARTTIME')), count(core.command('QUERY', '.nobody')),
            count(core.intcommand('GETENV', 'no such key')), count(core.addresscommand('QUERY', '.nobody')),
            count(core.command('DANCE'))",
    );
    assert_eq!(answer, [":8", ":8", "8", "true", "2", "2", "float", "integer", "0", "0", "0", "0"]);
}

#[test]
fn names_are_given_by_command() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer = core(
        &node,
        &format!(
            "local a = core.command('NAME', '.peer {peer}')
            local b = core.command('NAME', '.peer :8')
            local c = core.command('REG', '.again')
            return a, b, c, core.addresscommand('QUERY', '.peer') == {number}, core.addresscommand('QUERY', '.again')",
            number = peer.as_u32()
        ),
    );
    assert_eq!(answer, ["peer", "nil", "again", "true", "8"]);
}

#[test]
fn an_integer_parameter_is_cut_to_32_bits() {
    let node = support::node_with_manual_clock();
    let answer = core(
        &node,
        "local woken = 0
        skynet.dispatch_unknown_response(function() woken = woken + 1 end)
        core.intcommand('TIMEOUT', 1 << 32) -- is 0
        core.intcommand('TIMEOUT', '0')
        skynet.yield()
        return woken",
    );
    assert_eq!(answer, ["2"]);
}

#[test]
fn a_result_that_is_no_number_is_refused() {
    let node = support::node();
    assert_raises(&node, "core.intcommand('GETENV', 'start')", "Invalid result eval");
}

#[test]
fn the_environment_is_set_once() {
    let node = support::node();
    let answer = core(
        &node,
        "core.command('SETENV', 'song one two  three')
        return core.command('GETENV', 'song')",
    );
    assert_eq!(answer, ["one two  three"]);
    assert_raises(&node, "core.command('SETENV', 'song again')", "Can't setenv exist key : song");
    node.check(
        r#"
        local function kept(key, value)
            skynet.setenv(key, value)
            return skynet.getenv(key)
        end
        same(skynet.getenv 'nothing', nil)
        same(kept('song2', 'with  blanks '), 'with  blanks ')
        raises("Can't setenv exist key : song2", skynet.setenv, 'song2', 'again')
        same(skynet.getenv 'song2', 'with  blanks ')
        -- A number is the text that `tostring` makes of it.
        for i, number in ipairs { 12, 1.0, -2.5, 1e15, 1e100, 0.1, 1 / 3, math.mininteger, 1 / 0, -1 / 0 } do
            same(kept('number' .. i, number), tostring(number))
        end
        same(kept('empty', ''), '')
        raises("\\xff is not UTF-8 text", skynet.setenv, 'bytes', '\xff')
        raises("\\xff is not UTF-8 text", require 'skynet.core'.command, 'LAUNCH', 'snlua eval \xff')
        "#,
    );
}

#[test]
fn services_are_launched_killed_and_ended_by_command() {
    let node = support::node();
    let launched = core(&node, "return core.command('LAUNCH', 'snlua eval nameless')");
    assert!(launched[0].starts_with(':') && launched[0].len() == 9, "{launched:?}");
    // With letters in its address or without: LAUNCH writes them large, as everybody else writes them small.
    let more = core(
        &node,
        "local addresses = {}
        for i = 1, 8 do addresses[i] = core.command('LAUNCH', 'snlua eval nameless') end
        return table.concat(addresses)",
    );
    let has_letters = more[0].bytes().any(|byte| byte.is_ascii_uppercase());
    assert!(has_letters && more[0] == more[0].to_uppercase(), "{more:?}");
    let handle: Handle = launched[0].parse().expect("LAUNCH answers with an address");
    assert_eq!(node.lua_in(handle, "return 1"), ["1"]);
    core(&node, &format!("core.command('KILL', '{}')", launched[0]));
    node.wait_gone(handle);
    let other = node.launch_eval();
    node.lua_in(other, "skynet.fork(function() require 'skynet.core'.command 'EXIT' end)");
    node.wait_gone(other);
}

#[test]
fn statistics_come_by_command() {
    let node = support::node();
    let answer = core(
        &node,
        "local before = core.intcommand('STAT', 'message')
        skynet.yield()
        return core.intcommand('STAT', 'message') - before, core.intcommand('STAT', 'mqlen'), core.command('STAT', 'endless'),
            core.intcommand('STAT', 'cpu') >= 0, core.intcommand('STAT', 'time') >= 0",
    );
    assert_eq!(answer, ["1", "0", "0", "true", "true"]);
}

// -- The rest

#[test]
fn error_joins_its_arguments_in_one_line() {
    let node = support::node();
    core(
        &node,
        "core.error('one', 2, nil, true, setmetatable({}, { __tostring = function() return 'object' end }))
        core.error()
        core.error 'alone'",
    );
    assert_eq!(node.log.wait_for("one 2"), "[:00000008] one 2 nil true object");
    assert_eq!(node.log.wait_for("alone"), "[:00000008] alone");
    assert!(node.log.lines().iter().any(|line| line == "[:00000008] "), "{:#?}", node.log.lines());
    assert_raises(
        &node,
        "core.error(setmetatable({}, { __tostring = function() error 'unprintable' end }))",
        "unprintable",
    );
}

#[test]
fn harbor_splits_a_handle() {
    let node = support::node();
    let answer = core(
        &node,
        "local a, b = core.harbor(0x02000009)
        local c, d = core.harbor(skynet.self())
        return a, b, c, d",
    );
    assert_eq!(answer, ["2", "true", "0", "false"]);
    assert_raises(&node, "core.harbor(1.5)", "number has no integer representation");
}

#[test]
fn the_clocks_go_on() {
    let node = support::node_with_manual_clock();
    let answer = core(&node, "return core.now(), core.hpc()");
    node.advance(Duration::from_millis(1500));
    let later = core(&node, "return core.now(), core.hpc()");
    let number = |text: &String| text.parse::<i64>().expect("a clock shows a number");
    assert_eq!(number(&later[0]) - number(&answer[0]), 150);
    assert!(number(&later[1]) > number(&answer[1]));
}

#[test]
fn trace_shows_the_frames_of_a_coroutine() {
    let node = support::node();
    core(
        &node,
        "core.trace('tag', 'here')
        local co = coroutine.create(function()
            coroutine.yield()
        end)
        coroutine.resume(co)
        core.trace('tag', 'there', co)
        local function inner() core.trace('tag', 'outer', 2) return 1 end
        local one = inner()",
    );
    let line = node.log.wait_for(" here : ");
    assert!(line.starts_with("[:00000008] <TRACE tag> ") && line.contains(" here : =eval:2"), "{line}");
    assert!(node.log.wait_for(" there : ").contains("=eval:4"), "{:#?}", node.log.lines());
    assert!(node.log.wait_for(" outer : ").contains(" outer : =eval:9"), "{:#?}", node.log.lines());
}

// -- A dispatcher in Lua

fn old(node: &TestNode, words: &str) -> u32 {
    node.lua_handle(&format!("return skynet.newservice('old/service'{words})")).as_u32()
}

#[test]
fn a_dispatcher_in_lua_answers_requests() {
    let node = support::node();
    let old = old(&node, "");
    assert_eq!(
        node.lua(&format!("return skynet.call({old}, 'lua', 'echo', 1, 'two', nil, true)")),
        ["1", "two", "nil", "true"]
    );
    // It began with the timer's answer; sizes are integers.
    assert_eq!(
        node.lua(&format!("return skynet.call({old}, 'lua', 'log')")),
        ["1:integer 10:integer 10:integer"]
    );
}

#[test]
fn a_dispatcher_in_lua_calls_and_sleeps() {
    let node = support::node_with_manual_clock();
    let old = old(&node, "");
    let answer =
        node.lua(&format!("return skynet.call({old}, 'lua', 'call', skynet.self(), 'echo', 'back')"));
    assert_eq!(answer, ["called", "back"]);
    let answer = node.lua_in_time(&format!("return skynet.call({old}, 'lua', 'sleep', 30)"));
    assert!(answer[0].parse::<i64>().expect("sleep answers with its length") >= 30, "{answer:?}");
}

#[test]
fn an_error_in_a_dispatcher_in_lua_is_logged_with_the_message() {
    let node = support::node();
    let old = old(&node, "");
    let answer = node.lua(&format!("return pcall(skynet.call, {old}, 'lua', 'fail')"));
    assert!(answer[0] == "false" && answer[1].contains("call failed"), "{answer:?}");
    let line = node.log.wait_for("the old service fails as asked");
    assert!(line.contains(&format!("lua call [8 to :{old:x} : ")), "{line}");
    assert!(line.contains("msgsz = 5] error : \u{1b}[31m") && line.ends_with("\u{1b}[0m"), "{line}");
    assert!(line.contains("stack traceback"), "{line}");
    assert_eq!(node.lua(&format!("return skynet.call({old}, 'lua', 'echo', 'alive')")), ["alive"]);
}

#[test]
fn an_error_that_cannot_be_shown_is_told_as_such() {
    let node = support::node();
    let peer = node.launch_eval();
    let unprintable = "local odd = setmetatable({}, { __tostring = function() error 'no text' end })";
    node.lua_in(peer, &format!("{unprintable} skynet.fork(error, odd) skynet.yield()"));
    let line = node.log.wait_for("lua error in error : [");
    assert!(line.contains(&format!(" to :{:x} : ", peer.as_u32())), "{line}");
    node.lua_in(peer, &format!("{unprintable} require 'skynet.core'.callback(function() error(odd) end)"));
    node.lua(&format!("skynet.send({}, 'lua', 'echo')", peer.as_u32()));
    // Lua's own handler shows the error in the error.
    let line = node.log.wait_for("no text");
    assert!(line.contains(&format!("lua call [8 to :{:x} : 0 msgsz = 5] error : ", peer.as_u32())), "{line}");
    assert!(!node.log.has("memory error"), "{:#?}", node.log.lines());
}

#[test]
fn an_object_that_is_raised_or_yielded_is_shown_as_it_says() {
    let node = support::node();
    node.lua(
        "local named = setmetatable({}, { __tostring = function() return 'named ' .. skynet.self() end })
        skynet.fork(error, named)
        skynet.fork(coroutine.yield, named)
        skynet.fork(coroutine.yield)
        skynet.yield()",
    );
    let line = node.log.wait_for("Unknown command : named 8");
    assert!(line.contains("stack traceback"), "{line}");
    node.log.wait_for("error : \u{1b}[31mnamed 8");
    node.log.wait_for("Unknown command : nil");
}

#[test]
fn nothing_is_packed_sent_and_freed_as_nothing() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(
        peer,
        "skynet.register_protocol { name = 'tick', id = 90, unpack = skynet.unpack, dispatch = function(...)
            seen = select('#', ...)
        end }",
    );
    let answer = core(
        &node,
        &format!(
            "local p, sz = core.pack()
            local function count(...) return select('#', ...) end
            local values = count(core.unpack(p, sz))
            local sent = core.send({peer}, 90, 0, p, sz)
            core.trash(core.pack())
            return sz, values, sent, #core.packstring(), skynet.call({peer}, 'lua', 'eval', 'return seen')",
            peer = peer.as_u32()
        ),
    );
    assert_eq!(answer, ["0", "0", "0", "0", "2"]);
}

#[test]
fn a_call_to_a_dispatcher_in_lua_fails_when_its_service_is_killed_or_ends() {
    let node = support::node();
    for end in ["skynet.kill(old)", "skynet.send(old, 'lua', 'exit')"] {
        let old = old(&node, "");
        let answer = node.lua(&format!(
            "local old = {old}
            skynet.fork(function() {end} end)
            return pcall(skynet.call, old, 'lua', 'hang')"
        ));
        assert!(answer[0] == "false" && answer[1].contains("call failed"), "{end}: {answer:?}");
    }
}

#[test]
fn in_forward_mode_the_messages_become_the_services_own() {
    let node = support::node();
    let old = old(&node, ", 'forward'");
    let text = "x".repeat(100_000);
    let peer = node.launch_eval();
    for _ in 0..10 {
        let answer = node
            .lua_in(peer, &format!("return #skynet.call({old}, 'lua', 'echo', ('x'):rep({}))", text.len()));
        assert_eq!(answer, [text.len().to_string()]);
    }
}

#[test]
fn a_request_that_was_handed_on_outlives_the_one_who_did() {
    let node = support::node();
    let old = old(&node, ", 'forward'");
    let peer = node.launch_eval();
    node.lua_in(
        peer,
        &format!(
            "skynet.fork(function()
                got = {{ pcall(skynet.call, {old}, 'lua', 'hold') }}
                skynet.wakeup 'got'
            end)
            skynet.yield()
            skynet.call({old}, 'lua', 'echo') -- the first one has been handed on before this one
            skynet.kill({old})"
        ),
    );
    node.wait_gone(Handle::from_u32(old));
    let answer = node.lua_in(
        peer,
        "skynet.call('.eval', 'lua', 'release')
        if not got then skynet.wait 'got' end
        return got[1], got[2]",
    );
    assert_eq!(answer, ["true", "released"]);
}

#[test]
fn a_callback_takes_the_place_of_the_one_before() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer = node.lua_in(
        peer,
        "local core = require 'skynet.core'
        local function wrong() error 'replaced' end
        core.callback(wrong)
        core.callback(function(...) skynet.dispatch_message(...) end)
        return 'as before'",
    );
    assert_eq!(answer, ["as before"]);
    assert_eq!(node.lua_in(peer, "skynet.yield() return 'it goes on'"), ["it goes on"]);
    assert!(!node.log.has("replaced"));
    let refused = node.lua_in(peer, "return pcall(require 'skynet.core'.callback, 'no function')");
    assert_eq!(refused[0], "false");
}
