//! The simulated Technitium against docs/contracts/edge.md B and G.

use hickory_resolver::proto::rr::RecordType;
use serde_json::{Value, json};
use zpack::sim::SimConfig;

use super::zone_kit::{Rig, ZONE};

const ADD: &str = "zones/records/add";
const GET: &str = "zones/records/get";
const UPDATE: &str = "zones/records/update";
const DELETE: &str = "zones/records/delete";

fn host() -> String {
    format!("mc-1.{ZONE}")
}

async fn add(rig: &Rig, address: &str, more: &[(&str, &str)]) -> Value {
    let host = host();
    let form = [("zone", ZONE), ("domain", host.as_str()), ("type", "A"), ("ipAddress", address), ("ttl", "60")];
    rig.technitium(ADD, &[&form[..], more].concat()).await
}

/// Address, TTL and comment of every record of the host.
async fn held(rig: &Rig) -> Vec<(String, u64, Value)> {
    let answer = rig.technitium(GET, &[("domain", &host()), ("zone", ZONE)]).await;
    let records = answer["response"]["records"].as_array().unwrap();
    let row = |record: &Value| {
        let address = record["rData"]["ipAddress"].as_str().unwrap().to_owned();
        (address, record["ttl"].as_u64().unwrap(), record["comments"].clone())
    };
    records.iter().map(row).collect()
}

fn refusal(answer: &Value) -> &str {
    assert_eq!(answer["status"], "error", "{answer}");
    answer["errorMessage"].as_str().unwrap()
}

#[tokio::test]
async fn adding_to_an_rrset_keeps_it_unless_overwrite_is_set() {
    let rig = Rig::new().await;
    assert_eq!(add(&rig, "192.0.2.1", &[]).await["status"], "ok");
    assert!(refusal(&add(&rig, "192.0.2.1", &[]).await).contains("record already exists"));
    add(&rig, "192.0.2.2", &[]).await;
    assert_eq!(held(&rig).await.len(), 2, "the stale one stays");
    let other_ttl = add(&rig, "192.0.2.2", &[("ttl", "60")][..0]).await;
    assert_eq!(other_ttl["status"], "error");
    let form = [("zone", ZONE), ("type", "A"), ("ipAddress", "192.0.2.2"), ("ttl", "120")];
    let host = host();
    let answer = rig.technitium(ADD, &[&form[..], &[("domain", host.as_str())]].concat()).await;
    assert_eq!(answer["status"], "ok", "the same value with another TTL");
    assert!(held(&rig).await.iter().all(|(_, ttl, _)| *ttl == 120), "one RRset has one TTL");
    for _ in 0..2 {
        assert_eq!(add(&rig, "192.0.2.3", &[("overwrite", "true"), ("comments", "mine")]).await["status"], "ok");
        assert_eq!(held(&rig).await, [("192.0.2.3".to_owned(), 60, json!("mine"))]);
    }
}

#[tokio::test]
async fn an_update_resets_omitted_fields() {
    let rig = Rig::new().await;
    add(&rig, "192.0.2.1", &[("comments", "mine")]).await;
    let host = host();
    let form = [("zone", ZONE), ("domain", host.as_str()), ("type", "A"), ("ipAddress", "192.0.2.1")];
    let changed = rig.technitium(UPDATE, &[&form[..], &[("newIpAddress", "192.0.2.2")]].concat()).await;
    assert_eq!(changed["status"], "ok");
    assert_eq!(held(&rig).await, [("192.0.2.2".to_owned(), 3600, Value::Null)]);
    assert!(refusal(&rig.technitium(UPDATE, &form).await).contains("no such record"));
}

#[tokio::test]
async fn a_delete_needs_the_whole_value_and_fails_the_second_time() {
    let rig = Rig::new().await;
    let service = format!("_minecraft._tcp.{}", host());
    let value = [("priority", "0"), ("weight", "5"), ("port", "25565"), ("target", "MC-1.Play.zpack.test.")];
    let form = [&[("zone", ZONE), ("domain", service.as_str()), ("type", "SRV")][..], &value].concat();
    let added = rig.technitium(ADD, &form).await;
    assert_eq!(added["response"]["addedRecord"]["rData"]["target"], "MC-1.Play.zpack.test", "its case is kept");
    let mut other = form.clone();
    other[5].1 = "25566";
    assert!(refusal(&rig.technitium(DELETE, &other).await).contains("no such record"));
    let lower: Vec<_> = form.iter().map(|(key, value)| (*key, value.to_lowercase())).collect();
    let lower: Vec<_> = lower.iter().map(|(key, value)| (*key, if *key == "type" { "SRV" } else { value })).collect();
    assert_eq!(rig.technitium(DELETE, &lower).await["status"], "ok", "names are compared without case");
    assert!(refusal(&rig.technitium(DELETE, &lower).await).contains("no such record"));
}

