//! How servers are created: VMIDs, ports, networks, concurrency and timeouts.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::key::{Key, keys};
use super::parse::{clip, name, switch};
use super::proxmox::{self, AGENT_TEMPLATE_VMID};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::VmIdRange;

keys! { "Provisioning";
    /// The VMIDs for game servers.
    GAME_VMID_RANGE = Key::default("GAME_VMID_RANGE", "5000-5999").expects("<first>-<last>");
    /// The VMIDs for dev containers.
    DEV_VMID_RANGE = Key::default("DEV_VMID_RANGE", "6000-6999").expects("<first>-<last>");
    /// The public ports for games without a proxy. Traefik needs a TCP and a UDP entry point for each of them.
    PUBLIC_PORT_RANGE = Key::default("PUBLIC_PORT_RANGE", "50000-50999").expects("<first>-<last>");
    /// The network bridge of game servers.
    GAME_BRIDGE = Key::default("GAME_BRIDGE", "vmbr3").expects("the name of a network bridge");
    /// The network bridge of dev containers.
    DEV_BRIDGE = Key::default("DEV_BRIDGE", "vmbr2").expects("the name of a network bridge");
    /// The maximum number of provisioning jobs at the same time, over all workers.
    PROVISION_SLOTS = Key::default("PROVISION_SLOTS", "1").number(1..=64);
    /// The maximum number of jobs of the host queue (power, publishing, teardown) that one worker runs at the same
    /// time.
    HOST_CONCURRENCY = Key::default("HOST_CONCURRENCY", "8").number(1..=64);
    /// How long a game may take to save its world when its server is stopped, and how long its container may then take
    /// to shut down.
    HOST_STOP_GRACE_SECONDS = Key::default("HOST_STOP_GRACE_SECONDS", "60").number(1..=86_400);
    /// Whether a worker undoes the external effects of an interrupted job. If off, they are recorded for an operator.
    PROVISION_UNWIND_STALE = Key::default("PROVISION_UNWIND_STALE", "on").expects("on or off");
    /// How often a running Proxmox task is polled.
    PROXMOX_TASK_POLL_MS = Key::default("PROXMOX_TASK_POLL_MS", "1000").number(10..=60_000);
    /// The timeout of a Proxmox task.
    PROXMOX_TASK_TIMEOUT_SECONDS = Key::default("PROXMOX_TASK_TIMEOUT_SECONDS", "900").number(1..=86_400);
    /// After a lost response to a clone request: how long the container must stay absent before it counts as never
    /// created.
    CLONE_ABSENCE_MS = Key::default("CLONE_ABSENCE_MS", "15000").number(0..=600_000);
    /// How often a starting container is polled for its IP address.
    ADDRESS_POLL_MS = Key::default("ADDRESS_POLL_MS", "2000").number(10..=60_000);
    /// How long a started container may take to get an IP address.
    ADDRESS_TIMEOUT_SECONDS = Key::default("ADDRESS_TIMEOUT_SECONDS", "120").number(1..=86_400);
    /// How often an installing agent is polled.
    AGENT_POLL_MS = Key::default("AGENT_POLL_MS", "3000").number(10..=60_000);
    /// How long an agent may take to get its server ready.
    AGENT_READY_TIMEOUT_SECONDS = Key::default("AGENT_READY_TIMEOUT_SECONDS", "600").number(1..=86_400);
}

