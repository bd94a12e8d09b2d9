//! `skynet.socket` and `skynet.socketdriver`, against real sockets.

mod support;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use support::{DEADLINE, TestNode};

/// A node whose `eval` service has `socket` at hand, and what listens and echoes.
fn node() -> TestNode {
    let node = support::node();
    node.lua("socket = require 'skynet.socket' driver = require 'skynet.socketdriver'");
    node
}

/// Listens in the service; each connection is given to `body`, a function of (id, address).
fn serve(node: &TestNode, body: &str) -> u16 {
    node.lua1(&format!(
        "local body = {body}
        local id, address, port = socket.listen('127.0.0.1', 0, 1024)
        listener = id
        socket.start(id, function(new, from)
            skynet.fork(function() body(new, from) end)
        end)
        return port"
    ))
    .parse()
    .expect("a port")
}

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    stream.set_write_timeout(Some(DEADLINE)).expect("a time above zero");
    stream
}

fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = String::new();
    stream.read_to_string(&mut text).expect("the peer ends within the deadline");
    text
}

const ECHO: &str = "function(id)
    socket.start(id)
    while true do
        local data = socket.read(id)
        if not data then break end
        socket.write(id, data)
    end
    socket.close(id)
end";

#[test]
fn what_a_client_sends_comes_back() {
    let node = node();
    let port = serve(&node, ECHO);
    let mut client = connect(port);
    for text in ["hello", "a", "world"] {
        client.write_all(text.as_bytes()).expect("it is open");
        let mut back = vec![0; text.len()];
        client.read_exact(&mut back).expect("it comes back");
        assert_eq!(back, text.as_bytes());
    }
    client.shutdown(Shutdown::Write).expect("it is open");
    assert_eq!(read_to_end(&mut client), "");
}

#[test]
fn a_listener_tells_its_address_and_a_connection_its_peer() {
    let node = node();
    let port =
        serve(&node, "function(id, from) socket.start(id) socket.write(id, from) socket.close(id) end");
    assert_ne!(port, 0);
    let mut client = connect(port);
    let local = client.local_addr().expect("it is connected");
    assert_eq!(read_to_end(&mut client), local.to_string());
    let answer = node.lua("local id, address = socket.listen('127.0.0.1:0') socket.close(id) return address");
    assert_eq!(answer, ["127.0.0.1"]);
}

#[test]
fn bytes_come_in_the_sizes_and_lines_that_are_asked_for() {
    let node = node();
    let port = serve(
        &node,
        "function(id)
            socket.start(id)
            local got = { socket.read(id, 3), socket.readline(id), socket.readline(id, '\\r\\n'), socket.read(id, 2) }
            got[#got + 1] = socket.readall(id)
            result = got
            socket.close(id)
            skynet.wakeup 'done'
        end",
    );
    let mut client = connect(port);
    for piece in ["ab", "cli", "ne one\nline\r", " two\r\nxyre", "st"] {
        client.write_all(piece.as_bytes()).expect("it is open");
    }
    client.shutdown(Shutdown::Write).expect("it is open");
    let got = node.lua("if not result then skynet.wait 'done' end return table.unpack(result)");
    assert_eq!(got, ["abc", "line one", "line\r two", "xy", "rest"]);
}

#[test]
fn the_end_gives_false_and_what_came_before_it() {
    let node = node();
    for (read, wanted) in [
        ("socket.read(id, 10)", ["false", "half"]),
        ("socket.readline(id)", ["false", "half"]),
        ("socket.read(id, 0)", ["false", "half"]),
    ] {
        let port = serve(
            &node,
            &format!(
                "function(id) socket.start(id) result = table.pack({read}) socket.close(id) skynet.wakeup 'done' end"
            ),
        );
        let mut client = connect(port);
        client.write_all(b"half").expect("it is open");
        drop(client);
        let got = node.lua(
            "if not result then skynet.wait 'done' end
            local first, rest = table.unpack(result)
            result = nil
            return tostring(first), rest",
        );
        assert_eq!(got, wanted, "{read}");
    }
}

#[test]
fn a_service_connects_and_half_closed_connections_still_take_bytes() {
    let node = node();
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
    let port = listener.local_addr().expect("it is bound").port();
    let peer = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("the service connects");
        stream.write_all(b"bye").expect("it is open");
        stream.shutdown(Shutdown::Write).expect("it is open");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("the service ends");
        text
    });
    let answer = node.lua(&format!(
        "local id = assert(socket.open('127.0.0.1', {port}))
        local data = socket.readall(id)
        local open = socket.disconnected(id)
        local taken = socket.write(id, 'still here')
        socket.close(id)
        return data, open, taken, socket.invalid(id), socket.write(id, 'x')"
    ));
    assert_eq!(answer, ["bye", "true", "true", "true", "false"]);
    assert_eq!(peer.join().expect("the peer is well"), "still here");
}

