//! VMIDs, quotas and rows of servers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::{ActiveValue::Set, ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zpack::db;
use zpack::db::entities::instance;
use zpack::db::entities::operation::{self, Actor, CancelRule, OperationState};
use zpack::db::entities::reservation;
use zpack::db::entities::user::{self, Role};
use zpack::instances::quota::{self, Quota, Usage};
use zpack::jobs::{Dedup, Queue, Work};
use zpack::kernel::{OperationId, Timestamp, UserId, VmId};
use zpack::operations::{Order, begin};
use zpack::servers::{Naming, PoolError, hostname};
use zpack::servers::{ports, store, vmids};

use crate::support::rows::AnyOwner;
use crate::support::{TestDb, on_every_database, servers};

on_every_database!(
    fifty_at_once_get_fifty_numbers,
    a_freed_number_comes_last_and_the_longest_unused_before_it,
    a_number_taken_again_gets_the_name_of_its_new_use,
    a_burned_number_stays_out_whoever_asks,
    consecutive_ports_are_taken_together_or_not_at_all,
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

fn server(number: i64, owner: UserId, operation: OperationId) -> instance::Model {
    instance::Model { user_id: owner, operation_id: operation, ..servers::server(number, now()) }
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

/// A create whose payload is its memory.
#[derive(Serialize, Deserialize)]
struct Memory(u32);

impl Work for Memory {
    const KIND: &'static str = "provision";
    const QUEUE: Queue = Queue::Provision;
    const MAX_STARTS: i32 = 1;
    const CANCEL: CancelRule = CancelRule::Anytime;

    fn steps(&self) -> usize {
        8
    }

    fn vmid(&self) -> Option<VmId> {
        None
    }

    fn shown(&self) -> Value {
        Value::Null
    }

    fn dedup(&self) -> Dedup {
        Dedup::None
    }
}

async fn begun(test: &TestDb, owner: UserId, memory_mib: u32) -> OperationId {
    begin(&test.db, &Order::new(Memory(memory_mib)).owned_by(owner), Actor::Customer, now()).await.unwrap().operation.id
}

fn memory_of(payload: &str) -> Option<u32> {
    payload.parse().ok()
}

fn dev(number: VmId) -> zpack::kernel::Hostname {
    hostname(Naming::Dev, number)
}

/// Tries until it holds a VMID.
async fn held(db: &DatabaseConnection, range: &str, operation: OperationId) -> Result<reservation::Model, PoolError> {
    loop {
        let tx = db::begin(db).await?;
        match vmids::reserve(&AnyOwner(&tx), range.parse().unwrap(), dev, operation, now()).await {
            Ok(Some(row)) => {
                tx.commit().await?;
                return Ok(row);
            }
            Ok(None) => tx.rollback().await?,
            Err(PoolError::Database(error)) if db::is_conflict(&error) => tx.rollback().await?,
            Err(error) => return Err(error),
        }
    }
}

async fn reserve(test: &TestDb, range: &str, operation: OperationId) -> Result<i32, PoolError> {
    let row = held(&test.db, range, operation).await?;
    assert_eq!(vmids::find_by_operation(&test.db, operation).await.unwrap().as_ref(), Some(&row));
    Ok(row.vmid.get())
}

async fn fifty_at_once_get_fifty_numbers(test: TestDb) {
    let db = Arc::new(test.db.clone());
    let others = Arc::new(test.another_pool().await);
    // First from unused VMIDs, then from the same ones after all were released.
    for round in 0..2 {
        let tasks = (0..50).map(|n| {
            let db = if n % 2 == 0 { db.clone() } else { others.clone() };
            tokio::spawn(async move { held(&db, "6000-6049", OperationId::generate()).await.unwrap() })
        });
        let held: Vec<_> = futures_util::future::join_all(tasks).await.into_iter().map(Result::unwrap).collect();
        assert_eq!(held.iter().map(|row| row.vmid).collect::<BTreeSet<_>>().len(), 50, "round {round}");
        assert_eq!(held.iter().map(|row| row.hostname.clone()).collect::<BTreeSet<_>>().len(), 50, "round {round}");
        for row in held {
            let operation = row.operation_id;
            assert_eq!(vmids::find_by_operation(&test.db, operation).await.unwrap(), Some(row));
            vmids::release(&AnyOwner(&test.db), operation, now()).await.unwrap();
            assert_eq!(vmids::find_by_operation(&test.db, operation).await.unwrap(), None);
        }
    }
}

async fn a_freed_number_comes_last_and_the_longest_unused_before_it(test: TestDb) {
    let range = "6000-6003";
    let later = |seconds| now().after(Duration::from_secs(seconds));
    let [first, second, third] = [(); 3].map(|()| OperationId::generate());
    for (operation, number) in [(first, 6000), (second, 6001), (third, 6002)] {
        assert_eq!(reserve(&test, range, operation).await.unwrap(), number);
    }
    vmids::release(&AnyOwner(&test.db), second, later(1)).await.unwrap();
    vmids::release(&AnyOwner(&test.db), first, later(2)).await.unwrap();
    vmids::release(&AnyOwner(&test.db), third, later(3)).await.unwrap();
    // A repeated release, as in a repeated undo, changes nothing.
    vmids::release(&AnyOwner(&test.db), second, later(9)).await.unwrap();
    for number in [6003, 6001, 6000, 6002] {
        assert_eq!(reserve(&test, range, OperationId::generate()).await.unwrap(), number);
    }
    assert!(matches!(reserve(&test, range, OperationId::generate()).await, Err(PoolError::Exhausted { .. })));
    // Its previous holder can no longer release it.
    vmids::release(&AnyOwner(&test.db), second, later(10)).await.unwrap();
    assert!(matches!(reserve(&test, range, OperationId::generate()).await, Err(PoolError::Exhausted { .. })));
}

async fn a_number_taken_again_gets_the_name_of_its_new_use(test: TestDb) {
    let (old, new) = (OperationId::generate(), OperationId::generate());
    reserve(&test, "6000-6000", old).await.unwrap();
    vmids::release(&AnyOwner(&test.db), old, now()).await.unwrap();
    let name = |number| hostname(Naming::Minecraft { variant: "paper" }, number);
    let range = "6000-6000".parse().unwrap();
    let row = vmids::reserve(&AnyOwner(&test.db), range, name, new, now()).await.unwrap().unwrap();
    assert_eq!(row.hostname.as_str(), "mc-paper-6000");
    assert_eq!(vmids::find_by_operation(&test.db, new).await.unwrap(), Some(row));
    assert_eq!(vmids::find_by_operation(&test.db, old).await.unwrap(), None);
}

async fn a_burned_number_stays_out_whoever_asks(test: TestDb) {
    let range = "6000-6002";
    let operations = [(); 3].map(|()| OperationId::generate());
    for operation in operations {
        reserve(&test, range, operation).await.unwrap();
    }
    vmids::burn(&AnyOwner(&test.db), vmid(6001), operations[1]).await.unwrap();
    assert_eq!(vmids::find_by_operation(&test.db, operations[1]).await.unwrap(), None);
    for operation in operations {
        vmids::release(&AnyOwner(&test.db), operation, now()).await.unwrap();
    }
    for number in [6000, 6002] {
        assert_eq!(reserve(&test, range, OperationId::generate()).await.unwrap(), number);
    }
    assert!(matches!(reserve(&test, range, OperationId::generate()).await, Err(PoolError::Exhausted { .. })));
}

/// The ports of 50 000 to 50 012 that `operation` gets; none when they are exhausted.
async fn two_ports(db: &DatabaseConnection, operation: OperationId) -> Vec<u16> {
    loop {
        let tx = db::begin(db).await.unwrap();
        match ports::take(&AnyOwner(&tx), &(50_000..=50_012), 2, operation, now()).await {
            Ok(Some(taken)) => {
                tx.commit().await.unwrap();
                return taken;
            }
            Ok(None) => {}
            Err(PoolError::Exhausted { .. }) => return Vec::new(),
            Err(PoolError::Database(error)) => assert!(db::is_conflict(&error), "{error}"),
        }
    }
}

/// Ten at once ask for two of 13 ports each: six of them get a pair, however they race, and nothing is held in part.
async fn consecutive_ports_are_taken_together_or_not_at_all(test: TestDb) {
    for round in 0..2 {
        let operations: Vec<_> = (0..10).map(|_| OperationId::generate()).collect();
        let taken = operations.iter().map(|operation| two_ports(&test.db, *operation));
        let taken = futures_util::future::join_all(taken).await;
        let pairs: Vec<_> = taken.iter().filter(|ports| !ports.is_empty()).collect();
        assert!(pairs.iter().all(|pair| pair.len() == 2 && pair[1] == pair[0] + 1), "round {round}: {pairs:?}");
        assert_eq!(pairs.len(), 6, "round {round}: {pairs:?}");
        let all: BTreeSet<u16> = pairs.iter().flat_map(|pair| pair.iter().copied()).collect();
        assert_eq!(all.len(), 12, "round {round}");
        for (operation, taken) in operations.iter().zip(&taken) {
            assert_eq!(ports::find(&test.db, *operation).await.unwrap(), *taken);
            ports::release(&AnyOwner(&test.db), *operation, now()).await.unwrap();
            assert_eq!(ports::find(&test.db, *operation).await.unwrap(), [] as [u16; 0]);
        }
    }
}

async fn usage_counts_servers_and_those_in_the_making(test: TestDb) {
    let (owner, other) = (an_owner(&test).await, an_owner(&test).await);
    let usage = async || quota::usage(&test.db, owner, "provision", memory_of).await.unwrap();
    assert_eq!(usage().await, Usage::default());

    let queued = begun(&test, owner, 1024).await;
    begun(&test, other, 1024).await;
    assert_eq!(usage().await, Usage { servers: 1, memory_mib: 1024 });

    // A row and an operation that is still finishing are one server.
    store::insert(&AnyOwner(&test.db), server(5000, owner, queued)).await.unwrap();
    store::insert(&AnyOwner(&test.db), server(5001, other, OperationId::generate())).await.unwrap();
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
            begin(&tx, &Order::new(Memory(512)).owned_by(owner), Actor::Customer, now()).await.unwrap();
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
        store::insert(&AnyOwner(&test.db), server(number, owner, OperationId::generate())).await.unwrap();
    }
    let twice = store::insert(&AnyOwner(&test.db), server(5000, other, OperationId::generate())).await.unwrap_err();
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
}
