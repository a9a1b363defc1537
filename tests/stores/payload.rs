//! Concurrent writers of a server's payload never lose each other's keys.

use std::sync::Arc;

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};
use zpack::db::entities::instance;
use zpack::kernel::{Timestamp, VmId};
use zpack::servers::payload::{PayloadError, PayloadUpdate, merge, read};
use zpack::servers::store;

use crate::support::rows::AnyOwner;
use crate::support::servers::server;
use crate::support::{TestDb, on_every_database};

on_every_database!(two_writers_never_lose_a_key, what_cannot_be_written_changes_nothing,);

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);
const ROUNDS: u64 = 1000;

fn vmid() -> VmId {
    VmId::new(5000).unwrap()
}

async fn a_server(test: &TestDb) {
    store::insert(&AnyOwner(&test.db), server(5000, NOW)).await.unwrap();
}

async fn row(test: &TestDb) -> instance::Model {
    instance::Entity::find().one(&test.db).await.unwrap().unwrap()
}

async fn write_payload(test: &TestDb, text: &str) {
    let column = instance::Column::Payload;
    let update = instance::Entity::update_many().col_expr(column, Expr::value(text));
    update.filter(instance::Column::Vmid.eq(vmid())).exec(&test.db).await.unwrap();
}

async fn two_writers_never_lose_a_key(test: TestDb) {
    a_server(&test).await;
    let test = Arc::new(test);
    // A key of another program, in a spelling that no serializer writes.
    write_payload(&test, r#"{"other": {"b" : 1.50, "a":"\u00e4"}}"#).await;
    let writer = |key: &'static str| {
        let test = test.clone();
        tokio::spawn(async move {
            for round in 1..=ROUNDS {
                let count = |_: &instance::Model, count: Option<u64>| Some(PayloadUpdate::to(count.unwrap_or(0) + 1));
                merge(&test.db, vmid(), key, NOW, count).await.unwrap();
                let own = |_: &instance::Model, seen: Option<u64>| {
                    assert!(seen.is_none_or(|seen| seen < round));
                    Some(PayloadUpdate { value: Some(round), edge_due_at: Some(Some(NOW)) })
                };
                merge(&test.db, vmid(), if key == "left" { "own_left" } else { "own_right" }, NOW, own).await.unwrap();
                merge(&test.db, vmid(), "both", NOW, count).await.unwrap();
            }
        })
    };
    let (left, right) = (writer("left"), writer("right"));
    left.await.unwrap();
    right.await.unwrap();
    let row = row(&test).await;
    for (key, expected) in [("left", 1), ("right", 1), ("own_left", 1), ("own_right", 1), ("both", 2)] {
        assert_eq!(read::<u64>(&row, key).unwrap(), Some(expected * ROUNDS), "{key}");
    }
    assert!(row.payload.contains(r#""other":{"b" : 1.50, "a":"\u00e4"}"#), "{}", row.payload);
    assert_eq!((row.revision, row.edge_due_at), (6 * i64::try_from(ROUNDS).unwrap(), Some(NOW)));
}

async fn what_cannot_be_written_changes_nothing(test: TestDb) {
    let set = |_: &instance::Model, _: Option<String>| Some(PayloadUpdate::to("x".repeat(59_000)));
    let gone = merge(&test.db, vmid(), "a", NOW, set).await.unwrap_err();
    assert!(matches!(gone, PayloadError::Gone { .. }), "{gone}");
    a_server(&test).await;
    let before = merge(&test.db, vmid(), "a", NOW, set).await.unwrap();
    let large = merge(&test.db, vmid(), "b", NOW, set).await.unwrap_err();
    assert!(matches!(large, PayloadError::TooLarge { .. }), "{large}");
    let other = |_: &instance::Model, _: Option<u64>| Some(PayloadUpdate::to(1));
    let damaged = merge(&test.db, vmid(), "a", NOW, other).await.unwrap_err();
    assert!(matches!(damaged, PayloadError::Damaged { key: "a", .. }), "{damaged}");
    // The same value again changes nothing.
    merge(&test.db, vmid(), "a", NOW, set).await.unwrap();
    merge(&test.db, vmid(), "c", NOW, |_: &instance::Model, _: Option<u64>| None).await.unwrap();
    assert_eq!(row(&test).await, before);
    for broken in ["[]", "null", "{", ""] {
        write_payload(&test, broken).await;
        assert!(matches!(merge(&test.db, vmid(), "a", NOW, set).await, Err(PayloadError::Damaged { .. })), "{broken}");
        assert_eq!(row(&test).await.payload, broken);
    }
}
