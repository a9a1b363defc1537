//! A small company in one process: a database, Redis, the simulated world, and as many workers as a test wants.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use sea_orm::sea_query::Expr;
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zpack::adapters::agent::{AgentSettings, Agents};
use zpack::adapters::cloudflare::{Cloudflare, CloudflareSettings};
use zpack::adapters::proxmox::{Cloning, Deadlines, Endpoint, Proxmox, ProxmoxSettings};
use zpack::adapters::technitium::{Technitium, TechnitiumSettings};
use zpack::adapters::tls::TlsVerify;
use zpack::adapters::velocity::{Velocity, VelocitySettings};
use zpack::config::DatabaseKind;
use zpack::containers::ContainerTimings;
use zpack::db::entities::instance;
use zpack::db::entities::operation::{self, Actor, CancelRule, OperationState};
use zpack::db::{self, entities};
use zpack::edge::{EdgePolicy, Targets};
use zpack::instances::quota::Quota;
use zpack::jobs::{Dedup, Failpoints, Job, JobSettings, Lane, Lists, Queue, Registry, Work, WorkerDeps};
use zpack::kernel::{Clock, OperationId, Secret, UserId, VmId, WorkerId};
use zpack::observe::facts::Freshness;
use zpack::operations::{Begun, OperationError, Order, begin};
use zpack::power::{PowerDeps, PowerJob};
use zpack::provision::{
    ProvisionDeps, ProvisionJob, ProvisionPayload, ProvisionPolicy, ServerRequest, Timings, Workload,
};
use zpack::publishing::{PublishJob, Publisher};
use zpack::sim::{SimConfig, World};
use zpack::teardown::{TeardownDeps, TeardownJob};
use zpack::telemetry::Metrics;

use super::app::BRIDGE;
use super::door::{Door, Ground};
pub use super::worker::RunningWorker;
use super::worker::renewer_connection;
use super::{PrivateRedis, TestDb, artifacts};

/// What a later release asks of workers, in a version of the payload that these do not know.
#[derive(Serialize, Deserialize)]
pub struct LaterRelease(ProvisionPayload);

impl Work for LaterRelease {
    const KIND: &'static str = ProvisionPayload::KIND;
    const QUEUE: Queue = ProvisionPayload::QUEUE;
    const VERSION: i32 = 99;
    const MAX_STARTS: i32 = ProvisionPayload::MAX_STARTS;
    const CANCEL: CancelRule = ProvisionPayload::CANCEL;

    fn steps(&self) -> usize {
        self.0.steps()
    }

    fn vmid(&self) -> Option<VmId> {
        self.0.vmid()
    }

    fn shown(&self) -> Value {
        self.0.shown()
    }

    fn dedup(&self) -> Dedup {
        Dedup::None
    }
}

/// The zone of the simulated DNS servers.
pub const ZONE: &str = "play.zpack.test";

/// How long a test waits for a fact before it fails. Fifty creates, one after another, share it on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(300);
/// How long a peer at the edge may take; a loaded machine stands still for seconds.
const PATIENCE: Duration = Duration::from_secs(6);
/// How long a refused token is not sent again.
const COOL_DOWN: Duration = Duration::from_millis(200);

/// Everything a worker needs, started privately.
pub struct Company {
    pub db: TestDb,
    pub redis: PrivateRedis,
    pub lists: Lists,
    pub world: World,
    /// What its workers count, all together.
    pub metrics: Metrics,
    pub owner: UserId,
    client: redis::Client,
    http: reqwest::Client,
}

impl Company {
    /// Starts one over an SQLite database.
    pub async fn start() -> Self {
        Self::start_on(DatabaseKind::Sqlite).await
    }

    /// Starts one over a database of `kind`.
    pub async fn start_on(kind: DatabaseKind) -> Self {
        Self::start_over(TestDb::migrated(kind).await, 0.01).await
    }

