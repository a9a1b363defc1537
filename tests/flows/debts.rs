//! What a teardown leaves and what stops it: debts of several operations about one VMID, holds, cancellation, and
//! containers that are not the expected ones.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::containers::ContainerTimings;
use zpack::db::entities::debt::DebtKind;
use zpack::db::entities::instance::{self, Lifecycle};
use zpack::db::entities::operation::{self, Cleanup, OperationState, UndoState};
use zpack::db::entities::reservation::{self, ReservationState};
use zpack::db::entities::standing::{self, StandingState};
use zpack::db::entities::{audit_event, debt};
use zpack::jobs::{ClaimPurpose, Claimed, End, UndoEnd, finish};
use zpack::kernel::{Clock, OperationId, Target, UserId};
use zpack::roles::worker::WorkerParts;

use super::teardown::{collect, delete, expect_empty, open_debts};
use crate::support::app::FRESHNESS;
use crate::support::company::{Company, paper};
use crate::support::door::Door;

/// A company with one server and no worker; the VMID of the server and the operation that created it.
async fn served() -> (Company, Door, i32, OperationId) {
    let company = Company::start().await;
    let maker = company.worker(Company::settings());
    let made = company.begin(paper()).await;
    company.succeeded(made).await;
    maker.stop().await;
    let row = instance::Entity::find().one(&company.db.db).await.unwrap().unwrap();
    let door = company.door(FRESHNESS);
    (company, door, row.vmid.get(), made)
}

async fn break_down(company: &Company, peer: &str) -> String {
    let down = json!({"peer": peer, "when": "before", "action": "reset", "times": 100_000});
    company.control("/sim/faults", down).await["id"].to_string()
}

async fn number(company: &Company, vmid: i32) -> ReservationState {
    let row = reservation::Entity::find().filter(reservation::Column::Vmid.eq(vmid)).one(&company.db.db).await;
    row.unwrap().unwrap().state
}

async fn change(company: &Company, id: OperationId, change: operation::ActiveModel) {
    let change = operation::Entity::update_many().set(change).filter(operation::Column::Id.eq(id));
    change.exec(&company.db.db).await.unwrap();
}

