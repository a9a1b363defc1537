//! Accepting an operation: its row, and when it may start.

use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait};
use serde_json::json;
use zpack::db;
use zpack::db::entities::operation::{self, Actor, CancelRule};
use zpack::db::migrate;
use zpack::jobs::{Queue, Work};
use zpack::kernel::{Clock, OperationId, VmId};
use zpack::operations::{Order, begin, offer, shown_request};
use zpack::power::{HostAction, PowerPayload};

use crate::support::{PrivateRedis, TestDb, lists_at, on_every_database};

on_every_database!(
    a_row_says_all_that_its_work_says,
    work_for_later_waits_by_the_clock_of_the_database,
    operations_of_older_releases_stay_readable,
);

const HOUR: Duration = Duration::from_secs(3600);

fn stop() -> PowerPayload {
    PowerPayload { vmid: VmId::new(5000).unwrap(), action: HostAction::Stop }
}

async fn a_row_says_all_that_its_work_says(test: TestDb) {
    let now = Clock::System.now();
    let id = begin(&test.db, &Order::new(stop()), Actor::Operator, now).await.unwrap().operation.id;
    let row = operation::Entity::find_by_id(id).one(&test.db).await.unwrap().unwrap();
    assert_eq!((row.kind.as_str(), row.queue.as_str()), ("power", "host"));
    assert_eq!((row.schema_version, row.max_starts, row.step_count), (PowerPayload::VERSION, 5, 2));
    assert_eq!(row.vmid, Some(stop().vmid));
    assert_eq!((row.begun_by, row.cancel_rule), (Actor::Operator, CancelRule::Anytime));
    assert_eq!(shown_request(&row), json!({ "action": "stop" }));
}

async fn work_for_later_waits_by_the_clock_of_the_database(test: TestDb) {
    let redis = PrivateRedis::start();
    let lists = lists_at(redis.url());
    let before = db::now(&test.db).await.unwrap();
    let order = Order::new(stop()).run_after(HOUR);
    let begun = begin(&test.db, &order, Actor::System, Clock::System.now()).await.unwrap();
    let after = db::now(&test.db).await.unwrap();
    let due = begun.operation.run_after;
    assert!(before.after(HOUR) <= due && due <= after.after(HOUR), "{before} <= {due} - 1 h <= {after}");
    offer(&lists, &order, &begun).await;
    assert_eq!(lists.ready(Queue::Host).await.unwrap(), 0, "no worker is woken for it");
    let again = begin(&test.db, &Order::new(stop()), Actor::System, Clock::System.now()).await.unwrap();
    assert!(!again.fresh, "it is under way while it waits");

    let other = PowerPayload { vmid: VmId::new(5001).unwrap(), ..stop() };
    let order = Order::new(other);
    let begun = begin(&test.db, &order, Actor::System, Clock::System.now()).await.unwrap();
    offer(&lists, &order, &begun).await;
    assert_eq!(lists.ready(Queue::Host).await.unwrap(), 1);
}

/// What a release without the columns of `m0009` would write.
async fn insert_as_before(db: &impl ConnectionTrait, id: &str, kind: &str, payload: &str) {
    let sql = format!(
        "INSERT INTO operations (id, kind, queue, schema_version, payload, state, unwind, cleanup, run_after, fence, starts, \
         crashes, max_starts, offer_count, cancel_requested, step_count, created_at, event_seq) VALUES ('{id}', '{kind}', \
         'host', 1, '{payload}', 'queued', 'none', 'none', 1, 0, 0, 0, 1, 0, FALSE, 9, 1, 0)"
    );
    db.execute_unprepared(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
}

async fn operations_of_older_releases_stay_readable(test: TestDb) {
    let db = &test.db;
    let ids = ["op_019aaaaaaaaa7aaa8aaaaaaaaaaaaaaa", "op_019bbbbbbbbb7bbb8bbbbbbbbbbbbbbb"];
    let payload = r#"{"user_id":"x","request":{"ctype":"dev"}}"#;
    let read = async |db: &DatabaseConnection, id: &str| {
        let id: OperationId = id.parse().unwrap();
        operation::Entity::find_by_id(id).one(db).await.unwrap().unwrap()
    };
    // An older process that still runs after the migration.
    insert_as_before(db, ids[0], "provision", payload).await;
    let row = read(db, ids[0]).await;
    assert_eq!((row.begun_by, row.cancel_rule), (Actor::System, CancelRule::BeforeStart), "what is safe");
    assert_eq!(shown_request(&row), json!({ "ctype": "dev" }));
    insert_as_before(db, ids[1], "teardown", r#"{"vmid":5000,"by":"x"}"#).await;
    assert_eq!(shown_request(&read(db, ids[1]).await), json!(null));

    // Rows from before the migration.
    for column in ["request", "begun_by", "cancel_rule"] {
        db.execute_unprepared(&format!("ALTER TABLE operations DROP COLUMN {column}")).await.unwrap();
    }
    db.execute_unprepared("DELETE FROM seaql_migrations WHERE version >= 'm0009'").await.unwrap();
    let migrated = test.another_pool().await;
    migrate::up(&migrated).await.unwrap();
    let rules = async |id: &str| {
        let row = read(&migrated, id).await;
        (row.begun_by, row.cancel_rule)
    };
    assert_eq!(rules(ids[0]).await, (Actor::Customer, CancelRule::Anytime));
    assert_eq!(rules(ids[1]).await, (Actor::System, CancelRule::BeforeStart));
}