#[test]
fn what_cannot_be_opened_gives_nil_and_the_reason() {
    let node = node();
    let free =
        TcpListener::bind("127.0.0.1:0").expect("loopback has ports").local_addr().expect("bound").port();
    let answer = node.lua(&format!(
        "local id, why = socket.open('127.0.0.1', {free})
        local other, reason = socket.start(4711)
        return tostring(id), why, tostring(other), reason"
    ));
    assert_eq!(answer, ["nil", "Connection refused", "nil", "invalid socket"]);
    node.check(
        "raises('Invalid address nohost.', socket.open, 'nohost')
        raises('Invalid port in address a:b.', socket.open, 'a:b')
        raises('Invalid port', socket.open, '127.0.0.1', 70000)
        raises('Listen error', socket.listen, '240.0.0.1', 1)
        raises('need buffer object at param 1', driver.push, nil, {}, driver.str2p('x'))
        raises('need message block at param 3', driver.push, driver.buffer(), {}, 'x', 1)",
    );
}

#[test]
fn a_name_is_resolved_while_others_go_on() {
    let node = node();
    let port = serve(&node, ECHO);
    let answer = node.lua(&format!(
        "local id = assert(socket.open('localhost:{port}'))
        socket.write(id, {{ 'one', ' ', 'two' }})
        local text = socket.read(id, 7)
        socket.close(id)
        local found
        for _, ip in ipairs(socket.resolve 'localhost') do found = found or ip == '127.0.0.1' end
        return text, tostring(found)"
    ));
    assert_eq!(answer, ["one two", "true"]);
}

#[test]
fn a_slow_reader_gets_every_byte_in_order() {
    const SIZE: usize = 100 << 20;
    let node = node();
    let port = serve(
        &node,
        "function(id)
            socket.start(id)
            socket.warning(id, function() end)
            for number = 0, 100 * 128 - 1 do
                socket.write(id, { ('<I8'):pack(number):rep(1000), ('<I8'):pack(number):rep(24) })
                if number % 128 == 0 then skynet.yield() end
            end
            socket.close(id)
        end",
    );
    let mut client = connect(port);
    let mut buffer = vec![0_u8; 1 << 18];
    let (mut total, mut number, mut rest) = (0, 0_u64, Vec::new());
    loop {
        let len = client.read(&mut buffer).expect("the service goes on");
        if len == 0 {
            break;
        }
        total += len;
        rest.extend_from_slice(&buffer[..len]);
        let whole = rest.len() / 8 * 8;
        for word in rest[..whole].chunks_exact(8) {
            assert_eq!(word, (number / 1024).to_le_bytes());
            number += 1;
        }
        rest.drain(..whole);
    }
    assert_eq!((total, rest.len()), (SIZE, 0));
}

