//! `snax.msgserver` (tests/lua/login/msg.lua), spoken to package by package.

mod support;

use support::TestNode;
use support::client::Client;

/// The user of the spec's vector; its secret is 81a80dda7f0ddd93.
const USER: &str = "dXNlcg==@c3J2#MTc=";

struct Server {
    node: TestNode,
    port: u16,
}

impl Server {
    /// An open server, with the vector's user logged in.
    fn start() -> Server {
        let node = support::node();
        node.lua(
            "crypt = require 'skynet.crypt'
            secret = crypt.hexdecode '81a80dda7f0ddd93'
            server = skynet.newservice 'login/msg'
            assert(skynet.call(server, 'lua', 'open',
                { address = '127.0.0.1', port = 0, servername = 'srv', nodelay = true, backlog = 512 }) == 'registered')",
        );
        node.log.wait_for("registered as srv");
        let login = node.lua("return skynet.call(server, 'lua', 'login', 'user', 17, secret)");
        assert_eq!(login, [USER, "user", "17", "srv"]);
        let port = node.lua1(
            "for _, info in ipairs(require 'skynet.socketdriver'.info()) do
                if info.type == 'LISTEN' then return info.sock:match ':(%d+)$' end
            end",
        );
        let port = port.parse().expect("a port");
        Server { node, port }
    }

    /// What a client says first.
    fn greeting(&self, username: &str, index: &str) -> String {
        let hmac = self.node.lua1(&format!(
            "return crypt.base64encode(crypt.hmac64(crypt.hashkey '{username}:{index}', secret))"
        ));
        format!("{username}:{index}:{hmac}")
    }

    /// A connection on which this was said; the status.
    fn greet(&self, greeting: impl AsRef<[u8]>) -> (Client, String) {
        let mut client = Client::connect(self.port);
        client.send(greeting);
        let status = client.receive_text();
        (client, status)
    }

    /// A connection of the user.
    fn connect(&self, index: u32) -> Client {
        let (client, status) = self.greet(self.greeting(USER, &index.to_string()));
        assert_eq!(status, "200 OK");
        client
    }

    fn refused(&self, greeting: impl AsRef<[u8]>) -> String {
        let (mut client, status) = self.greet(greeting);
        assert_eq!(client.read_to_end(), b"");
        status
    }

    fn kick(&self, words: &str) -> String {
        self.node.lua1(&format!("return skynet.call(server, 'lua', 'kick', {words})"))
    }

    fn wait_for(&self, text: &str) {
        self.node.log.wait_for(text);
    }
}

/// A request as the client sends it.
fn request(content: &str, session: u32) -> Vec<u8> {
    [content.as_bytes(), &session.to_be_bytes()].concat()
}

/// The next response: its content, whether it is well, and the session.
fn response(client: &mut Client) -> (String, bool, u32) {
    let package = client.receive();
    let (rest, session) = package.split_last_chunk::<4>().expect("a session");
    let (ok, content) = rest.split_last().expect("a byte");
    (String::from_utf8_lossy(content).into_owned(), *ok == 1, u32::from_be_bytes(*session))
}

fn well(content: &str, session: u32) -> (String, bool, u32) {
    (content.to_owned(), true, session)
}

#[test]
fn a_session_is_byte_for_byte_that_of_the_vector() {
    let server = Server::start();
    let mut client = Client::connect(server.port);
    client.write(b"\0\x21dXNlcg==@c3J2#MTc=:1:QHA61BuOzUA=");
    assert_eq!(client.read(8), b"\0\x06200 OK");
    client.write(b"\0\x08echo\0\0\0\x07");
    assert_eq!(client.read(11), b"\0\x09ECHO\x01\0\0\0\x07");
    assert_eq!(server.greeting(USER, "1"), "dXNlcg==@c3J2#MTc=:1:QHA61BuOzUA=");
}

