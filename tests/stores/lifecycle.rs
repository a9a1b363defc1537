//! The statements that claim, write, end, recover, offer and cancel do what `jobs::lifecycle` says, for every
//! combination of the columns they read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::{ActiveValue::Set, ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter};
use zpack::db;
use zpack::db::entities::operation::{self, Actor, CancelRule, OperationState, UndoState};
use zpack::db::entities::{operation_step, queue_slot};
use zpack::jobs::lifecycle::{Footprint, OperationFacts, decide, decide_panic};
use zpack::jobs::{
    ClaimOutcome, ClaimPurpose, Claimed, CrashPolicy, Deadlines, End, Failpoints, Job, JobContext, JobEnd, JobSettings,
    NewDebt, OwnedTransaction, OwnerError, Queue, Registry, SweepScope, UndoEnd, WorkSpec, claim, end_panicked,
    ensure_slots, finish, recover_expired, renew, set_paused, sweep,
};
use zpack::kernel::{OperationId, Timestamp, WorkerId};
use zpack::operations::{CancelFacts, CancelOutcome, cancel, may_cancel};

use crate::support::{PrivateRedis, TestDb, lists_at, on_every_database, rows};

on_every_database!(
    a_claim_is_won_exactly_when_the_rule_allows_it,
    an_owner_writes_exactly_what_the_rule_allows,
    a_vanished_owner_is_recovered_from_by_the_rule,
    a_panic_ends_an_operation_by_the_rule,
    a_sweep_offers_exactly_what_may_start,
    a_request_to_cancel_does_what_the_rule_says,
    a_request_to_cancel_is_refused_by_the_rule,
    a_slot_goes_with_its_operation,
    a_step_whose_write_is_under_way_is_seen_by_the_recovery,
);

const QUEUE: Queue = Queue::Provision;
const FENCE: i64 = 7;
/// An undo may take ten minutes, a run an hour.
const DEADLINES: Deadlines = Deadlines { run: Duration::from_secs(3600), undo: Duration::from_secs(600) };
const HOUR: i64 = 3_600_000;
const LEASES: [Option<i64>; 3] = [None, Some(HOUR), Some(-HOUR)];
/// LeaseState and claim of an owner, in time or expired.
const OWNERS: [(Option<i64>, Option<i64>); 6] = [
    (None, None),
    (Some(HOUR), None),
    (Some(-HOUR), None),
    (Some(HOUR), Some(-HOUR / 2)),
    (Some(HOUR), Some(-2 * HOUR)),
    (Some(-HOUR), Some(-2 * HOUR)),
];
const FOOTPRINTS: [Footprint; 3] = [Footprint::None, Footprint::Internal, Footprint::External];

