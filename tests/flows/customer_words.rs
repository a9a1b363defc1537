//! What peers answer is for operators: no customer reads it.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::app::FRESHNESS;
use crate::support::company::Company;
use crate::support::door::Door;
use crate::support::sse::Sse;

/// A word that only peers say.
const MARK: &str = "XPEERX";

async fn create(door: &Door, token: &str) -> String {
    let body =
        json!({ "ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1", "world": "world" });
    let answer = door.post("/api/instances", &body).bearer_auth(token).send().await.unwrap();
    let body: Value = answer.json().await.unwrap();
    body["operationId"].as_str().unwrap_or_else(|| panic!("{body}")).to_owned()
}

async fn text(door: &Door, token: &str, path: &str) -> String {
    let answer = door.get(path).bearer_auth(token).send().await.unwrap();
    assert!(answer.status().is_success(), "{path}: {}", answer.status());
    answer.text().await.unwrap()
}

fn proxmox(method: &str, path: &str, status: u16, words: &str) -> Value {
    let body = json!({ "data": null, "message": format!("{words}\n") }).to_string();
    json!({ "peer": "proxmox", "method": method, "path": path, "when": "before", "action": "status",
        "status": status, "reason": words, "body": body, "times": 1000 })
}

/// Faults of the peers while a server is created: each fails the operation with the peer's words.
fn refusals() -> Vec<(&'static str, Value)> {
    vec![
        ("/sim/faults", proxmox("POST", "*/clone", 403, "Permission check failed (/pool/XPEERX, VM.Allocate)")),
        ("/sim/faults", proxmox("POST", "*/clone", 500, "storage 'XPEERX' does not exist")),
        ("/sim/faults", proxmox("PUT", "*/config", 500, "bridge 'XPEERX' does not exist")),
        ("/sim/faults", proxmox("POST", "*/status/start", 500, "unable to start on XPEERX")),
        ("/sim/proxmox/tasks/next", json!({ "type": "vzclone", "exitstatus": "clone failed: /dev/XPEERX is gone" })),
        ("/sim/proxmox/tasks/next", json!({ "type": "vzstart", "exitstatus": "startup failed on XPEERX" })),
        ("/sim/agents/next", json!({ "state": "error", "error": "http://XPEERX/minecraft is not there" })),
        (
            "/sim/faults",
            json!({ "peer": "agent", "path": "/config", "when": "before", "action": "status", "status": 422,
                "body": { "error": { "code": "invalid", "message": "no XPEERX" } }, "times": 1000 }),
        ),
    ]
}

/// Every peer of the edge refuses everything.
async fn refuse_at_the_edge(company: &Company) {
    for peer in ["cloudflare", "technitium", "velocity"] {
        let fault = json!({ "peer": peer, "when": "before", "action": "status", "status": 500, "reason": MARK,
            "body": { "success": false, "errors": [{ "code": 1, "message": MARK }], "status": "error",
                "errorMessage": MARK, "error": MARK }, "times": 1000 });
        company.control("/sim/faults", fault).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_customer_reads_what_a_peer_answered() {
    let company = Company::start().await;
    let door = company.door(FRESHNESS);
    let token = door.register("alice").await;
    let admin = door.admin("olga").await;
    let (worker, host) = (company.worker(Company::settings()), company.host_worker());
    let mut operations = Vec::new();

    for (path, lever) in refusals() {
        company.control(path, lever.clone()).await;
        let id = create(&door, &token).await;
        let row = company.settled(id.parse().unwrap()).await;
        company.forget_faults().await;
        let message = row.error_message.unwrap_or_default();
        assert!(message.contains(MARK), "{lever} -> {message}");
        let shown: Value = serde_json::from_str(&text(&door, &token, &format!("/api/operations/{id}")).await).unwrap();
        let sentence = shown["error"]["message"].as_str().unwrap();
        assert!(sentence.ends_with('.') && sentence.len() > 20, "{lever} -> {sentence}");
        assert_eq!(shown["error"]["code"].as_str(), row.error_code.as_deref(), "{lever}");
        let whole = text(&door, &admin, &format!("/api/operations/{id}")).await;
        assert!(whole.contains(MARK), "operators read it: {whole}");
        operations.push(id);
    }

    // A server whose publication, power and deletion the peers refuse.
    refuse_at_the_edge(&company).await;
    let made = create(&door, &token).await;
    let vmid = company.succeeded(made.parse().unwrap()).await.vmid.unwrap();
    operations.push(made);
    let fault = proxmox("POST", "*/status/*", 403, "Permission check failed (/vms/XPEERX, VM.PowerMgmt)");
    company.control("/sim/faults", fault).await;
    for (method, path) in
        [(Method::POST, format!("/api/servers/{vmid}/host/stop")), (Method::DELETE, format!("/api/servers/{vmid}"))]
    {
        let answer = door.request(method, &path).bearer_auth(&token).send().await.unwrap();
        let body: Value = answer.json().await.unwrap();
        let id = body["operationId"].as_str().unwrap_or_else(|| panic!("{path}: {body}")).to_owned();
        for path in ["/api/servers".to_owned(), "/api/operations".to_owned()] {
            assert!(!text(&door, &token, &path).await.contains(MARK), "{path}");
        }
        company.settled(id.parse().unwrap()).await;
        let whole = text(&door, &admin, &format!("/api/operations/{id}")).await;
        // A deletion leaves debts, whose reasons are in the log.
        assert!(whole.contains(MARK) || path.ends_with(&vmid.to_string()), "{path}: operators read it: {whole}");
        operations.push(id);
    }

    let mut paths = vec!["/api/servers".to_owned(), "/api/operations".to_owned()];
    paths.extend(operations.iter().map(|id| format!("/api/operations/{id}")));
    for path in paths {
        let shown = text(&door, &token, &path).await;
        assert!(!shown.contains(MARK), "{path}: {shown}");
        assert!(!shown.contains("pve1"), "{path} names a node: {shown}");
    }
    for id in &operations {
        let events = Sse::open(&door, &format!("/api/operations/{id}/events"), &token, None).await.rest().await;
        let shown = format!("{events:?}");
        assert!(!shown.contains(MARK) && !shown.contains("pve1"), "{shown}");
    }
    worker.stop().await;
    host.stop().await;
    door.close().await;
}
