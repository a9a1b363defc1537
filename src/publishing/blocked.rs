//! How many servers wait for somebody to mend something at the edge.

use std::collections::BTreeMap;

use sea_orm::{DatabaseConnection, DbErr};

use crate::edge::{EDGE_KEY, EdgeRecord, Target, TargetState};
use crate::servers::{payload, store};

/// The most unfinished servers that are looked at; more of them are counted as that many.
const LIMIT: u64 = 1000;

/// The number of blocked servers at each target that has any.
pub async fn blocked(db: &DatabaseConnection) -> Result<BTreeMap<Target, u64>, DbErr> {
    // Whatever is not finished has a time at which it is tried again.
    let mut blocked = BTreeMap::new();
    for row in store::list_unsettled(db, LIMIT).await? {
        // One that cannot be read is the concern of whoever publishes it.
        let Ok(Some(record)) = payload::read::<EdgeRecord>(&row, EDGE_KEY) else { continue };
        for (target, state) in record.targets {
            if state.state == TargetState::Blocked {
                *blocked.entry(target).or_insert(0) += 1;
            }
        }
    }
    Ok(blocked)
}
