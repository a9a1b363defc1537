//! The row that holds an owner's standing.

use sea_orm::{ConnectionTrait, DbErr, EntityTrait};

use crate::db::entities::standing::{Entity, StandingState};
use crate::kernel::{Timestamp, UserId};

/// What an owner may do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The enforcement state.
    pub state: StandingState,
    /// An operator has put the account on hold, regardless of payments.
    pub manual_hold: bool,
    /// When the state began; `None` for an account that was always active.
    pub since: Option<Timestamp>,
}

impl Standing {
    /// The standing of an account with no unpaid invoice and no manual hold.
    pub const ACTIVE: Self = Self { state: StandingState::Active, manual_hold: false, since: None };
}

/// The standing of `user`; no row means active. A failure to read it is never taken for "may not".
pub async fn find(db: &impl ConnectionTrait, user: UserId) -> Result<Standing, DbErr> {
    let row = Entity::find_by_id(user).one(db).await?;
    Ok(row.map_or(Standing::ACTIVE, |row| Standing {
        state: row.state,
        manual_hold: row.manual_hold,
        since: Some(row.since),
    }))
}
