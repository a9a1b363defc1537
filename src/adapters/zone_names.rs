//! Keeps the names of other zones away from the client of one zone.
//!
//! What was published under an earlier `ZPACK_ZONE` is remembered with its server. A client of the present zone can read
//! nothing there, and its server would refuse the whole question; so such names are left out of it and count as empty.

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

    /// Those of `names` that are in the zone. One that is not is logged the first time.
    pub(super) fn among(&self, names: &[DnsName]) -> Vec<DnsName> {
        let (ours, others): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| name.is_within(&self.zone));
        for name in others {
            if self.left_out.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone()) {
                tracing::debug!(%name, zone = %self.zone, "{name} is not in {}, nothing is read there", self.zone);
            }
        }
        ours
    }

    /// Refuses a change that would make a record outside the zone, which some servers take for a name below it.
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
