//! `GET /api/servers/{id}/status` and `GET /api/servers/{id}/host/status`: what the owner reads, and that others read
//! nothing.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::db::entities::instance::{self, InstanceKind, Lifecycle};
use zpack::edge::{EDGE_KEY, EdgeRecord, PortRoute, Publication, Registration, Target, Transport};
use zpack::kernel::DnsName;
use zpack::ports::AgentState;
use zpack::servers::payload::{self, PayloadUpdate};

use crate::support::app::{INTERNAL, TestApp, problem};

/// The zone of the test servers.
pub const ZONE: &str = "play.test";

impl TestApp {
    /// Stores that server `number` is published and registered at the proxy.
    pub(super) async fn publish(&self, number: i64) {
        let (row, now) = (self.row(number).await, self.clock.now());
        let name: DnsName = format!("{}.{ZONE}", row.hostname).parse().unwrap();
        let address = SocketAddr::new(row.address.parse().unwrap(), 25_565);
        let publication = Publication {
            vmid: row.vmid,
            address: name.to_string(),
            name: name.clone(),
            records: BTreeMap::new(),
            registration: Some(Registration { name, address }),
            route: None,
            further_routes: Vec::new(),
            ide: None,
        };
        let mut edge = EdgeRecord::begin(None, publication, now);
        edge.settle(Target::Velocity, &Ok(Vec::new()), now);
        self.set_edge(&row, edge).await;
    }

    /// Stores that server `number` is a game with the public port `port`, published now.
    async fn publish_port(&self, number: i64, port: u16) {
        let valheim = Expr::value("valheim");
        let change = instance::Entity::update_many().col_expr(instance::Column::Software, valheim);
        let row = self.row(number).await;
        change.filter(instance::Column::Id.eq(row.id)).exec(&self.database.db).await.unwrap();
        let (row, now) = (self.row(number).await, self.clock.now());
        let name: DnsName = format!("{}.{ZONE}", row.hostname).parse().unwrap();
        let backend = SocketAddr::new(row.address.parse().unwrap(), port);
        let publication = Publication {
            vmid: row.vmid,
            address: format!("{name}:{port}"),
            name,
            records: BTreeMap::new(),
            registration: None,
            route: Some(PortRoute { port, transports: vec![Transport::Udp], backend }),
            further_routes: Vec::new(),
            ide: None,
        };
        let mut edge = EdgeRecord::begin(None, publication, now);
        edge.settle(Target::Traefik, &Ok(Vec::new()), now);
        self.set_edge(&row, edge).await;
    }

    /// Polls the routes as Traefik does; returns the entity tag.
    async fn poll_routes(&self) -> String {
        let answer = self.get("/internal/traefik/config").bearer_auth(INTERNAL).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        answer.headers()["etag"].to_str().unwrap().to_owned()
    }

    async fn set_edge(&self, row: &instance::Model, edge: EdgeRecord) {
        let set = |_: &instance::Model, _: Option<EdgeRecord>| Some(PayloadUpdate::to(edge.clone()));
        payload::merge(&self.database.db, row.vmid, EDGE_KEY, self.clock.now(), set).await.unwrap();
    }

    /// Marks every server as being deleted, as the beginning of a teardown does.
    async fn begin_teardown(&self) {
        let deleting = Expr::value(Lifecycle::Deleting);
        let all = instance::Entity::update_many().col_expr(instance::Column::Lifecycle, deleting);
        all.exec(&self.database.db).await.unwrap();
    }

    /// Stores a callback of the proxy that server `number` answers pings.
    async fn pinged(&self, number: i64) {
        let body = json!({ "server_name": format!("mc-paper-{number}.{ZONE}"), "status": "proxy_ping_ok" });
        let answer = self.post("/internal/velocity/proxy-status", &body).bearer_auth(INTERNAL).send().await.unwrap();
        let heard: Value = answer.json().await.unwrap();
        assert_eq!(heard["kept"], true, "{heard}");
    }
}

