//! Peers over plain sockets, written from the description of the bytes and not with the actor's code.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use crate::cluster::Member;
use crate::support::{self, DEADLINE};

/// The other end of a link, played by a test.
pub struct Peer {
    pub stream: TcpStream,
    pub id: u8,
}

/// A frame in either form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub source: u32,
    pub destination: u32,
    pub session: u32,
    pub content: Vec<u8>,
}

pub fn frame(source: u32, destination: u32, session: u32, content: &[u8]) -> Frame {
    Frame { source, destination, session, content: content.to_vec() }
}

impl Frame {
    fn header(&self) -> Vec<u8> {
        [self.source, self.destination, self.session].map(u32::to_be_bytes).concat()
    }

    pub fn classic(&self) -> Vec<u8> {
        let length = (self.content.len() as u32 + 12).to_be_bytes();
        [&length[..], &self.content, &self.header()].concat()
    }

    pub fn extended(&self) -> Vec<u8> {
        let length = (self.content.len() as u32 + 12).to_be_bytes();
        [&[0, length[1], length[2], length[3]], &self.header()[..], &self.content].concat()
    }
}

/// What a node of the other kind says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hello {
    pub flags: u8,
    pub incarnation: u64,
    pub knows: u64,
    pub received: u64,
    pub nonce: [u8; 16],
}

impl Hello {
    pub fn of(incarnation: u64) -> Hello {
        Hello { flags: 0, incarnation, knows: 0, received: 0, nonce: *b"a nonce of 16 b." }
    }

    pub fn frame(&self, id: u8) -> Frame {
        let mut content = b"SKRS\x01".to_vec();
        content.push(self.flags);
        content.extend_from_slice(&[0; 4]);
        for number in [self.incarnation, self.knows, self.received] {
            content.extend_from_slice(&number.to_be_bytes());
        }
        content.extend_from_slice(&self.nonce);
        content.extend_from_slice(&(1_u64 << 28).to_be_bytes());
        frame(u32::from(id) << 24, 0x0700_0000, 0, &content)
    }

    pub fn read(frame: &Frame) -> Hello {
        let content = &frame.content;
        assert_eq!((&content[..5], frame.destination), (&b"SKRS\x01"[..], 0x0700_0000));
        let number = |at: usize| u64::from_be_bytes(content[at..at + 8].try_into().expect("8 bytes"));
        Hello {
            flags: content[5],
            incarnation: number(10),
            knows: number(18),
            received: number(26),
            nonce: content[34..50].try_into().expect("16 bytes"),
        }
    }
}

pub fn ack(count: u64) -> Vec<u8> {
    [&[4, 0, 0, 9, 1], &count.to_be_bytes()[..]].concat()
}

impl Peer {
    /// Listens, has the member connect, and takes the member's id byte.
    pub fn accept(member: &Member, id: u8, rs: bool) -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        member.knows(id, listener.local_addr().expect("an address"), rs);
        member.connect(id);
        Peer::accepted(member, id, &listener)
    }

    /// Takes the next connection of a member.
    pub fn accepted(member: &Member, id: u8, listener: &TcpListener) -> Peer {
        let mut peer = Peer::on(support::accept(listener), id);
        assert_eq!(peer.bytes(1), [member.id]);
        peer
    }

    /// Has a member connect to node 2, of this kind and in its life 77, and links them; the next connection comes to the
    /// listener.
    pub fn linked(member: &Member) -> (Peer, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        member.knows(2, listener.local_addr().expect("an address"), true);
        member.connect(2);
        let mut peer = Peer::accepted(member, 2, &listener);
        peer.write(&[2]);
        peer.greet(Hello::of(77));
        member.wait_up(2, 1);
        (peer, listener)
    }

    /// Connects to a member and shows an id.
    pub fn connect(member: &Member, id: u8) -> Peer {
        let mut peer = Peer::on(TcpStream::connect(member.address()).expect("it listens"), id);
        peer.write(&[id]);
        assert_eq!(peer.bytes(1), [member.id]);
        peer
    }

    fn on(stream: TcpStream, id: u8) -> Peer {
        stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_write_timeout(Some(DEADLINE)).expect("a timeout");
        stream.set_nodelay(true).expect("it is TCP");
        Peer { stream, id }
    }

    pub fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("it takes them");
    }

    pub fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).expect("they come");
        bytes
    }

    /// Whether the other side has closed; what comes before is passed over.
    pub fn wait_closed(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return,
                Err(error) => panic!("it is not closed: {error}"),
            }
        }
    }

    pub fn classic(&mut self) -> Frame {
        let length: [u8; 4] = self.bytes(4).try_into().expect("4 bytes");
        let mut content = self.bytes(u32::from_be_bytes(length) as usize);
        let header = content.split_off(content.len() - 12);
        Peer::frame(&header, content)
    }

    fn frame(header: &[u8], content: Vec<u8>) -> Frame {
        let word = |at: usize| u32::from_be_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        Frame { source: word(0), destination: word(4), session: word(8), content }
    }

    /// The next frame in the extended form: its flags and what follows the length.
    pub fn extended_raw(&mut self) -> (u8, Vec<u8>) {
        let head = self.bytes(4);
        let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        (head[0], self.bytes(len))
    }

    /// The next plain message in the extended form. Control frames are passed over, but pings are answered.
    pub fn extended(&mut self) -> Frame {
        loop {
            match self.extended_raw() {
                (4, content) if content == [2] => self.write(&[4, 0, 0, 1, 3]),
                (4, _) => {}
                (0, mut content) => {
                    let header: Vec<u8> = content.drain(..12).collect();
                    return Peer::frame(&header, content);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Says hello and switches; what the member says in its hello.
    pub fn greet(&mut self, hello: Hello) -> Hello {
        let id = self.id;
        self.write(&hello.frame(id).classic());
        let theirs = Hello::read(&self.classic());
        let switch = self.classic();
        assert_eq!((&switch.content[..], switch.destination), (&b"SKRX"[..], 0x0700_0000));
        self.write(&frame(u32::from(id) << 24, 0x0700_0000, 0, b"SKRX").classic());
        theirs
    }
}
