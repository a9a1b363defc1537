//! Redis does not answer: the leader continues by its heartbeat, and another one takes over only when that is old.

use std::time::Duration;

use redis::AsyncCommands;
use zpack::lease::{CandidacyEnd, LeaseSettings, TermError};

use super::candidate::{Candidate, KEY, NEVER, holder, look, patient, row, wait_for, within};
use crate::support::{PrivateRedis, TestDb, on_every_database};

on_every_database!(
    a_leader_goes_on_without_redis_and_is_followed_when_it_vanishes,
    a_leader_without_redis_that_resigns_is_followed_at_once,
);

/// The heartbeat is old after some seconds, so that a living leader does not look dead on a loaded machine.
fn by_stamp() -> LeaseSettings {
    LeaseSettings {
        ttl: Duration::from_secs(5),
        renew: Duration::from_millis(200),
        takeover: Duration::from_secs(12),
        ..patient()
    }
}

async fn a_leader_goes_on_without_redis_and_is_followed_when_it_vanishes(test: TestDb) {
    let mut redis = PrivateRedis::start();
    let mut leader = Candidate::start(&test, &redis.url(), by_stamp()).await;
    let term = leader.leads().await;
    leader.go_on.notify_one();
    let mut standby = Candidate::start(&test, &redis.url(), by_stamp()).await;
    standby.tries("succeeded").await;
    redis.kill();

    // Longer than the lock lasts: every renewal fails, and every tick writes a heartbeat.
    let failed = leader.asked("failed");
    wait_for("renewals to fail for longer than a lock lives", async || leader.asked("failed") >= failed + 30).await;
    standby.tries("failed").await;
    assert!(!standby.was_elected());
    assert!(!term.over().is_cancelled());
    term.begin().await.unwrap().rollback().await.unwrap();

    leader.crash().await;
    let last = row(&test).await.renewed_at.unwrap();
    let next = standby.leads().await;
    assert_eq!(next.epoch(), 2);
    let taken = row(&test).await.renewed_at.unwrap();
    assert!(taken.since(last) > by_stamp().takeover, "taken over after {:?}", taken.since(last));
    assert!(matches!(term.begin().await, Err(TermError::Over { epoch: 1 })), "the vanished one is fenced");

    // Redis is back and the lock belongs to another: that counts more than the heartbeat.
    redis.run();
    let mut connection = look(&redis.url()).await;
    connection.set_ex::<_, _, ()>(KEY, "another holder", NEVER.as_secs()).await.unwrap();
    within("the end of the term", next.over().cancelled()).await;
    wait_for("the loss to be counted", async || {
        standby.count(r#"zpack_lease_lost_total{lease="controller",why="lock"}"#) == 1
    })
    .await;
    assert_eq!(holder(&mut connection).await.as_deref(), Some("another holder"));
}

async fn a_leader_without_redis_that_resigns_is_followed_at_once(test: TestDb) {
    let mut redis = PrivateRedis::start();
    // The heartbeat would be recent for hours.
    let settings = LeaseSettings { renew: Duration::from_millis(50), ..patient() };
    let mut leader = Candidate::start(&test, &redis.url(), settings).await;
    leader.leads().await;
    let mut standby = Candidate::start(&test, &redis.url(), settings).await;
    redis.kill();
    standby.tries("failed").await;
    leader.tries("failed").await;
    assert!(!standby.was_elected());
    assert_eq!(leader.stopped().await, CandidacyEnd::Stopped);
    assert_eq!(standby.leads().await.epoch(), 2);
}
