//! The indexes of the schema besides the primary keys, and those of a database. They are compared by table and columns,
//! because the databases name the index of a unique column in different ways.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sea_orm::{ConnectionTrait, DbBackend, DbErr, FromQueryResult, Statement};

/// An index.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct IndexShape {
    /// Its table.
    pub table: String,
    /// Its columns, in order.
    pub columns: Vec<String>,
    /// Whether it allows each value once.
    pub unique: bool,
}

impl fmt::Display for IndexShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unique = if self.unique { "unique " } else { "" };
        write!(f, "{unique}index on {} ({})", self.table, self.columns.join(", "))
    }
}

const PLAIN: &[(&str, &[&str])] = &[
    ("archived_records", &["archived_at"]),
    ("audit_events", &["at"]),
    ("audit_events", &["subject", "id"]),
    ("debts", &["operation_id"]),
    ("debts", &["state", "next_attempt_at"]),
    ("debts", &["vmid"]),
    ("deleted_instances", &["finished_at"]),
    ("deleted_instances", &["hostname"]),
    ("deleted_instances", &["operation_id"]),
    ("deleted_instances", &["user_id"]),
    ("deleted_instances", &["vmid"]),
    ("episodes", &["begun_at"]),
    ("episodes", &["operation_id"]),
    ("idempotency_keys", &["expires_at"]),
    ("instances", &["edge_due_at"]),
    ("instances", &["user_id", "vmid"]),
    ("operations", &["finished_at", "id"]),
    ("operations", &["queue", "state", "run_after"]),
    ("operations", &["queue", "unwind", "run_after"]),
    ("operations", &["state", "id"]),
    ("operations", &["user_id", "id"]),
    ("operations", &["user_id", "state", "finished_at"]),
    ("operations", &["vmid", "id"]),
    ("ports", &["operation_id"]),
    ("queue_slots", &["operation_id"]),
    ("reservations", &["operation_id"]),
    ("revoked_tokens", &["expires_at"]),
];

const UNIQUE: &[(&str, &[&str])] = &[
    ("instances", &["hostname"]),
    ("instances", &["operation_id"]),
    ("instances", &["vmid"]),
    ("operations", &["dedup_active"]),
    ("reservations", &["hostname"]),
    ("users", &["email"]),
    ("users", &["username_key"]),
];

/// The indexes that this version of zpack needs.
pub(super) fn expected() -> BTreeSet<IndexShape> {
    let shape = |unique| {
        move |(table, columns): &(&str, &[&str])| IndexShape {
            table: (*table).to_owned(),
            columns: columns.iter().map(|&column| column.to_owned()).collect(),
            unique,
        }
    };
    PLAIN.iter().map(shape(false)).chain(UNIQUE.iter().map(shape(true))).collect()
}

/// One column of an index.
#[derive(FromQueryResult)]
struct IndexColumn {
    table_name: String,
    index_name: String,
    /// `YES` or `NO`.
    is_unique: String,
    column_name: String,
}

const SQLITE: &str = r#"
SELECT m.name AS table_name, l.name AS index_name, i.name AS column_name,
       CASE WHEN l."unique" = 1 THEN 'YES' ELSE 'NO' END AS is_unique
FROM sqlite_schema m, pragma_index_list(m.name) l, pragma_index_info(l.name) i
WHERE m.type = 'table' AND l.origin <> 'pk' AND l.partial = 0 AND i.name IS NOT NULL
ORDER BY m.name, l.name, i.seqno"#;

const POSTGRES: &str = "
SELECT t.relname::text AS table_name, i.relname::text AS index_name, a.attname::text AS column_name,
       CASE WHEN x.indisunique THEN 'YES' ELSE 'NO' END AS is_unique
FROM pg_index x
JOIN pg_class i ON i.oid = x.indexrelid
JOIN pg_class t ON t.oid = x.indrelid
JOIN pg_namespace n ON n.oid = t.relnamespace
CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, place)
JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = k.attnum
WHERE n.nspname = current_schema() AND x.indisvalid AND NOT x.indisprimary AND x.indpred IS NULL
ORDER BY t.relname, i.relname, k.place";

const MARIADB: &str = "
SELECT CAST(table_name AS CHAR) AS table_name, CAST(index_name AS CHAR) AS index_name,
       CAST(column_name AS CHAR) AS column_name, CASE WHEN non_unique = 0 THEN 'YES' ELSE 'NO' END AS is_unique
FROM information_schema.statistics
WHERE table_schema = DATABASE() AND index_name <> 'PRIMARY' AND sub_part IS NULL
ORDER BY table_name, index_name, seq_in_index";

/// The indexes of the database.
pub(super) async fn live(db: &impl ConnectionTrait) -> Result<BTreeSet<IndexShape>, DbErr> {
    let backend = db.get_database_backend();
    let query = match backend {
        DbBackend::Postgres => POSTGRES,
        DbBackend::MySql => MARIADB,
        _ => SQLITE,
    };
    let columns = IndexColumn::find_by_statement(Statement::from_string(backend, query)).all(db).await?;
    let mut indexes: BTreeMap<(String, String), IndexShape> = BTreeMap::new();
    for IndexColumn { table_name, index_name, is_unique, column_name } in columns {
        let index = indexes.entry((table_name.clone(), index_name)).or_insert_with(|| IndexShape {
            table: table_name,
            columns: Vec::new(),
            unique: is_unique == "YES",
        });
        index.columns.push(column_name);
    }
    Ok(indexes.into_values().collect())
}
