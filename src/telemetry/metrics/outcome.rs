//! How something that is counted or measured ended.

crate::kernel::text_enum! {
    /// How something ended.
    pub enum Outcome {
        /// As wanted.
        Succeeded = "succeeded",
        /// Not as wanted.
        Failed = "failed",
    }
}
