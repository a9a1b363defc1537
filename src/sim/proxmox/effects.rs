//! What each task changes: its checks and locks when it begins, its effect when it is done, and what is cleaned up when
//! it fails. Pure: no waiting, no I/O.

use super::model::{BRIDGES, Backup, Cluster, Container, Run, Snapshot};
use super::task::Job;
use crate::kernel::Timestamp;
use crate::sim::network::Network;

/// How many snapshots a container may have.
const MAX_SNAPSHOTS: usize = 100;

/// A notification for observers of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The container has started; the number identifies this start.
    Up(u32, u64),
    /// The container has stopped.
    Down(u32),
    /// The container is gone.
    Gone(u32),
}

/// The text for a container whose configuration file is not there.
pub fn no_config(node: &str, vmid: u32) -> String {
    format!("Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist")
}

impl Cluster {
    /// A container on a node, or the error text of Proxmox.
    pub fn on_node(&mut self, node: &str, vmid: u32) -> Result<&mut Container, String> {
        self.containers.get_mut(&vmid).filter(|ct| ct.node == node).ok_or_else(|| no_config(node, vmid))
    }

    /// The container of a task; an error when it is gone or locked.
    fn unlocked(&mut self, node: &str, vmid: u32) -> Result<&mut Container, String> {
        let container = self.on_node(node, vmid)?;
        match container.lock_refusal() {
            Some(refusal) => Err(refusal),
            None => Ok(container),
        }
    }

    fn linked_clones(&self, vmid: u32) -> bool {
        let base = format!("basevol-{vmid}-disk-0/");
        self.containers.values().any(|container| container.root_volume().contains(&base))
    }

    /// The checks and the locks of a task when it begins.
    pub fn begin(&mut self, node: &str, job: &Job) -> Result<(), String> {
        match job {
            Job::Clone { .. } | Job::Create { .. } | Job::HaRequest { .. } => Ok(()),
            Job::Start { vmid } => self.begin_start(node, *vmid),
            // Whether it runs was asked by the call; a task that finds it stopped has nothing to do.
            Job::Stop { vmid, .. } | Job::Shutdown { vmid, .. } | Job::Reboot { vmid } | Job::Suspend { vmid } => {
                self.unlocked(node, *vmid).map(|_| ())
            }
            Job::Resume { vmid } => match self.on_node(node, *vmid) {
                Ok(container) if container.checkpoint => Ok(()),
                Ok(_) | Err(_) => Err(format!(
                    "command 'lxc-checkpoint -n {vmid} -r --foreground -D /var/lib/vz/dump' failed: exit code 1"
                )),
            },
            Job::Destroy { vmid, force } => self.begin_destroy(node, *vmid, *force),
            Job::Resize { vmid, .. } => self.unlocked(node, *vmid).map(|_| ()),
            Job::Snapshot { vmid, name, .. } => {
                let container = self.unlocked(node, *vmid)?;
                if container.is_template() {
                    return Err("you can't take a snapshot if it's a template".to_owned());
                }
                if container.snapshots.iter().any(|snapshot| snapshot.name == *name) {
                    return Err(format!("snapshot name '{name}' already used"));
                }
                if container.snapshots.len() >= MAX_SNAPSHOTS {
                    return Err(format!("zfs error: cannot create snapshot '{name}': out of space"));
                }
                container.lock = Some("snapshot".to_owned());
                Ok(())
            }
            Job::DeleteSnapshot { vmid, name } => {
                let container = self.unlocked(node, *vmid)?;
                if !container.snapshots.iter().any(|snapshot| snapshot.name == *name) {
                    return Err(format!("snapshot '{name}' does not exist"));
                }
                container.lock = Some("snapshot-delete".to_owned());
                Ok(())
            }
            Job::Rollback { vmid, name, .. } => {
                let container = self.unlocked(node, *vmid)?;
                if !container.snapshots.iter().any(|snapshot| snapshot.name == *name) {
                    return Err(format!("snapshot '{name}' does not exist"));
                }
                if container.snapshots.last().is_some_and(|newest| newest.name != *name) {
                    let volume = container.root_volume();
                    return Err(format!("can't rollback, '{name}' is not most recent snapshot on '{volume}'"));
                }
                container.lock = Some("rollback".to_owned());
                Ok(())
            }
            Job::Template { vmid } => self.unlocked(node, *vmid).map(|_| ()),
            Job::Backup { vmids, .. } => {
                let errors = |_| "job errors".to_owned();
                vmids.iter().try_for_each(|vmid| self.unlocked(node, *vmid).map(|_| ())).map_err(errors)?;
                vmids.iter().try_for_each(|vmid| {
                    self.unlocked(node, *vmid).map(|container| container.lock = Some("backup".to_owned()))
                })
            }
        }
    }

