//! `…/tasks`.

use serde_json::{Value, json};

use super::super::Proxmox;
use super::super::access::Token;
use super::super::answer::{Answer, Refusal};
use super::super::api::Call;
use super::super::model::Cluster;
use super::super::task::{LOST, Task};
use super::super::upid::Upid;

/// Rows of a list by default.
const PAGE: u64 = 50;

impl Proxmox {
    /// Finished tasks by default; running ones only on request.
    pub(super) fn task_list(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        let source = call.params.get("source").unwrap_or("archive");
        let fits = |task: &&Task| {
            let by_source = match source {
                "active" => task.ended.is_none(),
                "archive" => task.ended.is_some(),
                _ => true,
            };
            let text = |name: &str, value: &str| call.params.get(name).is_none_or(|wanted| wanted == value);
            let at = task.started.seconds();
            let bound = |name: &str| call.params.get(name).and_then(|text| text.parse::<i64>().ok());
            let status = task.ended.as_ref().map(|ended| ended.exitstatus.as_str());
            by_source
                && task.node == call.node()
                && text("vmid", &task.id)
                && text("typefilter", &task.kind)
                && bound("since").is_none_or(|since| at >= since)
                && bound("until").is_none_or(|until| at <= until)
                && of_user(call.params.get("userfilter"), task)
                && has_status(call, status)
                && may_see(&cluster, &call.token, task)
        };
        let rows: Vec<Value> = cluster.tasks.iter().rev().filter(fits).map(Task::row).collect();
        let total = rows.len();
        // Here a limit of 0 is none at all; in a log it is no limit.
        let data = if call.params.number("limit") == Some(0) { json!([]) } else { page(rows, call) };
        Answer { data, total: Some(total) }
    }

    /// The most recent tasks of the whole cluster. The user of a task is compared without the name of its token, so that a
    /// token sees none without Sys.Audit.
    pub(super) fn cluster_tasks(&self, call: &Call) -> Answer {
        let cluster = self.cluster();
        let all = cluster.may(&call.token, "/", &["Sys.Audit"]);
        let seen = cluster.tasks.iter().rev().filter(|_| all);
        json!(seen.take(25).map(Task::row).collect::<Vec<_>>()).into()
    }

    /// The status of a task.
    pub(super) fn task_status(&self, call: &Call) -> Result<Answer, Refusal> {
        self.with_task(call, |task| Answer::from(task.status()))
    }

    /// The log of a task.
    pub(super) fn task_log(&self, call: &Call) -> Result<Answer, Refusal> {
        self.with_task(call, |task| {
            let mut lines = task.lines();
            if lines.is_empty() {
                lines.push("no content".to_owned());
            }
            let total = lines.len();
            let rows = lines.iter().enumerate().map(|(at, line)| json!({"n": at + 1, "t": line})).collect();
            Answer { data: page(rows, call), total: Some(total) }
        })
    }

    /// Kills the worker of a task; its locks may stay.
    pub(super) fn task_kill(&self, call: &Call) -> Result<Answer, Refusal> {
        let upid = self.with_task(call, |task| task.upid.clone())?;
        self.kill(&upid, "interrupted by signal");
        Ok(Value::Null.into())
    }

    fn with_task<R>(&self, call: &Call, look: impl FnOnce(&Task) -> R) -> Result<R, Refusal> {
        let text = call.params.text("upid");
        let upid: Upid = text.parse().map_err(|error| Refusal::parameter("upid", format!("{error}\n")))?;
        let cluster = self.cluster();
        let task = cluster.tasks.find(text).filter(|_| upid.node == call.node());
        let task = task.ok_or_else(|| Refusal::parameter("upid", "no such task\n"))?;
        if !may_see(&cluster, &call.token, task) {
            cluster.demand(&call.token, &format!("/nodes/{}", task.node), &["Sys.Audit"])?;
        }
        Ok(look(task))
    }
}

/// Whether the user of a task contains `wanted`, whatever its case.
fn of_user(wanted: Option<&str>, task: &Task) -> bool {
    let user = task.user.split('!').next().unwrap_or_default().to_lowercase();
    wanted.is_none_or(|wanted| user.contains(&wanted.to_lowercase()))
}

/// Whether a task ended as `errors` or else `statusfilter` asks; one that runs is of the kind `unknown`.
fn has_status(call: &Call, exitstatus: Option<&str>) -> bool {
    let kind = match exitstatus {
        None | Some(LOST) => "unknown",
        Some("OK") => "ok",
        Some(text) if text.starts_with("WARNINGS: ") => "warning",
        Some(_) => "error",
    };
    if call.params.flag("errors") {
        return kind != "ok";
    }
    let wanted = call.params.get("statusfilter");
    wanted.is_none_or(|wanted| wanted.split([',', ';', ' ']).any(|wanted| wanted.eq_ignore_ascii_case(kind)))
}

/// A token may see its own tasks, neither those of its user nor those of other tokens; with Sys.Audit on the node all tasks.
fn may_see(cluster: &Cluster, token: &Token, task: &Task) -> bool {
    task.user == token.id || cluster.may(token, &format!("/nodes/{}", task.node), &["Sys.Audit"])
}

fn page(rows: Vec<Value>, call: &Call) -> Value {
    let start = usize::try_from(call.params.number("start").unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = match call.params.number("limit").unwrap_or(PAGE) {
        0 => usize::MAX,
        limit => usize::try_from(limit).unwrap_or(usize::MAX),
    };
    rows.into_iter().skip(start).take(limit).collect()
}
