//! Whether a step has an external effect.

/// The kind of effect of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It only reads, or changes only our own database: safe to repeat.
    None,
    /// It changes something outside our own database.
    External,
}
