//! Numbers, quotas and rows of servers.

use std::collections::BTreeSet;
use std::sync::Arc;

use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use zpack::db;
use zpack::db::entities::instance::{self, InstanceKind};
use zpack::db::entities::operation::{self, OperationState};
use zpack::db::entities::user::{self, Role};
use zpack::instances::quota::{self, Quota, Usage};
use zpack::instances::reservations::{self, ReserveError};
use zpack::instances::store::{self, NewInstance};
use zpack::instances::{Naming, hostname};
use zpack::jobs::Queue;
use zpack::kernel::{OperationId, Timestamp, UserId, VmId};
use zpack::operations::{NewOperation, begin};
use zpack::ports::NodeName;

use crate::support::{TestDb, on_every_database};

on_every_database!(
    fifty_at_once_get_fifty_numbers,
    a_used_up_range_says_so_and_a_freed_number_comes_last,
    usage_counts_servers_and_those_in_the_making,
    two_creates_at_once_do_not_both_pass_the_quota,
    rows_are_found_by_owner_and_listed_in_pages,
);

fn now() -> Timestamp {
    Timestamp::from_millis(1_800_000_000_000)
}

fn vmid(number: i64) -> VmId {
    VmId::new(number).unwrap()
}

pub fn server(number: i64, owner: UserId, operation: OperationId) -> NewInstance {
    NewInstance {
        vmid: vmid(number),
        hostname: hostname(Naming::Minecraft { variant: "paper" }, vmid(number)),
        user_id: owner,
        operation_id: operation,
        kind: InstanceKind::Game,
        name: format!("server {number}"),
        software: "minecraft".to_owned(),
        variant: Some("paper".to_owned()),
        version: "1.21.1".to_owned(),
        memory_mib: 2048,
        cpu_cores: 2,
        node: NodeName::new("pve1"),
        address: "127.0.0.1".to_owned(),
    }
}

async fn an_owner(test: &TestDb) -> UserId {
    let id = UserId::generate();
    let row = user::ActiveModel {
        id: Set(id),
        email: Set(format!("{id}@example.com")),
        username: Set(id.to_string()),
        username_key: Set(id.to_string()),
        display_name: Set(None),
        first_name: Set(None),
        last_name: Set(None),
        role: Set(Role::Customer),
        password_hash: Set("x".to_owned()),
        token_epoch: Set(0),
        billing_status: Set(None),
        suspended_at: Set(None),
        created_at: Set(now()),
        updated_at: Set(now()),
    };
    user::Entity::insert(row).exec_without_returning(&test.db).await.unwrap();
    id
}

fn create_of(owner: UserId, memory_mib: u32) -> NewOperation<u32> {
    NewOperation {
        kind: "provision",
        queue: Queue::Provision,
        schema_version: 1,
        payload: memory_mib,
        user_id: Some(owner),
        max_starts: 1,
        step_count: 8,
        dedup_key: None,
    }
}

async fn begun(test: &TestDb, owner: UserId, memory_mib: u32) -> OperationId {
    begin(&test.db, create_of(owner, memory_mib), now()).await.unwrap().operation.id
}

fn memory_of(payload: &str) -> Option<u32> {
    payload.parse().ok()
}

async fn fifty_at_once_get_fifty_numbers(test: TestDb) {
    let db = Arc::new(test.db.clone());
    let others = Arc::new(test.another_pool().await);
    let tasks = (0..50).map(|n| {
        let db = if n % 2 == 0 { db.clone() } else { others.clone() };
        tokio::spawn(async move {
            let name = |vmid| hostname(Naming::Dev, vmid);
            reservations::reserve(&db, "6000-6059".parse().unwrap(), name, OperationId::generate(), now())
                .await
                .unwrap()
        })
    });
    let held: Vec<_> = futures_util::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(held.iter().map(|row| row.vmid).collect::<BTreeSet<_>>().len(), 50);
    assert_eq!(held.iter().map(|row| row.hostname.clone()).collect::<BTreeSet<_>>().len(), 50);
    for row in held {
        let found = reservations::find_by_operation(&test.db, row.operation_id).await.unwrap();
        assert_eq!(found, Some(row));
    }
}

