//! `kill -9` of the worker at every point of a provisioning operation: it always ends, nothing is created twice, and
//! nothing is left that no row names.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use zpack::db::entities::operation::{Cleanup, OperationState};
use zpack::db::entities::{instance, queue_slot, reservation};

use super::cells::each;
use super::process::WorkerProcess;
use crate::support::company::{Company, node, paper};

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

/// Forward: around every step, and after every accepted request.
fn forward() -> Vec<String> {
    let mut points: Vec<String> = ["received", "claimed", "ending", "finished"].map(str::to_owned).to_vec();
    for step in STEPS {
        points.extend(["before", "started", "effect", "done"].map(|place| format!("{step}.{place}")));
    }
    for step in ["clone_container", "configure_container", "start_container", "configure_agent"] {
        points.push(format!("{step}.accepted"));
    }
    points
}

/// Backward, after the agent has reported an error.
fn backward() -> Vec<String> {
    let mut points = vec!["destroy.accepted".to_owned()];
    for step in STEPS.iter().take(7) {
        points.extend(["undo_effect", "undone"].map(|place| format!("{step}.{place}")));
    }
    points
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_step_loses_and_duplicates_nothing() {
    each(forward(), |point| survive(point, false)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_during_the_undo_leaves_nothing_behind() {
    each(backward(), |point| survive(point, true)).await;
}

/// Whether the row of the server was there when the worker was killed.
fn after_the_commitment(point: &str) -> bool {
    point.starts_with("publish_edge")
        || ["record_server.effect", "record_server.done", "ending", "finished"].contains(&point)
}

async fn survive(point: String, agent_fails: bool) {
    let company = Company::start().await;
    if agent_fails {
        company.control("/sim/agents/next", json!({ "state": "error", "error": "disk is full" })).await;
    }
    let mut doomed = WorkerProcess::doomed(&company, &point);
    // The last step does more for game servers.
    let id = company.begin(if point.starts_with("publish_edge") { paper() } else { node() }).await;
    doomed.killed().await;
    let new_owner = WorkerProcess::new_owner(&company).await;
    let row = company.settled(id).await;
    company.wait("the lists to be empty", || async { (company.depth().await == 0).then_some(()) }).await;
    new_owner.stop().await;

    let case = format!("killed at {point}: {:?} {:?} {:?}", row.state, row.error_code, row.error_message);
    let containers = company.containers().await;
    let servers = instance::Entity::find().all(&company.db.db).await.unwrap();
    let held = reservation::Column::State.ne(reservation::ReservationState::Released);
    let reserved = reservation::Entity::find().filter(held).all(&company.db.db).await.unwrap();
    match row.state {
        OperationState::Succeeded => {
            assert_eq!((containers.len(), servers.len(), reserved.len()), (1, 1, 1), "{case}");
            assert_eq!(containers[0]["vmid"], servers[0].vmid.get(), "{case}");
            if point.starts_with("publish_edge") {
                company
                    .wait("the edge to be finished", || async { (company.at_edge().await == [2, 2, 1]).then_some(()) })
                    .await;
            }
            assert!(containers[0]["description"].as_str().unwrap().contains(&id.to_string()), "{case}");
        }
        OperationState::Failed | OperationState::Stale => {
            assert_eq!((containers.len(), servers.len(), reserved.len()), (0, 0, 0), "{case}");
            assert_eq!(company.at_edge().await, [0, 0, 0], "{case}");
            assert!(matches!(row.cleanup, Cleanup::Done | Cleanup::None), "{case}: {:?}", row.cleanup);
        }
        OperationState::Queued | OperationState::Running | OperationState::Cancelled => panic!("{case}"),
    }
    if after_the_commitment(&point) {
        assert_eq!(row.state, OperationState::Succeeded, "{case}: its owner has seen the server as ready");
    }
    assert_eq!(row.state == OperationState::Succeeded, row.error_code.is_none(), "{case}");
    for (vmid, clones) in company.effects("clone").await {
        assert!(clones <= 1, "{case}: container {vmid} was cloned {clones} times");
    }
    let slots = queue_slot::Entity::find().all(&company.db.db).await.unwrap();
    assert!(slots.iter().all(|slot| slot.operation_id.is_none()), "{case}: a slot stays taken");
}
