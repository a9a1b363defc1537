//! The saga's journal in the tables `operation_steps` and `operations`, written under the owner's fence.

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QueryOrder,
};
use serde_json::{Value, json};

use crate::db::entities::operation_step::StepStatus;
use crate::db::entities::{operation, operation_step};
use crate::jobs::{JobContext, OwnerError};
use crate::kernel::{Clock, Timestamp, VmId, short_span};
use crate::saga::{Effect, Journal, JournalError, Record, RecordStatus, StepRef};

use super::events::{self, EventKind};

/// The journal of the operation that a job runs.
pub struct StepJournal {
    cx: JobContext,
    clock: Clock,
    /// When the current step started, in milliseconds; for the log.
    step_started: AtomicI64,
}

/// One change of the journal.
struct StepWrite<'a> {
    step: StepRef,
    status: StepStatus,
    state: Option<&'a Value>,
    detail: Option<&'a str>,
    event: Option<EventKind>,
}

impl StepJournal {
    /// The journal of the operation in `cx`.
    pub fn new(cx: JobContext, clock: Clock) -> Self {
        Self { cx, clock, step_started: AtomicI64::new(0) }
    }

    /// A write that the database refuses fails the run: its lease is valid, and no other owner could write it either.
    fn written<T>(&self, what: &str, outcome: Result<T, OwnerError>) -> Result<T, JournalError> {
        outcome.map_err(|error| match error {
            OwnerError::LeaseLost(_) => JournalError::OwnershipLost,
            OwnerError::Database(error) => {
                let id = self.cx.id();
                tracing::error!(operation.id = %id, %error, "the database refused `{what}` of {id}");
                JournalError::Refused(error.to_string())
            }
        })
    }

    async fn write(&self, change: &StepWrite<'_>) -> Result<(), JournalError> {
        let what = change.step.name;
        let put = || async {
            let tx = self.cx.begin().await?;
            self.put(&tx, change).await?;
            Ok(tx.commit().await?)
        };
        self.written(what, self.cx.write(what, put).await)?;
        self.log(change);
        Ok(())
    }

    /// Logs a change that was written. For a failed step, the line about the end of the operation has the details.
    fn log(&self, change: &StepWrite<'_>) {
        let (id, kind, step) = (self.cx.id(), self.cx.operation.kind.as_str(), change.step.name);
        let vmid = self.cx.vmid();
        let subject = vmid.map_or_else(|| format!("{kind} {id}"), |vmid| format!("{kind} of {vmid}"));
        let (vmid, now) = (vmid.map(VmId::get), self.clock.now());
        let started = Timestamp::from_millis(self.step_started.load(Ordering::Relaxed));
        let took = now.since(started);
        let detail = change.detail.map(|detail| format!(": {detail}")).unwrap_or_default();
        match change.status {
            StepStatus::Started => {
                self.step_started.store(now.millis(), Ordering::Relaxed);
                tracing::debug!(operation.id = %id, operation.kind = kind, vmid, step, "{subject}: {step} started");
            }
            StepStatus::Done => {
                let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
                let took = short_span(took);
                tracing::info!(
                    operation.id = %id, operation.kind = kind, vmid, step, duration_ms,
                    "{subject}: {step} done in {took}{detail}"
                );
            }
            StepStatus::Failed | StepStatus::UndoFailed => {
                let status = change.status;
                tracing::debug!(operation.id = %id, operation.kind = kind, vmid, step, "{subject}: {step} {status}{detail}");
            }
            StepStatus::Undone => {
                tracing::info!(operation.id = %id, operation.kind = kind, vmid, step, "{subject}: {step} undone");
            }
        }
    }

    async fn put(&self, tx: &DatabaseTransaction, change: &StepWrite<'_>) -> Result<(), DbErr> {
        let now = self.clock.now();
        self.put_step(tx, change, now).await?;
        self.put_operation(tx, change.state, Some(change.step.name)).await?;
        if let Some(kind) = change.event {
            let data = json!({ "step": change.step.name, "detail": change.detail });
            events::record(tx, self.cx.id(), kind, &data, now).await?;
        }
        Ok(())
    }

