//! The hypervisor client with two endpoints, of which the first is sick.

use std::time::Duration;

use serde_json::json;
use zpack::adapters::proxmox::{Proxmox, ProxmoxSettings};
use zpack::adapters::tls::TlsVerify;
use zpack::kernel::{Clock, Secret};
use zpack::ports::{CloneRequest, Hypervisor, HypervisorError, NodeName};
use zpack::sim::proxmox::Condition;
use zpack::sim::{SimConfig, World};

use super::proxmox_kit::{TOKEN, clone_of, settings, vmid};
use super::scripted::{Act, Scripted, answer};

const UPID: &str = "UPID:pve2:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9001:zpack@pve!ctl:";

fn pve2() -> NodeName {
    NodeName::new("pve2")
}

/// A clone on the healthy node.
fn on_pve2(number: i64) -> CloneRequest {
    CloneRequest { node: pve2(), ..clone_of(9001, number) }
}

fn two(world: &World) -> ProxmoxSettings {
    let mut settings = settings(world.proxmox_urls().iter().map(|url| url.parse().unwrap()));
    settings.token = Secret::new(world.proxmox_token()).into();
    settings.deadlines.read = Duration::from_millis(900);
    settings.deadlines.remote_read = Duration::from_millis(900);
    settings.deadlines.change = Duration::from_millis(900);
    settings
}

async fn condition(world: &World, node: &str, condition: Condition) {
    let url = format!("{}/sim/proxmox/endpoints/{node}", world.control_url());
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = http.post(url).json(&json!({ "condition": condition })).send().await.unwrap();
    assert!(answer.status().is_success());
}

#[tokio::test]
async fn reads_and_clones_succeed_while_one_endpoint_is_sick() {
    for sick in Condition::ALL.iter().copied() {
        let world = World::start(SimConfig { time_scale: 0.005, ..SimConfig::default() }).await.unwrap();
        condition(&world, "pve1", sick).await;
        let client = || Proxmox::new(&two(&world), Clock::System).unwrap();
        let name = client().version().await.map(|version| version.version);
        assert_eq!(name.ok().as_deref(), Some("9.1.5"), "{sick}");
        assert!(client().config(&pve2(), vmid(9001)).await.is_ok(), "{sick}");
        // A new client, whose first request is the clone.
        match client().clone_container(&on_pve2(5001)).await {
            Ok(_) => {}
            // What may have begun is not asked for again: the caller looks first.
            Err(error @ HypervisorError::OutcomeUnknown { .. }) => {
                assert!(
                    matches!(sick, Condition::Silent | Condition::Mute | Condition::LosesAnswers),
                    "{sick}: {error}"
                );
            }
            Err(error) => panic!("{sick}: {error}"),
        }
        let clones =
            world.core().journal.list(Some("proxmox")).into_iter().filter(|entry| entry.path.ends_with("/clone"));
        let most = if matches!(sick, Condition::Silent | Condition::Mute | Condition::LosesAnswers) { 1 } else { 2 };
        assert!(clones.count() <= most, "{sick}");
        world.shutdown().await.unwrap();
    }
}

/// After a silent write the caller looks, and the look goes to the other endpoint at once.
#[tokio::test]
async fn after_a_silent_write_the_next_request_goes_to_the_other_endpoint() {
    let world = World::start(SimConfig { time_scale: 0.005, ..SimConfig::default() }).await.unwrap();
    let client = Proxmox::new(&two(&world), Clock::System).unwrap();
    condition(&world, "pve1", Condition::Mute).await;
    client.clone_container(&on_pve2(5001)).await.unwrap_err();
    let before = world.core().journal.list(Some("proxmox")).len();
    client.config(&pve2(), vmid(5001)).await.unwrap();
    assert_eq!(world.core().journal.list(Some("proxmox")).len(), before + 1, "the sick one is not asked again");
    world.shutdown().await.unwrap();
}

