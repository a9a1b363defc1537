//! Executes tasks: a worker waits as long as the real work takes, then makes the effect.

use std::sync::Arc;
use std::sync::PoisonError;

use tokio::sync::{OwnedMutexGuard, oneshot};

use super::Proxmox;
use super::effects::Notice;
use super::task::{Job, LOST, PlannedEnding};
use crate::sim::peer::Boot;

/// How long DHCP takes to give a container its address.
const DHCP_SECONDS: f64 = 2.0;
/// How long the high-availability manager takes to start or stop a container.
const HA_SECONDS: f64 = 5.0;
/// How long a clone takes to write the configuration of the new container.
const CONFIG_SECONDS: f64 = 1.0;
/// How long a container takes to shut down.
const SHUTDOWN_SECONDS: f64 = 4.0;

/// How a task ended.
enum Outcome {
    /// The effect was made; the exit status is `OK` or a warning.
    Done(String, Vec<Notice>),
    /// It failed and cleaned up.
    Failed(String),
    /// Nothing is cleaned up: it failed before it changed anything, or its worker was killed.
    Left(String),
}

impl Proxmox {
    /// Starts the worker of a task in the task log. `flock` is the container's lock, when the caller holds it.
    pub(super) fn launch(&self, upid: String, flock: Option<OwnedMutexGuard<()>>) {
        self.spawn_worker(upid, flock, false);
    }

    /// After a restart of the world: finishes the tasks that were running, and notifies observers of the running
    /// containers.
    pub(super) async fn resume(&self) {
        let (unfinished, running) = {
            let cluster = self.cluster();
            let unfinished: Vec<String> =
                cluster.tasks.iter().filter(|task| task.ended.is_none()).map(|task| task.upid.clone()).collect();
            let run = |ct: &super::model::Container| ct.run.as_ref().map(|run| (ct.vmid, run.boot));
            (unfinished, cluster.containers.values().filter_map(run).collect::<Vec<_>>())
        };
        for (vmid, boot) in running {
            self.announce(vmid, boot).await;
        }
        for upid in unfinished {
            self.spawn_worker(upid, None, true);
        }
    }

    /// A node that starts again starts its containers with `onboot`, whether they ran before or not, as PVE::API2::Nodes does;
    /// those under the high-availability manager are left to it.
    pub(super) fn start_all(&self, node: &str) {
        let now = self.core.clock.now();
        let upids: Vec<String> = self.change(|cluster| {
            let wanted = cluster.containers.values().filter(|container| {
                let onboot = container.config.get("onboot").is_some_and(|value| value == "1");
                container.node == node && onboot && !container.ha && !container.is_template()
            });
            let vmids: Vec<u32> = wanted.map(|container| container.vmid).collect();
            vmids.into_iter().map(|vmid| cluster.tasks.begin(node, "root@pam", Job::Start { vmid }, now)).collect()
        });
        for upid in upids {
            self.launch(upid, None);
        }
    }

    /// Kills the worker of a running task; false when there is none.
    pub(super) fn kill(&self, upid: &str, exitstatus: &'static str) -> bool {
        let worker = self.workers_alive.lock().unwrap_or_else(PoisonError::into_inner).remove(upid);
        worker.is_some_and(|worker| worker.send(exitstatus).is_ok())
    }

    fn spawn_worker(&self, upid: String, flock: Option<OwnedMutexGuard<()>>, resumed: bool) {
        let Some(me) = self.me.upgrade() else { return };
        let (kill, killed) = oneshot::channel();
        self.workers_alive.lock().unwrap_or_else(PoisonError::into_inner).insert(upid.clone(), kill);
        self.core.tasks.spawn(me.run(upid, flock, resumed, killed));
    }