    /// Starts one over an empty company database; simulated seconds are multiplied by `time_scale`.
    pub async fn start_over(db: TestDb, time_scale: f64) -> Self {
        let redis = PrivateRedis::start();
        let client = redis::Client::open(redis.url()).unwrap();
        let lists = Lists::open(&client).unwrap();
        let world = World::start(SimConfig { time_scale, ..SimConfig::default() }).await.unwrap();
        let owner = owner(&db.db).await;
        let (metrics, http) = (Metrics::default(), reqwest::Client::new());
        Self { db, redis, lists, world, metrics, owner, client, http }
    }

    /// Quick times, but a lease that a loaded machine does not lose: in one process no worker vanishes.
    pub fn settings() -> JobSettings {
        JobSettings {
            lease: Duration::from_secs(30),
            renew: Duration::from_secs(2),
            sweep: Duration::from_millis(100),
            reap: Duration::from_millis(500),
            worker_ttl: Duration::from_secs(1),
            drain: Duration::from_secs(10),
            slots: Some(1),
            concurrency: 1,
            grace: Duration::from_secs(60),
            unwind: true,
        }
    }

    /// The house rules, with waits that fit the simulated world.
    pub fn policy(&self) -> ProvisionPolicy {
        ProvisionPolicy {
            game_vmids: "5000-5999".parse().unwrap(),
            dev_vmids: "6000-6999".parse().unwrap(),
            game_bridge: "vmbr3".to_owned(),
            dev_bridge: "vmbr2".to_owned(),
            templates: vec![VmId::new(9000).unwrap(), VmId::new(9001).unwrap()],
            only_node: None,
            public_ports: 50_000..=50_999,
            pool: Some("zpack".to_owned()),
            timings: Timings {
                container: ContainerTimings {
                    task_poll: Duration::from_millis(20),
                    task_timeout: Duration::from_secs(10),
                    away: Duration::from_secs(5),
                    absence: Duration::from_millis(300),
                },
                address_poll: Duration::from_millis(20),
                address_timeout: Duration::from_secs(10),
                agent_poll: Duration::from_millis(20),
                ready_timeout: Duration::from_secs(20),
            },
        }
    }

    /// The client of the simulated cluster.
    pub fn hypervisor(&self) -> Proxmox {
        let base = self.world.proxmox_url().parse().unwrap();
        let settings = ProxmoxSettings {
            endpoints: vec![Endpoint { base, node: None }],
            token: Secret::new(self.world.proxmox_token()).into(),
            tls: TlsVerify::SystemRoots,
            cloning: Cloning::Linked,
            deadlines: Deadlines {
                connect: Duration::from_millis(500),
                read: Duration::from_secs(1),
                remote_read: Duration::from_secs(1),
                change: Duration::from_secs(1),
                ..Deadlines::default()
            },
        };
        Proxmox::new(&settings, Clock::System).unwrap()
    }

    /// The client of the simulated agents; none may take longer than `timeout`.
    pub fn agents(&self, timeout: Duration) -> Agents {
        let token = Some(Secret::new(self.world.agent_token()).into());
        let settings = AgentSettings { port: self.world.agent_port(), token, timeout, cool_down: COOL_DOWN };
        Agents::new(settings, Clock::System).unwrap()
    }

    /// The bridge of the simulated proxy.
    pub fn proxy(&self) -> Velocity {
        let settings = VelocitySettings {
            base_url: self.world.velocity_url().parse().unwrap(),
            secret: Secret::new(self.world.velocity().secret()).into(),
            timeout: PATIENCE,
            cool_down: COOL_DOWN,
        };
        Velocity::new(&settings, Clock::System).unwrap()
    }

    /// The simulated public zone.
    pub fn cloudflare(&self) -> Cloudflare {
        let settings = CloudflareSettings {
            base_url: self.world.cloudflare_url().parse().unwrap(),
            token: Secret::new(self.world.cloudflare().token()).into(),
            zone_id: self.world.cloudflare().zone_id(),
            zone: ZONE.parse().unwrap(),
            timeout: PATIENCE,
            cool_down: COOL_DOWN,
        };
        Cloudflare::new(settings, Clock::System).unwrap()
    }

