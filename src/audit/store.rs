//! Rows of the audit log.

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};
use serde_json::Value;

use crate::db::entities::audit_event::{self, ActiveModel, Column, Entity};
use crate::kernel::{AuditId, Timestamp, text_enum};
use crate::web::{ClientRequestId, Page};

text_enum! {
    /// What became of an act.
    pub enum Outcome {
        /// It was done.
        Done = "done",
        /// It was refused.
        Refused = "refused",
    }
}

/// A privileged act, or the refusal of one.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Who: a user id, `internal` or `operator`.
    pub actor: String,
    /// What, for example `user.set_role`.
    pub action: &'static str,
    /// On what.
    pub subject: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The request it came with.
    pub request: Option<ClientRequestId>,
    /// What matters about it; never secrets.
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

/// One page of entries, the newest first, of `subject` only when it is given.
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
