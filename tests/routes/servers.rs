//! `GET /api/servers`, `GET /api/servers/{id}`, `GET /api/instances`: their fields, their pages, their constant cost,
//! and that they never wait for a peer.

use std::time::Duration;

use reqwest::StatusCode;
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, Set};
use serde_json::{Value, json};
use zpack::db::entities::instance::{self, InstanceKind};
use zpack::kernel::{OperationId, Timestamp, UserId, VmId};
use zpack::observe::facts::{AgentFacts, AgentHistory, HostFacts};
use zpack::ports::{AgentReport, AgentState, NodeName, PowerState};
use zpack::servers::store;
use zpack::servers::{Naming, hostname};

use crate::support::app::{TestApp, problem};
use crate::support::rows::AnyOwner;
use crate::support::servers::server;

/// The age of the servers of these tests: what was observed when they were recorded counts no longer.
pub(super) const LONG_AGO: Duration = Duration::from_secs(3600);

impl TestApp {
    pub(super) async fn id_of(&self, token: &str) -> UserId {
        let me = self.json("/api/auth/me", token).await;
        me["user"]["id"].as_str().unwrap().parse().unwrap()
    }

    pub(super) async fn json(&self, path: &str, token: &str) -> Value {
        let answer = self.get(path).bearer_auth(token).send().await.unwrap();
        let status = answer.status();
        let body = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(super) async fn own(&self, owner: UserId, kind: InstanceKind, number: i64) -> OperationId {
        let vmid = VmId::new(number).unwrap();
        let (naming, software, variant, version) = match kind {
            InstanceKind::Game => (Naming::Minecraft { variant: "paper" }, "minecraft", Some("paper"), "1.21.1"),
            InstanceKind::Dev => (Naming::Dev, "node", None, "22"),
        };
        let operation = OperationId::generate();
        let row = instance::Model {
            hostname: hostname(naming, vmid),
            user_id: owner,
            operation_id: operation,
            kind,
            software: software.to_owned(),
            variant: variant.map(str::to_owned),
            version: version.to_owned(),
            address: "127.9.9.9".to_owned(),
            ..server(number, self.clock.now().before(LONG_AGO))
        };
        store::insert(&AnyOwner(&self.database.db), row).await.unwrap();
        operation
    }

    /// Writes what the poller would have written.
    pub(super) async fn put(&self, key: &str, value: impl serde::Serialize) {
        let text = serde_json::to_string(&value).unwrap();
        let mut redis = self.lists.connection();
        let () = redis::cmd("SET").arg(key).arg(text).query_async(&mut redis).await.unwrap();
    }

    /// The row of server `number`.
    pub(super) async fn row(&self, number: i64) -> instance::Model {
        let rows = instance::Entity::find().filter(instance::Column::Vmid.eq(VmId::new(number).unwrap()));
        rows.one(&self.database.db).await.unwrap().unwrap()
    }

    pub(super) async fn observe(&self, number: i64, state: AgentState, crash_count: u32, now: Timestamp) {
        let install_step = (state == AgentState::Installing).then(|| "download".to_owned());
        let report =
            AgentReport { state, install_step, install_progress: None, crash_count, error: None, generation: None };
        let agent = AgentFacts { observed_at: now, report: Some(report), ready: Some(true) };
        let server = self.row(number).await.id;
        self.put(&format!("agent:{server}:history"), AgentHistory::after(None, Some(&agent), now)).await;
        self.put(&format!("agent:{server}"), agent).await;
        let host = HostFacts { observed_at: now, power: PowerState::Running, node: NodeName::new("pve1") };
        self.put(&format!("host:{number}"), host).await;
    }
}

/// A server as its owner sees it before anything was observed of it.
fn unobserved(id: &str, now: Timestamp) -> Value {
    json!({
        "id": id, "name": format!("server {id}"), "category": "GAME", "runtime": "minecraft", "flavor": "paper",
        "version": "1.21.1", "hostname": format!("mc-paper-{id}"), "memoryMiB": 2048, "cpuCores": 2,
        "lifecycle": "active", "createdAt": now.before(LONG_AGO), "status": "unknown", "hostStatus": "offline",
        "agentStatus": "offline", "agentState": "unknown", "installStep": null, "crashCount": 0, "lastSeen": null, "observedAt": null,
        "stale": true,
    })
}

fn with(mut server: Value, change: Value) -> Value {
    server.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    server
}

#[tokio::test]
async fn an_owner_sees_every_field_the_portal_reads() {
    let app = TestApp::start().await;
    let (alice, now) = (app.register("alice").await, app.clock.now());
    let owner = app.id_of(&alice).await;
    let operation = app.own(owner, InstanceKind::Game, 5000).await;
    app.own(owner, InstanceKind::Dev, 6000).await;
    app.own(owner, InstanceKind::Game, 5001).await;
    app.observe(5000, AgentState::Running, 2, now).await;
    app.observe(6000, AgentState::Installing, 0, now).await;

    let running = json!({
        "status": "running", "hostStatus": "online", "agentStatus": "online", "agentState": "running", "crashCount": 2,
        "lastSeen": now, "observedAt": now, "stale": false,
    });
    let game = with(unobserved("5000", now), running);
    let dev = json!({
        "id": "6000", "name": "server 6000", "category": "DEV", "runtime": "node", "flavor": null, "version": "22",
        "hostname": "dev-6000", "memoryMiB": 2048, "cpuCores": 2, "lifecycle": "active", "createdAt": now.before(LONG_AGO),
        "status": "running", "hostStatus": "online", "agentStatus": "online", "agentState": "installing", "installStep": "download",
        "crashCount": 0, "lastSeen": now, "observedAt": now, "stale": false,
    });
    let servers = [game.clone(), unobserved("5001", now), dev];
    assert_eq!(app.json("/api/servers", &alice).await, json!({ "servers": servers, "pending": [] }));
    assert_eq!(app.json("/api/servers/5000", &alice).await, game);

    let root = app.admin("root").await;
    let rows = app.json("/api/instances", &root).await;
    assert_eq!((&rows["ok"], &rows["next"], rows["rows"].as_array().unwrap().len()), (&json!(true), &Value::Null, 3));
    let whose = json!({
        "instanceId": rows["rows"][0]["instanceId"], "userId": owner, "operationId": operation, "node": "pve1",
        "agentAddress": "127.9.9.9",
    });
    assert_eq!(rows["rows"][0], with(game, whose));
    assert!(rows["rows"][0]["instanceId"].as_str().unwrap().starts_with("ins_"));
}

#[tokio::test]
async fn servers_of_other_customers_are_not_visible() {
    let app = TestApp::start().await;
    let (alice, bob) = (app.register("alice").await, app.register("bob").await);
    app.own(app.id_of(&alice).await, InstanceKind::Game, 5000).await;
    assert_eq!(app.json("/api/servers", &bob).await, json!({ "servers": [], "pending": [] }));
    // An admin sees only their own servers here; the inventory shows all.
    let root = app.admin("root").await;
    for (token, id) in [(&bob, "5000"), (&root, "5000"), (&alice, "5001"), (&alice, "x"), (&alice, "-1")] {
        let body = problem(app.get(&format!("/api/servers/{id}")).bearer_auth(token).send().await.unwrap()).await;
        assert_eq!((&body["code"], &body["detail"]), (&json!("not_found"), &json!("There is no such server.")), "{id}");
    }
    assert_eq!(app.json("/api/servers/5000", &alice).await["id"], "5000");
}

/// The ids on every page of `path`, whose rows are in `field`.
async fn pages(app: &TestApp, path: &str, field: &str, token: &str) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut next = path.to_owned();
    loop {
        let page = app.json(&next, token).await;
        let rows = page[field].as_array().unwrap();
        pages.push(rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect());
        let Some(cursor) = page["next"].as_str() else { return pages };
        next = format!("{path}&cursor={cursor}");
    }
}

