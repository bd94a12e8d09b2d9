//! The standard services of a node: what boots, and what each answers.

mod support;

use std::time::Duration;

use skynet_rs::{Context, Handle, Message, MessageKind, Service, ServiceError};
use support::TestNode;

/// A native service that never answers, or answers each request with an error; tells the launcher that it runs.
struct Stubborn {
    refuses: bool,
}

impl Service for Stubborn {
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        if let Some(launcher) = ctx.query(".launcher") {
            ctx.send(launcher, MessageKind::TEXT, ())?;
        }
        Ok(())
    }

    fn handle(&mut self, _ctx: &mut Context<'_>, _message: Message) -> Result<(), ServiceError> {
        if self.refuses { Err("refused as asked".into()) } else { Ok(()) }
    }
}

/// A node on a manual clock with the native services `silent` and `refusing`.
fn node_with_stubborn_services() -> TestNode {
    support::start_with(support::config(), Some(skynet_rs::ManualClock::new()), |builder| {
        builder
            .service("silent", |_| Ok(Stubborn { refuses: false }))
            .service("refusing", |_| Ok(Stubborn { refuses: true }))
            // For a module that never reports.
            .service("mute", |_| Ok(Mute))
    })
}

struct Mute;

impl Service for Mute {
    fn handle(&mut self, _ctx: &mut Context<'_>, _message: Message) -> Result<(), ServiceError> {
        Ok(())
    }
}

fn assert_has(text: &str, part: &str) {
    assert!(text.contains(part), "{text:?} has no {part:?}");
}

// -- boot

#[test]
fn a_single_node_boots_its_services_in_the_known_order() {
    let node = support::node();
    node.log.wait_for("KILL self");
    assert_eq!(
        node.log.lines(),
        [
            "[:00000002] LAUNCH snlua bootstrap",
            "[:00000003] LAUNCH snlua launcher",
            "[:00000004] LAUNCH snlua cdummy",
            "[:00000005] LAUNCH harbor 0 4",
            "[:00000006] LAUNCH snlua datacenterd",
            "[:00000007] LAUNCH snlua service_mgr",
            "[:00000008] LAUNCH snlua eval",
            "[:00000002] KILL self",
        ]
    );
    let names = ["logger", "launcher", "cslave", "service", "eval"]
        .map(|name| node.runtime.query(&format!(".{name}")).map_or(0, Handle::as_u32));
    assert_eq!(names, [1, 3, 4, 7, 8]);
    assert_eq!(node.lua1("return skynet.getenv 'standalone'"), "true");
}

#[test]
fn a_start_script_that_fails_leaves_the_node_alive() {
    let config = support::config().set("start", "starter error");
    let log = support::Log::default();
    let runtime = skynet_rs::Runtime::builder()
        .config(config)
        .boot()
        .log_to(log.sink())
        .start()
        .expect("the node starts");
    log.wait_for("starter fails as asked");
    log.wait_for("[:00000002] KILL self");
    assert!(runtime.query(".launcher").is_some());
}

#[test]
fn a_node_without_harbor_whose_standalone_is_no_address_says_so_and_idles() {
    let config = support::config().set("standalone", "true");
    let log = support::Log::default();
    let runtime = skynet_rs::Runtime::builder()
        .config(config)
        .boot()
        .log_to(log.sink())
        .start()
        .expect("the node starts");
    log.wait_for("config: standalone must be host:port, where the master listens, not \"true\"");
    log.wait_for("[:00000002] KILL self");
    assert_eq!(runtime.services().len(), 2, "{:?}", runtime.services());
}

// -- launcher

#[test]
fn launch_answers_with_the_handle_once_the_service_has_started() {
    let node = support::node();
    let handle =
        node.lua_handle("return skynet.call('.launcher', 'lua', 'LAUNCH', 'snlua', 'starter', 'log', 'x')");
    node.log.wait_for(&format!("[{handle}] started with x"));
    assert_eq!(node.lua(&format!("return skynet.call({}, 'lua', 1)", handle.as_u32())), ["log", "x", "1"]);
    let list = node.lua1("return skynet.call('.launcher', 'lua', 'list')");
    assert_has(&list, &format!("{handle}=snlua starter log x"));
}

