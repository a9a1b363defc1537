//! The records of both simulated services as a player's resolver sees them.

use hickory_resolver::config::ConnectionConfig;
use hickory_resolver::proto::rr::RecordType;
use serde_json::{Value, json};

use super::zone_kit::{Rig, ZONE, a, resolve, srv};

#[tokio::test]
async fn srv_records_resolve_to_a_host_and_its_address() {
    let rig = Rig::new().await;
    let host = format!("mc-1.{ZONE}");
    let service = format!("_minecraft._tcp.{host}");
    rig.cloudflare_made(a("mc-1", "192.0.2.1")).await;
    rig.cloudflare_made(srv(&host, 25_570)).await;
    let address = [("domain", host.as_str()), ("type", "A"), ("ipAddress", "192.0.2.1")];
    rig.technitium("zones/records/add", &address).await;
    let value = [("priority", "0"), ("weight", "5"), ("port", "25570"), ("target", host.as_str())];
    let form = [&[("domain", service.as_str()), ("type", "SRV")][..], &value].concat();
    rig.technitium("zones/records/add", &form).await;
    for peer in ["cloudflare", "technitium"] {
        let found = rig.resolve(peer, &service, RecordType::SRV).await;
        assert_eq!(found, [format!("0 5 25570 {host}.")], "{peer}");
        let target = found[0].rsplit(' ').next().unwrap().trim_end_matches('.');
        assert_eq!(rig.resolve(peer, target, RecordType::A).await, ["192.0.2.1"], "{peer}");
        let tcp = resolve(rig.dns(peer), &host, RecordType::A, ConnectionConfig::tcp()).await;
        assert_eq!(tcp, ["192.0.2.1"], "{peer}");
    }
}

#[tokio::test]
async fn every_change_is_served_at_once() {
    let rig = Rig::new().await;
    let host = format!("mc-1.{ZONE}");
    assert!(rig.resolve("cloudflare", &host, RecordType::A).await.is_empty());
    let record = rig.cloudflare_made(a("mc-1", "192.0.2.1")).await;
    assert_eq!(rig.resolve("cloudflare", &host, RecordType::A).await, ["192.0.2.1"]);
    let six = json!({"type": "AAAA", "name": "mc-1", "content": "2001:db8::1"});
    rig.cloudflare_made(six).await;
    assert_eq!(rig.resolve("cloudflare", &host, RecordType::AAAA).await, ["2001:db8::1"]);
    rig.cloudflare_made(json!({"type": "CNAME", "name": "alias", "content": host})).await;
    assert_eq!(rig.resolve("cloudflare", &format!("alias.{ZONE}"), RecordType::A).await, ["192.0.2.1"]);
    rig.cloudflare("DELETE", &format!("/{}", record["id"].as_str().unwrap()), Value::Null).await;
    assert!(rig.resolve("cloudflare", &host, RecordType::A).await.is_empty());
}
