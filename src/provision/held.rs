//! What an operation holds of a pool of numbers.

use async_trait::async_trait;
use sea_orm::DbErr;

use crate::db::AsDbErr;
use crate::jobs::{Lost, OwnedTransaction, OwnerError};
use crate::saga::StepError;
use crate::servers::PoolError;

use super::run::Run;

/// Something of a pool that an operation holds at most once.
#[async_trait]
pub(super) trait Held: Sync {
    /// What is held.
    type Row: Send;
    /// What it is called.
    const WHAT: &'static str;
    /// The code of a step that fails because the pool is exhausted.
    const EXHAUSTED: &'static str;

    /// What the operation of `run` holds.
    async fn find(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<Self::Row>, DbErr>;

    /// Takes it; `None` when another transaction was faster.
    async fn take(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<Self::Row>, PoolError>;
}

/// Why nothing is held.
#[derive(Debug, thiserror::Error)]
enum NotHeld {
    /// It could not be read or written.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// There is none to take.
    #[error(transparent)]
    Pool(PoolError),
}

impl From<Lost> for NotHeld {
    fn from(lost: Lost) -> Self {
        OwnerError::from(lost).into()
    }
}

impl From<DbErr> for NotHeld {
    fn from(error: DbErr) -> Self {
        OwnerError::from(error).into()
    }
}

impl From<PoolError> for NotHeld {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Database(error) => error.into(),
            error @ PoolError::Exhausted { .. } => Self::Pool(error),
        }
    }
}

impl AsDbErr for NotHeld {
    fn as_db_err(&self) -> Option<&DbErr> {
        match self {
            Self::Owner(error) => error.as_db_err(),
            Self::Pool(_) => None,
        }
    }
}

/// What the operation of `run` holds, taken now if it holds nothing.
pub(super) async fn hold<H: Held>(run: &Run, held: &H) -> Result<H::Row, StepError> {
    run.cx.persist(H::WHAT, || find_or_take(run, held)).await.map_err(|error| match error {
        NotHeld::Owner(error) => error.into(),
        NotHeld::Pool(error) => StepError::failed(H::EXHAUSTED, error.to_string()),
    })
}

/// The row of the operation is locked first: an attempt whose answer was lost may still be under way in the database, and
/// must not leave a second number behind.
async fn find_or_take<H: Held>(run: &Run, held: &H) -> Result<H::Row, NotHeld> {
    loop {
        let tx = run.cx.begin().await?;
        if let Some(row) = held.find(run, &tx).await? {
            return Ok(row);
        }
        if let Some(row) = held.take(run, &tx).await? {
            tx.commit().await?;
            return Ok(row);
        }
    }
}
