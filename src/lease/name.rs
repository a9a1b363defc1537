//! The names of leases in Redis and SQL.

use crate::kernel::text_enum;

text_enum! {
    /// Work that only one process may do at a time.
    pub enum LeaseName {
        /// Observing servers, deciding what to repair, and accepting the repairs.
        Controller = "controller",
    }
}

impl LeaseName {
    /// The key of its lock in Redis.
    pub const fn lock_key(self) -> &'static str {
        match self {
            Self::Controller => "zlh:controller:lock",
        }
    }
}
