//! What ends a role from inside.

use super::task::TaskName;

/// A part of the role ended although nothing asked it to, and with it the role. Only a restart brings it back.
#[derive(Debug, thiserror::Error)]
pub enum TaskEnded {
    /// It panicked: a defect.
    #[error("{task} panicked: {message}")]
    Panicked {
        /// Which.
        task: TaskName,
        /// What the panic said.
        message: String,
    },
    /// It returned: a defect.
    #[error("{task} ended although nothing asked it to stop")]
    Returned {
        /// Which.
        task: TaskName,
    },
    /// It gave up with an error.
    #[error("{task} failed")]
    Failed {
        /// Which.
        task: TaskName,
        /// Why.
        source: anyhow::Error,
    },
    /// Two tasks of a role have one name, so logs and metrics would mix them up: a defect, found at the start.
    #[error("{task} is there twice")]
    Twice {
        /// Which.
        task: TaskName,
    },
    /// A role has more tasks than a runner takes: a defect, found at the start.
    #[error("{task} is one task too many")]
    TooMany {
        /// The one that has no place.
        task: TaskName,
    },
}

impl TaskEnded {
    /// Whether it is a defect of zpack, which only its developers can fix.
    pub const fn is_defect(&self) -> bool {
        match self {
            Self::Panicked { .. } | Self::Returned { .. } | Self::Twice { .. } | Self::TooMany { .. } => true,
            Self::Failed { .. } => false,
        }
    }
}
