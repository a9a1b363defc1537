//! Transactions, the clock of the database, and the classes of its errors.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ActiveModelTrait, ConnectionTrait, DbErr, EntityTrait, IntoActiveModel, Set};
use tokio::sync::Barrier;
use zpack::config::DatabaseKind;
use zpack::db::{self, entities::queue};
use zpack::kernel::{Clock, Failure, Secret, Timestamp};

use crate::support::{TestDb, on_every_database};

on_every_database!(
    the_clock_of_the_database_agrees_with_ours,
    a_value_that_is_taken_is_a_duplicate,
    a_rolled_back_transaction_leaves_nothing,
    transactions_in_each_others_way_conflict_and_succeed_when_repeated,
    text_compares_byte_by_byte,
);

async fn the_clock_of_the_database_agrees_with_ours(test: TestDb) {
    let before = Clock::System.now();
    let shown = db::now(&test.db).await.unwrap();
    let after = Clock::System.now();
    // Both are on one machine but round differently.
    let slack = Duration::from_millis(5);
    assert!(shown.after(slack) >= before && shown <= after.after(slack), "{before} {shown} {after}");
}

async fn a_value_that_is_taken_is_a_duplicate(test: TestDb) {
    insert(&test.db, "provision").await.unwrap();
    let error = insert(&test.db, "provision").await.unwrap_err();
    assert!(db::is_duplicate(&error) && !db::is_conflict(&error), "{error}");
    assert_eq!(db::failure(&error), Failure::Permanent);
    assert!(!db::is_duplicate(&test.db.execute_unprepared("SELECT nothing FROM nowhere").await.unwrap_err()));
}

async fn a_rolled_back_transaction_leaves_nothing(test: TestDb) {
    let transaction = db::begin(&test.db).await.unwrap();
    insert(&transaction, "provision").await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(queue::Entity::find().all(&test.db).await.unwrap(), []);
}

/// Two transactions change two rows in opposite order. SQLite serializes them; elsewhere one becomes the victim of a
/// deadlock, and a retry succeeds.
async fn transactions_in_each_others_way_conflict_and_succeed_when_repeated(test: TestDb) {
    insert(&test.db, "a").await.unwrap();
    insert(&test.db, "b").await.unwrap();
    let met = Arc::new(Barrier::new(2));
    let mut both = tokio::task::JoinSet::new();
    for (first, second) in [("a", "b"), ("b", "a")] {
        let (db, kind, met) = (test.db.clone(), test.kind, Arc::clone(&met));
        both.spawn(async move {
            let attempt = change_both(&db, first, second, (kind != DatabaseKind::Sqlite).then_some(&*met)).await;
            let conflicted = attempt.as_ref().err().map(|error| (db::is_conflict(error), db::failure(error)));
            if attempt.is_err() {
                db::retry_conflicts(|| change_both(&db, first, second, None)).await.unwrap();
            }
            conflicted
        });
    }
    let mut outcomes = both.join_all().await;
    outcomes.sort_by_key(Option::is_some);
    let victim = (test.kind != DatabaseKind::Sqlite).then_some((true, Failure::Transient));
    assert_eq!(outcomes, [None, victim]);
    let rows = queue::Entity::find().all(&test.db).await.unwrap();
    assert!(rows.iter().all(|row| row.updated_at == Timestamp::from_millis(2)), "{rows:?}");
}

/// Adds one to both rows, `first` first; with `met` only after the other transaction has changed its first row too.
async fn change_both(
    db: &sea_orm::DatabaseConnection,
    first: &str,
    second: &str,
    met: Option<&Barrier>,
) -> Result<(), DbErr> {
    let transaction = db::begin(db).await?;
    increment(&transaction, first).await?;
    if let Some(met) = met {
        met.wait().await;
    }
    increment(&transaction, second).await?;
    transaction.commit().await
}

async fn increment(db: &impl ConnectionTrait, name: &str) -> Result<(), DbErr> {
    let sql = format!("UPDATE queues SET updated_at = updated_at + 1 WHERE name = '{name}'");
    db.execute_unprepared(&sql).await.map(drop)
}

async fn text_compares_byte_by_byte(test: TestDb) {
    insert(&test.db, "Cafe").await.unwrap();
    insert(&test.db, "cafe").await.unwrap();
    insert(&test.db, "café").await.unwrap();
    assert!(queue::Entity::find_by_id("CAFE".to_owned()).one(&test.db).await.unwrap().is_none());
    assert!(queue::Entity::find_by_id("café".to_owned()).one(&test.db).await.unwrap().is_some());
}

async fn insert(db: &impl ConnectionTrait, name: &str) -> Result<(), DbErr> {
    let row = queue::Model { name: name.to_owned(), paused: false, updated_at: Timestamp::from_millis(0) };
    queue::Entity::insert(row.into_active_model()).exec_without_returning(db).await.map(drop)
}

/// A writer holds SQLite's lock for longer than the next one waits.
#[tokio::test]
async fn a_busy_sqlite_is_a_conflict() {
    let test = TestDb::migrated(DatabaseKind::Sqlite).await;
    let holder = db::begin(&test.db).await.unwrap();
    let impatient = test.another_pool().await;
    let alone = sea_orm::TransactionTrait::begin(&impatient).await.unwrap();
    alone.execute_unprepared("PRAGMA busy_timeout = 20").await.unwrap();
    let row =
        queue::ActiveModel { name: Set("a".into()), paused: Set(false), updated_at: Set(Timestamp::from_millis(0)) };
    let error = row.insert(&alone).await.unwrap_err();
    assert!(db::is_conflict(&error), "{error:?}");
    assert_eq!(db::failure(&error), Failure::Transient);
    holder.rollback().await.unwrap();
}

#[tokio::test]
async fn a_missing_database_is_an_error_without_its_password() {
    let url = Secret::new("postgres://zpack:pa55word@127.0.0.1:1/zpack");
    let error = db::connect(&url, 1).await.unwrap_err();
    assert_eq!(error.to_string(), "cannot connect to the database postgres://127.0.0.1/zpack");
    assert!(!format!("{error:?}").contains("pa55word"));
}
