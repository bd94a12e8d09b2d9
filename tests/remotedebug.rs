//! `skynet.debugchannel`, and the debugger inside of a service. What the debugger prints is caught in the service, in
//! place of a socket; `debug_console.rs` has the same through a real one.

mod support;

use support::TestNode;

/// A service whose debugger prints into the global `screen`, and which the snippet knows as PEER; its agent is AGENT.
struct Debugged {
    node: TestNode,
    peer: skynet_rs::Handle,
    agent: u32,
}

impl Debugged {
    fn new() -> Debugged {
        let node = support::node();
        let peer = node.launch_eval();
        node.lua_in(
            peer,
            "screen = ''
            package.loaded['skynet.socketdriver'] = {
                send = function(fd, text) screen = screen .. text return true end
            }
            handled = {}
            local dispatch = skynet.dispatch 'lua'
            skynet.dispatch('lua', function(session, source, command, ...)
                table.insert(handled, command)
                if command == 'add' then
                    local a, b = ...
                    local sum = a + b
                    sum = sum + total()
                    skynet.retpack(sum)
                    return
                end
                return dispatch(session, source, command, ...)
            end)
            function total()
                local n = 100
                return n
            end",
        );
        let agent = node.lua_handle("return skynet.newservice 'debug_agent'").as_u32();
        let debugged = Debugged { node, peer, agent };
        debugged.node.lua(&format!(
            "skynet.fork(function()
                local answer = table.pack(skynet.call({agent}, 'lua', 'start', {peer}, 7))
                skynet.error('the session ends:', answer[1], answer[2])
            end)
            return 'begun'",
            peer = debugged.peer.as_u32()
        ));
        debugged.node.log.wait_for("Enter debug mode");
        debugged
    }

    fn say(&self, line: &str) {
        self.node.lua(&format!("skynet.call({}, 'lua', 'cmd', {line:?})", self.agent));
    }

    /// Waits until the debugger has printed this, and forgets what it has printed so far.
    fn wait_for(&self, text: &str) -> String {
        let look = format!("skynet.call({}, 'debug', 'SCREEN')", self.peer.as_u32());
        let seen = std::cell::RefCell::new(String::new());
        self.node.wait_until(&format!("the debugger prints {text:?}"), || {
            *seen.borrow_mut() = self.node.lua1(&format!("return {look}"));
            seen.borrow().contains(text)
        });
        let seen = seen.into_inner();
        self.node.lua(&format!("skynet.call({}, 'debug', 'WIPE')", self.peer.as_u32()));
        seen
    }

    /// The debug protocol passes while the service stands still, so the screen is read by it.
    fn with_screen(self) -> Debugged {
        self.node.lua_in(
            self.peer,
            "local reg = require 'skynet.debug'.reg_debugcmd
            reg('SCREEN', function() skynet.retpack(screen) end)
            reg('WIPE', function() screen = '' skynet.ret() end)
            handled = {}",
        );
        self
    }

    /// Sends the request that will be stopped; its answer goes to the log.
    fn add(&self, a: i32, b: i32) {
        self.node.lua(&format!(
            "skynet.fork(function()
                skynet.error('the sum is', skynet.call({}, 'lua', 'add', {a}, {b}))
            end)",
            self.peer.as_u32()
        ));
    }
}

fn debugged() -> Debugged {
    Debugged::new().with_screen()
}

// -- the channel

#[test]
fn a_channel_carries_lines_in_order() {
    let node = support::node();
    node.check(
        "local channel = require 'skynet.debugchannel'
        local a, pointer = channel.create()
        same(type(pointer), 'userdata')
        local b = channel.connect(pointer)
        a:write 'one' a:write '' a:write 'thr\\0ee'
        same(b:read(), 'one') same(b:read(0), '') same(b:read(5), 'thr\\0ee')
        same(count(b:read(0)), 0)",
    );
}

