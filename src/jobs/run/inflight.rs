//! The operations that this process owns, shared by the worker and its renewer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::kernel::OperationId;
use crate::kernel::boottime::since_boot;

/// One owned operation.
#[derive(Clone)]
pub(in crate::jobs) struct OwnedOperation {
    pub(in crate::jobs) fence: i64,
    /// The time since boot just before the last successful renewal was sent.
    pub(in crate::jobs) renewed: Duration,
    pub(in crate::jobs) lost: CancellationToken,
    pub(in crate::jobs) cancelled: CancellationToken,
    pub(in crate::jobs) overdue: CancellationToken,
    /// How long it may run before it is overdue.
    pub(in crate::jobs) stop_after: Duration,
}

#[derive(Default)]
struct State {
    /// Ids that were received and are not acknowledged or handed back yet, owned or not.
    received: BTreeSet<OperationId>,
    owned: BTreeMap<OperationId, OwnedOperation>,
}

/// Cheap to clone; the lock is never held across an await.
#[derive(Clone, Default)]
pub(in crate::jobs) struct InFlight {
    state: Arc<Mutex<State>>,
}

impl InFlight {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that `id` was received. Returns false if it is being handled already.
    pub(in crate::jobs) fn receive(&self, id: OperationId) -> bool {
        self.state().received.insert(id)
    }

    pub(in crate::jobs) fn is_received(&self, id: OperationId) -> bool {
        self.state().received.contains(&id)
    }

    /// Removes `id`.
    pub(in crate::jobs) fn release(&self, id: OperationId) {
        let mut state = self.state();
        state.received.remove(&id);
        state.owned.remove(&id);
    }

    /// Ends the ownership of `id`: its lease is not renewed any more. It stays received until it is acknowledged.
    pub(in crate::jobs) fn release_ownership(&self, id: OperationId) {
        self.state().owned.remove(&id);
    }

    /// Records a claim whose request was sent at `claimed` since boot; the operation is overdue `stop_after` later.
    pub(in crate::jobs) fn own(
        &self,
        id: OperationId,
        fence: i64,
        claimed: Duration,
        stop_after: Duration,
    ) -> OwnedOperation {
        let owned = OwnedOperation {
            fence,
            renewed: claimed,
            lost: CancellationToken::new(),
            cancelled: CancellationToken::new(),
            overdue: CancellationToken::new(),
            stop_after,
        };
        self.state().owned.insert(id, owned.clone());
        owned
    }

    pub(in crate::jobs) fn owned(&self) -> Vec<(OperationId, OwnedOperation)> {
        self.state().owned.iter().map(|(id, owned)| (*id, owned.clone())).collect()
    }

    pub(in crate::jobs) fn is_owned(&self, id: OperationId) -> bool {
        self.state().owned.contains_key(&id)
    }

    pub(in crate::jobs) fn renewed(&self, id: OperationId, at: Duration) {
        if let Some(owned) = self.state().owned.get_mut(&id) {
            owned.renewed = at;
        }
    }

    /// Whether `id` is owned by this process and its lease was renewed less than `limit` ago.
    pub(in crate::jobs) fn is_held(&self, id: OperationId, limit: Duration) -> bool {
        let owned = self.state().owned.get(&id).cloned();
        owned.is_some_and(|owned| !owned.lost.is_cancelled() && since_boot().saturating_sub(owned.renewed) < limit)
    }

    /// Stops the operations whose lease has not been renewed for `limit`, since other workers may claim them soon.
    /// Returns how many.
    pub(in crate::jobs) fn fence_overdue(&self, limit: Duration) -> u64 {
        let now = since_boot();
        let mut fenced = 0;
        for (id, owned) in self.owned() {
            if now.saturating_sub(owned.renewed) >= limit && !owned.lost.is_cancelled() {
                tracing::warn!(operation.id = %id, "the lease of {id} could not be renewed in time; stopping its job");
                owned.lost.cancel();
                fenced += 1;
            }
        }
        fenced
    }
}
