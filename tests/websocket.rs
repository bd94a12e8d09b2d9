//! WebSocket in Lua (`lualib/http/websocket.lua`): its bytes, its rules, and peers of another make.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread::{self, JoinHandle};

use support::{DEADLINE, TestNode};
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::{Message, WebSocket};

/// A node whose `eval` service has `websocket` at hand, and notes what a server's callbacks are called with in `events`.
fn node() -> TestNode {
    let node = support::node();
    node.check(
        "socket, websocket = require 'skynet.socket', require 'http.websocket'
        helper, httpd = require 'http.sockethelper', require 'http.httpd'
        events, outcomes = {}, {}
        local function note(...)
            local words = table.pack(...)
            for i = 1, words.n do words[i] = tostring(words[i]) end
            table.insert(events, table.concat(words, ' '))
        end
        handle = {
            connect = function(id) note 'connect' end,
            handshake = function(id, header, url) note('handshake', url, header.host) end,
            message = function(id, data, kind)
                note('message', kind, #data <= 40 and data or #data)
                websocket.write(id, data, kind)
            end,
            ping = function(id) note 'ping' end,
            pong = function(id) note 'pong' end,
            close = function(id, code, reason) note('close', code, reason) end,
            error = function(id, err) note('error', err) end,
        }
        function seen() return table.concat(events, ', ') end",
    );
    node
}

/// A server in the service; `arguments` follow the socket's in `accept`. What it returns goes to `outcomes`.
fn serve(node: &TestNode, arguments: &str) -> u16 {
    node.lua1(&format!(
        "local id, _, port = socket.listen('127.0.0.1', 0, 128)
        socket.start(id, function(fd, address)
            skynet.fork(function()
                local ok, err = websocket.accept(fd, {arguments})
                table.insert(outcomes, tostring(ok) .. ' ' .. (tostring(err):match '[^\\n]*'))
            end)
        end)
        return port"
    ))
    .parse()
    .expect("a port")
}

/// A client that knows nothing but bytes.
struct Client(TcpStream);

impl Client {
    fn connect(port: u16) -> Client {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        stream.set_write_timeout(Some(DEADLINE)).expect("a time above zero");
        Client(stream)
    }

    /// One that has shaken hands.
    fn open(port: u16) -> Client {
        let mut client = Client::connect(port);
        client.send(UPGRADE.as_bytes());
        client.expect(ACCEPTED.as_bytes());
        client
    }

    fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("it is open");
    }

    #[track_caller]
    fn expect(&mut self, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        self.0.read_exact(&mut got).expect("so many bytes come");
        assert!(
            got == bytes,
            "{:?} is due, {:?} has come",
            bytes.escape_ascii().to_string(),
            got.escape_ascii().to_string()
        );
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        match self.0.read_to_end(&mut bytes) {
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
            _ => bytes,
        }
    }
}

/// The example of RFC 6455.
const UPGRADE: &str = "GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com\r\nUpgrade: WebSocket\r\n\
    Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const ACCEPTED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

#[track_caller]
fn wait_outcome(node: &TestNode, text: &str) {
    node.wait_until(&format!("accept returns {text}"), || {
        node.lua1("return table.concat(outcomes, '|')").contains(text)
    });
}

#[track_caller]
fn assert_seen(node: &TestNode, events: &str) {
    assert_eq!(node.lua1("return seen()"), events);
}

#[test]
fn a_conversation_has_the_bytes_that_the_original_gives_it() {
    let node = node();
    let port = serve(&node, "handle, 'ws', '1.2.3.4:5'");
    let mut client = Client::open(port);
    client.send(b"\x81\x82\x01\x02\x03\x04\x69\x6b");
    client.expect(b"\x81\x02hi");
    client.send(b"\x89\x00");
    client.expect(b"\x8a\x00");
    client.send(b"\x89\x83\x00\x00\x00\x00abc\x8a\x00");
    client.expect(b"\x8a\x03abc");
    client.send(b"\x82\x02\x00\xff");
    client.expect(b"\x82\x02\x00\xff");
    client.send(b"\x88\x05\x03\xe8bye");
    client.expect(b"\x88\x00");
    assert!(client.read_to_end().is_empty());
    wait_outcome(&node, "true nil");
    assert_seen(
        &node,
        "connect, handshake /chat?room=1 server.example.com, message text hi, ping, ping, pong, message binary \0\u{fffd}, \
        close 1000 bye",
    );
}

