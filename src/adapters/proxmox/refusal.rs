//! Classifies the messages of the hypervisor. Its API reports nearly every refusal as a 500 with a Perl message, so the
//! class of an error is in the text; it is matched by substring, because file and line of the source may follow.

use super::label::{Access, RequestLabel};
use crate::ports::{HypervisorError, TaskEnd, TaskFailure};

/// An answer with an error status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The HTTP status.
    pub(super) status: u16,
    /// The message of the body, or else the reason phrase of the status line.
    pub(super) text: String,
    /// Refused parameters with the reasons.
    pub(super) fields: Vec<(String, String)>,
}

/// A message with a known meaning.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Meaning {
    /// A lock, a worker or the cluster file system was not available in time.
    TryLater,
    /// The container carries this configuration lock.
    Locked(String),
    /// The VMID, or something that belongs to it, exists already.
    Exists,
    /// The node has no such container.
    Missing,
    /// The storage is full.
    NoRoom,
}

const TRY_LATER: &[&str] = &[
    "got timeout",
    "got lock request timeout",
    "-locked command timed out",
    "got no worker upid",
    "unable to fork worker",
];

/// Sent by a node whose cluster file system does not answer.
const CLUSTER_FILES_DOWN: &[&str] =
    &[NOT_CHECKED, "Unable to load access control list", "unable to load access control list", "ipcc_send_rec"];

/// Sent while the permissions of the token cannot be checked.
const NOT_CHECKED: &str = "RPCEnvironment init request failed";

/// Texts of the cluster file system (pmxcfs), which was busy, restarting or without quorum when a file of it was read or written.
/// A handler or a task fails with them before it has changed that file.
const CLUSTER_FILES: &[&str] = &[
    "/etc/pve/",
    "(pmxcfs)",
    "failed to remove config file",
    "failed to move config file",
    "Transport endpoint is not connected",
    "Software caused connection abort",
];

const NO_ROOM: &[&str] = &[
    "not enough free space",
    "insufficient free space",
    "out of space",
    "No space left on device",
    "Disk quota exceeded",
    "ENOSPC",
    "unable to get any free VMID",
];

fn meaning(text: &str) -> Option<Meaning> {
    let has = |needle: &&str| text.contains(*needle);
    if let Some(lock) = lock(text) {
        Some(Meaning::Locked(lock))
    } else if TRY_LATER.iter().any(has) || lacks_quorum(text) || lacks_cluster_files(text) {
        Some(Meaning::TryLater)
    } else if NO_ROOM.iter().any(has) {
        Some(Meaning::NoRoom)
    } else if text.contains("already exists") || text.contains("File exists") {
        Some(Meaning::Exists)
    } else if CLUSTER_FILES.iter().any(has) {
        Some(Meaning::TryLater)
    } else if text.contains("onfiguration file") && text.contains("does not exist") {
        Some(Meaning::Missing)
    } else {
        None
    }
}

/// The cluster file system is read-only without quorum; only some methods check that before they write.
fn lacks_quorum(text: &str) -> bool {
    text.contains("no quorum") || (text.contains("'/etc/pve/") && text.contains("Permission denied"))
}

fn lacks_cluster_files(text: &str) -> bool {
    let gone = ["Transport endpoint is not connected", "Input/output error", "Device or resource busy"];
    CLUSTER_FILES_DOWN.iter().any(|needle| text.contains(needle))
        || (text.contains("'/etc/pve/") && gone.iter().any(|needle| text.contains(needle)))
}

/// Whether a node refused a write because it has no quorum.
pub(super) fn is_no_quorum(refusal: &Refusal) -> bool {
    lacks_quorum(&refusal.text)
}

/// Whether the cluster file system of a node does not answer.
pub(super) fn is_cluster_files_down(refusal: &Refusal) -> bool {
    lacks_cluster_files(&refusal.text)
}

/// The X of `CT is locked (X)`.
fn lock(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("is locked (")?;
    let (lock, _) = rest.split_once(')')?;
    Some(lock.to_owned())
}

/// The tag that a token without Sys.Modify may not set, where the datacenter restricts tags.
fn refused_tag(text: &str) -> Option<String> {
    let (_, rest) = text.split_once("modifying tag '")?;
    rest.split_once('\'').map(|(tag, _)| tag.to_owned())
}

/// Whether a start was refused because the container is running.
pub(super) fn is_already_running(refusal: &Refusal) -> bool {
    matches!(refusal.status, 500 | 501) && refusal.text.contains("already running")
}

/// Whether a stop was refused because the container is not running.
pub(super) fn is_not_running(refusal: &Refusal) -> bool {
    matches!(refusal.status, 500 | 501) && refusal.text.contains("not running")
}

/// Whether a VMID was refused because it is taken.
pub(super) fn is_taken(refusal: &Refusal) -> bool {
    let named = |(_, words): &(String, String)| words.contains("already exists");
    refusal.status == 400 && refusal.fields.iter().any(named)
}

/// Whether the hypervisor has no record of a task.
pub(super) fn is_unknown_task(refusal: &Refusal) -> bool {
    let named = |(_, words): &(String, String)| words.contains("no such task");
    refusal.status == 400 && (refusal.fields.iter().any(named) || refusal.text.contains("no such task"))
}

