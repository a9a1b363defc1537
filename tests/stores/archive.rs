//! What is over moves to the archive, by any number of processes at once: nothing is lost, nothing is there twice, also
//! when a process is dropped at any await.

use std::collections::BTreeSet;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use sea_orm::{ActiveModelTrait, EntityTrait, IntoActiveModel, PaginatorTrait};
use serde_json::Value;
use zpack::audit;
use zpack::config::RetentionConfig;
use zpack::db::archive;
use zpack::db::entities::archived_record::{self, Origin};
use zpack::db::entities::debt::{self, DebtKind, DebtState};
use zpack::db::entities::operation::{self, Cleanup, OperationState, UndoState};
use zpack::db::entities::operation_step::{self, StepStatus};
use zpack::db::entities::{audit_event, deleted_instance, episode, operation_event};
use zpack::jobs::Queue;
use zpack::kernel::{DebtId, InstanceId, OperationId, Timestamp, UserId, VmId};
use zpack::operations::EventKind;
use zpack::roles::upkeep::{Purged, purge};

use crate::support::{TestDb, on_every_database, rows};

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const DAY: Duration = Duration::from_secs(24 * 3600);
const KEPT: RetentionConfig = RetentionConfig {
    operations: DAY.saturating_mul(30),
    audit: DAY.saturating_mul(40),
    deleted_servers: DAY.saturating_mul(50),
    archive: DAY.saturating_mul(60),
};

fn days_ago(days: i64) -> Timestamp {
    Timestamp::from_millis(NOW.millis() - days * 24 * 3_600_000)
}

/// An operation that ended then, with a step, an event and a debt.
async fn ended(test: &TestDb, days: i64, change: impl FnOnce(&mut operation::Model), open: bool) -> OperationId {
    let at = days_ago(days);
    let mut row = operation::Model {
        state: OperationState::Failed,
        finished_at: Some(at),
        payload: r#"{"note":"it's \"quoted\""}"#.to_owned(),
        ..rows::queued(Queue::Host, "power", at)
    };
    change(&mut row);
    let id = row.id;
    rows::store(&test.db, &[row]).await;
    let step = operation_step::Model {
        operation_id: id,
        seq: 0,
        name: "stop".to_owned(),
        status: StepStatus::Done,
        outside: true,
        fence: 1,
        detail: Some("12".to_owned()),
        started_at: at,
        finished_at: Some(at),
    };
    operation_step::Entity::insert(step.into_active_model().reset_all())
        .exec_without_returning(&test.db)
        .await
        .unwrap();
    zpack::operations::record_event(&test.db, id, EventKind::Queued, &serde_json::json!({}), at).await.unwrap();
    let debt = debt::Model {
        id: DebtId::generate(),
        operation_id: id,
        kind: DebtKind::Container,
        vmid: None,
        node: None,
        detail: String::new(),
        subject: None,
        state: if open { DebtState::Open } else { DebtState::Settled },
        attempts: 0,
        next_attempt_at: None,
        last_error: None,
        created_at: at,
        updated_at: at,
    };
    debt::Entity::insert(debt.into_active_model().reset_all()).exec_without_returning(&test.db).await.unwrap();
    id
}

async fn deleted(test: &TestDb, archived: i64, finished: Option<i64>) {
    let row = deleted_instance::Model {
        id: InstanceId::generate(),
        vmid: VmId::new(5000).unwrap(),
        hostname: "mc-paper-5000".parse().unwrap(),
        user_id: UserId::generate(),
        operation_id: OperationId::generate(),
        teardown_id: OperationId::generate(),
        deleted_by: "internal".to_owned(),
        snapshot: "{}".to_owned(),
        archived_at: days_ago(archived),
        finished_at: finished.map(days_ago),
    };
    deleted_instance::Entity::insert(row.into_active_model().reset_all())
        .exec_without_returning(&test.db)
        .await
        .unwrap();
}

async fn audited(test: &TestDb, days: i64) {
    let entry = audit::Entry {
        actor: "internal".to_owned(),
        action: "server.delete",
        subject: "server:5000".to_owned(),
        outcome: audit::AuditOutcome::Done,
        request: None,
        detail: Value::Null,
    };
    audit::record(&test.db, entry, days_ago(days)).await.unwrap();
}

async fn left(test: &TestDb) -> BTreeSet<OperationId> {
    operation::Entity::find().all(&test.db).await.unwrap().into_iter().map(|row| row.id).collect()
}

/// Waits until each of `over` is either present or archived: the last commit of a dropped process may be under way
/// between two readings.
async fn expect_each_once(test: &TestDb, over: &BTreeSet<OperationId>) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let present = left(test).await;
        let archived = archived_record::Entity::find().all(&test.db).await.unwrap();
        let archived: BTreeSet<OperationId> = archived.iter().map(|row| row.id.parse().unwrap()).collect();
        if present.is_disjoint(&archived) && &(&present | &archived) == over {
            return;
        }
        assert!(Instant::now() < deadline, "present: {present:?}, archived: {archived:?}");
        tokio::task::yield_now().await;
    }
}