#[test]
fn a_service_that_does_not_read_stops_the_sender_and_gets_every_byte_later() {
    let node = node();
    let port =
        serve(&node, "function(id) socket.start(id) socket.block(id) client = id skynet.wakeup 'there' end");
    let mut client = connect(port);
    client.set_nonblocking(true).expect("it is a socket");
    // As much as all the buffers on the way take.
    let mut sent = 0_u64;
    let block: Vec<u8> = (0..=255).cycle().take(1 << 16).collect();
    let mut full_since = None;
    loop {
        match client.write(&block[(sent % 256) as usize..]) {
            Ok(len) => {
                sent += len as u64;
                full_since = None;
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                #[allow(clippy::disallowed_methods)]
                let since = full_since.get_or_insert_with(std::time::Instant::now);
                if since.elapsed() > Duration::from_millis(300) {
                    break;
                }
                std::thread::yield_now();
            }
            Err(error) => panic!("{error}"),
        }
        assert!(sent < 1 << 30, "the service takes bytes without end");
    }
    node.log.wait_for("Pause socket");
    let counted = std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            node.lua(
                "if not client then skynet.wait 'there' end
                local count = 0
                while true do
                    local data = socket.read(client)
                    if not data then break end
                    for i = 1, #data, 4099 do
                        if data:byte(i) ~= (count + i - 1) % 256 then return 'wrong at ' .. count + i end
                    end
                    count = count + #data
                end
                socket.close(client)
                return tostring(count)",
            )
        });
        client.shutdown(Shutdown::Write).expect("it is open");
        reader.join().expect("the service reads")
    });
    assert_eq!(counted, [sent.to_string()]);
}

#[test]
fn a_socket_is_handed_to_another_service() {
    let node = node();
    let other = node.launch_eval();
    node.lua_in(other, "socket = require 'skynet.socket'");
    let port = serve(
        &node,
        &format!(
            "function(id)
                socket.start(id)
                local first = socket.readline(id)
                socket.abandon(id)
                skynet.send({}, 'lua', 'eval', 'socket.start(' .. id .. ') socket.write(' .. id .. ', \"go\") local line = socket.readline(' .. id ..
                    ') socket.write(' .. id .. ', \"{{\" .. line .. \"}}\") socket.close(' .. id .. ')')
            end",
            other.as_u32()
        ),
    );
    let mut client = connect(port);
    client.write_all(b"first\n").expect("it is open");
    let mut go = [0; 2];
    client.read_exact(&mut go).expect("the other service has it");
    client.write_all(b"second\n").expect("it is open");
    assert_eq!(read_to_end(&mut client), "{second}");
}

