//! Publishes servers and takes them back: every target by itself, all at a time, and what came of it in one write.
//!
//! Intent and generation are written before the first request, the outcome after the last. Work that was overtaken in
//! between does not write its outcome. What it has just put there may have come after what the newer work did: those
//! targets are looked at again, or, when the server is being deleted, taken back here and now. So an older generation
//! never leaves what a newer one removed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use sea_orm::{DatabaseConnection, DbErr};

use crate::db::entities::instance::{self, InstanceKind, Lifecycle};
use crate::edge::{
    EDGE_KEY, EdgeError, EdgePolicy, EdgeRecord, Intent, Publication, Refused, ServerFacts, Target, Targets, WISH_KEY,
    Wish, Workload, needs_port, plan,
};
use crate::kernel::{Clock, InstanceId, Timestamp, VmId};
use crate::ports::RecordId;
use crate::servers::payload::{self, Change, PayloadError};

use super::withdraw::{Withdrawal, withdraw};
use super::{registration, zone};
use crate::servers::{ports, store};

/// How long one target may take in one attempt.
const TARGET_PATIENCE: Duration = Duration::from_secs(30);

/// After how long a publication that nobody finished is taken up by somebody else.
pub(super) const ABANDONED: Duration = Duration::from_secs(120);

/// Which targets are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All, those that were right too.
    All,
    /// Those that do not have what they should, and the proxy, which forgets its registrations when it is restarted.
    Due,
}

/// Why nothing was published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The server cannot have a public name.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The server is gone or being deleted.
    #[error("server {vmid} is gone or being deleted")]
    Deleting {
        /// Its number.
        vmid: VmId,
    },
    /// A newer wish than the one that was to be carried out.
    #[error("server {vmid} was published or taken back anew meanwhile")]
    Overtaken {
        /// Its number.
        vmid: VmId,
    },
    /// The row of the server cannot be used for it.
    #[error("server {vmid} cannot be published: {detail}")]
    Unusable {
        /// Its number.
        vmid: VmId,
        /// What is wrong with it.
        detail: String,
    },
    /// What is known of it could not be read or written.
    #[error(transparent)]
    Payload(PayloadError),
}

impl From<PayloadError> for PublishError {
    fn from(error: PayloadError) -> Self {
        match error {
            PayloadError::Gone { vmid } => Self::Deleting { vmid },
            error => Self::Payload(error),
        }
    }
}

impl From<DbErr> for PublishError {
    fn from(error: DbErr) -> Self {
        Self::Payload(error.into())
    }
}

/// Publishes servers.
#[derive(Clone)]
pub struct Publisher {
    /// The database.
    pub db: DatabaseConnection,
    /// The peers.
    pub targets: Targets,
    /// The house rules.
    pub policy: EdgePolicy,
    /// The clock of the process.
    pub clock: Clock,
}

type Outcomes = BTreeMap<Target, Result<Vec<RecordId>, EdgeError>>;

impl Publisher {
    /// A publisher of servers to `targets`, by the rules of `policy`; the targets it names are those that are there.
    pub fn new(db: DatabaseConnection, targets: Targets, policy: EdgePolicy, clock: Clock) -> Self {
        let there = Target::ALL.iter().copied().filter(|target| targets.has(*target)).collect();
        Self { db, policy: EdgePolicy { targets: there, ..policy }, targets, clock }
    }

    /// Publishes server `vmid` and answers what is known of it then: a target that failed is in there, not in the error.
    /// `None` when it has nothing at the edge. `wish` is the number of the operator's wish that is carried out, 0 before
    /// there was any: a later one wins.
    pub async fn publish(
        &self,
        vmid: VmId,
        scope: Scope,
        wish: Option<u32>,
    ) -> Result<Option<EdgeRecord>, PublishError> {
        let row = self.row(vmid).await?;
        let Some(publication) = self.plan(&row).await? else { return Ok(None) };
        let now = self.clock.now();
        let overtaken = |row: &instance::Model, old: Option<&EdgeRecord>| {
            let withdrawn = old.is_some_and(|old| old.intent == Intent::Withdrawn);
            row.lifecycle != Lifecycle::Active || (scope == Scope::Due && withdrawn) || has_later_wish(row, wish)
        };
        let row = payload::merge(&self.db, vmid, EDGE_KEY, now, |row, old: Option<EdgeRecord>| {
            if overtaken(row, old.as_ref()) {
                return None;
            }
            let value = EdgeRecord::begin(old.as_ref(), publication.clone(), now);
            Some(Change { value: Some(value), edge_due_at: Some(Some(now.after(ABANDONED))) })
        })
        .await?;
        let record: Option<EdgeRecord> = payload::read(&row, EDGE_KEY)?;
        let record = match record {
            Some(record) if !overtaken(&row, Some(&record)) => record,
            _ if row.lifecycle != Lifecycle::Active => return Err(PublishError::Deleting { vmid }),
            _ => return Err(PublishError::Overtaken { vmid }),
        };
        let due = match scope {
            Scope::All => record.publication.targets(),
            Scope::Due => due(&record, now),
        };
        let outcomes = self.each(due, |target| self.put(target, &record, &row)).await;
        let touched = || outcomes.keys().copied().collect();
        match self.note(row.id, &record, &outcomes, None).await? {
            Noted::Kept(record) => Ok(Some(*record)),
            Noted::Overtaken => {
                self.look_again(&row, touched()).await?;
                Err(PublishError::Overtaken { vmid })
            }
            Noted::Gone => {
                self.take_back(&record, &row, touched()).await;
                Err(PublishError::Deleting { vmid })
            }
        }
    }

