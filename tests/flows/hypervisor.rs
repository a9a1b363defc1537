//! A cluster that others use as well, and that has bad days: foreign guests, stale locks, full storage, moved containers, notes
//! of operators.

use std::time::{Duration, Instant};

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::{Value, json};
use zpack::db::entities::debt::DebtKind;
use zpack::db::entities::instance;
use zpack::db::entities::operation::{self, Cleanup, OperationState};
use zpack::db::entities::reservation::{self, ReservationState};
use zpack::kernel::{OperationId, VmId};
use zpack::ports::{CloneRequest, Hypervisor, NodeName};

use super::teardown::{collect, delete, expect_empty, open_debts};
use crate::support::app::FRESHNESS;
use crate::support::company::{Company, node, paper};

/// Far less than the timeout of a task, which a conflict must not wait for.
const AT_ONCE: Duration = Duration::from_secs(7);

async fn number(company: &Company, vmid: i32) -> Option<ReservationState> {
    let row = reservation::Entity::find().filter(reservation::Column::Vmid.eq(vmid)).one(&company.db.db).await.unwrap();
    row.map(|row| row.state)
}

async fn node_of(company: &Company, made: OperationId) -> String {
    let row = instance::Entity::find().filter(instance::Column::OperationId.eq(made)).one(&company.db.db).await;
    row.unwrap().unwrap().node
}

/// The next check whether 5000 is free answers that it is, as it was a moment ago.
async fn was_free(company: &Company) {
    let free = json!({"peer": "proxmox", "method": "GET", "path": "/cluster/nextid", "when": "before",
        "action": "status", "status": 200, "body": {"data": "5000"}});
    company.control("/sim/faults", free).await;
}

async fn fault(company: &Company, method: &str, path: &str, when: &str, more: Value) {
    let mut fault = json!({"peer": "proxmox", "method": method, "path": path, "when": when, "action": "status"});
    fault.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    company.control("/sim/faults", fault).await;
}

