//! From a request over HTTP to a server that its owner sees online, and what the owner sees when something fails.

use std::sync::Arc;
use std::time::Duration;

use sea_orm::{EntityTrait, IntoActiveModel};
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zpack::db::entities::instance;
use zpack::kernel::{Clock, InstanceId, OperationId};
use zpack::observe::facts::{Freshness, PollerId};
use zpack::observe::live::LiveState;
use zpack::observe::poller::{Poller, PollerSettings};

use crate::support::company::Company;
use crate::support::door::Door;
use crate::support::polling;

/// Fifteen polls and seven listings: a loaded machine may miss some.
const FRESHNESS: Freshness = Freshness::of_intervals(Duration::from_secs(1), Duration::from_secs(1));

fn poll(company: &Company, stop: &CancellationToken) -> JoinHandle<()> {
    let poller = Poller {
        db: company.db.db.clone(),
        live: LiveState::new(company.lists.connection(), FRESHNESS.agent),
        agent: Arc::new(company.agents(Duration::from_millis(500))),
        hypervisor: Arc::new(company.hypervisor()),
        clock: Clock::System,
        settings: PollerSettings {
            interval: Duration::from_millis(200),
            longest_interval: Duration::from_millis(300),
            timeout: Duration::from_millis(500),
            concurrency: 8,
            host_interval: Duration::from_millis(400),
        },
        metrics: company.metrics.clone(),
        id: PollerId(1),
    };
    polling(poller, stop)
}

/// A customer of a company.
struct Owner<'a> {
    company: &'a Company,
    door: &'a Door,
    token: String,
}