#[test]
fn frames_that_come_in_pieces_or_together_are_the_same_frames() {
    let node = node();
    let port = serve(&node, "handle");
    let frames = b"\x81\x02hi\x01\x03abc\x89\x00\x00\x00\x80\x82\x01\x01\x01\x01\x65\x64\x82\x7e\x00\x7e";
    let mut bytes = frames.to_vec();
    bytes.extend_from_slice(&[b'x'; 126]);
    bytes.extend_from_slice(b"\x88\x00");
    for piece in [1, 2, 7, bytes.len()] {
        node.lua("events = {}");
        let mut client = Client::open(port);
        client.0.set_nodelay(true).expect("it is open");
        for part in bytes.chunks(piece) {
            client.send(part);
        }
        client.expect(b"\x81\x02hi\x8a\x00\x81\x05abcde\x82\x7e\x00\x7e");
        client.expect(&[b'x'; 126]);
        client.expect(b"\x88\x00");
        assert!(client.read_to_end().is_empty());
        assert_seen(
            &node,
            "connect, handshake /chat?room=1 server.example.com, message text hi, ping, message text abcde, message binary 126, \
            close nil nil",
        );
    }
}

#[test]
fn a_handshake_that_is_none_gets_an_answer_and_connect_then_close() {
    let node = node();
    let port = serve(&node, "handle");
    let without = |name: &str| {
        let lines: Vec<&str> =
            UPGRADE.split_inclusive("\r\n").filter(|line| !line.starts_with(name)).collect();
        lines.concat()
    };
    let bad = [
        (UPGRADE.replace("GET", "POST"), "400 Bad Request"),
        (UPGRADE.replace("HTTP/1.1", "HTTP/1.0"), "505 HTTP Version not supported"),
        ("nonsense\r\n\r\n".to_owned(), "400 Bad Request"),
        (UPGRADE.replace("Host: ", "Host"), "400 Bad Request"),
        (UPGRADE.replace("Host: ", &format!("Host: {}", "x".repeat(9000))), "413 Request Entity Too Large"),
        (without("Upgrade"), "426 "),
        (UPGRADE.replace("WebSocket\r\n", "h2c\r\n"), "426 "),
        (without("Host"), "400 Bad Request"),
        (without("Connection"), "400 Bad Request"),
        (UPGRADE.replace("keep-alive, Upgrade", "close"), "400 Bad Request"),
        (without("Sec-WebSocket-Key"), "400 Bad Request"),
        (UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "junk"), "400 Bad Request"),
        (UPGRADE.replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZSEh"), "400 Bad Request"),
        (without("Sec-WebSocket-Version"), "400 Bad Request"),
        (UPGRADE.replace(": 13", ": 8"), "400 Bad Request"),
        (UPGRADE.replace(": 13\r\n", ": 13\r\nSec-WebSocket-Protocol: soap, wamp\r\n"), "400 Bad Request"),
    ];
    for (request, status) in &bad {
        node.lua("events, outcomes = {}, {}");
        let mut client = Client::connect(port);
        client.send(request.as_bytes());
        let answer = String::from_utf8_lossy(&client.read_to_end()).into_owned();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer:?} to {request:?}");
        wait_outcome(&node, "true nil");
        assert_seen(&node, "connect, close nil nil");
    }
    let mut client = Client::connect(port);
    client.send(without("Upgrade").as_bytes());
    assert_eq!(
        String::from_utf8_lossy(&client.read_to_end()),
        "HTTP/1.1 426 \r\ncontent-length: 16\r\n\r\nUpgrade Required"
    );
}

#[test]
fn the_one_sub_protocol_is_chat() {
    let node = node();
    let port = serve(&node, "handle");
    let mut client = Client::connect(port);
    client.send(UPGRADE.replace(": 13\r\n", ": 13\r\nSec-WebSocket-Protocol: soap, chat\r\n").as_bytes());
    client.expect(ACCEPTED.replace("\r\n\r\n", "\r\nSec-WebSocket-Protocol: chat\r\n\r\n").as_bytes());
}

