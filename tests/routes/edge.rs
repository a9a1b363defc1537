//! `/api/edge/*`, with a worker and the simulated peers behind it.

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use zpack::db::entities::instance;
use zpack::edge::{EDGE_KEY, EdgeRecord};
use zpack::kernel::{Clock, OperationId, VmId};
use zpack::servers::payload;
use zpack::servers::store;

use crate::support::app::{FRESHNESS, INTERNAL};
use crate::support::company::Company;
use crate::support::door::Door;
use crate::support::rows::AnyOwner;
use crate::support::servers::server;

/// Records a server without a container.
pub async fn a_server(company: &Company) {
    let row = instance::Model { user_id: company.owner, ..server(5013, Clock::System.now()) };
    store::insert(&AnyOwner(&company.db.db), row).await.unwrap();
}

async fn post(door: &Door, path: &str, body: Value) -> Response {
    door.post(path, &body).header("x-internal-token", INTERNAL).send().await.unwrap()
}

async fn json_of(answer: Response, status: StatusCode) -> Value {
    let seen = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(seen, status, "{body}");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_publishes_verifies_and_unpublishes() {
    let company = Company::start().await;
    let (door, worker) = (company.door(FRESHNESS), company.host_worker());
    a_server(&company).await;
    let about = json!({ "serverId": "5013" });

    let found = json_of(post(&door, "/api/edge/verify", about.clone()).await, StatusCode::OK).await;
    assert_eq!(found, json!({ "serverId": "5013", "inSync": false, "targets": [] }));

    let accepted = json_of(post(&door, "/api/edge/publish", about.clone()).await, StatusCode::ACCEPTED).await;
    company.succeeded(accepted["operationId"].as_str().unwrap().parse().unwrap()).await;
    let found = json_of(post(&door, "/api/edge/verify", about.clone()).await, StatusCode::OK).await;
    assert_eq!(found["inSync"], true, "{found}");
    assert_eq!(found["targets"].as_array().unwrap().len(), 3);
    let health = door.get("/api/edge/health").header("x-internal-token", INTERNAL).send().await.unwrap();
    let health = json_of(health, StatusCode::OK).await;
    assert_eq!((&health["ok"], &health["unsettled"]), (&json!(true), &json!(0)), "{health}");

    company.control("/sim/velocity/restart", Value::Null).await;
    let found = json_of(post(&door, "/api/edge/verify", about.clone()).await, StatusCode::OK).await;
    let velocity = found["targets"].as_array().unwrap().iter().find(|target| target["target"] == "velocity").unwrap();
    assert_eq!(velocity["verdict"], "missing", "{found}");

    let accepted = json_of(post(&door, "/api/edge/unpublish", about).await, StatusCode::ACCEPTED).await;
    company.succeeded(accepted["operationId"].as_str().unwrap().parse().unwrap()).await;
    let state = company.state().await;
    assert_eq!((&state["cloudflare"]["records"], &state["technitium"]["records"]), (&json!([]), &json!([])));
    let audited = door.get("/api/audit").bearer_auth(door.admin("root").await).send().await.unwrap();
    let audited = json_of(audited, StatusCode::OK).await.to_string();
    assert!(audited.contains("edge.publish") && audited.contains("edge.unpublish"), "{audited}");
    worker.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_meets_a_foreign_record_fails_and_names_it() {
    let company = Company::start().await;
    let (door, worker) = (company.door(FRESHNESS), company.host_worker());
    a_server(&company).await;
    let alias = json!({ "type": "CNAME", "name": "mc-paper-5013", "content": "elsewhere.example" });
    let alias = company.control("/sim/cloudflare/records", alias).await;
    let accepted =
        json_of(post(&door, "/api/edge/publish", json!({ "serverId": "5013" })).await, StatusCode::ACCEPTED).await;
    let operation = company.settled(accepted["operationId"].as_str().unwrap().parse().unwrap()).await;
    assert_eq!(operation.error_code.as_deref(), Some("edge_incomplete"));
    assert!(operation.error_message.unwrap().contains(alias["id"].as_str().unwrap()));
    worker.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_edge_requests_begin_no_operation() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    a_server(&company).await;
    for path in ["/api/edge/publish", "/api/edge/unpublish", "/api/edge/verify"] {
        for body in
            [json!({}), json!({ "serverId": "x" }), json!({ "serverId": 7 }), json!({ "serverId": "5013", "a": 1 })]
        {
            let problem = json_of(post(&door, path, body.clone()).await, StatusCode::UNPROCESSABLE_ENTITY).await;
            assert!(problem["errors"][0]["pointer"].as_str().is_some(), "{body}: {problem}");
        }
        json_of(post(&door, path, json!({ "serverId": "5999" })).await, StatusCode::NOT_FOUND).await;
    }
    // The same request while it waits is the same operation.
    let about = json!({ "serverId": "5013" });
    let first = json_of(post(&door, "/api/edge/publish", about.clone()).await, StatusCode::ACCEPTED).await;
    let second = json_of(post(&door, "/api/edge/publish", about).await, StatusCode::ACCEPTED).await;
    assert_eq!(first["operationId"], second["operationId"]);
    let row = store::find_owned(&company.db.db, company.owner, VmId::new(5013).unwrap()).await.unwrap().unwrap();
    let record: Option<EdgeRecord> = payload::read(&row, EDGE_KEY).unwrap();
    assert_eq!(record, None, "nothing is published by asking");
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_request_counts_in_whatever_order_the_work_is_done() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    a_server(&company).await;
    let ask = async |what: &str| -> OperationId {
        let path = format!("/api/edge/{what}");
        let accepted = json_of(post(&door, &path, json!({ "serverId": "5013" })).await, StatusCode::ACCEPTED).await;
        accepted["operationId"].as_str().unwrap().parse().unwrap()
    };
    let (first, back, last) = (ask("publish").await, ask("unpublish").await, ask("publish").await);
    assert_ne!(first, last, "not the same request: another one lies between");
    let worker = company.host_worker();
    company.succeeded(last).await;
    for id in [first, back] {
        let code = company.settled(id).await.error_code;
        assert!(code.is_none() || code.as_deref() == Some("overtaken"), "{code:?}");
    }
    assert_eq!(company.at_edge().await, [2, 2, 1]);
    let gone = ask("unpublish").await;
    company.succeeded(gone).await;
    assert_eq!(company.at_edge().await, [0, 0, 0]);
    let found = json_of(post(&door, "/api/edge/verify", json!({ "serverId": "5013" })).await, StatusCode::OK).await;
    assert_eq!(found["inSync"], true, "{found}");
    worker.stop().await;
    door.close().await;
}
