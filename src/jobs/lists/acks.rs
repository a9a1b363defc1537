//! Ids that are done with, until Redis has dropped them from the own list.
//!
//! The receiver takes them along on its next trip (docs/contracts/jobs.md 2b.6); while it may be blocked, or is away, a
//! task of their own sends them on the shared connection. An id counts as received until it is dropped, so that no
//! reconcile takes it for new.

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
    /// Whether the receiver comes by at once, so that nobody else need send them.
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

    /// Notes that `id` is done with. Whoever calls this wakes the receiver afterwards, if it waits for a free place.
    pub(super) fn done(&self, id: OperationId) {
        let mut state = self.state();
        state.waiting.push(id);
        if !state.receiver_comes {
            self.wake.notify_one();
        }
    }

    /// What the receiver takes along, and whether it `returns` at once or may be blocked.
    pub(super) fn take(&self, returns: bool) -> Vec<OperationId> {
        let mut state = self.state();
        state.receiver_comes = returns;
        std::mem::take(&mut state.waiting)
    }

    /// The receiver is back, and comes again as soon as one more id is done with.
    pub(super) fn receiver_is_back(&self) {
        self.state().receiver_comes = true;
    }

    /// The receiver does not come for a while, or never again.
    pub(super) fn receiver_is_away(&self) {
        self.state().receiver_comes = false;
        self.wake.notify_one();
    }

    /// `ids` could not be dropped: they wait again.
    pub(super) fn put_back(&self, ids: Vec<OperationId>) {
        self.state().waiting.extend(ids);
    }

    /// `ids` are dropped.
    pub(super) async fn dropped(&self, ids: &[OperationId]) {
        for id in ids {
            self.inflight.release(*id);
            self.failpoints.hit("forgotten").await;
        }
    }

    /// Sends what the receiver does not take, until `stop` fires; then what is left, once.
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
                        tracing::debug!(%error, "{} ids stay on the list for now", ids.len());
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
