//! Which operations have committed: they are continued after a crash and never undone.

use sea_orm_migration::prelude::*;

use super::flag;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column("operations", "committed").await? {
            return Ok(());
        }
        let column = flag("committed").default(false).take();
        manager.alter_table(Table::alter().table("operations").add_column(column).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("operations").drop_column("committed").take()).await
    }
}
