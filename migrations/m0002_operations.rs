//! Operations with their steps, events, slots, locks and debts.

use sea_orm_migration::prelude::*;

use super::{
    big, big_null, create, document, document_null, drop, flag, id, index, int, text, text_null, unique_index,
};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        operations(manager).await?;
        create(
            manager,
            Table::create()
                .table("operation_steps")
                .col(id("operation_id"))
                .col(int("seq"))
                .col(text("name", 64))
                .col(text("status", 16))
                .col(flag("outside"))
                .col(big("fence"))
                .col(document_null("detail"))
                .col(big("started_at"))
                .col(big_null("finished_at"))
                .primary_key(Index::create().col("operation_id").col("seq")),
        )
        .await?;
        create(
            manager,
            Table::create()
                .table("operation_events")
                .col(id("operation_id"))
                .col(int("seq"))
                .col(text("kind", 32))
                .col(document("data"))
                .col(big("at"))
                .primary_key(Index::create().col("operation_id").col("seq")),
        )
        .await?;
        create(
            manager,
            Table::create()
                .table("queues")
                .col(text("name", 32).primary_key())
                .col(flag("paused"))
                .col(big("updated_at")),
        )
        .await?;
        create(
            manager,
            Table::create()
                .table("queue_slots")
                .col(text("queue", 32))
                .col(int("slot"))
                .col(text_null("operation_id", 40))
                .col(big("fence"))
                .primary_key(Index::create().col("queue").col("slot")),
        )
        .await?;
        index(manager, "queue_slots_operation", "queue_slots", &["operation_id"]).await?;
        create(
            manager,
            Table::create()
                .table("resource_locks")
                .col(text("name", 128).primary_key())
                .col(text_null("operation_id", 40))
                .col(big("fence"))
                .col(big("taken_at")),
        )
        .await?;
        create(
            manager,
            Table::create()
                .table("debts")
                .col(id("id").primary_key())
                .col(id("operation_id"))
                .col(text("kind", 32))
                .col(ColumnDef::new("vmid").integer().null())
                .col(text_null("node", 64))
                .col(document("detail"))
                .col(text("state", 16))
                .col(int("attempts"))
                .col(big_null("next_attempt_at"))
                .col(document_null("last_error"))
                .col(big("created_at"))
                .col(big("updated_at")),
        )
        .await?;
        index(manager, "debts_operation", "debts", &["operation_id"]).await?;
        index(manager, "debts_state", "debts", &["state", "next_attempt_at"]).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let tables =
            ["debts", "resource_locks", "queue_slots", "queues", "operation_events", "operation_steps", "operations"];
        drop(manager, &tables).await
    }
}

async fn operations(manager: &SchemaManager<'_>) -> Result<(), DbErr> {
    create(
        manager,
        Table::create()
            .table("operations")
            .col(id("id").primary_key())
            .col(text("kind", 32))
            .col(text("queue", 32))
            .col(int("schema_version"))
            .col(document("payload"))
            .col(text("state", 16))
            .col(text_null("phase", 64))
            .col(text("unwind", 16))
            .col(text("cleanup", 16))
            .col(big("run_after"))
            .col(big("fence"))
            .col(big_null("lease_until"))
            .col(text_null("worker", 40))
            .col(int("starts"))
            .col(int("crashes"))
            .col(int("max_starts"))
            .col(big_null("offered_at"))
            .col(int("offer_count"))
            .col(flag("cancel_requested"))
            .col(text_null("dedup_key", 64))
            // Only one operation per key may be under way; ended ones leave the key free again. It is optional, but
            // MariaDB does not accept the word on a generated column.
            .col(
                ColumnDef::new("dedup_active").string_len(64).generated(
                    Expr::cust("CASE WHEN state IN ('queued', 'running') THEN dedup_key ELSE NULL END"),
                    true,
                ),
            )
            .col(text_null("user_id", 40))
            .col(ColumnDef::new("vmid").integer().null())
            .col(int("step_count"))
            .col(document_null("saga_state"))
            .col(text_null("error_code", 64))
            .col(document_null("error_message"))
            .col(text_null("error_phase", 64))
            .col(big_null("heartbeat_at"))
            .col(big("created_at"))
            .col(big_null("started_at"))
            .col(big_null("finished_at"))
            .col(int("event_seq")),
    )
    .await?;
    unique_index(manager, "operations_dedup_active", "operations", &["dedup_active"]).await?;
    index(manager, "operations_due", "operations", &["queue", "state", "run_after"]).await?;
    index(manager, "operations_lease", "operations", &["state", "lease_until"]).await?;
    index(manager, "operations_unwind", "operations", &["queue", "unwind", "run_after"]).await?;
    index(manager, "operations_user", "operations", &["user_id", "id"]).await?;
    index(manager, "operations_vmid", "operations", &["vmid", "id"]).await
}
