//! The engine against real sockets. A fake `Post` collects what the services would get.

mod bad;
mod datagrams;
mod flow;
mod limits;
mod states;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::message::{Message, MessageKind};

/// Nothing here takes so long but on a machine that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// The service that owns the sockets, where a test does not say.
fn owner() -> Handle {
    Handle::new(0, 1)
}

fn other() -> Handle {
    Handle::new(0, 2)
}

/// Hands on what is posted.
struct Outbox(Mutex<mpsc::Sender<(Handle, SocketEvent)>>);

impl Post for Outbox {
    fn post(&self, to: Handle, message: Message) {
        assert_eq!(
            (message.kind, message.source, message.session),
            (MessageKind::SOCKET, Handle::NONE, None)
        );
        let event = message.into_payload().downcast::<SocketEvent>().expect("an event");
        let _ = lock(&self.0).send((to, event));
    }
}

/// An engine, what it tells services, and what it logs.
struct Net {
    sockets: Sockets,
    events: mpsc::Receiver<(Handle, SocketEvent)>,
    log: mpsc::Receiver<String>,
}

fn net() -> Net {
    net_with(Options::default())
}

fn net_with(options: Options) -> Net {
    let (sender, events) = mpsc::channel();
    let (log_sender, log) = mpsc::channel();
    let log_sender = Mutex::new(log_sender);
    let logger: Log = Arc::new(move |text: &str| {
        let _ = lock(&log_sender).send(text.to_owned());
    });
    let post = Arc::new(Outbox(Mutex::new(sender)));
    let sockets = Sockets::launch(Clock::real(), post, logger, options, None).expect("the engine starts");
    Net { sockets, events, log }
}

/// What tests compare of an event: the kind, the number and the text.
type Seen = (SocketEventKind, i32, String);

fn seen(kind: SocketEventKind, ud: i32, text: &str) -> Seen {
    (kind, ud, text.to_owned())
}

impl Net {
    fn next(&self) -> (Handle, SocketEvent) {
        self.events.recv_timeout(PATIENCE).expect("an event")
    }

    /// The next event, which is of this socket and goes to the usual owner.
    fn next_of(&self, id: SocketId) -> Seen {
        let (to, event) = self.next();
        assert_eq!((to, event.id), (owner(), id), "{event:?}");
        (event.kind, event.ud, event.as_text().to_owned())
    }

    /// Waits for so many bytes of a socket, and for nothing else.
    fn read(&self, id: SocketId, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < len {
            let (_, event) = self.next();
            assert_eq!((event.kind, event.id), (SocketEventKind::Data, id), "{event:?}");
            assert_eq!(event.ud as usize, event.as_bytes().len());
            bytes.extend_from_slice(event.as_bytes());
        }
        bytes
    }

    /// Nothing has been told that was not taken, and nothing will be by what was asked so far.
    fn assert_quiet(&self) {
        // The reactor answers in order: what it had to say before stands before this.
        self.sockets.start(owner(), SocketId::new(-1));
        let (_, event) = self.next();
        assert_eq!((event.id.get(), event.as_text()), (-1, "invalid socket"), "{event:?}");
    }

    fn send(&self, id: SocketId, bytes: &[u8]) -> bool {
        self.sockets.send(id, Payload::from(bytes), Priority::Normal)
    }

    /// A listener that accepts; its port.
    fn listen(&self) -> (SocketId, u16) {
        let id = self.sockets.listen(owner(), "127.0.0.1", 0, 1024).expect("it binds");
        let (kind, port, text) = self.next_of(id);
        assert_eq!((kind, &*text), (SocketEventKind::Connect, "127.0.0.1"));
        self.sockets.start(owner(), id);
        assert_eq!(self.next_of(id), seen(SocketEventKind::Connect, 0, "start"));
        (id, u16::try_from(port).expect("a port"))
    }

    fn accept(&self, listener: SocketId) -> (SocketId, String) {
        let (kind, number, text) = self.next_of(listener);
        assert_eq!(kind, SocketEventKind::Accept);
        (SocketId::new(number), text)
    }

    /// A connection of ours and its peer.
    fn pair(&self) -> (SocketId, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let id = self.sockets.connect(owner(), "127.0.0.1", port).expect("an id");
        assert_eq!(self.next_of(id), seen(SocketEventKind::Connect, 0, "127.0.0.1"));
        let peer = listener.accept().expect("it came").0;
        peer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        peer.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        (id, peer)
    }

    /// A descriptor of ours and its peer: the system moves nothing between them unless the peer reads.
    fn still_pair(&self) -> (SocketId, UnixStream, UnixStream) {
        let (ours, peer) = UnixStream::pair().expect("a pair");
        peer.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        let id = self.sockets.bind(owner(), ours.as_raw_fd()).expect("an id");
        assert_eq!(self.next_of(id), seen(SocketEventKind::Connect, 0, "binding"));
        (id, ours, peer)
    }

    /// Waits until the socket is no more.
    fn wait_gone(&self, id: SocketId) {
        let start = crate::clock::real_now();
        while self.info(id).is_some() {
            assert!(crate::clock::real_now().since(start) < PATIENCE);
            std::thread::yield_now();
        }
    }

    /// Sends until the socket takes no more at once; answers how many bytes it took in all.
    fn fill(&self, id: SocketId) -> usize {
        let mut sum = 0;
        while self.waiting(id) == 0 {
            assert!(self.send(id, &[b'f'; 65536]));
            sum += 65536;
        }
        sum
    }

    fn waiting(&self, id: SocketId) -> usize {
        self.info(id).map_or(0, |info| info.waiting as usize)
    }

    fn info(&self, id: SocketId) -> Option<SocketInfo> {
        self.sockets.info().into_iter().find(|info| info.id == id)
    }
}

fn read_exactly(peer: &mut impl Read, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    peer.read_exact(&mut bytes).expect("it comes in time");
    bytes
}

/// Resets the connection instead of ending it.
fn reset(peer: TcpStream) {
    socket2::SockRef::from(&peer).set_linger(Some(Duration::ZERO)).expect("it is a socket");
    drop(peer);
}
