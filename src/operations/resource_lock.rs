//! What one operation at a time may do, over all workers: change one server, clone one template.

use std::time::Duration;

use crate::jobs::{JobContext, locks};
use crate::kernel::VmId;
use crate::saga::{StepContext, StepError, Stopped};

/// What is locked.
#[derive(Clone, Debug)]
pub struct Resource {
    name: String,
    /// Where tests break a process that has just locked it.
    place: &'static str,
}

impl Resource {
    /// The resource `name`, with the failpoint `place` behind its lock.
    pub fn new(name: impl Into<String>, place: &'static str) -> Self {
        Self { name: name.into(), place }
    }

    /// Server `vmid`: power, publishing and deletion of it take turns.
    pub fn server(vmid: VmId) -> Self {
        Self::new(format!("server:{vmid}"), "server.locked")
    }
}

/// The lock of a resource, held by the operation of a job. It is free as soon as that operation ends or loses its lease.
#[must_use = "give it back"]
pub struct ResourceLock<'a> {
    job: &'a JobContext,
    name: String,
}

impl<'a> ResourceLock<'a> {
    /// Waits for the lock of `resource`, asking every `poll`. Its holders end or lose their lease; a lock that comes too late
    /// for our own lease is none.
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
            return if job.is_held() { Ok(Self { job, name }) } else { Err(Stopped::Lost.into()) };
        }
    }

    /// Lets others use the resource.
    pub async fn give_back(self) {
        let Self { job, name } = self;
        if let Err(error) = locks::give_back(&job.db, &name, job.id(), job.fence()).await {
            tracing::warn!(operation.id = %job.id(), %error, "{name} stays locked until this operation ends");
        }
    }
}
