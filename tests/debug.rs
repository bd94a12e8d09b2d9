//! The debug protocol, what a console asks of any service; and `skynet.manager`, what one service may do to others.

mod support;

use skynet_rs::Handle;
use support::TestNode;

/// Asks a fresh service that only answers, and has loaded nothing but what it needs.
fn starter(node: &TestNode) -> u32 {
    node.lua_handle("return skynet.newservice('starter', 'log', 'x')").as_u32()
}

fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "{text:?} has no {part:?}");
}

// -- the debug protocol

#[test]
fn mem_answers_with_kilobytes() {
    let node = support::node();
    let to = starter(&node);
    let answer = node.lua(&format!(
        "local kb = skynet.call({to}, 'debug', 'MEM') return math.type(kb), kb > 1, kb < 1000"
    ));
    assert_eq!(answer, ["float", "true", "true"]);
}

#[test]
fn gc_logs_what_it_won() {
    let node = support::node();
    let to = starter(&node);
    assert!(node.lua(&format!("return skynet.call({to}, 'debug', 'GC')")).is_empty());
    let line = node.log.wait_for(&format!("[{}] GC ", Handle::from_u32(to)));
    assert!(line.contains(" Kb -> ") && line.contains(" Kb, cost ") && line.ends_with(" sec"), "{line}");
}

#[test]
fn stat_has_four_figures() {
    let node = support::node();
    let to = starter(&node);
    let answer = node.lua(&format!(
        "local s = skynet.call({to}, 'debug', 'STAT')
        local count = 0
        for _ in pairs(s) do count = count + 1 end
        return count, math.type(s.task), math.type(s.mqlen), math.type(s.cpu), math.type(s.message), s.message > 0"
    ));
    assert_eq!(answer, ["4", "integer", "integer", "float", "integer", "true"]);
}

#[test]
fn task_shows_the_stacks_of_what_waits() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(peer, "skynet.fork(function() waiter = coroutine.running() skynet.wait 'never' end)");
    let peer = peer.as_u32();
    let answer = node.lua(&format!(
        "local all = skynet.call({peer}, 'debug', 'TASK')
        local key, trace = next(all)
        local session = key:match 'session: (%d+)'
        return key, trace, next(all, key), skynet.call({peer}, 'debug', 'TASK', session),
            skynet.call({peer}, 'debug', 'TASK', 987654), tostring(skynet.call({peer}, 'debug', 'TASK', 'init'))"
    ));
    assert!(answer[0].starts_with("thread: "), "{answer:?}");
    assert_has(&answer[1], "stack traceback");
    assert_has(&answer[1], "eval:1");
    assert_eq!(answer[2], "nil");
    assert_eq!(answer[3], answer[1]);
    assert_eq!(answer[4], "No session");
}

#[test]
fn task_init_shows_where_a_start_hangs() {
    let node = support::node();
    let answer = node.lua(
        "skynet.fork(skynet.newservice, 'starter', 'hang')
        local handle
        repeat
            skynet.yield()
            for address, line in pairs(skynet.call('.launcher', 'lua', 'LIST')) do
                if line == 'snlua starter hang' then handle = address end
            end
        until handle
        local trace
        repeat
            -- Asked right after the launch, the start has not begun.
            trace = skynet.call(handle, 'debug', 'TASK', 'init')
        until trace:find('starter.lua', 1, true)
        return trace",
    );
    assert_has(&answer[0], "starter.lua");
    assert_has(&answer[0], "wait'");
}

#[test]
fn uniqtask_counts_equal_stacks() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(peer, "for _ = 1, 3 do skynet.fork(function() skynet.wait({}) end) end");
    let answer = node.lua(&format!(
        "local key, trace = next(skynet.call({}, 'debug', 'UNIQTASK')) return key, trace",
        peer.as_u32()
    ));
    assert!(answer[0].starts_with("3\tsessions:["), "{answer:?}");
    assert_has(&answer[1], "eval:1");
}

#[test]
fn killtask_ends_what_matches() {
    let node = support::node();
    let peer = node.launch_eval();
    let thread = node.lua_in(
        peer,
        "closed = false
        local thread = skynet.fork(function()
            local _ <close> = setmetatable({}, { __close = function() closed = true end })
            skynet.wait 'never'
        end)
        skynet.yield()
        return thread",
    );
    let ask = |pattern: &str| {
        node.lua(&format!("return skynet.call({}, 'debug', 'KILLTASK', '{pattern}')", peer.as_u32()))
    };
    assert_eq!(ask("nothing like this"), ["Not found"]);
    node.log.wait_for("Kill nothing like this : Not found");
    assert!(ask(&thread[0]).is_empty());
    node.log.wait_for(&format!("Kill {}", thread[0]));
    assert_eq!(node.lua_in(peer, "return closed"), ["true"]);
}

