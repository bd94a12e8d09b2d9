//! `skynet.group`: services that do the same work, on one node and on several.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

#[path = "support/members.rs"]
mod members;
mod support;

use std::time::Instant;

use members::Cluster;
use support::{DEADLINE, TestNode};

const GROUP: &str = "group = require 'skynet.group'";

/// The members of a group, as a node knows them.
fn members_of(node: &TestNode, name: &str) -> Vec<u32> {
    let list = node.lua(&format!("{GROUP} return table.unpack(group.members '{name}')"));
    list.iter().map(|handle| handle.parse().expect("a handle")).collect()
}

/// Waits until a node knows just these members.
fn wait_members(node: &TestNode, name: &str, mut wanted: Vec<u32>) {
    wanted.sort_unstable();
    let deadline = Instant::now() + DEADLINE;
    loop {
        let found = members_of(node, name);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < deadline, "{found:x?} instead of {wanted:x?}");
        std::thread::yield_now();
    }
}

#[test]
fn members_are_picked_in_turn_or_by_chance() {
    let node = support::node();
    node.check(
        r#"
        local group = require 'skynet.group'
        same(group.members 'workers', {})
        same(group.pick 'workers', nil)
        local list = {}
        for i = 1, 3 do
            list[i] = spawn ''
            group.join('workers', list[i])
        end
        table.sort(list)
        -- Once more changes nothing.
        group.join('workers', list[2])
        while #group.members 'workers' < 3 do skynet.yield() end
        same(group.members 'workers', list)
        local counts = {}
        for _ = 1, 30 do
            local one = group.pick 'workers'
            counts[one] = (counts[one] or 0) + 1
        end
        for _, handle in ipairs(list) do same(counts[handle], 10) end
        counts = {}
        for _ = 1, 300 do counts[group.pick('workers', 'random')] = true end
        for _, handle in ipairs(list) do same(counts[handle], true) end
        -- The list is a copy.
        table.remove(group.members 'workers')
        same(#group.members 'workers', 3)
        group.leave('workers', list[1])
        group.leave('workers', list[1])
        while #group.members 'workers' > 2 do skynet.yield() end
        -- A service that ends leaves all of its groups.
        group.join('others', list[2])
        skynet.kill(list[2])
        while #group.members 'workers' > 1 or #group.members 'others' > 0 do skynet.yield() end
        same(group.pick 'workers', list[3])
        same(group.pick 'others', nil)
        "#,
    );
}

#[test]
fn what_makes_no_sense_is_told() {
    let node = support::node();
    node.check(
        r#"
        local group = require 'skynet.group'
        raises('the name of a group must be a string that is not empty, not 7', group.join, 7)
        raises('the name of a group must be a string that is not empty, not ', group.pick, '')
        raises('a member is picked by "round" or "random", not best', function()
            group.join 'mine'
            while #group.members 'mine' == 0 do skynet.yield() end
            group.pick('mine', 'best')
        end)
        raises('call failed', group.join, 'mine', 0x7f000001)
        "#,
    );
    node.log.wait_for("is no service of this node");
}

#[test]
fn a_group_has_members_on_all_nodes_and_loses_them_with_their_nodes() {
    let mut cluster = Cluster::of(3);
    let handle = |cluster: &Cluster, id: u8| cluster[id].eval.as_u32();
    for id in 1..=2 {
        cluster[id].lua(&format!("{GROUP} group.join 'workers'"));
    }
    let (one, two, three) = (handle(&cluster, 1), handle(&cluster, 2), handle(&cluster, 3));
    // The third one comes to it later, and is no member at first.
    for id in 1..=3 {
        wait_members(&cluster[id], "workers", vec![one, two]);
    }
    cluster[3].lua(&format!("{GROUP} group.join 'workers'"));
    for id in 1..=3 {
        wait_members(&cluster[id], "workers", vec![one, two, three]);
    }
    let said = cluster[1].lua(
        "local nodes = {}
        for _ = 1, 3 do nodes[skynet.harbor(group.pick 'workers')] = true end
        return nodes[1], nodes[2], nodes[3]",
    );
    assert_eq!(said, ["true"; 3]);
    cluster[2].lua("group.leave 'workers'");
    for id in 1..=3 {
        wait_members(&cluster[id], "workers", vec![one, three]);
    }
    cluster.stop(3);
    for id in 1..=2 {
        wait_members(&cluster[id], "workers", vec![one]);
    }
    // It comes back with nobody, and then with somebody.
    cluster.start(3);
    wait_members(&cluster[3], "workers", vec![one]);
    cluster[3].lua(&format!("{GROUP} group.join 'workers'"));
    let three = handle(&cluster, 3);
    for id in 1..=3 {
        wait_members(&cluster[id], "workers", vec![one, three]);
    }
}
