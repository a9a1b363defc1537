//! The stored side of a publication: how a generation begins, what came of it, and what is checked again.
//!
//! Intent and generation are written before the first request to a target, the outcome after the last. Work that was
//! superseded in between does not store its outcome.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sea_orm::DatabaseConnection;

use super::error::PublishError;
use crate::db::entities::instance::{self, Lifecycle};
use crate::edge::{EDGE_KEY, EdgeError, EdgeRecord, Intent, PUBLISH_REQUEST_KEY, Publication, PublishRequest, Target};
use crate::kernel::{Clock, Timestamp, VmId};
use crate::ports::RecordId;
use crate::servers::payload::{self, PayloadError, PayloadUpdate};

/// After how long other processes may continue work that was begun and has not stored its outcome.
pub const CLAIM_TIMEOUT: Duration = Duration::from_secs(120);

/// What came of the work at each target.
pub(super) type Outcomes = BTreeMap<Target, Result<Vec<RecordId>, EdgeError>>;

/// Which targets are visited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetSelection {
    /// All, including those that had what they should.
    All,
    /// Those that do not have what they should and are due, and those that lose what they hold when they restart.
    Due,
}

/// The stored state of a server's publication that some work is about to bring to the targets.
pub(super) struct Generation<'a> {
    db: &'a DatabaseConnection,
    clock: &'a Clock,
    /// The server.
    pub(super) row: instance::Model,
    /// What it should have.
    pub(super) record: EdgeRecord,
    /// When it is checked once more, even if every target succeeds.
    recheck_at: Option<Timestamp>,
}

/// What became of the outcome of some work.
pub(super) enum StoreResult {
    /// It is stored; the state after that.
    Stored(Box<EdgeRecord>),
    /// There is a newer generation.
    Superseded,
    /// The server is gone or being deleted.
    Gone,
}

impl<'a> Generation<'a> {
    /// Begins to publish `publication`. Superseded when the operator's `request` is not the last one, or when the server is
    /// to be unpublished and only due targets are selected.
    pub(super) async fn begin_publish(
        (db, clock): (&'a DatabaseConnection, &'a Clock),
        publication: &Publication,
        selection: TargetSelection,
        request: Option<u32>,
    ) -> Result<Self, PublishError> {
        let (vmid, now) = (publication.vmid, clock.now());
        let is_superseded = |row: &instance::Model, old: Option<&EdgeRecord>| {
            let unpublished = old.is_some_and(|old| old.intent == Intent::Unpublished);
            let finished = selection == TargetSelection::Due && unpublished;
            row.lifecycle != Lifecycle::Active || finished || is_superseded_by_request(row, request)
        };
        let row = payload::merge(db, vmid, EDGE_KEY, now, |row, old: Option<EdgeRecord>| {
            if is_superseded(row, old.as_ref()) {
                return None;
            }
            let value = EdgeRecord::begin(old.as_ref(), publication.clone(), now);
            Some(PayloadUpdate { value: Some(value), edge_due_at: Some(Some(now.after(CLAIM_TIMEOUT))) })
        })
        .await?;
        let record: Option<EdgeRecord> = payload::read(&row, EDGE_KEY)?;
        match record {
            Some(record) if !is_superseded(&row, Some(&record)) => {
                Ok(Self { db, clock, row, record, recheck_at: None })
            }
            _ if row.lifecycle != Lifecycle::Active => Err(PublishError::Deleting { vmid }),
            _ => Err(PublishError::Superseded { vmid }),
        }
    }

    /// Begins to unpublish server `vmid`; `None` when it was never published.
    ///
    /// A publication that is still running may write to a target after this work has seen it empty. With `beware` the
    /// server is checked once more when that must have ended, even if its process dies and does not ask for it.
    pub(super) async fn begin_unpublish(
        (db, clock): (&'a DatabaseConnection, &'a Clock),
        vmid: VmId,
        request: Option<u32>,
        beware: bool,
    ) -> Result<Option<Self>, PublishError> {
        let now = clock.now();
        let busy = AtomicBool::new(false);
        let row = payload::merge(db, vmid, EDGE_KEY, now, |row, old: Option<EdgeRecord>| {
            let old = old.filter(|_| !is_superseded_by_request(row, request))?;
            busy.store(row.edge_due_at.is_some() && row.edge_due_at != old.due_at(), Ordering::Relaxed);
            let edge_due_at = Some(Some(now.after(CLAIM_TIMEOUT)));
            Some(PayloadUpdate { value: Some(old.unpublishing()), edge_due_at })
        })
        .await?;
        if is_superseded_by_request(&row, request) {
            return Err(PublishError::Superseded { vmid });
        }
        let record: Option<EdgeRecord> = payload::read(&row, EDGE_KEY)?;
        let recheck_at = (beware && busy.load(Ordering::Relaxed)).then(|| now.after(CLAIM_TIMEOUT));
        Ok(record.map(|record| Self { db, clock, row, record, recheck_at }))
    }

