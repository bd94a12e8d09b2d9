//! The cluster of `examples/harbor` as programs.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.
#![allow(dead_code, missing_docs, unreachable_pub)] // Each test file uses its part of this.

use std::cell::Cell;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing here takes longer, unless it has failed.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// One node; it does not outlive its test.
pub struct Node {
    child: Child,
    log: PathBuf,
}

impl Node {
    pub fn lines(&self) -> Vec<String> {
        fs::read_to_string(&self.log).unwrap_or_default().lines().map(str::to_owned).collect()
    }

    pub fn count(&self, text: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(text)).count()
    }

    /// Waits for so many lines with this text.
    pub fn wait_for(&self, text: &str, count: usize) {
        let deadline = Instant::now() + DEADLINE;
        while self.count(text) < count {
            assert!(Instant::now() < deadline, "not {count} times {text:?}: {:#?}", self.lines());
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }

    pub fn signal(&self, number: i32) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: a system call with a process of this test.
        #[allow(unsafe_code)]
        let result = unsafe { libc::kill(id, number) };
        assert_eq!(result, 0, "the process is there");
    }

    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }

    pub fn wait(mut self) -> ExitStatus {
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

/// The three nodes of the example.
pub struct Cluster {
    pub folder: TempDir,
    starts: Cell<usize>,
    /// What stands before the program in the command that starts a node, by the name of its config.
    prefix: fn(&str) -> Vec<String>,
}

impl Cluster {
    /// On ports that are free.
    pub fn new() -> Cluster {
        // They are all open at the same time, so they differ.
        let ports = [(); 3].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let addresses = ports.map(|port| port.local_addr().expect("it is bound").to_string());
        Cluster::at(addresses, |_| Vec::new())
    }

    /// The same with members that run another example.
    pub fn of_example(name: &str) -> Cluster {
        let cluster = Cluster::new();
        cluster.set(&["config.slave1", "config.slave2"], &format!("start = '{name}/main'"));
        cluster
    }

    /// Sets a key in configs.
    pub fn set(&self, configs: &[&str], line: &str) {
        for config in configs {
            let path = self.folder.path().join(config);
            let text = fs::read_to_string(&path).expect("it is there");
            fs::write(path, format!("{text}{line}\n")).expect("it is written");
        }
    }

    /// On these addresses: of the master's port, and of each member.
    pub fn at([master, one, two]: [String; 3], prefix: fn(&str) -> Vec<String>) -> Cluster {
        let folder = tempfile::tempdir().expect("a folder");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        for (name, set) in [
            ("config.master", format!("standalone = '{master}'")),
            ("config.slave1", format!("master = '{master}' address = '{one}'")),
            ("config.slave2", format!("master = '{master}' address = '{two}'")),
        ] {
            let original = root.join("config").join(name);
            let text = format!("include '{}'\n{set}\nharbor_down_after = 1\n", original.display());
            fs::write(folder.path().join(name), text).expect("it is written");
        }
        Cluster { folder, starts: Cell::new(0), prefix }
    }

    pub fn start(&self, name: &str) -> Node {
        let number = self.starts.replace(self.starts.get() + 1);
        let log = self.folder.path().join(format!("{name}.{number}.log"));
        let file = File::create(&log).expect("it is made");
        let mut words = (self.prefix)(name);
        words.push(env!("CARGO_BIN_EXE_skynet-rs").to_owned());
        let child = Command::new(&words[0])
            .args(&words[1..])
            .arg(self.folder.path().join(name))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::null())
            .stderr(file.try_clone().expect("one more"))
            .stdout(file)
            .spawn()
            .expect("the program starts");
        Node { child, log }
    }

    /// All three, of whichever example.
    pub fn start_each(&self) -> (Node, Node, Node) {
        (self.start("config.master"), self.start("config.slave1"), self.start("config.slave2"))
    }

    /// All three, the master last: the order is free. They have greeted each other.
    pub fn start_all(&self) -> (Node, Node, Node) {
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
