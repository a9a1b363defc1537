//! The actual tables and columns of a database.

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, RuntimeErr, Statement};

/// One column as the database describes it.
#[derive(Clone, Debug, FromQueryResult)]
pub(super) struct LiveColumn {
    pub table_name: String,
    pub column_name: String,
    /// Its type, as that database names it.
    pub type_name: String,
    /// `YES` or `NO`, like the two that follow.
    nullable: String,
    generated: String,
    defaulted: String,
}

impl LiveColumn {
    pub(super) fn is_nullable(&self) -> bool {
        self.nullable == "YES"
    }

    /// Whether the database generates the value.
    pub(super) fn is_generated(&self) -> bool {
        self.generated == "YES"
    }

    /// Whether a row can be inserted without a value for the column.
    pub(super) fn may_be_omitted(&self) -> bool {
        self.is_nullable() || self.is_generated() || self.defaulted == "YES"
    }
}

const SQLITE: &str = r#"
SELECT m.name AS table_name, x.name AS column_name,
       CASE lower(x.type) WHEN 'integer' THEN 'sqlite integer' ELSE lower(x.type) END AS type_name,
       CASE WHEN x."notnull" = 0 THEN 'YES' ELSE 'NO' END AS nullable,
       CASE WHEN x.hidden IN (2, 3) THEN 'YES' ELSE 'NO' END AS generated,
       CASE WHEN x.dflt_value IS NULL THEN 'NO' ELSE 'YES' END AS defaulted
FROM sqlite_schema m, pragma_table_xinfo(m.name) x
WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite~_%' ESCAPE '~'
ORDER BY m.name, x.cid"#;

const POSTGRES: &str = "
SELECT table_name::text AS table_name, column_name::text AS column_name, data_type::text AS type_name,
       is_nullable::text AS nullable,
       CASE WHEN is_generated = 'ALWAYS' THEN 'YES' ELSE 'NO' END AS generated,
       CASE WHEN column_default IS NULL AND is_identity = 'NO' THEN 'NO' ELSE 'YES' END AS defaulted
FROM information_schema.columns
WHERE table_schema = current_schema()
ORDER BY table_name, ordinal_position";

const MARIADB: &str = "
SELECT CAST(table_name AS CHAR) AS table_name, CAST(column_name AS CHAR) AS column_name,
       CAST(data_type AS CHAR) AS type_name, CAST(is_nullable AS CHAR) AS nullable,
       CASE WHEN extra LIKE '%GENERATED%' THEN 'YES' ELSE 'NO' END AS generated,
       CASE WHEN column_default IS NULL AND extra NOT LIKE '%auto_increment%' THEN 'NO' ELSE 'YES' END AS defaulted
FROM information_schema.columns
WHERE table_schema = DATABASE()
ORDER BY table_name, ordinal_position";

/// Every column of every table.
pub(super) async fn columns(db: &impl ConnectionTrait) -> Result<Vec<LiveColumn>, DbErr> {
    let backend = db.get_database_backend();
    let query = match backend {
        DbBackend::Postgres => POSTGRES,
        DbBackend::MySql => MARIADB,
        _ => SQLITE,
    };
    LiveColumn::find_by_statement(Statement::from_string(backend, query)).all(db).await
}

/// Whether there is a table of that name.
pub(super) async fn has_table(db: &impl ConnectionTrait, name: &str) -> Result<bool, DbErr> {
    Ok(columns(db).await?.iter().any(|column| column.table_name == name))
}

/// Whether PostgreSQL gave up waiting for a lock (55P03).
pub(super) fn is_lock_timeout(error: &DbErr) -> bool {
    let (DbErr::Exec(RuntimeErr::SqlxError(source)) | DbErr::Query(RuntimeErr::SqlxError(source))) = error else {
        return false;
    };
    source.as_database_error().and_then(|error| error.code()).as_deref() == Some("55P03")
}
