//! HTTP in Lua: the modules of `lualib/http`, without sockets where they need none, then with real ones.

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::thread::{self, JoinHandle};

use support::{DEADLINE, TestNode};

/// A node whose `eval` service has all of HTTP at hand.
fn node() -> TestNode {
    let node = support::node();
    node.check(
        "socket = require 'skynet.socket'
        httpd, httpc, url = require 'http.httpd', require 'http.httpc', require 'http.url'
        helper, internal, bytes = require 'http.sockethelper', require 'http.internal', require 'http.bytes'",
    );
    node
}

/// A server in the service, which answers each request by what `body`, a function of (fd, address), does.
fn serve(node: &TestNode, body: &str) -> u16 {
    node.lua1(&format!(
        "local body = {body}
        local id, _, port = socket.listen('127.0.0.1', 0, 128)
        socket.start(id, function(fd, address) skynet.fork(body, fd, address) end)
        return port"
    ))
    .parse()
    .expect("a port")
}

/// What most servers are like: it tells the client what it has understood. `arguments` follow the socket's in `readfunc`,
/// `limit` is the body's.
fn echo(arguments: &str, limit: &str) -> String {
    format!(
        "function(fd)
            socket.start(fd)
            local code, url, method, header, body = httpd.read_request(helper.readfunc(fd{arguments}), {limit})
            if not code then
                outcome = tostring(url)
            elseif code ~= 200 then
                httpd.write_response(helper.writefunc(fd), code)
            else
                httpd.write_response(helper.writefunc(fd), 200, ('%s %s %s'):format(method, url, body), {{ server = 'test' }})
            end
            socket.close(fd)
        end"
    )
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    stream.set_write_timeout(Some(DEADLINE)).expect("a time above zero");
    stream
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A server that refuses a request leaves bytes of it unread, and its system may then reset the connection behind the
    // answer.
    match stream.read_to_end(&mut bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => panic!("{error}"),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

fn request(port: u16, text: &str) -> String {
    let mut stream = connect(port);
    stream.write_all(text.as_bytes()).expect("it is open");
    read_to_end(&mut stream)
}

/// A server outside of the node for one connection: reads the head of a request, and its body if it has a length, sends
/// the answer, closes. Gives what it has read.
fn answer_once(answer: impl Into<Vec<u8>>) -> (u16, JoinHandle<String>) {
    let answer = answer.into();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let port = listener.local_addr().expect("it is bound").port();
    let thread = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("the client comes");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        let mut reader = BufReader::new(stream);
        let (mut text, mut length) = (String::new(), 0);
        loop {
            let start = text.len();
            reader.read_line(&mut text).expect("a line of a head");
            let line = text[start..].to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().expect("a length");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the body");
        text.push_str(&String::from_utf8_lossy(&body));
        // The client may have gone when it has seen enough.
        let _ = reader.get_mut().write_all(&answer);
        let _ = reader.get_mut().shutdown(Shutdown::Write);
        let _ = reader.read_to_end(&mut Vec::new());
        text
    });
    (port, thread)
}

/// Runs `curl`, if there is one.
fn curl(arguments: &[&str]) -> Option<String> {
    match Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--noproxy", "*"])
        .args(arguments)
        .output()
    {
        Ok(output) => {
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(error) => {
            println!("SKIPPED: curl cannot be run here: {error}");
            None
        }
    }
}

#[test]
fn a_url_has_a_path_and_a_query() {
    node().check(
        "local function parsed(text) return table.concat({ url.parse(text) }, '|') end
        same(parsed '/a/b?x=1&y=2?z', '/a/b|x=1&y=2?z')
        same(parsed '/a%20b+c%2fd%zz%', '/a b c/d%zz%|')
        same(parsed '', '|')
        same(url.parse_query 'a=1&b=%41+x&c=', { a = '1', b = 'A x', c = '' })
        same(url.parse_query 'a=1&a=2&b=3&a=4', { a = { '1', '2', '4' }, b = '3' })
        same(url.parse_query 'a=b=c&&x&=y', { a = 'b=c', [''] = 'y' })
        same(url.parse_query '', {})",
    );
}

#[test]
fn a_head_is_read_in_lines_and_fields() {
    node().check(
        r"for piece = 1, 30 do
            local lines = {}
            local rest = internal.recvheader(bytes.reader('GET / HTTP/1.1\r\na: b\r\n\r\nmore', piece), lines, '')
            same(lines, { 'GET / HTTP/1.1', 'a: b' })
            assert(('more'):sub(1, #rest) == rest)
        end
        local lines = {}
        same(internal.recvheader(error, lines, '\r\nrest'), 'rest')
        same(lines, {})
        same(internal.recvheader(error, lines, 'a: 1\r\n\r\n'), '')
        same(lines, { 'a: 1' })
        local head = 'a: ' .. ('x'):rep(8192 - 7) .. '\r\n\r\n'
        same(internal.recvheader(bytes.reader(head, 100), {}, ''), '')
        same(internal.recvheader(bytes.reader('a' .. head, 100), {}, ''), nil)
        same(internal.recvheader(bytes.reader('a' .. head), {}, ''), nil)
        same(internal.recvheader(bytes.reader(('x'):rep(20000), 10000), {}, ''), nil)

        local function fields(lines, from, into) return internal.parseheader(lines, from or 1, into or {}) end
        same(fields({ 'GET', 'Host: a', 'X-A:1', 'x-a: 2', 'X-a:  3 ' }, 2), { host = 'a', ['x-a'] = { '1', '2', '3' } })
        same(fields { 'a: b', '\tc', 'd: e' }, { a = 'bc', d = 'e' })
        same(fields({ 'a: 2' }, 1, { a = '1' }), { a = { '1', '2' } })
        same(fields {}, {})
        for _, bad in ipairs { '\ta', 'no colon', ' a: b', 'a : b', ': b', 'a: b\nc: d', 'a: \0' } do
            same(fields { bad }, nil)
        end",
    );
}

#[test]
fn a_body_in_chunks_is_read_with_its_trailers() {
    node().check(
        r"local text = 'a\r\npppppppppp\r\n14\r\n' .. ('q'):rep(20) .. '\r\n0\r\nX-T: 1\r\n\r\nbehind'
        for piece = 1, #text do
            local body, header, behind = internal.recvchunkedbody(bytes.reader(text, piece), nil, { a = 'b' }, '')
            same(body, ('p'):rep(10) .. ('q'):rep(20))
            same(header, { a = 'b', ['x-t'] = '1' })
            assert(('behind'):sub(1, #behind) == behind)
        end
        same(internal.recvchunkedbody(error, nil, {}, '0\r\n\r\n'), '')
        same(internal.recvchunkedbody(bytes.reader(text), 30, {}, ''), ('p'):rep(10) .. ('q'):rep(20))
        local body, why = internal.recvchunkedbody(bytes.reader(text), 29, {}, '')
        same({ body, why }, { nil, 'limit' })
        for _, bad in ipairs { 'x\r\n', '-1\r\n', '1\r\nab\r\n', '0x1\r\na\r\n', '1\na', 'ffffffffffffffff\r\n', '0\r\nbad\r\n\r\n',
            '0\r\n' .. ('x'):rep(9000), ('0'):rep(9000), '1;' .. ('x'):rep(9000) } do
            local body, why = internal.recvchunkedbody(bytes.reader(bad, 100), nil, {}, '')
            assert(body == nil and why ~= 'limit', bad)
        end
        local ok, err = pcall(internal.recvchunkedbody, bytes.reader('5\r\nabc'), nil, {}, '')
        assert(not ok and err == helper.socket_error)",
    );
}

#[test]
fn a_million_chunks_of_one_byte_take_memory_like_one_body() {
    node().check(
        r"local chunk = ('1\r\nx\r\n'):rep(500)
        local count = 2000
        local function read()
            count = count - 1
            return count >= 0 and chunk or '0\r\n\r\n'
        end
        collectgarbage() local before = collectgarbage 'count'
        local body = internal.recvchunkedbody(read, nil, {}, '')
        same(#body, 1000000)
        collectgarbage()
        assert(collectgarbage 'count' - before < 4000)
        local tiny = ('1\r\nx\r\n'):rep(20000) .. '0\r\n\r\n'
        same(#internal.recvchunkedbody(bytes.reader(tiny, 1), nil, {}, ''), 20000)",
    );
}

#[test]
fn a_request_is_read_or_refused_with_a_code() {
    node().check(
        r"local function read(text, limit, piece)
            return table.pack(httpd.read_request(bytes.reader(text, piece), limit))
        end
        for piece = 1, 90 do
            local got = read('POST /x?y HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nA: 1\r\na: 2\r\n\r\nhello', nil, piece)
            same({ table.unpack(got, 1, 5) }, { 200, '/x?y', 'POST', { host = 'a', ['content-length'] = '5', a = { '1', '2' } }, 'hello' })
        end
        local got = read('PUT / HTTP/1.0\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\nnext')
        same({ table.unpack(got, 1, 6) }, { 200, '/', 'PUT', { ['transfer-encoding'] = 'Chunked', x = 'y' }, 'hi', 'next' })
        same(read('GET / HTTP/1.1\r\ntransfer-encoding: identity\r\n\r\nnext')[5], '')
        same(read('GET / HTTP/1.1\r\n\r\nnext')[6], 'next')

        local function code(head, limit) return read(head .. '\r\n\r\nxxxx', limit)[1] end
        same(code 'GET / HTTP/1.1\r\na: b', 200)
        same(code 'GET / HTTP/2.0', 505)
        same(code 'GET / HTTP/0.9', 505)
        same(code 'GET / HTTP/1.2', 505)
        same(code 'GET / HTTP/1.1\r\nno colon', 400)
        same(code 'GET / HTTP/1.1\r\n\ta: b', 400)
        same(code 'GET / HTTP/1.1\r\na : b', 400)
        same(code 'GET / HTTP/1.1\r\ntransfer-encoding: gzip', 501)
        same(code 'GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked', 501)
        same(code('GET / HTTP/1.1\r\na: ' .. ('x'):rep(8192)), 413)
        same(code('GET / HTTP/1.1\r\ncontent-length: 5', 4), 413)
        same(code('GET / HTTP/1.1\r\ncontent-length: 4', 4), 200)
        same(code('GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0', 4), 413)
        same(code 'GET / HTTP/1.1\r\ntransfer-encoding: chunked', 400)",
    );
}

#[test]
fn a_length_that_is_none_is_refused_before_anything_is_read() {
    node().check(
        r"local function code(length, limit)
            local text = 'POST / HTTP/1.1\r\ncontent-length: ' .. length .. '\r\n\r\nxxxx'
            return (httpd.read_request(bytes.reader(text), limit))
        end
        for _, bad in ipairs { 'x', '-1', '+4', '0x4', '4.0', '4e0', '', '4 4', '4, 4', '4\r\ncontent-length: 5' } do
            same(code(bad), 400)
        end
        same(code '4', 200)
        same(code '0004', 200)
        same(code '4\r\nContent-Length: 4', 200)
        same(code '0', 200)
        for _, huge in ipairs { '67108865', '9223372036854775807', '9223372036854775808', ('9'):rep(4000) } do
            same(code(huge), 413)
            same(code(huge, 100), 413)
        end
        -- What is within the limit is waited for, and takes no memory before it has come.
        collectgarbage() local before = collectgarbage 'count'
        local got, err = httpd.read_request(bytes.reader('POST / HTTP/1.1\r\ncontent-length: 67108864\r\n\r\nx'))
        assert(got == nil and err == helper.socket_error)
        assert(collectgarbage 'count' - before < 100)",
    );
}

#[test]
fn a_request_that_is_none_is_an_error() {
    node().check(
        r"for _, bad in ipairs { 'x', 'GET', 'GET /', 'GET / HTTP', 'GET / HTTP/', 'GET / HTTP/1.1.1', '', 'GET /\0 HTTP/1.1', '\22\3\1' } do
            local code, err = httpd.read_request(bytes.reader(bad .. '\r\n\r\n'))
            same(code, nil)
            assert(err:find('assertion failed!', 1, true), err)
        end
        local code, err = httpd.read_request(bytes.reader 'GET / HT')
        assert(code == nil and err == helper.socket_error)",
    );
}

#[test]
fn a_response_has_the_bytes_that_the_original_gives_it() {
    node().check(
        r"local function written(...)
            local write, all = bytes.writer()
            assert(httpd.write_response(write, ...))
            return all()
        end
        local left = { ('p'):rep(10), '', ('p'):rep(20) }
        same(written(200, function() return table.remove(left, 1) end, { ['X-T'] = { '1', '2' } }),
            'HTTP/1.1 200 OK\r\nX-T: 1\r\nX-T: 2\r\ntransfer-encoding: chunked\r\n\r\na\r\npppppppppp\r\n14\r\npppppppppppppppppppp\r\n0\r\n\r\n')
        same(written(299), 'HTTP/1.1 299 \r\n\r\n')
        same(written(426, 'Upgrade Required'), 'HTTP/1.1 426 \r\ncontent-length: 16\r\n\r\nUpgrade Required')
        same(written(200, ''), 'HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n')
        same(written(200, 'abc', { ['Content-Length'] = 99 }), 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabc')
        same(written(200, nil, { ['content-length'] = 99 }), 'HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n')
        same(written(200, function() end), 'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n')
        for code, reason in pairs { [100] = 'Continue', [305] = 'Use Proxy', [408] = 'Request Time-out', [413] = 'Request Entity Too Large',
            [416] = 'Requested range not satisfiable', [504] = 'Gateway Time-out', [505] = 'HTTP Version not supported', [306] = '', [7] = '' } do
            same(written(code), ('HTTP/1.1 %03d %s\r\n\r\n'):format(code, reason))
        end",
    );
}

#[test]
fn a_response_that_cannot_be_written_is_an_error() {
    node().check(
        r"local function fails(text, ...)
            local ok, err = httpd.write_response(...)
            assert(ok == false and tostring(err):find(text, 1, true), tostring(err))
        end
        local function never() error 'nothing is written' end
        fails('line break', never, 200, 'x', { a = 'b\r\nc: d' })
        fails('line break', never, 200, 'x', { ['a\nb'] = 'c' })
        fails('line break', never, 200, 'x', { a = { 'b', 'c\rd' } })
        fails('a string or a function', never, 200, 5)
        fails('[Socket Error]', function() error(helper.socket_error) end, 200, 'x')
        fails('own', function() end, 200, function() error 'own' end)",
    );
}

#[test]
fn a_socket_error_is_one_and_has_its_own_words() {
    node().check(
        "same(tostring(helper.socket_error), '[Socket Error]')
        local one, other = helper.socket_error 'lost', helper.socket_error()
        same(tostring(one), '[Socket Error] : lost')
        same(tostring(other), '[Socket Error]')
        assert(one == helper.socket_error and other == helper.socket_error and one ~= 'lost' and one ~= {})",
    );
}

#[test]
fn a_server_answers_real_clients() {
    let node = node();
    let port = serve(&node, &echo("", "100"));
    let answer = request(port, "POST /a HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi");
    assert_eq!(answer, "HTTP/1.1 200 OK\r\nserver: test\r\ncontent-length: 10\r\n\r\nPOST /a hi");
    assert_eq!(request(port, "GET / HTTP/3\r\n\r\n"), "HTTP/1.1 505 HTTP Version not supported\r\n\r\n");
    let large = format!("GET / HTTP/1.1\r\na: {}", "x".repeat(20_000));
    assert_eq!(request(port, &large), "HTTP/1.1 413 Request Entity Too Large\r\n\r\n");
    let large =
        "GET / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nffffffff\r\n".to_owned() + &"x".repeat(200);
    assert_eq!(request(port, &large), "HTTP/1.1 413 Request Entity Too Large\r\n\r\n");
}

#[test]
fn curl_understands_the_server() {
    let node = node();
    let port = serve(&node, &echo("", "nil"));
    let at = format!("http://127.0.0.1:{port}");
    let Some(answer) = curl(&[&format!("{at}/a?b=c")]) else { return };
    assert_eq!(answer, "GET /a?b=c ");
    assert_eq!(curl(&["-d", "x=1&y=2", &at]).as_deref(), Some("POST / x=1&y=2"));
    let chunked = curl(&["-H", "Transfer-Encoding: chunked", "-d", "in chunks", &at]);
    assert_eq!(chunked.as_deref(), Some("POST / in chunks"));
    let large = "y".repeat(100_000);
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), &large).expect("it is written");
    let sent = curl(&["-T", &file.path().display().to_string(), &format!("{at}/up")]);
    assert_eq!(sent, Some(format!("PUT /up {large}")));

    let port = serve(
        &node,
        "function(fd)
            socket.start(fd)
            httpd.read_request(helper.readfunc(fd))
            local n = 0
            httpd.write_response(helper.writefunc(fd), 200, function()
                n = n + 1
                if n <= 50 then return ('%d;'):format(n):rep(n) end
            end, { ['set-cookie'] = { 'a=1', 'b=2' } })
            socket.close(fd)
        end",
    );
    let answer = curl(&["-i", &format!("http://127.0.0.1:{port}/")]).expect("it was there before");
    let body: String = (1..=50).map(|n: usize| format!("{n};").repeat(n)).collect();
    assert!(answer.ends_with(&body), "{answer}");
    assert!(answer.contains("set-cookie: a=1\r\n") && answer.contains("set-cookie: b=2\r\n"), "{answer}");
}

#[test]
fn a_client_that_sends_slowly_is_cut_off() {
    let node = node();
    let port = serve(&node, &echo(", nil, 30", "nil"));
    for part in ["", "GET / HTT", "POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nhal"] {
        node.lua("outcome = nil");
        let mut stream = connect(port);
        stream.write_all(part.as_bytes()).expect("it is open");
        assert_eq!(read_to_end(&mut stream), "", "of {part:?}");
        node.wait_until("the server has given up", || node.lua1("return outcome").contains("read timeout"));
    }
    // Bytes now and then do not help.
    let mut stream = connect(port);
    let mut writer = stream.try_clone().expect("a second handle");
    let trickle = thread::spawn(move || {
        while writer.write_all(b"x").is_ok() {
            thread::yield_now();
            #[allow(clippy::disallowed_methods)]
            thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    assert_eq!(read_to_end(&mut stream), "");
    drop(stream);
    trickle.join().expect("its writes fail in the end");
    // Who is in time is served.
    assert!(request(port, "GET /x HTTP/1.1\r\n\r\n").ends_with("GET /x "));
}

#[test]
fn each_read_has_its_own_deadline() {
    let node = node();
    let port = serve(
        &node,
        "function(fd)
            served = (served or 0) + 1
            local limit = served == 1 and 200 or 10
            socket.start(fd)
            local begun = skynet.now()
            local ok, err = pcall(helper.readfunc(fd, nil, limit))
            if not ok and err.info == 'read timeout' and skynet.now() - begun >= limit then
                ended = (ended or '') .. limit .. ' '
            end
            socket.close(fd)
        end",
    );
    // The one that waits longest is the first, so that the watch has to be woken for the others.
    let slow = connect(port);
    node.wait_until("the slow one is served", || node.lua1("return served") == "1");
    let quick = [connect(port), connect(port), connect(port)];
    for mut stream in quick.into_iter().chain([slow]) {
        assert_eq!(read_to_end(&mut stream), "");
    }
    node.wait_until("all ended in time", || node.lua1("return ended") == "10 10 10 200 ");
}

#[test]
fn a_client_that_goes_in_the_middle_is_a_socket_error() {
    let node = node();
    let port = serve(&node, &echo("", "nil"));
    for part in [
        "GET / HTTP/1.1\r\nHo",
        "POST / HTTP/1.1\r\ncontent-length: 10\r\n\r\nhal",
        "POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n5\r\nha",
    ] {
        node.lua("outcome = nil");
        let mut stream = connect(port);
        stream.write_all(part.as_bytes()).expect("it is open");
        stream.shutdown(Shutdown::Write).expect("it is open");
        assert_eq!(read_to_end(&mut stream), "");
        node.wait_until("the server knows", || node.lua1("return outcome") == "[Socket Error]");
    }
}

#[test]
fn what_a_client_sends_has_the_bytes_that_the_original_gives_it() {
    let node = node();
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nX: 1\r\nx: 2\r\n\r\nhi";
    let (port, sent) = answer_once(ok);
    node.check(&format!(
        "local header = {{}}
        local code, body = httpc.get('127.0.0.1:{port}', '/path?q', header)
        same(code, 200) same(body, 'hi')
        same(header, {{ ['content-length'] = '2', x = {{ '1', '2' }} }})"
    ));
    let text = sent.join().expect("it has read a request");
    assert_eq!(text, format!("GET /path?q HTTP/1.1\r\nhost:127.0.0.1:{port}\r\nContent-length:0\r\n\r\n"));

    let (port, sent) = answer_once(ok);
    node.check(&format!(
        "httpc.request('PUT', 'http://127.0.0.1:{port}', '/', nil, {{ ['X-A'] = 7 }}, 'body')"
    ));
    let text = sent.join().expect("it has read a request");
    assert_eq!(
        text,
        format!("PUT / HTTP/1.1\r\nX-A:7\r\nHost:127.0.0.1:{port}\r\nContent-length:4\r\n\r\nbody")
    );

    let (port, sent) = answer_once(ok);
    node.check(&format!("httpc.post('127.0.0.1:{port}', '/', {{ ['a b'] = 'ä&_Z' }})"));
    let text = sent.join().expect("it has read a request");
    assert!(text.contains("content-type:application/x-www-form-urlencoded\r\n"), "{text}");
    assert!(text.ends_with("Content-length:17\r\n\r\na%20b=%C3%A4%26_Z"), "{text}");

    let (port, sent) = answer_once(ok);
    node.check(&format!(
        "httpc.request('POST', '127.0.0.1:{port}', '/', nil, {{ ['transfer-encoding'] = 'chunked', Host = 'other' }}, '0\\r\\n\\r\\n')"
    ));
    let text = sent.join().expect("it has read a request");
    assert!(text.contains("Host:other\r\n") && !text.to_lowercase().contains("content-length"), "{text}");
}

#[test]
fn a_client_reads_each_kind_of_response() {
    let node = node();
    for (answer, code, body) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", 200, "hello"),
        ("HTTP/1.0 404 \r\n\r\nto the end", 404, "to the end"),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            200,
            "abcde",
        ),
        ("HTTP/1.1 204 No Content\r\n\r\nignored", 204, ""),
        ("HTTP/1.1 304\r\ncontent-length: 9\r\n\r\n", 304, ""),
        ("HTTP/1.1 100 Continue\r\n\r\n", 100, ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, ""),
        ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi and more", 200, "hi"),
    ] {
        let (port, _sent) = answer_once(answer);
        node.check(&format!("local code, body = httpc.get('127.0.0.1:{port}', '/') same({{ code, body }}, {{ {code}, '{body}' }})"));
    }
    let (port, _sent) = answer_once("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
    node.check(&format!(
        "local header = {{}}
        same(count(httpc.head('127.0.0.1:{port}', '/', header)), 1)
        same(header, {{ ['content-length'] = '5' }})"
    ));
}

#[test]
fn a_response_that_is_none_is_an_error_with_the_known_words() {
    let node = node();
    let large = format!("HTTP/1.1 200 OK\r\na: {}", "x".repeat(9000));
    for (answer, text) in [
        (large.as_str(), "Recv header failed"),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", "Invalid HTTP response header"),
        ("nonsense\r\n\r\n", "Invalid HTTP response header"),
        ("HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n", "Invalid HTTP response header"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx",
            "Invalid HTTP response header",
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n", "Unsupport transfer-encoding"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n", "Invalid response body"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n", "Invalid response body"),
        ("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhal", "[Socket Error]"),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhal", "[Socket Error]"),
        ("HTTP/1.1 20", "[Socket Error]"),
    ] {
        let (port, _sent) = answer_once(answer);
        node.check(&format!("raises('{text}', httpc.get, '127.0.0.1:{port}', '/')"));
    }
    let (port, _sent) = answer_once("HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(2000));
    node.check(&format!(
        "httpc.bodylimit = 1000 raises('Invalid response body', httpc.get, '127.0.0.1:{port}', '/')"
    ));
}

#[test]
fn hosts_that_are_none_are_refused_in_the_known_words() {
    node().check(
        r#"raises('Invalid protocol: ftp', httpc.get, 'ftp://localhost', '/')
        raises("Invalid host: bare IPv6 address '::1', use '[::1]' instead", httpc.get, 'http://::1', '/')
        raises('Invalid host', httpc.get, '', '/')
        raises('Invalid host', httpc.get, 'a:b', '/')"#,
    );
}

#[test]
fn a_request_brings_no_lines_of_its_own() {
    let node = node();
    let port = serve(&node, &echo("", "nil"));
    node.check(&format!(
        r"local host = '127.0.0.1:{port}'
        raises('line break', httpc.get, host, '/', nil, {{ a = 'b\r\nc: d' }})
        raises('line break', httpc.get, host, '/', nil, {{ ['a\r\nb'] = 'c' }})
        raises('line break', httpc.get, host, '/ HTTP/1.1\r\na: b\r\n')
        raises('line break', httpc.request, 'GET /\r\n', host, '/')
        same(select(2, httpc.get(host, '/still')), 'GET /still ')"
    ));
}

#[test]
fn a_connection_that_fails_says_to_where() {
    let node = node();
    // A port that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    node.check(&format!(
        "local ok, err = pcall(helper.connect, '127.0.0.1', {port})
        assert(not ok and err == helper.socket_error)
        same(tostring(err), '[Socket Error] : connect failed host = 127.0.0.1 port = {port} timeout = nil err = nil is_time_out = false')
        local ok, err = pcall(helper.connect, '127.0.0.1', {port}, 500)
        same(tostring(err), '[Socket Error] : connect failed host = 127.0.0.1 port = {port} timeout = 500 err = Connection refused is_time_out = false')
        raises('connect failed host = 127.0.0.1 port = {port}', httpc.get, '127.0.0.1:{port}', '/')"
    ));
}

#[test]
fn names_are_resolved_by_the_system_or_by_skynet_dns_if_asked_to() {
    let node = node();
    let port = serve(&node, &echo("", "nil"));
    node.check(&format!(
        "same(select(2, httpc.get('localhost:{port}', '/system')), 'GET /system ')
        local asked = {{}}
        package.loaded['skynet.dns'] = {{
            server = function(...) asked.server = table.concat({{ ... }}, ':') end,
            resolve = function(name)
                asked[#asked + 1] = name
                if name == 'known.test' then return '127.0.0.1', {{ '127.0.0.1' }} end
                if name == 'slow.test' then error 'timeout or no answer' end
                return nil, 'illegal name'
            end,
        }}
        httpc.dns('9.9.9.9', 53)
        same(select(2, httpc.get('known.test:{port}', '/dns')), 'GET /dns ')
        raises('unknown.test dns resolve failed msg:illegal name', httpc.get, 'unknown.test', '/')
        raises('slow.test dns resolve failed msg:', httpc.get, 'http://slow.test', '/')
        raises('timeout or no answer', httpc.get, 'http://slow.test', '/')
        same(select(2, httpc.get('127.0.0.1:{port}', '/address')), 'GET /address ')
        same(asked, {{ server = '9.9.9.9:53', 'known.test', 'unknown.test', 'slow.test', 'slow.test' }})"
    ));
}

#[test]
fn a_connect_gives_up_in_time() {
    let node = node();
    // Its queue is full, so the system answers nobody.
    let listener =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    let any: std::net::SocketAddr = "127.0.0.1:0".parse().expect("an address");
    listener.bind(&any.into()).expect("a port is free");
    listener.listen(0).expect("it is bound");
    let at = listener.local_addr().expect("it is bound").as_socket().expect("an address");
    let mut fill = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&at, std::time::Duration::from_millis(200)) {
        fill.push(stream);
        assert!(fill.len() < 100, "the queue is never full");
    }
    node.check(&format!(
        "local begun = skynet.now()
        local ok, err = pcall(helper.connect, '127.0.0.1', {0}, 20)
        same(tostring(err), '[Socket Error] : connect failed host = 127.0.0.1 port = {0} timeout = 20 err = nil is_time_out = true')
        httpc.timeout = 20
        raises('is_time_out = true', httpc.get, '127.0.0.1:{0}', '/')
        assert(skynet.now() - begun < 1000)",
        at.port()
    ));
}

#[test]
fn a_whole_request_has_a_time_limit() {
    let node = node();
    let port = serve(
        &node,
        "function(fd)
            socket.start(fd)
            helper.readfunc(fd)()
            for i = 1, 1000 do
                if not socket.write(fd, i == 1 and 'HTTP/1.1 200 OK\\r\\n\\r\\n' or 'x') then break end
                skynet.sleep(2)
            end
            socket.close(fd)
        end",
    );
    node.check(&format!(
        "httpc.timeout = 30
        local begun = skynet.now()
        raises('[Socket Error]', httpc.get, '127.0.0.1:{port}', '/')
        local took = skynet.now() - begun
        assert(took >= 30 and took < 1000, took)
        raises('read timeout', function()
            for _ in httpc.request_stream('GET', '127.0.0.1:{port}', '/') do end
        end)
        httpc.timeout = nil"
    ));
}

#[test]
fn a_stream_gives_a_body_piece_by_piece() {
    let node = node();
    let port = serve(
        &node,
        "function(fd)
            socket.start(fd)
            local _, url = httpd.read_request(helper.readfunc(fd))
            local write = helper.writefunc(fd)
            if url == '/chunks' then
                local n = 0
                httpd.write_response(write, 200, function()
                    n = n + 1
                    if n <= 3 then
                        if n > 1 then skynet.wait(gate) end
                        return ('piece %d'):format(n)
                    end
                end)
            elseif url == '/length' then
                write 'HTTP/1.1 200 OK\\r\\ncontent-length: 6\\r\\n\\r\\nabc'
                skynet.wait(gate)
                write 'defgh'
            elseif url == '/none' then
                write 'HTTP/1.1 204 No Content\\r\\n\\r\\n'
            elseif url == '/cut' then
                write 'HTTP/1.1 200 OK\\r\\ncontent-length: 6\\r\\n\\r\\nabc'
            else
                write 'HTTP/1.1 201 Created\\r\\nx: y\\r\\n\\r\\nabc'
                skynet.wait(gate)
                write 'def'
            end
            socket.close(fd)
        end",
    );
    node.check(&format!(
        "gate = {{}}
        local function read(url)
            local pieces, last = {{}}, nil
            for piece, stream in httpc.request_stream('GET', '127.0.0.1:{port}', url) do
                pieces[#pieces + 1] = piece
                last = stream
                -- What is still to come is sent only when this has been read.
                skynet.wakeup(gate)
            end
            if last then last:close() end
            return pieces, last
        end
        same(read '/chunks', {{ 'piece 1', 'piece 2', 'piece 3' }})
        same(read '/length', {{ 'abc', 'def' }})
        same(read '/none', {{}})
        local pieces, stream = read '/end'
        same(pieces, {{ 'abc', 'def' }})
        same({{ stream.status, stream.header.x, stream.connected }}, {{ 201, 'y', false }})
        raises('[Socket Error]', read, '/cut')

        local stream = httpc.request_stream('GET', '127.0.0.1:{port}', '/end')
        same({{ stream.status, stream.connected, (stream()) }}, {{ 201, true, 'abc' }})
        stream:close()
        stream:close()
        same({{ stream.connected, (stream()) }}, {{ false }})
        skynet.wakeup(gate)"
    ));
}

#[test]
fn what_stands_before_the_socket_is_read_first() {
    let node = node();
    let port = serve(
        &node,
        "function(fd)
            socket.start(fd)
            local read = helper.readfunc(fd, 'abcdef')
            local got = { read(2), read(4), read(2), read(2) }
            got[5] = helper.readfunc(fd, 'xy')()
            got[6] = helper.readfunc(fd, 'xy')(4)
            helper.writefunc(fd)(table.concat(got, '|'))
            socket.close(fd)
        end",
    );
    let mut stream = connect(port);
    stream.write_all(b"123456").expect("it is open");
    assert_eq!(read_to_end(&mut stream), "ab|cdef|12|34|xy|xy56");
}
