//! The state of a task from its status document, and the grace period of tasks without a record.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::answer::{Unreadable, rows};
use super::loose::text;
use super::refusal::end_of_task;
use super::upid::Upid;
use crate::ports::{TaskEnd, TaskState};

const REMEMBERED: usize = 256;
/// How many warnings are kept of a task, and how much of each.
const WARNINGS: usize = 10;
const WARNING_LENGTH: usize = 200;

/// Parses the status document of a task.
pub(super) fn state(data: &Value) -> Result<TaskState, Unreadable> {
    match text(data, "status").as_deref() {
        Some("running") => Ok(TaskState::Running),
        Some("stopped") => Ok(TaskState::Ended(end_of_task(text(data, "exitstatus").as_deref()))),
        Some(other) => Err(format!("a task with status `{other}`")),
        None => Err("a task without status".to_owned()),
    }
}

/// The warnings in the log of a task.
pub(super) fn warnings(data: &Value) -> Result<Vec<String>, Unreadable> {
    let lines = rows(data)?.iter().filter_map(|row| text(row, "t"));
    let warnings = lines.filter_map(|line| {
        let words = line.trim().strip_prefix("WARN")?.trim_start_matches("ING").trim_start_matches([':', ' ']);
        (!words.is_empty()).then(|| words.chars().take(WARNING_LENGTH).collect())
    });
    Ok(warnings.take(WARNINGS).collect())
}

/// The hypervisor writes the record of a task shortly after it has answered the request that started it, so "no such
/// task" counts only after a grace period. The period begins with the first such answer, so that neither a restart of
/// zpack nor the clock of the hypervisor matters.
#[derive(Debug)]
pub(super) struct Grace {
    grace: Duration,
    missed: Mutex<HashMap<String, Instant>>,
}

impl Grace {
    /// No task is without a record so far.
    pub(super) fn new(grace: Duration) -> Self {
        Self { grace, missed: Mutex::default() }
    }

    /// The state of a task without a record at `now`.
    pub(super) fn missed(&self, upid: &Upid, now: Instant) -> TaskState {
        let mut missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        if missed.len() >= REMEMBERED && !missed.contains_key(upid.as_str()) {
            let oldest = missed.iter().min_by_key(|(_, since)| **since).map(|(text, _)| text.clone());
            oldest.and_then(|oldest| missed.remove(&oldest));
        }
        let since = *missed.entry(upid.as_str().to_owned()).or_insert(now);
        if now.duration_since(since) < self.grace {
            return TaskState::Running;
        }
        TaskState::Ended(TaskEnd::Unknown { message: "the hypervisor has no record of the task".to_owned() })
    }

    /// The task has a record.
    pub(super) fn found(&self, upid: &Upid) {
        self.missed.lock().unwrap_or_else(PoisonError::into_inner).remove(upid.as_str());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_task_without_a_record_is_running_at_first_and_unknown_later() {
        let grace = Grace::new(Duration::from_secs(3));
        let upid: Upid = "UPID:pve1:0002D4BF:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:".parse().unwrap();
        let start = Instant::now();
        assert_eq!(grace.missed(&upid, start), TaskState::Running);
        assert_eq!(grace.missed(&upid, start + Duration::from_secs(2)), TaskState::Running);
        for later in [3, 300] {
            let state = grace.missed(&upid, start + Duration::from_secs(later));
            assert!(matches!(state, TaskState::Ended(TaskEnd::Unknown { .. })), "{state:?}");
        }
        grace.found(&upid);
        assert_eq!(grace.missed(&upid, start + Duration::from_secs(400)), TaskState::Running);
    }

    #[test]
    fn memory_is_bounded() {
        let grace = Grace::new(Duration::from_secs(3));
        let now = Instant::now();
        for number in 0..2 * REMEMBERED {
            let text = format!("UPID:pve1:{number:08X}:0A1B2C3D:65F0A1B2:vzclone:9000:zpack@pve!ctl:");
            grace.missed(&text.parse().unwrap(), now);
        }
        assert_eq!(grace.missed.lock().unwrap().len(), REMEMBERED);
    }

    #[test]
    fn warnings_are_read_from_the_log() {
        let log = json!([
            { "n": 1, "t": "create linked clone" },
            { "n": 2, "t": "WARN: Systemd 255 detected. You may need to enable nesting." },
            { "n": 3, "t": "WARNING: Sum of all thin volume sizes" },
            { "n": 4, "t": "TASK WARNINGS: 2" },
            { "n": 5 },
        ]);
        let expected = ["Systemd 255 detected. You may need to enable nesting.", "Sum of all thin volume sizes"];
        assert_eq!(warnings(&log), Ok(expected.map(str::to_owned).to_vec()));
        assert!(warnings(&json!(null)).is_err());
    }

    #[test]
    fn the_status_document_shows_how_the_task_ended() {
        assert_eq!(state(&json!({ "status": "running" })), Ok(TaskState::Running));
        let ended = state(&json!({ "status": "stopped", "exitstatus": "OK" }));
        assert_eq!(ended, Ok(TaskState::Ended(TaskEnd::Succeeded)));
        assert!(matches!(state(&json!({ "status": "stopped" })), Ok(TaskState::Ended(TaskEnd::Unknown { .. }))));
        for wrong in [json!({}), json!(null), json!({ "status": "queued" })] {
            assert!(state(&wrong).is_err(), "{wrong}");
        }
    }
}
