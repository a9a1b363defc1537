//! Proof that a worker owns an operation: its fence, and a lease that has not expired.

use std::ops::Deref;
use std::time::Duration;

use sea_orm::sea_query::{Expr, ExprTrait, SimpleExpr};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait, QueryFilter,
};

use crate::db::entities::operation::{self, OperationState, UndoState};
use crate::db::{self, AsDbErr, Authority};
use crate::jobs::ClaimPurpose;
use crate::kernel::{OperationId, VmId};

/// The lease is lost: another worker may own the operation, so nothing may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the lease of the operation is lost")]
pub struct LeaseLost;

/// Why a write of an owner failed.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// It is not the owner any more.
    #[error(transparent)]
    LeaseLost(#[from] LeaseLost),
    /// The database failed.
    #[error("the database failed a write of the owner")]
    Database(#[from] DbErr),
}

impl OwnerError {
    /// `None` if the lease is lost, for a caller that expects this.
    pub fn none_if_lost<T>(result: Result<T, Self>) -> Result<Option<T>, DbErr> {
        match result {
            Ok(written) => Ok(Some(written)),
            Err(Self::LeaseLost(LeaseLost)) => Ok(None),
            Err(Self::Database(error)) => Err(error),
        }
    }
}

impl AsDbErr for OwnerError {
    fn as_db_err(&self) -> Option<&DbErr> {
        match self {
            Self::LeaseLost(_) => None,
            Self::Database(error) => Some(error),
        }
    }
}

/// A transaction of the owner of an operation. The fence was checked, and the row of the operation is locked until the
/// end of the transaction: no other worker can claim it before that. Rolled back when dropped.
pub struct OwnedTransaction(DatabaseTransaction);

impl OwnedTransaction {
    /// Begins a transaction of the owner with `fence`.
    pub async fn begin(db: &DatabaseConnection, id: OperationId, fence: i64) -> Result<Self, OwnerError> {
        let tx = db::begin(db).await?;
        let now = db::now_expr(&tx);
        let owned = operation::Entity::update_many()
            .col_expr(operation::Column::HeartbeatAt, now.clone())
            .filter(owned_by(id, fence))
            .filter(Expr::col(operation::Column::LeaseUntil).gt(now))
            .exec(&tx)
            .await?;
        if owned.rows_affected == 1 {
            return Ok(Self(tx));
        }
        tx.rollback().await?;
        Err(LeaseLost.into())
    }

    /// Commits the transaction.
    pub async fn commit(self) -> Result<(), DbErr> {
        self.0.commit().await
    }
}

impl Deref for OwnedTransaction {
    type Target = DatabaseTransaction;

    fn deref(&self) -> &DatabaseTransaction {
        &self.0
    }
}

impl Authority for OwnedTransaction {
    type Connection = DatabaseTransaction;

    fn connection(&self) -> &DatabaseTransaction {
        &self.0
    }
}

/// The row of `id` if its owner has this fence.
pub(super) fn owned_by(id: OperationId, fence: i64) -> Condition {
    Condition::all().add(operation::Column::Id.eq(id)).add(operation::Column::Fence.eq(fence)).add(in_progress())
}

/// The rows that a worker owns.
pub(super) fn in_progress() -> Condition {
    ClaimPurpose::ALL.into_iter().fold(Condition::any(), |any, purpose| any.add(in_progress_of(purpose)))
}

/// The rows that a worker owns for `purpose`. No row is owned for both.
pub(super) fn in_progress_of(purpose: ClaimPurpose) -> SimpleExpr {
    match purpose {
        ClaimPurpose::Run => operation::Column::State.eq(OperationState::Running),
        ClaimPurpose::Undo => operation::Column::Unwind.eq(UndoState::Running),
    }
}

/// Extends the lease of the owner with `fence` to `lease` from now. Fails with [`LeaseLost`] if another owner is current.
pub async fn renew(db: &impl ConnectionTrait, id: OperationId, fence: i64, lease: Duration) -> Result<(), OwnerError> {
    let now = db::now_expr(db);
    let renewed = operation::Entity::update_many()
        .col_expr(operation::Column::LeaseUntil, now.clone().add(db::millis(lease)))
        .col_expr(operation::Column::HeartbeatAt, now)
        .filter(owned_by(id, fence))
        .exec(db)
        .await?;
    if renewed.rows_affected == 1 { Ok(()) } else { Err(LeaseLost.into()) }
}

/// Records that an operation has committed. For its owner, in an [`OwnedTransaction`].
pub(in crate::jobs) async fn set_committed(tx: &impl ConnectionTrait, id: OperationId) -> Result<(), DbErr> {
    let update = operation::Entity::update_many().col_expr(operation::Column::Committed, Expr::value(true));
    update.filter(operation::Column::Id.eq(id)).exec(tx).await.map(drop)
}

/// Records the server of an operation. For its owner, in an [`OwnedTransaction`].
pub(in crate::jobs) async fn set_server(tx: &impl ConnectionTrait, id: OperationId, vmid: VmId) -> Result<(), DbErr> {
    let update = operation::Entity::update_many().col_expr(operation::Column::Vmid, Expr::value(vmid));
    update.filter(operation::Column::Id.eq(id)).exec(tx).await.map(drop)
}
