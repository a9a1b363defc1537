//! The archive: rows whose retention is over are moved there, in one transaction, with all their columns, also those that
//! this version does not know (docs/adr/0018-archive-in-the-database.md).

use std::collections::BTreeMap;

use sea_orm::sea_query::{Alias, Asterisk, Expr, ExprTrait, LockBehavior, LockType, Order, Query};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseConnection, DbBackend, DbErr, EntityTrait, QueryFilter,
    QueryOrder, QueryResult, QuerySelect,
};
use serde_json::{Map, Value, json};

use super::entities::archived_record::{ActiveModel, Column, Entity, Model, Origin};
use super::transaction::begin;
use crate::kernel::Timestamp;

/// A table of which rows are moved.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    /// Its name.
    pub table: &'static str,
    /// The column with the id of the record to which a row belongs.
    pub key: &'static str,
}

/// Moves the rows of these records from `sources` into the archive; each record is its id and when it ended. Belongs
/// into a transaction in which the records are locked.
pub async fn archive(
    tx: &impl ConnectionTrait,
    origin: Origin,
    sources: &[Source],
    records: &[(String, Timestamp)],
    now: Timestamp,
) -> Result<(), DbErr> {
    if records.is_empty() {
        return Ok(());
    }
    let ids = || records.iter().map(|(id, _)| id.as_str());
    let mut bodies: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    for Source { table, key } in sources {
        let rows =
            Query::select().column(Asterisk).from(Alias::new(*table)).and_where(Expr::col(*key).is_in(ids())).take();
        for row in tx.query_all(&rows).await? {
            let body = bodies.entry(row.try_get("", key)?).or_default();
            if let Value::Array(rows) = body.entry(*table).or_insert_with(|| json!([])) {
                rows.push(to_json(&row)?);
            }
        }
    }
    let archived = records.iter().map(|(id, at)| ActiveModel {
        origin: Set(origin),
        id: Set(id.clone()),
        body: Set(Value::Object(bodies.remove(id).unwrap_or_default()).to_string()),
        at: Set(*at),
        archived_at: Set(now),
    });
    let archived: Vec<ActiveModel> = archived.collect();
    Entity::insert_many(archived).exec_without_returning(tx).await?;
    for Source { table, key } in sources.iter().rev() {
        let rows = Query::delete().from_table(Alias::new(*table)).and_where(Expr::col(*key).is_in(ids())).take();
        tx.execute(&rows).await?;
    }
    Ok(())
}

/// A row with all its columns: text, numbers, booleans (on MariaDB as numbers) and `null`.
fn to_json(row: &QueryResult) -> Result<Value, DbErr> {
    let mut object = Map::new();
    for column in row.column_names() {
        let value = (row.try_get::<Option<String>>("", &column).map(Value::from))
            .or_else(|_| row.try_get::<Option<i64>>("", &column).map(Value::from))
            .or_else(|_| row.try_get::<Option<i32>>("", &column).map(Value::from))
            .or_else(|_| row.try_get::<Option<bool>>("", &column).map(Value::from))?;
        object.insert(column, value);
    }
    Ok(Value::Object(object))
}

/// A table of independent records.
#[derive(Clone, Copy, Debug)]
pub struct Records {
    /// What they are in the archive.
    pub origin: Origin,
    /// Their table, by id.
    pub source: Source,
    /// The column of the time after which their retention begins.
    pub at: &'static str,
}

/// Archives at most `most` of the records from before `before`, oldest first. Returns how many. A record that another
/// process has locked is left to it.
pub async fn archive_older(
    db: &DatabaseConnection,
    records: &Records,
    (before, now): (Timestamp, Timestamp),
    most: u64,
) -> Result<u64, DbErr> {
    let Records { origin, source, at } = *records;
    let tx = begin(db).await?;
    let mut old = Query::select();
    old.column(Alias::new(source.key)).column(Alias::new(at)).from(Alias::new(source.table));
    old.and_where(Expr::col(at).lt(before)).order_by(at, Order::Asc).order_by(source.key, Order::Asc).limit(most);
    if tx.get_database_backend() != DbBackend::Sqlite {
        old.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let rows = tx.query_all(&old).await?;
    let record = |row: &QueryResult| Ok((row.try_get("", source.key)?, row.try_get("", at)?));
    let old = rows.iter().map(record).collect::<Result<Vec<(String, Timestamp)>, DbErr>>()?;
    archive(&tx, origin, &[source], &old, now).await?;
    tx.commit().await?;
    Ok(old.len() as u64)
}

/// Deletes at most `most` records that were archived before `before`, oldest first, for ever. Returns how many.
pub async fn delete_older(db: &DatabaseConnection, before: Timestamp, most: u64) -> Result<u64, DbErr> {
    let old = || Column::ArchivedAt.lt(before);
    let oldest = Entity::find().select_only().column(Column::Origin).column(Column::Id).filter(old());
    let oldest = oldest.order_by_asc(Column::ArchivedAt).limit(most);
    let mut ids: BTreeMap<Origin, Vec<String>> = BTreeMap::new();
    for (origin, id) in oldest.into_tuple::<(Origin, String)>().all(db).await? {
        ids.entry(origin).or_default().push(id);
    }
    let mut deleted = 0;
    for (origin, ids) in ids {
        let records = Entity::delete_many().filter(Column::Origin.eq(origin)).filter(Column::Id.is_in(ids));
        deleted += records.filter(old()).exec(db).await?.rows_affected;
    }
    Ok(deleted)
}

/// A record of the archive.
pub async fn find(db: &impl ConnectionTrait, origin: Origin, id: &str) -> Result<Option<Model>, DbErr> {
    Entity::find_by_id((origin, id.to_owned())).one(db).await
}
