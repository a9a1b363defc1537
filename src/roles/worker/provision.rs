//! The queue `provision`: creates servers, within the slots that all workers share.

use std::sync::Arc;

use super::parts::WorkerParts;
use crate::jobs::{Queue, Registry, RegistryError};
use crate::provision::{ProvisionDeps, ProvisionJob, Setbacks};

/// The jobs of the queue.
pub fn jobs(parts: &WorkerParts) -> Result<Registry, RegistryError> {
    Registry::for_queue(Queue::Provision).with(Arc::new(ProvisionJob::new(Arc::new(ProvisionDeps {
        db: parts.db.clone(),
        hypervisor: parts.hypervisor.clone(),
        agent: parts.agent.clone(),
        publisher: parts.publisher.clone(),
        clock: parts.clock.clone(),
        policy: parts.policy.clone(),
        setbacks: Setbacks::default(),
    }))))
}
