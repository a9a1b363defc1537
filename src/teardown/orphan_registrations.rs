//! Registrations at the proxy that a deleted server left: of a publication that was running when the server was deleted, and
//! whose process died before it could remove them.
//!
//! A registration carries no mark, so that the archive has to confirm it: the name *and* the address are those that a
//! deleted server was published with, and its VMID has been free since. Every other registration is left alone.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::archive::registration;
use crate::db::entities::deleted_instance;
use crate::kernel::{DnsName, Hostname, VmId};
use crate::ports::{GameProxy, ProxyEntry, ProxyError, Unregistered};

/// How many names are checked in one pass.
const BATCH: usize = 100;
/// How many rows of the archive are read for them; a VMID is rarely used again.
const ROWS: u64 = 1000;

/// Those of `listed` that a deleted server left whose VMID is `free`.
pub(super) async fn orphaned(
    db: &DatabaseConnection,
    zone: &DnsName,
    listed: Vec<ProxyEntry>,
    free: &BTreeSet<VmId>,
) -> Result<Vec<ProxyEntry>, DbErr> {
    let suspects: Vec<(Hostname, ProxyEntry)> =
        listed.into_iter().filter_map(|entry| Some((host_of(zone, &entry, free)?, entry))).take(BATCH).collect();
    if suspects.is_empty() {
        return Ok(Vec::new());
    }
    let archived = deleted_instance::Entity::find()
        .filter(deleted_instance::Column::Hostname.is_in(suspects.iter().map(|(host, _)| host.clone())))
        .filter(deleted_instance::Column::FinishedAt.is_not_null())
        .order_by_desc(deleted_instance::Column::ArchivedAt)
        .limit(ROWS)
        .all(db)
        .await?;
    let left = archived.iter().filter(|row| free.contains(&row.vmid)).filter_map(registration).collect::<Vec<_>>();
    let is_left = |entry: &ProxyEntry| {
        left.iter().any(|left| entry.name == left.name.as_str() && entry.address == Some(left.address))
    };
    Ok(suspects.into_iter().map(|(_, entry)| entry).filter(is_left).collect())
}

/// The host name of an entry in `zone` whose VMID is `free`.
fn host_of(zone: &DnsName, entry: &ProxyEntry, free: &BTreeSet<VmId>) -> Option<Hostname> {
    let host = entry.name.strip_suffix(zone.as_str())?.strip_suffix('.')?;
    let number: VmId = host.rsplit_once('-')?.1.parse().ok()?;
    free.contains(&number).then(|| host.parse().ok()).flatten()
}

/// Removes a registration if it is still there in the form in which it was listed; whether it was.
pub(super) async fn unregister(proxy: &dyn GameProxy, entry: &ProxyEntry) -> Result<bool, ProxyError> {
    if !proxy.list().await?.servers.contains(entry) {
        return Ok(false);
    }
    let gone = proxy.unregister(&entry.name).await? == Unregistered::Removed;
    tracing::warn!(name = entry.name, "removed {} from velocity: its server is gone", entry.name);
    Ok(gone)
}
