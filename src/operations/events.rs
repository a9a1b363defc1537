//! Progress events: an ordered log per operation, from which a stream can resume at any event.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};
use serde_json::Value;

use crate::db::entities::{operation, operation_event};
use crate::kernel::{OperationId, Timestamp, text_enum};

text_enum! {
    /// What happened to an operation.
    pub enum EventKind {
        /// It was accepted.
        Queued = "queued",
        /// A step began.
        StepStarted = "step_started",
        /// A step is done.
        StepDone = "step_done",
        /// A step failed.
        StepFailed = "step_failed",
        /// A step was undone.
        StepUndone = "step_undone",
        /// Its cancellation was requested.
        CancelRequested = "cancel_requested",
    }
}

/// Appends an event, in the caller's transaction.
pub async fn record(
    tx: &impl ConnectionTrait,
    id: OperationId,
    kind: EventKind,
    data: &Value,
    now: Timestamp,
) -> Result<(), DbErr> {
    operation::Entity::update_many()
        .col_expr(operation::Column::EventSeq, Expr::col(operation::Column::EventSeq).add(1))
        .filter(operation::Column::Id.eq(id))
        .exec(tx)
        .await?;
    let seq: Option<i32> = operation::Entity::find()
        .select_only()
        .column(operation::Column::EventSeq)
        .filter(operation::Column::Id.eq(id))
        .into_tuple()
        .one(tx)
        .await?;
    let row = operation_event::ActiveModel {
        operation_id: Set(id),
        seq: Set(seq.unwrap_or(1)),
        kind: Set(kind.to_string()),
        data: Set(data.to_string()),
        at: Set(now),
    };
    operation_event::Entity::insert(row).exec_without_returning(tx).await.map(drop)
}

/// Up to 200 events after `seq`, in order.
pub async fn after(db: &impl ConnectionTrait, id: OperationId, seq: i32) -> Result<Vec<operation_event::Model>, DbErr> {
    operation_event::Entity::find()
        .filter(operation_event::Column::OperationId.eq(id))
        .filter(operation_event::Column::Seq.gt(seq))
        .order_by_asc(operation_event::Column::Seq)
        .limit(200)
        .all(db)
        .await
}

/// The data of an event without its detail, which is for operators.
pub fn without_detail(data: &str) -> String {
    match serde_json::from_str(data) {
        Ok(Value::Object(mut fields)) => {
            if let Some(detail) = fields.get_mut("detail") {
                *detail = Value::Null;
            }
            Value::Object(fields).to_string()
        }
        Ok(_) | Err(_) => "{}".to_owned(),
    }
}
