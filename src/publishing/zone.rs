//! Brings one DNS server to what a server should have there, or to nothing of it.
//!
//! Each round reads, compares, changes, and reads again: success is what was read back (invariant S9), and an answer that
//! was lost is settled by the next reading, never by a blind repetition.

use std::collections::BTreeSet;

use crate::edge::{Change, Conflict, EdgeError, Owner, Target, Verdict, WantedRecord, compare};
use crate::kernel::{Classify, DnsName, Failure, VmId};
use crate::ports::{DnsZone, RecordId, RecordType, ZoneChange, ZoneError, ZoneRecord};

/// How often a zone is changed and read again before it counts as not to be settled.
const ROUNDS: u32 = 4;

/// Makes the zone hold exactly `wanted` of ours at `names`, and answers with the ids of those records. Whatever of ours
/// is left at `names` from older generations goes; what does not carry our mark is never changed.
pub(super) async fn converge(
    zone: &dyn DnsZone,
    target: Target,
    names: &BTreeSet<DnsName>,
    vmid: VmId,
    wanted: &[WantedRecord],
) -> Result<Vec<RecordId>, EdgeError> {
    let names: Vec<DnsName> = names.iter().cloned().collect();
    let mut last = None;
    for _ in 0..=ROUNDS {
        let listed = read(zone, target, &names).await?;
        let plan = plan(target, &listed, vmid, wanted)?;
        if plan.changes.is_empty() {
            return match plan.in_the_way {
                Some(detail) => Err(EdgeError::Conflict { target, detail }),
                None => Ok(plan.ids),
            };
        }
        last = change(zone, target, &plan.changes).await?;
    }
    Err(unsettled(target, last))
}

/// Takes everything of ours at `names` out of the zone, and returns when it was read to be gone.
pub(super) async fn clear(
    zone: &dyn DnsZone,
    target: Target,
    names: &BTreeSet<DnsName>,
    vmid: VmId,
) -> Result<(), EdgeError> {
    converge(zone, target, names, vmid, &[]).await.map(drop)
}

/// What one reading shows: what has to change, and the ids of what is right.
struct Plan {
    changes: Vec<ZoneChange>,
    ids: Vec<RecordId>,
    /// What others put beside a record of ours, so that it does not do what it should.
    in_the_way: Option<String>,
}

fn plan(target: Target, listed: &[ZoneRecord], vmid: VmId, wanted: &[WantedRecord]) -> Result<Plan, EdgeError> {
    let mut plan = Plan { changes: Vec::new(), ids: Vec::new(), in_the_way: None };
    let is_wanted = |record: &ZoneRecord| {
        let same = |one: &WantedRecord| one.name == record.name && one.data.record_type() == record.data.record_type();
        wanted.iter().any(same)
    };
    let stale = listed.iter().filter(|record| is_ours(record, vmid) && !is_wanted(record));
    plan.changes.extend(stale.map(|record| ZoneChange::Delete(record.clone())));
    for record in wanted {
        let (verdict, changes) = compare(record, listed);
        match verdict {
            Verdict::Conflict(conflict) => return Err(EdgeError::Conflict { target, detail: conflict.to_string() }),
            Verdict::InSync { record, .. } => plan.ids.extend(record.id),
            Verdict::Drifted { .. } if changes.is_empty() => {
                plan.in_the_way = Some(beside(record, listed));
            }
            Verdict::Missing | Verdict::Drifted { .. } => {}
        }
        for change in changes {
            let change = match change {
                Change::Create(record) => ZoneChange::Create(record.to_new_record()),
                Change::Update { from, to } => ZoneChange::Update { from, to: to.to_new_record() },
                Change::Delete(record) => ZoneChange::Delete(record),
            };
            if !plan.changes.contains(&change) {
                plan.changes.push(change);
            }
        }
    }
    Ok(plan)
}

/// The IPv6 addresses of others beside `wanted`, which clients prefer to it.
fn beside(wanted: &WantedRecord, listed: &[ZoneRecord]) -> String {
    let v6 = listed.iter().filter(|record| record.name == wanted.name && record.data.record_type() == RecordType::Aaaa);
    Conflict::Foreign(v6.cloned().collect()).to_string()
}

async fn read(zone: &dyn DnsZone, target: Target, names: &[DnsName]) -> Result<Vec<ZoneRecord>, EdgeError> {
    zone.records_at(names).await.map_err(|source| EdgeError::Zone { target, source })
}

/// Makes the changes. An answer that leaves open what happened is handed back: the next reading settles it.
async fn change(zone: &dyn DnsZone, target: Target, changes: &[ZoneChange]) -> Result<Option<ZoneError>, EdgeError> {
    match zone.apply(changes).await {
        Ok(()) => Ok(None),
        Err(error) if error.failure() == Failure::Ambiguous => {
            tracing::debug!(%target, %error, "reading again what a change came to");
            Ok(Some(error))
        }
        Err(source) => Err(EdgeError::Zone { target, source }),
    }
}

fn unsettled(target: Target, last: Option<ZoneError>) -> EdgeError {
    match last {
        Some(source) => EdgeError::Zone { target, source },
        None => EdgeError::Unsettled { target, rounds: ROUNDS },
    }
}

pub(super) fn is_ours(record: &ZoneRecord, vmid: VmId) -> bool {
    record.comment.as_deref().and_then(Owner::read).is_some_and(|owner| owner.vmid == vmid)
}