#[test]
fn sockets_of_a_service_that_ends_are_closed() {
    const COUNT: usize = 300;
    let node = node();
    let other = node.launch_eval();
    let port: u16 = node.lua_in(
        other,
        "local socket = require 'skynet.socket'
        local id, _, port = socket.listen('127.0.0.1', 0, 512)
        socket.start(id, function(new) skynet.fork(socket.start, new) end)
        return port",
    )[0]
    .parse()
    .expect("a port");
    let mut clients: Vec<_> = (0..COUNT).map(|_| connect(port)).collect();
    node.wait_until("all are there", || {
        node.lua1("local n = 0 for _, s in ipairs(driver.info()) do if s.type == 'TCP' then n = n + 1 end end return n")
            == COUNT.to_string()
    });
    node.runtime.kill(other);
    for client in &mut clients {
        assert_eq!(read_to_end(client), "");
    }
    node.wait_until("none is left", || node.lua1("return #driver.info()") == "0");
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_buffer_over_its_limit_closes_the_socket() {
    let node = node();
    let port = serve(
        &node,
        "function(id)
            socket.start(id)
            socket.limit(id, 1000)
            local line, rest = socket.readline(id)
            skynet.error('line', line, #rest > 1000)
            socket.close(id)
        end",
    );
    let mut client = connect(port);
    client.write_all(&[b'x'; 4000]).expect("it is open");
    node.log.wait_for("socket buffer overflow: fd=");
    node.log.wait_for("line false true");
    let _ = client.read(&mut [0; 1]);
}

#[test]
fn much_that_waits_to_be_sent_is_warned_of_and_over_the_limit_of_the_config_closed() {
    let config = support::config().set("socket_buffer_max", 8 << 20);
    let node = support::start(config, None);
    node.lua("socket = require 'skynet.socket'");
    let port = serve(
        &node,
        "function(id)
            socket.start(id)
            socket.onclose(id, function() skynet.error('closed') end)
            for _ = 1, 100 do
                if not socket.write(id, ('x'):rep(1 << 20)) then break end
                skynet.yield()
            end
        end",
    );
    let client = connect(port);
    node.log.wait_for("K bytes need to send out (fd = ");
    node.log.wait_for("over the limit of 8388608");
    node.log.wait_for("closed");
    drop(client);
}

#[test]
fn a_close_is_told_and_a_shutdown_wakes_who_reads() {
    let node = node();
    let port = serve(
        &node,
        "function(id)
            socket.start(id)
            socket.onclose(id, function(fd) skynet.error('onclose', fd == id) end)
            skynet.fork(function()
                skynet.error('read gave', socket.read(id, 5))
                socket.close(id)
                skynet.error('invalid', socket.invalid(id))
            end)
            skynet.fork(socket.shutdown, id)
        end",
    );
    let mut client = connect(port);
    node.log.wait_for("onclose true");
    node.log.wait_for("read gave false");
    node.log.wait_for("invalid true");
    assert_eq!(read_to_end(&mut client), "");
}

#[test]
fn a_close_waits_until_the_reader_has_what_was_left() {
    let node = node();
    let port = serve(
        &node,
        "function(id)
            socket.start(id)
            socket.block(id)
            skynet.fork(function()
                local data, rest = socket.read(id, 100)
                skynet.error('reader', data, rest)
            end)
            skynet.fork(function() socket.close(id) skynet.error 'closer' end)
        end",
    );
    let mut client = connect(port);
    client.write_all(b"left").expect("it is open");
    node.log.wait_for("closer");
    let lines = node.log.lines();
    let at = |text: &str| lines.iter().position(|line| line.contains(text));
    assert!(at("reader false left").expect("it is told") < at("closer").expect("it is told"), "{lines:#?}");
}

#[test]
fn datagrams_go_both_ways_over_both_families() {
    let node = node();
    for (address, family) in [("127.0.0.1", "4"), ("::1", "6")] {
        let Ok(peer) = UdpSocket::bind((address, 0)) else {
            println!("skipped: this machine has no IPv{family}");
            continue;
        };
        peer.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        let free = UdpSocket::bind((address, 0)).expect("loopback has ports");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        node.lua(&format!(
            "server = socket.udp_listen('{address}', {port}, function(data, from)
                local ip, port = socket.udp_address(from)
                socket.sendto(server, from, data .. ' from ' .. ip)
            end)"
        ));
        peer.send_to(b"hi", (address, port)).expect("it is sent");
        let mut buffer = [0; 100];
        let (len, _) = peer.recv_from(&mut buffer).expect("it answers");
        assert_eq!(&buffer[..len], format!("hi from {address}").as_bytes());
        let answer = node.lua(&format!(
            "local got
            local id = socket.udp_dial('{address}', {port}, function(data) got = data skynet.wakeup 'got' end)
            socket.write(id, 'dialled')
            skynet.wait 'got'
            socket.close(id)
            socket.close(server)
            return got"
        ));
        assert_eq!(answer, [format!("dialled from {address}")]);
    }
}

#[test]
fn a_udp_socket_is_connected_later_and_ports_of_0_are_refused() {
    let node = node();
    let peer = UdpSocket::bind("127.0.0.1:0").expect("loopback has ports");
    peer.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    let port = peer.local_addr().expect("it is bound").port();
    node.lua(&format!(
        "local id = socket.udp(function() end)
        assert(socket.write(id, 'to nobody') == false)
        socket.udp_connect(id, '127.0.0.1', {port})
        assert(socket.write(id, 'later'))"
    ));
    let mut buffer = [0; 100];
    let (len, _) = peer.recv_from(&mut buffer).expect("it comes");
    assert_eq!(&buffer[..len], b"later");
    node.check(
        "raises('udp dial host failed', driver.udp_dial, '127.0.0.1', 0)
        raises('udp listen host failed', driver.udp_listen, '127.0.0.1', 0)
        raises('udp connect failed', driver.udp_connect, 4711, '127.0.0.1', 1)
        raises('Invalid udp address', driver.udp_address, 'junk')",
    );
}

#[test]
fn sockets_in_the_file_system_work_alike() {
    let node = node();
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("s");
    let answer = node.lua(&format!(
        "local path = 'unix:{}'
        local id = socket.listen(path)
        socket.start(id, function(new)
            skynet.fork(function() socket.start(new) socket.write(new, socket.readline(new):upper()) socket.close(new) end)
        end)
        local client = assert(socket.open(path))
        socket.write(client, 'loud\\n')
        local text = socket.readall(client)
        socket.close(client)
        socket.close(id)
        return text",
        path.display()
    ));
    assert_eq!(answer, ["LOUD"]);
    node.wait_until("the path is gone", || !path.exists());
}

#[test]
fn netstat_shows_what_is_open() {
    let node = node();
    let port = serve(&node, ECHO);
    let mut client = connect(port);
    client.write_all(b"12345").expect("it is open");
    let mut back = [0; 5];
    client.read_exact(&mut back).expect("it comes back");
    let local = client.local_addr().expect("it is connected");
    let answer = node.lua(
        "local lines = {}
        for _, s in ipairs(socket.netstat()) do
            if s.type == 'TCP' then
                table.insert(lines, ('%s %d %d %d %s %s %s'):format(s.peer, s.read, s.write, s.wbuffer, s.reading, s.writing,
                    s.address == skynet.self()))
            else
                table.insert(lines, ('%s %d %s'):format(s.type, s.accept, s.sock))
            end
        end
        return table.unpack(lines)",
    );
    assert_eq!(answer, [format!("LISTEN 1 127.0.0.1:{port}"), format!("{local} 5 5 0 true false true")]);
}

#[test]
fn headers_and_pointers_are_what_the_driver_makes_of_strings() {
    let node = node();
    node.check(
        "same(1, driver.header '\\1')
        same(0x01020304, driver.header '\\1\\2\\3\\4')
        same(0xffffffff, driver.header '\\255\\255\\255\\255')
        raises('Invalid read', driver.header, '')
        raises('Invalid read 12345', driver.header, '12345')
        local p, size = driver.str2p 'text'
        same('text', skynet.tostring(p, size))
        local buffer = driver.buffer()
        same(4, driver.push(buffer, {}, p, size))
        local none, left = driver.pop(buffer, {}, 5)
        same(nil, none) same(4, left)
        same('te', (driver.pop(buffer, {}, 2)))
        driver.clear(buffer, {})
        same('', driver.readall(buffer, {}))
        raises('socket message in work', driver.unpack, p, 1)
        raises('Invalid strings table', driver.send, 1, { 'a', 2 })",
    );
}

#[test]
fn writes_to_ids_that_are_closed_or_never_were_are_refused() {
    let node = node();
    node.check(
        "for _, id in ipairs { 0, -1, 12345, 2147483647, 1 << 40 } do
            same(false, driver.send(id, 'x'))
            same(false, driver.lsend(id, 'x'))
            driver.close(id) driver.shutdown(id) driver.pause(id) driver.nodelay(id)
        end
        socket.close(4711)
        raises('no such socket', socket.read, 4711)
        same(true, socket.invalid(4711))",
    );
}

#[test]
fn two_thousand_connections_that_come_and_go_at_once_leave_nothing() {
    let node = node();
    let port = serve(&node, "function(id) socket.start(id) socket.read(id) socket.close(id) end");
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..250).for_each(|_| drop(connect(port))));
        }
    });
    node.wait_until("only the listener is left", || node.lua1("return #driver.info()") == "1");
}

