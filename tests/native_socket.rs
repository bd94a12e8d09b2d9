//! Native services and the network: `Context::sockets`.

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};

use skynet_rs::{
    Context, Message, Runtime, Service, ServiceError, SocketData, SocketEvent, SocketEventKind, SocketId,
};
use support::DEADLINE;

/// What a server does with a line of bytes before it sends them back.
type Work = Box<dyn FnMut(&[u8]) + Send>;

/// Listens, tells its port, and sends back whatever comes.
struct Server {
    port: Sender<u16>,
    listener: Option<SocketId>,
    work: Work,
}

impl Service for Server {
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        self.listener = Some(ctx.sockets().listen("127.0.0.1", 0, 32)?);
        Ok(())
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        let Ok(event) = message.payload.downcast::<SocketEvent>() else { return Ok(()) };
        match (event.kind, &event.data) {
            // The other events of this kind say "start".
            (SocketEventKind::Connect, SocketData::Text(text))
                if Some(event.id) == self.listener && text == "127.0.0.1" =>
            {
                let _ = self.port.send(u16::try_from(event.ud)?);
                ctx.sockets().start(event.id)?;
            }
            (SocketEventKind::Accept, _) => ctx.sockets().start(event.accepted())?,
            (SocketEventKind::Data, SocketData::Bytes(bytes)) => {
                (self.work)(bytes.as_bytes());
                ctx.sockets().send(event.id, bytes.as_bytes());
            }
            (SocketEventKind::Close, _) => ctx.sockets().close(event.id),
            _ => {}
        }
        Ok(())
    }
}

fn server(runtime: &Runtime, work: impl FnMut(&[u8]) + Send + 'static) -> u16 {
    let (port, told) = channel();
    let server = Server { port, listener: None, work: Box::new(work) };
    runtime.spawn(server).expect("it listens");
    told.recv_timeout(DEADLINE).expect("it tells its port")
}

fn client(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("somebody listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a time above zero");
    stream
}

fn echo(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("it is open");
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).expect("it comes back in time");
    assert_eq!(back, text.as_bytes());
}

fn runtime() -> Runtime {
    Runtime::builder().workers(1).log_to(|_, _| {}).start().expect("the node starts")
}

#[test]
fn a_native_service_serves_clients() {
    let runtime = runtime();
    let port = server(&runtime, |_| {});
    let mut clients: Vec<_> = (0..20).map(|_| client(port)).collect();
    for round in 0..10 {
        for one in &mut clients {
            echo(one, &format!("round {round}"));
        }
    }
}

#[test]
fn the_network_does_not_wait_for_a_service_that_keeps_its_thread() {
    let runtime = runtime();
    // Each of these holds whatever thread runs it, until the test lets go: more than the reactor has threads.
    let mut holders = Vec::new();
    for _ in 0..4 {
        let (release, released): (Sender<()>, Receiver<()>) = channel();
        let (entered, entries) = channel();
        let released = Arc::new(Mutex::new(released));
        let port = server(&runtime, move |_| {
            entered.send(()).expect("the test waits");
            released.lock().expect("one at a time").recv_timeout(DEADLINE).expect("the test lets go");
        });
        holders.push((port, release, entries));
    }
    let quick = server(&runtime, |_| {});
    let mut quick = client(quick);
    echo(&mut quick, "before");
    let mut held: Vec<_> = holders.iter().map(|(port, ..)| client(*port)).collect();
    for (stream, (_, _, entries)) in held.iter_mut().zip(&holders) {
        stream.write_all(b"hold").expect("it is open");
        entries.recv_timeout(DEADLINE).expect("the service is in its work");
        // Whichever threads are held by now, another service is answered.
        echo(&mut quick, "meanwhile");
    }
    for (stream, (_, release, _)) in held.iter_mut().zip(&holders) {
        release.send(()).expect("it is waited for");
        let mut back = [0; 4];
        stream.read_exact(&mut back).expect("it comes back in time");
    }
    echo(&mut quick, "after");
}

#[test]
fn a_node_ends_while_a_service_holds_the_reactor() {
    let runtime = runtime();
    let (release, released): (Sender<()>, Receiver<()>) = channel();
    let (entered, entries) = channel();
    let released = Mutex::new(released);
    let port = server(&runtime, move |_| {
        entered.send(()).expect("the test waits");
        let _ = released.lock().expect("one at a time").recv_timeout(DEADLINE);
    });
    let mut stream = client(port);
    stream.write_all(b"hold").expect("it is open");
    entries.recv_timeout(DEADLINE).expect("the service is in its work");
    let (done, ended) = channel();
    let ender = std::thread::spawn(move || {
        runtime.shutdown();
        drop(runtime);
        done.send(()).expect("the test waits");
    });
    release.send(()).expect("it is waited for");
    ended.recv_timeout(DEADLINE).expect("the node ends");
    ender.join().expect("it is well");
    // Its sockets are closed, by what kind of end does not matter.
    assert!(
        !matches!(stream.read(&mut [0; 8]), Ok(1..) if stream.read(&mut [0; 8]).is_ok_and(|len| len > 0))
    );
}
