//! The state of the queues, from a database of every kind and from Redis.

use std::time::Duration;

use redis::AsyncCommands;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DatabaseConnection, EntityTrait, IntoActiveModel};
use zpack::db;
use zpack::db::entities::debt::{self, DebtKind, DebtState};
use zpack::db::entities::operation::{self, OperationState, UndoState};
use zpack::jobs::{Depth, EndedCounts, Queue, ended_since, ensure_slots, queue_statuses, set_paused};
use zpack::kernel::{DebtId, OperationId, Timestamp, WorkerId};
use zpack::roles::upkeep::{read_database, read_redis};
use zpack::telemetry::Metrics;

use crate::support::{PrivateRedis, TestDb, lists_at, on_every_database, rows};

async fn insert(
    db: &DatabaseConnection,
    state: OperationState,
    unwind: UndoState,
    run_after: Timestamp,
    starts: i32,
) -> OperationId {
    let row = operation::Model {
        state,
        unwind,
        starts,
        fence: 1,
        finished_at: state.is_ended().then_some(run_after),
        ..rows::queued(Queue::Provision, "provision", run_after)
    };
    let id = row.id;
    operation::Entity::insert(row.into_active_model().reset_all()).exec_without_returning(db).await.unwrap();
    id
}

async fn owe(db: &DatabaseConnection, id: OperationId, at: Timestamp) {
    let row = debt::ActiveModel {
        id: Set(DebtId::generate()),
        operation_id: Set(id),
        kind: Set(DebtKind::Container),
        vmid: Set(None),
        node: Set(None),
        detail: Set("a container may exist".to_owned()),
        subject: Set(None),
        state: Set(DebtState::Open),
        attempts: Set(0),
        next_attempt_at: Set(None),
        last_error: Set(None),
        created_at: Set(at),
        updated_at: Set(at),
    };
    debt::Entity::insert(row).exec_without_returning(db).await.unwrap();
}

async fn every_question_about_a_queue_is_answered(test: TestDb) {
    let db = &test.db;
    let empty = queue_statuses(db).await.unwrap();
    assert_eq!((empty.len(), empty[0].due, empty[0].oldest_due_at, empty[0].slots), (Queue::ALL.len(), 0, None, 0));

    let now = db::now(db).await.unwrap();
    let ago = |seconds: i64| Timestamp::from_millis(now.millis() - seconds * 1000);
    ensure_slots(db, Queue::Provision, 3).await.unwrap();
    set_paused(db, Queue::Provision, true, now).await.unwrap();
    insert(db, OperationState::Queued, UndoState::None, ago(90), 0).await;
    insert(db, OperationState::Queued, UndoState::None, ago(30), 0).await;
    insert(db, OperationState::Queued, UndoState::None, now.after(Duration::from_secs(600)), 0).await;
    insert(db, OperationState::Queued, UndoState::None, ago(500), 1).await;
    insert(db, OperationState::Running, UndoState::None, ago(40), 1).await;
    insert(db, OperationState::Failed, UndoState::Running, ago(40), 1).await;
    insert(db, OperationState::Succeeded, UndoState::None, ago(40), 1).await;
    insert(db, OperationState::Succeeded, UndoState::None, ago(200_000), 1).await;
    let held = insert(db, OperationState::Stale, UndoState::Held, ago(40), 1).await;
    let given_up = insert(db, OperationState::Stale, UndoState::None, ago(40), 1).await;
    owe(db, held, now).await;
    owe(db, held, now).await;
    owe(db, given_up, now).await;

    let status = &queue_statuses(db).await.unwrap()[0];
    assert!(status.paused);
    assert_eq!((status.due, status.oldest_due_at), (2, Some(ago(90))));
    assert_eq!((status.running, status.slots, status.slots_taken), (2, 3, 0));
    assert_eq!((status.dead, status.debts), (3, 1));
    let ended = ended_since(db, ago(24 * 3600)).await.unwrap();
    assert_eq!(ended["provision"], EndedCounts { succeeded: 1, failed: 1, cancelled: 0, stale: 2 });

    let metrics = Metrics::default();
    read_database(db, &metrics.stores).await.unwrap();
    let text = metrics.render().unwrap();
    for line in ["due{queue=\"provision\"} 2", "dead{queue=\"provision\"} 3", "paused{queue=\"provision\"} 1"] {
        assert!(text.contains(&format!("zpack_queue_{line}\n")), "{line} is not in\n{text}");
    }
    let oldest =
        text.lines().find_map(|line| line.strip_prefix("zpack_queue_oldest_due_age_seconds{queue=\"provision\"} "));
    assert!(oldest.unwrap().parse::<i64>().unwrap() >= 90, "{text}");
}

on_every_database!(every_question_about_a_queue_is_answered);

#[tokio::test]
async fn redis_shows_waiting_ids_their_holders_and_living_workers() {
    let server = PrivateRedis::start_with(&["--maxmemory", "64mb"]);
    let lists = lists_at(server.url());
    let queue = Queue::Provision;
    assert_eq!(lists.depth(queue).await.unwrap(), Depth::default());

    let (living, dead) = (WorkerId::generate(), WorkerId::generate());
    let mut connection = lists.connection();
    for _ in 0..3 {
        lists.offer_new(queue, OperationId::generate()).await.unwrap();
    }
    lists.heartbeat(queue, living, Duration::from_secs(60)).await.unwrap();
    let _: () = connection.zadd(queue.workers_key(), dead.to_string(), 1).await.unwrap();
    let _: () = connection.lpush(queue.processing_key(living), &["a", "b"]).await.unwrap();
    let _: () = connection.lpush(queue.processing_key(dead), "c").await.unwrap();
    let depth = lists.depth(queue).await.unwrap();
    assert_eq!(depth, Depth { ready: 3, processing: 3, workers: 1, dead_workers: 1 });

    let metrics = Metrics::default();
    read_redis(&lists, &metrics.stores).await.unwrap();
    let text = metrics.render().unwrap();
    for line in [
        "zpack_queue_ready{queue=\"provision\"} 3",
        "zpack_queue_workers{queue=\"provision\"} 1",
        "zpack_redis_memory_max_bytes{} 67108864",
        "zpack_redis_noeviction{} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
}
