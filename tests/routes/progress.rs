//! `GET /api/operations/{id}/events`: how many clients may follow, and what happens when one disconnects.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use zpack::accounts::store;
use zpack::db::entities::user::Role;
use zpack::operations::{EventKind, record_event};
use zpack::web::sse::StreamLimits;

use crate::support::app::{AppOptions, PASSWORD, TestApp, problem};
use crate::support::door::Door;
use crate::support::parts::{MOST_STREAMS, parts};
use crate::support::sse::Sse;

/// Less than the time between two comments of a stream: no write occurs in it that could detect the closed connection.
const DEADLINE: Duration = Duration::from_secs(10);

async fn waiting(app: &TestApp, token: &str) -> String {
    let body = json!({ "ctype": "dev", "runtime": "node", "version": "22" });
    let answer = app.post("/api/instances", &body).bearer_auth(token).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    format!("/api/operations/{}/events", body["operationId"].as_str().unwrap())
}

#[tokio::test]
async fn a_client_that_disconnects_frees_its_stream() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let path = waiting(&app, &token).await;
    let mut streams = Vec::new();
    for _ in 0..MOST_STREAMS {
        let mut stream = Sse::open(&app, &path, &token, None).await;
        assert_eq!(stream.next().await.unwrap().name, "queued");
        streams.push(stream);
    }
    let refused = app.get(&path).bearer_auth(&token).send().await.unwrap();
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(problem(refused).await["code"], "overloaded");

    // A place is free once the stream and its database polling have ended.
    drop(streams);
    let all_free = async {
        let mut streams = Vec::new();
        while streams.len() < MOST_STREAMS {
            let answer = app.get(&path).bearer_auth(&token).send().await.unwrap();
            if answer.status() == StatusCode::OK {
                streams.push(answer);
            } else {
                // The clock advances so that no rate limit applies.
                app.clock.advance(Duration::from_secs(1));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::time::timeout(DEADLINE, all_free).await.expect("the places of those who left are free");
}

#[tokio::test]
async fn a_stopping_server_ends_its_event_streams() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let path = waiting(&app, &token).await;
    let mut stream = Sse::open(&app, &path, &token, None).await;
    assert_eq!(stream.next().await.unwrap().name, "queued");
    let (rest, _) = tokio::join!(stream.rest(), app.stop());
    assert_eq!(rest, [], "no end is reported that did not happen");
}

/// Another API process of the same company.
fn neighbour(app: &TestApp) -> Door {
    Door::open(parts(app.database.db.clone(), app.lists.clone(), app.clock.clone()))
}

#[tokio::test]
async fn a_stream_ends_with_its_token_whichever_process_ends_it() {
    let app = TestApp::start().await;
    let other = neighbour(&app);
    for name in ["logout", "password", "role"] {
        let token = app.register(name).await;
        let path = waiting(&app, &token).await;
        let mut stream = Sse::open(&app, &path, &token, None).await;
        assert_eq!(stream.next().await.unwrap().name, "queued");
        let body = json!({ "currentPassword": PASSWORD, "newPassword": "another horse battery" });
        match name {
            "logout" => _ = other.post("/api/auth/logout", &json!({})).bearer_auth(&token).send().await.unwrap(),
            "password" => _ = other.post("/api/auth/password", &body).bearer_auth(&token).send().await.unwrap(),
            _ => {
                let db = &app.database.db;
                let user = store::find_by_identifier(db, name).await.unwrap().unwrap();
                store::set_role(db, user.id, Role::Admin, app.clock.now()).await.unwrap();
            }
        }
        let rest = tokio::time::timeout(Duration::from_secs(5), stream.rest()).await;
        assert_eq!(rest.unwrap_or_else(|_| panic!("{name}: it goes on")), []);
    }
}

#[tokio::test]
async fn a_token_that_expires_ends_its_stream() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let path = waiting(&app, &token).await;
    let stream = Sse::open(&app, &path, &token, None).await;
    app.clock.advance(Duration::from_secs(3601));
    assert_eq!(stream.rest().await.len(), 1);
}

#[tokio::test]
async fn head_does_not_follow() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let path = waiting(&app, &token).await;
    for _ in 0..2 * MOST_STREAMS {
        let head = app.request(Method::HEAD, &path).bearer_auth(&token).send();
        let head = tokio::time::timeout(DEADLINE, head).await.expect("it ends").unwrap();
        assert_eq!(
            (head.status(), &head.headers()["content-type"]),
            (StatusCode::OK, &"text/event-stream".parse().unwrap())
        );
    }
    Sse::open(&app, &path, &token, None).await;
}

#[tokio::test]
async fn five_hundred_streams_of_an_operation_cost_the_queries_of_one() {
    let stream_limits = Some(StreamLimits { all: 1000, of_account: 32 });
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let app = TestApp::start_with(AppOptions { stream_limits, trusted_proxies, ..AppOptions::default() }).await;
    let token = app.register("alice").await;
    let path = waiting(&app, &token).await;
    let mut streams = Vec::new();
    for admin in 0..16 {
        let token = app.admin(&format!("admin-{admin}")).await;
        for _ in 0..31 {
            let mut stream = Sse::open(&app, &path, &token, None).await;
            assert_eq!(stream.next().await.unwrap().name, "queued");
            streams.push(stream);
        }
    }
    let before = app.statements();
    let id = path.split('/').nth(3).unwrap().parse().unwrap();
    let db = &app.database.db;
    record_event(db, id, EventKind::StepStarted, &json!({}), app.clock.now()).await.unwrap();
    for event in join_all(streams.iter_mut().map(Sse::next)).await {
        assert_eq!(event.unwrap().name, "step_started");
    }
    let statements = app.statements() - before;
    assert!(statements < 100, "{statements} statements for {} streams", streams.len());
}

#[tokio::test]
async fn an_unknown_last_event_id_is_refused() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let path = waiting(&app, &token).await;
    for bad in ["x", "-1", "1.5", "", "9223372036854775808"] {
        let answer = app.get(&path).bearer_auth(&token).header("last-event-id", bad).send().await.unwrap();
        assert_eq!(problem(answer).await["code"], "invalid_header", "{bad:?}");
    }
}
