//! The job of an operator's wish to publish a server or to take it back; its targets are all looked at.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::db::entities::operation;
use crate::edge::{EdgeRecord, Intent};
use crate::jobs::{CrashPolicy, Job, JobContext, JobEnd, JobFailure, Leftover, Lost, UnwindEnd};
use crate::kernel::VmId;
use crate::operations::{ServerLock, run_forward};
use crate::saga::{Reach, Step, StepContext, StepError, StepResult, Stopped};
use crate::servers::payload::PayloadError;

use super::publisher::{PublishError, Publisher, Scope};

/// The kind of these operations.
pub const PUBLISH: &str = "publish";

/// The payload of a publish operation, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishPayload {
    /// The server.
    pub vmid: VmId,
    /// What it is to be.
    pub intent: Intent,
    /// The number of the wish; a later one wins.
    pub wish: u32,
}

/// Publishes servers and takes them back.
pub struct PublishJob {
    publisher: Publisher,
    lock_poll: Duration,
}

impl PublishJob {
    /// A job that publishes with `publisher` and asks for the lock of its server every `lock_poll`.
    pub fn new(publisher: Publisher, lock_poll: Duration) -> Self {
        Self { publisher, lock_poll }
    }
}

struct Work<'a> {
    job: &'a PublishJob,
    cx: &'a JobContext,
    payload: PublishPayload,
}

struct Converge;

#[async_trait]
impl<'a> Step<Work<'a>, ()> for Converge {
    fn name(&self) -> &'static str {
        "converge_edge"
    }

    fn reach(&self) -> Reach {
        Reach::Outside
    }

    async fn run(&self, work: &Work<'a>, cx: &StepContext<'_>, (): &mut ()) -> StepResult {
        let lock = ServerLock::take(work.cx, cx, work.payload.vmid, work.job.lock_poll).await?;
        let outcome = work.converge().await;
        lock.give_back().await;
        outcome
    }
}

impl Work<'_> {
    async fn converge(&self) -> StepResult {
        let PublishPayload { vmid, intent, wish } = self.payload;
        let publisher = &self.job.publisher;
        let work = || async move {
            let done = match intent {
                Intent::Published => publisher.publish(vmid, Scope::All, Some(wish)).await,
                Intent::Withdrawn => publisher.unpublish(vmid, Some(wish)).await,
            };
            match done {
                Err(PublishError::Payload(PayloadError::Database(error))) => Err(error),
                settled => Ok(settled),
            }
        };
        let done = self.cx.persist("publication", work).await.map_err(|Lost| Stopped::Lost)?;
        let done = done.map_err(|error| StepError::failed("database_unavailable", error.to_string()))?;
        match done {
            Ok(record) => judge(record.as_ref()),
            Err(error) => {
                let code = match &error {
                    PublishError::Refused(_) => "edge_refused",
                    PublishError::Deleting { .. } => "server_gone",
                    PublishError::Overtaken { .. } => "overtaken",
                    PublishError::Unusable { .. } | PublishError::Payload(_) => "edge_unusable",
                };
                Err(StepError::failed(code, error.to_string()))
            }
        }
    }
}

/// Done is what every target said; anything else is finished in the background and not a success here.
fn judge(record: Option<&EdgeRecord>) -> StepResult {
    let Some(record) = record else { return Ok(Some("the server has nothing at the edge".to_owned())) };
    if record.unsettled().is_empty() {
        return Ok(Some(format!("{} ({})", record.state(), record.publication.address)));
    }
    let message = format!("{}; the worker tries again: {}", record.state(), record.troubles());
    Err(StepError::failed("edge_incomplete", message))
}

#[async_trait]
impl Job for PublishJob {
    fn kind(&self) -> &'static str {
        PUBLISH
    }

    fn schema_version(&self) -> i32 {
        1
    }

    fn crash_policy(&self) -> CrashPolicy {
        CrashPolicy::Resume
    }

    fn leftovers(&self, _: &operation::Model) -> Vec<Leftover> {
        // What is out is named by the server's own record, and finished by the keeper.
        Vec::new()
    }

    async fn run(&self, cx: &JobContext) -> JobEnd {
        let payload = match serde_json::from_str(&cx.operation.payload) {
            Ok(payload) => payload,
            Err(error) => {
                let failure = JobFailure::unreadable("the payload", &error);
                return JobEnd::Failed { failure, undo: UnwindEnd::Nothing };
            }
        };
        let work = Work { job: self, cx, payload };
        let steps: Vec<Box<dyn Step<Work<'_>, ()>>> = vec![Box::new(Converge)];
        run_forward(cx, &self.publisher.clock, &steps, &work, &mut ()).await
    }

    async fn unwind(&self, _: &JobContext) -> UnwindEnd {
        UnwindEnd::Nothing
    }
}
