//! What the stores contain: customers with ten published and running servers each, and past operations.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use sea_orm::{ConnectionTrait, DatabaseConnection, EntityTrait, IntoActiveModel, ModelTrait};
use serde_json::json;
use zpack::accounts::Passwords;
use zpack::db;
use zpack::db::entities::instance::{InstanceKind, Lifecycle};
use zpack::db::entities::operation::{Actor, CancelRule, Cleanup, OperationState, UndoState};
use zpack::db::entities::operation_step::StepStatus;
use zpack::db::entities::user::Role;
use zpack::db::entities::{instance, operation, operation_step, user};
use zpack::edge::{EDGE_KEY, EdgePolicy, EdgeRecord, PublishedWorkload, ServerFacts, Target, plan};
use zpack::kernel::{Clock, InstanceId, OperationId, Secret, Timestamp, UserId, VmId};
use zpack::servers::{Naming, hostname};

/// The servers of a customer.
const SERVERS_EACH: usize = 10;
/// The steps of an operation that has some.
const STEPS: [&str; 9] = [
    "reserve_identity",
    "clone_container",
    "configure_container",
    "start_container",
    "await_address",
    "configure_agent",
    "await_ready",
    "record_server",
    "publish_edge",
];
/// The password of every customer.
pub const PASSWORD: &str = "correct horse battery";
/// Rows of one statement; PostgreSQL takes 65 535 values in all.
const ROWS: usize = 1000;

/// The customers, each with one of its operations.
pub struct Seeded {
    pub customers: Vec<(UserId, OperationId)>,
}

/// Fills our database and Redis: `servers` servers, and `operations` operations, one for each server and the rest without
/// steps.
pub async fn fill(url: &str, redis: u16, servers: usize, operations: usize) -> Seeded {
    let db = db::connect(&Secret::new(url), 2).await.unwrap();
    let now = Clock::System.now();
    let customers = servers / SERVERS_EACH;
    let hash = Passwords::new(1).unwrap().hash(&Secret::new(PASSWORD)).await.unwrap();
    let users: Vec<user::Model> = (0..customers).map(|number| customer(number, &hash, now)).collect();
    let mut rows = Vec::with_capacity(servers);
    for number in 0..servers {
        rows.push(server(number, users[number / SERVERS_EACH].id, now));
    }
    let mut past = Vec::with_capacity(operations);
    for number in 0..operations {
        let user = users[number % customers].id;
        past.push(operation_of(user, rows.get(number), number < servers, now));
    }
    let steps: Vec<_> = past.iter().filter(|row| row.step_count > 0).flat_map(|row| steps_of(row.id, now)).collect();
    let seeded = Seeded { customers: users.iter().zip(&past).map(|(user, row)| (user.id, row.id)).collect() };
    live(redis, &rows, now).await;
    insert::<user::Entity>(&db, users).await;
    insert::<instance::Entity>(&db, rows).await;
    insert::<operation::Entity>(&db, past).await;
    insert::<operation_step::Entity>(&db, steps).await;
    db.execute_unprepared("ANALYZE").await.unwrap();
    db.close().await.unwrap();
    seeded
}

async fn insert<E: EntityTrait>(db: &DatabaseConnection, rows: Vec<E::Model>)
where
    E::Model: ModelTrait<Entity = E> + IntoActiveModel<E::ActiveModel>,
{
    let mut rows = rows.into_iter().peekable();
    while rows.peek().is_some() {
        let page = rows.by_ref().take(ROWS).map(|row| sea_orm::ActiveModelTrait::reset_all(row.into_active_model()));
        E::insert_many(page.collect::<Vec<_>>()).exec_without_returning(db).await.unwrap();
    }
}

fn customer(number: usize, password_hash: &str, now: Timestamp) -> user::Model {
    user::Model {
        id: UserId::generate(),
        email: name_of(number),
        username: format!("Customer-{number}"),
        username_key: format!("customer-{number}"),
        display_name: Some(format!("Customer {number}")),
        first_name: Some("Ada".to_owned()),
        last_name: Some("Example".to_owned()),
        role: Role::Customer,
        password_hash: password_hash.to_owned(),
        token_epoch: 0,
        billing_status: None,
        suspended_at: None,
        created_at: now,
        updated_at: now,
    }
}

/// The email address of customer `number`.
pub fn name_of(number: usize) -> String {
    format!("customer-{number}@example.com")
}

