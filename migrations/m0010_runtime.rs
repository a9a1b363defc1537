//! When an owner claimed its operation, and which episodes had their operation.

use sea_orm_migration::prelude::*;

use super::{big, big_null, create, drop, id, index, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if !manager.has_column("operations", "claimed_at").await? {
            let column = big_null("claimed_at");
            manager.alter_table(Table::alter().table("operations").add_column(column).take()).await?;
        }
        create(
            manager,
            Table::create()
                .table("episodes")
                .col(text("id", 64).primary_key())
                .col(text("kind", 32))
                .col(text("subject", 128))
                .col(text("name", 128))
                .col(id("operation_id"))
                .col(big("begun_at")),
        )
        .await?;
        index(manager, "episodes_begun", "episodes", &["begun_at"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["episodes"]).await?;
        manager.alter_table(Table::alter().table("operations").drop_column("claimed_at").take()).await
    }
}