async fn cancel(door: &Door, token: &str, id: OperationId) -> (StatusCode, Value) {
    let request = door.request(Method::POST, &format!("/api/operations/{id}/cancel")).bearer_auth(token);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The outcome of every audited action on server `vmid`, with its name.
async fn acts(company: &Company, vmid: i32) -> Vec<(String, String)> {
    let rows = audit_event::Entity::find().filter(audit_event::Column::Subject.eq(format!("server:{vmid}")));
    rows.all(&company.db.db).await.unwrap().into_iter().map(|row| (row.action, row.outcome)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vmid_stays_reserved_while_any_operation_has_a_debt_about_it() {
    let (company, door, vmid, _) = served().await;
    let host = company.host_worker();
    let cluster = break_down(&company, "proxmox").await;
    break_down(&company, "cloudflare").await;
    let first = company.succeeded(delete(&door, vmid).await.unwrap()).await;
    let kinds = |debts: Vec<debt::Model>| debts.into_iter().map(|debt| debt.kind).collect::<Vec<_>>();
    assert_eq!(kinds(open_debts(&company).await).len(), 2);
    // The cluster is back, and an operator removes the container by hand before the debt is retried.
    company.control_delete(&format!("/sim/faults/{cluster}")).await;
    let second = company.succeeded(delete(&door, vmid).await.unwrap()).await;
    assert!(company.containers().await.is_empty());
    assert_eq!(number(&company, vmid).await, ReservationState::Held, "Cloudflare still has its records");
    collect(&company).await;
    assert_eq!(kinds(open_debts(&company).await), [DebtKind::Edge(Target::Cloudflare)]);
    assert_eq!(number(&company, vmid).await, ReservationState::Held);
    assert_eq!(company.operation(first.id).await.cleanup, Cleanup::Pending);
    company.forget_faults().await;
    collect(&company).await;
    expect_empty(&company).await;
    assert_eq!(company.operation(first.id).await.cleanup, Cleanup::Done);
    assert_eq!(second.cleanup, Cleanup::None, "it left nothing itself");
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_debt_stays_open_however_the_job_that_left_it_ends() {
    let (company, door, vmid, _) = served().await;
    let host = company.host_worker();
    break_down(&company, "velocity").await;
    let id = delete(&door, vmid).await.unwrap();
    company.succeeded(id).await;
    host.stop().await;
    // As if the worker had vanished for the third time just before the end.
    let running = operation::ActiveModel {
        state: Set(OperationState::Running),
        lease_until: Set(Some(Clock::System.now().after(Duration::from_secs(3600)))),
        ..Default::default()
    };
    change(&company, id, running).await;
    let claimed = Claimed { operation: company.operation(id).await, purpose: ClaimPurpose::Run };
    let end = End::Ended { state: OperationState::Failed, failure: None, undo: UndoEnd::Nothing };
    finish(&company.db.db, &claimed, &end, Clock::System.now()).await.unwrap();
    assert_eq!(open_debts(&company).await.len(), 1);
    assert_eq!(company.operation(id).await.cleanup, Cleanup::Pending);
    company.forget_faults().await;
    collect(&company).await;
    expect_empty(&company).await;
    assert_eq!(company.operation(id).await.cleanup, Cleanup::Done);
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_can_be_cancelled_only_before_it_begins() {
    let (company, door, vmid, made) = served().await;
    let token = company.give(made, &door, "ada").await;
    let path = format!("/api/servers/{vmid}");
    let asked = async || {
        let answer = door.request(Method::DELETE, &path).bearer_auth(&token).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        let body: Value = answer.json().await.unwrap();
        body["operationId"].as_str().unwrap().parse::<OperationId>().unwrap()
    };
    let (status, _) = cancel(&door, &token, asked().await).await;
    assert_eq!(status, StatusCode::ACCEPTED);
    let id = asked().await;
    let now = Clock::System.now();
    let begun = operation::ActiveModel { started_at: Set(Some(now)), ..Default::default() };
    change(&company, id, begun).await;
    let (status, problem) = cancel(&door, &token, id).await;
    assert_eq!((status, problem["code"].as_str()), (StatusCode::CONFLICT, Some("state_conflict")), "{problem}");
    let view = door.get(&format!("/api/operations/{id}")).bearer_auth(&token).send().await.unwrap();
    assert_eq!(view.json::<Value>().await.unwrap()["cancellable"], false);
    let host = company.host_worker();
    company.succeeded(id).await;
    expect_empty(&company).await;
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_refuses_a_deletion_at_the_request_and_when_it_begins() {
    let (company, door, vmid, made) = served().await;
    let token = company.give(made, &door, "ada").await;
    let row = instance::Entity::find().one(&company.db.db).await.unwrap().unwrap();
    let path = format!("/api/servers/{vmid}");
    let answer = door.request(Method::DELETE, &path).bearer_auth(&token).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    let id: OperationId = body["operationId"].as_str().unwrap().parse().unwrap();
    hold(&company, row.user_id).await;
    let host = company.host_worker();
    let ended = company.settled(id).await;
    assert_eq!((ended.state, ended.error_code.as_deref()), (OperationState::Failed, Some("account_hold")));
    let row = instance::Entity::find().one(&company.db.db).await.unwrap().unwrap();
    assert_eq!(row.lifecycle, Lifecycle::Active);
    assert_eq!(company.at_edge().await, [2, 2, 1]);
    let answer = door.request(Method::DELETE, &path).bearer_auth(&token).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let refused = ("server.delete".to_owned(), "refused".to_owned());
    assert!(acts(&company, vmid).await.contains(&refused), "{:?}", acts(&company, vmid).await);
    // An operator still may.
    company.succeeded(delete(&door, vmid).await.unwrap()).await;
    expect_empty(&company).await;
    host.stop().await;
    door.close().await;
}

async fn hold(company: &Company, user: UserId) {
    let now = Clock::System.now();
    let row = standing::ActiveModel {
        user_id: Set(user),
        state: Set(StandingState::Active),
        manual_hold: Set(true),
        reason: Set(None),
        since: Set(now),
        version: Set(1),
        updated_at: Set(now),
    };
    standing::Entity::insert(row).exec_without_returning(&company.db.db).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_create_is_being_undone_is_not_deleted_at_the_same_time() {
    let (company, door, vmid, made) = served().await;
    for unwind in [UndoState::Due, UndoState::Running] {
        let stale =
            operation::ActiveModel { state: Set(OperationState::Stale), unwind: Set(unwind), ..Default::default() };
        change(&company, made, stale).await;
        let (status, problem) = delete(&door, vmid).await.unwrap_err();
        let code = problem["code"].as_str();
        assert_eq!((status, code), (StatusCode::CONFLICT, Some("operation_in_progress")), "{problem}");
        assert_eq!(problem["operation"], made.to_string(), "{problem}");
    }
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_with_another_nonce_is_left_alone_and_becomes_a_debt() {
    let (company, door, vmid, _) = served().await;
    let host = company.host_worker();
    let path = format!("/sim/proxmox/containers/{vmid}");
    let before = company.containers().await[0]["description"].clone();
    company.control(&path, json!({ "description": "by hand", "tags": "" })).await;
    let operation = company.succeeded(delete(&door, vmid).await.unwrap()).await;
    assert_eq!(operation.cleanup, Cleanup::Pending);
    let debts = open_debts(&company).await;
    assert_eq!(debts.iter().map(|debt| debt.kind).collect::<Vec<_>>(), [DebtKind::Container]);
    assert!(debts[0].last_error.as_ref().unwrap().contains("does not carry"), "{debts:?}");
    collect(&company).await;
    assert_eq!(company.containers().await[0]["status"], "running");
    assert_eq!(number(&company, vmid).await, ReservationState::Held);
    // It is not removed as an orphan either, and the refusal is audited.
    let (status, _) = delete(&door, vmid).await.unwrap_err();
    assert_eq!(status, StatusCode::CONFLICT);
    let refused = ("container.delete".to_owned(), "refused".to_owned());
    assert!(acts(&company, vmid).await.contains(&refused));
    company.control(&path, json!({ "description": before })).await;
    collect(&company).await;
    expect_empty(&company).await;
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_replaced_during_its_stop_is_not_destroyed() {
    let (company, door, vmid, _) = served().await;
    let patient = ContainerTimings { task_timeout: Duration::from_secs(120), ..company.parts().teardown_timings };
    let host = company.host_worker_of(&WorkerParts { teardown_timings: patient, ..company.parts() });
    // It waits for the task that stops the container, until its state can be read.
    let mute = json!({"peer": "proxmox", "method": "GET", "path": "/nodes/*/tasks/*/status", "when": "before",
        "action": "status", "status": 500, "times": 100_000});
    company.control("/sim/faults", mute).await;
    let id = delete(&door, vmid).await.unwrap();
    company
        .wait("the container to be stopped", || async {
            (company.containers().await[0]["status"] == "stopped").then_some(())
        })
        .await;
    company
        .control(&format!("/sim/proxmox/containers/{vmid}"), json!({ "description": "restored by hand", "tags": "" }))
        .await;
    company.forget_faults().await;
    let operation = company.succeeded(id).await;
    assert_eq!(operation.cleanup, Cleanup::Pending);
    assert_eq!(company.containers().await.len(), 1);
    host.stop().await;
    door.close().await;
}