#[test]
fn a_client_that_is_not_who_it_says_is_refused() {
    let server = Server::start();
    assert_eq!(server.refused(server.greeting("bm9ib2R5@c3J2#MTc=", "1")), "404 User Not Found");
    assert_eq!(server.refused(format!("{USER}:1:AAAAAAAAAAA=")), "401 Unauthorized");
    for junk in ["", "junk", ":", "GET / HTTP/1.1", &format!("{USER}:x:AAAA"), &format!("{USER}:1:!A")] {
        assert_eq!(server.refused(junk), "400 Bad Request", "{junk:?}");
    }
    drop(server.connect(5));
    for index in ["5", "4", "0", "-1"] {
        assert_eq!(server.refused(server.greeting(USER, index)), "403 Index Expired", "{index}");
    }
    server.connect(6);
}

#[test]
fn what_a_handler_returns_is_sent_and_what_it_raises_is_a_response_that_is_not_well() {
    let server = Server::start();
    let mut client = server.connect(1);
    let nothing = |session| (String::new(), false, session);
    for (content, session, wanted) in [
        ("abc", 1, well("ABC", 1)),
        ("", 2, well("", 2)),
        ("nothing", 3, well("", 3)),
        ("number", 4, well("12", 4)),
        ("fail", 5, nothing(5)),
        ("table", 6, nothing(6)),
        ("huge", 0xffff_ffff, nothing(0xffff_ffff)),
        ("large", 7, well(&"x".repeat(65530), 7)),
        ("still here", 8, well("STILL HERE", 8)),
    ] {
        client.send(request(content, session));
        assert_eq!(response(&mut client), wanted, "{content}");
    }
    server.wait_for("the handler fails as asked");
    server.wait_for("a response of 65531 bytes is over the limit of 65530");
}

#[test]
fn requests_are_answered_as_they_are_done() {
    let server = Server::start();
    let mut client = server.connect(1);
    client.send(request("sleep", 1));
    client.send(request("quick", 2));
    assert_eq!(response(&mut client), well("QUICK", 2));
    server.kick("'release'");
    assert_eq!(response(&mut client), well("slept", 1));
}

#[test]
fn a_response_that_was_missed_is_sent_on_a_new_connection() {
    let server = Server::start();
    let mut client = server.connect(1);
    client.send(request("first", 7));
    assert_eq!(response(&mut client), well("FIRST", 7));
    drop(client);
    server.wait_for(&format!("disconnected: {USER}"));
    let mut client = server.connect(2);
    client.send(request("other", 7));
    assert_eq!(response(&mut client), well("FIRST", 7));
    assert!(!server.node.log.has("request: other"));
    // On the connection where it was answered, a session begins anew.
    client.send(request("other", 7));
    assert_eq!(response(&mut client), well("OTHER", 7));
}

#[test]
fn a_response_in_work_goes_to_the_new_connection_when_it_is_ready() {
    let server = Server::start();
    let mut client = server.connect(1);
    client.send(request("sleep", 7));
    server.wait_for("request: sleep");
    drop(client);
    server.wait_for("disconnected");
    let mut client = server.connect(2);
    client.send(request("sleep", 7));
    client.send(request("quick", 8));
    assert_eq!(response(&mut client), well("QUICK", 8));
    server.kick("'release'");
    assert_eq!(response(&mut client), well("slept", 7));
    assert_eq!(server.node.log.wait_for_count("request: sleep", 1).len(), 1);
}

#[test]
fn a_response_for_nobody_is_kept() {
    let server = Server::start();
    let mut client = server.connect(1);
    client.send(request("sleep", 7));
    server.wait_for("request: sleep");
    client.reset();
    server.wait_for("disconnected");
    server.kick("'release'");
    let mut client = server.connect(2);
    client.send(request("sleep", 7));
    assert_eq!(response(&mut client), well("slept", 7));
}

#[test]
fn a_session_that_is_used_twice_at_once_closes_the_connection() {
    let server = Server::start();
    let mut client = server.connect(1);
    client.send(request("sleep", 7));
    client.send(request("sleep", 7));
    assert_eq!(client.read_to_end(), b"");
    server.wait_for("Conflict session 7");
    server.wait_for("disconnected");
    server.connect(2);
}

