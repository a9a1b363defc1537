//! The edge targets as values: what is asked of each, and the one list of them.
//!
//! Publishing, unpublishing, health, teardown and the orphan sweep go through [`Targets`] or [`Target::ALL`] and name no target
//! themselves. A new target is a variant of [`Target`] and an [`EdgeTarget`]; the compiler shows the rest
//! (docs/adding-an-edge-target.md).

mod documents;
mod peers;
mod router;
mod velocity;
mod zone;
mod zone_report;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

use super::report::TargetReport;
use super::unpublish::UnpublishPlan;
use crate::edge::{EdgeError, EdgeRecord, Target};
use crate::kernel::Timestamp;
use crate::ports::{DnsZone, GameProxy, RecordId};

pub use peers::Peers;

/// One system that servers are published to. Every call may be repeated, and sets no timeout of its own.
#[async_trait]
pub trait EdgeTarget: Send + Sync {
    /// Which target it is.
    fn kind(&self) -> Target;

    /// Gives the target exactly what `record` says, reads that back, and returns the ids of our records there.
    async fn publish(&self, record: &EdgeRecord) -> Result<Vec<RecordId>, EdgeError>;

    /// Removes everything of the server, and returns when it was read to be gone.
    async fn unpublish(&self, plan: &UnpublishPlan) -> Result<(), EdgeError>;

    /// Compares what the target has with what `record` says, and changes nothing.
    async fn verify(&self, record: &EdgeRecord) -> Result<TargetReport, EdgeError>;

    /// Checks that the target answers and accepts our credentials. The time at which they expire, if it is reported.
    async fn check(&self) -> Result<Option<Timestamp>, EdgeError>;

    /// What the orphan sweep has to read here.
    fn holdings(&self) -> Holdings<'_>;
}

/// What a target holds of servers, as far as the orphan sweep is concerned.
#[derive(Clone, Copy)]
pub enum Holdings<'a> {
    /// DNS records, which carry our mark.
    Records(&'a dyn DnsZone),
    /// Registrations, which carry no mark.
    Registrations(&'a dyn GameProxy),
    /// Nothing: it reads what we serve.
    Nothing,
}

/// The targets that are configured, in the order of [`Target::ALL`].
#[derive(Clone)]
pub struct Targets(BTreeMap<Target, Arc<dyn EdgeTarget>>);

impl Targets {
    /// What `of` returns for each target; one that is not configured is `None`.
    pub fn new(of: impl Fn(Target) -> Option<Arc<dyn EdgeTarget>>) -> Self {
        Self(Target::ALL.iter().filter_map(|target| Some((*target, of(*target)?))).collect())
    }

    /// The target `kind`, if it is configured.
    pub fn get(&self, kind: Target) -> Option<&dyn EdgeTarget> {
        self.0.get(&kind).map(AsRef::as_ref)
    }

    /// The target `kind`, at which something is published.
    pub fn require(&self, kind: Target) -> Result<&dyn EdgeTarget, EdgeError> {
        self.get(kind).ok_or(EdgeError::NotConfigured { target: kind })
    }

    /// All that are configured.
    pub fn iter(&self) -> impl Iterator<Item = &dyn EdgeTarget> {
        self.0.values().map(AsRef::as_ref)
    }

    /// Which ones are configured.
    pub fn kinds(&self) -> BTreeSet<Target> {
        self.0.keys().copied().collect()
    }
}

impl Default for Targets {
    /// No peer is configured.
    fn default() -> Self {
        Peers::default().into()
    }
}
