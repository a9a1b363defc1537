use std::time::Instant;

use stateright::{Checker, Model};

use crate::jobs::job::CrashPolicy::{self, Resume, UndoExternalEffects};

use super::properties::{I2, I3, I4, I5, I6, I8, I12, I16};
use super::{ModelSize, Weakness, fairness};

/// With `faults`, there is no pause, no cancellation and no end as "again"; without, there are all of them. `make
/// model` combines the two, which takes minutes.
fn scope(policies: [CrashPolicy; 2], slots: usize, faults: u8) -> ModelSize {
    let full = std::env::var_os("ZPACK_MODEL_FULL").is_some();
    let decisions = full || faults == 0;
    let (faults, pauses) = (if full { faults.max(1) } else { faults }, u8::from(decisions));
    ModelSize { policies, slots, faults, agains: pauses, pauses, cancels: [decisions, false], weakness: None }
}

fn holds(scope: ModelSize) {
    let begun = Instant::now();
    let checker = scope.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{scope:?}: {states} states, depth {depth}, {:.1?}", begun.elapsed());
    assert!(states > 1000, "the model has too few states");
    checker.assert_properties();
}

fn finds(weakness: Weakness, policies: [CrashPolicy; 2], faults: u8, broken: &'static str) {
    let scope = ModelSize { weakness: Some(weakness), faults, ..scope(policies, 1, faults) };
    let finish = stateright::HasDiscoveries::AnyOf([broken].into_iter().collect());
    let checker = scope.checker().threads(2).finish_when(finish).spawn_bfs().join();
    let path = checker.discovery(broken).unwrap_or_else(|| panic!("{weakness:?} does not break \"{broken}\""));
    println!("{weakness:?} breaks {broken}: {:?}", path.into_actions());
}

#[test]
fn invariants_hold_for_a_provision_and_a_repair() {
    holds(scope([UndoExternalEffects, Resume], 1, 1));
}

#[test]
fn invariants_hold_for_two_provisions_at_a_time() {
    holds(scope([UndoExternalEffects, UndoExternalEffects], 2, 0));
}

#[test]
fn every_operation_ends_after_any_faults() {
    let search = fairness::durability(&scope([UndoExternalEffects, Resume], 1, 1));
    println!("I1: {} states", search.states);
    assert!(search.stuck.is_empty(), "no path to the end from {:#?}", search.stuck);
}

#[test]
fn the_sweeper_alone_restores_what_redis_lost() {
    let search = fairness::derivability(&scope([UndoExternalEffects, Resume], 1, 0));
    println!("I10: {} states", search.states);
    assert!(search.stuck.is_empty(), "no path to the end from {:#?}", search.stuck);
}

#[test]
fn without_a_sweeper_or_recovery_work_is_lost() {
    for (weakness, faults) in [(Weakness::NoSweeper, 0), (Weakness::NoRecovery, 1)] {
        let quiet = ModelSize { pauses: 0, cancels: [false; 2], ..scope([Resume, Resume], 2, faults) };
        let weak = ModelSize { weakness: Some(weakness), faults, ..quiet };
        assert!(!fairness::durability(&weak).stuck.is_empty(), "{weakness:?} loses no work");
    }
}

#[test]
fn an_again_that_counts_as_a_start_leaves_work_undone() {
    let quiet = ModelSize { pauses: 0, cancels: [false; 2], ..scope([UndoExternalEffects, Resume], 2, 0) };
    let weak = ModelSize { weakness: Some(Weakness::CountAgain), ..quiet };
    assert!(!fairness::durability(&weak).stuck.is_empty(), "no operation runs out of starts");
}

#[test]
fn a_run_without_a_claim_is_found() {
    finds(Weakness::RunUnclaimed, [Resume, Resume], 0, I2);
}

#[test]
fn a_claim_that_does_not_raise_the_fence_is_found() {
    finds(Weakness::KeepFence, [Resume, Resume], 1, I3);
    finds(Weakness::KeepFence, [Resume, Resume], 0, I4);
}

#[test]
fn steps_written_without_the_fence_are_found() {
    finds(Weakness::UnguardedSteps, [UndoExternalEffects, Resume], 1, I3);
}

#[test]
fn a_claim_of_an_ended_operation_is_found() {
    finds(Weakness::ClaimEnded, [Resume, Resume], 0, I4);
}

#[test]
fn an_acknowledgement_before_the_commit_is_found() {
    finds(Weakness::ForgetFirst, [Resume, Resume], 0, I5);
}

#[test]
fn a_blind_retry_is_found() {
    finds(Weakness::RequeueAfterOutside, [UndoExternalEffects, Resume], 1, I6);
    finds(Weakness::RequeuePanicked, [UndoExternalEffects, Resume], 1, I6);
}

#[test]
fn a_recovery_that_decides_before_it_locks_the_row_is_found() {
    finds(Weakness::JudgeBeforeLock, [UndoExternalEffects, Resume], 1, I6);
}

#[test]
fn a_slot_that_outlives_its_operation_is_found() {
    finds(Weakness::KeepSlot, [Resume, Resume], 0, I8);
}

#[test]
fn an_undo_of_what_has_committed_is_found() {
    finds(Weakness::UndoCommitted, [UndoExternalEffects, Resume], 1, I16);
}

#[test]
fn a_claim_on_a_paused_queue_is_found() {
    finds(Weakness::ClaimPaused, [Resume, Resume], 0, I12);
}
