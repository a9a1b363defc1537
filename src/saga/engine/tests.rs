//! The engine with a journal and effects in memory.

use std::sync::Mutex;

use async_trait::async_trait;
use serde_json::Value;

use super::*;

#[derive(Default)]
struct Memory {
    records: Mutex<Vec<Record>>,
    /// The number of writes before the right to write is lost.
    writes: Mutex<Option<u32>>,
    /// Whether it is the store that refuses writes then.
    refuses: Mutex<bool>,
}

impl Memory {
    fn put(&self, seq: usize, status: RecordStatus) -> Result<(), JournalError> {
        if let Some(left) = self.writes.lock().unwrap().as_mut() {
            let refused = || match *self.refuses.lock().unwrap() {
                true => JournalError::Refused("invalid text".to_owned()),
                false => JournalError::OwnershipLost,
            };
            *left = left.checked_sub(1).ok_or_else(refused)?;
        }
        let mut records = self.records.lock().unwrap();
        records.retain(|record| record.seq != seq);
        records.push(Record { seq, status });
        Ok(())
    }
}

#[async_trait]
impl Journal for Memory {
    async fn history(&self) -> Result<Vec<Record>, JournalError> {
        Ok(self.records.lock().unwrap().clone())
    }
    async fn start(&self, step: StepRef, _: &Value) -> Result<(), JournalError> {
        self.put(step.seq, RecordStatus::Open)
    }
    async fn checkpoint(&self, _: &Value) -> Result<(), JournalError> {
        Ok(())
    }
    async fn done(&self, step: StepRef, _: &Value, _: Option<&str>) -> Result<(), JournalError> {
        self.put(step.seq, RecordStatus::Done)
    }
    async fn fail(&self, step: StepRef, _: &Value, _: &str) -> Result<(), JournalError> {
        self.put(step.seq, RecordStatus::Open)
    }
    async fn undone(&self, step: StepRef, _: &Value) -> Result<(), JournalError> {
        self.put(step.seq, RecordStatus::Undone)
    }
    async fn undo_failed(&self, step: StepRef, _: &str) -> Result<(), JournalError> {
        self.put(step.seq, RecordStatus::Open)
    }
}

/// The effects that exist, by step.
#[derive(Default)]
struct World {
    things: Mutex<Vec<&'static str>>,
    made: Mutex<Vec<&'static str>>,
    stuck: Mutex<Option<&'static str>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Fault {
    None,
    Before,
    After,
}

