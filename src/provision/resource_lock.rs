//! What one operation at a time may do, over all workers: clone a template (wire/proxmox.md sections 5.4 and 14.3), and
//! decide where a container goes.
//!
//! A lock belongs to an operation under its fence and is free as soon as that operation lost its lease.

use std::fmt;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, DatabaseConnection, DbErr, EntityTrait, QueryFilter};

use crate::db;
use crate::db::entities::operation::{self, OperationState, Unwind};
use crate::db::entities::resource_lock;
use crate::kernel::{OperationId, Timestamp, VmId};
use crate::saga::{StepContext, StepError, Stopped};

use super::run::Run;

/// What is locked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Resource {
    /// A template, while it is cloned.
    Template(VmId),
    /// The memory of all nodes, while some of it is given away.
    Placement,
}

impl Resource {
    /// Where tests break a process that has just locked it.
    const fn place(self) -> &'static str {
        match self {
            Self::Template(_) => "clone_container.locked",
            Self::Placement => "reserve_identity.locked",
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Template(vmid) => write!(f, "template:{vmid}"),
            Self::Placement => f.write_str("placement"),
        }
    }
}

/// Waits for the lock of `resource`. Those before us end or lose their lease; a lock that comes too late for our own is
/// none.
pub(super) async fn lock(run: &Run, cx: &StepContext<'_>, resource: Resource) -> Result<(), StepError> {
    loop {
        let now = run.deps.clock.now();
        let taking = || take(&run.deps.db, resource, run.operation(), run.cx.fence(), now);
        if run.ask("lock", taking).await? {
            run.hit(resource.place()).await;
            return if run.cx.is_held() { Ok(()) } else { Err(Stopped::Lost.into()) };
        }
        cx.wait(run.deps.policy.timings.task_poll).await?;
    }
}

/// Gives the lock of `resource` back.
pub(super) async fn unlock(run: &Run, resource: Resource) {
    if let Err(error) = give_back(&run.deps.db, resource, run.operation()).await {
        tracing::warn!(operation.id = %run.operation(), %error, "{resource} stays locked until this operation ends");
    }
}

/// Tries to take a lock. Taking what one holds already succeeds; an owner whose lease is gone gets nothing.
async fn take(
    db: &DatabaseConnection,
    resource: Resource,
    id: OperationId,
    fence: i64,
    now: Timestamp,
) -> Result<bool, DbErr> {
    let row = resource_lock::ActiveModel {
        name: Set(resource.to_string()),
        operation_id: Set(None),
        fence: Set(0),
        taken_at: Set(now),
    };
    let mut keep = OnConflict::column(resource_lock::Column::Name);
    keep.do_nothing_on([resource_lock::Column::Name]);
    resource_lock::Entity::insert(row).on_conflict(keep).exec_without_returning(db).await?;
    let held = (resource_lock::Entity, resource_lock::Column::OperationId);
    let owner = || {
        Query::select()
            .expr(Expr::value(1))
            .from(operation::Entity)
            .cond_where(
                Condition::any()
                    .add(operation::Column::State.eq(OperationState::Running))
                    .add(operation::Column::Unwind.eq(Unwind::Running)),
            )
            .and_where(Expr::col((operation::Entity, operation::Column::LeaseUntil)).gt(db::now_expr(db)))
            .take()
    };
    let holder = owner()
        .and_where(Expr::col((operation::Entity, operation::Column::Id)).equals(held))
        .and_where(
            Expr::col((operation::Entity, operation::Column::Fence))
                .equals((resource_lock::Entity, resource_lock::Column::Fence)),
        )
        .take();
    let ourselves =
        owner().and_where(operation::Column::Id.eq(id)).and_where(operation::Column::Fence.eq(fence)).take();
    let taken = resource_lock::Entity::update_many()
        .col_expr(resource_lock::Column::OperationId, Expr::value(id))
        .col_expr(resource_lock::Column::Fence, Expr::value(fence))
        .col_expr(resource_lock::Column::TakenAt, Expr::value(now))
        .filter(resource_lock::Column::Name.eq(resource.to_string()))
        .filter(
            Condition::any()
                .add(resource_lock::Column::OperationId.is_null())
                .add(resource_lock::Column::OperationId.eq(id))
                .add(Expr::exists(holder).not()),
        )
        .filter(Expr::exists(ourselves))
        .exec(db)
        .await?;
    Ok(taken.rows_affected == 1)
}

/// Gives the lock back, if `id` holds it.
async fn give_back(db: &DatabaseConnection, resource: Resource, id: OperationId) -> Result<(), DbErr> {
    resource_lock::Entity::update_many()
        .col_expr(resource_lock::Column::OperationId, Expr::value(None::<String>))
        .filter(resource_lock::Column::Name.eq(resource.to_string()))
        .filter(resource_lock::Column::OperationId.eq(id))
        .exec(db)
        .await
        .map(drop)
}
