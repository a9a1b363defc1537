//! An operator's decision that a debt need not be settled: what was left is gone, or stays. No peer is called.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use super::debts;
use crate::db::entities::debt::{self, DebtState};
use crate::db::entities::operation::{self, UndoState};
use crate::kernel::{DebtId, OperationId, Timestamp};

/// Why a debt is not released.
#[derive(Debug, thiserror::Error)]
pub enum NotReleased {
    /// There is no such debt.
    #[error("there is no debt {id}; zpack ops debts shows those there are")]
    Unknown {
        /// The id.
        id: DebtId,
    },
    /// It is closed.
    #[error("the debt {id} is {state} already")]
    Closed {
        /// The id.
        id: DebtId,
        /// Its state.
        state: DebtState,
    },
    /// The operation that left it is still being undone.
    #[error("{operation}, which left the debt {id}, is still being undone; first: zpack ops abandon {operation}")]
    Undoing {
        /// The id.
        id: DebtId,
        /// Whose it is.
        operation: OperationId,
    },
    /// The database failed.
    #[error("the debt could not be released")]
    Database(#[from] DbErr),
}

/// Releases the debt `id` inside `tx`. With the last one of an operation, VMID, host name and port of its server are released
/// too, unless the server exists after all.
pub async fn release(tx: &impl ConnectionTrait, id: DebtId, now: Timestamp) -> Result<debt::Model, NotReleased> {
    let row = debt::Entity::find_by_id(id).one(tx).await?.ok_or(NotReleased::Unknown { id })?;
    let maker = operation::Entity::find_by_id(row.operation_id).one(tx).await?;
    if maker.is_some_and(|maker| matches!(maker.unwind, UndoState::Due | UndoState::Running | UndoState::Held)) {
        return Err(NotReleased::Undoing { id, operation: row.operation_id });
    }
    if debts::close(tx, &row, DebtState::Released, now).await? {
        return Ok(row);
    }
    let state = debt::Entity::find_by_id(id).one(tx).await?.map_or(DebtState::Settled, |row| row.state);
    Err(NotReleased::Closed { id, state })
}