#[test]
fn launch_of_a_service_that_exits_itself_answers_nil() {
    let node = support::node();
    assert_eq!(node.lua("return skynet.newservice('starter', 'exit')"), ["nil"]);
    assert!(!node.lua1("return skynet.call('.launcher', 'lua', 'LIST')").contains("starter"));
}

#[test]
fn launch_of_a_service_that_fails_is_an_error() {
    let node = support::node();
    for (script, why) in [
        ("'starter', 'error'", "starter fails as asked"),
        ("'no_such_script'", "no_such_script"),
        ("'broken'", "syntax error"),
    ] {
        let answer = node.lua(&format!("return pcall(skynet.newservice, {script})"));
        assert_eq!(answer[0], "false", "{script}");
        assert_has(&answer[1], "call failed");
        node.log.wait_for(why);
    }
    let list = node.lua1("return skynet.call('.launcher', 'lua', 'LIST')");
    assert_eq!(list.matches(":000").count(), 4, "only cdummy, datacenterd, service_mgr and eval: {list}");
}

#[test]
fn a_killed_starter_is_an_error_to_who_launches_it() {
    let node = support::node();
    let answer = node.lua(
        "local t = {}
        skynet.fork(function()
            t.ok, t.err = pcall(skynet.newservice, 'starter', 'hang')
            skynet.wakeup(t)
        end)
        local handle
        repeat
            skynet.yield()
            for address, line in pairs(skynet.call('.launcher', 'lua', 'LIST')) do
                if line == 'snlua starter hang' then handle = address end
            end
        until handle
        local killed = skynet.call('.launcher', 'lua', 'KILL', handle)
        if t.ok == nil then skynet.wait(t) end
        return t.ok, t.err, killed[handle], next(skynet.call('.launcher', 'lua', 'LIST')) ~= nil,
            skynet.call('.launcher', 'lua', 'LIST')[handle]",
    );
    assert_eq!(answer[0], "false");
    assert_has(&answer[1], "call failed");
    assert_eq!(answer[2..], ["snlua starter hang", "true", "nil"]);
}

#[test]
fn a_starter_that_dies_without_a_word_is_noticed() {
    let node = support::node_with_manual_clock();
    let answer = node.lua_in_time(
        "local t = {}
        skynet.fork(function()
            t.ok = pcall(skynet.newservice, 'starter', 'hang')
            skynet.wakeup(t)
        end)
        local handle
        repeat
            skynet.yield()
            for address, line in pairs(skynet.call('.launcher', 'lua', 'LIST')) do
                if line == 'snlua starter hang' then handle = address end
            end
        until handle
        require 'skynet.core'.command('KILL', handle)   -- the launcher is not told
        if t.ok == nil then skynet.wait(t) end
        return t.ok, skynet.call('.launcher', 'lua', 'LIST')[handle]",
    );
    assert_eq!(answer, ["false", "nil"]);
}

#[test]
fn remove_answers_a_launch_under_way_with_nil_or_an_error() {
    let node = support::node();
    let snippet = |killed: bool| {
        format!(
            "local t = {{}}
            skynet.fork(function()
                t.r = table.pack(pcall(skynet.newservice, 'starter', 'hang'))
                skynet.wakeup(t)
            end)
            local handle
            repeat
                skynet.yield()
                for address, line in pairs(skynet.call('.launcher', 'lua', 'LIST')) do
                    if line == 'snlua starter hang' then handle = address end
                end
            until handle
            skynet.send('.launcher', 'lua', 'REMOVE', tonumber(handle:sub(2), 16), {killed})
            if not t.r then skynet.wait(t) end
            return t.r[1], t.r[1] and t.r[2]"
        )
    };
    assert_eq!(node.lua(&snippet(false)), ["true", "nil"]);
    assert_eq!(node.lua(&snippet(true)), ["false", "false"]);
}

