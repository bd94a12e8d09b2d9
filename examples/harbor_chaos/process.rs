//! A node as a program: it is killed, stopped and started again, and does not outlive the harness.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Sender;
use std::time::{SystemTime, UNIX_EPOCH};

/// A line that a node has written.
pub struct Line {
    pub node: u8,
    /// Which process of this node it was, from 1.
    pub start: usize,
    /// When it was read.
    pub at: f64,
    pub text: String,
}

pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a node; what it writes goes to the channel and into a file.
    pub fn start(mut command: Command, log: &Path, node: u8, start: usize, lines: &Sender<Line>) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        end_with_parent(&mut command);
        let mut child = command.spawn().expect("the program starts");
        let file = || OpenOptions::new().create(true).append(true).open(log).expect("the log can be opened");
        let pipes: [Option<Box<dyn Read + Send>>; 2] = [
            child.stdout.take().map(|pipe| Box::new(pipe) as _),
            child.stderr.take().map(|pipe| Box::new(pipe) as _),
        ];
        for pipe in pipes.into_iter().flatten() {
            let (lines, file) = (lines.clone(), file());
            std::thread::spawn(move || read(pipe, file, node, start, &lines));
        }
        Process { child }
    }

    pub fn signal(&self, number: i32) {
        let id = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: a system call with a process that is ours and was not waited for.
        #[allow(unsafe_code)]
        let _ = unsafe { libc::kill(id, number) };
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The time as the nodes stamp what they see.
pub fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock that is set").as_secs_f64()
}

fn read(pipe: Box<dyn Read + Send>, mut file: File, node: u8, start: usize, lines: &Sender<Line>) {
    for line in BufReader::new(pipe).split(b'\n') {
        let Ok(line) = line else { return };
        let text = String::from_utf8_lossy(&line).into_owned();
        let _ = writeln!(file, "{text}");
        if lines.send(Line { node, start, at: now(), text }).is_err() {
            return;
        }
    }
}

/// Has the system kill the node if the harness is killed, which then cannot do it.
#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only one system call is made, which allocates nothing.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command) {}
