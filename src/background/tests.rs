//! Tasks that succeed, fail, hang, panic and end, under a runner.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::anyhow;
use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::kernel::{Clock, Timestamp};
use crate::telemetry::Metrics;

/// Longer than any test runs.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// How a pass ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Do(u64),
    Fail,
    Hang,
    Panic,
    /// Ends when the role stops, and reports that.
    EndOnStop,
}

/// A task whose passes act by a script; the last act repeats. Each pass is reported when it begins.
struct Scripted {
    name: TaskName,
    schedule: Schedule,
    acts: Vec<Act>,
    began: mpsc::UnboundedSender<Act>,
}

#[async_trait]
impl Task for Scripted {
    fn name(&self) -> TaskName {
        self.name
    }

    fn schedule(&self) -> Schedule {
        self.schedule
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        let act = if self.acts.len() > 1 { self.acts.remove(0) } else { self.acts[0] };
        self.began.send(act).unwrap();
        match act {
            Act::Do(done) => Ok(Report { done }),
            Act::Fail => Err(PassError::of("the peer is offline")),
            Act::Hang => std::future::pending().await,
            Act::Panic => panic!("the pass reached an impossible state"),
            Act::EndOnStop => {
                stop.cancelled().await;
                self.began.send(Act::EndOnStop).unwrap();
                Ok(Report::default())
            }
        }
    }
}

/// A runner under test.
struct Scene {
    stop: CancellationToken,
    metrics: Metrics,
    clock: Clock,
    runner: Runner,
}

impl Scene {
    fn new() -> Self {
        let (stop, metrics) = (CancellationToken::new(), Metrics::default());
        let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
        let runner = Runner::new(stop.clone(), &metrics, clock.clone());
        Self { stop, metrics, clock, runner }
    }

    /// Adds a task that performs `acts`. Returns the reports of its passes and its nudge.
    fn add(&mut self, schedule: Schedule, acts: &[Act]) -> (mpsc::UnboundedReceiver<Act>, Nudge) {
        let (began, passes) = mpsc::unbounded_channel();
        let task = Scripted { name: TaskName::of("scripted"), schedule, acts: acts.to_vec(), began };
        (passes, self.runner.add(task))
    }

