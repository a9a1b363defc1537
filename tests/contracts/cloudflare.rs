//! The client of Cloudflare against the simulated service: docs/contracts/edge.md A1 to A7, over sockets.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zpack::adapters::cloudflare::{Cloudflare, CloudflareSettings};
use zpack::kernel::{Clock, DnsName, Reach, Secret, StoredSecret, Timestamp};
use zpack::ports::{DnsZone, RecordData, Srv, Ttl, ZoneChange, ZoneError, ZoneRecord};

use super::scripted::{Act, Scripted, Seen, answer};
use super::zone_kit::{Rig, ZONE, host, new_a, new_srv};

/// Longer than any test: the cool-down does not end.
const FOREVER: Duration = Duration::from_secs(3600);
const TIMEOUT: Duration = Duration::from_secs(2);

fn client(rig: &Rig) -> Cloudflare {
    client_with(rig, &rig.world.cloudflare().token(), FOREVER)
}

fn client_with(rig: &Rig, token: &str, cool_down: Duration) -> Cloudflare {
    client_of(rig, Secret::new(token).into(), cool_down)
}

fn client_of(rig: &Rig, token: StoredSecret, cool_down: Duration) -> Cloudflare {
    let base_url = rig.world.cloudflare_url().parse().unwrap();
    client_at(base_url, token, &rig.world.cloudflare().zone_id(), cool_down)
}

fn scripted(server: &Scripted) -> Cloudflare {
    client_at(server.url(), Secret::new("what both sides know").into(), &"0".repeat(32), FOREVER)
}

fn client_at(base_url: url::Url, token: StoredSecret, zone_id: &str, cool_down: Duration) -> Cloudflare {
    let (zone_id, zone) = (zone_id.to_owned(), ZONE.parse().unwrap());
    let settings =
        CloudflareSettings { reach: Reach::Loopback, base_url, token, zone_id, zone, timeout: TIMEOUT, cool_down };
    Cloudflare::new(settings, Clock::System).unwrap()
}

async fn only(zone: &Cloudflare, name: &str) -> ZoneRecord {
    let [record] = zone.records_at(&[host(name)]).await.unwrap().try_into().unwrap();
    record
}

#[tokio::test]
async fn records_are_created_in_one_batch_updated_in_place_and_deleted_twice() {
    let rig = Rig::new().await;
    let zone = client(&rig);
    let made = [ZoneChange::Create(new_srv("mc-1", 25_577)), ZoneChange::Create(new_a("mc-1", 1))];
    zone.apply(&made).await.unwrap();
    let journal = rig.journal("cloudflare").await;
    let [batch] = journal.as_slice() else { panic!("{journal:?}") };
    assert!(batch["path"].as_str().unwrap().ends_with("/dns_records/batch"), "{batch}");
    let held = rig.state("cloudflare").await["records"].clone();
    let sent = held.as_array().unwrap().iter().find(|record| record["type"] == "SRV").unwrap();
    let target = format!("mc-1.{ZONE}");
    assert_eq!(sent["data"], json!({"priority": 0, "weight": 5, "port": 25_577, "target": target}));

    let service = only(&zone, "_minecraft._tcp.mc-1").await;
    let expected = Srv { priority: 0, weight: 5, port: 25_577, target: Some(host("mc-1")) };
    assert_eq!(service.data, RecordData::Srv(expected), "a port told as a float, a priority beside the data");
    let before = only(&zone, "mc-1").await;
    assert_eq!((before.ttl, before.proxied, before.disabled), (Ttl::Seconds(60), false, false));
    zone.apply(&[ZoneChange::Update { from: before.clone(), to: new_a("mc-1", 2) }]).await.unwrap();
    let after = only(&zone, "mc-1").await;
    assert_eq!(after.id, before.id, "the same record");
    assert_eq!(after.data, new_a("mc-1", 2).data);
    assert_eq!(zone.list().await.unwrap().len(), 2);
    for _ in 0..2 {
        zone.apply(&[ZoneChange::Delete(after.clone())]).await.unwrap();
    }
    assert_eq!(zone.list().await.unwrap(), [service]);
    let patch = ZoneChange::Update { from: after, to: new_a("mc-1", 3) };
    assert!(matches!(zone.apply(&[patch]).await, Err(ZoneError::Gone { .. })));
}

#[tokio::test]
async fn only_records_of_exactly_the_name_are_returned() {
    let rig = Rig::new().await;
    for name in ["mc-paper-50", "mc-paper-5013", "xmc-paper-50", "sub.mc-paper-50"] {
        rig.cloudflare_made(super::zone_kit::a(&format!("{name}.{ZONE}"), "192.0.2.1")).await;
    }
    let zone = client(&rig);
    for name in ["mc-paper-50", "mc-paper-5013"] {
        assert_eq!(only(&zone, name).await.name, host(name));
    }
    let both = zone.records_at(&[host("mc-paper-50"), host("mc-paper-5013")]).await.unwrap();
    assert_eq!(both.len(), 2, "names with no parent in common are asked for one by one");
}

