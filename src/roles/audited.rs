//! Records an operator's command in the audit log.

use sea_orm::{ConnectionTrait, DbErr};
use serde_json::{Value, json};

use crate::audit::{self, AuditOutcome, Entry};
use crate::kernel::Timestamp;

/// Records that the operator performed `action` on `subject`, in the transaction that performs it.
pub async fn record(
    tx: &impl ConnectionTrait,
    action: &'static str,
    subject: &str,
    detail: Value,
    now: Timestamp,
) -> Result<(), DbErr> {
    let entry = Entry {
        actor: "operator".to_owned(),
        action,
        subject: subject.to_owned(),
        outcome: AuditOutcome::Done,
        request: None,
        detail: json!({"uid": rustix::process::getuid().as_raw(), "detail": detail}),
    };
    audit::record(tx, entry, now).await
}
