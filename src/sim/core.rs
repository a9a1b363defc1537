//! What all peers of one world share: time, faults, journal, and the word that something is worth saving.

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

/// Seconds of simulated work are multiplied by this before they are waited for.
#[derive(Clone, Copy, Debug)]
pub struct TimeScale(f64);

impl TimeScale {
    /// A scale; what is not a number from 0 up counts as 1.
    pub fn new(scale: f64) -> Self {
        Self(if scale.is_finite() && scale >= 0.0 { scale.min(1000.0) } else { 1.0 })
    }

    /// How long `simulated` takes on this machine.
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
    /// The requests seen.
    pub journal: Journal,
    /// Background work of peers; the world waits for it when it shuts down.
    pub tasks: TaskTracker,
    /// Set when the world shuts down; background work stops then.
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

    /// Says that a peer's state has changed and is to be written to the state file soon.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Waits for `simulated` time to pass.
    pub async fn wait(&self, simulated: Duration) {
        tokio::time::sleep(self.scale.real(simulated)).await;
    }

    /// Registers somebody who wants to know when containers start and stop.
    pub fn observe_containers(&self, observer: Arc<dyn ContainerObserver>) {
        self.observers.write().unwrap_or_else(PoisonError::into_inner).push(observer);
    }

    /// Those who want to know.
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
