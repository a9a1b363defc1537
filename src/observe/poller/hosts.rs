//! The power of every container, by one listing per interval, so that no reader ever waits for the hypervisor.

use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::super::facts::HostFacts;
use super::Poller;
use crate::ports::HypervisorError;

/// How long one listing may take.
const LISTING_LIMIT: Duration = Duration::from_secs(15);

/// Why the power of the containers is not known anew.
#[derive(Debug, thiserror::Error)]
enum ListingError {
    #[error("the listing of containers could not be claimed or written")]
    LiveState(#[from] redis::RedisError),
    #[error("the containers could not be listed")]
    Hypervisor(#[from] HypervisorError),
    #[error("the hypervisor did not list its containers in time")]
    TooSlow,
}

impl Poller {
    pub(super) async fn run_hosts(&self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(self.settings.host_interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut failing = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = tick.tick() => {}
            }
            let listed = tokio::select! {
                () = stop.cancelled() => return,
                listed = self.list_hosts() => listed,
            };
            match listed {
                Ok(()) => failing = false,
                Err(error) => {
                    self.metrics.poller.listing_failed();
                    // Once per outage; the metric counts the rest.
                    if !std::mem::replace(&mut failing, true) {
                        let error = &error as &dyn std::error::Error;
                        tracing::warn!(error, "the power of the containers is not observed");
                    }
                }
            }
        }
    }

    /// Lists the containers once, unless another process does. A container that is not in the listing keeps the word that
    /// was last said of it: a listing may be partial.
    async fn list_hosts(&self) -> Result<(), ListingError> {
        if !self.live.claim_hosts(self.settings.host_interval.mul_f64(0.9)).await? {
            return Ok(());
        }
        let observed_at = self.clock.now();
        let listing = tokio::time::timeout(LISTING_LIMIT, self.hypervisor.containers()).await;
        let listing = listing.map_err(|_| ListingError::TooSlow).and_then(|listing| Ok(listing?));
        if listing.is_err() {
            self.live.record_failed_look(observed_at).await?;
        }
        let containers = listing?;
        let facts = containers
            .into_iter()
            .filter(|container| !container.template)
            .map(|container| (container.vmid, HostFacts { observed_at, power: container.power, node: container.node }));
        Ok(self.live.record_hosts(&facts.collect::<Vec<_>>()).await?)
    }
}
