//! [`Builder`] and [`Runtime`]: puts the parts of a node together, starts it and stops it.

use std::collections::HashMap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::context::Context;
use crate::handle::Handle;
use crate::host::{Host, LaunchError, SendError, Stat};
use crate::message::{Message, MessageKind, Payload};
use crate::native;
use crate::node::{Newcomer, NewcomerKind, Node, Parts};
use crate::service::{Factory, Service, ServiceError};
use crate::socket;

/// Sets a node up; see [`Runtime::builder`].
#[must_use]
pub struct Builder {
    config: Config,
    workers: Option<usize>,
    harbor: Option<u8>,
    incarnation: Option<u64>,
    clock: Clock,
    modules: HashMap<String, Factory>,
    log: Option<LogSink>,
    boots: bool,
    long_dispatch: Duration,
    when_idle: Option<fn()>,
}

type LogSink = Box<dyn FnMut(Handle, &[u8]) + Send>;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// A value of the config cannot be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The log service did not start.
    // Matched by programs: keep the words.
    #[error("Can't launch {service} service: {why}")]
    Logger {
        /// The module that the config names.
        service: String,
        /// What it said.
        why: LaunchError,
    },
    /// The first service did not start.
    #[error("Bootstrap error : {line}: {why}")]
    Bootstrap {
        /// The launch line that the config gives.
        line: String,
        /// What it said.
        why: LaunchError,
    },
    /// The operating system gives no thread.
    #[error("cannot start the engines: {0}")]
    Threads(#[from] io::Error),
}

/// Why a call from outside has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The request could not be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The service answered with an error, or ended before it answered.
    #[error("{0} answered with an error, or ended")]
    Failed(Handle),
    /// The time was over.
    #[error("no answer from {to} within {limit:?}")]
    TimedOut {
        /// Who was asked.
        to: Handle,
        /// The time that was given.
        limit: Duration,
    },
    /// The node is shutting down.
    #[error("the node is shutting down")]
    Stopping,
}

impl Builder {
    /// Takes a whole config: its keys are the node's environment, and `thread`, `harbor`, `profile`, `logger`,
    /// `logservice`, `loop_kill`, `mqueue_max`, `spare_workers`,
    /// `socket_buffer_max` and `socket_reuseport` set the engine up.
    pub fn config(mut self, config: Config) -> Builder {
        self.config = config;
        self
    }

    /// The number of worker threads; the default is the config's `thread`, or one for each processor.
    pub fn workers(mut self, workers: usize) -> Builder {
        self.workers = Some(workers);
        self
    }

    /// The harbor id; the default is the config's `harbor`, or 0.
    pub fn harbor(mut self, id: u8) -> Builder {
        self.harbor = Some(id);
        self
    }

    /// The number by which other nodes know this life of the node; the default is a random one. On a member of a
    /// cluster its handles depend on it. 0 is none, and becomes 1.
    pub fn incarnation(mut self, incarnation: u64) -> Builder {
        self.incarnation = Some(incarnation.max(1));
        self
    }

    /// The clock; the default is the real one. With a [`crate::ManualClock`] timers go off when a test says so.
    pub fn clock(mut self, clock: Clock) -> Builder {
        self.clock = clock;
        self
    }

    /// Registers a native service under a name. `make` is called for each launch, with the rest of the launch line.
    pub fn service<S, F>(mut self, name: &str, make: F) -> Builder
    where
        S: Service,
        F: Fn(&str) -> Result<S, ServiceError> + Send + Sync + 'static,
    {
        let factory: Factory =
            Arc::new(move |args| make(args).map(|service| Box::new(service) as Box<dyn Service>));
        self.modules.insert(name.to_owned(), factory);
        self
    }

    /// Where log lines go, in place of the config's log service: the source and the text of each.
    pub fn log_to(mut self, sink: impl FnMut(Handle, &[u8]) + Send + 'static) -> Builder {
        self.log = Some(Box::new(sink));
        self
    }

    /// Launches the config's `bootstrap` line as well, which brings up the standard Lua services and the `start`
    /// script. Without it only the log service is there.
    pub fn boot(mut self) -> Builder {
        self.boots = true;
        self
    }

    /// After which time in one message a service is reported; the default is 5 s.
    pub fn long_dispatch(mut self, limit: Duration) -> Builder {
        self.long_dispatch = limit;
        self
    }

    /// A function that each worker calls when all have run out of work, after some 50 ms of it: for an allocator that keeps
    /// what other threads have freed until it is asked.
    pub fn when_idle(mut self, call: fn()) -> Builder {
        self.when_idle = Some(call);
        self
    }