struct Make(&'static str, Fault);

#[async_trait]
impl Step<World, ()> for Make {
    fn name(&self) -> &'static str {
        self.0
    }
    fn effect(&self) -> Effect {
        Effect::External
    }
    async fn run(&self, world: &World, _: &StepContext<'_>, (): &mut ()) -> Result<Option<String>, StepError> {
        if self.1 == Fault::Before {
            return Err(StepError::failed("refused", "refused"));
        }
        world.things.lock().unwrap().push(self.0);
        world.made.lock().unwrap().push(self.0);
        if self.1 == Fault::After { Err(StepError::failed("lied", "reported as failed")) } else { Ok(None) }
    }
    async fn undo(&self, world: &World, _: &StepContext<'_>, (): &mut ()) -> Result<(), UndoError> {
        if *world.stuck.lock().unwrap() == Some(self.0) {
            return Err(UndoError::Remains("stuck".to_owned()));
        }
        world.things.lock().unwrap().retain(|thing| *thing != self.0);
        Ok(())
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];

fn steps(fault_at: usize, fault: Fault) -> Vec<Box<dyn Step<World, ()>>> {
    let step = |(seq, name): (usize, &&'static str)| -> Box<dyn Step<World, ()>> {
        Box::new(Make(name, if seq == fault_at { fault } else { Fault::None }))
    };
    NAMES.iter().enumerate().map(step).collect()
}

#[tokio::test]
async fn a_failure_before_or_after_any_effect_leaves_no_effects() {
    for (seq, name) in NAMES.into_iter().enumerate() {
        for fault in [Fault::Before, Fault::After] {
            let (world, journal) = (World::default(), Memory::default());
            let end = run(&steps(seq, fault), &world, &journal, &Stop::default(), &mut ()).await;
            assert!(matches!(end, SagaEnd::Failed { step, undo: UndoResult::Complete, .. } if step == name));
            assert!(world.things.lock().unwrap().is_empty(), "step {seq}");
        }
    }
}

#[tokio::test]
async fn after_a_loss_of_ownership_at_any_write_an_undo_from_the_journal_removes_all_effects() {
    for writes in 0..8 {
        let (world, journal) = (World::default(), Memory::default());
        *journal.writes.lock().unwrap() = Some(writes);
        let end = run(&steps(0, Fault::None), &world, &journal, &Stop::default(), &mut ()).await;
        assert_eq!(end, SagaEnd::OwnershipLost);
        *journal.writes.lock().unwrap() = None;
        undo(&steps(0, Fault::None), &world, &journal, &Stop::default(), &mut ()).await;
        assert!(world.things.lock().unwrap().is_empty(), "after {writes} writes");
    }
}

#[tokio::test]
async fn a_run_that_was_handed_back_repeats_no_finished_step() {
    let (world, journal, stop) = (World::default(), Memory::default(), Stop::default());
    journal.put(0, RecordStatus::Done).unwrap();
    journal.put(1, RecordStatus::Done).unwrap();
    stop.draining.cancel();
    let handed_back = run(&steps(9, Fault::None), &world, &journal, &stop, &mut ()).await;
    assert_eq!(handed_back, SagaEnd::HandedBack);
    let end = run(&steps(9, Fault::None), &world, &journal, &Stop::default(), &mut ()).await;
    assert_eq!(end, SagaEnd::Completed);
    assert_eq!(*world.made.lock().unwrap(), ["c", "d"]);
}

#[tokio::test]
async fn an_effect_that_remains_keeps_earlier_ones_until_the_next_undo() {
    let (world, journal) = (World::default(), Memory::default());
    *world.stuck.lock().unwrap() = Some("b");
    let end = run(&steps(3, Fault::After), &world, &journal, &Stop::default(), &mut ()).await;
    assert!(matches!(end, SagaEnd::Failed { undo: UndoResult::Incomplete { step: "b", .. }, .. }));
    assert_eq!(*world.things.lock().unwrap(), ["a", "b"]);
    *world.stuck.lock().unwrap() = None;
    assert_eq!(undo(&steps(3, Fault::After), &world, &journal, &Stop::default(), &mut ()).await, UndoResult::Complete);
    assert!(world.things.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_cancellation_stops_the_run_between_two_steps() {
    let (world, journal, stop) = (World::default(), Memory::default(), Stop::default());
    stop.cancelled.cancel();
    let end = run(&steps(9, Fault::None), &world, &journal, &stop, &mut ()).await;
    assert_eq!(end, SagaEnd::Cancelled { undo: UndoResult::Nothing });
}

/// Waits until it has to stop, in its run and in its undo.
struct Wait;

#[async_trait]
impl Step<World, ()> for Wait {
    fn name(&self) -> &'static str {
        "wait"
    }
    fn effect(&self) -> Effect {
        Effect::External
    }
    async fn run(&self, _: &World, cx: &StepContext<'_>, (): &mut ()) -> Result<Option<String>, StepError> {
        cx.wait(std::time::Duration::MAX).await?;
        Ok(None)
    }
    async fn undo(&self, _: &World, cx: &StepContext<'_>, (): &mut ()) -> Result<(), UndoError> {
        Ok(cx.wait(std::time::Duration::MAX).await?)
    }
}

/// Waits in its run, and is undone immediately.
struct Slow;

#[async_trait]
impl Step<World, ()> for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }
    fn effect(&self) -> Effect {
        Effect::External
    }
    async fn run(&self, _: &World, cx: &StepContext<'_>, (): &mut ()) -> Result<Option<String>, StepError> {
        cx.wait(std::time::Duration::MAX).await?;
        Ok(None)
    }
    async fn undo(&self, _: &World, _: &StepContext<'_>, (): &mut ()) -> Result<(), UndoError> {
        Ok(())
    }
}

fn waiting() -> Vec<Box<dyn Step<World, ()>>> {
    vec![Box::new(Make("a", Fault::None)), Box::new(Wait)]
}

