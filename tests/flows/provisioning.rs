//! A queued operation becomes a running server, and failures leave nothing behind.

use sea_orm::EntityTrait;
use serde_json::json;
use zpack::config::DatabaseKind;
use zpack::db::entities::instance;
use zpack::db::entities::operation::{Cleanup, OperationState};
use zpack::db::entities::reservation::{self, ReservationState};
use zpack::jobs::JobSettings;

use crate::support::company::{Company, node, paper};

#[tokio::test(flavor = "multi_thread")]
async fn a_game_server_and_a_dev_container_are_created_on_sqlite() {
    two_servers(DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_server_and_a_dev_container_are_created_on_postgres() {
    two_servers(DatabaseKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_game_server_and_a_dev_container_are_created_on_mariadb() {
    two_servers(DatabaseKind::MariaDb).await;
}

async fn two_servers(kind: DatabaseKind) {
    let company = Company::start_on(kind).await;
    let worker = company.worker(Company::settings());
    let game = company.begin(paper()).await;
    let dev = company.begin(node()).await;
    let (game, dev) = (company.succeeded(game).await, company.succeeded(dev).await);
    worker.stop().await;

    let containers = company.containers().await;
    assert_eq!(containers.len(), 2);
    for row in [&game, &dev] {
        let vmid = row.vmid.unwrap().get();
        let container = containers.iter().find(|container| container["vmid"] == vmid).unwrap();
        assert!(container["description"].as_str().unwrap().contains(&row.id.to_string()));
        assert_eq!(container["status"], "running");
        assert_eq!(row.cleanup, Cleanup::None);
    }
    let servers = instance::Entity::find().all(&company.db.db).await.unwrap();
    let mut names: Vec<&str> = servers.iter().map(|server| server.hostname.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["dev-6000", "mc-paper-5000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_offer_costs_only_time() {
    let company = Company::start().await;
    let worker = company.worker(Company::settings());
    let id = company.begin_silently(node()).await;
    company.succeeded(id).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_of_an_unknown_kind_do_not_block_others() {
    let company = Company::start().await;
    // More than the sweeper offers at a time, and older than the operations that can run.
    for _ in 0..250 {
        company.begin_new(company.order_of_a_later_release(node())).await;
    }
    let id = company.begin_silently(node()).await;
    let worker = company.worker(Company::settings());
    company.succeeded(id).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_error_fails_at_once_with_its_message_and_everything_is_undone() {
    let company = Company::start().await;
    company.control("/sim/agents/next", json!({ "state": "error", "error": "disk is full" })).await;
    let worker = company.worker(Company::settings());
    let id = company.begin(paper()).await;
    let row = company.settled(id).await;
    worker.stop().await;

    assert_eq!(row.state, OperationState::Failed);
    assert_eq!(row.error_code.as_deref(), Some("agent_error"));
    assert!(row.error_message.unwrap().contains("disk is full"));
    assert_eq!(row.cleanup, Cleanup::Done);
    assert!(company.containers().await.is_empty());
    let reserved = reservation::Entity::find().all(&company.db.db).await.unwrap();
    assert_eq!(reserved.iter().map(|row| row.state).collect::<Vec<_>>(), [ReservationState::Released]);
    assert!(instance::Entity::find().all(&company.db.db).await.unwrap().is_empty());
}

/// Every external effect of provisioning, with its request and a fault before or after it is executed: there is one
/// container or none, never two, and nothing exists that no row names.
#[tokio::test(flavor = "multi_thread")]
async fn faults_before_and_after_every_effect_leave_one_container_or_none() {
    let company = Company::start().await;
    let worker = company.worker(Company::settings());
    let effects = [("POST", "*/clone"), ("PUT", "*/config"), ("POST", "*/status/start")];
    let faults = [
        json!({ "action": "status", "status": 595 }),
        json!({ "action": "status", "status": 596 }),
        json!({ "action": "timeout" }),
        json!({ "action": "reset" }),
        json!({ "action": "truncate" }),
        json!({ "action": "html", "status": 502 }),
    ];
    for (method, path) in effects {
        for when in ["before", "after"] {
            for fault in &faults {
                if when == "after" && fault["status"] == 595 {
                    // A gateway that could not connect has executed nothing, so this case does not exist.
                    continue;
                }
                let mut fault = fault.clone();
                let named = json!({ "peer": "proxmox", "method": method, "path": path, "when": when, "times": 1 });
                fault.as_object_mut().unwrap().extend(named.as_object().unwrap().clone());
                let planted = company.control("/sim/faults", fault.clone()).await;
                let before = company.containers().await.len();
                let id = company.begin(node()).await;
                let row = company.settled(id).await;
                let ours = company.containers().await;
                let ours = ours.iter().filter(|c| c["description"].as_str().unwrap_or("").contains(&id.to_string()));
                let (ours, all) = (ours.count(), company.containers().await.len());
                let case = format!("{fault} -> {:?} {:?}", row.state, row.error_message);
                match row.state {
                    OperationState::Succeeded => assert_eq!((ours, all), (1, before + 1), "{case}"),
                    _ => assert_eq!((ours, all), (0, before), "{case}"),
                }
                assert_eq!(row.state, OperationState::Succeeded, "{case}");
                let _ = planted;
            }
        }
    }
    worker.stop().await;
    for (vmid, clones) in company.effects("clone").await {
        assert_eq!(clones, 1, "container {vmid} was cloned {clones} times");
    }
}

/// The largest number of operations that ran concurrently, from their start and end times.
fn most_at_once(mut spans: Vec<(i64, i64)>) -> usize {
    spans.sort_unstable();
    let mut open: Vec<i64> = Vec::new();
    let mut most = 0;
    for (begin, end) in spans {
        open.retain(|other| *other > begin);
        open.push(end);
        most = most.max(open.len());
    }
    most
}

async fn fifty(slots: u32) -> (Company, Vec<zpack::db::entities::operation::Model>) {
    let company = Company::start().await;
    let settings = || JobSettings { slots: Some(slots), concurrency: slots, ..Company::settings() };
    let workers = [company.worker(settings()), company.worker(settings())];
    let requests = (0..50).map(|n| company.begin(if n % 2 == 0 { paper() } else { node() }));
    let ids = futures_util::future::join_all(requests).await;
    let rows = futures_util::future::join_all(ids.into_iter().map(|id| company.succeeded(id))).await;
    for worker in workers {
        worker.stop().await;
    }
    (company, rows)
}

async fn fifty_of_everything(company: &Company) {
    let containers = company.containers().await;
    let distinct = |field: &str| {
        let values = containers.iter().map(|container| container[field].to_string());
        values.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!((containers.len(), distinct("vmid"), distinct("name")), (50, 50, 50));
    assert_eq!(instance::Entity::find().all(&company.db.db).await.unwrap().len(), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_creates_with_one_slot_run_one_after_another_over_two_workers() {
    let (company, rows) = fifty(1).await;
    fifty_of_everything(&company).await;
    let span = |row: &zpack::db::entities::operation::Model| {
        (row.started_at.unwrap().millis(), row.finished_at.unwrap().millis())
    };
    let spans: Vec<_> = rows.iter().map(span).collect();
    assert_eq!(most_at_once(spans.clone()), 1, "{spans:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_creates_with_eight_slots_never_clone_a_template_concurrently() {
    let (company, _) = fifty(8).await;
    fifty_of_everything(&company).await;
    // Proxmox refuses a second clone of a template that is being cloned, with its lock.
    let journal = company.get("/sim/journal?peer=proxmox").await;
    let refused = journal.to_string().matches("CT is locked (disk)").count();
    assert_eq!(refused, 0, "a template was cloned twice at a time");
}