    async fn run(
        self: Arc<Self>,
        upid: String,
        flock: Option<OwnedMutexGuard<()>>,
        resumed: bool,
        killed: oneshot::Receiver<&'static str>,
    ) {
        let Some((node, job, fate)) = self.change(|cluster| {
            let task = cluster.tasks.find(&upid)?;
            let (node, job) = (task.node.clone(), task.job.clone());
            Some((node, job, take_planned_ending(&mut cluster.planned_endings, &upid)))
        }) else {
            return;
        };
        let mut lock = flock;
        let outcome = tokio::select! {
            outcome = self.perform(&upid, &node, &job, fate, resumed, &mut lock) => outcome,
            Ok(exitstatus) = killed => Outcome::Left(exitstatus.to_owned()),
        };
        let exitstatus = match outcome {
            Outcome::Done(exitstatus, notices) => {
                for notice in notices {
                    self.notify(notice).await;
                }
                exitstatus
            }
            Outcome::Failed(error) => {
                self.change(|cluster| cluster.undo(&job, self.core.clock.now()));
                error
            }
            Outcome::Left(exitstatus) => exitstatus,
        };
        // The lock is released before the end of the task is visible, or the client's next call would find it held.
        drop(lock);
        self.workers_alive.lock().unwrap_or_else(PoisonError::into_inner).remove(&upid);
        let requested = exitstatus == "OK";
        self.change(|cluster| cluster.tasks.end(&upid, exitstatus, self.core.clock.now()));
        if let Job::HaRequest { vmid, start } = job
            && requested
        {
            self.core.tasks.spawn(self.clone().act_for_ha(node, vmid, start));
        }
    }

    async fn perform(
        &self,
        upid: &str,
        node: &str,
        job: &Job,
        fate: Option<String>,
        resumed: bool,
        lock: &mut Option<OwnedMutexGuard<()>>,
    ) -> Outcome {
        if let Job::Stop { vmid, overrule_shutdown: true } = job {
            self.kill_shutdowns(*vmid);
        }
        if let Some(vmid) = job.flocked().filter(|_| lock.is_none()) {
            match self.flocks.take(vmid).await {
                Ok(guard) => *lock = Some(guard),
                Err(error) => return Outcome::Failed(error.to_string()),
            }
        }
        if let Err(error) = self.first_write(node, job) {
            if let Job::Destroy { vmid, force: true } = job {
                let now = self.core.clock.now();
                for notice in self.change(|cluster| cluster.halt(*vmid, now)) {
                    self.notify(notice).await;
                }
            }
            return Outcome::Left(error);
        }
        if !resumed && let Err(error) = self.change(|cluster| cluster.begin(node, job)) {
            return Outcome::Left(error);
        }
        self.change(|cluster| cluster.tasks.log(upid, opening_line(job)));
        if let Job::Clone { newid, .. } = job {
            self.work(CONFIG_SECONDS).await;
            self.change(|cluster| {
                if let Some(container) = cluster.containers.get_mut(newid) {
                    container.reserved = false;
                }
            });
        }
        if let Some(error) = self.shut_down_in_time(job).await {
            return Outcome::Failed(error);
        }
        let warnings = match fate {
            None => "OK".to_owned(),
            Some(status) if status == "OK" => status,
            Some(status) if status.starts_with("WARNINGS: ") => {
                self.change(|cluster| cluster.tasks.log(upid, "WARN: a planned warning of the simulator"));
                status
            }
            Some(status) if status == LOST => return Outcome::Left(status),
            Some(error) => return Outcome::Failed(error),
        };
        let now = self.core.clock.now();
        match self.change(|cluster| cluster.apply(node, job, self.core.network, now)) {
            Ok(notices) => Outcome::Done(warnings, notices),
            Err(error) => Outcome::Failed(error),
        }
    }

    /// Works as long as the job takes. Only a shutdown can run out of time: that is an error, unless the container is
    /// then killed.
    async fn shut_down_in_time(&self, job: &Job) -> Option<String> {
        let Job::Shutdown { vmid, timeout, force_stop } = job else {
            self.work(job.seconds()).await;
            return None;
        };
        let timeout = f64::from(u32::try_from(*timeout).unwrap_or(u32::MAX));
        let ignores = self.cluster().containers.get(vmid).is_some_and(|container| container.ignores_shutdown);
        if !ignores && timeout >= SHUTDOWN_SECONDS {
            self.work(SHUTDOWN_SECONDS).await;
            return None;
        }
        self.work(timeout).await;
        (!force_stop).then(|| "container did not stop".to_owned())
    }

