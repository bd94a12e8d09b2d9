//! The chat example, with its own config and its own client.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

mod support;

use skynet_rs::{Config, Runtime};
use support::Log;
use support::client::Client;
use support::script::{Running, run};

/// The example on a port of its own.
struct Chat {
    runtime: Runtime,
    log: Log,
    port: String,
}

impl Chat {
    fn start(clients: u32) -> Chat {
        let root = env!("CARGO_MANIFEST_DIR");
        let config = Config::load(format!("{root}/config/chat")).expect("it is a config");
        let config = config
            .set("chat_port", 0)
            .set("chat_clients", clients)
            .set("luaservice", format!("{root}/examples/chat/?.lua;{root}/service/?.lua"))
            .set("lua_path", format!("{root}/lualib/?.lua;{root}/lualib/?/init.lua"));
        let log = Log::default();
        let runtime = Runtime::builder().config(config).boot().log_to(log.sink()).start();
        let runtime = runtime.expect("the node starts");
        let line = log.wait_for("chat: clients may connect to 127.0.0.1:");
        let port = line.rsplit(':').next().expect("a port").to_owned();
        Chat { runtime, log, port }
    }

    fn connect(&self) -> Client {
        let mut client = Client::connect(self.port.parse().expect("a port"));
        assert_eq!(client.receive_text(), "welcome");
        client
    }

    /// The client's script with these requests; what it prints.
    fn script(&self, requests: &[&str]) -> Vec<String> {
        let words = [&["examples/chat/client.lua", "127.0.0.1", &self.port], requests].concat();
        let done = run(&words, "");
        assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""), "{}", done.stdout);
        done.stdout.lines().map(str::to_owned).collect()
    }
}

impl Drop for Chat {
    fn drop(&mut self) {
        self.runtime.shutdown();
    }
}

fn ask(client: &mut Client, text: &str) -> String {
    client.send(text);
    client.receive_text()
}

#[test]
fn the_client_of_the_example_is_served() {
    let chat = Chat::start(64);
    let printed =
        chat.script(&["get key", "set key some value", "get key", "name ann", "say hello all", "quit"]);
    assert_eq!(printed, ["welcome", "none", "new", "some value", "you are ann", "ann: hello all", "bye"]);
    // What one client has set, another finds.
    assert_eq!(
        chat.script(&["get key", "set key other", "quit"]),
        ["welcome", "some value", "some value", "bye"]
    );
}

#[test]
fn clients_hear_each_other_and_one_may_type() {
    let chat = Chat::start(64);
    let mut ann = chat.connect();
    assert_eq!(ask(&mut ann, "name ann"), "you are ann");
    let mut bob = Running::start(&["examples/chat/client.lua", "127.0.0.1", &chat.port]);
    assert_eq!(bob.line(), "welcome");
    bob.write("name bob\nsay hello\n");
    assert_eq!(bob.line(), "you are bob");
    assert_eq!(bob.line(), "bob: hello");
    assert_eq!(ann.receive_text(), "bob: hello");
    assert_eq!(ask(&mut ann, "say well"), "ann: well");
    assert_eq!(bob.line(), "ann: well");
    bob.write("quit\n");
    assert_eq!(bob.line(), "bye");
    assert_eq!(bob.wait(), Some(0));
}

#[test]
fn wrong_requests_are_answered_with_what_is_wrong() {
    let chat = Chat::start(64);
    let mut client = chat.connect();
    for (request, answer) in [
        ("", "no such request: \"\""),
        ("dance", "no such request: \"dance\""),
        ("GET / HTTP/1.1", "no such request: \"GET / HTTP/1.1\""),
        ("name two words", "error: a name is one word"),
        ("set key", "error: set KEY VALUE"),
        (&format!("say {}", "x".repeat(2000)), "error: that is too long"),
        ("get nothing", "none"),
    ] {
        assert_eq!(ask(&mut client, request), answer);
    }
}

#[test]
fn clients_that_come_and_go_leave_no_agents() {
    let chat = Chat::start(1024);
    let before = chat.log.count("LAUNCH snlua agent");
    assert_eq!(before, 0);
    for round in 0..100 {
        let mut client = Client::connect(chat.port.parse().expect("a port"));
        match round % 3 {
            0 => client.write(b"\0\x09half"),
            1 => client.send("quit"),
            _ => {}
        }
        if round % 2 == 0 {
            client.reset();
        }
    }
    // Each agent that was started ends.
    let launched = chat.log.wait_for_count("LAUNCH snlua agent", 100).len();
    let ended = || {
        let lines = chat.log.lines();
        let agents: Vec<&str> = lines
            .iter()
            .filter(|line| line.contains("LAUNCH snlua agent"))
            .filter_map(|line| line.split(' ').next())
            .collect();
        agents.iter().filter(|agent| lines.iter().any(|line| line == &format!("{agent} KILL self"))).count()
    };
    let deadline = std::time::Instant::now() + support::DEADLINE;
    while ended() < launched {
        assert!(std::time::Instant::now() < deadline, "{:#?}", chat.log.lines());
        std::thread::yield_now();
    }
    let mut client = chat.connect();
    assert_eq!(ask(&mut client, "get x"), "none");
}

#[test]
fn a_full_server_closes_whom_it_cannot_serve() {
    let chat = Chat::start(2);
    let mut client = chat.connect();
    assert_eq!(chat.script(&["get x"]), Vec::<String>::new());
    assert_eq!(ask(&mut client, "get x"), "none");
}
