//! The job of an operator's request to publish a server or to unpublish it. It visits all targets.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::db::entities::operation::CancelRule;
use crate::edge::{EdgeRecord, Intent};
use crate::jobs::{Dedup, JobContext, JobEnd, Queue, Work};
use crate::kernel::VmId;
use crate::operations::{ForwardJob, Resource, ResourceLock, run_forward};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult};
use crate::servers::payload::PayloadError;

use super::error::PublishError;
use super::generation::TargetSelection;
use super::publisher::Publisher;

/// The payload of a publish operation, version 1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishPayload {
    /// The server.
    pub vmid: VmId,
    /// Whether it shall be published.
    pub intent: Intent,
    /// The number of the publish request; a later one supersedes it.
    #[serde(rename = "wish")]
    pub request: u32,
}

impl Work for PublishPayload {
    const KIND: &'static str = "publish";
    const QUEUE: Queue = Queue::Host;
    const MAX_STARTS: i32 = 3;
    const CANCEL: CancelRule = CancelRule::Anytime;

    fn steps(&self) -> usize {
        1
    }

    fn vmid(&self) -> Option<VmId> {
        Some(self.vmid)
    }

    fn shown(&self) -> Value {
        let action = match self.intent {
            Intent::Published => "publish",
            Intent::Unpublished => "unpublish",
        };
        json!({ "action": action })
    }

    fn dedup(&self) -> Dedup {
        Dedup::Always(vec![self.vmid.to_string(), self.request.to_string()])
    }
}

/// Minutes for the retries at each target, and the wait for other work on the server, such as a stop.
const DEADLINE: Duration = Duration::from_secs(4 * 3600);

/// Publishes servers and unpublishes them.
pub struct PublishJob {
    publisher: Publisher,
    lock_poll: Duration,
}

impl PublishJob {
    /// A job that publishes with `publisher` and tries to take the lock of its server every `lock_poll`.
    pub fn new(publisher: Publisher, lock_poll: Duration) -> Self {
        Self { publisher, lock_poll }
    }
}

struct Run<'a> {
    job: &'a PublishJob,
    cx: &'a JobContext,
    payload: PublishPayload,
}

struct Converge;

#[async_trait]
impl<'a> Step<Run<'a>, ()> for Converge {
    fn name(&self) -> &'static str {
        "converge_edge"
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &Run<'a>, cx: &StepContext<'_>, (): &mut ()) -> StepResult {
        let lock = ResourceLock::take(run.cx, cx, Resource::server(run.payload.vmid), run.job.lock_poll).await?;
        let outcome = run.converge().await;
        lock.release().await;
        outcome
    }
}

impl Run<'_> {
    async fn converge(&self) -> StepResult {
        let PublishPayload { vmid, intent, request } = self.payload;
        let publisher = &self.job.publisher;
        let work = || async move {
            let done = match intent {
                Intent::Published => publisher.publish(vmid, TargetSelection::All, Some(request)).await,
                Intent::Unpublished => publisher.unpublish(vmid, Some(request)).await,
            };
            match done {
                Err(PublishError::Payload(PayloadError::Database(error))) => Err(error),
                settled => Ok(settled),
            }
        };
        match self.cx.read("publication", work).await? {
            Ok(record) => judge(record.as_ref()),
            Err(error) => {
                let code = match &error {
                    PublishError::NotPublishable(_) => "edge_refused",
                    PublishError::Deleting { .. } => "server_gone",
                    PublishError::Superseded { .. } => "overtaken",
                    PublishError::Unusable { .. } | PublishError::Payload(_) => "edge_unusable",
                };
                Err(StepError::failed(code, error.to_string()))
            }
        }
    }
}

/// A success only if every target is settled; the reconciler finishes the rest in the background.
fn judge(record: Option<&EdgeRecord>) -> StepResult {
    let Some(record) = record else { return Ok(Some("the server has nothing at the edge".to_owned())) };
    if record.unsettled().is_empty() {
        return Ok(Some(format!("{} ({})", record.state(), record.publication.address)));
    }
    let message = format!("{}; the worker retries: {}", record.state(), record.problems());
    Err(StepError::failed("edge_incomplete", message))
}

#[async_trait]
impl ForwardJob for PublishJob {
    type Work = PublishPayload;
    type State = ();

    fn deadline(&self) -> Duration {
        DEADLINE
    }

    async fn run(&self, cx: &JobContext, payload: PublishPayload, (): ()) -> JobEnd {
        let run = Run { job: self, cx, payload };
        let steps: Vec<Box<dyn Step<Run<'_>, ()>>> = vec![Box::new(Converge)];
        run_forward(cx, &self.publisher.clock, &steps, &run, ()).await
    }
}
