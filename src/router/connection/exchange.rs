//! Whether requests of a connection are running, shared between its socket and its requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

/// The requests of one connection. It stays on the thread of the connection.
#[derive(Clone, Debug, Default)]
pub struct Exchange(Rc<State>);

#[derive(Debug, Default)]
struct State {
    running: Cell<u32>,
    ended: Cell<u64>,
    socket: RefCell<Option<Waker>>,
}

impl Exchange {
    /// Counts a request as running until the answer of this call is dropped.
    pub(super) fn begin(&self) -> Running {
        self.0.running.set(self.0.running.get().saturating_add(1));
        Running(self.clone())
    }

    /// How many requests have ended; `None` while one is running.
    pub(super) fn ended(&self) -> Option<u64> {
        (self.0.running.get() == 0).then(|| self.0.ended.get())
    }

    /// Remembers what to wake when the last request ends.
    pub(super) fn wake_later(&self, waker: &Waker) {
        let mut socket = self.0.socket.borrow_mut();
        match socket.as_mut() {
            Some(known) => known.clone_from(waker),
            None => *socket = Some(waker.clone()),
        }
    }
}

/// A running request.
#[derive(Debug)]
pub(super) struct Running(Exchange);

impl Drop for Running {
    fn drop(&mut self) {
        let state = &self.0.0;
        state.running.set(state.running.get().saturating_sub(1));
        state.ended.set(state.ended.get().wrapping_add(1));
        if let Some(waker) = state.socket.borrow_mut().take() {
            waker.wake();
        }
    }
}