    /// The value of the only series whose name and labels begin with `series`.
    fn value(metrics: &Metrics, series: &str) -> f64 {
        let text = metrics.render().unwrap();
        let line = text.lines().find(|line| line.starts_with(series)).unwrap_or_else(|| panic!("{series}: {text}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }
}

const LAST_SUCCESS: &str = r#"zpack_task_last_success_timestamp_seconds{task="scripted",subject=""}"#;
const FAILED: &str = r#"zpack_task_pass_seconds_count{task="scripted",subject="",outcome="failed"}"#;
const DONE: &str = r#"zpack_task_items_done_total{task="scripted",subject=""}"#;

#[tokio::test]
async fn passes_repeat_until_the_role_stops() {
    let mut scene = Scene::new();
    let (mut passes, _) = scene.add(Schedule::every(Duration::from_millis(1)), &[Act::Do(2)]);
    let running = tokio::spawn(scene.runner.run());
    for _ in 0..3 {
        passes.recv().await.unwrap();
    }
    scene.stop.cancel();
    running.await.unwrap().unwrap();
    assert!(Scene::value(&scene.metrics, DONE) >= 4.0);
}

#[tokio::test]
async fn a_nudge_ends_the_wait_and_several_nudges_cause_one_pass() {
    let mut scene = Scene::new();
    let (mut passes, nudge) = scene.add(Schedule::every(NEVER).first(First::AfterPeriod), &[Act::Do(1)]);
    let running = tokio::spawn(scene.runner.run());
    tokio::task::yield_now().await;
    assert!(passes.try_recv().is_err(), "the pass is not due");
    nudge.nudge();
    passes.recv().await.unwrap();
    // All of these arrive before the task runs.
    (0..5).for_each(|_| nudge.clone().nudge());
    assert_eq!(passes.recv().await, Some(Act::Do(1)));
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    assert!(passes.try_recv().is_err(), "five nudges caused more than one pass");
    scene.stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn failed_passes_keep_the_time_of_the_last_success_and_the_start_counts_as_one() {
    let mut scene = Scene::new();
    let (mut passes, nudge) = scene.add(Schedule::every(NEVER), &[Act::Fail, Act::Do(7), Act::Fail, Act::EndOnStop]);
    let (metrics, clock) = (scene.metrics.clone(), scene.clock.clone());
    let running = tokio::spawn(scene.runner.run());
    let started = 1_800_000_000.0;
    for (act, last, done, failed) in
        [(Act::Fail, started, 0.0, 1.0), (Act::Do(7), started + 60.0, 7.0, 1.0), (Act::Fail, started + 60.0, 7.0, 2.0)]
    {
        assert_eq!(passes.recv().await, Some(act));
        while Scene::value(&metrics, FAILED) < failed || Scene::value(&metrics, DONE) < done {
            tokio::task::yield_now().await;
        }
        assert_eq!(Scene::value(&metrics, LAST_SUCCESS), last, "{act:?}");
        clock.advance(Duration::from_secs(60));
        nudge.nudge();
    }
    scene.stop.cancel();
    running.await.unwrap().unwrap();
}

/// What was logged in this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn an_outage_logs_one_line_at_its_beginning_and_one_at_its_end() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).with_ansi(false).finish();
    // Without a second dispatcher, tracing caches "not enabled" for an event that a thread without a subscriber, of
    // another test, reaches first.
    let _other = tracing::Dispatch::new(tracing::subscriber::NoSubscriber::default());
    let _logging = tracing::subscriber::set_default(subscriber);
    let mut scene = Scene::new();
    let acts = [Act::Fail, Act::Fail, Act::Fail, Act::Do(1), Act::Do(1), Act::EndOnStop];
    let (mut passes, _) = scene.add(Schedule::every(Duration::ZERO), &acts);
    let running = tokio::spawn(scene.runner.run());
    for act in acts {
        assert_eq!(passes.recv().await, Some(act));
    }
    scene.stop.cancel();
    running.await.unwrap().unwrap();
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| line.contains("scripted")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(lines[0].contains("scripted: failing: the peer is offline"), "{text}");
    assert!(lines[1].contains("scripted: works again"), "{text}");
}

#[tokio::test]
async fn a_pass_that_hangs_is_dropped_and_the_next_one_runs() {
    let mut scene = Scene::new();
    let schedule = Schedule::every(Duration::ZERO).timeout(Duration::from_millis(5));
    let (mut passes, _) = scene.add(schedule, &[Act::Hang, Act::EndOnStop]);
    let running = tokio::spawn(scene.runner.run());
    assert_eq!(passes.recv().await, Some(Act::Hang));
    // The second pass ends only because the role stops.
    assert_eq!(passes.recv().await, Some(Act::EndOnStop));
    assert_eq!(Scene::value(&scene.metrics, FAILED), 1.0);
    scene.stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_role_that_stops_waits_for_the_running_pass() {
    let mut scene = Scene::new();
    let (mut passes, _) = scene.add(Schedule::every(NEVER), &[Act::EndOnStop]);
    let running = tokio::spawn(scene.runner.run());
    passes.recv().await.unwrap();
    scene.stop.cancel();
    running.await.unwrap().unwrap();
    assert_eq!(passes.recv().await, Some(Act::EndOnStop), "the pass completed");
    assert_eq!(passes.recv().await, None, "no further pass ran");
}

#[tokio::test]
async fn a_pass_that_ignores_the_stop_is_dropped_after_the_drain() {
    let mut scene = Scene::new();
    scene.runner = scene.runner.with_drain(Duration::from_millis(5));
    let (mut passes, _) = scene.add(Schedule::every(NEVER), &[Act::Hang]);
    let running = tokio::spawn(scene.runner.run());
    passes.recv().await.unwrap();
    scene.stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_panic_ends_the_role_with_the_name_of_the_task() {
    let mut scene = Scene::new();
    let (mut passes, _) = scene.add(Schedule::every(NEVER), &[Act::Panic]);
    let (stop, drained) = (scene.stop.clone(), mpsc::unbounded_channel());
    let (sender, mut drained) = drained;
    scene.runner.supervise(TaskName::of("server"), async move {
        stop.cancelled().await;
        sender.send(()).unwrap();
        Ok(())
    });
    let ended = scene.runner.run().await.unwrap_err();
    assert!(ended.is_defect());
    assert_eq!(ended.to_string(), "scripted panicked: the pass reached an impossible state");
    assert_eq!(passes.recv().await, Some(Act::Panic));
    assert!(scene.stop.is_cancelled(), "the role is stopping");
    assert_eq!(drained.recv().await, Some(()), "the other work was stopped and drained");
}

#[tokio::test]
async fn supervised_work_that_returns_ends_the_role_unless_it_was_stopped() {
    let mut scene = Scene::new();
    scene.add(Schedule::every(NEVER), &[Act::EndOnStop]);
    scene.runner.supervise(TaskName::of("worker").about("host"), async { Ok(()) });
    let ended = scene.runner.run().await.unwrap_err();
    assert!(matches!(ended, TaskEnded::Returned { .. }) && ended.is_defect(), "{ended:?}");
    assert_eq!(ended.to_string(), "worker of host ended although nothing asked it to stop");

    let mut scene = Scene::new();
    scene.runner.supervise(TaskName::of("server"), scene.stop.clone().cancelled_owned().map(Ok));
    scene.stop.cancel();
    scene.runner.run().await.unwrap();
}

#[tokio::test]
async fn an_error_ends_the_role_and_keeps_its_causes() {
    let mut scene = Scene::new();
    let cause = std::io::Error::from(std::io::ErrorKind::AddrInUse);
    scene.runner.supervise(TaskName::of("server"), async { Err(anyhow!(cause).context("cannot listen")) });
    let ended = scene.runner.run().await.unwrap_err();
    assert!(!ended.is_defect());
    let ended = anyhow!(ended);
    assert_eq!(format!("{ended:#}").split(": ").take(2).collect::<Vec<_>>(), ["server failed", "cannot listen"]);
    assert!(ended.chain().any(|cause| cause.is::<std::io::Error>()), "the exit status depends on it");
}

#[tokio::test]
async fn an_error_after_the_stop_is_returned() {
    let mut scene = Scene::new();
    let stop = scene.stop.clone();
    scene.runner.supervise(TaskName::of("server"), async move {
        stop.cancelled().await;
        Err(anyhow!("the drain failed"))
    });
    scene.stop.cancel();
    assert!(matches!(scene.runner.run().await, Err(TaskEnded::Failed { .. })));
}

#[tokio::test]
async fn names_are_unique_and_the_number_of_tasks_is_bounded() {
    let mut scene = Scene::new();
    scene.add(Schedule::every(NEVER), &[Act::EndOnStop]);
    scene.add(Schedule::every(NEVER), &[Act::EndOnStop]);
    let refused = scene.runner.run().await;
    assert!(matches!(refused, Err(TaskEnded::DuplicateName { .. })), "{refused:?}");
    assert!(scene.stop.is_cancelled());

    const SUBJECTS: [&str; MOST_TASKS + 1] = {
        const LETTERS: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        let mut subjects = [""; MOST_TASKS + 1];
        let mut at = 0;
        while at < subjects.len() {
            subjects[at] = LETTERS.split_at(at).0;
            at += 1;
        }
        subjects
    };
    let mut scene = Scene::new();
    for subject in SUBJECTS {
        scene.runner.supervise(TaskName::of("one of many").about(subject), std::future::pending());
    }
    let refused = scene.runner.run().await;
    assert!(matches!(refused, Err(TaskEnded::TooMany { task }) if task.subject == SUBJECTS[MOST_TASKS]), "{refused:?}");
}

#[tokio::test]
async fn a_runner_without_tasks_waits_for_the_stop() {
    let scene = Scene::new();
    let mut running = tokio::spawn(scene.runner.run());
    tokio::task::yield_now().await;
    assert!((&mut running).now_or_never().is_none());
    scene.stop.cancel();
    running.await.unwrap().unwrap();
}

#[test]
fn a_pass_error_names_each_cause_once() {
    #[derive(Debug, thiserror::Error)]
    #[error("reading failed: {0}")]
    struct Quotes(#[source] std::fmt::Error);
    #[derive(Debug, thiserror::Error)]
    #[error("the pass stopped")]
    struct Silent(#[source] Quotes);

    let cause = std::fmt::Error.to_string();
    let trouble = PassError::from(Silent(Quotes(std::fmt::Error)));
    assert_eq!(trouble.to_string(), format!("the pass stopped: reading failed: {cause}"));
}
