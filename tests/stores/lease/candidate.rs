//! Candidates in this process, and the conditions that tests wait for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::AsyncCommands;
use sea_orm::{DatabaseConnection, EntityTrait};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zpack::db::entities::lease;
use zpack::lease::{CandidacyEnd, Lease, LeaseDeps, LeaseName, LeaseSettings, Term};
use zpack::telemetry::{Metrics, Outcome};

use crate::support::{TestDb, lists_at};

pub const KEY: &str = "zlh:controller:lock";

/// So long that it does not pass within a test.
pub const NEVER: Duration = Duration::from_secs(3600);

/// No timeout passes within a test; candidates try often.
pub fn patient() -> LeaseSettings {
    LeaseSettings {
        ttl: 4 * NEVER,
        renew: NEVER,
        retry: Duration::from_millis(20),
        takeover: 4 * NEVER,
        join: Duration::from_secs(60),
    }
}

/// A candidate. Its first tick of a term gives the term to the test and ends when the test asks; later ones do nothing.
pub struct Candidate {
    pub metrics: Metrics,
    pub stop: CancellationToken,
    pub go_on: Arc<Notify>,
    terms: mpsc::UnboundedReceiver<Term>,
    task: JoinHandle<CandidacyEnd>,
}

impl Candidate {
    /// Starts one whose Redis is at `redis`.
    pub async fn start(test: &TestDb, redis: &str, settings: LeaseSettings) -> Self {
        Self::start_over(test.another_pool().await, redis, settings)
    }

    /// The same over a given pool.
    pub fn start_over(db: DatabaseConnection, redis: &str, settings: LeaseSettings) -> Self {
        let (stop, go_on, metrics) = (CancellationToken::new(), Arc::new(Notify::new()), Metrics::default());
        let (elected, terms) = mpsc::unbounded_channel();
        let lease = Lease::new(LeaseDeps {
            name: LeaseName::Controller,
            db,
            redis: lists_at(redis).connection(),
            settings,
            metrics: metrics.lease(LeaseName::Controller.as_str()),
        });
        let (stopped, resumed) = (stop.clone(), go_on.clone());
        let task = tokio::spawn(async move {
            let mut last = 0;
            lease
                .lead(Duration::from_millis(10), &stopped, move |term| {
                    let first = term.epoch() != std::mem::replace(&mut last, term.epoch());
                    let (resumed, over) = (resumed.clone(), term.over().clone());
                    if first {
                        elected.send(term).unwrap();
                    }
                    async move {
                        if first {
                            tokio::select! {
                                () = resumed.notified() => {}
                                () = over.cancelled() => {}
                            }
                        }
                        Outcome::Succeeded
                    }
                })
                .await
        });
        Self { metrics, stop, go_on, terms, task }
    }

    /// Waits until it is the leader.
    pub async fn leads(&mut self) -> Term {
        within("an election", self.terms.recv()).await.expect("the candidate lives")
    }

    /// Whether it was elected since the last call.
    pub fn was_elected(&mut self) -> bool {
        self.terms.try_recv().is_ok()
    }

    /// Stops it and waits for its end.
    pub async fn stopped(self) -> CandidacyEnd {
        self.stop.cancel();
        within("the end of the candidate", self.task).await.unwrap()
    }

    /// Ends it like a crash: nothing is released.
    pub async fn crash(self) {
        self.task.abort();
        let _ = self.task.await;
    }

    /// The value of one of its metrics; 0 while there is no such line.
    pub fn count(&self, line: &str) -> u64 {
        let text = self.metrics.render().unwrap();
        let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        value.map_or(0, |value| value.parse::<f64>().unwrap() as u64)
    }

    /// How many commands about the lock had this outcome.
    pub fn asked(&self, outcome: &str) -> u64 {
        self.count(&format!(r#"zpack_lease_lock_rtt_seconds_count{{lease="controller",outcome="{outcome}"}}"#))
    }

    /// Waits until it has tried a few more times to take the lock, each time with this outcome.
    pub async fn tries(&self, outcome: &str) {
        let before = self.asked(outcome);
        wait_for("more attempts", async || self.asked(outcome) >= before + 6).await;
    }
}

/// Waits for a future that has to complete.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let waiting = tokio::time::timeout(Duration::from_secs(120), future).await;
    waiting.unwrap_or_else(|_| panic!("gave up waiting: {what}"))
}

/// Waits until a condition holds.
pub async fn wait_for(what: &str, mut fact: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !fact().await {
        assert!(Instant::now() < deadline, "gave up waiting: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The row of the lease.
pub async fn row(test: &TestDb) -> lease::Model {
    lease::Entity::find_by_id("controller".to_owned()).one(&test.db).await.unwrap().unwrap()
}

/// A connection to read Redis.
pub async fn look(url: &str) -> redis::aio::MultiplexedConnection {
    redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap()
}

/// The holder of the lock.
pub async fn holder(redis: &mut redis::aio::MultiplexedConnection) -> Option<String> {
    redis.get(KEY).await.unwrap()
}
