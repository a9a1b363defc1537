//! `GET /api/operations/{id}/events`: how many clients may follow, and what happens when one disconnects.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::app::{TestApp, problem};
use crate::support::parts::MOST_STREAMS;
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
