//! `GET /api/audit`.

use actix_web::web;
use sea_orm::DatabaseConnection;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::store;
use crate::db::entities::audit_event;
use crate::kernel::{AuditId, Timestamp};
use crate::web::{ApiResult, Query};

/// The dependencies of the audit route.
#[derive(Clone, Debug)]
pub struct AuditApi {
    /// The database.
    pub db: DatabaseConnection,
}

/// One page of the audit log.
#[derive(Debug, Serialize, ToSchema)]
pub struct AuditPage {
    /// Always true.
    ok: bool,
    /// The entries, the newest first.
    events: Vec<AuditEvent>,
    /// The cursor of the next page; null at the end.
    next: Option<String>,
}

/// A privileged action, or the refusal of one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuditEvent {
    /// Its id.
    #[schema(value_type = String)]
    id: AuditId,
    /// The actor: a user id, `internal` or `operator`.
    actor: String,
    /// The action, for example `user.set_role`.
    action: String,
    /// The subject of the action.
    subject: String,
    /// `done` or `refused`.
    outcome: String,
    /// The request it came with.
    request_id: Option<String>,
    /// Details of the action.
    detail: Option<Value>,
    /// When.
    #[schema(value_type = String, format = "date-time")]
    at: Timestamp,
}

impl From<audit_event::Model> for AuditEvent {
    fn from(row: audit_event::Model) -> Self {
        Self {
            id: row.id,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            outcome: row.outcome,
            request_id: row.request_id,
            detail: row.detail.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
            at: row.at,
        }
    }
}

/// `GET /api/audit`.
pub async fn list(api: web::Data<AuditApi>, query: Query) -> ApiResult<web::Json<AuditPage>> {
    let page = query.page()?;
    let subject = query.get::<String>("subject")?;
    let mut rows = store::find_page(&api.db, subject.as_deref(), &page).await?;
    let next = page.cut(&mut rows, |row| row.id);
    Ok(web::Json(AuditPage { ok: true, events: rows.into_iter().map(AuditEvent::from).collect(), next }))
}