/// A5, with the answers of the real service.
#[tokio::test]
async fn each_refusal_of_the_service_has_its_own_error() {
    type Expected = fn(&ZoneError) -> bool;
    let rig = Rig::new().await;
    rig.cloudflare_made(json!({"type": "CNAME", "name": "alias", "content": "elsewhere.example"})).await;
    rig.cloudflare_made(json!({"type": "NS", "name": "sub", "content": "ns.elsewhere.example"})).await;
    rig.cloudflare_made(super::zone_kit::a(&format!("mc-1.{ZONE}"), "192.0.2.1")).await;
    let zone = client(&rig);
    let mut short = new_a("mc-2", 2);
    short.ttl = Ttl::Seconds(59);
    let mut long = new_a("mc-2", 2);
    long.comment = "x".repeat(101);
    let conflict: Expected = |error| matches!(error, ZoneError::Conflict { .. });
    let refused: Expected = |error| matches!(error, ZoneError::Refused { .. });
    let table = [
        (new_a("mc-1", 1), "81058", conflict),
        (new_a("alias", 1), "81054", conflict),
        (new_a("sub", 1), "81056", conflict),
        (short, "9021", refused),
        (long, "9301", refused),
    ];
    for (new, code, expected) in table {
        let error = zone.apply(&[ZoneChange::Create(new)]).await.unwrap_err();
        assert!(expected(&error) && error.to_string().contains(code), "{code}: {error:?}");
    }
    rig.steer("/sim/cloudflare/plan", json!({"records": 3})).await;
    let error = zone.apply(&[ZoneChange::Create(new_a("mc-3", 3))]).await.unwrap_err();
    assert!(matches!(error, ZoneError::Quota { .. }) && error.to_string().contains("81045"), "{error:?}");

    let base_url = rig.world.cloudflare_url().parse().unwrap();
    let token = Secret::new(rig.world.cloudflare().token()).into();
    let by_name = client_at(base_url, token, ZONE, FOREVER).list().await.unwrap_err();
    assert!(matches!(by_name, ZoneError::Misconfigured { .. }), "{by_name:?}");
    assert!(by_name.to_string().contains("CLOUDFLARE_ZONE_ID"), "{by_name}");
}

#[tokio::test]
async fn a_refused_record_of_a_batch_does_not_block_the_others() {
    let rig = Rig::new().await;
    rig.cloudflare_made(json!({"type": "CNAME", "name": "alias", "content": "elsewhere.example"})).await;
    let changes = ["mc-1", "alias", "mc-2"].map(|name| ZoneChange::Create(new_a(name, 1)));
    let zone = client(&rig);
    let error = zone.apply(&changes).await.unwrap_err();
    assert!(matches!(error, ZoneError::Conflict { .. }), "{error:?}");
    assert_eq!(zone.records_at(&[host("mc-1"), host("mc-2")]).await.unwrap().len(), 2);
}

#[tokio::test]
async fn many_changes_are_split_into_batches() {
    let rig = Rig::new().await;
    rig.steer("/sim/cloudflare/plan", json!({"records": 1000})).await;
    let changes: Vec<_> = (0..401).map(|number| ZoneChange::Create(new_a(&format!("mc-{number}"), 1))).collect();
    let zone = client(&rig);
    zone.apply(&changes).await.unwrap();
    assert_eq!(rig.journal("cloudflare").await.len(), 3);
    assert_eq!(zone.list().await.unwrap().len(), 401);
}

/// The most useful fault: the record is created and the answer is lost.
#[tokio::test]
async fn a_lost_answer_leaves_the_outcome_unknown() {
    for action in ["timeout", "reset", "truncate", "html", "status"] {
        let rig = Rig::new().await;
        let zone = client(&rig);
        rig.fault(json!({"peer": "cloudflare", "method": "POST", "when": "after", "action": action, "status": 502}))
            .await;
        let error = zone.apply(&[ZoneChange::Create(new_a("mc-1", 1))]).await.unwrap_err();
        assert!(matches!(error, ZoneError::NoAnswer { .. }), "{action}: {error:?}");
        only(&zone, "mc-1").await;
        let posts = rig.journal("cloudflare").await.into_iter().filter(|entry| entry["method"] == "POST").count();
        assert_eq!(posts, 1, "{action}: nothing is repeated blindly");
    }
}

