//! How services begin and end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::cell::panic_text;
use super::{Cell, Newcomer, NewcomerKind, Node};
use crate::handle::Handle;
use crate::host::{Host, LaunchError};
use crate::message::{Message, MessageKind, Payload};
use crate::remote::ServiceEnded;
use crate::sync::lock;
use crate::table::Addressed;

impl Node {
    /// Launches a service by the name of its module.
    pub(crate) fn launch_module(&self, module: &str, args: &str) -> Result<Handle, LaunchError> {
        let factory =
            self.modules.get(module).ok_or_else(|| LaunchError::UnknownModule(module.to_owned()))?;
        let made = catch_unwind(AssertUnwindSafe(|| factory(args)))
            .unwrap_or_else(|panic| Err(format!("panic: {}", panic_text(&*panic)).into()));
        let fail = |why| LaunchError::Init { module: module.to_owned(), why };
        let newcomer = Newcomer { service: made.map_err(fail)?, kind: NewcomerKind::Named };
        self.launch_service(module, args, newcomer)
    }

    /// Launches a service that is already made.
    pub(crate) fn launch_service(
        &self,
        module: &str,
        args: &str,
        newcomer: Newcomer,
    ) -> Result<Handle, LaunchError> {
        let Newcomer { service, kind } = newcomer;
        let hidden = kind == NewcomerKind::Hidden;
        if self.stopping.load(Ordering::Acquire) && !hidden {
            return Err(LaunchError::Stopping);
        }
        let node = self.me.upgrade().ok_or(LaunchError::Stopping)?;
        if !hidden {
            self.services.fetch_add(1, Ordering::AcqRel);
        }
        let inserted = self.table.insert(|handle| Arc::new(Cell::new(node, handle, service, kind)));
        let cell = inserted.inspect_err(|_| self.count_down(hidden))?;
        let handle = cell.handle();
        if let Err(why) = cell.init() {
            if kind == NewcomerKind::Named {
                // Matched by log readers: keep the words.
                self.log(handle, format!("error: launch {module} FAILED").as_bytes());
            }
            self.table.remove(handle);
            self.names.remove(handle);
            cell.discard();
            return Err(LaunchError::Init { module: module.to_owned(), why });
        }
        // The log service itself comes before there is a log.
        if kind == NewcomerKind::Named && !self.logger().is_none() {
            // Matched by log readers: keep the words.
            let line =
                if args.is_empty() { format!("LAUNCH {module}") } else { format!("LAUNCH {module} {args}") };
            self.log(handle, line.as_bytes());
        }
        cell.open();
        // A node that began to stop between the check above and the insertion has not seen this service.
        if self.stopping.load(Ordering::Acquire) && !hidden {
            self.retire(handle);
        }
        Ok(handle)
    }

    /// Takes a service out of the table and asks for its end.
    pub(super) fn retire(&self, handle: Handle) -> bool {
        let Some(cell) = self.table.remove(handle) else { return false };
        if cell.is_named() {
            self.names.remove(handle);
        }
        let is_seen = cell.kind != NewcomerKind::Hidden;
        if let Some(monitor) = self.exit_monitor().filter(|monitor| *monitor != handle && is_seen) {
            let _ = self.deliver(monitor, Message::new(handle, MessageKind::CLIENT, Payload::empty()));
        }
        if cell.is_told() {
            let harbor = Handle::from_u32(self.harbor_service.load(Ordering::Acquire));
            let ended = Message::new(handle, MessageKind::SYSTEM, Payload::typed(ServiceEnded));
            let _ = self.push(harbor, ended, true);
        }
        cell.retire();
        true
    }

    /// Ends all services, the log service last.
    pub(super) fn retire_all(&self) {
        self.stopping.store(true, Ordering::Release);
        let logger = self.logger();
        for cell in self.table.all() {
            if cell.handle() != logger {
                self.retire(cell.handle());
            }
        }
        self.retire_logger_when_alone();
        // A node that never had a service, since its log service did not start.
        if self.services.load(Ordering::Acquire) == 0 {
            self.all_ended();
        }
    }

    /// A service is gone for good.
    pub(super) fn service_ended(&self, cell: &Cell) {
        if let Some(sockets) = self.sockets.get() {
            sockets.close_all(cell.handle());
        }
        if cell.handle() == self.logger() {
            self.logger.store(0, Ordering::Release);
        }
        let none = 0;
        let was_harbor = self
            .harbor_service
            .compare_exchange(cell.handle().as_u32(), none, Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        self.count_down(cell.kind == NewcomerKind::Hidden || was_harbor);
        self.retire_logger_when_alone();
    }

    fn logger(&self) -> Handle {
        Handle::from_u32(self.logger.load(Ordering::Acquire))
    }

    fn count_down(&self, uncounted: bool) {
        if !uncounted && self.services.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.all_ended();
        }
    }

    fn all_ended(&self) {
        *lock(&self.ended.0) = true;
        self.ended.1.notify_all();
    }

    fn retire_logger_when_alone(&self) {
        let logger = self.logger();
        let alone = self.services.load(Ordering::Acquire) <= 1;
        if self.stopping.load(Ordering::Acquire) && alone && !logger.is_none() {
            self.retire(logger);
        }
    }

    /// There is one at a time: what is counted down here is not counted down when it ends.
    pub(super) fn set_harbor(&self, handle: Handle) -> bool {
        let is_first = self
            .harbor_service
            .compare_exchange(0, handle.as_u32(), Ordering::AcqRel, Ordering::Relaxed)
            .is_ok();
        if is_first {
            // The node does not wait for its harbor service.
            self.count_down(false);
        }
        is_first
    }
}
