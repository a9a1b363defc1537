//! An agent whose answer makes its poll panic, and the polls of the others.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sea_orm::EntityTrait;
use tokio_util::sync::CancellationToken;
use zpack::background::Runner;
use zpack::config::DatabaseKind;
use zpack::db::entities::instance;
use zpack::kernel::Clock;
use zpack::observe::facts::{Live, PollerId};
use zpack::observe::live::LiveState;
use zpack::observe::poller::{Poller, PollerSettings};
use zpack::ports::{Agent, AgentAssignment, AgentError, AgentReport, AgentState, WorkloadAction};
use zpack::servers::store;
use zpack::telemetry::Metrics;

use crate::contracts::proxmox_kit;
use crate::support::rows::AnyOwner;
use crate::support::servers::server;
use crate::support::{PrivateRedis, TestDb, lists_at};

/// The address of the agent whose answer panics.
const BREAKING: &str = "127.0.0.8";

/// Agents of which one answers with something that panics.
struct Breaking;

#[async_trait]
impl Agent for Breaking {
    async fn health(&self, _: IpAddr) -> Result<(), AgentError> {
        unreachable!("the poller asks for the status")
    }

    async fn ready(&self, _: IpAddr) -> Result<bool, AgentError> {
        Ok(true)
    }

    async fn status(&self, at: IpAddr) -> Result<AgentReport, AgentError> {
        assert_ne!(at.to_string(), BREAKING, "an answer that was thought impossible");
        Ok(AgentReport::of(AgentState::Running))
    }

    async fn configure(&self, _: IpAddr, _: &AgentAssignment) -> Result<(), AgentError> {
        unreachable!("the poller changes nothing")
    }

    async fn power(&self, _: IpAddr, _: WorkloadAction) -> Result<(), AgentError> {
        unreachable!("the poller changes nothing")
    }
}

async fn record(db: &TestDb, number: i64, address: &str) {
    let row = instance::Model { address: address.to_owned(), ..server(number, Clock::System.now()) };
    store::insert(&AnyOwner(&db.db), row).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panicking_poll_fails_the_pass_without_stopping_other_polls() {
    let (db, redis) = (TestDb::migrated(DatabaseKind::Sqlite).await, PrivateRedis::start());
    record(&db, 5000, BREAKING).await;
    record(&db, 5001, "127.0.0.9").await;
    let live = LiveState::new(lists_at(redis.url()).connection(), Duration::from_secs(600));
    let metrics = Metrics::default();
    let poller = Poller {
        db: db.db.clone(),
        live: live.clone(),
        agent: Arc::new(Breaking),
        hypervisor: Arc::new(proxmox_kit::client("http://127.0.0.1:9/".parse().unwrap())),
        clock: Clock::System,
        settings: PollerSettings {
            interval: Duration::from_millis(20),
            longest_interval: Duration::from_millis(20),
            timeout: Duration::from_secs(10),
            concurrency: 8,
            host_interval: Duration::from_secs(600),
        },
        metrics: metrics.clone(),
        id: PollerId(1),
    };
    let stop = CancellationToken::new();
    let (agents, _) = poller.tasks();
    let mut runner = Runner::new(stop.clone(), &metrics, Clock::System);
    runner.add(agents);
    let role = tokio::spawn(runner.run());

    let failed = r#"zpack_task_pass_seconds_count{task="agent-poll",subject="",outcome="failed"}"#;
    let rows = instance::Entity::find().all(&db.db).await.unwrap();
    let other = rows.iter().find(|row| row.vmid.get() == 5001).unwrap();
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let noticed = metrics.render().unwrap().contains(failed);
        let answered = matches!(&live.read(&[other]).await[0], Live::Facts(facts) if facts.agent.is_some());
        if noticed && answered {
            break;
        }
        assert!(Instant::now() < deadline && !role.is_finished(), "noticed: {noticed}, the other answered: {answered}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    stop.cancel();
    role.await.unwrap().unwrap();
}
