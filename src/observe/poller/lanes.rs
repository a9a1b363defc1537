//! Bounds how many agents are polled at a time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::kernel::VmId;

/// The divisor of the concurrency that gives the share of unresponsive agents.
const UNRESPONSIVE_SHARE: usize = 4;

/// Bounds concurrent polls, and knows which servers are being polled.
pub(super) struct Lanes {
    pub(super) answering: Arc<Semaphore>,
    pub(super) unresponsive: Arc<Semaphore>,
    in_flight: Arc<Mutex<BTreeSet<VmId>>>,
}

impl Lanes {
    pub(super) fn new(concurrency: usize) -> Self {
        let unresponsive = (concurrency / UNRESPONSIVE_SHARE).max(1);
        Self {
            answering: Arc::new(Semaphore::new(concurrency.saturating_sub(unresponsive).max(1))),
            unresponsive: Arc::new(Semaphore::new(unresponsive)),
            in_flight: Arc::default(),
        }
    }

    /// Marks `vmid` as in flight until the guard is dropped; `None` when it is in flight already.
    pub(super) fn enter(&self, vmid: VmId) -> Option<PollsInFlight> {
        let fresh = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(vmid);
        fresh.then(|| PollsInFlight { vmid, set: self.in_flight.clone() })
    }
}

/// A server that is being polled or waits for its poll.
pub(super) struct PollsInFlight {
    vmid: VmId,
    set: Arc<Mutex<BTreeSet<VmId>>>,
}

impl Drop for PollsInFlight {
    fn drop(&mut self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.vmid);
    }
}
