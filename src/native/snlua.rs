//! [`Snlua`]: the service that runs a Lua script: `snlua <script> <words...>`.
#![allow(unsafe_code)] // It owns a VM, and gives the kernel to its functions.

use std::sync::Arc;

use crate::context::Context;
use crate::lua::interrupt::Reach;
use crate::lua::kernel::{Kernel, Mode};
use crate::lua::loader::{self, Paths};
use crate::lua::vm::Vm;
use crate::message::{Message, MessageKind};
use crate::service::{Service, ServiceError, Signals};

/// A Lua service. Its state is made with the first message, which it sends itself, so that a worker does the work and
/// not whoever launches it.
pub(super) struct Snlua {
    args: String,
    reach: Arc<Reach>,
    vm: Option<Vm>,
}

impl Snlua {
    pub(super) fn new(args: &str) -> Snlua {
        Snlua { args: args.to_owned(), reach: Arc::new(Reach::new()), vm: None }
    }

    /// Runs the script; whether it asked for messages.
    fn load(&mut self, ctx: &mut Context<'_>) -> Result<bool, Vec<u8>> {
        let paths = Paths::read(|key| ctx.env(key));
        let seed = crate::random::seed();
        let vm = Vm::new(Arc::clone(&self.reach), seed).map_err(|error| error.to_string().into_bytes())?;
        let kernel = self.vm.insert(vm).kernel();
        let args = std::mem::take(&mut self.args);
        Self::seated(kernel, ctx, |kernel| {
            // SAFETY: the kernel is this service's, and the service has its turn.
            unsafe { loader::run(kernel, &args, paths).map(|()| (*kernel).mode != Mode::Deaf) }
        })
    }

    fn tell_of_failure(ctx: &mut Context<'_>) {
        if let Some(launcher) = ctx.query(".launcher") {
            let _ = ctx.send(launcher, MessageKind::TEXT, "ERROR");
        }
    }

    fn seated<R>(kernel: *mut Kernel, ctx: &mut Context<'_>, work: impl FnOnce(*mut Kernel) -> R) -> R {
        // SAFETY: the kernel is that of the service's VM, and the service has its turn.
        unsafe { Kernel::seated(kernel, ctx, work) }
    }
}

impl Service for Snlua {
    fn init(&mut self, ctx: &mut Context<'_>) -> Result<(), ServiceError> {
        Ok(ctx.send(ctx.handle(), MessageKind::TEXT, ())?)
    }

    fn handle(&mut self, ctx: &mut Context<'_>, message: Message) -> Result<(), ServiceError> {
        let reach = Arc::clone(&self.reach);
        let _dispatch = reach.begin();
        let Some(vm) = &mut self.vm else {
            match self.load(ctx) {
                Ok(true) => {}
                Ok(false) => {
                    // Nothing can reach it any more, but what it has made may be of use: it stays.
                    ctx.log("error: the script ended without a call of skynet.start: it gets no messages");
                    Self::tell_of_failure(ctx);
                }
                Err(text) => {
                    ctx.log(text);
                    Self::tell_of_failure(ctx);
                    ctx.exit();
                }
            }
            return Ok(());
        };
        let kernel = vm.kernel();
        Self::seated(kernel, ctx, |kernel| {
            // SAFETY: as in `load`.
            unsafe { Kernel::handle_message(kernel, message) }
        });
        Ok(())
    }

    /// The kernel knows which requests are open; a dispatcher in Lua keeps its own book, and gets the engine's too.
    fn engine_tracks_requests(&self) -> bool {
        false
    }

    fn exit(&mut self, ctx: &mut Context<'_>) {
        let reach = Arc::clone(&self.reach);
        let _dispatch = reach.begin();
        let Some(mut vm) = self.vm.take() else { return };
        let kernel = vm.kernel();
        Self::seated(kernel, ctx, |kernel| {
            // SAFETY: as in `load`.
            unsafe {
                (*kernel).exiting = true;
                for origin in (*kernel).take_open_requests() {
                    (*kernel).refuse(origin);
                }
            }
            // Finalizers run now, with the node still within reach.
            drop(vm);
        });
    }

    fn signals(&self) -> Option<Arc<dyn Signals>> {
        Some(Arc::clone(&self.reach) as Arc<dyn Signals>)
    }
}
