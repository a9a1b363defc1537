//! The outcome of something that is counted or measured.

crate::kernel::text_enum! {
    /// The outcome.
    pub enum Outcome {
        /// It succeeded.
        Succeeded = "succeeded",
        /// It failed.
        Failed = "failed",
    }
}
