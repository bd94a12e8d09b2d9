//! Several nodes that act as one: master, members, links and names together, on nodes of this process and as programs.

#[path = "support/console.rs"]
mod console;
#[path = "support/members.rs"]
mod members;
mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use console::Client;
use members::{Cluster, boot, master_port, with_keys};
use skynet_rs::Handle;
use support::{DEADLINE, TestNode};

fn echo(node: &TestNode, to: Handle) -> Vec<String> {
    node.lua(&format!("return pcall(skynet.call, {}, 'lua', 'echo', 'hello')", to.as_u32()))
}

// -- messages

#[test]
fn a_service_is_called_on_another_node_by_handle_and_by_name() {
    let cluster = Cluster::of(3);
    for (from, to) in [(1, 2), (2, 1), (2, 3), (3, 2), (1, 3), (3, 1)] {
        let target = cluster[to].eval;
        assert_eq!(target.harbor(), to);
        assert_eq!(echo(&cluster[from], target), ["true", "hello"]);
        let said = cluster[from].lua(&format!("return skynet.harbor({})", target.as_u32()));
        assert_eq!(said, [to.to_string(), "true".to_owned()]);
        assert_eq!(cluster[to].lua(&format!("return skynet.harbor({})", target.as_u32()))[1], "false");
    }
    cluster[2].lua("skynet.register 'TWO'");
    for id in 1..=3 {
        assert_eq!(cluster[id].lua("return skynet.call('TWO', 'lua', 'echo', 'by name')"), ["by name"]);
        assert_eq!(cluster[id].lua1("return harbor.queryname 'TWO'"), cluster[2].eval.as_u32().to_string());
    }
    // Errors, and services that are not there.
    let failed = cluster[1].lua("return pcall(skynet.call, 'TWO', 'lua', 'fail')");
    assert_eq!(failed[0], "false");
    cluster[2].log.wait_for("eval fails as asked");
    let nobody = Handle::from_u32(0x0200_fff0);
    assert_eq!(echo(&cluster[1], nobody)[0], "false");
}

#[test]
fn a_name_may_be_called_before_anybody_has_it() {
    let cluster = Cluster::of(2);
    cluster[1].lua("skynet.fork(function() answer = skynet.call('LATER', 'lua', 'echo', 'early') skynet.wakeup 'answer' end)");
    cluster[1]
        .lua("skynet.fork(function() owner = harbor.queryname('LATER', 1000) skynet.wakeup 'owner' end)");
    assert_eq!(cluster[1].lua("return answer, harbor.queryname('LATER', 1)"), ["nil", "nil", "timeout"]);
    cluster[2].lua("skynet.register 'LATER'");
    assert_eq!(cluster[1].lua("if not answer then skynet.wait 'answer' end return answer"), ["early"]);
    let owner = cluster[2].eval.as_u32().to_string();
    assert_eq!(cluster[1].lua("if not owner then skynet.wait 'owner' end return owner"), [owner]);
}

#[test]
fn a_message_to_a_name_that_nobody_takes_ends_no_call_to_another_name() {
    let cluster = Cluster::of(2);
    cluster[2].lua("skynet.register 'TWO'");
    cluster[1].lua("skynet.fork(function() said = { pcall(skynet.call, 'TWO', 'lua', 'hold') } skynet.wakeup 'said' end)");
    cluster[1].lua("skynet.send('NOBODY_HAS_THIS_NAME', 'lua', 'lost')");
    cluster[1].log.wait_for("Drop message to NOBODY_HAS_THIS");
    assert_eq!(cluster[1].lua("return said, skynet.call('TWO', 'lua', 'release')"), ["nil", "ok"]);
    let said = cluster[1].lua("if not said then skynet.wait 'said' end return table.unpack(said)");
    assert_eq!(said, ["true", "released"]);
}

#[test]
fn the_two_ways_between_two_nodes_keep_the_order_of_a_pair() {
    let cluster = Cluster::of(2);
    let to = cluster[2].eval.as_u32();
    let sum = "sum, last, order = 0, 0, true
        skynet.dispatch('lua', function(_, _, command, ...)
            if command == 'count' then
                local n = ...
                order = order and n == last + 1
                last = n
            else
                skynet.retpack(order, last)
            end
        end)";
    cluster[2].lua(&format!("skynet.fork(function() {sum} end)"));
    cluster[1].lua(&format!("for n = 1, 20000 do skynet.send({to}, 'lua', 'count', n) end"));
    assert_eq!(cluster[1].lua(&format!("return skynet.call({to}, 'lua', 'state')")), ["true", "20000"]);
}

// -- names

