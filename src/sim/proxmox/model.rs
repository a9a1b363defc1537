//! The data of the cluster, which is saved as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::access::Token;
use super::net::NetOption;
use super::qemu::QemuGuest;
use super::task::{PlannedEnding, TaskLog};
use crate::kernel::Timestamp;
use crate::sim::network::Network;
use crate::sim::ring::Ring;

/// How many effects are kept: a thousand rounds of create, configure, start, stop and destroy, twice over.
const LEDGER_CAPACITY: usize = 20_000;
/// How much of a description an effect keeps; the marker of a control plane is far shorter.
const LEDGER_TEXT: usize = 1024;
/// How many containers there may be. DHCP has 253 addresses; others have static ones.
const MAX_CONTAINERS: usize = 2000;
/// How many backups are kept; the oldest goes first, as with a retention of the storage.
const BACKUP_CAPACITY: usize = 500;

/// The storage containers live on; it can clone linked.
pub const CONTAINER_STORAGE: &str = "local-zfs";
/// The pool the control plane's containers belong to.
pub const POOL: &str = "zpack";
/// The bridges of every node.
pub const BRIDGES: [&str; 2] = ["vmbr2", "vmbr3"];

/// The whole cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// The number of containers ever created.
    pub last_incarnation: u64,
    /// The number of container starts.
    pub last_boot: u64,
    /// The nodes by name.
    pub nodes: BTreeMap<String, Node>,
    /// The containers by VMID.
    pub containers: BTreeMap<u32, Container>,
    /// The virtual machines by VMID.
    #[serde(default)]
    pub qemu: BTreeMap<u32, QemuGuest>,
    /// The pools and their comments.
    pub pools: BTreeMap<String, String>,
    /// The tags that a token without Sys.Modify may set (`user-tag-access` of the datacenter); any when absent.
    #[serde(default)]
    pub allowed_tags: Option<BTreeSet<String>>,
    /// The API tokens.
    pub tokens: Vec<Token>,
    /// The tasks.
    pub tasks: TaskLog,
    /// How the next tasks end.
    pub planned_endings: Vec<PlannedEnding>,
    /// What has been executed.
    pub ledger: Ledger,
    /// The backups on the storage `local`, oldest first.
    pub backups: Ring<Backup, BACKUP_CAPACITY>,
    /// What the status daemons have broadcast last; it lags on purpose.
    #[serde(skip)]
    pub broadcast: BTreeMap<u32, Broadcast>,
}

/// One node.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Node {
    /// Whether the others can reach it.
    pub online: bool,
    /// It lost its power and has not started again.
    #[serde(default)]
    pub crashed: bool,
    /// Its storage for containers has no room.
    #[serde(default)]
    pub storage_full: bool,
}

/// One container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Container {
    /// Its VMID.
    pub vmid: u32,
    /// The node that has its configuration.
    pub node: String,
    /// The number of this container among all that were ever created.
    pub incarnation: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its options as in the configuration file, without the lock.
    pub config: BTreeMap<String, String>,
    /// The configuration lock.
    pub lock: Option<String>,
    /// Changes that are pending until the next start; `None` deletes the option.
    pub pending: BTreeMap<String, Option<String>>,
    /// Its snapshots, oldest first.
    pub snapshots: Vec<Snapshot>,
    /// Its pool.
    pub pool: Option<String>,
    /// Set while it runs.
    pub run: Option<Run>,
    /// Whether the high-availability manager controls it.
    pub ha: bool,
    /// Whether it ignores a shutdown.
    pub ignores_shutdown: bool,
    /// Its DHCP lease, which it keeps as long as it exists.
    pub lease: Option<Ipv4Addr>,
    /// Its configuration is `lock: create` alone: the clone has reserved the VMID and not written the rest yet.
    #[serde(default)]
    pub reserved: bool,
    /// A suspended container's memory is on disk.
    #[serde(default)]
    pub checkpoint: bool,
}

/// A running container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Run {
    /// Since when.
    pub since: Timestamp,
    /// The number of this start among all starts.
    pub boot: u64,
    /// Whether it has its address.
    pub addressed: bool,
}

/// A snapshot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// Its name.
    pub name: String,
    /// Its description.
    pub description: String,
    /// When it was taken.
    pub at: Timestamp,
    /// The options at that time.
    pub config: BTreeMap<String, String>,
}

/// A backup archive.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Backup {
    /// The node it is stored on.
    pub node: String,
    /// The volume.
    pub volid: String,
    /// The container it is a backup of.
    pub vmid: u32,
    /// When it was made.
    pub at: Timestamp,
    /// Notes.
    pub notes: String,
    /// The options of the container.
    pub config: BTreeMap<String, String>,
}

/// One container as `/cluster/resources` reports it.
#[derive(Clone, Debug)]
pub struct Broadcast {
    /// Which container this is about.
    pub incarnation: u64,
    /// Whether it was running.
    pub running: bool,
    /// Its name.
    pub name: String,
    /// Whether it was a template.
    pub template: bool,
    /// Its uptime in seconds.
    pub uptime: u64,
}

