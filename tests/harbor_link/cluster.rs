//! Nodes with the actor and a stand-in for its Lua side, and services that write down what they get.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use skynet_rs::packed::{self, Value, Values};
use skynet_rs::{
    CallError, Config, Context, Handle, Message, MessageKind, Payload, Runtime, Service, ServiceError,
    Session, SocketData, SocketEvent, SocketEventKind, SocketId,
};

use crate::support::{DEADLINE, Log};

/// A list that grows, and on which a test can wait.
pub struct Growing<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T> Clone for Growing<T> {
    fn clone(&self) -> Growing<T> {
        Growing(Arc::clone(&self.0))
    }
}

impl<T> Default for Growing<T> {
    fn default() -> Growing<T> {
        Growing(Arc::new((Mutex::new(Vec::new()), Condvar::new())))
    }
}

impl<T: Clone + std::fmt::Debug> Growing<T> {
    pub fn push(&self, item: T) {
        self.0.0.lock().expect("nobody panics meanwhile").push(item);
        self.0.1.notify_all();
    }

    pub fn all(&self) -> Vec<T> {
        self.0.0.lock().expect("nobody panics meanwhile").clone()
    }

    pub fn len(&self) -> usize {
        self.0.0.lock().expect("nobody panics meanwhile").len()
    }

    /// Waits until it is as `is_so` says.
    pub fn wait(&self, what: &dyn std::fmt::Display, is_so: impl Fn(&[T]) -> bool) -> Vec<T> {
        let deadline = Instant::now() + DEADLINE;
        let mut items = self.0.0.lock().expect("nobody panics meanwhile");
        while !is_so(&items) {
            let left = deadline.saturating_duration_since(Instant::now());
            let tail = &items[items.len().saturating_sub(10)..];
            assert!(!left.is_zero(), "it does not come that {what}; {} items, last {tail:?}", items.len());
            items = self.0.1.wait_timeout(items, left).expect("nobody panics meanwhile").0;
        }
        items.clone()
    }

    pub fn wait_len(&self, len: usize) -> Vec<T> {
        self.wait(&format_args!("there are {len}"), |items| items.len() >= len)
    }
}

/// What a probe got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub source: Handle,
    pub session: i32,
    pub kind: MessageKind,
    pub bytes: Vec<u8>,
}

/// Writes down what it gets, and sends what it is told to.
struct Probe(Growing<Got>);

/// What a probe is to send.
pub struct Order {
    pub to: Handle,
    pub session: i32,
    pub kind: MessageKind,
    pub payload: Payload,
    /// In its own name, where it is not said.
    pub source: Option<Handle>,
}

impl Service for Probe {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        let Message { source, session, kind, payload } = message;
        match payload.downcast::<Vec<Order>>() {
            Ok(orders) => {
                for Order { to, session, kind, payload, source } in orders {
                    let source = source.unwrap_or(ctx.handle());
                    let message = Message { source, session: Session::new(session), kind, payload };
                    ctx.send_as(to, message)?;
                }
            }
            Err(payload) => {
                let bytes = payload.as_bytes().to_vec();
                self.0.push(Got { source, session: Session::number(session), kind, bytes });
            }
        }
        Ok(())
    }
}

/// Answers with what it got.
struct Echo;

impl Service for Echo {
    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        if message.is_request() {
            ctx.respond(message.origin(), message.into_payload())?;
        }
        Ok(())
    }
}

/// Never answers.
struct Mute;

impl Service for Mute {
    fn handle(&mut self, _ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        // Kept from being answered with an error by being neither dropped nor failed.
        let _ = message;
        Ok(())
    }
}

/// Plays the Lua side: it listens, accepts, connects, and writes down what the actor says.
struct StandIn {
    shared: Arc<Shared>,
    connecting: HashMap<SocketId, (u8, bool)>,
    accepted: HashMap<SocketId, ()>,
}

#[derive(Default)]
struct Shared {
    texts: Growing<String>,
    port: Mutex<u16>,
    actor: Mutex<Option<Handle>>,
    /// Where other nodes are, for the actor's wishes to connect.
    addresses: Mutex<HashMap<u8, (SocketAddr, bool)>>,
}

impl StandIn {
    fn tell(&self, ctx: &mut Context<'_>, text: String) {
        let actor = self.shared.actor.lock().expect("nobody panics meanwhile");
        if let Some(actor) = *actor {
            let _ = ctx.send(actor, MessageKind::HARBOR, text);
        }
    }

    fn connect(&mut self, ctx: &mut Context<'_>, id: u8) {
        let address = self.shared.addresses.lock().expect("nobody panics meanwhile").get(&id).copied();
        let Some((address, rs)) = address else { return self.tell(ctx, format!("F {id} failed")) };
        if let Ok(socket) = ctx.sockets().connect(&address.ip().to_string(), address.port()) {
            self.connecting.insert(socket, (id, rs));
        }
    }

