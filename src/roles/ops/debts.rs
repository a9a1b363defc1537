//! `zpack ops debts` and `zpack ops release`: the debts, and an operator's decision to close some without removing
//! anything.

use anyhow::Context;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::json;

use super::view::DebtDetails;
use crate::db;
use crate::db::entities::debt::{self, DebtState};
use crate::kernel::{DebtId, OperationId, Timestamp};
use crate::roles::audited;
use crate::roles::output::{self, Output, age, or_dash};
use crate::teardown;

/// Lists debts in `state`, the oldest first.
pub(super) async fn list(
    db: &DatabaseConnection,
    state: DebtState,
    limit: u64,
    now: Timestamp,
    output: Output,
) -> anyhow::Result<()> {
    let rows = debt::Entity::find()
        .filter(debt::Column::State.eq(state))
        .order_by_asc(debt::Column::CreatedAt)
        .order_by_asc(debt::Column::Id)
        .limit(limit);
    let rows = db::readable(rows, db).await.context("cannot list the debts")?;
    let debts: Vec<DebtDetails> = rows.into_iter().map(DebtDetails::from).collect();
    output.print(&json!({"debts": debts}), |_| {
        let rows = debts.iter().map(|debt| {
            vec![
                debt.id.to_string(),
                debt.kind.to_string(),
                or_dash(debt.vmid),
                or_dash(debt.node.as_deref()),
                age(now, debt.created_at),
                debt.attempts.to_string(),
                or_dash(debt.next_attempt_at.map(|at| output::span(at.since(now)))),
                or_dash(debt.last_error.as_deref()),
            ]
        });
        let header = ["id", "kind", "vmid", "node", "age", "attempts", "next in", "last error"];
        output::table(&header, rows, &format!("No {state} debts."))
    })
}

/// Releases debts, all of them or none.
pub(super) async fn release(
    db: &DatabaseConnection,
    ids: &[DebtId],
    reason: &str,
    now: Timestamp,
    output: Output,
) -> anyhow::Result<()> {
    let tx = db::begin(db).await.context("cannot begin a transaction")?;
    let mut released = Vec::new();
    for id in ids {
        let row = teardown::release(&tx, *id, now).await?;
        let detail = json!({"kind": row.kind, "vmid": row.vmid, "operation": row.operation_id, "reason": reason});
        audited::record(&tx, "debt.release", &id.to_string(), detail, now)
            .await
            .context("cannot write to the audit log")?;
        released.push(DebtDetails::from(debt::Model { state: DebtState::Released, ..row }));
    }
    tx.commit().await.context("cannot commit the transaction")?;
    output.print(&json!({"ok": true, "released": released}), |_| {
        let line = |debt: &DebtDetails| {
            let server = debt.vmid.map_or_else(String::new, |vmid| format!(" of server {vmid}"));
            format!("Released {}: {}{server}. Nothing was removed.", debt.id, debt.kind)
        };
        released.iter().map(line).collect::<Vec<_>>().join("\n")
    })
}

/// The debts of one operation, the oldest first.
pub(super) async fn of(db: &impl ConnectionTrait, id: OperationId) -> Result<Vec<DebtDetails>, DbErr> {
    let rows = debt::Entity::find().filter(debt::Column::OperationId.eq(id)).order_by_asc(debt::Column::Id);
    let rows = db::readable(rows, db).await?;
    Ok(rows.into_iter().map(DebtDetails::from).collect())
}