    async fn put_step(&self, tx: &DatabaseTransaction, change: &StepWrite<'_>, now: Timestamp) -> Result<(), DbErr> {
        let begun = change.status == StepStatus::Started;
        let row = operation_step::ActiveModel {
            operation_id: Set(self.cx.id()),
            seq: Set(i32::try_from(change.step.seq).unwrap_or(i32::MAX)),
            name: Set(change.step.name.to_owned()),
            status: Set(change.status),
            outside: Set(change.step.effect == Effect::External),
            fence: Set(self.cx.fence()),
            detail: Set(change.detail.map(str::to_owned)),
            started_at: Set(now),
            finished_at: Set((!begun).then_some(now)),
        };
        let key = [operation_step::Column::OperationId, operation_step::Column::Seq];
        let mut replace = OnConflict::columns(key);
        replace.update_columns([
            operation_step::Column::Status,
            operation_step::Column::Fence,
            operation_step::Column::Detail,
            operation_step::Column::FinishedAt,
        ]);
        if begun {
            replace.update_column(operation_step::Column::StartedAt);
        }
        operation_step::Entity::insert(row).on_conflict(replace).exec_without_returning(tx).await.map(drop)
    }

    async fn put_operation(
        &self,
        tx: &impl ConnectionTrait,
        state: Option<&Value>,
        phase: Option<&str>,
    ) -> Result<(), DbErr> {
        let mut update = operation::Entity::update_many().filter(operation::Column::Id.eq(self.cx.id()));
        if let Some(phase) = phase {
            update = update.col_expr(operation::Column::Phase, Expr::value(phase.to_owned()));
        }
        if let Some(state) = state {
            update = update.col_expr(operation::Column::SagaState, Expr::value(state.to_string()));
        }
        if phase.is_none() && state.is_none() {
            return Ok(());
        }
        update.exec(tx).await.map(drop)
    }

    async fn hit(&self, step: StepRef, place: &str) {
        self.cx.failpoints.hit(&format!("{}.{place}", step.name)).await;
    }
}

#[async_trait]
impl Journal for StepJournal {
    async fn history(&self) -> Result<Vec<Record>, JournalError> {
        let read = || async {
            let rows = operation_step::Entity::find()
                .filter(operation_step::Column::OperationId.eq(self.cx.id()))
                .order_by_asc(operation_step::Column::Seq)
                .all(&self.cx.db)
                .await?;
            let record = |row: operation_step::Model| {
                let status = match row.status {
                    StepStatus::Started | StepStatus::Failed | StepStatus::UndoFailed => RecordStatus::Open,
                    StepStatus::Done => RecordStatus::Done,
                    StepStatus::Undone => RecordStatus::Undone,
                };
                usize::try_from(row.seq).ok().map(|seq| Record { seq, status })
            };
            Ok(rows.into_iter().filter_map(record).collect())
        };
        self.written("history", self.cx.read("history", read).await)
    }

    async fn start(&self, step: StepRef, state: &Value) -> Result<(), JournalError> {
        self.hit(step, "before").await;
        let event = Some(EventKind::StepStarted);
        self.write(&StepWrite { step, status: StepStatus::Started, state: Some(state), detail: None, event }).await?;
        self.hit(step, "started").await;
        if self.cx.is_held() { Ok(()) } else { Err(JournalError::OwnershipLost) }
    }

    async fn checkpoint(&self, state: &Value) -> Result<(), JournalError> {
        let put = || async {
            let tx = self.cx.begin().await?;
            self.put_operation(&*tx, Some(state), None).await?;
            Ok(tx.commit().await?)
        };
        self.written("checkpoint", self.cx.write("checkpoint", put).await)
    }

    async fn done(&self, step: StepRef, state: &Value, detail: Option<&str>) -> Result<(), JournalError> {
        self.hit(step, "effect").await;
        let event = Some(EventKind::StepDone);
        self.write(&StepWrite { step, status: StepStatus::Done, state: Some(state), detail, event }).await?;
        self.hit(step, "done").await;
        Ok(())
    }

    async fn fail(&self, step: StepRef, state: &Value, detail: &str) -> Result<(), JournalError> {
        let event = Some(EventKind::StepFailed);
        let detail = Some(detail);
        self.write(&StepWrite { step, status: StepStatus::Failed, state: Some(state), detail, event }).await
    }

    async fn undone(&self, step: StepRef, state: &Value) -> Result<(), JournalError> {
        self.hit(step, "undo_effect").await;
        let event = Some(EventKind::StepUndone);
        self.write(&StepWrite { step, status: StepStatus::Undone, state: Some(state), detail: None, event }).await?;
        self.hit(step, "undone").await;
        Ok(())
    }

    async fn undo_failed(&self, step: StepRef, detail: &str) -> Result<(), JournalError> {
        let detail = Some(detail);
        self.write(&StepWrite { step, status: StepStatus::UndoFailed, state: None, detail, event: None }).await
    }
}
