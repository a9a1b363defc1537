//! The client of Technitium against the simulated server: docs/contracts/edge.md B1 to B3, over sockets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zpack::adapters::technitium::{Technitium, TechnitiumSettings};
use zpack::kernel::{Clock, DnsName, Reach, Secret, StoredSecret};
use zpack::ports::{DnsZone, Ttl, ZoneChange, ZoneError, ZoneRecord};

use super::scripted::{Act, Scripted, answer, unused_address};
use super::zone_kit::{Rig, ZONE, host, new_a, new_srv};

/// Longer than any test: the cool-down does not end.
const FOREVER: Duration = Duration::from_secs(3600);

fn client(rig: &Rig) -> Technitium {
    client_with(rig.world.technitium_url(), &rig.world.technitium().token(), FOREVER)
}

fn client_with(base_url: impl AsRef<str>, token: &str, cool_down: Duration) -> Technitium {
    client_of(base_url, Secret::new(token).into(), cool_down)
}

fn client_of(base_url: impl AsRef<str>, token: StoredSecret, cool_down: Duration) -> Technitium {
    let settings = TechnitiumSettings {
        reach: Reach::Loopback,
        base_url: base_url.as_ref().parse().unwrap(),
        token,
        zone: ZONE.parse().unwrap(),
        timeout: Duration::from_secs(2),
        cool_down,
    };
    Technitium::new(settings, Clock::System).unwrap()
}

async fn only(zone: &Technitium, name: &str) -> ZoneRecord {
    let [record] = zone.records_at(&[host(name)]).await.unwrap().try_into().unwrap();
    record
}

#[tokio::test]
async fn records_are_created_updated_completely_and_deleted_twice() {
    let rig = Rig::new().await;
    let zone = client(&rig);
    let made = [ZoneChange::Create(new_a("mc-1", 1)), ZoneChange::Create(new_srv("mc-1", 25_577))];
    for _ in 0..2 {
        zone.apply(&made).await.unwrap();
    }
    assert_eq!(zone.list().await.unwrap().len(), 2, "a repetition adds nothing");
    zone.apply(&[ZoneChange::Create(new_a("mc-1", 2))]).await.unwrap();
    let before = only(&zone, "mc-1").await;
    assert_eq!(before.data, new_a("mc-1", 2).data, "the old address is gone, although no change named it");

    zone.apply(&[ZoneChange::Update { from: before, to: new_a("mc-1", 3) }]).await.unwrap();
    let after = only(&zone, "mc-1").await;
    assert_eq!((after.ttl, after.comment.as_deref()), (Ttl::Seconds(60), Some("zpack vmid=5001 gen=1")));
    let service = only(&zone, "_minecraft._tcp.mc-1").await;
    let other = new_srv("mc-1", 25_600);
    zone.apply(&[ZoneChange::Update { from: service, to: other.clone() }]).await.unwrap();
    let service = only(&zone, "_minecraft._tcp.mc-1").await;
    assert_eq!((service.data.clone(), service.comment), (other.data, Some(other.comment)));
    for _ in 0..2 {
        zone.apply(&[ZoneChange::Delete(after.clone())]).await.unwrap();
    }
    assert_eq!(zone.records_at(&[host("mc-1")]).await.unwrap(), []);
    let gone = zone.apply(&[ZoneChange::Update { from: after, to: new_a("mc-1", 4) }]).await.unwrap_err();
    assert!(matches!(gone, ZoneError::Gone { .. }), "{gone:?}");
}

#[tokio::test]
async fn other_spellings_and_disabled_records_are_read() {
    let rig = Rig::new().await;
    let (upper, token) = (format!("MC-1.{}", ZONE.to_uppercase()), rig.world.technitium().token());
    let form = [("zone", ZONE), ("domain", upper.as_str()), ("type", "A"), ("ipAddress", "192.0.2.1"), ("ttl", "60")];
    assert_eq!(rig.technitium("zones/records/add", &form).await["status"], "ok");
    let zone = client_with(rig.world.technitium_url(), &token, FOREVER);
    let record = only(&zone, "mc-1").await;
    assert_eq!((&record.name, &record.data, record.disabled), (&host("mc-1"), &new_a("mc-1", 1).data, false));
    rig.steer("/sim/technitium/records/disabled", json!({"domain": upper, "type": "A", "disabled": true})).await;
    assert!(only(&zone, "mc-1").await.disabled);
    zone.apply(&[ZoneChange::Delete(record)]).await.unwrap();
    assert_eq!(zone.list().await.unwrap(), []);
}