/// How servers are created.
#[derive(Clone, Debug)]
pub struct ProvisionConfig {
    /// The VMIDs for game servers.
    pub game_vmids: VmIdRange,
    /// The VMIDs for dev containers.
    pub dev_vmids: VmIdRange,
    /// The public ports for games without a proxy.
    pub public_ports: RangeInclusive<u16>,
    /// The network bridge of game servers.
    pub game_bridge: String,
    /// The network bridge of dev containers.
    pub dev_bridge: String,
    /// The maximum number of provisioning jobs at the same time, over all workers.
    pub slots: u32,
    /// The maximum number of jobs of the host queue that one worker runs at the same time.
    pub host_concurrency: u32,
    /// How long a game may take to stop, and its container after that.
    pub stop_grace: Duration,
    /// Whether the external effects of an interrupted job are undone.
    pub unwind_stale: bool,
    /// The time between two polls of a task.
    pub task_poll: Duration,
    /// The timeout of a task.
    pub task_timeout: Duration,
    /// How long a container must stay absent after a lost response before it counts as never created.
    pub clone_absence: Duration,
    /// The time between two polls for an address.
    pub address_poll: Duration,
    /// How long a container may take to get an address.
    pub address_timeout: Duration,
    /// The time between two polls of an installing agent.
    pub agent_poll: Duration,
    /// How long an agent may take to get its server ready.
    pub ready_timeout: Duration,
}

impl Settings for ProvisionConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let game_vmids = env.get(&GAME_VMID_RANGE, str::parse::<VmIdRange>);
        let dev_vmids = env.get(&DEV_VMID_RANGE, str::parse::<VmIdRange>);
        let public_ports = env.get(&PUBLIC_PORT_RANGE, ports);
        let game_bridge = env.get(&GAME_BRIDGE, name);
        let dev_bridge = env.get(&DEV_BRIDGE, name);
        let slots = env.number(&PROVISION_SLOTS);
        let host_concurrency = env.number(&HOST_CONCURRENCY);
        let stop_grace = env.seconds(&HOST_STOP_GRACE_SECONDS);
        let unwind_stale = env.get(&PROVISION_UNWIND_STALE, switch);
        let task_poll = env.millis(&PROXMOX_TASK_POLL_MS);
        let task_timeout = env.seconds(&PROXMOX_TASK_TIMEOUT_SECONDS);
        let clone_absence = env.millis(&CLONE_ABSENCE_MS);
        let address_poll = env.millis(&ADDRESS_POLL_MS);
        let address_timeout = env.seconds(&ADDRESS_TIMEOUT_SECONDS);
        let agent_poll = env.millis(&AGENT_POLL_MS);
        let ready_timeout = env.seconds(&AGENT_READY_TIMEOUT_SECONDS);
        let templates = proxmox::templates(env);
        let (game_vmids, dev_vmids) = (game_vmids?, dev_vmids?);
        if game_vmids.overlaps(&dev_vmids) {
            env.impossible(&[&GAME_VMID_RANGE, &DEV_VMID_RANGE], "the ranges overlap");
        }
        if let Some(vmid) = templates?.into_iter().find(|vmid| game_vmids.contains(*vmid) || dev_vmids.contains(*vmid))
        {
            let keys = [&AGENT_TEMPLATE_VMID, &GAME_VMID_RANGE, &DEV_VMID_RANGE];
            env.impossible(&keys, format!("template {vmid} lies in a range for new servers"));
        }
        Ok(Self {
            game_vmids,
            dev_vmids,
            public_ports: public_ports?,
            game_bridge: game_bridge?,
            dev_bridge: dev_bridge?,
            slots: slots?,
            host_concurrency: host_concurrency?,
            stop_grace: stop_grace?,
            unwind_stale: unwind_stale?,
            task_poll: task_poll?,
            task_timeout: task_timeout?,
            clone_absence: clone_absence?,
            address_poll: address_poll?,
            address_timeout: address_timeout?,
            agent_poll: agent_poll?,
            ready_timeout: ready_timeout?,
        })
    }
}

fn ports(text: &str) -> Result<RangeInclusive<u16>, String> {
    let range =
        text.split_once('-').and_then(|(first, last)| Some(first.trim().parse().ok()?..=last.trim().parse().ok()?));
    let range = range.filter(|range| *range.start() >= 1024 && !range.is_empty());
    range.ok_or_else(|| format!("`{}` is not a range within the ports 1024 to 65535", clip(text)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_range_is_ordered_and_excludes_system_ports() {
        assert_eq!(ports("50000-50999"), Ok(50_000..=50_999));
        for text in ["", "50000", "50999-50000", "80-90", "50000-70000", "a-b", "1024-"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }
}
