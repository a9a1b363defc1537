//! `DELETE /api/servers/{id}`: what the owner gets, who is refused, and that a refusal begins no operation.

use reqwest::{Method, RequestBuilder, StatusCode};
use sea_orm::{ActiveModelTrait, EntityTrait, PaginatorTrait, Set};
use serde_json::{Value, json};
use zpack::db::entities::instance::{InstanceKind, Lifecycle};
use zpack::db::entities::operation;
use zpack::db::entities::standing::{self, StandingState};

use crate::support::app::{INTERNAL, TestApp, problem};

fn delete(app: &TestApp, id: &str) -> RequestBuilder {
    app.request(Method::DELETE, &format!("/api/servers/{id}"))
}

/// An app with a server of `alice`, and her token.
async fn start() -> (TestApp, String) {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    app.own(app.id_of(&alice).await, InstanceKind::Game, 5000).await;
    (app, alice)
}

/// Sets the standing of the account, and whether an operator holds it.
async fn stand(app: &TestApp, token: &str, state: StandingState, manual_hold: bool) {
    let (user, now) = (app.id_of(token).await, app.clock.now());
    standing::Entity::delete_by_id(user).exec(&app.database.db).await.unwrap();
    let row = standing::ActiveModel {
        user_id: Set(user),
        state: Set(state),
        manual_hold: Set(manual_hold),
        reason: Set(None),
        since: Set(now),
        version: Set(1),
        updated_at: Set(now),
    };
    row.insert(&app.database.db).await.unwrap();
}

async fn operations(app: &TestApp) -> u64 {
    operation::Entity::find().count(&app.database.db).await.unwrap()
}

#[tokio::test]
async fn deleting_is_answered_202_and_repeating_it_returns_the_same_operation() {
    let (app, alice) = start().await;
    let mut begun = Vec::new();
    for _ in 0..2 {
        let answer = delete(&app, "5000").bearer_auth(&alice).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().is_ok_and(|seconds| seconds > 0));
        let body: Value = answer.json().await.unwrap();
        assert_eq!((&body["ok"], &body["statusUrl"]), (&json!(true), &json!(location)), "{body}");
        let operation = &body["operation"];
        assert_eq!((&operation["id"], &operation["status"]), (&body["operationId"], &json!("queued")), "{body}");
        assert_eq!(operation["kind"], "teardown");
        assert_eq!(app.json(&location, &alice).await, *operation);
        begun.push(body["operationId"].clone());
    }
    assert_eq!((&begun[0], operations(&app).await), (&begun[1], 1));
}

#[tokio::test]
async fn only_the_owner_can_delete_a_server_or_see_that_it_exists() {
    let (app, alice) = start().await;
    let (bob, root) = (app.register("bob").await, app.admin("root").await);
    for (token, id) in [(&bob, "5000"), (&root, "5000"), (&alice, "5001"), (&alice, "x"), (&alice, "-1")] {
        let body = problem(delete(&app, id).bearer_auth(token).send().await.unwrap()).await;
        assert_eq!((&body["code"], &body["detail"]), (&json!("not_found"), &json!("There is no such server.")), "{id}");
    }
    assert_eq!(problem(delete(&app, "5000").send().await.unwrap()).await["status"], 401);
    assert_eq!(problem(delete(&app, "5000").bearer_auth("not.a.token").send().await.unwrap()).await["status"], 401);
    assert_eq!(problem(delete(&app, "5000").bearer_auth(INTERNAL).send().await.unwrap()).await["status"], 403);
    let header = delete(&app, "5000").header("x-internal-token", INTERNAL);
    assert_eq!(problem(header.send().await.unwrap()).await["status"], 401, "the header counts on internal routes only");
    let body = problem(delete(&app, "5000?force=1").bearer_auth(&alice).send().await.unwrap()).await;
    let told = (&body["code"], &body["errors"][0]["pointer"]);
    assert_eq!(told, (&json!("invalid_query"), &json!("?force")), "{body}");
    assert_eq!((operations(&app).await, app.row(5000).await.lifecycle), (0, Lifecycle::Active));
}

#[tokio::test]
async fn an_account_on_hold_cannot_delete_but_an_unpaid_one_can() {
    let (app, alice) = start().await;
    stand(&app, &alice, StandingState::Active, true).await;
    let body = problem(delete(&app, "5000").bearer_auth(&alice).send().await.unwrap()).await;
    assert_eq!((&body["status"], &body["code"]), (&json!(403), &json!("account_hold")), "{body}");
    assert_eq!((&body["state"], &body["since"]), (&json!("active"), &json!(app.clock.now())), "{body}");
    assert_eq!((operations(&app).await, app.row(5000).await.lifecycle), (0, Lifecycle::Active));

    stand(&app, &alice, StandingState::PendingDeletion, false).await;
    assert_eq!(delete(&app, "5000").bearer_auth(&alice).send().await.unwrap().status(), StatusCode::ACCEPTED);
}
