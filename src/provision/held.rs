//! What an operation holds of a pool of numbers.

use async_trait::async_trait;
use sea_orm::{DatabaseTransaction, DbErr};

use crate::db;
use crate::jobs::Lost;
use crate::saga::{StepError, Stopped};
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
    async fn find(&self, run: &Run, tx: &DatabaseTransaction) -> Result<Option<Self::Row>, DbErr>;

    /// Takes it; `None` when another transaction was faster.
    async fn take(&self, run: &Run, tx: &DatabaseTransaction) -> Result<Option<Self::Row>, PoolError>;
}

/// What the operation of `run` holds, taken now if it holds nothing.
pub(super) async fn hold<H: Held>(run: &Run, held: &H) -> Result<H::Row, StepError> {
    let row = run.ask(H::WHAT, || find_or_take(run, held)).await?.map_err(|Lost| Stopped::Lost)?;
    row.map_err(|error| StepError::failed(H::EXHAUSTED, error.to_string()))
}

/// The row of the operation is locked first: an attempt whose answer was lost may still be under way in the database, and
/// must not leave a second number behind.
async fn find_or_take<H: Held>(run: &Run, held: &H) -> Result<Result<Result<H::Row, PoolError>, Lost>, DbErr> {
    loop {
        let tx = db::begin(&run.deps.db).await?;
        if let Err(lost) = run.cx.guard(&tx).await? {
            return Ok(Err(lost));
        }
        if let Some(row) = held.find(run, &tx).await? {
            tx.rollback().await?;
            return Ok(Ok(Ok(row)));
        }
        match held.take(run, &tx).await {
            Ok(Some(row)) => {
                tx.commit().await?;
                return Ok(Ok(Ok(row)));
            }
            Ok(None) => tx.rollback().await?,
            Err(PoolError::Database(error)) => return Err(error),
            Err(error @ PoolError::Exhausted { .. }) => return Ok(Ok(Err(error))),
        }
    }
}
