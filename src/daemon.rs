//! [`PidFile`]: the program in the background, known by a file with its process id (config key `daemon`).
//!
//! Called by `main` before any thread is started: a fork takes along the calling thread alone.
//!
//! The file is locked before the fork, and the lock belongs to both processes: so the one in the terminal can still
//! say why there is no second daemon, and its end does not release the lock.
#![allow(unsafe_code)] // fork, flock and dup2 have no safe form in the standard library.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The file of a running daemon, locked for as long as this lives.
pub(crate) struct PidFile {
    path: PathBuf,
    /// Taken by `remove`, so that a file which the next daemon made is not removed.
    file: Mutex<Option<File>>,
}

/// Why the program does not go into the background.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DaemonError {
    // Matched by programs: keep the words of all of these.
    #[error("Skynet is already running, pid = {0}.")]
    Running(i32),
    #[error("Can't daemonize.")]
    Fork,
    #[error("Can't create pidfile [{}].", .0.display())]
    Create(PathBuf),
    #[error("Can't lock pidfile, lock is held by pid {0}.")]
    Locked(i32),
    #[error("Can't write pid.")]
    Write,
}

/// Goes on in the background. The calling process ends here, with code 0; what returns is its child, which has no
/// terminal, keeps the working directory, and reads and writes `/dev/null`.
pub(crate) fn start(path: &Path) -> Result<PidFile, DaemonError> {
    if let Some(pid) = fs::read_to_string(path).ok().and_then(|text| living(&text)) {
        return Err(DaemonError::Running(pid));
    }
    let created =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o644).open(path);
    let mut file = created.map_err(|_| DaemonError::Create(path.to_owned()))?;
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let mut text = String::new();
        let _ = file.read_to_string(&mut text);
        return Err(DaemonError::Locked(text.trim().parse().unwrap_or(0)));
    }
    let _ = io::stdout().flush();
    detach().map_err(|_| DaemonError::Fork)?;
    write_pid(&mut file).map_err(|_| DaemonError::Write)?;
    silence().map_err(|_| DaemonError::Fork)?;
    Ok(PidFile { path: path.to_owned(), file: Mutex::new(Some(file)) })
}

/// The process that a pid file names, if it lives and is another one.
fn living(text: &str) -> Option<i32> {
    let pid = text.split_whitespace().next()?.parse().ok().filter(|pid| *pid > 0)?;
    // SAFETY: signal 0 is sent to nobody; it only asks.
    let asked = unsafe { libc::kill(pid, 0) };
    let lives = asked == 0 || io::Error::last_os_error().raw_os_error() != Some(libc::ESRCH);
    (lives && u32::try_from(pid) != Ok(std::process::id())).then_some(pid)
}

fn detach() -> io::Result<()> {
    // SAFETY: no other thread runs (see the top of this file), so the child's memory is as its only thread left it.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            // SAFETY: always allowed; a fresh child leads no group, so it cannot fail.
            unsafe { libc::setsid() };
            Ok(())
        }
        // SAFETY: always allowed. Without the handlers of `exit`: what they would do is the child's now.
        _ => unsafe { libc::_exit(0) },
    }
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.rewind()?;
    writeln!(file, "{}", std::process::id())
}

/// Lets the standard streams end in `/dev/null`.
fn silence() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for stream in 0..=2 {
        // SAFETY: both are descriptors of this process; nobody holds the standard streams as a `File`.
        if unsafe { libc::dup2(null.as_raw_fd(), stream) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

impl PidFile {
    /// Removes the file, at the orderly end of the program.
    pub(crate) fn remove(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        if file.is_some() {
            // Before the lock is released: then it cannot be the file of the next daemon.
            let _ = fs::remove_file(&self.path);
        }
    }
}
