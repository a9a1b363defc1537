//! The listeners of the nodes, their certificates, and nodes that are not well.

use std::time::Duration;

use serde_json::json;
use url::Url;

use super::Rig;

impl Rig {
    /// One request to the API at `base`: its status and reason phrase; `None` when no answer arrives.
    async fn at(&self, base: &str, method: &str, path: &str, form: &[(&str, &str)]) -> Option<(u16, String)> {
        let url: Url = base.parse().unwrap();
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], url.port().unwrap()));
        let mut connection = crate::contracts::raw::Connection::open(address).await;
        let request = self.request(method, path, form);
        let answer = tokio::time::timeout(Duration::from_millis(500), connection.exchange(&request)).await;
        answer.ok().map(|answer| answer.map(|answer| (answer.status, answer.reason)).unwrap())
    }

    async fn condition(&self, node: &str, condition: &str) {
        self.steer(&format!("/sim/proxmox/endpoints/{node}"), json!({ "condition": condition })).await;
    }
}

const CLONE: [(&str, &str); 3] = [("newid", "5001"), ("pool", "zpack"), ("full", "0")];

#[tokio::test]
async fn each_node_serves_the_cluster_over_http_and_tls() {
    let rig = Rig::quick().await;
    assert_eq!(rig.world.proxmox_urls()[0], rig.world.proxmox_url());
    for base in rig.world.proxmox_urls() {
        for node in ["pve1", "pve2"] {
            let path = format!("/nodes/{node}/lxc");
            assert_eq!(rig.at(&base, "GET", &path, &[]).await.unwrap().0, 200, "{base} {node}");
        }
    }
    let authority = reqwest::Certificate::from_pem(rig.world.proxmox().authority().as_bytes()).unwrap();
    let http = reqwest::Client::builder().no_proxy().tls_certs_only([authority]).build().unwrap();
    for base in rig.world.proxmox_tls_urls() {
        let token = format!("PVEAPIToken={}", rig.world.proxmox_token());
        let answer = http.get(format!("{base}/version")).header("Authorization", token).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{base}");
    }
    let prints = ["pve1", "pve2"].map(|node| rig.world.proxmox().fingerprint(node).unwrap().to_owned());
    assert!(prints[0] != prints[1] && prints.iter().all(|print| print.len() == 95), "{prints:?}");
    rig.world.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_sick_node_answers_badly_for_all_nodes_and_the_other_answers_well() {
    let rig = Rig::quick().await;
    let urls = rig.world.proxmox_urls();
    for (condition, status, reason) in [
        ("silent", None, ""),
        ("mute", None, ""),
        ("loses_answers", Some(596), "Connection timed out"),
        ("cut_off", Some(595), "No route to host"),
        ("unauthorized", Some(401), "Authentication failed!"),
        (
            "dead_pmxcfs",
            Some(500),
            "RPCEnvironment init request failed: Unable to load access control list: Connection refused",
        ),
    ] {
        rig.condition("pve1", condition).await;
        let sick = rig.at(&urls[0], "GET", "/nodes/pve2/lxc", &[]).await;
        assert_eq!(sick, status.map(|status| (status, reason.to_owned())), "{condition}");
        let well = rig.at(&urls[1], "GET", "/nodes/pve2/lxc", &[]).await;
        assert_eq!(well.unwrap().0, 200, "{condition}");
    }
    // The daemon of a node without its cluster file system answers so through every node.
    assert_eq!(rig.at(&urls[1], "GET", "/nodes/pve1/lxc", &[]).await.unwrap().0, 500);
    rig.condition("pve1", "healthy").await;
    assert_eq!(rig.at(&urls[0], "GET", "/nodes/pve2/lxc", &[]).await.unwrap().0, 200);
    let (status, _) = rig.control("POST", "/sim/proxmox/endpoints/pve9", json!({ "condition": "silent" })).await;
    assert_eq!(status, 404);
    rig.world.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_mute_node_has_done_what_it_was_asked() {
    let rig = Rig::quick().await;
    rig.condition("pve1", "mute").await;
    let urls = rig.world.proxmox_urls();
    assert_eq!(rig.at(&urls[0], "POST", "/nodes/pve1/lxc/9000/clone", &CLONE).await, None);
    assert_eq!(rig.at(&urls[1], "GET", "/nodes/pve1/lxc/5001/config", &[]).await.unwrap().0, 200);
    rig.condition("pve1", "silent").await;
    assert_eq!(rig.at(&urls[0], "POST", "/nodes/pve2/lxc/9001/clone", &[("newid", "5002")]).await, None);
    assert_eq!(rig.at(&urls[1], "GET", "/nodes/pve2/lxc/5002/config", &[]).await.unwrap().0, 500);
    rig.world.shutdown().await.unwrap();
}

#[tokio::test]
async fn without_quorum_reads_work_and_each_write_fails_in_its_own_words() {
    let rig = Rig::quick().await;
    assert_eq!(rig.run("POST", "/nodes/pve1/lxc/9000/clone", &CLONE).await, "OK");
    assert_eq!(rig.run("POST", "/nodes/pve1/lxc/5001/status/start", &[]).await, "OK");
    rig.condition("pve1", "no_quorum").await;
    assert_eq!(rig.call("GET", "/nodes/pve1/lxc/5001/config", &[]).await.status, 200);
    for (method, path, form, expected) in [
        (
            "POST",
            "/nodes/pve1/lxc/9000/clone",
            vec![("newid", "5002"), ("pool", "zpack")],
            "cluster not ready - no quorum?",
        ),
        (
            "PUT",
            "/nodes/pve1/lxc/5001/config",
            vec![("memory", "512")],
            "unable to open file '/etc/pve/nodes/pve1/lxc/5001.conf.tmp.6001' - Permission denied",
        ),
        (
            "PUT",
            "/pools",
            vec![("poolid", "zpack"), ("vms", "5001")],
            "update pools failed: error with cfs lock 'file-user_cfg': no quorum!",
        ),
        ("POST", "/nodes/pve1/lxc/5001/status/start", vec![], "CT 5001 already running"),
    ] {
        let answer = rig.call(method, path, &form).await;
        assert_eq!((answer.status, answer.reason.as_str()), (500, expected), "{method} {path}");
    }
    // A stop writes nothing; a destruction stops the container and fails at its first write.
    let denied = "unable to open file '/etc/pve/nodes/pve1/lxc/5001.conf.tmp.6001' - Permission denied";
    let end = rig.run("DELETE", "/nodes/pve1/lxc/5001", &[("force", "1"), ("purge", "1")]).await;
    assert_eq!(end, denied);
    let current = rig.get("/nodes/pve1/lxc/5001/status/current").await;
    assert_eq!(current["status"], "stopped");
    let start = rig.call("POST", "/nodes/pve1/lxc/5001/status/start", &[]).await;
    assert_eq!(start.reason, "cluster not ready - no quorum?");
    assert_eq!(rig.run("POST", "/nodes/pve1/lxc/5001/snapshot", &[("snapname", "s1")]).await, denied);
    rig.condition("pve1", "healthy").await;
    assert_eq!(rig.run("DELETE", "/nodes/pve1/lxc/5001", &[("purge", "1")]).await, "OK");
    rig.world.shutdown().await.unwrap();
}