#[test]
fn a_reader_waits_for_a_line_and_the_service_goes_on_meanwhile() {
    let node = support::node();
    node.check(
        "local channel = require 'skynet.debugchannel'
        local a, pointer = channel.create()
        got = nil
        local b = channel.connect(pointer)
        local reader = skynet.fork(function() got = b:read() skynet.wakeup 'read' end)
        skynet.yield()
        same(got, nil)
        a:write 'at last'
        if not got then skynet.wait 'read' end
        same(got, 'at last')",
    );
}

#[test]
fn a_channel_joins_two_services() {
    let node = support::node();
    node.check(
        "local channel = require 'skynet.debugchannel'
        local a, pointer = channel.create()
        local other = spawn [[
            skynet.dispatch('lua', function(_, _, pointer)
                skynet.retpack(require 'skynet.debugchannel'.connect(pointer):read())
            end)
        ]]
        skynet.fork(function() a:write 'across' end)
        same(skynet.call(other, 'lua', pointer), 'across')",
    );
}

#[test]
fn a_reader_gives_up_when_its_time_is_over() {
    let node = support::node_with_manual_clock();
    let answer = node.lua_in_time(
        "local channel = require 'skynet.debugchannel'
        local a, pointer = channel.create()
        local b = channel.connect(pointer)
        local from = skynet.now()
        local count = select('#', b:read(50))
        local time = skynet.now() - from
        -- A line that comes after the time is over stays for the next.
        a:write 'late'
        local late = b:read(50)
        skynet.sleep(100)
        return count, time >= 50, late",
    );
    assert_eq!(answer, ["0", "true", "late"]);
    assert!(!node.log.has("Unknown session"), "{:#?}", node.log.lines());
}

#[test]
fn pointers_that_are_forged_or_stale_find_no_channel() {
    let node = support::node();
    node.check(
        "local channel = require 'skynet.debugchannel'
        local core = require 'skynet.core'
        local a, pointer = channel.create()
        local msg, sz = core.pack 'x'
        raises('Invalid channel pointer', channel.connect, msg)
        core.trash(msg, sz)
        raises('Invalid channel pointer', channel.connect, nil)
        raises('Invalid channel pointer', channel.connect, 42)
        raises('Invalid channel pointer', channel.connect, a)
        channel.connect(pointer)
        raises('Invalid channel pointer', channel.connect, pointer)
        do
            local _, gone = channel.create()
            pointer = gone
        end
        collectgarbage() collectgarbage()
        raises('Invalid channel pointer', channel.connect, pointer)
        raises('debug channel expected', a.read, io.stdout)
        raises('debug channel expected', a.write, {}, 'x')",
    );
}

#[test]
fn a_channel_that_nobody_reads_has_a_limit() {
    let node = support::node();
    node.check(
        "local channel = require 'skynet.debugchannel'
        local a = channel.create()
        for _ = 1, 1024 do a:write 'x' end
        raises('the limit is', a.write, a, 'x')
        for _ = 1, 1024 do a:read() end
        raises('the limit is', a.write, a, ('x'):rep((1 << 20) + 1))
        a:write(('x'):rep(1 << 20))",
    );
}

#[test]
fn a_reader_hears_that_the_other_side_is_gone() {
    let node = support::node();
    node.check(
        "local channel = require 'skynet.debugchannel'
        local writer = spawn [[
            local a, pointer = require 'skynet.debugchannel'.create()
            channel = a
            skynet.dispatch('lua', function(_, _, what)
                if what == 'pointer' then skynet.retpack(pointer) else skynet.exit() end
            end)
        ]]
        local b = channel.connect(skynet.call(writer, 'lua', 'pointer'))
        skynet.fork(function() skynet.send(writer, 'lua', 'end') end)
        same(count(b:read()), 0)
        same(count(b:read()), 0)",
    );
}

// -- sethook

