//! What watching the proxy costs the database, and what it writes.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sea_orm::EntityTrait;
use tokio_util::sync::CancellationToken;
use zpack::config::DatabaseKind;
use zpack::db::entities::instance;
use zpack::edge::{EDGE_KEY, EdgeRecord, PROXY_KEY, ProxyRecord, Publication, Registration};
use zpack::kernel::{Clock, DnsName, Timestamp};
use zpack::observe::facts::{Freshness, PollerId};
use zpack::observe::live::LiveState;
use zpack::observe::proxy_watch::ProxyWatch;
use zpack::ports::{GameProxy, Ping, PingTarget, ProxyEntry, ProxyError, ProxyListing, StatusPing, Unregistered};
use zpack::servers::payload::{self, PayloadUpdate};
use zpack::servers::store;

use crate::support::rows::AnyOwner;
use crate::support::servers::server;
use crate::support::{PrivateRedis, TestDb, in_background, lists_at};

const SERVERS: i64 = 10;

/// A proxy that lists what the test sets, and counts its listings.
#[derive(Default)]
struct Listed {
    servers: Mutex<Vec<ProxyEntry>>,
    times: AtomicUsize,
}

#[async_trait]
impl GameProxy for Listed {
    async fn list(&self) -> Result<ProxyListing, ProxyError> {
        self.times.fetch_add(1, Ordering::SeqCst);
        Ok(ProxyListing { boot_id: None, uptime: None, servers: self.servers.lock().unwrap().clone() })
    }

    async fn register(&self, _: &DnsName, _: SocketAddr) -> Result<(), ProxyError> {
        unreachable!("the watch changes nothing at the proxy")
    }

    async fn unregister(&self, _: &str) -> Result<Unregistered, ProxyError> {
        unreachable!("the watch changes nothing at the proxy")
    }
}

/// No server runs, so no server is pinged.
struct NoPing;

#[async_trait]
impl StatusPing for NoPing {
    async fn ping(&self, _: &PingTarget) -> Ping {
        unreachable!("no server runs")
    }
}

/// Records a published server; returns its entry at the proxy.
pub(super) async fn published(db: &TestDb, number: i64, now: Timestamp) -> ProxyEntry {
    let row = server(number, now);
    let vmid = row.vmid;
    store::insert(&AnyOwner(&db.db), row).await.unwrap();
    let name: DnsName = format!("mc-paper-{number}.play.test").parse().unwrap();
    let address: SocketAddr = "127.0.0.9:25565".parse().unwrap();
    let publication = Publication {
        vmid,
        name: name.clone(),
        address: name.to_string(),
        records: BTreeMap::new(),
        registration: Some(Registration { name: name.clone(), address }),
        route: None,
        further_routes: Vec::new(),
        ide: None,
    };
    let edge = EdgeRecord::begin(None, publication, now);
    let set = |_: &instance::Model, _: Option<EdgeRecord>| Some(PayloadUpdate::to(edge.clone()));
    payload::merge(&db.db, vmid, EDGE_KEY, now, set).await.unwrap();
    ProxyEntry { name: name.to_string(), address: Some(address) }
}

async fn rows(db: &TestDb) -> Vec<instance::Model> {
    instance::Entity::find().all(&db.db).await.unwrap()
}

/// Waits until `fact` holds.
async fn wait<F: Future<Output = bool>>(what: &str, fact: impl Fn() -> F) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !fact().await {
        assert!(Instant::now() < deadline, "timed out waiting for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_without_news_costs_one_query() {
    let (db, redis) = (TestDb::migrated(DatabaseKind::Sqlite).await, PrivateRedis::start());
    let clock = Clock::fixed(Timestamp::from_millis(1_800_000_000_000));
    let proxy = Arc::new(Listed::default());
    for number in 5000..5000 + SERVERS {
        let entry = published(&db, number, clock.now()).await;
        proxy.servers.lock().unwrap().push(entry);
    }
    let queries = Arc::new(AtomicUsize::new(0));
    let mut counted = db.db.clone();
    counted.set_metric_callback({
        let queries = queries.clone();
        move |_| _ = queries.fetch_add(1, Ordering::SeqCst)
    });
    let lists = lists_at(redis.url());
    let freshness = Freshness::of_intervals(Duration::from_secs(5), Duration::from_secs(10));
    let watch = ProxyWatch {
        db: counted,
        live: LiveState::new(lists.connection(), freshness.agent),
        freshness,
        proxy: Some(proxy.clone()),
        ping: Arc::new(NoPing),
        clock: clock.clone(),
        interval: Duration::from_millis(20),
        longest_ping_interval: Duration::from_millis(20),
        id: PollerId(1),
    };
    let stop = CancellationToken::new();
    let watching = in_background(watch.task(), &stop);
    let known = |row: &instance::Model| payload::read::<ProxyRecord>(row, PROXY_KEY).unwrap().is_some();
    wait("what was seen first to be kept", || async { rows(&db).await.iter().all(known) }).await;
    let looks = || proxy.times.load(Ordering::SeqCst);
    let begun = looks();
    // The pass that wrote has ended when the next one lists.
    wait("the next look", || async { looks() > begun }).await;
    let (from, before) = (looks(), queries.load(Ordering::SeqCst));
    wait("ten more looks", || async { looks() >= from + 10 }).await;
    let spent = queries.load(Ordering::SeqCst) - before;
    // Read in this order, there are at least as many passes as queries, except for one that is just beginning.
    let more = looks() - from;
    assert!(spent <= more + 1, "{spent} queries for {more} looks");

    // Changes still arrive: a proxy that has lost everything makes every server due.
    proxy.servers.lock().unwrap().clear();
    wait("every server to be due", || async { rows(&db).await.iter().all(|row| row.edge_due_at.is_some()) }).await;
    stop.cancel();
    watching.await.unwrap();
}