#[tokio::test]
async fn every_server_is_on_exactly_one_page() {
    let app = TestApp::start().await;
    let (alice, bob, root) = (app.register("alice").await, app.register("bob").await, app.admin("root").await);
    let (alices, bobs) = (app.id_of(&alice).await, app.id_of(&bob).await);
    for number in 5000..5006 {
        app.own(if number == 5001 { bobs } else { alices }, InstanceKind::Game, number).await;
    }
    let own = pages(&app, "/api/servers?limit=2", "servers", &alice).await;
    assert_eq!(own, [vec!["5000", "5002"], vec!["5003", "5004"], vec!["5005"]]);
    let all = pages(&app, "/api/instances?limit=3", "rows", &root).await;
    assert_eq!(all, [["5000", "5001", "5002"], ["5003", "5004", "5005"]]);
    assert_eq!(pages(&app, "/api/servers?limit=200", "servers", &bob).await, [["5001"]]);

    // A server that is deleted or created between two pages does not shift the others.
    let first = app.json("/api/servers?limit=2", &alice).await;
    zpack::db::entities::instance::ActiveModel {
        id: Set(store::find_owned(&app.database.db, alices, VmId::new(5002).unwrap()).await.unwrap().unwrap().id),
        ..Default::default()
    }
    .delete(&app.database.db)
    .await
    .unwrap();
    let second = format!("/api/servers?limit=2&cursor={}", first["next"].as_str().unwrap());
    let ids =
        |page: &Value| page["servers"].as_array().unwrap().iter().map(|row| row["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&app.json(&second, &alice).await), ["5003", "5004"]);
}

#[tokio::test]
async fn invalid_page_parameters_are_refused() {
    let app = TestApp::start().await;
    let root = app.admin("root").await;
    let operations_cursor = "b3BfMDE5ODAwMDAtMDAwMC03MDAwLTgwMDAtMDAwMDAwMDAwMDAw";
    for path in ["/api/servers", "/api/instances", "/api/operations"] {
        for (query, pointer) in [
            ("cursor=x", "?cursor"),
            ("cursor=", "?cursor"),
            ("cursor=NTA", "?cursor"),
            ("cursor=_____w", "?cursor"),
            ("limit=0", "?limit"),
            ("limit=201", "?limit"),
            ("limit=-1", "?limit"),
            ("limit=many", "?limit"),
            ("limit=", "?limit"),
            ("limit=1&limit=2", "?limit"),
            ("page=2", "?page"),
            ("owner=usr_x", "?owner"),
        ] {
            let answer = app.get(&format!("{path}?{query}")).bearer_auth(&root).send().await.unwrap();
            let body = problem(answer).await;
            assert_eq!(
                (&body["code"], &body["errors"][0]["pointer"]),
                (&json!("invalid_query"), &json!(pointer)),
                "{query}"
            );
        }
        if path != "/api/operations" {
            let query = format!("{path}?cursor={operations_cursor}");
            let body = problem(app.get(&query).bearer_auth(&root).send().await.unwrap()).await;
            assert_eq!(body["errors"][0]["pointer"], "?cursor", "the cursor of another list");
        }
    }
    let body = problem(app.get("/api/servers/5000?verbose=1").bearer_auth(&root).send().await.unwrap()).await;
    assert_eq!(body["errors"][0]["pointer"], "?verbose");
}

/// How many SQL statements and Redis reads one `GET` needs.
async fn price(app: &TestApp, path: &str, token: &str) -> (usize, String) {
    let mut redis = app.lists.connection();
    let () = redis::cmd("CONFIG").arg("RESETSTAT").query_async(&mut redis).await.unwrap();
    let before = app.statements();
    app.json(path, token).await;
    let statements = app.statements() - before;
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await.unwrap();
    // A thread of the server that has no connection yet asks for the role of the one it makes.
    let other = |line: &&str| ["cmdstat_config", "cmdstat_role"].iter().all(|other| !line.starts_with(other));
    let reads = stats.lines().filter(|line| line.starts_with("cmdstat_")).filter(other);
    let calls = reads.filter_map(|line| line.split(',').next()).collect::<Vec<_>>().join(" ");
    (statements, calls)
}

#[tokio::test]
async fn a_list_costs_the_same_however_long_it_is() {
    let app = TestApp::start().await;
    let (alice, root) = (app.register("alice").await, app.admin("root").await);
    let owner = app.id_of(&alice).await;
    app.own(owner, InstanceKind::Game, 5000).await;
    let routes = [("/api/servers", &alice), ("/api/servers/5000", &alice), ("/api/instances?limit=200", &root)];
    let mut few = Vec::new();
    for (path, token) in routes {
        few.push(price(&app, path, token).await);
    }
    for number in 5001..5150 {
        app.own(owner, InstanceKind::Game, number).await;
        app.observe(number, AgentState::Running, 0, app.clock.now()).await;
    }
    assert_eq!(app.json("/api/servers", &alice).await["servers"].as_array().unwrap().len(), 150);
    for ((path, token), few) in routes.into_iter().zip(few) {
        let many = price(&app, path, token).await;
        assert_eq!(many, few, "{path}");
        // One statement to authenticate, one for the servers; one round trip for the observations.
        assert_eq!(many, (2, "cmdstat_mget:calls=1".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn without_redis_only_the_observations_are_missing() {
    let mut app = TestApp::start().await;
    let (alice, now) = (app.register("alice").await, app.clock.now());
    app.own(app.id_of(&alice).await, InstanceKind::Game, 5000).await;
    app.observe(5000, AgentState::Running, 0, now).await;
    assert_eq!(app.json("/api/servers/5000", &alice).await["status"], "running");
    app.redis.freeze();
    assert_eq!(app.json("/api/servers", &alice).await, json!({ "servers": [unobserved("5000", now)], "pending": [] }));
    app.redis.thaw();
    app.redis.kill();
    assert_eq!(app.json("/api/servers/5000", &alice).await, unobserved("5000", now));
}

#[tokio::test]
async fn observations_become_stale_without_new_ones() {
    let app = TestApp::start().await;
    let (alice, now) = (app.register("alice").await, app.clock.now());
    app.own(app.id_of(&alice).await, InstanceKind::Game, 5000).await;
    app.observe(5000, AgentState::Running, 0, now).await;
    // Three intervals of the poller, then three of the listing, then five minutes.
    for (seconds, status, host, stale) in [
        (15, "running", "online", false),
        (1, "unknown", "online", true),
        (284, "unknown", "online", true),
        (1, "unknown", "offline", true),
    ] {
        app.clock.advance(Duration::from_secs(seconds));
        let server = app.json("/api/servers/5000", &alice).await;
        let seen = (&server["status"], &server["hostStatus"], &server["stale"]);
        assert_eq!(seen, (&json!(status), &json!(host), &json!(stale)), "{server}");
        assert_eq!((&server["lastSeen"], &server["observedAt"]), (&json!(now), &json!(now)));
    }
}