#[test]
fn a_name_has_one_owner_and_both_nodes_hear_of_a_conflict() {
    let cluster = Cluster::of(3);
    cluster[2].lua("skynet.register 'BOSS'");
    let two = cluster[2].eval.as_u32().to_string();
    assert_eq!(cluster[3].lua1("return harbor.queryname 'BOSS'"), two);
    // One that does not know it yet cannot be told from here at once; the master decides.
    cluster[3].lua("harbor.globalname 'BOSS'");
    cluster[3].log.wait_for("the global name BOSS belongs to");
    assert_eq!(cluster[3].lua1("return harbor.queryname 'BOSS'"), two);
    assert_eq!(cluster[1].lua1("return harbor.queryname 'BOSS'"), two);
}

#[test]
fn two_that_want_a_name_at_the_same_time_end_with_one_owner() {
    let cluster = Cluster::of(3);
    for round in 0..20 {
        let name = format!("RACE{round}");
        std::thread::scope(|scope| {
            for id in [2, 3] {
                let (node, name) = (&cluster[id], &name);
                scope.spawn(move || node.lua(&format!("pcall(harbor.globalname, '{name}')")));
            }
        });
        // A later name comes after all that the master has to say of this one.
        for id in [2, 3] {
            cluster[id].lua(&format!("harbor.globalname('AFTER{id}_{round}')"));
        }
        for (id, after) in [(1, 2), (1, 3), (2, 2), (2, 3), (3, 2), (3, 3)] {
            cluster[id].lua(&format!("harbor.queryname 'AFTER{after}_{round}'"));
        }
        let query = format!("return harbor.queryname '{name}'");
        let settled = || {
            let owners = [1, 2, 3].map(|id| cluster[id].lua1(&query));
            owners[0] == owners[1] && owners[1] == owners[2]
        };
        cluster[1].wait_until(&format!("all agree on {name}"), settled);
    }
}

#[test]
fn names_of_a_service_that_ends_are_removed_everywhere() {
    let cluster = Cluster::of(3);
    let service = cluster[2].launch_eval();
    cluster[2].lua(&format!("harbor.globalname('SHORT', {})", service.as_u32()));
    for id in 1..=3 {
        cluster[id].lua("assert(skynet.call('SHORT', 'lua', 'echo', true))");
    }
    cluster[2].lua(&format!("skynet.kill({})", service.as_u32()));
    for id in 1..=3 {
        cluster[id].wait_until("the name is gone", || {
            cluster[id].lua("return harbor.queryname('SHORT', 1)") == ["nil", "timeout"]
        });
    }
    // And may be somebody else's.
    cluster[3].lua("skynet.register 'SHORT'");
    assert_eq!(cluster[1].lua1("return harbor.queryname 'SHORT'"), cluster[3].eval.as_u32().to_string());
}

#[test]
fn names_of_a_lost_node_are_removed_everywhere() {
    let mut cluster = Cluster::of(3);
    cluster[3].lua("skynet.register 'THREE'");
    for id in [1, 2] {
        assert_eq!(cluster[id].lua("return skynet.call('THREE', 'lua', 'echo', 'here')"), ["here"]);
    }
    cluster.stop(3);
    for id in [1, 2] {
        cluster[id].wait_until("the name is gone", || {
            cluster[id].lua("return harbor.queryname('THREE', 1)") == ["nil", "timeout"]
        });
    }
    cluster[2].lua("skynet.register 'THREE'");
    assert_eq!(cluster[1].lua("return skynet.call('THREE', 'lua', 'echo', 'there')"), ["there"]);
}

// -- lives of nodes

#[test]
fn link_and_connect_fire_once_for_each_life() {
    let mut cluster = Cluster::of(2);
    cluster[1].lua(
        "events = {}
        skynet.fork(function()
            while true do
                harbor.connect(2) table.insert(events, 'up')
                harbor.link(2) table.insert(events, 'down')
            end
        end)",
    );
    for life in 1..=3 {
        cluster.stop(2);
        cluster[1].wait_until("the end of the life is seen", || {
            cluster[1].lua1("return #events") == (2 * life).to_string()
        });
        cluster.start(2);
        cluster[2].lua("harbor.connect(1)");
        cluster[1].lua("harbor.connect(2)");
    }
    assert_eq!(cluster[1].lua("return table.concat(events, ' ')"), ["up down up down up down up"]);
}

