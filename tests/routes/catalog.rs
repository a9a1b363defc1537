//! `GET /api/catalog/game` and `GET /api/catalog/dev`.

use std::sync::Arc;
use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};
use zpack::sim::{SimConfig, World};

use crate::support::app::{AppOptions, TestApp, problem};
use crate::support::artifacts;

fn ids(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn the_catalog_is_public_and_without_the_unusable_entries_of_its_source() {
    let app = TestApp::start().await;
    let games: Value = app.get("/api/catalog/game").send().await.unwrap().json().await.unwrap();
    assert_eq!(ids(&games["games"]), ["minecraft", "rust", "valheim", "terraria", "projectzomboid"]);
    let minecraft = &games["games"][0]["variants"];
    assert!(!ids(minecraft).iter().any(|id| id.contains('/') || *id == "spigot" || *id == "mohist"), "{minecraft}");
    let vanilla = &minecraft.as_array().unwrap().iter().find(|variant| variant["id"] == "vanilla").unwrap()["versions"];
    let sorted = [
        "26.1", "1.21.10", "1.21.1", "1.20.6", "1.20.5", "1.20.4", "1.20.1", "1.18.2", "1.17.1", "1.16.5", "1.12.2",
        "1.10.2", "1.9.4", "1.8.9", "1.7.10",
    ];
    assert_eq!(vanilla, &json!(sorted));

    let dev: Value = app.get("/api/catalog/dev").send().await.unwrap().json().await.unwrap();
    let expected = json!({ "stale": false, "runtimes": [
        { "id": "node", "versions": ["24", "22", "20", "18"] },
        { "id": "python", "versions": ["3.13", "3.12", "3.11", "3.10", "3.9"] },
        { "id": "go", "versions": ["1.25", "1.24", "1.23", "1.22"] },
        { "id": "rust", "versions": ["1.95.0", "1.90.0", "1.85.0"] },
    ]});
    assert_eq!(dev, expected);
    let body = problem(app.get("/api/catalog/game?game=minecraft").send().await.unwrap()).await;
    assert_eq!(body["errors"][0]["pointer"], "?game");
}

#[tokio::test]
async fn a_cached_copy_is_answered_304_without_a_call_to_the_source() {
    let app = TestApp::start().await;
    let first = app.get("/api/catalog/game").send().await.unwrap();
    assert_eq!(first.headers()["cache-control"], "public, max-age=60, stale-if-error=86400");
    let etag = first.headers()["etag"].clone();
    let before = app.statements();
    let again = app.get("/api/catalog/game").header("if-none-match", &etag).send().await.unwrap();
    assert_eq!((again.status(), &again.headers()["etag"]), (StatusCode::NOT_MODIFIED, &etag));
    assert!(again.bytes().await.unwrap().is_empty());
    assert_eq!(app.statements(), before, "it is read from memory");
}

#[tokio::test]
async fn while_the_source_is_down_the_last_copy_is_served_as_stale_for_a_day() {
    let world = World::start(SimConfig::default()).await.unwrap();
    let source = artifacts::at(&world.artifacts_url());
    let app = TestApp::start_with(AppOptions { source: Some(Arc::clone(&source)), ..AppOptions::default() }).await;
    let read = async || app.get("/api/catalog/dev").send().await.unwrap();
    let fresh: Value = read().await.json().await.unwrap();
    world.shutdown().await.unwrap();

    app.clock.advance(Duration::from_secs(24 * 3600));
    let answer = read().await;
    assert_eq!(answer.headers()["age"], "86400");
    let old: Value = answer.json().await.unwrap();
    assert_eq!((&old["stale"], &old["runtimes"]), (&json!(true), &fresh["runtimes"]));

    app.clock.advance(Duration::from_secs(1));
    let answer = read().await;
    assert_eq!(answer.headers()["retry-after"], "5");
    let body = problem(answer).await;
    assert_eq!((&body["code"], &body["retryable"]), (&json!("catalog_unavailable"), &json!("after")));
}
