//! Acknowledgements that wait to be sent: handled ids that are still on the worker's processing list.
//!
//! The receiver sends them with its next command (docs/contracts/jobs.md 2b.6). While it may be blocked or has failed,
//! a separate task sends them on the shared connection. An id counts as received until Redis has dropped it, so that
//! [`Receiver`](super::receiver::Receiver) does not take it for a new one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::jobs::failpoint::Failpoints;
use crate::jobs::lane::Lane;
use crate::jobs::run::inflight::InFlight;
use crate::kernel::{Backoff, OperationId};

const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5));

#[derive(Default)]
struct State {
    waiting: Vec<OperationId>,
    /// Whether the receiver is about to send them, so that the task need not.
    receiver_comes: bool,
}

/// The acknowledgements of one worker. The lock is never held across an await.
pub(super) struct Acks {
    lane: Lane,
    inflight: InFlight,
    failpoints: Failpoints,
    state: Mutex<State>,
    wake: Notify,
}

impl Acks {
    pub(super) fn new(lane: Lane, inflight: InFlight, failpoints: Failpoints) -> Self {
        Self { lane, inflight, failpoints, state: Mutex::default(), wake: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the acknowledgement of `id`. The caller then frees a place, which wakes a receiver that waits for one.
    pub(super) fn done(&self, id: OperationId) {
        let mut state = self.state();
        state.waiting.push(id);
        if !state.receiver_comes {
            self.wake.notify_one();
        }
    }

    /// Takes all acknowledgements for the receiver to send. `returns` says whether its command returns immediately or
    /// may block.
    pub(super) fn take(&self, returns: bool) -> Vec<OperationId> {
        let mut state = self.state();
        state.receiver_comes = returns;
        std::mem::take(&mut state.waiting)
    }

    /// Records that the receiver will send the next acknowledgement.
    pub(super) fn receiver_is_back(&self) {
        self.state().receiver_comes = true;
    }

    /// Records that the receiver sends no acknowledgements for a while, or has stopped.
    pub(super) fn receiver_is_away(&self) {
        self.state().receiver_comes = false;
        self.wake.notify_one();
    }

    /// Returns `ids`, whose acknowledgement failed.
    pub(super) fn put_back(&self, ids: Vec<OperationId>) {
        self.state().waiting.extend(ids);
    }

    /// Records that `ids` are acknowledged.
    pub(super) async fn dropped(&self, ids: &[OperationId]) {
        for id in ids {
            self.inflight.release(*id);
            self.failpoints.hit("forgotten").await;
        }
    }

    /// Sends the acknowledgements that the receiver does not, until `stop` fires; then tries once to send the rest.
    pub(super) async fn send_until(&self, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            let ids = self.take_left();
            if !ids.is_empty() {
                match self.lane.lists.forget_all(self.lane.queue, self.lane.worker, &ids).await {
                    Ok(()) => {
                        failures = 0;
                        self.dropped(&ids).await;
                    }
                    Err(error) => {
                        tracing::debug!(%error, "{} acknowledgements failed; trying again", ids.len());
                        self.put_back(ids);
                        tokio::select! {
                            () = stop.cancelled() => return,
                            () = tokio::time::sleep(RETRY.jittered(failures)) => {}
                        }
                        failures = failures.saturating_add(1);
                        continue;
                    }
                }
            }
            if stop.is_cancelled() {
                return;
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
            }
        }
    }

    fn take_left(&self) -> Vec<OperationId> {
        let mut state = self.state();
        if state.receiver_comes { Vec::new() } else { std::mem::take(&mut state.waiting) }
    }
}
