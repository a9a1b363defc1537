//! The exclusive job of an agent: install, backup, restore or power, never two at a time.

use serde::{Deserialize, Serialize};

use crate::kernel::{Timestamp, text_enum};

text_enum! {
    /// What kind of exclusive job runs.
    pub enum JobKind {
        /// A configuration is being installed.
        Install = "install",
        /// An archive is being written.
        Backup = "backup",
        /// An archive is being put back.
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
    /// Another job runs.
    #[error("a job of kind {} runs since {}", .0.kind, .0.started_at)]
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
    /// The workload is already in the wanted state.
    Already,
}