/// A published, running server of `alice` that players reach; returns her token.
async fn reached(app: &TestApp) -> String {
    let alice = app.register("alice").await;
    app.own(app.id_of(&alice).await, InstanceKind::Game, 5000).await;
    app.observe(5000, AgentState::Running, 0, app.clock.now()).await;
    app.publish(5000).await;
    app.pinged(5000).await;
    alice
}

#[tokio::test]
async fn an_owner_reads_the_connection_state_and_its_parts() {
    let app = TestApp::start().await;
    let (alice, now) = (reached(&app).await, app.clock.now());
    let target = json!({ "target": "velocity", "state": "published", "retryAt": null, "since": now });
    let status = json!({
        "id": "5000", "readiness": "ready", "connection": { "state": "connectable", "reasons": [] },
        "edge": { "state": "published", "targets": [target] }, "proxy": "registered", "ping": "answered",
        "address": "mc-paper-5000.play.test", "observedAt": now, "stale": false,
    });
    assert_eq!(app.json("/api/servers/5000/status", &alice).await, status);

    app.own(app.id_of(&alice).await, InstanceKind::Game, 5001).await;
    let unpublished = json!({
        "id": "5001", "readiness": "unknown", "connection": null, "edge": null, "proxy": "not_needed",
        "ping": "unknown", "address": null, "observedAt": null, "stale": true,
    });
    assert_eq!(app.json("/api/servers/5001/status", &alice).await, unpublished);

    // The observation of the proxy becomes stale like all others.
    app.clock.advance(Duration::from_secs(121));
    app.observe(5000, AgentState::Running, 0, app.clock.now()).await;
    let status = app.json("/api/servers/5000/status", &alice).await;
    assert_eq!((&status["proxy"], &status["connection"]["state"]), (&json!("unknown"), &json!("unknown")), "{status}");
    assert_eq!(status["connection"]["reasons"][0]["code"], "proxy_not_seen");
}

/// What is published for Traefik is only there once Traefik has asked for it, and while it goes on asking.
#[tokio::test]
async fn a_server_with_a_public_port_is_reached_while_traefik_polls() {
    let app = TestApp::start().await;
    let (alice, root) = (app.register("alice").await, app.admin("root").await);
    app.own(app.id_of(&alice).await, InstanceKind::Game, 5000).await;
    app.publish_port(5000, 50_000).await;
    let reached = async || {
        app.observe(5000, AgentState::Running, 0, app.clock.now()).await;
        let status = app.json("/api/servers/5000/status", &alice).await;
        let listed = app.json("/api/servers/5000", &alice).await;
        assert_eq!(listed["connection"], status["connection"]);
        (status["proxy"].clone(), status["connection"]["state"].clone())
    };
    let (unknown, connectable) = ((json!("unknown"), json!("unknown")), (json!("registered"), json!("connectable")));
    assert_eq!(reached().await, unknown, "it has not polled");
    let etag = app.poll_routes().await;
    assert_eq!(reached().await, connectable);
    let poll = app.json("/api/edge/health", &root).await["routerPoll"].clone();
    assert_eq!(poll, json!({ "at": app.clock.now(), "etag": etag }));
    app.clock.advance(Duration::from_secs(121));
    assert_eq!(reached().await, unknown, "it has ceased to poll");
    app.poll_routes().await;
    assert_eq!(reached().await, connectable);
    app.clock.advance(Duration::from_secs(2));
    app.publish_port(5000, 50_001).await;
    assert_eq!(reached().await, unknown, "it does not know the new port");
    app.poll_routes().await;
    assert_eq!(reached().await, connectable);
}

