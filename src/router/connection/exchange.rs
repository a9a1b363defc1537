//! The running requests of a connection, a state shared by its socket and its requests.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::Waker;

/// The requests of one connection. It stays on the thread of its connection.
#[derive(Clone, Debug, Default)]
pub struct Exchange(Rc<State>);

#[derive(Debug, Default)]
struct State {
    running: Cell<u32>,
    ended: Cell<u64>,
    /// How many bytes of the body of the running request may still be read from the socket.
    body: Cell<u64>,
    socket: RefCell<Option<Waker>>,
}

impl Exchange {
    /// Counts a request as running until the returned value is dropped. The request has a body of at most `body` bytes.
    pub(super) fn begin(&self, body: u64) -> Running {
        self.0.running.set(self.0.running.get().saturating_add(1));
        self.0.body.set(body);
        if body > 0 {
            self.0.wake();
        }
        Running(self.clone())
    }

    /// How many requests have ended, or `None` while one is running.
    pub(super) fn ended(&self) -> Option<u64> {
        (self.0.running.get() == 0).then(|| self.0.ended.get())
    }

    /// How many bytes of the body of the running request are still to be read.
    pub(super) fn body(&self) -> u64 {
        self.0.body.get()
    }

    /// Records that `bytes` of the body were read.
    pub(super) fn read(&self, bytes: usize) {
        self.0.body.set(self.0.body.get().saturating_sub(bytes as u64));
    }

    /// Remembers the task to wake when more of the body may be read or the last request ends.
    pub(super) fn wake_later(&self, waker: &Waker) {
        let mut socket = self.0.socket.borrow_mut();
        match socket.as_mut() {
            Some(known) => known.clone_from(waker),
            None => *socket = Some(waker.clone()),
        }
    }
}

impl State {
    fn wake(&self) {
        if let Some(waker) = self.socket.borrow_mut().take() {
            waker.wake();
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
        state.body.set(0);
        state.wake();
    }
}
