//! A run that takes longer than the deadline of its kind is asked to stop, and fenced out when it does not.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use zpack::db::entities::operation::{Cleanup, OperationState, UndoState};
use zpack::jobs::lifecycle::MAX_CRASHES;
use zpack::jobs::{JobEnd, JobFailure, UndoEnd};

use super::begin_step;
use crate::support::runtime::{Runtime, Script};
use crate::support::{TestDb, on_every_database};

on_every_database!(
    a_run_that_heeds_its_deadline_ends_itself,
    a_run_that_never_ends_is_fenced_out_and_at_last_stale,
    an_undo_that_never_ends_is_fenced_out_and_tried_again,
);

const SHORT: Duration = Duration::from_millis(200);

async fn a_run_that_heeds_its_deadline_ends_itself(test: TestDb) {
    let runtime = Runtime::over(test);
    let job = Script::new("slow", |cx| async move {
        cx.overdue.cancelled().await;
        let failure = JobFailure { code: "too_slow".to_owned(), message: "it took too long".to_owned(), phase: None };
        JobEnd::Failed { failure, undo: UndoEnd::Nothing }
    });
    let worker = runtime.worker([job.within(SHORT, Duration::from_secs(60))], Runtime::settings());
    let id = runtime.begin("slow").await;
    let ended = runtime.until(id, |row| row.state.is_ended()).await;
    assert_eq!((ended.state, ended.fence, ended.crashes), (OperationState::Failed, 1, 0));
    assert_eq!(ended.error_code.as_deref(), Some("too_slow"));
    let took = ended.finished_at.unwrap().since(ended.started_at.unwrap());
    assert!(took > SHORT, "stopped after {took:?}");
    worker.stop().await;
    assert_eq!(runtime.counted("zpack_queue_deadlines_exceeded_total{queue=\"host\"}"), 1.0);
    assert_eq!(runtime.counted("zpack_queue_recovered_total{queue=\"host\"}"), 0.0);
}

async fn a_run_that_never_ends_is_fenced_out_and_at_last_stale(test: TestDb) {
    let runtime = Runtime::over(test);
    let runs = Arc::new(AtomicUsize::new(0));
    let job = Script::new("endless", {
        let runs = runs.clone();
        move |_| {
            runs.fetch_add(1, Ordering::SeqCst);
            pending()
        }
    });
    let other = Script::new("other", |_| async { JobEnd::Succeeded });
    let worker = runtime.worker([job.within(SHORT, Duration::ZERO), other], Runtime::settings());
    let id = runtime.begin("endless").await;
    let fenced = runtime.until(id, |row| row.crashes == 1).await;
    assert_eq!((fenced.state, fenced.starts, fenced.worker), (OperationState::Queued, 0, None));
    let next = runtime.begin("other").await;
    runtime.until(next, |row| row.state == OperationState::Succeeded).await;
    let ended = runtime.until(id, |row| row.state.is_ended()).await;
    assert_eq!((ended.state, ended.unwind), (OperationState::Stale, UndoState::None));
    assert_eq!(ended.error_code.as_deref(), Some("deadline_exceeded"));
    assert_eq!(runs.load(Ordering::SeqCst), usize::try_from(MAX_CRASHES).unwrap());
    worker.stop().await;
    assert_eq!(runtime.slots_taken().await, 0);
    let lost = "zpack_job_run_seconds_count{queue=\"host\",end=\"lost\"}";
    assert_eq!(runtime.counted(lost), f64::from(MAX_CRASHES), "each was dropped, or its place would be taken");
}

async fn an_undo_that_never_ends_is_fenced_out_and_tried_again(test: TestDb) {
    let runtime = Runtime::over(test);
    let tries = Arc::new(AtomicUsize::new(0));
    let job = Script::new("endless", |cx| async move {
        begin_step(&cx, true).await;
        panic!("so that it is undone")
    });
    let job = job.undone_by({
        let tries = tries.clone();
        move |_| {
            let first = tries.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if first { pending().await } else { UndoEnd::Complete } }
        }
    });
    let worker = runtime.worker([job.within(Duration::from_secs(60), SHORT)], Runtime::settings());
    let id = runtime.begin("endless").await;
    let settled = runtime.until(id, |row| row.unwind == UndoState::Done).await;
    assert_eq!((settled.state, settled.cleanup), (OperationState::Stale, Cleanup::Done));
    assert_eq!(tries.load(Ordering::SeqCst), 2);
    worker.stop().await;
    assert_eq!(runtime.counted("zpack_queue_recovered_total{queue=\"host\"}"), 1.0);
}
