//! Claims of operations: one compare-and-set by the clock of the database.

use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, Func, Query, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, PaginatorTrait, QueryFilter,
};

use crate::db;
use crate::db::entities::operation::{self, Actor, CancelRule, Cleanup, OperationState, UndoState};
use crate::db::entities::queue;
use crate::jobs::ClaimPurpose;
use crate::jobs::queue::Queue;
use crate::jobs::registry::Registry;
use crate::jobs::settings::JobSettings;
use crate::kernel::{OperationId, WorkerId};

use super::one_statement::Update;
use super::{one_statement, slots};

/// An operation that this worker owns until its lease ends.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The row, with this owner's fence.
    pub operation: operation::Model,
    /// The purpose of the claim.
    pub purpose: ClaimPurpose,
}

impl Claimed {
    /// A row that was just claimed: only a run makes it running.
    fn of(operation: operation::Model) -> Self {
        let purpose = match operation.state {
            OperationState::Running => ClaimPurpose::Run,
            OperationState::Queued
            | OperationState::Succeeded
            | OperationState::Failed
            | OperationState::Cancelled
            | OperationState::Stale => ClaimPurpose::Undo,
        };
        Self { operation, purpose }
    }
}

/// The result of a claim.
#[derive(Clone, Debug)]
pub enum ClaimOutcome {
    /// This worker is the owner.
    Claimed(Box<Claimed>),
    /// The id has no row that may start now: ended, owned, cancelled, paused, not due, or missing.
    NotDue,
    /// It may start, but every slot of the queue is taken.
    NoSlot,
    /// It may start, but this worker does not know its kind or payload version.
    Unknown,
}

/// Tries to become the owner of `id`.
pub async fn claim(
    db: &DatabaseConnection,
    name: Queue,
    id: OperationId,
    worker: WorkerId,
    registry: &Registry,
    settings: &JobSettings,
) -> Result<ClaimOutcome, DbErr> {
    let known = known_kinds(registry);
    if one_statement::is_supported(db) {
        let claim = claim_for_either(owned(db, name, id, worker, &known, settings.lease), db);
        return match one_statement::claim(db, claim, (name, settings.slots)).await? {
            Some(operation) => Ok(ClaimOutcome::Claimed(Box::new(Claimed::of(operation)))),
            None if settings.slots.is_some() && is_due(db, name, id, &known).await? => Ok(ClaimOutcome::NoSlot),
            None => diagnose(db, id, registry).await,
        };
    }
    let tx = db::begin(db).await?;
    let Some(purpose) = win(&tx, name, id, worker, &known, settings.lease).await? else {
        tx.rollback().await?;
        return diagnose(db, id, registry).await;
    };
    let Some(operation) = operation::Entity::find_by_id(id).one(&tx).await? else {
        tx.rollback().await?;
        return Ok(ClaimOutcome::NotDue);
    };
    if let Some(limit) = settings.slots
        && !slots::take(&tx, name, limit, id, operation.fence).await?
    {
        tx.rollback().await?;
        return Ok(ClaimOutcome::NoSlot);
    }
    tx.commit().await?;
    Ok(ClaimOutcome::Claimed(Box::new(Claimed { operation, purpose })))
}

async fn win(
    tx: &impl ConnectionTrait,
    name: Queue,
    id: OperationId,
    worker: WorkerId,
    known: &Condition,
    lease: Duration,
) -> Result<Option<ClaimPurpose>, DbErr> {
    let now = db::now_expr(tx);
    let owned = || owned(tx, name, id, worker, known, lease);
    let run = owned()
        .col_expr(operation::Column::State, Expr::value(OperationState::Running))
        .col_expr(operation::Column::Starts, Expr::col(operation::Column::Starts).add(1))
        .col_expr(
            operation::Column::StartedAt,
            Func::coalesce([Expr::col(operation::Column::StartedAt), now.clone()]).into(),
        )
        .filter(claimable_for(ClaimPurpose::Run));
    if run.exec(tx).await?.rows_affected == 1 {
        return Ok(Some(ClaimPurpose::Run));
    }
    let unwind = owned()
        .col_expr(operation::Column::Unwind, Expr::value(UndoState::Running))
        .filter(claimable_for(ClaimPurpose::Undo));
    Ok((unwind.exec(tx).await?.rows_affected == 1).then_some(ClaimPurpose::Undo))
}

/// The claim of `id` for any purpose.
fn owned(
    db: &impl ConnectionTrait,
    name: Queue,
    id: OperationId,
    worker: WorkerId,
    known: &Condition,
    lease: Duration,
) -> Update {
    let now = db::now_expr(db);
    operation::Entity::update_many()
        .col_expr(operation::Column::Fence, Expr::col(operation::Column::Fence).add(1))
        .col_expr(operation::Column::LeaseUntil, now.clone().add(db::millis(lease)))
        .col_expr(operation::Column::Worker, Expr::value(worker.to_string()))
        .col_expr(operation::Column::HeartbeatAt, now.clone())
        .col_expr(operation::Column::ClaimedAt, now)
        .filter(due(db, name, id, known))
}

