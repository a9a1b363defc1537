//! `zpack sim`: the simulated world on its own, for the development of clients.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::{Context, bail};
use serde::Serialize;

use super::output::{self, Output};
use super::settings::is_production;
use super::signals;
use crate::cli::SimArgs;
use crate::config::Source;
use crate::sim::{SimConfig, SimError, World};

/// Where the simulated peers listen, and the credentials they accept. These credentials open nothing real.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Ready {
    event: &'static str,
    sim: String,
    proxmox: String,
    proxmox_token: String,
    proxmox_tls: Vec<NodeAddress>,
    artifacts: String,
    agent_port: u16,
    agent_token: String,
    cloudflare: String,
    cloudflare_zone_id: String,
    cloudflare_token: String,
    cloudflare_dns: Option<SocketAddr>,
    technitium: String,
    technitium_token: String,
    technitium_dns: Option<SocketAddr>,
    zone: String,
    velocity: String,
    velocity_secret: String,
    velocity_game: SocketAddr,
}

/// A node of the simulated cluster over TLS.
#[derive(Serialize)]
struct NodeAddress {
    url: String,
    fingerprint: Option<String>,
}

/// Runs the simulated world until a signal arrives.
pub async fn run(source: &dyn Source, args: SimArgs, output: Output) -> anyhow::Result<()> {
    if is_production(source) {
        bail!("zpack sim does not run with ZPACK_ENV=production, because its peers are simulated");
    }
    let stop = signals::stop_token()?;
    let world = start(
        SimConfig {
            control: SocketAddr::from((Ipv4Addr::LOCALHOST, args.port)),
            state_file: args.state_file,
            time_scale: args.time_scale,
            agent_port: args.agent_port,
            ..SimConfig::default()
        },
        "--port",
    )
    .await?;
    let ready = Ready {
        event: "ready",
        sim: world.control_url(),
        proxmox: world.proxmox_url(),
        proxmox_token: world.proxmox_token(),
        proxmox_tls: over_tls(&world),
        artifacts: world.artifacts_url(),
        agent_port: world.agent_port(),
        agent_token: world.agent_token().to_owned(),
        cloudflare: world.cloudflare_url(),
        cloudflare_zone_id: world.cloudflare().zone_id(),
        cloudflare_token: world.cloudflare().token(),
        cloudflare_dns: world.dns_address("cloudflare"),
        technitium: world.technitium_url(),
        technitium_token: world.technitium().token(),
        technitium_dns: world.dns_address("technitium"),
        zone: world.cloudflare().zone(),
        velocity: world.velocity_url(),
        velocity_secret: world.velocity().secret(),
        velocity_game: world.velocity().game_address(),
    };
    output.print(&ready, human)?;
    stop.cancelled().await;
    world.shutdown().await.context("the simulated world did not stop cleanly")
}

/// Starts a simulated world. If the control port is taken, the error names the flag that selects another.
pub(super) async fn start(config: SimConfig, port_flag: &str) -> anyhow::Result<World> {
    let port = config.control.port();
    World::start(config).await.map_err(|error| match error {
        SimError::Bind { peer: "control", ref source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
            anyhow::anyhow!("port {port} is taken; choose another for the simulator with {port_flag}")
        }
        error => anyhow::Error::new(error).context("the simulated world did not start"),
    })
}

fn human(ready: &Ready) -> String {
    let rows = [
        ("control", ready.sim.clone()),
        ("proxmox", ready.proxmox.clone()),
        ("proxmox token", ready.proxmox_token.clone()),
        ("proxmox tls", ready.proxmox_tls.iter().map(|node| node.url.as_str()).collect::<Vec<_>>().join(" ")),
        ("artifacts", ready.artifacts.clone()),
        ("agents", format!("port {} of each container's address", ready.agent_port)),
        ("agent token", ready.agent_token.clone()),
        ("zone", ready.zone.clone()),
        ("cloudflare", ready.cloudflare.clone()),
        ("cloudflare zone id", ready.cloudflare_zone_id.clone()),
        ("cloudflare token", ready.cloudflare_token.clone()),
        ("cloudflare dns", shown(ready.cloudflare_dns)),
        ("technitium", ready.technitium.clone()),
        ("technitium token", ready.technitium_token.clone()),
        ("technitium dns", shown(ready.technitium_dns)),
        ("velocity", ready.velocity.clone()),
        ("velocity secret", ready.velocity_secret.clone()),
        ("velocity game", ready.velocity_game.to_string()),
    ];
    let rows = rows.into_iter().map(|(what, value)| vec![what.to_owned(), value]);
    output::table(&["peer", "where"], rows, "")
}

fn over_tls(world: &World) -> Vec<NodeAddress> {
    let fingerprint = |node: &str| world.proxmox().fingerprint(node).map(str::to_owned);
    let nodes = world.proxmox_tls_urls().into_iter().zip(["pve1", "pve2"]);
    nodes.map(|(url, node)| NodeAddress { url, fingerprint: fingerprint(node) }).collect()
}

fn shown(address: Option<SocketAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}
