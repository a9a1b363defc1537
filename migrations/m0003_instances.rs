//! Servers, and who holds which VMID and host name.

use sea_orm_migration::prelude::*;

use super::{big, big_null, create, document, drop, id, index, int, int_null, text, text_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            Table::create()
                .table("reservations")
                .col(int("vmid").primary_key())
                .col(text("hostname", 63).unique_key())
                .col(text("state", 16))
                .col(id("operation_id"))
                .col(big("created_at"))
                .col(big_null("released_at"))
                .col(text_null("node", 64))
                .col(int_null("memory_mib")),
        )
        .await?;
        index(manager, "reservations_operation", "reservations", &["operation_id"]).await?;
        create(
            manager,
            Table::create()
                .table("instances")
                .col(id("id").primary_key())
                .col(int("vmid").unique_key())
                .col(text("hostname", 63).unique_key())
                .col(id("user_id"))
                .col(id("operation_id").unique_key())
                .col(text("kind", 16))
                .col(text("name", 64))
                .col(text("software", 64))
                .col(text_null("variant", 64))
                .col(text("version", 64))
                .col(int("memory_mib"))
                .col(int("cpu_cores"))
                .col(text("node", 64))
                .col(text("address", 45))
                .col(text("lifecycle", 16))
                .col(int("generation"))
                .col(document("payload"))
                .col(big("revision"))
                .col(big("created_at"))
                .col(big("updated_at")),
        )
        .await?;
        index(manager, "instances_user", "instances", &["user_id", "vmid"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["instances", "reservations"]).await
    }
}
