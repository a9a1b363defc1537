//! What requests leave behind: idempotency keys, the audit log, copies of the catalog.

use sea_orm_migration::prelude::*;

use super::{big, create, document, document_null, drop, index, int, large_document, text, text_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            Table::create()
                .table("idempotency_keys")
                .col(text("id", 64).primary_key())
                .col(text("body_hash", 64))
                .col(int("status"))
                .col(document("response"))
                .col(text_null("operation_id", 40))
                .col(big("created_at"))
                .col(big("expires_at")),
        )
        .await?;
        index(manager, "idempotency_keys_expires_at", "idempotency_keys", &["expires_at"]).await?;
        create(
            manager,
            Table::create()
                .table("audit_events")
                .col(text("id", 40).primary_key())
                .col(text("actor", 64))
                .col(text("action", 64))
                .col(text("subject", 128))
                .col(text("outcome", 16))
                .col(text_null("request_id", 128))
                .col(document_null("detail"))
                .col(big("at")),
        )
        .await?;
        index(manager, "audit_events_subject", "audit_events", &["subject", "id"]).await?;
        create(
            manager,
            Table::create()
                .table("catalog_copies")
                .col(text("document", 16).primary_key())
                .col(large_document(manager, "body"))
                .col(text_null("etag", 255))
                .col(big("fetched_at")),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["catalog_copies", "audit_events", "idempotency_keys"]).await
    }
}
