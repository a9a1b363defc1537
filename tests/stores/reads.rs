//! Connections of a runtime for statements that read: how many there are, and what becomes of one that was dropped or lost.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};
use tokio::sync::oneshot;
use zpack::config::DatabaseKind;
use zpack::db::{Division, Reads, pool_use};

use super::dropped::drop_after;
use crate::support::TestDb;

/// A server, and reads in it with three connections for one runtime.
async fn reads() -> (TestDb, Reads) {
    let test = TestDb::empty(DatabaseKind::Postgres).await;
    let reads = Reads::new(test.db.clone(), Division::of(6, 1));
    (test, reads)
}

/// The number that `sql` selects.
async fn number(db: &impl ConnectionTrait, sql: &str) -> i32 {
    let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await.unwrap();
    rows[0].try_get_by_index(0).unwrap()
}

const OWN_SESSION: &str = "SELECT pg_backend_pid() FROM pg_sleep(0.01)";

async fn in_pool(db: &DatabaseConnection) -> BTreeSet<i32> {
    let open = usize::try_from(pool_use(db).open).unwrap();
    join_all((0..open).map(|_| number(db, OWN_SESSION))).await.into_iter().collect()
}

#[tokio::test]
async fn statements_of_a_runtime_share_its_connections() {
    let (test, reads) = reads().await;
    let sessions: BTreeSet<i32> = join_all((0..12).map(|_| number(&reads, OWN_SESSION))).await.into_iter().collect();
    assert_eq!(sessions.len(), 3, "{sessions:?}");
    assert!(sessions.contains(&number(&reads, OWN_SESSION).await), "they are kept");
    assert!(sessions.is_disjoint(&in_pool(&test.db).await), "none is of the pool");
    let (ask, asked) = oneshot::channel();
    let other = reads.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        _ = ask.send(runtime.block_on(number(&other, OWN_SESSION)));
    });
    assert!(!sessions.contains(&asked.await.unwrap()), "another runtime uses the pool");
}

#[tokio::test]
async fn a_dropped_statement_leaves_no_answer_for_the_next_one() {
    let (_test, reads) = reads().await;
    for round in 0..60 {
        _ = drop_after(round % 6, number(&reads, "SELECT -1 FROM pg_sleep(0.002)")).await;
        assert_eq!(number(&reads, &format!("SELECT {round}")).await, i32::try_from(round).unwrap());
    }
}

#[tokio::test]
async fn a_lost_connection_costs_no_read() {
    let (test, reads) = reads().await;
    for _ in 0..5 {
        let session = number(&reads, OWN_SESSION).await;
        let ended = format!("SELECT count(*)::int FROM (SELECT pg_terminate_backend({session}, 5000)) ended");
        assert_eq!(number(&test.db, &ended).await, 1);
        assert_ne!(number(&reads, OWN_SESSION).await, session);
    }
}