/// An order finds that something has 5000, and takes 5001 at once.
async fn expect_5000_burned(company: &Company) {
    was_free(company).await;
    let worker = company.worker(Company::settings());
    let began = Instant::now();
    let row = company.succeeded(company.begin(paper()).await).await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!(row.vmid.unwrap().get(), 5001);
    assert_eq!(number(company, 5000).await, Some(ReservationState::Burned));
    assert!(open_debts(company).await.is_empty());
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_that_a_virtual_machine_took_is_burned_at_once() {
    let company = Company::start().await;
    company.control("/sim/proxmox/qemu/5000", json!({"node": "pve2", "name": "db"})).await;
    expect_5000_burned(&company).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_of_a_container_that_our_token_may_not_see_is_burned_at_once() {
    let company = Company::start().await;
    let foreign = CloneRequest {
        node: NodeName::new("pve2"),
        template: VmId::new(9001).unwrap(),
        vmid: VmId::new(5000).unwrap(),
        hostname: "foreign".parse().unwrap(),
        description: "of another team".to_owned(),
        pool: None,
    };
    company.hypervisor().clone_container(&foreign).await.unwrap();
    company
        .wait("the foreign container", || async {
            company.containers().await.iter().any(|container| container["lock"].is_null()).then_some(())
        })
        .await;
    let acl = json!([{"path": "/pool/zpack"}, {"path": "/storage"}, {"path": "/sdn"},
        {"path": "/nodes", "privileges": ["Sys.Audit"]}]);
    company.control("/sim/proxmox/tokens", json!({"id": "zpack@pve!ctl", "acl": acl})).await;
    expect_5000_burned(&company).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_clone_is_left_for_later_and_its_template_is_avoided() {
    let company = Company::start().await;
    let lost = json!({"type": "vzclone", "exitstatus": "unexpected status"});
    company.control("/sim/proxmox/tasks/next", lost).await;
    let worker = company.worker(Company::settings());
    let began = Instant::now();
    let first = company.begin(paper()).await;
    let second = company.begin(node()).await;
    let row = company.succeeded(first).await;
    company.succeeded(second).await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    assert_eq!((row.vmid.unwrap().get(), row.cleanup), (5001, Cleanup::Pending));
    assert_eq!(
        (node_of(&company, first).await, node_of(&company, second).await),
        ("pve2".to_owned(), "pve2".to_owned())
    );
    let debts = open_debts(&company).await;
    let about: Vec<_> = debts.iter().map(|debt| (debt.kind, debt.vmid.unwrap().get())).collect();
    assert_eq!(about, [(DebtKind::Container, 5000)]);
    collect(&company).await;
    assert_eq!(open_debts(&company).await.len(), 1, "nothing removes it while it is locked");
    // An operator unlocks both.
    for vmid in [5000, 9000] {
        company.control(&format!("/sim/proxmox/containers/{vmid}"), json!({"lock": null})).await;
    }
    collect(&company).await;
    assert!(open_debts(&company).await.is_empty());
    let left: Vec<i64> = company.containers().await.iter().map(|c| c["vmid"].as_i64().unwrap()).collect();
    assert_eq!(left, [5001, 6000]);
    assert_eq!(company.operation(first).await.cleanup, Cleanup::Done);
    assert_eq!(number(&company, 5001).await, Some(ReservationState::Held), "its server still has it");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_error_of_the_cluster_file_system_costs_only_time() {
    let company = Company::start().await;
    let file = "unable to open file '/etc/pve/nodes/pve1/lxc/5000.conf.tmp.4711'";
    let clone = format!("clone failed: {file} - Transport endpoint is not connected");
    for (kind, exitstatus) in [("vzclone", clone.as_str()), ("vzstart", "ipcc_send_rec[1] failed: Connection refused")]
    {
        company.control("/sim/proxmox/tasks/next", json!({"type": kind, "exitstatus": exitstatus})).await;
    }
    let message =
        json!({"status": 500, "body": {"data": null, "message": format!("{file} - Device or resource busy\n")}});
    fault(&company, "PUT", "*/config", "before", message).await;
    let worker = company.worker(Company::settings());
    company.succeeded(company.begin(paper()).await).await;
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_the_token_may_not_read_is_followed_by_looking() {
    let company = Company::start().await;
    let body = json!({"data": null, "message": "Permission check failed (/nodes/pve1, Sys.Audit)\n"});
    fault(&company, "GET", "/nodes/*/tasks/*/status", "before", json!({"status": 403, "body": body, "times": 100_000}))
        .await;
    let (worker, host, door) = (company.worker(Company::settings()), company.host_worker(), company.door(FRESHNESS));
    let began = Instant::now();
    company.succeeded(company.begin(paper()).await).await;
    company.succeeded(delete(&door, 5000).await.unwrap()).await;
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    expect_empty(&company).await;
    assert!(open_debts(&company).await.is_empty());
    worker.stop().await;
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_is_moved_while_it_is_made_is_found_again() {
    let later = json!({"status": 500, "times": 100_000,
        "body": {"data": null, "message": "can't lock file '/run/lock/lxc/pve-config-5000.lock' - got timeout\n"}});
    for (method, path) in [("PUT", "*/config"), ("POST", "*/status/start"), ("GET", "*/interfaces")] {
        let company = Company::start().await;
        fault(&company, method, path, "before", later.clone()).await;
        let worker = company.worker(Company::settings());
        let made = company.begin(paper()).await;
        let refused = || async {
            let journal = company.get("/sim/journal?peer=proxmox").await;
            journal.to_string().contains("\"fault\":1").then_some(())
        };
        company.wait(path, refused).await;
        company.control("/sim/proxmox/containers/5000", json!({"node": "pve2"})).await;
        company.forget_faults().await;
        company.succeeded(made).await;
        assert_eq!(node_of(&company, made).await, "pve2", "{method} {path}");
        worker.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_storage_makes_the_next_node_be_tried_and_is_remembered() {
    let company = Company::start().await;
    company.control("/sim/proxmox/nodes/pve1", json!({"online": true, "storageFull": true})).await;
    let worker = company.worker(Company::settings());
    for expected in 1..=3 {
        let made = company.begin(paper()).await;
        company.succeeded(made).await;
        assert_eq!(node_of(&company, made).await, "pve2");
        let undone: usize = company.effects("clone_undone").await.values().sum();
        assert_eq!(undone, 1, "order {expected} tried the full node again");
    }
    company.control("/sim/proxmox/nodes/pve2", json!({"online": true, "storageFull": true})).await;
    let row = company.settled(company.begin(paper()).await).await;
    assert_eq!((row.state, row.error_code.as_deref()), (OperationState::Failed, Some("no_capacity")));
    assert_eq!(row.cleanup, Cleanup::Done);
    // The remembered node is the last choice, not none.
    company.control("/sim/proxmox/nodes/pve1", json!({"online": true, "storageFull": false})).await;
    let made = company.begin(paper()).await;
    company.succeeded(made).await;
    assert_eq!(node_of(&company, made).await, "pve1");
    worker.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stays_ours_whatever_an_operator_writes_into_its_notes() {
    let company = Company::start().await;
    let (worker, host, door) = (company.worker(Company::settings()), company.host_worker(), company.door(FRESHNESS));
    for notes in ["# Customer complains\nask Ada\n\n{}\nsince May", "ask Ada"] {
        let made = company.begin(paper()).await;
        company.succeeded(made).await;
        let vmid = company.operation(made).await.vmid.unwrap().get();
        let mark = company.containers().await[0]["description"].as_str().unwrap().to_owned();
        let notes = notes.replace("{}", &mark);
        company.control(&format!("/sim/proxmox/containers/{vmid}"), json!({"description": notes})).await;
        let gone = company.succeeded(delete(&door, vmid).await.unwrap()).await;
        assert_eq!((gone.cleanup, open_debts(&company).await.len()), (Cleanup::None, 0), "{notes}");
        expect_empty(&company).await;
    }
    worker.stop().await;
    host.stop().await;
    door.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_tags_are_restricted_a_server_is_made_without_them() {
    let company = Company::start().await;
    company.control("/sim/proxmox/tags", json!({"allowed": ["zpack"]})).await;
    let worker = company.worker(Company::settings());
    company.succeeded(company.begin(paper()).await).await;
    assert_eq!(company.containers().await[0]["tags"], "zpack");
    worker.stop().await;
}

/// Whether the row of the container is gone from the cluster.
async fn destroyed(company: &Company) {
    company.wait("the container to be gone", || async { company.containers().await.is_empty().then_some(()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_on_a_number_that_we_destroyed_leaves_no_debt() {
    let company = Company::start().await;
    let (worker, host, door) = (company.worker(Company::settings()), company.host_worker(), company.door(FRESHNESS));
    let busy = json!({"status": 500, "times": 100_000, "body": {"data": null, "message": "got timeout\n"}});
    for outlives in [false, true] {
        let made = company.begin(paper()).await;
        company.succeeded(made).await;
        let vmid = company.operation(made).await.vmid.unwrap().get();
        // The container is destroyed, and nothing that follows can be read until something else has its number.
        fault(&company, "DELETE", "/nodes/*/lxc/*", "after", json!({"status": 596})).await;
        fault(&company, "GET", "/cluster/nextid", "before", busy.clone()).await;
        let id = delete(&door, vmid).await.unwrap();
        destroyed(&company).await;
        if outlives {
            // The teardown gives up first, and leaves a debt.
            company.succeeded(id).await;
            assert_eq!(open_debts(&company).await.len(), 1);
        }
        company.control(&format!("/sim/proxmox/qemu/{vmid}"), json!({"node": "pve1", "running": true})).await;
        company.forget_faults().await;
        company.succeeded(id).await;
        collect(&company).await;
        let debts = open_debts(&company).await;
        assert!(debts.is_empty(), "{debts:?}");
        let qemu = &company.state().await["proxmox"]["qemu"][vmid.to_string()];
        assert_eq!(qemu["running"], true, "the newcomer is not touched");
        let cleanup = operation::Entity::find_by_id(id).one(&company.db.db).await.unwrap().unwrap().cleanup;
        assert!(matches!(cleanup, Cleanup::None | Cleanup::Done), "{cleanup:?}");
        expect_empty(&company).await;
    }
    worker.stop().await;
    host.stop().await;
    door.close().await;
}
