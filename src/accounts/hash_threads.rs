//! The threads that hash passwords: a fixed number, each with memory of its own.
//!
//! Threads of a pool that grows would each leave 19 MiB with the allocator, which keeps them.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io, thread};

use super::password_hash::Memory;

/// A thread without work gives its memory back after this time.
const IDLE: Duration = Duration::from_secs(10);

type Work = Box<dyn FnOnce(&mut Memory) + Send>;

/// The threads. They end when it is dropped, and finish what waits before.
pub struct HashThreads(Arc<Queue>);

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Work>,
    is_closed: bool,
}

impl HashThreads {
    /// Starts `count` of them.
    pub fn start(count: usize) -> io::Result<Self> {
        let threads = Self(Arc::default());
        for number in 1..=count {
            let queue = threads.0.clone();
            thread::Builder::new().name(format!("password-{number}")).spawn(move || queue.serve())?;
        }
        Ok(threads)
    }

    /// Runs `work` when a thread is free. The caller bounds how much waits.
    pub fn run(&self, work: impl FnOnce(&mut Memory) + Send + 'static) {
        self.0.state().waiting.push_back(Box::new(work));
        self.0.changed.notify_one();
    }
}

impl Drop for HashThreads {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.changed.notify_all();
    }
}

impl fmt::Debug for HashThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HashThreads").finish_non_exhaustive()
    }
}

impl Queue {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(&self) {
        let mut memory = Memory::default();
        while let Some(work) = self.next(&mut memory) {
            // A panic costs the one who waits for this hash, not the thread.
            if catch_unwind(AssertUnwindSafe(|| work(&mut memory))).is_err() {
                memory.release();
            }
        }
    }

    /// The next work; `None` when the queue is closed and empty.
    fn next(&self, memory: &mut Memory) -> Option<Work> {
        let mut state = self.state();
        loop {
            if let Some(work) = state.waiting.pop_front() {
                return Some(work);
            }
            if state.is_closed {
                return None;
            }
            let (changed, waited) = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            state = changed;
            if waited.timed_out() && state.waiting.is_empty() {
                memory.release();
            }
        }
    }
}
