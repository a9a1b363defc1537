//! Publishes the server. The server belongs to its owner already, so a target that fails now does not fail the saga: the
//! reconciler of the edge retries it later.

use async_trait::async_trait;

use crate::edge::EdgeRecord;
use crate::kernel::VmId;
use crate::operations::Resource;
use crate::publishing::{PublishError, TargetSelection};
use crate::saga::{Effect, Step, StepContext, StepResult};
use crate::servers::payload::PayloadError;

use super::super::run::Run;
use super::super::state::Provisioning;

pub(super) struct PublishEdge;

#[async_trait]
impl Step<Run, Provisioning> for PublishEdge {
    fn name(&self) -> &'static str {
        "publish_edge"
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
