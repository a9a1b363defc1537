//! The one set of migrations, portable to SQLite, PostgreSQL and MariaDB.
//!
//! Moments are epoch milliseconds in `BIGINT`, ids and states are text, documents are JSON in `TEXT`: the same on all
//! three. Changes expand first and contract a release later, so that old code runs on the new schema during a deploy.

use sea_orm::DbBackend;
use sea_orm_migration::prelude::*;
use sea_orm_migration::sea_query::TableCreateStatement;

mod m0001_accounts;
mod m0002_operations;
mod m0003_instances;
mod m0004_requests;
mod m0005_leases;
mod m0006_ports;
mod m0007_teardown;
mod m0008_unrouted_ports;
mod m0009_operation_requests;
mod m0010_runtime;
mod m0011_committed;
mod m0012_indexes;
mod m0013_archive;
mod m0014_resume;
mod m0015_dismissed;
mod m0016_listings;

/// Runs the migrations of this folder in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_accounts::Migration),
            Box::new(m0002_operations::Migration),
            Box::new(m0003_instances::Migration),
            Box::new(m0004_requests::Migration),
            Box::new(m0005_leases::Migration),
            Box::new(m0006_ports::Migration),
            Box::new(m0007_teardown::Migration),
            Box::new(m0008_unrouted_ports::Migration),
            Box::new(m0009_operation_requests::Migration),
            Box::new(m0010_runtime::Migration),
            Box::new(m0011_committed::Migration),
            Box::new(m0012_indexes::Migration),
            Box::new(m0013_archive::Migration),
            Box::new(m0014_resume::Migration),
            Box::new(m0015_dismissed::Migration),
            Box::new(m0016_listings::Migration),
        ]
    }
}

/// Creates `table` unless a run that was cut short did (MariaDB commits every change of the schema by itself); there with byte-wise collation, so that text compares as on the other two.
async fn create(manager: &SchemaManager<'_>, table: &mut TableCreateStatement) -> Result<(), DbErr> {
    if manager.get_database_backend() == DbBackend::MySql {
        table.engine("InnoDB").character_set("utf8mb4").collate("utf8mb4_bin");
    }
    manager.create_table(table.if_not_exists().take()).await
}

/// Creates a plain index on `columns` unless it is there.
async fn index(
    manager: &SchemaManager<'_>,
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    create_index(manager, name, table, columns, false).await
}

/// Creates an index on `columns` that allows a value once, unless it is there.
async fn unique_index(
    manager: &SchemaManager<'_>,
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
) -> Result<(), DbErr> {
    create_index(manager, name, table, columns, true).await
}

async fn create_index(
    manager: &SchemaManager<'_>,
    name: &'static str,
    table: &'static str,
    columns: &[&'static str],
    unique: bool,
) -> Result<(), DbErr> {
    if manager.has_index(table, name).await? {
        return Ok(());
    }
    let mut statement = Index::create();
    statement.name(name).table(table);
    for column in columns {
        statement.col(*column);
    }
    if unique {
        statement.unique();
    }
    manager.create_index(statement).await
}

/// Drops `tables` in the given order.
async fn drop(manager: &SchemaManager<'_>, tables: &[&'static str]) -> Result<(), DbErr> {
    for table in tables {
        manager.drop_table(Table::drop().table(*table).if_exists().take()).await?;
    }
    Ok(())
}

/// A required id column.
fn id(name: &'static str) -> ColumnDef {
    text(name, 40)
}

/// A required text column of at most `length` characters.
fn text(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).not_null().take()
}

/// An optional text column of at most `length` characters.
fn text_null(name: &'static str, length: u32) -> ColumnDef {
    ColumnDef::new(name).string_len(length).null().take()
}

/// A required moment or counter.
fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

/// An optional moment.
fn big_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().null().take()
}

/// A required number.
fn int(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().not_null().take()
}

/// A number that may be absent.
fn int_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).integer().null().take()
}

/// A required yes or no.
fn flag(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).boolean().not_null().take()
}

/// A required document.
fn document(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

/// An optional document.
fn document_null(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().null().take()
}

/// A required document of up to some MiB, where `TEXT` of MariaDB ends at 64 KiB.
fn large_document(manager: &SchemaManager<'_>, name: &'static str) -> ColumnDef {
    match manager.get_database_backend() {
        DbBackend::MySql => ColumnDef::new(name).custom("MEDIUMTEXT").not_null().take(),
        _ => document(name),
    }
}