    /// The simulated zone of the house.
    pub fn technitium(&self) -> Technitium {
        let settings = TechnitiumSettings {
            base_url: self.world.technitium_url().parse().unwrap(),
            token: Secret::new(self.world.technitium().token()).into(),
            zone: ZONE.parse().unwrap(),
            timeout: PATIENCE,
            cool_down: COOL_DOWN,
        };
        Technitium::new(settings, Clock::System).unwrap()
    }

    /// The edge: the simulated peers over the real adapters.
    pub fn publisher(&self) -> Publisher {
        let targets = Targets {
            velocity: Some(Arc::new(self.proxy())),
            technitium: Some(Arc::new(self.technitium())),
            cloudflare: Some(Arc::new(self.cloudflare())),
        };
        let edge = self.world.velocity().game_address();
        let policy = EdgePolicy {
            zone: Some(ZONE.parse().unwrap()),
            proxy_ip: Some(Ipv4Addr::LOCALHOST),
            public_ip: Some(Ipv4Addr::LOCALHOST),
            proxy_port: edge.port(),
            ide_suffix: Some("ide.zpack.test".parse().unwrap()),
            ..EdgePolicy::default()
        };
        Publisher::new(self.db.db.clone(), targets, policy, Clock::System)
    }

    /// The job under test over the real adapters.
    pub fn job(&self, policy: ProvisionPolicy) -> ProvisionJob {
        ProvisionJob::new(Arc::new(ProvisionDeps {
            db: self.db.db.clone(),
            hypervisor: Arc::new(self.hypervisor()),
            agent: Arc::new(self.agents(Duration::from_secs(1))),
            publisher: self.publisher(),
            clock: Clock::System,
            policy,
        }))
    }

    /// Opens the API of this company; observations count for `freshness`.
    pub fn door(&self, freshness: Freshness) -> Door {
        Door::open(Ground {
            db: self.db.db.clone(),
            lists: self.lists.clone(),
            source: artifacts::at(&self.world.artifacts_url()),
            clock: Clock::System,
            quota: Quota::default(),
            freshness,
            publisher: self.publisher(),
            hypervisor: Arc::new(self.hypervisor()),
            agent: Arc::new(self.agents(Duration::from_secs(2))),
            bridge: Secret::new(BRIDGE).into(),
        })
    }

    /// Starts a worker of the provision queue.
    pub fn worker(&self, settings: JobSettings) -> RunningWorker {
        self.worker_under(self.policy(), settings)
    }

    /// Starts one with other house rules.
    pub fn worker_under(&self, policy: ProvisionPolicy, settings: JobSettings) -> RunningWorker {
        self.work(Registry::for_queue(Queue::Provision).with(Arc::new(self.job(policy))).unwrap(), settings)
    }

    /// What switches servers on and off.
    pub fn power(&self) -> PowerDeps {
        PowerDeps {
            db: self.db.db.clone(),
            hypervisor: Arc::new(self.hypervisor()),
            agent: Arc::new(self.agents(Duration::from_secs(1))),
            timings: self.policy().timings.container,
            // Long enough for a simulated shutdown, which takes four seconds of simulated time.
            grace: Duration::from_secs(5),
            clock: Clock::System,
        }
    }

    /// What removes servers: quick to leave a debt when a peer is away.
    pub fn teardown(&self) -> TeardownDeps {
        let timings = ContainerTimings { task_timeout: Duration::from_secs(3), ..self.policy().timings.container };
        TeardownDeps {
            db: self.db.db.clone(),
            hypervisor: Arc::new(self.hypervisor()),
            targets: self.publisher().targets,
            timings,
            lock_poll: Duration::from_millis(20),
            clock: Clock::System,
        }
    }

    /// Starts a worker of the host queue.
    pub fn host_worker(&self) -> RunningWorker {
        self.host_worker_under(self.power())
    }

    /// Starts one that switches servers in another way.
    pub fn host_worker_under(&self, power: PowerDeps) -> RunningWorker {
        self.host_worker_of(power, self.teardown())
    }

