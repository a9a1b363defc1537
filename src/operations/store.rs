//! Reading operations. A page costs three queries, whatever its length.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::db::entities::{debt, operation, operation_step};
use crate::kernel::{OperationId, UserId};

use super::view::OperationView;

/// Whose operations may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Those of one customer.
    User(UserId),
    /// All of them.
    All,
}

/// The row of `id`, if it lies in `scope`.
pub async fn find(db: &impl ConnectionTrait, scope: Scope, id: OperationId) -> Result<Option<operation::Model>, DbErr> {
    let query = operation::Entity::find_by_id(id);
    scoped(query, scope).one(db).await
}

/// The view of `id`, if it lies in `scope`.
pub async fn find_view(
    db: &impl ConnectionTrait,
    scope: Scope,
    id: OperationId,
) -> Result<Option<OperationView>, DbErr> {
    match find(db, scope, id).await? {
        Some(row) => view(db, row).await,
        None => Ok(None),
    }
}

/// The view of `row`.
pub(super) async fn view(db: &impl ConnectionTrait, row: operation::Model) -> Result<Option<OperationView>, DbErr> {
    Ok(views(db, vec![row]).await?.pop())
}

/// Up to `limit` operations in `scope` made before `before`, the newest first.
pub async fn list(
    db: &impl ConnectionTrait,
    scope: Scope,
    before: Option<OperationId>,
    limit: u64,
) -> Result<Vec<OperationView>, DbErr> {
    let mut query = scoped(operation::Entity::find(), scope).order_by_desc(operation::Column::Id).limit(limit);
    if let Some(before) = before {
        query = query.filter(operation::Column::Id.lt(before));
    }
    let rows = query.all(db).await?;
    views(db, rows).await
}

fn scoped(query: sea_orm::Select<operation::Entity>, scope: Scope) -> sea_orm::Select<operation::Entity> {
    match scope {
        Scope::User(user) => query.filter(operation::Column::UserId.eq(user)),
        Scope::All => query,
    }
}

async fn views(db: &impl ConnectionTrait, rows: Vec<operation::Model>) -> Result<Vec<OperationView>, DbErr> {
    let ids: Vec<OperationId> = rows.iter().map(|row| row.id).collect();
    let mut steps: BTreeMap<OperationId, Vec<operation_step::Model>> = BTreeMap::new();
    let found = operation_step::Entity::find()
        .filter(operation_step::Column::OperationId.is_in(ids.iter().copied()))
        .order_by_asc(operation_step::Column::Seq)
        .all(db)
        .await?;
    for step in found {
        steps.entry(step.operation_id).or_default().push(step);
    }
    let mut debts: BTreeMap<OperationId, Vec<debt::Model>> = BTreeMap::new();
    let found = debt::Entity::find().filter(debt::Column::OperationId.is_in(ids)).all(db).await?;
    for debt in found {
        debts.entry(debt.operation_id).or_default().push(debt);
    }
    let view = |row: operation::Model| {
        let (steps, debts) = (steps.remove(&row.id), debts.remove(&row.id));
        OperationView::new(row, steps.unwrap_or_default(), debts.unwrap_or_default())
    };
    Ok(rows.into_iter().map(view).collect())
}
