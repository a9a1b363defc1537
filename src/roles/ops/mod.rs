//! `zpack ops`: shows operations and debts to an operator, and lets them abandon or release them.

mod abandon;
mod debts;
mod view;

use anyhow::{Context, bail};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder};
use serde_json::{Value, json};

pub(super) use self::view::OperationDetails;
use self::view::StepDetails;
use super::output::{self, Output, age, or_dash};
use super::wiring;
use crate::cli::OpsCommand;
use crate::config::{DatabaseConfig, Settings, Source};
use crate::db::archive;
use crate::db::entities::archived_record::Origin;
use crate::db::entities::operation::OperationState;
use crate::db::{
    self,
    entities::{operation, operation_step},
};
use crate::jobs::{latest_operations, unsettled_operations};
use crate::kernel::{OperationId, Timestamp};

/// Runs one `zpack ops` command.
pub async fn run(source: &dyn Source, command: OpsCommand, output: Output) -> anyhow::Result<()> {
    let db = wiring::database(&DatabaseConfig::load(source)?).await?;
    let now = db::now(&db).await.context("cannot read the clock of the database")?;
    match command {
        OpsCommand::List { state, unsettled, limit } => list(&db, state, unsettled, limit, now, output).await,
        OpsCommand::Show { id } => show(&db, id, now, output).await,
        OpsCommand::Debts { state, limit } => debts::list(&db, state, limit, now, output).await,
        OpsCommand::Release { ids, reason } => debts::release(&db, &ids, &reason, now, output).await,
        OpsCommand::Abandon { id, reason } => {
            let abandoned = abandon::abandon(&db, id, reason.as_deref(), now).await?;
            output.print(&json!({"ok": true, "operation": abandoned.operation, "debts": abandoned.debts}), |_| {
                let debts = abandoned.debts.len();
                let left = match debts {
                    0 => "no debt remains".to_owned(),
                    1 => "1 debt remains; remove what it stands for by hand, then run zpack ops release".to_owned(),
                    _ => {
                        format!("{debts} debts remain; remove what they stand for by hand, then run zpack ops release")
                    }
                };
                format!("Abandoned {id}; {left}.")
            })
        }
    }
}

async fn list(
    db: &DatabaseConnection,
    state: Option<OperationState>,
    unsettled: bool,
    limit: u64,
    now: Timestamp,
    output: Output,
) -> anyhow::Result<()> {
    let rows = match unsettled {
        true => unsettled_operations(db, state, limit).await,
        false => latest_operations(db, state, limit).await,
    };
    let rows = rows.context("cannot list the operations")?;
    let operations: Vec<OperationDetails> = rows.into_iter().map(OperationDetails::from).collect();
    output.print(&json!({"operations": operations}), |_| rows_text(&operations, now))
}

/// Operations as a table.
pub(super) fn rows_text(operations: &[OperationDetails], now: Timestamp) -> String {
    let rows = operations.iter().map(|row| {
        vec![
            row.id.to_string(),
            row.kind.clone(),
            row.status.to_string(),
            or_dash(row.phase.as_deref()),
            or_dash(row.vmid),
            row.request_in_short(),
            row.cleanup.to_string(),
            row.unwind.to_string(),
            age(now, row.created_at),
        ]
    });
    output::table(
        &["id", "kind", "status", "phase", "vmid", "request", "cleanup", "undo", "age"],
        rows,
        "No operations.",
    )
}

/// Prints what the archive has of an operation.
async fn show_archived(db: &DatabaseConnection, id: OperationId, output: Output) -> anyhow::Result<()> {
    let record = archive::find(db, Origin::Operation, &id.to_string()).await.context("cannot read the archive")?;
    let Some(record) = record else { bail!("there is no operation {id}; zpack ops list shows all operations") };
    let body: Value = serde_json::from_str(&record.body).context("cannot read the record of the archive")?;
    output.print(&json!({"archivedAt": record.archived_at, "rows": body}), |_| {
        format!("{id} was archived at {}:\n{body:#}", record.archived_at)
    })
}

async fn show(db: &DatabaseConnection, id: OperationId, now: Timestamp, output: Output) -> anyhow::Result<()> {
    let row = operation::Entity::find_by_id(id).one(db).await.context("cannot read the operation")?;
    let Some(row) = row else { return show_archived(db, id, output).await };
    let steps: Vec<StepDetails> = operation_step::Entity::find()
        .filter(operation_step::Column::OperationId.eq(id))
        .order_by_asc(operation_step::Column::Seq)
        .all(db)
        .await
        .context("cannot read its steps")?
        .into_iter()
        .map(StepDetails::from)
        .collect();
    let debts = debts::of(db, id).await.context("cannot read its debts")?;
    let view = OperationDetails::from(row);
    output.print(&json!({"operation": view, "steps": steps, "debts": debts}), |_| {
        let mut text = view.details(now);
        text.push_str("\n\n");
        let rows = steps.iter().map(|step| {
            let took = step.finished_at.map(|end| output::span(end.since(step.started_at)));
            vec![step.name.clone(), step.status.to_string(), or_dash(took), or_dash(step.detail.as_deref())]
        });
        text.push_str(&output::table(&["step", "status", "took", "detail"], rows, "No step has started."));
        if !debts.is_empty() {
            let rows = debts.iter().map(|debt| {
                vec![
                    debt.id.to_string(),
                    debt.kind.to_string(),
                    or_dash(debt.vmid),
                    or_dash(debt.node.as_deref()),
                    debt.state.to_string(),
                    debt.detail.clone(),
                ]
            });
            text.push_str("\n\n");
            text.push_str(&output::table(&["debt", "kind", "vmid", "node", "state", "detail"], rows, ""));
        }
        text
    })
}
