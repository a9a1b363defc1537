//! Publishes the server. A target that fails now is finished later by the keeper of the edge; the server is there and its
//! owner has it, so that nothing but a name it cannot have ends the saga.

use async_trait::async_trait;

use crate::edge::EdgeRecord;
use crate::jobs::{Lost, locks};
use crate::kernel::VmId;
use crate::publishing::{PublishError, Scope};
use crate::saga::{Reach, Step, StepContext, StepError, StepResult, Stopped, UndoError};

use super::super::run::Run;
use super::super::state::Provisioning;

pub(super) struct PublishEdge;

#[async_trait]
impl Step<Run, Provisioning> for PublishEdge {
    fn name(&self) -> &'static str {
        "publish_edge"
    }

    fn reach(&self) -> Reach {
        Reach::Outside
    }

    async fn run(&self, run: &Run, cx: &StepContext<'_>, state: &mut Provisioning) -> StepResult {
        let (vmid, _) = state.decided_place()?;
        let name = format!("server:{vmid}");
        lock(run, cx, &name).await?;
        let published = publish(run, vmid).await;
        if let Err(error) = locks::give_back(&run.deps.db, &name, run.operation()).await {
            tracing::warn!(%vmid, %error, "{name} stays locked until this operation ends");
        }
        published
    }

    async fn undo(&self, run: &Run, _: &StepContext<'_>, state: &mut Provisioning) -> Result<(), UndoError> {
        let Some((vmid, _)) = state.place() else { return Ok(()) };
        match run.deps.publisher.unpublish(vmid).await {
            Ok(Some(record)) if !record.unsettled().is_empty() => {
                Err(UndoError::Remains(format!("the edge still has something of {vmid}: {}", record.troubles())))
            }
            Ok(_) | Err(PublishError::Deleting { .. }) => Ok(()),
            Err(error) => Err(UndoError::Remains(error.to_string())),
        }
    }
}

/// Waits for the right to change the server: an operator may already be at work on it.
async fn lock(run: &Run, cx: &StepContext<'_>, name: &str) -> Result<(), StepError> {
    loop {
        let now = run.deps.clock.now();
        let taking = || locks::take(&run.deps.db, name, run.operation(), run.cx.fence(), now);
        if run.ask("lock", taking).await? {
            return if run.cx.is_held() { Ok(()) } else { Err(Stopped::Lost.into()) };
        }
        cx.wait(run.deps.policy.timings.container.task_poll).await?;
    }
}

async fn publish(run: &Run, vmid: VmId) -> StepResult {
    let publishing = || async {
        match run.deps.publisher.publish(vmid, Scope::All, None).await {
            Err(PublishError::Payload(crate::db::payload::PayloadError::Database(error))) => Err(error),
            settled => Ok(settled),
        }
    };
    let published = run.cx.persist("publication", publishing).await.map_err(|Lost| Stopped::Lost)?;
    match published {
        Ok(Ok(record)) => Ok(Some(in_words(record.as_ref()))),
        Ok(Err(error @ PublishError::Refused(_))) => Err(StepError::failed("edge_refused", error.to_string())),
        Ok(Err(error)) => Ok(Some(format!("not published yet: {error}"))),
        Err(error) => Err(StepError::failed("database_unavailable", error.to_string())),
    }
}

fn in_words(record: Option<&EdgeRecord>) -> String {
    match record {
        None => "nothing to publish".to_owned(),
        Some(record) if record.troubles().is_empty() => format!("{} as {}", record.state(), record.publication.address),
        Some(record) => format!("{}, is tried again: {}", record.state(), record.troubles()),
    }
}
