//! Compares the entities and the indexes with the live schema. Extra tables and columns are reported but harmless, since old code runs
//! on a newer schema during a deployment; an extra column that requires a value is not.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use sea_orm::sea_query::ColumnType;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, IdenStatic, Iterable};

use super::indexes::{self, IndexShape};
use super::live::{LiveColumn, columns};
use super::{MigrateError, RECORD, while_doing};
use crate::db::entities as e;

/// Kinds of column types that correspond on the three databases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Text,
    Integer,
    BigInteger,
    Boolean,
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text => "text",
            Self::Integer => "integer",
            Self::BigInteger => "big integer",
            Self::Boolean => "boolean",
        })
    }
}

/// Type and nullability of a column, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ColumnShape(String);

impl fmt::Display for ColumnShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn shape(kind: impl fmt::Display, nullable: bool) -> ColumnShape {
    ColumnShape(format!("{kind}, {}", if nullable { "optional" } else { "required" }))
}

/// One difference between the schema and the entities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// A table is missing.
    MissingTable {
        /// Its name.
        table: String,
    },
    /// A column is missing.
    MissingColumn {
        /// Its table.
        table: String,
        /// Its name.
        column: String,
        /// What the code expects.
        expected: ColumnShape,
    },
    /// A column has another type or nullability.
    OtherColumn {
        /// Its table.
        table: String,
        /// Its name.
        column: String,
        /// What the code expects.
        expected: ColumnShape,
        /// What the schema has.
        found: ColumnShape,
    },
    /// The code does not know a table.
    ExtraTable {
        /// Its name.
        table: String,
    },
    /// The code does not know a column.
    ExtraColumn {
        /// Its table.
        table: String,
        /// Its name.
        column: String,
        /// Whether rows can be inserted without it.
        may_be_omitted: bool,
    },
    /// An index is missing.
    MissingIndex(IndexShape),
    /// The code does not know an index.
    ExtraIndex(IndexShape),
}

impl Difference {
    /// Whether this version of zpack cannot work with it, or not fast enough.
    pub fn is_harmful(&self) -> bool {
        match self {
            Self::MissingTable { .. }
            | Self::MissingColumn { .. }
            | Self::OtherColumn { .. }
            | Self::MissingIndex(_) => true,
            Self::ExtraTable { .. } => false,
            // It may refuse values that zpack writes.
            Self::ExtraIndex(index) => index.unique,
            Self::ExtraColumn { may_be_omitted, .. } => !may_be_omitted,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MissingTable { table } => {
                write!(f, "table {table} is missing; `zpack migrate up` creates it")
            }
            Self::MissingColumn { table, column, expected } => {
                write!(f, "column {table}.{column} ({expected}) is missing; `zpack migrate up` may add it")
            }
            Self::OtherColumn { table, column, expected, found } => {
                write!(f, "column {table}.{column} is {found}, but zpack expects {expected}; it was changed manually")
            }
            Self::ExtraTable { table } => write!(f, "table {table} is not zpack's; it is harmless"),
            Self::ExtraColumn { table, column, may_be_omitted: true } => {
                write!(f, "column {table}.{column} is unknown; it is harmless, a newer zpack may have added it")
            }
            Self::ExtraColumn { table, column, may_be_omitted: false } => {
                write!(f, "column {table}.{column} is unknown and required without a default; inserts will fail")
            }
            Self::MissingIndex(index) => write!(f, "{index} is missing; it was dropped manually"),
            Self::ExtraIndex(index) if index.unique => write!(f, "{index} is not zpack's; it may refuse new rows"),
            Self::ExtraIndex(index) => write!(f, "{index} is not zpack's; it is harmless"),
        }
    }
}