#[test]
fn info_answers_what_the_service_wants_to_say() {
    let node = support::node();
    let to = starter(&node);
    assert_eq!(node.lua(&format!("return skynet.call({to}, 'debug', 'INFO')")), ["nil"]);
    let peer = node.launch_eval();
    node.lua_in(peer, "skynet.info_func(function(...) return { asked = table.concat({ ... }, '+') } end)");
    let answer = node.lua(&format!("return skynet.call({}, 'debug', 'INFO', 'a', 'b')", peer.as_u32()));
    assert_eq!(answer, ["{asked=a+b}"]);
}

#[test]
fn exit_ends_the_service() {
    let node = support::node();
    let to = starter(&node);
    node.lua(&format!("skynet.send({to}, 'debug', 'EXIT')"));
    node.wait_gone(Handle::from_u32(to));
    node.log.wait_for(&format!("[{}] KILL self", Handle::from_u32(to)));
}

#[test]
fn run_runs_source_in_the_service_and_tells_what_it_printed() {
    let node = support::node();
    let peer = node.launch_eval();
    let run = |source: &str| {
        node.lua(&format!(
            "return skynet.call({}, 'debug', 'RUN', [[{source}]], '=injected', 'one')",
            peer.as_u32()
        ))
    };
    assert_eq!(run("print('sees', ...) print(type(_P.lua), type(_U))"), ["true", "sees\tone\ntable\ttable"]);
    assert_eq!(run("injected_value = 5"), ["true", ""]);
    let failed = run("print 'before' error 'fails'");
    assert_eq!(failed[0], "false");
    assert!(failed[1].starts_with("before\ninjected:1: fails\nstack traceback:"), "{failed:?}");
    let broken = run("this is no Lua");
    assert_eq!(broken[0], "false");
    assert_has(&broken[1], "injected:1:");
    // What it can reach: the locals of the handlers.
    assert_eq!(run("print(type(_P.lua.commands.echo))"), ["true", "function"]);
}

#[test]
fn term_makes_calls_to_an_address_fail() {
    let node = support::node();
    let (peer, held) = (node.launch_eval(), node.launch_eval());
    node.lua_in(
        peer,
        &format!("skynet.fork(function() result = pcall(skynet.call, {}, 'lua', 'hold') skynet.wakeup 'result' end)", held.as_u32()),
    );
    node.lua(&format!("skynet.send({}, 'debug', 'TERM', {})", peer.as_u32(), held.as_u32()));
    assert_eq!(node.lua_in(peer, "if result == nil then skynet.wait 'result' end return result"), ["false"]);
    assert!(!node.log.has("forgot"), "{:#?}", node.log.lines());
}

#[test]
fn support_tells_which_protocols_are_handled() {
    let node = support::node();
    let to = starter(&node);
    let answer = node.lua(&format!(
        "local function ask(name) return skynet.call({to}, 'debug', 'SUPPORT', name) end
        return ask 'lua', ask 'debug', ask 'snax', ask 'response'"
    ));
    assert_eq!(answer, ["true", "true", "false", "false"]);
}

#[test]
fn ping_is_answered_with_nothing() {
    let node = support::node();
    let to = starter(&node);
    assert!(node.lua(&format!("return skynet.call({to}, 'debug', 'PING')")).is_empty());
}

#[test]
fn a_link_breaks_when_the_service_ends() {
    for end in ["skynet.send(PEER, 'debug', 'EXIT')", "skynet.kill(PEER)"] {
        let node = support::node();
        let peer = starter(&node);
        let end = end.replace("PEER", &peer.to_string());
        let answer = node.lua(&format!(
            "local ok
            skynet.fork(function() ok = pcall(skynet.call, {peer}, 'debug', 'LINK') skynet.wakeup 'link' end)
            skynet.yield()
            skynet.call({peer}, 'debug', 'PING')
            local before = ok
            {end}
            if ok == nil then skynet.wait 'link' end
            return before, ok"
        ));
        assert_eq!(answer, ["nil", "false"], "{end}");
    }
}

#[test]
fn tracelog_turns_tracing_on_and_off() {
    let node = support::node();
    let peer = starter(&node);
    let answer = node.lua(&format!(
        "skynet.call({peer}, 'debug', 'TRACELOG', true)
        skynet.call({peer}, 'lua', 1)
        skynet.call({peer}, 'debug', 'TRACELOG', 'lua', false)
        return 'traced'"
    ));
    assert_eq!(answer, ["traced"]);
    node.log.wait_for("Turn trace log true for lua");
    node.log.wait_for("Turn trace log false for lua");
    node.log.wait_for("<TRACE ");
}

#[test]
fn an_unknown_debug_command_fails() {
    let node = support::node();
    let to = starter(&node);
    let answer = node.lua(&format!("return pcall(skynet.call, {to}, 'debug', 'DANCE')"));
    assert_eq!(answer[0], "false");
    node.log.wait_for("DANCE");
    assert_eq!(node.lua(&format!("return skynet.call({to}, 'lua', 1)")), ["log", "x", "1"]);
}

#[test]
fn a_service_may_add_debug_commands() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(peer, "require 'skynet.debug'.reg_debugcmd('DOUBLE', function(n) skynet.retpack(2 * n) end)");
    assert_eq!(node.lua(&format!("return skynet.call({}, 'debug', 'DOUBLE', 21)", peer.as_u32())), ["42"]);
}

