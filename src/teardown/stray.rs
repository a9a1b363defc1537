//! Registrations at the proxy that a deleted server left: of a publication that was under way when the server was deleted,
//! and whose process did not come to take it back.
//!
//! A registration carries no mark, so that the archive has to vouch for it: the name *and* the address are those that a
//! deleted server was published with, and nobody holds its number since. Whatever else is registered is not looked at.

use std::collections::BTreeSet;

use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::archive::registration;
use crate::db::entities::deleted_instance;
use crate::kernel::{DnsName, Hostname, VmId};
use crate::ports::{GameProxy, ProxyEntry, ProxyError, Unregistered};

/// How many names are looked up in one pass.
const BATCH: usize = 100;
/// How many rows of the archive are read for them; a number comes back rarely.
const ROWS: u64 = 1000;

/// Those of `listed` that a deleted server left whose number is `free`.
pub(super) async fn strays(
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

/// The host name of an entry in `zone` whose number is `free`.
fn host_of(zone: &DnsName, entry: &ProxyEntry, free: &BTreeSet<VmId>) -> Option<Hostname> {
    let host = entry.name.strip_suffix(zone.as_str())?.strip_suffix('.')?;
    let number: VmId = host.rsplit_once('-')?.1.parse().ok()?;
    free.contains(&number).then(|| host.parse().ok()).flatten()
}

/// Takes a registration out if it is still there in the form it was seen in; whether it was.
pub(super) async fn unregister(proxy: &dyn GameProxy, entry: &ProxyEntry) -> Result<bool, ProxyError> {
    if !proxy.list().await?.servers.contains(entry) {
        return Ok(false);
    }
    let gone = proxy.unregister(&entry.name).await? == Unregistered::Removed;
    tracing::warn!(name = entry.name, "removed {} from velocity: its server is gone", entry.name);
    Ok(gone)
}
