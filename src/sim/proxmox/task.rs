//! Tasks: what they do, how they end, how long they are kept.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::upid::Upid;
use crate::kernel::Timestamp;

/// How many finished tasks are kept, as a real node keeps them in its index.
const RETENTION: usize = 1000;
/// How a task ends whose worker was killed.
pub const LOST: &str = "unexpected status";

/// What a task does.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// Copies a template or container; the new configuration already exists.
    Clone { source: u32, newid: u32, full: bool, pool: Option<String>, target: Option<String> },
    /// Unpacks an archive into a container whose configuration already exists.
    Create { vmid: u32, pool: Option<String>, start: bool, restored: bool },
    /// Starts.
    Start { vmid: u32 },
    /// Kills.
    Stop { vmid: u32, overrule_shutdown: bool },
    /// Shuts the container down.
    Shutdown { vmid: u32, timeout: u64, force_stop: bool },
    /// Shuts down and starts.
    Reboot { vmid: u32 },
    /// Freezes.
    Suspend { vmid: u32 },
    /// Thaws.
    Resume { vmid: u32 },
    /// Removes.
    Destroy { vmid: u32, force: bool },
    /// Grows a disk to `size` GiB.
    Resize { vmid: u32, disk: String, size: u64 },
    /// Takes a snapshot.
    Snapshot { vmid: u32, name: String, description: String },
    /// Removes a snapshot.
    DeleteSnapshot { vmid: u32, name: String },
    /// Returns to a snapshot.
    Rollback { vmid: u32, name: String, start: bool },
    /// Turns a container into a template.
    Template { vmid: u32 },
    /// Backs containers up.
    Backup { vmids: Vec<u32>, notes: String },
    /// Asks the high-availability manager to start or stop a container.
    HaRequest { vmid: u32, start: bool },
}

impl Job {
    /// The task type in the UPID.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Clone { .. } => "vzclone",
            Self::Create { restored: false, .. } => "vzcreate",
            Self::Create { restored: true, .. } => "vzrestore",
            Self::Start { .. } => "vzstart",
            Self::Stop { .. } => "vzstop",
            Self::Shutdown { .. } => "vzshutdown",
            Self::Reboot { .. } => "vzreboot",
            Self::Suspend { .. } => "vzsuspend",
            Self::Resume { .. } => "vzresume",
            Self::Destroy { .. } => "vzdestroy",
            Self::Resize { .. } => "resize",
            Self::Snapshot { .. } => "vzsnapshot",
            Self::DeleteSnapshot { .. } => "vzdelsnapshot",
            Self::Rollback { .. } => "vzrollback",
            Self::Template { .. } => "vztemplate",
            Self::Backup { .. } => "vzdump",
            Self::HaRequest { start: true, .. } => "hastart",
            Self::HaRequest { start: false, .. } => "hastop",
        }
    }

    /// The container in the UPID; a clone has its source there.
    pub fn vmid(&self) -> Option<u32> {
        match self {
            Self::Clone { source, .. } => Some(*source),
            Self::Create { vmid, .. }
            | Self::Start { vmid }
            | Self::Stop { vmid, .. }
            | Self::Shutdown { vmid, .. }
            | Self::Reboot { vmid }
            | Self::Suspend { vmid }
            | Self::Resume { vmid }
            | Self::Destroy { vmid, .. }
            | Self::Resize { vmid, .. }
            | Self::Snapshot { vmid, .. }
            | Self::DeleteSnapshot { vmid, .. }
            | Self::Rollback { vmid, .. }
            | Self::Template { vmid }
            | Self::HaRequest { vmid, .. } => Some(*vmid),
            Self::Backup { vmids, .. } => vmids.first().copied().filter(|_| vmids.len() == 1),
        }
    }

    /// The container whose flock the task holds until it ends.
    pub fn flocked(&self) -> Option<u32> {
        match self {
            // These took their lock before the task began, or do not lock.
            Self::Clone { .. } | Self::Create { .. } | Self::Backup { .. } | Self::HaRequest { .. } => None,
            Self::Start { .. }
            | Self::Stop { .. }
            | Self::Shutdown { .. }
            | Self::Reboot { .. }
            | Self::Suspend { .. }
            | Self::Resume { .. }
            | Self::Destroy { .. }
            | Self::Resize { .. }
            | Self::Snapshot { .. }
            | Self::DeleteSnapshot { .. }
            | Self::Rollback { .. }
            | Self::Template { .. } => self.vmid(),
        }
    }

    /// How long it takes, in seconds of simulated time.
    pub fn seconds(&self) -> f64 {
        match self {
            Self::Clone { full: false, .. } => 8.0,
            Self::Clone { full: true, .. } => 20.0,
            Self::Create { .. } | Self::Backup { .. } => 10.0,
            Self::Start { .. } | Self::Rollback { .. } => 3.0,
            Self::Stop { .. } | Self::Snapshot { .. } => 2.0,
            Self::Shutdown { .. } | Self::Destroy { .. } => 4.0,
            Self::Reboot { .. } => 6.0,
            Self::Suspend { .. }
            | Self::Resume { .. }
            | Self::Resize { .. }
            | Self::DeleteSnapshot { .. }
            | Self::Template { .. }
            | Self::HaRequest { .. } => 1.0,
        }
    }
}

/// How a future task ends.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlannedEnding {
    /// The exit status. With `WARNINGS: n` the work is done; `unexpected status` kills the worker half-way and leaves
    /// its locks; any other text is a failure that cleans up.
    pub exitstatus: String,
    /// The task type; any when absent.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// One task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub upid: String,
    /// Its node.
    pub node: String,
    /// Its type.
    pub kind: String,
    /// The object it works on.
    pub id: String,
    /// The token or user that started it.
    pub user: String,
    /// When it started.
    pub started: Timestamp,
    /// What it does.
    pub job: Job,
    /// Its log.
    pub log: Vec<String>,
    /// How it ended.
    pub ended: Option<Ended>,
}