/// The claim for the purpose that the row has.
fn claim_for_either(claim: Update, db: &impl ConnectionTrait) -> Update {
    let to_run = || operation::Column::State.eq(OperationState::Queued);
    let keep = |column| Expr::col((operation::Entity, column));
    let if_run = |column, value: SimpleExpr| -> SimpleExpr { Expr::case(to_run(), value).finally(keep(column)).into() };
    let started = Func::coalesce([keep(operation::Column::StartedAt), db::now_expr(db)]);
    let unwind = Expr::case(to_run(), keep(operation::Column::Unwind)).finally(Expr::value(UndoState::Running));
    let starts = keep(operation::Column::Starts).add(1);
    claim
        .col_expr(operation::Column::State, if_run(operation::Column::State, Expr::value(OperationState::Running)))
        .col_expr(operation::Column::Starts, if_run(operation::Column::Starts, starts))
        .col_expr(operation::Column::StartedAt, if_run(operation::Column::StartedAt, started.into()))
        .col_expr(operation::Column::Unwind, unwind.into())
        .filter(claimable())
}

/// What a row must be to be claimed for `purpose`.
fn claimable_for(purpose: ClaimPurpose) -> SimpleExpr {
    match purpose {
        ClaimPurpose::Run => operation::Column::State.eq(OperationState::Queued).and(
            Expr::col((operation::Entity, operation::Column::Starts))
                .lt(Expr::col((operation::Entity, operation::Column::MaxStarts))),
        ),
        ClaimPurpose::Undo => operation::Column::State
            .is_in(OperationState::ENDED.iter().copied())
            .and(operation::Column::Unwind.eq(UndoState::Due)),
    }
}

/// What a row must be to be claimed.
fn claimable() -> Condition {
    ClaimPurpose::ALL.into_iter().fold(Condition::any(), |any, purpose| any.add(claimable_for(purpose)))
}

/// The row of `id`, if it is due in a queue that is not paused and this worker knows its kind.
fn due(db: &impl ConnectionTrait, name: Queue, id: OperationId, known: &Condition) -> Condition {
    Condition::all()
        .add(operation::Column::Id.eq(id))
        .add(operation::Column::Queue.eq(name.as_str()))
        .add(Expr::col((operation::Entity, operation::Column::RunAfter)).lte(db::now_expr(db)))
        .add(Expr::exists(paused(name)).not())
        .add(known.clone())
}

/// Whether `id` could be claimed.
async fn is_due(db: &DatabaseConnection, name: Queue, id: OperationId, known: &Condition) -> Result<bool, DbErr> {
    let row = operation::Entity::find().filter(due(db, name, id, known)).filter(claimable());
    Ok(row.one(db).await?.is_some())
}

/// A query for the row that says this queue is paused.
pub(super) fn paused(name: Queue) -> sea_orm::sea_query::SelectStatement {
    Query::select()
        .expr(Expr::value(1))
        .from(queue::Entity)
        .and_where(queue::Column::Name.eq(name.as_str()))
        .and_where(queue::Column::Paused.eq(true))
        .take()
}

/// The rows whose columns this release can read: during a deploy a newer one may have written the others.
pub fn readable() -> Condition {
    Condition::all()
        .add(operation::Column::State.is_in(OperationState::ALL.iter().copied()))
        .add(operation::Column::Unwind.is_in(UndoState::ALL.iter().copied()))
        .add(operation::Column::Cleanup.is_in(Cleanup::ALL.iter().copied()))
        .add(operation::Column::BegunBy.is_in(Actor::ALL.iter().copied()))
        .add(operation::Column::CancelRule.is_in(CancelRule::ALL.iter().copied()))
}

/// The readable rows whose kind and payload version `registry` has a job for.
pub(super) fn known_kinds(registry: &Registry) -> Condition {
    let kinds = registry.kinds().fold(Condition::any().add(Expr::value(1).eq(0)), |any, (kind, newest)| {
        any.add(operation::Column::Kind.eq(kind).and(operation::Column::SchemaVersion.between(1, newest)))
    });
    Condition::all().add(kinds).add(readable())
}

/// Why the claim failed: it distinguishes only a queued row that this worker does not know.
async fn diagnose(db: &DatabaseConnection, id: OperationId, registry: &Registry) -> Result<ClaimOutcome, DbErr> {
    let unknown = operation::Entity::find_by_id(id)
        .filter(operation::Column::State.eq(OperationState::Queued))
        .filter(known_kinds(registry).not())
        .count(db)
        .await?
        > 0;
    Ok(if unknown { ClaimOutcome::Unknown } else { ClaimOutcome::NotDue })
}
