use std::time::Instant;

use stateright::{Checker, Model};

use crate::jobs::job::CrashPolicy::{self, Resume, UnwindOutsideEffects};

use super::properties::{I2, I3, I4, I5, I6, I8, I12};
use super::{Scope, Weakness, fairness};

/// With `faults`, no one pauses or cancels and no job ends as "again"; without, all of it happens. `make model` crosses the two, which takes minutes.
fn scope(policies: [CrashPolicy; 2], slots: usize, faults: u8) -> Scope {
    let full = std::env::var_os("ZPACK_MODEL_FULL").is_some();
    let decisions = full || faults == 0;
    let (faults, pauses) = (if full { faults.max(1) } else { faults }, u8::from(decisions));
    Scope { policies, slots, faults, agains: pauses, pauses, cancels: [decisions, false], weakness: None }
}

fn holds(scope: Scope) {
    let begun = Instant::now();
    let checker = scope.checker().threads(2).spawn_bfs().join();
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!("{scope:?}: {states} states, depth {depth}, {:.1?}", begun.elapsed());
    assert!(states > 1000, "hardly anything happens");
    checker.assert_properties();
}

fn finds(weakness: Weakness, policies: [CrashPolicy; 2], faults: u8, broken: &'static str) {
    let scope = Scope { weakness: Some(weakness), faults, ..scope(policies, 1, faults) };
    let finish = stateright::HasDiscoveries::AnyOf([broken].into_iter().collect());
    let checker = scope.checker().threads(2).finish_when(finish).spawn_bfs().join();
    let path = checker.discovery(broken).unwrap_or_else(|| panic!("{weakness:?} does not break \"{broken}\""));
    println!("{weakness:?} breaks {broken}: {:?}", path.into_actions());
}

#[test]
fn invariants_hold_for_a_provision_and_a_repair() {
    holds(scope([UnwindOutsideEffects, Resume], 1, 1));
}

#[test]
fn invariants_hold_for_two_provisions_at_a_time() {
    holds(scope([UnwindOutsideEffects, UnwindOutsideEffects], 2, 0));
}

#[test]
fn every_operation_ends_whatever_went_wrong() {
    let search = fairness::durability(&scope([UnwindOutsideEffects, Resume], 1, 1));
    println!("I1: {} states", search.states);
    assert!(search.stuck.is_empty(), "no way on from {:#?}", search.stuck);
}

#[test]
fn the_sweeper_alone_brings_back_what_redis_forgot() {
    let search = fairness::derivability(&scope([UnwindOutsideEffects, Resume], 1, 0));
    println!("I10: {} states", search.states);
    assert!(search.stuck.is_empty(), "no way on from {:#?}", search.stuck);
}

#[test]
fn without_a_sweeper_or_recovery_work_is_lost() {
    for (weakness, faults) in [(Weakness::NoSweeper, 0), (Weakness::NoRecovery, 1)] {
        let quiet = Scope { pauses: 0, cancels: [false; 2], ..scope([Resume, Resume], 2, faults) };
        let weak = Scope { weakness: Some(weakness), faults, ..quiet };
        assert!(!fairness::durability(&weak).stuck.is_empty(), "{weakness:?} loses nothing");
    }
}

#[test]
fn an_again_that_counts_as_a_start_leaves_work_undone() {
    let quiet = Scope { pauses: 0, cancels: [false; 2], ..scope([UnwindOutsideEffects, Resume], 2, 0) };
    let weak = Scope { weakness: Some(Weakness::CountAgain), ..quiet };
    assert!(!fairness::durability(&weak).stuck.is_empty(), "no start is ever missing");
}

#[test]
fn an_id_worked_on_without_a_claim_is_found() {
    finds(Weakness::RunUnclaimed, [Resume, Resume], 0, I2);
}

#[test]
fn a_fence_that_stays_is_found() {
    finds(Weakness::KeepFence, [Resume, Resume], 1, I3);
    finds(Weakness::KeepFence, [Resume, Resume], 0, I4);
}

#[test]
fn steps_written_without_the_fence_are_found() {
    finds(Weakness::UnguardedSteps, [UnwindOutsideEffects, Resume], 1, I3);
}

#[test]
fn a_claim_of_what_has_ended_is_found() {
    finds(Weakness::ClaimEnded, [Resume, Resume], 0, I4);
}

#[test]
fn an_id_forgotten_before_the_commit_is_found() {
    finds(Weakness::ForgetFirst, [Resume, Resume], 0, I5);
}

#[test]
fn a_blind_retry_is_found() {
    finds(Weakness::RequeueAfterOutside, [UnwindOutsideEffects, Resume], 1, I6);
    finds(Weakness::RequeuePanicked, [UnwindOutsideEffects, Resume], 1, I6);
}

#[test]
fn a_recovery_that_judges_before_it_has_the_row_is_found() {
    finds(Weakness::JudgeBeforeLock, [UnwindOutsideEffects, Resume], 1, I6);
}

#[test]
fn a_slot_that_outlives_its_operation_is_found() {
    finds(Weakness::KeepSlot, [Resume, Resume], 0, I8);
}

#[test]
fn a_claim_on_a_paused_queue_is_found() {
    finds(Weakness::ClaimPaused, [Resume, Resume], 0, I12);
}
