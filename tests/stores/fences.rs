//! What an operation holds is changed by its owner alone: one that another owner has superseded changes nothing.

use std::time::Duration;

use sea_orm::{ActiveModelTrait, EntityTrait};
use zpack::db;
use zpack::db::entities::operation::{self, OperationState};
use zpack::db::entities::port::{self, PortState};
use zpack::jobs::{LeaseLost, OwnedTransaction, OwnerError, Queue};
use zpack::kernel::OperationId;
use zpack::servers::ports;

use crate::support::rows::{self, AnyOwner};
use crate::support::{TestDb, on_every_database};

on_every_database!(an_owner_that_was_overtaken_gives_back_nothing, a_write_that_is_dropped_leaves_nothing);

const FENCE: i64 = 3;

/// An operation whose owner has fence [`FENCE`], and the port it holds.
async fn owned(test: &TestDb) -> OperationId {
    let db = &test.db;
    let now = db::now(db).await.unwrap();
    let row = operation::Model {
        state: OperationState::Running,
        fence: FENCE,
        lease_until: Some(now.after(Duration::from_secs(60))),
        ..rows::queued(Queue::Provision, "provision", now)
    };
    rows::store(db, std::slice::from_ref(&row)).await;
    ports::take(&AnyOwner(db), &(50_000..=50_009), 1, row.id, now).await.unwrap().unwrap();
    row.id
}

async fn port(test: &TestDb) -> PortState {
    port::Entity::find().one(&test.db).await.unwrap().unwrap().state
}

async fn an_owner_that_was_overtaken_gives_back_nothing(test: TestDb) {
    let (id, db) = (owned(&test).await, &test.db);
    let superseded = OwnedTransaction::begin(db, id, FENCE - 1).await.err().unwrap();
    assert!(matches!(superseded, OwnerError::LeaseLost(LeaseLost)), "{superseded}");

    let tx = OwnedTransaction::begin(db, id, FENCE).await.unwrap();
    ports::release(&tx, id, db::now(&*tx).await.unwrap()).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(port(&test).await, PortState::Released);

    // Its lease is over: another owner may begin at any moment.
    let mut row: operation::ActiveModel = rows::read(db, id).await.into();
    row.lease_until = sea_orm::Set(Some(db::now(db).await.unwrap()));
    row.update(db).await.unwrap();
    assert!(OwnedTransaction::begin(db, id, FENCE).await.is_err());
}

async fn a_write_that_is_dropped_leaves_nothing(test: TestDb) {
    let (id, db) = (owned(&test).await, &test.db);
    let tx = OwnedTransaction::begin(db, id, FENCE).await.unwrap();
    ports::release(&tx, id, db::now(&*tx).await.unwrap()).await.unwrap();
    drop(tx);
    assert_eq!(port(&test).await, PortState::Held);
}
