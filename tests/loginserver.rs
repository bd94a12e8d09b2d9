//! `snax.loginserver` (tests/lua/login/fixed.lua), spoken to line by line.

mod support;

use std::net::TcpStream;

use support::TestNode;
use support::client::Client;

/// The client's side with its own key "12345678" against the server's fixed keys: each line is that of the spec.
const CHALLENGE: &str = "YWJjZGVmZ2g=";
const CLIENT_KEY: &str = "oY6Jr5ciLw4=";
const SERVER_KEY: &str = "hgr9CfC1a7s=";
const HMAC: &str = "odJW6jVXu50=";
/// `dXNlcg==@c3J2:cHc=`, the token of "user" for "srv" with the password "pw", encrypted.
const TOKEN: &str = "YoZ/LWy2jOL5yOapeGibv9UYfPtg6+HC";

struct Login {
    node: TestNode,
    port: u16,
}

impl Login {
    fn start(keys: &[(&str, &str)]) -> Login {
        // The port is known before: a script of the original's kind names it in its config.
        let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let mut config = support::config().set("fixed_keys", "true").set("login_port", port);
        for (key, value) in keys.iter().copied() {
            config = config.set(key, value);
        }
        let node = support::start(config, None);
        node.lua("login = skynet.newservice 'login/fixed'");
        node.log.wait_for(&format!("login server listen at : 127.0.0.1 {port}"));
        Login { node, port }
    }

    fn connect(&self) -> Client {
        Client::connect(self.port)
    }

    /// The client's side up to the token.
    fn shake(&self) -> Client {
        let mut client = self.connect();
        assert_eq!(client.line(), CHALLENGE);
        client.write(format!("{CLIENT_KEY}\n"));
        assert_eq!(client.line(), SERVER_KEY);
        client.write(format!("{HMAC}\n"));
        client
    }

    /// Logs in with a token; the line of status, after which the connection is closed.
    fn status(&self, user: &str, server: &str, password: &str) -> String {
        let mut client = self.shake();
        let token = self.token(user, server, password);
        client.write(format!("{token}\n"));
        last_line(&mut client)
    }

    fn token(&self, user: &str, server: &str, password: &str) -> String {
        self.node.lua1(&format!(
            "local crypt = require 'skynet.crypt'
            local e = crypt.base64encode
            local secret = crypt.hexdecode '81a80dda7f0ddd93'
            return e(crypt.desencode(secret, ('%s@%s:%s'):format(e '{user}', e '{server}', e '{password}')))"
        ))
    }
}

/// What comes before the server closes.
fn last_line(client: &mut Client) -> String {
    String::from_utf8(client.read_to_end()).expect("it is a text")
}

#[test]
fn a_login_is_byte_for_byte_that_of_the_vector() {
    let login = Login::start(&[]);
    let mut client = login.connect();
    assert_eq!(client.line(), CHALLENGE);
    client.write(format!("{CLIENT_KEY}\n"));
    assert_eq!(client.line(), SERVER_KEY);
    client.write(format!("{HMAC}\n{TOKEN}\n"));
    assert_eq!(last_line(&mut client), "200 MTc=\n");
    login.node.log.wait_for("connect from 127.0.0.1:");
    login.node.log.wait_for("login: srv user 81a80dda7f0ddd93");
    assert_eq!(login.token("user", "srv", "pw"), TOKEN);
}

#[test]
fn a_subid_that_is_none_is_an_empty_one() {
    let login = Login::start(&[]);
    assert_eq!(login.status("user", "none", "pw"), "200 \n");
}

#[test]
fn a_client_that_does_not_know_the_secret_is_unauthorized() {
    let login = Login::start(&[]);
    let mut client = login.connect();
    assert_eq!(client.line(), CHALLENGE);
    client.write(format!("{CLIENT_KEY}\n"));
    assert_eq!(client.line(), SERVER_KEY);
    client.write(format!("{CLIENT_KEY}\n{TOKEN}\n"));
    assert_eq!(last_line(&mut client), "401 Unauthorized\n");
    let line = login.node.log.wait_for("invalid client (fd = ");
    assert!(line.contains("challenge failed"), "{line}");
}

#[test]
fn a_bad_token_is_unauthorized() {
    let login = Login::start(&[]);
    assert_eq!(login.status("user", "srv", "wrong"), "401 Unauthorized\n");
    login.node.log.wait_for("invalid password");
    // Not encrypted with the secret, or not even base64.
    for junk in ["AAAAAAAAAAA=", "", "A", "!!!!"] {
        let mut client = login.shake();
        client.write(format!("{junk}\n"));
        assert_eq!(last_line(&mut client), "401 Unauthorized\n", "{junk}");
    }
}

