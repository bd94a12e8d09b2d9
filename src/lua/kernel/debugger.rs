//! [`Debugged`]: a service under a debugger, which stands still while one of its coroutines is stopped between two lines.
//!
//! Code between two points of suspension counts on nothing else running in the service. So when a hook stops a
//! coroutine in the middle, the rest of the service must not go on: messages are held back, woken coroutines and forks
//! wait. What passes is what the debugger itself waits for, and the debug protocol. The worker is free meanwhile, and
//! other services do not notice.
//!
//! A stop is a yield from a hook (`modules/skynet_debugchannel.rs`), which says so by `stopping`; `resume` then asks
//! here. `go_on` lets the coroutine run to its end, its next point of suspension or its next stop; then come the
//! messages that were held back.

use std::collections::VecDeque;

use super::task::TaskPtr;
use super::{Current, Delivery, Kernel, Waiter};
use crate::lua::raw::ffi;
use crate::message::{Message, MessageKind, Origin, Payload, Session};
use crate::socket::SocketEvent;

/// Messages that are held back, at the most: then the coroutine goes on, as if nobody debugged it.
const HELD_MAX: usize = 16384;

/// A coroutine that a hook has stopped, with what the kernel knows of the message that it works on.
struct Stop {
    task: TaskPtr,
    current: Current,
    delivery: Delivery,
    pending: Payload,
    event: *mut SocketEvent,
}

/// What a service has that somebody debugs.
#[derive(Default)]
pub(crate) struct Debugged {
    /// The coroutine that speaks with the console.
    debugger: Option<TaskPtr>,
    stop: Option<Stop>,
    /// A coroutine that may go on, as soon as the debugger suspends.
    released: Option<Stop>,
    held: VecDeque<Message>,
    /// Bytes of messages that whoever called the dispatcher owns: a stopped handler may still point to them.
    borrowed: Vec<Payload>,
}

impl Kernel {
    fn debugged(&mut self) -> &mut Debugged {
        self.debugged.get_or_insert_default()
    }

    #[inline]
    pub(crate) fn is_debugged(&self) -> bool {
        self.debugged.is_some()
    }

    /// Says which coroutine debugs the service, if one does.
    pub(crate) fn set_debugger(&mut self, task: Option<TaskPtr>) {
        self.debugged().debugger = task;
    }

    pub(crate) fn stopped_task(&self) -> Option<TaskPtr> {
        self.debugged.as_ref()?.stop.as_ref().map(|stop| stop.task)
    }

    /// The message, if it may be handled now; else it is held back.
    #[cold]
    pub(crate) unsafe fn unless_held(kernel: *mut Kernel, message: Message) -> Option<Message> {
        if (*kernel).passes(&message) {
            return Some(message);
        }
        (*kernel).debugged().held.push_back(message);
        if (*kernel).debugged().held.len() >= HELD_MAX {
            (*kernel).log(format!("debugger: {HELD_MAX} messages wait, so the stopped coroutine goes on"));
            if let Some(task) = (*kernel).stopped_task() {
                ffi::lua_sethook(task.state(), None, 0, 0);
            }
            (*kernel).go_on();
            Kernel::settle(kernel);
        }
        None
    }

    fn passes(&self, message: &Message) -> bool {
        match message.kind {
            _ if !self.stopped => true,
            MessageKind::DEBUG => true,
            MessageKind::RESPONSE | MessageKind::ERROR => self.is_debuggers(Session::number(message.session)),
            _ => false,
        }
    }

    /// Whether the debugger waits for this session.
    fn is_debuggers(&self, session: i32) -> bool {
        let debugger = self.debugged.as_ref().and_then(|debugged| debugged.debugger);
        match self.sessions.get(&session) {
            Some(Waiter::Call(task, _) | Waiter::Sleep(task) | Waiter::Wait(task)) => Some(*task) == debugger,
            _ => false,
        }
    }

    /// The next of the messages that were held back.
    pub(crate) fn next_held(&mut self) -> Option<Message> {
        if self.stopped {
            return None;
        }
        self.debugged.as_mut()?.held.pop_front()
    }

    pub(crate) fn held_len(&self) -> usize {
        self.debugged.as_ref().map_or(0, |debugged| debugged.held.len())
    }

    /// Those whose requests are held back.
    pub(crate) fn take_held_requests(&mut self) -> Vec<Origin> {
        let held = self.debugged.as_mut().map(|debugged| std::mem::take(&mut debugged.held));
        let requests = held.into_iter().flatten();
        requests
            .filter(|message| message.kind != MessageKind::RESPONSE && message.kind != MessageKind::ERROR)
            .map(|message| message.origin())
            .collect()
    }

    /// The running coroutine has been stopped by its hook, and yields.
    pub(crate) unsafe fn stop(kernel: *mut Kernel, task: TaskPtr) {
        (*kernel).stopping = false;
        (*kernel).stopped = true;
        let (current, delivery) = ((*kernel).current, (*kernel).delivery);
        let pending = std::mem::take(&mut (*kernel).pending);
        // It lies in the payload, which stays: in `pending`, or in `borrowed`.
        let event = std::mem::replace(&mut (*kernel).event, std::ptr::null_mut());
        (*kernel).debugged().stop = Some(Stop { task, current, delivery, pending, event });
    }

    /// The stopped coroutine goes on when the running one suspends.
    pub(crate) fn go_on(&mut self) -> bool {
        let stop = self.debugged().stop.take();
        self.stopped &= stop.is_none();
        let there = stop.is_some();
        if there {
            self.debugged().released = stop;
        }
        there
    }

    /// The stopped coroutine, which is about to be closed.
    pub(crate) fn take_stopped(&mut self) -> Option<TaskPtr> {
        let debugged = self.debugged.as_mut()?;
        let stop = debugged.stop.take().or_else(|| debugged.released.take())?;
        self.stopped = false;
        Some(stop.task)
    }

    /// Runs the coroutine that was let go, if there is one.
    pub(crate) unsafe fn run_released(kernel: *mut Kernel) {
        let Some(stop) = (*kernel).debugged.as_mut().and_then(|debugged| debugged.released.take()) else {
            return;
        };
        let Stop { task, current, delivery, pending, event } = stop;
        let outer = std::mem::replace(&mut (*kernel).current, current);
        (*kernel).delivery = delivery;
        (*kernel).pending = pending;
        (*kernel).event = event;
        Kernel::resume(kernel, task, 0);
        (*kernel).current = outer;
        if !(*kernel).stopped {
            (*kernel).debugged().borrowed.clear();
        }
    }

    /// The next session to wake among those that may go on: any, or only the debugger's.
    pub(crate) fn next_of(&mut self, list: fn(&mut Kernel) -> &mut VecDeque<i32>) -> Option<i32> {
        if !self.stopped {
            return list(self).pop_front();
        }
        let sessions: Vec<i32> = list(self).iter().copied().collect();
        let place = sessions.into_iter().position(|session| self.is_debuggers(session))?;
        list(self).remove(place)
    }

    /// The caller of the dispatcher is done with a payload that it has lent.
    pub(crate) fn give_back(&mut self, payload: Payload) {
        if self.stopped {
            self.debugged().borrowed.push(payload);
        }
    }

    /// Nothing may name a task that has ended.
    pub(crate) fn forget_debugger(&mut self, task: TaskPtr) {
        if let Some(debugged) = &mut self.debugged
            && debugged.debugger == Some(task)
        {
            debugged.debugger = None;
        }
    }
}
