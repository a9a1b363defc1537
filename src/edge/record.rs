//! The state of a server's publication, stored with the server under the key `edge` of its payload. Pure.
//!
//! A generation counts what a server shall have: it grows when that changes and when the server is unpublished, so that work
//! for an older one is superseded and a repetition for the same one writes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::EdgeError;
use super::overall::Overall;
use super::proxy::Registration;
use super::proxy_status::ProxyRecord;
use super::publication::Publication;
use super::state::{EdgeState, Intent, TargetState};
use crate::kernel::{Backoff, Classify, DnsName, Failure, Target, Timestamp};
use crate::ports::{RecordId, ZoneError};

/// The key of the payload this is stored under.
pub const EDGE_KEY: &str = "edge";

/// The waits before a target that failed is tried again.
pub const RETRY: Backoff = Backoff::new(Duration::from_secs(5), Duration::from_secs(600));

/// The longest error that is kept.
const MAX_ERROR: usize = 300;

/// How far one target is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// How far it is.
    pub state: TargetState,
    /// The DNS server's ids of our records, as they were read back: by them a record is known that has lost its mark.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<RecordId>,
    /// How often in a row it failed.
    #[serde(default)]
    pub attempts: u32,
    /// How it failed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When this was written.
    pub changed_at: Timestamp,
}

impl TargetRecord {
    fn pending(now: Timestamp) -> Self {
        Self { state: TargetState::Pending, ids: Vec::new(), attempts: 0, error: None, due_at: None, changed_at: now }
    }

    /// This one after an attempt that ended in `state`.
    fn settled(state: TargetState, ids: Vec<RecordId>, now: Timestamp) -> Self {
        Self { state, ids, ..Self::pending(now) }
    }

    /// This one after an attempt that failed.
    fn failed(&self, error: &EdgeError, now: Timestamp) -> Self {
        let state = match error.failure() {
            Failure::Transient | Failure::Busy | Failure::Ambiguous => TargetState::Retrying,
            Failure::Permanent | Failure::NeedsOperator => TargetState::Blocked,
        };
        let wait = match error {
            EdgeError::Zone { source: ZoneError::RateLimited { retry_after, .. }, .. } => *retry_after,
            // We are not notified when an operator has fixed it, so it is retried now and then.
            _ if state == TargetState::Blocked => RETRY.max.mul_f64(0.5),
            _ => RETRY.jittered(self.attempts),
        };
        Self {
            state,
            ids: self.ids.clone(),
            attempts: self.attempts.saturating_add(1),
            error: Some(error.to_string().chars().take(MAX_ERROR).collect()),
            due_at: Some(now.after(wait)),
            changed_at: now,
        }
    }
}

/// What a server shall have at the edge, and how far that is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeRecord {
    /// Counts changes of what it shall have.
    pub generation: u32,
    /// When that last changed.
    pub begun_at: Timestamp,
    /// Whether it shall be published.
    pub intent: Intent,
    /// What it has when it is published.
    pub publication: Publication,
    /// Every name that may be at a DNS server, those of older generations too.
    pub names: BTreeSet<DnsName>,
    /// Every target that may have something, those of older generations too.
    pub targets: BTreeMap<Target, TargetRecord>,
    /// Registrations of older generations under other names, which the proxy may still have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Registration>,
}

impl EdgeRecord {
    /// The record of a server that shall have `publication` from now on. The same publication keeps its generation.
    pub fn begin(previous: Option<&Self>, publication: Publication, now: Timestamp) -> Self {
        let same = previous.filter(|old| old.intent == Intent::Published && old.publication == publication);
        if let Some(same) = same {
            return same.clone();
        }
        let mut names = publication.names();
        let mut targets = BTreeMap::new();
        let mut generation = 1;
        let mut former = Vec::new();
        if let Some(old) = previous {
            former.extend(old.former.iter().chain(&old.publication.registration).cloned());
            former.retain(|server| server.name != publication.name);
            former.dedup();
            names.extend(old.names.iter().cloned());
            targets.extend(old.targets.clone());
            generation = old.generation.saturating_add(1);
        }
        for target in publication.targets() {
            // Records of the last generation are known still.
            let ids = targets.get(&target).map(|before: &TargetRecord| before.ids.clone()).unwrap_or_default();
            targets.insert(target, TargetRecord { ids, ..TargetRecord::pending(now) });
        }
        Self { generation, begun_at: now, intent: Intent::Published, publication, names, targets, former }
    }

    /// What is known of this publication at the proxy: `stored`, unless it belongs to an older one.
    pub fn proxy_record(&self, stored: ProxyRecord) -> ProxyRecord {
        stored.of_publication(self.begun_at, self.publication.registration.as_ref().map(|server| server.address))
    }

    /// The ids of its records at `target`, as they were last read back.
    pub fn known(&self, target: Target) -> BTreeSet<RecordId> {
        self.targets.get(&target).map(|record| record.ids.iter().cloned().collect()).unwrap_or_default()
    }

    /// Whether `name` is its public name, or the first label of it, under which servers were registered earlier.
    pub fn is_called(&self, name: &DnsName) -> bool {
        let ours = &self.publication.name;
        name == ours || name.as_str() == ours.first_label()
    }

    /// The record of a server that shall be unpublished from now on.
    #[must_use]
    pub fn unpublishing(&self) -> Self {
        match self.intent {
            Intent::Unpublished => self.clone(),
            Intent::Published => {
                Self { intent: Intent::Unpublished, generation: self.generation.saturating_add(1), ..self.clone() }
            }
        }
    }

    /// Notes what came of an attempt at `target`.
    pub fn settle(&mut self, target: Target, outcome: &Result<Vec<RecordId>, EdgeError>, now: Timestamp) {
        let before = self.targets.entry(target).or_insert_with(|| TargetRecord::pending(now));
        let done = match self.intent {
            Intent::Published => TargetState::Published,
            Intent::Unpublished => TargetState::Unpublished,
        };
        *before = match outcome {
            // Nothing has changed, so that nothing is written.
            Ok(ids) if before.state == done && before.ids == *ids => return,
            Ok(ids) => TargetRecord::settled(done, ids.clone(), now),
            Err(error) => before.failed(error, now),
        };
    }

    /// Makes `target` due at once, whatever its state.
    pub fn reopen(&mut self, target: Target, now: Timestamp) {
        let ids = self.targets.get(&target).map(|before| before.ids.clone()).unwrap_or_default();
        self.targets.insert(target, TargetRecord { ids, due_at: Some(now), ..TargetRecord::pending(now) });
    }

    fn overall(&self) -> Overall {
        let states = self.targets.iter().map(|(target, record)| (*target, record.state));
        Overall { intent: self.intent, wanted: self.publication.targets(), states: states.collect() }
    }

    /// The targets that do not yet have what they should.
    pub fn unsettled(&self) -> BTreeSet<Target> {
        self.overall().unsettled()
    }

    /// The earliest time at which a target is retried.
    pub fn due_at(&self) -> Option<Timestamp> {
        let left = self.unsettled();
        self.targets.iter().filter(|(target, _)| left.contains(target)).filter_map(|(_, record)| record.due_at).min()
    }

    /// All targets together.
    pub fn state(&self) -> EdgeState {
        self.overall().state()
    }

    /// The last error of each unsettled target, for people; empty when there is none.
    pub fn problems(&self) -> String {
        let errors = self.unsettled().into_iter().filter_map(|target| self.targets.get(&target)?.error.clone());
        errors.collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
