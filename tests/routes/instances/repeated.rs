//! Requests with an `Idempotency-Key`: repeated, sent concurrently, sent with another body.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use zpack::instances::quota::Quota;
use zpack::operations::idempotency::KEPT;

use super::{Traces, begun, create, keyed, paper, refused, with};
use crate::support::app::{AppOptions, TestApp, problem};
use crate::support::{TestDb, on_every_database};

on_every_database!(
    twenty_at_once_with_one_key_are_one_create,
    twenty_equal_ones_at_once_without_a_key_are_one_create,
    twenty_different_ones_at_once_with_one_key_are_one_create_and_refusals,
);

/// A quota of one server: an equal request that counted against itself would be refused.
const ROOM_FOR_ONE: Quota = Quota { servers: 1, memory_mib: 512 };

/// The operation ids in twenty answers, and how many of the answers are replays.
async fn outcome(answers: Vec<Result<Response, reqwest::Error>>) -> (BTreeSet<String>, usize) {
    let (mut ids, mut replayed) = (BTreeSet::new(), 0);
    for answer in answers {
        let answer = answer.unwrap();
        replayed += usize::from(answer.headers().get("idempotency-replayed").is_some_and(|value| value == "true"));
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let id = begun(answer).await;
        assert_eq!(location, Some(format!("/api/operations/{id}")));
        ids.insert(id);
    }
    (ids, replayed)
}

async fn twenty_at_once_with_one_key_are_one_create(database: TestDb) {
    let app = TestApp::start_on(database, AppOptions { quota: ROOM_FOR_ONE, ..AppOptions::default() });
    let token = app.register("alice").await;
    let sends = (0..20).map(|_| keyed(&app, &token, "key").json(&paper()).send());
    let (ids, replayed) = outcome(futures_util::future::join_all(sends).await).await;
    assert_eq!((ids.len(), replayed), (1, 19));
    assert_eq!(Traces::of(&app).await, Traces::after(1, 1));
}

async fn twenty_equal_ones_at_once_without_a_key_are_one_create(database: TestDb) {
    let app = TestApp::start_on(database, AppOptions { quota: ROOM_FOR_ONE, ..AppOptions::default() });
    let token = app.register("alice").await;
    let sends = (0..20).map(|_| create(&app, &token).json(&paper()).send());
    let (ids, replayed) = outcome(futures_util::future::join_all(sends).await).await;
    assert_eq!((ids.len(), replayed), (1, 0));
    assert_eq!(Traces::of(&app).await, Traces::after(1, 0));
}

async fn twenty_different_ones_at_once_with_one_key_are_one_create_and_refusals(database: TestDb) {
    let app = TestApp::start_on(database, AppOptions::default());
    let token = app.register("alice").await;
    let sends = (0..20).map(|n| {
        let body = with(paper(), json!({ "name": format!("server {n}") }));
        keyed(&app, &token, "key").json(&body).send()
    });
    let mut accepted = 0;
    for answer in futures_util::future::join_all(sends).await {
        let answer = answer.unwrap();
        if answer.status() == StatusCode::ACCEPTED {
            accepted += 1;
        } else {
            assert_eq!(refused(answer).await, "idempotency_key_reused");
        }
    }
    assert_eq!(accepted, 1);
    assert_eq!(Traces::of(&app).await, Traces::after(1, 1));
}

#[tokio::test]
async fn the_first_answer_is_replayed_unchanged() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let first = keyed(&app, &token, "key").json(&paper()).send().await.unwrap();
    let (headers, text) = (first.headers().clone(), first.text().await.unwrap());
    assert!(!headers.contains_key("idempotency-replayed"));
    let id = serde_json::from_str::<Value>(&text).unwrap()["operationId"].as_str().unwrap().to_owned();
    // The operation ends, which changes its state but not the stored answer.
    let cancel = app.request(Method::POST, &format!("/api/operations/{id}/cancel")).bearer_auth(&token);
    begun(cancel.send().await.unwrap()).await;

    // The same body in another spelling.
    let spelt = format!("  {}", serde_json::to_string_pretty(&paper()).unwrap());
    for body in [paper().to_string(), spelt] {
        let request = keyed(&app, &token, "key").header("content-type", "application/json").body(body);
        let again = request.send().await.unwrap();
        assert_eq!(again.status(), StatusCode::ACCEPTED);
        assert_eq!(again.headers()["idempotency-replayed"], "true");
        for name in ["location", "retry-after", "content-type"] {
            assert_eq!(again.headers()[name], headers[name], "{name}");
        }
        assert_eq!(again.text().await.unwrap(), text);
    }
    assert_eq!(Traces::of(&app).await.operations, 1);
}

#[tokio::test]
async fn a_key_belongs_to_one_body_of_one_customer_for_seven_days() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.register("alice").await, app.register("bob").await);
    let first = begun(keyed(&app, &alice, "key").json(&paper()).send().await.unwrap()).await;
    let other = with(paper(), json!({ "memoryMiB": 1024 }));
    let body = problem(keyed(&app, &alice, "key").json(&other).send().await.unwrap()).await;
    assert_eq!((&body["status"], &body["code"]), (&json!(422), &json!("idempotency_key_reused")));
    assert_eq!(Traces::of(&app).await, Traces::after(1, 1));
    // An invalid body is refused for its errors, and the key still belongs to the first body.
    let bad = with(paper(), json!({ "memoryMiB": "2g" }));
    assert_eq!(refused(keyed(&app, &alice, "key").json(&bad).send().await.unwrap()).await, "validation_failed");
    assert_eq!(begun(keyed(&app, &alice, "key").json(&paper()).send().await.unwrap()).await, first);

    let theirs = begun(keyed(&app, &bob, "key").json(&other).send().await.unwrap()).await;
    assert_ne!(theirs, first);
    app.clock.advance(KEPT + Duration::from_secs(1));
    let alice = app.login("alice").await;
    let later = begun(keyed(&app, &alice, "key").json(&other).send().await.unwrap()).await;
    assert_ne!(later, first);
    assert_eq!(begun(keyed(&app, &alice, "key").json(&other).send().await.unwrap()).await, later);
    assert_eq!(Traces::of(&app).await, Traces::after(3, 2));
}
