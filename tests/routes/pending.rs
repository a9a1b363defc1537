//! Servers that are being created, in `GET /api/servers`: visible from the 202 on, and so is their failure.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::db::entities::operation::{self, OperationState};
use zpack::kernel::OperationId;

use crate::support::app::{TestApp, problem};

fn paper() -> Value {
    json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1" })
}

impl TestApp {
    async fn ordered(&self, token: &str, body: &Value) -> OperationId {
        let answer = self.post("/api/instances", body).bearer_auth(token).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        body["operationId"].as_str().unwrap_or_else(|| panic!("{body}")).parse().unwrap()
    }

    async fn pending(&self, token: &str) -> Vec<Value> {
        self.json("/api/servers", token).await["pending"].as_array().unwrap().clone()
    }

    /// Puts `id` into a state, as its worker would.
    async fn set(&self, id: OperationId, columns: &[(operation::Column, sea_orm::Value)]) {
        let mut update = operation::Entity::update_many().filter(operation::Column::Id.eq(id));
        for (column, value) in columns {
            update = update.col_expr(*column, Expr::value(value.clone()));
        }
        update.exec(&self.database.db).await.unwrap();
    }

    async fn fail(&self, id: OperationId, state: OperationState, code: Option<&str>) {
        let now = self.clock.now();
        self.set(
            id,
            &[
                (operation::Column::State, state.into()),
                (operation::Column::ErrorCode, code.into()),
                (
                    operation::Column::ErrorMessage,
                    code.map(|_| "container 5000 on pve1 was not ready within 600 s").into(),
                ),
                (operation::Column::FinishedAt, now.into()),
            ],
        )
        .await;
    }

    async fn dismiss(&self, id: OperationId, token: &str) -> (StatusCode, Value) {
        let request = self.request(Method::POST, &format!("/api/operations/{id}/dismiss"));
        let answer = request.bearer_auth(token).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap())
    }
}

#[tokio::test]
async fn a_server_is_pending_from_the_202_until_its_row_exists() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.register("alice").await, app.register("bob").await);
    let id = app.ordered(&alice, &paper()).await;
    let queued = json!({
        "operationId": id, "statusUrl": format!("/api/operations/{id}"), "category": "GAME", "runtime": "minecraft",
        "flavor": "paper", "version": "1.21.1", "status": "queued", "phase": null, "percent": 0,
        "createdAt": app.clock.now(),
    });
    assert_eq!(app.pending(&alice).await, [queued]);
    assert!(app.pending(&bob).await.is_empty());

    app.set(
        id,
        &[
            (operation::Column::State, OperationState::Running.into()),
            (operation::Column::Phase, "clone_container".into()),
        ],
    )
    .await;
    let pending = app.pending(&alice).await.remove(0);
    assert_eq!((&pending["status"], &pending["phase"]), (&json!("installing"), &json!("clone_container")));
    let (status, refusal) = app.dismiss(id, &alice).await;
    assert_eq!((status, &refusal["code"]), (StatusCode::CONFLICT, &json!("state_conflict")));

    app.set(id, &[(operation::Column::Committed, true.into())]).await;
    assert!(app.pending(&alice).await.is_empty(), "it is among the servers now");
    let dev = app.ordered(&alice, &json!({ "ctype": "dev", "runtime": "node", "version": "22" })).await;
    let pending = app.pending(&alice).await.remove(0);
    let shown = [&pending["operationId"], &pending["category"], &pending["runtime"], &pending["flavor"]];
    assert_eq!(shown, [&json!(dev), &json!("DEV"), &json!("node"), &Value::Null]);
}

#[tokio::test]
async fn a_failure_is_shown_for_a_day_or_until_it_is_dismissed() {
    let app = TestApp::start().await;
    let (alice, bob, root) = (app.register("alice").await, app.register("bob").await, app.admin("root").await);
    for state in [OperationState::Failed, OperationState::Stale] {
        let id = app.ordered(&alice, &paper()).await;
        app.fail(id, state, Some("not_ready")).await;
        let pending = app.pending(&alice).await;
        assert_eq!(pending.len(), 1, "{pending:?}");
        let shown = [&pending[0]["operationId"], &pending[0]["status"], &pending[0]["error"]];
        let sentence = "The server was not ready in time. Please try again.";
        assert_eq!(shown, [&json!(id), &json!("failed"), &json!(sentence)]);
        for token in [&bob, &root] {
            assert_eq!(app.dismiss(id, token).await.0, StatusCode::NOT_FOUND, "only its owner may");
        }
        for _ in 0..2 {
            assert_eq!(app.dismiss(id, &alice).await, (StatusCode::OK, json!({ "ok": true })));
        }
        assert!(app.pending(&alice).await.is_empty());
    }
    let id = app.ordered(&alice, &paper()).await;
    app.fail(id, OperationState::Failed, None).await;
    let pending = app.pending(&alice).await.remove(0);
    assert!(pending["error"].as_str().unwrap().ends_with('.'), "{pending}");
    app.clock.advance(Duration::from_secs(24 * 3600 - 1));
    let alice = app.login("alice").await;
    assert_eq!(app.pending(&alice).await.len(), 1);
    app.clock.advance(Duration::from_secs(2));
    assert!(app.pending(&alice).await.is_empty());

    let cancelled = app.ordered(&alice, &paper()).await;
    let cancel = app.request(Method::POST, &format!("/api/operations/{cancelled}/cancel"));
    assert_eq!(cancel.bearer_auth(&alice).send().await.unwrap().status(), StatusCode::ACCEPTED);
    assert!(app.pending(&alice).await.is_empty(), "the customer knows");
    let unknown =
        problem(app.request(Method::POST, "/api/operations/op_x/dismiss").bearer_auth(&alice).send().await.unwrap());
    assert_eq!(unknown.await["code"], "not_found");
}

#[tokio::test]
async fn what_is_pending_is_bounded_and_on_the_first_page_only() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let first = app.ordered(&alice, &paper()).await;
    let row = operation::Entity::find_by_id(first).one(&app.database.db).await.unwrap().unwrap();
    let many = (0..70).map(|_| operation::Model {
        id: OperationId::generate(),
        state: OperationState::Failed,
        finished_at: Some(app.clock.now()),
        dedup_key: None,
        ..row.clone()
    });
    crate::support::rows::store(&app.database.db, &many.collect::<Vec<_>>()).await;
    let pending = app.pending(&alice).await;
    assert_eq!(pending.len(), 50);
    let cursor = "NTAwMA";
    let page = app.json(&format!("/api/servers?cursor={cursor}"), &alice).await;
    assert_eq!(page, json!({ "servers": [] }));
}