#[test]
fn query_answers_with_the_service_that_a_session_is_launching() {
    let node = support::node();
    let answer = node.lua(
        "local starter
        skynet.fork(function() starter = coroutine.running() skynet.newservice('starter', 'hang') end)
        skynet.yield()
        local session = skynet.task(starter)
        local handle
        repeat handle = skynet.call('.launcher', 'lua', 'QUERY', session) until handle
        return skynet.call('.launcher', 'lua', 'LIST')[skynet.address(handle)],
            skynet.call('.launcher', 'lua', 'QUERY', session + 1000)",
    );
    assert_eq!(answer, ["snlua starter hang", "nil"]);
}

#[test]
fn loglaunch_logs_what_the_new_service_receives() {
    let folder = tempfile::tempdir().expect("a folder");
    let node = support::start(support::config().set("logpath", folder.path().display()), None);
    let handle = node
        .lua_handle("return skynet.call('.launcher', 'lua', 'LOGLAUNCH', 'snlua', 'starter', 'log', 'x')");
    node.log.wait_for("Open log file ");
    assert_eq!(node.lua(&format!("return skynet.call({}, 'lua', 1)", handle.as_u32())), ["log", "x", "1"]);
    let file = folder.path().join(format!("{:08x}.log", handle.as_u32()));
    let text = std::fs::read_to_string(file).expect("the message log is there");
    assert_has(&text, "open time: ");
    assert_has(&text, ":00000008 10 ");
}

#[test]
fn kill_answers_with_the_name_and_ends_the_service() {
    let node = support::node();
    let victim = node.launch_eval();
    let killed = node.lua1(&format!("return skynet.call('.launcher', 'lua', 'KILL', {})", victim.as_u32()));
    assert_eq!(killed, format!("{{{victim}=snlua eval nameless}}"));
    node.wait_gone(victim);
    node.log.wait_for(&format!("[:00000003] KILL :{:x}", victim.as_u32()));
    let killed = node.lua1("return skynet.call('.launcher', 'lua', 'KILL', ':7fff')");
    assert_eq!(killed, "{:00007fff=nil}");
}

#[test]
fn the_launcher_knows_its_words_in_any_case_and_no_others() {
    let node = support::node();
    assert_eq!(node.lua1("return skynet.call('.launcher', 'lua', 'DANCE')"), "{1=Unknown command}");
    assert_has(&node.lua1("return skynet.call('.launcher', 'lua', 'LiSt')"), "=snlua eval");
}

#[test]
fn a_module_that_is_missing_fails_its_launch() {
    let node = support::node();
    let answer = node.lua("return pcall(skynet.call, '.launcher', 'lua', 'LAUNCH', 'nosuch', 'x')");
    assert_eq!(answer[0], "false");
    assert_eq!(node.lua("return (skynet.launch('nosuch'))"), ["nil"]);
}

#[test]
fn a_native_module_reports_its_start_with_an_empty_text() {
    let node = node_with_stubborn_services();
    let handle = node.lua_handle("return skynet.call('.launcher', 'lua', 'LAUNCH', 'silent', 'a b')");
    let list = node.lua1("return skynet.call('.launcher', 'lua', 'LIST')");
    assert_has(&list, &format!("{handle}=silent a b"));
    node.lua(
        "skynet.register_protocol { name = 'text', id = 0, pack = function(text) return text end }
        skynet.redirect('.launcher', 99, 'text', 0, 'JUMP')",
    );
    node.log.wait_for("Invalid text command JUMP");
}

#[test]
fn a_module_that_never_reports_keeps_its_launcher_waiting() {
    let node = node_with_stubborn_services();
    let answer = node.lua_in_time(
        "local done = false
        skynet.fork(function() skynet.call('.launcher', 'lua', 'LAUNCH', 'mute') done = true end)
        skynet.sleep(1000)
        local handle
        for address, line in pairs(skynet.call('.launcher', 'lua', 'LIST')) do
            if line == 'mute' then handle = tonumber(address:sub(2), 16) end
        end
        local before = done
        skynet.register_protocol { name = 'text', id = 0, pack = function(text) return text end }
        skynet.redirect('.launcher', handle, 'text', 0, '')
        skynet.yield()
        skynet.call('.launcher', 'lua', 'LIST')
        return before, done",
    );
    assert_eq!(answer, ["false", "true"]);
}

