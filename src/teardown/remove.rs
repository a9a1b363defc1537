//! Removes one thing, for a step and for a debt alike.

use crate::containers::{Container, ContainerTimings, Destroyed, NotDestroyed, ObservedContainer};
use crate::edge::{EdgeError, Target};
use crate::jobs::Failpoints;
use crate::kernel::{Classify, Failure};
use crate::ports::Hypervisor;
use crate::publishing::{TARGET_TIMEOUT, Targets};
use crate::saga::{StepContext, Stopped};

use super::subject::TeardownSubject;

/// Why something is still there.
pub(super) enum NotRemoved {
    /// It is still there, or may be.
    Remains {
        /// Why.
        reason: String,
        /// Whether an operator has to act.
        needs_operator: bool,
    },
    /// The work was stopped.
    Stopped(Stopped),
}

impl From<EdgeError> for NotRemoved {
    fn from(error: EdgeError) -> Self {
        Self::remains(&error)
    }
}

impl NotRemoved {
    fn remains(error: &(impl Classify + ToString)) -> Self {
        let needs_operator = matches!(error.failure(), Failure::NeedsOperator | Failure::Permanent);
        Self::Remains { reason: error.to_string(), needs_operator }
    }
}

/// Unpublishes the subject at `target`; nothing when it never had anything there.
pub(super) async fn from_edge(targets: &Targets, target: Target, subject: &TeardownSubject) -> Result<(), NotRemoved> {
    let Some(plan) = subject.unpublish.as_ref().filter(|_| subject.targets.contains(&target)) else { return Ok(()) };
    let work = async { targets.require(target)?.unpublish(plan).await };
    let done = tokio::time::timeout(TARGET_TIMEOUT, work).await;
    Ok(done.unwrap_or(Err(EdgeError::TooSlow { target, timeout: TARGET_TIMEOUT }))?)
}

/// Destroys the subject's container. One that carries another nonce is not ours and is not changed: an operator has to
/// inspect it.
pub(super) async fn container(
    hypervisor: &dyn Hypervisor,
    timings: &ContainerTimings,
    failpoints: &Failpoints,
    cx: &StepContext<'_>,
    subject: &TeardownSubject,
) -> Result<(), NotRemoved> {
    let TeardownSubject { vmid, nonce, node, .. } = subject;
    let container = Container { hypervisor, timings, failpoints, vmid: *vmid, nonce: *nonce };
    let mut deadline = timings.deadline();
    let mut node = node.clone();
    loop {
        match container.observe(&node).await {
            Ok(ObservedContainer::Foreign) => return Err(foreign(subject)),
            Ok(ObservedContainer::Elsewhere(other)) => {
                node = other;
                if !deadline.wait(cx).await.map_err(NotRemoved::Stopped)? {
                    let reason = format!("container {vmid} was on another node at each observation");
                    return Err(NotRemoved::Remains { reason, needs_operator: false });
                }
            }
            Ok(ObservedContainer::Ours(_) | ObservedContainer::Absent) => break,
            Err(error) if error.failure() == Failure::NeedsOperator => return Err(NotRemoved::remains(&error)),
            Err(error) => {
                if !deadline.wait(cx).await.map_err(NotRemoved::Stopped)? {
                    return Err(NotRemoved::remains(&error));
                }
            }
        }
    }
    match container.destroy(cx, &node, None).await {
        Ok(Destroyed::Gone) => Ok(()),
        Ok(Destroyed::Foreign) => Err(foreign(subject)),
        Err(NotDestroyed::Remains(error)) => Err(NotRemoved::remains(&error)),
        Err(NotDestroyed::Stopped(stopped)) => Err(NotRemoved::Stopped(stopped)),
    }
}

fn foreign(subject: &TeardownSubject) -> NotRemoved {
    let TeardownSubject { vmid, nonce, .. } = subject;
    let reason = format!("container {vmid} does not carry the nonce {nonce}; it is not changed");
    NotRemoved::Remains { reason, needs_operator: true }
}
