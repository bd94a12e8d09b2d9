//! Several nodes of this process that act as one.
#![allow(dead_code, missing_docs, unreachable_pub)] // Each test file uses its part of this.

use std::collections::BTreeMap;

use skynet_rs::Config;

use crate::support::{self, TestNode};

/// The nodes of one cluster, by harbor id; 0 is a master that is no member.
pub struct Cluster {
    pub nodes: BTreeMap<u8, TestNode>,
    pub master: String,
}

pub fn with_keys(config: Config) -> Config {
    config.set("harbor_down_after", 2).set("harbor_resume_window", "0.3").set("harbor_join_timeout", 10)
}

pub fn boot(config: Config) -> TestNode {
    let node = support::start(with_keys(config), None);
    node.lua(
        "harbor = require 'skynet.harbor' datacenter = require 'skynet.datacenter' require 'skynet.manager'",
    );
    node
}

pub fn master_port(node: &TestNode) -> String {
    let line = node.log.wait_for("master listen socket ");
    line.rsplit_once(' ').expect("the line ends with the address").1.to_owned()
}

impl Cluster {
    /// A cluster of members 1 to `last`; the first is the master, too.
    pub fn of(last: u8) -> Cluster {
        let config = support::config().set("harbor", 1).set("address", "127.0.0.1:0");
        let node = boot(config.set("standalone", "127.0.0.1:0"));
        let mut cluster = Cluster { master: master_port(&node), nodes: BTreeMap::from([(1, node)]) };
        for id in 2..=last {
            cluster.start(id);
        }
        cluster.connect_all();
        cluster
    }

    /// A cluster of members 1 to `last`, and a master that is none.
    pub fn with_pure_master(last: u8) -> Cluster {
        let node = boot(support::config().set("standalone", "127.0.0.1:0"));
        let mut cluster = Cluster { master: master_port(&node), nodes: BTreeMap::from([(0, node)]) };
        for id in 1..=last {
            cluster.start(id);
        }
        cluster.connect_all();
        cluster
    }

    pub fn config(&self, id: u8) -> Config {
        support::config().set("harbor", id).set("address", "127.0.0.1:0").set("master", &self.master)
    }

    pub fn start(&mut self, id: u8) {
        let node = boot(self.config(id));
        self.nodes.insert(id, node);
    }

    pub fn connect_all(&self) {
        let ids: Vec<u8> = self.nodes.keys().copied().filter(|id| *id != 0).collect();
        for (one, other) in ids.iter().flat_map(|one| ids.iter().map(move |other| (*one, *other))) {
            if one != other {
                self[one].lua(&format!("harbor.connect({other})"));
            }
        }
    }

    pub fn stop(&mut self, id: u8) {
        self.nodes.remove(&id).expect("it runs");
    }
}

impl std::ops::Index<u8> for Cluster {
    type Output = TestNode;

    fn index(&self, id: u8) -> &TestNode {
        self.nodes.get(&id).expect("it runs")
    }
}
