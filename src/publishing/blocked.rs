//! Counts servers that are blocked at an edge target until an operator acts.

use std::collections::BTreeMap;

use sea_orm::{DatabaseConnection, DbErr};

use crate::edge::{EDGE_KEY, EdgeRecord, Target, TargetState};
use crate::servers::{payload, store};

/// How many unfinished servers are read at most; more of them count as that many.
const LIMIT: u64 = 1000;

/// The number of blocked servers at each target that has any.
pub async fn blocked(db: &DatabaseConnection) -> Result<BTreeMap<Target, u64>, DbErr> {
    // Every unfinished publication has a time at which it is retried.
    let mut blocked = BTreeMap::new();
    for row in store::list_unsettled(db, LIMIT).await? {
        // The reconciler reports one that cannot be read.
        let Ok(Some(record)) = payload::read::<EdgeRecord>(&row, EDGE_KEY) else { continue };
        for (target, state) in record.targets {
            if state.state == TargetState::Blocked {
                *blocked.entry(target).or_insert(0) += 1;
            }
        }
    }
    Ok(blocked)
}
