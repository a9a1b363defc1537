//! Rows of operations, for tests that write them without a request.

use sea_orm::{ActiveModelTrait, ConnectionTrait, DatabaseConnection, EntityTrait, IntoActiveModel};
use zpack::db::Authority;
use zpack::db::entities::operation::{self, Actor, CancelRule, Cleanup, OperationState, UndoState};
use zpack::jobs::Queue;
use zpack::kernel::{OperationId, Timestamp};

/// An operation that may start since `at`, once.
pub fn queued(queue: Queue, kind: &str, at: Timestamp) -> operation::Model {
    operation::Model {
        id: OperationId::generate(),
        kind: kind.to_owned(),
        queue: queue.to_string(),
        schema_version: 1,
        payload: "{}".to_owned(),
        request: None,
        begun_by: Actor::Customer,
        cancel_rule: CancelRule::Anytime,
        state: OperationState::Queued,
        phase: None,
        unwind: UndoState::None,
        cleanup: Cleanup::None,
        run_after: at,
        fence: 0,
        lease_until: None,
        worker: None,
        claimed_at: None,
        starts: 0,
        crashes: 0,
        max_starts: 1,
        offered_at: None,
        offer_count: 0,
        cancel_requested: false,
        committed: false,
        dedup_key: None,
        user_id: None,
        vmid: None,
        step_count: 0,
        saga_state: None,
        error_code: None,
        error_message: None,
        error_phase: None,
        heartbeat_at: None,
        created_at: at,
        started_at: None,
        finished_at: None,
        event_seq: 0,
        dismissed_at: None,
    }
}

/// Writes them.
pub async fn store(db: &DatabaseConnection, rows: &[operation::Model]) {
    for page in rows.chunks(100) {
        let rows = page.iter().map(|row| row.clone().into_active_model().reset_all());
        operation::Entity::insert_many(rows).exec_without_returning(db).await.unwrap();
    }
}

/// The row of `id`.
pub async fn read(db: &DatabaseConnection, id: OperationId) -> operation::Model {
    operation::Entity::find_by_id(id).one(db).await.unwrap().unwrap()
}

/// Writes what an owner would, without being one.
pub struct AnyOwner<'a, C>(pub &'a C);

impl<C: ConnectionTrait> Authority for AnyOwner<'_, C> {
    type Connection = C;

    fn connection(&self) -> &C {
        self.0
    }
}
