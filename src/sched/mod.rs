//! The scheduler: which task runs when, and on which worker.
//!
//! The node schedules a task when its mailbox says so; a worker runs it for a turn and puts it at its tail
//! while more is waiting. The scheduler knows [`Task`]s, not services.
//!
//! - `task.rs`: what a worker knows of a service.
//! - `worker.rs`: the loop.
//! - `runqueue.rs`: the deques, and who takes from whom.
//! - `park.rs`: sleeping and waking.
//! - `guest.rs`: a thread of another engine that runs tasks between its own work.
//! - `monitor.rs`: turns that do not end, spare workers; `alarm.rs`: what it sleeps on.
//!
//! # Waking
//!
//! A task from outside wakes a worker unless one is looking for work. A task that a worker makes ready goes
//! to that worker's own deque, and wakes another one only when two or more wait there: the partner of a
//! conversation is better served by the same worker a moment later than by another one after a wake-up.

pub(crate) mod park;

#[cfg(not(loom))]
mod alarm;
#[cfg(not(loom))]
mod guest;
#[cfg(not(loom))]
mod monitor;
#[cfg(not(loom))]
mod runqueue;
#[cfg(not(loom))]
mod scheduler;
#[cfg(not(loom))]
mod task;
#[cfg(not(loom))]
mod worker;

#[cfg(not(loom))]
pub(crate) use self::monitor::{Stuck, Watcher};
#[cfg(not(loom))]
use self::scheduler::Shared;
#[cfg(not(loom))]
pub(crate) use self::scheduler::{Options, Scheduler};
#[cfg(not(loom))]
pub(crate) use self::task::Task;
#[cfg(not(loom))]
pub(crate) use self::worker::Turn;
