//! `client.socket`: a plain socket for test clients in Lua, which run outside of a node (`skynet-rs lua`).
//!
//! It blocks the thread, so it has no place in a service. A socket is a descriptor of the process.
//! Annotations: lualib/meta/client_socket.lua.

use std::io::{self, BufRead};
use std::net::TcpStream;
use std::os::fd::IntoRawFd;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

use crate::lua::raw::{Binding, Call, Raise, Returned, entry, lua_State, push_module};
use crate::socket::error_text;

pub(super) const FUNCTIONS: &[Binding] = &[
    (c"connect", entry!(connect)),
    (c"recv", entry!(recv)),
    (c"send", entry!(send)),
    (c"close", entry!(close)),
    (c"shutdown", entry!(shutdown)),
    (c"usleep", entry!(usleep)),
    (c"readstdin", entry!(readstdin)),
];

/// The most bytes that one `recv` returns; what is beyond them comes with the next.
const RECV_MAX: usize = 16 * 1024;

/// Lines of the standard input that wait to be asked for. The reader goes on when there is room again.
const LINES_MAX: usize = 1024;

pub(super) unsafe extern "C-unwind" fn open(state: *mut lua_State) -> std::ffi::c_int {
    // SAFETY: `require` calls it, inside a protected call.
    unsafe { push_module(state, FUNCTIONS) };
    1
}

/// The descriptor that an argument names.
fn descriptor(call: &Call, index: std::ffi::c_int) -> Result<i32, Raise> {
    let number = call.int(index)?;
    i32::try_from(number).map_err(|_| Raise::argument(index, &format!("a socket, not {number}")))
}

fn socket_error(error: &io::Error) -> Raise {
    // Matched by programs: keep the words.
    Raise::Text(format!("socket error: {}", error_text(error)))
}

/// `connect(address, port) -> fd`
fn connect(call: &mut Call) -> Result<Returned, Raise> {
    let (host, port) = (call.text(1)?, call.int(2)?);
    let address = u16::try_from(port).map(|port| (host.as_str(), port));
    let stream = address.map_err(io::Error::other).and_then(TcpStream::connect);
    // Matched by programs: keep the words.
    let stream = stream.map_err(|_| Raise::Text(format!("Connect {host} {port} failed")))?;
    Ok(call.push_int(stream.into_raw_fd().into()))
}

/// `recv(fd) -> data?`: what has come, `""` when the peer has closed, nothing when nothing is there.
fn recv(call: &mut Call) -> Result<Returned, Raise> {
    let fd = descriptor(call, 1)?;
    let mut bytes = vec![0_u8; RECV_MAX];
    loop {
        // SAFETY: the vector has room for so many bytes; a wrong descriptor is the system's to refuse.
        let count = unsafe { libc::recv(fd, bytes.as_mut_ptr().cast(), bytes.len(), libc::MSG_DONTWAIT) };
        if let Ok(count) = usize::try_from(count) {
            bytes.truncate(count);
            return Ok(call.give(bytes));
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::WouldBlock => return Ok(Returned::Values(0)),
            io::ErrorKind::Interrupted => {}
            _ => return Err(socket_error(&error)),
        }
    }
}

/// `send(fd, data)`: returns when the system has taken all of it.
fn send(call: &mut Call) -> Result<Returned, Raise> {
    let fd = descriptor(call, 1)?;
    let mut rest = call.bytes(2)?;
    while !rest.is_empty() {
        // SAFETY: the bytes stay on the Lua stack meanwhile. Without the flag, a peer that is gone would be a signal.
        let count = unsafe { libc::send(fd, rest.as_ptr().cast(), rest.len(), libc::MSG_NOSIGNAL) };
        match usize::try_from(count) {
            Ok(count) => rest = rest.get(count..).unwrap_or_default(),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(socket_error(&error));
                }
            }
        }
    }
    Ok(Returned::Values(0))
}

/// `close(fd)`
fn close(call: &mut Call) -> Result<Returned, Raise> {
    let fd = descriptor(call, 1)?;
    // SAFETY: whose descriptor it is, is the script's to know; the system refuses what is none.
    unsafe { libc::close(fd) };
    Ok(Returned::Values(0))
}

/// `shutdown(fd, "r" | "w" | "rw")`
fn shutdown(call: &mut Call) -> Result<Returned, Raise> {
    let fd = descriptor(call, 1)?;
    let how = match call.bytes(2)? {
        b"r" => libc::SHUT_RD,
        b"w" => libc::SHUT_WR,
        b"rw" | b"wr" => libc::SHUT_RDWR,
        other => {
            let other = String::from_utf8_lossy(other);
            return Err(Raise::argument(2, &format!("'r', 'w' or 'rw', not {other:?}")));
        }
    };
    // SAFETY: a call without pointers. That the peer has ended both directions first is no error of the script's.
    unsafe { libc::shutdown(fd, how) };
    Ok(Returned::Values(0))
}

/// `usleep(microseconds)`
#[expect(clippy::disallowed_methods, reason = "a script outside of a node lives by the system's time")]
fn usleep(call: &mut Call) -> Result<Returned, Raise> {
    std::thread::sleep(Duration::from_micros(u64::try_from(call.int(1)?).unwrap_or(0)));
    Ok(Returned::Values(0))
}

/// `readstdin() -> line?`: the next line of the standard input, without its end; nothing when none is there.
fn readstdin(call: &mut Call) -> Result<Returned, Raise> {
    /// A thread reads, since waiting for a line must not keep a client from its socket. It ends with the process.
    static LINES: LazyLock<Mutex<Receiver<Vec<u8>>>> = LazyLock::new(|| {
        let (sender, receiver) = sync_channel(LINES_MAX);
        std::thread::spawn(move || {
            for line in io::stdin().lock().split(b'\n') {
                let Ok(line) = line else { return };
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Mutex::new(receiver)
    });
    let line = LINES.lock().unwrap_or_else(PoisonError::into_inner).try_recv();
    Ok(match line {
        Ok(line) => call.give(line),
        Err(_) => Returned::Values(0),
    })
}
