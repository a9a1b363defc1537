//! The file lock of each container's configuration: most calls hold it for a moment, tasks hold it until they end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::OwnedMutexGuard;

use crate::sim::core::TimeScale;

/// How long a caller waits for the lock, in simulated time.
const WAIT: Duration = Duration::from_secs(10);

/// Above this many locks, those that are not held are dropped: a lock is created for every VMID that is requested.
const MOST_IDLE: usize = 1000;

/// The locks of all containers.
pub struct Flocks {
    scale: TimeScale,
    locks: Mutex<HashMap<u32, Arc<tokio::sync::Mutex<()>>>>,
}

/// The lock was not free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("can't lock file '/run/lock/lxc/pve-config-{0}.lock' - got timeout")]
pub struct FlockTimeout(u32);

impl Flocks {
    /// No lock is held.
    pub fn new(scale: TimeScale) -> Self {
        Self { scale, locks: Mutex::default() }
    }

    /// Takes the lock of `vmid`; released when the guard is dropped.
    pub async fn take(&self, vmid: u32) -> Result<OwnedMutexGuard<()>, FlockTimeout> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            if locks.len() >= MOST_IDLE {
                locks.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            locks.entry(vmid).or_default().clone()
        };
        tokio::time::timeout(self.scale.real(WAIT), lock.lock_owned()).await.map_err(|_| FlockTimeout(vmid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn locks_that_are_not_held_are_dropped_and_a_held_one_stays() {
        let flocks = Flocks::new(TimeScale::new(0.0));
        let held = flocks.take(100).await.unwrap();
        for vmid in 1000..3500 {
            drop(flocks.take(vmid).await.unwrap());
        }
        assert!(flocks.locks.lock().unwrap().len() <= MOST_IDLE);
        assert_eq!(flocks.take(100).await.err(), Some(FlockTimeout(100)));
        drop(held);
        flocks.take(100).await.unwrap();
    }
}
