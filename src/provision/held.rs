//! What an operation holds of a pool: its VMID, its public ports.

use async_trait::async_trait;
use sea_orm::DbErr;

use crate::db::AsDbErr;
use crate::jobs::{LeaseLost, OwnedTransaction, OwnerError};
use crate::saga::StepError;
use crate::servers::PoolError;

use super::run::Run;

/// What one operation takes from a pool at once, and not a second time: an entry, or several.
#[async_trait]
pub(super) trait Held: Sync {
    /// What it holds.
    type Row: Send;
    /// Its name in logs.
    const WHAT: &'static str;
    /// The code of a step that fails because the pool is exhausted.
    const EXHAUSTED: &'static str;

    /// The entry that the operation of `run` holds.
    async fn find(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<Self::Row>, DbErr>;

    /// Takes an entry; `None` when another transaction took it first.
    async fn take(&self, run: &Run, tx: &OwnedTransaction) -> Result<Option<Self::Row>, PoolError>;
}

/// Why no entry is held.
#[derive(Debug, thiserror::Error)]
enum NotHeld {
    /// It could not be read or written.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// The pool is exhausted.
    #[error(transparent)]
    Pool(PoolError),
}

impl From<LeaseLost> for NotHeld {
    fn from(lost: LeaseLost) -> Self {
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

/// The entry that the operation of `run` holds; takes one if it holds none.
pub(super) async fn hold<H: Held>(run: &Run, held: &H) -> Result<H::Row, StepError> {
    run.cx.persist(H::WHAT, || find_or_take(run, held)).await.map_err(|error| match error {
        NotHeld::Owner(error) => error.into(),
        NotHeld::Pool(error) => StepError::failed(H::EXHAUSTED, error.to_string()),
    })
}

/// Locks the operation's row first: an earlier attempt whose answer was lost may still be running in the database, and
/// must not leave a second entry behind.
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
