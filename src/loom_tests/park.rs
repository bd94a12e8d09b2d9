//! Work that was added while workers fall asleep is found by one of them.
//!
//! The queue is a counter here; what is modelled is the order of adding, announcing, looking again and
//! waking.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

use crate::sched::park::Park;
use crate::sync::Bell;

struct Model {
    park: Park,
    work: AtomicUsize,
    done: AtomicUsize,
    wanted: usize,
}

impl Model {
    fn new(workers: usize, wanted: usize) -> Arc<Model> {
        let (work, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Arc::new(Model { park: Park::new(workers), work, done, wanted })
    }

    fn add(&self) {
        // As weak as the queues are: the fence of `wake_one` has to do the rest.
        self.work.fetch_add(1, Ordering::Release);
        self.park.wake_one();
    }

    fn take(&self) -> bool {
        let work = self.work.load(Ordering::Acquire);
        work > 0 && self.work.compare_exchange(work, work - 1, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn has_work(&self) -> bool {
        self.work.load(Ordering::Acquire) > 0
    }

    /// The worker's loop until all that is wanted is done; if a wake-up were lost it would sleep for ever,
    /// which loom reports as a deadlock.
    fn run(&self, seat: usize) {
        let mut searching = false;
        while self.done.load(Ordering::SeqCst) < self.wanted {
            if !searching {
                searching = self.park.search(1);
            }
            if self.take() {
                if std::mem::take(&mut searching) && self.park.found() && self.has_work() {
                    self.park.wake_one();
                }
                if self.done.fetch_add(1, Ordering::SeqCst) + 1 == self.wanted {
                    self.park.wake_all();
                }
                continue;
            }
            self.park.announce(seat, searching);
            // The end is looked for like work: `wake_all` may have come before the announcement.
            if self.has_work() || self.done.load(Ordering::SeqCst) == self.wanted {
                self.park.cancel(seat);
            } else {
                self.park.wait(seat);
            }
            searching = true;
        }
    }
}

fn model(workers: usize, tasks: usize, preemptions: usize) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(move || {
        let model = Model::new(workers, tasks);
        let workers: Vec<_> = (0..workers)
            .map(|seat| {
                let model = model.clone();
                thread::spawn(move || model.run(seat))
            })
            .collect();
        (0..tasks).for_each(|_| model.add());
        workers.into_iter().for_each(|worker| worker.join().expect("it only works"));
        assert_eq!(model.done.load(Ordering::SeqCst), tasks);
    });
}

#[test]
fn loom_a_worker_that_falls_asleep_sees_new_work() {
    model(1, 2, 4);
}

#[test]
fn loom_one_of_two_workers_finds_the_work() {
    model(2, 2, 2);
}

#[test]
fn loom_a_worker_off_duty_comes_back() {
    loom::model(|| {
        let (park, left) = (Arc::new(Park::new(1)), Arc::new(Bell::default()));
        let worker = {
            let (park, left) = (park.clone(), left.clone());
            thread::spawn(move || {
                park.leave(0);
                left.ring();
                park.wait(0);
            })
        };
        left.wait();
        assert!(park.recall() && !park.recall());
        worker.join().expect("it only waits");
    });
}
