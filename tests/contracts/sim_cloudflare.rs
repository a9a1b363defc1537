//! The simulated Cloudflare against docs/contracts/edge.md A and G.

use std::time::Duration;

use hickory_resolver::proto::rr::RecordType;
use serde_json::{Value, json};
use zpack::kernel::{Clock, Timestamp};
use zpack::sim::SimConfig;

use super::zone_kit::{Rig, ZONE, a, codes, srv};

fn name(host: &str) -> String {
    format!("{host}.{ZONE}")
}

#[tokio::test]
async fn stored_records_are_normalized_and_wrapped_in_the_envelope() {
    let rig = Rig::new().await;
    let (status, answer) = rig.cloudflare("POST", "", a(&format!("MC-1.{}.", ZONE.to_uppercase()), "192.0.2.1")).await;
    assert_eq!((status, &answer["success"], &answer["errors"]), (200, &json!(true), &json!([])));
    let record = &answer["result"];
    assert_eq!(record["name"], name("mc-1"));
    assert_eq!(record["id"].as_str().unwrap().len(), 32);
    assert_eq!((&record["comment"], &record["ttl"]), (&json!("zpack vmid=5001 gen=1"), &json!(60)));

    let relative = rig.cloudflare_made(json!({"type": "A", "name": "mc-2", "content": "192.0.2.2"})).await;
    assert_eq!((&relative["name"], &relative["ttl"]), (&json!(name("mc-2")), &json!(1)));
    let service = rig.cloudflare_made(json!({
        "type": "SRV", "name": "_minecraft._tcp.mc-1",
        "data": {"priority": 0, "weight": 5, "port": 25565.0, "target": format!("MC-1.{ZONE}.")},
    }));
    let service = service.await;
    assert_eq!(service["data"], json!({"priority": 0, "weight": 5, "port": 25565, "target": name("mc-1")}));
    assert_eq!(service["priority"], 0, "unasked, beside the data");
}

#[tokio::test]
async fn refusals_have_the_codes_of_the_contract_often_inside_the_chain() {
    let rig = Rig::new().await;
    let first = rig.cloudflare_made(a("mc-1", "192.0.2.1")).await;
    rig.cloudflare_made(json!({"type": "CNAME", "name": "alias", "content": "elsewhere.example"})).await;
    rig.cloudflare_made(json!({"type": "NS", "name": "sub", "content": "ns.elsewhere.example"})).await;
    let long = "x".repeat(101);
    let mut flat = srv(&name("mc-1"), 25_565);
    flat["content"] = json!("0 5 25565 mc-1");
    flat.as_object_mut().unwrap().remove("data");
    let mut wide = srv(&name("mc-1"), 1);
    wide["data"]["port"] = json!(65_536);
    let with = |key: &str, value: Value| {
        let mut body = a("mc-9", "192.0.2.9");
        body[key] = value;
        body
    };
    let cases: [(Value, u16, &[u64]); 13] = [
        (a("mc-1", "192.0.2.1"), 400, &[81_058]),
        (a("alias", "192.0.2.1"), 400, &[81_054]),
        (json!({"type": "CNAME", "name": "mc-1", "content": "a.example"}), 400, &[81_053]),
        (a("sub", "192.0.2.1"), 400, &[81_056]),
        (a("mc-9", "192.0.2.256"), 400, &[1004, 9005]),
        (with("ttl", json!(59)), 400, &[1004, 9021]),
        (with("ttl", json!(86_401)), 400, &[1004, 9021]),
        (with("tags", json!(["owner:zpack"])), 400, &[1004, 9300]),
        (with("comment", json!(long)), 400, &[1004, 9301]),
        (flat, 400, &[9101]),
        (wide, 400, &[1004, 9005]),
        (
            json!({"type": "SRV", "name": "_a._tcp", "proxied": true, "data": srv("a.example", 1)["data"]}),
            400,
            &[1004, 9004],
        ),
        (a("a b", "192.0.2.1"), 400, &[1004, 9000]),
    ];
    for (body, status, expected) in cases {
        assert_eq!(rig.cloudflare_refused("POST", "", body.clone()).await, (status, expected.to_vec()), "{body}");
    }
    let id = first["id"].as_str().unwrap();
    let unknown = format!("/{}", "0".repeat(32));
    assert_eq!(rig.cloudflare_refused("DELETE", &unknown, Value::Null).await, (404, vec![81_044]));
    assert_eq!(rig.cloudflare_refused("DELETE", "/mc-1", Value::Null).await, (400, vec![7003, 7000]));
    assert_eq!(rig.cloudflare("DELETE", &format!("/{id}"), Value::Null).await.1["result"], json!({"id": id}));
    assert_eq!(rig.cloudflare_refused("DELETE", &format!("/{id}"), Value::Null).await, (404, vec![81_044]));
}

