//! `skynet.dns`: names to addresses, with a server of the test's own that lies when it is told to.

mod support;

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use support::TestNode;

/// A question as the server reads it.
#[derive(Clone, Debug)]
struct Question {
    id: u16,
    flags: u16,
    name: String,
    kind: u16,
    from: SocketAddr,
}

fn read_question(packet: &[u8], from: SocketAddr) -> Question {
    let number = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
    let (mut labels, mut at) = (Vec::new(), 12);
    while packet[at] != 0 {
        let len = usize::from(packet[at]);
        labels.push(String::from_utf8_lossy(&packet[at + 1..at + 1 + len]).into_owned());
        at += len + 1;
    }
    assert_eq!(number(at + 3), 1, "the class is IN");
    assert_eq!(packet.len(), at + 5, "there is nothing behind the question");
    Question { id: number(0), flags: number(2), name: labels.join("."), kind: number(at + 1), from }
}

fn wire_name(name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for label in name.split('.') {
        bytes.push(label.len() as u8);
        bytes.extend_from_slice(label.as_bytes());
    }
    bytes.push(0);
    bytes
}

/// A record that names its owner by a pointer to the question, or in full.
fn record(owner: Option<&str>, kind: u16, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = owner.map_or_else(|| vec![0xc0, 12], wire_name);
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&1_u16.to_be_bytes());
    bytes.extend_from_slice(&ttl.to_be_bytes());
    bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