/// The answer of a survey of all services, of whom two will not talk.
fn survey(node: &TestNode, question: &str) -> (String, Handle, Handle) {
    let silent = node.lua_handle("return skynet.call('.launcher', 'lua', 'LAUNCH', 'silent')");
    let refusing = node.lua_handle("return skynet.call('.launcher', 'lua', 'LAUNCH', 'refusing')");
    let answer = node.lua_in_time(&format!("return skynet.call('.launcher', 'lua', '{question}', 100)"));
    (answer[0].clone(), silent, refusing)
}

#[test]
fn stat_tells_who_is_too_late_and_who_fails() {
    let node = node_with_stubborn_services();
    let (stat, silent, refusing) = survey(&node, "STAT");
    assert_has(&stat, &format!("{silent}=TIMEOUT"));
    assert_has(&stat, &format!("{refusing}=ERROR"));
    assert_has(&stat, ":00000008={cpu=");
    assert_has(&stat, "message=");
    assert_has(&stat, "mqlen=");
    assert_has(&stat, "task=");
}

#[test]
fn mem_tells_the_memory_of_each_service() {
    let node = node_with_stubborn_services();
    let (mem, silent, refusing) = survey(&node, "MEM");
    assert_has(&mem, &format!("{silent}=TIMEOUT (silent)"));
    assert_has(&mem, &format!("{refusing}=ERROR (refusing)"));
    assert_has(&mem, " Kb (snlua eval)");
}

#[test]
fn gc_collects_everywhere_and_tells_the_memory() {
    let node = node_with_stubborn_services();
    let (mem, silent, _) = survey(&node, "GC");
    assert_has(&mem, &format!("{silent}=TIMEOUT (silent)"));
    assert_has(&mem, " Kb (snlua eval)");
    node.log.wait_for("[:00000008] GC ");
}

#[test]
fn without_a_timeout_a_survey_waits() {
    let node = support::node();
    assert_has(&node.lua1("return skynet.call('.launcher', 'lua', 'STAT')"), ":00000008={cpu=");
}

// -- service_mgr

#[test]
fn a_unique_service_is_started_once() {
    let node = support::node();
    let answer = node.lua(
        "local handles, done = {}, {}
        for i = 1, 3 do
            skynet.fork(function()
                handles[i] = skynet.uniqueservice('starter', 'log', 'once')
                if #handles == 3 then skynet.wakeup(done) end
            end)
        end
        skynet.wait(done)
        return handles[1] == handles[2] and handles[2] == handles[3],
            handles[1] == skynet.queryservice 'starter',
            skynet.call('.service', 'lua', 'LIST').starter == skynet.address(handles[1])",
    );
    assert_eq!(answer, ["true", "true", "true"]);
    assert_eq!(node.log.wait_for_count("started with once", 1).len(), 1);
}

#[test]
fn a_unique_service_that_failed_is_not_tried_again() {
    let node = support::node();
    let twice = node.lua(
        "local a = table.pack(pcall(skynet.uniqueservice, 'starter', 'error'))
        local b = table.pack(pcall(skynet.uniqueservice, 'starter', 'log', 'x'))
        local c = table.pack(skynet.call('.service', 'lua', 'QUERY', 'starter'))
        return a[1], b[1], a[2] == b[2], c[1], c[2], skynet.call('.service', 'lua', 'LIST').starter",
    );
    assert_eq!(twice[..4], ["false", "false", "true", "nil"]);
    assert_has(&twice[4], "call failed");
    assert_eq!(twice[5], format!("Error: {}", twice[4]));
    assert!(!node.log.has("started with x"));
}