impl Owner<'_> {
    /// Creates a server, waits until it is done, and returns its id.
    async fn create(&self, body: Value) -> String {
        let answer = self.door.post("/api/instances", &body).bearer_auth(&self.token).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        let id: OperationId = body["operationId"].as_str().unwrap_or_else(|| panic!("{body}")).parse().unwrap();
        self.company.succeeded(id).await;
        let shown: Value = self
            .door
            .get(&format!("/api/operations/{id}"))
            .bearer_auth(&self.token)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        shown["serverId"].as_str().unwrap_or_else(|| panic!("{shown}")).to_owned()
    }

    /// The server `id` from the list.
    async fn server(&self, id: &str) -> Value {
        let answer = self.door.get("/api/servers").bearer_auth(&self.token).send().await.unwrap();
        let list: Value = answer.json().await.unwrap();
        let servers = list["servers"].as_array().unwrap_or_else(|| panic!("{list}"));
        servers.iter().find(|server| server["id"] == id).unwrap_or_else(|| panic!("{list}")).clone()
    }

    /// The body of `GET /api/servers/{id}/host/status`.
    async fn power(&self, id: &str) -> Value {
        let path = format!("/api/servers/{id}/host/status");
        self.door.get(&path).bearer_auth(&self.token).send().await.unwrap().json().await.unwrap()
    }

    /// Waits until the list shows `expected` for `id`.
    async fn sees(&self, id: &str, expected: Value) -> Value {
        self.comes("the server", || self.server(id), &expected).await
    }

    /// Waits until `look` returns `expected`.
    async fn comes<F: Future<Output = Value>>(&self, what: &str, look: impl Fn() -> F, expected: &Value) -> Value {
        let expected = expected.as_object().unwrap();
        for _ in 0..600 {
            let server = look().await;
            if expected.iter().all(|(field, value)| server[field] == *value) {
                return server;
            }
            // Slow enough for the rate limit of reads.
            tokio::time::sleep(Duration::from_millis(110)).await;
        }
        panic!("timed out waiting for {expected:?}: {what} is {}", look().await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_customer_sees_their_servers_and_every_change_of_state() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let (worker, stop) = (company.worker(Company::settings()), CancellationToken::new());
    let poller = poll(&company, &stop);
    let owner = Owner { company: &company, door: &door, token: door.register("alice").await };
    let game =
        owner.create(json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1" })).await;
    let dev = owner.create(json!({ "ctype": "dev", "runtime": "node", "version": "22" })).await;
    worker.stop().await;

    let online = json!({ "status": "running", "hostStatus": "online", "agentStatus": "online", "stale": false });
    let seen = owner.sees(&game, online.clone()).await;
    assert_eq!((&seen["category"], &seen["flavor"], &seen["crashCount"]), (&json!("GAME"), &json!("paper"), &json!(0)));
    assert!(seen["lastSeen"].is_string(), "{seen}");
    owner.sees(&dev, online.clone()).await;
    let (game_agent, game_container) = (format!("/sim/agents/{game}"), format!("/sim/proxmox/containers/{game}"));

    // The workload crashes; the agent starts it again and counts the crash.
    company.control(&game_agent, json!({ "crash": true })).await;
    owner.sees(&game, json!({ "crashCount": 1, "status": "running" })).await;

    // Agents that do not answer: docs/server-status.md, container running, no answer of the agent.
    for id in [&game, &dev] {
        company.control(&format!("/sim/agents/{id}"), json!({ "hang": true })).await;
    }
    owner.sees(&game, json!({ "status": "stopped", "hostStatus": "online", "agentStatus": "offline" })).await;
    let silent = owner.sees(&dev, json!({ "agentStatus": "offline" })).await;
    assert_eq!((&silent["status"], &silent["hostStatus"]), (&json!("running"), &json!("online")));
    assert!(silent["lastSeen"].is_string(), "{silent}");
    for id in [&game, &dev] {
        company.control(&format!("/sim/agents/{id}"), json!({ "hang": false })).await;
        owner.sees(id, online.clone()).await;
    }

    // The container stops.
    company.control(&game_container, json!({ "status": "stopped" })).await;
    owner.sees(&game, json!({ "status": "stopped", "hostStatus": "offline", "agentStatus": "offline" })).await;
    owner.sees(&dev, online.clone()).await;

    // No peer answers any more: the last observations are shown, marked as stale.
    company.control(&format!("/sim/agents/{dev}"), json!({ "hang": true })).await;
    let away = json!({ "peer": "proxmox", "when": "before", "action": "timeout", "times": 1_000_000 });
    company.control("/sim/faults", away).await;
    owner
        .sees(&dev, json!({ "status": "running", "hostStatus": "online", "agentStatus": "offline", "stale": true }))
        .await;
    owner.sees(&game, json!({ "status": "stopped", "hostStatus": "offline", "stale": true })).await;

    // The peers are back.
    company.forget_faults().await;
    company.control(&format!("/sim/agents/{dev}"), json!({ "hang": false })).await;
    owner.sees(&dev, online).await;
    stop.cancel();
    poller.await.unwrap();
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn power_is_unknown_from_a_failed_listing_to_the_next_successful_one() {
    let company = Company::start().await;
    // Observations stay fresh for as long as the test runs: only a failed listing can make the power unknown.
    let forever = Freshness::of_intervals(Duration::from_secs(3600), Duration::from_secs(3600));
    let door = company.door(forever);
    let (worker, stop) = (company.worker(Company::settings()), CancellationToken::new());
    let poller = poll(&company, &stop);
    let owner = Owner { company: &company, door: &door, token: door.register("alice").await };
    let dev = owner.create(json!({ "ctype": "dev", "runtime": "node", "version": "22" })).await;
    worker.stop().await;
    let running = json!({ "powerState": "running", "stale": false });
    let seen = owner.comes("the power", || owner.power(&dev), &running).await;
    assert!(seen["observedAt"].is_string(), "{seen}");

    for (action, status) in [("status", Some(500)), ("reset", None)] {
        let away = json!({
            "peer": "proxmox", "when": "before", "action": action, "status": status, "times": 1_000_000,
        });
        company.control("/sim/faults", away).await;
        let unknown = json!({ "powerState": "unknown", "stale": true });
        let seen = owner.comes("the power", || owner.power(&dev), &unknown).await;
        assert!(seen["observedAt"].is_string(), "{seen}");
        assert_eq!(owner.server(&dev).await["hostStatus"], "online", "the list lets the old word stand");
        company.forget_faults().await;
        owner.comes("the power", || owner.power(&dev), &running).await;
    }
    stop.cancel();
    poller.await.unwrap();
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reused_vmid_shows_no_observations_of_the_previous_server() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let (worker, stop) = (company.worker(Company::settings()), CancellationToken::new());
    let poller = poll(&company, &stop);
    let owner = Owner { company: &company, door: &door, token: door.register("alice").await };
    let game =
        owner.create(json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1" })).await;
    worker.stop().await;
    owner.sees(&game, json!({ "status": "running" })).await;
    company.control(&format!("/sim/agents/{game}"), json!({ "crash": true })).await;
    owner.sees(&game, json!({ "crashCount": 1, "status": "running", "hostStatus": "online" })).await;
    stop.cancel();
    poller.await.unwrap();

    let db = &company.db.db;
    let former = instance::Entity::find().one(db).await.unwrap().unwrap();
    instance::Entity::delete_by_id(former.id).exec(db).await.unwrap();
    let now = Clock::System.now();
    let successor = instance::Model {
        id: InstanceId::generate(),
        operation_id: OperationId::generate(),
        created_at: now,
        updated_at: now,
        ..former
    };
    instance::Entity::insert(successor.into_active_model()).exec_without_returning(db).await.unwrap();
    let seen = owner.server(&game).await;
    // What its own operation had just observed.
    let own = json!({
        "status": "running", "hostStatus": "online", "agentStatus": "online", "crashCount": 0, "lastSeen": now,
        "observedAt": now, "stale": false,
    });
    for (field, value) in own.as_object().unwrap() {
        assert_eq!(seen[field], *value, "{field}: {seen}");
    }
    assert_eq!(owner.power(&game).await, json!({ "powerState": "running", "observedAt": now, "stale": false }));
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_server_is_first_shown_as_its_operation_has_just_observed_it() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let worker = company.worker(Company::settings());
    let owner = Owner { company: &company, door: &door, token: door.register("alice").await };
    // Nothing polls in this test.
    let game =
        owner.create(json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1" })).await;
    let seen = owner.server(&game).await;
    let expected = json!({
        "status": "running", "hostStatus": "online", "agentStatus": "online", "agentState": "running", "stale": false,
    });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(seen[field], *value, "{field}: {seen}");
    }
    worker.stop().await;
    door.close().await;
}
