//! `zpack lease`: shows the leader of a lease, and runs a candidate for failover tests.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use redis::RedisError;
use sea_orm::{DatabaseConnection, EntityTrait};
use serde::Serialize;
use serde_json::json;

use super::output::{self, Output, or_dash, span};
use super::{audited, exit, signals, wiring};
use crate::cli::LeaseCommand;
use crate::config::{CandidateConfig, Environment, OperatorConfig, Settings, Source};
use crate::db;
use crate::db::entities::lease;
use crate::jobs::Lists;
use crate::kernel::{Clock, Timestamp};
use crate::lease::{CandidacyEnd, Lease, LeaseDeps, LeaseName, LockView, Term, observe_lock};
use crate::telemetry::{Metrics, Outcome};

/// Runs one `zpack lease` command.
pub async fn run(source: &dyn Source, command: LeaseCommand, output: Output) -> anyhow::Result<ExitCode> {
    match command {
        LeaseCommand::Show => {
            show(source, output).await?;
            Ok(ExitCode::SUCCESS)
        }
        LeaseCommand::Campaign { tick_ms, stuck } => {
            campaign(source, Duration::from_millis(tick_ms), stuck, output).await
        }
    }
}

/// The state of one lease.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeaseStatus {
    name: LeaseName,
    /// How often the leader has changed.
    epoch: i64,
    /// The leader according to the database, which is authoritative.
    holder: Option<String>,
    /// The leader's last heartbeat.
    renewed_at: Option<Timestamp>,
    /// How long ago that was.
    age_seconds: Option<u64>,
    /// What Redis holds under the key of the lease.
    lock: LockStatus,
}

/// What Redis holds under the key of a lease.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "state")]
enum LockStatus {
    /// No lock.
    Free,
    /// The lock of the leader.
    Held { holder: String, expires_in_ms: Option<u64> },
    /// A lock of a candidate that is not the leader in the database.
    Disagrees { holder: String, expires_in_ms: Option<u64> },
    /// Redis did not answer.
    Unknown,
}

async fn show(source: &dyn Source, output: Output) -> anyhow::Result<()> {
    let config = OperatorConfig::load(source)?;
    let db = wiring::database(&config.database).await?;
    let lists = wiring::redis(&config.redis)?;
    let mut leases = Vec::new();
    for name in LeaseName::ALL {
        leases.push(status(&db, &lists, *name).await?);
    }
    output.print(&json!({"leases": leases}), |_| table(&leases))
}

async fn status(db: &DatabaseConnection, lists: &Lists, name: LeaseName) -> anyhow::Result<LeaseStatus> {
    let row = lease::Entity::find_by_id(name.to_string()).one(db).await;
    let row = row.with_context(|| format!("cannot read the lease {name}"))?;
    let now = db::now(db).await.context("cannot read the clock of the database")?;
    let lock = observe_lock(&lists.connection(), name).await;
    let (epoch, holder, renewed_at) = row.map_or((0, None, None), |row| (row.epoch, row.holder, row.renewed_at));
    let lock = lock_status(lock, holder.as_deref());
    let age_seconds = renewed_at.map(|at| now.since(at).as_secs());
    Ok(LeaseStatus { name, epoch, holder, renewed_at, age_seconds, lock })
}

fn lock_status(lock: Result<Option<LockView>, RedisError>, leader: Option<&str>) -> LockStatus {
    match lock {
        Ok(None) => LockStatus::Free,
        Ok(Some(LockView { holder, expires_in })) => {
            let expires_in_ms = expires_in.and_then(|span| u64::try_from(span.as_millis()).ok());
            if leader == Some(holder.as_str()) {
                LockStatus::Held { holder, expires_in_ms }
            } else {
                LockStatus::Disagrees { holder, expires_in_ms }
            }
        }
        Err(error) => {
            tracing::warn!(%error, "Redis did not answer; the holder of the lock is unknown");
            LockStatus::Unknown
        }
    }
}

fn table(leases: &[LeaseStatus]) -> String {
    let rows = leases.iter().map(|lease| {
        vec![
            lease.name.to_string(),
            lease.epoch.to_string(),
            or_dash(lease.holder.as_deref()),
            or_dash(lease.age_seconds.map(|seconds| span(Duration::from_secs(seconds)))),
            match &lease.lock {
                LockStatus::Free => "free".to_owned(),
                LockStatus::Held { .. } => "held by the leader".to_owned(),
                LockStatus::Disagrees { holder, .. } => format!("held by {holder}"),
                LockStatus::Unknown => "-".to_owned(),
            },
        ]
    });
    output::table(&["lease", "epoch", "leader", "heartbeat", "lock"], rows, "No leases.")
}

/// Competes for the lease and writes an audit entry at every tick as the leader. Prints each event to standard output.
async fn campaign(source: &dyn Source, every: Duration, stuck: bool, output: Output) -> anyhow::Result<ExitCode> {
    let config = CandidateConfig::load(source)?;
    if config.environment.environment == Environment::Production {
        bail!("this candidate is for tests and does no work; in production, run `zpack controller`");
    }
    let stop = signals::stop_token()?;
    let lists = wiring::redis(&config.redis)?;
    let lease = Lease::new(LeaseDeps {
        name: LeaseName::Controller,
        db: wiring::database(&config.database).await?,
        redis: lists.connection(),
        settings: wiring::lease(&config.lease),
        metrics: Metrics::default().lease(LeaseName::Controller.as_str()),
    });
    let mut last = 0;
    let ticking = |term: Term| {
        if term.epoch() != std::mem::replace(&mut last, term.epoch()) {
            let (over, epoch) = (term.over().clone(), term.epoch());
            term.spawn(async move {
                over.cancelled().await;
                print_event(output, "over", epoch);
            });
            if stuck {
                drop(term.spawn(async {
                    loop {
                        std::thread::park();
                    }
                }));
            }
        }
        tick(term, output)
    };
    Ok(match lease.lead(every, &stop, ticking).await {
        CandidacyEnd::Stopped => ExitCode::SUCCESS,
        CandidacyEnd::OrphanedTasks { .. } => exit::abandon(),
    })
}

async fn tick(term: Term, output: Output) -> Outcome {
    match write(&term).await {
        Ok(()) => {
            print_event(output, "wrote", term.epoch());
            Outcome::Succeeded
        }
        Err(error) => {
            tracing::warn!(error = format!("{error:#}"), epoch = term.epoch(), "the tick was not written");
            Outcome::Failed
        }
    }
}

async fn write(term: &Term) -> anyhow::Result<()> {
    let tx = term.begin().await?;
    let detail = json!({"epoch": term.epoch(), "process": std::process::id()});
    let name = LeaseName::Controller.as_str();
    audited::record(&tx, "lease.tick", name, detail, Clock::System.now())
        .await
        .context("cannot write to the audit log")?;
    tx.commit().await.context("cannot commit the transaction")
}

fn print_event(output: Output, event: &'static str, epoch: i64) {
    // The candidate goes on when standard output is closed.
    let _ = output.print(&json!({"event": event, "epoch": epoch}), |_| format!("{event} {epoch}"));
}
