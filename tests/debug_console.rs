//! The debug console, as an operator sees it: through TCP. Its commands; `debug_console_door.rs` has the rest.

#[path = "support/console.rs"]
mod console;
mod support;

use console::{Client, Shown, console, console_of};
use skynet_rs::Handle;

fn handle_in(line: &str) -> Handle {
    let address = line.split('\t').next().expect("a column");
    address.parse().unwrap_or_else(|_| panic!("{line:?} does not begin with an address"))
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}

// -- the line protocol

#[test]
fn a_client_is_welcomed_and_logged() {
    let (node, port) = console();
    let mut client = Client::new(port);
    let local = client.stream.local_addr().expect("it has one");
    node.log.wait_for(&format!("{local} connected"));
    assert_eq!(client.run("getenv no_such_key").one(), "no_such_key\tnil");
    drop(client);
    node.log.wait_for(&format!("{local} disconnect"));
}

#[test]
fn an_unknown_command_is_an_error_of_three_lines() {
    let (_node, port) = console();
    let mut client = Client::new(port);
    client.say("dance\n");
    assert_eq!(client.line(), "Invalid command, type help for command list");
    assert_eq!(client.line(), "");
    assert_eq!(client.line(), "<CMD Error>");
}

#[test]
fn empty_lines_say_nothing_and_returns_do_not_count() {
    let (_node, port) = console();
    let mut client = Client::new(port);
    client.say("\n\r\n   \n");
    client.say("getenv thread\r\n");
    assert_eq!(client.shown().one(), "thread\t2");
}

#[test]
fn help_tells_of_every_command() {
    let (_node, port) = console();
    let mut client = Client::new(port);
    let shown = client.run("help");
    let names: Vec<&str> = shown.lines.iter().filter_map(|line| line.split('\t').next()).collect();
    let mut sorted = names.clone();
    sorted.sort_unstable();
    assert_eq!(names, sorted);
    for name in [
        "help",
        "list",
        "stat",
        "mem",
        "gc",
        "info",
        "exit",
        "kill",
        "start",
        "log",
        "snax",
        "clearcache",
        "service",
        "task",
        "uniqtask",
        "killtask",
        "inject",
        "logon",
        "logoff",
        "debug",
        "signal",
        "cmem",
        "jmem",
        "ping",
        "call",
        "trace",
        "netstat",
        "profactive",
        "dumpheap",
        "dbgcmd",
        "getenv",
        "setenv",
    ] {
        assert!(names.contains(&name), "{name} is missing");
    }
    // None of them is unknown.
    for name in names.iter().filter(|name| !["exit", "gc", "mem"].contains(*name)) {
        assert!(!client.run(name).has("Invalid command"), "{name}");
    }
}

// -- services

#[test]
fn list_and_start_and_kill() {
    let (node, port) = console();
    let mut client = Client::new(port);
    let shown = client.run("start eval nameless");
    let started = handle_in(shown.one());
    assert_eq!(shown.one(), format!("{started}\teval"));
    let list = client.run("list");
    assert!(list.has(&format!("{started}\tsnlua eval nameless")), "{list:?}");
    assert!(list.has("snlua debug_console 0"), "{list:?}");
    let mut sorted = list.lines.clone();
    sorted.sort_unstable();
    assert_eq!(list.lines, sorted);
    assert_eq!(client.run(&format!("kill {started}")).one(), format!("{started}\tsnlua eval nameless"));
    node.wait_gone(started);
    assert_eq!(client.run(&format!("kill {started}")).one(), format!("{started}\tnil"));
    assert_eq!(client.run("start no_such_script").one(), "Failed");
    assert_eq!(client.run("start starter exit").one(), "Exit");
    assert!(!client.run("start").ok);
}

#[test]
fn exit_asks_a_service_to_end() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    assert!(client.run(&format!("exit {peer}")).ok);
    node.wait_gone(peer);
}

#[test]
fn addresses_have_three_forms() {
    let (node, port) = console();
    let peer = node.launch_eval();
    node.lua_in(peer, "skynet.register '.peer'");
    let mut client = Client::new(port);
    for form in [format!("{peer}"), format!("{:x}", peer.as_u32()), ".peer".to_owned()] {
        let shown = client.run(&format!("ping {form}"));
        assert!(shown.one().parse::<u32>().is_ok(), "{form}: {shown:?}");
    }
    for (form, problem) in [
        ("", "Need an address"),
        ("xyz", "Need an address"),
        (":", "Need an address"),
        (":123456789", "Need an address"),
        (".nobody", "Not a valid name"),
    ] {
        let shown = client.run(&format!("ping {form}"));
        assert!(!shown.ok && shown.has(problem), "{form}: {shown:?}");
    }
}

