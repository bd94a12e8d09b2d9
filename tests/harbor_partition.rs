//! A network that loses packets between the nodes of `examples/harbor`. Each node has a network namespace of its own; a
//! bridge in another one joins them, and drops what it is told to. That takes Linux, root and `ip`; elsewhere these tests
//! say that they are skipped.

#[path = "support/cluster.rs"]
mod cluster;

use std::process::Command;

use cluster::Cluster;

/// Runs `ip` with these words.
fn ip(words: &str) -> Result<(), String> {
    let output = Command::new("ip").args(words.split(' ')).output().map_err(|why| format!("ip: {why}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    output.status.success().then_some(()).ok_or_else(|| format!("ip {words}: {}", text.trim()))
}

/// The name of a namespace of this process.
fn space(of: &str) -> String {
    format!("skynet-rs-{}-{of}", std::process::id())
}

/// The configs, each with its host's last number.
const HOSTS: [(&str, u8); 3] = [("config.master", 1), ("config.slave1", 2), ("config.slave2", 3)];

/// Four namespaces. They end with this, and what ran in them must have ended.
struct Network;

impl Network {
    fn new() -> Result<Network, String> {
        let network = Network;
        let hub = space("hub");
        ip(&format!("netns add {hub}"))?;
        ip(&format!("-n {hub} link add joint type bridge"))?;
        ip(&format!("-n {hub} link set joint up"))?;
        for (config, number) in HOSTS {
            let node = space(config);
            ip(&format!("netns add {node}"))?;
            ip(&format!("-n {hub} link add {config} type veth peer name eth0 netns {node}"))?;
            ip(&format!("-n {hub} link set {config} master joint up"))?;
            ip(&format!("-n {node} link set lo up"))?;
            ip(&format!("-n {node} link set eth0 up"))?;
            ip(&format!("-n {node} addr add 10.0.0.{number}/24 dev eth0"))?;
        }
        Ok(network)
    }

    /// Drops what a node sends and what it is sent, or no longer.
    fn cut(&self, config: &str, cut: bool) {
        let to = if cut { "nomaster" } else { "master joint" };
        ip(&format!("-n {} link set {config} {to}", space("hub"))).expect("the bridge is there");
    }

    /// Drops what the members send to each other, or no longer.
    fn part_members(&self, part: bool) {
        let isolated = if part { "on" } else { "off" };
        for config in ["config.slave1", "config.slave2"] {
            let words =
                format!("-n {} link set {config} type bridge_slave isolated {isolated}", space("hub"));
            ip(&words).expect("the bridge is there");
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for of in ["hub", "config.master", "config.slave1", "config.slave2"] {
            let _ = ip(&format!("netns del {}", space(of)));
        }
    }
}

/// Nothing where the machine does not allow it.
fn cluster() -> Option<(Network, Cluster)> {
    match Network::new() {
        Ok(network) => {
            let addresses = [1, 2, 3].map(|number| format!("10.0.0.{number}:7000"));
            let prefix = |config: &str| ["ip", "netns", "exec", &space(config)].map(str::to_owned).to_vec();
            let cluster = Cluster::at(addresses, prefix);
            // A machine that stands still for a second is no network that loses packets.
            cluster.set(&HOSTS.map(|(config, _)| config), "harbor_down_after = 2");
            Some((network, cluster))
        }
        Err(why) => {
            eprintln!("SKIPPED: no network of its own on this machine: {why}");
            None
        }
    }
}

#[test]
fn a_network_that_falls_apart_and_heals() {
    let Some((network, cluster)) = cluster() else { return };
    let (master, one, two) = cluster.start_all();

    // One member hears of nobody, and nobody of it. No connection is closed by that.
    network.cut("config.slave2", true);
    one.wait_for("node2 has gone", 1);
    two.wait_for("node1 has gone", 1);
    master.wait_for("slave 2 is down", 1);
    two.wait_for("Master disconnect", 1);
    assert_eq!(one.count("Master disconnect"), 0);
    network.cut("config.slave2", false);
    for (node, other) in [(&one, "node2"), (&two, "node1")] {
        node.wait_for(&format!("{other} has come"), 2);
        node.wait_for(&format!(", here is {other}"), 4);
    }

    // The members lose each other, and the master has both.
    network.part_members(true);
    one.wait_for("node2 has gone", 2);
    two.wait_for("node1 has gone", 2);
    network.part_members(false);
    for (node, other) in [(&one, "node2"), (&two, "node1")] {
        node.wait_for(&format!("{other} has come"), 3);
        node.wait_for(&format!(", here is {other}"), 6);
    }
    assert_eq!(master.count("is down"), 1);

    // The members lose the master, and have each other.
    let before = [&one, &two].map(|node| (node, node.count("Master disconnect"), node.count("is back")));
    network.cut("config.master", true);
    for (node, lost, _) in before {
        node.wait_for("Master disconnect", lost + 1);
    }
    network.cut("config.master", false);
    for (node, _, back) in before {
        node.wait_for("is back", back + 1);
    }
    // Each greeting was one.
    for (node, other) in [(&one, "node2"), (&two, "node1")] {
        assert_eq!(node.count(&format!("{other} has gone")), 2);
        assert_eq!(node.count("greeted by"), 6, "{:#?}", node.lines());
    }
}
