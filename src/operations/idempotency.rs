//! First answers to requests that carried an `Idempotency-Key`, kept for seven days per principal and route.
//!
//! `operations::accept` looks up the key; if it is new, it writes the answer in the transaction that writes the
//! operation. Of two requests with the same new key, one fails to insert: it rolls back, looks up the key again, and
//! finds the answer of the other.

use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{LOCATION, RETRY_AFTER};
use actix_web::{HttpResponse, HttpResponseBuilder};
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Set};

use crate::db;
use crate::db::entities::idempotency_key::{ActiveModel, Column, Entity};
use crate::kernel::{OperationId, Timestamp, UserId};
use crate::web::{ApiError, Code, IDEMPOTENCY_REPLAYED, IdempotencyKey};

use super::view::{Accepted, OperationView, status_url};

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The use of a key: under which id its answer is kept, and for which body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The id of its row.
    pub id: String,
    /// The digest of the body, so that the key is not used with another body.
    pub digest: String,
}

impl KeyUse {
    /// The use of `key` by `principal` on `route` with a body of `digest`; `None` if the client sent no key.
    pub fn of(key: &IdempotencyKey, principal: UserId, route: &str, digest: &str) -> Option<Self> {
        let id = key.row_id(&principal.to_string(), route)?;
        Some(Self { id, digest: digest.to_owned() })
    }
}

/// An answer as it was first given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstAnswer {
    /// Its HTTP status.
    pub status: u16,
    /// Its JSON.
    pub body: String,
    /// The operation it began.
    pub operation: Option<OperationId>,
}

/// What is known about a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It is unused, or its answer was deleted.
    Fresh,
    /// It was used with the same body; this was the answer.
    Replay(FirstAnswer),
    /// It was used with another body.
    Reused,
}

impl FirstAnswer {
    /// The answer to a request that began `operation`.
    pub fn accepted(operation: OperationView) -> Result<Self, serde_json::Error> {
        let id = operation.id;
        let body = serde_json::to_string(&Accepted::new(operation))?;
        Ok(Self { status: StatusCode::ACCEPTED.as_u16(), body, operation: Some(id) })
    }

    /// The answer, given for the first time.
    pub fn response(self) -> HttpResponse {
        self.respond(|_| ())
    }

    /// The same answer again, marked as a replay.
    pub fn replay(self) -> HttpResponse {
        self.respond(|response| {
            response.insert_header((IDEMPOTENCY_REPLAYED, "true"));
        })
    }

    fn respond(self, mark: impl Fn(&mut HttpResponseBuilder)) -> HttpResponse {
        let mut response = HttpResponse::build(StatusCode::from_u16(self.status).unwrap_or(StatusCode::OK));
        if let Some(operation) = self.operation {
            response.insert_header((LOCATION, status_url(operation))).insert_header((RETRY_AFTER, "1"));
        }
        mark(&mut response);
        response.content_type("application/json").body(self.body)
    }
}

/// The refusal of a key that was used with another body.
pub fn key_reused() -> ApiError {
    ApiError::new(Code::IdempotencyKeyReused, "This `Idempotency-Key` was used before with another body.")
}

/// What is known about the key with the row id `id`, sent with a body of `digest`.
pub async fn find(db: &impl ConnectionTrait, id: &str, digest: &str, now: Timestamp) -> Result<KeyState, DbErr> {
    let row = Entity::find_by_id(id).filter(Column::ExpiresAt.gt(now)).one(db).await?;
    Ok(match row {
        None => KeyState::Fresh,
        Some(row) if row.body_hash != digest => KeyState::Reused,
        Some(row) => KeyState::Replay(FirstAnswer {
            status: u16::try_from(row.status).unwrap_or(200),
            body: row.response,
            operation: row.operation_id,
        }),
    })
}

/// Stores the first answer under `id`; false if another request was first. The caller then rolls its transaction back
/// and looks up the key again.
pub async fn insert(
    tx: &impl ConnectionTrait,
    id: &str,
    digest: &str,
    answer: &FirstAnswer,
    now: Timestamp,
) -> Result<bool, DbErr> {
    Entity::delete_many().filter(Column::Id.eq(id)).filter(Column::ExpiresAt.lte(now)).exec(tx).await?;
    let row = ActiveModel {
        id: Set(id.to_owned()),
        body_hash: Set(digest.to_owned()),
        status: Set(i32::from(answer.status)),
        response: Set(answer.body.clone()),
        operation_id: Set(answer.operation),
        created_at: Set(now),
        expires_at: Set(now.after(KEPT)),
    };
    match Entity::insert(row).exec_without_returning(tx).await {
        Ok(_) => Ok(true),
        Err(error) if db::is_duplicate(&error) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Deletes at most `most` expired answers, oldest first. Returns how many.
pub async fn purge(db: &impl ConnectionTrait, now: Timestamp, most: u64) -> Result<u64, DbErr> {
    let over = || Column::ExpiresAt.lte(now);
    let oldest = Entity::find().select_only().column(Column::Id).filter(over()).order_by_asc(Column::ExpiresAt);
    let ids: Vec<String> = oldest.order_by_asc(Column::Id).limit(most).into_tuple().all(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(Entity::delete_many().filter(Column::Id.is_in(ids)).filter(over()).exec(db).await?.rows_affected)
}
