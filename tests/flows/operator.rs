//! What an operator can do with operations on the command line, with the real binary.

use std::process::Output;

use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseConnection, EntityTrait, IntoActiveModel, PaginatorTrait,
    QueryFilter,
};
use zpack::db;
use zpack::db::entities::debt::{self, DebtKind, DebtState};
use zpack::db::entities::operation::{self, Cleanup, OperationState, UndoState};
use zpack::db::entities::{audit_event, operation_step, reservation};
use zpack::jobs::Queue;
use zpack::kernel::{DebtId, OperationId, Secret, Timestamp, VmId};
use zpack::servers::ports;

use crate::support::rows::{self, AnyOwner};

use super::process::{Dev, json, stderr};

async fn insert(db: &DatabaseConnection, state: OperationState, unwind: UndoState) -> OperationId {
    let now = db::now(db).await.unwrap();
    let row = operation::Model {
        state,
        unwind,
        cleanup: if unwind == UndoState::Held { Cleanup::Required } else { Cleanup::None },
        fence: 3,
        crashes: 10,
        ..rows::queued(Queue::Provision, "unknown_kind", now)
    };
    let id = row.id;
    operation::Entity::insert(row.into_active_model().reset_all()).exec_without_returning(db).await.unwrap();
    id
}

async fn reserve(db: &DatabaseConnection, vmid: i64, id: OperationId) {
    let row = reservation::ActiveModel {
        vmid: Set(VmId::new(vmid).unwrap()),
        hostname: Set(format!("mc-paper-{vmid}").parse().unwrap()),
        state: Set(reservation::ReservationState::Held),
        operation_id: Set(id),
        created_at: Set(Timestamp::from_millis(0)),
        released_at: Set(None),
        node: Set(None),
        memory_mib: Set(None),
    };
    reservation::Entity::insert(row).exec_without_returning(db).await.unwrap();
}

async fn owe(db: &DatabaseConnection, id: OperationId) {
    let zero = Timestamp::from_millis(0);
    let step = operation_step::ActiveModel {
        operation_id: Set(id),
        seq: Set(0),
        name: Set("clone_container".to_owned()),
        status: Set(operation_step::StepStatus::Started),
        outside: Set(true),
        fence: Set(3),
        detail: Set(None),
        started_at: Set(zero),
        finished_at: Set(None),
    };
    operation_step::Entity::insert(step).exec_without_returning(db).await.unwrap();
    let row = debt::ActiveModel {
        id: Set(DebtId::generate()),
        operation_id: Set(id),
        kind: Set(DebtKind::Container),
        vmid: Set(Some(VmId::new(5001).unwrap())),
        node: Set(Some("pve1".to_owned())),
        detail: Set("the container may exist".to_owned()),
        subject: Set(None),
        state: Set(DebtState::Open),
        attempts: Set(10),
        next_attempt_at: Set(None),
        last_error: Set(None),
        created_at: Set(zero),
        updated_at: Set(zero),
    };
    debt::Entity::insert(row).exec_without_returning(db).await.unwrap();
}

async fn row(db: &DatabaseConnection, id: OperationId) -> operation::Model {
    operation::Entity::find_by_id(id).one(db).await.unwrap().unwrap()
}

