//! The clock of the database, which all workers share. Leases and due times are measured only by it.

use std::time::Duration;

use sea_orm::sea_query::{Expr, SimpleExpr};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::kernel::Timestamp;

const fn millis_sql(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
        DbBackend::MySql => "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
        _ => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    }
}

/// An expression for the current epoch milliseconds, to be used inside a statement.
pub fn now_expr(db: &impl ConnectionTrait) -> SimpleExpr {
    Expr::cust(millis_sql(db.get_database_backend()))
}

/// A duration as a number that the database adds to its clock.
pub fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// Reads the current time of the database.
pub async fn now(db: &impl ConnectionTrait) -> Result<Timestamp, DbErr> {
    let backend = db.get_database_backend();
    let statement = Statement::from_string(backend, format!("SELECT {} AS now_ms", millis_sql(backend)));
    let row = db.query_one_raw(statement).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the clock of the database".to_owned()))?;
    Ok(Timestamp::from_millis(row.try_get("", "now_ms")?))
}
