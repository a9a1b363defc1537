//! Recorded servers without containers, a publisher over the real adapters, and what every peer holds.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zpack::adapters::cloudflare::{Cloudflare, CloudflareSettings};
use zpack::adapters::technitium::{Technitium, TechnitiumSettings};
use zpack::adapters::velocity::{Velocity, VelocitySettings};
use zpack::config::DatabaseKind;
use zpack::db::entities::instance;
use zpack::edge::{EDGE_KEY, EdgePolicy, EdgeRecord, EdgeState, Intent, PUBLISH_REQUEST_KEY, PublishRequest, Target};
use zpack::kernel::{Clock, DnsName, Reach, Secret, StoredSecret, Timestamp, VmId};
use zpack::ports::{GameProxy, RouterPoll, RouterPolls, RouterPollsError};
use zpack::publishing::{Holdings, Peers, Publisher, Reconciler, TargetSelection};
use zpack::servers::payload::{self, PayloadUpdate};
use zpack::servers::store;

use crate::contracts::zone_kit::{Rig, ZONE};
use crate::support::TestDb;
use crate::support::rows::AnyOwner;
use crate::support::servers::server;

/// Where players are sent in the records.
pub const EDGE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 1);
/// The port in the SRV records.
pub const PORT: u16 = 25_577;
/// The peers that are called.
pub const PEERS: [&str; 3] = ["cloudflare", "technitium", "velocity"];

/// One pass of a reconciler with `publisher`.
pub async fn reconcile(publisher: &Publisher) {
    let reconciler = Reconciler { publisher: publisher.clone(), interval: Duration::ZERO };
    reconciler.reconcile(&CancellationToken::new()).await.unwrap();
}

/// A world with an edge, and a database with servers to publish.
pub struct Scene {
    pub rig: Rig,
    pub db: TestDb,
    pub clock: Clock,
    pub publisher: Publisher,
    means: Means,
}

/// What the clients of the DNS servers are given.
#[derive(Clone)]
pub struct Means {
    pub cloudflare: StoredSecret,
    pub technitium: StoredSecret,
    /// How long a refused token is not sent again.
    pub cool_down: Duration,
    /// The clock they wait by.
    pub clock: Clock,
}

impl Means {
    /// Good tokens, which are sent again at once when they are refused.
    fn of(rig: &Rig) -> Self {
        Self {
            cloudflare: Secret::new(rig.world.cloudflare().token()).into(),
            technitium: Secret::new(rig.world.technitium().token()).into(),
            cool_down: Duration::ZERO,
            clock: Clock::System,
        }
    }
}

impl Scene {
    pub async fn new() -> Self {
        let rig = Rig::new().await;
        let means = Means::of(&rig);
        Self::start(rig, means, a_clock()).await
    }

    /// One whose clients wait by its clock: pauses end when it is moved, and the budget of calls fills up then only.
    pub async fn in_its_time() -> Self {
        Self::with(|means| means).await
    }

    /// The same with other means.
    pub async fn with(change: impl FnOnce(Means) -> Means) -> Self {
        let (rig, clock) = (Rig::new().await, a_clock());
        let means = change(Means { clock: clock.clone(), ..Means::of(&rig) });
        Self::start(rig, means, clock).await
    }

    /// The same over a world that is there already.
    pub async fn with_rig(rig: Rig, change: impl FnOnce(Means) -> Means) -> Self {
        let means = change(Means::of(&rig));
        Self::start(rig, means, a_clock()).await
    }

    async fn start(rig: Rig, means: Means, clock: Clock) -> Self {
        let db = TestDb::migrated(DatabaseKind::Sqlite).await;
        let publisher = publisher(&rig, &means, &db, &clock, (ZONE, EDGE));
        Self { rig, db, clock, publisher, means }
    }

    /// A publisher with another public address in its settings.
    pub fn at(&self, edge: Ipv4Addr) -> Publisher {
        publisher(&self.rig, &self.means, &self.db, &self.clock, (ZONE, edge))
    }

    /// A publisher with another zone in its settings.
    pub fn in_zone(&self, zone: &str) -> Publisher {
        publisher(&self.rig, &self.means, &self.db, &self.clock, (zone, EDGE))
    }

    /// One pass of the reconciler.
    pub async fn reconcile(&self) {
        reconcile(&self.publisher).await;
    }

    /// Expects that every planned fault was injected.
    pub async fn faults_are_used_up(&self, what: &str) {
        let left = self.rig.control("GET", "/sim/faults", Value::Null).await;
        assert_eq!(left, json!([]), "{what}: no call used it");
    }

    /// Records a game server; Minecraft if `software` is that.
    pub async fn server(&self, number: i64, software: &str) -> VmId {
        let prefix = if software == "minecraft" { "mc-paper" } else { software };
        let row = instance::Model {
            hostname: format!("{prefix}-{number}").parse().unwrap(),
            software: software.to_owned(),
            address: "10.60.0.7".to_owned(),
            ..server(number, self.clock.now())
        };
        let vmid = row.vmid;
        store::insert(&AnyOwner(&self.db.db), row).await.unwrap();
        vmid
    }

