//! `skynet.netpack`, against real sockets where it needs them.

mod support;

use support::TestNode;
use support::client::{Client, framed};

/// A node whose `eval` service gives its socket messages to `netpack.filter`, and logs what that returns. `popped` says
/// what "more" is followed by.
fn listening() -> (TestNode, u16) {
    let node = support::node();
    let port = node.lua1(
        "netpack, driver = require 'skynet.netpack', require 'skynet.socketdriver'
        local token = {}
        local function show(event, ...)
            local values = { ... }
            if event == 'data' then
                values = { values[1], netpack.tostring(values[2], values[3]) }
            elseif event == 'more' then
                for fd, data, size in netpack.pop, queue do
                    values[#values + 1] = netpack.tostring(data, size)
                end
                values = { #values, table.concat(values, ','):sub(1, 60) }
            elseif event == 'open' then
                client = values[1]
                driver.start(client)
            elseif event == 'init' and not port then
                port = values[3]
                skynet.wakeup(token)
            end
            skynet.error(table.concat({ 'event:', tostring(event), table.unpack(values) }, ' '))
        end
        skynet.register_protocol {
            name = 'socket',
            id = skynet.PTYPE_SOCKET,
            unpack = function(...) return netpack.filter(queue, ...) end,
            dispatch = function(_, _, q, ...)
                queue = q
                show(...)
            end,
        }
        listener = driver.listen('127.0.0.1', 0)
        skynet.wait(token)
        driver.start(listener)
        return port",
    );
    let port = port.parse().expect("a port");
    (node, port)
}

#[test]
fn a_connection_is_told_from_its_opening_to_its_close() {
    let (node, port) = listening();
    let listener = node.lua1("return listener");
    node.log.wait_for(&format!("event: init {listener} 127.0.0.1 {port}"));
    node.log.wait_for(&format!("event: init {listener} start 0"));
    assert_eq!(node.lua1("return tostring(queue)"), "nil", "the queue is made when it is first needed");
    let mut client = Client::connect(port);
    let id = {
        let line = node.log.wait_for(&format!(" {}", client.address()));
        line.split("open ").nth(1).and_then(|rest| rest.split(' ').next()).expect("its id").to_owned()
    };
    assert_eq!(id, node.lua1("return client"));
    client.send("hello");
    node.log.wait_for(&format!("event: data {id} hello"));
    client.write(framed(["one", "", "three"]));
    node.log.wait_for("event: more 3 one,,three");
    // Half of one package, then its other half with the beginning of the next.
    client.write(b"\0\x06half");
    node.log.wait_for("event: nil");
    client.write(b"-1\0");
    node.log.wait_for(&format!("event: data {id} half-1"));
    client.write(b"\x02ok");
    node.log.wait_for(&format!("event: data {id} ok"));
    assert_eq!(node.lua1("return type(queue)"), "userdata");
    drop(client);
    node.log.wait_for(&format!("event: close {id}"));
}

#[test]
fn a_reset_in_the_middle_of_a_package_is_told_and_the_next_connection_is_sound() {
    let (node, port) = listening();
    for round in 0..20 {
        let mut client = Client::connect(port);
        client.write(b"\xff\xffthe rest never comes");
        node.log.wait_for_count("event: nil", round + 1);
        client.reset();
        // A reset is an error, or the end, as the system tells it.
        node.wait_until("it is told", || {
            node.log.count("event: error ") + node.log.count("event: close ") > round
        });
    }
    let mut client = Client::connect(port);
    client.send("sound");
    node.log.wait_for(" sound");
}

#[test]
fn a_read_with_many_packages_is_one_event() {
    let (node, port) = listening();
    let mut client = Client::connect(port);
    node.log.wait_for("event: open");
    // One read takes 64 KiB at the most, so that these need a handful; the system may cut them further.
    client.write(framed((0..20_000).map(|number| format!("{number:05}"))));
    let total = |node: &TestNode| -> usize {
        let lines = node.log.lines();
        let more = lines.iter().filter_map(|line| line.split("event: more ").nth(1));
        let of_more: usize = more.filter_map(|rest| rest.split(' ').next()?.parse::<usize>().ok()).sum();
        of_more + node.log.count("event: data")
    };
    node.wait_until("all packages are there", || total(&node) == 20_000);
    let events = node.log.count("event: more") + node.log.count("event: data") + node.log.count("event: nil");
    assert!(events < 1000, "{events}");
}

#[test]
fn a_package_of_the_largest_size_is_read_and_written() {
    let (node, port) = listening();
    let mut client = Client::connect(port);
    node.log.wait_for("event: open");
    node.lua("function show_size(...) skynet.error('size', ...) end");
    client.send(vec![b'x'; 0xffff]);
    let line = node.log.wait_for("event: data");
    assert_eq!(line.matches('x').count(), 0xffff);
    node.lua("driver.send(client, netpack.pack(('y'):rep(0xffff)))");
    assert_eq!(client.receive(), vec![b'y'; 0xffff]);
}

#[test]
fn much_that_waits_to_be_written_is_a_warning_and_its_end_another() {
    let (node, port) = listening();
    let mut client = Client::connect(port);
    node.log.wait_for("event: open");
    let id = node.lua1("return client");
    node.lua("driver.send(client, ('z'):rep(16 << 20))");
    node.log.wait_for(&format!("event: warning {id} "));
    assert_eq!(client.read(16 << 20), vec![b'z'; 16 << 20]);
    node.log.wait_for(&format!("event: warning {id} 0"));
}

#[test]
fn a_package_is_packed_into_a_block_of_its_own() {
    support::node().check(
        "local netpack, core = require 'skynet.netpack', require 'skynet.core'
        local function pack(...)
            local data, size = netpack.pack(...)
            return netpack.tostring(data, size)
        end
        same(pack 'hello', '\\0\\5hello')
        same(pack '', '\\0\\0')
        same(pack(12), '\\0\\00212')
        same(pack(('x'):rep(0xffff)), '\\xff\\xff' .. ('x'):rep(0xffff))
        -- A block stays its owner's.
        local data, size = core.pack 'text'
        same(pack(data, size), '\\0' .. string.char(size) .. core.tostring(data, size))
        same(core.unpack(data, size), 'text')
        core.trash(data, size)
        raises('Invalid size (too long) of data : 65536', netpack.pack, ('x'):rep(65536))
        raises('bad argument #1', netpack.pack)
        raises('bad argument #1', netpack.pack, {})
        raises('bad argument #2', netpack.pack, data, -1)
        raises('bad argument #2', netpack.pack, data)
        raises('bad argument #2', netpack.pack, io.stdout, 1 << 20)",
    );
}

#[test]
fn wrong_queues_messages_and_blocks_are_refused() {
    support::node().check(
        "local netpack = require 'skynet.netpack'
        same(netpack.pop(nil), nil)
        same(netpack.clear(nil), nil)
        for _, wrong in ipairs { {}, 'queue', 1, io.stdout, print } do
            raises('bad argument #1', netpack.pop, wrong)
            raises('bad argument #1', netpack.clear, wrong)
        end
        raises('the socket message in work', netpack.filter)
        raises('the socket message in work', netpack.filter, nil, 'x', 1)
        local data, size = netpack.pack 'x'
        raises('the socket message in work', netpack.filter, nil, data, size)
        raises('bad argument #1', netpack.tostring, 'x', 1)
        raises('bad argument #2', netpack.tostring, data, -1)
        raises('number expected', netpack.tostring, data)
        same(netpack.tostring(data, size), '\\0\\1x')
        same(netpack.tostring(nil, 0), '')",
    );
}

#[test]
fn a_message_that_was_filtered_has_no_data_left() {
    let (node, port) = listening();
    node.lua(
        "local filter = netpack.filter
        netpack.filter = function(q, msg, sz)
            local values = table.pack(filter(q, msg, sz))
            local again = table.pack(pcall(filter, values[1], msg, sz))
            if values[2] == 'data' then skynet.error('again', again.n, again[3]) end
            return table.unpack(values, 1, values.n)
        end",
    );
    let mut client = Client::connect(port);
    client.send("once");
    node.log.wait_for(" once");
    node.log.wait_for("again 2 nil");
}

/// Bytes of the process that are in memory.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let pages: usize = text.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a number");
    pages * 4096
}

#[test]
fn a_string_for_which_there_is_no_memory_does_not_lose_its_block() {
    let node = support::node();
    let limited = node.lua_handle("return skynet.newservice 'gate/limited'");
    let before = resident();
    let failures = node.lua1(&format!("return skynet.call({}, 'lua', 5000)", limited.as_u32()));
    assert_eq!(failures, "5000");
    // Each block has 60000 bytes. Other tests run beside this one, in the same process.
    let grown = resident().saturating_sub(before);
    assert!(grown < 150 << 20, "{grown}");
}

#[test]
fn the_old_name_of_the_module_is_known() {
    let node = support::node();
    let root = env!("CARGO_MANIFEST_DIR");
    node.lua(&format!("package.path = package.path .. ';{root}/lualib/compat10/?.lua'"));
    assert_eq!(node.lua1("return require 'netpack' == require 'skynet.netpack'"), "true");
}
