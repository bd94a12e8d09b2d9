//! The cluster of `examples/harbor` as programs, which are killed, stopped and started again.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing here takes longer, unless it has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// One node; it does not outlive its test.
struct Node {
    child: Child,
    log: PathBuf,
}

impl Node {
    fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.log).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for so many lines with this text.
    fn wait_for(&self, text: &str, count: usize) {
        let deadline = Instant::now() + DEADLINE;
        while self.count(text) < count {
            assert!(Instant::now() < deadline, "not {count} times {text:?}: {:#?}", self.lines());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    fn signal(&self, number: i32) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: a system call with a process of this test.
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(id, number) };
        assert_eq!(result, 0, "the process is there");
    }

    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }

    fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it can be asked") {
                return status;
            }
            assert!(Instant::now() < deadline, "it does not end: {:#?}", self.lines());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The configs of the example, with ports that are free.
struct Cluster {
    folder: TempDir,
    starts: std::cell::Cell<usize>,
}

impl Cluster {
    fn new() -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        // They are all open at the same time, so they differ.
        let ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let [master, one, two] = ports.map(|port| port.local_addr().expect("it is bound"));
        for (name, set) in [
            ("config.master", format!("standalone = '{master}'")),
            ("config.slave1", format!("master = '{master}' address = '{one}'")),
            ("config.slave2", format!("master = '{master}' address = '{two}'")),
        ] {
            let original = root.join("config").join(name);
            let text = format!("include '{}'\n{set}\nharbor_down_after = 1\n", original.display());
            fs::write(folder.path().join(name), text).expect("it is written");
        }
        Cluster { folder, starts: std::cell::Cell::new(0) }
    }

    fn start(&self, name: &str) -> Node {
        let number = self.starts.replace(self.starts.get() + 1);
        let log = self.folder.path().join(format!("{name}.{number}.log"));
        let file = File::create(&log).expect("it is made");
        let child = Command::new(env!("CARGO_BIN_EXE_skynet-rs"))
            .arg(self.folder.path().join(name))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stderr(file.try_clone().expect("one more"))
            .stdout(file)
            .spawn()
            .expect("the program starts");
        Node { child, log }
    }

    /// All three, the master last: the order is free.
    fn start_all(&self) -> (Node, Node, Node) {
        let (one, two) = (self.start("config.slave1"), self.start("config.slave2"));
        one.wait_for("cannot be reached: Connection refused; trying again", 1);
        let master = self.start("config.master");
        for (node, other) in [(&one, "node2"), (&two, "node1")] {
            node.wait_for(&format!("{other} has come"), 1);
            node.wait_for(&format!(", here is {other}"), 2);
            node.wait_for(&format!("greeted by {other}"), 2);
        }
        (master, one, two)
    }
}

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