#[tokio::test]
async fn the_power_is_that_of_the_last_listing_or_unknown() {
    let app = TestApp::start().await;
    let (alice, now) = (reached(&app).await, app.clock.now());
    let power = json!({ "powerState": "running", "observedAt": now, "stale": false });
    assert_eq!(app.json("/api/servers/5000/host/status", &alice).await, power);

    // A listing that failed after it, and then one that succeeded.
    app.clock.advance(Duration::from_secs(1));
    app.put("host:failed", app.clock.now()).await;
    let unknown = json!({ "powerState": "unknown", "observedAt": now, "stale": true });
    assert_eq!(app.json("/api/servers/5000/host/status", &alice).await, unknown);
    assert_eq!(app.json("/api/servers/5000", &alice).await["hostStatus"], "online", "the list does not flicker");
    app.clock.advance(Duration::from_secs(1));
    let now = app.clock.now();
    app.observe(5000, AgentState::Running, 0, now).await;
    let power = json!({ "powerState": "running", "observedAt": now, "stale": false });
    assert_eq!(app.json("/api/servers/5000/host/status", &alice).await, power);

    // No one lists the hypervisor any more.
    app.clock.advance(Duration::from_secs(31));
    let unknown = json!({ "powerState": "unknown", "observedAt": now, "stale": true });
    assert_eq!(app.json("/api/servers/5000/host/status", &alice).await, unknown);
}

#[tokio::test]
async fn a_server_that_is_being_deleted_is_neither_published_nor_reachable() {
    let app = TestApp::start().await;
    let alice = reached(&app).await;
    app.begin_teardown().await;
    let status = app.json("/api/servers/5000/status", &alice).await;
    let reason = json!({ "code": "server_deleting", "message": "The server is being deleted." });
    let connection = json!({ "state": "offline", "reasons": [reason] });
    assert_eq!((&status["readiness"], &status["connection"]), (&json!("deleting"), &connection), "{status}");
    assert_eq!((&status["edge"]["state"], &status["address"]), (&json!("unpublishing"), &Value::Null), "{status}");
    let server = app.json("/api/servers/5000", &alice).await;
    assert_eq!((&server["lifecycle"], &server["connection"]), (&json!("deleting"), &connection), "{server}");
    assert!(server.get("address").is_none(), "{server}");
}

#[tokio::test]
async fn an_unpublished_server_shows_no_address() {
    let app = TestApp::start().await;
    let alice = reached(&app).await;
    let row = app.row(5000).await;
    let edge: EdgeRecord = payload::read(&row, EDGE_KEY).unwrap().unwrap();
    app.set_edge(&row, edge.unpublishing()).await;
    let status = app.json("/api/servers/5000/status", &alice).await;
    assert_eq!((&status["edge"]["state"], &status["address"]), (&json!("unpublishing"), &Value::Null), "{status}");
    assert_eq!(status["connection"]["reasons"][0]["code"], "address_withdrawn");
    assert!(app.json("/api/servers/5000", &alice).await.get("address").is_none());
}

#[tokio::test]
async fn only_the_owner_reads_the_status_of_a_server() {
    let app = TestApp::start().await;
    let (alice, bob, root) = (reached(&app).await, app.register("bob").await, app.admin("root").await);
    for rest in ["status", "host/status"] {
        let ask = |id: &str| app.get(&format!("/api/servers/{id}/{rest}"));
        for (token, id) in [(&bob, "5000"), (&root, "5000"), (&alice, "5001"), (&alice, "x"), (&alice, "-1")] {
            let body = problem(ask(id).bearer_auth(token).send().await.unwrap()).await;
            let told = (&body["code"], &body["detail"]);
            assert_eq!(told, (&json!("not_found"), &json!("There is no such server.")), "{rest} {id}");
        }
        assert_eq!(problem(ask("5000").send().await.unwrap()).await["status"], 401);
        assert_eq!(problem(ask("5000").bearer_auth(INTERNAL).send().await.unwrap()).await["status"], 403);
        let path = format!("/api/servers/5000/{rest}?now=1");
        let body = problem(app.get(&path).bearer_auth(&alice).send().await.unwrap()).await;
        let told = (&body["code"], &body["errors"][0]["pointer"]);
        assert_eq!(told, (&json!("invalid_query"), &json!("?now")), "{body}");
    }
}