#[test]
fn a_node_that_is_restarted_is_called_again_and_its_former_life_is_not() {
    let mut cluster = Cluster::of(2);
    cluster[2].lua("skynet.register 'TWO'");
    let before = cluster[2].eval;
    assert_eq!(echo(&cluster[1], before), ["true", "hello"]);
    // A call that is under way when the node ends.
    cluster[1].lua(&format!(
        "skynet.fork(function() ended = table.pack(pcall(skynet.call, {}, 'lua', 'hold')) skynet.wakeup 'ended' end)",
        before.as_u32()
    ));
    cluster.stop(2);
    assert_eq!(cluster[1].lua("if not ended then skynet.wait 'ended' end return ended[1]"), ["false"]);
    assert_eq!(echo(&cluster[1], before)[0], "false");
    cluster.start(2);
    cluster[1].lua("harbor.connect(2)");
    let after = cluster[2].eval;
    assert_ne!(before, after);
    assert_eq!(echo(&cluster[1], after), ["true", "hello"]);
    assert_eq!(echo(&cluster[1], before)[0], "false", "a handle of the former life finds nobody");
    cluster[2].lua("skynet.register 'TWO'");
    assert_eq!(cluster[1].lua1("return harbor.queryname 'TWO'"), after.as_u32().to_string());
    assert_eq!(cluster[1].lua("return skynet.call('TWO', 'lua', 'echo', 'again')"), ["again"]);
}

#[test]
fn an_id_that_a_live_node_has_is_refused() {
    let cluster = Cluster::of(2);
    let log = support::Log::default();
    let runtime = skynet_rs::Runtime::builder()
        .config(with_keys(cluster.config(2)))
        .boot()
        .log_to(log.sink())
        .start()
        .expect("the node starts");
    log.wait_for("slave shakehand failed: the master says: Slave 2 already register on 127.0.0.1:");
    assert!(runtime.wait_within(DEADLINE), "the node ends");
    assert_eq!(echo(&cluster[1], cluster[2].eval), ["true", "hello"]);
}

// -- the master

#[test]
fn a_lost_master_disturbs_nothing_and_a_new_one_learns_the_names() {
    let mut cluster = Cluster::with_pure_master(2);
    cluster[1]
        .lua("skynet.register 'ONE' skynet.fork(function() harbor.linkmaster() master_lost = true end)");
    cluster[2].lua("assert(skynet.call('ONE', 'lua', 'echo', true))");
    cluster.stop(0);
    for id in [1, 2] {
        cluster[id].log.wait_for("Master disconnect");
        let other = cluster[3 - id].eval;
        assert_eq!(echo(&cluster[id], other), ["true", "hello"]);
    }
    assert_eq!(cluster[2].lua("return skynet.call('ONE', 'lua', 'echo', 'known')"), ["known"]);
    assert_eq!(cluster[1].lua("return master_lost"), ["true"]);
    // Meanwhile a name is registered and another is asked for.
    cluster[1].lua("harbor.globalname 'MEANWHILE'");
    cluster[2].lua("skynet.fork(function() found = harbor.queryname 'MEANWHILE' skynet.wakeup 'found' end)");

    let master = boot(support::config().set("standalone", &cluster.master));
    cluster.nodes.insert(0, master);
    for id in [1, 2] {
        cluster[id].log.wait_for("is back");
    }
    let one = cluster[1].eval.as_u32().to_string();
    assert_eq!(
        cluster[2].lua("if not found then skynet.wait 'found' end return found"),
        std::slice::from_ref(&one)
    );
    assert_eq!(cluster[2].lua1("return harbor.queryname 'ONE'"), one);
    // The links are those of before, and the host of before hosts on.
    for id in [1, 2] {
        assert_eq!(
            cluster[id].lua1("return datacenter.set('key', 1) or 'nothing'"),
            if id == 1 { "nothing" } else { "1" }
        );
    }
    cluster.start(3);
    assert_eq!(cluster[3].lua("return skynet.call('ONE', 'lua', 'echo', 'new')"), ["new"]);
    assert_eq!(cluster[3].lua1("return datacenter.get 'key'"), "1");
}

#[test]
fn what_there_is_one_of_lives_on_the_first_member_of_a_pure_master() {
    let cluster = Cluster::with_pure_master(3);
    cluster[1].log.wait_for("bootstrap: DATACENTER and SERVICE of the cluster live on this node");
    assert!(!cluster[2].log.has("live on this node"));
    cluster[2].lua("datacenter.set('a', 'b', 5)");
    for id in 1..=3 {
        assert_eq!(cluster[id].lua1("return datacenter.get('a', 'b')"), "5");
    }
    cluster[3].lua("skynet.fork(function() woken = datacenter.wait 'later' skynet.wakeup 'woken' end)");
    cluster[2].lua("datacenter.set('later', 'now')");
    assert_eq!(cluster[3].lua("if not woken then skynet.wait 'woken' end return woken"), ["now"]);

    let unique = cluster[3].lua1("return skynet.uniqueservice(true, 'counting')");
    for id in 1..=2 {
        assert_eq!(cluster[id].lua1("return skynet.uniqueservice(true, 'counting')"), unique);
        assert_eq!(cluster[id].lua1("return skynet.queryservice(true, 'counting')"), unique);
    }
    assert_eq!(Handle::from_u32(unique.parse().expect("a handle")).harbor(), 1);
    let list = cluster[1].lua1("return skynet.call('.service', 'lua', 'LIST')");
    assert!(list.contains("@counting=:01"), "{list}");
    // The master's own node has these for itself.
    assert_eq!(cluster[0].lua1("return datacenter.get('a', 'b')"), "nil");
}

