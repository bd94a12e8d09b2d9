//! The one door to locks, atomics and threads: the standard library's, or loom's when a model runs.

#[cfg(loom)]
pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(loom))]
pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, Weak, atomic};
#[cfg(not(loom))]
pub(crate) use std::thread;

/// Locks, also after a panic: what our locks guard is whole between any two statements, and the panic itself
/// has been reported where it was stopped.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Starts a thread of an engine. A panic in it ends the process: a node that has lost an engine looks alive
/// but answers nobody.
///
/// # Errors
/// What the system said where it gives no thread.
#[cfg(not(loom))]
pub(crate) fn spawn_engine(
    name: &str,
    body: impl FnOnce() + Send + 'static,
) -> std::io::Result<thread::JoinHandle<()>> {
    let builder = thread::Builder::new().name(name.to_owned());
    let name = name.to_owned();
    builder.spawn(move || {
        // The panic hook has printed the message and the place by the time this returns.
        if std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).is_err() {
            eprintln!("the engine thread {name:?} panicked: the node cannot go on");
            std::process::abort();
        }
    })
}

/// Wakes one thread, always the same. A ring before the wait is not lost.
///
/// The thread's own parking is one system call less for each side than a condition variable.
#[cfg(not(loom))]
#[derive(Default)]
pub(crate) struct Bell {
    rung: atomic::AtomicBool,
    thread: OnceLock<thread::Thread>,
}

#[cfg(not(loom))]
impl Bell {
    /// The calling thread is the one to wake. Comes before all that may lead to a ring.
    pub(crate) fn claim(&self) {
        let owner = self.thread.get_or_init(thread::current);
        debug_assert_eq!(owner.id(), thread::current().id(), "a bell wakes one thread");
    }

    pub(crate) fn ring(&self) {
        // Pairs with the swap in `wait`.
        self.rung.store(true, atomic::Ordering::Release);
        self.thread.get().expect("a bell is claimed before it is rung").unpark();
    }

    /// Waits for a ring and uses it up.
    pub(crate) fn wait(&self) {
        while !self.rung.swap(false, atomic::Ordering::Acquire) {
            thread::park();
        }
    }
}

/// The same for a model: loom forgets an `unpark` that meets its thread at a lock.
#[cfg(loom)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    sound: Condvar,
}

#[cfg(loom)]
impl Default for Bell {
    fn default() -> Bell {
        Bell { rung: Mutex::new(false), sound: Condvar::new() }
    }
}

#[cfg(loom)]
impl Bell {
    pub(crate) fn claim(&self) {}

    pub(crate) fn ring(&self) {
        *lock(&self.rung) = true;
        self.sound.notify_one();
    }

    pub(crate) fn wait(&self) {
        let mut rung = lock(&self.rung);
        while !std::mem::take(&mut *rung) {
            rung = self.sound.wait(rung).expect("models do not panic");
        }
    }
}
