//! What every kind of operation shows at the API and on the command line, and who may cancel it.

use reqwest::{Method, RequestBuilder, StatusCode};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, Set};
use serde_json::{Value, json};
use zpack::db::entities::audit_event;
use zpack::db::entities::instance::InstanceKind;
use zpack::db::entities::operation::{self, Actor, OperationState};
use zpack::kernel::{OperationId, VmId};
use zpack::operations::{Order, begin};
use zpack::power::{HostAction, PowerPayload};
use zpack::teardown::TeardownPayload;

use crate::flows::process;
use crate::support::app::{INTERNAL, TestApp, problem};

/// Server and request of an accepted operation, in its answer and when it is read later.
async fn accepted(app: &TestApp, request: RequestBuilder, reader: &str) -> (Value, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status();
    let body: Value = answer.json().await.unwrap();
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    let shown = app.json(body["statusUrl"].as_str().unwrap(), reader).await;
    let said = |operation: &Value| (operation["serverId"].clone(), operation["request"].clone());
    assert_eq!(said(&shown), said(&body["operation"]), "{body}");
    let on_the_command_line = cli(app, &["--json", "ops", "show", body["operationId"].as_str().unwrap()]);
    let shown_there = &on_the_command_line["operation"];
    let vmid = shown_there["vmid"].as_i64().map_or(Value::Null, |vmid| json!(vmid.to_string()));
    assert_eq!((vmid, shown_there["request"].clone()), said(&shown), "{on_the_command_line}");
    said(&shown)
}

/// The JSON of a command that works on the database of `app`.
fn cli(app: &TestApp, args: &[&str]) -> Value {
    process::json(&command(app, args))
}