    /// Starts the node.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(self) -> Result<Runtime, StartError> {
        let Builder { config, mut modules, .. } = self;
        let is_bare = config.env().next().is_none() || !self.boots && config.file().is_none();
        let workers = match self.workers {
            Some(workers) => workers.clamp(1, 1024),
            None if config.get("thread").is_none() || (is_bare && config.place("thread").is_none()) => {
                num_cpus::get()
            }
            None => config.thread()?,
        };
        let harbor = match self.harbor {
            Some(harbor) => harbor,
            None if is_bare => 0,
            None => config.harbor()?,
        };
        let mut all = native::modules();
        let log = self.log.map(|sink| {
            let sink = Arc::new(Mutex::new(sink));
            let factory: Factory =
                Arc::new(move |_| Ok(Box::new(LogTo(Arc::clone(&sink))) as Box<dyn Service>));
            modules.insert(LOG_TO.to_owned(), factory);
        });
        all.extend(modules);
        let node = Node::start(Parts {
            harbor,
            incarnation: self.incarnation.unwrap_or_else(crate::random::incarnation),
            workers,
            spare_workers: config.spare_workers()?,
            profile: config.profile(),
            mailbox_max: config.mqueue_max()?.unwrap_or(usize::MAX),
            long_dispatch: self.long_dispatch,
            loop_kill: config.loop_kill()?,
            when_idle: self.when_idle,
            env: config.env().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
            modules: all,
            clock: self.clock,
            sockets: socket::Options {
                buffer_max: config.socket_buffer_max()?,
                reuse_port: config.socket_reuseport(),
            },
        })?;
        let runtime = Runtime { node, grace: config.shutdown_grace()? };
        let (module, args) = match log {
            Some(()) => (LOG_TO, ""),
            None => (config.logservice(), config.logger().unwrap_or_default()),
        };
        let logger = runtime
            .node
            .launch_module(module, args)
            .map_err(|why| StartError::Logger { service: module.to_owned(), why })?;
        runtime.node.set_logger(logger);
        if self.boots {
            runtime.bootstrap(config.bootstrap())?;
        }
        Ok(runtime)
    }
}

/// The name of the service behind `Builder::log_to`.
const LOG_TO: &str = "log_to";

struct LogTo(Arc<Mutex<LogSink>>);

impl Service for LogTo {
    fn handle(&mut self, _ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        if message.kind == MessageKind::TEXT {
            crate::sync::lock(&self.0)(message.source, message.payload.as_bytes());
        }
        Ok(())
    }
}

/// One running node. Dropping it ends the node at once; [`Runtime::shutdown`] lets it finish what is begun.
///
/// Several live side by side in one process and do not see each other.
pub struct Runtime {
    node: Arc<Node>,
    grace: Duration,
}

impl Runtime {
    /// Begins to set a node up.
    pub fn builder() -> Builder {
        Builder {
            config: Config::new(),
            workers: None,
            harbor: None,
            incarnation: None,
            clock: Clock::real(),
            modules: HashMap::new(),
            log: None,
            boots: false,
            long_dispatch: Duration::from_secs(5),
            when_idle: None,
        }
    }

    fn bootstrap(&self, line: &str) -> Result<(), StartError> {
        let (module, args) = line.split_once(' ').unwrap_or((line, ""));
        match self.node.launch_module(module, args) {
            Ok(_) => Ok(()),
            Err(why) => {
                // Matched by log readers: keep the words.
                self.node.log(Handle::NONE, format!("Bootstrap error : {line}\n").as_bytes());
                self.node.shut_down(self.grace);
                Err(StartError::Bootstrap { line: line.to_owned(), why })
            }
        }
    }

    /// Launches a service: `module` as registered, `args` as its factory wants them. A Lua service is
    /// `launch("snlua", "script words")`.
    ///
    /// # Errors
    /// See [`LaunchError`].
    pub fn launch(&self, module: &str, args: &str) -> Result<Handle, LaunchError> {
        self.node.launch_module(module, args)
    }

    /// Launches a service that is made already; see [`Context::spawn`].
    ///
    /// # Errors
    /// See [`LaunchError`].
    pub fn spawn(&self, service: impl Service) -> Result<Handle, LaunchError> {
        let newcomer = Newcomer { service: Box::new(service), kind: NewcomerKind::Quiet };
        self.node.launch_service("", "", newcomer)
    }

    /// Sends a message that wants no answer, from nobody.
    ///
    /// # Errors
    /// See [`SendError`].
    pub fn send(&self, to: Handle, kind: MessageKind, payload: impl Into<Payload>) -> Result<(), SendError> {
        self.node.deliver(to, Message::new(Handle::NONE, kind, payload))
    }