#[test]
fn a_hook_that_says_so_makes_a_coroutine_yield_at_each_line() {
    let node = support::node();
    node.check(
        "local sethook = require 'skynet.debugchannel'.sethook
        local co = coroutine.create(function()
            local n = 1
            n = n + 1
            return n
        end)
        local lines, may = {}, {}
        sethook(co, function(event, line, may_yield)
            same(event, 'line')
            may[#may + 1] = may_yield
            lines[#lines + 1] = line
            return #lines < 3
        end, 'l')
        same({ coroutine.resume(co) }, { true })
        same({ coroutine.resume(co) }, { true })
        same({ coroutine.resume(co) }, { true, 2 })
        same(lines, { 3, 4, 5 })
        same(may, { true, true, true })
        sethook(co)",
    );
}

#[test]
fn a_hook_counts_calls_and_returns_and_goes_when_it_is_told_to() {
    let node = support::node();
    node.check(
        "local sethook = require 'skynet.debugchannel'.sethook
        local seen = {}
        local function f() return 1 end
        sethook(function(event) seen[event] = (seen[event] or 0) + 1 end, 'cr', 100)
        for _ = 1, 100 do f() end
        sethook()
        local calls = seen.call
        assert(calls >= 100 and seen['return'] >= 100 and seen.count >= 1)
        f()
        same(seen.call, calls)
        raises('string expected', sethook, print)
        raises('function expected', sethook, 'x', 'l')",
    );
}

#[test]
fn a_hook_does_not_stay_with_a_coroutine_that_is_used_again() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(
        peer,
        "hits = 0
        skynet.dispatch('lua', function(_, _, what)
            if what == 'hook' then
                require 'skynet.debugchannel'.sethook(function() hits = hits + 1 end, 'l')
            end
            local n = hits
            skynet.retpack(n)
        end)",
    );
    node.check(&format!(
        "local peer = {}
        skynet.call(peer, 'lua', 'hook')
        local hits = skynet.call(peer, 'lua', 'no')
        for _ = 1, 20 do same(skynet.call(peer, 'lua', 'no'), hits) end",
        peer.as_u32()
    ));
}

// -- the debugger

#[test]
fn lines_are_evaluated_in_the_service() {
    let debugged = debugged();
    debugged.wait_for(&format!("{}>", debugged.peer));
    debugged.say("1 + 1, 'x', nil");
    debugged.wait_for("2\tx\tnil\n");
    debugged.say("answer = 42");
    debugged.say("print(answer, SERVICE_NAME)");
    debugged.wait_for("42\teval\n");
    debugged.say("error 'on purpose'");
    debugged.wait_for("on purpose\n");
    debugged.say("1 +* 2");
    debugged.wait_for("near '1'");
    debugged.say("skynet.call(skynet.self(), 'debug', 'PING') return 'it may call'");
    debugged.wait_for("it may call");
    assert_eq!(debugged.node.lua_in(debugged.peer, "return answer"), ["42"]);
    debugged.say("cont");
    debugged.node.log.wait_for("Leave debug mode");
    debugged.node.log.wait_for("the session ends: true");
}

#[test]
fn a_watch_stops_at_the_first_line_of_the_next_message() {
    let debugged = debugged();
    debugged.say("watch 'lua'");
    debugged.wait_for(&format!("{}>{}>", debugged.peer, debugged.peer));
    debugged.add(1, 2);
    let prompt = debugged.wait_for("eval(8)>");
    assert!(prompt.ends_with("eval(8)>"), "{prompt}");
    debugged.say("command, select('#', ...), ...");
    debugged.wait_for("add\t2\t1\t2\neval(8)>");
    for line in ["n", "n", "n"] {
        debugged.say(line);
    }
    debugged.wait_for("eval(11)>");
    // Into the function, over its lines, and out again.
    debugged.say("n");
    debugged.wait_for("eval(12)>");
    debugged.say("sum, a, b");
    debugged.wait_for("3\t1\t2\n");
    debugged.say("sum = 40");
    debugged.say("s");
    debugged.wait_for("eval(19)>");
    debugged.say("n");
    debugged.wait_for("eval(20)>");
    debugged.say("n = 2");
    debugged.say("n");
    debugged.wait_for("eval(13)>");
    debugged.say("c");
    debugged.node.log.wait_for("the sum is 42");
    debugged.add(1, 1);
    debugged.node.log.wait_for("the sum is 102");
    debugged.say("cont");
    debugged.node.log.wait_for("the session ends: true");
}

#[test]
fn a_condition_chooses_the_message() {
    let debugged = debugged();
    debugged
        .say("watch('lua', function(session, source, command, a) return command == 'add' and a == 5 end)");
    debugged.wait_for(">");
    debugged.add(1, 1);
    debugged.node.log.wait_for("the sum is 102");
    debugged.add(5, 5);
    debugged.wait_for("eval(8)>");
    debugged.say("c");
    debugged.node.log.wait_for("the sum is 110");
    // A condition that fails says so, and lets the message pass.
    debugged.say("watch('lua', function() error 'bad condition' end)");
    debugged.wait_for(">");
    debugged.add(2, 2);
    debugged.node.log.wait_for("the sum is 104");
    debugged.wait_for("bad condition");
    debugged.say("watch 'nonsense'");
    debugged.wait_for("No nonsense");
    debugged.say("watch 'response'");
    debugged.wait_for("No dispatch");
}

#[test]
fn the_service_stands_still_while_a_coroutine_is_stopped_and_loses_nothing() {
    let debugged = debugged();
    debugged.say("watch 'lua'");
    debugged.wait_for(">");
    debugged.add(1, 2);
    debugged.wait_for("eval(8)>");
    for i in 1..=50 {
        debugged.node.lua(&format!("skynet.send({}, 'lua', 'echo', {i})", debugged.peer.as_u32()));
    }
    debugged.say("#handled");
    debugged.wait_for("0\n");
    debugged.say("skynet.mqlen()");
    debugged.wait_for("50\n");
    // The debug protocol passes, and so do the answers to what the debugger asks.
    debugged.node.lua(&format!("skynet.call({}, 'debug', 'PING')", debugged.peer.as_u32()));
    debugged.say("skynet.call('.launcher', 'lua', 'LIST') ~= nil");
    debugged.wait_for("true\n");
    // Other services do not notice.
    let other = debugged.node.launch_eval();
    assert_eq!(debugged.node.lua_in(other, "return 'alive'"), ["alive"]);
    debugged.say("c");
    debugged.node.log.wait_for("the sum is 103");
    assert_eq!(
        debugged.node.lua_in(debugged.peer, "return #handled, handled[1], handled[2], handled[51]"),
        ["52", "add", "echo", "echo"]
    );
}

#[test]
fn a_handler_that_calls_lets_the_service_go_on_until_it_is_back() {
    let debugged = debugged();
    debugged.node.lua_in(
        debugged.peer,
        "skynet.dispatch('lua', function(_, _, what, code)
            if what == 'eval' then
                skynet.retpack(tostring(load(code, nil, nil, { skynet = skynet })()))
                return
            end
            local before = what
            skynet.wait 'the middle'
            local after = before
            skynet.retpack(after)
        end)",
    );
    let peer = debugged.peer.as_u32();
    debugged.say("watch 'lua'");
    debugged.wait_for(">");
    debugged.node.lua(&format!(
        "skynet.fork(function() skynet.error('it answers', skynet.call({peer}, 'lua', 'slow')) end)"
    ));
    debugged.wait_for("(2)>");
    debugged.say("n");
    debugged.wait_for("(6)>");
    debugged.say("n");
    debugged.wait_for("(7)>");
    debugged.say("n");
    assert_eq!(debugged.node.lua_in(debugged.peer, "return skynet.wakeup 'the middle'"), ["true"]);
    debugged.wait_for("(8)>");
    debugged.say("before");
    debugged.wait_for("slow\n");
    debugged.say("cont");
    debugged.node.log.wait_for("it answers slow");
}