#[test]
fn a_request_without_a_session_closes_the_connection() {
    let server = Server::start();
    for (index, junk) in [(1, ""), (2, "abc")] {
        let mut client = server.connect(index);
        client.send(junk);
        assert_eq!(client.read_to_end(), b"");
    }
    server.node.log.wait_for_count("Invalid package", 2);
}

#[test]
fn old_responses_expire() {
    let server = Server::start();
    let mut client = server.connect(1);
    // 4 are kept at least, and 8 at most.
    for session in 1..=20 {
        client.send(request(&format!("a{session}"), session));
        assert_eq!(response(&mut client), well(&format!("A{session}"), session));
    }
    let mut client = server.connect(2);
    for (session, is_kept) in [(20, true), (17, true), (10, false), (1, false)] {
        client.send(request("anew", session));
        let wanted = if is_kept { format!("A{session}") } else { "ANEW".to_owned() };
        assert_eq!(response(&mut client), well(&wanted, session));
    }
}

#[test]
fn a_logout_closes_the_connection_and_forgets_the_user() {
    let server = Server::start();
    let mut client = server.connect(1);
    assert_eq!(server.kick(&format!("'ip', '{USER}'")), client.address());
    server.node.lua(&format!("skynet.call(server, 'lua', 'logout', '{USER}')"));
    assert_eq!(client.read_to_end(), b"");
    assert_eq!(server.refused(server.greeting(USER, "2")), "404 User Not Found");
    // It is nobody's connection any more.
    assert_eq!(server.node.log.count("disconnected"), 0);
    server.node.lua(&format!("skynet.call(server, 'lua', 'logout', '{USER}')"));
    let login = "return pcall(skynet.call, server, 'lua', 'login', 'user', 17, secret)";
    assert_eq!(server.node.lua1(login), "true");
    assert_eq!(server.node.lua1(login), "false");
    server.connect(1);
}

#[test]
fn a_user_may_log_out_in_a_request() {
    let server = Server::start();
    let mut client = server.connect(1);
    client.send(request("logout", 1));
    assert_eq!(client.read_to_end(), b"");
    assert_eq!(server.refused(server.greeting(USER, "2")), "404 User Not Found");
}

#[test]
fn an_old_connection_lives_beside_a_new_one_until_the_logout() {
    let server = Server::start();
    let (mut old, mut new) = (server.connect(1), server.connect(2));
    old.send(request("old", 1));
    assert_eq!(response(&mut old), well("OLD", 1));
    new.send(request("new", 2));
    assert_eq!(response(&mut new), well("NEW", 2));
    assert_eq!(server.kick(&format!("'ip', '{USER}'")), new.address());
    server.node.lua(&format!("skynet.call(server, 'lua', 'logout', '{USER}')"));
    assert_eq!((old.read_to_end(), new.read_to_end()), (vec![], vec![]));
}

#[test]
fn clients_that_leave_at_once_or_in_the_middle_leave_nothing() {
    let server = Server::start();
    for round in 0..300 {
        let mut client = Client::connect(server.port);
        match round % 3 {
            0 => client.write(b"\0\x21half"),
            1 => client.send(format!("{USER}:1:")),
            _ => {}
        }
        if round % 2 == 0 {
            client.reset();
        }
    }
    let open = || server.node.lua1("return #require 'skynet.socketdriver'.info()");
    server.node.wait_until("all are gone", || open() == "1");
    server.connect(1);
}

#[test]
fn names_of_users_are_read_and_made() {
    let server = Server::start();
    let of = |name: &str| {
        server.node.lua(&format!("return skynet.call(server, 'lua', 'kick', 'userid', '{name}')"))
    };
    assert_eq!(of(USER), ["user", "17", "srv"]);
    assert_eq!(of("@#"), ["", "", ""]);
    assert_eq!(of("junk"), Vec::<String>::new());
    assert_eq!(server.kick(&format!("'ip', '{USER}'")), "nil");
    assert_eq!(server.kick("'ip', 'nobody'"), "nil");
}
