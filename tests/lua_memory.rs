//! `skynet.memory`: what the process and its services have allocated.

mod support;

#[test]
fn a_service_sees_its_own_memory_grow_and_shrink() {
    let node = support::node();
    let answer = node.lua(
        "local memory = require 'skynet.memory'
        collectgarbage()
        local before = memory.current()
        local big = ('x'):rep(1 << 20)
        local grown = memory.current() - before
        big = nil
        collectgarbage()
        return grown > 1000000, memory.current() - before < 1 << 19, memory.current() // 1024 - collectgarbage 'count' // 1 < 64",
    );
    assert_eq!(answer, ["true", "true", "true"]);
}

#[test]
fn info_tells_the_memory_of_each_service() {
    let node = support::node();
    let peer = node.launch_eval();
    node.lua_in(peer, "big = ('x'):rep(4 << 20)");
    let answer = node.lua(&format!(
        "local info = require 'skynet.memory'.info()
        local count = 0
        for handle, bytes in pairs(info) do
            assert(math.type(handle) == 'integer' and math.type(bytes) == 'integer')
            count = count + 1
        end
        return info[{peer}] > 4 << 20, info[skynet.self()] < 4 << 20, count >= 5",
        peer = peer.as_u32()
    ));
    assert_eq!(answer, ["true", "true", "true"]);
    node.runtime.kill(peer);
    node.wait_gone(peer);
    assert_eq!(node.lua(&format!("return require 'skynet.memory'.info()[{}]", peer.as_u32())), ["nil"]);
}

#[test]
fn the_process_has_at_least_what_its_service_has() {
    let node = support::node();
    let answer = node.lua(
        "local memory = require 'skynet.memory'
        local big = ('x'):rep(8 << 20)
        return memory.total() > 8 << 20, math.type(memory.block())",
    );
    assert_eq!(answer, ["true", "integer"]);
}

#[test]
fn a_dump_has_a_line_for_each_service_and_a_total() {
    let node = support::node();
    node.lua("require 'skynet.memory'.dump()");
    let line = node.log.wait_for(":00000008 -> ");
    assert!(line.contains("kb ") && line.ends_with('b'), "{line}");
    node.log.wait_for("+total: ");
    node.lua("require 'skynet.memory'.dumpinfo()");
    node.log.wait_for_count("+total: ", 2);
}

#[test]
fn what_only_jemalloc_knows_is_said_to_be_unknown() {
    let node = support::node();
    let answer = node.lua(
        "local memory = require 'skynet.memory'
        local stat = memory.jestat()
        local keys = {}
        for key, value in pairs(stat) do
            assert(math.type(value) == 'integer')
            table.insert(keys, key)
        end
        table.sort(keys)
        memory.dumpheap()
        return table.concat(keys, ' '), memory.mallctl 'stats.what', memory.profactive(), memory.profactive(true),
            (pcall(memory.mallctl))",
    );
    assert_eq!(
        answer,
        [
            "stats.active stats.allocated stats.mapped stats.resident stats.retained",
            "0",
            "false",
            "false",
            "false"
        ]
    );
    node.log.wait_for("No jemalloc : mallctl_int64 stats.what.");
    node.log.wait_for_count("No jemalloc : ", 4);
}
