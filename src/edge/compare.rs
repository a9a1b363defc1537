//! Compares the records of a zone with those that should be there (docs/contracts/edge.md A8).

use std::fmt;

use crate::kernel::text_enum;
use crate::ports::{RecordData, RecordType, ZoneChange, ZoneRecord};

use super::owner_mark::{OwnerMark, Ownership};
use super::wanted::WantedRecord;

text_enum! {
    /// A way in which a record differs from what should be there.
    pub enum Drift {
        /// Its value differs.
        Value = "value",
        /// Its TTL differs.
        Ttl = "ttl",
        /// Its answers name a proxy, which also rewrites the SRV records that point at it.
        Proxied = "proxied",
        /// The mark is missing or names a later generation than ours.
        Comment = "comment",
        /// It is listed but not served.
        Disabled = "disabled",
        /// Its value means that the service is not offered.
        NotOffered = "not_offered",
        /// It is there more than once.
        Duplicate = "duplicate",
        /// An IPv6 address stands beside it, which clients prefer.
        Aaaa = "aaaa",
    }
}

/// Something that is not ours is in the way. Nothing is changed at this name until an operator has removed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// A CNAME excludes every other record.
    Alias(ZoneRecord),
    /// The name is delegated.
    Delegated(ZoneRecord),
    /// Records of the same type that do not carry our mark.
    Foreign(Vec<ZoneRecord>),
}

impl fmt::Display for Conflict {
    /// What is in the way, for the operator who has to look at it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = |record: &ZoneRecord| record.id.as_ref().map_or_else(String::new, |id| format!(" (id {})", id.0));
        match self {
            Self::Alias(record) => write!(f, "a CNAME stands at {}{}", record.name, id(record)),
            Self::Delegated(record) => write!(f, "{} is delegated by an NS record{}", record.name, id(record)),
            Self::Foreign(records) => {
                let one = |record: &ZoneRecord| {
                    let kind = match &record.data {
                        RecordData::Other { kind, .. } => kind.as_str(),
                        data => data.record_type().as_str(),
                    };
                    format!("the {kind} record at {}{}", record.name, id(record))
                };
                let each: Vec<String> = records.iter().map(one).collect();
                write!(f, "without our mark: {}", each.join(", "))
            }
        }
    }
}

/// What was found for one wanted record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordVerdict {
    /// It is there, once and as it should be. Records of others may stand beside it.
    InSync {
        /// The record.
        record: ZoneRecord,
        /// Records of others at the same name.
        foreign: Vec<ZoneRecord>,
    },
    /// It is not there.
    Missing,
    /// It is there in another form.
    Drifted {
        /// In what it differs.
        drifts: Vec<Drift>,
        /// Records of others at the same name.
        foreign: Vec<ZoneRecord>,
    },
    /// It cannot be corrected.
    Conflict(Conflict),
}

/// Compares one wanted record with a complete listing of its name: the verdict, and what has to change.
pub fn compare(
    wanted: &WantedRecord,
    listed: &[ZoneRecord],
    ownership: Ownership<'_>,
) -> (RecordVerdict, Vec<ZoneChange>) {
    let here: Vec<&ZoneRecord> = listed.iter().filter(|record| record.name == wanted.name).collect();
    if let Some(conflict) = excluded(&here, ownership) {
        return (RecordVerdict::Conflict(conflict), Vec::new());
    }
    let (mut verdict, mut changes) = compare_type(wanted, &here, ownership);
    let v6 = of_type(&here, RecordType::Aaaa);
    if wanted.data.record_type() == RecordType::A && !v6.is_empty() {
        verdict = beside_aaaa(verdict);
        let ours = v6.into_iter().filter(|record| ownership.covers(record));
        changes.extend(ours.map(|record| ZoneChange::Delete(record.clone())));
    }
    (verdict, changes)
}