/// A job that is never run: only its kind and policy matter.
pub struct Idle(pub &'static str, pub CrashPolicy);

#[async_trait]
impl Job for Idle {
    fn spec(&self) -> WorkSpec {
        WorkSpec { kind: self.0, queue: QUEUE, version: 1 }
    }

    fn deadlines(&self) -> Deadlines {
        DEADLINES
    }

    fn crash_policy(&self) -> CrashPolicy {
        self.1
    }

    fn possible_debts(&self, _: &operation::Model) -> Vec<NewDebt> {
        Vec::new()
    }

    async fn run(&self, _: &JobContext) -> JobEnd {
        JobEnd::LeaseLost
    }

    async fn undo(&self, _: &JobContext) -> UndoEnd {
        UndoEnd::Interrupted
    }
}

fn registry() -> Registry {
    Registry::for_queue(QUEUE)
        .with(Arc::new(Idle("provision", CrashPolicy::UndoExternalEffects)))
        .and_then(|registry| registry.with(Arc::new(Idle("repair", CrashPolicy::Resume))))
        .unwrap()
}

fn settings() -> JobSettings {
    JobSettings { slots: None, ..JobSettings::default() }
}

fn row(now: Timestamp) -> operation::Model {
    operation::Model { fence: FENCE, ..rows::queued(QUEUE, "provision", at(now, -HOUR)) }
}

fn at(now: Timestamp, offset: i64) -> Timestamp {
    Timestamp::from_millis(now.millis() + offset)
}

/// Every state with every state of the undo, possible or not: the statements must not rely on what never occurs.
fn standings(now: Timestamp) -> Vec<operation::Model> {
    let pairs = OperationState::ALL.iter().flat_map(|state| UndoState::ALL.iter().map(move |unwind| (*state, *unwind)));
    pairs.map(|(state, unwind)| operation::Model { state, unwind, ..row(now) }).collect()
}

/// Each row once for each of `variants`, with a new id.
fn vary<V: Copy>(
    rows: Vec<operation::Model>,
    variants: &[V],
    set: impl Fn(&mut operation::Model, V),
) -> Vec<operation::Model> {
    let mut varied = Vec::new();
    for row in rows {
        for variant in variants {
            let mut copy = operation::Model { id: OperationId::generate(), ..row.clone() };
            set(&mut copy, *variant);
            varied.push(copy);
        }
    }
    varied
}

fn with_leases(rows: Vec<operation::Model>, now: Timestamp) -> Vec<operation::Model> {
    vary(rows, &LEASES, |row, lease| row.lease_until = lease.map(|offset| at(now, offset)))
}

fn facts(row: &operation::Model, now: Timestamp) -> OperationFacts {
    OperationFacts::of(row, &DEADLINES, settings().grace, now)
}

async fn begin_steps(db: &DatabaseConnection, id: OperationId, footprint: Footprint, now: Timestamp) {
    let steps: &[bool] = match footprint {
        Footprint::None => &[],
        Footprint::Internal => &[false],
        Footprint::External => &[false, true],
    };
    for (seq, outside) in (0..).zip(steps) {
        operation_step::Entity::insert(step(id, seq, *outside, now)).exec_without_returning(db).await.unwrap();
    }
}

fn step(id: OperationId, seq: i32, outside: bool, now: Timestamp) -> operation_step::ActiveModel {
    operation_step::ActiveModel {
        operation_id: Set(id),
        seq: Set(seq),
        name: Set(format!("step_{seq}")),
        status: Set(operation_step::StepStatus::Started),
        outside: Set(outside),
        fence: Set(FENCE),
        detail: Set(None),
        started_at: Set(now),
        finished_at: Set(None),
    }
}

async fn read_all(db: &DatabaseConnection) -> BTreeMap<OperationId, operation::Model> {
    operation::Entity::find().all(db).await.unwrap().into_iter().map(|row| (row.id, row)).collect()
}

async fn a_claim_is_won_exactly_when_the_rule_allows_it(test: TestDb) {
    let db = &test.db;
    let (registry, settings) = (registry(), settings());
    let mut won = 0;
    for paused in [false, true] {
        let now = db::now(db).await.unwrap();
        set_paused(db, QUEUE, paused, now).await.unwrap();
        let rows = vary(standings(now), &[-HOUR, HOUR], |row, offset| row.run_after = at(now, offset));
        let rows = vary(rows, &[0, 1], |row, starts| row.starts = starts);
        let rows = vary(rows, &[false, true], |row, asked| row.cancel_requested = asked);
        let rows = vary(rows, &LEASES[..2], |row, lease| row.lease_until = lease.map(|offset| at(now, offset)));
        rows::store(db, &rows).await;
        for row in &rows {
            let before = facts(row, now);
            let expected = before.claimable(paused);
            let outcome = claim(db, QUEUE, row.id, WorkerId::generate(), &registry, &settings).await.unwrap();
            let purpose = match outcome {
                ClaimOutcome::Claimed(claimed) => Some(claimed.purpose),
                ClaimOutcome::NotDue => None,
                other @ (ClaimOutcome::NoSlot | ClaimOutcome::Unknown) => panic!("{other:?} of {before:?}"),
            };
            assert_eq!(purpose, expected, "paused: {paused}, {before:?}");
            won += usize::from(purpose.is_some());
        }
        let after = read_all(db).await;
        for row in &rows {
            let before = facts(row, now);
            let expected = before.claimable(paused).map_or(before, |purpose| before.claimed(purpose));
            let row_after = &after[&row.id];
            assert_eq!(facts(row_after, now), expected, "after {before:?}");
            assert_eq!(row_after.claimed_at.is_some(), expected.fence > before.fence, "after {before:?}");
        }
    }
    assert!(won > 50, "only {won} claims were won");
}

/// Every way to end a claim.
fn ends() -> Vec<End> {
    let incomplete = || UndoEnd::Incomplete { reason: "it is still there".to_owned(), debts: Vec::new() };
    let ended = |state, undo| End::Ended { state, failure: None, undo };
    vec![
        End::HandedBack,
        End::Again { after: Duration::ZERO },
        End::Again { after: Duration::from_secs(3600) },
        ended(OperationState::Succeeded, UndoEnd::Nothing),
        ended(OperationState::Failed, UndoEnd::Complete),
        ended(OperationState::Failed, incomplete()),
        ended(OperationState::Cancelled, UndoEnd::Interrupted),
        End::Undone(UndoEnd::Nothing),
        End::Undone(UndoEnd::Complete),
        End::Undone(UndoEnd::Interrupted),
        End::Undone(incomplete()),
    ]
}

async fn an_owner_writes_exactly_what_the_rule_allows(test: TestDb) {
    let db = &test.db;
    let now = db::now(db).await.unwrap();
    let rows = with_leases(standings(now), now);
    rows::store(db, &rows).await;
    for row in &rows {
        let before = facts(row, now);
        for fence in [FENCE, FENCE - 1] {
            let begun = match OwnedTransaction::begin(db, row.id, fence).await {
                Ok(_) => true,
                Err(OwnerError::LeaseLost(_)) => false,
                Err(OwnerError::Database(error)) => panic!("{error}"),
            };
            assert_eq!(begun, before.may_write_step(fence), "a step of {fence} on {before:?}");
            if fence != FENCE {
                let renewed =
                    OwnerError::none_if_lost(renew(db, row.id, fence, Duration::from_secs(60)).await).unwrap();
                assert_eq!(renewed.is_some(), before.is_owned_by(fence), "a renewal of {fence} on {before:?}");
            }
        }
        let renewed = OwnerError::none_if_lost(renew(db, row.id, FENCE, Duration::from_secs(60)).await).unwrap();
        assert_eq!(renewed.is_some(), before.is_owned_by(FENCE), "a renewal on {before:?}");
    }
    for end in ends() {
        let rows =
            vary(with_leases(standings(now), now), &[(0, false), (9, false), (0, true)], |row, (crashes, asked)| {
                row.crashes = crashes;
                row.cancel_requested = asked;
                row.claimed_at = Some(at(now, -2 * HOUR));
            });
        rows::store(db, &rows).await;
        for (index, row) in rows.iter().enumerate() {
            let before = facts(row, now);
            let fence = if index % 5 == 4 { FENCE - 1 } else { FENCE };
            let operation = operation::Model { fence, ..row.clone() };
            let claimed = Claimed { operation, purpose: ClaimPurpose::Run };
            let written = OwnerError::none_if_lost(finish(db, &claimed, &end, now).await).unwrap().is_some();
            assert_eq!(written, before.is_owned_by(fence), "{end:?} of {fence} on {before:?}");
            let expected = if written { before.finished(&end) } else { before };
            let later = db::now(db).await.unwrap();
            assert_eq!(facts(&rows::read(db, row.id).await, later), expected, "{end:?} on {before:?}");
        }
    }
}

async fn a_vanished_owner_is_recovered_from_by_the_rule(test: TestDb) {
    let db = &test.db;
    let registry = registry();
    let mut recovered = 0;
    for undoing in [true, false] {
        let now = db::now(db).await.unwrap();
        let kinds = [("provision", CrashPolicy::UndoExternalEffects), ("repair", CrashPolicy::Resume)];
        let rows = vary(standings(now), &kinds, |row, (kind, _)| kind.clone_into(&mut row.kind));
        let histories = [(0, false), (2, false), (9, false), (0, true), (2, true)];
        let rows = vary(rows, &histories, |row, (crashes, committed)| {
            row.crashes = crashes;
            row.committed = committed;
        });
        // The footprint is kept in an unused column until the steps are written.
        let rows = vary(rows, &OWNERS, |row, (lease, claimed)| {
            row.lease_until = lease.map(|offset| at(now, offset));
            row.claimed_at = claimed.map(|offset| at(now, offset));
        });
        let rows = vary(rows, &[0, 1, 2], |row, footprint| row.event_seq = footprint);
        rows::store(db, &rows).await;
        let footprint = |row: &operation::Model| FOOTPRINTS[usize::try_from(row.event_seq).unwrap()];
        for row in rows.iter().filter(|row| facts(row, now).is_abandoned()) {
            begin_steps(db, row.id, footprint(row), now).await;
        }
        let settings = JobSettings { undo_stale: undoing, ..settings() };
        while recover_expired(db, QUEUE, &registry, &settings, now, &Failpoints::default()).await.unwrap() > 0 {}
        let later = db::now(db).await.unwrap();
        let after = read_all(db).await;
        for row in &rows {
            let before = facts(row, now);
            let policy = kinds.iter().find(|(kind, _)| *kind == row.kind).unwrap().1;
            let expected = if before.is_abandoned() {
                recovered += 1;
                before.recovered(decide(&before, policy, footprint(row)), footprint(row), undoing)
            } else {
                before
            };
            let told = format!("after {before:?}, {policy:?}, {:?}", footprint(row));
            assert_settled(&after[&row.id], &expected, (now, later), &told);
        }
    }
    assert!(recovered > 100, "only {recovered} were recovered");
}

/// `row` is as `expected`, and waits at least a second, the shortest wait after a crash, or not at all.
fn assert_settled(row: &operation::Model, expected: &OperationFacts, (now, later): (Timestamp, Timestamp), told: &str) {
    let in_time = if expected.due { row.run_after <= later } else { row.run_after >= at(now, 1000) };
    assert!(in_time, "run_after {told}");
    assert_eq!(OperationFacts { due: expected.due, ..facts(row, now) }, *expected, "{told}");
}

async fn a_panic_ends_an_operation_by_the_rule(test: TestDb) {
    let db = &test.db;
    let mut ended = 0;
    for undoing in [true, false] {
        let settings = JobSettings { undo_stale: undoing, ..settings() };
        for (kind, policy) in [("provision", CrashPolicy::UndoExternalEffects), ("repair", CrashPolicy::Resume)] {
            for footprint in FOOTPRINTS {
                let now = db::now(db).await.unwrap();
                let rows = vary(standings(now), &[(0, false), (9, false), (0, true)], |row, (crashes, committed)| {
                    kind.clone_into(&mut row.kind);
                    row.crashes = crashes;
                    row.committed = committed;
                    row.lease_until = Some(at(now, HOUR));
                });
                rows::store(db, &rows).await;
                for row in &rows {
                    begin_steps(db, row.id, footprint, now).await;
                    let before = facts(row, now);
                    let claimed = Claimed { operation: row.clone(), purpose: ClaimPurpose::Run };
                    let written = end_panicked(db, &claimed, &Idle(kind, policy), &settings, now).await;
                    let written = OwnerError::none_if_lost(written).unwrap();
                    assert_eq!(written.is_some(), before.is_owned_by(FENCE), "{before:?}");
                    let decided = decide_panic(&before, policy, footprint);
                    let expected = if written.is_some() {
                        ended += 1;
                        assert_eq!(written, Some(decided));
                        before.recovered(decided, footprint, undoing)
                    } else {
                        before
                    };
                    let later = db::now(db).await.unwrap();
                    let told = format!("after {before:?}, {policy:?}, {footprint:?}");
                    assert_settled(&rows::read(db, row.id).await, &expected, (now, later), &told);
                }
            }
        }
    }
    assert!(ended > 100, "only {ended} were ended");
}

async fn a_sweep_offers_exactly_what_may_start(test: TestDb) {
    let db = &test.db;
    let redis = PrivateRedis::start();
    let lists = lists_at(redis.url());
    let now = db::now(db).await.unwrap();
    let rows = vary(standings(now), &[-HOUR, HOUR], |row, offset| row.run_after = at(now, offset));
    let rows = vary(rows, &[0, 1], |row, starts| row.starts = starts);
    rows::store(db, &rows).await;
    for (paused, what) in
        [(true, SweepScope::Everything), (false, SweepScope::Overdue), (false, SweepScope::Everything)]
    {
        set_paused(db, QUEUE, paused, now).await.unwrap();
        sweep(db, &lists, QUEUE, &registry(), what, &Failpoints::default()).await.unwrap();
        let ready: Vec<String> = redis::cmd("LRANGE")
            .arg(QUEUE.ready_key())
            .arg(0)
            .arg(-1)
            .query_async(&mut lists.connection())
            .await
            .unwrap();
        let offered: BTreeSet<_> = ready.iter().cloned().collect();
        assert_eq!(offered.len(), ready.len(), "an id is there twice");
        let due = rows.iter().filter(|row| facts(row, now).is_offered(paused));
        assert_eq!(offered, due.map(|row| row.id.to_string()).collect(), "paused: {paused}, {what:?}");
    }
}

async fn a_request_to_cancel_does_what_the_rule_says(test: TestDb) {
    let db = &test.db;
    let now = db::now(db).await.unwrap();
    for footprint in FOOTPRINTS {
        let rows = vary(standings(now), &[-HOUR, HOUR], |row, offset| row.run_after = at(now, offset));
        let rows = vary(rows, &[false, true], |row, committed| row.committed = committed);
        rows::store(db, &rows).await;
        for row in &rows {
            begin_steps(db, row.id, footprint, now).await;
            let before = facts(row, now);
            let outcome = ask_to_cancel(db, row, Actor::Customer, now).await;
            let expected = before.cancelled(footprint);
            let changed = matches!(outcome, CancelOutcome::Cancelled | CancelOutcome::Requested);
            assert_eq!(changed, expected.is_some(), "{before:?}");
            let later = db::now(db).await.unwrap();
            let after = facts(&rows::read(db, row.id).await, later);
            assert_eq!(after, expected.unwrap_or(before), "{footprint:?} on {before:?}");
        }
    }
}

async fn ask_to_cancel(db: &DatabaseConnection, row: &operation::Model, by: Actor, now: Timestamp) -> CancelOutcome {
    let tx = db::begin(db).await.unwrap();
    let outcome = cancel(&tx, row.id, by, now).await.unwrap();
    tx.commit().await.unwrap();
    outcome
}

async fn a_request_to_cancel_is_refused_by_the_rule(test: TestDb) {
    let db = &test.db;
    let now = db::now(db).await.unwrap();
    let mut refused = 0;
    for by in Actor::ALL {
        let states = OperationState::ALL.iter().map(|state| operation::Model { state: *state, ..row(now) });
        let rows = vary(states.collect(), Actor::ALL, |row, begun_by| row.begun_by = begun_by);
        let rows = vary(rows, CancelRule::ALL, |row, rule| row.cancel_rule = rule);
        let rows = vary(rows, &[None, Some(now)], |row, at| row.started_at = at);
        rows::store(db, &rows).await;
        for row in &rows {
            let cancel = CancelFacts::of(row);
            let outcome = ask_to_cancel(db, row, *by, now).await;
            assert_eq!(outcome, may_cancel(*by, cancel), "{by} on {cancel:?}");
            let later = db::now(db).await.unwrap();
            let (before, after) = (facts(row, now), facts(&rows::read(db, row.id).await, later));
            let changed = matches!(outcome, CancelOutcome::Cancelled | CancelOutcome::Requested);
            let expected = before.cancelled(Footprint::None).filter(|_| changed);
            assert_eq!(after, expected.unwrap_or(before), "{by} on {cancel:?}");
            refused += usize::from(matches!(outcome, CancelOutcome::Refused(_)));
        }
    }
    assert!(refused > 50, "only {refused} were refused");
}

async fn slot_holders(db: &DatabaseConnection) -> Vec<OperationId> {
    let slots = queue_slot::Entity::find().filter(queue_slot::Column::OperationId.is_not_null()).all(db).await.unwrap();
    slots.into_iter().filter_map(|slot| slot.operation_id).collect()
}

async fn a_slot_goes_with_its_operation(test: TestDb) {
    let db = &test.db;
    let registry = registry();
    let settings = JobSettings { slots: Some(1), ..settings() };
    ensure_slots(db, QUEUE, 1).await.unwrap();
    let now = db::now(db).await.unwrap();
    let expired = Some(at(now, -1000));
    for vanishes in [false, true] {
        let (first, second) = (row(now), row(now));
        rows::store(db, &[first.clone(), second.clone()]).await;
        let outcome = claim(db, QUEUE, first.id, WorkerId::generate(), &registry, &settings).await.unwrap();
        let ClaimOutcome::Claimed(claimed) = outcome else { panic!("{outcome:?}") };
        assert_eq!(slot_holders(db).await, [first.id]);
        let outcome = claim(db, QUEUE, second.id, WorkerId::generate(), &registry, &settings).await.unwrap();
        assert!(matches!(outcome, ClaimOutcome::NoSlot), "{outcome:?}");
        assert_eq!(facts(&rows::read(db, second.id).await, now), facts(&second, now));
        if vanishes {
            let lost = operation::ActiveModel { id: Set(first.id), lease_until: Set(expired), ..Default::default() };
            operation::Entity::update(lost).exec(db).await.unwrap();
            assert_eq!(recover_expired(db, QUEUE, &registry, &settings, now, &Failpoints::default()).await.unwrap(), 1);
        } else {
            let end = End::Ended { state: OperationState::Succeeded, failure: None, undo: UndoEnd::Nothing };
            finish(db, &claimed, &end, now).await.unwrap();
        }
        assert_eq!(slot_holders(db).await, []);
        let late = finish(db, &claimed, &End::HandedBack, now).await;
        assert_eq!(OwnerError::none_if_lost(late).unwrap(), None);
    }
}

async fn a_step_whose_write_is_under_way_is_seen_by_the_recovery(test: TestDb) {
    let db = &test.db;
    let registry = registry();
    // SQLite has one writer: no recovery can happen while a step is being written.
    if test.kind == zpack::config::DatabaseKind::Sqlite {
        return;
    }
    let settings = JobSettings { lease: Duration::from_secs(3), ..settings() };
    let now = db::now(db).await.unwrap();
    let row = row(now);
    rows::store(db, std::slice::from_ref(&row)).await;
    let outcome = claim(db, QUEUE, row.id, WorkerId::generate(), &registry, &settings).await.unwrap();
    let ClaimOutcome::Claimed(claimed) = outcome else { panic!("{outcome:?}") };
    // The owner stops between the check of its lease and the commit of its step.
    let owner = OwnedTransaction::begin(db, row.id, claimed.operation.fence).await.unwrap();
    operation_step::Entity::insert(step(row.id, 0, true, now)).exec_without_returning(&*owner).await.unwrap();
    while db::now(db).await.unwrap() <= claimed.operation.lease_until.unwrap() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        recover_expired(db, QUEUE, &registry, &settings, now, &Failpoints::default()).await.unwrap(),
        0,
        "judged too early"
    );
    owner.commit().await.unwrap();
    assert_eq!(recover_expired(db, QUEUE, &registry, &settings, now, &Failpoints::default()).await.unwrap(), 1);
    assert_eq!(rows::read(db, row.id).await.state, OperationState::Stale, "an effect may have happened");
}