    /// Sends a request of kind [`MessageKind::LUA`] and waits for its answer. It always comes: where a service ends
    /// before it answers, the answer is [`CallError::Failed`]; a service that works for ever is waited for for ever,
    /// so see [`Runtime::call_within`].
    ///
    /// Must not be used on a worker thread, in a service: it would hold the worker.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call(&self, to: Handle, payload: impl Into<Payload>) -> Result<Payload, CallError> {
        let (_, answers) = self.ask(to, MessageKind::LUA, payload.into())?;
        answers.recv().map_err(|_| CallError::Stopping)?.ok_or(CallError::Failed(to))
    }

    /// The same with any kind and a limit of time.
    ///
    /// # Errors
    /// See [`CallError`].
    pub fn call_within(
        &self,
        limit: Duration,
        to: Handle,
        kind: MessageKind,
        payload: impl Into<Payload>,
    ) -> Result<Payload, CallError> {
        let (asker, answers) = self.ask(to, kind, payload.into())?;
        match answers.recv_timeout(limit) {
            Ok(answer) => answer.ok_or(CallError::Failed(to)),
            Err(RecvTimeoutError::Timeout) => {
                // The answer may never come: nobody is to wait for it.
                self.node.kill(asker);
                Err(CallError::TimedOut { to, limit })
            }
            Err(RecvTimeoutError::Disconnected) => Err(CallError::Stopping),
        }
    }

    fn ask(
        &self,
        to: Handle,
        kind: MessageKind,
        payload: Payload,
    ) -> Result<(Handle, Receiver<Option<Payload>>), CallError> {
        let (answer, answers) = sync_channel(1);
        let asker = Asker { request: Some((to, kind, payload)), answer };
        let newcomer = Newcomer { service: Box::new(asker), kind: NewcomerKind::Hidden };
        match self.node.launch_service("call", "", newcomer) {
            Ok(asker) => Ok((asker, answers)),
            Err(LaunchError::Init { why, .. }) => match why.downcast::<SendError>() {
                Ok(why) => Err(CallError::Send(*why)),
                Err(_) => Err(CallError::Failed(to)),
            },
            Err(_) => Err(CallError::Stopping),
        }
    }

    /// Who has a local name, such as `.launcher`.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<Handle> {
        self.node.find_name(name.strip_prefix('.')?)
    }

    /// Ends a service; false where there is none.
    pub fn kill(&self, handle: Handle) -> bool {
        self.node.kill(handle)
    }

    /// What the node's environment says about a key.
    #[must_use]
    pub fn env(&self, key: &str) -> Option<String> {
        Host::env(&*self.node, key)
    }

    /// The figures of a service.
    #[must_use]
    pub fn stat(&self, handle: Handle) -> Option<Stat> {
        self.node.stat(handle)
    }

    /// All services with their figures.
    #[must_use]
    pub fn services(&self) -> Vec<(Handle, Stat)> {
        self.node.services()
    }

    /// Has the log service open its file anew, after the file was moved away.
    pub fn reopen_log(&self) {
        self.node.reopen_log();
    }

    /// Waits until all services have ended, as after `skynet.abort()`.
    pub fn wait(&self) {
        self.node.wait(None);
    }

    /// Waits for that no longer than `limit`; true if it is so.
    #[must_use]
    pub fn wait_within(&self, limit: Duration) -> bool {
        self.node.wait(Some(limit))
    }

    /// Tells every service, lets the mailboxes drain for up to the config's `shutdown_grace` (5 s), ends all services
    /// with the log service last, and waits for it.
    pub fn shutdown(&self) {
        self.node.shut_down(self.grace);
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.node.abort();
        // A service in an endless loop holds its worker: do not wait for it for ever.
        let ended = self.node.wait(Some(Duration::from_secs(10)));
        self.node.stop(ended);
    }
}

/// The service behind a call from outside.
struct Asker {
    request: Option<(Handle, MessageKind, Payload)>,
    /// Nothing stands for an error.
    answer: SyncSender<Option<Payload>>,
}

impl Service for Asker {
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        if let Some((to, kind, payload)) = self.request.take() {
            ctx.request(to, kind, payload)?;
        }
        Ok(())
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        if message.kind.is_answer() {
            let is_error = message.kind == MessageKind::ERROR;
            // The one who asked may have given up.
            let _ = self.answer.try_send((!is_error).then_some(message.payload));
            ctx.leave();
        }
        Ok(())
    }
}

/// Reads a config as the program would, and tells what is wrong with it: see [`Config::check`].
#[must_use]
pub fn check(config: &Config) -> Vec<crate::check::Finding> {
    let natives = native::modules();
    let names: Vec<&str> = natives.keys().map(String::as_str).collect();
    config.check(&names, |script| crate::lua::embedded::find(&format!("service/{script}.lua")).is_some())
}
