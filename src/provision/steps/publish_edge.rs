//! Publishes the server. A target that fails now is retried later by the reconciler of the edge: the server exists and
//! works for its owner, so only a name that it can never have fails the saga.

use async_trait::async_trait;

use crate::edge::EdgeRecord;
use crate::kernel::VmId;
use crate::operations::Resource;
use crate::publishing::{PublishError, TargetSelection};
use crate::saga::{Effect, Step, StepContext, StepError, StepResult, UndoError};
use crate::servers::payload::PayloadError;

use super::super::run::Run;
use super::super::state::Provisioning;

/// The name of the step; from here on, a failed run may also leave debts at the edge.
pub(in crate::provision) const PUBLISH_EDGE: &str = "publish_edge";

pub(super) struct PublishEdge;

#[async_trait]
impl Step<Run, Provisioning> for PublishEdge {
    fn name(&self) -> &'static str {
        PUBLISH_EDGE
    }

    fn effect(&self) -> Effect {
        Effect::External
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let (vmid, _) = state.decided_place()?;
        let lock = run.lock(cx, Resource::server(vmid)).await?;
        let published = publish(run, vmid).await;
        lock.release().await;
        published
    }

    async fn undo(&self, run: &Run, _: &StepContext<'_>, state: &mut Provisioning) -> Result<(), UndoError> {
        let Some((vmid, _)) = state.place() else { return Ok(()) };
        match run.deps.publisher.unpublish(vmid, None).await {
            Ok(Some(record)) if !record.unsettled().is_empty() => {
                Err(UndoError::Remains(format!("{vmid} is not fully unpublished: {}", record.problems())))
            }
            Ok(_) | Err(PublishError::Deleting { .. }) => Ok(()),
            Err(error) => Err(UndoError::Remains(error.to_string())),
        }
    }
}

async fn publish(run: &Run, vmid: VmId) -> StepResult {
    let publishing = || async {
        match run.deps.publisher.publish(vmid, TargetSelection::All, Some(0)).await {
            Err(PublishError::Payload(PayloadError::Database(error))) => Err(error),
            settled => Ok(settled),
        }
    };
    match run.cx.read("publication", publishing).await? {
        Ok(record) => Ok(Some(describe(record.as_ref()))),
        Err(error @ PublishError::NotPublishable(_)) => Err(StepError::failed("edge_refused", error.to_string())),
        Err(error) => Ok(Some(format!("not published yet: {error}"))),
    }
}

fn describe(record: Option<&EdgeRecord>) -> String {
    match record {
        None => "nothing to publish".to_owned(),
        Some(record) if record.problems().is_empty() => format!("{} as {}", record.state(), record.publication.address),
        Some(record) => format!("{}, will be retried: {}", record.state(), record.problems()),
    }
}
