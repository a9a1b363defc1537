//! A job that panics ends its operation at once, and its worker continues.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use zpack::db::entities::operation::{Cleanup, OperationState, UndoState};
use zpack::jobs::{JobEnd, UndoEnd};

use super::begin_step;
use crate::support::runtime::{Runtime, Script};
use crate::support::{TestDb, on_every_database};

on_every_database!(
    a_panic_before_any_step_fails_the_operation,
    a_panic_after_an_outside_step_makes_it_stale_and_undone,
    a_panic_of_work_that_may_be_repeated_fails_it,
    a_panic_in_an_undo_is_tried_again,
);

/// Another kind, to check that the worker's only slot is free again.
fn other() -> Script {
    Script::new("other", |_| async { JobEnd::Succeeded })
}

async fn a_panic_before_any_step_fails_the_operation(test: TestDb) {
    let runtime = Runtime::over(test);
    let job = Script::new("panics", |_| async { panic!("the secret is 1234") });
    let worker =
        runtime.worker([job.undone_by(|_| async { panic!("there is nothing to undo") }), other()], Runtime::settings());
    let id = runtime.begin("panics").await;
    let ended = runtime.until(id, |row| row.state.is_ended()).await;
    assert_eq!((ended.state, ended.unwind, ended.cleanup), (OperationState::Failed, UndoState::None, Cleanup::None));
    assert_eq!((ended.lease_until, ended.worker, ended.claimed_at), (None, None, None));
    assert_eq!(ended.error_code.as_deref(), Some("internal_error"));
    let message = ended.error_message.unwrap();
    assert!(!message.contains("1234"), "the user reads {message}");
    let next = runtime.begin("other").await;
    runtime.until(next, |row| row.state == OperationState::Succeeded).await;
    worker.stop().await;
    assert_eq!(runtime.slots_taken().await, 0);
    assert_eq!(runtime.counted("zpack_job_panics_total{queue=\"host\",purpose=\"run\"}"), 1.0);
    assert_eq!(runtime.counted("zpack_job_panics_total{queue=\"host\",purpose=\"unwind\"}"), 0.0);
    assert_eq!(runtime.counted("zpack_queue_jobs_running{queue=\"host\"}"), 0.0);
}

async fn a_panic_after_an_outside_step_makes_it_stale_and_undone(test: TestDb) {
    let runtime = Runtime::over(test);
    let undone = Arc::new(AtomicUsize::new(0));
    let job = Script::new("panics", |cx| async move {
        begin_step(&cx, true).await;
        panic!("after an effect")
    });
    let job = job.undone_by({
        let undone = undone.clone();
        move |_| {
            undone.fetch_add(1, Ordering::SeqCst);
            async { UndoEnd::Complete }
        }
    });
    let worker = runtime.worker([job], Runtime::settings());
    let id = runtime.begin("panics").await;
    let settled = runtime.until(id, |row| row.unwind == UndoState::Done).await;
    assert_eq!((settled.state, settled.cleanup), (OperationState::Stale, Cleanup::Done));
    assert_eq!(settled.error_code.as_deref(), Some("internal_error"));
    // The run, the end of its owner, and the undo.
    assert_eq!((settled.fence, undone.load(Ordering::SeqCst)), (3, 1));
    worker.stop().await;
}

async fn a_panic_of_work_that_may_be_repeated_fails_it(test: TestDb) {
    let runtime = Runtime::over(test);
    let runs = Arc::new(AtomicUsize::new(0));
    let job = Script::new("panics", {
        let runs = runs.clone();
        move |cx| {
            let runs = runs.clone();
            async move {
                begin_step(&cx, true).await;
                runs.fetch_add(1, Ordering::SeqCst);
                panic!("it would again")
            }
        }
    });
    let worker = runtime.worker([job, other()], Runtime::settings());
    let id = runtime.begin("panics").await;
    let ended = runtime.until(id, |row| row.state.is_ended()).await;
    assert_eq!((ended.state, ended.unwind), (OperationState::Failed, UndoState::None));
    let next = runtime.begin("other").await;
    runtime.until(next, |row| row.state == OperationState::Succeeded).await;
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    worker.stop().await;
}

async fn a_panic_in_an_undo_is_tried_again(test: TestDb) {
    let runtime = Runtime::over(test);
    let tries = Arc::new(AtomicUsize::new(0));
    let job = Script::new("panics", |cx| async move {
        begin_step(&cx, true).await;
        panic!("after an effect")
    });
    let job = job.undone_by({
        let tries = tries.clone();
        move |_| {
            let first = tries.fetch_add(1, Ordering::SeqCst) == 0;
            async move { if first { panic!("in the undo") } else { UndoEnd::Complete } }
        }
    });
    let worker = runtime.worker([job, other()], Runtime::settings());
    let id = runtime.begin("panics").await;
    let waiting = runtime.until(id, |row| row.unwind == UndoState::Due && row.crashes == 1).await;
    assert_eq!((waiting.state, waiting.lease_until), (OperationState::Stale, None));
    let next = runtime.begin("other").await;
    runtime.until(next, |row| row.state == OperationState::Succeeded).await;
    let settled = runtime.until(id, |row| row.unwind == UndoState::Done).await;
    assert_eq!((settled.cleanup, tries.load(Ordering::SeqCst)), (Cleanup::Done, 2));
    worker.stop().await;
    assert_eq!(runtime.counted("zpack_job_panics_total{queue=\"host\",purpose=\"unwind\"}"), 1.0);
}