#[test]
fn a_frame_against_the_rules_ends_the_connection() {
    let node = node();
    let port = serve(&node, "handle");
    let too_large = "payload_len is too large";
    let half = [&[0x01, 127, 0, 0, 0, 0, 0, 2, 0, 1][..], &[b'x'; (128 << 10) + 1]].concat();
    let second_half = [&[0x80, 127, 0, 0, 0, 0, 0, 2, 0, 0][..], &[b'x'; 128 << 10]].concat();
    for (bytes, code, text) in [
        (&[0xc1, 0][..], 1002, "reserved bits"),
        (&[0x83, 0], 1002, "unknown opcode 0x3"),
        (&[0x09, 0], 1002, "fragmented"),
        (&[0x89, 126, 0, 126], 1002, "control frame has 126 bytes"),
        (&[0x80, 0], 1002, "nothing to continue"),
        (&[0x01, 0, 0x81, 0], 1002, "begins inside of another"),
        (&[0x82, 127, 0, 0, 0, 0, 0, 4, 0, 1], 1009, too_large),
        (&[0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 1009, too_large),
        (&[half, second_half].concat(), 1009, too_large),
    ] {
        node.lua("events, outcomes = {}, {}");
        let mut client = Client::open(port);
        client.send(bytes);
        let answer = client.read_to_end();
        assert_eq!(answer.first(), Some(&0x88), "{text}");
        assert_eq!(answer.get(2..4), Some(&i16::to_be_bytes(code)[..]), "{text}");
        wait_outcome(&node, "false ");
        assert!(
            node.lua1("return outcomes[1]").contains(text),
            "{text}: {:?}",
            node.lua("return outcomes[1]")
        );
        assert_seen(&node, "connect, handshake /chat?room=1 server.example.com");
    }
}

#[test]
fn a_message_of_the_longest_length_passes_whole_or_in_parts() {
    let node = node();
    let port = serve(&node, "handle");
    let mut client = Client::open(port);
    let whole = [&[0x82, 127, 0, 0, 0, 0, 0, 4, 0, 0][..], &vec![7; 256 << 10]].concat();
    let mut writer = client.0.try_clone().expect("a second handle");
    let sent = whole.clone();
    let thread = thread::spawn(move || {
        writer.write_all(&sent).expect("it is open");
        for part in 0..64 {
            let op = if part == 0 { 2 } else { 0 };
            let head = [op | if part == 63 { 0x80 } else { 0 }, 126, 0x10, 0];
            writer.write_all(&[&head[..], &[7; 4096]].concat()).expect("it is open");
        }
    });
    let mut back = vec![0; whole.len() * 2];
    client.0.read_exact(&mut back).expect("it comes back");
    assert!(back == [&whole[..], &whole].concat());
    thread.join().expect("all was sent");
}

#[test]
fn a_client_that_goes_without_a_word_is_an_error() {
    let node = node();
    let port = serve(&node, "handle");
    for (bytes, handshake) in [
        (&b""[..], false),
        (b"GET / HT", false),
        (b"", true),
        (b"\x81", true),
        (b"\x82\x7e\x01\x00abc", true),
    ] {
        node.lua("events, outcomes = {}, {}");
        let mut client = if handshake { Client::open(port) } else { Client::connect(port) };
        client.send(bytes);
        client.0.shutdown(Shutdown::Write).expect("it is open");
        assert!(client.read_to_end().is_empty());
        wait_outcome(&node, "true nil");
        let events = node.lua1("return seen()");
        assert!(events.starts_with("connect, ") && events.ends_with("error [Socket Error]"), "{events}");
    }
}

#[test]
fn a_client_that_shakes_hands_slowly_is_cut_off() {
    let node = node();
    let port = serve(&node, "handle, 'ws', 'somebody', { timeout = 30 }");
    let mut client = Client::connect(port);
    client.send(b"GET / HTTP/1.1\r\nHost:");
    assert!(client.read_to_end().is_empty());
    wait_outcome(&node, "true nil");
    assert_seen(&node, "connect, error [Socket Error] : read timeout");
    // The limit is the handshake's alone.
    let mut client = Client::open(port);
    node.lua("skynet.sleep(50)");
    client.send(b"\x81\x02hi");
    client.expect(b"\x81\x02hi");
}

#[test]
fn pings_of_one_who_does_not_read_are_not_answered_without_end() {
    let node = node();
    let port = serve(
        &node,
        "{ message = function(id, data) websocket.write(id, ('x'):rep(16 << 20), 'binary') end,
            ping = function() pings = (pings or 0) + 1 end,
            warning = function(ws, kb) warned = ws.id and kb end }",
    );
    let mut client = Client::open(port);
    client.send(b"\x81\x01a");
    node.wait_until("the server is warned", || node.lua1("return (warned or 0) > 1000") == "true");
    for _ in 0..100 {
        client.send(b"\x89\x00");
    }
    node.wait_until("the pings have come", || node.lua1("return pings") == "100");
    let mut message = vec![0; (16 << 20) + 10];
    client.0.read_exact(&mut message).expect("the message comes");
    node.wait_until("it is drained", || node.lua1("return warned") == "0");
    client.send(b"\x89\x01z");
    client.expect(b"\x8a\x01z");
}