#[tokio::test]
async fn put_resets_omitted_fields_and_patch_keeps_them() {
    let rig = Rig::new().await;
    let record = rig.cloudflare_made(a("mc-1", "192.0.2.1")).await;
    let path = format!("/{}", record["id"].as_str().unwrap());
    let (_, patched) = rig.cloudflare("PATCH", &path, json!({"content": "192.0.2.2"})).await;
    let kept = &patched["result"];
    assert_eq!(
        (&kept["content"], &kept["comment"], &kept["ttl"]),
        (&json!("192.0.2.2"), &record["comment"], &json!(60))
    );
    let body = json!({"type": "A", "name": "mc-1", "content": "192.0.2.3"});
    let (_, put) = rig.cloudflare("PUT", &path, body).await;
    let put = &put["result"];
    assert_eq!((&put["comment"], &put["ttl"], &put["id"]), (&Value::Null, &json!(1), &record["id"]));
}

#[tokio::test]
async fn both_spellings_of_a_filter_work_and_pages_are_complete() {
    let rig = Rig::new().await;
    for number in 1..=5 {
        rig.cloudflare_made(a(&format!("mc-{number}"), "192.0.2.1")).await;
    }
    rig.cloudflare_made(srv(&name("mc-1"), 25_565)).await;
    let count =
        async |query: &str| rig.cloudflare("GET", query, Value::Null).await.1["result"].as_array().unwrap().len();
    for (query, expected) in [
        (format!("?name={}", name("mc-1")), 1),
        (format!("?name.exact={}", name("MC-1")), 1),
        ("?name=mc-1".to_owned(), 0),
        (format!("?name.endswith=.{}&type=SRV", name("mc-1")), 1),
        (format!("?name.exact={}&type=SRV&match=any", name("mc-2")), 2),
        ("?comment.contains=vmid%3D5001".to_owned(), 5),
        ("?comment.absent=".to_owned(), 1),
        ("?unknown=1".to_owned(), 6),
    ] {
        assert_eq!(count(&query).await, expected, "{query}");
    }
    let (_, page) = rig.cloudflare("GET", "?per_page=4&page=2&order=name", Value::Null).await;
    let info = json!({"page": 2, "per_page": 4, "count": 2, "total_count": 6, "total_pages": 2});
    assert_eq!((page["result"].as_array().unwrap().len(), &page["result_info"]), (2, &info));
    assert_eq!(rig.cloudflare("GET", "?per_page=0", Value::Null).await.0, 400);
}

#[tokio::test]
async fn a_batch_is_ordered_and_atomic() {
    let rig = Rig::new().await;
    let alias = rig.cloudflare_made(json!({"type": "CNAME", "name": "mc-1", "content": "a.example"})).await;
    let other = rig.cloudflare_made(a("mc-2", "192.0.2.2")).await;
    let swap = json!({
        "posts": [a("mc-1", "192.0.2.1")],
        "patches": [{"id": other["id"], "content": "192.0.2.22"}],
        "deletes": [{"id": alias["id"]}],
    });
    let (status, answer) = rig.cloudflare("POST", "/batch", swap).await;
    assert_eq!(status, 200, "deletes come first: {answer}");
    let result = &answer["result"];
    assert_eq!(result["patches"][0]["content"], "192.0.2.22");
    let counts = ["deletes", "patches", "puts", "posts"].map(|key| result[key].as_array().unwrap().len());
    assert_eq!(counts, [1, 1, 0, 1]);

    let before = rig.state("cloudflare").await;
    let failing = json!({
        "deletes": [{"id": other["id"]}],
        "posts": [a("mc-3", "192.0.2.3"), a("mc-1", "192.0.2.1"), a("mc-4", "wrong")],
    });
    assert_eq!(rig.cloudflare_refused("POST", "/batch", failing).await, (400, vec![81_058]), "the first error only");
    assert_eq!(rig.state("cloudflare").await, before);
    let many: Vec<Value> = (0..201).map(|number| a(&format!("x-{number}"), "192.0.2.1")).collect();
    assert_eq!(rig.cloudflare("POST", "/batch", json!({"posts": many})).await.0, 400);
}

