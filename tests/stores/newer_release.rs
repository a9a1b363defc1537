//! Rows that a newer release has written: during a deploy old code runs beside it, skips them, and does its own work.

use std::sync::Arc;

use sea_orm::{ActiveValue::Set, ConnectionTrait, EntityTrait};
use tokio_util::sync::CancellationToken;
use zpack::db;
use zpack::db::entities::debt::{self, DebtKind, DebtState};
use zpack::db::entities::instance::{self, InstanceKind, Lifecycle};
use zpack::db::entities::operation::{self, OperationState};
use zpack::jobs::{
    ClaimOutcome, CrashPolicy, Failpoints, JobSettings, Queue, Registry, SweepScope, claim, recover_expired, sweep,
};
use zpack::kernel::{DebtId, InstanceId, OperationId, Timestamp, UserId, VmId, WorkerId};
use zpack::roles::worker::host;
use zpack::servers::store;

use super::lifecycle::Idle;
use crate::support::app::{AppOptions, TestApp, problem};
use crate::support::company::Company;
use crate::support::{PrivateRedis, TestDb, lists_at, on_every_database, rows};

on_every_database!(
    operations_of_a_newer_release_stop_no_recovery_and_no_sweep,
    debts_of_a_newer_release_stop_no_other_debt,
    servers_of_a_newer_release_stop_no_list,
    an_operation_of_a_newer_release_is_a_clear_problem_and_is_counted,
);

/// More than any of the lists under test reads at a time.
const MANY: usize = 120;

/// Stores `MANY` copies of `row` with a value in each column that this release does not know. Returns one of them.
async fn store_newer(test: &TestDb, row: &operation::Model) -> OperationId {
    let columns = ["state", "unwind", "cleanup", "begun_by", "cancel_rule", "kind"];
    let mut id = row.id;
    for column in columns {
        let copies: Vec<_> =
            (0..MANY).map(|_| operation::Model { id: OperationId::generate(), ..row.clone() }).collect();
        rows::store(&test.db, &copies).await;
        id = copies[0].id;
        let ids: Vec<String> = copies.iter().map(|row| format!("'{}'", row.id)).collect();
        let newer = format!("UPDATE operations SET {column} = 'newer' WHERE id IN ({})", ids.join(", "));
        test.db.execute_unprepared(&newer).await.unwrap();
    }
    id
}

fn earlier(now: Timestamp) -> Timestamp {
    Timestamp::from_millis(now.millis() - 3_600_000)
}

async fn operations_of_a_newer_release_stop_no_recovery_and_no_sweep(test: TestDb) {
    let db = &test.db;
    let (registry, settings) = (
        Registry::for_queue(Queue::Provision).with(Arc::new(Idle("repair", CrashPolicy::Resume))).unwrap(),
        JobSettings { slots: None, ..JobSettings::default() },
    );
    let now = db::now(db).await.unwrap();
    let queued = rows::queued(Queue::Provision, "repair", earlier(now));
    let running = operation::Model {
        id: OperationId::generate(),
        state: OperationState::Running,
        fence: 1,
        starts: 1,
        max_starts: 3,
        lease_until: Some(earlier(now)),
        ..queued.clone()
    };
    let newer = store_newer(&test, &queued).await;
    store_newer(&test, &running).await;
    rows::store(db, &[operation::Model { run_after: now, ..queued.clone() }]).await;
    rows::store(db, &[operation::Model { lease_until: Some(now), ..running.clone() }]).await;

    let recovered = recover_expired(db, Queue::Provision, &registry, &settings, now, &Failpoints::default()).await;
    assert_eq!(recovered.unwrap(), 1);
    assert_eq!(rows::read(db, running.id).await.state, OperationState::Queued);

    let redis = PrivateRedis::start();
    let lists = lists_at(redis.url());
    let offered = sweep(db, &lists, Queue::Provision, &registry, SweepScope::Everything, &Failpoints::default()).await;
    assert_eq!(offered.unwrap(), 1);

    let worker = WorkerId::generate();
    let outcome = claim(db, Queue::Provision, newer, worker, &registry, &settings).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Unknown), "{outcome:?}");
    let outcome = claim(db, Queue::Provision, queued.id, worker, &registry, &settings).await.unwrap();
    assert!(matches!(outcome, ClaimOutcome::Claimed(_)), "{outcome:?}");
}

