//! A worker that receives one or two stop signals while it works.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use zpack::db;
use zpack::db::entities::operation::{Actor, Cleanup, OperationState};
use zpack::db::entities::reservation::{self, ReservationState};
use zpack::kernel::{Clock, OperationId};
use zpack::operations::{CancelOutcome, cancel};

use crate::support::company::{Company, node};

/// A worker process with its log.
struct Worker {
    child: Child,
    log: tokio::io::Lines<BufReader<ChildStderr>>,
}

impl Worker {
    fn start(company: &Company) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_zpack"))
            .args(["worker", "provision"])
            .env_clear()
            .envs(company.environment())
            .env("LOG_LEVEL", "info")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let log = BufReader::new(child.stderr.take().unwrap()).lines();
        Self { child, log }
    }

    fn terminate(&self) {
        kill(Pid::from_raw(i32::try_from(self.child.id().unwrap()).unwrap()), Signal::SIGTERM).unwrap();
    }

    async fn says(&mut self, words: &str) {
        while let Some(line) = self.log.next_line().await.unwrap() {
            if line.contains(words) {
                return;
            }
        }
        panic!("it ended without saying {words}");
    }

    /// Reads the rest of the log, so that the pipe does not fill up.
    async fn ended(mut self) -> Option<i32> {
        while self.log.next_line().await.unwrap().is_some() {}
        self.child.wait().await.unwrap().code()
    }
}

async fn reached(company: &Company, id: OperationId, phase: &str) {
    let what = format!("{id} to reach {phase}");
    company.wait(&what, || async { (company.operation(id).await.phase.as_deref() == Some(phase)).then_some(()) }).await;
}

/// Waiting for an address has no effect: the operation is handed back, at no cost of a start.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_signal_hands_the_work_back() {
    let company = Company::start().await;
    let no_address = json!({ "peer": "proxmox", "method": "GET", "path": "*/interfaces", "when": "before", "action": "status", "status": 595,
        "times": 100_000 });
    company.control("/sim/faults", no_address).await;
    let worker = Worker::start(&company);
    let id = company.begin(node()).await;
    reached(&company, id, "await_address").await;
    worker.terminate();
    assert_eq!(worker.ended().await, Some(0));
    let row = company.operation(id).await;
    assert_eq!((row.state, row.starts), (OperationState::Queued, 0));

    company.forget_faults().await;
    let new_owner = company.worker(Company::settings());
    let row = company.succeeded(id).await;
    new_owner.stop().await;
    assert_eq!(row.starts, 1);
    assert_eq!(company.effects("clone").await.into_values().collect::<Vec<_>>(), [1]);
}

/// A worker is replaced while the hypervisor clones. Returns the operation, which was handed back.
async fn replaced_during_the_clone(company: &Company) -> OperationId {
    let unreadable = json!({ "peer": "proxmox", "method": "GET", "path": "*/tasks/*/status", "when": "before", "action": "status",
        "status": 595, "times": 100_000 });
    company.control("/sim/faults", unreadable).await;
    let worker = Worker::start(company);
    let id = company.begin(node()).await;
    company
        .wait("the task of the clone to be stored", || async {
            let state: Value = serde_json::from_str(&company.operation(id).await.saga_state?).unwrap();
            (!state["task"].is_null()).then_some(())
        })
        .await;
    worker.terminate();
    assert_eq!(worker.ended().await, Some(0));
    let row = company.operation(id).await;
    assert_eq!((row.state, row.starts), (OperationState::Queued, 0));
    company.forget_faults().await;
    id
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clone_in_progress_is_handed_back_and_not_repeated() {
    let company = Company::start().await;
    let id = replaced_during_the_clone(&company).await;
    let new_owner = company.worker(Company::settings());
    company.succeeded(id).await;
    new_owner.stop().await;
    assert_eq!(company.effects("clone").await.into_values().collect::<Vec<_>>(), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operation_that_was_handed_back_during_its_clone_can_be_cancelled() {
    let company = Company::start().await;
    let id = replaced_during_the_clone(&company).await;
    let tx = db::begin(&company.db.db).await.unwrap();
    assert_eq!(cancel(&tx, id, Actor::Customer, Clock::System.now()).await.unwrap(), CancelOutcome::Cancelled);
    tx.commit().await.unwrap();
    let new_owner = company.worker(Company::settings());
    let row = company.settled(id).await;
    new_owner.stop().await;
    assert_eq!((row.state, row.cleanup), (OperationState::Cancelled, Cleanup::Done));
    assert!(company.containers().await.is_empty());
}

/// Configuring the agent is an external effect, so the first signal waits for its end; the second does not.
#[tokio::test(flavor = "multi_thread")]
async fn the_second_signal_ends_the_process_at_once_and_a_new_owner_cleans_up() {
    let company = Company::start().await;
    company.control("/sim/agents/next", json!({ "hang": true })).await;
    let mut worker = Worker::start(&company);
    let id = company.begin(node()).await;
    reached(&company, id, "configure_agent").await;
    worker.terminate();
    worker.says("a second signal ends the process at once").await;
    assert_eq!(company.operation(id).await.state, OperationState::Running);
    worker.terminate();
    assert_eq!(worker.ended().await, Some(128 + 15));

    let new_owner = company.worker(Company::settings());
    let row = company.settled(id).await;
    new_owner.stop().await;
    assert_eq!((row.state, row.cleanup), (OperationState::Stale, Cleanup::Done));
    assert!(company.containers().await.is_empty());
    let rows = reservation::Entity::find().all(&company.db.db).await.unwrap();
    assert!(rows.iter().all(|row| row.state == ReservationState::Released), "{rows:?}");
}
