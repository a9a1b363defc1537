//! Deleting servers: from every peer, while peers are down, and two hundred times in a row.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::{Method, StatusCode};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zpack::db::entities::debt::{self, DebtKind, DebtState};
use zpack::db::entities::operation::{self, Cleanup, OperationState};
use zpack::db::entities::port::{self, PortState};
use zpack::db::entities::reservation::{self, ReservationState};
use zpack::db::entities::{deleted_instance, instance};
use zpack::jobs::JobSettings;
use zpack::kernel::{OperationId, Target};
use zpack::provision::{ServerRequest, Workload};
use zpack::publishing::Reconciler;
use zpack::roles::upkeep::read_database;
use zpack::roles::worker::{WorkerParts, host};
use zpack::teardown::Collector;
use zpack::telemetry::Metrics;

use crate::support::app::{FRESHNESS, INTERNAL};
use crate::support::company::{Company, paper};
use crate::support::door::Door;
use crate::support::in_background;

fn terraria() -> ServerRequest {
    let workload = Workload::Game {
        game: "terraria".to_owned(),
        variant: "vanilla".to_owned(),
        version: "1.4.4.9".to_owned(),
        world: "world".to_owned(),
    };
    ServerRequest { workload, ..paper() }
}

fn many() -> JobSettings {
    JobSettings { slots: Some(8), concurrency: 8, ..Company::settings() }
}

/// Deletes server `vmid` as our own system does.
pub async fn delete(door: &Door, vmid: i32) -> Result<OperationId, (StatusCode, Value)> {
    let request = door.request(Method::DELETE, &format!("/api/containers/{vmid}"));
    let answer = request.header("x-internal-token", INTERNAL).send().await.unwrap();
    let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
    match status {
        StatusCode::ACCEPTED => Ok(body["operationId"].as_str().unwrap().parse().unwrap()),
        _ => Err((status, body)),
    }
}

/// The VMID of the server that operation `id` created.
async fn vmid_of(company: &Company, id: OperationId) -> i32 {
    let row = instance::Entity::find().filter(instance::Column::OperationId.eq(id)).one(&company.db.db).await;
    row.unwrap().unwrap().vmid.get()
}

/// Checks that no peer has anything of ours, and that every VMID and port is released.
pub async fn expect_empty(company: &Company) {
    assert_eq!(company.at_edge().await, [0, 0, 0], "{}", company.state().await);
    assert!(company.containers().await.is_empty(), "{:?}", company.containers().await);
    let db = &company.db.db;
    assert_eq!(instance::Entity::find().count(db).await.unwrap(), 0);
    let held = reservation::Entity::find().filter(reservation::Column::State.eq(ReservationState::Held));
    assert_eq!(held.count(db).await.unwrap(), 0);
    let ports = port::Entity::find().filter(port::Column::State.eq(PortState::Held));
    assert_eq!(ports.count(db).await.unwrap(), 0);
}

/// Makes every open debt due, and settles all that can be settled.
pub async fn collect(company: &Company) {
    collect_with(company, &company.parts()).await;
}

pub async fn collect_with(company: &Company, parts: &WorkerParts) {
    debt::Entity::update_many()
        .col_expr(debt::Column::NextAttemptAt, Expr::value(0i64))
        .filter(debt::Column::State.eq(DebtState::Open))
        .filter(debt::Column::Subject.is_not_null())
        .exec(&company.db.db)
        .await
        .unwrap();
    let collector = Collector { interval: Duration::ZERO, ..host::collector(parts) };
    while collector.collect(&CancellationToken::new()).await.unwrap() > 0 {}
}

