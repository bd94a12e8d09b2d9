//! `skynet-rs lua`: scripts outside of a node, and `client.socket`, with which they talk to a server.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use support::script::{Running, run};
use tempfile::TempDir;

/// A script in a folder of its own.
fn script(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("script.lua");
    fs::write(&path, text).expect("it is written");
    let path = path.to_str().expect("a path in UTF-8").to_owned();
    (folder, path)
}

/// Runs a script to its end; its standard output.
fn output(text: &str, args: &[&str]) -> String {
    let (_folder, path) = script(text);
    let done = run(&[&[path.as_str()], args].concat(), "");
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
    done.stdout
}

/// Runs a script against a listener of the test: `port` is a global of the script.
fn against(server: impl FnOnce(TcpStream) + Send, text: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("it is bound").port();
    let text = format!(
        "local socket, port = require 'client.socket', {port}
        local fd = socket.connect('127.0.0.1', port)
        local function wait()
            while true do
                local data = socket.recv(fd)
                if data then return data end
                socket.usleep(100)
            end
        end
        {text}"
    );
    std::thread::scope(|scope| {
        let serve = scope.spawn(|| server(listener.accept().expect("the script connects").0));
        let output = output(&text, &[]);
        serve.join().expect("the server is content");
        output
    })
}

// -- the sub-command

#[test]
fn a_script_has_its_arguments_in_dots_and_in_arg() {
    let text = "print(select('#', ...), ...) print(#arg, arg[1], arg[3], arg[0]:match '[^/]*$')";
    assert_eq!(output(text, &["a", "--b", "-h"]), "3\ta\t--b\t-h\n3\ta\t-h\tscript.lua\n");
    assert_eq!(output(text, &[]), "0\n0\tnil\tnil\tscript.lua\n");
}

#[test]
fn a_script_comes_from_the_standard_input_too() {
    let done = run(&["-", "x"], "print('in', ..., arg[0])");
    assert_eq!((done.code, done.stdout.as_str(), done.stderr.as_str()), (Some(0), "in\tx\t-\n", ""));
}

#[test]
fn an_error_ends_a_script_with_code_1_and_a_traceback() {
    let (_folder, path) = script("local function inner()\n error 'as asked'\nend\nprint 'first'\ninner()");
    let done = run(&[&path], "");
    assert_eq!((done.code, done.stdout.as_str()), (Some(1), "first\n"));
    assert!(
        done.stderr.starts_with(&format!("skynet-rs: {path}:2: as asked\nstack traceback:")),
        "{}",
        done.stderr
    );
    assert!(done.stderr.contains(&format!("{path}:5: in main chunk")), "{}", done.stderr);
    // An error value that is no text is shown as Lua shows it.
    let (_folder, path) =
        script("error(setmetatable({}, { __tostring = function() return 'an object' end }))");
    assert!(run(&[&path], "").stderr.starts_with("skynet-rs: an object\n"));
}

#[test]
fn a_script_that_is_not_there_or_does_not_compile_is_an_error() {
    let done = run(&["no/such.lua"], "");
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("cannot open no/such.lua"), "{}", done.stderr);
    let (_folder, path) = script("local = 1");
    let done = run(&[&path], "");
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains(&format!("{path}:1: <name> expected near '='")), "{}", done.stderr);
}

#[test]
fn a_script_ends_with_the_code_that_it_exits_with() {
    let (_folder, path) = script("io.write 'no newline' os.exit(7)");
    let done = run(&[&path], "");
    assert_eq!((done.code, done.stdout.as_str()), (Some(7), "no newline\n"));
}

#[test]
fn a_script_finds_modules_beside_itself_and_those_of_the_program() {
    let (folder, path) = script("print(require 'beside'.name, type(require 'skynet.queue'))");
    fs::write(folder.path().join("beside.lua"), "return { name = 'beside' }").expect("it is written");
    let done = run(&[&path], "");
    assert_eq!((done.stdout.as_str(), done.stderr.as_str()), ("beside\tfunction\n", ""));
}

#[test]
fn values_are_packed_outside_of_a_node_but_nothing_is_sent() {
    let text = "local core, skynet = require 'skynet.core', require 'skynet'
        local data, size = core.pack(1, 'two', { 3 })
        local one, two, three = core.unpack(data, size)
        core.trash(data, size)
        print(one, two, three[1], skynet.unpack(skynet.packstring(nil, true)))
        for _, f in ipairs {
            function() core.send(1, 10, 0, 'x') end, function() skynet.send(1, 'lua') end, core.now, core.genid,
            function() core.command('NOW') end, function() skynet.error 'x' end, skynet.self, skynet.exit,
            function() skynet.start(print) end,
        } do
            local ok, err = pcall(f)
            assert(not ok and err:find 'the service is not in a dispatch', err)
        end";
    assert_eq!(output(text, &[]), "1\ttwo\t3\tnil\ttrue\n");
}

#[test]
fn the_collector_works_in_a_script() {
    let text = "for i = 1, 300000 do local _ = { i } end print(collectgarbage 'count' < 4000)";
    assert_eq!(output(text, &[]), "true\n");
}

#[test]
fn the_sub_command_without_a_script_says_what_is_missing() {
    let done = run(&[], "");
    assert_eq!(done.code, Some(1));
    assert!(done.stderr.contains("<SCRIPT>"), "{}", done.stderr);
}

// -- client.socket

#[test]
fn a_client_sends_and_receives() {
    let echo = |mut stream: TcpStream| {
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).expect("it sends");
        assert_eq!(&bytes, b"hello");
        stream.write_all(b"\0world").expect("it listens");
    };
    // Sent in one piece, so it comes in one.
    assert_eq!(
        against(echo, "socket.send(fd, 'hello') print(#wait()) print(#wait()) socket.close(fd)"),
        "6\n0\n"
    );
}

