//! When each agent is due, as far as this process knows; what is stored in Redis decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kernel::{InstanceId, Timestamp};

/// When each agent is due. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits(Arc<Mutex<BTreeMap<InstanceId, Timestamp>>>);

impl Waits {
    /// Whether the agent of `server` is due, or nothing is known of it.
    pub(super) fn is_due(&self, server: InstanceId, now: Timestamp) -> bool {
        self.lock().get(&server).is_none_or(|at| *at <= now)
    }

    /// Sets when the agent of `server` is due.
    pub(super) fn set(&self, server: InstanceId, at: Option<Timestamp>) {
        match at {
            Some(at) => self.lock().insert(server, at),
            None => self.lock().remove(&server),
        };
    }

    /// Forgets servers that are not in `servers`.
    pub(super) fn retain(&self, servers: &BTreeSet<InstanceId>) {
        self.lock().retain(|server, _| servers.contains(server));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
