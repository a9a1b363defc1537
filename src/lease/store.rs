//! The row of a lease: its epoch is the fence, its stamp the sign of life for times without Redis.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbBackend, DbErr, EntityTrait, QueryFilter, Statement,
    UpdateMany,
};

use crate::db;
use crate::db::entities::lease;

use super::name::LeaseName;

/// What a candidate reads before it tries to take the lock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// The epoch of the last leader.
    pub(super) epoch: i64,
    /// How old the leader's stamp is by the clock of the database; `None` when nobody leads.
    pub(super) stamp: Option<Duration>,
}

/// Reads the row, which the first candidate ever creates.
pub(super) async fn find_or_insert(db: &impl ConnectionTrait, name: LeaseName) -> Result<Seen, DbErr> {
    let Some(row) = lease::Entity::find_by_id(name.to_string()).one(db).await? else {
        let row =
            lease::ActiveModel { name: Set(name.to_string()), epoch: Set(0), holder: Set(None), renewed_at: Set(None) };
        let mut keep = OnConflict::column(lease::Column::Name);
        keep.do_nothing_on([lease::Column::Name]);
        lease::Entity::insert(row).on_conflict(keep).exec_without_returning(db).await?;
        return Ok(Seen { epoch: 0, stamp: None });
    };
    let now = db::now(db).await?;
    Ok(Seen { epoch: row.epoch, stamp: row.renewed_at.map(|at| now.since(at)) })
}

/// Makes `holder` the leader if nobody was elected since `epoch` was read, and, with `old`, if the last leader's stamp
/// is older than that. Returns the new epoch. Waits for guarded transactions of the last leader.
pub(super) async fn raise_epoch(
    db: &impl ConnectionTrait,
    name: LeaseName,
    epoch: i64,
    holder: &str,
    old: Option<Duration>,
) -> Result<Option<i64>, DbErr> {
    let now = db::now_expr(db);
    let is_old = old.map(|age| {
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

/// Says that the leader of `epoch` lives. Returns whether it is still the leader.
pub(super) async fn stamp(db: &impl ConnectionTrait, name: LeaseName, epoch: i64) -> Result<bool, DbErr> {
    let stamped = of_epoch(name, epoch).col_expr(lease::Column::RenewedAt, db::now_expr(db)).exec(db).await?;
    Ok(stamped.rows_affected == 1)
}

/// Says that the leader of `epoch` leads no more; the epoch stays.
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

/// The epoch in force, which cannot be raised before `tx` ends: the row is locked for sharing, or on SQLite `tx` is the
/// only writer. `None` when the row is gone.
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
