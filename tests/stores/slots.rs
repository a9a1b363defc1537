//! Slots under concurrent claims: an operation that runs holds one, and nothing else does.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, DbErr, EntityTrait, Statement};
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::db::entities::operation::{self, OperationState};
use zpack::db::entities::queue_slot;
use zpack::jobs::{
    ClaimOutcome, Claimed, CrashPolicy, End, JobSettings, OwnerError, Queue, Registry, UndoEnd, claim, ensure_slots,
    finish,
};
use zpack::kernel::{OperationId, WorkerId};

use super::lifecycle::Idle;
use crate::support::{TestDb, on_every_database, rows};

on_every_database!(claims_at_the_same_time_fill_the_slots_and_no_more);

const QUEUE: Queue = Queue::Provision;

fn registry() -> Registry {
    Registry::for_queue(QUEUE).with(Arc::new(Idle("provision", CrashPolicy::UndoExternalEffects))).unwrap()
}

/// A claim by a new worker.
async fn attempt(db: &DatabaseConnection, id: OperationId, slots: u32) -> Result<ClaimOutcome, DbErr> {
    let settings = JobSettings { slots: Some(slots), ..JobSettings::default() };
    claim(db, QUEUE, id, WorkerId::generate(), &registry(), &settings).await
}

async fn queue(test: &TestDb, count: usize) -> Vec<OperationId> {
    let now = db::now(&test.db).await.unwrap();
    let queued: Vec<_> = (0..count).map(|_| rows::queued(QUEUE, "provision", now)).collect();
    rows::store(&test.db, &queued).await;
    queued.into_iter().map(|row| row.id).collect()
}

/// The operations that hold a slot, with the fence for which it was taken.
async fn holders(db: &DatabaseConnection) -> BTreeMap<OperationId, i64> {
    let slots = queue_slot::Entity::find().all(db).await.unwrap();
    let held: Vec<_> = slots.into_iter().filter_map(|slot| Some((slot.operation_id?, slot.fence))).collect();
    let count = held.len();
    let holders: BTreeMap<_, _> = held.into_iter().collect();
    assert_eq!(holders.len(), count, "an operation holds two slots");
    holders
}

/// The operations that run, with their fences.
async fn running(db: &DatabaseConnection) -> BTreeMap<OperationId, i64> {
    let rows = operation::Entity::find().all(db).await.unwrap().into_iter();
    rows.filter(|row| row.state == OperationState::Running).map(|row| (row.id, row.fence)).collect()
}

async fn claims_at_the_same_time_fill_the_slots_and_no_more(test: TestDb) {
    const SLOTS: u32 = 3;
    let db = &test.db;
    ensure_slots(db, QUEUE, SLOTS).await.unwrap();
    let mut left = queue(&test, 12).await;
    while !left.is_empty() {
        // Each id is claimed by two workers: a duplicate on the list.
        let claims = left.iter().chain(&left).map(|id| attempt(db, *id, SLOTS));
        let outcomes = futures_util::future::join_all(claims).await;
        let won: Vec<Box<Claimed>> = outcomes
            .into_iter()
            .filter_map(|outcome| match outcome {
                Ok(ClaimOutcome::Claimed(claimed)) => Some(claimed),
                Ok(ClaimOutcome::NoSlot | ClaimOutcome::NotDue) => None,
                Ok(ClaimOutcome::Unknown) => panic!("the kind is known"),
                Err(error) => {
                    assert!(db::is_conflict(&error), "{error}");
                    None
                }
            })
            .collect();
        assert!(!won.is_empty(), "no claim was won, with {SLOTS} free slots");
        let expected: BTreeMap<_, _> = won.iter().map(|won| (won.operation.id, won.operation.fence)).collect();
        assert_eq!(expected.len(), won.len(), "an operation was won twice");
        assert_eq!((running(db).await, holders(db).await), (expected.clone(), expected));
        left.retain(|id| won.iter().all(|won| won.operation.id != *id));
        for claimed in won {
            let end = End::Ended { state: OperationState::Succeeded, failure: None, undo: UndoEnd::Nothing };
            finish(db, &claimed, &end, db::now(db).await.unwrap()).await.unwrap();
        }
        assert_eq!(holders(db).await, BTreeMap::new());
    }
}

