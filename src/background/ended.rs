//! Why a role ended although nothing asked it to stop.

use super::task::TaskName;

/// A part of the role ended although nothing asked it to, so the whole role ends. Only a restart recovers from it.
#[derive(Debug, thiserror::Error)]
pub enum TaskEnded {
    /// The task panicked: a defect.
    #[error("{task} panicked: {message}")]
    Panicked {
        /// The task.
        task: TaskName,
        /// The message of the panic.
        message: String,
    },
    /// The task returned: a defect.
    #[error("{task} ended although nothing asked it to stop")]
    Returned {
        /// The task.
        task: TaskName,
    },
    /// The task ended with an error.
    #[error("{task} failed")]
    Failed {
        /// The task.
        task: TaskName,
        /// The error.
        source: anyhow::Error,
    },
    /// Two tasks of a role have the same name, so logs and metrics could not distinguish them: a defect, found at
    /// start-up.
    #[error("two tasks are named {task}")]
    DuplicateName {
        /// The name.
        task: TaskName,
    },
    /// A role has more tasks than a runner accepts: a defect, found at start-up.
    #[error("{task} exceeds the maximum number of tasks")]
    TooMany {
        /// The first task that was refused.
        task: TaskName,
    },
}

impl TaskEnded {
    /// Whether this is a defect of zpack, which only its developers can fix.
    pub const fn is_defect(&self) -> bool {
        match self {
            Self::Panicked { .. } | Self::Returned { .. } | Self::DuplicateName { .. } | Self::TooMany { .. } => true,
            Self::Failed { .. } => false,
        }
    }
}