#[test]
fn a_server_closes_with_a_code_and_a_reason() {
    let node = node();
    let port = serve(
        &node,
        "{ message = function(id, data) websocket.close(id, 4000, 'enough') end, close = handle.close, error = handle.error }",
    );
    let mut client = Client::open(port);
    client.send(b"\x81\x01a\x81\x01b");
    client.expect(b"\x88\x08\x0f\xa0enough");
    assert!(client.read_to_end().is_empty());
    wait_outcome(&node, "true nil");
    assert_seen(&node, "close nil nil");
}

#[test]
fn an_error_in_a_callback_is_what_accept_returns() {
    let node = node();
    let port = serve(&node, "{ message = function(id, data) error 'my own' end }");
    let mut client = Client::open(port);
    client.send(b"\x81\x01a");
    assert!(client.read_to_end().is_empty());
    wait_outcome(&node, "my own");
    assert!(node.lua1("return outcomes[1]").starts_with("false "));
}

#[test]
fn what_is_known_of_a_connection_can_be_asked() {
    let node = node();
    let port = serve(
        &node,
        "{ message = function(id, data)
            websocket.write(id, tostring(websocket.addrinfo(id)) .. ' ' .. tostring(websocket.real_ip(id)) .. ' '
                .. tostring(websocket.is_close(id)))
        end }, 'ws', '1.2.3.4:5'",
    );
    let mut client = Client::connect(port);
    client.send(UPGRADE.replace("\r\n\r\n", "\r\nX-Real-IP: 9.8.7.6\r\n\r\n").as_bytes());
    client.expect(ACCEPTED.as_bytes());
    client.send(b"\x81\x01a");
    client.expect(b"\x81\x171.2.3.4:5 9.8.7.6 false");
    node.check(
        "same(websocket.is_close(1 << 20), true)
        raises('is closed', websocket.write, 1 << 20, 'x')
        raises('is closed', websocket.read, 1 << 20)
        raises('is closed', websocket.addrinfo, 1 << 20)
        websocket.close(1 << 20)",
    );
}

#[test]
fn a_request_that_was_read_already_can_be_upgraded() {
    let node = node();
    let port: u16 = node
        .lua1(
            "local id, _, port = socket.listen('127.0.0.1', 0)
            socket.start(id, function(fd, address)
                skynet.fork(function()
                    socket.start(fd)
                    local code, url, method, header, _, behind = httpd.read_request(helper.readfunc(fd))
                    websocket.accept(fd, handle, 'ws', address, { upgrade = { header = header, method = method, url = url, behind = behind } })
                end)
            end)
            return port",
        )
        .parse()
        .expect("a port");
    let mut client = Client::connect(port);
    client.send(&[UPGRADE.as_bytes(), b"\x81\x02hi"].concat());
    client.expect(ACCEPTED.as_bytes());
    client.expect(b"\x81\x02hi");
}