    /// Starts one that switches and removes servers in another way.
    pub fn host_worker_of(&self, power: PowerDeps, teardown: TeardownDeps) -> RunningWorker {
        let publish = PublishJob::new(self.publisher(), Duration::from_millis(20));
        let teardown = TeardownJob::new(teardown);
        let settings = JobSettings { slots: None, concurrency: 8, ..Self::settings() };
        let jobs: [Arc<dyn Job>; 3] = [Arc::new(publish), Arc::new(teardown), Arc::new(PowerJob::new(power))];
        let registry = jobs.into_iter().try_fold(Registry::for_queue(Queue::Host), Registry::with).unwrap();
        self.work(registry, settings)
    }

    /// Starts a worker that knows the jobs of `registry`.
    fn work(&self, registry: Registry, settings: JobSettings) -> RunningWorker {
        let queue = registry.queue();
        RunningWorker::start(WorkerDeps {
            lane: Lane {
                queue,
                worker: WorkerId::generate(),
                redis: self.client.clone(),
                lists: self.lists.clone(),
                block: Duration::from_millis(500),
                metrics: self.metrics.jobs(queue.as_str()),
            },
            db: self.db.db.clone(),
            connect: renewer_connection(&self.db.url),
            registry,
            settings,
            clock: Clock::System,
            failpoints: Failpoints::default(),
        })
    }

    /// Accepts an operation as the API does, and rings.
    pub async fn begin(&self, request: ServerRequest) -> OperationId {
        let id = self.begin_silently(request).await;
        // The sweeper rings for it when this is lost.
        let _ = self.lists.ring(Queue::Provision, id).await;
        id
    }

    /// Accepts an operation whose ring is lost.
    pub async fn begin_silently(&self, request: ServerRequest) -> OperationId {
        self.begin_new(self.order(request)).await.operation.id
    }

    /// What the API would accept for this request with an idempotency key.
    pub fn order(&self, request: ServerRequest) -> Order<ProvisionPayload> {
        let work = ProvisionPayload { user_id: self.owner, request };
        Order::new(work).owned_by(self.owner).keyed(true)
    }

    /// The same from the API of a later release: no worker knows the version of its payload.
    pub fn order_of_a_later_release(&self, request: ServerRequest) -> Order<LaterRelease> {
        Order::new(LaterRelease(ProvisionPayload { user_id: self.owner, request })).owned_by(self.owner)
    }

    /// Writes an operation without offering it.
    pub async fn begin_new<W: Work>(&self, order: Order<W>) -> Begun {
        self.try_begin(order).await.unwrap()
    }

    /// The same, where the database may be busy.
    pub async fn try_begin<W: Work>(&self, order: Order<W>) -> Result<Begun, OperationError> {
        let tx = db::begin(&self.db.db).await?;
        let begun = begin(&tx, &order, Actor::Customer, Clock::System.now()).await?;
        tx.commit().await?;
        Ok(begun)
    }

    /// The row of an operation.
    pub async fn operation(&self, id: OperationId) -> operation::Model {
        operation::Entity::find_by_id(id).one(&self.db.db).await.unwrap().unwrap()
    }

    /// Lets the leases of all that is in progress run out, as time does.
    pub async fn end_leases(&self) {
        operation::Entity::update_many()
            .col_expr(operation::Column::LeaseUntil, Expr::value(1i64))
            .filter(operation::Column::LeaseUntil.is_not_null())
            .exec(&self.db.db)
            .await
            .unwrap();
    }

    /// Waits until the operation has ended and nothing of it is left to do.
    pub async fn settled(&self, id: OperationId) -> operation::Model {
        use entities::operation::Unwind;
        self.wait(&format!("{id} to settle"), || async {
            let row = self.operation(id).await;
            let at_work = matches!(row.unwind, Unwind::Due | Unwind::Running);
            (row.state.is_ended() && !at_work).then_some(row)
        })
        .await
    }

    /// Waits for a success and returns the row.
    pub async fn succeeded(&self, id: OperationId) -> operation::Model {
        let row = self.settled(id).await;
        assert_eq!(row.state, OperationState::Succeeded, "{:?}: {:?}", row.error_code, row.error_message);
        row
    }

