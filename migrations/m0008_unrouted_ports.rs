//! Where a public port leads is in the record of the publication alone.

use sea_orm_migration::prelude::*;

use super::flag;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column("ports", "routed").await? {
            manager.alter_table(Table::alter().table("ports").drop_column("routed").take()).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column = flag("routed");
        manager.alter_table(Table::alter().table("ports").add_column(column.default(false)).take()).await
    }
}
