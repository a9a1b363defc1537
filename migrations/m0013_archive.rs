//! The archive, and what its selection needs.

use sea_orm_migration::prelude::*;

use super::{big, create, drop, index, large_document, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            Table::create()
                .table("archived_records")
                .col(text("origin", 32))
                .col(text("id", 64))
                .col(large_document(manager, "body"))
                .col(big("at"))
                .col(big("archived_at"))
                .primary_key(Index::create().col("origin").col("id")),
        )
        .await?;
        index(manager, "audit_events_at", "audit_events", &["at"]).await?;
        index(manager, "deleted_instances_finished", "deleted_instances", &["finished_at"]).await?;
        index(manager, "episodes_operation", "episodes", &["operation_id"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (name, table) in [
            ("audit_events_at", "audit_events"),
            ("deleted_instances_finished", "deleted_instances"),
            ("episodes_operation", "episodes"),
        ] {
            manager.drop_index(Index::drop().name(name).table(table).to_owned()).await?;
        }
        drop(manager, &["archived_records"]).await
    }
}
