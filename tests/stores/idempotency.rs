//! First answers, stored per key on every kind of database.

use std::time::Duration;

use zpack::db;
use zpack::kernel::{OperationId, Timestamp};
use zpack::operations::idempotency::{FirstAnswer, KEPT, KeyState, find, insert, purge};

use crate::support::{TestDb, on_every_database};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn answer(body: &str) -> FirstAnswer {
    FirstAnswer { status: 202, body: body.to_owned(), operation: Some(OperationId::generate()) }
}

async fn an_answer_is_given_again_for_seven_days(test: TestDb) {
    let db = &test.db;
    let first = answer("{\"ok\":true}");
    assert_eq!(find(db, "id", "body", NOW).await.unwrap(), KeyState::Fresh);
    assert!(insert(db, "id", "body", &first, NOW).await.unwrap());
    assert_eq!(find(db, "id", "body", NOW).await.unwrap(), KeyState::Replay(first.clone()));
    assert_eq!(find(db, "id", "other", NOW).await.unwrap(), KeyState::Reused);
    assert_eq!(find(db, "other", "body", NOW).await.unwrap(), KeyState::Fresh);
    assert!(!insert(db, "id", "body", &answer("{}"), NOW).await.unwrap());

    let later = NOW.after(KEPT + Duration::from_millis(1));
    assert_eq!(find(db, "id", "other", later).await.unwrap(), KeyState::Fresh);
    let second = answer("{\"second\":1}");
    assert!(insert(db, "id", "other", &second, later).await.unwrap(), "a forgotten key may be used again");
    assert_eq!(find(db, "id", "other", later).await.unwrap(), KeyState::Replay(second));
    assert_eq!(purge(db, later, 100).await.unwrap(), 0);
    assert_eq!(purge(db, later.after(KEPT), 100).await.unwrap(), 1);
}

async fn of_many_with_one_fresh_key_one_wins_and_the_others_replay(test: TestDb) {
    let attempt = |n: usize| {
        let db = test.db.clone();
        async move {
            let mine = answer(&n.to_string());
            let tx = db::begin(&db).await.unwrap();
            if insert(&tx, "id", "body", &mine, NOW).await.unwrap() {
                tx.commit().await.unwrap();
                return (true, mine.body);
            }
            tx.rollback().await.unwrap();
            match find(&db, "id", "body", NOW).await.unwrap() {
                KeyState::Replay(first) => (false, first.body),
                other => panic!("{other:?}"),
            }
        }
    };
    let outcomes = futures_util::future::join_all((0..8).map(attempt)).await;
    let winners: Vec<_> = outcomes.iter().filter(|(won, _)| *won).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|(_, body)| *body == winners[0].1), "{outcomes:?}");
}

on_every_database!(an_answer_is_given_again_for_seven_days, of_many_with_one_fresh_key_one_wins_and_the_others_replay,);
