//! Queries of operations. A page costs three queries at any length.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::accounts::SignedIn;
use crate::db::entities::operation::{Actor, OperationState};
use crate::db::entities::user::Role;
use crate::db::entities::{debt, operation, operation_step};
use crate::db::{self, ReadError};
use crate::jobs;
use crate::kernel::{OperationId, UserId};

use super::view::OperationView;

/// What a follower of an operation has to know of its row.
#[derive(Clone, Debug)]
pub struct Head {
    /// Its state.
    pub state: OperationState,
    /// The number of its last event.
    pub event_seq: i32,
    /// The code of its failure.
    pub error_code: Option<String>,
    /// Why it failed, for operators.
    pub error_message: Option<String>,
}

/// The heads of these operations; those that do not exist, or whose state this release does not know, are missing.
pub async fn heads(
    db: &impl ConnectionTrait,
    ids: impl Iterator<Item = OperationId>,
) -> Result<BTreeMap<OperationId, Head>, DbErr> {
    let query = operation::Entity::find().select_only().column(operation::Column::Id).column(operation::Column::State);
    let query = query
        .column(operation::Column::EventSeq)
        .column(operation::Column::ErrorCode)
        .column(operation::Column::ErrorMessage);
    let query = query.filter(operation::Column::State.is_in(OperationState::ALL.iter().copied()));
    let rows = query.filter(operation::Column::Id.is_in(ids)).into_tuple().all(db).await?;
    let head =
        |(id, state, event_seq, error_code, error_message)| (id, Head { state, event_seq, error_code, error_message });
    Ok(rows.into_iter().map(head).collect())
}

/// Who views operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// A customer, who sees their own.
    Customer(UserId),
    /// An operator, who sees all.
    Operator,
}

impl Viewer {
    /// The actor that decides what the viewer may do.
    pub const fn actor(self) -> Actor {
        match self {
            Self::Customer(_) => Actor::Customer,
            Self::Operator => Actor::Operator,
        }
    }
}

impl From<&SignedIn> for Viewer {
    fn from(account: &SignedIn) -> Self {
        match account.user.role {
            Role::Customer => Self::Customer(account.user.id),
            Role::Admin => Self::Operator,
        }
    }
}

/// The row of `id`, if `viewer` may see it.
pub async fn find(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    id: OperationId,
) -> Result<Option<operation::Model>, ReadError> {
    db::readable_one(visible(operation::Entity::find_by_id(id), viewer), db).await
}

/// The view of `id`, if `viewer` may see it.
pub async fn find_view(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    id: OperationId,
) -> Result<Option<OperationView>, ReadError> {
    match find(db, viewer, id).await? {
        Some(row) => Ok(view(db, row, viewer.actor()).await?),
        None => Ok(None),
    }
}

/// The view of `row` for `viewer`.
pub(super) async fn view(
    db: &impl ConnectionTrait,
    row: operation::Model,
    viewer: Actor,
) -> Result<Option<OperationView>, DbErr> {
    Ok(views(db, vec![row], viewer).await?.pop())
}

/// Up to `limit` operations that `viewer` may see, accepted before `before`, newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    viewer: Viewer,
    before: Option<OperationId>,
    limit: u64,
) -> Result<Vec<OperationView>, DbErr> {
    let mut query = visible(operation::Entity::find(), viewer)
        .filter(jobs::readable())
        .order_by_desc(operation::Column::Id)
        .limit(limit);
    if let Some(before) = before {
        query = query.filter(operation::Column::Id.lt(before));
    }
    let rows = db::readable(query, db).await?;
    views(db, rows, viewer.actor()).await
}

fn visible(query: sea_orm::Select<operation::Entity>, viewer: Viewer) -> sea_orm::Select<operation::Entity> {
    match viewer {
        Viewer::Customer(user) => query.filter(operation::Column::UserId.eq(user)),
        Viewer::Operator => query,
    }
}

async fn views(
    db: &impl ConnectionTrait,
    rows: Vec<operation::Model>,
    viewer: Actor,
) -> Result<Vec<OperationView>, DbErr> {
    let ids: Vec<OperationId> = rows.iter().map(|row| row.id).collect();
    let mut steps: BTreeMap<OperationId, Vec<operation_step::Model>> = BTreeMap::new();
    let found = operation_step::Entity::find()
        .filter(operation_step::Column::OperationId.is_in(ids.iter().copied()))
        .order_by_asc(operation_step::Column::Seq);
    for step in db::readable(found, db).await? {
        steps.entry(step.operation_id).or_default().push(step);
    }
    let mut debts: BTreeMap<OperationId, Vec<debt::Model>> = BTreeMap::new();
    let found = debt::Entity::find().filter(debt::Column::OperationId.is_in(ids));
    for debt in db::readable(found, db).await? {
        debts.entry(debt.operation_id).or_default().push(debt);
    }
    let view = |row: operation::Model| {
        let (steps, debts) = (steps.remove(&row.id), debts.remove(&row.id));
        OperationView::new(row, steps.unwrap_or_default(), debts.unwrap_or_default(), viewer)
    };
    Ok(rows.into_iter().map(view).collect())
}
