//! Futures that are dropped at any await: a client hangs up, a timeout passes, a `select!` takes another branch. What others
//! were answered meanwhile stays written.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;

use sea_orm::ConnectionTrait;
use zpack::db;
use zpack::kernel::Secret;

use crate::support::{TestDb, on_every_empty_database};

on_every_empty_database!(what_was_acknowledged_survives_the_transactions_that_others_drop);

/// Connections that all share, so that each soon gets one that was dropped.
const CONNECTIONS: u32 = 3;

/// Awaits `work` and drops it when it is still pending after `polls` polls.
pub async fn drop_after<T>(polls: usize, work: impl Future<Output = T>) -> Option<T> {
    let mut work = pin!(work);
    let mut left = polls;
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// A pool of its own on `test`, with a table to write to.
async fn pool(test: &TestDb) -> sea_orm::DatabaseConnection {
    test.db.execute_unprepared("CREATE TABLE note (id INTEGER PRIMARY KEY)").await.unwrap();
    db::connect(&Secret::new(&test.url), CONNECTIONS).await.unwrap()
}

async fn notes(test: &TestDb) -> Vec<i64> {
    let backend = test.db.get_database_backend();
    let rows = test.db.query_all_raw(sea_orm::Statement::from_string(backend, "SELECT id FROM note ORDER BY id")).await;
    rows.unwrap().iter().map(|row| i64::from(row.try_get::<i32>("", "id").unwrap())).collect()
}

async fn what_was_acknowledged_survives_the_transactions_that_others_drop(test: TestDb) {
    let pool = pool(&test).await;
    let done = AtomicBool::new(false);
    let hang_up = async {
        for round in 0.. {
            if done.load(Ordering::Relaxed) {
                return round;
            }
            let work = async {
                let tx = db::begin(&pool).await?;
                tx.execute_unprepared("DELETE FROM note WHERE id < 0").await?;
                tx.commit().await
            };
            _ = drop_after(round % 7, work).await;
            tokio::task::yield_now().await;
        }
        unreachable!("it ends when the writers are done")
    };
    let write = async {
        let mut acknowledged = Vec::new();
        for id in 0..300 {
            match pool.execute_unprepared(&format!("INSERT INTO note VALUES ({id})")).await {
                Ok(_) => acknowledged.push(id),
                Err(error) => assert!(zpack::db::is_conflict(&error), "{id}: {error}"),
            }
        }
        done.store(true, Ordering::Relaxed);
        acknowledged
    };
    let (rounds, acknowledged) = tokio::join!(hang_up, write);
    assert!(rounds > 20, "{rounds} transactions were dropped");
    pool.close().await.unwrap();
    assert_eq!(notes(&test).await, acknowledged);
}
