//! The debts that an undo reports: each is recorded once, however many attempts report it.

use std::time::Duration;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};
use zpack::db;
use zpack::db::entities::debt::{self, DebtKind};
use zpack::db::entities::operation::{self, OperationState, UndoState};
use zpack::jobs::{ClaimPurpose, Claimed, End, NewDebt, Queue, UndoEnd, finish};
use zpack::kernel::VmId;

use crate::support::{TestDb, on_every_database, rows};

on_every_database!(each_debt_that_an_undo_reports_is_recorded_once);

fn new_debt(kind: DebtKind, vmid: i64) -> NewDebt {
    NewDebt { kind, vmid: Some(VmId::new(vmid).unwrap()), node: None, detail: "it may still exist".to_owned() }
}

async fn each_debt_that_an_undo_reports_is_recorded_once(test: TestDb) {
    let db = &test.db;
    let now = db::now(db).await.unwrap();
    let (container, other) = (new_debt(DebtKind::Container, 5000), new_debt(DebtKind::Container, 5001));
    let reservation = new_debt(DebtKind::Reservation, 5000);
    let row = operation::Model {
        state: OperationState::Failed,
        unwind: UndoState::Running,
        fence: 1,
        lease_until: Some(now.after(Duration::from_secs(60))),
        ..rows::queued(Queue::Provision, "provision", now)
    };
    rows::store(db, std::slice::from_ref(&row)).await;
    let attempts =
        [vec![container.clone()], vec![container.clone(), reservation.clone()], vec![other.clone(), reservation]];
    for (attempt, debts) in attempts.into_iter().enumerate() {
        let fence = i64::try_from(attempt).unwrap() + 1;
        let owned = operation::Model { unwind: UndoState::Running, fence, ..rows::read(db, row.id).await };
        let owned = operation::Model { lease_until: row.lease_until, ..owned };
        operation::Entity::delete_by_id(row.id).exec(db).await.unwrap();
        rows::store(db, std::slice::from_ref(&owned)).await;
        let claimed = Claimed { operation: owned, purpose: ClaimPurpose::Undo };
        let end = End::Undone(UndoEnd::Incomplete { reason: "no answer".to_owned(), debts });
        finish(db, &claimed, &end, now).await.unwrap();
    }
    let recorded = debt::Entity::find().filter(debt::Column::OperationId.eq(row.id));
    let recorded = recorded.order_by_asc(debt::Column::Id).all(db).await.unwrap();
    let recorded: Vec<_> = recorded.into_iter().map(|debt| (debt.kind, debt.vmid.unwrap().get())).collect();
    assert_eq!(recorded, [(DebtKind::Container, 5000), (DebtKind::Reservation, 5000), (DebtKind::Container, 5001)]);
}
