//! Who leads what only one process may do at a time.

use sea_orm_migration::prelude::*;

use super::{big, big_null, create, drop, text, text_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            Table::create()
                .table("leases")
                .col(text("name", 32).primary_key())
                .col(big("epoch"))
                .col(text_null("holder", 128))
                .col(big_null("renewed_at")),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["leases"]).await
    }
}
