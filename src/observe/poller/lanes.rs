//! Which agents are asked at a time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::kernel::VmId;

/// The part of the concurrency that silent agents may use, as a divisor.
const SILENT_SHARE: usize = 4;

/// Limits how many agents are asked at a time, and knows which are.
pub(super) struct Lanes {
    pub(super) answering: Arc<Semaphore>,
    pub(super) silent: Arc<Semaphore>,
    in_flight: Arc<Mutex<BTreeSet<VmId>>>,
}

impl Lanes {
    pub(super) fn new(concurrency: usize) -> Self {
        let silent = (concurrency / SILENT_SHARE).max(1);
        Self {
            answering: Arc::new(Semaphore::new(concurrency.saturating_sub(silent).max(1))),
            silent: Arc::new(Semaphore::new(silent)),
            in_flight: Arc::default(),
        }
    }

    /// Marks `vmid` as in flight until the guard is dropped; `None` when it is already.
    pub(super) fn enter(&self, vmid: VmId) -> Option<PollsInFlight> {
        let fresh = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(vmid);
        fresh.then(|| PollsInFlight { vmid, set: self.in_flight.clone() })
    }
}

/// An agent that is being asked or waits for it.
pub(super) struct PollsInFlight {
    vmid: VmId,
    set: Arc<Mutex<BTreeSet<VmId>>>,
}

impl Drop for PollsInFlight {
    fn drop(&mut self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.vmid);
    }
}