#[test]
fn a_query_waits_until_somebody_launches_the_service() {
    let node = support::node();
    let answer = node.lua(
        "local found, done
        skynet.fork(function()
            found = skynet.queryservice 'starter'
            skynet.wakeup 'done'
        end)
        local waits = skynet.call('.service', 'lua', 'LIST').starter
        while not waits do skynet.yield() waits = skynet.call('.service', 'lua', 'LIST').starter end
        local before = found
        local handle = skynet.uniqueservice('starter', 'log', 'x')
        if not found then skynet.wait 'done' end
        return before, found == handle, waits",
    );
    assert_eq!(answer[..2], ["nil", "true"]);
    // Who waits is told with the stack of its coroutine.
    assert_has(&answer[2], ":00000008");
}

#[test]
fn a_cluster_wide_service_of_a_single_node_is_its_own() {
    let node = support::node();
    let answer = node.lua(
        "local handle = skynet.uniqueservice(true, 'starter', 'log', 'wide')
        return handle == skynet.queryservice(true, 'starter'), handle == skynet.uniqueservice(true, 'starter'),
            skynet.call('.service', 'lua', 'LIST')['@starter'] == skynet.address(handle),
            require 'skynet.harbor'.queryname 'SERVICE' == skynet.localname '.service'",
    );
    assert_eq!(answer, ["true", "true", "true", "true"]);
}

#[test]
fn the_service_manager_answers_what_it_cannot_do_with_a_text() {
    let node = support::node();
    let answer = node.lua("return skynet.call('.service', 'lua', 'DANCE')");
    assert_eq!(answer, ["nil", "Invalid command DANCE"]);
    assert_eq!(node.lua("return skynet.call('.service', 'lua', 'LAUNCH')")[0], "nil");
    assert_eq!(node.lua("return pcall(skynet.uniqueservice, true)")[0], "false");
}

#[test]
fn a_second_service_manager_gives_way() {
    let node = support::node();
    assert_eq!(node.lua("return skynet.newservice 'service_mgr'"), ["nil"]);
    node.log.wait_for(".service is already register by  :00000007");
}

// -- skynet.service

#[test]
fn a_service_from_a_function_is_made_once_and_can_be_closed() {
    let node = support::node();
    let answer = node.lua(
        "local service = require 'skynet.service'
        local function main(...)
            local skynet = require 'skynet'
            local words = table.pack(...)
            skynet.start(function()
                skynet.dispatch('lua', function() skynet.retpack(SERVICE_NAME, table.unpack(words)) end)
            end)
        end
        local a = service.new('cell', main, 1, 'two')
        local b = service.new('cell', main, 3)
        local said = table.concat({ skynet.call(a, 'lua') }, ' ')
        local queried = service.query 'cell'
        local listed = skynet.call('.launcher', 'lua', 'LIST')[skynet.address(a)]
        local closed = { service.close 'cell', service.close 'cell' }
        local dead = pcall(skynet.call, a, 'lua')
        local c = service.new('cell', main, 4)
        return a == b, queried == a, said, listed, closed[1], closed[2], dead, c ~= a, (select(2, skynet.call(c, 'lua')))",
    );
    assert_eq!(
        answer,
        [
            "true",
            "true",
            "service_cell 1 two",
            "snlua service_cell cell",
            "true",
            "false",
            "false",
            "true",
            "4"
        ]
    );
}

#[test]
fn a_query_for_a_service_from_a_function_waits_for_it() {
    let node = support::node();
    let answer = node.lua(
        "local service = require 'skynet.service'
        local found
        skynet.fork(function() found = service.query 'later' skynet.wakeup 'later' end)
        local provider = skynet.uniqueservice 'service_provider'
        local status
        repeat
            skynet.yield()
            local list = skynet.call(provider, 'debug', 'INFO')
            status = list.later and list.later.status
        until status == 'waiting(1)'
        local handle = service.new('later', function() require 'skynet'.start(function() end) end)
        if not found then skynet.wait 'later' end
        local info = skynet.call(provider, 'debug', 'INFO')[skynet.address(handle)]
        return found == handle, info.name, info.init, info.status, skynet.call(provider, 'lua', 'test', 'later') == handle,
            skynet.call(provider, 'lua', 'test', 'never')",
    );
    assert_eq!(answer, ["true", "later", "", "nil", "true", "nil"]);
}

