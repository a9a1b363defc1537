//! The exclusive job of an agent: install, backup, restore or power, one at a time.

use serde::{Deserialize, Serialize};

use crate::kernel::{Timestamp, text_enum};

text_enum! {
    /// What an exclusive job does.
    pub enum JobKind {
        /// A configuration is being installed.
        Install = "install",
        /// An archive is being written.
        Backup = "backup",
        /// An archive is being restored.
        Restore = "restore",
        /// The workload is being started or stopped.
        Power = "power",
    }
}

/// The job that excludes all others, as the `busy` answer shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// What it does.
    #[serde(rename = "job")]
    pub kind: JobKind,
    /// When it was accepted.
    pub started_at: Timestamp,
}

/// Why a command was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Another job is running.
    #[error("a job of kind {} has been running since {}", .0.kind, .0.started_at)]
    Busy(Job),
    /// There is nothing to start.
    #[error("nothing is installed")]
    NotInstalled,
}

/// How a command was accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    /// Work began.
    Begun,
    /// The workload is already in the requested state.
    Already,
}
