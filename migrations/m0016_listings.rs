//! Indexes for the listings of operators, for the failures that an owner is shown, and for the end of the archive's records.

use sea_orm_migration::prelude::*;

use super::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Indexes by name: the table and its columns.
const NEW: &[(&str, &str, &[&str])] = &[
    ("operations_state", "operations", &["state", "id"]),
    ("operations_user_ended", "operations", &["user_id", "state", "finished_at"]),
    ("archived_records_archived", "archived_records", &["archived_at"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table, columns) in NEW {
            index(manager, name, table, columns).await?;
        }
        // The first columns of the new one.
        if manager.has_index("operations", "operations_user_state").await? {
            manager.drop_index(Index::drop().name("operations_user_state").table("operations").to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        index(manager, "operations_user_state", "operations", &["user_id", "state"]).await?;
        for (name, table, _) in NEW {
            manager.drop_index(Index::drop().name(*name).table(*table).to_owned()).await?;
        }
        Ok(())
    }
}