    /// Takes server `vmid` back from every target and answers what is known of it then. `None` when it was never
    /// published. `wish` as in [`Self::publish`]; without one it is taken back whatever is wished.
    pub async fn unpublish(&self, vmid: VmId, wish: Option<u32>) -> Result<Option<EdgeRecord>, PublishError> {
        self.take_all(vmid, wish, true).await
    }

    /// Goes on where [`Self::unpublish`] had to leave something.
    pub(super) async fn finish_withdrawal(&self, vmid: VmId) -> Result<Option<EdgeRecord>, PublishError> {
        self.take_all(vmid, None, false).await
    }

    /// A publication that is under way may put something there after it was seen to be gone. With `beware` there is one
    /// more look once it must have ended, even if it should not live to ask for that itself.
    async fn take_all(&self, vmid: VmId, wish: Option<u32>, beware: bool) -> Result<Option<EdgeRecord>, PublishError> {
        let now = self.clock.now();
        let busy = AtomicBool::new(false);
        let row = payload::merge(&self.db, vmid, EDGE_KEY, now, |row, old: Option<EdgeRecord>| {
            let old = old.filter(|_| !has_later_wish(row, wish))?;
            busy.store(row.edge_due_at.is_some() && row.edge_due_at != old.due_at(), Ordering::Relaxed);
            let edge_due_at = Some(Some(now.after(ABANDONED)));
            Some(Change { value: Some(old.withdrawing()), edge_due_at })
        })
        .await?;
        if has_later_wish(&row, wish) {
            return Err(PublishError::Overtaken { vmid });
        }
        let Some(record): Option<EdgeRecord> = payload::read(&row, EDGE_KEY)? else { return Ok(None) };
        let what = Withdrawal::from(&record);
        let all = record.targets.keys().copied().collect();
        let outcomes = self.each(all, |target| self.take(target, &what)).await;
        let again = (beware && busy.load(Ordering::Relaxed)).then(|| now.after(ABANDONED));
        match self.note(row.id, &record, &outcomes, again).await? {
            Noted::Kept(record) => Ok(Some(*record)),
            Noted::Overtaken => {
                self.look_again(&row, outcomes.keys().copied().collect()).await?;
                Err(PublishError::Overtaken { vmid })
            }
            Noted::Gone => Err(PublishError::Deleting { vmid }),
        }
    }

    async fn row(&self, vmid: VmId) -> Result<instance::Model, PublishError> {
        store::find(&self.db, vmid).await?.ok_or(PublishError::Deleting { vmid })
    }

    /// What the server of `row` has at the edge by the rules of now.
    pub(super) async fn plan(&self, row: &instance::Model) -> Result<Option<Publication>, PublishError> {
        let unusable = |detail: String| PublishError::Unusable { vmid: row.vmid, detail };
        let address = row.address.parse();
        let address = address.map_err(|_| unusable(format!("`{}` is not an address", row.address)))?;
        let port = match row.kind {
            InstanceKind::Game if needs_port(&row.software) => ports::find(&self.db, row.operation_id).await?,
            InstanceKind::Game | InstanceKind::Dev => None,
        };
        let workload = match row.kind {
            InstanceKind::Game => Workload::Game(&row.software),
            InstanceKind::Dev => Workload::Dev,
        };
        let facts = ServerFacts { vmid: row.vmid, host: &row.hostname, workload, address, port };
        Ok(plan(&facts, &self.policy)?)
    }

    /// Works on `targets` at a time, each within its patience.
    async fn each<F>(&self, targets: BTreeSet<Target>, work: impl Fn(Target) -> F) -> Outcomes
    where
        F: Future<Output = Result<Vec<RecordId>, EdgeError>>,
    {
        let each = targets.into_iter().map(|target| {
            let work = work(target);
            async move {
                let outcome = tokio::time::timeout(TARGET_PATIENCE, work).await;
                (target, outcome.unwrap_or(Err(EdgeError::TooSlow { target, patience: TARGET_PATIENCE })))
            }
        });
        join_all(each).await.into_iter().collect()
    }

