//! One leader at a time, and an orderly change of leaders.

use std::time::Duration;

use redis::AsyncCommands;
use sea_orm::{ActiveValue::Set, EntityTrait};
use zpack::db::entities::queue;
use zpack::kernel::Timestamp;
use zpack::lease::{CandidacyEnd, LeaseSettings};

use super::candidate::{Candidate, KEY, NEVER, holder, look, patient, row, within};
use crate::support::{PrivateRedis, TestDb, on_every_database};

on_every_database!(
    of_two_candidates_one_leads,
    who_resigns_is_followed_at_once,
    a_leader_works_and_gives_signs_of_life,
    a_lock_that_a_crash_left_is_taken_when_it_ends,
);

async fn of_two_candidates_one_leads(test: TestDb) {
    let redis = PrivateRedis::start();
    let mut first = Candidate::start(&test, &redis.url(), patient()).await;
    let mut second = Candidate::start(&test, &redis.url(), patient()).await;
    let (epoch, leader, other) = tokio::select! {
        term = first.leads() => (term.epoch(), 1, 2),
        term = second.leads() => (term.epoch(), 2, 1),
    };
    assert_eq!(epoch, 1);
    let standby = if other == 1 { &mut first } else { &mut second };
    standby.tries("succeeded").await;
    assert!(!standby.was_elected());
    assert_eq!(standby.count(r#"zpack_lease_leader{lease="controller"}"#), 0);
    let leading = if leader == 1 { &first } else { &second };
    assert_eq!(leading.count(r#"zpack_lease_leader{lease="controller"}"#), 1);
    let row = row(&test).await;
    assert_eq!((row.epoch, row.holder), (1, holder(&mut look(&redis.url()).await).await));
}

async fn who_resigns_is_followed_at_once(test: TestDb) {
    let redis = PrivateRedis::start();
    let mut first = Candidate::start(&test, &redis.url(), patient()).await;
    assert_eq!(first.leads().await.epoch(), 1);
    let mut second = Candidate::start(&test, &redis.url(), patient()).await;
    second.tries("succeeded").await;
    // The lock would have lasted for hours.
    assert_eq!(first.stopped().await, CandidacyEnd::Stopped);
    assert_eq!(second.leads().await.epoch(), 2);
    assert_eq!(second.stopped().await, CandidacyEnd::Stopped);
    let row = row(&test).await;
    assert_eq!((row.epoch, row.holder, row.renewed_at), (2, None, None));
    assert_eq!(holder(&mut look(&redis.url()).await).await, None);
}

async fn a_leader_works_and_gives_signs_of_life(test: TestDb) {
    let redis = PrivateRedis::start();
    let mut leader = Candidate::start(&test, &redis.url(), patient()).await;
    let term = leader.leads().await;
    let before = row(&test).await.renewed_at.unwrap();
    let tx = term.begin().await.unwrap();
    let written = queue::ActiveModel {
        name: Set("work".to_owned()),
        paused: Set(false),
        updated_at: Set(Timestamp::from_millis(0)),
    };
    queue::Entity::insert(written).exec_without_returning(&tx).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(queue::Entity::find().all(&test.db).await.unwrap().len(), 1);
    leader.go_on.notify_one();
    super::candidate::wait_for("a later heartbeat", async || row(&test).await.renewed_at.unwrap() > before).await;
    let ticks = r#"zpack_lease_tick_seconds_count{lease="controller",outcome="succeeded"}"#;
    super::candidate::wait_for("more ticks", async || leader.count(ticks) > 2).await;
    assert_eq!(leader.count(r#"zpack_lease_transitions_total{lease="controller"}"#), 1);
}

async fn a_lock_that_a_crash_left_is_taken_when_it_ends(test: TestDb) {
    let redis = PrivateRedis::start();
    let settings = LeaseSettings { ttl: Duration::from_secs(4), renew: Duration::from_millis(200), ..patient() };
    let mut first = Candidate::start(&test, &redis.url(), settings).await;
    let term = first.leads().await;
    let crashed = holder(&mut look(&redis.url()).await).await;
    first.crash().await;
    let mut second = Candidate::start(&test, &redis.url(), settings).await;
    assert_eq!(second.leads().await.epoch(), term.epoch() + 1);
    assert_ne!(holder(&mut look(&redis.url()).await).await, crashed);
}

/// Only the end of the process ends such a task; the role exits with 75.
#[tokio::test]
async fn tasks_that_do_not_end_are_reported() {
    let test = TestDb::migrated(zpack::config::DatabaseKind::Sqlite).await;
    let redis = PrivateRedis::start();
    let settings = LeaseSettings { join: Duration::from_millis(50), ..patient() };
    let mut leader = Candidate::start(&test, &redis.url(), settings).await;
    let stubborn = leader.leads().await.spawn(std::future::pending::<()>());
    assert_eq!(leader.stopped().await, CandidacyEnd::OrphanedTasks { tasks: 1 });
    // It did not resign: there is no other leader beside the task before the lock expires.
    assert!(holder(&mut look(&redis.url()).await).await.is_some());
    assert_eq!(row(&test).await.epoch, 1);
    assert!(row(&test).await.holder.is_some());
    stubborn.abort();
}

/// A value under the key that is not a lock of ours does not count as one, and is never removed.
#[tokio::test]
async fn foreign_values_under_the_key_are_left_alone() {
    let test = TestDb::migrated(zpack::config::DatabaseKind::Sqlite).await;
    let redis = PrivateRedis::start();
    let mut connection = look(&redis.url()).await;
    connection.lpush::<_, _, ()>(KEY, "garbage").await.unwrap();
    let mut candidate = Candidate::start(&test, &redis.url(), patient()).await;
    candidate.tries("succeeded").await;
    assert!(!candidate.was_elected());
    connection.del::<_, ()>(KEY).await.unwrap();
    assert_eq!(candidate.leads().await.epoch(), 1);
    connection.set_ex::<_, _, ()>(KEY, "another holder", NEVER.as_secs()).await.unwrap();
    assert_eq!(within("the end", candidate.stopped()).await, CandidacyEnd::Stopped);
    assert_eq!(holder(&mut connection).await.as_deref(), Some("another holder"));
}