#[test]
fn surveys_show_every_service() {
    let (node, port) = console();
    let mut client = Client::new(port);
    let eval = node.eval;
    let stat = client.run("stat");
    let line = stat.lines.iter().find(|line| line.starts_with(&eval.to_string())).expect("it is there");
    let fields: Vec<&str> = line.split('\t').skip(1).collect();
    assert_eq!(fields.len(), 4, "{line}");
    for (field, name) in fields.iter().zip(["cpu:", "message:", "mqlen:", "task:"]) {
        assert!(field.strip_prefix(name).is_some_and(is_number), "{line}");
    }
    for command in ["mem", "gc", "mem 100", "mem 0"] {
        let shown = client.run(command);
        let line = shown.lines.iter().find(|line| line.starts_with(&eval.to_string())).expect("it is there");
        let memory = line.split('\t').nth(1).expect("two columns");
        let (kilobytes, name) = memory.split_once(" Kb ").expect("kilobytes");
        assert!(is_number(kilobytes) && name == "(snlua eval)", "{line}");
    }
    assert!(!client.run("stat soon").ok);
}

#[test]
fn a_survey_does_not_wait_for_who_hangs() {
    let (node, port) = console();
    let peer = node.launch_eval();
    node.runtime
        .send(
            peer,
            skynet_rs::MessageKind::LUA,
            skynet_rs::packed::to_payload(&("eval", "while true do end")).expect("strings are packed"),
        )
        .expect("it is sent");
    let mut client = Client::new(port);
    assert_eq!(
        client.run("stat 20").lines.iter().filter(|line| **line == format!("{peer}\tTIMEOUT")).count(),
        1
    );
    assert!(client.run("mem 20").has(&format!("{peer}\tTIMEOUT (snlua eval nameless)")));
    // The signal ends the loop.
    assert!(client.run(&format!("signal {peer}")).ok);
    node.log.wait_for("signal 0");
    assert!(client.run(&format!("ping {peer}")).ok);
}

#[test]
fn service_lists_the_unique_ones() {
    let (node, port) = console();
    let unique = node.lua_handle("return skynet.uniqueservice('eval', 'nameless')");
    let mut client = Client::new(port);
    let shown = client.run("service");
    assert!(shown.ok && shown.has(&unique.to_string()), "{shown:?}");
}

#[test]
fn snax_services_are_started_by_name() {
    let (_node, port) = console();
    assert_eq!(Client::new(port).run("snax no_such_service").one(), "Failed");
}

// -- looking into one

#[test]
fn info_shows_what_the_service_says() {
    let (node, port) = console();
    let peer = node.launch_eval();
    node.lua_in(
        peer,
        "skynet.info_func(function(what)
            if what == 'text' then return 'a text' end
            if what == 'nothing' then return nil end
            return { b = 2, a = { y = true, x = 'deep' }, [1] = 'first' }
        end)",
    );
    let mut client = Client::new(port);
    assert_eq!(client.run(&format!("info {peer} text")).one(), "a text");
    assert_eq!(client.run(&format!("info {peer} nothing")), Shown { lines: vec![], ok: true });
    assert_eq!(client.run(&format!("info {peer}")).lines, ["1\tfirst", "a\tx:deep\ty:true", "b\t2"]);
}

#[test]
fn tasks_are_shown_and_ended() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let thread = node.lua_in(
        peer,
        "local threads = {} for i = 1, 3 do threads[i] = skynet.fork(function() skynet.wait {} end) end
        skynet.yield()
        return threads[1]",
    );
    let mut client = Client::new(port);
    let shown = client.run(&format!("task {peer}"));
    assert_eq!(shown.lines.iter().filter(|line| line.contains(" session: ")).count(), 3, "{shown:?}");
    assert!(shown.has("stack traceback"));
    let session = shown.lines[0].split("session: ").nth(1).expect("a session");
    let session: String = session.chars().take_while(char::is_ascii_digit).collect();
    assert!(client.run(&format!("task {peer} {session}")).has("stack traceback"));
    assert_eq!(client.run(&format!("task {peer} 987654")).one(), "No session");
    assert!(client.run(&format!("uniqtask {peer}")).has("3\tsessions:["));
    let name = thread[0].strip_prefix("thread: ").expect("a thread");
    assert_eq!(client.run(&format!("killtask {peer} {name}")), Shown { lines: vec![], ok: true });
    assert_eq!(client.run(&format!("killtask {peer} {name}")).one(), "Not found");
    assert!(client.run(&format!("uniqtask {peer}")).has("2\tsessions:["));
    assert!(!client.run(&format!("killtask {peer}")).ok);
}

