//! Polls the agents that are due, except those that another process polls.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_trait::async_trait;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::super::lanes::Lanes;
use super::Poller;
use super::pace::due_at;
use super::waits::Waits;
use crate::background::{PassError, Report, Schedule, Task, TaskName};
use crate::db;
use crate::jobs::busy_servers;
use crate::kernel::{Timestamp, VmId};
use crate::servers::store::{self, PollTarget};
use crate::telemetry::{Panicked, caught};

/// How long a server counts as changing after an operation about it has ended.
const SETTLING: Duration = Duration::from_secs(60);
/// How many servers are read and claimed at a time.
const PAGE: u64 = 500;

/// The background task that polls agents. A pass starts the polls of one interval; they continue during later passes.
pub struct AgentPoll {
    poller: Arc<Poller>,
    lanes: Lanes,
    waits: Waits,
    /// Aborted when the task is dropped: a poll changes nothing but the live state.
    polls: JoinSet<Result<(), Panicked>>,
}

#[async_trait]
impl Task for AgentPoll {
    fn name(&self) -> TaskName {
        TaskName::of("agent-poll")
    }

    fn schedule(&self) -> Schedule {
        Schedule::every(self.poller.settings.interval).at_fixed_rate()
    }

    async fn pass(&mut self, stop: &CancellationToken) -> Result<Report, PassError> {
        let metrics = self.poller.metrics.poller.clone();
        let panicked = self.ended();
        let Some(started) = stop.run_until_cancelled(self.start_polls()).await else { return Ok(Report::default()) };
        let started = started.map_err(|error| {
            metrics.round_skipped();
            PassError::of(format!("{error:#}"))
        })?;
        match panicked {
            Some(panic) => Err(PassError::of(format!("a poll panicked: {panic}"))),
            None => Ok(Report::done(started)),
        }
    }
}

impl AgentPoll {
    pub(super) fn new(poller: Poller) -> Self {
        let lanes = Lanes::new(poller.settings.concurrency);
        Self { lanes, poller: Arc::new(poller), waits: Waits::default(), polls: JoinSet::new() }
    }

    /// Removes polls that have ended, and returns a panic if there was one. A panicking poll makes the pass fail but
    /// does not end the task: the answer of one agent must not stop the API.
    fn ended(&mut self) -> Option<Panicked> {
        let mut panicked = None;
        while let Some(ended) = self.polls.try_join_next() {
            if let Ok(Err(panic)) = ended {
                panicked = Some(panic);
            }
        }
        panicked
    }

    /// Starts a poll of every agent that is due and that no other process polls, and returns how many.
    async fn start_polls(&mut self) -> anyhow::Result<usize> {
        let mut started = 0;
        let mut after = None;
        let since = self.poller.clock.now().before(SETTLING);
        let busy =
            db::in_time(busy_servers(&self.poller.db, since)).await.context("the operations could not be read")?;
        let mut seen = BTreeSet::new();
        loop {
            let reading = db::in_time(store::list_poll_targets(&self.poller.db, after, PAGE));
            let page = reading.await.context("the servers could not be read")?;
            let Some(last) = page.last() else { break };
            after = Some(last.vmid);
            let complete = (page.len() as u64) < PAGE;
            seen.extend(page.iter().map(|target| target.id));
            started += self.start_page(page, &busy).await.context("the live state is unavailable")?;
            if complete {
                break;
            }
        }
        self.waits.retain(&seen);
        self.poller.metrics.poller.round_done(self.poller.clock.now());
        Ok(started)
    }

    async fn start_page(&mut self, page: Vec<PollTarget>, busy: &BTreeSet<VmId>) -> Result<usize, redis::RedisError> {
        let now = self.poller.clock.now();
        let is_due = |target: &PollTarget| busy.contains(&target.vmid) || self.waits.is_due(target.id, now);
        let (mut entered, mut targets) = (Vec::new(), Vec::new());
        for target in self.due(page.into_iter().filter(is_due).collect(), busy, now).await? {
            match self.lanes.enter(target.vmid) {
                Some(guard) => {
                    entered.push(guard);
                    targets.push(target);
                }
                None => self.poller.metrics.poller.overlapped(),
            }
        }
        // Slightly shorter than the interval, so that our own claim has expired by the next pass.
        let claims = self.poller.live.claim(&targets, self.poller.settings.interval.mul_f64(0.9)).await?;
        let mut started = 0;
        for ((guard, target), claim) in entered.into_iter().zip(targets).zip(claims) {
            let Some(claim) = claim else { continue };
            let lane = self.lanes.share(!claim.unresponsive);
            let jitter = self.poller.settings.interval.mul_f64(rand::random_range(0.0..0.5));
            let (poller, waits) = (self.poller.clone(), self.waits.clone());
            started += 1;
            self.polls.spawn(caught(async move {
                tokio::time::sleep(jitter).await;
                let Ok(_permit) = lane.acquire().await else { return };
                // Boxed, because a poll takes ten times the memory of one that waits.
                if let Some(history) = Box::pin(poller.poll(&target, &claim)).await {
                    waits.set(target.id, due_at(poller.pace(), Some(&history), poller.id, false));
                }
                drop(guard);
            }));
        }
        Ok(started)
    }

    /// Those of `targets` that are due by what is stored: another process may have polled them.
    async fn due(
        &self,
        targets: Vec<PollTarget>,
        busy: &BTreeSet<VmId>,
        now: Timestamp,
    ) -> Result<Vec<PollTarget>, redis::RedisError> {
        let histories = self.poller.live.histories(&targets).await?;
        let pace = self.poller.pace();
        let mut due = Vec::new();
        for (target, history) in targets.into_iter().zip(histories) {
            let due_at = due_at(pace, history.as_ref(), self.poller.id, busy.contains(&target.vmid));
            if due_at.is_none_or(|at| at <= now) {
                due.push(target);
            } else {
                self.waits.set(target.id, due_at);
            }
        }
        Ok(due)
    }
}