impl Container {
    /// The host name; `CT<vmid>` when none is set.
    pub fn hostname(&self) -> String {
        self.config.get("hostname").cloned().unwrap_or_else(|| format!("CT{}", self.vmid))
    }

    /// A whole number among the options.
    pub fn number(&self, option: &str) -> Option<u64> {
        self.config.get(option).and_then(|text| text.parse().ok())
    }

    /// The memory in MiB.
    pub fn memory(&self) -> u64 {
        self.number("memory").unwrap_or(512)
    }

    /// Whether it is a template.
    pub fn is_template(&self) -> bool {
        self.config.get("template").is_some_and(|value| value == "1")
    }

    /// Whether it may not be destroyed.
    pub fn is_protected(&self) -> bool {
        self.config.get("protection").is_some_and(|value| value == "1")
    }

    /// The parsed `net0`.
    pub fn net0(&self) -> Option<NetOption> {
        self.config.get("net0").map(|text| NetOption::parse(text))
    }

    /// The IPv4 address it has or will have: the static one, or the lease.
    pub fn address(&self) -> Option<Ipv4Addr> {
        let net = self.net0()?;
        match net.get("ip") {
            Some("dhcp") => self.lease,
            Some(cidr) => cidr.split('/').next().and_then(|text| text.parse().ok()),
            None => None,
        }
    }

    /// Whether its address comes from DHCP.
    pub fn uses_dhcp(&self) -> bool {
        self.net0().is_some_and(|net| net.get("ip") == Some("dhcp"))
    }

    /// The error text when it is locked.
    pub fn lock_refusal(&self) -> Option<String> {
        self.lock.as_ref().map(|lock| format!("CT is locked ({lock})"))
    }

    /// The volume of the root file system.
    pub fn root_volume(&self) -> &str {
        self.config.get("rootfs").and_then(|text| text.split(',').next()).unwrap_or_default()
    }

    /// The size of the root file system in GiB.
    pub fn root_size_gib(&self) -> u64 {
        let size = self.config.get("rootfs").and_then(|text| text.split_once("size="));
        let digits = size.map(|(_, rest)| rest.trim_end_matches(|c: char| !c.is_ascii_digit()));
        digits
            .and_then(|text| text.split(',').next())
            .and_then(|text| text.trim_end_matches('G').parse().ok())
            .unwrap_or(8)
    }

    /// Applies the pending changes.
    pub fn apply_pending(&mut self) {
        for (option, value) in std::mem::take(&mut self.pending) {
            match value {
                Some(value) => self.config.insert(option, value),
                None => self.config.remove(&option),
            };
        }
    }
}

impl Cluster {
    /// Two nodes, each with a template.
    pub fn fresh(token: Token, now: Timestamp) -> Self {
        let mut cluster = Self {
            last_incarnation: 0,
            last_boot: 0,
            nodes: ["pve1", "pve2"].map(|name| (name.to_owned(), Node { online: true, ..Node::default() })).into(),
            containers: BTreeMap::new(),
            qemu: BTreeMap::new(),
            pools: BTreeMap::from([(POOL.to_owned(), "containers of the control plane".to_owned())]),
            allowed_tags: None,
            tokens: vec![token],
            tasks: TaskLog::default(),
            planned_endings: Vec::new(),
            ledger: Ledger::default(),
            backups: Ring::default(),
            broadcast: BTreeMap::new(),
        };
        for (vmid, node) in [(9000, "pve1"), (9001, "pve2")] {
            let config = template_config(vmid);
            let container = cluster.new_container(vmid, node, config, now);
            cluster.containers.insert(vmid, Container { pool: Some(POOL.to_owned()), ..container });
        }
        cluster
    }

    /// Whether the storage has room for one more container; the error text of Proxmox when it has not.
    pub fn demand_room(&self, vmid: u32) -> Result<(), String> {
        if self.containers.len() + self.qemu.len() < MAX_CONTAINERS {
            return Ok(());
        }
        Err(no_space(vmid))
    }

    /// Whether the storage of `node` has room for the disk of `vmid`.
    pub fn demand_space(&self, node: &str, vmid: u32) -> Result<(), String> {
        if self.nodes.get(node).is_some_and(|node| node.storage_full) { Err(no_space(vmid)) } else { Ok(()) }
    }

    /// Whether `vmid` is taken, by a container or a virtual machine, as the error text of Proxmox.
    pub fn demand_unused(&self, vmid: u32) -> Result<(), String> {
        let container = self.containers.get(&vmid).map(|container| ("CT", &container.node));
        let taken = container.or_else(|| self.qemu.get(&vmid).map(|guest| ("VM", &guest.node)));
        taken.map_or(Ok(()), |(kind, node)| Err(format!("{kind} {vmid} already exists on node '{node}'")))
    }

