//! What an operator does at a node's own terminal, and the example that shows the debug console: the program, as a
//! process of its own.
#![allow(clippy::disallowed_methods)] // A test's patience is measured in real time.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Nothing here takes longer, unless it has failed.
const DEADLINE: Duration = Duration::from_secs(20);

/// The program in a folder of its own, with its standard input in our hands. It does not outlive its test.
struct Program {
    place: TempDir,
    child: Child,
    input: Option<ChildStdin>,
}

impl Program {
    fn start(config: &str, files: &[(&str, &str)]) -> Program {
        let place = tempfile::tempdir().expect("a folder");
        fs::write(place.path().join("config"), config).expect("it is written");
        for (name, text) in files {
            fs::write(place.path().join(name), text).expect("it is written");
        }
        let out = File::create(place.path().join("out")).expect("it is made");
        let mut child = Command::new(env!("CARGO_BIN_EXE_skynet-rs"))
            .arg("config")
            .current_dir(place.path())
            .stdin(Stdio::piped())
            .stdout(out.try_clone().expect("it is copied"))
            .stderr(out)
            .spawn()
            .expect("the program is there");
        let input = child.stdin.take();
        Program { place, child, input }
    }

    /// A node whose first service runs this text in its start function.
    fn node(main: &str) -> Program {
        let main = format!(
            "local skynet = require 'skynet'\nrequire 'skynet.manager'\nskynet.start(function() {main} end)"
        );
        let said = "local skynet = require 'skynet'\nlocal words = table.concat({ ... }, ',')\n\
                    skynet.start(function() skynet.error('said: ' .. words) end)";
        Program::start(
            "thread = 2\nharbor = 0\nluaservice = './?.lua'\n",
            &[("main.lua", &main), ("say.lua", said)],
        )
    }

    fn type_in(&mut self, text: impl AsRef<[u8]>) {
        self.input.as_mut().expect("it is open").write_all(text.as_ref()).expect("somebody reads");
    }

    fn output(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.place.path().join("out")).unwrap_or_default()).into_owned()
    }

    /// Waits until the output has this, and returns the line.
    fn wait_for(&self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let output = self.output();
            if let Some(line) = output.lines().find(|line| line.contains(text)) {
                return line.to_owned();
            }
            assert!(Instant::now() < deadline, "{text:?} does not come: {output}");
            std::thread::park_timeout(Duration::from_millis(2));
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_is_typed_is_launched() {
    let mut program = Program::node("skynet.newservice 'console'");
    program.type_in("say hello world\n\n   \nno_such_script\nsnax no_such_snax\nsay ");
    program.wait_for("said: hello,world");
    program.wait_for("no_such_script");
    program.type_in("again\n");
    program.wait_for("said: again");
}

#[test]
fn the_end_of_the_standard_input_is_not_the_end_of_the_node() {
    let mut program = Program::node(
        "skynet.newservice 'console' skynet.timeout(30, function() skynet.newservice('say', 'alive') end)",
    );
    program.type_in("say first\n");
    program.wait_for("said: first");
    program.input = None;
    program.wait_for("said: alive");
}

#[test]
fn a_line_without_an_end_does_not_fill_the_memory() {
    let mut program = Program::node("skynet.newservice 'console' skynet.newservice('say', 'ready')");
    program.wait_for("said: ready");
    let chunk = vec![b'x'; 1 << 16];
    let input = program.input.as_mut().expect("it is open");
    // Nobody reads on; what the pipe takes is all.
    let writes = std::thread::scope(|scope| {
        let writer = scope.spawn(|| (0..4).take_while(|_| input.write_all(&chunk).is_ok()).count());
        let deadline = Instant::now() + DEADLINE;
        let out = program.place.path().join("out");
        while !fs::read_to_string(&out).unwrap_or_default().contains("socket buffer overflow") {
            assert!(Instant::now() < deadline, "the line is taken");
            std::thread::park_timeout(Duration::from_millis(2));
        }
        // The writer may hang in a full pipe: the end of the program ends that.
        let _ = program.child.kill();
        writer.join().expect("it does not panic")
    });
    assert!(writes <= 4);
}

#[test]
fn dbg_prints_what_the_launcher_answers() {
    let program = Program::node("skynet.newservice('dbg', 'list') skynet.newservice('dbg', 'what')");
    program.wait_for("snlua main");
    let line = program.wait_for("snlua dbg list");
    assert!(line.starts_with(':') || line.contains("LAUNCH"), "{line}");
    program.wait_for("1\tUnknown command");
}

#[test]
fn the_console_example_can_be_looked_into() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let example = fs::read_to_string(root.join("config/console")).expect("it is there");
    let config = format!(
        "{}\nconsole_port = 0\n",
        example
            .replace("\"./", &format!("\"{}/", root.display()))
            .replace(";./", &format!(";{}/", root.display()))
    );
    let mut program = Program::start(&config, &[]);
    let line = program.wait_for("Start debug console at 127.0.0.1:");
    let port: u16 = line.rsplit(':').next().and_then(|port| port.trim().parse().ok()).expect("a port");
    program.wait_for("ann has ");
    let run = |command: &str| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(DEADLINE)).expect("it is set");
        stream.write_all(format!("{command}\n").as_bytes()).expect("it is open");
        stream.shutdown(std::net::Shutdown::Write).expect("it is open");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    };
    let info = run("info .bank");
    assert!(info.contains("ann\t") && info.contains("joe\t") && info.ends_with("<CMD OK>\n"), "{info}");
    assert!(run("call .bank 'pay', 'eve', 30").contains("1\t70\n"));
    assert!(run("list").contains("snlua shopper ann"));
    program.type_in("shopper bob\n");
    program.wait_for("bob has 99 coins");
    // The README's debugging session.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("it is set");
    let mut answers = BufReader::new(stream.try_clone().expect("it is copied"));
    stream.write_all(b"debug .bank\nwatch \"lua\"\n").expect("it is open");
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("bank.lua(") {
        assert_ne!(answers.read_until(b'>', &mut seen).expect("a prompt comes"), 0);
    }
    stream.write_all(b"name, ...\ncont\n").expect("it is open");
    while !String::from_utf8_lossy(&seen).contains("<CMD OK>") {
        assert_ne!(answers.read_until(b'>', &mut seen).expect("the end comes"), 0);
    }
    assert!(String::from_utf8_lossy(&seen).contains("pay\t"), "{}", String::from_utf8_lossy(&seen));
}
