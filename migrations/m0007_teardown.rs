//! Servers that were deleted, and what a debt needs to be settled.

use sea_orm_migration::prelude::*;

use super::{big, big_null, create, document, document_null, drop, id, index, int, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            Table::create()
                .table("deleted_instances")
                .col(id("id").primary_key())
                .col(int("vmid"))
                .col(text("hostname", 63))
                .col(id("user_id"))
                .col(id("operation_id"))
                .col(id("teardown_id"))
                .col(text("deleted_by", 64))
                .col(document("snapshot"))
                .col(big("archived_at"))
                .col(big_null("finished_at")),
        )
        .await?;
        index(manager, "deleted_instances_vmid", "deleted_instances", &["vmid"]).await?;
        index(manager, "deleted_instances_user", "deleted_instances", &["user_id"]).await?;
        if !manager.has_column("debts", "subject").await? {
            let column = document_null("subject");
            manager.alter_table(Table::alter().table("debts").add_column(column).take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("debts").drop_column("subject").take()).await?;
        drop(manager, &["deleted_instances"]).await
    }
}
