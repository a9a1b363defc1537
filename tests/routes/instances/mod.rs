//! `POST /api/instances`: what is accepted, what is refused, and that a refusal leaves nothing behind.

mod accepted;
mod refused;
mod repeated;

use reqwest::{Method, RequestBuilder, Response, StatusCode};
use sea_orm::{EntityTrait, PaginatorTrait};
use serde_json::{Value, json};
use zpack::db::entities::{idempotency_key, operation, operation_event, reservation};

use crate::support::app::{TestApp, problem};

/// A valid body.
fn paper() -> Value {
    json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1", "memoryMiB": 512 })
}

/// `body` with the members of `change`.
fn with(mut body: Value, change: Value) -> Value {
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

/// A create request of the account with `token`, without a body.
fn create(app: &TestApp, token: &str) -> RequestBuilder {
    app.request(Method::POST, "/api/instances").bearer_auth(token)
}

/// A create request with an idempotency key.
fn keyed(app: &TestApp, token: &str, key: &str) -> RequestBuilder {
    create(app, token).header("idempotency-key", key)
}

/// The operation of an accepted create request.
async fn begun(answer: Response) -> String {
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    body["operationId"].as_str().unwrap().to_owned()
}

/// The code of a refused create request.
async fn refused(answer: Response) -> String {
    problem(answer).await["code"].as_str().unwrap().to_owned()
}

/// Everything a create request leaves in the stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Traces {
    operations: u64,
    events: u64,
    reservations: u64,
    keys: u64,
    ids_on_lists: u64,
    redis_keys: u64,
}

impl Traces {
    async fn of(app: &TestApp) -> Self {
        let db = &app.database.db;
        let mut redis = app.lists.connection();
        let ready = zpack::jobs::Queue::Provision.ready_key();
        Self {
            operations: operation::Entity::find().count(db).await.unwrap(),
            events: operation_event::Entity::find().count(db).await.unwrap(),
            reservations: reservation::Entity::find().count(db).await.unwrap(),
            keys: idempotency_key::Entity::find().count(db).await.unwrap(),
            ids_on_lists: redis::cmd("LLEN").arg(ready).query_async(&mut redis).await.unwrap(),
            redis_keys: redis::cmd("DBSIZE").query_async(&mut redis).await.unwrap(),
        }
    }

    /// What `creates` create requests leave, `keys` of which had a key.
    fn after(creates: u64, keys: u64) -> Self {
        let redis_keys = u64::from(creates > 0);
        Self { operations: creates, events: creates, reservations: 0, keys, ids_on_lists: creates, redis_keys }
    }
}