#[test]
fn a_file_is_injected() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        path.display().to_string()
    };
    let mut client = Client::new(port);
    let good = path("good.lua", "print('args', ...) injected = 42 print(type(_P.lua))");
    assert_eq!(client.run(&format!("inject {peer} {good} a b")).lines, ["args\ta\tb", "table"]);
    let bad = path("bad.lua", "print 'before' error 'injected trouble'");
    let shown = client.run(&format!("inject {peer} {bad}"));
    assert!(!shown.ok && shown.has("before") && shown.has("injected trouble"), "{shown:?}");
    let syntax = path("syntax.lua", "this is no lua");
    assert!(!client.run(&format!("inject {peer} {syntax}")).ok);
    assert_eq!(client.run(&format!("inject {peer} /no/such/file")).one(), "Can't open /no/such/file");
    assert!(!client.run(&format!("inject {peer}")).ok);
}

#[test]
fn call_sends_what_an_expression_gives() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    assert_eq!(
        client.run(&format!("call {peer} 'echo', 1 + 1, 'two words',  {{ x = 1 }}, nil")).lines,
        ["1\t2", "2\ttwo words", "3\tx:1", "n\t4"]
    );
    for (expression, problem) in [
        ("", "need arguments"),
        ("1 +", "Invalid arguments"),
        ("print 'x'", "attempt to call a nil value"),
        ("'fail'", "call failed"),
    ] {
        let shown = client.run(&format!("call {peer} {expression}"));
        assert!(!shown.ok && shown.has(problem), "{expression}: {shown:?}");
    }
}

#[test]
fn dbgcmd_runs_any_debug_command() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    assert!(is_number(client.run(&format!("dbgcmd {peer} MEM")).one()));
    assert_eq!(client.run(&format!("dbgcmd {peer} SUPPORT lua")).one(), "true");
    assert_eq!(client.run(&format!("dbgcmd {peer} STAT")).lines.len(), 4);
    assert!(!client.run(&format!("dbgcmd {peer} DANCE")).ok);
    assert!(!client.run(&format!("dbgcmd {peer}")).ok);
    assert!(client.run(&format!("ping {peer}")).ok);
}

// -- logs and traces

#[test]
fn messages_are_logged_on_demand() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = support::config().set("logpath", folder.path().display().to_string());
    let (node, port) = console_of(support::start(config, None));
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    assert!(client.run(&format!("logon {peer}")).ok);
    node.log.wait_for("Open log file");
    assert!(client.run(&format!("call {peer} 'echo', 'logged'")).ok);
    assert!(client.run(&format!("logoff {peer}")).ok);
    node.log.wait_for("Close log file");
    let file = folder.path().join(format!("{:08x}.log", peer.as_u32()));
    let text = String::from_utf8_lossy(&std::fs::read(&file).expect("the log is there")).into_owned();
    assert!(text.contains("open time"), "{text}");
    let shown = client.run("log eval nameless");
    let started = handle_in(shown.one());
    assert_eq!(shown.one(), format!("{started}\teval"));
    node.log.wait_for_count("Open log file", 2);
    assert_eq!(client.run("log no_such_script").one(), "Failed");
}

#[test]
fn tracing_is_turned_on_and_off() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    for (arguments, line) in [
        ("lua on", "Turn trace log true for lua"),
        ("lua off", "Turn trace log false for lua"),
        ("on", "Turn trace log true for lua"),
        ("off", "Turn trace log false for lua"),
        ("", "Turn trace log true for lua"),
        ("lua", "Turn trace log nil for lua"),
    ] {
        let before = node.log.count(line);
        assert!(client.run(&format!("trace {peer} {arguments}")).ok, "{arguments}");
        node.log.wait_for_count(line, before + 1);
    }
    assert!(!client.run(&format!("trace {peer} lua maybe")).ok);
    assert!(client.run(&format!("trace {peer} on")).ok);
    assert!(client.run(&format!("call {peer} 'echo'")).ok);
    node.log.wait_for("<TRACE ");
}

#[test]
fn signals_have_numbers() {
    let (node, port) = console();
    let mut client = Client::new(port);
    assert!(client.run(&format!("signal {} 1", node.eval)).ok);
    node.log.wait_for("Current Memory");
    assert!(!client.run(&format!("signal {} loud", node.eval)).ok);
}

// -- the node

#[test]
fn keys_of_the_config_are_read_and_set_once() {
    let (node, port) = console();
    let mut client = Client::new(port);
    assert_eq!(client.run("getenv thread").one(), "thread\t2");
    assert_eq!(client.run("setenv greeting hello").one(), "greeting\thello");
    assert_eq!(node.lua1("return skynet.getenv 'greeting'"), "hello");
    let shown = client.run("setenv greeting again");
    assert!(!shown.ok && shown.has("Can't setenv exist key : greeting"), "{shown:?}");
    assert!(!client.run("setenv lonely").ok);
    assert!(!client.run("getenv").ok);
}

