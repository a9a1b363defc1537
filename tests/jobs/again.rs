//! Operations that run later: accepted so, or ended by their job as "again".

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zpack::db;
use zpack::db::entities::operation::{self, Actor, OperationState};
use zpack::jobs::{ClaimOutcome, Failpoints, JobEnd, JobSettings, Registry, SweepScope, UndoEnd, claim, sweep};
use zpack::kernel::{Clock, WorkerId};
use zpack::operations::{CancelOutcome, cancel};

use crate::support::runtime::{QUEUE, Runtime, Script};
use crate::support::{TestDb, on_every_database, rows};

on_every_database!(
    an_operation_begun_for_later_waits_for_its_time,
    a_job_runs_again_and_again_on_one_start,
    what_waits_to_run_again_can_be_cancelled,
    a_cancellation_that_the_job_missed_is_not_kept_waiting,
);

const HOUR: Duration = Duration::from_secs(3600);

async fn an_operation_begun_for_later_waits_for_its_time(test: TestDb) {
    let runtime = Runtime::over(test);
    // On a busy machine a short time is over before it is looked at.
    for wait in [400, 4000, 40_000] {
        if early_looks(&runtime, Duration::from_millis(wait)).await > 0 {
            return;
        }
    }
    panic!("nothing was seen of the time before");
}

/// Begins an operation for later and claims it as soon as that is possible. Returns how often it was too early.
async fn early_looks(runtime: &Runtime, wait: Duration) -> usize {
    let db = &runtime.test.db;
    let registry =
        Registry::for_queue(QUEUE).with(Arc::new(Script::new("later", |_| async { JobEnd::Succeeded }))).unwrap();
    let settings = JobSettings { slots: None, ..Runtime::settings() };
    let now = db::now(db).await.unwrap();
    let soon = now.after(wait);
    let later = operation::Model { run_after: soon, ..rows::queued(QUEUE, "later", now) };
    rows::store(db, std::slice::from_ref(&later)).await;
    let none = Failpoints::default();
    let mut early = 0;
    loop {
        let offered = sweep(db, &runtime.lists, QUEUE, &registry, SweepScope::Everything, &none).await.unwrap();
        let won = claim(db, QUEUE, later.id, WorkerId::generate(), &registry, &settings).await.unwrap();
        let after = db::now(db).await.unwrap();
        if after < soon {
            assert_eq!(offered, 0, "offered before its time");
            assert!(matches!(won, ClaimOutcome::NotDue), "{won:?} before its time");
            early += 1;
            continue;
        }
        if let ClaimOutcome::Claimed(claimed) = won {
            assert_eq!(claimed.operation.id, later.id);
            return early;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn a_job_runs_again_and_again_on_one_start(test: TestDb) {
    let runtime = Runtime::over(test);
    let runs = Arc::new(AtomicUsize::new(0));
    let job = Script::new("poll", {
        let runs = runs.clone();
        move |_| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            async move { if run < 3 { JobEnd::Again { after: Duration::from_millis(300) } } else { JobEnd::Succeeded } }
        }
    });
    let id = runtime.begin("poll").await;
    let worker = runtime.worker([job], Runtime::settings());
    let waiting = runtime.until(id, |row| row.state == OperationState::Queued && row.fence > 0).await;
    assert_eq!((waiting.starts, waiting.lease_until, waiting.worker), (0, None, None));
    assert_eq!(runtime.slots_taken().await, 0, "others may run meanwhile");
    let ended = runtime.until(id, |row| row.state.is_ended()).await;
    assert_eq!((ended.state, ended.starts, ended.max_starts, ended.fence), (OperationState::Succeeded, 1, 1, 4));
    let took = ended.finished_at.unwrap().millis() - ended.started_at.unwrap().millis();
    assert!(took >= 900, "three waits in {took} ms");
    assert_eq!(runs.load(Ordering::SeqCst), 4);
    worker.stop().await;
}

async fn what_waits_to_run_again_can_be_cancelled(test: TestDb) {
    let runtime = Runtime::over(test);
    let id = runtime.begin("poll").await;
    let worker =
        runtime.worker([Script::new("poll", |_| async { JobEnd::Again { after: HOUR } })], Runtime::settings());
    let waiting = runtime.until(id, |row| row.state == OperationState::Queued && row.fence > 0).await;
    assert!(waiting.run_after > waiting.started_at.unwrap());
    let tx = db::begin(&runtime.test.db).await.unwrap();
    assert_eq!(cancel(&tx, id, Actor::Operator, Clock::System.now()).await.unwrap(), CancelOutcome::Cancelled);
    tx.commit().await.unwrap();
    let cancelled = runtime.operation(id).await;
    assert_eq!((cancelled.state, cancelled.fence), (OperationState::Cancelled, 1));
    worker.stop().await;
}

async fn a_cancellation_that_the_job_missed_is_not_kept_waiting(test: TestDb) {
    let runtime = Runtime::over(test);
    let id = runtime.begin("poll").await;
    // The job is asked to stop while it runs, and does not check.
    let job = Script::new("poll", |cx| async move {
        if cx.cancelled.is_cancelled() {
            return JobEnd::Cancelled { undo: UndoEnd::Nothing };
        }
        let tx = db::begin(&cx.db).await.unwrap();
        assert_eq!(cancel(&tx, cx.id(), Actor::Operator, Clock::System.now()).await.unwrap(), CancelOutcome::Requested);
        tx.commit().await.unwrap();
        JobEnd::Again { after: HOUR }
    });
    let worker = runtime.worker([job], Runtime::settings());
    let ended = runtime.until(id, |row| row.state.is_ended()).await;
    assert_eq!((ended.state, ended.fence), (OperationState::Cancelled, 2));
    worker.stop().await;
}