pub async fn open_debts(company: &Company) -> Vec<debt::Model> {
    debt::Entity::find().filter(debt::Column::State.eq(DebtState::Open)).all(&company.db.db).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_server_is_gone_everywhere_but_in_the_archive() {
    let company = Company::start().await;
    let (worker, host, door) = (company.worker(many()), company.host_worker(), company.door(FRESHNESS));
    let mut made = Vec::new();
    for request in [paper(), terraria()] {
        let id = company.begin(request).await;
        company.succeeded(id).await;
        made.push(vmid_of(&company, id).await);
    }
    for vmid in &made {
        let first = delete(&door, *vmid).await.unwrap();
        let operation = company.succeeded(first).await;
        assert_eq!(operation.cleanup, Cleanup::None);
        let (status, _) = delete(&door, *vmid).await.unwrap_err();
        assert_eq!(status, StatusCode::NOT_FOUND, "it is gone");
    }
    expect_empty(&company).await;
    let archived = deleted_instance::Entity::find().all(&company.db.db).await.unwrap();
    assert_eq!(archived.len(), 2);
    assert!(archived.iter().all(|row| row.finished_at.is_some() && row.snapshot.contains("publication")));
    worker.stop().await;
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_is_down_leaves_a_debt_and_the_vmid_reserved() {
    let company = Company::start().await;
    let (worker, host, door) = (company.worker(many()), company.host_worker(), company.door(FRESHNESS));
    let peers = [
        ("cloudflare", DebtKind::Edge(Target::Cloudflare)),
        ("technitium", DebtKind::Edge(Target::Technitium)),
        ("velocity", DebtKind::Edge(Target::Velocity)),
        ("proxmox", DebtKind::Container),
    ];
    for (peer, kind) in peers {
        let made = company.begin(paper()).await;
        company.succeeded(made).await;
        let vmid = vmid_of(&company, made).await;
        let down = json!({"peer": peer, "when": "before", "action": "reset", "times": 100_000});
        company.control("/sim/faults", down).await;
        let operation = company.succeeded(delete(&door, vmid).await.unwrap()).await;
        assert_eq!(operation.cleanup, Cleanup::Pending, "{peer}");
        let debts = open_debts(&company).await;
        assert_eq!(debts.iter().map(|debt| debt.kind).collect::<Vec<_>>(), [kind], "{peer}");
        // The row is gone, the VMID is not free.
        assert_eq!(instance::Entity::find().count(&company.db.db).await.unwrap(), 0);
        let held = reservation::Entity::find_by_id(debts[0].vmid.unwrap()).one(&company.db.db).await.unwrap().unwrap();
        assert_eq!(held.state, ReservationState::Held, "{peer}");
        collect(&company).await;
        let debts = open_debts(&company).await;
        assert_eq!((debts.len(), debts[0].attempts), (1, 1), "{peer} is still away");
        assert!(debts[0].last_error.is_some());
        company.forget_faults().await;
        collect(&company).await;
        assert_eq!(open_debts(&company).await, [], "{peer}");
        assert_eq!(company.operation(operation.id).await.cleanup, Cleanup::Done);
        expect_empty(&company).await;
    }
    let listed = door.get("/api/admin/debts?state=settled").bearer_auth(door.admin("root").await).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(listed["debts"].as_array().unwrap().len(), 4, "{listed}");
    worker.stop().await;
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_debts_are_counted_until_an_operator_releases_them() {
    let company = Company::start().await;
    let (worker, host, door) = (company.worker(many()), company.host_worker(), company.door(FRESHNESS));
    let made = company.begin(paper()).await;
    company.succeeded(made).await;
    for peer in ["cloudflare", "proxmox"] {
        let down = json!({"peer": peer, "when": "before", "action": "reset", "times": 100_000});
        company.control("/sim/faults", down).await;
    }
    let vmid = vmid_of(&company, made).await;
    let operation = company.succeeded(delete(&door, vmid).await.unwrap()).await;
    let metrics = Metrics::default();
    let db = &company.db.db;
    let expect = async |line: &str| {
        read_database(db, &metrics.stores).await.unwrap();
        let text = metrics.render().unwrap();
        assert!(text.contains(line), "{line}: {text}");
    };
    expect("zpack_debts_open{kind=\"container\"} 1").await;
    expect("zpack_debts_open{kind=\"cloudflare\"} 1").await;
    expect("zpack_debts_open{kind=\"velocity\"} 0").await;
    let now = zpack::db::now(db).await.unwrap();
    for (released, debt) in open_debts(&company).await.into_iter().enumerate() {
        let held = reservation::Entity::find_by_id(debt.vmid.unwrap()).one(db).await.unwrap().unwrap();
        assert_eq!(held.state, ReservationState::Held, "{released} released");
        zpack::teardown::release(db, debt.id, now).await.unwrap();
    }
    expect("zpack_debts_open{kind=\"container\"} 0").await;
    assert_eq!(company.operation(operation.id).await.cleanup, Cleanup::Done);
    let held = reservation::Entity::find().filter(reservation::Column::State.eq(ReservationState::Held));
    assert_eq!(held.count(db).await.unwrap(), 0);
    assert_eq!(company.containers().await.len(), 1, "nothing was removed");
    worker.stop().await;
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_still_being_created_and_a_foreign_container_are_not_deleted() {
    let company = Company::start().await;
    let (worker, door) = (company.worker(many()), company.door(FRESHNESS));
    let made = company.begin(paper()).await;
    company.succeeded(made).await;
    let vmid = vmid_of(&company, made).await;
    // The operation that created it runs and has not committed, by its row.
    set_state(&company, made, OperationState::Running).await;
    let (status, problem) = delete(&door, vmid).await.unwrap_err();
    assert_eq!((status, &problem["operation"]), (StatusCode::CONFLICT, &json!(made.to_string())), "{problem}");
    // Without a row it has no owner, but the operation that created it is running.
    instance::Entity::delete_many().exec(&company.db.db).await.unwrap();
    let (status, problem) = delete(&door, vmid).await.unwrap_err();
    assert_eq!((status, problem["code"].as_str()), (StatusCode::CONFLICT, Some("state_conflict")), "{problem}");
    let listed = door.get("/api/containers/orphans").header("x-internal-token", INTERNAL).send().await.unwrap();
    let listed: Value = listed.json().await.unwrap();
    assert_eq!(
        (&listed["containers"][0]["vmid"], &listed["containers"][0]["removable"]),
        (&json!(vmid), &json!(false))
    );
    set_state(&company, made, OperationState::Failed).await;
    // A node is offline: nothing is decided from a partial listing.
    company.control("/sim/proxmox/nodes/pve2", json!({"online": false})).await;
    let (status, _) = delete(&door, vmid).await.unwrap_err();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    company.control("/sim/proxmox/nodes/pve2", json!({"online": true})).await;
    let host = company.host_worker();
    company.succeeded(delete(&door, vmid).await.unwrap()).await;
    assert!(company.containers().await.is_empty());
    let (status, _) = delete(&door, 9000).await.unwrap_err();
    assert_eq!(status, StatusCode::NOT_FOUND, "a template is no container of ours");
    worker.stop().await;
    host.stop().await;
    door.close().await;
}

/// Sets the state of operation `id`, as if it had not committed.
async fn set_state(company: &Company, id: OperationId, state: OperationState) {
    operation::Entity::update_many()
        .col_expr(operation::Column::State, Expr::value(state))
        .col_expr(operation::Column::Committed, Expr::value(false))
        .filter(operation::Column::Id.eq(id))
        .exec(&company.db.db)
        .await
        .unwrap();
}

/// Two hundred servers are created and deleted, with a fault at a peer every tenth time.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_hundred_faulty_teardown_cycles_leave_every_peer_empty() {
    const CYCLES: u64 = 200;
    let company = Company::start().await;
    let (worker, host, door) = (company.worker(many()), company.host_worker(), company.door(FRESHNESS));
    let (debts, degraded, failed) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    let cycle = |seed: u64| {
        let (company, door, debts, degraded, failed) = (&company, &door, &debts, &degraded, &failed);
        async move {
            let mut random = StdRng::seed_from_u64(seed);
            let mut maybe_break = async |company: &Company| {
                if random.random_range(0..10) == 0 {
                    let peer = ["cloudflare", "technitium", "velocity", "proxmox"][random.random_range(0..4)];
                    let when = ["before", "after"][random.random_range(0..2)];
                    let (action, status) = [("reset", None), ("truncate", None), ("html", None), ("status", Some(500))]
                        [random.random_range(0..4)];
                    let when = if action == "truncate" { "after" } else { when };
                    let fault = json!({"peer": peer, "when": when, "action": action, "status": status,
                        "nth": random.random_range(1..4), "times": random.random_range(1..6)});
                    company.control("/sim/faults", fault).await;
                }
            };
            maybe_break(company).await;
            let made = company.begin(if seed.is_multiple_of(4) { terraria() } else { paper() }).await;
            let ended = company.settled(made).await;
            if ended.state != OperationState::Succeeded {
                // The cluster refused for too long; what was created by then is undone.
                failed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            let row = instance::Entity::find().filter(instance::Column::OperationId.eq(made)).one(&company.db.db).await;
            let row = row.unwrap().unwrap();
            degraded.fetch_add(usize::from(row.edge_due_at.is_some()), Ordering::Relaxed);
            maybe_break(company).await;
            let gone = company.succeeded(delete(door, row.vmid.get()).await.unwrap()).await;
            debts.fetch_add(usize::from(gone.cleanup == Cleanup::Pending), Ordering::Relaxed);
        }
    };
    let reconciler = Reconciler { publisher: company.publisher(), interval: Duration::from_millis(200) };
    let stop = CancellationToken::new();
    let reconciling = in_background(reconciler, &stop);
    stream::iter(0..CYCLES).for_each_concurrent(8, cycle).await;
    stop.cancel();
    reconciling.await.unwrap();
    company.forget_faults().await;
    let (debts, degraded, failed) = (debts.into_inner(), degraded.into_inner(), failed.into_inner());
    assert!(debts + degraded > 0, "nothing went wrong in {CYCLES} cycles");
    for _ in 0..5 {
        collect(&company).await;
        if open_debts(&company).await.is_empty() {
            break;
        }
    }
    assert_eq!(
        open_debts(&company).await,
        [],
        "{debts} teardowns left debts, {degraded} servers were degraded, {failed} failed"
    );
    expect_empty(&company).await;
    let archived = deleted_instance::Entity::find().count(&company.db.db).await.unwrap();
    assert_eq!(archived as usize + failed, CYCLES as usize);
    worker.stop().await;
    host.stop().await;
    door.close().await;
}
