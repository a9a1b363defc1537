//! What all peers of one world share: clock, faults, journal, and the signal that there is something to save.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::faults::FaultPlan;
use super::journal::Journal;
use super::network::Network;
use super::peer::ContainerObserver;
use crate::kernel::Clock;

/// The factor by which seconds of simulated work are multiplied.
#[derive(Clone, Copy, Debug)]
pub struct TimeScale(f64);

impl TimeScale {
    /// A scale; a value that is no number from 0 up counts as 1.
    pub fn new(scale: f64) -> Self {
        Self(if scale.is_finite() && scale >= 0.0 { scale.min(1000.0) } else { 1.0 })
    }

    /// How long `simulated` work takes on this machine.
    pub fn real(self, simulated: Duration) -> Duration {
        simulated.mul_f64(self.0)
    }
}

/// The shared part of a world.
pub struct Core {
    /// The clock of the world.
    pub clock: Clock,
    /// How fast simulated work goes.
    pub scale: TimeScale,
    /// The network of the containers.
    pub network: Network,
    /// The planned faults.
    pub faults: FaultPlan,
    /// The requests that were received.
    pub journal: Journal,
    /// The background work of peers; a shutdown waits for it.
    pub tasks: TaskTracker,
    /// Cancelled when the world shuts down, which ends background work.
    pub stopping: CancellationToken,
    pub(super) changed: Notify,
    observers: RwLock<Vec<Arc<dyn ContainerObserver>>>,
}

impl Core {
    pub(super) fn new(clock: Clock, scale: TimeScale, network: Network) -> Self {
        Self {
            clock,
            scale,
            network,
            faults: FaultPlan::default(),
            journal: Journal::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            changed: Notify::new(),
            observers: RwLock::default(),
        }
    }

    /// Signals that a peer's state has changed, so that the state file is written soon.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits for `simulated` time to pass.
    pub async fn wait(&self, simulated: Duration) {
        tokio::time::sleep(self.scale.real(simulated)).await;
    }

    /// Registers an observer that is notified when containers start, stop and are destroyed.
    pub fn observe_containers(&self, observer: Arc<dyn ContainerObserver>) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(observer);
    }

    /// The registered observers.
    pub fn observers(&self) -> Vec<Arc<dyn ContainerObserver>> {
        self.observers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scale_never_breaks_a_wait() {
        let second = Duration::from_secs(1);
        assert_eq!(TimeScale::new(0.1).real(second), Duration::from_millis(100));
        assert_eq!(TimeScale::new(f64::NAN).real(second), second);
        assert_eq!(TimeScale::new(-3.0).real(second), second);
        assert_eq!(TimeScale::new(0.0).real(second), Duration::ZERO);
    }
}
