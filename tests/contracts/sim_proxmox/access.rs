//! Credentials and permissions.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zpack::sim::SimConfig;
use zpack::sim::proxmox::PveProfile;

use super::Rig;
use crate::contracts::raw::Connection;

async fn pool_scoped(mut rig: Rig) -> Rig {
    let acl =
        json!([{"path": "/pool/zpack"}, {"path": "/storage/local-zfs"}, {"path": "/sdn/zones/localnetwork/vmbr3"}]);
    let answer = rig.steer("/sim/proxmox/tokens", json!({"id": "zpack@pve!pool", "acl": acl})).await;
    rig.use_token(answer["token"].as_str().unwrap());
    rig
}

#[tokio::test]
async fn a_401_is_delayed_empty_and_closes_the_connection() {
    let mut rig = Rig::scaled(0.1).await;
    for (token, reason) in
        [("zpack@pve!ctl=wrong", "Authentication failed!"), ("nobody@pve!x=y", "Authentication failed!")]
    {
        rig.use_token(token);
        let began = Instant::now();
        let mut connection = Connection::open(rig.address()).await;
        let answer = connection.exchange(&rig.request("GET", "/version", &[])).await.unwrap();
        assert_eq!((answer.status, answer.reason.as_str()), (401, reason));
        assert!(answer.body.is_empty() && !answer.headers.contains_key("content-type"));
        assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
        connection.closed().await;
    }
}

#[tokio::test]
async fn older_releases_explain_a_refused_token() {
    let mut rig = Rig::with(SimConfig { profile: PveProfile::V8_3, ..SimConfig::default() }).await;
    rig.use_token("zpack@pve!ctl=wrong");
    assert_eq!(rig.call("GET", "/version", &[]).await.reason, "invalid token value!");
    rig.use_token("zpack@pve!gone=x");
    assert_eq!(rig.call("GET", "/version", &[]).await.reason, "no such token 'gone' for user 'zpack@pve'");
}

#[tokio::test]
async fn missing_credentials_are_a_401_and_a_cookie_wins_over_a_token() {
    let rig = Rig::quick().await;
    let bare = "GET /api2/json/version HTTP/1.1\r\nHost: sim\r\n\r\n";
    let answer = Connection::open(rig.address()).await.exchange(bare).await.unwrap();
    assert_eq!((answer.status, answer.reason.as_str()), (401, "No ticket"));
    let with_cookie =
        rig.request("GET", "/version", &[]).replace("Host: sim", "Host: sim\r\nCookie: PVEAuthCookie=PVE:x");
    let answer = Connection::open(rig.address()).await.exchange(&with_cookie).await.unwrap();
    assert_eq!(answer.status, 401);
}

#[tokio::test]
async fn a_revoked_token_is_a_401_and_the_ticket_endpoint_is_not_for_tokens() {
    let rig = Rig::quick().await;
    let login = rig.call("POST", "/access/ticket", &[("username", "zpack@pve"), ("password", "x")]).await;
    assert_eq!(login.status, 403);
    assert!(login.reason.contains("not available with API token"), "{}", login.reason);
    let (status, _) = rig.control("DELETE", "/sim/proxmox/tokens/zpack@pve!ctl", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(rig.call("GET", "/version", &[]).await.status, 401);
}

#[tokio::test]
async fn the_permissions_of_a_token_can_be_read() {
    let rig = Rig::quick().await;
    assert_eq!(rig.get("/access/permissions").await["/"]["VM.Clone"], 1);
}

#[tokio::test]
async fn a_pool_scoped_token_must_name_the_pool() {
    let rig = pool_scoped(Rig::quick().await).await;
    let clone = "/nodes/pve1/lxc/9000/clone";
    let without = rig.call("POST", clone, &[("newid", "5001")]).await;
    assert_eq!((without.status, without.reason.as_str()), (403, "Permission check failed"));
    assert_eq!(without.json()["message"], "Permission check failed\n");
    let unknown = rig.call("POST", clone, &[("newid", "5001"), ("pool", "nope")]).await;
    assert_eq!(unknown.reason, "Permission check failed (pool 'nope' does not exist)");
    assert_eq!(rig.run("POST", clone, &[("newid", "5001"), ("pool", "zpack")]).await, "OK");
}

#[tokio::test]
async fn the_pool_is_joined_only_when_the_clone_is_done() {
    let rig = pool_scoped(Rig::slow().await).await;
    rig.begin("POST", "/nodes/pve1/lxc/9000/clone", &[("newid", "5001"), ("pool", "zpack")]).await;
    let early = rig.call("GET", "/nodes/pve1/lxc/5001/config", &[]).await;
    assert_eq!((early.status, early.reason.as_str()), (403, "Permission check failed (/vms/5001, VM.Audit)"));
    assert_eq!(rig.container(5001).await["pool"], Value::Null);
}

#[tokio::test]
async fn permission_is_checked_before_existence() {
    let rig = pool_scoped(Rig::quick().await).await;
    rig.clone(5001).await;
    assert_eq!(rig.run("DELETE", "/nodes/pve1/lxc/5001", &[("purge", "1")]).await, "OK");
    for vmid in [5001, 7777] {
        let answer = rig.call("GET", &format!("/nodes/pve1/lxc/{vmid}/status/current"), &[]).await;
        assert_eq!(answer.status, 403, "{vmid}");
    }
    assert_eq!(rig.get("/nodes/pve2/lxc").await.as_array().unwrap().len(), 1, "the pool's template");
    let status = rig.call("GET", "/cluster/status", &[]).await;
    assert_eq!(status.reason, "Permission check failed (/, Sys.Audit)");
}

#[tokio::test]
async fn bridges_and_features_have_separate_permissions() {
    let rig = pool_scoped(Rig::quick().await).await;
    rig.clone(5001).await;
    let config = "/nodes/pve1/lxc/5001/config";
    let bridge = rig.call("PUT", config, &[("net0", "name=eth0,bridge=vmbr2,ip=dhcp")]).await;
    assert_eq!(bridge.reason, "Permission check failed (/sdn/zones/localnetwork/vmbr2, SDN.Use)");
    let features = rig.call("PUT", config, &[("features", "nesting=1,keyctl=1")]).await;
    assert_eq!(features.status, 403);
    assert!(features.reason.contains("except nesting"), "{}", features.reason);
    rig.call("PUT", config, &[("features", "nesting=1")]).await.data();
}
