//! Counts what deleted servers have left, for the health of the edge.

use std::collections::BTreeMap;

use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, EntityTrait, QueryFilter, QuerySelect};

use crate::db::entities::debt::{self, DebtKind, DebtState};

/// The number of open debts of each kind that has any. A kind of a newer release is left out.
pub(super) async fn open_debts(db: &DatabaseConnection) -> Result<BTreeMap<DebtKind, u64>, DbErr> {
    let counted: Vec<(String, i64)> = debt::Entity::find()
        .select_only()
        .column(debt::Column::Kind)
        .column_as(debt::Column::Id.count(), "count")
        .filter(debt::Column::State.eq(DebtState::Open))
        .group_by(debt::Column::Kind)
        .into_tuple()
        .all(db)
        .await?;
    let known = |(kind, count): (String, i64)| Some((kind.parse().ok()?, count.unsigned_abs()));
    Ok(counted.into_iter().filter_map(known).collect())
}