fn answer(question: &Question, code: u16, records: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [question.id, 0x8180 | code, 1, records.len() as u16, 0, 0] {
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    bytes.extend_from_slice(&wire_name(&question.name));
    bytes.extend_from_slice(&question.kind.to_be_bytes());
    bytes.extend_from_slice(&1_u16.to_be_bytes());
    bytes.extend(records.concat());
    bytes
}

/// What the server sends for a question: any number of packets.
type Replies = dyn Fn(&Question) -> Vec<Vec<u8>> + Send + Sync;

struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
    replies: Arc<Mutex<Arc<Replies>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn new(replies: impl Fn(&Question) -> Vec<Vec<u8>> + Send + Sync + 'static) -> Server {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        socket.set_read_timeout(Some(Duration::from_millis(20))).expect("it is set");
        let address = socket.local_addr().expect("it has one");
        let asked = Arc::new(AtomicUsize::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let replies: Arc<Mutex<Arc<Replies>>> = Arc::new(Mutex::new(Arc::new(replies)));
        let thread = {
            let (asked, stop, replies) = (asked.clone(), stop.clone(), replies.clone());
            std::thread::spawn(move || {
                let mut buffer = [0; 2048];
                while !stop.load(Ordering::SeqCst) {
                    let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                    let question = read_question(&buffer[..len], from);
                    asked.fetch_add(1, Ordering::SeqCst);
                    let replies = replies.lock().expect("nobody panics").clone();
                    for packet in replies(&question) {
                        let _ = socket.send_to(&packet, from);
                    }
                }
            })
        };
        Server { address, asked, replies, stop, thread: Some(thread) }
    }

    fn now_replies(&self, replies: impl Fn(&Question) -> Vec<Vec<u8>> + Send + Sync + 'static) {
        *self.replies.lock().expect("nobody panics") = Arc::new(replies);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// Lua text that makes the service use it, and no file.
    fn setup(&self) -> String {
        format!(
            "local dns = require 'skynet.dns' dns.DEFAULT_HOSTS = false dns.DEFAULT_RESOLV_CONF = false
            dns.server('127.0.0.1', {}) ",
            self.address.port()
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server was sent a bad packet");
        }
    }
}

fn honest(question: &Question) -> Vec<Vec<u8>> {
    let records = match question.kind {
        1 => vec![record(None, 1, 60, &[10, 0, 0, 1]), record(None, 1, 60, &[10, 0, 0, 2])],
        28 => {
            let mut bytes = [0; 16];
            (bytes[0], bytes[1], bytes[15]) = (0x20, 0x01, 0x05);
            vec![record(None, 28, 60, &bytes)]
        }
        _ => vec![],
    };
    vec![answer(question, 0, &records)]
}

#[test]
fn a_name_is_resolved_to_its_addresses() {
    let node = support::node();
    let server = Server::new(|question| {
        assert_eq!(question.flags, 0x0100, "recursion is desired, and nothing else");
        assert!(question.id != 0);
        honest(question)
    });
    let setup = server.setup();
    assert_eq!(
        node.lua(&format!("{setup} return dns.resolve 'Example.COM'")),
        ["10.0.0.1", "{1=10.0.0.1,2=10.0.0.2}"]
    );
    assert_eq!(
        node.lua("return require 'skynet.dns'.resolve('example.com', true)"),
        ["2001::5", "{1=2001::5}"]
    );
    assert_eq!(server.asked(), 2);
}

#[test]
fn an_answer_is_remembered_for_its_time() {
    let node = support::node_with_manual_clock();
    let server = Server::new(honest);
    let setup = server.setup();
    node.lua(&format!("{setup} return dns.resolve 'a.test'"));
    // Whoever gets the list may change it.
    node.lua("local _, list = require 'skynet.dns'.resolve 'a.test' list[1] = 'x'");
    assert_eq!(node.lua1("return require 'skynet.dns'.resolve 'A.test.'"), "10.0.0.1");
    assert_eq!(server.asked(), 1);
    node.advance(Duration::from_secs(61));
    node.lua("return require 'skynet.dns'.resolve 'a.test'");
    assert_eq!(server.asked(), 2);
    node.lua("require 'skynet.dns'.flush() return require 'skynet.dns'.resolve 'a.test'");
    assert_eq!(server.asked(), 3);
}

#[test]
fn an_answer_without_time_is_not_remembered() {
    let node = support::node();
    let server = Server::new(|question| vec![answer(question, 0, &[record(None, 1, 0, &[10, 0, 0, 1])])]);
    let setup = server.setup();
    node.lua(&format!("{setup} dns.resolve 'a.test' return dns.resolve 'a.test'"));
    assert_eq!(server.asked(), 2);
}

#[test]
fn those_that_ask_for_one_name_share_the_question() {
    let node = support::node();
    let server = Server::new(honest);
    let setup = server.setup();
    let answer = node.lua(&format!(
        "{setup}
        local done, found = 0, {{}}
        for i = 1, 100 do
            skynet.fork(function()
                found[dns.resolve 'shared.test'] = true
                done = done + 1
                if done == 100 then skynet.wakeup 'all' end
            end)
        end
        skynet.wait 'all'
        return found"
    ));
    assert_eq!(answer, ["{10.0.0.1=true}"]);
    assert_eq!(server.asked(), 1);
}

#[test]
fn a_server_that_does_not_answer_is_asked_again_and_then_given_up() {
    let node = support::node_with_manual_clock();
    let server = Server::new(|_| vec![]);
    let setup = server.setup();
    let answer = node.lua_in_time(&format!(
        "{setup}
        local from = skynet.now()
        local ok, problem = pcall(dns.resolve, 'silent.test')
        local time = skynet.now() - from
        return ok, problem, time >= 3000 and time < 3200"
    ));
    assert_eq!((answer[0].as_str(), answer[2].as_str()), ("false", "true"), "{answer:?}");
    assert!(answer[1].contains("timeout or no answer"), "{answer:?}");
    assert!((2..=7).contains(&server.asked()), "{}", server.asked());
}

#[test]
fn an_old_answer_is_better_than_none() {
    let node = support::node_with_manual_clock();
    let server = Server::new(honest);
    let setup = server.setup();
    node.lua(&format!("{setup} return dns.resolve 'old.test'"));
    server.now_replies(|_| vec![]);
    node.advance(Duration::from_secs(100));
    assert_eq!(
        node.lua_in_time("return require 'skynet.dns'.resolve 'old.test'"),
        ["10.0.0.1", "{1=10.0.0.1,2=10.0.0.2}"]
    );
}

#[test]
fn lies_are_not_believed() {
    let node = support::node();
    let server = Server::new(|question| {
        let lie = [record(None, 1, 60, &[6, 6, 6, 6])];
        let wrong_id = Question { id: question.id ^ 1, ..question.clone() };
        let other_name = Question { name: "other.test".into(), ..question.clone() };
        let other_kind = Question { kind: 28, ..question.clone() };
        let mut no_answer = answer(question, 0, &lie);
        no_answer[2] = 0x01;
        // An answer for the right name, that says something of another one.
        let right = answer(
            question,
            0,
            &[record(Some("other.test"), 1, 60, &[6, 6, 6, 6]), record(None, 1, 60, &[10, 0, 0, 7])],
        );
        vec![
            answer(&wrong_id, 0, &lie),
            answer(&other_name, 0, &lie),
            answer(&other_kind, 0, &lie),
            no_answer,
            vec![],
            b"junk".to_vec(),
            vec![0xff; 1000],
            right,
        ]
    });
    let setup = server.setup();
    assert_eq!(node.lua(&format!("{setup} return dns.resolve 'true.test'")), ["10.0.0.7", "{1=10.0.0.7}"]);
}

#[test]
fn what_somebody_else_sends_is_not_believed() {
    let node = support::node();
    let liar = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let server = Server::new(move |question| {
        // The right words, from another port.
        let lie = answer(question, 0, &[record(None, 1, 60, &[6, 6, 6, 6])]);
        liar.send_to(&lie, question.from).expect("it is sent");
        honest(question)
    });
    let setup = server.setup();
    assert_eq!(node.lua1(&format!("{setup} return dns.resolve 'true.test'")), "10.0.0.1");
}

#[test]
fn aliases_are_followed_and_circles_of_them_end() {
    let node = support::node();
    let server = Server::new(|question| {
        let records = match question.name.as_str() {
            "www.test" => vec![
                record(None, 5, 90, &wire_name("cdn.test")),
                record(Some("cdn.test"), 5, 80, &wire_name("edge.test")),
                record(Some("EDGE.test"), 1, 70, &[10, 9, 8, 7]),
            ],
            _ => vec![
                record(None, 5, 60, &wire_name("b.test")),
                record(Some("b.test"), 5, 60, &wire_name("circle.test")),
            ],
        };
        vec![answer(question, 0, &records)]
    });
    let setup = server.setup();
    assert_eq!(node.lua1(&format!("{setup} return dns.resolve 'www.test'")), "10.9.8.7");
    let answer = node.lua("return pcall(require 'skynet.dns'.resolve, 'circle.test')");
    assert!(answer[1].contains("timeout or no answer"), "{answer:?}");
}

#[test]
fn a_refusal_ends_the_question_at_once() {
    let node = support::node();
    let server = Server::new(|question| vec![answer(question, 3, &[])]);
    let setup = server.setup();
    let answer = node.lua(&format!("{setup} return pcall(dns.resolve, 'no.test')"));
    assert_eq!(answer[0], "false");
    assert!(answer[1].contains("timeout or no answer: no.test: NXDOMAIN"), "{answer:?}");
}

#[test]
fn names_and_addresses_are_told_apart() {
    let node = support::node();
    node.check(
        "local dns = require 'skynet.dns'
        dns.DEFAULT_HOSTS, dns.DEFAULT_RESOLV_CONF = false, false
        same({ dns.resolve '1.2.3.4' }, { '1.2.3.4', { '1.2.3.4' } })
        same({ dns.resolve('::1', true) }, { '::1', { '::1' } })
        same({ dns.resolve '::1' }, { nil, 'illegal ip address' })
        same({ dns.resolve('1.2.3.4', true) }, { nil, 'illegal ip address' })
        for _, name in ipairs { '', '.', 'a..b', 'sp ace', 'ü.de', ('x'):rep(64) .. '.de', ('abc.'):rep(300), 'a\\0b' } do
            same({ dns.resolve(name) }, { nil, 'illegal name' })
        end
        raises('must be a string', dns.resolve, nil)
        raises('Call dns.server first', dns.resolve, 'name.test')
        raises('no nameserver', dns.server)",
    );
}

#[test]
fn the_files_of_the_system_are_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::new(honest);
    let hosts = folder.path().join("hosts");
    std::fs::write(
        &hosts,
        "# comment\n127.0.0.7 Box.test box # alias\n::7 box.test\n10.1.1.1\tbox.test\n broken\n",
    )
    .expect("it is written");
    let conf = folder.path().join("resolv.conf");
    std::fs::write(&conf, "search test\nnameserver 127.0.0.1 # ours\nnameserver 10.255.255.1\n")
        .expect("it is written");
    let node = support::node();
    node.check(&format!(
        "local dns = require 'skynet.dns'
        dns.DEFAULT_HOSTS, dns.DEFAULT_RESOLV_CONF = '{hosts}', '{conf}'
        same(dns.server(nil, {port}), '127.0.0.1')
        same({{ dns.resolve 'BOX.test' }}, {{ '127.0.0.7', {{ '127.0.0.7', '10.1.1.1' }} }})
        same(dns.resolve 'box', '127.0.0.7')
        same(dns.resolve('box.test', true), '::7')
        -- Not in the file in this form: the server is asked.
        same(dns.resolve('box', true), '2001::5')",
        hosts = hosts.display(),
        conf = conf.display(),
        port = server.address.port()
    ));
    assert_eq!(server.asked(), 1);
}

#[test]
fn the_socket_is_closed_when_nobody_has_asked_for_minutes() {
    let node = support::node_with_manual_clock();
    let server = Server::new(honest);
    let setup = server.setup();
    let sockets = || node.lua1("return #require 'skynet.socket'.netstat()");
    node.lua(&format!("{setup} return dns.resolve 'a.test'"));
    assert_eq!(sockets(), "1");
    for _ in 0..7 {
        node.advance(Duration::from_secs(60));
    }
    node.wait_until("the socket is closed", || sockets() == "0");
    assert_eq!(node.lua1("return require 'skynet.dns'.resolve 'b.test'"), "10.0.0.1");
    assert_eq!(sockets(), "1");
}

#[test]
fn a_question_whose_coroutine_is_killed_fails() {
    let node = support::node();
    let server = Server::new(|_| vec![]);
    let setup = server.setup();
    let answer = node.lua(&format!(
        "{setup}
        local problem
        skynet.fork(function()
            problem = select(2, pcall(dns.resolve, 'killed.test'))
            skynet.wakeup 'failed'
        end)
        skynet.yield()
        skynet.yield()
        for thread in pairs(require 'skynet.kernel'.tasks()) do
            local trace = debug.traceback(thread)
            if trace:find('dns.lua', 1, true) and trace:find('sleep', 1, true) then
                skynet.killthread(thread)
            end
        end
        if not problem then skynet.wait 'failed' end
        return problem"
    ));
    assert!(answer[0].contains("nobody answers"), "{answer:?}");
}

#[test]
fn the_systems_resolver_can_be_asked_without_blocking_the_service() {
    let node = support::node();
    node.check(
        "local dns = require 'skynet.dns'
        local list = dns.system_resolve '127.0.0.1'
        same(list, { '127.0.0.1' })
        local none, problem = dns.system_resolve 'no such name'
        same(none, nil)
        same(type(problem), 'string')
        raises('must be a string', dns.system_resolve, 1)",
    );
}

#[test]
fn the_old_name_of_the_module_works() {
    let lua = support::lua_dir();
    let root = env!("CARGO_MANIFEST_DIR");
    let config = support::config()
        .set("lua_path", format!("{}/?.lua;{root}/lualib/?.lua;{root}/lualib/compat10/?.lua", lua.display()));
    let node = support::start(config, None);
    assert_eq!(node.lua1("return require 'dns' == require 'skynet.dns'"), "true");
    assert_eq!(node.lua1("return require 'socketchannel' == require 'skynet.socketchannel'"), "true");
}

// -- packets of strangers

fn check_packets(node: &TestNode, code: &str) {
    node.check(&format!(
        "local packet = require 'skynet.dns.packet'
        local function head(answers, id) return string.pack('>I2I2I2I2I2I2', id or 7, 0x8180, 1, answers, 0, 0) end
        local question = '\\1a\\4test\\0' .. string.pack('>I2I2', 1, 1)
        local function parse(...) return packet.parse(table.concat {{ ... }}) end
        local function refused(text, ...)
            local answer, problem = parse(...)
            same(answer, nil)
            if not problem:find(text, 1, true) then error(problem .. ', want ' .. text, 2) end
        end
        {code}"
    ));
}

#[test]
fn packets_that_break_the_rules_are_refused() {
    let node = support::node();
    check_packets(
        &node,
        r"
        refused('shorter than a header', '')
        refused('shorter than a header', head(0):sub(1, 11))
        refused('a name runs over the end', head(0))
        refused('a label runs over the end', head(0), '\5abc')
        refused('the question runs over the end', head(0), '\1a\0\0')
        refused('unknown kind 1', head(0), '\x40abc')
        refused('unknown kind 2', head(0), '\x80abc')
        refused('a pointer runs over the end', head(0), '\xc0')
        -- To itself, forwards, to one another.
        refused('does not lead backwards', head(0), '\xc0\x0c\0\1\0\1')
        refused('does not lead backwards', head(0), '\xc0\x20\0\1\0\1')
        refused('does not lead backwards', head(0), '\1a\xc0\x0c\0\1\0\1')
        refused('does not lead backwards', head(0), '\xff\xff\0\1\0\1')
        refused('longer than 255 bytes', head(0), ('\63' .. ('x'):rep(63)):rep(4), '\0\0\1\0\1')
        refused('a record runs over the end', head(1), question, '\xc0\x0c\0\1')
        refused('a name runs over the end', head(2), question, '\xc0\x0c', string.pack('>I2I2I4s2', 1, 1, 5, 'abcd'))
        refused('the data of a record runs', head(1), question, '\xc0\x0c', string.pack('>I2I2I4I2', 1, 1, 5, 9))
        refused('it is no answer', string.pack('>I2I2I2I2I2I2', 7, 0x0100, 1, 0, 0, 0), question)
        refused('answers 0 questions', string.pack('>I2I2I2I2I2I2', 7, 0x8180, 0, 0, 0, 0))
        refused('answers 9 questions', string.pack('>I2I2I2I2I2I2', 7, 0x8180, 9, 0, 0, 0), question)
        ",
    );
}

#[test]
fn a_chain_of_pointers_cannot_make_much_of_little() {
    let node = support::node();
    check_packets(
        &node,
        r"
        -- Each name is one label and a pointer to the one before: long before 255 bytes the jumps are over.
        local parts, at = { head(0), '\1a\0' }, 12
        local position = 15
        for i = 1, 300 do
            parts[#parts + 1] = '\0' .. string.pack('>I2', 0xc000 | at)
            at = position + 1
            position = position + 3
        end
        local chain = table.concat(parts)
        -- Read from the end: put the question's name there by pointing to it is forwards, so a record does it.
        local packet_text = head(1) .. question .. chain:sub(13)
        local answer = parse(packet_text)
        assert(answer == nil or #answer.records <= 1)
        ",
    );
}

#[test]
fn records_that_make_no_sense_are_skipped() {
    let node = support::node();
    check_packets(
        &node,
        r"
        local function record(kind, class, data) return '\xc0\x0c' .. string.pack('>I2I2I4s2', kind, class, 5, data) end
        local answer = parse(head(6), question, record(1, 1, 'abc'), record(1, 3, 'abcd'), record(1, 1, ''),
            record(99, 1, 'whatever'), record(1, 1, '\1\2\3\4'), record(1, 1, '12345'))
        same(#answer.records, 6)
        same(packet.addresses(answer), { '1.2.3.4' })
        -- A time of more than 2^31 - 1 is none.
        local answer = parse(head(1), question, '\xc0\x0c', string.pack('>I2I2I4s2', 1, 1, 0x80000000, 'abcd'))
        same({ packet.addresses(answer) }, { { '97.98.99.100' }, 0 })
        ",
    );
}

#[test]
fn addresses_of_16_bytes_are_written_short() {
    let node = support::node();
    check_packets(
        &node,
        r"
        local function text(...) return packet.ipv6_text(string.pack('>I2I2I2I2I2I2I2I2', ...)) end
        same(text(0, 0, 0, 0, 0, 0, 0, 0), '::')
        same(text(0, 0, 0, 0, 0, 0, 0, 1), '::1')
        same(text(0xfe80, 0, 0, 0, 0, 0, 0, 0), 'fe80::')
        same(text(0x2001, 0xdb8, 0, 0, 1, 0, 0, 1), '2001:db8::1:0:0:1')
        same(text(0x2001, 0xdb8, 0, 1, 1, 1, 1, 1), '2001:db8:0:1:1:1:1:1')
        same(text(1, 0, 0, 2, 0, 0, 0, 3), '1:0:0:2::3')
        same(text(1, 2, 3, 4, 5, 6, 7, 8), '1:2:3:4:5:6:7:8')
        ",
    );
}

#[test]
fn whatever_comes_the_reader_answers_or_refuses() {
    let node = support::node();
    check_packets(
        &node,
        r"
        math.randomseed(4711)
        local good = head(3) .. question .. '\xc0\x0c' .. string.pack('>I2I2I4s2', 5, 1, 5, '\1b\xc0\x0e')
            .. '\1b\xc0\x0e' .. string.pack('>I2I2I4s2', 1, 1, 5, 'abcd')
            .. '\xc0\x0c' .. string.pack('>I2I2I4s2', 28, 1, 5, ('z'):rep(16))
        assert(parse(good))
        local refusals = 0
        for round = 1, 20000 do
            local bytes = { good:byte(1, -1) }
            for _ = 1, math.random(1, 6) do
                bytes[math.random(#bytes)] = math.random(0, 255)
            end
            local text = string.char(table.unpack(bytes)):sub(1, math.random(0, #bytes))
            local answer, problem = packet.parse(text)
            if answer then
                packet.addresses(answer)
            else
                refusals = refusals + 1
                -- Lua's own errors would name a place.
                assert(type(problem) == 'string' and not problem:find '%.lua:', problem)
            end
        end
        assert(refusals > 1000 and refusals < 20000, refusals)
        for round = 1, 5000 do
            local bytes = {}
            for i = 1, math.random(0, 600) do bytes[i] = string.char(math.random(0, 255)) end
            local answer, problem = packet.parse(head(0xffff) .. table.concat(bytes))
            assert(answer or not problem:find '%.lua:', problem)
        end
        ",
    );
}