#[test]
fn memory_is_shown() {
    let (node, port) = console();
    let mut client = Client::new(port);
    let shown = client.run("cmem");
    let own = shown.lines.iter().find(|line| line.starts_with(&node.eval.to_string())).expect("it is there");
    assert!(own.split('\t').nth(1).is_some_and(is_number), "{own}");
    assert!(shown.has("total\t") && shown.has("block\t"));
    let shown = client.run("jmem");
    for name in ["allocated", "resident", "retained", "mapped", "active"] {
        let line = shown.lines.iter().find(|line| line.starts_with(&format!("stats.{name}\t")));
        let text = line.expect("it is there").split('\t').nth(1).expect("two columns");
        let fields: Vec<&str> = text.split_whitespace().collect();
        assert!(
            fields.len() == 3 && is_number(fields[0]) && is_number(fields[1]) && fields[2] == "Mb",
            "{text}"
        );
    }
    assert_eq!(client.run("profactive").one(), "heap profilling is deactive");
    assert_eq!(client.run("profactive on").one(), "heap profilling is deactive");
    assert!(client.run("dumpheap").ok);
    assert!(client.run("clearcache").ok);
}

#[test]
fn netstat_shows_the_sockets() {
    let (_node, port) = console();
    let mut client = Client::new(port);
    let shown = client.run("netstat");
    assert!(shown.ok);
    let listener = shown.lines.iter().find(|line| line.contains("type:LISTEN")).expect("it listens");
    assert!(
        listener.contains(&format!("sock:127.0.0.1:{port}")) && listener.contains("accept:1"),
        "{listener}"
    );
    let own = client.stream.local_addr().expect("it has one");
    let line = shown.lines.iter().find(|line| line.contains(&format!("peer:{own}"))).expect("it is there");
    for part in ["address::", "id:", "type:TCP", "read:8", "rtime:0.", "reading:true", "wbuffer:0"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    // Larger figures are shorter.
    for _ in 0..300 {
        client.run("help");
    }
    let shown = client.run("netstat");
    let line = shown.lines.iter().find(|line| line.contains(&format!("peer:{own}"))).expect("it is there");
    let written = line.split('\t').find_map(|field| field.strip_prefix("write:")).expect("it is there");
    assert!(written.strip_suffix('K').is_some_and(is_number), "{line}");
}

// -- the debugger

#[test]
fn a_service_is_debugged_over_the_console() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    client.say(format!("debug {peer}\n"));
    client.until(&format!("{peer}>"));
    node.log.wait_for(&format!("Attach to {peer}"));
    node.log.wait_for("Enter debug mode");
    client.say("print(1 + 1, SERVICE_NAME)\n");
    client.until(&format!("2\teval\n{peer}>"));
    client.say("watch 'lua'\n");
    client.until(&format!("{peer}>"));
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.lua_in(peer, "return 'stopped on the way'"));
        let prompt = client.until(")>");
        assert!(prompt.contains("eval.lua("), "{prompt}");
        client.say("command\n");
        client.until("eval\n");
        // Meanwhile another client works, and finds the place taken.
        let mut other = Client::new(port);
        assert!(other.run(&format!("ping {peer}")).ok);
        let shown = other.run(&format!("debug {peer}"));
        assert!(!shown.ok && shown.has("Debugger attach failed"), "{shown:?}");
        node.log.wait_for("Already in debug mode");
        client.until(")>");
        client.say("c\n");
        client.until(&format!("{peer}>"));
        assert_eq!(answer.join().expect("it is answered"), ["stopped on the way"]);
    });
    client.say("cont\n");
    assert!(client.shown().ok);
    node.log.wait_for("Leave debug mode");
    // The line after it is a command again.
    assert!(client.run(&format!("ping {peer}")).ok);
}

#[test]
fn the_end_of_the_input_ends_the_debugger() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    client.say(format!("debug {peer}\nwatch 'lua'\n"));
    client.until(&format!("{peer}>{peer}>"));
    std::thread::scope(|scope| {
        let answer = scope.spawn(|| node.lua_in(peer, "return 'free again'"));
        client.until(")>");
        drop(client);
        assert_eq!(answer.join().expect("it is answered"), ["free again"]);
    });
    node.log.wait_for("Leave debug mode");
    node.log.wait_for("disconnect");
}

#[test]
fn the_end_of_a_debugged_service_gives_the_console_back() {
    let (node, port) = console();
    let peer = node.launch_eval();
    let mut client = Client::new(port);
    client.say(format!("debug {peer}\n"));
    client.until(&format!("{peer}>"));
    node.runtime.kill(peer);
    let shown = client.shown();
    assert!(!shown.ok && shown.has("Debugger attach failed"), "{shown:?}");
    assert!(client.run("getenv thread").ok);
    let shown = client.run(&format!("debug {peer}"));
    assert!(!shown.ok, "{shown:?}");
}
