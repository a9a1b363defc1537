//! The gate: which action is open in which state (pure). The table is that of docs/contracts/stripe.md 3.8.
//!
//! 402 means that a payment would allow the action, 403 that it would not. Servers of other customers are answered with
//! 404 before the gate is checked.

use crate::db::entities::standing::StandingState;
use crate::db::entities::user::Role;
use crate::kernel::{Timestamp, text_enum};
use crate::web::{ApiError, Code};

use super::store::Standing;

text_enum! {
    /// An action on an account or a server.
    pub enum Action {
        /// Create, clone or enlarge a server.
        Provision = "provision",
        /// Start, restart, wake or reinstall a server.
        Start = "start",
        /// Stop or kill a server.
        Stop = "stop",
        /// Create or restore a backup, or edit their schedule.
        WriteBackup = "write_backup",
        /// Delete a backup.
        DeleteBackup = "delete_backup",
        /// List or download backups.
        ReadBackup = "read_backup",
        /// Send a console command or follow the console.
        UseConsole = "use_console",
        /// Write, upload, rename, delete or extract files.
        WriteFile = "write_file",
        /// List, read or download files.
        ReadFile = "read_file",
        /// Pay, change the profile, log out, contact support.
        ManageAccount = "manage_account",
        /// Delete a server, explicitly.
        DeleteServer = "delete_server",
    }
}

/// The decision of the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The action is allowed.
    Allow,
    /// The action is allowed because an admin requested it; the audit log gets a `gate_override`.
    Override(Denial),
    /// The action is refused.
    Deny(Denial),
}

/// Why the gate is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The requested action.
    pub action: Action,
    /// The code of the answer; its status is 402 or 403.
    pub code: Code,
    /// The state of the owner.
    pub state: StandingState,
    /// When that state began.
    pub since: Option<Timestamp>,
}

/// The billing state from which on an action is closed.
#[derive(Clone, Copy)]
enum ClosedFrom {
    Warning,
    BackupBlocked,
    Suspended,
    Never,
}

/// Whether a manual hold closes the action.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hold {
    Closes,
    LeavesOpen,
}

const fn row(action: Action) -> (ClosedFrom, Hold) {
    match action {
        Action::Provision => (ClosedFrom::Warning, Hold::Closes),
        Action::WriteBackup | Action::DeleteBackup => (ClosedFrom::BackupBlocked, Hold::Closes),
        Action::Start | Action::UseConsole | Action::WriteFile => (ClosedFrom::Suspended, Hold::Closes),
        Action::DeleteServer => (ClosedFrom::Never, Hold::Closes),
        Action::Stop | Action::ReadBackup | Action::ReadFile | Action::ManageAccount => {
            (ClosedFrom::Never, Hold::LeavesOpen)
        }
    }
}

/// The code of the refusal if an action that is `closed` from some state on is refused in `state`.
const fn unpaid(closed: ClosedFrom, state: StandingState) -> Option<Code> {
    let suspended = match state {
        StandingState::Suspended => Some(Code::BillingSuspended),
        StandingState::Retained => Some(Code::BillingRetained),
        StandingState::PendingDeletion => Some(Code::BillingPendingDeletion),
        StandingState::Active
        | StandingState::Restored
        | StandingState::Warning
        | StandingState::FinalWarning
        | StandingState::BackupBlocked => None,
    };
    match (closed, state) {
        (ClosedFrom::Never, _) => None,
        (ClosedFrom::Warning, StandingState::Warning | StandingState::FinalWarning | StandingState::BackupBlocked) => {
            Some(Code::BillingPastDue)
        }
        (ClosedFrom::BackupBlocked, StandingState::BackupBlocked) => Some(Code::BillingBackupBlocked),
        (ClosedFrom::Warning | ClosedFrom::BackupBlocked | ClosedFrom::Suspended, _) => suspended,
    }
}

