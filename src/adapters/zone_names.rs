//! Removes names of other zones from the requests of a zone's client.
//!
//! Names that were published under an earlier `ZPACK_ZONE` are still stored with their servers. The DNS server would
//! refuse a whole request that contains one, so these names are left out and count as having no records.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use crate::kernel::DnsName;
use crate::ports::{ZoneChange, ZoneError};

/// The names of one zone.
#[derive(Debug)]
pub(super) struct ZoneNames {
    zone: DnsName,
    left_out: Mutex<BTreeSet<DnsName>>,
}

impl ZoneNames {
    /// The names of `zone`.
    pub(super) fn of(zone: DnsName) -> Self {
        Self { zone, left_out: Mutex::new(BTreeSet::new()) }
    }

    /// Those of `names` that are in the zone. Another name is logged the first time.
    pub(super) fn among(&self, names: &[DnsName]) -> Vec<DnsName> {
        let (ours, others): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| name.is_within(&self.zone));
        for name in others {
            if self.left_out.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
                tracing::debug!(%name, zone = %self.zone, "{name} is not in zone {}; it is not read", self.zone);
            }
        }
        ours
    }

    /// Refuses a change with a name outside the zone, which some servers take as relative to it.
    pub(super) fn check(&self, changes: &[ZoneChange]) -> Result<(), ZoneError> {
        for change in changes {
            let name = match change {
                ZoneChange::Create(new) | ZoneChange::Update { to: new, .. } => &new.name,
                ZoneChange::Delete(_) => continue,
            };
            if !name.is_within(&self.zone) {
                let operation = format!("write a record at {name}");
                let detail = format!("it is not in {} (is ZPACK_ZONE right?)", self.zone);
                return Err(ZoneError::Misconfigured { operation, detail });
            }
        }
        Ok(())
    }
}