#[test]
fn a_function_that_fails_to_become_a_service_is_remembered_until_closed() {
    let node = support::node();
    let answer = node.lua(
        "local service = require 'skynet.service'
        local function bad() error 'the function fails' end
        local function good() require 'skynet'.start(function() end) end
        local a = pcall(service.new, 'shaky', bad)
        local b = pcall(service.new, 'shaky', good)
        local c = pcall(service.query, 'shaky')
        local d = service.close 'shaky'
        local e = pcall(service.new, 'shaky', good)
        return a, b, c, d, e",
    );
    assert_eq!(answer, ["false", "false", "false", "false", "true"]);
    node.log.wait_for("the function fails");
}

#[test]
fn a_service_cell_without_a_dispatcher_refuses_requests() {
    let node = support::node();
    let answer = node.lua(
        "local handle = require 'skynet.service'.new('plain', function() require 'skynet' end)
        return pcall(skynet.call, handle, 'lua', 'x')",
    );
    assert_eq!(answer[0], "false");
    node.log.wait_for("No dispatch function");
}

// -- datacenter

#[test]
fn the_datacenter_keeps_a_tree_of_values() {
    let node = support::node();
    let answer = node.lua(
        "local dc = require 'skynet.datacenter'
        return dc.set('a', 'b', 1), dc.set('a', 'b', 2), dc.get('a', 'b'), dc.get('a').b, dc.get('a', 'x'),
            dc.get('x', 'y', 'z'), dc.get('a', nil, 'b').b, dc.set('a', 'b', nil), dc.get('a', 'b')",
    );
    assert_eq!(answer, ["nil", "1", "2", "2", "nil", "nil", "2", "2", "nil"]);
}

#[test]
fn the_datacenter_refuses_a_path_through_a_value() {
    let node = support::node();
    let answer = node.lua(
        "local dc = require 'skynet.datacenter'
        dc.set('a', 'b', 1)
        return pcall(dc.get, 'a', 'b', 'c'), (pcall(dc.set, 'a', 'b', 'c', 1)), dc.get('a', 'b')",
    );
    assert_eq!(answer[0], "false");
    assert_eq!(answer[answer.len() - 2..], ["false", "1"]);
}

#[test]
fn a_wait_in_the_datacenter_ends_when_exactly_its_path_is_set() {
    let node = support::node();
    let answer = node.lua(
        "local dc = require 'skynet.datacenter'
        local got = {}
        local function wait(key, ...)
            local path = table.pack(...)
            skynet.fork(function()
                got[key] = table.concat({ tostring(select(2, pcall(dc.wait, table.unpack(path)))) })
                skynet.wakeup(key)
            end)
        end
        wait('exact', 'a', 'b')
        wait('twin', 'a', 'b')
        wait('deep', 'p', 'q', 'r')
        wait('cut', 'm', 'n')
        skynet.yield()
        dc.get('a')                                -- the waits have arrived when this is answered
        dc.set('p', { q = { r = 5 } })             -- a shorter path wakes nobody
        dc.set('m', 'n', 'o', 1)                   -- a longer one fails who waits
        dc.set('a', 'b', 7)
        for _, key in ipairs { 'exact', 'twin', 'cut' } do if not got[key] then skynet.wait(key) end end
        return got.exact, got.twin, got.deep, got.cut, dc.wait('a', 'b'), dc.wait('p', 'q', 'r')",
    );
    assert_eq!(answer[..3], ["7", "7", "nil"]);
    assert_has(&answer[3], "call failed");
    assert_eq!(answer[4..], ["7", "5"]);
}

#[test]
fn nobody_waits_in_the_datacenter_for_part_of_a_path_that_is_waited_for() {
    let node = support::node();
    let answer = node.lua(
        "local dc = require 'skynet.datacenter'
        skynet.fork(dc.wait, 'a', 'b')
        skynet.yield()
        dc.get('a')
        return (pcall(dc.wait, 'a')), (pcall(dc.wait, 'a', 'b', 'c'))",
    );
    assert_eq!(answer, ["false", "false"]);
}

