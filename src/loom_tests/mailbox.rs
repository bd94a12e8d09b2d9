//! A message that was pushed is run, by exactly one worker at a time.

use std::collections::VecDeque;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::handle::Handle;
use crate::mailbox::Mailbox;
use crate::message::{Message, MessageKind, Payload};

/// A mailbox with its run queue of at most one entry.
struct Model {
    mailbox: Mailbox,
    entries: AtomicUsize,
    seen: AtomicUsize,
}

impl Model {
    fn new() -> Arc<Model> {
        let (entries, seen) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Model { mailbox: Mailbox::new(), entries, seen })
    }

    fn push(&self) {
        let message = Message::new(Handle::NONE, MessageKind::TEXT, Payload::empty());
        if self.mailbox.push(message).expect("it is open").schedule {
            self.schedule();
        }
    }

    fn schedule(&self) {
        assert_eq!(self.entries.fetch_add(1, Ordering::SeqCst), 0, "the mailbox is in the run queue twice");
    }

    /// Runs turns of one message each while there are entries.
    fn work(&self) {
        let mut batch = VecDeque::new();
        while self.entries.compare_exchange(1, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
            self.mailbox.take(&mut batch);
            if batch.pop_front().is_some() {
                self.seen.fetch_add(1, Ordering::SeqCst);
            }
            if self.mailbox.finish(&mut batch) {
                self.schedule();
            }
        }
    }
}

#[test]
fn loom_no_message_is_stranded() {
    loom::model(|| {
        let model = Model::new();
        let senders: Vec<_> = (0..2)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || model.push())
            })
            .collect();
        model.work();
        senders.into_iter().for_each(|sender| sender.join().expect("it only pushes"));
        // No entry was left behind without a worker that will see it.
        model.work();
        assert_eq!(model.seen.load(Ordering::SeqCst), 2);
    });
}

#[test]
fn loom_two_workers_and_a_wake_keep_one_entry() {
    loom::model(|| {
        let model = Model::new();
        model.push();
        let worker = {
            let model = model.clone();
            thread::spawn(move || model.work())
        };
        let waker = {
            let model = model.clone();
            thread::spawn(move || {
                if model.mailbox.wake() {
                    model.schedule();
                }
            })
        };
        model.work();
        worker.join().expect("it keeps to one entry");
        waker.join().expect("it keeps to one entry");
        model.work();
        assert_eq!(model.seen.load(Ordering::SeqCst), 1);
    });
}