#[tokio::test]
async fn the_plan_has_its_quota() {
    let rig = Rig::new().await;
    rig.steer("/sim/cloudflare/plan", json!({"records": 1, "tags": 1})).await;
    let mut tagged = a("mc-1", "192.0.2.1");
    tagged["tags"] = json!(["owner:zpack"]);
    rig.cloudflare_made(tagged).await;
    assert_eq!(rig.cloudflare_refused("POST", "", a("mc-2", "192.0.2.2")).await, (400, vec![81_045]));
}

#[tokio::test]
async fn credentials_are_checked_as_in_the_contract() {
    let rig = Rig::new().await;
    let records = format!("/zones/{}/dns_records", rig.world.cloudflare().zone_id());
    let token = async |body: Value| {
        let made = rig.steer("/sim/cloudflare/tokens", body).await;
        format!("Bearer {}", made["token"].as_str().unwrap())
    };
    let refused = async |authorization: Option<&str>, method: &str, path: &str| {
        let (status, answer) = rig.cloudflare_as(authorization, method, path, json!({})).await;
        codes(status, &answer)
    };
    assert_eq!(refused(None, "GET", &records).await, (400, vec![9106]));
    assert_eq!(refused(Some("Basic x"), "GET", &records).await, (400, vec![6003, 6111]));
    assert_eq!(refused(Some("Bearer nobody"), "GET", &records).await, (403, vec![9109]));
    let disabled = token(json!({"status": "disabled"})).await;
    assert_eq!(refused(Some(&disabled), "GET", &records).await, (403, vec![10_000]));
    let reader = token(json!({"write": false})).await;
    assert_eq!(rig.cloudflare_as(Some(&reader), "GET", &records, Value::Null).await.0, 200);
    assert_eq!(refused(Some(&reader), "POST", &records).await, (403, vec![10_000]));
    assert_eq!(refused(Some(&reader), "GET", &format!("/zones/{ZONE}/dns_records")).await, (400, vec![7003, 7000]));

    let (_, verified) = rig.cloudflare_as(Some(&reader), "GET", "/user/tokens/verify", Value::Null).await;
    assert_eq!(verified["result"]["status"], "active");
    assert_eq!(verified["messages"][0]["code"], 10_000, "a message of success with the number of an error");
    let of_account = token(json!({"ofAccount": true})).await;
    assert_eq!(refused(Some(&of_account), "GET", "/user/tokens/verify").await, (401, vec![1000]));
}

#[tokio::test]
async fn too_many_requests_block_all_until_the_window_ends() {
    let clock = Clock::fixed(Timestamp::from_millis(1_700_000_000_000));
    let rig = Rig::with(SimConfig { clock: clock.clone(), ..SimConfig::default() }).await;
    rig.steer("/sim/cloudflare/limits", json!({"requests": 2, "windowSeconds": 300})).await;
    let url = format!("{}/zones/{}/dns_records", rig.world.cloudflare_url(), rig.world.cloudflare().zone_id());
    let ask = async || {
        let request = reqwest::Client::new().get(&url).bearer_auth(rig.world.cloudflare().token());
        let answer = request.send().await.unwrap();
        let retry = answer.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        assert!(answer.status() == 429 || answer.headers().contains_key("ratelimit"));
        (answer.status().as_u16(), retry)
    };
    assert_eq!((ask().await.0, ask().await.0), (200, 200));
    clock.advance(Duration::from_millis(292_500));
    assert_eq!(ask().await, (429, Some("8".to_owned())), "rounded up");
    rig.steer("/sim/cloudflare/limits", json!({"requests": 0, "retryAfter": "date"})).await;
    assert_eq!(ask().await.1.as_deref(), Some("Tue, 14 Nov 2023 22:23:13 GMT"));
    rig.steer("/sim/cloudflare/limits", json!({"requests": 0, "retryAfter": "absent"})).await;
    assert_eq!(ask().await, (429, None));
    rig.steer("/sim/cloudflare/limits", json!({"requests": 1})).await;
    ask().await;
    clock.advance(Duration::from_secs(300));
    assert_eq!(ask().await.0, 200);
}

