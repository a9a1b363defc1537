//! Public ports of servers without a proxy, and when the public side of a server is looked at again.

use sea_orm_migration::prelude::*;

use super::{big, big_null, create, drop, flag, id, index, int, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            Table::create()
                .table("ports")
                .col(int("port").primary_key())
                .col(id("operation_id"))
                .col(text("state", 16))
                .col(flag("routed"))
                .col(big("created_at"))
                .col(big_null("released_at")),
        )
        .await?;
        index(manager, "ports_operation", "ports", &["operation_id"]).await?;
        if !manager.has_column("instances", "edge_due_at").await? {
            let column = big_null("edge_due_at");
            manager.alter_table(Table::alter().table("instances").add_column(column).take()).await?;
        }
        index(manager, "instances_edge_due", "instances", &["edge_due_at"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.drop_index(Index::drop().name("instances_edge_due").table("instances").to_owned()).await?;
        manager.alter_table(Table::alter().table("instances").drop_column("edge_due_at").take()).await?;
        drop(manager, &["ports"]).await
    }
}