async fn a_used_up_range_says_so_and_a_freed_number_comes_last(test: TestDb) {
    let reserve = async |operation: OperationId| {
        let name = |vmid| hostname(Naming::Dev, vmid);
        reservations::reserve(&test.db, "6000-6002".parse().unwrap(), name, operation, now()).await
    };
    let operations = [(); 3].map(|()| OperationId::generate());
    for (operation, number) in operations.iter().zip([6000, 6001, 6002]) {
        assert_eq!(reserve(*operation).await.unwrap().vmid, vmid(number));
    }
    assert!(matches!(reserve(OperationId::generate()).await, Err(ReserveError::RangeExhausted { .. })));
    reservations::burn(&test.db, vmid(6001), operations[1]).await.unwrap();
    assert_eq!(reservations::find_by_operation(&test.db, operations[1]).await.unwrap(), None);
    for operation in operations {
        reservations::release(&test.db, operation).await.unwrap();
    }
    // What was burned stays out, whoever asks.
    let again = [reserve(OperationId::generate()).await, reserve(OperationId::generate()).await];
    let again: BTreeSet<i32> = again.into_iter().map(|row| row.unwrap().vmid.get()).collect();
    assert_eq!(again, BTreeSet::from([6000, 6002]));
    assert!(matches!(reserve(OperationId::generate()).await, Err(ReserveError::RangeExhausted { .. })));
}

async fn usage_counts_servers_and_those_in_the_making(test: TestDb) {
    let (owner, other) = (an_owner(&test).await, an_owner(&test).await);
    let usage = async || quota::usage(&test.db, owner, "provision", memory_of).await.unwrap();
    assert_eq!(usage().await, Usage::default());

    let queued = begun(&test, owner, 1024).await;
    begun(&test, other, 1024).await;
    assert_eq!(usage().await, Usage { servers: 1, memory_mib: 1024 });

    // A row and an operation that is still finishing are one server.
    store::insert(&test.db, server(5000, owner, queued), now()).await.unwrap();
    store::insert(&test.db, server(5001, other, OperationId::generate()), now()).await.unwrap();
    assert_eq!(usage().await, Usage { servers: 1, memory_mib: 2048 });

    let ended = begun(&test, owner, 4096).await;
    assert_eq!(usage().await, Usage { servers: 2, memory_mib: 2048 + 4096 });
    operation::Entity::update_many()
        .col_expr(operation::Column::State, sea_orm::sea_query::Expr::value(OperationState::Failed))
        .filter(operation::Column::Id.eq(ended))
        .exec(&test.db)
        .await
        .unwrap();
    assert_eq!(usage().await, Usage { servers: 1, memory_mib: 2048 });
}

async fn two_creates_at_once_do_not_both_pass_the_quota(test: TestDb) {
    let owner = an_owner(&test).await;
    assert!(!quota::lock_owner(&test.db, UserId::generate()).await.unwrap());
    let limit = Quota { servers: 3, memory_mib: 65_536 };
    let create = async || {
        db::retry_conflicts(async || {
            let tx = db::begin(&test.db).await?;
            assert!(quota::lock_owner(&tx, owner).await?);
            let usage = quota::usage(&tx, owner, "provision", memory_of).await?;
            if quota::check(&limit, &usage, 512).is_err() {
                tx.rollback().await?;
                return Ok::<bool, sea_orm::DbErr>(false);
            }
            begin(&tx, create_of(owner, 512), now()).await.unwrap();
            tx.commit().await?;
            Ok(true)
        })
        .await
        .unwrap()
    };
    let passed = futures_util::future::join_all((0..8).map(|_| create())).await;
    assert_eq!(passed.into_iter().filter(|passed| *passed).count(), 3);
}

async fn rows_are_found_by_owner_and_listed_in_pages(test: TestDb) {
    let (owner, other) = (UserId::generate(), UserId::generate());
    for number in 5000..5005 {
        let owner = if number == 5002 { other } else { owner };
        store::insert(&test.db, server(number, owner, OperationId::generate()), now()).await.unwrap();
    }
    let twice = store::insert(&test.db, server(5000, other, OperationId::generate()), now()).await.unwrap_err();
    assert!(db::is_duplicate(&twice), "{twice}");

    assert!(store::find_owned(&test.db, owner, vmid(5000)).await.unwrap().is_some());
    assert!(store::find_owned(&test.db, owner, vmid(5002)).await.unwrap().is_none());
    assert!(store::find_owned(&test.db, owner, vmid(5999)).await.unwrap().is_none());

    let numbers = |rows: Vec<instance::Model>| rows.into_iter().map(|row| row.vmid.get()).collect::<Vec<_>>();
    assert_eq!(numbers(store::list_owned(&test.db, owner, None, 3).await.unwrap()), [5000, 5001, 5003]);
    assert_eq!(numbers(store::list_owned(&test.db, owner, Some(vmid(5003)), 3).await.unwrap()), [5004]);
    assert_eq!(numbers(store::list_all(&test.db, Some(vmid(5001)), 2).await.unwrap()), [5002, 5003]);
    let targets = store::list_poll_targets(&test.db, Some(vmid(5003)), 10).await.unwrap();
    assert_eq!(targets.into_iter().map(|target| target.vmid).collect::<Vec<_>>(), [vmid(5004)]);
    assert_eq!(store::list_promised_memory(&test.db).await.unwrap().len(), 5);
}
