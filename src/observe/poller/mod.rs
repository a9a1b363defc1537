//! Asks every agent for its state and the hypervisor for the power of every container, for as long as `zpack serve` runs.
//!
//! Every interval the servers are read from the database in pages and claimed in Redis, so that several processes share
//! the work; each claimed agent is then asked in a task of its own, after a random part of the interval. At most
//! `concurrency` agents are asked at a time. An agent that was silent the last time waits in a lane of its own: however
//! many of them hang, those that answer are asked on time. See `docs/adr/0007-agent-poller.md`.
//!
//! Not here: what the facts mean ([`super::facts`]), where they are kept ([`super::live`]).

mod agents;
mod hosts;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use sea_orm::DatabaseConnection;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::live::LiveState;
use crate::db;
use crate::kernel::{Clock, VmId};
use crate::ports::{Agent, Hypervisor};
use crate::servers::store::{self, PollTarget};
use crate::telemetry::{Metrics, Outage};

/// How many servers are read and claimed at a time.
const PAGE: u64 = 500;
/// The part of the concurrency that silent agents may use, as a divisor.
const SILENT_SHARE: usize = 4;

/// How the poller behaves.
#[derive(Clone, Debug)]
pub struct PollerSettings {
    /// From one look at an agent to the next.
    pub interval: Duration,
    /// How long an agent may take to answer.
    pub timeout: Duration,
    /// How many agents are asked at a time.
    pub concurrency: usize,
    /// From one listing of the hypervisor to the next; its own facts lag ten seconds behind.
    pub host_interval: Duration,
}

/// What the poller works with.
#[derive(Clone)]
pub struct Poller {
    /// The servers.
    pub db: DatabaseConnection,
    /// Where the facts go.
    pub live: LiveState,
    /// The agents.
    pub agent: Arc<dyn Agent>,
    /// The hypervisor.
    pub hypervisor: Arc<dyn Hypervisor>,
    /// The clock the facts are stamped with.
    pub clock: Clock,
    /// How it behaves.
    pub settings: PollerSettings,
    /// What it counts.
    pub metrics: Metrics,
}

/// Limits how many agents are asked at a time, and knows which are.
struct Lanes {
    answering: Arc<Semaphore>,
    silent: Arc<Semaphore>,
    in_flight: Arc<Mutex<BTreeSet<VmId>>>,
}

impl Lanes {
    fn new(concurrency: usize) -> Self {
        let silent = (concurrency / SILENT_SHARE).max(1);
        Self {
            answering: Arc::new(Semaphore::new(concurrency.saturating_sub(silent).max(1))),
            silent: Arc::new(Semaphore::new(silent)),
            in_flight: Arc::default(),
        }
    }

    /// Marks `vmid` as in flight until the guard is dropped; `None` when it is already.
    fn enter(&self, vmid: VmId) -> Option<InFlight> {
        let fresh = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner).insert(vmid);
        fresh.then(|| InFlight { vmid, set: self.in_flight.clone() })
    }
}

struct InFlight {
    vmid: VmId,
    set: Arc<Mutex<BTreeSet<VmId>>>,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.set.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.vmid);
    }
}

impl Poller {
    /// Polls until `stop`. A poll under way is dropped then: it changes nothing but the live state.
    pub async fn run(self, stop: CancellationToken) {
        tokio::join!(self.run_agents(stop.clone()), self.run_hosts(stop));
    }

    async fn run_agents(&self, stop: CancellationToken) {
        let lanes = Lanes::new(self.settings.concurrency);
        let outage = Outage::of("polling the agents");
        let mut polls = JoinSet::new();
        let mut tick = tokio::time::interval(self.settings.interval);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => {}
                Some(_) = polls.join_next() => continue,
            }
            tokio::select! {
                () = stop.cancelled() => break,
                started = self.start_polls(&lanes, &mut polls) => match started {
                    Ok(()) => outage.works(),
                    Err(error) => {
                        self.metrics.poller.round_skipped();
                        outage.failed(format!("{error:#}"));
                    }
                },
            }
            while polls.try_join_next().is_some() {}
        }
        polls.shutdown().await;
    }

    /// Starts a poll of every agent nobody else polls in this interval.
    async fn start_polls(&self, lanes: &Lanes, polls: &mut JoinSet<()>) -> anyhow::Result<()> {
        let mut after = None;
        loop {
            let reading = db::in_time(store::list_poll_targets(&self.db, after, PAGE));
            let page = reading.await.context("the servers could not be read")?;
            let Some(last) = page.last() else { break };
            after = Some(last.vmid);
            let complete = (page.len() as u64) < PAGE;
            self.start_page(lanes, polls, page).await.context("the live state is away")?;
            if complete {
                break;
            }
        }
        self.metrics.poller.round_done(self.clock.now());
        Ok(())
    }

    async fn start_page(
        &self,
        lanes: &Lanes,
        polls: &mut JoinSet<()>,
        page: Vec<PollTarget>,
    ) -> Result<(), redis::RedisError> {
        let (mut entered, mut targets) = (Vec::new(), Vec::new());
        for target in page {
            match lanes.enter(target.vmid) {
                Some(guard) => {
                    entered.push(guard);
                    targets.push(target);
                }
                None => self.metrics.poller.overlapped(),
            }
        }
        // A little shorter than the interval, or our own claim would stop us the next time.
        let claims = self.live.claim(&targets, self.settings.interval.mul_f64(0.9)).await?;
        for ((guard, target), claim) in entered.into_iter().zip(targets).zip(claims) {
            let Some(claim) = claim else { continue };
            let lane = if claim.silent { lanes.silent.clone() } else { lanes.answering.clone() };
            let jitter = self.settings.interval.mul_f64(rand::random_range(0.0..0.5));
            let poller = self.clone();
            polls.spawn(async move {
                tokio::time::sleep(jitter).await;
                let Ok(_permit) = lane.acquire().await else { return };
                poller.poll(&target, claim.history.as_ref()).await;
                drop(guard);
            });
        }
        Ok(())
    }
}
