//! What a teardown removes: the facts that outlive the server's row.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::db::entities::instance;
use crate::edge::{EDGE_KEY, EdgeRecord, Target};
use crate::kernel::{OperationId, VmId};
use crate::ports::NodeName;
use crate::publishing::UnpublishPlan;
use crate::servers::payload;

/// A server, or a container that has none, as it has to be removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TeardownSubject {
    /// Its VMID.
    pub vmid: VmId,
    /// The operation that created it: its container names it, and it holds the names and numbers.
    pub nonce: OperationId,
    /// The node it was last observed on.
    pub node: NodeName,
    /// What it has at the edge, as it was stored when it was published.
    #[serde(default, rename = "withdrawal", skip_serializing_if = "Option::is_none")]
    pub unpublish: Option<UnpublishPlan>,
    /// Whether its container may have been destroyed already: then something else under its VMID is a newcomer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub destroy_requested: bool,
    /// The targets that may have something of it.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub targets: BTreeSet<Target>,
}

impl TeardownSubject {
    /// The subject of `row`. A publication that cannot be read is an error, and nothing is guessed instead.
    pub fn of(row: &instance::Model) -> Result<Self, payload::PayloadError> {
        let record: Option<EdgeRecord> = payload::read(row, EDGE_KEY)?;
        Ok(Self {
            vmid: row.vmid,
            nonce: row.operation_id,
            node: NodeName::new(&row.node),
            destroy_requested: false,
            unpublish: record.as_ref().map(UnpublishPlan::from),
            targets: record.map(|record| record.targets.into_keys().collect()).unwrap_or_default(),
        })
    }
}