fn server(number: usize, user_id: UserId, now: Timestamp) -> instance::Model {
    let vmid = VmId::new(5000 + i64::try_from(number).unwrap()).unwrap();
    let host = hostname(Naming::Minecraft { variant: "paper" }, vmid);
    let workload = PublishedWorkload::Game("minecraft");
    let policy = EdgePolicy {
        zone: "play.example.com".parse().ok(),
        proxy_ip: Some(Ipv4Addr::new(10, 0, 0, 2)),
        public_ip: Some(Ipv4Addr::new(203, 0, 113, 7)),
        proxy_port: 25_565,
        ide_suffix: None,
        targets: BTreeSet::from([Target::Velocity, Target::Technitium, Target::Cloudflare]),
    };
    let facts = ServerFacts { vmid, host: &host, workload, address: Ipv4Addr::LOCALHOST.into(), ports: &[] };
    let publication = plan(&facts, &policy).unwrap().unwrap();
    let mut edge = EdgeRecord::begin(None, publication, now);
    for target in policy.targets {
        edge.settle(target, &Ok(Vec::new()), now);
    }
    instance::Model {
        id: InstanceId::generate(),
        vmid,
        hostname: host,
        user_id,
        operation_id: OperationId::generate(),
        kind: InstanceKind::Game,
        name: format!("Server {number}"),
        software: "minecraft".to_owned(),
        variant: Some("paper".to_owned()),
        version: "1.21.1".to_owned(),
        memory_mib: 4096,
        cpu_cores: 2,
        node: "pve1".to_owned(),
        address: "127.0.0.1".to_owned(),
        lifecycle: Lifecycle::Active,
        generation: 1,
        payload: json!({ EDGE_KEY: edge }).to_string(),
        edge_due_at: None,
        resume: false,
        revision: 3,
        created_at: now,
        updated_at: now,
    }
}

fn operation_of(user: UserId, server: Option<&instance::Model>, with_steps: bool, at: Timestamp) -> operation::Model {
    let request = json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1",
        "memoryMiB": 4096, "name": "A server" });
    let steps = if with_steps { STEPS.len() } else { 0 };
    operation::Model {
        id: server.map_or_else(OperationId::generate, |server| server.operation_id),
        kind: "provision".to_owned(),
        queue: "provision".to_owned(),
        schema_version: 1,
        payload: json!({ "request": request, "customer": user }).to_string(),
        request: Some(request.to_string()),
        begun_by: Actor::Customer,
        cancel_rule: CancelRule::Anytime,
        state: OperationState::Succeeded,
        phase: Some("publish_edge".to_owned()),
        unwind: UndoState::None,
        cleanup: Cleanup::None,
        run_after: at,
        fence: 1,
        lease_until: None,
        worker: None,
        claimed_at: None,
        starts: 1,
        crashes: 0,
        max_starts: 3,
        offered_at: None,
        offer_count: 0,
        cancel_requested: false,
        committed: true,
        dedup_key: None,
        user_id: Some(user),
        vmid: server.map(|server| server.vmid),
        step_count: i32::try_from(steps).unwrap(),
        saga_state: None,
        error_code: None,
        error_message: None,
        error_phase: None,
        heartbeat_at: Some(at),
        created_at: at,
        started_at: Some(at),
        finished_at: Some(at),
        event_seq: 20,
        dismissed_at: None,
    }
}

fn steps_of(operation_id: OperationId, at: Timestamp) -> impl Iterator<Item = operation_step::Model> {
    STEPS.into_iter().zip(0..).map(move |(name, seq)| operation_step::Model {
        operation_id,
        seq,
        name: name.to_owned(),
        status: StepStatus::Done,
        outside: true,
        fence: 1,
        detail: Some(format!("{name} is done")),
        started_at: at,
        finished_at: Some(at),
    })
}

/// Writes what the poller would have observed of running servers (src/observe/live.rs), and for the predecessor the
/// report alone.
async fn live(redis: u16, servers: &[instance::Model], now: Timestamp) {
    let client = redis::Client::open(format!("redis://127.0.0.1:{redis}/0")).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let report = json!({ "state": "running", "install_step": null, "install_progress": null, "crash_count": 0,
        "error": null, "generation": 1 });
    let agent = json!({ "observedAt": now, "report": report, "ready": true }).to_string();
    let history = json!({ "askedAt": now, "seenAt": now, "crashes": { "total": 0, "reported": 0 }, "changedAt": now,
        "unanswered": 0, "polls": 7 })
    .to_string();
    let host = json!({ "observedAt": now, "power": "running", "node": "pve1" }).to_string();
    for servers in servers.chunks(ROWS) {
        let mut pipe = redis::pipe();
        for server in servers {
            pipe.set(format!("agent:{}", server.id), &agent).ignore();
            pipe.set(format!("agent:{}:history", server.id), &history).ignore();
            pipe.set(format!("host:{}", server.vmid), &host).ignore();
            pipe.set(format!("agent:{}", server.vmid), report.to_string()).ignore();
        }
        let () = pipe.query_async(&mut connection).await.unwrap();
    }
}

/// Fills the database of the predecessor from ours: the same customers, servers and operations in its tables.
pub async fn fill_predecessor(url: &str, seeded: &Seeded) {
    let db = db::connect(&Secret::new(url), 1).await.unwrap();
    db.execute_unprepared(include_str!("predecessor.sql")).await.unwrap();
    for page in seeded.customers.chunks(ROWS).zip(0..) {
        let (customers, number) = page;
        let values: Vec<String> = customers
            .iter()
            .zip(number * ROWS..)
            .map(|((user, operation), at)| format!("('{user}', '{operation}', {at})"))
            .collect();
        let insert = format!("INSERT INTO seeded VALUES {}", values.join(", "));
        db.execute_unprepared(&insert).await.unwrap();
    }
    db.execute_unprepared(include_str!("predecessor_rows.sql")).await.unwrap();
    db.close().await.unwrap();
}
