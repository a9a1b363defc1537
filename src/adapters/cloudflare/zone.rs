//! Whether the id of the settings is that of our zone (docs/contracts/edge.md A3). Everything but [`Proof`] is pure.
//!
//! Cloudflare appends the name of its zone to every name that is not in it, and answers with success: records written
//! to another zone would lead no player anywhere, and would never be found again.

use std::sync::OnceLock;

use serde_json::Value;

use crate::kernel::DnsName;
use crate::ports::{NewRecord, ZoneChange, ZoneError};

/// What proved that the id belongs to another zone. It does not change while the process runs.
#[derive(Debug, Default)]
pub(super) struct Proof(OnceLock<String>);

impl Proof {
    /// Refuses an operation once the id was proven to belong to another zone.
    pub(super) fn demand_ours(&self, operation: &str) -> Result<(), ZoneError> {
        match self.0.get() {
            Some(detail) => Err(ZoneError::Misconfigured { operation: operation.to_owned(), detail: detail.clone() }),
            None => Ok(()),
        }
    }

    /// Remembers that the zone of the id is not `ours`, because of what was `seen`, and returns the error.
    pub(super) fn refuted(&self, operation: &str, ours: &DnsName, seen: &str) -> ZoneError {
        let detail = format!("CLOUDFLARE_ZONE_ID is the id of another zone than ZPACK_ZONE, {ours}: {seen}");
        let detail = self.0.get_or_init(|| detail).clone();
        ZoneError::Misconfigured { operation: operation.to_owned(), detail }
    }
}

/// Why a zone is not `ours`, from the document about it.
pub(super) fn other_zone(document: &Value, ours: &DnsName) -> Option<String> {
    let name = document.pointer("/result/name")?.as_str()?;
    (name.parse::<DnsName>().ok().as_ref() != Some(ours)).then(|| format!("it is that of {name}"))
}

/// Why the zone of a listing is not `ours`: a full name in it is not in our zone. Names that begin with an underscore
/// may be relative.
pub(super) fn outside(rows: &[Value], ours: &DnsName) -> Option<String> {
    let is_outside = |text: &&str| {
        let name = text.parse::<DnsName>();
        text.contains('.') && !text.starts_with('_') && name.is_ok_and(|name| !name.is_within(ours))
    };
    let name = rows.iter().filter_map(|row| row.get("name")?.as_str()).find(is_outside)?;
    Some(format!("it has a record at {name}"))
}

/// The id and the name of a record that was created under another name than `new` has.
pub(super) fn misplaced<'a>(created: &'a Value, new: &NewRecord) -> Option<(&'a str, &'a str)> {
    let (id, name) = (created.get("id")?.as_str()?, created.get("name")?.as_str()?);
    (name.parse::<DnsName>().ok().as_ref() != Some(&new.name)).then_some((id, name))
}

/// The records that `changes` create, in their order.
pub(super) fn created(changes: &[ZoneChange]) -> impl Iterator<Item = &NewRecord> {
    changes.iter().filter_map(|change| match change {
        ZoneChange::Create(new) => Some(new),
        ZoneChange::Update { .. } | ZoneChange::Delete(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_zone_is_ours_by_its_whole_name() {
        let ours: DnsName = "play.zpack.test".parse().unwrap();
        let named = |name: &str| other_zone(&json!({"result": {"name": name}}), &ours);
        assert_eq!((named("Play.Zpack.Test."), named("zpack.test").is_some()), (None, true));
        assert_eq!(other_zone(&json!({"result": null}), &ours), None);
        let rows = |names: &[&str]| names.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>();
        let ok = ["play.zpack.test", "www", "@", "_a._tcp.mc-1", "MC-1.PLAY.zpack.test.", "a b.c"];
        assert_eq!(outside(&rows(&ok), &ours), None);
        for name in ["evilplay.zpack.test", "zpack.test", "www.other.test"] {
            assert!(outside(&rows(&["www", name]), &ours).is_some_and(|seen| seen.contains(name)), "{name}");
        }
    }
}