    /// Waits until `fact` is there.
    pub async fn wait<T, F: Future<Output = Option<T>>>(&self, what: &str, fact: impl Fn() -> F) -> T {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            if let Some(value) = fact().await {
                return value;
            }
            assert!(tokio::time::Instant::now() < deadline, "waited in vain for {what}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Makes the server that `made` made one of the new account `name`, whose token it returns.
    pub async fn give(&self, made: OperationId, door: &Door, name: &str) -> String {
        let token = door.register(name).await;
        let me: Value = door.get("/api/auth/me").bearer_auth(&token).send().await.unwrap().json().await.unwrap();
        let owner: UserId = me["user"]["id"].as_str().unwrap().parse().unwrap();
        instance::Entity::update_many()
            .col_expr(instance::Column::UserId, Expr::value(owner))
            .filter(instance::Column::OperationId.eq(made))
            .exec(&self.db.db)
            .await
            .unwrap();
        token
    }

    /// `GET /sim/state`.
    pub async fn state(&self) -> Value {
        let url = format!("{}/sim/state", self.world.control_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// How many records Cloudflare and Technitium hold, and how many servers the proxy knows.
    pub async fn at_edge(&self) -> [usize; 3] {
        let state = self.state().await;
        [&state["cloudflare"]["records"], &state["technitium"]["zones"][0]["records"], &state["velocity"]["servers"]]
            .map(|held| held.as_array().unwrap().len())
    }

    /// Containers in the simulated world, templates left out.
    pub async fn containers(&self) -> Vec<Value> {
        let state = self.state().await;
        let all = state["proxmox"]["containers"].as_array().unwrap();
        all.iter().filter(|container| container["template"] != true).cloned().collect()
    }

    /// How often each effect of this name was executed, by VMID.
    pub async fn effects(&self, effect: &str) -> std::collections::BTreeMap<i64, usize> {
        let state = self.state().await;
        let mut counts = std::collections::BTreeMap::new();
        for entry in state["proxmox"]["ledger"].as_array().unwrap() {
            if entry["effect"] == effect {
                *counts.entry(entry["vmid"].as_i64().unwrap()).or_default() += 1;
            }
        }
        counts
    }

    /// How many ids are on the list of work to hand out.
    pub async fn depth(&self) -> u64 {
        self.lists.depth(Queue::Provision).await.unwrap().ready
    }

    /// Whether a worker has said lately that it lives.
    pub async fn living_workers(&self) -> bool {
        let mut connection = self.lists.connection();
        let time: (i64, i64) = redis::cmd("TIME").query_async(&mut connection).await.unwrap();
        let now = time.0 * 1000 + time.1 / 1000;
        let key = Queue::Provision.workers_key();
        let alive: usize =
            redis::cmd("ZCOUNT").arg(key).arg(now).arg("+inf").query_async(&mut connection).await.unwrap();
        alive > 0
    }

    /// `GET` from the simulator's control.
    pub async fn get(&self, path: &str) -> Value {
        let url = format!("{}{path}", self.world.control_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// The settings with which a process joins this company.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let proxmox = self.world.proxmox_url().trim_end_matches("/api2/json").to_owned();
        let fixed = [
            ("LOG_LEVEL", "warn"),
            ("PROXMOX_VERIFY_TLS", "false"),
            ("PROXMOX_POOL", "zpack"),
            ("AGENT_TEMPLATE_VMID", "9000,9001"),
            ("JOB_LEASE_MS", "2000"),
            ("JOB_RENEW_MS", "500"),
            ("JOB_SWEEP_MS", "100"),
            ("JOB_REAP_MS", "500"),
            ("JOB_BLOCK_MS", "500"),
            ("PROXMOX_TASK_POLL_MS", "20"),
            ("PROXMOX_TASK_TIMEOUT_SECONDS", "10"),
            ("CLONE_ABSENCE_MS", "300"),
            ("ADDRESS_POLL_MS", "20"),
            ("ADDRESS_TIMEOUT_SECONDS", "10"),
            ("AGENT_POLL_MS", "20"),
            ("AGENT_READY_TIMEOUT_SECONDS", "20"),
        ];
        let mut settings: Vec<(&'static str, String)> =
            fixed.into_iter().map(|(name, value)| (name, value.to_owned())).collect();
        settings.extend([
            ("DATABASE_URL", self.db.url.clone()),
            ("REDIS_URL", self.redis.url()),
            ("ARTIFACT_BASE_URL", self.world.artifacts_url()),
            ("PROXMOX_HOST", proxmox),
            ("PROXMOX_API_TOKEN", self.world.proxmox_token()),
            ("ZLH_AGENT_PORT", self.world.agent_port().to_string()),
            ("ZLH_AGENT_TOKEN", self.world.agent_token().to_owned()),
            ("ZPACK_ZONE", ZONE.to_owned()),
            ("CLOUDFLARE_API_URL", self.world.cloudflare_url()),
            ("CLOUDFLARE_API_TOKEN", self.world.cloudflare().token()),
            ("CLOUDFLARE_ZONE_ID", self.world.cloudflare().zone_id()),
            ("CLOUDFLARE_EDGE_IP", Ipv4Addr::LOCALHOST.to_string()),
            ("TECHNITIUM_API_URL", self.world.technitium_url()),
            ("TECHNITIUM_API_TOKEN", self.world.technitium().token()),
            ("VELOCITY_URL", self.world.velocity_url()),
            ("ZPACK_SECRET", self.world.velocity().secret()),
            ("VELOCITY_EDGE_IP", Ipv4Addr::LOCALHOST.to_string()),
            ("VELOCITY_EDGE_PORT", self.world.velocity().game_address().port().to_string()),
        ]);
        settings
    }

    /// Takes a container out of the simulated world.
    pub async fn remove_container(&self, vmid: i64) {
        self.control_delete(&format!("/sim/proxmox/containers/{vmid}")).await;
    }

    /// Drops the faults that are still to come.
    pub async fn forget_faults(&self) {
        self.control_delete("/sim/faults").await;
    }

    /// `DELETE` to the simulator's control.
    pub async fn control_delete(&self, path: &str) {
        let url = format!("{}{path}", self.world.control_url());
        self.http.delete(url).send().await.unwrap().error_for_status().unwrap();
    }

    /// `POST` to the simulator's control.
    pub async fn control(&self, path: &str, body: Value) -> Value {
        let url = format!("{}{path}", self.world.control_url());
        let answer = self.http.post(url).json(&body).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status.is_success(), "{path}: {status} {text}");
        serde_json::from_str(&text).unwrap_or(Value::Null)
    }
}

/// A customer to own the servers.
async fn owner(db: &sea_orm::DatabaseConnection) -> UserId {
    let (id, now) = (UserId::generate(), Clock::System.now());
    let row = entities::user::ActiveModel {
        id: Set(id),
        email: Set("owner@example.test".to_owned()),
        username: Set("owner".to_owned()),
        username_key: Set("owner".to_owned()),
        display_name: Set(None),
        first_name: Set(None),
        last_name: Set(None),
        role: Set(entities::user::Role::Customer),
        password_hash: Set("-".to_owned()),
        token_epoch: Set(0),
        billing_status: Set(None),
        suspended_at: Set(None),
        created_at: Set(now),
        updated_at: Set(now),
    };
    entities::user::Entity::insert(row).exec_without_returning(db).await.unwrap();
    id
}

/// A Minecraft server.
pub fn paper() -> ServerRequest {
    ServerRequest {
        workload: Workload::Game {
            game: "minecraft".to_owned(),
            variant: "paper".to_owned(),
            version: "1.21.1".to_owned(),
            world: "world".to_owned(),
        },
        memory_mib: 2048,
        cpu_cores: 2,
        name: None,
    }
}

/// A dev container.
pub fn node() -> ServerRequest {
    ServerRequest {
        workload: Workload::Dev { runtime: "node".to_owned(), version: "22".to_owned() },
        memory_mib: 1024,
        cpu_cores: 1,
        name: Some("my box".to_owned()),
    }
}