    fn event(&mut self, ctx: &mut Context<'_>, event: &SocketEvent) {
        let rs_word = |rs| if rs { " rs" } else { "" };
        match (event.kind, &event.data) {
            (SocketEventKind::Accept, _) => {
                self.accepted.insert(event.accepted(), ());
                let _ = ctx.sockets().start(event.accepted());
            }
            (SocketEventKind::Connect, _) => {
                if let Some((id, rs)) = self.connecting.remove(&event.id) {
                    self.tell(ctx, format!("S {} {id}{}", event.id, rs_word(rs)));
                } else if event.ud > 0 {
                    *self.shared.port.lock().expect("nobody panics meanwhile") = event.ud as u16;
                    self.shared.texts.push("listens".to_owned());
                }
            }
            (SocketEventKind::Data, SocketData::Bytes(bytes))
                if self.accepted.remove(&event.id).is_some() =>
            {
                assert_eq!(bytes.len(), 1, "who connects sends its id and waits");
                let id = bytes.as_bytes()[0];
                self.tell(ctx, format!("A {} {id}", event.id));
            }
            (SocketEventKind::Error, _) => {
                if let Some((id, _)) = self.connecting.remove(&event.id) {
                    let is_refused = event.as_text().contains("refused");
                    self.tell(ctx, format!("F {id} {}", if is_refused { "refused" } else { "failed" }));
                }
            }
            (SocketEventKind::Close, _) => ctx.sockets().close(event.id),
            _ => {}
        }
    }
}

impl Service for StandIn {
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        let listener = ctx.sockets().listen("127.0.0.1", 0, 32)?;
        ctx.sockets().start(listener)?;
        Ok(())
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        if message.kind == MessageKind::SOCKET {
            if let Some(event) = message.payload.downcast_ref::<SocketEvent>() {
                self.event(ctx, event);
            }
            return Ok(());
        }
        let text = String::from_utf8_lossy(message.payload.as_bytes()).into_owned();
        match text.split_once(' ') {
            Some(("connect" | "R", id)) => self.connect(ctx, id.parse()?),
            _ if message.source.is_none() => self.tell(ctx, text.clone()),
            _ => {}
        }
        self.shared.texts.push(text);
        Ok(())
    }
}

/// A node of a cluster.
pub struct Member {
    pub runtime: Runtime,
    pub log: Log,
    pub id: u8,
    pub actor: Handle,
    slave: Handle,
    shared: Arc<Shared>,
    pub incarnation: u64,
}

/// A service that writes down what it gets.
pub struct Spy {
    pub handle: Handle,
    pub got: Growing<Got>,
}

/// What a test says of a message that it has sent in the name of a spy.
pub fn order(to: Handle, session: i32, payload: impl Into<Payload>) -> Order {
    Order { to, session, kind: MessageKind::LUA, payload: payload.into(), source: None }
}

impl Member {
    pub fn start(id: u8) -> Member {
        Member::with(id, Config::new())
    }

