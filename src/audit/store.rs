//! Rows of the audit log.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};
use serde_json::Value;

use crate::db::entities::audit_event::{self, ActiveModel, Column, Entity};
use crate::kernel::{AuditId, Timestamp, text_enum};
use crate::web::{ClientRequestId, Page};

text_enum! {
    /// How an action ended.
    pub enum AuditOutcome {
        /// It was done.
        Done = "done",
        /// It was refused.
        Refused = "refused",
    }
}

/// A privileged action, or the refusal of one.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The actor: a user id, `internal` or `operator`.
    pub actor: String,
    /// The action, for example `user.set_role`.
    pub action: &'static str,
    /// The subject of the action.
    pub subject: String,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// The HTTP request that caused it.
    pub request: Option<ClientRequestId>,
    /// Details of the action, without secrets.
    pub detail: Value,
}

/// Appends `entry`.
pub async fn record(tx: &impl ConnectionTrait, entry: Entry, now: Timestamp) -> Result<(), DbErr> {
    let row = ActiveModel {
        id: Set(AuditId::generate()),
        actor: Set(cut(&entry.actor, 64)),
        action: Set(entry.action.to_owned()),
        subject: Set(cut(&entry.subject, 128)),
        outcome: Set(entry.outcome.to_string()),
        request_id: Set(entry.request.map(|name| name.to_string())),
        detail: Set(Some(entry.detail).filter(|detail| !detail.is_null()).map(|detail| detail.to_string())),
        at: Set(now),
    };
    Entity::insert(row).exec_without_returning(tx).await.map(drop)
}

/// One page of entries, newest first; only those about `subject` if one is given.
pub async fn find_page(
    db: &impl ConnectionTrait,
    subject: Option<&str>,
    page: &Page<AuditId>,
) -> Result<Vec<audit_event::Model>, DbErr> {
    let mut query = Entity::find().order_by_desc(Column::Id).limit(page.rows_to_read());
    if let Some(subject) = subject {
        query = query.filter(Column::Subject.eq(subject));
    }
    if let Some(after) = page.after {
        query = query.filter(Column::Id.lt(after));
    }
    query.all(db).await
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}