/// Decides whether `action` is allowed for an owner with this `standing`, when a user with `role` requests it.
pub fn gate(action: Action, standing: &Standing, role: Role) -> Decision {
    let (closed, hold) = row(action);
    let held = standing.manual_hold && hold == Hold::Closes;
    let code = if held { Some(Code::AccountHold) } else { unpaid(closed, standing.state) };
    let Some(code) = code else { return Decision::Allow };
    let denial = Denial { action, code, state: standing.state, since: standing.since };
    match role {
        Role::Admin => Decision::Override(denial),
        Role::Customer => Decision::Deny(denial),
    }
}

impl From<Denial> for ApiError {
    fn from(denial: Denial) -> Self {
        let error = Self::new(denial.code, denial.code.meaning()).member("state", denial.state.as_str());
        match denial.since {
            Some(since) => error.member("since", since.to_string()),
            None => error,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the contract. Columns: active, past due, final warning, backup blocked, suspended, retained,
    /// pending deletion, manual hold.
    const CONTRACT: &[(Action, [&str; 8])] = &[
        (Action::Provision, ["ok", "past_due", "past_due", "past_due", "suspended", "retained", "pending", "hold"]),
        (Action::Start, ["ok", "ok", "ok", "ok", "suspended", "retained", "pending", "hold"]),
        (Action::Stop, ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"]),
        (Action::WriteBackup, ["ok", "ok", "ok", "backup", "suspended", "retained", "pending", "hold"]),
        (Action::DeleteBackup, ["ok", "ok", "ok", "backup", "suspended", "retained", "pending", "hold"]),
        (Action::ReadBackup, ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"]),
        (Action::UseConsole, ["ok", "ok", "ok", "ok", "suspended", "retained", "pending", "hold"]),
        (Action::WriteFile, ["ok", "ok", "ok", "ok", "suspended", "retained", "pending", "hold"]),
        (Action::ReadFile, ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"]),
        (Action::ManageAccount, ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "ok"]),
        (Action::DeleteServer, ["ok", "ok", "ok", "ok", "ok", "ok", "ok", "hold"]),
    ];
    const COLUMNS: [(StandingState, bool); 8] = [
        (StandingState::Active, false),
        (StandingState::Warning, false),
        (StandingState::FinalWarning, false),
        (StandingState::BackupBlocked, false),
        (StandingState::Suspended, false),
        (StandingState::Retained, false),
        (StandingState::PendingDeletion, false),
        (StandingState::Active, true),
    ];

    fn word(decision: &Decision) -> &'static str {
        let denial = match decision {
            Decision::Allow => return "ok",
            Decision::Override(denial) | Decision::Deny(denial) => denial,
        };
        let status = denial.code.status().as_u16();
        match (denial.code, status) {
            (Code::BillingPastDue, 402) => "past_due",
            (Code::BillingBackupBlocked, 402) => "backup",
            (Code::BillingSuspended, 402) => "suspended",
            (Code::BillingRetained, 402) => "retained",
            (Code::BillingPendingDeletion, 402) => "pending",
            (Code::AccountHold, 403) => "hold",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_gate_is_the_table_of_the_contract() {
        assert_eq!(CONTRACT.iter().map(|(action, _)| *action).collect::<Vec<_>>(), Action::ALL);
        for (action, cells) in CONTRACT {
            for ((state, manual_hold), cell) in COLUMNS.into_iter().zip(cells) {
                let standing = Standing { state, manual_hold, since: None };
                let decision = gate(*action, &standing, Role::Customer);
                assert_eq!(word(&decision), *cell, "{action} in {state}, hold {manual_hold}");
                assert!(!matches!(decision, Decision::Override(_)));
                let admin = gate(*action, &standing, Role::Admin);
                assert!(!matches!(admin, Decision::Deny(_)), "{action} in {state} for an admin");
                assert_eq!(matches!(admin, Decision::Override(_)), *cell != "ok");
            }
        }
    }

    #[test]
    fn restored_is_active_and_a_hold_outweighs_an_unpaid_invoice() {
        for action in Action::ALL {
            let restored = Standing { state: StandingState::Restored, manual_hold: false, since: None };
            assert_eq!(gate(*action, &restored, Role::Customer), Decision::Allow);
        }
        let both = Standing { state: StandingState::Suspended, manual_hold: true, since: None };
        assert_eq!(word(&gate(Action::Start, &both, Role::Customer)), "hold");
    }
}
