//! How much one customer may have. The check is pure; [`usage`] reads its input in one statement.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, DbErr, EntityTrait, QueryFilter};

use crate::db::entities::user;
use crate::kernel::{UserId, text_enum};
use crate::servers::store::{self, Holding};

/// The most that one customer may have.
#[derive(Clone, Copy, Debug)]
pub struct Quota {
    /// Number of servers.
    pub servers: u32,
    /// Memory of all servers together.
    pub memory_mib: u32,
}

impl Default for Quota {
    fn default() -> Self {
        Self { servers: 25, memory_mib: 64 * 1024 }
    }
}

/// What one customer has, including servers that are being created.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Number of servers.
    pub servers: u32,
    /// Memory of all servers together.
    pub memory_mib: u64,
}

text_enum! {
    /// A limit of an account.
    pub enum QuotaLimit {
        /// The number of servers.
        Servers = "servers",
        /// The memory of all servers together, in MiB.
        Memory = "memory",
    }
}

/// One more server would exceed a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.text())]
pub struct QuotaExceeded {
    /// The limit.
    pub limit: QuotaLimit,
    /// The most that is allowed.
    pub allowed: u64,
    /// What is already used.
    pub used: u64,
    /// What the request adds.
    pub wanted: u64,
}

impl QuotaExceeded {
    fn text(&self) -> String {
        let Self { allowed, used, wanted, .. } = self;
        match self.limit {
            QuotaLimit::Servers => format!("the limit `servers` is {allowed}, and {used} exist or are being created"),
            QuotaLimit::Memory => {
                format!("the limit `memory` is {allowed} MiB; {used} MiB are in use and {wanted} MiB were asked for")
            }
        }
    }
}

/// Checks that one more server of `memory_mib` stays within `quota`.
pub fn check(quota: &Quota, usage: &Usage, memory_mib: u32) -> Result<(), QuotaExceeded> {
    let servers = QuotaExceeded {
        limit: QuotaLimit::Servers,
        allowed: quota.servers.into(),
        used: usage.servers.into(),
        wanted: 1,
    };
    let memory = QuotaExceeded {
        limit: QuotaLimit::Memory,
        allowed: quota.memory_mib.into(),
        used: usage.memory_mib,
        wanted: memory_mib.into(),
    };
    let exceeded = [servers, memory].into_iter().find(|limit| limit.used.saturating_add(limit.wanted) > limit.allowed);
    exceeded.map_or(Ok(()), Err)
}

/// Makes other transactions that call this for the same owner wait until the caller's transaction ends, so that two
/// concurrent creates cannot both pass the check. Returns whether the owner exists.
pub async fn lock_owner(tx: &impl ConnectionTrait, owner: UserId) -> Result<bool, DbErr> {
    // An update locks the row on every database; SQLite ignores locking reads.
    let locked = user::Entity::update_many()
        .col_expr(user::Column::UpdatedAt, Expr::col(user::Column::UpdatedAt))
        .filter(user::Column::Id.eq(owner))
        .exec(tx)
        .await?;
    Ok(locked.rows_affected > 0)
}

/// What `owner` has: server rows, and unfinished operations of kind `create_kind` whose server has no row yet.
/// `memory_of` reads the memory in MiB from an operation's payload.
pub async fn usage(
    db: &impl ConnectionTrait,
    owner: UserId,
    create_kind: &str,
    memory_of: impl Fn(&str) -> Option<u32>,
) -> Result<Usage, DbErr> {
    let mut usage = Usage::default();
    for holding in store::list_holdings(db, owner, create_kind).await? {
        let memory = match &holding {
            Holding::Server(memory_mib) => u32::try_from(*memory_mib).ok(),
            Holding::Making { payload, .. } => memory_of(payload),
        };
        if let (None, Holding::Making { operation, .. }) = (memory, &holding) {
            tracing::warn!(operation.id = %operation, "the payload of {operation} names no memory; it counts as 0 MiB");
        }
        usage.servers = usage.servers.saturating_add(1);
        usage.memory_mib = usage.memory_mib.saturating_add(memory.unwrap_or(0).into());
    }
    Ok(usage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_may_be_used_up_but_not_exceeded() {
        let quota = Quota::default();
        let usage = |servers, memory_mib| Usage { servers, memory_mib };
        assert_eq!(check(&quota, &usage(24, 0), 65_536), Ok(()));
        let servers = check(&quota, &usage(25, 0), 512).unwrap_err();
        assert_eq!(servers.to_string(), "the limit `servers` is 25, and 25 exist or are being created");
        let memory = check(&quota, &usage(1, 65_000), 1024).unwrap_err();
        assert_eq!(
            memory.to_string(),
            "the limit `memory` is 65536 MiB; 65000 MiB are in use and 1024 MiB were asked for"
        );
        assert_eq!(check(&quota, &usage(0, u64::MAX), 1).unwrap_err().limit, QuotaLimit::Memory);
    }
}
