//! The node of a new server, and the end of a create that the cluster cannot or will not execute.

use std::collections::BTreeMap;

use sea_orm::EntityTrait;
use serde_json::json;
use zpack::db::entities::operation::{Cleanup, OperationState};
use zpack::db::entities::reservation::{self, ReservationState};
use zpack::jobs::JobSettings;
use zpack::placement::PlacementPolicy;
use zpack::ports::{Hypervisor, NodeName};
use zpack::provision::{ProvisionPolicy, ServerRequest};

use crate::support::company::{Company, node};

/// How many of the servers fill one node of the simulated cluster.
const PER_NODE: u64 = 6;

/// A dev container of such a size that exactly [`PER_NODE`] fit on a node.
async fn sixth_of_a_node(company: &Company) -> ServerRequest {
    let nodes = company.hypervisor().nodes().await.unwrap();
    let rules = PlacementPolicy::with_templates(Vec::new());
    let budgets = nodes.iter().map(|node| {
        let usable = node.memory_bytes.unwrap() / (1024 * 1024) - u64::from(rules.host_reserve_mib);
        usable * u64::from(rules.overcommit_percent) / 100
    });
    let memory_mib = u32::try_from(budgets.min().unwrap() / PER_NODE).unwrap();
    ServerRequest { memory_mib, ..node() }
}

async fn by_node(company: &Company) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for container in company.containers().await {
        *counts.entry(container["node"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_creates_fill_the_nodes_without_overbooking() {
    let company = Company::start().await;
    let request = sixth_of_a_node(&company).await;
    let settings = || JobSettings { slots: Some(8), concurrency: 8, ..Company::settings() };
    let workers = [company.worker(settings()), company.worker(settings())];
    let begun = (0..12).map(|_| company.begin(request.clone()));
    for id in futures_util::future::join_all(begun).await {
        company.succeeded(id).await;
    }
    let full = BTreeMap::from([("pve1".to_owned(), 6), ("pve2".to_owned(), 6)]);
    assert_eq!(by_node(&company).await, full);

    let id = company.begin(request).await;
    let row = company.settled(id).await;
    for worker in workers {
        worker.stop().await;
    }
    assert_eq!((row.state, row.error_code.as_deref()), (OperationState::Failed, Some("no_capacity")));
    let message = row.error_message.unwrap();
    assert!(message.contains("pve1: ") && message.contains("pve2: ") && message.contains("MiB free"), "{message}");
    assert_eq!(by_node(&company).await, full);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_selected_node_takes_every_container() {
    let company = Company::start().await;
    let policy = ProvisionPolicy { only_node: Some(NodeName::new("pve2")), ..company.policy() };
    let worker = company.worker_under(policy, Company::settings());
    for _ in 0..3 {
        let id = company.begin(node()).await;
        company.succeeded(id).await;
    }
    worker.stop().await;
    assert_eq!(by_node(&company).await, BTreeMap::from([("pve2".to_owned(), 3)]));
}

/// Cases 20 and 22 of docs/contracts/proxmox.md 17: the create ends with the reason, and what it held is released.
#[tokio::test(flavor = "multi_thread")]
async fn an_impossible_create_reports_the_reason_and_releases_everything() {
    let company = Company::start().await;
    let worker = company.worker(Company::settings());
    let refused = r#"{"data":null,"errors":{"hostname":"invalid format"}}"#;
    let silent = r#"{"data":[{"name":"lo","inet":"127.0.0.1/8"},{"name":"eth0","inet6":"fe80::1/64"}]}"#;
    let cases = [
        ("POST", "*/clone", 400, refused, "hypervisor_refused", "hostname: invalid format"),
        ("GET", "*/interfaces", 200, silent, "no_address", "is DHCP on its bridge up?"),
    ];
    for (method, path, status, body, code, words) in cases {
        let fault = json!({ "peer": "proxmox", "method": method, "path": path, "when": "before", "times": 100_000,
            "action": "status", "status": status, "body": body });
        company.control("/sim/faults", fault).await;
        let id = company.begin(node()).await;
        let row = company.settled(id).await;
        company.forget_faults().await;
        assert_eq!((row.state, row.error_code.as_deref()), (OperationState::Failed, Some(code)));
        assert!(row.error_message.as_deref().unwrap().contains(words), "{:?}", row.error_message);
        assert!(matches!(row.cleanup, Cleanup::None | Cleanup::Done), "{:?}", row.cleanup);
        assert!(company.containers().await.is_empty());
    }
    worker.stop().await;
    let rows = reservation::Entity::find().all(&company.db.db).await.unwrap();
    assert!(rows.iter().all(|row| row.state == ReservationState::Released), "{rows:?}");
    let journal = company.get("/sim/journal?peer=proxmox").await;
    let clones = journal.to_string().matches("/clone\"").count();
    assert_eq!(clones, 2, "a refused clone is not sent again");
}
