//! The points of docs/contracts/jobs.md 2d: the moments between two durable facts at which a process can vanish.

/// One point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    InsertCommit,
    Rung,
    MovedUnread,
    Read,
    Claimed,
    StepIntent,
    Unsent,
    Effect,
    StepDone,
    TerminalCommit,
    Forgotten,
    MidReap,
    MidSweep,
    MidRecovery,
}

impl CrashPoint {
    pub const ALL: &'static [Self] = &[
        Self::InsertCommit,
        Self::Rung,
        Self::MovedUnread,
        Self::Read,
        Self::Claimed,
        Self::StepIntent,
        Self::Unsent,
        Self::Effect,
        Self::StepDone,
        Self::TerminalCommit,
        Self::Forgotten,
        Self::MidReap,
        Self::MidSweep,
        Self::MidRecovery,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::InsertCommit => "insert-commit",
            Self::Rung => "lpush",
            Self::MovedUnread => "blmove-unread",
            Self::Read => "read",
            Self::Claimed => "claim",
            Self::StepIntent => "step-intent",
            Self::Unsent => "unsent",
            Self::Effect => "effect",
            Self::StepDone => "step-done",
            Self::TerminalCommit => "terminal-commit",
            Self::Forgotten => "lrem",
            Self::MidReap => "mid-reap",
            Self::MidSweep => "mid-sweep",
            Self::MidRecovery => "mid-recovery",
        }
    }

    /// Its failpoint; `None` where no code of ours runs because the answer is in transit.
    pub const fn failpoint(self) -> Option<&'static str> {
        match self {
            Self::InsertCommit => Some("enqueue.committed"),
            Self::Rung => Some("enqueue.rung"),
            Self::MovedUnread => None,
            Self::Read => Some("received"),
            Self::Claimed => Some("claimed"),
            Self::StepIntent => Some("clone_container.started"),
            Self::Unsent => Some("clone_container.locked"),
            Self::Effect => Some("clone_container.accepted"),
            Self::StepDone => Some("clone_container.done"),
            Self::TerminalCommit => Some("finished"),
            Self::Forgotten => Some("forgotten"),
            Self::MidReap => Some("reap.found"),
            Self::MidSweep => Some("sweep.offered"),
            Self::MidRecovery => Some("recover.fenced"),
        }
    }

    /// Whether the API reaches it instead of a worker.
    pub const fn is_of_the_api(self) -> bool {
        matches!(self, Self::InsertCommit | Self::Rung)
    }

    /// The point at which another worker must have died before, for this one to be reached.
    pub const fn victim(self) -> Option<&'static str> {
        match self {
            Self::MidReap => Some("received"),
            Self::MidRecovery => Some("clone_container.accepted"),
            Self::InsertCommit
            | Self::Rung
            | Self::MovedUnread
            | Self::Read
            | Self::Claimed
            | Self::StepIntent
            | Self::Unsent
            | Self::Effect
            | Self::StepDone
            | Self::TerminalCommit
            | Self::Forgotten
            | Self::MidSweep => None,
        }
    }

    /// Whether the id must still be on a processing list, because the end is not written or not acknowledged.
    pub const fn is_before_the_acknowledgement(self) -> bool {
        matches!(
            self,
            Self::MovedUnread
                | Self::Read
                | Self::Claimed
                | Self::StepIntent
                | Self::Unsent
                | Self::Effect
                | Self::StepDone
                | Self::TerminalCommit
        )
    }

    /// Whether the end of the operation must have been committed.
    pub const fn is_after_the_end(self) -> bool {
        matches!(self, Self::TerminalCommit | Self::Forgotten)
    }
}
