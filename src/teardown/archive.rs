//! The archive of deleted servers: one row each, written and read.

use sea_orm::{ActiveValue::Set, EntityTrait};
use serde_json::{Value, json};

use super::run::TeardownRun;
use crate::db::entities::deleted_instance;
use crate::db::entities::instance;
use crate::edge::{EDGE_KEY, EdgeRecord, Registration};
use crate::jobs::OwnerError;
use crate::servers;

/// Writes the row of the archive, once, and marks the server as being deleted; `None` when it is gone already.
pub(super) async fn archive(run: &TeardownRun<'_>) -> Result<Option<instance::Model>, OwnerError> {
    let tx = run.cx.begin().await?;
    let now = run.deps.clock.now();
    // Marked before it is read: the row that is archived can no longer be changed.
    servers::store::mark_deleting(&tx, run.payload.vmid, now).await?;
    let Some(row) = servers::store::find(&*tx, run.payload.vmid).await? else { return Ok(None) };
    let known = deleted_instance::Entity::find_by_id(row.id).one(&*tx).await?;
    if known.is_none() {
        let archive = deleted_instance::ActiveModel {
            id: Set(row.id),
            vmid: Set(row.vmid),
            hostname: Set(row.hostname.clone()),
            user_id: Set(row.user_id),
            operation_id: Set(row.operation_id),
            teardown_id: Set(run.cx.id()),
            deleted_by: Set(run.payload.by.clone()),
            snapshot: Set(snapshot(&row).to_string()),
            archived_at: Set(now),
            finished_at: Set(None),
        };
        deleted_instance::Entity::insert(archive).exec_without_returning(&*tx).await?;
    }
    tx.commit().await?;
    Ok(Some(row))
}

/// What the archive keeps of a server besides its columns.
pub fn snapshot(row: &instance::Model) -> Value {
    json!({
        "kind": row.kind, "name": row.name, "software": row.software, "variant": row.variant, "version": row.version,
        "memoryMiB": row.memory_mib, "cpuCores": row.cpu_cores, "node": row.node, "address": row.address,
        "generation": row.generation, "createdAt": row.created_at,
        "payload": serde_json::from_str::<Value>(&row.payload).unwrap_or_default(),
    })
}

/// How the deleted server was registered with the proxy, if it was and the archive says so.
pub(super) fn registration(row: &deleted_instance::Model) -> Option<Registration> {
    let mut snapshot: Value = serde_json::from_str(&row.snapshot).ok()?;
    let record: EdgeRecord = serde_json::from_value(snapshot.get_mut("payload")?.get_mut(EDGE_KEY)?.take()).ok()?;
    record.publication.registration
}
