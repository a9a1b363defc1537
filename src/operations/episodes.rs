//! At most one operation for each episode, however often it is noticed, by however many processes, and however the
//! operation ended. Examples: the repair of one outage, or one invoice.
//!
//! The deduplication key of an operation is free again once it has ended; the row of an episode stays. It is written in
//! the transaction that begins the operation, and the insert decides which caller was first.

use std::time::Duration;

use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
};

use super::key::hashed;
use crate::db;
use crate::db::entities::episode::{ActiveModel, Column, Entity};
use crate::kernel::{OperationId, Timestamp};

/// How long the row of an episode is kept: longer than a year, so that yearly work finds its last episode. An episode
/// that is still noticed after that would begin another operation.
pub const KEPT: Duration = Duration::from_secs(400 * 24 * 3600);

/// One episode. Its name must differ from that of the next one, for example by the time at which it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Episode {
    /// Its subject, for example a server; at most 128 characters.
    pub subject: String,
    /// Identifies it among the episodes of the subject; at most 128 characters.
    pub name: String,
}

/// Which caller begins the operation of an episode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpisodeClaim {
    /// The caller.
    Claimed,
    /// Another caller began this operation.
    Already(OperationId),
}

/// Gives `episode` the operation that the caller is about to write in the transaction `tx`, unless it had one. A caller
/// that is second waits here for the transaction of the first, and takes its place if that is rolled back.
pub async fn claim_episode(
    tx: &impl ConnectionTrait,
    kind: &str,
    episode: &Episode,
    operation: OperationId,
    now: Timestamp,
) -> Result<EpisodeClaim, DbErr> {
    let Episode { subject, name } = episode;
    let id = hashed([kind, subject, name].into_iter());
    let row = ActiveModel {
        id: Set(id.clone()),
        kind: Set(kind.to_owned()),
        subject: Set(subject.clone()),
        name: Set(name.clone()),
        operation_id: Set(operation),
        begun_at: Set(now),
    };
    let mut keep = OnConflict::column(Column::Id);
    keep.do_nothing_on([Column::Id]);
    Entity::insert(row).on_conflict(keep).exec_without_returning(tx).await?;
    // The stored row says which caller was first: the databases count affected rows in different ways.
    let first = Entity::find_by_id(id).one(tx).await?;
    let first = first.ok_or_else(|| DbErr::RecordNotFound("the episode that was just written".to_owned()))?;
    Ok(match first.operation_id {
        first if first == operation => EpisodeClaim::Claimed,
        first => EpisodeClaim::Already(first),
    })
}

/// Deletes at most `most` expired episodes, oldest first. Returns how many.
pub async fn purge(db: &impl ConnectionTrait, now: Timestamp, most: u64) -> Result<u64, DbErr> {
    let kept_since = Timestamp::from_millis(now.millis() - db::millis(KEPT));
    let over = || Column::BegunAt.lte(kept_since);
    let oldest = Entity::find().select_only().column(Column::Id).filter(over()).order_by_asc(Column::BegunAt);
    let ids: Vec<String> = oldest.order_by_asc(Column::Id).limit(most).into_tuple().all(db).await?;
    if ids.is_empty() {
        return Ok(0);
    }
    Ok(Entity::delete_many().filter(Column::Id.is_in(ids)).filter(over()).exec(db).await?.rows_affected)
}
