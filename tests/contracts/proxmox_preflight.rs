//! What orders need of the hypervisor, against the simulated cluster.

use reqwest::Method;
use serde_json::{Value, json};
use zpack::adapters::proxmox::{Cloning, Proxmox};
use zpack::kernel::{Clock, Secret};
use zpack::ports::{Missing, MissingKind, NodeName, OrderNeeds, Preflight};
use zpack::sim::{SimConfig, World};

use super::proxmox_kit::{settings, vmid};

fn needs() -> OrderNeeds {
    OrderNeeds {
        templates: vec![vmid(9000), vmid(9001)],
        vmids: vec![vmid(5000), vmid(6000)],
        only_node: None,
        pool: Some("zpack".to_owned()),
        bridges: vec!["vmbr2".to_owned(), "vmbr3".to_owned()],
    }
}

struct Rig(World);

impl Rig {
    async fn new() -> Self {
        Self(World::start(SimConfig { time_scale: 0.005, ..SimConfig::default() }).await.unwrap())
    }

    async fn control(&self, path: &str, body: Value) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/sim/proxmox/{path}", self.0.control_url());
        http.request(Method::POST, url).json(&body).send().await.unwrap().json().await.unwrap()
    }

    /// A token with these rights, by path.
    async fn token(&self, acl: Value) -> String {
        let made = self.control("tokens", json!({ "id": "zpack@pve!small", "acl": acl })).await;
        made["token"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    async fn missing(&self, token: &str, cloning: Cloning, needs: &OrderNeeds) -> Vec<Missing> {
        let mut settings = settings([self.0.proxmox_url().parse().unwrap()]);
        settings.token = Secret::new(token).into();
        settings.cloning = cloning;
        Proxmox::new(&settings, Clock::System).unwrap().missing(needs).await.unwrap()
    }
}

/// The rights that docs/operations.md lists.
fn enough() -> Vec<(&'static str, Vec<&'static str>)> {
    let container = vec![
        "VM.Clone",
        "VM.Audit",
        "VM.Allocate",
        "VM.PowerMgmt",
        "VM.Config.CPU",
        "VM.Config.Memory",
        "VM.Config.Network",
        "VM.Config.Options",
        "Pool.Audit",
    ];
    vec![
        ("/pool/zpack", container),
        ("/storage/local-zfs", vec!["Datastore.AllocateSpace"]),
        ("/sdn/zones/localnetwork", vec!["SDN.Use"]),
        ("/nodes", vec!["Sys.Audit"]),
    ]
}

fn acl(rights: &[(&str, Vec<&str>)]) -> Value {
    rights.iter().map(|(path, privileges)| json!({ "path": path, "privileges": privileges })).collect()
}

#[tokio::test]
async fn nothing_is_missing_for_the_documented_rights() {
    let rig = Rig::new().await;
    assert_eq!(rig.missing(&rig.0.proxmox_token(), Cloning::Linked, &needs()).await, []);
    let token = rig.token(acl(&enough())).await;
    assert_eq!(rig.missing(&token, Cloning::Linked, &needs()).await, []);
    let full = Cloning::Full { storage: Some("local-zfs".to_owned()) };
    assert_eq!(rig.missing(&token, full, &needs()).await, []);
    rig.0.shutdown().await.unwrap();
}

#[tokio::test]
async fn each_missing_right_is_named_with_its_command() {
    let rig = Rig::new().await;
    for (path, privilege) in enough().iter().flat_map(|(path, held)| held.iter().map(|privilege| (*path, *privilege))) {
        if privilege == "Pool.Audit" {
            // Only the check of the pool needs it.
            continue;
        }
        let mut rights = enough();
        for (of, held) in &mut rights {
            held.retain(|name| *of != path || *name != privilege);
        }
        let token = rig.token(acl(&rights)).await;
        let missing = rig.missing(&token, Cloning::Linked, &needs()).await;
        let named = missing.iter().any(|missing| {
            missing.kind == MissingKind::Right
                && missing.what.contains(privilege)
                && missing.remedy.contains("pveum acl modify")
                && missing.remedy.contains("--tokens 'zpack@pve!small'")
                && missing.remedy.contains(privilege)
        });
        assert!(named, "{privilege} on {path}: {missing:?}");
        let secret = token.rsplit('=').next().unwrap();
        assert!(!format!("{missing:?}").contains(secret), "the secret is shown");
    }
    rig.0.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_the_cluster_lacks_is_named() {
    let rig = Rig::new().await;
    let token = rig.0.proxmox_token();
    let linked = || Cloning::Linked;
    let kinds = |missing: &[Missing]| missing.iter().map(|missing| missing.kind).collect::<Vec<_>>();
    let with = |edit: fn(&mut OrderNeeds)| {
        let mut needs = needs();
        edit(&mut needs);
        needs
    };
    let pool = rig.missing(&token, linked(), &with(|needs| needs.pool = Some("nope".to_owned()))).await;
    assert_eq!((kinds(&pool), pool[0].remedy.as_str()), (vec![MissingKind::Pool], "pveum pool add nope"));
    let bridge = rig.missing(&token, linked(), &with(|needs| needs.bridges = vec!["vmbr9".to_owned()])).await;
    assert_eq!(kinds(&bridge), [MissingKind::Bridge, MissingKind::Bridge], "one for each node: {bridge:?}");
    assert!(bridge[0].what.contains("node pve1 has no bridge vmbr9"), "{bridge:?}");
    let template = rig.missing(&token, linked(), &with(|needs| needs.templates = vec![vmid(9000), vmid(7777)])).await;
    assert_eq!(kinds(&template), [MissingKind::Template]);
    let elsewhere = with(|needs| {
        needs.templates = vec![vmid(9000)];
        needs.only_node = Some(NodeName::new("pve2"));
    });
    let node = rig.missing(&token, linked(), &elsewhere).await;
    assert!(node.iter().any(|missing| missing.what.contains("node pve2 (PROXMOX_NODE)")), "{node:?}");
    let full = |storage: &str| Cloning::Full { storage: Some(storage.to_owned()) };
    for (storage, words) in [("local", "takes no containers"), ("nope", "is not available")] {
        let missing = rig.missing(&token, full(storage), &needs()).await;
        assert_eq!(kinds(&missing), [MissingKind::Storage, MissingKind::Storage], "{missing:?}");
        assert!(missing[0].what.contains(words), "{missing:?}");
    }
    rig.control("endpoints/pve1", json!({ "condition": "no_quorum" })).await;
    assert_eq!(kinds(&rig.missing(&token, linked(), &needs()).await), [MissingKind::Quorum]);
    rig.0.shutdown().await.unwrap();
}