#[test]
fn nothing_is_received_while_nothing_is_there() {
    let quiet = |mut stream: TcpStream| {
        let mut byte = [0; 1];
        stream.read_exact(&mut byte).expect("the script asks");
        stream.write_all(b"now").expect("it listens");
    };
    let text = "print(select('#', socket.recv(fd))) socket.send(fd, '?') print(wait())";
    assert_eq!(against(quiet, text), "0\nnow\n");
}

#[test]
fn more_than_the_system_takes_at_once_is_sent_whole() {
    let text = "socket.send(fd, ('0123456789'):rep(500000)) socket.send(fd, '') socket.shutdown(fd, 'w') print(wait() == '')";
    let slow = |mut stream: TcpStream| {
        let (mut total, mut bytes) = (0, vec![0; 1 << 16]);
        loop {
            let count = stream.read(&mut bytes).expect("it sends");
            if count == 0 {
                break;
            }
            let right =
                |(at, byte): (usize, &u8)| usize::from(*byte) == usize::from(b'0') + (total + at) % 10;
            assert!(bytes[..count].iter().enumerate().all(right));
            total += count;
        }
        assert_eq!(total, 5_000_000);
    };
    assert_eq!(against(slow, text), "true\n");
}

#[test]
fn much_is_received_piece_by_piece() {
    let much = |mut stream: TcpStream| stream.write_all(&vec![7; 1_000_000]).expect("it listens");
    let text = "local total = 0
        while true do
            local data = wait()
            if data == '' then break end
            assert(#data <= 16384 and not data:find '[^\\7]')
            total = total + #data
        end
        print(total)";
    assert_eq!(against(much, text), "1000000\n");
}

#[test]
fn one_direction_of_a_connection_can_be_ended() {
    let server = |mut stream: TcpStream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).expect("it ends");
        assert_eq!(all, b"bye");
        stream.write_all(b"later").expect("it still listens");
    };
    let text = "socket.send(fd, 'bye') socket.shutdown(fd, 'w') print(wait(), wait() == '')
        socket.shutdown(fd, 'r') socket.shutdown(fd, 'rw') print(pcall(socket.shutdown, fd, 'x'))";
    let output = against(server, text);
    let mut lines = output.lines();
    assert_eq!(lines.next(), Some("later\ttrue"));
    assert!(
        lines.next().is_some_and(|line| line.starts_with("false\t") && line.contains("'r', 'w' or 'rw'"))
    );
}

#[test]
fn errors_of_a_socket_say_what_is_wrong() {
    let gone =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port();
    let text = format!(
        "local socket = require 'client.socket'
        print(pcall(socket.connect, '127.0.0.1', {gone}))
        print(pcall(socket.connect, '127.0.0.1', 65536))
        print(pcall(socket.recv, 999))
        print(pcall(socket.send, 999, 'x'))
        print(select('#', socket.shutdown(999, 'r')))
        print(select('#', socket.close(999)))
        for _, wrong in ipairs {{ {{}}, 'x', 1 << 40 }} do assert(not pcall(socket.recv, wrong)) end
        assert(not pcall(socket.send, 0)) assert(not pcall(socket.connect, 'x')) assert(not pcall(socket.usleep))"
    );
    let wanted = format!(
        "false\tConnect 127.0.0.1 {gone} failed\nfalse\tConnect 127.0.0.1 65536 failed\n\
         false\tsocket error: Bad file descriptor\nfalse\tsocket error: Bad file descriptor\n0\n0\n"
    );
    assert_eq!(output(&text, &[]), wanted);
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    let text = "assert(wait() == '')
        local ok, err = pcall(function() while true do socket.send(fd, 'x') socket.usleep(1000) end end)
        print(ok, err:match 'socket error: .*')";
    let output = against(drop, text);
    assert!(
        ["Broken pipe", "Connection reset by peer"]
            .iter()
            .any(|why| output == format!("false\tsocket error: {why}\n")),
        "{output}"
    );
}

#[test]
fn lines_of_the_standard_input_come_when_they_are_there() {
    let (_folder, path) = script(
        "local socket = require 'client.socket'
        print(socket.readstdin()) io.stdout:flush()
        while true do
            local line = socket.readstdin()
            if line then print(('<%s>'):format(line)) io.stdout:flush() end
            if line == 'quit' then break end
            socket.usleep(1000)
        end",
    );
    let mut program = Running::start(&[&path]);
    assert_eq!(program.line(), "");
    program.write("one\n\nt");
    assert_eq!(program.line(), "<one>");
    assert_eq!(program.line(), "<>");
    program.write("wo\nquit\n");
    assert_eq!(program.line(), "<two>");
    assert_eq!(program.line(), "<quit>");
    assert_eq!(program.wait(), Some(0));
}

#[test]
fn a_closed_standard_input_gives_no_lines() {
    let (_folder, path) = script(
        "local socket = require 'client.socket'
        local last
        for _ = 1, 100 do
            last = socket.readstdin() or last
            socket.usleep(1000)
        end
        print(last)",
    );
    assert_eq!(run(&[&path], "only\nlast without an end").stdout, "last without an end\n");
}

#[test]
fn the_library_runs_scripts_for_other_programs_too() {
    let (_folder, path) = script("assert(... == 'x', ...)");
    skynet_rs::run_script(&path, &["x".to_owned()]).expect("it asserts what is true");
    let error = skynet_rs::run_script(&path, &["y".to_owned()]).expect_err("it asserts what is not");
    assert!(error.to_string().contains(":1: y\nstack traceback:"), "{error}");
}
