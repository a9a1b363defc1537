//! Templates on which a clone failed lately for a reason that will concern the next operation as well.
//!
//! The memory is that of one process and short: such a template is only chosen after all others, so that a full storage which an
//! operator has emptied is used again without a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::kernel::VmId;

/// How long a template is avoided.
const MEMORY: Duration = Duration::from_secs(600);

/// The templates with a recent failure; no more than there are templates.
#[derive(Debug, Default)]
pub struct Setbacks(Mutex<BTreeMap<VmId, Instant>>);

impl Setbacks {
    /// A clone of `template` failed at `now`.
    pub(super) fn note(&self, template: VmId, now: Instant) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(template, now);
    }

    /// The templates to avoid at `now`.
    pub(super) fn recent(&self, now: Instant) -> BTreeSet<VmId> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, since| now.duration_since(*since) < MEMORY);
        known.keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_forgotten_after_a_while() {
        let (setbacks, now) = (Setbacks::default(), Instant::now());
        let [first, second] = [9000, 9001].map(|number| VmId::new(number).unwrap());
        setbacks.note(first, now);
        setbacks.note(second, now + MEMORY / 2);
        assert_eq!(setbacks.recent(now + MEMORY / 2), BTreeSet::from([first, second]));
        assert_eq!(setbacks.recent(now + MEMORY), BTreeSet::from([second]));
        assert_eq!(setbacks.recent(now + MEMORY * 2), BTreeSet::new());
    }
}