#[test]
fn a_service_talks_to_itself() {
    let node = node();
    let port = serve(&node, "handle");
    node.check(&format!(
        "local id = websocket.connect('ws://127.0.0.1:{port}/a?b#c', {{ ['X-A'] = 'b' }}, 500)
        websocket.write(id, 'text')
        same(websocket.read(id), 'text')
        websocket.write(id, '\\0\\1', 'binary', 0x01020304)
        same(websocket.read(id), '\\0\\1')
        websocket.write(id, ('x'):rep(200000), 'binary', true)
        same(websocket.read(id), ('x'):rep(200000))
        websocket.ping(id)
        websocket.write(id, 'after the pong')
        same(websocket.read(id), 'after the pong')
        same(websocket.addrinfo(id), '127.0.0.1:{port}')
        same(websocket.is_close(id), false)
        raises('text or binary', websocket.write, id, 'x', 'other')
        raises('32 bits', websocket.write, id, 'x', 'text', 1 << 32)
        websocket.close(id, 1000, 'done')
        same(websocket.is_close(id), true)
        websocket.close(id)"
    ));
    wait_outcome(&node, "true nil");
    assert_seen(
        &node,
        &format!(
            "connect, handshake /a?b 127.0.0.1:{port}, message text text, message binary \0\u{1}, message binary 200000, ping, \
            message text after the pong, close 1000 done"
        ),
    );
}

/// A server outside of the node that answers one handshake with what `answer` makes of the key's line, then sends
/// `bytes`. It gives what it has read.
fn answer_once(answer: &'static str, bytes: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let thread = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the client comes");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head comes");
            head.extend(byte);
        }
        let text = String::from_utf8_lossy(&head).into_owned();
        let key = text.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key:")).expect("a key");
        let accept = tungstenite::handshake::derive_accept_key(key.as_bytes());
        let answer = answer.replace("ACCEPT", &accept).into_bytes();
        stream.write_all(&[&answer[..], bytes].concat()).expect("it is open");
        let mut all = Vec::new();
        let _ = stream.read_to_end(&mut all);
        all
    });
    (port, thread)
}

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n";

#[test]
fn a_client_reads_messages_and_answers_pings_until_the_close() {
    let node = node();
    // The frames come together with the head.
    let (port, sent) = answer_once(GOOD, b"\x81\x02hi\x02\x01a\x89\x01p\x80\x01b\x8a\x00\x88\x05\x03\xe8bye");
    node.check(&format!(
        "local id = websocket.connect('ws://127.0.0.1:{port}')
        same(websocket.read(id), 'hi')
        same(websocket.read(id), 'ab')
        local data, payload = websocket.read(id)
        same({{ data, payload }}, {{ false, '\\3\\232bye' }})
        same(websocket.is_close(id), true)"
    ));
    assert_eq!(sent.join().expect("it ends"), b"\x8a\x01p\x88\x00");
}

#[test]
fn a_client_that_was_asked_to_masks_each_frame() {
    let node = node();
    let (port, sent) = answer_once(GOOD, b"\x89\x01p\x88\x00");
    node.check(&format!(
        "local id = websocket.connect('ws://127.0.0.1:{port}', nil, nil, {{ mask = true }})
        websocket.write(id, 'hi')
        same(websocket.read(id), false)"
    ));
    let bytes = sent.join().expect("it ends");
    assert_eq!(bytes.len(), 8 + 7 + 6, "a text, a pong and a close, each with a mask of four bytes");
    assert_eq!((bytes[1], bytes[9], bytes[16]), (0x82, 0x81, 0x80));
    assert_eq!([bytes[6] ^ bytes[2], bytes[7] ^ bytes[3]], *b"hi");
    assert_ne!(bytes[2..6], bytes[10..14], "each has a mask of its own");
}

#[test]
fn a_server_that_refuses_is_an_error_in_the_known_words() {
    let node = node();
    for (answer, text) in [
        (
            "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno",
            "websocket handshake error: code[403] info:no",
        ),
        ("HTTP/1.1 200 OK\r\n\r\n", "websocket handshake error: code[200] info:"),
        (
            "HTTP/1.1 101 \r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
            "websocket handshake upgrade must websocket",
        ),
        (
            "HTTP/1.1 101 \r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ACCEPT\r\n\r\n",
            "websocket handshake connection must upgrade",
        ),
        (
            "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "websocket handshake need Sec-WebSocket-Accept",
        ),
        (
            "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            "websocket handshake invalid Sec-WebSocket-Accept",
        ),
        ("nonsense\r\n\r\n", "Invalid HTTP response header"),
    ] {
        let (port, server) = answer_once(answer, b"");
        node.check(&format!("raises('{text}', websocket.connect, 'ws://127.0.0.1:{port}/')"));
        server.join().expect("the client has closed");
    }
    node.check(
        "raises('invalid protocol: http', websocket.connect, 'http://127.0.0.1/')
        raises('invalid protocol: nil', websocket.connect, '127.0.0.1')
        raises('invalid host', websocket.connect, 'ws://:80/')",
    );
}

