//! `kill -9` of the worker at every point of work on an existing server: publish, unpublish, power, teardown. Another
//! worker continues, and the result is the same as without the crash.

use reqwest::Method;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::db::entities::operation::{Cleanup, OperationState};
use zpack::db::entities::{instance, queue_slot};
use zpack::edge::EdgeState;
use zpack::kernel::OperationId;
use zpack::publishing::TargetSelection;

use super::cells::each;
use super::process::WorkerProcess;
use crate::flows::teardown::expect_empty;
use crate::support::app::{FRESHNESS, INTERNAL};
use crate::support::company::{Company, paper};

/// Work on a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Publish,
    Unpublish,
    Restart,
    Teardown,
}

impl Work {
    const ALL: [Self; 4] = [Self::Publish, Self::Unpublish, Self::Restart, Self::Teardown];

    const fn steps(self) -> &'static [&'static str] {
        match self {
            Self::Publish | Self::Unpublish => &["converge_edge"],
            Self::Restart => &["stop_workload", "stop_container", "start_container", "start_workload"],
            Self::Teardown => &[
                "archive",
                "withdraw_velocity",
                "withdraw_technitium",
                "withdraw_cloudflare",
                "destroy_container",
                "release",
            ],
        }
    }

    /// Around every step, after every accepted request, and around the job as a whole.
    fn points(self) -> Vec<String> {
        let mut points: Vec<String> = ["received", "claimed", "ending", "finished"].map(str::to_owned).to_vec();
        for step in self.steps() {
            points.extend(["before", "started", "effect", "done"].map(|place| format!("{step}.{place}")));
        }
        match self {
            Self::Publish | Self::Unpublish => {}
            Self::Restart => {
                points.extend(["workload.recorded", "power.accepted", "workload.started"].map(str::to_owned));
            }
            Self::Teardown => points.push("destroy.accepted".to_owned()),
        }
        points
    }

    /// Method, path and body of the request for it.
    fn request(self, vmid: i32) -> (Method, String, Value) {
        let about = json!({ "serverId": vmid.to_string() });
        match self {
            Self::Publish => (Method::POST, "/api/edge/publish".to_owned(), about),
            Self::Unpublish => (Method::POST, "/api/edge/unpublish".to_owned(), about),
            Self::Restart => (Method::POST, format!("/api/servers/{vmid}/host/restart"), Value::Null),
            Self::Teardown => (Method::DELETE, format!("/api/containers/{vmid}"), Value::Null),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_worker_is_killed_at_work_on_a_server_another_continues() {
    let cells = Work::ALL.into_iter().flat_map(|work| work.points().into_iter().map(move |point| (work, point)));
    each(cells, |(work, point)| survive(work, point)).await;
}

async fn survive(work: Work, point: String) {
    let company = Company::start().await;
    let maker = company.worker(Company::settings());
    let made = company.begin(paper()).await;
    company.succeeded(made).await;
    maker.stop().await;
    let row = instance::Entity::find().filter(instance::Column::OperationId.eq(made)).one(&company.db.db).await;
    let vmid = row.unwrap().unwrap().vmid;
    // Nothing is left for the background tasks of the worker.
    let published = company.publisher().publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    assert_eq!(published.state(), EdgeState::Published, "{}", published.problems());
    let vmid = vmid.get();
    if work == Work::Publish {
        // Removes everything, so that there is something to do.
        company.control_delete("/sim/cloudflare/records").await;
    }

    let mut doomed = WorkerProcess::doomed(&company, &point);
    let door = company.door(FRESHNESS);
    let (method, path, body) = work.request(vmid);
    let mut request = door.request(method, &path).json(&body);
    request = match work {
        Work::Restart => request.bearer_auth(company.give(made, &door, "ada").await),
        Work::Publish | Work::Unpublish | Work::Teardown => request.header("x-internal-token", INTERNAL),
    };
    let answer: Value = request.send().await.unwrap().json().await.unwrap();
    let id: OperationId = answer["operationId"].as_str().unwrap_or_else(|| panic!("{answer}")).parse().unwrap();
    doomed.killed().await;
    let new_owner = WorkerProcess::new_owner(&company).await;
    let row = company.settled(id).await;

    let case = format!("{work:?} killed at {point}: {:?} {:?} {:?}", row.state, row.error_code, row.error_message);
    assert_eq!((row.state, row.cleanup), (OperationState::Succeeded, Cleanup::None), "{case}");
    match work {
        Work::Publish => assert_eq!(company.at_edge().await, [2, 2, 1], "{case}"),
        Work::Unpublish => assert_eq!(company.at_edge().await, [0, 0, 0], "{case}"),
        Work::Restart => {
            let containers = company.containers().await;
            assert_eq!((containers.len(), &containers[0]["status"]), (1, &json!("running")), "{case}");
            let runs = || async { (company.state().await["agents"][0]["state"] == "running").then_some(()) };
            company.wait(&format!("a game that runs again: {case}"), runs).await;
        }
        Work::Teardown => expect_empty(&company).await,
    }
    new_owner.stop().await;
    door.close().await;
    let slots = queue_slot::Entity::find().all(&company.db.db).await.unwrap();
    assert!(slots.iter().all(|slot| slot.operation_id.is_none()), "{case}: a slot stays taken");
}
