//! Workers and jobs without a feature: the end of an operation, by how its job ends.

mod again;
mod deadlines;
mod panics;
mod round_trips;

use sea_orm::{ActiveValue::Set, EntityTrait};
use zpack::db;
use zpack::db::entities::operation_step::{self, StepStatus};
use zpack::jobs::JobContext;

/// Records that the job of `cx` has begun a step, as a saga does.
async fn begin_step(cx: &JobContext, outside: bool) {
    let row = operation_step::ActiveModel {
        operation_id: Set(cx.id()),
        seq: Set(0),
        name: Set("step".to_owned()),
        status: Set(StepStatus::Started),
        outside: Set(outside),
        fence: Set(cx.fence()),
        detail: Set(None),
        started_at: Set(db::now(&cx.db).await.unwrap()),
        finished_at: Set(None),
    };
    operation_step::Entity::insert(row).exec_without_returning(&cx.db).await.unwrap();
}
