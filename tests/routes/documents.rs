//! `GET /internal/traefik/config` and `GET /internal/velocity/desired`: the documents that the edge polls, made from
//! the rows.

use reqwest::StatusCode;
use reqwest::header::{ETAG, HeaderMap};
use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::db::entities::instance;
use zpack::kernel::{Clock, VmId};
use zpack::publishing::TargetSelection;
use zpack::servers::ports;
use zpack::servers::store;

use crate::support::app::{FRESHNESS, INTERNAL};
use crate::support::company::Company;
use crate::support::door::Door;
use crate::support::rows::AnyOwner;
use crate::support::servers::server;

const TRAEFIK: &str = "/internal/traefik/config";
const DESIRED: &str = "/internal/velocity/desired";

/// Records a game server, with a port if its game needs one, and publishes it.
async fn publish(company: &Company, number: i64, software: &str) -> VmId {
    let now = Clock::System.now();
    let row = instance::Model {
        hostname: format!("{software}-{number}").parse().unwrap(),
        user_id: company.owner,
        software: software.to_owned(),
        variant: None,
        version: "1".to_owned(),
        address: format!("10.60.0.{}", number - 5000),
        ..server(number, now)
    };
    let (vmid, operation) = (row.vmid, row.operation_id);
    store::insert(&AnyOwner(&company.db.db), row).await.unwrap();
    if software != "minecraft" {
        ports::take(&AnyOwner(&company.db.db), &(50_000..=50_999), 1, operation, now).await.unwrap().unwrap();
    }
    let record = company.publisher().publish(vmid, TargetSelection::All, None).await.unwrap().unwrap();
    assert!(record.unsettled().is_empty(), "{}", record.problems());
    vmid
}

async fn poll(door: &Door, path: &str, known: Option<&str>) -> (StatusCode, HeaderMap, String) {
    let mut request = door.get(path).header("x-internal-token", INTERNAL);
    if let Some(known) = known {
        request = request.header("if-none-match", known);
    }
    let answer = request.send().await.unwrap();
    (answer.status(), answer.headers().clone(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn documents_follow_the_servers_and_are_complete_or_an_error() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let (status, _, empty) = poll(&door, TRAEFIK, None).await;
    assert_eq!((status, empty.as_str()), (StatusCode::OK, "{}"));
    let first = publish(&company, 5001, "valheim").await;
    publish(&company, 5002, "valheim").await;
    publish(&company, 5003, "minecraft").await;

    let (status, headers, routes) = poll(&door, TRAEFIK, None).await;
    assert_eq!(status, StatusCode::OK);
    // Both servers of this game have a port, and the same rows give the same bytes.
    for part in ["p50000u", "p50001u", "10.60.0.1:", "10.60.0.2:"] {
        assert!(routes.contains(part), "{part}: {routes}");
    }
    assert!(!routes.contains("10.60.0.3"), "{routes}");
    let etag = headers[ETAG].to_str().unwrap().to_owned();
    assert_eq!(poll(&door, TRAEFIK, None).await.2, routes);
    let (status, _, nothing) = poll(&door, TRAEFIK, Some(&etag)).await;
    assert_eq!((status, nothing.as_str()), (StatusCode::NOT_MODIFIED, ""));
    let (_, _, desired) = poll(&door, DESIRED, None).await;
    let desired: Value = serde_json::from_str(&desired).unwrap();
    let expected = json!([{ "name": "minecraft-5003.play.zpack.test", "address": "10.60.0.3", "port": 25565 }]);
    assert_eq!(desired["servers"], expected);

    // One of them is unpublished.
    company.publisher().unpublish(first, None).await.unwrap();
    let (status, headers, fewer) = poll(&door, TRAEFIK, Some(&etag)).await;
    assert_eq!(status, StatusCode::OK);
    assert!(!fewer.contains("p50000u") && fewer.contains("p50001u"), "{fewer}");
    assert_ne!(headers[ETAG], etag.as_str());

    // An unreadable row does not count as a deleted server, and a lost database does not give an empty document.
    let damage = instance::Entity::update_many().col_expr(instance::Column::Payload, Expr::value(r#"{"edge":7}"#));
    damage.filter(instance::Column::Vmid.eq(5002)).exec(&company.db.db).await.unwrap();
    for path in [TRAEFIK, DESIRED] {
        assert_eq!(poll(&door, path, None).await.0, StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    company.db.db.execute_unprepared("ALTER TABLE instances RENAME TO away").await.unwrap();
    for path in [TRAEFIK, DESIRED] {
        assert!(poll(&door, path, None).await.0.is_server_error(), "{path}");
    }
    door.close().await;
}