#[test]
fn a_handler_that_fails_under_the_debugger_fails_as_ever() {
    let debugged = debugged();
    debugged.say("watch 'lua'");
    debugged.wait_for(">");
    debugged.node.lua(&format!(
        "skynet.fork(function()
            skynet.error('it fails:', pcall(skynet.call, {}, 'lua', 'fail'))
        end)",
        debugged.peer.as_u32()
    ));
    debugged.wait_for("eval(8)>");
    debugged.say("c");
    debugged.node.log.wait_for("it fails: false");
    let line = debugged.node.log.wait_for("eval fails as asked");
    assert!(line.contains("lua call ["), "{line}");
    debugged.say("1 + 1");
    debugged.wait_for("2\n");
}

#[test]
fn the_bytes_of_a_raw_message_stay_while_its_handler_is_stopped() {
    for filtered in [false, true] {
        let node = support::node();
        let peer = node.lua_handle(&format!("return skynet.newservice('raw', '{filtered}')"));
        let agent = node.lua_handle("return skynet.newservice 'debug_agent'").as_u32();
        node.lua(&format!(
            "skynet.fork(function() skynet.call({agent}, 'lua', 'start', {}, 7) end)",
            peer.as_u32()
        ));
        node.log.wait_for(&format!("prompt {peer}>"));
        node.lua(&format!("skynet.send({agent}, 'lua', 'cmd', \"watch 'raw'\")"));
        node.log.wait_for_count(&format!("prompt {peer}>"), 2);
        let text = "0123456789".repeat(1000);
        node.runtime.send(peer, skynet_rs::MessageKind(100), text.as_bytes()).expect("it is sent");
        let stops = node.log.wait_for("raw.lua(");
        assert!(!stops.contains("raw message"), "{stops}");
        // Freed blocks of this size would be used again by now.
        for _ in 0..20 {
            node.lua("return #('x'):rep(10000)");
            node.lua(&format!("skynet.call({}, 'debug', 'PING')", peer.as_u32()));
        }
        node.lua(&format!("skynet.send({agent}, 'lua', 'cmd', 'n')"));
        node.log.wait_for_count("raw.lua(", 2);
        node.lua(&format!("skynet.send({agent}, 'lua', 'cmd', 'c')"));
        node.log.wait_for("raw message whole: true");
    }
}

