//! One operation for each episode, whichever process is first, on every kind of database.

use std::time::Duration;

use sea_orm::{ActiveValue::Set, DatabaseConnection, EntityTrait, PaginatorTrait};
use zpack::db;
use zpack::db::entities::episode;
use zpack::db::entities::operation::{self, Actor, OperationState};
use zpack::edge::Intent;
use zpack::kernel::{OperationId, Timestamp, VmId};
use zpack::operations::episodes::{Episode, EpisodeClaim, KEPT, claim_episode, purge};
use zpack::operations::{Order, begin};

use zpack::publishing::PublishPayload;

use crate::support::{TestDb, on_every_database};

on_every_database!(
    an_episode_has_one_operation_and_another_one_its_own,
    of_two_that_begin_at_once_the_second_learns_of_the_first,
    the_second_takes_the_place_of_a_first_that_was_rolled_back,
    of_many_at_once_one_is_first,
    an_order_for_an_episode_gets_its_first_operation_even_after_the_end,
    what_was_kept_long_enough_is_forgotten,
);

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn outage(name: &str) -> Episode {
    Episode { subject: "server:5000".to_owned(), name: name.to_owned() }
}

async fn claim(db: &DatabaseConnection, kind: &str, episode: &Episode, operation: OperationId) -> EpisodeClaim {
    let tx = db::begin(db).await.unwrap();
    let claim = claim_episode(&tx, kind, episode, operation, NOW).await.unwrap();
    tx.commit().await.unwrap();
    claim
}

async fn an_episode_has_one_operation_and_another_one_its_own(test: TestDb) {
    let db = &test.db;
    let [first, second, third, fourth] = std::array::from_fn(|_| OperationId::generate());
    assert_eq!(claim(db, "repair", &outage("1"), first).await, EpisodeClaim::Claimed);
    assert_eq!(claim(db, "repair", &outage("1"), second).await, EpisodeClaim::Already(first));
    assert_eq!(claim(db, "repair", &outage("2"), second).await, EpisodeClaim::Claimed);
    assert_eq!(claim(db, "notify", &outage("1"), third).await, EpisodeClaim::Claimed);
    let elsewhere = Episode { subject: "server:5001".to_owned(), ..outage("1") };
    assert_eq!(claim(db, "repair", &elsewhere, fourth).await, EpisodeClaim::Claimed);
    // A retried transaction whose first commit succeeded without an answer.
    assert_eq!(claim(db, "repair", &outage("1"), first).await, EpisodeClaim::Claimed);
}

/// Begins the same episode twice; the first ends its transaction with `commit` when the second may be waiting.
async fn race(test: &TestDb, commit: bool) -> (OperationId, OperationId, EpisodeClaim) {
    let (first, second) = (OperationId::generate(), OperationId::generate());
    let other = test.another_pool().await;
    let tx = db::begin(&test.db).await.unwrap();
    assert_eq!(claim_episode(&tx, "repair", &outage("1"), first, NOW).await.unwrap(), EpisodeClaim::Claimed);
    let waiting = tokio::spawn({
        let other = other.clone();
        async move {
            // The second writer may be refused instead of waiting; then it retries its transaction.
            db::retry_conflicts(|| async {
                let tx = db::begin(&other).await?;
                let claim = claim_episode(&tx, "repair", &outage("1"), second, NOW).await?;
                tx.commit().await?;
                Ok::<_, sea_orm::DbErr>(claim)
            })
            .await
            .unwrap()
        }
    });
    // The second may be waiting by now; the outcome is the same if it comes later.
    tokio::task::yield_now().await;
    if commit {
        tx.commit().await.unwrap();
    } else {
        tx.rollback().await.unwrap();
    }
    let claim = waiting.await.unwrap();
    other.close().await.unwrap();
    (first, second, claim)
}

async fn of_two_that_begin_at_once_the_second_learns_of_the_first(test: TestDb) {
    let (first, _, second) = race(&test, true).await;
    assert_eq!(second, EpisodeClaim::Already(first));
    assert_eq!(episode::Entity::find().count(&test.db).await.unwrap(), 1);
}

async fn the_second_takes_the_place_of_a_first_that_was_rolled_back(test: TestDb) {
    let (_, second, claim) = race(&test, false).await;
    assert_eq!(claim, EpisodeClaim::Claimed);
    let rows = episode::Entity::find().all(&test.db).await.unwrap();
    assert_eq!(rows.into_iter().map(|row| row.operation_id).collect::<Vec<_>>(), [second]);
}

async fn of_many_at_once_one_is_first(test: TestDb) {
    let ids: Vec<_> = (0..8).map(|_| OperationId::generate()).collect();
    let claims = ids.iter().map(|id| {
        let db = test.db.clone();
        async move {
            db::retry_conflicts(|| async {
                let tx = db::begin(&db).await?;
                let claim = claim_episode(&tx, "repair", &outage("1"), *id, NOW).await?;
                tx.commit().await?;
                Ok::<_, sea_orm::DbErr>(claim)
            })
            .await
            .unwrap()
        }
    });
    let claims = futures_util::future::join_all(claims).await;
    let first = ids[claims.iter().position(|claim| *claim == EpisodeClaim::Claimed).unwrap()];
    let others = claims.iter().filter(|claim| **claim == EpisodeClaim::Already(first)).count();
    assert_eq!(others, 7, "{claims:?}");
}

async fn an_order_for_an_episode_gets_its_first_operation_even_after_the_end(test: TestDb) {
    let db = &test.db;
    let order = || {
        let work = PublishPayload { vmid: VmId::new(5000).unwrap(), intent: Intent::Published, request: 1 };
        Order::new(work).once(outage("1"))
    };
    let begun = begin(db, &order(), Actor::Billing, NOW).await.unwrap();
    assert!(begun.fresh);
    let id = begun.operation.id;
    let ended = operation::ActiveModel { id: Set(id), state: Set(OperationState::Failed), ..Default::default() };
    operation::Entity::update(ended).exec(db).await.unwrap();
    let again = begin(db, &order(), Actor::Billing, NOW).await.unwrap();
    assert_eq!((again.fresh, again.operation.id), (false, id));
    assert_eq!(operation::Entity::find().count(db).await.unwrap(), 1);
}

async fn what_was_kept_long_enough_is_forgotten(test: TestDb) {
    let db = &test.db;
    for name in ["1", "2", "3"] {
        claim(db, "repair", &outage(name), OperationId::generate()).await;
    }
    assert_eq!(purge(db, NOW.after(KEPT - Duration::from_millis(1)), 100).await.unwrap(), 0);
    assert_eq!(purge(db, NOW.after(KEPT), 2).await.unwrap(), 2);
    assert_eq!(purge(db, NOW.after(KEPT), 2).await.unwrap(), 1);
    assert_eq!(claim(db, "repair", &outage("1"), OperationId::generate()).await, EpisodeClaim::Claimed);
}