/// Waits until a session waits for a lock of another.
async fn until_blocked(test: &TestDb) {
    let sql = "SELECT 1 AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let blocked = || test.db.query_one_raw(Statement::from_string(test.db.get_database_backend(), sql));
    tokio::time::timeout(Duration::from_secs(8), async {
        while blocked().await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
    .expect("nothing waits for a lock");
}

/// A database with two slots, and a transaction in which `sql` was carried out; `{id}` is the id of a queued operation.
async fn during(sql: &str) -> (TestDb, OperationId, sea_orm::DatabaseTransaction) {
    let test = TestDb::migrated(DatabaseKind::Postgres).await;
    ensure_slots(&test.db, QUEUE, 2).await.unwrap();
    let id = queue(&test, 1).await[0];
    let tx = db::begin(&test.db).await.unwrap();
    tx.execute_unprepared(&sql.replace("{id}", &id.to_string())).await.unwrap();
    (test, id, tx)
}

#[tokio::test]
async fn a_claim_passes_over_a_slot_that_another_claim_is_taking() {
    let (test, id, tx) = during("SELECT slot FROM queue_slots WHERE slot = 0 FOR UPDATE").await;
    let claiming = tokio::time::timeout(Duration::from_secs(5), attempt(&test.db, id, 2));
    let outcome = claiming.await.expect("it waits for the slot of another claim").unwrap();
    assert!(matches!(outcome, ClaimOutcome::Claimed(_)), "{outcome:?}");
    assert_eq!(holders(&test.db).await, BTreeMap::from([(id, 1)]));
    // The only other slot is being taken: this is no reason to forget the operation.
    let second = queue(&test, 1).await[0];
    let outcome = attempt(&test.db, second, 2).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::NoSlot), "{outcome:?}");
    tx.rollback().await.unwrap();
    let outcome = attempt(&test.db, second, 2).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Claimed(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_claim_that_loses_the_row_takes_no_slot() {
    let winner = "UPDATE operations SET state = 'running', starts = 1, fence = 1 WHERE id = '{id}'";
    let (test, id, tx) = during(winner).await;
    let db = test.db.clone();
    let claiming = tokio::spawn(async move { attempt(&db, id, 2).await });
    until_blocked(&test).await;
    tx.commit().await.unwrap();
    let outcome = claiming.await.unwrap().unwrap();
    assert!(matches!(outcome, ClaimOutcome::NotDue), "{outcome:?}");
    assert_eq!(holders(&test.db).await, BTreeMap::new());
    let row = rows::read(&test.db, id).await;
    assert_eq!((row.fence, row.starts, row.worker), (1, 1, None));
}

#[tokio::test]
async fn a_claim_that_wins_after_waiting_takes_a_slot() {
    let (test, id, tx) = during("UPDATE operations SET cancel_requested = FALSE WHERE id = '{id}'").await;
    let db = test.db.clone();
    let claiming = tokio::spawn(async move { attempt(&db, id, 2).await });
    until_blocked(&test).await;
    tx.commit().await.unwrap();
    let outcome = claiming.await.unwrap().unwrap();
    assert!(matches!(outcome, ClaimOutcome::Claimed(_)), "{outcome:?}");
    assert_eq!(
        (running(&test.db).await, holders(&test.db).await),
        (BTreeMap::from([(id, 1)]), BTreeMap::from([(id, 1)]))
    );
}

#[tokio::test]
async fn an_end_that_waited_for_the_next_owner_releases_nothing() {
    let test = TestDb::migrated(DatabaseKind::Postgres).await;
    ensure_slots(&test.db, QUEUE, 2).await.unwrap();
    let id = queue(&test, 1).await[0];
    let outcome = attempt(&test.db, id, 2).await.unwrap();
    let ClaimOutcome::Claimed(claimed) = outcome else { panic!("{outcome:?}") };
    let tx = db::begin(&test.db).await.unwrap();
    let next = format!(
        "UPDATE operations SET fence = 2 WHERE id = '{id}'; UPDATE queue_slots SET fence = 2 WHERE operation_id = '{id}'"
    );
    tx.execute_unprepared(&next).await.unwrap();
    let db = test.db.clone();
    let ending = tokio::spawn(async move {
        let end = End::Ended { state: OperationState::Succeeded, failure: None, undo: UndoEnd::Nothing };
        finish(&db, &claimed, &end, db::now(&db).await.unwrap()).await
    });
    until_blocked(&test).await;
    tx.commit().await.unwrap();
    assert!(matches!(ending.await.unwrap(), Err(OwnerError::LeaseLost(_))));
    assert_eq!(
        (running(&test.db).await, holders(&test.db).await),
        (BTreeMap::from([(id, 2)]), BTreeMap::from([(id, 2)]))
    );
}