/// The end of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ended {
    /// When.
    pub at: Timestamp,
    /// The exit status.
    pub exitstatus: String,
}

impl Task {
    /// The row of `/nodes/{node}/tasks/{upid}/status`.
    pub fn status(&self) -> Value {
        let parsed = self.upid.parse::<Upid>().ok();
        let (user, token) = self.user.split_once('!').map_or((self.user.as_str(), None), |(u, t)| (u, Some(t)));
        let mut row = json!({
            "upid": self.upid,
            "node": self.node,
            "pid": parsed.as_ref().map(|upid| upid.pid),
            "pstart": parsed.as_ref().map(|upid| upid.pstart),
            "starttime": self.started.seconds(),
            "type": self.kind,
            "id": self.id,
            "user": user,
            "status": if self.ended.is_some() { "stopped" } else { "running" },
        });
        if let Some(fields) = row.as_object_mut() {
            if let Some(token) = token {
                fields.insert("tokenid".to_owned(), json!(token));
            }
            if let Some(ended) = &self.ended {
                fields.insert("exitstatus".to_owned(), json!(ended.exitstatus));
            }
        }
        row
    }

    /// The row of a task list.
    pub fn row(&self) -> Value {
        let mut row = self.status();
        if let Some(fields) = row.as_object_mut() {
            fields.remove("exitstatus");
            match &self.ended {
                Some(ended) => {
                    fields.insert("status".to_owned(), json!(ended.exitstatus));
                    fields.insert("endtime".to_owned(), json!(ended.at.seconds()));
                }
                None => {
                    fields.insert("status".to_owned(), json!("RUNNING"));
                }
            }
        }
        row
    }

    /// The log with its last line, which a killed worker does not write.
    pub fn lines(&self) -> Vec<String> {
        let last = self.ended.as_ref().and_then(|ended| match ended.exitstatus.as_str() {
            "OK" => Some("TASK OK".to_owned()),
            LOST => None,
            warnings if warnings.starts_with("WARNINGS: ") => Some(format!("TASK {warnings}")),
            error => Some(format!("TASK ERROR: {error}")),
        });
        self.log.iter().cloned().chain(last).collect()
    }
}

/// The tasks that are kept, oldest first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TaskLog {
    last_pid: u32,
    tasks: Vec<Task>,
}

impl TaskLog {
    /// Begins a task.
    pub fn begin(&mut self, node: &str, user: &str, job: Job, now: Timestamp) -> String {
        self.last_pid += 1;
        let id = job.vmid().map(|vmid| vmid.to_string()).unwrap_or_default();
        let upid = Upid {
            node: node.to_owned(),
            pid: 0x1000 + self.last_pid,
            pstart: 0x0010_0000 + u64::from(self.last_pid) * 100,
            starttime: u32::try_from(now.seconds()).unwrap_or(0),
            kind: job.kind().to_owned(),
            id: id.clone(),
            user: user.to_owned(),
        }
        .to_string();
        self.tasks.push(Task {
            upid: upid.clone(),
            node: node.to_owned(),
            kind: job.kind().to_owned(),
            id,
            user: user.to_owned(),
            started: now,
            job,
            log: Vec::new(),
            ended: None,
        });
        upid
    }

    /// Adds a line to a task's log.
    pub fn log(&mut self, upid: &str, line: impl Into<String>) {
        if let Some(task) = self.tasks.iter_mut().find(|task| task.upid == upid) {
            task.log.push(line.into());
        }
    }

    /// Ends a task and drops the oldest finished ones beyond the retention.
    pub fn end(&mut self, upid: &str, exitstatus: impl Into<String>, now: Timestamp) {
        if let Some(task) = self.tasks.iter_mut().find(|task| task.upid == upid && task.ended.is_none()) {
            task.ended = Some(Ended { at: now, exitstatus: exitstatus.into() });
        }
        let finished = self.tasks.iter().filter(|task| task.ended.is_some()).count();
        let mut excess = finished.saturating_sub(RETENTION);
        self.tasks.retain(|task| {
            let forget = excess > 0 && task.ended.is_some();
            excess -= usize::from(forget);
            !forget
        });
    }

    /// One task.
    pub fn find(&self, upid: &str) -> Option<&Task> {
        self.tasks.iter().find(|task| task.upid == upid)
    }

    /// All tasks, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Task> {
        self.tasks.iter()
    }

    /// Drops finished tasks, all or one; returns how many.
    pub fn forget(&mut self, upid: Option<&str>) -> usize {
        let before = self.tasks.len();
        self.tasks.retain(|task| task.ended.is_none() || upid.is_some_and(|upid| upid != task.upid));
        before - self.tasks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_finished_tasks_are_kept_and_every_running_one() {
        let (mut tasks, now) = (TaskLog::default(), Timestamp::from_millis(0));
        let running = tasks.begin("pve1", "zpack@pve!ctl", Job::Start { vmid: 5000 }, now);
        for _ in 0..RETENTION + 5 {
            let upid = tasks.begin("pve1", "zpack@pve!ctl", Job::Stop { vmid: 5000, overrule_shutdown: false }, now);
            tasks.end(&upid, "OK", now);
        }
        assert_eq!(tasks.iter().count(), RETENTION + 1);
        assert!(tasks.find(&running).is_some());
    }
}