/// The answers of the first endpoint to a read and to a clone, and whether the second may be asked.
#[tokio::test]
async fn which_answers_mean_ask_another() {
    let line = |status: &str, body: &str| Act::SendAndClose(answer(status, body));
    let message = |text: &str| line("500 Internal Server Error", &format!(r#"{{"data":null,"message":"{text}\n"}}"#));
    let cut = b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n{\"data\":\"UPID:pve1:".to_vec();
    for (act, read, clone) in [
        (Act::Reset, true, false),
        (Act::Hang, true, false),
        (Act::SendAndClose(cut), true, false),
        (line("595 No route to host", ""), true, true),
        (line("596 Connection timed out", ""), true, false),
        (line("597 Connection reset by peer", ""), true, false),
        (line("599 Too many redirections", ""), true, false),
        (line("502 Bad Gateway", "<html>"), true, false),
        (line("401 No ticket", ""), true, true),
        (line("301 Moved Permanently", ""), true, true),
        (line("404 Not Found", "<html>"), true, true),
        (line("200 OK", "<html>It works!</html>"), true, false),
        (message("cluster not ready - no quorum?"), true, true),
        (message("unable to open file '/etc/pve/nodes/pve1/lxc/5001.conf.tmp.77' - Permission denied"), true, true),
        (
            message("RPCEnvironment init request failed: Unable to load access control list: Connection refused"),
            true,
            true,
        ),
        (message("ipcc_send_rec[1] failed: Connection refused"), true, true),
        (message("hostname lookup 'pve2' failed - failed to get address info for: pve2"), true, true),
        // The verdict of the cluster: every endpoint gives the same.
        (message("CT is locked (disk)"), false, false),
        (message("can't lock file '/run/lock/lxc/pve-config-5001.lock' - got timeout"), false, false),
        (message("Configuration file 'nodes/pve2/lxc/9001.conf' does not exist"), false, false),
        (line("403 Permission check failed (/vms/9001, VM.Clone)", r#"{"data":null}"#), false, false),
        (line("400 Parameter verification failed.", r#"{"data":null,"errors":{"newid":"x"}}"#), false, false),
    ] {
        let first = {
            let act = act.clone();
            Scripted::start(move |_, _| act.clone()).await
        };
        let second = Scripted::start(|_, seen| {
            let body =
                if seen.method == "GET" { r#"{"data":{}}"#.to_owned() } else { format!(r#"{{"data":"{UPID}"}}"#) };
            Act::Send(answer("200 OK", &body))
        })
        .await;
        let mut settings = settings([first.url(), second.url()]);
        settings.deadlines.remote_read = Duration::from_millis(600);
        settings.deadlines.change = Duration::from_millis(300);
        let client = || Proxmox::new(&settings, Clock::System).unwrap();
        assert_eq!(client().config(&pve2(), vmid(9001)).await.is_ok(), read, "read after {act:?}");
        assert_eq!(second.seen().len(), usize::from(read), "read after {act:?}");
        assert_eq!(client().clone_container(&on_pve2(5001)).await.is_ok(), clone, "clone after {act:?}");
        assert_eq!(second.seen().len(), usize::from(read) + usize::from(clone), "clone after {act:?}");
        assert!(first.seen().len() <= 2, "{act:?}");
    }
}

/// The token is refused only when every endpoint that answers refuses it, and then it is not sent again.
#[tokio::test]
async fn a_token_counts_as_refused_when_no_endpoint_accepts_it() {
    let refusing = || Scripted::start(|_, _| Act::SendAndClose(answer("401 Authentication failed!", "")));
    let (first, second) = (refusing().await, refusing().await);
    let client = Proxmox::new(&settings([first.url(), second.url()]), Clock::System).unwrap();
    for _ in 0..3 {
        let error = client.version().await.unwrap_err();
        assert!(matches!(error, HypervisorError::Unauthorized { .. }), "{error}");
    }
    assert_eq!((first.seen().len(), second.seen().len()), (1, 1));

    let first = refusing().await;
    let away = Scripted::start(|_, _| Act::SendAndClose(answer("595 No route to host", ""))).await;
    let client = Proxmox::new(&settings([first.url(), away.url()]), Clock::System).unwrap();
    for _ in 0..2 {
        let error = client.config(&pve2(), vmid(9001)).await.unwrap_err();
        assert!(matches!(error, HypervisorError::Unreachable { .. }), "{error}");
    }
    assert!(!TOKEN.is_empty());
}

/// Certificates as the product checks them, through a whole clone.
#[tokio::test]
async fn a_node_is_reached_over_tls_by_fingerprint_or_authority() {
    let world = World::start(SimConfig { time_scale: 0.005, ..SimConfig::default() }).await.unwrap();
    let over_tls = |tls: TlsVerify| {
        let mut settings = two(&world);
        for (endpoint, url) in settings.endpoints.iter_mut().zip(world.proxmox_tls_urls()) {
            endpoint.base = url.parse().unwrap();
        }
        settings.tls = tls;
        Proxmox::new(&settings, Clock::System).unwrap()
    };
    let print = |node: &str| world.proxmox().fingerprint(node).unwrap().parse().unwrap();
    let pins = |nodes: &[&str]| TlsVerify::Fingerprints(nodes.iter().map(|node| print(node)).collect());
    over_tls(pins(&["pve1", "pve2"])).clone_container(&clone_of(9000, 5001)).await.unwrap();
    over_tls(TlsVerify::Authority(world.proxmox().authority().to_owned())).version().await.unwrap();
    // The certificate of the first node has changed: the second is asked.
    over_tls(pins(&["pve2"])).clone_container(&on_pve2(5002)).await.unwrap();
    let error = over_tls(pins(&[])).version().await.unwrap_err();
    assert!(matches!(error, HypervisorError::Unreachable { .. }), "{error}");
    for node in ["pve1", "pve2"] {
        let met = world.proxmox().fingerprint(node).unwrap();
        assert!(error.to_string().contains(met), "{error} does not name {met}");
    }
    world.shutdown().await.unwrap();
}