#[tokio::test]
async fn each_refusal_of_the_server_has_its_own_error() {
    let rig = Rig::new().await;
    let alias = format!("alias.{ZONE}");
    let form = [("zone", ZONE), ("domain", alias.as_str()), ("type", "CNAME"), ("cname", "a.example")];
    rig.technitium("zones/records/add", &form).await;
    let zone = client(&rig);
    let beside = zone.apply(&[ZoneChange::Create(new_a("alias", 1))]).await.unwrap_err();
    assert!(matches!(beside, ZoneError::Conflict { .. }), "{beside:?}");
    let mut long = new_a("mc-1", 1);
    long.ttl = Ttl::Seconds(604_801);
    let refused = zone.apply(&[ZoneChange::Create(long)]).await.unwrap_err();
    assert!(matches!(refused, ZoneError::Refused { .. }), "{refused:?}");
    let settings = TechnitiumSettings {
        reach: Reach::Loopback,
        base_url: rig.world.technitium_url().parse().unwrap(),
        token: Secret::new(rig.world.technitium().token()).into(),
        zone: "elsewhere.example".parse().unwrap(),
        timeout: Duration::from_secs(2),
        cool_down: FOREVER,
    };
    let elsewhere = Technitium::new(settings, Clock::System).unwrap().list().await.unwrap_err();
    assert!(matches!(elsewhere, ZoneError::Misconfigured { .. }), "{elsewhere:?}");
    assert!(elsewhere.to_string().contains("ZPACK_ZONE"), "{elsewhere}");
    let away = client_with(format!("http://{}", unused_address().await), "token", FOREVER).list().await.unwrap_err();
    assert!(matches!(away, ZoneError::Unreachable { .. }), "{away:?}");
    let wrong = Scripted::always("404 Not Found", "").await;
    let nowhere = client_with(wrong.url(), "token", FOREVER).list().await.unwrap_err();
    assert!(nowhere.to_string().contains("TECHNITIUM_API_URL"), "{nowhere}");
}

/// Names that were published under another `ZPACK_ZONE` cannot be read or changed by this client.
#[tokio::test]
async fn names_of_another_zone_are_neither_read_nor_written() {
    let rig = Rig::new().await;
    let zone = client(&rig);
    zone.apply(&[ZoneChange::Create(new_a("mc-1", 1))]).await.unwrap();
    let elsewhere: DnsName = "mc-1.earlier.example".parse().unwrap();
    let found = zone.records_at(&[elsewhere.clone(), host("mc-1")]).await.unwrap();
    assert_eq!(found.iter().map(|record| &record.name).collect::<Vec<_>>(), [&host("mc-1")]);
    let asked = rig.journal("technitium").await.len();
    assert_eq!(zone.records_at(std::slice::from_ref(&elsewhere)).await.unwrap(), []);
    let mut new = new_a("mc-2", 1);
    new.name = elsewhere;
    let error = zone.apply(&[ZoneChange::Create(new)]).await.unwrap_err();
    assert!(matches!(error, ZoneError::Misconfigured { .. }), "{error:?}");
    assert_eq!(rig.journal("technitium").await.len(), asked, "neither needs a call");
}

#[tokio::test]
async fn a_token_without_the_delete_right_publishes_and_names_the_missing_right() {
    let rig = Rig::new().await;
    let made = rig.steer("/sim/technitium/tokens", json!({"delete": false})).await;
    let zone = client_with(rig.world.technitium_url(), made["token"].as_str().unwrap(), FOREVER);
    zone.apply(&[ZoneChange::Create(new_a("mc-1", 1))]).await.unwrap();
    let record = only(&zone, "mc-1").await;
    let error = zone.apply(&[ZoneChange::Delete(record)]).await.unwrap_err();
    assert!(matches!(error, ZoneError::Unauthorized { .. }), "{error:?}");
    assert!(error.to_string().contains("lacks the right to delete A mc-1"), "{error}");
    only(&zone, "mc-1").await;
}

