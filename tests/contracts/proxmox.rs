//! The hypervisor client against the simulated cluster: the cases of docs/contracts/proxmox.md 17.

use std::net::IpAddr;
use std::time::Duration;

use serde_json::{Value, json};
use zpack::adapters::proxmox::Proxmox;
use zpack::kernel::{Classify, Clock, Failure, Secret};
use zpack::ports::{Hypervisor, HypervisorError, NodeName, PowerState, Started, Task, TaskEnd, TaskFailure, TaskState};
use zpack::sim::proxmox::PveProfile;
use zpack::sim::{SimConfig, World};

use super::proxmox_kit::{clone_of, container_settings, pve1, settings, vmid};

const DEADLINE: Duration = Duration::from_secs(20);

struct Rig {
    world: World,
    proxmox: Proxmox,
}

impl Rig {
    async fn new(profile: PveProfile) -> Self {
        Self::scaled(profile, 0.005).await
    }

    async fn scaled(profile: PveProfile, time_scale: f64) -> Self {
        let world = World::start(SimConfig { profile, time_scale, ..SimConfig::default() }).await.unwrap();
        let proxmox = client(&world, &world.proxmox_token());
        Self { world, proxmox }
    }

    async fn control(&self, method: reqwest::Method, path: &str, body: Value) -> Value {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/sim/{path}", self.world.control_url());
        let answer = http.request(method, url).json(&body).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.status());
        answer.json().await.unwrap()
    }

    async fn post(&self, path: &str, body: Value) -> Value {
        self.control(reqwest::Method::POST, path, body).await
    }

    fn fault(&self, fault: Value) {
        self.world.core().faults.add(serde_json::from_value(fault).unwrap()).unwrap();
    }

    /// How many requests of this kind have arrived.
    fn arrivals(&self, method: &str, path_end: &str) -> usize {
        let entries = self.world.core().journal.list(Some("proxmox"));
        entries.iter().filter(|entry| entry.method == method && entry.path.ends_with(path_end)).count()
    }

    async fn end_of(&self, task: &Task) -> TaskEnd {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        let waiting = async {
            loop {
                tick.tick().await;
                if let TaskState::Ended(end) = self.proxmox.task(task).await.unwrap() {
                    return end;
                }
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("the task never ended")
    }

    async fn clone_to(&self, number: i64) {
        let task = self.proxmox.clone_container(&clone_of(9000, number)).await.unwrap();
        assert_eq!(self.end_of(&task).await, TaskEnd::Succeeded);
    }

    async fn started(&self, started: Started) {
        let Started::Task(task) = started else { panic!("there was nothing to do") };
        assert_eq!(self.end_of(&task).await, TaskEnd::Succeeded);
    }
}

fn client(world: &World, token: &str) -> Proxmox {
    let mut settings = settings([world.proxmox_url().parse().unwrap()]);
    settings.token = Secret::new(token).into();
    Proxmox::new(&settings, Clock::System).unwrap()
}

#[tokio::test]
async fn a_container_is_created_used_and_destroyed_on_every_release() {
    for profile in PveProfile::ALL {
        let rig = Rig::new(*profile).await;
        let (proxmox, node, ct) = (&rig.proxmox, pve1(), vmid(5001));
        assert_eq!(proxmox.version().await.unwrap().version, profile.version());
        let nodes: Vec<_> = proxmox.nodes().await.unwrap().into_iter().map(|node| (node.name, node.online)).collect();
        assert_eq!(nodes, [(pve1(), true), (NodeName::new("pve2"), true)]);
        assert!(proxmox.vmid_is_free(ct).await.unwrap());

        rig.clone_to(5001).await;
        assert!(!proxmox.vmid_is_free(ct).await.unwrap(), "{profile}");
        let config = proxmox.config(&node, ct).await.unwrap();
        assert_eq!(config.description.as_deref(), Some("zpack op_5001; a+b & c=ü"));
        assert_eq!((config.lock, config.template), (None, false));

        let wanted = container_settings(5001);
        proxmox.configure(&node, ct, &wanted).await.unwrap();
        let config = proxmox.config(&node, ct).await.unwrap();
        assert_eq!((config.memory_mib, config.cores), (Some(2048), Some(2)));
        assert_eq!((config.tags, config.description), (wanted.tags.clone(), Some(wanted.description.clone())));
        let net0 = config.net0.unwrap();
        for part in ["name=eth0", "bridge=vmbr3", "hwaddr=BC:24:11:0A:0B:0C", "ip=dhcp", "type=veth"] {
            assert!(net0.split(',').any(|field| field == part), "{net0} lacks {part}");
        }

        assert!(proxmox.interfaces(&node, ct).await.unwrap().is_empty(), "{profile}: it is off");
        assert_eq!(proxmox.stop(&node, ct).await.unwrap(), Started::AlreadyThere);
        rig.started(proxmox.start(&node, ct).await.unwrap()).await;
        assert_eq!(proxmox.power(&node, ct).await.unwrap(), PowerState::Running);
        assert_eq!(proxmox.start(&node, ct).await.unwrap(), Started::AlreadyThere, "{profile}");

        let address = tokio::time::timeout(DEADLINE, async {
            let mut tick = tokio::time::interval(Duration::from_millis(10));
            loop {
                tick.tick().await;
                let interfaces = proxmox.interfaces(&node, ct).await.unwrap();
                let ours = interfaces.iter().find(|interface| interface.mac == "BC:24:11:0A:0B:0C").unwrap();
                if let [first, IpAddr::V6(_)] = *ours.addresses {
                    return first;
                }
            }
        });
        assert!(address.await.expect("no address").is_ipv4(), "{profile}");

        let listed = proxmox.containers().await.unwrap();
        let row = listed.iter().find(|row| row.vmid == ct).unwrap();
        assert_eq!((&row.node, row.template), (&node, false));
        assert!(listed.iter().any(|row| row.vmid == vmid(9000)), "{profile}");

        rig.started(proxmox.shutdown(&node, ct, 60).await.unwrap()).await;
        assert_eq!(proxmox.power(&node, ct).await.unwrap(), PowerState::Stopped);
        rig.started(proxmox.start(&node, ct).await.unwrap()).await;
        let task = proxmox.destroy(&node, ct).await.unwrap();
        assert_eq!(rig.end_of(&task).await, TaskEnd::Succeeded, "{profile}");
        let error = proxmox.config(&node, ct).await.unwrap_err();
        assert!(matches!(error, HypervisorError::NotFound { .. }), "{profile}: {error}");
        assert!(proxmox.vmid_is_free(ct).await.unwrap(), "{profile}");
        rig.world.shutdown().await.unwrap();
    }
}

/// Case 2 and the VMID race: the second clone of a template waits, and a taken VMID is named.
#[tokio::test]
async fn a_template_in_use_is_busy_and_a_taken_vmid_is_a_conflict() {
    for profile in [PveProfile::V8_3, PveProfile::V9_1] {
        // Slow enough that two more requests arrive during the clone on a loaded machine.
        let rig = Rig::scaled(profile, 0.1).await;
        let task = rig.proxmox.clone_container(&clone_of(9000, 5001)).await.unwrap();
        assert!(rig.proxmox.clone_is_running(&pve1(), vmid(9000)).await.unwrap());
        let error = rig.proxmox.clone_container(&clone_of(9000, 5002)).await.unwrap_err();
        assert!(matches!(&error, HypervisorError::Locked { lock, .. } if lock == "disk"), "{profile}: {error}");
        assert_eq!(error.failure(), Failure::Busy);
        assert_eq!(rig.end_of(&task).await, TaskEnd::Succeeded);
        assert!(!rig.proxmox.clone_is_running(&pve1(), vmid(9000)).await.unwrap());

        let error = rig.proxmox.clone_container(&clone_of(9000, 5001)).await.unwrap_err();
        assert!(matches!(error, HypervisorError::AlreadyExists { vmid: taken, .. } if taken == vmid(5001)), "{error}");
        rig.world.shutdown().await.unwrap();
    }
}

/// Case 4: the clone is executed and the answer is lost. Nothing is sent twice, and the nonce can be found.
#[tokio::test]
async fn a_clone_whose_answer_is_lost_exists_once() {
    for action in [json!("status"), json!("reset"), json!("truncate")] {
        let rig = Rig::new(PveProfile::V9_1).await;
        rig.fault(json!({ "peer": "proxmox", "method": "POST", "path": "*/clone", "when": "after", "action": action, "status": 596 }));
        let error = rig.proxmox.clone_container(&clone_of(9000, 5001)).await.unwrap_err();
        assert!(matches!(error, HypervisorError::OutcomeUnknown { .. }), "{action}: {error}");
        assert_eq!(rig.arrivals("POST", "/clone"), 1, "{action}");
        // The description is written after the lock.
        let config = loop {
            let config = rig.proxmox.config(&pve1(), vmid(5001)).await.unwrap();
            if config.description.is_some() {
                break config;
            }
            assert_eq!(config.lock.as_deref(), Some("create"), "{action}");
        };
        assert_eq!(config.description, Some(clone_of(9000, 5001).description));
        rig.world.shutdown().await.unwrap();
    }
}

/// Case 6: 595 means that nothing was executed.
#[tokio::test]
async fn an_unreachable_node_executes_nothing() {
    let rig = Rig::new(PveProfile::V9_1).await;
    rig.fault(json!({ "peer": "proxmox", "method": "POST", "path": "*/clone", "when": "before", "action": "status", "status": 595 }));
    let error = rig.proxmox.clone_container(&clone_of(9000, 5001)).await.unwrap_err();
    assert!(matches!(error, HypervisorError::Unreachable { .. }), "{error}");
    assert!(rig.proxmox.vmid_is_free(vmid(5001)).await.unwrap());
    rig.world.shutdown().await.unwrap();
}

/// Cases 8 and 10, and a worker process that dies.
#[tokio::test]
async fn a_task_ends_with_warnings_a_failure_or_an_unknown_result() {
    let rig = Rig::new(PveProfile::V9_1).await;
    let clone = async |number: i64, exitstatus: &str| {
        rig.post("proxmox/tasks/next", json!({ "exitstatus": exitstatus })).await;
        let task = rig.proxmox.clone_container(&clone_of(9000, number)).await.unwrap();
        rig.end_of(&task).await
    };
    assert_eq!(clone(5001, "WARNINGS: 2").await, TaskEnd::Warned(2));
    let lock = "clone failed: cfs-lock 'storage-x' error: got lock request timeout";
    let expected = TaskEnd::Failed { cause: TaskFailure::Unavailable, message: lock.to_owned() };
    assert_eq!(clone(5002, lock).await, expected);
    assert!(rig.proxmox.vmid_is_free(vmid(5002)).await.unwrap());
    assert!(matches!(clone(5003, "unexpected status").await, TaskEnd::Unknown { .. }));
    let config = rig.proxmox.config(&pve1(), vmid(5003)).await.unwrap();
    assert_eq!(config.lock.as_deref(), Some("create"), "the dead worker left its lock");
    rig.world.shutdown().await.unwrap();
}

/// Case 12: one 401, and no other request. `rotated_token.rs` replaces the token.
#[tokio::test]
async fn a_revoked_token_is_sent_once() {
    let rig = Rig::new(PveProfile::V9_1).await;
    rig.control(reqwest::Method::DELETE, "proxmox/tokens/zpack@pve!ctl", json!(null)).await;
    for _ in 0..3 {
        let error = rig.proxmox.version().await.unwrap_err();
        assert!(matches!(error, HypervisorError::Unauthorized { .. }), "{error}");
    }
    assert_eq!(rig.arrivals("GET", "/version"), 1);
    rig.world.shutdown().await.unwrap();
}

/// Case 13: the token has its rights on a pool and the request names none.
#[tokio::test]
async fn a_clone_without_its_pool_is_forbidden_with_a_hint() {
    let rig = Rig::new(PveProfile::V9_1).await;
    let rights = json!({ "id": "zpack@pve!pool", "acl": [
        { "path": "/vms/9000", "privileges": ["VM.Clone", "VM.Audit"] },
        { "path": "/pool/zpack", "privileges": ["VM.Allocate", "VM.Audit"] },
        { "path": "/storage/local-zfs", "privileges": ["Datastore.AllocateSpace"] },
        { "path": "/sdn/zones/localnetwork", "privileges": ["SDN.Use"] },
    ]});
    let token = rig.post("proxmox/tokens", rights).await["token"].as_str().unwrap().to_owned();
    let proxmox = client(&rig.world, &token);
    let mut wanted = clone_of(9000, 5001);
    wanted.pool = None;
    let error = proxmox.clone_container(&wanted).await.unwrap_err();
    assert!(matches!(&error, HypervisorError::Forbidden { detail, .. } if detail.contains("pool")), "{error}");
    assert_eq!(error.failure(), Failure::NeedsOperator);
    proxmox.clone_container(&clone_of(9000, 5001)).await.unwrap();
    rig.world.shutdown().await.unwrap();
}

/// Case 15: something else removed the container.
#[tokio::test]
async fn a_removed_container_is_not_found() {
    for profile in [PveProfile::V8_1, PveProfile::V9_1] {
        let rig = Rig::new(profile).await;
        rig.clone_to(5001).await;
        rig.control(reqwest::Method::DELETE, "proxmox/containers/5001", json!(null)).await;
        let error = rig.proxmox.power(&pve1(), vmid(5001)).await.unwrap_err();
        assert!(matches!(error, HypervisorError::NotFound { .. }), "{profile}: {error}");
        // A call that changes its power finds no process of that number; only the task of a start reads the configuration.
        let started = rig.proxmox.start(&pve1(), vmid(5001)).await.unwrap();
        let Started::Task(task) = started else { panic!("{profile}: {started:?}") };
        let end = rig.end_of(&task).await;
        assert!(matches!(end, TaskEnd::Failed { .. }), "{profile}: {end:?}");
        assert_eq!(rig.proxmox.stop(&pve1(), vmid(5001)).await.unwrap(), Started::AlreadyThere);
        assert_eq!(rig.proxmox.interfaces(&pve1(), vmid(5001)).await.unwrap(), []);
        rig.world.shutdown().await.unwrap();
    }
}

/// A missing record says nothing about what the task did.
#[tokio::test]
async fn a_forgotten_task_is_unknown_after_the_grace() {
    let rig = Rig::new(PveProfile::V9_1).await;
    let task = rig.proxmox.clone_container(&clone_of(9000, 5001)).await.unwrap();
    rig.end_of(&task).await;
    rig.post("proxmox/tasks/forget", json!({ "upid": task.0 })).await;
    assert_eq!(rig.proxmox.task(&task).await.unwrap(), TaskState::Running, "it may not be on record yet");
    let mut hasty = settings([rig.world.proxmox_url().parse().unwrap()]);
    hasty.token = Secret::new(rig.world.proxmox_token()).into();
    hasty.deadlines.task_grace = Duration::ZERO;
    let state = Proxmox::new(&hasty, Clock::System).unwrap().task(&task).await.unwrap();
    assert!(matches!(state, TaskState::Ended(TaskEnd::Unknown { .. })), "{state:?}");
    rig.world.shutdown().await.unwrap();
}

/// An error page of a proxy in between must not count as an answer of the hypervisor.
#[tokio::test]
async fn an_error_page_of_a_proxy_is_not_an_answer_of_the_hypervisor() {
    let rig = Rig::new(PveProfile::V9_1).await;
    rig.fault(json!({ "peer": "proxmox", "when": "after", "action": "html", "times": 2 }));
    let error = rig.proxmox.clone_container(&clone_of(9000, 5001)).await.unwrap_err();
    assert!(matches!(error, HypervisorError::OutcomeUnknown { .. }), "{error}");
    let error = rig.proxmox.containers().await.unwrap_err();
    assert!(matches!(error, HypervisorError::Unavailable { .. }), "{error}");
    rig.world.shutdown().await.unwrap();
}

/// A node that is off answers 595 through the other node; its containers are not gone.
#[tokio::test]
async fn a_node_that_is_off_leaves_its_containers_listed() {
    let rig = Rig::new(PveProfile::V9_1).await;
    rig.post("proxmox/nodes/pve2", json!({ "online": false })).await;
    let error = rig.proxmox.config(&NodeName::new("pve2"), vmid(9001)).await.unwrap_err();
    assert!(matches!(error, HypervisorError::Unreachable { .. }), "{error}");
    let containers = rig.proxmox.containers().await.unwrap();
    assert!(containers.iter().any(|row| row.vmid == vmid(9001)));
    let nodes = rig.proxmox.nodes().await.unwrap();
    assert!(nodes.iter().any(|node| node.name.as_str() == "pve2" && !node.online));
    rig.world.shutdown().await.unwrap();
}

/// Case 17: an option that does not apply to a running container waits for its next start, and is named.
#[tokio::test]
async fn pending_options_are_named_until_the_restart() {
    let rig = Rig::new(PveProfile::V9_1).await;
    let (node, ct) = (pve1(), vmid(5001));
    rig.clone_to(5001).await;
    rig.started(rig.proxmox.start(&node, ct).await.unwrap()).await;
    assert_eq!(rig.proxmox.pending(&node, ct).await.unwrap(), [""; 0]);
    let url = format!("{}/nodes/pve1/lxc/5001/config", rig.world.proxmox_url());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let token = format!("PVEAPIToken={}", rig.world.proxmox_token());
    let written = http
        .put(url)
        .header("Authorization", token)
        .form(&[("nameserver", "10.0.0.53"), ("features", "nesting=1"), ("cores", "3")])
        .send()
        .await
        .unwrap();
    assert_eq!(written.status(), 200);
    let mut waiting = rig.proxmox.pending(&node, ct).await.unwrap();
    waiting.sort();
    assert_eq!(waiting, ["features", "nameserver"]);
    rig.started(rig.proxmox.stop(&node, ct).await.unwrap()).await;
    rig.started(rig.proxmox.start(&node, ct).await.unwrap()).await;
    assert_eq!(rig.proxmox.pending(&node, ct).await.unwrap(), [""; 0]);
    rig.world.shutdown().await.unwrap();
}

/// Case 20: no list, a list without addresses, and loopback or link-local addresses all mean no address.
#[tokio::test]
async fn a_container_without_an_address_has_none() {
    let rig = Rig::new(PveProfile::V8_3).await;
    rig.clone_to(5001).await;
    assert!(rig.proxmox.interfaces(&pve1(), vmid(5001)).await.unwrap().is_empty(), "it is off");
    let bodies = [
        json!({ "data": null }),
        json!({ "data": [{ "name": "lo", "inet": "127.0.0.1/8" }, { "name": "eth0", "hwaddr": "BC:24:11:00:00:01" }] }),
        json!({ "data": [{ "name": "eth0", "inet6": "fe80::1/64" }] }),
    ];
    for body in bodies {
        rig.fault(json!({ "peer": "proxmox", "method": "GET", "path": "*/interfaces", "when": "before",
            "action": "status", "status": 200, "body": body.to_string() }));
        let interfaces = rig.proxmox.interfaces(&pve1(), vmid(5001)).await.unwrap();
        assert!(interfaces.iter().all(|interface| interface.addresses.is_empty()), "{body}");
    }
    rig.world.shutdown().await.unwrap();
}

/// Case 22: a refused parameter is named, and the error is permanent.
#[tokio::test]
async fn a_refused_host_name_is_named_by_its_field() {
    let rig = Rig::new(PveProfile::V9_1).await;
    rig.fault(json!({ "peer": "proxmox", "method": "POST", "path": "*/clone", "when": "before", "action": "status",
        "status": 400, "reason": "Parameter verification failed.",
        "body": r#"{"data":null,"errors":{"hostname":"invalid format - value does not look like a valid DNS name\n"}}"# }));
    let error = rig.proxmox.clone_container(&clone_of(9000, 5001)).await.unwrap_err();
    let HypervisorError::Invalid { fields, .. } = &error else { panic!("{error}") };
    assert!(
        matches!(fields.as_slice(), [(field, words)] if field == "hostname" && words.contains("DNS name")),
        "{error}"
    );
    assert_eq!(error.failure(), Failure::Permanent);
    rig.world.shutdown().await.unwrap();
}