    pub fn with(id: u8, config: Config) -> Member {
        static LIVES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        // The handles of a life follow from it; those of two lives of a test do not meet.
        let incarnation = LIVES.fetch_add(1, std::sync::atomic::Ordering::Relaxed) << 20 | 1;
        let log = Log::default();
        let runtime = Runtime::builder()
            .config(config)
            .workers(2)
            .harbor(id)
            .incarnation(incarnation)
            .log_to(log.sink())
            .start()
            .expect("the node starts");
        let shared = Arc::new(Shared::default());
        let stand_in =
            StandIn { shared: Arc::clone(&shared), connecting: HashMap::new(), accepted: HashMap::new() };
        let slave = runtime.spawn(stand_in).expect("the stand-in starts");
        let actor =
            runtime.launch("harbor", &format!("{id} {}", slave.as_u32())).expect("the harbor service starts");
        *shared.actor.lock().expect("nobody panics meanwhile") = Some(actor);
        shared.texts.wait(&"it listens", |texts| texts.iter().any(|text| text == "listens"));
        Member { runtime, log, id, actor, slave, shared, incarnation }
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], *self.shared.port.lock().expect("nobody panics meanwhile")))
    }

    /// The other node is there from now on; nobody connects yet.
    pub fn knows(&self, id: u8, address: SocketAddr, rs: bool) {
        self.shared.addresses.lock().expect("nobody panics meanwhile").insert(id, (address, rs));
    }

    /// Has the stand-in connect.
    pub fn connect(&self, id: u8) {
        self.runtime.send(self.slave, MessageKind::TEXT, format!("connect {id}")).expect("it lives");
    }

    /// Says something to the actor, as its Lua side.
    pub fn say(&self, text: &str) {
        self.runtime.send(self.slave, MessageKind::TEXT, text).expect("it lives");
    }

    /// Tells the actor of a global name.
    pub fn name(&self, name: &str, owner: Handle) {
        let spy = self.spy();
        let mut order = order(self.actor, 0, format!("N {name}"));
        (order.kind, order.source) = (MessageKind::HARBOR, Some(owner));
        self.tell(&spy, vec![order]);
    }

    /// Connects to a node of this process and waits until both see the link.
    pub fn link(&self, other: &Member) {
        self.knows(other.id, other.address(), false);
        self.connect(other.id);
        self.wait_up(other.id, 1);
        other.wait_up(self.id, 1);
    }

    /// What the actor has said of a peer: each `U` and `D`.
    pub fn lives(&self, id: u8) -> String {
        lives(&self.shared.texts.all(), id)
    }

    /// Waits until so many lives of a peer have begun.
    pub fn wait_up(&self, id: u8, count: usize) {
        self.wait_lives(id, &"UD".repeat(count)[..2 * count - 1]);
    }

    /// Waits until the last of so many lives of a peer has ended.
    pub fn wait_down(&self, id: u8, count: usize) {
        self.wait_lives(id, &"UD".repeat(count));
    }

    fn wait_lives(&self, id: u8, wanted: &str) {
        self.shared.texts.wait(
            &format_args!("{} sees of {id}: {wanted}; log: {:#?}", self.id, Line(&self.log)),
            |texts| lives(texts, id) == wanted,
        );
    }

    /// What the actor has said.
    pub fn texts(&self) -> &Growing<String> {
        &self.shared.texts
    }

    pub fn spy(&self) -> Spy {
        let got = Growing::default();
        Spy { handle: self.runtime.spawn(Probe(got.clone())).expect("it starts"), got }
    }

    pub fn echo(&self) -> Handle {
        self.runtime.spawn(Echo).expect("it starts")
    }

    pub fn mute(&self) -> Handle {
        self.runtime.spawn(Mute).expect("it starts")
    }

    /// Has a spy send messages.
    pub fn tell(&self, spy: &Spy, orders: Vec<Order>) {
        self.runtime.send(spy.handle, MessageKind::TEXT, Payload::typed(orders)).expect("it lives");
    }

    pub fn call(&self, to: Handle, payload: impl Into<Payload>) -> Result<Vec<u8>, CallError> {
        let answer = self.runtime.call_within(DEADLINE, to, MessageKind::LUA, payload)?;
        Ok(answer.as_bytes().to_vec())
    }

    /// Begins a call; it ends when the returned thread does.
    pub fn begin_call(
        self: &Arc<Member>,
        to: Handle,
    ) -> std::thread::JoinHandle<(Result<Vec<u8>, CallError>, Duration)> {
        let me = Arc::clone(self);
        std::thread::spawn(move || {
            let start = Instant::now();
            (me.call(to, "waits"), start.elapsed())
        })
    }

    /// A figure of the link to a peer.
    pub fn stat(&self, id: u8, key: &str) -> Value {
        let answer = self
            .runtime
            .call_within(DEADLINE, self.actor, MessageKind::HARBOR, "STAT")
            .expect("the actor answers");
        let values: Values = packed::from_bytes(answer.as_bytes()).expect("a table");
        let Some(Value::Table(links)) = values.0.first() else { panic!("{values:?}") };
        let number = Value::Integer(id.into());
        let link = match usize::from(id).checked_sub(1).and_then(|at| links.array.get(at)) {
            Some(link) if *link != Value::Nil => Some(link),
            _ => links.pairs.iter().find(|(peer, _)| *peer == number).map(|(_, link)| link),
        };
        let Some(Value::Table(link)) = link else { return Value::Nil };
        link.get(key).cloned().unwrap_or_default()
    }

    /// Waits until a figure is as it shall be.
    pub fn wait_stat(&self, id: u8, key: &str, is_so: impl Fn(&Value) -> bool) {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let value = self.stat(id, key);
            if is_so(&value) {
                return;
            }
            assert!(Instant::now() < deadline, "{key} of the link to {id} stays {value:?}");
            std::thread::yield_now();
        }
    }
}

/// The log of a node at the time when it is shown.
struct Line<'l>(&'l Log);

impl std::fmt::Debug for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.lines().fmt(f)
    }
}

fn lives(texts: &[String], id: u8) -> String {
    let of = |text: &String| {
        let mut words = text.split(' ');
        let letter = words.next().filter(|letter| ["U", "D"].contains(letter))?;
        (words.next()? == id.to_string()).then(|| letter.to_owned())
    };
    texts.iter().filter_map(of).collect()
}