    fn kill_shutdowns(&self, vmid: u32) {
        let shutdowns: Vec<String> = {
            let cluster = self.cluster();
            let of_container = |job: &Job| matches!(job, Job::Shutdown { vmid: of, .. } if *of == vmid);
            let running = cluster.tasks.iter().filter(|task| task.ended.is_none() && of_container(&task.job));
            running.map(|task| task.upid.clone()).collect()
        };
        for upid in shutdowns {
            self.kill(&upid, "received interrupt");
        }
    }

    async fn act_for_ha(self: Arc<Self>, node: String, vmid: u32, start: bool) {
        self.work(HA_SECONDS).await;
        let now = self.core.clock.now();
        let upid = self.change(|cluster| {
            let running = cluster.containers.get(&vmid)?.run.is_some();
            let job = if start { Job::Start { vmid } } else { Job::Stop { vmid, overrule_shutdown: false } };
            (running != start).then(|| cluster.tasks.begin(&node, "root@pam", job, now))
        });
        if let Some(upid) = upid {
            self.launch(upid, None);
        }
    }

    /// Notifies the observers of containers.
    pub(super) async fn notify(&self, notice: Notice) {
        match notice {
            Notice::Up(vmid, boot) => {
                let waits = self.cluster().containers.get(&vmid).is_some_and(|container| container.uses_dhcp());
                match self.me.upgrade().filter(|_| waits) {
                    Some(me) => {
                        self.core.tasks.spawn(async move {
                            me.work(DHCP_SECONDS).await;
                            me.announce(vmid, boot).await;
                        });
                    }
                    None => self.announce(vmid, boot).await,
                }
            }
            Notice::Down(vmid) => {
                let _order = self.notices.lock().await;
                for observer in self.core.observers() {
                    observer.stopped(vmid).await;
                }
            }
            Notice::Gone(vmid) => {
                let _order = self.notices.lock().await;
                for observer in self.core.observers() {
                    observer.destroyed(vmid).await;
                }
            }
        }
    }

    /// Notifies the observers that the container has its address, unless it was stopped or started again in the
    /// meantime.
    async fn announce(&self, vmid: u32, boot: u64) {
        let _order = self.notices.lock().await;
        let announcement = self.change(|cluster| {
            let container = cluster.containers.get_mut(&vmid)?;
            let run = container.run.as_mut().filter(|run| run.boot == boot)?;
            run.addressed = true;
            Some(Boot {
                vmid,
                incarnation: container.incarnation,
                address: container.address().filter(|address| self.core.network.contains(*address)),
                hostname: container.hostname(),
                memory: container.memory(),
                description: container.config.get("description").cloned().unwrap_or_default(),
            })
        });
        if let Some(boot) = announcement {
            for observer in self.core.observers() {
                observer.started(boot.clone()).await;
            }
        }
    }
}

fn take_planned_ending(planned: &mut Vec<PlannedEnding>, upid: &str) -> Option<String> {
    let kind = upid.split(':').nth(5).unwrap_or_default();
    let at = planned.iter().position(|ending| ending.kind.as_deref().is_none_or(|wanted| wanted == kind))?;
    Some(planned.remove(at).exitstatus)
}

fn opening_line(job: &Job) -> String {
    match job {
        Job::Clone { source, full: false, .. } => {
            format!("create linked clone of mountpoint rootfs (local-zfs:basevol-{source}-disk-0)")
        }
        Job::Clone { source, newid, .. } => {
            format!("create full clone of mountpoint rootfs of CT {source} as CT {newid}")
        }
        Job::Backup { vmids, .. } => format!("INFO: starting new backup job: vzdump {vmids:?}"),
        other => format!("{} CT {}", other.kind(), other.vmid().unwrap_or(0)),
    }
}