    fn begin_start(&mut self, node: &str, vmid: u32) -> Result<(), String> {
        let container = self.unlocked(node, vmid)?;
        if container.is_template() {
            return Err("you can't start a CT if it's a template".to_owned());
        }
        container.apply_pending();
        let net = container.net0();
        let bridge = net.as_ref().and_then(|net| net.get("bridge"));
        match bridge.filter(|bridge| !BRIDGES.contains(bridge)) {
            Some(_) => Err(format!("startup for container '{vmid}' failed")),
            None => Ok(()),
        }
    }

    fn begin_destroy(&mut self, node: &str, vmid: u32, force: bool) -> Result<(), String> {
        let linked = self.linked_clones(vmid);
        let container = self.unlocked(node, vmid)?;
        if container.run.is_some() && !force {
            return Err(format!("unable to destroy CT {vmid} - container is running"));
        }
        if linked {
            let volume = container.root_volume();
            return Err(format!("base volume '{volume}' is still in use by linked clones"));
        }
        container.lock = Some("destroyed".to_owned());
        // Pool membership and ACLs go first, the configuration last.
        container.pool = None;
        Ok(())
    }

    /// The effect of a task that is done.
    pub fn apply(&mut self, node: &str, job: &Job, network: Network, now: Timestamp) -> Result<Vec<Notice>, String> {
        match job {
            Job::Clone { source, newid, pool, target, .. } => {
                self.demand_space(node, *newid).map_err(|error| format!("clone failed: {error}"))?;
                self.unlock(*source, "disk");
                let clone = self.on_node(node, *newid).map_err(|error| format!("clone failed: {error}"))?;
                clone.lock = None;
                clone.pool.clone_from(pool);
                if let Some(target) = target {
                    clone.node.clone_from(target);
                }
                Ok(Vec::new())
            }
            Job::Create { vmid, pool, start, .. } => {
                self.demand_space(node, *vmid).map_err(|error| format!("unable to create CT {vmid} - {error}"))?;
                let container =
                    self.on_node(node, *vmid).map_err(|error| format!("unable to create CT {vmid} - {error}"))?;
                container.lock = None;
                container.pool.clone_from(pool);
                self.note(now, "create", *vmid);
                if *start { self.start(node, *vmid, network, now) } else { Ok(Vec::new()) }
            }
            // Starting the unit of a container that runs changes nothing.
            Job::Start { vmid } if self.on_node(node, *vmid)?.run.is_some() => Ok(Vec::new()),
            Job::Start { vmid } => self.start(node, *vmid, network, now),
            Job::Stop { vmid, .. } | Job::Shutdown { vmid, .. } => {
                self.on_node(node, *vmid)?;
                Ok(self.halt(*vmid, now))
            }
            Job::Reboot { vmid } if self.on_node(node, *vmid)?.run.is_none() => Ok(Vec::new()),
            Job::Reboot { vmid } => {
                let mut notices = self.halt(*vmid, now);
                self.on_node(node, *vmid)?.apply_pending();
                notices.extend(self.start(node, *vmid, network, now)?);
                Ok(notices)
            }
            Job::Suspend { vmid } => {
                self.on_node(node, *vmid)?.checkpoint = true;
                Ok(self.halt(*vmid, now))
            }
            Job::Resume { vmid } => self.start(node, *vmid, network, now),
            Job::Destroy { vmid, .. } => {
                self.on_node(node, *vmid)?;
                let mut notices = self.halt(*vmid, now);
                self.note(now, "destroy", *vmid);
                self.containers.remove(vmid);
                notices.push(Notice::Gone(*vmid));
                Ok(notices)
            }
            Job::Resize { vmid, disk, size } => {
                let container = self.on_node(node, *vmid)?;
                if let Some(option) = container.config.get_mut(disk) {
                    let volume = option.split(",size=").next().unwrap_or_default();
                    *option = format!("{volume},size={size}G");
                }
                self.note(now, "resize", *vmid);
                Ok(Vec::new())
            }
            Job::Snapshot { vmid, name, description } => {
                let container = self.on_node(node, *vmid)?;
                container.lock = None;
                container.snapshots.push(Snapshot {
                    name: name.clone(),
                    description: description.clone(),
                    at: now,
                    config: container.config.clone(),
                });
                self.note(now, "snapshot", *vmid);
                Ok(Vec::new())
            }
            Job::DeleteSnapshot { vmid, name } => {
                let container = self.on_node(node, *vmid)?;
                container.lock = None;
                container.snapshots.retain(|snapshot| snapshot.name != *name);
                Ok(Vec::new())
            }
            Job::Rollback { vmid, name, start } => self.roll_back(node, *vmid, name, *start, network, now),
            Job::Template { vmid } => {
                let container = self.on_node(node, *vmid)?;
                container.config.insert("template".to_owned(), "1".to_owned());
                if let Some(rootfs) = container.config.get_mut("rootfs") {
                    *rootfs = rootfs.replace("subvol-", "basevol-");
                }
                self.note(now, "template", *vmid);
                Ok(Vec::new())
            }
            Job::Backup { vmids, notes } => {
                for vmid in vmids {
                    self.back_up(node, *vmid, notes, now);
                }
                Ok(Vec::new())
            }
            Job::HaRequest { .. } => Ok(Vec::new()),
        }
    }

