//! The progress of an operation, followed over a socket while a worker creates the server.

use reqwest::Method;
use serde_json::{Value, json};
use zpack::kernel::OperationId;

use crate::support::app::FRESHNESS;
use crate::support::company::Company;
use crate::support::door::Door;
use crate::support::sse::{Received, Sse};

const STEPS: [&str; 9] = [
    "reserve_identity",
    "clone_container",
    "configure_container",
    "start_container",
    "await_address",
    "configure_agent",
    "await_ready",
    "record_server",
    "publish_edge",
];

async fn create(door: &Door, token: &str) -> (OperationId, String) {
    let body = json!({ "ctype": "dev", "runtime": "node", "version": "22" });
    let answer = door.post("/api/instances", &body).bearer_auth(token).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    let id = body["operationId"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned();
    (id.parse().unwrap(), format!("/api/operations/{id}/events"))
}

fn names(events: &[Received]) -> Vec<(&str, &str)> {
    events.iter().map(|event| (event.name.as_str(), event.data["step"].as_str().unwrap_or(""))).collect()
}

/// Every event has a number, in order from `first`, except the last one, which is the end.
fn in_order(events: &[Received], first: i64) {
    let (end, numbered) = events.split_last().unwrap();
    let ids: Vec<i64> = numbered.iter().map(|event| event.id.unwrap()).collect();
    assert_eq!(ids, (first..).take(ids.len()).collect::<Vec<_>>());
    assert_eq!((end.id, end.name.as_str()), (None, "ended"), "{events:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_arrives_in_order_and_resumes_after_a_disconnect() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let token = door.register("alice").await;
    let (id, path) = create(&door, &token).await;

    // The stream is open before a worker runs: all later events arrive as they occur.
    let mut live = Sse::open(&door, &path, &token, None).await;
    let queued = live.next().await.unwrap();
    assert_eq!((queued.id, queued.name.as_str()), (Some(1), "queued"));
    let mut broken = Sse::open(&door, &path, &token, None).await;
    let worker = company.worker(Company::settings());
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(broken.next().await.unwrap());
    }
    drop(broken);
    seen.extend(Sse::open(&door, &path, &token, Some(4)).await.rest().await);

    let mut events = vec![queued];
    events.extend(live.rest().await);
    company.succeeded(id).await;
    worker.stop().await;
    assert_eq!(seen, events, "nothing is lost or told twice over a broken connection");
    in_order(&events, 1);
    let steps = STEPS.iter().flat_map(|step| [("step_started", *step), ("step_done", *step)]);
    let expected: Vec<_> = [("queued", "")].into_iter().chain(steps).chain([("ended", "")]).collect();
    assert_eq!(names(&events), expected);
    assert_eq!(events.last().unwrap().data, json!({ "status": "succeeded", "error": null }));

    let last = events.len() as i64 - 1;
    for after in [0, 1, last / 2, last - 1, last, last + 100, i64::MAX] {
        let again = Sse::open(&door, &path, &token, Some(after)).await.rest().await;
        assert_eq!(again, events[usize::try_from(after.min(last)).unwrap()..], "after {after}");
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_operation_is_streamed_to_the_end_of_its_undo() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let token = door.register("alice").await;
    company.control("/sim/agents/next", json!({ "state": "error", "error": "disk is full" })).await;
    let (id, path) = create(&door, &token).await;
    let worker = company.worker(Company::settings());
    let events = Sse::open(&door, &path, &token, None).await.rest().await;
    company.settled(id).await;
    worker.stop().await;

    in_order(&events, 1);
    let names = names(&events);
    let failed = names.iter().position(|event| *event == ("step_failed", "await_ready")).unwrap();
    let undone: Vec<&str> =
        names[failed + 1..].iter().filter(|(name, _)| *name == "step_undone").map(|(_, step)| *step).collect();
    let expected: Vec<&str> = STEPS[..7].iter().rev().copied().collect();
    assert_eq!(undone, expected, "{names:?}");
    let end = &events.last().unwrap().data;
    assert_eq!(end["status"], "failed");
    assert_eq!(end["error"], "The software of the server could not be installed.");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_operation_ends_its_stream_with_that_state() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let token = door.register("alice").await;
    let (id, path) = create(&door, &token).await;
    let stream = Sse::open(&door, &path, &token, None).await;
    let cancel = door.request(Method::POST, &format!("/api/operations/{id}/cancel")).bearer_auth(&token);
    assert_eq!(cancel.send().await.unwrap().status(), 202);
    let events = stream.rest().await;
    in_order(&events, 1);
    assert_eq!(names(&events), [("queued", ""), ("cancel_requested", ""), ("ended", "")]);
    assert_eq!(events[2].data["status"], "cancelled");
    door.close().await;
}
