//! What was found at one target of a server.

use crate::edge::Target;
use crate::kernel::text_enum;

text_enum! {
    /// What was found at a target; a later one is worse.
    pub enum TargetVerdict {
        /// It has what it should have.
        InSync = "in_sync",
        /// Something is missing.
        Missing = "missing",
        /// Something is there in another form.
        Drifted = "drifted",
        /// Something that is not ours is in the way.
        Conflict = "conflict",
        /// It could not be read.
        Unknown = "unknown",
    }
}

/// What was found at one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetReport {
    /// The target.
    pub target: Target,
    /// The worst verdict of all findings.
    pub verdict: TargetVerdict,
    /// The findings, a line each.
    pub details: Vec<String>,
}

impl TargetReport {
    /// The report of what was `found`; nothing means that the target is in sync.
    pub fn new(target: Target, found: Vec<(TargetVerdict, String)>) -> Self {
        let verdict = found.iter().map(|(verdict, _)| *verdict).max().unwrap_or(TargetVerdict::InSync);
        Self { target, verdict, details: found.into_iter().map(|(_, detail)| detail).collect() }
    }
}