fn command(app: &TestApp, args: &[&str]) -> std::process::Output {
    let home = tempfile::tempdir().unwrap();
    let output = process::zpack(home.path(), args).env("DATABASE_URL", &app.database.url).output().unwrap();
    assert!(output.status.success(), "{}", process::stderr(&output));
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_operation_shows_its_server_and_request() {
    let app = TestApp::start().await;
    let (alice, root) = (app.register("alice").await, app.admin("root").await);
    let owner = app.id_of(&alice).await;
    app.own(owner, InstanceKind::Game, 5000).await;
    app.own(owner, InstanceKind::Game, 5001).await;

    let body = json!({ "ctype": "dev", "runtime": "node", "version": "22", "memoryMiB": 1024, "cpuCores": 1 });
    let create = app.post("/api/instances", &body).bearer_auth(&alice);
    assert_eq!(accepted(&app, create, &alice).await, (Value::Null, body), "it has no server yet");

    let server = json!("5000");
    for action in ["start", "stop", "restart"] {
        let power = app.request(Method::POST, &format!("/api/servers/5000/host/{action}")).bearer_auth(&alice);
        assert_eq!(accepted(&app, power, &alice).await, (server.clone(), json!({ "action": action })));
        end_all(&app).await;
    }
    for action in ["publish", "unpublish"] {
        let edge = app.post(&format!("/api/edge/{action}"), &json!({ "serverId": "5000" }));
        let edge = edge.header("x-internal-token", INTERNAL);
        assert_eq!(accepted(&app, edge, &root).await, (server.clone(), json!({ "action": action })));
    }
    let delete = app.request(Method::DELETE, "/api/servers/5000").bearer_auth(&alice);
    assert_eq!(accepted(&app, delete, &alice).await, (server, json!({ "action": "delete_server" })));
    let delete = app.request(Method::DELETE, "/api/containers/5001").bearer_auth(&root);
    assert_eq!(accepted(&app, delete, &alice).await, (json!("5001"), json!({ "action": "delete_server" })));

    let table = String::from_utf8(command(&app, &["ops", "list"]).stdout).unwrap();
    for (kind, about) in [("provision", "-"), ("power", "5000"), ("publish", "5000"), ("teardown", "5001")] {
        let line = table.lines().find(|line| line.contains(kind) && line.contains(about));
        assert!(line.is_some(), "no {kind} of {about} in\n{table}");
    }
    for request in ["dev", "restart", "unpublish", "delete_server"] {
        assert!(table.contains(request), "{request} is missing in\n{table}");
    }
}

/// Ends the waiting operations, so that a server may have its next power operation.
async fn end_all(app: &TestApp) {
    let ended = operation::ActiveModel { state: Set(OperationState::Succeeded), ..Default::default() };
    operation::Entity::update_many().set(ended).exec(&app.database.db).await.unwrap();
}

fn cancel(app: &TestApp, id: OperationId, token: &str) -> RequestBuilder {
    app.request(Method::POST, &format!("/api/operations/{id}/cancel")).bearer_auth(token)
}

/// Sets the state of an operation, as a worker would.
async fn stand(app: &TestApp, id: OperationId, state: OperationState) {
    let started = (state != OperationState::Queued).then(|| app.clock.now());
    let row = operation::ActiveModel { state: Set(state), started_at: Set(started), ..Default::default() };
    let update = operation::Entity::update_many().set(row).filter(operation::Column::Id.eq(id));
    update.exec(&app.database.db).await.unwrap();
}

/// All audit events about operation `id`: outcome and reason.
async fn acts(db: &DatabaseConnection, id: OperationId) -> Vec<(String, Value)> {
    let rows = audit_event::Entity::find().filter(audit_event::Column::Subject.eq(id.to_string()));
    let rows = rows.order_by_asc(audit_event::Column::Id).all(db).await.unwrap();
    let act = |row: audit_event::Model| {
        assert_eq!(row.action, "operation.cancel");
        let detail: Value = serde_json::from_str(&row.detail.unwrap()).unwrap();
        (row.outcome, detail["why"].clone())
    };
    rows.into_iter().map(act).collect()
}

#[tokio::test]
async fn the_beginner_of_an_operation_decides_who_may_cancel_it() {
    let app = TestApp::start().await;
    let (alice, root) = (app.register("alice").await, app.admin("root").await);
    let (owner, db) = (app.id_of(&alice).await, &app.database.db);
    let mut number = 5000;
    for begun_by in Actor::ALL {
        for state in OperationState::ALL {
            number += 1;
            let (vmid, action) = (VmId::new(number).unwrap(), HostAction::Stop);
            let order = Order::new(PowerPayload { vmid, action }).owned_by(owner);
            let id = begin(db, &order, *begun_by, app.clock.now()).await.unwrap().operation.id;
            stand(&app, id, *state).await;
            let case = format!("{state}, begun by {begun_by}");
            let url = format!("/api/operations/{id}");
            let (ended, own) = (state.is_ended(), *begun_by == Actor::Customer);
            assert_eq!(app.json(&url, &alice).await["cancellable"], !ended && own, "{case}, to its owner");
            assert_eq!(app.json(&url, &root).await["cancellable"], !ended, "{case}, to an admin");

            let answer = cancel(&app, id, &alice).send().await.unwrap();
            let allowed = !ended && own;
            assert_eq!(answer.status() == StatusCode::ACCEPTED, allowed, "{case}");
            let refused = ("refused".to_owned(), json!("begun_by_another"));
            if !allowed {
                let code = if ended { "state_conflict" } else { "forbidden" };
                let body = problem(answer).await;
                assert_eq!((&body["code"], &body["operation"]), (&json!(code), &json!(id)), "{case}");
                let expected = if ended { Vec::new() } else { vec![refused.clone()] };
                assert_eq!(acts(db, id).await, expected, "{case}");
                let untouched = operation::Entity::find_by_id(id).one(db).await.unwrap().unwrap();
                assert_eq!((untouched.state, untouched.cancel_requested), (*state, false), "{case}");
            }
            if !ended && !own {
                let answer = cancel(&app, id, &root).send().await.unwrap();
                assert_eq!(answer.status(), StatusCode::ACCEPTED, "{case}, by an admin");
                let done = ("done".to_owned(), json!("operator"));
                assert_eq!(acts(db, id).await, [refused, done], "{case}");
            }
        }
    }
}

#[tokio::test]
async fn a_customer_cannot_cancel_an_operators_deletion() {
    let app = TestApp::start().await;
    let (alice, root) = (app.register("alice").await, app.admin("root").await);
    let owner = app.id_of(&alice).await;
    app.own(owner, InstanceKind::Game, 5000).await;
    app.own(owner, InstanceKind::Game, 5001).await;
    let delete = |path: &str, token: &str| app.request(Method::DELETE, path).bearer_auth(token);
    let begun = async |request: RequestBuilder| -> (OperationId, Value) {
        let body: Value = request.send().await.unwrap().json().await.unwrap();
        (body["operationId"].as_str().unwrap().parse().unwrap(), body["operation"]["cancellable"].clone())
    };
    let (ours, cancellable) = begun(delete("/api/containers/5000", &root)).await;
    assert_eq!(cancellable, true, "to the operator who asked");
    // The owner asks for the same deletion, gets the unfinished operation, and still cannot cancel it.
    let (same, cancellable) = begun(delete("/api/servers/5000", &alice)).await;
    assert_eq!((same, cancellable), (ours, json!(false)));
    assert_eq!(problem(cancel(&app, ours, &alice).send().await.unwrap()).await["code"], "forbidden");

    let (theirs, cancellable) = begun(delete("/api/servers/5001", &alice)).await;
    assert_eq!(cancellable, true);
    stand(&app, theirs, OperationState::Running).await;
    assert_eq!(app.json(&format!("/api/operations/{theirs}"), &alice).await["cancellable"], false);
    for token in [&alice, &root] {
        let body = problem(cancel(&app, theirs, token).send().await.unwrap()).await;
        assert_eq!(body["code"], "state_conflict", "{body}");
    }
    let refused = ("refused".to_owned(), json!("started"));
    assert_eq!(acts(&app.database.db, theirs).await, [refused.clone(), refused]);
}

#[tokio::test]
async fn a_customer_cannot_cancel_what_billing_began() {
    let app = TestApp::start().await;
    let alice = app.register("alice").await;
    let vmid = VmId::new(5000).unwrap();
    let work = TeardownPayload { vmid, by: "billing".to_owned(), orphan: None };
    let order = Order::new(work).owned_by(app.id_of(&alice).await);
    let id = begin(&app.database.db, &order, Actor::Billing, app.clock.now()).await.unwrap().operation.id;
    assert_eq!(app.json(&format!("/api/operations/{id}"), &alice).await["cancellable"], false);
    let body = problem(cancel(&app, id, &alice).send().await.unwrap()).await;
    assert_eq!((&body["code"], &body["status"]), (&json!("forbidden"), &json!(403)), "{body}");
}
