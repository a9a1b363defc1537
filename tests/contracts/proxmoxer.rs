//! An unmodified client of another project against the simulated Proxmox: proxmoxer, over TLS.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zpack::sim::{SimConfig, World};

const DEADLINE: Duration = Duration::from_secs(60);

/// The interpreter that has proxmoxer: of the folder that `make packages` fills, or the system's.
fn python() -> PathBuf {
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join(".python/bin/python");
    let candidates = [installed, PathBuf::from("python3")];
    let has_it = |python: &PathBuf| {
        let check = std::process::Command::new(python).args(["-c", "import proxmoxer, requests"]).output();
        check.is_ok_and(|output| output.status.success())
    };
    candidates.into_iter().find(has_it).unwrap_or_else(|| {
        panic!(
            "proxmoxer of packaging/python-packages.txt is not installed; `make packages` installs it, with a network"
        )
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn proxmoxer_orders_and_destroys_a_container_over_tls() {
    let python = python();
    let world = World::start(SimConfig { time_scale: 0.005, ..SimConfig::default() }).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("pve-root-ca.pem");
    std::fs::write(&authority, world.proxmox().authority()).unwrap();
    let token = world.proxmox_token();
    let (id, secret) = token.split_once('=').unwrap();
    let (user, name) = id.split_once('!').unwrap();
    for url in world.proxmox_tls_urls() {
        let url: url::Url = url.parse().unwrap();
        let host = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let client = tokio::process::Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/proxmoxer-client.py"))
            .args([&host, authority.to_str().unwrap(), user, name, secret])
            .env("NO_PROXY", "*")
            .kill_on_drop(true)
            .output();
        let output = tokio::time::timeout(DEADLINE, client).await.expect("proxmoxer did not end in time").unwrap();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success() && out.contains("proxmoxer: ok"), "{host}: {out}{err}");
    }
    world.shutdown().await.unwrap();
}
