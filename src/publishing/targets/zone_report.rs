//! In what a zone differs from what a server should have there. Pure.

use super::super::report::TargetVerdict;
use crate::edge::{Conflict, EdgeRecord, Intent, OwnerMark, RecordVerdict, Target, compare};
use crate::ports::ZoneRecord;

/// The differences, each with its verdict. Records of others at the names of the server are listed too; alone they are no
/// difference.
pub(super) fn differences(target: Target, record: &EdgeRecord, listed: &[ZoneRecord]) -> Vec<(TargetVerdict, String)> {
    let publication = &record.publication;
    let wanted = match record.intent {
        Intent::Published => publication.wanted(target, record.generation),
        Intent::Unpublished => Vec::new(),
    };
    let mut found = Vec::new();
    for wanted in &wanted {
        let kind = wanted.data.record_type();
        let line = |what: String| format!("{kind} {}: {what}", wanted.name);
        let foreign = match compare(wanted, listed).0 {
            RecordVerdict::InSync { foreign, .. } => foreign,
            RecordVerdict::Missing => {
                found.push((TargetVerdict::Missing, line("missing".to_owned())));
                Vec::new()
            }
            RecordVerdict::Drifted { drifts, foreign } => {
                let drifts: Vec<&str> = drifts.into_iter().map(|drift| drift.as_str()).collect();
                found.push((TargetVerdict::Drifted, line(drifts.join(", "))));
                foreign
            }
            RecordVerdict::Conflict(conflict) => {
                found.push((TargetVerdict::Conflict, line(conflict.to_string())));
                Vec::new()
            }
        };
        if !foreign.is_empty() {
            found.push((TargetVerdict::InSync, line(Conflict::Foreign(foreign).to_string())));
        }
    }
    let is_left = |held: &&ZoneRecord| {
        let ours = OwnerMark::of(held).is_some_and(|mark| mark.vmid == publication.vmid);
        ours && !wanted.iter().any(|one| one.same_name_and_type(held))
    };
    let left = listed.iter().filter(is_left);
    found.extend(
        left.map(|held| (TargetVerdict::Drifted, format!("{} {}: still there", held.data.record_type(), held.name))),
    );
    found
}