// -- skynet.manager

#[test]
fn a_local_name_belongs_to_its_first_owner_until_that_ends() {
    let node = support::node();
    let (first, second) = (node.launch_eval(), node.launch_eval());
    let answer = node.lua(&format!(
        "skynet.name('.db', {first})
        skynet.name('.db', {second})
        local owner = skynet.localname '.db'
        skynet.kill '.db'
        return owner == {first}, (skynet.localname '.db')",
        first = first.as_u32(),
        second = second.as_u32()
    ));
    assert_eq!(answer, ["true", "nil"]);
    node.lua_in(second, "skynet.register '.db'");
    assert_eq!(node.runtime.query(".db"), Some(second));
}

#[test]
fn names_that_cannot_be_are_refused() {
    let node = support::node();
    for name in ["'abcdefghijklmnop'", "'12'", "':8'", "''", "nil"] {
        assert_eq!(node.lua(&format!("return (pcall(skynet.register, {name}))")), ["false"], "{name}");
        assert_eq!(
            node.lua(&format!("return (pcall(skynet.name, {name}, skynet.self()))")),
            ["false"],
            "{name}"
        );
    }
    assert_eq!(node.lua("return (pcall(skynet.name, '.x', 'no address'))"), ["false"]);
}

#[test]
fn kill_takes_numbers_addresses_and_names() {
    let node = support::node();
    for form in ["HANDLE", "':HEX'", "'.victim'"] {
        let victim = node.launch_eval();
        node.lua_in(victim, "skynet.register '.victim'");
        let form = form
            .replace("HANDLE", &victim.as_u32().to_string())
            .replace("HEX", &format!("{:x}", victim.as_u32()));
        node.lua(&format!("skynet.kill({form})"));
        node.wait_gone(victim);
        let list = node.lua1("return skynet.call('.launcher', 'lua', 'LIST')");
        assert!(!list.contains(&victim.to_string()), "{form}: {list}");
    }
}

#[test]
fn killing_nobody_harms_nobody() {
    let node = support::node();
    node.lua("skynet.kill(0x7ffe) skynet.kill '.nobody' skynet.kill ':7ffd'");
    assert_eq!(node.lua("return (pcall(skynet.kill, {}))"), ["false"]);
    assert_eq!(node.lua("return 1"), ["1"]);
    node.lua("require 'skynet.core'.command('KILL', 'rubbish')");
    node.log.wait_for("error: Can't convert rubbish to handle");
}

#[test]
fn the_exit_monitor_hears_of_each_end() {
    let node = support::node();
    let monitor = node.lua_handle("return skynet.monitor 'watcher'");
    assert_eq!(node.lua("return skynet.monitor('watcher', true)"), [monitor.as_u32().to_string()]);
    assert_eq!(
        node.lua("return require 'skynet.core'.command 'MONITOR'"),
        [format!(":{:x}", monitor.as_u32())]
    );
    let killed = node.launch_eval();
    node.runtime.kill(killed);
    node.log.wait_for(&format!("[{monitor}] ended: {killed}"));
    let quits = node.launch_eval();
    node.lua(&format!("skynet.send({}, 'lua', 'quit')", quits.as_u32()));
    node.log.wait_for(&format!("[{monitor}] ended: {quits}"));
}

#[test]
fn a_monitor_that_does_not_start_is_an_error() {
    let node = support::node();
    assert_eq!(node.lua("return pcall(skynet.monitor, 'no_such_script')")[0], "false");
}

#[test]
fn forward_type_hands_messages_on_untouched() {
    let node = support::node();
    let proxy =
        node.lua_handle(&format!("return skynet.newservice('forwarder', {})", node.launch_eval().as_u32()));
    let answer = node.lua(&format!(
        "return skynet.call({}, 'lua', 'echo', 'through', {{ 1, 2 }}, ('x'):rep(5000):len())",
        proxy.as_u32()
    ));
    assert_eq!(answer, ["through", "{1=1,2=2}", "5000"]);
    node.lua(&format!("for i = 1, 1000 do skynet.call({}, 'lua', 'echo', i) end", proxy.as_u32()));
}

#[test]
fn filter_sees_each_message_first() {
    let node = support::node();
    let filtered = node.lua_handle("return skynet.newservice('filtering')");
    let answer = node.lua(&format!("return skynet.call({}, 'lua', 'hello')", filtered.as_u32()));
    assert_eq!(answer[0], "hello");
    assert!(answer[1].parse::<u32>().expect("a count") >= 1, "{answer:?}");
}

#[test]
fn abort_ends_the_node() {
    let node = support::node();
    node.runtime
        .send(
            node.eval,
            skynet_rs::MessageKind::LUA,
            skynet_rs::packed::to_payload(&("eval", "skynet.abort()")).expect("strings are packed"),
        )
        .expect("it is sent");
    assert!(node.runtime.wait_within(support::DEADLINE));
    assert!(node.runtime.services().is_empty());
}