    /// A new, stopped container, which is not yet in the cluster.
    pub fn new_container(
        &mut self,
        vmid: u32,
        node: &str,
        config: BTreeMap<String, String>,
        now: Timestamp,
    ) -> Container {
        self.last_incarnation += 1;
        Container {
            vmid,
            node: node.to_owned(),
            incarnation: self.last_incarnation,
            created_at: now,
            config,
            lock: None,
            pending: BTreeMap::new(),
            snapshots: Vec::new(),
            pool: None,
            run: None,
            ha: false,
            ignores_shutdown: false,
            lease: None,
            reserved: false,
            checkpoint: false,
        }
    }

    /// Gives a container that uses DHCP an address, if one is free.
    pub fn lease_address(&mut self, vmid: u32, network: Network) -> Option<Ipv4Addr> {
        if let Some(address) = self.containers.get(&vmid)?.lease {
            return Some(address);
        }
        let taken: Vec<Ipv4Addr> = self.containers.values().filter_map(Container::address).collect();
        let free = (2..=254).map(|host| network.host(host)).find(|address| !taken.contains(address))?;
        self.containers.get_mut(&vmid)?.lease = Some(free);
        Some(free)
    }
}

fn no_space(vmid: u32) -> String {
    format!("zfs error: cannot create 'rpool/data/subvol-{vmid}-disk-0': out of space")
}

fn template_config(vmid: u32) -> BTreeMap<String, String> {
    let net0 = NetOption::parse("name=eth0,bridge=vmbr3,ip=dhcp,type=veth").with_random_mac().to_string();
    let rootfs = format!("{CONTAINER_STORAGE}:basevol-{vmid}-disk-0,size=8G");
    [
        ("arch", "amd64"),
        ("cores", "2"),
        ("description", "zpack agent template"),
        ("features", "nesting=1"),
        ("hostname", "zpack-agent"),
        ("memory", "1024"),
        ("net0", net0.as_str()),
        ("ostype", "debian"),
        ("rootfs", rootfs.as_str()),
        ("swap", "512"),
        ("template", "1"),
        ("unprivileged", "1"),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

/// What the cluster has executed: the last effects, in order.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ledger {
    seq: u64,
    entries: Ring<LedgerEntry, LEDGER_CAPACITY>,
}

/// One executed effect.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The number of the effect.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What: `clone`, `clone_undone`, `create`, `config`, `start`, `stop`, `resize`, `snapshot`, `rollback`,
    /// `template`, `backup`, `destroy`.
    pub effect: String,
    /// On which container.
    pub vmid: u32,
    /// The description of the container at that moment.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub description: Option<String>,
}

impl Ledger {
    /// Adds an effect.
    pub fn record(&mut self, at: Timestamp, effect: &str, vmid: u32, description: Option<String>) {
        self.seq += 1;
        let description = description.map(|text| text.chars().take(LEDGER_TEXT).collect());
        self.entries.push(LedgerEntry { seq: self.seq, at, effect: effect.to_owned(), vmid, description });
    }

    /// The effects that are kept, oldest first.
    pub fn entries(&self) -> impl ExactSizeIterator<Item = &LedgerEntry> {
        self.entries.iter()
    }
}

impl Cluster {
    /// Records an effect on a container.
    pub fn note(&mut self, at: Timestamp, effect: &str, vmid: u32) {
        let description = self.containers.get(&vmid).and_then(|container| container.config.get("description").cloned());
        self.ledger.record(at, effect, vmid, description);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ledger_keeps_the_last_effects_with_short_descriptions() {
        let (mut ledger, now) = (Ledger::default(), Timestamp::from_millis(0));
        for _ in 0..LEDGER_CAPACITY + 5 {
            ledger.record(now, "start", 5000, Some("d".repeat(2 * LEDGER_TEXT)));
        }
        assert_eq!(ledger.entries().len(), LEDGER_CAPACITY);
        let first = ledger.entries().next().unwrap();
        assert_eq!((first.seq, first.description.as_ref().unwrap().len()), (6, LEDGER_TEXT));
    }

    #[test]
    fn a_full_storage_takes_no_more_containers() {
        let now = Timestamp::from_millis(0);
        let mut cluster = Cluster::fresh(Token::control_plane("zpack@pve!ctl", "secret".to_owned()), now);
        for vmid in 10_000.. {
            if cluster.demand_room(vmid).is_err() {
                break;
            }
            let container = cluster.new_container(vmid, "pve1", BTreeMap::new(), now);
            cluster.containers.insert(vmid, container);
        }
        assert_eq!(cluster.containers.len(), MAX_CONTAINERS);
        assert!(cluster.demand_room(5000).unwrap_err().contains("out of space"));
    }

    #[test]
    fn the_oldest_backups_make_room() {
        let now = Timestamp::from_millis(0);
        let mut cluster = Cluster::fresh(Token::control_plane("zpack@pve!ctl", "secret".to_owned()), now);
        let job = super::super::task::Job::Backup { vmids: vec![9000], notes: String::new() };
        for _ in 0..BACKUP_CAPACITY + 5 {
            cluster.apply("pve1", &job, Network([7, 8]), now).unwrap();
        }
        assert_eq!(cluster.backups.len(), BACKUP_CAPACITY);
    }
}
