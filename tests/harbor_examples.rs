//! The examples of what a cluster is good for, `examples/harbor/*/`, as programs.

#[path = "support/cluster.rs"]
mod cluster;

use std::path::Path;
use std::process::Command;

use cluster::Cluster;

#[test]
fn a_group_works_on_with_those_who_are_left() {
    let cluster = Cluster::of_example("group");
    let (_master, one, two) = cluster.start_each();
    for node in [&one, &two] {
        node.wait_for(" 4 workers", 2);
        node.wait_for("on node 1", 1);
        node.wait_for("on node 2", 1);
    }
    two.kill();
    one.wait_for(" 2 workers", one.count(" 2 workers") + 2);
    let two = cluster.start("config.slave2");
    one.wait_for(" 4 workers", one.count(" 4 workers") + 2);
    two.wait_for("on node 1", 1);
}

#[test]
fn a_query_has_an_end_whoever_is_there() {
    let cluster = Cluster::of_example("query");
    let (_master, one, two) = cluster.start_each();
    two.wait_for("query: true the weather of node 1", 1);
    one.kill();
    two.wait_for("nobody is called oracle", 1);
    two.wait_for("query: false nobody is called oracle", 1);
    let _one = cluster.start("config.slave1");
    two.wait_for("query: true", two.count("query: true") + 1);
}

#[test]
fn a_cache_keeps_what_nobody_can_be_asked_for() {
    let cluster = Cluster::of_example("cache");
    let (_master, one, two) = cluster.start_each();
    two.wait_for("alice has level 1 (fresh)", 1);
    two.wait_for("alice has level 1 (kept)", 1);
    two.wait_for("alice has level 2 (fresh)", 1);
    one.kill();
    two.wait_for("(old)", 1);
    let _one = cluster.start("config.slave1");
    two.wait_for("alice has level 1 (fresh)", 2);
}

#[test]
fn three_ways_to_ask_for_many_values_find_the_same() {
    let cluster = Cluster::of_example("batch");
    let (_master, _one, two) = cluster.start_each();
    let sum: u32 = (1..=1000).map(|player| player * 7 % 101).sum();
    for way in ["one_after_the_other", "all_at_once", "in_one_request"] {
        two.wait_for(&format!("{way}: sum {sum}, "), 1);
    }
}

#[test]
fn a_monitor_sees_nodes_come_and_go() {
    let cluster = Cluster::of_example("monitor");
    let (_master, one, two) = cluster.start_each();
    one.wait_for("node 2 has come", 1);
    one.wait_for(", extended form, round trip ", 1);
    // Whichever came first, each knows where the other one is.
    one.wait_for("node 2 at 127.0.0.1:", 1);
    two.wait_for("node 1 at 127.0.0.1:", 1);
    two.kill();
    one.wait_for("node 2 has gone", 1);
    let _two = cluster.start("config.slave2");
    one.wait_for("node 2 has come", 2);
}

#[test]
fn their_configs_are_right_and_each_has_a_readme() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for example in ["group", "query", "cache", "batch", "monitor"] {
        let readme = root.join("examples/harbor").join(example).join("README.md");
        assert!(readme.is_file(), "{}", readme.display());
        for config in ["config/example1", "config/example2"] {
            let output = Command::new(env!("CARGO_BIN_EXE_skynet-rs"))
                .args(["check", config])
                .env("EXAMPLE", example)
                .current_dir(root)
                .output()
                .expect("the program runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}
