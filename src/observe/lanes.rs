//! Bounds how many servers are asked at a time.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::kernel::VmId;

/// The divisor of the concurrency that gives the share of servers that did not answer the last time.
const UNRESPONSIVE_SHARE: usize = 4;

/// Bounds concurrent questions, and knows which servers are being asked. Servers that did not answer the last time have a
/// smaller share of their own, so that they cannot delay the others.
pub(super) struct Lanes {
    answering: Arc<Semaphore>,
    unresponsive: Arc<Semaphore>,
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

    /// The share of a server that answered the last time, or did not.
    pub(super) fn share(&self, answers: bool) -> Arc<Semaphore> {
        if answers { self.answering.clone() } else { self.unresponsive.clone() }
    }

    /// Marks `vmid` as in flight until the guard is dropped; `None` when it is in flight already.
    pub(super) fn enter(&self, vmid: VmId) -> Option<InFlight> {
        let fresh = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(vmid);
        fresh.then(|| InFlight { vmid, set: self.in_flight.clone() })
    }
}

/// A server that is being asked or waits for its turn.
pub(super) struct InFlight {
    vmid: VmId,
    set: Arc<Mutex<BTreeSet<VmId>>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.vmid);
    }
}