    pub async fn row(&self, vmid: VmId) -> instance::Model {
        let row = instance::Entity::find().filter(instance::Column::Vmid.eq(vmid)).one(&self.db.db).await;
        row.unwrap().unwrap()
    }

    pub async fn record(&self, vmid: VmId) -> EdgeRecord {
        payload::read(&self.row(vmid).await, EDGE_KEY).unwrap().unwrap()
    }

    /// Stores the request of an operator.
    pub async fn request(&self, vmid: VmId, intent: Intent) {
        let request = |_: &instance::Model, last: Option<PublishRequest>| {
            Some(PayloadUpdate::to(PublishRequest::after(last, intent)))
        };
        payload::merge(&self.db.db, vmid, PUBLISH_REQUEST_KEY, self.clock.now(), request).await.unwrap();
    }

    /// Sets the time at which the edge of a server is due.
    pub async fn due_at(&self, vmid: VmId, at: Option<Timestamp>) {
        instance::Entity::update_many()
            .col_expr(instance::Column::EdgeDueAt, Expr::value(at))
            .filter(instance::Column::Vmid.eq(vmid))
            .exec(&self.db.db)
            .await
            .unwrap();
    }

    /// Publishes at every target and expects all of them to have it.
    pub async fn publish(&self, vmid: VmId) -> EdgeRecord {
        let record = self.publisher.publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
        assert_eq!(record.state(), EdgeState::Published, "{}", record.problems());
        record
    }

    /// Runs the reconciler and advances the clock until nothing is due.
    pub async fn settle(&self, vmid: VmId) -> EdgeRecord {
        for _ in 0..20 {
            if self.row(vmid).await.edge_due_at.is_none() {
                return self.record(vmid).await;
            }
            self.clock.advance(Duration::from_secs(700));
            self.reconcile().await;
        }
        panic!("the edge of {vmid} does not settle: {:#?}", self.record(vmid).await);
    }

    /// The records of a DNS server as (name, type, value, comment), in one spelling.
    pub async fn zone(&self, peer: &str) -> BTreeSet<(String, String, String, String)> {
        let state = self.rig.state(peer).await;
        let rows = match peer {
            "cloudflare" => state["records"].as_array().cloned(),
            _ => state["zones"][0]["records"].as_array().cloned(),
        };
        rows.unwrap().iter().map(plain).collect()
    }

    /// What is registered with the proxy, as (name, address).
    pub async fn registered(&self) -> BTreeSet<(String, String)> {
        let state = self.rig.state("velocity").await;
        let server = |server: &Value| {
            (
                server["name"].as_str().unwrap().to_owned(),
                format!("{}:{}", server["address"].as_str().unwrap(), server["port"]),
            )
        };
        state["servers"].as_array().unwrap().iter().map(server).collect()
    }

    /// The proxy, as zpack calls it.
    pub fn proxy(&self) -> &dyn GameProxy {
        match self.publisher.targets.get(Target::Velocity).unwrap().holdings() {
            Holdings::Registrations(proxy) => proxy,
            Holdings::Records(_) | Holdings::Nothing => panic!("the proxy holds registrations"),
        }
    }

    /// How many requests that change something each peer has seen.
    pub async fn writes(&self) -> [usize; 3] {
        let mut writes = [0; 3];
        for (count, peer) in writes.iter_mut().zip(PEERS) {
            let journal = self.rig.journal(peer).await;
            *count = journal.iter().filter(|entry| is_write(entry)).count();
        }
        writes
    }

    /// Expects exactly one right record of each name at both DNS servers and one registration, beside `others`. A record
    /// that stayed as it was carries the mark of an older generation.
    pub async fn expect_clean(&self, vmid: VmId, edge: Ipv4Addr, others: &Others) {
        let record = self.record(vmid).await;
        let name = record.publication.name.to_string();
        let mark = format!("zpack vmid={vmid}");
        let ours = [
            (name.clone(), "A".to_owned(), edge.to_string(), mark.clone()),
            (format!("_minecraft._tcp.{name}"), "SRV".to_owned(), format!("0 5 {PORT} {name}"), mark.clone()),
        ];
        for (peer, foreign) in [("cloudflare", &others.cloudflare), ("technitium", &others.technitium)] {
            let expected: BTreeSet<_> = foreign.iter().cloned().chain(ours.clone()).collect();
            let held = self.zone(peer).await.into_iter().map(|mut held| {
                let ours = held.3.strip_prefix(&format!("{mark} gen=")).and_then(|number| number.parse::<u32>().ok());
                if ours.is_some_and(|generation| generation <= record.generation) && !foreign.contains(&held) {
                    held.3.clone_from(&mark);
                }
                held
            });
            assert_eq!(held.collect::<BTreeSet<_>>(), expected, "{peer}");
        }
        assert_eq!(self.registered().await, [(name, "10.60.0.7:25565".to_owned())].into());
        assert_eq!(self.count("cloudflare").await, others.cloudflare.len() + 2, "a record is there twice");
    }

