//! Finds records that carry our mark and no longer belong to a server, and refuses to decide from doubtful listings.
//!
//! Pure. The caller guarantees complete listings, of the zone first and of the servers after it.

use std::collections::BTreeSet;

use super::owner_mark::OwnerMark;
use crate::kernel::{DnsName, VmId};
use crate::ports::ZoneRecord;

/// With more orphans than this share of the marked servers, the list of servers is more likely wrong than the zone.
const MASS_PERCENT: usize = 20;

/// Why no record counts as an orphan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Doubt {
    /// There is no server at all.
    #[error("the database knows no server, yet records carry our mark")]
    NoServers,
    /// Too many at once.
    #[error("{orphans} of {marked} servers with records would be orphans, more than {MASS_PERCENT} percent")]
    TooMany {
        /// Servers that would be orphans.
        orphans: usize,
        /// Servers whose mark is in the zone.
        marked: usize,
    },
}

/// The records of `listed` that carry our mark, have a name that we give, and belong to a VMID that is `free`: one that was
/// given out and is not held now. A single server is never too many.
pub fn orphans(
    zone: &DnsName,
    listed: &[ZoneRecord],
    servers: &BTreeSet<VmId>,
    free: &BTreeSet<VmId>,
) -> Result<Vec<ZoneRecord>, Doubt> {
    let ours: Vec<(VmId, &ZoneRecord)> =
        listed.iter().filter_map(|record| Some((owner_of(zone, record)?, record))).collect();
    let is_left = |vmid: &VmId| free.contains(vmid) && !servers.contains(vmid);
    let marked: BTreeSet<VmId> = ours.iter().map(|(vmid, _)| *vmid).collect();
    let left = marked.iter().filter(|vmid| is_left(vmid)).count();
    if left > 0 && servers.is_empty() {
        return Err(Doubt::NoServers);
    }
    if left > 1 && left * 100 > marked.len() * MASS_PERCENT {
        return Err(Doubt::TooMany { orphans: left, marked: marked.len() });
    }
    Ok(ours.into_iter().filter(|(vmid, _)| is_left(vmid)).map(|(_, record)| record.clone()).collect())
}

/// The server of the record, if its mark and its name agree: `<anything>-<vmid>` in the zone, services below it.
pub fn owner_of(zone: &DnsName, record: &ZoneRecord) -> Option<VmId> {
    let mark = OwnerMark::of(record)?;
    let below = record.name.as_str().strip_suffix(zone.as_str())?.strip_suffix('.')?;
    let mut labels = below.split('.').skip_while(|label| label.starts_with('_'));
    let (Some(host), None) = (labels.next(), labels.next()) else { return None };
    let number = host.rsplit_once('-').map(|(_, number)| number)?;
    (number == mark.vmid.to_string()).then_some(mark.vmid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{RecordData, Ttl};

    fn zone() -> DnsName {
        "zone.tld".parse().unwrap()
    }

    fn record(name: &str, comment: &str) -> ZoneRecord {
        ZoneRecord {
            id: None,
            name: name.parse().unwrap(),
            data: RecordData::A([192, 0, 2, 1].into()),
            ttl: Ttl::Seconds(60),
            proxied: false,
            disabled: false,
            comment: Some(comment.to_owned()),
            created_at: None,
        }
    }

    fn of(vmid: i64) -> ZoneRecord {
        record(&format!("mc-paper-{vmid}.zone.tld"), &format!("zpack vmid={vmid} gen=1"))
    }

    fn known(vmids: impl IntoIterator<Item = i64>) -> BTreeSet<VmId> {
        vmids.into_iter().map(|vmid| VmId::new(vmid).unwrap()).collect()
    }

    #[test]
    fn mark_and_name_have_to_agree() {
        for (name, comment, expected) in [
            ("mc-paper-5013.zone.tld", "zpack vmid=5013 gen=1", true),
            ("_minecraft._tcp.mc-paper-5013.zone.tld", "zpack vmid=5013 gen=9", true),
            ("www.zone.tld", "zpack vmid=5013 gen=1", false),
            ("zone.tld", "zpack vmid=5013 gen=1", false),
            ("mc-paper-50.zone.tld", "zpack vmid=5013 gen=1", false),
            ("mc-paper-15013.zone.tld", "zpack vmid=5013 gen=1", false),
            ("sub.mc-paper-5013.zone.tld", "zpack vmid=5013 gen=1", false),
            ("mc-paper-5013.evilzone.tld", "zpack vmid=5013 gen=1", false),
            ("mc-paper-5013.zone.tld", "zpack vmid=5013 gen=1 by hand", false),
            ("mc-paper-5013.zone.tld", "", false),
        ] {
            assert_eq!(owner_of(&zone(), &record(name, comment)).is_some(), expected, "{name} {comment}");
        }
    }

    #[test]
    fn one_is_found_and_too_many_are_not_believed() {
        let listed: Vec<_> = (101..=110).map(of).collect();
        let left = |servers| orphans(&zone(), &listed, &servers, &known(101..=110));
        assert_eq!(left(known(101..=110)), Ok(Vec::new()));
        assert_eq!(left(known(102..=110)), Ok(vec![of(101)]));
        assert_eq!(left(known(103..=110)).unwrap().len(), 2, "a fifth is not more than a fifth");
        assert_eq!(left(known(104..=110)), Err(Doubt::TooMany { orphans: 3, marked: 10 }));
        assert_eq!(left(known([])), Err(Doubt::NoServers));
    }

    #[test]
    fn a_number_that_is_held_or_was_never_ours_is_no_orphan_and_one_of_two_is_not_too_many() {
        let two = [of(101), of(102)];
        assert_eq!(orphans(&zone(), &two, &known([102]), &known([])), Ok(Vec::new()));
        assert_eq!(orphans(&zone(), &two, &known([102]), &known([101])), Ok(vec![of(101)]));
        assert_eq!(orphans(&zone(), &[], &known([]), &known([])), Ok(Vec::new()));
    }
}