#[test]
fn a_service_has_one_debugger_at_a_time() {
    let debugged = debugged();
    let peer = debugged.peer.as_u32();
    let answer = debugged.node.lua(&format!(
        "local agent = skynet.newservice 'debug_agent'
        return skynet.call(agent, 'lua', 'start', {peer}, 8)"
    ));
    assert_eq!(answer, ["false", "Debugger attach failed"]);
    debugged.node.log.wait_for("Already in debug mode");
    debugged.say("cont");
    debugged.node.log.wait_for("Leave debug mode");
    debugged.node.lua(&format!(
        "local agent = skynet.newservice 'debug_agent'
        skynet.fork(function() skynet.call(agent, 'lua', 'start', {peer}, 8) end)
        return 1"
    ));
    debugged.node.log.wait_for_count("Enter debug mode", 2);
}

#[test]
fn debugging_nobody_fails() {
    let node = support::node();
    let dead = node.launch_eval();
    node.runtime.kill(dead);
    node.wait_gone(dead);
    let answer = node.lua(&format!(
        "return skynet.call(skynet.newservice 'debug_agent', 'lua', 'start', {}, 1)",
        dead.as_u32()
    ));
    assert_eq!(answer, ["false", "Debugger attach failed"]);
}

#[test]
fn the_end_of_the_console_or_of_the_agent_ends_the_session() {
    for victim in ["agent", "console"] {
        let node = support::node();
        let peer = node.launch_eval();
        let console = node.launch_eval();
        node.lua_in(peer, "package.loaded['skynet.socketdriver'] = { send = function() return false end }");
        let agent = node.lua_handle("return skynet.newservice 'debug_agent'");
        node.lua_in(
            console,
            &format!(
                "skynet.fork(function() skynet.call({}, 'lua', 'start', {}, 1) end)",
                agent.as_u32(),
                peer.as_u32()
            ),
        );
        node.log.wait_for("Enter debug mode");
        node.runtime.kill(if victim == "agent" { agent } else { console });
        node.log.wait_for("Leave debug mode");
        node.wait_gone(agent);
    }
}

