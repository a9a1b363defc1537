//! Every entity is read as it was written, on every database, also at the limits of its types.

use sea_orm::{EntityTrait, IntoActiveModel, ModelTrait, TryIntoModel};
use zpack::db;
use zpack::db::entities::operation::{Actor, CancelRule, Cleanup, OperationState, UndoState};
use zpack::db::entities::{
    audit_event, catalog_copy, debt, episode, idempotency_key, instance, lease, operation, operation_event,
    operation_step, port, queue, queue_slot, reservation, resource_lock, revoked_token, standing, user,
};
use zpack::kernel::{AuditId, DebtId, Hostname, InstanceId, OperationId, Timestamp, TokenId, UserId, VmId};

use crate::support::{TestDb, on_every_database};

on_every_database!(every_entity_comes_back_as_it_was_written, a_key_is_taken_only_while_its_operation_is_under_way,);

/// Writes `row`, reads the table, and finds `row` alone.
async fn round_trip<E, M, A>(test: &TestDb, row: M)
where
    E: EntityTrait<Model = M, ActiveModel = A>,
    M: ModelTrait<Entity = E> + IntoActiveModel<A> + PartialEq + Clone + Send + Sync,
    A: sea_orm::ActiveModelTrait<Entity = E> + TryIntoModel<M> + Send,
{
    E::insert(row.clone().into_active_model()).exec_without_returning(&test.db).await.unwrap();
    assert_eq!(E::find().all(&test.db).await.unwrap(), [row]);
}

const LATE: Timestamp = Timestamp::from_millis(i64::MAX);
const EARLY: Timestamp = Timestamp::from_millis(i64::MIN);

/// A text that byte-wise storage must preserve: quotes, backslashes, line ends, letters outside the basic plane.
fn odd() -> String {
    "O'Brien \"\\\" \r\n\t äß 日本 🦀 %_".to_owned()
}

fn hostname() -> Hostname {
    "a".repeat(63).parse().unwrap()
}

fn vmid(number: i64) -> VmId {
    VmId::new(number).unwrap()
}

fn operation(id: OperationId, state: OperationState, dedup_key: Option<&str>) -> operation::Model {
    operation::Model {
        id,
        kind: "provision".into(),
        queue: "provision".into(),
        schema_version: i32::MAX,
        // The largest payload a job may have.
        payload: "x".repeat(60_000),
        request: Some(odd()),
        begun_by: Actor::Internal,
        cancel_rule: CancelRule::BeforeStart,
        state,
        phase: Some(odd()),
        unwind: UndoState::Due,
        cleanup: Cleanup::Required,
        run_after: EARLY,
        fence: i64::MAX,
        lease_until: None,
        worker: None,
        claimed_at: None,
        starts: i32::MIN,
        crashes: 0,
        max_starts: 1,
        offered_at: None,
        offer_count: 0,
        cancel_requested: true,
        committed: true,
        dedup_key: dedup_key.map(str::to_owned),
        user_id: Some(UserId::generate()),
        vmid: Some(vmid(999_999_999)),
        step_count: 0,
        saga_state: None,
        error_code: None,
        error_message: Some(odd()),
        error_phase: None,
        heartbeat_at: Some(LATE),
        created_at: LATE,
        started_at: None,
        finished_at: None,
        event_seq: 0,
        dismissed_at: None,
    }
}

