//! The answer to an accepted create, who may see its operation, and what happens while Redis is down.

use reqwest::{Method, StatusCode};
use sea_orm::{ActiveModelTrait, EntityTrait, Set};
use serde_json::{Value, json};
use zpack::db::entities::operation::OperationState;
use zpack::db::entities::standing::{self, StandingState};
use zpack::db::entities::{operation, operation_step};
use zpack::kernel::{OperationId, UserId};

use super::{Traces, begun, create, keyed, paper, with};
use crate::support::app::{TestApp, problem};

#[tokio::test]
async fn creating_is_answered_202_with_the_operation() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let asked = with(
        paper(),
        json!({ "customerId": app.id_of(&token).await, "name": "My server", "world": "my_world", "memoryMiB": 512.0 }),
    );
    let answer = create(&app, &token).json(&asked).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::ACCEPTED);
    let location = answer.headers()["location"].to_str().unwrap().to_owned();
    assert!(answer.headers()["retry-after"].to_str().unwrap().parse::<u32>().is_ok_and(|seconds| seconds > 0));
    assert!(!answer.headers().contains_key("idempotency-replayed"));
    let body: Value = answer.json().await.unwrap();
    let id = body["operationId"].as_str().unwrap();
    let operation = json!({
        "id": id, "kind": "provision", "status": "queued", "phase": null,
        "progress": { "step": 0, "of": 9, "percent": 0 }, "steps": [],
        "cleanup": { "state": "none", "items": [] }, "cancellable": true, "heartbeatAt": null,
        "createdAt": app.clock.now(),
        "request": {
            "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1", "world": "my_world",
            "memoryMiB": 512, "cpuCores": 2, "name": "My server",
        },
    });
    let url = format!("/api/operations/{id}");
    assert_eq!(body, json!({ "ok": true, "operationId": id, "statusUrl": url, "operation": operation }));
    assert_eq!(location, url);
    let shown: Value = app.get(&url).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    assert_eq!(shown, operation);
    // The owner is taken from the token only.
    let mine: Value = app.get("/api/auth/me").bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    let row = operation::Entity::find().one(&app.database.db).await.unwrap().unwrap();
    assert_eq!(row.user_id.unwrap().to_string(), mine["user"]["id"]);
    assert_eq!(Traces::of(&app).await, Traces::after(1, 0));
}

#[tokio::test]
async fn every_alias_of_the_kind_field_works_for_dev_containers() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    for (kind, runtime) in [("ctype", "node"), ("container_type", "python"), ("containerType", "go")] {
        let version = match runtime {
            "node" => "22",
            "python" => "3.12",
            _ => "1.25",
        };
        let body = json!({ kind: "dev", "runtime": runtime, "version": version });
        let answer: Value = create(&app, &token).json(&body).send().await.unwrap().json().await.unwrap();
        let expected = json!({
            "ctype": "dev", "runtime": runtime, "version": version, "memoryMiB": 2048, "cpuCores": 2,
        });
        assert_eq!(answer["operation"]["request"], expected, "{kind}: {answer}");
    }
    assert_eq!(Traces::of(&app).await, Traces::after(3, 0));
}

#[tokio::test]
async fn operations_of_other_customers_are_404() {
    let app = TestApp::start().await;
    let (alice, bob, root) = (app.register("alice").await, app.register("bob").await, app.admin("root").await);
    let id = begun(create(&app, &alice).json(&paper()).send().await.unwrap()).await;
    let nobodys = OperationId::generate().to_string();
    for id in [id.as_str(), nobodys.as_str(), "x", "op_0"] {
        let url = format!("/api/operations/{id}");
        for (method, path) in [
            (Method::GET, url.clone()),
            (Method::GET, format!("{url}/events")),
            (Method::POST, format!("{url}/cancel")),
        ] {
            let answer = app.request(method, &path).bearer_auth(&bob).send().await.unwrap();
            let body = problem(answer).await;
            assert_eq!((&body["code"], &body["detail"]), (&json!("not_found"), &json!("There is no such operation.")));
        }
    }
    let list = async |token: &str| {
        let page: Value = app.get("/api/operations").bearer_auth(token).send().await.unwrap().json().await.unwrap();
        page["operations"].as_array().unwrap().len()
    };
    assert_eq!((list(&alice).await, list(&bob).await, list(&root).await), (1, 0, 1));
    let shown: Value =
        app.get(&format!("/api/operations/{id}")).bearer_auth(&root).send().await.unwrap().json().await.unwrap();
    assert_eq!((&shown["status"], &shown["cancellable"]), (&json!("queued"), &json!(true)), "bob changed nothing");
}

#[tokio::test]
async fn a_create_is_accepted_without_redis() {
    let mut app = TestApp::start().await;
    let token = app.register("alice").await;
    app.redis.kill();
    let id = begun(create(&app, &token).json(&paper()).send().await.unwrap()).await;
    let shown: Value =
        app.get(&format!("/api/operations/{id}")).bearer_auth(&token).send().await.unwrap().json().await.unwrap();
    // The sweeper of any worker offers it when Redis is back.
    assert_eq!(shown["status"], "queued");
}

