//! Locks of resources that only one operation may use at a time across all workers: a server, a template.

use std::time::Duration;

use crate::jobs::{JobContext, locks};
use crate::kernel::VmId;
use crate::saga::{StepContext, StepError, Stopped};

/// A resource to lock.
#[derive(Clone, Debug)]
pub struct Resource {
    name: String,
    /// The failpoint behind the lock.
    place: &'static str,
}

impl Resource {
    /// The resource `name`, with the failpoint `place` behind its lock.
    pub fn new(name: impl Into<String>, place: &'static str) -> Self {
        Self { name: name.into(), place }
    }

    /// Server `vmid`: its power, publishing and teardown exclude each other.
    pub fn server(vmid: VmId) -> Self {
        Self::new(format!("server:{vmid}"), "server.locked")
    }
}

/// The lock of a resource, held by the operation of a job. It is free as soon as that operation ends or loses its
/// lease.
#[must_use = "release it"]
pub struct ResourceLock<'a> {
    job: &'a JobContext,
    name: String,
}

impl<'a> ResourceLock<'a> {
    /// Waits for the lock of `resource`, trying every `poll`. Each holder ends or loses its lease. Fails if our own
    /// lease is lost by the time the lock is taken.
    pub async fn take(
        job: &'a JobContext,
        step: &StepContext<'_>,
        resource: Resource,
        poll: Duration,
    ) -> Result<Self, StepError> {
        let Resource { name, place } = resource;
        loop {
            if !job.read("lock", || locks::take(&job.db, &name, job.id(), job.fence())).await? {
                step.wait(poll).await?;
                continue;
            }
            job.failpoints.hit(place).await;
            return if job.is_held() { Ok(Self { job, name }) } else { Err(Stopped::OwnershipLost.into()) };
        }
    }

    /// Releases the lock.
    pub async fn release(self) {
        let Self { job, name } = self;
        if let Err(error) = locks::release(&job.db, &name, job.id(), job.fence()).await {
            tracing::warn!(operation.id = %job.id(), %error, "the lock {name} could not be released; it is free when this operation ends");
        }
    }
}
