//! What has to be removed of a server, from what was stored when it was published.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::edge::{EdgeRecord, Registration};
use crate::kernel::{DnsName, VmId};
use crate::ports::RecordId;

/// What has to be removed. It needs no row of a server: a debt that outlives its server stores the same few facts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnpublishPlan {
    /// The server whose mark the records carry.
    pub vmid: VmId,
    /// The name it is registered under.
    pub name: DnsName,
    /// Every name its records may be at.
    pub names: BTreeSet<DnsName>,
    /// The ids of its records at any DNS server, as they were read back.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub known: BTreeSet<RecordId>,
    /// Earlier registrations under other names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Registration>,
}

impl From<&EdgeRecord> for UnpublishPlan {
    fn from(record: &EdgeRecord) -> Self {
        let publication = &record.publication;
        Self {
            vmid: publication.vmid,
            name: publication.name.clone(),
            names: record.names.clone(),
            known: record.targets.values().flat_map(|target| &target.ids).cloned().collect(),
            former: record.former.clone(),
        }
    }
}