#[tokio::test]
async fn a_listing_is_read_completely_and_again_if_it_changed() {
    let record = |number: u64| {
        json!({"id": format!("{number:032x}"), "type": "A", "name": format!("mc-{number}.{ZONE}"), "content": "192.0.2.1",
            "ttl": 60, "proxied": false})
    };
    let page = move |page: u64, total: u64| {
        let info = json!({"page": page, "per_page": 1, "count": 1, "total_count": total, "total_pages": total});
        json!({"success": true, "errors": [], "result": [record(page)], "result_info": info}).to_string()
    };
    // A record is created during the first listing: its second page announces one more.
    let server = Scripted::start(move |number, seen| {
        let wanted = seen.parameters().into_iter().find(|(key, _)| key == "page").unwrap().1.parse().unwrap();
        Act::Send(answer("200 OK", &page(wanted, if number == 0 { 2 } else { 3 })))
    });
    let server = server.await;
    let names: Vec<_> = scripted(&server).list().await.unwrap().into_iter().map(|record| record.name).collect();
    assert_eq!(names, [host("mc-1"), host("mc-2"), host("mc-3")]);
    assert_eq!(server.seen().len(), 5, "two pages given up, then three");
}

/// The client relies neither on a number of pages that is too small nor on pages that never end.
#[tokio::test]
async fn a_listing_ends_when_it_is_complete_or_fails() {
    let row = |number: u64| json!({"id": format!("{number:032x}"), "type": "A", "name": format!("mc-{number}.{ZONE}"), "content": "192.0.2.1"});
    let page = |rows: Vec<Value>, total: u64| {
        let info = json!({"count": rows.len(), "total_count": total, "total_pages": 1});
        answer("200 OK", &json!({"success": true, "errors": [], "result": rows, "result_info": info}).to_string())
    };
    let wanted = |seen: &Seen| {
        let page = seen.parameters().into_iter().find(|(key, _)| key == "page").unwrap().1;
        page.parse::<u64>().unwrap()
    };
    let whole = Scripted::start(move |_, seen| Act::Send(page(vec![row(wanted(seen))], 3))).await;
    assert_eq!(scripted(&whole).list().await.unwrap().len(), 3, "more pages than it says");
    assert_eq!(whole.seen().len(), 3);
    type Script = Box<dyn Fn(u64) -> Vec<u8> + Send + Sync>;
    let scripts: [(&str, Script, usize); 3] = [
        (
            "empty before its end",
            Box::new(move |number| page(if number < 3 { vec![row(number)] } else { vec![] }, 9)),
            9,
        ),
        ("the same page again and again", Box::new(move |_| page(vec![row(1)], 2)), 6),
        ("without an end", Box::new(move |number| page(vec![row(number)], 1_000_000)), 50),
    ];
    for (what, script, calls) in scripts {
        let server = Scripted::start(move |_, seen| Act::Send(script(wanted(seen)))).await;
        let error = scripted(&server).list().await.unwrap_err();
        assert!(matches!(error, ZoneError::NoAnswer { .. }), "{what}: {error:?}");
        assert_eq!(server.seen().len(), calls, "{what}");
    }
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
    let asked = rig.journal("cloudflare").await.len();
    assert_eq!(zone.records_at(std::slice::from_ref(&elsewhere)).await.unwrap(), []);
    let mut new = new_a("mc-2", 1);
    new.name = elsewhere;
    let error = zone.apply(&[ZoneChange::Create(new)]).await.unwrap_err();
    assert!(matches!(error, ZoneError::Misconfigured { .. }), "{error:?}");
    assert!(error.to_string().contains("ZPACK_ZONE"), "{error}");
    assert_eq!(rig.journal("cloudflare").await.len(), asked, "neither needs a call");
}

#[tokio::test]
async fn an_incomplete_listing_or_one_without_totals_is_an_error() {
    let page = |info: Value| json!({"success": true, "errors": [], "result": [], "result_info": info}).to_string();
    let short = json!({"page": 1, "per_page": 5000, "count": 0, "total_count": 2, "total_pages": 1});
    for body in [page(short), page(json!({"page": 1})), page(Value::Null)] {
        let server = Scripted::start(move |_, _| Act::Send(answer("200 OK", &body))).await;
        let error = scripted(&server).list().await.unwrap_err();
        assert!(matches!(error, ZoneError::NoAnswer { .. }), "{error:?}");
    }
}

