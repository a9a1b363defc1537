//! `GET /api/operations/{id}/events`: how many may follow, and who hangs up.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::app::{TestApp, problem};
use crate::support::parts::MOST_STREAMS;
use crate::support::sse::Sse;

/// Less than the time between two comments of a stream: nothing is written in it that could find out by failing.
const DEADLINE: Duration = Duration::from_secs(10);

async fn waiting(app: &TestApp, token: &str) -> String {
    let body = json!({ "ctype": "dev", "runtime": "node", "version": "22" });
    let answer = app.post("/api/instances", &body).bearer_auth(token).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    format!("/api/operations/{}/events", body["operationId"].as_str().unwrap())
}

#[tokio::test]
async fn a_client_that_hangs_up_is_not_worked_for_any_more() {
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

    // A place is free when its stream, with the looks at the database behind it, is gone.
    drop(streams);
    let all_free = async {
        let mut streams = Vec::new();
        while streams.len() < MOST_STREAMS {
            let answer = app.get(&path).bearer_auth(&token).send().await.unwrap();
            if answer.status() == StatusCode::OK {
                streams.push(answer);
            } else {
                // Time passes on the clock of the allowances too.
                app.clock.advance(Duration::from_secs(1));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::time::timeout(DEADLINE, all_free).await.expect("the places of those who left are free");
}

#[tokio::test]
async fn a_stopping_server_lets_its_streams_end() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let path = waiting(&app, &token).await;
    let mut stream = Sse::open(&app, &path, &token, None).await;
    assert_eq!(stream.next().await.unwrap().name, "queued");
    let (rest, _) = tokio::join!(stream.rest(), app.stop());
    assert_eq!(rest, [], "no end is told that did not happen");
}

#[tokio::test]
async fn an_id_that_is_no_event_of_the_stream_is_refused() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let path = waiting(&app, &token).await;
    for bad in ["x", "-1", "1.5", "", "9223372036854775808"] {
        let answer = app.get(&path).bearer_auth(&token).header("last-event-id", bad).send().await.unwrap();
        assert_eq!(problem(answer).await["code"], "invalid_header", "{bad:?}");
    }
}
