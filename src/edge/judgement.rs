//! What is at the names of a server at one DNS server, against what should be there. The one rule for publishing, verifying
//! and deleting (docs/edge.md, "Ours and foreign"): never touch what is foreign, never call in sync what leads elsewhere,
//! never end a deletion without naming what stayed. Pure.

use super::compare::{Conflict, Drift, RecordVerdict, compare};
use super::owner_mark::{OwnerMark, Ownership};
use super::wanted::WantedRecord;
use crate::kernel::DnsName;
use crate::ports::{RecordData, RecordId, RecordType, ZoneChange, ZoneRecord};

/// Other types that make a name lead elsewhere, of any server.
const LEADS_ELSEWHERE: [&str; 5] = ["ALIAS", "ANAME", "APP", "DNAME", "FWD"];

/// What was found at the names of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Judgement {
    /// What has to change. Nothing, while something excludes a record of ours.
    pub changes: Vec<ZoneChange>,
    /// The ids of the records that are right.
    pub ids: Vec<RecordId>,
    /// Wanted records that are not there.
    pub missing: Vec<(RecordType, DnsName)>,
    /// Records of ours that are there in another form.
    pub drifted: Vec<(RecordType, DnsName, Vec<Drift>)>,
    /// Records of ours that should not be there.
    pub left: Vec<(RecordType, DnsName)>,
    /// Foreign records that lead players elsewhere or, where nothing shall be, anywhere.
    pub in_the_way: Vec<ZoneRecord>,
    /// Other foreign records.
    pub harmless: Vec<ZoneRecord>,
}

impl Judgement {
    /// What is in the way, for an operator; `None` when nothing is.
    pub fn obstacle(&self) -> Option<String> {
        (!self.in_the_way.is_empty()).then(|| describe(&self.in_the_way))
    }
}

/// Foreign records, for an operator.
pub fn describe(foreign: &[ZoneRecord]) -> String {
    let (alone, others): (Vec<_>, Vec<_>) =
        foreign.iter().cloned().partition(|record| matches!(record.data, RecordData::Cname(_) | RecordData::Ns(_)));
    let mut parts: Vec<String> = alone
        .into_iter()
        .map(|record| match record.data {
            RecordData::Ns(_) => Conflict::Delegated(record).to_string(),
            _ => Conflict::Alias(record).to_string(),
        })
        .collect();
    if !others.is_empty() {
        parts.push(Conflict::Foreign(others).to_string());
    }
    parts.join("; ")
}

/// Judges a complete listing of the names of the server `name` against `wanted`, which is empty when it shall have nothing.
pub fn judge(ownership: Ownership<'_>, name: &DnsName, wanted: &[WantedRecord], listed: &[ZoneRecord]) -> Judgement {
    let mut judgement = Judgement::default();
    for record in listed.iter().filter(|record| ownership.covers(record)) {
        if !wanted.iter().any(|one| one.same_name_and_type(record) || is_beside(one, record)) {
            judgement.changes.push(ZoneChange::Delete(record.clone()));
            judgement.left.push((record.data.record_type(), record.name.clone()));
        }
    }
    let mut is_excluded = false;
    for one in wanted {
        let (verdict, changes) = compare(one, listed, ownership);
        let (kind, at) = (one.data.record_type(), one.name.clone());
        match verdict {
            RecordVerdict::InSync { record, .. } => judgement.ids.extend(record.id),
            RecordVerdict::Missing => judgement.missing.push((kind, at)),
            RecordVerdict::Drifted { drifts, .. } => judgement.drifted.push((kind, at, drifts)),
            RecordVerdict::Conflict(_) => is_excluded = true,
        }
        for change in changes {
            if !judgement.changes.contains(&change) {
                judgement.changes.push(change);
            }
        }
    }
    if is_excluded {
        judgement.changes.clear();
    }
    for record in listed.iter().filter(|record| !ownership.covers(record)) {
        let counts = match wanted {
            // An old name may belong to another server by now.
            [] => leads_somewhere(&record.data) && (record.name.is_within(name) || OwnerMark::of(record).is_none()),
            wanted => wanted.iter().any(|one| leads_elsewhere(one, record)),
        };
        let list = if counts { &mut judgement.in_the_way } else { &mut judgement.harmless };
        list.push(record.clone());
    }
    judgement
}

/// Whether the record is an IPv6 address beside a wanted IPv4 address, which [`compare`] looks at.
fn is_beside(wanted: &WantedRecord, record: &ZoneRecord) -> bool {
    let kinds = (wanted.data.record_type(), record.data.record_type());
    wanted.name == record.name && kinds == (RecordType::A, RecordType::Aaaa)
}

/// Whether players who look up the name of the record get anywhere by it.
fn leads_somewhere(data: &RecordData) -> bool {
    match data {
        RecordData::Other { kind, .. } => LEADS_ELSEWHERE.contains(&kind.as_str()),
        RecordData::Cname(_)
        | RecordData::Ns(_)
        | RecordData::A(_)
        | RecordData::Aaaa(_)
        | RecordData::Srv(_)
        | RecordData::Unreadable { .. } => true,
    }
}

/// Whether some of those who look for `wanted` get the record or what it points to instead.
fn leads_elsewhere(wanted: &WantedRecord, record: &ZoneRecord) -> bool {
    let always = match &record.data {
        RecordData::Cname(_) | RecordData::Ns(_) => true,
        RecordData::Other { kind, .. } => LEADS_ELSEWHERE.contains(&kind.as_str()),
        RecordData::Unreadable { kind, .. } => matches!(kind, RecordType::Cname | RecordType::Ns),
        RecordData::A(_) | RecordData::Aaaa(_) | RecordData::Srv(_) => false,
    };
    wanted.name == record.name && (always || wanted.same_name_and_type(record) || is_beside(wanted, record))
}
