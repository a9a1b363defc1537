//! Removes one thing, for a step and for a debt alike.

use crate::containers::{Container, ContainerTimings, Destroyed, NotDestroyed, ObservedContainer};
use crate::edge::{EdgeError, Target};
use crate::jobs::Failpoints;
use crate::kernel::{Classify, Failure};
use crate::ports::{Hypervisor, NodeName};
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

/// The subject's container at the hypervisor, with how to work on it.
pub(super) struct Remover<'a> {
    pub(super) hypervisor: &'a dyn Hypervisor,
    pub(super) timings: &'a ContainerTimings,
    pub(super) failpoints: &'a Failpoints,
}

/// What has the VMID of a subject.
pub(super) enum Found {
    /// Its container, on this node.
    Ours(NodeName),
    /// Nothing, as far as this node was asked.
    Nothing(NodeName),
    /// A newcomer, after the container of the subject was destroyed.
    Newcomer,
}

impl Remover<'_> {
    fn container(&self, subject: &TeardownSubject) -> Container<'_> {
        let TeardownSubject { vmid, nonce, .. } = subject;
        let Self { hypervisor, timings, failpoints } = *self;
        Container { hypervisor, timings, failpoints, vmid: *vmid, nonce: *nonce }
    }

    /// Finds the subject's container. One that carries another nonce is not ours and is not changed: an operator has to inspect
    /// it, unless ours may have been destroyed before.
    pub(super) async fn find(&self, cx: &StepContext<'_>, subject: &TeardownSubject) -> Result<Found, NotRemoved> {
        let (container, vmid) = (self.container(subject), subject.vmid);
        let mut deadline = self.timings.deadline();
        let mut node = subject.node.clone();
        loop {
            match container.observe(&node).await {
                Ok(ObservedContainer::Foreign) if subject.destroy_requested => return Ok(Found::Newcomer),
                Ok(ObservedContainer::Foreign) => return Err(foreign(subject)),
                Ok(ObservedContainer::Elsewhere(other)) => {
                    node = other;
                    if !deadline.wait(cx).await.map_err(NotRemoved::Stopped)? {
                        let reason = format!("container {vmid} was on another node at each observation");
                        return Err(NotRemoved::Remains { reason, needs_operator: false });
                    }
                }
                Ok(ObservedContainer::Hidden) => {
                    if !deadline.wait(cx).await.map_err(NotRemoved::Stopped)? {
                        if subject.destroy_requested {
                            return Ok(Found::Newcomer);
                        }
                        let reason = format!("{vmid} is in use, and our token may not see by what");
                        return Err(NotRemoved::Remains { reason, needs_operator: true });
                    }
                }
                Ok(ObservedContainer::Ours(_)) => return Ok(Found::Ours(node)),
                Ok(ObservedContainer::Absent) => return Ok(Found::Nothing(node)),
                Err(error) if error.failure() == Failure::NeedsOperator => return Err(NotRemoved::remains(&error)),
                Err(error) => {
                    if !deadline.wait(cx).await.map_err(NotRemoved::Stopped)? {
                        return Err(NotRemoved::remains(&error));
                    }
                }
            }
        }
    }

    /// Destroys what was found; `Found::Nothing` is confirmed. The caller has stored that this is requested.
    pub(super) async fn destroy(
        &self,
        cx: &StepContext<'_>,
        subject: &mut TeardownSubject,
        found: Found,
    ) -> Result<(), NotRemoved> {
        let (node, was_there) = match found {
            Found::Newcomer => return Ok(()),
            Found::Ours(node) => (node, true),
            Found::Nothing(node) => (node, false),
        };
        match self.container(subject).destroy(cx, &node, None).await {
            Ok(Destroyed::Gone | Destroyed::Replaced) => Ok(()),
            // Ours was gone from the whole cluster before.
            Ok(Destroyed::Foreign) if !was_there => Ok(()),
            // It was replaced before we destroyed it.
            Ok(Destroyed::Foreign) => {
                subject.destroy_requested = false;
                Err(foreign(subject))
            }
            Err(NotDestroyed::Remains(error)) => Err(NotRemoved::remains(&error)),
            Err(NotDestroyed::Stopped(stopped)) => Err(NotRemoved::Stopped(stopped)),
        }
    }
}

fn foreign(subject: &TeardownSubject) -> NotRemoved {
    let TeardownSubject { vmid, nonce, .. } = subject;
    let reason = format!("container {vmid} does not carry the nonce {nonce}; it is not changed");
    NotRemoved::Remains { reason, needs_operator: true }
}