/// Whether a refusal says nothing about the token: it came from a proxy in front of the API, or the cluster file
/// system, which stores the tokens, was unavailable.
pub(super) fn says_nothing_of_the_token(refusal: &Refusal) -> bool {
    matches!(refusal.status, 502..=504) || refusal.text.contains(NOT_CHECKED)
}

/// The error for a refused request.
pub(super) fn classify(label: &RequestLabel, refusal: &Refusal) -> HypervisorError {
    let name = label.to_string();
    let detail = described(refusal);
    match refusal.status {
        400 if is_taken(refusal) => taken(label, detail),
        400 => {
            let fields =
                if refusal.fields.is_empty() { vec![("request".to_owned(), detail)] } else { refusal.fields.clone() };
            HypervisorError::Invalid { operation: name, fields }
        }
        401 => HypervisorError::Unauthorized { operation: name, detail },
        403 => match refused_tag(&refusal.text) {
            Some(tag) => HypervisorError::TagRefused { operation: name, tag },
            None => HypervisorError::Forbidden {
                operation: name,
                detail: format!("{detail}{}", hint(label, &refusal.text)),
            },
        },
        // Old releases answer 501 in some cases that are a 500 now.
        500 | 501 => by_message(label, &refusal.text, detail),
        595 => HypervisorError::Unreachable { operation: name, detail },
        // A gateway lost the answer: 596 to 599 come from the hypervisor, the others from a proxy in front of it.
        502..=504 | 596..=599 => lost(label, detail),
        300..=399 => HypervisorError::Refused {
            operation: name,
            detail: format!("{detail}: redirected; does the base address begin with https?"),
        },
        _ => HypervisorError::Refused { operation: name, detail },
    }
}

/// The error for a request whose answer did not arrive. A read can simply be repeated.
pub(super) fn lost(label: &RequestLabel, detail: String) -> HypervisorError {
    let name = label.to_string();
    match label.access() {
        Access::Read => HypervisorError::Unavailable { operation: name, detail },
        Access::Write => HypervisorError::OutcomeUnknown { operation: name, detail },
    }
}

fn by_message(label: &RequestLabel, text: &str, detail: String) -> HypervisorError {
    let name = label.to_string();
    match meaning(text) {
        Some(Meaning::TryLater) => HypervisorError::Unavailable { operation: name, detail },
        Some(Meaning::Locked(lock)) => HypervisorError::Locked { operation: name, lock },
        Some(Meaning::Exists) => taken(label, detail),
        Some(Meaning::Missing) => HypervisorError::NotFound { operation: name, detail },
        Some(Meaning::NoRoom) => HypervisorError::NoCapacity { operation: name, detail },
        None => HypervisorError::Refused { operation: name, detail },
    }
}

fn taken(label: &RequestLabel, detail: String) -> HypervisorError {
    let name = label.to_string();
    match label.claims() {
        Some(vmid) => HypervisorError::AlreadyExists { operation: name, vmid },
        None => HypervisorError::Refused { operation: name, detail },
    }
}

/// The text of a refusal.
pub(super) fn described(refusal: &Refusal) -> String {
    let mut words = if refusal.text.is_empty() { format!("status {}", refusal.status) } else { refusal.text.clone() };
    for (field, message) in &refusal.fields {
        words.push_str(&format!("; {field}: {message}"));
    }
    words
}

/// What an operator can do about a 403. When several alternatives of a rule failed, no path is named; the usual case is
/// a clone with a token whose rights are on a pool, sent without that pool.
fn hint(label: &RequestLabel, text: &str) -> String {
    let inside = text.split_once("Permission check failed (").and_then(|(_, rest)| rest.split_once(')'));
    match inside {
        Some((alternatives, _)) if alternatives.starts_with('/') => {
            let needed = alternatives.split_once(", ").map(|(path, privilege)| format!("{privilege} on {path}"));
            needed.map(|needed| format!("; the token needs {needed}")).unwrap_or_default()
        }
        None if label.claims().is_some() => {
            "; when the token has its rights on a pool, the request must name that pool".to_owned()
        }
        Some(_) | None => String::new(),
    }
}

/// The result of a task with this exit status.
pub(super) fn end_of_task(exit: Option<&str>) -> TaskEnd {
    let Some(exit) = exit.map(str::trim) else {
        return TaskEnd::Unknown { message: "the task stopped without an exit status".to_owned() };
    };
    let message = exit.to_owned();
    if exit == "OK" {
        TaskEnd::Succeeded
    } else if let Some(count) = exit.strip_prefix("WARNINGS:") {
        TaskEnd::Warned(count.trim().parse().unwrap_or(1))
    } else if exit.starts_with("unexpected status") || exit.starts_with("unable to get last line") || exit.is_empty() {
        TaskEnd::Unknown { message }
    } else if exit.starts_with("interrupted by signal") || exit.starts_with("received interrupt") {
        TaskEnd::Failed { cause: TaskFailure::Cancelled, message }
    } else {
        let cause = match meaning(exit) {
            Some(Meaning::TryLater) => TaskFailure::Unavailable,
            Some(Meaning::Locked(_)) => TaskFailure::Locked,
            Some(Meaning::NoRoom) => TaskFailure::NoCapacity,
            Some(Meaning::Missing) => TaskFailure::Missing,
            Some(Meaning::Exists) | None => TaskFailure::Refused,
        };
        TaskEnd::Failed { cause, message }
    }
}

#[cfg(test)]
#[path = "refusal_tests.rs"]
mod tests;