#[test]
fn the_datacenter_refuses_words_and_keys_that_it_does_not_know() {
    let node = support::node();
    let answer = node.lua(
        "local dc = require 'skynet.datacenter'
        return (pcall(skynet.call, 'DATACENTER', 'lua', 'DANCE')), (pcall(dc.set, 'a')), (pcall(dc.set, nil, 1)),
            (pcall(dc.wait, nil))",
    );
    assert_eq!(answer, ["false", "false", "false", "false"]);
}

// -- harbor on a single node

#[test]
fn a_global_name_is_found_by_the_harbor_and_by_the_slave() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer = node.lua(&format!(
        "local harbor = require 'skynet.harbor'
        harbor.globalname('PEER', {peer})
        return harbor.queryname 'PEER' == {peer}, skynet.call('PEER', 'lua', 'echo', 'by name'),
            harbor.queryname '.eval' == skynet.self(), (harbor.queryname '.nobody')",
        peer = peer.as_u32()
    ));
    assert_eq!(answer, ["true", "by name", "true", "nil"]);
}

#[test]
fn what_is_sent_to_a_name_waits_until_the_name_is_known() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer = node.lua(&format!(
        "local said, found
        skynet.fork(function() said = skynet.call('LATER', 'lua', 'echo', 'patience') skynet.wakeup 'said' end)
        skynet.fork(function() found = require 'skynet.harbor'.queryname 'LATER' skynet.wakeup 'found' end)
        skynet.yield()
        local before = said or found
        skynet.name('LATER', {peer})
        if not said then skynet.wait 'said' end
        if not found then skynet.wait 'found' end
        return before, said, found == {peer}",
        peer = peer.as_u32()
    ));
    assert_eq!(answer, ["nil", "patience", "true"]);
}

#[test]
fn a_call_to_another_node_fails_with_a_line_in_the_log() {
    let node = support::node();
    let answer = node.lua("return pcall(skynet.call, 0x02000009, 'lua', 'x')");
    assert_eq!(answer[0], "false");
    assert_has(&answer[1], "call failed");
    let line = node.log.wait_for("Drop message to harbor 2 from 8 to 2000009 (session = ");
    assert!(line.ends_with("msgsz = 2)"), "{line}");
    // A send succeeds here; who sent it is not disturbed.
    assert_eq!(node.lua("return skynet.send(0x02000009, 'lua', 'x')"), ["0"]);
    node.log.wait_for_count("Drop message to harbor 2 from 8 to 2000009", 2);
    assert_eq!(node.lua("return 1"), ["1"]);
}

#[test]
fn a_global_name_of_a_service_that_ended_fails_its_callers() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer = node.lua(&format!(
        "skynet.name('GONE', {peer})
        assert(skynet.call('GONE', 'lua', 'echo', true))
        skynet.kill({peer})
        return pcall(skynet.call, 'GONE', 'lua', 'echo')",
        peer = peer.as_u32()
    ));
    assert_eq!(answer[0], "false");
    assert_has(&answer[1], "call failed");
}

#[test]
fn a_taken_global_name_is_refused() {
    let node = support::node();
    let peer = node.launch_eval();
    let answer = node.lua(&format!(
        "skynet.name('MINE', skynet.self())
        skynet.name('MINE', {peer})
        return require 'skynet.harbor'.queryname 'MINE' == skynet.self()",
        peer = peer.as_u32()
    ));
    assert_eq!(answer, ["true"]);
    node.log.wait_for("the global name MINE belongs to :00000008");
}

#[test]
fn a_single_node_links_at_once_and_connects_never() {
    let node = support::node();
    let answer = node.lua(
        "local harbor = require 'skynet.harbor'
        harbor.link(2)
        local connected = false
        skynet.fork(function() harbor.connect(2) connected = true end)
        skynet.yield()
        harbor.link(2)
        return connected, (pcall(harbor.linkmaster))",
    );
    assert_eq!(answer, ["false", "false"]);
    node.log.wait_for("Can't connect to other harbor in single node mode");
}

