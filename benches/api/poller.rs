//! What it costs to observe many servers that do not change: `zpack serve` with all intervals as shipped beside cheap
//! agents, game servers and listings ([`crate::peers`]).

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Resource, getrlimit, setrlimit};
use sea_orm::{ConnectionTrait as _, EntityTrait as _};
use serde_json::{Value, json};
use zpack::db;
use zpack::db::entities::instance;
use zpack::edge::PingState;
use zpack::kernel::{Clock, Secret, Timestamp};
use zpack::observe::facts::{AgentFacts, AgentHistory, CrashCount, PingHistory, PollerId};
use zpack::ports::{AgentReport, AgentState};

use crate::figures::Figures;
use crate::peers::address_of;
use crate::process;
use crate::report::Gate;
use crate::seed;
use crate::stores::{Postgres, Redis};
use crate::systems::{Places, Server, System, free_port};
use crate::work::Work;

/// How long the poller runs before anything is counted: every connection is open, and every server was pinged once.
const WARM_UP: Duration = Duration::from_secs(100);
/// For how long the servers have not changed.
const UNCHANGED: Duration = Duration::from_secs(3600);
/// The VMID of the first server that [`seed`] makes.
const FIRST: i32 = 5000;
/// How many servers are written at a time.
const PART: usize = 1000;

/// A row of the report: title, figure and decimal places.
type Row = (&'static str, &'static str, usize);

const ROWS: &[Row] = &[
    ("share of a core", "poller cpu", 3),
    ("resident memory, MiB", "poller memory", 0),
    ("polls of agents a second", "polls", 0),
    ("requests to agents a poll", "requests a poll", 3),
    ("pings of game servers a second", "pings", 0),
    ("connections opened to agents a second", "opens to agents", 1),
    ("connections opened a second, with pings", "opens", 0),
    ("open connections to agents", "open connections", 0),
    ("share of a core of PostgreSQL", "poller database cpu", 3),
    ("share of a core of Redis", "poller redis cpu", 3),
];

/// The process of the peers, stopped when it is dropped.
struct Peers {
    _process: Work,
    listings: String,
}

impl Peers {
    fn start(folder: &Path, servers: &[instance::Model], ports: [u16; 3]) -> Self {
        let bodies = folder.join("listings.json");
        std::fs::write(&bodies, listings(servers).to_string()).unwrap();
        let program = std::env::current_exe().unwrap().display().to_string();
        let mut command = vec![program, "peers".to_owned()];
        command.extend(ports.map(|port| port.to_string()));
        command.push(bodies.display().to_string());
        let mut process = Work::start(&command);
        process.says("ready");
        Self { _process: process, listings: format!("http://127.0.0.1:{}", ports[2]) }
    }

    async fn counts(&self) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        client.get(format!("{}/counts", self.listings)).send().await.unwrap().json().await.unwrap()
    }
}

/// What the hypervisor and the proxy list: every server, running and registered.
fn listings(servers: &[instance::Model]) -> Value {
    let containers = servers.iter().map(|row| {
        json!({ "type": "lxc", "id": format!("lxc/{}", row.vmid), "vmid": row.vmid, "node": "pve1", "name": row.hostname,
            "status": "running", "template": 0, "maxmem": 4_294_967_296_u64, "mem": 1_234_567_890, "maxcpu": 2,
            "cpu": 0.0123, "maxdisk": 21_474_836_480_u64, "disk": 1_234_567_890, "uptime": 86_400, "netin": 123_456_789,
            "netout": 123_456_789, "diskread": 123_456_789, "diskwrite": 123_456_789, "pool": "zpack" })
    });
    let registered = servers.iter().map(|row| {
        let edge: Value = serde_json::from_str(&row.payload).unwrap();
        let registration = &edge["edge"]["publication"]["registration"];
        let address: SocketAddr = registration["address"].as_str().unwrap().parse().unwrap();
        json!({ "name": registration["name"], "address": address.ip(), "port": address.port() })
    });
    json!({
        "/api2/json/cluster/resources": { "data": containers.collect::<Vec<_>>() },
        "/zpack/status": { "boot_id": "bench", "uptime_s": 86_400, "servers": registered.collect::<Vec<_>>() },
    })
}

/// Measures the poller for `seconds` over `servers` servers.
pub async fn measure(postgres: &Postgres, folder: &Path, servers: usize, seconds: usize, figures: &mut Figures) {
    // A connection to every agent; the programs that are started inherit it.
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, rustix::process::Rlimit { current: limit.maximum, ..limit }).unwrap();
    let redis = Redis::start().await;
    let database = postgres.database("poller").await;
    seed::fill(&database, redis.port, servers, servers).await;
    let ports = [(); 3].map(|()| free_port());
    let rows = place(&database, ports[1]).await;
    let peers = Peers::start(folder, &rows, ports);
    observed(redis.port, &rows).await;
    let places = Places { database, predecessor: String::new(), redis: redis.port, logs: folder.to_owned() };
    let server = Server::start(
        System::Zpack,
        &places,
        &[
            ("ZLH_AGENT_PORT", &ports[0].to_string()),
            ("PROXMOX_HOST", &peers.listings),
            ("VELOCITY_URL", &peers.listings),
            ("ZPACK_SECRET", "9b1f6c30a1e84c7d"),
            ("VELOCITY_EDGE_IP", "127.0.0.1"),
        ],
    );
    tokio::time::sleep(WARM_UP).await;
    let (pid, postmaster) = (server.pid(), postgres.pid());
    let polls = async || histories(redis.port, &rows).await;
    let work = redis.reset().await;
    let (begun, counts, polled) = (std::time::Instant::now(), peers.counts().await, polls().await);
    let (cpu, sessions) = (process::cpu(pid), process::children(postmaster));
    tokio::time::sleep(Duration::from_secs(seconds as u64)).await;
    let (cpu, sessions) = (process::cpu(pid) - cpu, process::between(&sessions, &process::children(postmaster)));
    let (took, later, polled) = (begun.elapsed().as_secs_f64(), peers.counts().await, polls().await - polled);
    let redis_cpu = redis.work().await.cpu - work.cpu;
    let counted = |what: &str| later[what].as_f64().unwrap() - counts[what].as_f64().unwrap();
    let mut add = |what: &str, sample: f64| figures.add(what, System::Zpack, sample);
    add("poller cpu", cpu / took);
    add("poller memory", server.resident());
    add("polls", polled / took);
    add("requests a poll", counted("requests") / polled);
    add("pings", counted("pings") / took);
    add("opens to agents", counted("connections") / took);
    add("opens", (counted("connections") + counted("pings")) / took);
    add("open connections", later["open"].as_f64().unwrap());
    add("poller database cpu", sessions / took);
    add("poller redis cpu", redis_cpu / took);
}

