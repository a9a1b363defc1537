//! Merges what the hypervisor and the agent report into one status (docs/contracts/agent.md D1). Pure and total; the
//! table is written to `docs/server-status.md`.

use crate::db::entities::instance::InstanceKind;
use crate::kernel::{Timestamp, text_enum};
use crate::ports::{AgentState, PowerState};

text_enum! {
    /// The status of a server that customers see.
    pub enum ServerStatus {
        /// Its workload is running; for a dev container, its container.
        Running = "running",
        /// Its container is off, or no workload runs in it.
        Stopped = "stopped",
        /// An installation is in progress.
        Installing = "installing",
        /// Its workload is starting.
        Starting = "starting",
        /// Its workload is stopping.
        Stopping = "stopping",
        /// Its workload ended unexpectedly.
        Crashed = "crashed",
        /// Its agent could not start the workload.
        Error = "error",
        /// Not known right now.
        Unknown = "unknown",
    }
}

text_enum! {
    /// Whether the container of a server is on, as far as known.
    pub enum HostStatus {
        /// It is on.
        Online = "online",
        /// It is off, or was not observed.
        Offline = "offline",
    }
}

text_enum! {
    /// Whether the agent of a server answers, as far as known.
    pub enum AgentStatus {
        /// It answers.
        Online = "online",
        /// It does not, or was not asked.
        Offline = "offline",
    }
}

/// What is known from polling an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentSignal {
    /// It answered recently, with this state.
    Reported(AgentState),
    /// It answers, but reports no state.
    Alive,
    /// It has not answered for three intervals.
    Unresponsive,
    /// Not known: the live state cannot be read, or no one polled.
    Unknown,
}

/// The statuses of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MergedStatus {
    /// The status that customers see.
    pub status: ServerStatus,
    /// Its container.
    pub host: HostStatus,
    /// Its agent.
    pub agent: AgentStatus,
    /// The state of its workload as its agent reports it; `unknown` without a report.
    pub workload: AgentState,
}

/// Merges the power of a container with the signal of its agent.
pub const fn merge(kind: InstanceKind, power: PowerState, signal: AgentSignal) -> MergedStatus {
    let (agent, workload) = agent(power, signal);
    MergedStatus { status: status(kind, power, signal), host: host(power, signal), agent, workload }
}

const fn status(kind: InstanceKind, power: PowerState, signal: AgentSignal) -> ServerStatus {
    match (power, signal) {
        (PowerState::Stopped, _) => ServerStatus::Stopped,
        (PowerState::Unknown, AgentSignal::Unresponsive | AgentSignal::Unknown) => ServerStatus::Unknown,
        // An answer of the agent proves that the container is on, whatever the hypervisor reports.
        (PowerState::Running | PowerState::Unknown, signal) => match (kind, signal) {
            (InstanceKind::Dev, _) => ServerStatus::Running,
            (InstanceKind::Game, AgentSignal::Reported(state)) => of_workload(state),
            (InstanceKind::Game, AgentSignal::Alive | AgentSignal::Unknown) => ServerStatus::Unknown,
            (InstanceKind::Game, AgentSignal::Unresponsive) => ServerStatus::Stopped,
        },
    }
}

const fn of_workload(state: AgentState) -> ServerStatus {
    match state {
        AgentState::Installing => ServerStatus::Installing,
        AgentState::Starting => ServerStatus::Starting,
        AgentState::Running => ServerStatus::Running,
        AgentState::Stopping => ServerStatus::Stopping,
        AgentState::Stopped | AgentState::Idle => ServerStatus::Stopped,
        AgentState::Crashed => ServerStatus::Crashed,
        AgentState::Error => ServerStatus::Error,
        AgentState::Unknown => ServerStatus::Unknown,
    }
}

const fn host(power: PowerState, signal: AgentSignal) -> HostStatus {
    match (power, signal) {
        (PowerState::Running, _) | (PowerState::Unknown, AgentSignal::Reported(_) | AgentSignal::Alive) => {
            HostStatus::Online
        }
        (PowerState::Stopped, _) | (PowerState::Unknown, AgentSignal::Unresponsive | AgentSignal::Unknown) => {
            HostStatus::Offline
        }
    }
}

