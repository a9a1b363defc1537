//! Lists of rows that a newer release may have written: during a deploy, old code runs on the new schema.
//!
//! A state or kind that this release does not know makes one row unreadable, not the list. Unreadable rows are skipped, counted
//! and logged. Who works off a list with a limit filters them in SQL as well, so that they do not fill it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryResult, QuerySelect, QueryTrait, Select};
use tokio::time::Instant;

use super::transaction::AsDbErr;

/// How often the skipped rows of a table are logged.
const LOG_INTERVAL: Duration = Duration::from_secs(600);

static SKIPPED: Mutex<BTreeMap<&'static str, Skipped>> = Mutex::new(BTreeMap::new());

/// The rows of a table that this process skipped.
struct Skipped {
    count: u64,
    logged: Option<Instant>,
}

/// The rows of `select` that this release can read.
pub async fn readable<E: EntityTrait>(select: Select<E>, db: &impl ConnectionTrait) -> Result<Vec<E::Model>, DbErr>
where
    E::Model: FromQueryResult,
{
    Ok(readable_rows::<E>(&db.query_all(select.as_query()).await?))
}

/// Those of `rows` that this release can read.
pub fn readable_rows<E: EntityTrait>(rows: &[QueryResult]) -> Vec<E::Model>
where
    E::Model: FromQueryResult,
{
    let mut models = Vec::with_capacity(rows.len());
    let mut problems = Vec::new();
    for row in rows {
        match E::Model::from_query_result(row, "") {
            Ok(model) => models.push(model),
            Err(error) => problems.push(error),
        }
    }
    skip(E::default().table_name(), &problems);
    models
}

/// Why a row could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// The row is there, and this release cannot read it.
    #[error("this release cannot read a row of `{table}`")]
    Unreadable {
        /// Its table.
        table: &'static str,
        /// What is wrong with it.
        source: DbErr,
    },
}

impl AsDbErr for ReadError {
    fn as_db_err(&self) -> Option<&DbErr> {
        match self {
            Self::Database(error) => Some(error),
            Self::Unreadable { .. } => None,
        }
    }
}

/// The first row of `select`. One that this release cannot read is counted and logged.
pub async fn readable_one<E: EntityTrait>(
    select: Select<E>,
    db: &impl ConnectionTrait,
) -> Result<Option<E::Model>, ReadError>
where
    E::Model: FromQueryResult,
{
    let Some(row) = db.query_one(select.limit(1).as_query()).await? else { return Ok(None) };
    E::Model::from_query_result(&row, "").map(Some).map_err(|source| {
        let table = E::default().table_name();
        skip(table, std::slice::from_ref(&source));
        ReadError::Unreadable { table, source }
    })
}

/// How many rows this process has skipped since it started, by table.
pub fn skipped_rows() -> Vec<(&'static str, u64)> {
    let skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    skipped.iter().map(|(table, skipped)| (*table, skipped.count)).collect()
}

/// Counts rows of `table` that could not be read, and logs the first reason, at most once in [`LOG_INTERVAL`].
fn skip(table: &'static str, problems: &[DbErr]) {
    let Some(error) = problems.first() else { return };
    let mut all = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    let skipped = all.entry(table).or_insert(Skipped { count: 0, logged: None });
    skipped.count = skipped.count.saturating_add(u64::try_from(problems.len()).unwrap_or(u64::MAX));
    if skipped.logged.is_none_or(|logged| logged.elapsed() >= LOG_INTERVAL) {
        skipped.logged = Some(Instant::now());
        let count = problems.len();
        tracing::warn!(table, count, %error, "skipped {count} rows of `{table}` that this release cannot read: {error}");
    }
}
