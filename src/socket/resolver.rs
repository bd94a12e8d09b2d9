//! [`Resolver`]: a few threads that look names up, so that nobody else waits for a name server.
//!
//! They are started when names come, and stay. One that hangs in the system's resolver is left behind at the end.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use super::address::lookup;
use crate::sync::{Arc, Condvar, Mutex, lock, spawn_engine};

/// So many names are looked up at once.
const THREADS_MAX: usize = 4;

/// Hands the answer on.
type Answer = Box<dyn FnOnce(io::Result<Vec<SocketAddr>>) + Send>;

#[derive(Default)]
pub(super) struct Resolver(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    /// It cannot outgrow the sockets: each job is for one that connects.
    jobs: VecDeque<(String, u16, Answer)>,
    threads: usize,
    idle: usize,
    stopped: bool,
}

impl Resolver {
    /// Looks the host up and calls `answer` on another thread; never after [`Resolver::stop`].
    pub(super) fn submit(&self, host: String, port: u16, answer: Answer) {
        let mut state = lock(&self.0.state);
        if state.stopped {
            return;
        }
        state.jobs.push_back((host, port, answer));
        if state.jobs.len() <= state.idle || state.threads == THREADS_MAX {
            drop(state);
            self.0.bell.notify_one();
            return;
        }
        let shared = self.0.clone();
        match spawn_engine("resolver", move || shared.run()) {
            Ok(_) => state.threads += 1,
            // The others will come to it.
            Err(_) if state.threads > 0 => {}
            Err(error) => {
                let job = state.jobs.pop_back();
                drop(state);
                if let Some((_, _, answer)) = job {
                    answer(Err(error));
                }
            }
        }
    }

    /// Forgets what waits and lets the threads end.
    pub(super) fn stop(&self) {
        let jobs = {
            let mut state = lock(&self.0.state);
            state.stopped = true;
            std::mem::take(&mut state.jobs)
        };
        drop(jobs);
        self.0.bell.notify_all();
    }
}

impl Shared {
    fn run(&self) {
        let mut state = lock(&self.state);
        while !state.stopped {
            let Some((host, port, answer)) = state.jobs.pop_front() else {
                state.idle += 1;
                state = self.bell.wait(state).unwrap_or_else(std::sync::PoisonError::into_inner);
                state.idle -= 1;
                continue;
            };
            drop(state);
            answer(lookup(&host, port));
            state = lock(&self.state);
        }
    }
}