/// The differences between the live schema and the entities.
pub async fn check(db: &impl ConnectionTrait) -> Result<Vec<Difference>, MigrateError> {
    let live = columns(db).await.map_err(while_doing("read the schema"))?;
    let mut tables: BTreeMap<String, Vec<LiveColumn>> = BTreeMap::new();
    for column in live.into_iter().filter(|column| column.table_name != RECORD) {
        tables.entry(column.table_name.clone()).or_default().push(column);
    }
    let mut differences = Vec::new();
    let mut known = BTreeSet::new();
    for table in expected() {
        match tables.remove(table.name) {
            Some(live) => {
                known.insert(table.name);
                table.compare(&live, &mut differences);
            }
            None => differences.push(Difference::MissingTable { table: table.name.to_owned() }),
        }
    }
    differences.extend(tables.into_keys().map(|table| Difference::ExtraTable { table }));
    let of_known = |index: &IndexShape| known.contains(index.table.as_str());
    let wanted: BTreeSet<IndexShape> = indexes::expected().into_iter().filter(of_known).collect();
    let live = indexes::live(db).await.map_err(while_doing("read the indexes"))?;
    let live: BTreeSet<IndexShape> = live.into_iter().filter(of_known).collect();
    differences.extend(wanted.difference(&live).cloned().map(Difference::MissingIndex));
    differences.extend(live.difference(&wanted).cloned().map(Difference::ExtraIndex));
    Ok(differences)
}

/// A table as its entity declares it.
struct Table {
    name: &'static str,
    columns: Vec<Column>,
}

struct Column {
    name: &'static str,
    /// `None` for a type that `family` does not know, which the tests would notice.
    family: Option<Family>,
    nullable: bool,
}

impl Table {
    fn compare(&self, live: &[LiveColumn], differences: &mut Vec<Difference>) {
        let table = || self.name.to_owned();
        for wanted in &self.columns {
            let column = || wanted.name.to_owned();
            let expected =
                shape(wanted.family.map_or_else(|| "unknown".to_owned(), |f| f.to_string()), wanted.nullable);
            match live.iter().find(|column| column.column_name == wanted.name) {
                None => differences.push(Difference::MissingColumn { table: table(), column: column(), expected }),
                Some(found) if found.holds(wanted.family) && found.is_nullable() == wanted.nullable => {}
                Some(found) => {
                    let found = shape(&found.type_name, found.is_nullable());
                    differences.push(Difference::OtherColumn { table: table(), column: column(), expected, found });
                }
            }
        }
        let known = |column: &&LiveColumn| self.columns.iter().any(|wanted| wanted.name == column.column_name);
        let extra = live.iter().filter(|column| !known(column) && !column.is_generated());
        differences.extend(extra.map(|column| Difference::ExtraColumn {
            table: table(),
            column: column.column_name.clone(),
            may_be_omitted: column.may_be_omitted(),
        }));
    }
}

fn table<E: EntityTrait>(entity: E) -> Table {
    let columns = E::Column::iter().map(|column| {
        let definition = column.def();
        Column { name: column.as_str(), family: family(definition.get_column_type()), nullable: definition.is_null() }
    });
    Table { name: entity.table_name(), columns: columns.collect() }
}

fn expected() -> [Table; 20] {
    [
        table(e::archived_record::Entity),
        table(e::audit_event::Entity),
        table(e::catalog_copy::Entity),
        table(e::debt::Entity),
        table(e::deleted_instance::Entity),
        table(e::episode::Entity),
        table(e::idempotency_key::Entity),
        table(e::instance::Entity),
        table(e::lease::Entity),
        table(e::operation::Entity),
        table(e::operation_event::Entity),
        table(e::operation_step::Entity),
        table(e::port::Entity),
        table(e::queue::Entity),
        table(e::queue_slot::Entity),
        table(e::reservation::Entity),
        table(e::resource_lock::Entity),
        table(e::revoked_token::Entity),
        table(e::standing::Entity),
        table(e::user::Entity),
    ]
}

fn family(kind: &ColumnType) -> Option<Family> {
    match kind {
        ColumnType::Char(_) | ColumnType::String(_) | ColumnType::Text => Some(Family::Text),
        ColumnType::Integer => Some(Family::Integer),
        ColumnType::BigInteger => Some(Family::BigInteger),
        ColumnType::Boolean => Some(Family::Boolean),
        _ => None,
    }
}

impl LiveColumn {
    /// Whether the column keeps values of `family`.
    fn holds(&self, family: Option<Family>) -> bool {
        let found = match self.type_name.split('(').next().unwrap_or_default().trim() {
            "varchar" | "character varying" | "char" | "text" | "mediumtext" | "longtext" => Some(Family::Text),
            // Every integer of SQLite has 64 bits.
            "sqlite integer" if family == Some(Family::BigInteger) => family,
            "int" | "integer" | "sqlite integer" => Some(Family::Integer),
            "bigint" => Some(Family::BigInteger),
            "boolean" | "tinyint" => Some(Family::Boolean),
            _ => None,
        };
        found.is_some() && found == family
    }
}