fn ok(output: Output) -> Output {
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_abandons_and_requeues_operations() {
    let dev = Dev::new();
    let running = dev.start(&["--roles"]);
    let db = db::connect(&Secret::new(dev.setting("DATABASE_URL")), 2).await.unwrap();
    let queued = insert(&db, OperationState::Queued, UndoState::None).await;
    reserve(&db, 5000, queued).await;
    let zero = Timestamp::from_millis(0);
    ports::take(&AnyOwner(&db), &(50_000..=50_000), 1, queued, zero).await.unwrap().unwrap();
    let held = insert(&db, OperationState::Stale, UndoState::Held).await;
    reserve(&db, 5001, held).await;
    owe(&db, held).await;
    let done = insert(&db, OperationState::Succeeded, UndoState::None).await;

    let dead = json(&dev.join(&["--json", "queue", "dead"]));
    let ids: Vec<_> = dead["operations"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, [held.to_string()]);
    assert_eq!(json(&dev.join(&["--json", "queue", "list"]))["queues"][0]["due"], 1);

    let offered = json(&ok(dev.join(&["--json", "queue", "requeue", &queued.to_string()])));
    assert_eq!(offered["requeued"], "run");
    assert_eq!(json(&dev.join(&["--json", "queue", "list"]))["queues"][0]["ready"], 1);
    let again = json(&ok(dev.join(&["--json", "queue", "requeue", &held.to_string()])));
    assert_eq!(again["requeued"], "undo");
    let requeued = row(&db, held).await;
    assert_eq!((requeued.unwind, requeued.cleanup, requeued.crashes), (UndoState::Due, Cleanup::Pending, 0));

    let debts = json(&ok(dev.join(&["--json", "ops", "debts"])));
    let early = dev.join(&["ops", "release", debts["debts"][0]["id"].as_str().unwrap(), "--reason", "burnt"]);
    assert!(stderr(&early).contains("zpack ops abandon"), "{}", stderr(&early));
    let given_up = json(&ok(dev.join(&["--json", "ops", "abandon", &held.to_string(), "--reason", "node burnt"])));
    assert_eq!(given_up["debts"][0]["state"], "open");
    let after = row(&db, held).await;
    assert_eq!((after.state, after.unwind, after.cleanup), (OperationState::Stale, UndoState::None, Cleanup::Required));
    ok(dev.join(&["ops", "abandon", &queued.to_string()]));
    assert_eq!(row(&db, queued).await.state, OperationState::Cancelled);
    let in_force = reservation::Column::State.eq(reservation::ReservationState::Held);
    let reserved = reservation::Entity::find().filter(in_force).all(&db).await.unwrap();
    let reserved: Vec<i32> = reserved.iter().map(|row| row.vmid.get()).collect();
    assert_eq!(reserved, [5001], "a VMID that may be in use outside stays reserved");
    assert_eq!(ports::find(&db, queued).await.unwrap(), [] as [u16; 0], "its public port is free again");

    let listed = json(&ok(dev.join(&["--json", "ops", "debts"])));
    let debt = listed["debts"][0]["id"].as_str().unwrap();
    let table = String::from_utf8(ok(dev.join(&["ops", "debts"])).stdout).unwrap();
    assert!(table.contains(debt) && table.contains("pve1"), "{table}");
    // A reason is required, and one unknown id makes the whole command fail.
    assert_eq!(dev.join(&["ops", "release", debt]).status.code(), Some(2));
    let unknown = DebtId::generate().to_string();
    let refused = dev.join(&["ops", "release", debt, &unknown, "--reason", "burnt"]);
    assert!(stderr(&refused).contains("zpack ops debts shows"), "{}", stderr(&refused));
    let released = json(&ok(dev.join(&["--json", "ops", "release", debt, "--reason", "burnt"])));
    assert_eq!(released["released"][0]["state"], "released");
    assert_eq!(row(&db, held).await.cleanup, Cleanup::Done);
    let in_force = reservation::Column::State.eq(reservation::ReservationState::Held);
    assert_eq!(reservation::Entity::find().filter(in_force).count(&db).await.unwrap(), 0, "the number is free again");
    let again = dev.join(&["ops", "release", debt, "--reason", "burnt"]);
    assert!(stderr(&again).contains("released already"), "{}", stderr(&again));

    for (command, id) in [("abandon", done), ("abandon", queued), ("show", OperationId::generate())] {
        let refused = dev.join(&["ops", command, &id.to_string()]);
        assert_eq!(refused.status.code(), Some(1), "{command} {id}");
    }
    let refused = dev.join(&["queue", "requeue", &done.to_string()]);
    assert!(stderr(&refused).contains("nothing to requeue"), "{}", stderr(&refused));

    let shown = String::from_utf8(ok(dev.join(&["ops", "show", &held.to_string()])).stdout).unwrap();
    assert!(shown.contains("clone_container") && shown.contains("the container may exist"), "{shown}");
    let mut audited: Vec<String> =
        audit_event::Entity::find().all(&db).await.unwrap().into_iter().map(|row| row.action).collect();
    audited.sort();
    assert_eq!(
        audited,
        ["debt.release", "operation.abandon", "operation.abandon", "operation.requeue", "operation.requeue"]
    );
    db.close().await.unwrap();
    running.stop();
}