#[test]
fn a_server_that_says_nothing_is_given_up_in_time() {
    let node = node();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    node.check(&format!(
        "local begun = skynet.now()
        raises('read timeout', websocket.connect, 'ws://127.0.0.1:{port}/', nil, 30)
        assert(skynet.now() - begun >= 30)"
    ));
}

#[test]
fn a_server_that_breaks_the_rules_or_the_limit_is_an_error_for_the_client() {
    let node = node();
    let (port, sent) = answer_once(GOOD, b"\x82\x7e\x04\x01");
    node.check(&format!(
        "local id = websocket.connect('ws://127.0.0.1:{port}', nil, nil, {{ limit = 1024 }})
        raises('payload_len is too large', websocket.read, id)
        websocket.close(id)"
    ));
    assert!(sent.join().expect("it ends").starts_with(b"\x88\x1a\x03\xf1payload_len"));
    let (port, _sent) = answer_once(GOOD, b"\x81\x05ab");
    node.check(&format!(
        "local id = websocket.connect('ws://127.0.0.1:{port}')
        skynet.fork(function() skynet.sleep(1) socket.shutdown(id) end)
        raises('[Socket Error]', websocket.read, id)
        websocket.close(id)"
    ));
}

fn open_foreign(port: u16) -> WebSocket<TcpStream> {
    let stream = Client::connect(port).0;
    let (socket, response) =
        tungstenite::client(format!("ws://127.0.0.1:{port}/x"), stream).expect("hands are shaken");
    assert_eq!(response.status(), 101);
    socket
}

#[test]
fn a_foreign_client_understands_the_server() {
    let node = node();
    let port = serve(&node, "handle");
    let mut client = open_foreign(port);
    let messages = [
        Message::text("Grüße"),
        Message::binary(vec![0_u8; 70_000]),
        Message::text(""),
        Message::binary(vec![9_u8; 256 << 10]),
    ];
    for message in messages {
        client.send(message.clone()).expect("it is open");
        assert_eq!(client.read().expect("it comes back"), message);
    }
    client.send(Message::Ping("abc".into())).expect("it is open");
    assert_eq!(client.read().expect("it is answered"), Message::Pong("abc".into()));
    client
        .close(Some(tungstenite::protocol::CloseFrame { code: CloseCode::Away, reason: "home".into() }))
        .expect("it is open");
    while client.read().is_ok() {}
    wait_outcome(&node, "true nil");
    let events = node.lua1("return seen()");
    assert!(events.ends_with("ping, close 1001 home"), "{events}");
}

#[test]
fn a_foreign_server_understands_the_client() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let server = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the client comes");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        let mut socket = tungstenite::accept(stream).expect("hands are shaken");
        socket.send(Message::Ping("are you there".into())).expect("it is open");
        let mut seen = Vec::new();
        loop {
            match socket.read() {
                Ok(Message::Close(frame)) => {
                    seen.push(format!("close {frame:?}"));
                }
                Ok(message @ (Message::Text(_) | Message::Binary(_))) => {
                    seen.push(format!("{} bytes", message.len()));
                    socket.send(message).expect("it is open");
                }
                Ok(Message::Pong(payload)) => seen.push(format!("pong {}", payload.len())),
                Ok(_) => {}
                Err(_) => return seen,
            }
        }
    });
    let node = node();
    node.check(&format!(
        "local id = websocket.connect('ws://localhost:{port}/x', nil, nil, {{ mask = true }})
        for _, text in ipairs {{ 'hi', '', ('ä'):rep(40000) }} do
            websocket.write(id, text)
            same(websocket.read(id), text)
        end
        websocket.write(id, '\\0\\255', 'binary', 7)
        same(websocket.read(id), '\\0\\255')
        websocket.close(id, 1000, 'bye')"
    ));
    let seen = server.join().expect("it ends").join(", ");
    assert!(seen.contains("pong 13") && seen.contains("80000 bytes"), "{seen}");
    assert!(seen.contains("Normal") && seen.contains("bye"), "{seen}");
}