    /// Expects nothing of ours anywhere, and `others` as they were.
    pub async fn expect_gone(&self, others: &Others) {
        assert_eq!(self.zone("cloudflare").await, others.cloudflare);
        assert_eq!(self.zone("technitium").await, others.technitium);
        assert_eq!(self.registered().await, BTreeSet::new());
    }

    async fn count(&self, peer: &str) -> usize {
        self.rig.state(peer).await["records"].as_array().map_or(0, Vec::len)
    }

    /// Creates a record as an operator does at the dashboard of Cloudflare.
    pub async fn plant(&self, record: Value) -> Value {
        self.rig.steer("/sim/cloudflare/records", record).await
    }

    /// Creates a record as an operator does at the console of Technitium.
    pub async fn plant_inside(&self, record: Value) {
        self.rig.steer("/sim/technitium/records", record).await;
    }
}

/// What is in the zones and not ours.
#[derive(Clone, Debug, Default)]
pub struct Others {
    pub cloudflare: BTreeSet<(String, String, String, String)>,
    pub technitium: BTreeSet<(String, String, String, String)>,
}

fn a_clock() -> Clock {
    Clock::fixed(Timestamp::from_millis(1_800_000_000_000))
}

fn publisher(rig: &Rig, means: &Means, db: &TestDb, clock: &Clock, (zone, edge): (&str, Ipv4Addr)) -> Publisher {
    let zone: DnsName = zone.parse().unwrap();
    // A call without an answer times out soon, but a loaded machine has time to answer.
    let (timeout, cool_down) = (Duration::from_secs(4), means.cool_down);
    let cloudflare = Cloudflare::new(
        CloudflareSettings {
            reach: Reach::Loopback,
            base_url: rig.world.cloudflare_url().parse().unwrap(),
            token: means.cloudflare.clone(),
            zone_id: rig.world.cloudflare().zone_id(),
            zone: zone.clone(),
            timeout,
            cool_down,
        },
        means.clock.clone(),
    );
    let technitium = Technitium::new(
        TechnitiumSettings {
            reach: Reach::Loopback,
            base_url: rig.world.technitium_url().parse().unwrap(),
            token: means.technitium.clone(),
            zone: zone.clone(),
            timeout,
            cool_down,
        },
        means.clock.clone(),
    );
    let velocity = Velocity::new(
        &VelocitySettings {
            reach: Reach::Loopback,
            base_url: rig.world.velocity_url().parse().unwrap(),
            secret: Secret::new(rig.world.velocity().secret()).into(),
            timeout,
            cool_down,
        },
        means.clock.clone(),
    );
    let peers = Peers {
        velocity: Some(Arc::new(velocity.unwrap())),
        technitium: Some(Arc::new(technitium.unwrap())),
        cloudflare: Some(Arc::new(cloudflare.unwrap())),
        router: Some((Arc::new(Polling(clock.clone())), clock.clone())),
    };
    let policy = EdgePolicy {
        zone: Some(zone),
        proxy_ip: Some(edge),
        public_ip: Some(edge),
        proxy_port: PORT,
        ..EdgePolicy::default()
    };
    Publisher::new(db.db.clone(), peers.into(), policy, clock.clone())
}

/// A Traefik that has just polled.
struct Polling(Clock);

#[async_trait]
impl RouterPolls for Polling {
    async fn last(&self) -> Result<Option<RouterPoll>, RouterPollsError> {
        Ok(Some(RouterPoll { at: self.0.now(), etag: String::new() }))
    }
}

/// A record of either server in one spelling.
fn plain(row: &Value) -> (String, String, String, String) {
    let lower = |value: &Value| value.as_str().unwrap_or_default().trim_end_matches('.').to_ascii_lowercase();
    let value = match (row.get("rData"), row["type"].as_str().unwrap()) {
        (Some(data), "A" | "AAAA") => lower(&data["ipAddress"]),
        (Some(data), "SRV") => {
            format!("{} {} {} {}", data["priority"], data["weight"], data["port"], lower(&data["target"]))
        }
        (Some(data), _) => data.to_string(),
        (None, "SRV") => {
            let data = &row["data"];
            format!("{} {} {} {}", data["priority"], data["weight"], data["port"], lower(&data["target"]))
        }
        (None, _) => lower(&row["content"]),
    };
    let comment = row["comment"].as_str().or(row["comments"].as_str()).unwrap_or_default().to_owned();
    (lower(&row["name"]), row["type"].as_str().unwrap().to_owned(), value, comment)
}

fn is_write(entry: &Value) -> bool {
    let path = entry["path"].as_str().unwrap();
    match entry["peer"].as_str().unwrap() {
        "cloudflare" => entry["method"] != "GET",
        "technitium" => !path.ends_with("/get"),
        _ => path.ends_with("register"),
    }
}

/// A fault at the `nth` request from now on to a peer.
pub fn fault(peer: &str, nth: usize, when: &str, action: &str, status: Option<u16>) -> Value {
    json!({"peer": peer, "nth": nth, "when": when, "action": action, "status": status})
}

/// The targets of a Minecraft server.
pub fn everywhere() -> BTreeSet<Target> {
    [Target::Velocity, Target::Technitium, Target::Cloudflare].into()
}
