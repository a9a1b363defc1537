//! A deposed leader writes nothing, whatever it believes; a newer one waits for a write in progress.

use std::time::Duration;

use redis::AsyncCommands;
use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait};
use zpack::config::DatabaseKind;
use zpack::db;
use zpack::db::entities::{lease, queue};
use zpack::kernel::Timestamp;
use zpack::lease::{LeaseSettings, TermError};

use super::candidate::{Candidate, KEY, NEVER, holder, look, patient, row, wait_for, within};
use crate::support::{PrivateRedis, TestDb, on_every_database};

on_every_database!(
    the_epoch_fences_a_leader_whose_lock_was_flushed,
    a_lock_in_other_hands_ends_the_term,
    a_transaction_in_flight_holds_up_the_next_leader,
    a_winner_that_stalled_cannot_fence_a_newer_leader,
);

const LOST_BY_EPOCH: &str = r#"zpack_lease_lost_total{lease="controller",why="epoch"}"#;
const LOST_BY_LOCK: &str = r#"zpack_lease_lost_total{lease="controller",why="lock"}"#;

async fn write(tx: &impl ConnectionTrait, name: &str) {
    let (paused, updated_at) = (Set(false), Set(Timestamp::from_millis(0)));
    let work = queue::ActiveModel { name: Set(name.to_owned()), paused, updated_at };
    queue::Entity::insert(work).exec_without_returning(tx).await.unwrap();
}

/// It does not renew for hours, so it still counts itself as the leader.
async fn the_epoch_fences_a_leader_whose_lock_was_flushed(test: TestDb) {
    let redis = PrivateRedis::start();
    let mut connection = look(&redis.url()).await;
    let mut old = Candidate::start(&test, &redis.url(), patient()).await;
    let term = old.leads().await;
    let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    let mut new = Candidate::start(&test, &redis.url(), patient()).await;
    let newer = new.leads().await;
    assert_eq!((term.epoch(), newer.epoch()), (1, 2));

    assert!(!term.over().is_cancelled(), "nothing has told it");
    assert!(matches!(term.begin().await, Err(TermError::Over { epoch: 1 })));
    assert!(term.over().is_cancelled());
    assert!(matches!(term.begin().await, Err(TermError::Over { epoch: 1 })));
    wait_for("the loss to be counted", async || old.count(LOST_BY_EPOCH) == 1).await;
    // It is a candidate again, has not removed the other's lock, and does not get it.
    old.tries("succeeded").await;
    assert_eq!(holder(&mut connection).await, row(&test).await.holder);
    newer.begin().await.unwrap().rollback().await.unwrap();
    assert_eq!(row(&test).await.epoch, 2);
}

async fn a_lock_in_other_hands_ends_the_term(test: TestDb) {
    let redis = PrivateRedis::start();
    let settings = LeaseSettings { renew: Duration::from_millis(50), ..patient() };
    let mut leader = Candidate::start(&test, &redis.url(), settings).await;
    let term = leader.leads().await;
    let mut connection = look(&redis.url()).await;
    connection.set_ex::<_, _, ()>(KEY, "another holder", NEVER.as_secs()).await.unwrap();
    within("the end of the term", term.over().cancelled()).await;
    wait_for("the loss to be counted", async || leader.count(LOST_BY_LOCK) == 1).await;
    leader.tries("succeeded").await;
    assert!(!leader.was_elected());
    assert_eq!(holder(&mut connection).await.as_deref(), Some("another holder"));
    assert!(matches!(term.begin().await, Err(TermError::Over { epoch: 1 })));
}

async fn a_transaction_in_flight_holds_up_the_next_leader(test: TestDb) {
    let redis = PrivateRedis::start();
    let mut connection = look(&redis.url()).await;
    let mut old = Candidate::start(&test, &redis.url(), patient()).await;
    let term = old.leads().await;
    let tx = term.begin().await.unwrap();
    write(&tx, "before").await;
    let () = redis::cmd("FLUSHALL").query_async(&mut connection).await.unwrap();
    let mut new = Candidate::start(&test, &redis.url(), patient()).await;
    wait_for("the next leader to hold the lock", async || holder(&mut connection).await.is_some()).await;
    wait_for("it to wait for the transaction", async || waits(&test).await).await;
    assert!(!new.was_elected());
    write(&tx, "during").await;
    tx.commit().await.unwrap();
    assert_eq!(new.leads().await.epoch(), 2);
    assert_eq!(queue::Entity::find().all(&test.db).await.unwrap().len(), 2);
    assert!(matches!(term.begin().await, Err(TermError::Over { epoch: 1 })));
}

/// Whether a session of this database waits for a lock of another one. SQLite does not show it; it has one writer.
/// InnoDB shows the same list of transactions again within 100 ms, so a faster reader would not see a change.
async fn waits(test: &TestDb) -> bool {
    if test.kind == DatabaseKind::MariaDb {
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let sql = match test.kind {
        DatabaseKind::Postgres => {
            "SELECT 1 AS n FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        }
        DatabaseKind::MariaDb => {
            "SELECT 1 AS n FROM information_schema.innodb_trx t JOIN information_schema.processlist p \
             ON p.id = t.trx_mysql_thread_id WHERE t.trx_state = 'LOCK WAIT' AND p.db = DATABASE()"
        }
        DatabaseKind::Sqlite => return true,
    };
    let statement = sea_orm::Statement::from_string(test.db.get_database_backend(), sql);
    !test.db.query_all_raw(statement).await.unwrap().is_empty()
}

/// The candidate has read the epoch and holds the lock when another one is elected.
async fn a_winner_that_stalled_cannot_fence_a_newer_leader(test: TestDb) {
    let redis = PrivateRedis::start();
    let mut connection = look(&redis.url()).await;
    let row_before =
        lease::ActiveModel { name: Set("controller".into()), epoch: Set(7), holder: Set(None), renewed_at: Set(None) };
    lease::Entity::insert(row_before).exec_without_returning(&test.db).await.unwrap();

    let stall = db::begin(&test.db).await.unwrap();
    stall.execute_unprepared("UPDATE leases SET epoch = 8, holder = 'newer', renewed_at = 1").await.unwrap();
    let mut stalled = Candidate::start(&test, &redis.url(), patient()).await;
    wait_for("the candidate to hold the lock", async || holder(&mut connection).await.is_some()).await;
    // Its lock ends, and the newer leader takes it.
    connection.set_ex::<_, _, ()>(KEY, "newer", NEVER.as_secs()).await.unwrap();
    stall.commit().await.unwrap();

    stalled.tries("succeeded").await;
    assert!(!stalled.was_elected());
    assert_eq!((row(&test).await.epoch, row(&test).await.holder.as_deref()), (8, Some("newer")));
    assert_eq!(holder(&mut connection).await.as_deref(), Some("newer"));
}