#[test]
fn a_host_that_comes_back_is_found_again() {
    let mut cluster = Cluster::with_pure_master(2);
    cluster[2].lua("datacenter.set('key', 'old')");
    let before = cluster[2].lua1("return skynet.uniqueservice(true, 'counting')");
    cluster.stop(1);
    cluster[0].log.wait_for("slave 1 is down");
    cluster.start(1);
    cluster[1].log.wait_for("live on this node");
    // What was asked of the old one fails, until the new one is known.
    cluster[2].wait_until("the new one answers", || {
        cluster[2].lua("return pcall(datacenter.get, 'key')") == ["true", "nil"]
    });
    let after = cluster[2].lua1("return skynet.uniqueservice(true, 'counting')");
    assert_ne!(before, after);
    // The manager of node 2 has reported to the new one.
    cluster[1].wait_until("node 2 is in the list", || {
        cluster[1].lua1("return skynet.call('.service', 'lua', 'LIST')").contains("@2=")
    });
}

#[test]
fn a_host_and_a_master_that_were_lost_together_are_replaced() {
    let mut cluster = Cluster::with_pure_master(2);
    cluster.stop(1);
    cluster.stop(0);
    let master = boot(support::config().set("standalone", &cluster.master));
    cluster.nodes.insert(0, master);
    // It comes back first, but cannot host any more: it has started already.
    cluster[2].log.wait_for("is back");
    cluster.start(1);
    cluster[1].log.wait_for("bootstrap: DATACENTER and SERVICE of the cluster live on this node");
    cluster[2].wait_until("the new one answers", || {
        cluster[2].lua("return pcall(datacenter.get, 'key')") == ["true", "nil"]
    });
}

#[test]
fn a_monitor_of_the_cluster_hears_of_services_of_all_nodes() {
    let cluster = Cluster::of(2);
    for id in [1, 2] {
        cluster[id].lua("skynet.monitor 'exit_monitor'");
    }
    let service = cluster[2].launch_eval();
    cluster[2].lua(&format!("skynet.kill({})", service.as_u32()));
    let asked =
        format!("return skynet.call(skynet.queryservice(true, 'exit_monitor'), 'lua', {})", service.as_u32());
    assert_eq!(cluster[1].lua(&asked), ["true"]);
}

#[test]
fn nodes_are_shown_with_their_links() {
    let cluster = Cluster::of(3);
    let shown = cluster[1].lua(
        "local nodes = harbor.nodes()
        return nodes[2].address, nodes[2].state, nodes[2].form, nodes[3].form, nodes[1] == nil",
    );
    assert!(shown[0].starts_with("127.0.0.1:"), "{shown:?}");
    assert_eq!(shown[2..], ["extended", "extended", "true"]);
    // The last one, which the others connected to, has their addresses as well.
    let shown = cluster[3].lua("local nodes = harbor.nodes() return nodes[1].address, nodes[2].address");
    assert!(shown.iter().all(|address| address.starts_with("127.0.0.1:")), "{shown:?}");
    // The operator sees the same.
    cluster[1].lua("return skynet.newservice('debug_console', 0)");
    let line = cluster[1].log.wait_for("Start debug console at 127.0.0.1:");
    let port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let shown = Client::new(port).run("harbor");
    assert!(shown.ok && shown.lines.len() == 2, "{shown:?}");
    assert!(shown.has("form:extended") && shown.has("address:127.0.0.1:"), "{shown:?}");
}

#[test]
fn a_member_with_another_secret_is_refused() {
    let config = support::config().set("harbor", 1).set("address", "127.0.0.1:0").set("harbor_secret", "x");
    let node = boot(config.set("standalone", "127.0.0.1:0"));
    let mut cluster = Cluster { master: master_port(&node), nodes: BTreeMap::from([(1, node)]) };
    for (config, reason) in [
        (cluster.config(2), "the master has a harbor_secret, and none is set here"),
        (cluster.config(2).set("harbor_secret", "y"), "the master does not know harbor_secret"),
    ] {
        let log = support::Log::default();
        let builder = skynet_rs::Runtime::builder().config(with_keys(config)).boot().log_to(log.sink());
        let runtime = builder.start().expect("the node starts");
        log.wait_for(reason);
        assert!(runtime.wait_within(Duration::from_secs(10)), "the node ends");
    }
    let node = boot(cluster.config(2).set("harbor_secret", "x"));
    cluster.nodes.insert(2, node);
    cluster.connect_all();
    assert_eq!(echo(&cluster[1], cluster[2].eval), ["true", "hello"]);
    assert_eq!(echo(&cluster[2], cluster[1].eval), ["true", "hello"]);
}