const fn agent(power: PowerState, signal: AgentSignal) -> (AgentStatus, AgentState) {
    match (power, signal) {
        (PowerState::Running | PowerState::Unknown, AgentSignal::Reported(state)) => (AgentStatus::Online, state),
        (PowerState::Running | PowerState::Unknown, AgentSignal::Alive) => (AgentStatus::Online, AgentState::Unknown),
        (PowerState::Stopped, _) | (_, AgentSignal::Unresponsive | AgentSignal::Unknown) => {
            (AgentStatus::Offline, AgentState::Unknown)
        }
    }
}

/// The power that counts when the hypervisor's listing and the agent's last answer have different ages: the listing is
/// up to ten seconds old, and an agent can answer only from a container that is on.
pub fn believed_power(power: Option<(PowerState, Timestamp)>, agent_seen: Option<Timestamp>) -> PowerState {
    match (power, agent_seen) {
        (Some((PowerState::Stopped, observed)), Some(seen)) if seen > observed => PowerState::Running,
        (Some((power, _)), _) => power,
        (None, _) => PowerState::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    const POWERS: [PowerState; 3] = [PowerState::Running, PowerState::Stopped, PowerState::Unknown];

    fn signals() -> Vec<(String, AgentSignal)> {
        let reported = AgentState::ALL.iter().map(|&state| (format!("`{state}`"), AgentSignal::Reported(state)));
        let rest = [
            ("answers without a state".to_owned(), AgentSignal::Alive),
            ("no answer".to_owned(), AgentSignal::Unresponsive),
            ("unknown".to_owned(), AgentSignal::Unknown),
        ];
        reported.chain(rest).collect()
    }

    fn document() -> String {
        let mut text = String::from(
            "# The status of a server\n\n\
             Written from `src/observe/status.rs` by its test; run it with `UPDATE_DOCS=1` to write it again.\n\n\
             `no answer` means for three poll intervals, `unknown` that the live state cannot be read.\n\
             An answer of the agent that is newer than a listing that says `stopped` counts instead of the listing.\n\n\
             | kind | container | agent | status | hostStatus | agentStatus | agentState |\n|---|---|---|---|---|---|---|\n",
        );
        for &kind in InstanceKind::ALL {
            for power in POWERS {
                for (words, signal) in signals() {
                    let MergedStatus { status, host, agent, workload } = merge(kind, power, signal);
                    let power = format!("{power:?}").to_lowercase();
                    writeln!(text, "| {kind} | {power} | {words} | {status} | {host} | {agent} | {workload} |")
                        .unwrap();
                }
            }
        }
        text
    }

    #[test]
    fn the_documented_table_is_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/server-status.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, document()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), document());
    }

    #[test]
    fn the_rules_of_the_agent_contract_hold() {
        let game = |power, signal| merge(InstanceKind::Game, power, signal).status;
        assert_eq!(game(PowerState::Running, AgentSignal::Reported(AgentState::Crashed)), ServerStatus::Crashed);
        assert_eq!(game(PowerState::Running, AgentSignal::Unresponsive), ServerStatus::Stopped);
        assert_eq!(game(PowerState::Stopped, AgentSignal::Reported(AgentState::Running)), ServerStatus::Stopped);
        assert_eq!(game(PowerState::Running, AgentSignal::Unknown), ServerStatus::Unknown);
        let dev = |power| merge(InstanceKind::Dev, power, AgentSignal::Unresponsive).status;
        assert_eq!(POWERS.map(dev), [ServerStatus::Running, ServerStatus::Stopped, ServerStatus::Unknown]);
    }

    #[test]
    fn a_newer_answer_of_the_agent_beats_an_old_listing() {
        let at = Timestamp::from_millis;
        let stopped = Some((PowerState::Stopped, at(1000)));
        assert_eq!(believed_power(stopped, Some(at(1001))), PowerState::Running);
        assert_eq!(believed_power(stopped, Some(at(1000))), PowerState::Stopped);
        assert_eq!(believed_power(stopped, None), PowerState::Stopped);
        assert_eq!(believed_power(None, Some(at(1))), PowerState::Unknown);
    }
}