#[test]
fn killing_the_debuggers_coroutine_ends_the_session() {
    let debugged = debugged();
    let peer = debugged.peer.as_u32();
    debugged.say("watch 'lua'");
    debugged.wait_for(">");
    debugged.add(1, 2);
    debugged.wait_for("eval(8)>");
    // The one that is stopped is not among those that can be killed; the debugger is.
    let killed = debugged.node.lua(&format!(
        "local key = next(skynet.call({peer}, 'debug', 'TASK'))
        return skynet.call({peer}, 'debug', 'KILLTASK', key:match 'thread: (%S+)')"
    ));
    assert!(killed.is_empty(), "{killed:?}");
    debugged.node.log.wait_for("Leave debug mode");
    debugged.node.log.wait_for("the sum is 103");
    debugged.node.log.wait_for("the session ends: false Debugger attach failed");
}

#[test]
fn a_step_into_a_place_that_cannot_yield_runs_over_it() {
    let debugged = debugged();
    debugged.node.lua_in(
        debugged.peer,
        "skynet.dispatch('lua', function(_, _, n)
            local list = { 3, 1, 2 }
            table.sort(list, function(a, b)
                return a < b
            end)
            local co = coroutine.wrap(function()
                coroutine.yield(list[1])
            end)
            local first = co()
            skynet.retpack(first + n)
        end)",
    );
    debugged.say("watch 'lua'");
    debugged.wait_for(">");
    debugged.node.lua(&format!(
        "skynet.fork(function() skynet.error('it is', skynet.call({}, 'lua', 5)) end)",
        debugged.peer.as_u32()
    ));
    let mut seen = String::new();
    while !seen.contains("eval(10)>") {
        seen.push_str(&debugged.wait_for(")>"));
        debugged.say("s");
    }
    debugged.node.log.wait_for("it is 6");
    for line in [2, 3, 9] {
        assert!(seen.contains(&format!("eval({line})>")), "{seen}");
    }
    // The function that sorts, and the coroutine within this one.
    for line in [4, 7] {
        assert!(!seen.contains(&format!("eval({line})>")), "{seen}");
    }
}

#[test]
fn leaving_while_stopped_lets_the_coroutine_go_on() {
    let debugged = debugged();
    debugged.say("watch 'lua'");
    debugged.wait_for(">");
    debugged.add(1, 2);
    debugged.wait_for("eval(8)>");
    debugged.say("cont");
    debugged.node.log.wait_for("the sum is 103");
    debugged.node.log.wait_for("the session ends: true");
}

#[test]
fn a_service_that_ends_while_it_is_stopped_leaves_nobody_waiting() {
    let debugged = debugged();
    let peer = debugged.peer.as_u32();
    debugged.say("watch 'lua'");
    debugged.wait_for(">");
    for n in 1..=2 {
        debugged.node.lua(&format!(
            "skynet.fork(function() skynet.error('request {n}:', pcall(skynet.call, {peer}, 'lua', 'add', 1, 1)) end)"
        ));
    }
    debugged.wait_for("eval(8)>");
    debugged.node.lua(&format!("skynet.send({peer}, 'debug', 'EXIT')"));
    debugged.node.log.wait_for("request 1: false");
    debugged.node.log.wait_for("request 2: false");
    debugged.node.wait_gone(debugged.peer);
}

#[test]
fn a_forgotten_debugger_does_not_fill_the_memory() {
    let debugged = debugged();
    let peer = debugged.peer.as_u32();
    debugged.say("watch 'lua'");
    debugged.wait_for(">");
    debugged.add(1, 2);
    debugged.wait_for("eval(8)>");
    debugged.node.lua(&format!("for i = 1, 16384 do skynet.send({peer}, 'lua', 'echo', i) end"));
    debugged.node.log.wait_for("16384 messages wait, so the stopped coroutine goes on");
    debugged.node.log.wait_for("the sum is 103");
    debugged.node.wait_until("all messages are handled", || {
        debugged.node.lua_in(debugged.peer, "return #handled >= 16385") == ["true"]
    });
    debugged.say("1 + 1");
    debugged.wait_for("2\n");
}