/// Compares the records of the wanted type at the wanted name.
fn compare_type(
    wanted: &WantedRecord,
    here: &[&ZoneRecord],
    ownership: Ownership<'_>,
) -> (RecordVerdict, Vec<ZoneChange>) {
    let same_type = of_type(here, wanted.data.record_type());
    let (mut ours, foreign): (Vec<&ZoneRecord>, Vec<&ZoneRecord>) =
        same_type.into_iter().partition(|record| ownership.covers(record));
    let foreign: Vec<ZoneRecord> = foreign.into_iter().cloned().collect();
    // A record that is right already comes first, then the oldest; ids make the order total.
    ours.sort_by_key(|record| (record.data != wanted.data, record.disabled, record.created_at, record.id.clone()));
    match ours.split_first() {
        Some((kept, extra)) => found(wanted, kept, extra, foreign),
        None if foreign.is_empty() => (RecordVerdict::Missing, vec![ZoneChange::Create(wanted.to_new_record())]),
        None => (RecordVerdict::Conflict(Conflict::Foreign(foreign)), Vec::new()),
    }
}

fn found(
    wanted: &WantedRecord,
    kept: &ZoneRecord,
    extra: &[&ZoneRecord],
    foreign: Vec<ZoneRecord>,
) -> (RecordVerdict, Vec<ZoneChange>) {
    // Records of one name and type share their TTL at some servers: that of foreign ones is not changed.
    let ttl = if foreign.is_empty() { wanted.ttl } else { kept.ttl };
    let wanted = &WantedRecord { ttl, ..wanted.clone() };
    let mut drifts = differences(wanted, kept);
    // Duplicates go first: a server that finds the same value twice refuses to rewrite one into the other.
    let mut changes: Vec<ZoneChange> = extra.iter().map(|record| ZoneChange::Delete((*record).clone())).collect();
    if !drifts.is_empty() {
        changes.push(ZoneChange::Update { from: kept.clone(), to: wanted.to_new_record() });
    }
    if !extra.is_empty() {
        drifts.push(Drift::Duplicate);
    }
    if drifts.is_empty() {
        (RecordVerdict::InSync { record: kept.clone(), foreign }, changes)
    } else {
        (RecordVerdict::Drifted { drifts, foreign }, changes)
    }
}

fn beside_aaaa(verdict: RecordVerdict) -> RecordVerdict {
    match verdict {
        RecordVerdict::InSync { foreign, .. } => RecordVerdict::Drifted { drifts: vec![Drift::Aaaa], foreign },
        RecordVerdict::Drifted { mut drifts, foreign } => {
            drifts.push(Drift::Aaaa);
            RecordVerdict::Drifted { drifts, foreign }
        }
        RecordVerdict::Missing | RecordVerdict::Conflict(_) => verdict,
    }
}

fn of_type<'a>(here: &[&'a ZoneRecord], kind: RecordType) -> Vec<&'a ZoneRecord> {
    here.iter().copied().filter(|record| record.data.record_type() == kind).collect()
}

/// A foreign CNAME or delegation at the name. The apex, which has name servers of its own, is never a server's name.
fn excluded(here: &[&ZoneRecord], ownership: Ownership<'_>) -> Option<Conflict> {
    let first = |kind| of_type(here, kind).into_iter().find(|record| !ownership.covers(record)).cloned();
    first(RecordType::Cname).map(Conflict::Alias).or_else(|| first(RecordType::Ns).map(Conflict::Delegated))
}

fn differences(wanted: &WantedRecord, record: &ZoneRecord) -> Vec<Drift> {
    let mut drifts = Vec::new();
    let not_offered = matches!(&record.data, RecordData::Srv(srv) if srv.target.is_none());
    if record.data != wanted.data {
        drifts.push(if not_offered { Drift::NotOffered } else { Drift::Value });
    }
    if record.ttl != wanted.ttl {
        drifts.push(Drift::Ttl);
    }
    if record.proxied {
        drifts.push(Drift::Proxied);
    }
    if record.disabled {
        drifts.push(Drift::Disabled);
    }
    let mark = OwnerMark::of(record);
    // A record that stays as it is keeps the mark of the generation that made it.
    if mark.is_none_or(|mark| mark.vmid != wanted.mark.vmid || mark.generation > wanted.mark.generation) {
        drifts.push(Drift::Comment);
    }
    drifts
}
