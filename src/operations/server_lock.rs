//! The right to change one server: power, publishing and teardown of it take turns.

use std::time::Duration;

use crate::jobs::{JobContext, locks};
use crate::kernel::{Clock, VmId};
use crate::saga::{StepContext, StepError, Stopped};

/// The lock of one server, held by the operation of a job. It is free as soon as that operation ends or loses its lease.
#[must_use = "give it back"]
pub struct ServerLock<'a> {
    job: &'a JobContext,
    name: String,
}

impl<'a> ServerLock<'a> {
    /// Waits for the lock of `vmid`, asking every `poll`. Those before us end or lose their lease; a lock that comes too
    /// late for our own lease is none.
    pub async fn take(
        job: &'a JobContext,
        step: &StepContext<'_>,
        vmid: VmId,
        poll: Duration,
    ) -> Result<Self, StepError> {
        let name = format!("server:{vmid}");
        loop {
            // The time is only shown to people.
            let now = Clock::System.now();
            let taking = || locks::take(&job.db, &name, job.id(), job.fence(), now);
            let taken = job.persist("lock of a server", taking).await.map_err(|_| Stopped::Lost)?;
            match taken {
                Ok(true) if job.is_held() => return Ok(Self { job, name }),
                Ok(true) => return Err(Stopped::Lost.into()),
                Ok(false) => step.wait(poll).await?,
                Err(error) => return Err(StepError::failed("database_unavailable", error.to_string())),
            }
        }
    }

    /// Lets others change the server.
    pub async fn give_back(self) {
        let Self { job, name } = self;
        if let Err(error) = locks::give_back(&job.db, &name, job.id()).await {
            tracing::warn!(operation.id = %job.id(), %error, "{name} stays locked until this operation ends");
        }
    }
}