#[tokio::test]
async fn a_proxied_host_gets_another_service_target() {
    let rig = Rig::new().await;
    let host = name("mc-1");
    let address = rig.cloudflare_made(a("mc-1", "192.0.2.1")).await;
    rig.cloudflare_made(srv(&host, 25_565)).await;
    let service = format!("_minecraft._tcp.{host}");
    assert_eq!(rig.resolve("cloudflare", &service, RecordType::SRV).await, [format!("0 5 25565 {host}.")]);
    let path = format!("/{}", address["id"].as_str().unwrap());
    rig.cloudflare("PATCH", &path, json!({"proxied": true})).await;
    let rewritten = rig.resolve("cloudflare", &service, RecordType::SRV).await;
    let target = rewritten[0].split(' ').next_back().unwrap();
    assert!(target.starts_with("_dc-srv.") && target.ends_with(&format!(".{host}.")), "{target}");
    assert_eq!(rig.resolve("cloudflare", target.trim_end_matches('.'), RecordType::A).await, ["192.0.2.1"]);
    assert_ne!(rig.resolve("cloudflare", &host, RecordType::A).await, ["192.0.2.1"]);
}

#[tokio::test]
async fn the_dashboard_can_write_records_that_the_api_refuses() {
    let rig = Rig::new().await;
    let planted = json!({
        "type": "SRV", "name": "_minecraft._tcp.mc-1",
        "data": {"priority": 0, "weight": 5, "port": 25565, "target": name("mc-1")},
        "view": {"name": "_Minecraft._TCP.MC-1.Play.Zpack.Test", "data": null, "content": "5\t25565\tMC-1.play.zpack.test."},
    });
    rig.steer("/sim/cloudflare/records", planted).await;
    let (_, listed) = rig.cloudflare("GET", "", Value::Null).await;
    let record = &listed["result"][0];
    assert_eq!(record["name"], "_Minecraft._TCP.MC-1.Play.Zpack.Test");
    assert!(record.get("data").is_none() && record["content"].as_str().unwrap().contains('\t'));
    assert_eq!(rig.control("DELETE", "/sim/cloudflare/records", Value::Null).await, json!({"removed": 1}));
}

#[tokio::test]
async fn a_zone_survives_a_restart_without_showing_its_token() {
    let folder = tempfile::tempdir().unwrap();
    let config = SimConfig { state_file: Some(folder.path().join("sim.json")), ..SimConfig::default() };
    let rig = Rig::with(config.clone()).await;
    rig.cloudflare_made(a("mc-1", "192.0.2.1")).await;
    let before = (rig.world.cloudflare_url(), rig.dns("cloudflare"), rig.state("cloudflare").await);
    let token = rig.world.cloudflare().token();
    let shown = format!("{}{:?}", before.2, rig.journal("cloudflare").await);
    assert!(!shown.contains(&token));
    rig.world.shutdown().await.unwrap();
    let rig = Rig::with(config).await;
    assert_eq!((rig.world.cloudflare_url(), rig.dns("cloudflare"), rig.state("cloudflare").await), before);
    assert_eq!(rig.world.cloudflare().token(), token);
    assert_eq!(rig.resolve("cloudflare", &name("mc-1"), RecordType::A).await, ["192.0.2.1"]);
}

#[tokio::test]
async fn faults_apply_before_or_after_the_effect() {
    let rig = Rig::new().await;
    for (when, made) in [("before", 0), ("after", 1)] {
        let path = "/zones/*/dns_records";
        rig.fault(json!({"peer": "cloudflare", "method": "POST", "path": path, "when": when, "action": "status", "status": 502})).await;
        let token = format!("Bearer {}", rig.world.cloudflare().token());
        let url = format!("{}/zones/{}/dns_records", rig.world.cloudflare_url(), rig.world.cloudflare().zone_id());
        let request = reqwest::Client::new().post(url).header("authorization", token).json(&a("mc-1", "192.0.2.1"));
        assert_eq!(request.send().await.unwrap().status(), 502);
        assert_eq!(rig.state("cloudflare").await["records"].as_array().unwrap().len(), made, "{when}");
    }
}