/// Gives every server an address of its own, and its game server the port of the peers; returns the rows.
async fn place(url: &str, games: u16) -> Vec<instance::Model> {
    let db = db::connect(&Secret::new(url), 2).await.unwrap();
    let address = format!("'127.1.' || ((vmid - {FIRST}) / 250) || '.' || (1 + (vmid - {FIRST}) % 250)");
    let pattern = r#""address":"[0-9.]+:[0-9]+""#;
    let update = format!(
        "UPDATE instances SET address = {address}, \
         payload = regexp_replace(payload, '{pattern}', '\"address\":\"' || {address} || ':{games}\"', 'g')"
    );
    db.execute_unprepared(&update).await.unwrap();
    db.execute_unprepared("VACUUM ANALYZE instances").await.unwrap();
    let rows = instance::Entity::find().all(&db).await.unwrap();
    let first = rows.iter().find(|row| row.vmid.get() == FIRST).unwrap();
    assert_eq!(first.address, address_of(0).to_string());
    db.close().await.unwrap();
    rows
}

/// Writes what a poller has observed of servers that have been the same for long, each last asked at another time.
async fn observed(port: u16, servers: &[instance::Model]) {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/0")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let now = Clock::System.now();
    let ago = |longest: u64| now.before(Duration::from_millis(rand::random_range(0..longest)));
    let changed_at = now.before(UNCHANGED);
    let report = AgentReport { generation: Some(1), ..AgentReport::of(AgentState::Running) };
    for part in servers.chunks(PART) {
        let mut pipe = redis::pipe();
        for row in part {
            let asked_at: Timestamp = ago(20_000);
            let facts = AgentFacts { observed_at: asked_at, report: Some(report.clone()), ready: Some(true) };
            let history = AgentHistory {
                asked_at,
                seen_at: Some(asked_at),
                crashes: CrashCount::default(),
                changed_at: Some(changed_at),
                unanswered: 0,
                polls: rand::random_range(0..2),
                asked_by: None,
            };
            let (asked_at, asked_by) = (ago(60_000), PollerId(0));
            let ping = PingHistory { asked_at, asked_by, state: PingState::Answered, changed_at };
            pipe.set(format!("agent:{}", row.id), json!(facts).to_string()).ignore();
            pipe.set(format!("agent:{}:history", row.id), json!(history).to_string()).ignore();
            pipe.set(format!("ping:{}", row.id), json!(ping).to_string()).ignore();
        }
        let () = pipe.query_async(&mut connection).await.unwrap();
    }
}

/// How many polls there were of all servers.
async fn histories(port: u16, servers: &[instance::Model]) -> f64 {
    let client = redis::Client::open(format!("redis://127.0.0.1:{port}/0")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut polls = 0.0;
    for part in servers.chunks(PART) {
        let keys: Vec<String> = part.iter().map(|row| format!("agent:{}:history", row.id)).collect();
        let texts: Vec<Option<String>> = redis::cmd("MGET").arg(keys).query_async(&mut connection).await.unwrap();
        for text in texts.into_iter().flatten() {
            polls += serde_json::from_str::<Value>(&text).unwrap()["polls"].as_f64().unwrap();
        }
    }
    polls
}

/// What the figures have to meet.
pub fn gates(figures: &Figures) -> Vec<Gate> {
    let most = |what: &str, figure: &str, bound| Gate {
        what: what.to_owned(),
        bound,
        value: figures.median(figure, System::Zpack),
        at_least: false,
    };
    vec![
        most("poller, share of a core", "poller cpu", 0.3),
        most("poller, resident memory, MiB", "poller memory", 150.0),
        most("poller, requests to agents a poll", "requests a poll", 1.01),
    ]
}

/// Writes the section of the report.
pub fn section(text: &mut String, figures: &Figures, servers: usize) {
    let _ = write!(
        text,
        "\n## The poller\n\n`zpack serve` with {servers} running servers that do not change, all settings as shipped.\n\n\
         | | |\n|---|---|\n"
    );
    for (title, figure, digits) in ROWS {
        let value = figures.median(figure, System::Zpack).map_or("-".to_owned(), |value| format!("{value:.digits$}"));
        let _ = writeln!(text, "| {title} | {value} |");
    }
}
