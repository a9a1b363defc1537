//! Indexes for what is asked while many operations, debts and deleted servers lie in the past.

use sea_orm_migration::prelude::*;

use super::index;

#[derive(DeriveMigrationName)]
pub struct Migration;

/// Indexes by name: the table and its columns.
const NEW: &[(&str, &str, &[&str])] = &[
    ("operations_user_state", "operations", &["user_id", "state"]),
    ("operations_finished", "operations", &["finished_at", "id"]),
    ("debts_vmid", "debts", &["vmid"]),
    ("deleted_instances_operation", "deleted_instances", &["operation_id"]),
    ("deleted_instances_hostname", "deleted_instances", &["hostname"]),
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table, columns) in NEW {
            index(manager, name, table, columns).await?;
        }
        // No query needs it, and every renewal of a lease had to write it.
        if manager.has_index("operations", "operations_lease").await? {
            manager.drop_index(Index::drop().name("operations_lease").table("operations").to_owned()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        index(manager, "operations_lease", "operations", &["state", "lease_until"]).await?;
        for (name, table, _) in NEW {
            manager.drop_index(Index::drop().name(*name).table(*table).to_owned()).await?;
        }
        Ok(())
    }
}
