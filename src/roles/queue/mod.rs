//! `zpack queue`: the state of the queues, and what an operator can do about it.

mod requeue;
mod status;

use anyhow::Context;
use sea_orm::DatabaseConnection;
use serde_json::json;

use super::ops::{OperationDetails, rows_text};
use super::output::Output;
use super::{audited, wiring};
use crate::cli::QueueCommand;
use crate::config::{OperatorConfig, Settings, Source};
use crate::db;
use crate::jobs::{Lists, Queue, dead_operations, set_paused, unfinished_operations};
use crate::kernel::Timestamp;

/// The maximum number of operations in a listing.
const PAGE: u64 = 200;

/// Runs one `zpack queue` command.
pub async fn run(source: &dyn Source, command: QueueCommand, output: Output) -> anyhow::Result<()> {
    let config = OperatorConfig::load(source)?;
    let db = wiring::database(&config.database).await?;
    let lists = wiring::redis(&config.redis)?;
    let now = db::now(&db).await.context("cannot read the clock of the database")?;
    match command {
        QueueCommand::List => list(&db, &lists, now, output).await,
        QueueCommand::Show { queue } => show(&db, &lists, queue, now, output).await,
        QueueCommand::Dead { queue } => dead(&db, queue, now, output).await,
        QueueCommand::Requeue { id } => {
            let requeued = requeue::requeue(&db, &lists, id, now).await?;
            output.print(&json!({"ok": true, "operationId": id, "requeued": requeued}), |_| requeued.human(id))
        }
        QueueCommand::Pause { queue } => switch(&db, queue, true, now, output).await,
        QueueCommand::Resume { queue } => switch(&db, queue, false, now, output).await,
    }
}

async fn list(db: &DatabaseConnection, lists: &Lists, now: Timestamp, output: Output) -> anyhow::Result<()> {
    let queues = status::read(db, lists, now).await?;
    output.print(&json!({"queues": queues}), |_| status::table(&queues, now))
}

async fn show(
    db: &DatabaseConnection,
    lists: &Lists,
    queue: Queue,
    now: Timestamp,
    output: Output,
) -> anyhow::Result<()> {
    let mut queues = status::read(db, lists, now).await?;
    queues.retain(|shown| shown.rows.name == queue);
    let unfinished = unfinished_operations(db, queue, PAGE).await.context("cannot list the operations")?;
    let operations: Vec<_> = unfinished.into_iter().map(OperationDetails::from).collect();
    output.print(&json!({"queue": queues.first(), "operations": operations}), |_| {
        format!("{}\n\n{}", status::table(&queues, now), rows_text(&operations, now))
    })
}

async fn dead(db: &DatabaseConnection, queue: Option<Queue>, now: Timestamp, output: Output) -> anyhow::Result<()> {
    let dead = dead_operations(db, queue, PAGE).await.context("cannot list the operations")?;
    let operations: Vec<_> = dead.into_iter().map(OperationDetails::from).collect();
    output.print(&json!({"operations": operations}), |_| match operations.as_slice() {
        [] => "No dead operations.".to_owned(),
        some => format!(
            "{}\n\nTo have a held undo tried again: zpack queue requeue <id>. To abandon the operation: zpack ops abandon <id>.",
            rows_text(some, now)
        ),
    })
}

async fn switch(
    db: &DatabaseConnection,
    queue: Queue,
    paused: bool,
    now: Timestamp,
    output: Output,
) -> anyhow::Result<()> {
    let action = if paused { "queue.pause" } else { "queue.resume" };
    let tx = db::begin(db).await.context("cannot begin a transaction")?;
    set_paused(&tx, queue, paused, now).await.context("cannot pause or resume the queue")?;
    audited::record(&tx, action, queue.as_str(), json!({}), now).await.context("cannot write to the audit log")?;
    tx.commit().await.context("cannot commit the transaction")?;
    output.print(&json!({"ok": true, "queue": queue, "paused": paused}), |_| {
        if paused {
            format!("{queue} is paused: running operations continue, no new ones are claimed.")
        } else {
            format!("{queue} is open: workers claim its operations.")
        }
    })
}