/// Case 9, the three forms of the answer; no caller of the process calls before the pause is over.
#[tokio::test]
async fn a_rate_limit_pauses_all_callers_as_long_as_the_service_asks() {
    for (form, range) in [("seconds", 1.0..=7.0), ("date", 1.0..=8.0), ("absent", 59.0..=75.0)] {
        let rig = Rig::new().await;
        let zone = client(&rig);
        let limits = json!({"requests": 1, "windowSeconds": 7, "retryAfter": form});
        rig.steer("/sim/cloudflare/limits", limits).await;
        zone.list().await.unwrap();
        for (caller, who) in [(zone.clone(), "first"), (zone.clone(), "again"), (zone.in_background(), "background")] {
            let error = caller.list().await.unwrap_err();
            let ZoneError::RateLimited { retry_after, .. } = error else { panic!("{form} {who}: {error:?}") };
            let seconds = retry_after.as_secs_f64().ceil();
            assert!(range.contains(&seconds), "{form} {who}: {retry_after:?}");
        }
        assert_eq!(rig.journal("cloudflare").await.len(), 2, "{form}: one call was refused, no other was sent");
    }
}

/// Case 10 over time: one probe a cool-down, whichever caller, until the token is accepted again.
#[tokio::test]
async fn a_refused_token_is_probed_once_a_cool_down_until_it_is_accepted() {
    let rig = Rig::new().await;
    let span = Duration::from_millis(300);
    let zone = client_with(&rig, &rig.world.cloudflare().token(), span);
    let refusal = json!({"success": false, "errors": [{"code": 9106, "message": "Authentication failed"}]});
    let fault = json!({"peer": "cloudflare", "when": "before", "action": "status", "status": 400, "body": refusal,
        "times": 3});
    rig.fault(fault).await;
    let begun = Instant::now();
    let mut asked = 0u32;
    while let Err(error) = zone.list().await {
        assert!(matches!(error, ZoneError::Unauthorized { .. }), "{error:?}");
        assert!(!error.to_string().contains(&rig.world.cloudflare().token()));
        asked += 1;
        tokio::task::yield_now().await;
    }
    assert_eq!(rig.journal("cloudflare").await.len(), 4, "three refused, one accepted");
    assert!(begun.elapsed() >= span * 3, "{asked} calls in {:?}", begun.elapsed());
    zone.list().await.unwrap();
}

/// Case 10: a new token needs no restart.
#[tokio::test]
async fn a_refused_token_is_read_again_from_its_file() {
    let rig = Rig::new().await;
    let (folder, old) = (tempfile::tempdir().unwrap(), rig.world.cloudflare().token());
    let file = folder.path().join("token");
    std::fs::write(&file, &old).unwrap();
    let zone = client_of(&rig, StoredSecret::in_file(Secret::new(&old), file.clone()), Duration::ZERO);
    zone.list().await.unwrap();
    rig.control("DELETE", "/sim/cloudflare/tokens", Value::Null).await;
    assert!(matches!(zone.list().await, Err(ZoneError::Unauthorized { .. })), "the file still holds the old one");
    let made = rig.steer("/sim/cloudflare/tokens", json!({})).await;
    std::fs::write(&file, made["token"].as_str().unwrap()).unwrap();
    zone.list().await.unwrap();
    zone.in_background().list().await.unwrap();
    assert_eq!(rig.journal("cloudflare").await.len(), 4, "the old one is not sent again");
}

#[tokio::test]
async fn the_token_is_sent_in_its_header_and_shown_nowhere() {
    let rig = Rig::new().await;
    let token = rig.world.cloudflare().token();
    let zone = client(&rig);
    zone.apply(&[ZoneChange::Create(new_a("mc-1", 1))]).await.unwrap();
    zone.check().await.unwrap();
    let server = Scripted::always("403 Forbidden", "{}").await;
    scripted(&server).list().await.unwrap_err();
    let seen = server.seen();
    assert_eq!(seen[0].header("authorization"), Some("Bearer what both sides know"));
    assert!(!seen[0].target.contains("both") && seen[0].body.is_empty(), "{seen:?}");
    let journal = Value::from(rig.journal("cloudflare").await).to_string();
    assert!(!journal.contains(&token), "{journal}");
}

/// A7.
#[tokio::test]
async fn a_check_reports_the_expiry_of_the_token_and_access_to_the_zone() {
    let rig = Rig::new().await;
    assert_eq!(client(&rig).check().await.unwrap().token_expires_at, None);
    let with = async |body: Value| {
        let made = rig.steer("/sim/cloudflare/tokens", body).await;
        client_with(&rig, made["token"].as_str().unwrap(), FOREVER).check().await
    };
    let ends = Timestamp::from_millis(4_000_000_000_000);
    let expiring = with(json!({"expiresOn": ends})).await.unwrap();
    assert_eq!(expiring.token_expires_at, Some(ends));
    assert_eq!(with(json!({"ofAccount": true})).await.unwrap().token_expires_at, None, "not verifiable, but it reads");
    for body in
        [json!({"status": "disabled"}), json!({"read": false}), json!({"expiresOn": "2001-01-01T00:00:00.000Z"})]
    {
        let error = with(body.clone()).await.unwrap_err();
        assert!(matches!(error, ZoneError::Unauthorized { .. }), "{body}: {error:?}");
    }
}