#[tokio::test]
async fn a_run_whose_deadline_passed_fails_between_two_steps() {
    let (world, journal, stop) = (World::default(), Memory::default(), Stop::default());
    stop.overdue.cancel();
    let end = run(&steps(9, Fault::None), &world, &journal, &stop, &mut ()).await;
    let SagaEnd::Failed { step: "a", code: "deadline_exceeded", undo: UndoResult::Nothing, .. } = end else {
        panic!("{end:?}")
    };
    assert!(world.made.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_deadline_interrupts_a_step_that_waits_and_everything_is_undone() {
    let (world, journal, stop) = (World::default(), Memory::default(), Stop::default());
    let steps: Vec<Box<dyn Step<World, ()>>> = vec![Box::new(Make("a", Fault::None)), Box::new(Slow)];
    let mut state = ();
    let (end, ()) = tokio::join!(run(&steps, &world, &journal, &stop, &mut state), async {
        tokio::task::yield_now().await;
        stop.overdue.cancel();
    });
    let SagaEnd::Failed { step: "slow", code: "deadline_exceeded", undo: UndoResult::Complete, .. } = end else {
        panic!("{end:?}")
    };
    assert_eq!(*world.made.lock().unwrap(), ["a"]);
    assert!(world.things.lock().unwrap().is_empty(), "the deadline of the run does not stop its undo");
}

#[tokio::test]
async fn an_undo_whose_deadline_passed_is_incomplete() {
    let (world, journal, stop) = (World::default(), Memory::default(), Stop::default());
    journal.put(0, RecordStatus::Done).unwrap();
    journal.put(1, RecordStatus::Open).unwrap();
    let (steps, mut state) = (waiting(), ());
    let (end, ()) = tokio::join!(undo(&steps, &world, &journal, &stop, &mut state), async {
        tokio::task::yield_now().await;
        stop.overdue.cancel();
    });
    assert!(matches!(end, UndoResult::Incomplete { step: "wait", .. }), "{end:?}");
    let again = undo(&waiting(), &world, &journal, &stop, &mut ()).await;
    assert!(matches!(again, UndoResult::Incomplete { step: "wait", .. }), "the undo is not retried: {again:?}");
}

/// A step that commits the saga.
struct Commit;

#[async_trait]
impl Step<World, ()> for Commit {
    fn name(&self) -> &'static str {
        "commit"
    }
    fn effect(&self) -> Effect {
        Effect::None
    }
    async fn run(&self, _: &World, cx: &StepContext<'_>, (): &mut ()) -> Result<Option<String>, StepError> {
        cx.stop.committed.cancel();
        Ok(None)
    }
}

#[tokio::test]
async fn nothing_undoes_a_saga_that_has_committed() {
    let steps = |last: Fault| -> Vec<Box<dyn Step<World, ()>>> {
        vec![Box::new(Make("a", Fault::None)), Box::new(Commit), Box::new(Make("b", last))]
    };
    let fresh = || (World::default(), Memory::default(), Stop::default());

    let (world, journal, stop) = fresh();
    let end = run(&steps(Fault::Before), &world, &journal, &stop, &mut ()).await;
    assert!(matches!(end, SagaEnd::Failed { step: "b", undo: UndoResult::Nothing, .. }), "{end:?}");
    assert_eq!(*world.things.lock().unwrap(), ["a"]);

    // The deadline passes and the customer cancels after the commitment.
    let (world, journal, stop) = fresh();
    for (seq, status) in [(0, RecordStatus::Done), (1, RecordStatus::Done)] {
        journal.put(seq, status).unwrap();
    }
    stop.committed.cancel();
    stop.overdue.cancel();
    stop.cancelled.cancel();
    let end = run(&steps(Fault::None), &world, &journal, &stop, &mut ()).await;
    assert_eq!(end, SagaEnd::Completed);
}

#[tokio::test]
async fn a_drain_hands_back_in_the_middle_of_a_step_that_waits() {
    let (world, journal, stop) = (World::default(), Memory::default(), Stop::default());
    let (steps, mut state) = (waiting(), ());
    let (end, ()) = tokio::join!(run(&steps, &world, &journal, &stop, &mut state), async {
        tokio::task::yield_now().await;
        stop.draining.cancel();
    });
    assert_eq!(end, SagaEnd::HandedBack);
    assert_eq!(*world.things.lock().unwrap(), ["a"], "nothing is undone");
}

#[tokio::test]
async fn a_journal_that_the_store_refuses_fails_the_run_and_is_no_lost_right() {
    for writes in 0..8 {
        let (world, journal) = (World::default(), Memory::default());
        *journal.writes.lock().unwrap() = Some(writes);
        *journal.refuses.lock().unwrap() = true;
        let end = run(&steps(0, Fault::None), &world, &journal, &Stop::default(), &mut ()).await;
        let SagaEnd::Failed { code: "internal_error", .. } = end else { panic!("after {writes} writes: {end:?}") };
    }
}
