//! Takes what a server has at one target back, from what was persisted when it was published.
//!
//! Needs no server row and no plan: a debt that outlives its server carries the same few facts.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{registration, zone};
use crate::db::entities::debt::DebtKind;
use crate::edge::{EdgeError, EdgeRecord, Target, Targets};
use crate::kernel::{DnsName, VmId};

/// What has to go, as it was persisted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Withdrawal {
    /// The server whose mark the records carry.
    pub vmid: VmId,
    /// The name it is registered under.
    pub name: DnsName,
    /// Every name its records may be at.
    pub names: BTreeSet<DnsName>,
}

impl From<&EdgeRecord> for Withdrawal {
    fn from(record: &EdgeRecord) -> Self {
        let publication = &record.publication;
        Self { vmid: publication.vmid, name: publication.name.clone(), names: record.names.clone() }
    }
}

/// The debt that something at `target` would be, if anything is ever outside there.
pub const fn debt_of(target: Target) -> Option<DebtKind> {
    match target {
        Target::Velocity => Some(DebtKind::Velocity),
        Target::Technitium => Some(DebtKind::Technitium),
        Target::Cloudflare => Some(DebtKind::Cloudflare),
        Target::Traefik | Target::Ide => None,
    }
}

/// The target that a debt is at.
pub const fn target_of(kind: DebtKind) -> Option<Target> {
    match kind {
        DebtKind::Velocity => Some(Target::Velocity),
        DebtKind::Technitium => Some(Target::Technitium),
        DebtKind::Cloudflare => Some(Target::Cloudflare),
        DebtKind::Container | DebtKind::Reservation => None,
    }
}

/// Takes everything of the server out of `target` and returns when it was read to be gone. Safe to repeat. The targets
/// that read our own records have nothing that could be taken out.
pub async fn withdraw(targets: &Targets, target: Target, what: &Withdrawal) -> Result<(), EdgeError> {
    match target {
        Target::Velocity => registration::clear(targets.proxy()?, &what.name).await,
        Target::Technitium | Target::Cloudflare => {
            zone::clear(targets.zone(target)?, target, &what.names, what.vmid).await
        }
        Target::Traefik | Target::Ide => Ok(()),
    }
}
