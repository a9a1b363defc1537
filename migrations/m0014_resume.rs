//! Which servers zpack stopped itself: their workload is started with their container.

use sea_orm_migration::prelude::*;

use super::flag;

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        if manager.has_column("instances", "resume").await? {
            return Ok(());
        }
        let column = flag("resume").default(false).take();
        manager.alter_table(Table::alter().table("instances").add_column(column).take()).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.alter_table(Table::alter().table("instances").drop_column("resume").take()).await
    }
}
