//! Indexes for the listings of operators and for the end of the archive's records.

use sea_orm_migration::prelude::*;

use super::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Indexes by name: the table and its columns.
const NEW: &[(&str, &str, &[&str])] = &[
    ("operations_state", "operations", &["state", "id"]),
    ("archived_records_archived", "archived_records", &["archived_at"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table, columns) in NEW {
            index(manager, name, table, columns).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table, _) in NEW {
            manager.drop_index(Index::drop().name(*name).table(*table).to_owned()).await?;
        }
        Ok(())
    }
}
