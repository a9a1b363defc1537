//! In what a zone differs from what a server should have there. Pure.

use super::super::report::TargetVerdict;
use crate::edge::{EdgeRecord, Intent, Ownership, Target, describe, judge};
use crate::ports::ZoneRecord;

/// The differences, each with its verdict. Records of others at the names of the server are listed too; those that lead no
/// player elsewhere are no difference.
pub(super) fn differences(target: Target, record: &EdgeRecord, listed: &[ZoneRecord]) -> Vec<(TargetVerdict, String)> {
    let publication = &record.publication;
    let wanted = match record.intent {
        Intent::Published => publication.wanted(target, record.generation),
        Intent::Unpublished => Vec::new(),
    };
    let known = record.known(target);
    let ownership = Ownership { vmid: publication.vmid, known: &known };
    let judgement = judge(ownership, &publication.name, &wanted, listed);
    let mut found = Vec::new();
    for (kind, name) in &judgement.missing {
        found.push((TargetVerdict::Missing, format!("{kind} {name}: missing")));
    }
    for (kind, name, drifts) in &judgement.drifted {
        let drifts: Vec<&str> = drifts.iter().map(|drift| drift.as_str()).collect();
        found.push((TargetVerdict::Drifted, format!("{kind} {name}: {}", drifts.join(", "))));
    }
    for (kind, name) in &judgement.left {
        found.push((TargetVerdict::Drifted, format!("{kind} {name}: still there")));
    }
    found.extend(judgement.obstacle().map(|detail| (TargetVerdict::Conflict, detail)));
    if !judgement.harmless.is_empty() {
        found.push((TargetVerdict::InSync, describe(&judgement.harmless)));
    }
    found
}
