//! Users, revoked tokens, standing.

use sea_orm_migration::prelude::*;

use super::{big, big_null, create, drop, flag, id, index, int, text, text_null};

#[derive(DeriveMigrationName)]
pub struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create(
            manager,
            Table::create()
                .table("users")
                .col(id("id").primary_key())
                .col(text("email", 254).unique_key())
                .col(text("username", 64))
                .col(text("username_key", 64).unique_key())
                .col(text_null("display_name", 128))
                .col(text_null("first_name", 128))
                .col(text_null("last_name", 128))
                .col(text("role", 16))
                .col(text("password_hash", 255))
                .col(int("token_epoch"))
                .col(text_null("billing_status", 32))
                .col(big_null("suspended_at"))
                .col(big("created_at"))
                .col(big("updated_at")),
        )
        .await?;
        create(
            manager,
            Table::create()
                .table("revoked_tokens")
                .col(id("token_id").primary_key())
                .col(id("user_id"))
                .col(big("expires_at")),
        )
        .await?;
        index(manager, "revoked_tokens_expires_at", "revoked_tokens", &["expires_at"]).await?;
        create(
            manager,
            Table::create()
                .table("standings")
                .col(id("user_id").primary_key())
                .col(text("state", 32))
                .col(flag("manual_hold"))
                .col(text_null("reason", 500))
                .col(big("since"))
                .col(big("version"))
                .col(big("updated_at")),
        )
        .await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        drop(manager, &["standings", "revoked_tokens", "users"]).await
    }
}
