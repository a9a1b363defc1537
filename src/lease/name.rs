//! What is led, and under which names Redis and SQL know it.

use crate::kernel::text_enum;

text_enum! {
    /// What one process at a time does.
    pub enum LeaseName {
        /// Observing, deciding, and handing out repairs.
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
