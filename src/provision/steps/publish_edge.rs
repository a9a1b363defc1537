//! Publishes the server. A target that fails now is finished later by the keeper of the edge; the server is there and its
//! owner has it, so that nothing but a name it cannot have ends the saga.

use async_trait::async_trait;

use crate::edge::EdgeRecord;
use crate::kernel::VmId;
use crate::operations::Resource;
use crate::publishing::{PublishError, TargetSelection};
use crate::saga::{Reach, Step, StepContext, StepError, StepResult, UndoError};
use crate::servers::payload::PayloadError;

use super::super::run::Run;
use super::super::state::Provisioning;

/// The name of the step; what is left after it may be at the edge too.
pub(in crate::provision) const PUBLISH_EDGE: &str = "publish_edge";

pub(super) struct PublishEdge;

#[async_trait]
impl Step<Run, Provisioning> for PublishEdge {
    fn name(&self) -> &'static str {
        PUBLISH_EDGE
    }

    fn reach(&self) -> Reach {
        Reach::Outside
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let (vmid, _) = state.decided_place()?;
        let lock = run.lock(cx, Resource::server(vmid)).await?;
        let published = publish(run, vmid).await;
        lock.give_back().await;
        published
    }

    async fn undo(&self, run: &Run, _: &StepContext<'_>, state: &mut Provisioning) -> Result<(), UndoError> {
        let Some((vmid, _)) = state.place() else { return Ok(()) };
        match run.deps.publisher.unpublish(vmid, None).await {
            Ok(Some(record)) if !record.unsettled().is_empty() => {
                Err(UndoError::Remains(format!("the edge still has something of {vmid}: {}", record.problems())))
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
        Ok(record) => Ok(Some(in_words(record.as_ref()))),
        Err(error @ PublishError::NotPublishable(_)) => Err(StepError::failed("edge_refused", error.to_string())),
        Err(error) => Ok(Some(format!("not published yet: {error}"))),
    }
}

fn in_words(record: Option<&EdgeRecord>) -> String {
    match record {
        None => "nothing to publish".to_owned(),
        Some(record) if record.problems().is_empty() => format!("{} as {}", record.state(), record.publication.address),
        Some(record) => format!("{}, is tried again: {}", record.state(), record.problems()),
    }
}