    async fn put(
        &self,
        target: Target,
        record: &EdgeRecord,
        row: &instance::Model,
    ) -> Result<Vec<RecordId>, EdgeError> {
        let publication = &record.publication;
        match target {
            Target::Velocity => match &publication.registration {
                Some(wanted) => registration::converge(self.targets.proxy()?, wanted).await.map(|()| Vec::new()),
                None => Ok(Vec::new()),
            },
            Target::Technitium | Target::Cloudflare => {
                let wanted = publication.wanted(target, record.generation);
                zone::converge(self.targets.zone(target)?, target, &record.names, row.vmid, &wanted).await
            }
            // What they read is what we wrote.
            Target::Traefik | Target::Ide => Ok(Vec::new()),
        }
    }

    async fn take(&self, target: Target, what: &Withdrawal) -> Result<Vec<RecordId>, EdgeError> {
        withdraw(&self.targets, target, what).await.map(|()| Vec::new())
    }

    /// Writes down what came of the work for `record` of the server `id`, unless it was overtaken. What is settled all the
    /// same is looked at `again`.
    async fn note(
        &self,
        id: InstanceId,
        record: &EdgeRecord,
        outcomes: &Outcomes,
        again: Option<Timestamp>,
    ) -> Result<Noted, PublishError> {
        let (vmid, now) = (record.publication.vmid, self.clock.now());
        // Another server may have its number by now.
        let gone = |row: &instance::Model| {
            row.id != id || (record.intent == Intent::Published && row.lifecycle != Lifecycle::Active)
        };
        let noted = payload::merge(&self.db, vmid, EDGE_KEY, now, |row, stored: Option<EdgeRecord>| {
            let mut stored = stored.filter(|stored| stored.generation == record.generation && !gone(row))?;
            for (target, outcome) in outcomes {
                stored.settle(*target, outcome, now);
            }
            let edge_due_at = Some(stored.due_at().or(again));
            Some(Change { value: Some(stored), edge_due_at })
        });
        let row = match noted.await {
            Ok(row) => row,
            Err(PayloadError::Gone { .. }) => return Ok(Noted::Gone),
            Err(error) => return Err(error.into()),
        };
        let stored: Option<EdgeRecord> = payload::read(&row, EDGE_KEY)?;
        Ok(match stored {
            _ if gone(&row) => Noted::Gone,
            Some(stored) if stored.generation == record.generation => Noted::Kept(Box::new(stored)),
            Some(_) | None => Noted::Overtaken,
        })
    }

    /// Has `targets` looked at again at once, by what is known of the server now.
    async fn look_again(&self, row: &instance::Model, targets: BTreeSet<Target>) -> Result<(), PublishError> {
        let now = self.clock.now();
        let reopened = payload::merge(&self.db, row.vmid, EDGE_KEY, now, |current, stored: Option<EdgeRecord>| {
            let mut stored = stored.filter(|_| current.id == row.id && current.lifecycle == Lifecycle::Active)?;
            for target in &targets {
                stored.reopen(*target, now);
            }
            Some(Change { value: Some(stored), edge_due_at: Some(Some(now)) })
        });
        match reopened.await {
            Ok(_) | Err(PayloadError::Gone { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes back what was just put at `targets` for a server that is to be gone, unless another has its number, whose
    /// names they are now. What fails here, or is never tried, the sweep of the edge finds (`teardown`).
    async fn take_back(&self, record: &EdgeRecord, row: &instance::Model, targets: BTreeSet<Target>) {
        if self.row(row.vmid).await.is_ok_and(|heir| heir.id != row.id) {
            return;
        }
        let what = Withdrawal::from(record);
        for (target, outcome) in self.each(targets, |target| self.take(target, &what)).await {
            if let Err(error) = outcome {
                tracing::warn!(vmid = %row.vmid, %target, %error, "a late publication of {} stays at {target}", row.vmid);
            }
        }
    }
}

/// What became of the outcome of some work.
enum Noted {
    /// It is written down; what is known then.
    Kept(Box<EdgeRecord>),
    /// The server is to be something else by now.
    Overtaken,
    /// The server is gone or being deleted.
    Gone,
}

/// Whether an operator has wished for something later than `wish`.
fn has_later_wish(row: &instance::Model, wish: Option<u32>) -> bool {
    let last: Option<Wish> = payload::read(row, WISH_KEY).ok().flatten();
    wish.is_some_and(|wish| last.is_some_and(|last| last.number > wish))
}

/// The targets to look at when it is time to: those that do not have what they should, and the proxy, which forgets.
fn due(record: &EdgeRecord, now: Timestamp) -> BTreeSet<Target> {
    let unsettled = record.unsettled();
    let is_due = |target: &Target| {
        let due_at = record.targets.get(target).and_then(|record| record.due_at);
        due_at.is_none_or(|due_at| due_at <= now)
    };
    let forgets = record.publication.registration.as_ref().map(|_| Target::Velocity);
    let forgets = forgets.filter(|target| !unsettled.contains(target));
    unsettled.into_iter().filter(is_due).chain(forgets).collect()
}
