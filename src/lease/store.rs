//! The row of a lease: its epoch is the fence, `renewed_at` the heartbeat that counts while Redis does not answer.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, Statement,
    UpdateMany,
};

use crate::db;
use crate::db::entities::lease;

use super::name::LeaseName;

/// The row as a candidate reads it before it tries to take the lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeaseSnapshot {
    /// The epoch of the last leader.
    pub(super) epoch: i64,
    /// The age of the leader's heartbeat by the clock of the database; `None` without a leader.
    pub(super) heartbeat_age: Option<Duration>,
}

/// Reads the row; the very first candidate creates it.
pub(super) async fn find_or_insert(db: &impl ConnectionTrait, name: LeaseName) -> Result<LeaseSnapshot, DbErr> {
    let Some(row) = lease::Entity::find_by_id(name.to_string()).one(db).await? else {
        let row =
            lease::ActiveModel { name: Set(name.to_string()), epoch: Set(0), holder: Set(None), renewed_at: Set(None) };
        let mut keep = OnConflict::column(lease::Column::Name);
        keep.do_nothing_on([lease::Column::Name]);
        lease::Entity::insert(row).on_conflict(keep).exec_without_returning(db).await?;
        return Ok(LeaseSnapshot { epoch: 0, heartbeat_age: None });
    };
    let now = db::now(db).await?;
    Ok(LeaseSnapshot { epoch: row.epoch, heartbeat_age: row.renewed_at.map(|at| now.since(at)) })
}

/// Makes `holder` the leader if no other was elected since `epoch` was read, and the last leader's heartbeat is older
/// than `older_than`, if given. Returns the new epoch. Waits for transactions of the last leader that hold the epoch.
pub(super) async fn raise_epoch(
    db: &impl ConnectionTrait,
    name: LeaseName,
    epoch: i64,
    holder: &str,
    older_than: Option<Duration>,
) -> Result<Option<i64>, DbErr> {
    let now = db::now_expr(db);
    let is_old = older_than.map(|age| {
        let age = db::millis(age);
        Condition::any()
            .add(lease::Column::RenewedAt.is_null())
            .add(Expr::col(lease::Column::RenewedAt).lt(now.clone().sub(age)))
    });
    let raised = of_epoch(name, epoch)
        .col_expr(lease::Column::Epoch, Expr::value(epoch.saturating_add(1)))
        .col_expr(lease::Column::Holder, Expr::value(holder))
        .col_expr(lease::Column::RenewedAt, now)
        .filter(Condition::all().add_option(is_old))
        .exec(db)
        .await?;
    Ok((raised.rows_affected == 1).then(|| epoch.saturating_add(1)))
}

/// Writes the heartbeat of the leader of `epoch`. Returns whether it is still the leader.
pub(super) async fn heartbeat(db: &impl ConnectionTrait, name: LeaseName, epoch: i64) -> Result<bool, DbErr> {
    let written = of_epoch(name, epoch).col_expr(lease::Column::RenewedAt, db::now_expr(db)).exec(db).await?;
    Ok(written.rows_affected == 1)
}

/// Records that the leader of `epoch` has resigned; the epoch stays.
pub(super) async fn resign(db: &impl ConnectionTrait, name: LeaseName, epoch: i64) -> Result<(), DbErr> {
    of_epoch(name, epoch)
        .col_expr(lease::Column::Holder, Expr::value(None::<String>))
        .col_expr(lease::Column::RenewedAt, Expr::value(None::<i64>))
        .exec(db)
        .await
        .map(drop)
}

fn of_epoch(name: LeaseName, epoch: i64) -> UpdateMany<lease::Entity> {
    lease::Entity::update_many().filter(lease::Column::Name.eq(name.as_str())).filter(lease::Column::Epoch.eq(epoch))
}

/// Reads the current epoch and keeps it from being raised before `tx` ends: by a shared lock of the row, or on SQLite
/// because `tx` is the only writer. `None` if the row is gone.
pub(super) async fn hold_epoch(tx: &impl ConnectionTrait, name: LeaseName) -> Result<Option<i64>, DbErr> {
    let backend = tx.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "SELECT epoch FROM leases WHERE name = $1 FOR SHARE",
        DbBackend::MySql => "SELECT epoch FROM leases WHERE name = ? LOCK IN SHARE MODE",
        _ => "SELECT epoch FROM leases WHERE name = ?",
    };
    let row = tx.query_one_raw(Statement::from_sql_and_values(backend, sql, [name.as_str().into()])).await?;
    row.map(|row| row.try_get("", "epoch")).transpose()
}