    /// Starts a container; one that uses DHCP gets a lease.
    pub fn start(&mut self, node: &str, vmid: u32, network: Network, now: Timestamp) -> Result<Vec<Notice>, String> {
        self.last_boot += 1;
        let boot = self.last_boot;
        let container = self.on_node(node, vmid)?;
        container.checkpoint = false;
        container.run = Some(Run { since: now, boot, addressed: false });
        if container.uses_dhcp() {
            self.lease_address(vmid, network);
        }
        self.note(now, "start", vmid);
        Ok(vec![Notice::Up(vmid, boot)])
    }

    /// Stops a container; nothing happens when it is not running.
    pub fn halt(&mut self, vmid: u32, now: Timestamp) -> Vec<Notice> {
        match self.containers.get_mut(&vmid).and_then(|container| container.run.take()) {
            Some(_) => {
                self.note(now, "stop", vmid);
                vec![Notice::Down(vmid)]
            }
            None => Vec::new(),
        }
    }

    fn roll_back(
        &mut self,
        node: &str,
        vmid: u32,
        name: &str,
        start: bool,
        network: Network,
        now: Timestamp,
    ) -> Result<Vec<Notice>, String> {
        let mut notices = self.halt(vmid, now);
        let container = self.on_node(node, vmid)?;
        container.lock = None;
        if let Some(snapshot) = container.snapshots.iter().find(|snapshot| snapshot.name == name) {
            container.config = snapshot.config.clone();
            container.pending.clear();
        }
        self.note(now, "rollback", vmid);
        if start {
            notices.extend(self.start(node, vmid, network, now)?);
        }
        Ok(notices)
    }

    fn back_up(&mut self, node: &str, vmid: u32, notes: &str, now: Timestamp) {
        self.unlock(vmid, "backup");
        let Some(container) = self.containers.get(&vmid) else { return };
        let backup = Backup {
            node: node.to_owned(),
            volid: format!("local:backup/vzdump-lxc-{vmid}-{}.tar.zst", now.seconds()),
            vmid,
            at: now,
            notes: notes.to_owned(),
            config: container.config.clone(),
        };
        self.backups.push(backup);
        self.note(now, "backup", vmid);
    }

    /// What a failed task cleans up.
    pub fn undo(&mut self, job: &Job, now: Timestamp) {
        match job {
            Job::Clone { source, newid, .. } => {
                self.unlock(*source, "disk");
                self.drop_unfinished(*newid, "clone_undone", now);
            }
            Job::Create { vmid, .. } => self.drop_unfinished(*vmid, "create_undone", now),
            Job::Destroy { vmid, .. } => self.unlock(*vmid, "destroyed"),
            Job::Snapshot { vmid, .. } => self.unlock(*vmid, "snapshot"),
            Job::DeleteSnapshot { vmid, .. } => self.unlock(*vmid, "snapshot-delete"),
            Job::Rollback { vmid, .. } => self.unlock(*vmid, "rollback"),
            Job::Backup { vmids, .. } => vmids.iter().for_each(|vmid| self.unlock(*vmid, "backup")),
            Job::Start { .. }
            | Job::Stop { .. }
            | Job::Shutdown { .. }
            | Job::Reboot { .. }
            | Job::Suspend { .. }
            | Job::Resume { .. }
            | Job::Resize { .. }
            | Job::Template { .. }
            | Job::HaRequest { .. } => {}
        }
    }

    fn drop_unfinished(&mut self, vmid: u32, effect: &str, now: Timestamp) {
        if self.containers.get(&vmid).is_some_and(|container| container.lock.as_deref() == Some("create")) {
            self.note(now, effect, vmid);
            self.containers.remove(&vmid);
        }
    }

    fn unlock(&mut self, vmid: u32, lock: &str) {
        if let Some(container) = self.containers.get_mut(&vmid).filter(|ct| ct.lock.as_deref() == Some(lock)) {
            container.lock = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::proxmox::access::Token;

    #[test]
    fn a_container_takes_so_many_snapshots_and_no_more() {
        let now = Timestamp::from_millis(0);
        let mut cluster = Cluster::fresh(Token::control_plane("zpack@pve!ctl", "secret".to_owned()), now);
        let container = cluster.new_container(5000, "pve1", std::collections::BTreeMap::new(), now);
        cluster.containers.insert(5000, container);
        let mut take = |number: usize| {
            let job = Job::Snapshot { vmid: 5000, name: format!("s{number}"), description: String::new() };
            cluster.begin("pve1", &job)?;
            cluster.apply("pve1", &job, Network([7, 8]), now)
        };
        for number in 0..MAX_SNAPSHOTS {
            take(number).unwrap();
        }
        assert!(take(MAX_SNAPSHOTS).unwrap_err().contains("out of space"));
    }
}