#[tokio::test]
async fn every_outcome_is_a_200_with_a_message() {
    let rig = Rig::new().await;
    let host = host();
    rig.technitium(ADD, &[("domain", &host), ("type", "CNAME"), ("cname", "a.example")]).await;
    assert!(refusal(&add(&rig, "192.0.2.1", &[("overwrite", "true")]).await).contains("CNAME record cannot exists"));
    for (form, words) in [
        (vec![("zone", ZONE)], "'domain' missing"),
        (vec![("domain", "a.example")], "No such zone was found"),
        (vec![("domain", "a.example"), ("zone", ZONE)], "does not belong to the zone"),
        (vec![("domain", "evilplay.zpack.test"), ("zone", ZONE)], "does not belong to the zone"),
    ] {
        assert!(refusal(&rig.technitium(GET, &form).await).contains(words), "{form:?}");
    }
    let long = [("domain", ZONE), ("type", "A"), ("ipAddress", "192.0.2.1"), ("ttl", "604801")];
    assert!(refusal(&rig.technitium(ADD, &long).await).contains("EXPIRE"));
    let nothing = rig.technitium(GET, &[("domain", &format!("nothing.{ZONE}"))]).await;
    assert_eq!(nothing["response"]["records"], json!([]), "a name with nothing is no error");
    let token = rig.world.technitium().token();
    assert_eq!(rig.technitium_as(&[("token", &token)], None, "zones/nothing").await.0, 404);
    let whole = rig.technitium(GET, &[("domain", ZONE), ("listZone", "true")]).await;
    assert_eq!(whole["response"]["records"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_token_may_add_records_without_deleting_them() {
    let rig = Rig::new().await;
    let token =
        rig.steer("/sim/technitium/tokens", json!({"delete": false})).await["token"].as_str().unwrap().to_owned();
    let host = host();
    let form = [("domain", host.as_str()), ("type", "A"), ("ipAddress", "192.0.2.1")];
    let call = async |name: &str| rig.technitium_as(&form, Some(&token), name).await.1;
    assert_eq!(call(ADD).await["status"], "ok");
    assert_eq!(refusal(&call(DELETE).await), "Access was denied.");
    assert_eq!(call(GET).await["status"], "ok");
    rig.steer("/sim/technitium", json!({"auth": "older"})).await;
    assert_eq!(call(GET).await["status"], "invalid-token", "an older release knows no header");
    let as_parameter = [&form[..], &[("token", token.as_str())]].concat();
    assert_eq!(rig.technitium_as(&as_parameter, None, GET).await.1["status"], "ok");
}

#[tokio::test]
async fn disabled_records_are_listed_but_not_served() {
    let rig = Rig::new().await;
    add(&rig, "192.0.2.1", &[]).await;
    let host = host();
    assert_eq!(rig.resolve("technitium", &host, RecordType::A).await, ["192.0.2.1"]);
    let switch = json!({"domain": host, "type": "A", "disabled": true});
    rig.steer("/sim/technitium/records/disabled", switch).await;
    assert_eq!(held(&rig).await.len(), 1);
    assert!(rig.resolve("technitium", &host, RecordType::A).await.is_empty());
}

#[tokio::test]
async fn zones_and_tokens_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { state_file: Some(folder.path().join("sim.json")), ..SimConfig::default() };
    let rig = Rig::with(config.clone()).await;
    add(&rig, "192.0.2.1", &[]).await;
    rig.technitium("zones/create", &[("zone", "other.test"), ("domain", "other.test")]).await;
    let before = (rig.state("technitium").await, rig.world.technitium().token(), rig.dns("technitium"));
    assert_eq!(before.0["zones"].as_array().unwrap().len(), 2);
    assert!(!format!("{}{:?}", before.0, rig.journal("technitium").await).contains(&before.1));
    rig.world.shutdown().await.unwrap();
    let rig = Rig::with(config).await;
    assert_eq!((rig.state("technitium").await, rig.world.technitium().token(), rig.dns("technitium")), before);
}
