//! What was asked for, who began an operation, and when it may be cancelled.

use sea_orm_migration::prelude::*;

use super::{document_null, text};

#[derive(DeriveMigrationName)]
pub struct Migration;

/// What releases that do not know the new columns write: they insert rows until the last of them is replaced. Nobody but an
/// operator cancels such an operation, and only while it waits.
const BEGUN_BY: &str = "system";
const CANCEL_RULE: &str = "before_start";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        add(manager, "request", document_null("request")).await?;
        add(manager, "begun_by", text("begun_by", 16).default(BEGUN_BY).take()).await?;
        add(manager, "cancel_rule", text("cancel_rule", 16).default(CANCEL_RULE).take()).await?;
        // Customers alone begin these, and could cancel them at any time.
        let customers = Query::update()
            .table("operations")
            .value("begun_by", "customer")
            .value("cancel_rule", "anytime")
            .and_where(Expr::col("kind").is_in(["provision", "power"]))
            .and_where(Expr::col("begun_by").eq(BEGUN_BY))
            .take();
        manager.execute(customers).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for column in ["request", "begun_by", "cancel_rule"] {
            manager.alter_table(Table::alter().table("operations").drop_column(column).take()).await?;
        }
        Ok(())
    }
}

async fn add(manager: &SchemaManager<'_>, name: &'static str, column: ColumnDef) -> Result<(), DbErr> {
    if manager.has_column("operations", name).await? {
        return Ok(());
    }
    manager.alter_table(Table::alter().table("operations").add_column(column).take()).await
}