async fn what_is_over_is_archived_with_everything_that_belongs_to_it(test: TestDb) {
    let over = ended(&test, 31, |_| (), false).await;
    let mut stays = BTreeSet::from([ended(&test, 29, |_| (), false).await]);
    stays.insert(ended(&test, 31, |_| (), true).await);
    stays.insert(ended(&test, 31, |row| row.cleanup = Cleanup::Required, false).await);
    stays.insert(ended(&test, 31, |row| row.unwind = UndoState::Held, false).await);
    let of_episode = ended(&test, 31, |_| (), false).await;
    stays.insert(of_episode);
    let row = episode::Model {
        id: "episode".to_owned(),
        kind: "power".to_owned(),
        subject: "server".to_owned(),
        name: "once".to_owned(),
        operation_id: of_episode,
        begun_at: days_ago(31),
    };
    episode::Entity::insert(row.into_active_model().reset_all()).exec_without_returning(&test.db).await.unwrap();
    for days in [41, 39] {
        audited(&test, days).await;
    }
    deleted(&test, 60, Some(51)).await;
    deleted(&test, 60, Some(49)).await;
    deleted(&test, 60, None).await;

    let purged = purge(&test.db, NOW, &KEPT).await.unwrap();
    assert_eq!(purged, Purged { operations: 1, audit_events: 1, deleted_instances: 1, ..Purged::default() });
    assert_eq!(left(&test).await, stays);
    assert_eq!(audit_event::Entity::find().count(&test.db).await.unwrap(), 1);
    assert_eq!(deleted_instance::Entity::find().count(&test.db).await.unwrap(), 2);
    assert_eq!(operation_step::Entity::find().count(&test.db).await.unwrap(), stays.len() as u64);
    assert_eq!(operation_event::Entity::find().count(&test.db).await.unwrap(), stays.len() as u64);
    assert_eq!(debt::Entity::find().count(&test.db).await.unwrap(), stays.len() as u64);

    let record = archive::find(&test.db, Origin::Operation, &over.to_string()).await.unwrap().unwrap();
    assert_eq!((record.at, record.archived_at), (days_ago(31), NOW));
    let body: Value = serde_json::from_str(&record.body).unwrap();
    assert_eq!(body["operations"][0]["payload"], r#"{"note":"it's \"quoted\""}"#);
    assert_eq!(body["operations"][0]["state"], "failed");
    assert_eq!(body["operation_steps"][0]["detail"], "12", "text stays text");
    for table in ["operations", "operation_steps", "operation_events", "debts"] {
        assert_eq!(body[table].as_array().unwrap().len(), 1, "{body:#}");
    }
    assert_eq!(purge(&test.db, NOW, &KEPT).await.unwrap(), Purged::default());
}

async fn processes_that_archive_at_once_archive_each_operation_once(test: TestDb) {
    let mut over = Vec::new();
    for _ in 0..250 {
        let row = operation::Model {
            state: OperationState::Succeeded,
            finished_at: Some(days_ago(31)),
            ..rows::queued(Queue::Host, "power", days_ago(31))
        };
        over.push(row);
    }
    rows::store(&test.db, &over).await;
    let other = test.another_pool().await;
    let (mine, theirs) = tokio::join!(purge(&test.db, NOW, &KEPT), purge(&other, NOW, &KEPT));
    let third = purge(&test.db, NOW, &KEPT).await.unwrap();
    assert_eq!(mine.unwrap().operations + theirs.unwrap().operations + third.operations, 250);
    assert_eq!(archived_record::Entity::find().count(&test.db).await.unwrap(), 250);
    other.close().await.unwrap();
}

async fn a_process_that_ends_at_any_point_loses_nothing(test: TestDb) {
    let mut over = BTreeSet::new();
    for _ in 0..20 {
        over.insert(ended(&test, 31, |_| (), false).await);
    }
    for polls in 0.. {
        let mut work = pin!(purge(&test.db, NOW, &KEPT));
        let mut polls_left = polls;
        let done = poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(_) => Poll::Ready(true),
            Poll::Pending if polls_left == 0 => Poll::Ready(false),
            Poll::Pending => {
                polls_left -= 1;
                Poll::Pending
            }
        });
        let done = done.await;
        expect_each_once(&test, &over).await;
        // The transaction of a dropped process may still be open; its rows are left to it.
        if done && archived_record::Entity::find().count(&test.db).await.unwrap() == 20 {
            break;
        }
    }
    purge(&test.db, NOW, &KEPT).await.unwrap();
    assert_eq!(archived_record::Entity::find().count(&test.db).await.unwrap(), 20);
    assert_eq!(debt::Entity::find().count(&test.db).await.unwrap(), 0);
}

/// A record that was archived then.
async fn record(test: &TestDb, origin: Origin, id: &str, days: i64) {
    let record = archived_record::Model {
        origin,
        id: id.to_owned(),
        body: "{}".to_owned(),
        at: days_ago(days + 100),
        archived_at: days_ago(days),
    };
    archived_record::Entity::insert(record.into_active_model().reset_all())
        .exec_without_returning(&test.db)
        .await
        .unwrap();
}

async fn the_archive_forgets_what_is_over_there_too(test: TestDb) {
    record(&test, Origin::Operation, "same-id", 61).await;
    record(&test, Origin::AuditEvent, "same-id", 59).await;
    for n in 0..1203 {
        record(&test, Origin::AuditEvent, &format!("audit-{n}"), 61).await;
    }
    assert_eq!(archive::delete_older(&test.db, days_ago(60), 3).await.unwrap(), 3, "one statement is bounded");
    let other = test.another_pool().await;
    let (mine, theirs) = tokio::join!(purge(&test.db, NOW, &KEPT), purge(&other, NOW, &KEPT));
    assert_eq!(mine.unwrap().archived_records + theirs.unwrap().archived_records, 1201);
    let left = archived_record::Entity::find().all(&test.db).await.unwrap();
    assert_eq!(
        left.iter().map(|row| (row.origin, row.id.as_str())).collect::<Vec<_>>(),
        [(Origin::AuditEvent, "same-id")]
    );
    other.close().await.unwrap();
}

on_every_database!(
    the_archive_forgets_what_is_over_there_too,
    what_is_over_is_archived_with_everything_that_belongs_to_it,
    processes_that_archive_at_once_archive_each_operation_once,
    a_process_that_ends_at_any_point_loses_nothing,
);