#[tokio::test]
async fn an_older_release_gets_the_token_in_the_form_never_in_the_address() {
    let rig = Rig::new().await;
    rig.steer("/sim/technitium", json!({"auth": "older"})).await;
    let (zone, token) = (client(&rig), rig.world.technitium().token());
    for _ in 0..3 {
        zone.list().await.unwrap();
    }
    let journal = rig.journal("technitium").await;
    assert_eq!(journal.len(), 4, "the first call finds out");
    assert!(journal.iter().all(|entry| entry["method"] == "POST" && entry["query"] == json!([])), "{journal:?}");
    assert!(!Value::from(journal).to_string().contains(&token));
    // After an upgrade the header is used again.
    rig.steer("/sim/technitium", json!({"auth": "current"})).await;
    zone.list().await.unwrap();
}

/// Case 10: a new token needs no restart.
#[tokio::test]
async fn a_refused_token_is_read_again_from_its_file() {
    let rig = Rig::new().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "not this one").unwrap();
    let stored = StoredSecret::in_file(Secret::new("not this one"), file.clone());
    let zone = client_of(rig.world.technitium_url(), stored, Duration::ZERO);
    assert!(matches!(zone.list().await, Err(ZoneError::Unauthorized { .. })));
    std::fs::write(&file, rig.world.technitium().token()).unwrap();
    zone.list().await.unwrap();
    zone.list().await.unwrap();
    assert_eq!(rig.journal("technitium").await.len(), 4, "both ways with the old one, then the new one");
}

#[tokio::test]
async fn a_lost_answer_leaves_the_outcome_unknown() {
    for action in ["timeout", "reset", "truncate", "html"] {
        let rig = Rig::new().await;
        let zone = client(&rig);
        rig.fault(json!({"peer": "technitium", "path": "*/add", "when": "after", "action": action})).await;
        let error = zone.apply(&[ZoneChange::Create(new_a("mc-1", 1))]).await.unwrap_err();
        assert!(matches!(error, ZoneError::NoAnswer { .. }), "{action}: {error:?}");
        only(&zone, "mc-1").await;
    }
    for body in [r#"{"status":"ok"}"#, r#"{"status":"ok","response":{}}"#, r#"{"response":{"records":[]}}"#] {
        let server = Scripted::always("200 OK", body).await;
        let error = client_with(server.url(), "token", FOREVER).list().await.unwrap_err();
        assert!(matches!(error, ZoneError::NoAnswer { .. }), "{body} is not an empty zone: {error:?}");
    }
}

/// Case 10 over time: one probe a cool-down, whichever caller, until the token is accepted again.
#[tokio::test]
async fn a_refused_token_is_probed_once_a_cool_down_until_it_is_accepted() {
    let refusal = r#"{"status":"invalid-token","errorMessage":"Invalid token or session expired."}"#;
    let empty = r#"{"status":"ok","response":{"records":[]}}"#;
    // Each attempt sends the token in both ways.
    let server =
        Scripted::start(move |number, _| Act::Send(answer("200 OK", if number < 6 { refusal } else { empty }))).await;
    let span = Duration::from_millis(300);
    let zone = client_with(server.url(), "what both sides know", span);
    let begun = Instant::now();
    while let Err(error) = zone.list().await {
        assert!(matches!(error, ZoneError::Unauthorized { .. }), "{error:?}");
        tokio::task::yield_now().await;
    }
    assert_eq!(server.seen().len(), 7, "three attempts refused, one accepted");
    assert!(begun.elapsed() >= span * 3, "{:?}", begun.elapsed());
    assert!(server.seen().iter().all(|seen| !seen.target.contains("both")), "never in an address");
}