#[tokio::test]
async fn an_equal_request_without_a_key_gets_the_unfinished_operation() {
    let app = TestApp::start().await;
    let (token, other) = (app.register("alice").await, app.register("bob").await);
    let first = begun(create(&app, &token).json(&paper()).send().await.unwrap()).await;
    let id: OperationId = first.parse().unwrap();
    let db = &app.database.db;
    let running = operation::ActiveModel {
        id: Set(id),
        state: Set(OperationState::Running),
        phase: Set(Some("clone_container".to_owned())),
        ..Default::default()
    };
    running.update(db).await.unwrap();
    let step = operation_step::ActiveModel {
        operation_id: Set(id),
        seq: Set(0),
        name: Set("check_gate".to_owned()),
        status: Set(operation_step::StepStatus::Done),
        outside: Set(false),
        fence: Set(1),
        detail: Set(None),
        started_at: Set(app.clock.now()),
        finished_at: Set(Some(app.clock.now())),
    };
    step.insert(db).await.unwrap();

    let again: Value = create(&app, &token).json(&paper()).send().await.unwrap().json().await.unwrap();
    assert_eq!(again["operationId"], first);
    let operation = &again["operation"];
    assert_eq!((&operation["status"], &operation["progress"]["step"]), (&json!("running"), &json!(1)), "{operation}");
    assert_eq!(operation["steps"].as_array().unwrap().len(), 1);
    assert_eq!(Traces::of(&app).await, Traces::after(1, 0), "nothing was stored or announced twice");

    // A different request, another customer, or a finished operation: a new operation.
    let larger = with(paper(), json!({ "memoryMiB": 1024 }));
    assert_ne!(begun(create(&app, &token).json(&larger).send().await.unwrap()).await, first);
    assert_ne!(begun(create(&app, &other).json(&paper()).send().await.unwrap()).await, first);
    let ended = operation::ActiveModel { id: Set(id), state: Set(OperationState::Failed), ..Default::default() };
    ended.update(db).await.unwrap();
    assert_ne!(begun(create(&app, &token).json(&paper()).send().await.unwrap()).await, first);
    assert_ne!(begun(keyed(&app, &token, "key").json(&paper()).send().await.unwrap()).await, first);
}

#[tokio::test]
async fn an_admin_creates_for_a_customer_and_a_customer_for_themselves() {
    let app = TestApp::start().await;
    let (alice, bob, root) = (app.register("alice").await, app.register("bob").await, app.admin("root").await);
    let (alices, bobs) = (app.id_of(&alice).await, app.id_of(&bob).await);
    let owner = async |id: &str| {
        let id: OperationId = id.parse().unwrap();
        operation::Entity::find_by_id(id).one(&app.database.db).await.unwrap().unwrap().user_id.unwrap()
    };
    let made = begun(create(&app, &root).json(&with(paper(), json!({ "customerId": alices }))).send().await.unwrap());
    let made = made.await;
    assert_eq!(owner(&made).await, alices);
    let seen = app.get(&format!("/api/operations/{made}")).bearer_auth(&alice).send().await.unwrap();
    assert_eq!(seen.status(), StatusCode::OK, "it is the operation of the customer");
    for nothing in [json!(""), Value::Null] {
        let body = with(paper(), json!({ "customerId": nothing }));
        assert_eq!(
            owner(&begun(create(&app, &root).json(&body).send().await.unwrap()).await).await,
            app.id_of(&root).await
        );
    }
    let unknown = UserId::generate();
    for (token, customer, code) in [
        (&alice, json!(bobs), "forbidden"),
        (&alice, json!(unknown), "forbidden"),
        (&root, json!(unknown), "validation_failed"),
        (&root, json!("alice"), "validation_failed"),
        (&root, json!(12), "validation_failed"),
    ] {
        let answer = create(&app, token).json(&with(paper(), json!({ "customerId": customer }))).send().await.unwrap();
        let body = problem(answer).await;
        assert_eq!(body["code"], code, "{customer}: {body}");
        if code == "validation_failed" {
            assert_eq!(body["errors"][0]["pointer"], "/customerId", "{body}");
        }
    }
    // The right of the customer decides, not that of the admin.
    standing::ActiveModel {
        user_id: Set(bobs),
        state: Set(StandingState::Suspended),
        manual_hold: Set(false),
        reason: Set(None),
        since: Set(app.clock.now()),
        version: Set(1),
        updated_at: Set(app.clock.now()),
    }
    .insert(&app.database.db)
    .await
    .unwrap();
    let answer = create(&app, &root).json(&with(paper(), json!({ "customerId": bobs }))).send().await.unwrap();
    assert_eq!(problem(answer).await["code"], "billing_suspended");
}
