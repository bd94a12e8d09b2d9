//! `examples/web`: the program with `config/web`, asked by plain sockets and, where there is one, by a browser.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tungstenite::Message;

const DEADLINE: Duration = Duration::from_secs(20);

/// The program with the example in it.
struct Web {
    child: Child,
    log: Receiver<String>,
    address: String,
    _folder: tempfile::TempDir,
}

impl Web {
    fn start() -> Web {
        let root = env!("CARGO_MANIFEST_DIR");
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("config");
        std::fs::write(&config, format!("include \"{root}/config/web\"\nweb_port = 0\n"))
            .expect("it is written");
        let mut child = Command::new(env!("CARGO_BIN_EXE_skynet-rs"))
            .arg(config)
            .current_dir(root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it can be run");
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (sender, log) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let mut web = Web { child, log, address: String::new(), _folder: folder };
        let line = web.wait_for("web: http://");
        let (_, address) = line.split_once("http://").expect("it was waited for");
        address.trim_end_matches('/').clone_into(&mut web.address);
        web
    }

    fn wait_for(&self, text: &str) -> String {
        loop {
            let line = self.log.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("no line with {text:?}"));
            if line.contains(text) {
                return line;
            }
        }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
        stream
    }

    fn ask(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it is answered");
        answer
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_example_serves_its_page_and_its_places() {
    let web = Web::start();
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/web/page.html"));
    let page = page.expect("it is there");
    let answer = web.ask("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\ncontent-type: text/html; charset=utf-8\r\n"), "{answer}");
    assert!(answer.ends_with(&format!("content-length: {}\r\n\r\n{page}", page.len())), "{answer}");
    let answer = web.ask("GET /hello?name=J%C3%BCrgen+S HTTP/1.1\r\n\r\n");
    assert!(answer.ends_with("\r\n\r\nHello, Jürgen S!\n"), "{answer}");
    assert!(web.ask("GET /hello HTTP/1.0\r\n\r\n").ends_with("Hello, stranger!\n"));
    assert!(web.ask("GET /nothing HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 Not Found\r\n"));
    assert_eq!(
        web.ask("POST /seen HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi"),
        "HTTP/1.1 204 No Content\r\n\r\n"
    );
    web.wait_for("web: a page has seen \"hi\"");
    let large = "POST /seen HTTP/1.1\r\ncontent-length: 20000\r\n\r\n";
    assert_eq!(web.ask(large), "HTTP/1.1 413 Request Entity Too Large\r\n\r\n");
}

#[test]
fn the_example_echoes_over_websocket() {
    let web = Web::start();
    assert!(web.ask("GET /ws HTTP/1.1\r\nhost: x\r\n\r\n").starts_with("HTTP/1.1 426 \r\n"));
    let (mut socket, _) =
        tungstenite::client(format!("ws://{}/ws", web.address), web.connect()).expect("hands are shaken");
    socket.send(Message::text("hi")).expect("it is open");
    assert_eq!(socket.read().expect("it comes back"), Message::text("echo: hi"));
    socket.send(Message::binary(vec![1, 2, 3])).expect("it is open");
    assert_eq!(socket.read().expect("it comes back"), Message::binary(vec![1, 2, 3]));
    socket.close(None).expect("it is open");
    while socket.read().is_ok() {}
    assert!(web.ask("GET /hello HTTP/1.1\r\n\r\n").ends_with("Hello, stranger!\n"));
}

#[test]
fn the_page_works_in_a_browser() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/web/check.sh");
    let output = Command::new(script).arg(env!("CARGO_BIN_EXE_skynet-rs")).output().expect("it can be run");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{said}");
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("OK: ") || said.contains("SKIPPED: "), "{said}");
}