#[test]
fn a_reset_in_the_middle_is_told_and_harms_nobody() {
    let node = node();
    let port = serve(
        &node,
        "function(id)
            socket.start(id)
            local data, rest = socket.read(id, 100)
            skynet.error('got', data, rest)
            socket.close(id)
        end",
    );
    let client = connect(port);
    let mut other = connect(port);
    (&client).write_all(b"half").expect("it is open");
    let raw = socket2::SockRef::from(&client);
    raw.set_linger(Some(Duration::ZERO)).expect("it is a socket");
    drop(client);
    let line = node.log.wait_for("got false");
    assert!(line.ends_with("got false half") || line.ends_with("got false "), "{line}");
    other.write_all(&[b'y'; 100]).expect("it is open");
    node.log.wait_for("got yyyy");
}

#[test]
fn low_priority_waits_behind_what_is_normal() {
    let node = node();
    let port = serve(
        &node,
        "function(id)
            socket.start(id)
            socket.warning(id, function() end)
            socket.write(id, ('x'):rep(16 << 20))
            socket.lwrite(id, 'low')
            socket.write(id, 'normal')
            socket.close(id)
        end",
    );
    let mut client = connect(port);
    let text = read_to_end(&mut client);
    assert_eq!(&text[16 << 20..], "normallow");
}
