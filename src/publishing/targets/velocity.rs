//! The game proxy as a target. What was sent is read back, where the proxy can list; with one that cannot, the server is
//! registered again each time, which is harmless.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::report::{TargetReport, TargetVerdict};
use super::super::unpublish::UnpublishPlan;
use super::{EdgeTarget, Holdings};
use crate::edge::{EdgeError, EdgeRecord, Intent, ProxyChange, ProxyVerdict, Registration, Target, compare_proxy};
use crate::kernel::{Classify, Failure, Timestamp};
use crate::ports::{GameProxy, ProxyEntry, ProxyError, RecordId};

/// How often the proxy is changed and read again in one attempt.
const ROUNDS: u32 = 3;

/// The game proxy.
pub(super) struct VelocityTarget {
    proxy: Arc<dyn GameProxy>,
}

impl VelocityTarget {
    pub(super) fn new(proxy: Arc<dyn GameProxy>) -> Self {
        Self { proxy }
    }

    /// Registers the server once, under its canonical name, at its address.
    async fn register(&self, wanted: &Registration) -> Result<(), EdgeError> {
        for _ in 0..=ROUNDS {
            let listing = match self.proxy.list().await {
                Ok(listing) => listing,
                Err(ProxyError::Unsupported { .. }) => {
                    return Ok(self.proxy.register(&wanted.name, wanted.address).await?);
                }
                Err(error) => return Err(error.into()),
            };
            let (_, changes) = compare_proxy(wanted, &listing.servers);
            if changes.is_empty() {
                return Ok(());
            }
            for change in changes {
                let outcome = match change {
                    ProxyChange::Unregister(name) => self.proxy.unregister(&name).await.map(drop),
                    ProxyChange::Register(server) => self.proxy.register(&server.name, server.address).await,
                };
                match outcome {
                    Ok(()) => {}
                    Err(error) if error.failure() == Failure::Ambiguous => break,
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Err(EdgeError::Unsettled { target: Target::Velocity, rounds: ROUNDS })
    }
}

#[async_trait]
impl EdgeTarget for VelocityTarget {
    fn kind(&self) -> Target {
        Target::Velocity
    }

    async fn publish(&self, record: &EdgeRecord) -> Result<Vec<RecordId>, EdgeError> {
        if let Some(wanted) = &record.publication.registration {
            self.register(wanted).await?;
        }
        Ok(Vec::new())
    }

    async fn unpublish(&self, plan: &UnpublishPlan) -> Result<(), EdgeError> {
        let mut last = None;
        for _ in 0..=ROUNDS {
            match self.proxy.unregister(plan.name.as_str()).await {
                // The client has read it back.
                Ok(_) => return Ok(()),
                Err(error) if error.failure() == Failure::Ambiguous => last = Some(error),
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.map_or(EdgeError::Unsettled { target: Target::Velocity, rounds: ROUNDS }, EdgeError::Proxy))
    }

    async fn verify(&self, record: &EdgeRecord) -> Result<TargetReport, EdgeError> {
        let listed = self.proxy.list().await?.servers;
        Ok(TargetReport::new(Target::Velocity, differences(record, &listed)))
    }

    async fn check(&self) -> Result<Option<Timestamp>, EdgeError> {
        self.proxy.list().await?;
        Ok(None)
    }

    fn holdings(&self) -> Holdings<'_> {
        Holdings::Registrations(self.proxy.as_ref())
    }
}

/// In what the registration differs from what `record` says.
fn differences(record: &EdgeRecord, listed: &[ProxyEntry]) -> Vec<(TargetVerdict, String)> {
    let Some(wanted) = &record.publication.registration else { return Vec::new() };
    match (record.intent, compare_proxy(wanted, listed).0) {
        (Intent::Published, ProxyVerdict::InSync) | (Intent::Unpublished, ProxyVerdict::Missing) => Vec::new(),
        (Intent::Published, ProxyVerdict::Missing) => {
            vec![(TargetVerdict::Missing, format!("{} is not registered", wanted.name))]
        }
        (Intent::Published, ProxyVerdict::Drifted(drifts)) => {
            drifts.iter().map(|drift| (TargetVerdict::Drifted, format!("registration: {drift}"))).collect()
        }
        (Intent::Unpublished, ProxyVerdict::InSync | ProxyVerdict::Drifted(_)) => {
            vec![(TargetVerdict::Drifted, format!("{} is still registered", wanted.name))]
        }
    }
}
