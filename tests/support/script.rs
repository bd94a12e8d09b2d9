//! Lua scripts outside of a node, as processes: `skynet-rs lua <script> <args...>`.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::Instant;

use super::DEADLINE;

/// How a script ended.
pub struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A script that runs, and does not outlive its test.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// The words that follow `skynet-rs lua`.
    pub fn start(words: &[&str]) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_skynet-rs"))
            .arg("lua")
            .args(words)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program is there");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut stderr = child.stderr.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.split(b'\n').map_while(Result::ok) {
                if sender.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).into_owned()
        });
        let stdin = child.stdin.take();
        Running { child, stdin, lines, stderr: Some(stderr) }
    }

    /// Gives the script something to read; one that has ended already does not.
    pub fn write(&mut self, text: &str) {
        let _ = self.stdin.as_mut().expect("it is open").write_all(text.as_bytes());
    }

    /// The next line that the script writes.
    pub fn line(&mut self) -> String {
        let line = self.lines.recv_timeout(DEADLINE);
        line.unwrap_or_else(|_| panic!("no line comes; standard error: {}", self.end()))
    }

    /// Waits for the end; the exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.stdin = None;
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                return status.code();
            }
            if Instant::now() >= deadline {
                panic!("the script does not end; standard error: {}", self.end());
            }
            std::thread::park_timeout(std::time::Duration::from_millis(2));
        }
    }

    /// Ends the script, if it has not ended; what it wrote to the standard error.
    fn end(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.stderr.take().and_then(|stderr| stderr.join().ok()).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// Runs a script to its end.
pub fn run(words: &[&str], stdin: &str) -> Done {
    let mut running = Running::start(words);
    running.write(stdin);
    let code = running.wait();
    let mut stdout = String::new();
    while let Ok(line) = running.lines.recv_timeout(DEADLINE) {
        stdout.push_str(&line);
        stdout.push('\n');
    }
    Done { code, stdout, stderr: running.end() }
}