#[test]
fn the_harbor_module_refuses_what_it_does_not_understand() {
    let node = support::node();
    node.lua(
        "skynet.register_protocol { name = 'harbor', id = skynet.PTYPE_HARBOR, pack = function(t) return t end }
        skynet.send(5, 'harbor', 'Z what')
        skynet.send(5, 'harbor', 'N ')
        skynet.send(5, 'harbor', 'N abcdefghijklmnop')",
    );
    node.log.wait_for("Unknown command Z what");
    node.log.wait_for("Invalid global name abcdefghijklmnop");
    let answer = node.lua("return pcall(skynet.call, 5, 'lua', 'x')");
    assert_eq!(answer[0], "false");
    node.log.wait_for("recv invalid message from 8,  type = 10");
}

// -- mqueue, cmemory

#[test]
fn a_message_queue_handles_one_after_another() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(
        peer,
        "local mqueue = require 'skynet.mqueue'
        order = {}
        mqueue.register(function(name, turns)
            if turns == 'error' then error('the queue fails', 0) end
            table.insert(order, name)
            for _ = 1, turns do skynet.yield() end
            table.insert(order, name)
            return name, turns
        end)",
    );
    let peer = peer.as_u32();
    let answer = node.lua(&format!(
        "local mqueue = require 'skynet.mqueue'
        mqueue.send({peer}, 'slow', 5)
        local a, b = mqueue.call({peer}, 'fast', 0)
        local ok, err = pcall(mqueue.call, {peer}, 'bad', 'error')
        mqueue.send({peer}, 'bad', 'error')
        local c = mqueue.call({peer}, 'after', 1)
        return a, b, ok, err, c"
    ));
    assert_eq!(answer, ["fast", "0", "false", "the queue fails", "after"]);
    let order = node
        .lua_in(Handle::from_u32(peer), "return table.concat(order, ' '), require 'skynet.mqueue'.size()");
    assert_eq!(order, ["slow slow fast fast after after", "0"]);
    node.log.wait_for("whose result nobody receives");
    node.log.wait_for("which failed: the queue fails");
}

#[test]
fn a_message_queue_keeps_what_comes_before_its_handler() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(peer, "mqueue = require 'skynet.mqueue'");
    let answer = node.lua(&format!(
        "local mqueue = require 'skynet.mqueue'
        local got
        skynet.fork(function() got = mqueue.call({peer}, 'early') skynet.wakeup 'got' end)
        skynet.yield()
        skynet.call({peer}, 'lua', 'eval', [[
            mqueue.register(function(word) return word .. ' is handled' end)
        ]])
        if not got then skynet.wait 'got' end
        return got",
        peer = peer.as_u32()
    ));
    assert_eq!(answer, ["early is handled"]);
}

#[test]
fn cmemory_prints_and_ends() {
    let node = support::node();
    assert_eq!(node.lua("return skynet.newservice 'cmemory'"), ["nil"]);
}

#[test]
fn stubborn_services_do_not_hold_up_the_test_clock() {
    let node = node_with_stubborn_services();
    let started = node.lua1("return skynet.now()");
    node.advance(Duration::from_secs(3600));
    let later = node.lua1("return skynet.now()");
    let number = |text: &str| text.parse::<u64>().expect("now is a number");
    assert_eq!(number(&later) - number(&started), 360_000);
}

#[test]
fn without_a_harbor_service_what_goes_elsewhere_is_refused() {
    let node = support::node();
    let answer = node.lua("skynet.kill(5) return (pcall(skynet.call, 0x02000009, 'lua', 'x'))");
    assert_eq!(answer, ["false"]);
    node.log.wait_for("no harbor service carries a message to :02000009");
    // Another one may take its place, but there are no two.
    let answer = node.lua(
        "local harbor = skynet.launch('harbor', 0, skynet.self())
        return harbor ~= nil, (skynet.launch('harbor', 0, skynet.self())), (pcall(skynet.call, 0x02000009, 'lua', 'x'))",
    );
    assert_eq!(answer, ["true", "nil", "false"]);
    node.log.wait_for("Drop message to harbor 2 from 8 to 2000009");
    // The node still counts its services as they are.
    assert!(!node.runtime.wait_within(Duration::from_millis(1)));
    node.runtime.shutdown();
    assert!(node.runtime.services().is_empty());
}
