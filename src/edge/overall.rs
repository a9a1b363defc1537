//! How far a publication is, from the states of its targets. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::state::{EdgeState, Intent, TargetState};
use crate::kernel::Target;

/// What is decided by: whether a server shall be published, where, and how far each target is.
pub(super) struct Overall {
    pub intent: Intent,
    /// The targets its publication names.
    pub wanted: BTreeSet<Target>,
    /// Those that may have something, of older generations too.
    pub states: BTreeMap<Target, TargetState>,
}

impl Overall {
    /// The targets that do not yet have what they should.
    pub fn unsettled(&self) -> BTreeSet<Target> {
        let (done, all) = match self.intent {
            Intent::Published => (TargetState::Published, false),
            Intent::Unpublished => (TargetState::Unpublished, true),
        };
        let left =
            self.states.iter().filter(|(target, state)| **state != done && (all || self.wanted.contains(target)));
        left.map(|(target, _)| *target).collect()
    }

    /// All targets together.
    pub fn state(&self) -> EdgeState {
        let left = self.unsettled();
        if self.intent == Intent::Unpublished {
            return if left.is_empty() { EdgeState::NotPublished } else { EdgeState::Unpublishing };
        }
        if left.is_empty() {
            // With no target there is nothing to publish.
            return if self.wanted.is_empty() { EdgeState::NotPublished } else { EdgeState::Published };
        }
        let is = |target: &Target, state| self.states.get(target) == Some(&state);
        let failed = left.iter().any(|target| !is(target, TargetState::Pending));
        if left.len() < self.wanted.len() {
            if failed { EdgeState::Degraded } else { EdgeState::Publishing }
        } else if left.iter().all(|target| is(target, TargetState::Blocked)) {
            EdgeState::Failed
        } else {
            EdgeState::Publishing
        }
    }
}
