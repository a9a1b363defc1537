//! Observes the power of every container with one listing per interval, so that no reader waits for the hypervisor.

use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::super::facts::HostFacts;
use super::Poller;
use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::ports::HypervisorError;

/// The longest time that one listing may take.
const LISTING_LIMIT: Duration = Duration::from_secs(15);

/// Why the power of the containers could not be read.
#[derive(Debug, thiserror::Error)]
enum ListingError {
    #[error("the listing of containers could not be claimed or written")]
    LiveState(#[from] redis::RedisError),
    #[error("the containers could not be listed")]
    Hypervisor(#[from] HypervisorError),
    #[error("the hypervisor did not list its containers in time")]
    TooSlow,
}

/// The background task that lists the containers.
pub struct ContainerListing {
    poller: Poller,
}

#[async_trait]
impl Task for ContainerListing {
    fn name(&self) -> TaskName {
        TaskName::of("container-listing")
    }

    fn schedule(&self) -> Schedule {
        Schedule::every(self.poller.settings.host_interval).at_fixed_rate()
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        match stop.run_until_cancelled(self.list()).await {
            Some(Ok(listed)) => Ok(Report::done(listed)),
            Some(Err(error)) => {
                self.poller.metrics.poller.listing_failed();
                Err(error.into())
            }
            None => Ok(Report::default()),
        }
    }
}

impl ContainerListing {
    pub(super) const fn new(poller: Poller) -> Self {
        Self { poller }
    }

    /// Lists the containers once, unless another process does, and returns how many there are. A container that is
    /// missing from the listing keeps its last observation, because a listing may be partial.
    async fn list(&self) -> Result<usize, ListingError> {
        let Poller { live, hypervisor, clock, settings, .. } = &self.poller;
        if !live.claim_hosts(settings.host_interval.mul_f64(0.9)).await? {
            return Ok(0);
        }
        let observed_at = clock.now();
        let listing = tokio::time::timeout(LISTING_LIMIT, hypervisor.containers()).await;
        let listing = listing.map_err(|_| ListingError::TooSlow).and_then(|listing| Ok(listing?));
        if listing.is_err() {
            live.record_failed_listing(observed_at).await?;
        }
        let containers = listing?;
        let facts = containers
            .into_iter()
            .filter(|container| !container.template)
            .map(|container| (container.vmid, HostFacts { observed_at, power: container.power, node: container.node }));
        let facts = facts.collect::<Vec<_>>();
        live.record_hosts(&facts).await?;
        Ok(facts.len())
    }
}
