//! How much memory is committed on a node.

use std::collections::BTreeMap;

use super::types::{Commitment, PlacementPolicy};
use crate::kernel::VmId;
use crate::ports::{ContainerSummary, Node, NodeName};

const MIB: u64 = 1024 * 1024;

/// How much may be committed on a node altogether; `None` when its memory is unknown.
pub(super) fn budget_mib(node: &Node, policy: &PlacementPolicy) -> Option<u64> {
    let usable = (node.memory_bytes? / MIB).saturating_sub(policy.host_reserve_mib.into());
    Some(usable.saturating_mul(policy.overcommit_percent.into()) / 100)
}

/// What is committed on every node, to running and stopped containers alike: a stopped one may be started at any time.
///
/// For each container the larger of the cluster's figure and our record counts. A clone has the limit of its template
/// until it is configured, and a new container may have none yet.
pub(super) fn committed_mib<'a>(
    containers: &'a [ContainerSummary],
    ours: &'a [Commitment],
    policy: &PlacementPolicy,
) -> BTreeMap<&'a NodeName, u64> {
    let mut records: BTreeMap<VmId, &Commitment> = ours.iter().map(|record| (record.vmid, record)).collect();
    let mut committed = BTreeMap::new();
    for container in containers {
        let record = records.remove(&container.vmid);
        if container.template {
            continue;
        }
        let listed = container.memory_bytes.filter(|bytes| *bytes > 0).map(|bytes| bytes.div_ceil(MIB));
        let recorded = record.map(|record| u64::from(record.memory_mib));
        let mib = listed.max(recorded).unwrap_or(policy.assumed_container_mib.into());
        *committed.entry(&container.node).or_insert(0) += mib;
    }
    for record in records.into_values() {
        *committed.entry(&record.node).or_insert(0) += u64::from(record.memory_mib);
    }
    committed
}
