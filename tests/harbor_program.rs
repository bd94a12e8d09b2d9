//! The cluster of `examples/harbor` as programs, which are killed, stopped and started again.

#[path = "support/cluster.rs"]
mod cluster;

use std::fs;

use cluster::Cluster;

#[test]
fn the_nodes_of_the_example_greet_each_other_and_end_in_order() {
    let cluster = Cluster::new();
    let (master, one, two) = cluster.start_all();
    master.wait_for("node1 at 127.0.0.1:", 1);
    master.wait_for("node2 at 127.0.0.1:", 1);
    two.signal(libc::SIGTERM);
    one.wait_for("node2 has gone", 1);
    for node in [two, one, master] {
        node.signal(libc::SIGTERM);
        assert_eq!(node.wait().code(), Some(0));
    }
}

#[test]
fn a_killed_member_is_seen_to_go_and_is_taken_back() {
    let cluster = Cluster::new();
    // In this order, so that the first one has what there is one of.
    let master = cluster.start("config.master");
    let one = cluster.start("config.slave1");
    one.wait_for("live on this node", 1);
    let two = cluster.start("config.slave2");
    one.wait_for(", here is node2", 2);
    two.kill();
    one.wait_for("node2 has gone", 1);
    master.wait_for("slave 2 is down", 1);
    let two = cluster.start("config.slave2");
    one.wait_for("node2 has come", 2);
    one.wait_for(", here is node2", 4);
    two.wait_for(", here is node1", 2);
    // The one that has what there is one of in the cluster goes just the same.
    one.kill();
    two.wait_for("node1 has gone", 1);
    let one = cluster.start("config.slave1");
    two.wait_for("node1 has come", 2);
    two.wait_for(", here is node1", 4);
    one.wait_for("live on this node", 1);
}

#[test]
fn a_stopped_member_is_silent_and_so_gone_and_goes_on_later() {
    let cluster = Cluster::new();
    let (master, one, two) = cluster.start_all();
    two.signal(libc::SIGSTOP);
    one.wait_for("node2 has gone", 1);
    master.wait_for("silent for", 1);
    two.signal(libc::SIGCONT);
    one.wait_for("node2 has come", 2);
    one.wait_for(", here is node2", 4);
    two.wait_for("node1 has come", 2);
    two.wait_for("is back", 1);
}

#[test]
fn a_killed_master_disturbs_nobody_and_is_found_again() {
    let cluster = Cluster::new();
    let (master, one, two) = cluster.start_all();
    master.kill();
    for node in [&one, &two] {
        node.wait_for("Master disconnect", 1);
    }
    let master = cluster.start("config.master");
    for node in [&one, &two] {
        node.wait_for("is back", 1);
    }
    master.wait_for("has come", 2);
    assert_eq!((one.count("has gone"), two.count("has gone")), (0, 0));
    // A node that comes now finds the others by their names.
    two.kill();
    let two = cluster.start("config.slave2");
    two.wait_for(", here is node1", 2);
    one.wait_for(", here is node2", 4);
}

#[test]
fn a_second_node_of_an_id_is_told_who_has_it_and_ends() {
    let cluster = Cluster::new();
    let (_master, _one, _two) = cluster.start_all();
    let text = fs::read_to_string(cluster.folder.path().join("config.slave2")).expect("it is there");
    let other = format!("{text}\naddress = '127.0.0.1:0'\n");
    fs::write(cluster.folder.path().join("config.other"), other).expect("it is written");
    let late = cluster.start("config.other");
    late.wait_for("slave shakehand failed: the master says: Slave 2 already register on 127.0.0.1:", 1);
    assert_eq!(late.wait().code(), Some(0));
}
