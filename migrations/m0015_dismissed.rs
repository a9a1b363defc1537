//! Which failures of operations their owners do not want to see any more.

use sea_orm_migration::prelude::*;

use super::big_null;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column("operations", "dismissed_at").await? {
            return Ok(());
        }
        let column = big_null("dismissed_at");
        manager.alter_table(Table::alter().table("operations").add_column(column).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("operations").drop_column("dismissed_at").take()).await
    }
}
