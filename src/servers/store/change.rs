//! Changes of a row.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ActiveModelTrait, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, QueryFilter};

use crate::db::Authority;
use crate::db::entities::instance::{self, Lifecycle};
use crate::kernel::{OperationId, Timestamp, VmId};
use crate::ports::NodeName;

/// Records a server. Its number, its host name and its operation are unique; a second record of one of them fails with
/// a duplicate error (`db::is_duplicate`).
pub async fn insert(authority: &impl Authority, row: instance::Model) -> Result<(), DbErr> {
    let row = row.into_active_model().reset_all();
    instance::Entity::insert(row).exec_without_returning(authority.connection()).await.map(drop)
}

/// Takes server `vmid` out of service: it is being deleted, and nothing is left to do at its public side. In a
/// transaction the row stays locked, so that what is read after this cannot change any more.
pub async fn mark_deleting(authority: &impl Authority, vmid: VmId, now: Timestamp) -> Result<(), DbErr> {
    instance::Entity::update_many()
        .col_expr(instance::Column::Lifecycle, Expr::value(Lifecycle::Deleting))
        .col_expr(instance::Column::EdgeDueAt, Expr::value(None::<i64>))
        .col_expr(instance::Column::Revision, Expr::col(instance::Column::Revision).add(1))
        .col_expr(instance::Column::UpdatedAt, Expr::value(now))
        .filter(instance::Column::Vmid.eq(vmid))
        .exec(authority.connection())
        .await
        .map(drop)
}

/// Records the node on which server `vmid` was last observed.
pub async fn mark_node(db: &impl ConnectionTrait, vmid: VmId, node: &NodeName) -> Result<(), DbErr> {
    instance::Entity::update_many()
        .col_expr(instance::Column::Node, Expr::value(node.as_str()))
        .filter(instance::Column::Vmid.eq(vmid))
        .exec(db)
        .await
        .map(drop)
}

/// Records whether the workload of server `vmid` is started with its container.
pub async fn mark_resume(db: &impl ConnectionTrait, vmid: VmId, resume: bool) -> Result<(), DbErr> {
    instance::Entity::update_many()
        .col_expr(instance::Column::Resume, Expr::value(resume))
        .filter(instance::Column::Vmid.eq(vmid))
        .exec(db)
        .await
        .map(drop)
}

/// Moves the time at which the public side of `row` is due to `due_at`; false when that time has changed since `row` was
/// read.
pub async fn mark_due(
    db: &impl ConnectionTrait,
    row: &instance::Model,
    due_at: Option<Timestamp>,
) -> Result<bool, DbErr> {
    let marked = instance::Entity::update_many()
        .col_expr(instance::Column::EdgeDueAt, Expr::value(due_at))
        .filter(instance::Column::Id.eq(row.id))
        .filter(instance::Column::EdgeDueAt.eq(row.edge_due_at))
        .exec(db)
        .await?;
    Ok(marked.rows_affected == 1)
}

/// Writes the payload of `row` and when its public side is due; false when the row has changed since it had `revision`.
pub(in crate::servers) async fn mark_payload(
    db: &impl ConnectionTrait,
    row: &instance::Model,
    revision: i64,
) -> Result<bool, DbErr> {
    let marked = instance::Entity::update_many()
        .col_expr(instance::Column::Payload, Expr::value(row.payload.as_str()))
        .col_expr(instance::Column::EdgeDueAt, Expr::value(row.edge_due_at))
        .col_expr(instance::Column::Revision, Expr::value(row.revision))
        .col_expr(instance::Column::UpdatedAt, Expr::value(row.updated_at))
        .filter(instance::Column::Id.eq(row.id))
        .filter(instance::Column::Revision.eq(revision))
        .exec(db)
        .await?;
    Ok(marked.rows_affected == 1)
}

/// Removes the row of server `vmid`, if `operation` made it.
pub async fn delete(authority: &impl Authority, vmid: VmId, operation: OperationId) -> Result<(), DbErr> {
    instance::Entity::delete_many()
        .filter(instance::Column::Vmid.eq(vmid))
        .filter(instance::Column::OperationId.eq(operation))
        .exec(authority.connection())
        .await
        .map(drop)
}