    /// The targets that are visited for it.
    pub(super) fn select(&self, selection: TargetSelection) -> BTreeSet<Target> {
        match (self.record.intent, selection) {
            (Intent::Published, TargetSelection::All) => self.record.publication.targets(),
            (Intent::Published, TargetSelection::Due) => due(&self.record, self.clock.now()),
            (Intent::Unpublished, _) => self.record.targets.keys().copied().collect(),
        }
    }

    /// Stores what came of the work, unless there is a newer generation.
    pub(super) async fn store_outcomes(&self, outcomes: &Outcomes) -> Result<StoreResult, PublishError> {
        let now = self.clock.now();
        // Another server may have its VMID by now.
        let gone = |row: &instance::Model| {
            let deleting = self.record.intent == Intent::Published && row.lifecycle != Lifecycle::Active;
            row.id != self.row.id || deleting
        };
        let is_current = |stored: &EdgeRecord| stored.generation == self.record.generation;
        let stored = payload::merge(self.db, self.row.vmid, EDGE_KEY, now, |row, stored: Option<EdgeRecord>| {
            let mut stored = stored.filter(|stored| is_current(stored) && !gone(row))?;
            for (target, outcome) in outcomes {
                stored.settle(*target, outcome, now);
            }
            let edge_due_at = Some(stored.due_at().or(self.recheck_at));
            Some(PayloadUpdate { value: Some(stored), edge_due_at })
        });
        let row = match stored.await {
            Ok(row) => row,
            Err(PayloadError::Gone { .. }) => return Ok(StoreResult::Gone),
            Err(error) => return Err(error.into()),
        };
        let stored: Option<EdgeRecord> = payload::read(&row, EDGE_KEY)?;
        Ok(match stored {
            _ if gone(&row) => StoreResult::Gone,
            Some(stored) if is_current(&stored) => StoreResult::Stored(Box::new(stored)),
            Some(_) | None => StoreResult::Superseded,
        })
    }

    /// Makes `targets` due at once, against what is stored of the server by now: superseded work may have changed them after
    /// the newer work did.
    pub(super) async fn recheck(&self, targets: BTreeSet<Target>) -> Result<(), PublishError> {
        let now = self.clock.now();
        let reopened = payload::merge(self.db, self.row.vmid, EDGE_KEY, now, |row, stored: Option<EdgeRecord>| {
            let mut stored = stored.filter(|_| row.id == self.row.id && row.lifecycle == Lifecycle::Active)?;
            for target in &targets {
                stored.reopen(*target, now);
            }
            Some(PayloadUpdate { value: Some(stored), edge_due_at: Some(Some(now)) })
        });
        match reopened.await {
            Ok(_) | Err(PayloadError::Gone { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether an operator's later request than `request` was accepted.
fn is_superseded_by_request(row: &instance::Model, request: Option<u32>) -> bool {
    let last: Option<PublishRequest> = payload::read(row, PUBLISH_REQUEST_KEY).ok().flatten();
    request.is_some_and(|request| last.is_some_and(|last| last.number > request))
}

/// The unsettled targets whose time has come, and the volatile ones that seem settled.
fn due(record: &EdgeRecord, now: Timestamp) -> BTreeSet<Target> {
    let unsettled = record.unsettled();
    let is_due = |target: &Target| {
        let due_at = record.targets.get(target).and_then(|record| record.due_at);
        due_at.is_none_or(|due_at| due_at <= now)
    };
    let volatile = record.publication.targets().into_iter().filter(|target| target.is_volatile());
    let volatile: Vec<Target> = volatile.filter(|target| !unsettled.contains(target)).collect();
    unsettled.into_iter().filter(is_due).chain(volatile).collect()
}
