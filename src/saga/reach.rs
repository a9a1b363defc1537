//! Whether a step has an external effect.

/// How far a step reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It reads the world or changes our own records: safe to repeat.
    Inside,
    /// It changes the outside world.
    Outside,
}
