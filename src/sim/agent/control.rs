//! The controls of an agent for tests: `POST /sim/agents/{vmid}` and `POST /sim/agents/next`.

use serde::Deserialize;

use super::disk::{Kind, Node, parse_path};
use super::instance::{Agent, AgentMode};
use super::state::State;
use crate::kernel::Timestamp;
use crate::sim::{ControlError, TimeScale};

/// The changes to make; a field that is absent changes nothing.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Levers {
    /// Hold the workload in this state; for the next agent only `error`, which fails its install.
    state: Option<State>,
    /// The message of state `error`.
    error: Option<String>,
    /// End the workload as a crash does, with the automatic restarts.
    #[serde(default)]
    crash: bool,
    /// Accept connections and never answer.
    hang: Option<bool>,
    /// Which agent is simulated.
    mode: Option<AgentMode>,
    /// How much later it answers, in milliseconds, not scaled.
    slow_ms: Option<u64>,
    /// The only token that it accepts.
    token: Option<String>,
    /// Players on a Minecraft server.
    players: Option<u32>,
    /// The size of the disk.
    disk_bytes: Option<u64>,
    /// Damage this backup.
    corrupt_backup: Option<String>,
    /// Put an entry on the disk that cannot be created over the wire.
    plant: Option<Plant>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Plant {
    path: String,
    symlink: Option<String>,
    #[serde(default)]
    fifo: bool,
}

impl Levers {
    /// Checks that this can be prepared for an agent that does not exist yet.
    pub fn check_next(&self) -> Result<(), ControlError> {
        let only_error = self.state.is_none_or(|state| state == State::Error);
        if only_error && !self.crash && self.plant.is_none() && self.corrupt_backup.is_none() {
            return Ok(());
        }
        let able = "the next agent can be given: state `error`, error, hang, mode, slowMs, token, players, diskBytes";
        Err(ControlError::Invalid(able.to_owned()))
    }

    /// Prepares a new agent: state `error` takes effect when it installs.
    pub fn prepare(&self, agent: &mut Agent) {
        if self.state == Some(State::Error) || self.error.is_some() {
            agent.fail_install = Some(self.error.clone().unwrap_or_else(|| "forced by the simulator".to_owned()));
        }
        self.set(agent);
    }

    /// Applies the changes to an agent.
    pub fn apply(&self, agent: &mut Agent, now: Timestamp, scale: TimeScale) -> Result<(), ControlError> {
        let plant = self.plant.as_ref().map(Plant::node).transpose()?;
        if self.crash && !agent.machine.crash(now, scale) {
            let state = agent.machine.state();
            return Err(ControlError::Invalid(format!(
                "agent {} is {state}; only a running workload can crash",
                agent.vmid
            )));
        }
        if let Some(id) = &self.corrupt_backup
            && !agent.backups.corrupt(id)
        {
            return Err(ControlError::Unknown(format!("backup {id}")));
        }
        if let Some(state) = self.state {
            agent.force(state, self.error.clone(), now);
        }
        if let Some((path, kind)) = plant {
            agent.disk.plant(&path, Node { kind, mode: 0o777, modified: now });
        }
        self.set(agent);
        agent.catch_up(now);
        Ok(())
    }

    fn set(&self, agent: &mut Agent) {
        agent.mode = self.mode.or(agent.mode);
        agent.hang = self.hang.unwrap_or(agent.hang);
        agent.slow_ms = self.slow_ms.unwrap_or(agent.slow_ms);
        if let Some(token) = &self.token {
            agent.token = Some(token.clone());
        }
        agent.players = self.players.unwrap_or(agent.players);
        agent.disk_bytes = self.disk_bytes.unwrap_or(agent.disk_bytes);
    }
}

impl Plant {
    fn node(&self) -> Result<(String, Kind), ControlError> {
        let path = parse_path(&self.path).map_err(|problem| ControlError::Invalid(problem.to_string()))?;
        let kind = match (&self.symlink, self.fifo) {
            (Some(target), false) => Kind::Symlink(target.clone()),
            (None, true) => Kind::Other,
            (_, _) => return Err(ControlError::Invalid("plant: either symlink or fifo".to_owned())),
        };
        if path.is_empty() {
            return Err(ControlError::Invalid("plant: the path is empty".to_owned()));
        }
        Ok((path, kind))
    }
}