async fn debts_of_a_newer_release_stop_no_other_debt(test: TestDb) {
    let company = Company::start_over(test, 0.01).await;
    let db = &company.db.db;
    let made = rows::queued(Queue::Host, "teardown", Timestamp::from_millis(1));
    rows::store(db, std::slice::from_ref(&made)).await;
    let subject = |vmid: i64| {
        serde_json::json!({ "vmid": vmid, "nonce": made.id, "node": "pve1", "unpublish": null, "targets": [] })
            .to_string()
    };
    let row = |vmid: i64, due: i64| debt::ActiveModel {
        id: Set(DebtId::generate()),
        operation_id: Set(made.id),
        kind: Set(DebtKind::Reservation),
        vmid: Set(Some(VmId::new(vmid).unwrap())),
        node: Set(None),
        detail: Set("VMID and host name".to_owned()),
        subject: Set(Some(subject(vmid))),
        state: Set(DebtState::Open),
        attempts: Set(0),
        next_attempt_at: Set(Some(Timestamp::from_millis(due))),
        last_error: Set(None),
        created_at: Set(Timestamp::from_millis(1)),
        updated_at: Set(Timestamp::from_millis(1)),
    };
    debt::Entity::insert_many((0..MANY).map(|n| row(6000 + i64::try_from(n).unwrap(), 1)))
        .exec_without_returning(db)
        .await
        .unwrap();
    db.execute_unprepared("UPDATE debts SET kind = 'newer'").await.unwrap();
    debt::Entity::insert(row(5000, 2)).exec_without_returning(db).await.unwrap();
    let collector = host::collector(&company.parts());
    assert_eq!(collector.collect(&CancellationToken::new()).await.unwrap(), 1);
}

async fn servers_of_a_newer_release_stop_no_list(test: TestDb) {
    let db = &test.db;
    let now = db::now(db).await.unwrap();
    let server = |number: i64| instance::Model {
        id: InstanceId::generate(),
        vmid: VmId::new(number).unwrap(),
        hostname: format!("mc-{number}").parse().unwrap(),
        name: format!("mc-{number}"),
        user_id: UserId::generate(),
        operation_id: OperationId::generate(),
        kind: InstanceKind::Game,
        software: "minecraft".to_owned(),
        variant: Some("paper".to_owned()),
        version: "1.21".to_owned(),
        memory_mib: 1024,
        cpu_cores: 1,
        node: "pve1".to_owned(),
        address: "192.0.2.1".to_owned(),
        lifecycle: Lifecycle::Active,
        generation: 1,
        payload: "{}".to_owned(),
        edge_due_at: Some(now),
        resume: false,
        revision: 0,
        created_at: now,
        updated_at: now,
    };
    for number in [5000, 5001, 5002] {
        store::insert(&rows::AnyOwner(db), server(number)).await.unwrap();
    }
    db.execute_unprepared("UPDATE instances SET kind = 'newer' WHERE vmid = 5000").await.unwrap();
    db.execute_unprepared("UPDATE instances SET lifecycle = 'newer' WHERE vmid = 5001").await.unwrap();
    let expected = [5002];
    let numbers = |rows: Vec<instance::Model>| rows.into_iter().map(|row| row.vmid.get()).collect::<Vec<_>>();
    assert_eq!(numbers(store::list_all(db, None, 1).await.unwrap()), expected, "a page is filled with readable rows");
    assert_eq!(numbers(store::list_active(db, 10).await.unwrap()), expected);
    assert_eq!(numbers(store::list_active_games(db).await.unwrap()), expected);
    assert_eq!(numbers(store::list_due(db, now, 1).await.unwrap()), expected);
    assert_eq!(numbers(store::list_unsettled(db, 10).await.unwrap()), expected);
    let skipped = db::skipped_rows().into_iter().find(|(table, _)| *table == "instances");
    assert!(skipped.is_some_and(|(_, count)| count >= 2), "{skipped:?}");
}

async fn an_operation_of_a_newer_release_is_a_clear_problem_and_is_counted(test: TestDb) {
    let db = &test.db;
    let queued = rows::queued(Queue::Provision, "repair", earlier(db::now(db).await.unwrap()));
    let newer = store_newer(&test, &queued).await;
    let of_newer = "UPDATE operations SET state = 'newer' WHERE id = '";
    db.execute_unprepared(&format!("{of_newer}{newer}'")).await.unwrap();
    let skipped = |table: &str| {
        let all = db::skipped_rows();
        all.iter().find(|(name, _)| *name == table).map_or(0, |(_, count)| *count)
    };
    let before = skipped("operations");
    let (app, root) = {
        let app = TestApp::start_on(test, AppOptions::default());
        let root = app.admin("root").await;
        (app, root)
    };
    for (method, path) in [("GET", ""), ("GET", "/events"), ("POST", "/cancel")] {
        let request = app.request(method.parse().unwrap(), &format!("/api/operations/{newer}{path}"));
        let body = problem(request.bearer_auth(&root).send().await.unwrap()).await;
        assert_eq!(body["code"], "unreadable", "{method} {path}: {body}");
        assert!(body["error"].as_str().unwrap().contains("newer"), "{body}");
    }
    assert!(skipped("operations") >= before + 3, "they are counted");
    let page = app.get("/api/operations").bearer_auth(&root).send().await.unwrap();
    assert_eq!(page.status().as_u16(), 200);

    // In the queue: one of them has a state that belongs to no queue, and another release's kind is no obstacle.
    let unreadable = zpack::jobs::unreadable_rows(&app.database.db).await.unwrap();
    assert_eq!(unreadable, u64::try_from(MANY * 4).unwrap());
    app.stop().await;
}
