//! Games whose players connect to public ports of the server's own, and need more than one of them.

use std::collections::BTreeSet;

use serde_json::Value;
use zpack::config::DatabaseKind;
use zpack::provision::{ServerRequest, Workload};
use zpack::servers::ports;

use crate::support::app::{FRESHNESS, INTERNAL};
use crate::support::company::{Company, paper, valheim};

fn zomboid() -> ServerRequest {
    let (game, variant) = ("projectzomboid".to_owned(), "vanilla".to_owned());
    let workload = Workload::Game { game, variant, version: "41.78.16".to_owned(), world: "world".to_owned() };
    ServerRequest { workload, ..paper() }
}

#[tokio::test(flavor = "multi_thread")]
async fn games_that_need_two_ports_hold_and_publish_two_on_sqlite() {
    two_ports_each(DatabaseKind::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn games_that_need_two_ports_hold_and_publish_two_on_postgres() {
    two_ports_each(DatabaseKind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn games_that_need_two_ports_hold_and_publish_two_on_mariadb() {
    two_ports_each(DatabaseKind::MariaDb).await;
}

async fn two_ports_each(kind: DatabaseKind) {
    let company = Company::start_on(kind).await;
    let (worker, door) = (company.worker(Company::settings()), company.door(FRESHNESS));
    let orders = [valheim(), zomboid(), valheim()].map(|request| company.begin(request));
    let mut held = BTreeSet::new();
    for order in orders {
        let id = order.await;
        company.succeeded(id).await;
        let ports = ports::find(&company.db.db, id).await.unwrap();
        assert!(ports.len() == 2 && ports[1] == ports[0] + 1, "{ports:?}");
        held.extend(ports);
    }
    worker.stop().await;
    assert_eq!(held.len(), 6, "no port is held twice: {held:?}");
    let answer = door.get("/internal/traefik/config").header("x-internal-token", INTERNAL).send().await.unwrap();
    let document: Value = answer.json().await.unwrap();
    let routers = document["udp"]["routers"].as_object().unwrap().values();
    let open: BTreeSet<&str> = routers.map(|router| router["entryPoints"][0].as_str().unwrap()).collect();
    let expected: Vec<String> = held.iter().map(|port| format!("p{port}u")).collect();
    assert_eq!(open, expected.iter().map(String::as_str).collect());
    // Each port leads to the same port of its server's container, where the game listens.
    for service in document["udp"]["services"].as_object().unwrap().values() {
        let address = service["loadBalancer"]["servers"][0]["address"].as_str().unwrap();
        let (_, port) = address.rsplit_once(':').unwrap();
        assert!(held.contains(&port.parse().unwrap()), "{address}");
    }
    door.close().await;
}