async fn every_entity_comes_back_as_it_was_written(test: TestDb) {
    let (op, owner) = (OperationId::generate(), UserId::generate());
    round_trip(&test, operation(op, OperationState::Running, None)).await;
    round_trip(
        &test,
        operation_step::Model {
            operation_id: op,
            seq: 0,
            name: "clone_container".into(),
            status: operation_step::StepStatus::UndoFailed,
            outside: true,
            fence: i64::MIN,
            detail: Some(odd()),
            started_at: EARLY,
            finished_at: None,
        },
    )
    .await;
    round_trip(
        &test,
        operation_event::Model { operation_id: op, seq: i32::MAX, kind: "step_done".into(), data: odd(), at: LATE },
    )
    .await;
    round_trip(&test, queue::Model { name: "provision".into(), paused: true, updated_at: EARLY }).await;
    round_trip(&test, queue_slot::Model { queue: "provision".into(), slot: 0, operation_id: Some(op), fence: 1 }).await;
    round_trip(
        &test,
        resource_lock::Model { name: "template:9000".into(), operation_id: None, fence: 0, taken_at: LATE },
    )
    .await;
    round_trip(
        &test,
        debt::Model {
            id: DebtId::generate(),
            operation_id: op,
            kind: debt::DebtKind::Container,
            vmid: None,
            node: Some("pve1".into()),
            detail: odd(),
            subject: Some(odd()),
            state: debt::DebtState::Open,
            attempts: 3,
            next_attempt_at: Some(LATE),
            last_error: None,
            created_at: EARLY,
            updated_at: LATE,
        },
    )
    .await;
    round_trip(
        &test,
        port::Model {
            port: 65_535,
            operation_id: op,
            state: port::PortState::Released,
            created_at: EARLY,
            released_at: Some(LATE),
        },
    )
    .await;
    round_trip(
        &test,
        reservation::Model {
            vmid: vmid(100),
            hostname: hostname(),
            state: reservation::ReservationState::Released,
            operation_id: op,
            created_at: EARLY,
            released_at: Some(LATE),
            node: Some("pve1".to_owned()),
            memory_mib: Some(2048),
        },
    )
    .await;
    round_trip(
        &test,
        instance::Model {
            id: InstanceId::generate(),
            vmid: vmid(5000),
            hostname: hostname(),
            user_id: owner,
            operation_id: op,
            kind: instance::InstanceKind::Dev,
            name: "日本 🦀".into(),
            software: "minecraft".into(),
            variant: None,
            version: "26.1".into(),
            memory_mib: 32_768,
            cpu_cores: 16,
            node: "pve1".into(),
            address: "2001:0db8:85a3:0000:0000:8a2e:0370:7334".into(),
            lifecycle: instance::Lifecycle::Deleting,
            generation: 1,
            payload: "{}".into(),
            edge_due_at: Some(LATE),
            resume: true,
            revision: i64::MAX,
            created_at: EARLY,
            updated_at: LATE,
        },
    )
    .await;
    round_trip(
        &test,
        user::Model {
            id: owner,
            email: "o'brien@example.com".into(),
            username: odd(),
            username_key: odd(),
            display_name: None,
            first_name: Some(odd()),
            last_name: None,
            role: user::Role::Admin,
            password_hash: "$argon2id$".repeat(20),
            token_epoch: 0,
            billing_status: None,
            suspended_at: Some(EARLY),
            created_at: LATE,
            updated_at: LATE,
        },
    )
    .await;
    round_trip(
        &test,
        standing::Model {
            user_id: owner,
            state: standing::StandingState::PendingDeletion,
            manual_hold: false,
            reason: None,
            since: LATE,
            version: 0,
            updated_at: EARLY,
        },
    )
    .await;
    round_trip(
        &test,
        episode::Model {
            id: "e".repeat(64),
            kind: "provision".into(),
            subject: "s".repeat(128),
            name: "n".repeat(128),
            operation_id: op,
            begun_at: EARLY,
        },
    )
    .await;
    round_trip(&test, revoked_token::Model { token_id: TokenId::generate(), user_id: owner, expires_at: LATE }).await;
    round_trip(
        &test,
        idempotency_key::Model {
            id: "f".repeat(64),
            body_hash: "0".repeat(64),
            status: 202,
            response: odd(),
            operation_id: Some(op),
            created_at: EARLY,
            expires_at: LATE,
        },
    )
    .await;
    round_trip(
        &test,
        audit_event::Model {
            id: AuditId::generate(),
            actor: "operator".into(),
            action: "user.set_role".into(),
            subject: owner.to_string(),
            outcome: "done".into(),
            request_id: None,
            detail: Some(odd()),
            at: LATE,
        },
    )
    .await;
    round_trip(
        &test,
        lease::Model { name: "controller".into(), epoch: i64::MAX, holder: Some(odd()), renewed_at: Some(EARLY) },
    )
    .await;
    // More than a TEXT of MariaDB can hold.
    let body = "é".repeat(1 << 20);
    let document = "games".to_owned();
    round_trip(&test, catalog_copy::Model { document, body, etag: Some("W/\"1\"".into()), fetched_at: LATE }).await;
}

async fn a_key_is_taken_only_while_its_operation_is_under_way(test: TestDb) {
    let insert = async |state, key| {
        let row = operation(OperationId::generate(), state, key);
        operation::Entity::insert(row.into_active_model()).exec_without_returning(&test.db).await.map(drop)
    };
    for (holder, free) in OperationState::ALL.iter().map(|state| (*state, state.is_ended())) {
        let key = holder.as_str();
        insert(holder, Some(key)).await.unwrap();
        match insert(OperationState::Queued, Some(key)).await {
            Ok(()) => assert!(free, "a second operation beside one that is {holder}"),
            Err(error) => assert!(!free && db::is_duplicate(&error), "{holder}: {error}"),
        }
    }
    insert(OperationState::Queued, None).await.unwrap();
    insert(OperationState::Queued, None).await.unwrap();
}
