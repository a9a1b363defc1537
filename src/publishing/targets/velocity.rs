//! The game proxy as a target. What was sent is read back, where the proxy can list; with one that cannot, the server is
//! registered again each time, which is harmless.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::report::{TargetReport, TargetVerdict};
use super::super::unpublish::UnpublishPlan;
use super::{EdgeTarget, Holdings};
use crate::edge::{
    EdgeError, EdgeRecord, Intent, ProxyChange, ProxyVerdict, Registration, Target, compare_proxy, left_behind,
};
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

    /// Makes the proxy have `wanted` once, under its canonical name and at its address, and none of `former`.
    async fn register(&self, wanted: &Registration, former: &[Registration]) -> Result<(), EdgeError> {
        for _ in 0..=ROUNDS {
            let listed = match self.proxy.list().await {
                Ok(listing) => listing.servers,
                Err(ProxyError::Unsupported { .. }) => {
                    self.unregister_blindly(former).await?;
                    return Ok(self.proxy.register(&wanted.name, wanted.address).await?);
                }
                Err(error) => return Err(error.into()),
            };
            let mut changes: Vec<ProxyChange> =
                left_behind(former, &listed).into_iter().map(ProxyChange::Unregister).collect();
            changes.extend(compare_proxy(wanted, &listed).1);
            if changes.is_empty() {
                return Ok(());
            }
            self.apply(changes).await?;
        }
        Err(EdgeError::Unsettled { target: Target::Velocity, rounds: ROUNDS })
    }

    /// Makes the changes; the first one whose result is unknown ends them, and the next listing shows it.
    async fn apply(&self, changes: Vec<ProxyChange>) -> Result<(), EdgeError> {
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
        Ok(())
    }

    /// Unregisters `former` at a proxy that cannot list.
    async fn unregister_blindly(&self, former: &[Registration]) -> Result<(), EdgeError> {
        for server in former {
            self.proxy.unregister(server.name.as_str()).await?;
        }
        Ok(())
    }

    /// Unregisters those of `former` that the proxy lists.
    async fn unregister_former(&self, former: &[Registration]) -> Result<(), EdgeError> {
        if former.is_empty() {
            return Ok(());
        }
        for _ in 0..=ROUNDS {
            let listed = match self.proxy.list().await {
                Ok(listing) => listing.servers,
                Err(ProxyError::Unsupported { .. }) => return self.unregister_blindly(former).await,
                Err(error) => return Err(error.into()),
            };
            let left = left_behind(former, &listed);
            if left.is_empty() {
                return Ok(());
            }
            self.apply(left.into_iter().map(ProxyChange::Unregister).collect()).await?;
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
            self.register(wanted, &record.former).await?;
        }
        Ok(Vec::new())
    }

    async fn unpublish(&self, plan: &UnpublishPlan) -> Result<(), EdgeError> {
        self.unregister_former(&plan.former).await?;
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
    let left = left_behind(&record.former, listed).into_iter();
    let left = left.map(|name| (TargetVerdict::Drifted, format!("{name} is still registered")));
    registration(record, listed).into_iter().chain(left).collect()
}

/// In what the registration under the present name differs.
fn registration(record: &EdgeRecord, listed: &[ProxyEntry]) -> Vec<(TargetVerdict, String)> {
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
