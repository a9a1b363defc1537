//! The observations of a provisioned Minecraft server from end to end, and the connection state that follows.
//!
//! Publishing is not run here and counts as done; everything else is observed over the network.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zpack::adapters::slp::{PingSettings, ServerListPing};
use zpack::adapters::velocity::Velocity;
use zpack::db::entities::instance::{self, InstanceKind};
use zpack::discovery::ProxyCallback;
use zpack::edge::{EdgeState, ProxyRecord, ProxyVerdict, Receipt, Registration, compare_proxy};
use zpack::instances::readiness::{Connection, ConnectionReason, ConnectionState, Readiness, connection};
use zpack::kernel::{Clock, DnsName, Reach};
use zpack::observe::facts::{Freshness, PollerId, observe};
use zpack::observe::live::LiveState;
use zpack::observe::poller::{Poller, PollerSettings};
use zpack::ports::{GameProxy, Ping, PingTarget, StatusPing};
use zpack::web::read_json;

use crate::contracts::scripted::Scripted;
use crate::support::company::{Company, paper};
use crate::support::polling;

const FRESHNESS: Freshness = Freshness::of_intervals(Duration::from_secs(1), Duration::from_secs(1));
const GAME_PORT: u16 = 25_565;

struct Onlooker<'a> {
    company: &'a Company,
    live: LiveState,
    proxy: Velocity,
    row: &'a instance::Model,
    server: Registration,
}

impl Onlooker<'_> {
    /// The connection from all observations of this moment, and the proxy's record after them.
    async fn look(&self, record: &ProxyRecord) -> (Connection, ProxyRecord) {
        let facts = self.live.read(&[self.row]).await.remove(0);
        let listing = self.proxy.list().await.unwrap();
        let target = PingTarget { address: self.server.address, host: self.server.name.to_string() };
        let ping = ServerListPing::new(PingSettings { limit: Duration::from_secs(3), reach: Reach::Loopback })
            .ping(&target)
            .await;
        let now = Clock::System.now();
        let readiness = Readiness::of(&observe(InstanceKind::Game, &facts, now, FRESHNESS));
        let (verdict, _) = compare_proxy(&self.server, &listing.servers);
        let record = record.sighted(&listing, verdict == ProxyVerdict::InSync, now).pinged(&ping, now);
        let found = connection(readiness, EdgeState::Published, record.presence(now), record.ping_state(now));
        (found, record)
    }

    async fn until(&self, record: &ProxyRecord, state: ConnectionState, reasons: &[ConnectionReason]) -> ProxyRecord {
        let what = format!("{state} because of {reasons:?}");
        let look = || async {
            let (found, record) = self.look(record).await;
            (found.state == state && found.reasons == reasons).then_some(record)
        };
        self.company.wait(&what, look).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_connectable_once_all_observations_agree() {
    let company = Company::start().await;
    let (worker, stop) = (company.worker(Company::settings()), CancellationToken::new());
    let made = company.begin(paper()).await;
    company.succeeded(made).await;
    worker.stop().await;
    let row = instance::Entity::find().one(&company.db.db).await.unwrap().unwrap();
    let live = LiveState::new(company.lists.connection(), FRESHNESS.agent);
    let poller = Poller {
        db: company.db.db.clone(),
        live: live.clone(),
        agent: Arc::new(company.agents(Duration::from_secs(1))),
        hypervisor: Arc::new(company.hypervisor()),
        clock: Clock::System,
        settings: PollerSettings {
            interval: Duration::from_millis(200),
            longest_interval: Duration::from_millis(300),
            timeout: Duration::from_secs(1),
            concurrency: 8,
            host_interval: Duration::from_millis(400),
        },
        metrics: company.metrics.clone(),
        id: PollerId(1),
    };
    let poller = polling(poller, &stop);

    let name: DnsName = format!("{}.play.test", row.hostname).parse().unwrap();
    let address = SocketAddr::new(row.address.parse().unwrap(), GAME_PORT);
    let proxy = company.proxy();
    let callbacks = Scripted::always("202 Accepted", "").await;
    let settings = json!({"url": callbacks.url(), "duplicates": 1, "reorder": true});
    company.control("/sim/velocity/callbacks", settings).await;
    let server = Registration { name: name.clone(), address };
    let onlooker = Onlooker { company: &company, live, proxy, row: &row, server };
    let begun = ProxyRecord::begin(Clock::System.now(), address);

    onlooker.until(&begun, ConnectionState::Unreachable, &[ConnectionReason::ProxyNotRegistered]).await;
    onlooker.proxy.register(&name, address).await.unwrap();
    onlooker.until(&begun, ConnectionState::Connectable, &[]).await;

    // The callbacks alone give the same result, even duplicated and out of order.
    let heard = || async {
        let record = callbacks.seen().iter().fold(begun.clone(), |record, seen| {
            let ProxyCallback(event) = read_json(seen.body.as_bytes()).unwrap().value;
            // The server is registered under its published name as well, and pinged there.
            if event.server_name != name.as_str() {
                return record;
            }
            match record.receive(&event, Clock::System.now()) {
                Receipt::Kept(next) => next,
                Receipt::Known | Receipt::Late | Receipt::Elsewhere => record,
            }
        });
        record.ping.is_some().then_some(record)
    };
    let record = company.wait("the callback of a ping", heard).await;
    let now = Clock::System.now();
    let found = connection(Readiness::Ready, EdgeState::Published, record.presence(now), record.ping_state(now));
    assert_eq!(found.state, ConnectionState::Connectable, "{record:?}");

    // Players connect through the proxy, with the server's name.
    company.control("/sim/velocity", json!({"ping": "passthrough"})).await;
    let door = PingTarget { address: company.world.velocity().game_address(), host: format!("{name}.") };
    let through =
        ServerListPing::new(PingSettings { limit: Duration::from_secs(3), reach: Reach::Loopback }).ping(&door).await;
    let Ping::Answered(report) = through else { panic!("{through:?}") };
    assert_eq!(report.version.as_deref(), Some("paper 1.21.1"));

    company.control("/sim/velocity/restart", Value::Null).await;
    let lost = onlooker.until(&record, ConnectionState::Unreachable, &[ConnectionReason::ProxyNotRegistered]).await;
    onlooker.proxy.register(&name, address).await.unwrap();
    onlooker.until(&lost, ConnectionState::Connectable, &[]).await;

    company.control(&format!("/sim/agents/{}", row.vmid), json!({"state": "stopped"})).await;
    onlooker.until(&lost, ConnectionState::Offline, &[ConnectionReason::ServerStopped]).await;
    stop.cancel();
    poller.await.unwrap();
}