#[test]
fn a_key_that_is_none_is_unauthorized() {
    let login = Login::start(&[]);
    for key in ["", "AAAA", "YWJjZGVmZ2hp", "AAAAAAAAAAA=", "GET / HTTP/1.1"] {
        let mut client = login.connect();
        assert_eq!(client.line(), CHALLENGE);
        client.write(format!("{key}\n"));
        let rest = last_line(&mut client);
        assert!(rest.ends_with("401 Unauthorized\n"), "{key}: {rest}");
    }
    login.node.log.wait_for("Invalid client key");
}

#[test]
fn a_login_that_the_handler_refuses_is_forbidden() {
    let login = Login::start(&[]);
    assert_eq!(login.status("user", "forbidden", "pw"), "403 Forbidden\n");
    login.node.log.wait_for("nobody may log in there");
    // The user may try again.
    assert_eq!(login.status("user", "srv", "pw"), "200 MTc=\n");
}

#[test]
fn a_user_who_is_logging_in_is_not_acceptable_twice() {
    let login = Login::start(&[]);
    let mut first = login.shake();
    first.write(format!("{}\n", login.token("user", "slow", "pw")));
    login.node.log.wait_for("login: slow user");
    assert_eq!(login.status("user", "srv", "pw"), "406 Not Acceptable\n");
    login.node.log.wait_for("User user is already login");
    // Others are not concerned.
    assert_eq!(login.status("other", "srv", "pw"), "200 MTc=\n");
    login.node.lua("skynet.call('.login_master', 'lua', 'release')");
    assert_eq!(last_line(&mut first), "200 MTc=\n");
    assert_eq!(login.status("user", "srv", "pw"), "200 MTc=\n");
}

#[test]
fn with_multilogin_a_user_may_log_in_twice_at_once() {
    let login = Login::start(&[("multilogin", "true")]);
    let mut first = login.shake();
    first.write(format!("{}\n", login.token("user", "slow", "pw")));
    login.node.log.wait_for("login: slow user");
    assert_eq!(login.status("user", "srv", "pw"), "200 MTc=\n");
    login.node.lua("skynet.call('.login_master', 'lua', 'release')");
    assert_eq!(last_line(&mut first), "200 MTc=\n");
}

#[test]
fn slaves_take_connections_in_turns() {
    let login = Login::start(&[("login_instance", "3")]);
    for _ in 0..6 {
        assert_eq!(login.status("user", "srv", "pw"), "200 MTc=\n");
    }
    let lines = login.node.log.wait_for_count("auth: user by ", 6);
    let slaves: Vec<&str> = lines.iter().filter_map(|line| line.split("auth: user by ").nth(1)).collect();
    assert_eq!(slaves[..3], slaves[3..]);
    assert!(slaves[0] != slaves[1] && slaves[1] != slaves[2] && slaves[0] != slaves[2], "{slaves:?}");
}

#[test]
fn other_services_command_the_master() {
    let login = Login::start(&[]);
    let answer = login.node.lua("return skynet.call('.login_master', 'lua', 'hello', 1, nil, 'x')");
    assert_eq!(answer, ["hello", "1", "nil", "x"]);
    assert_eq!(login.node.lua1("return pcall(skynet.call, login, 'lua', 'fail')"), "false");
}

#[test]
fn a_client_that_sends_too_much_is_cut_off() {
    let login = Login::start(&[]);
    let mut client = login.connect();
    assert_eq!(client.line(), CHALLENGE);
    // No line ends in it.
    client.write(vec![b'a'; 10_000]);
    client.read_to_end();
    login.node.log.wait_for("socket buffer overflow");
    assert_eq!(login.status("user", "srv", "pw"), "200 MTc=\n");
}

#[test]
fn clients_that_leave_in_the_middle_harm_nobody_and_leave_nothing() {
    let login = Login::start(&[("login_instance", "2")]);
    for round in 0..100 {
        let mut client = login.connect();
        if round % 2 == 0 {
            client.write(CLIENT_KEY);
            client.reset();
        } else {
            client.write(format!("{CLIENT_KEY}\n{HMAC}"));
        }
    }
    for _ in 0..500 {
        drop(TcpStream::connect(("127.0.0.1", login.port)).expect("somebody listens"));
    }
    assert_eq!(login.status("user", "srv", "pw"), "200 MTc=\n");
    let open = || login.node.lua1("return #require 'skynet.socketdriver'.info()");
    login.node.wait_until("all are gone", || open() == "1");
    assert_eq!(login.node.log.count("invalid client"), 0);
}

#[test]
fn without_fixed_keys_each_login_has_its_own() {
    let login = Login::start(&[("fixed_keys", "")]);
    let challenges: Vec<String> = (0..5).map(|_| login.connect().line()).collect();
    assert!(challenges.iter().all(|challenge| challenge.len() == 12 && challenge != CHALLENGE));
    assert!(challenges.windows(2).all(|pair| pair[0] != pair[1]));
}
