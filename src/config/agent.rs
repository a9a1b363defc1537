//! How zpack reaches the agents in containers.

use std::time::Duration;

use super::environment::reach;
use super::key::{Key, keys};
use super::reader::{Reader, Reported, Settings};
use crate::kernel::{Reach, StoredSecret};

keys! { "Agent";
    /// The port that agents listen on.
    ZLH_AGENT_PORT = Key::default("ZLH_AGENT_PORT", "18888").number(1..=65_535);
    /// The token zpack presents to agents. A token from a file is read again when an agent rejects it.
    ZLH_AGENT_TOKEN = Key::optional("ZLH_AGENT_TOKEN").secret().expects("at least 8 characters").example("change-me-agent-token");
    /// The timeout of a request to an agent. The poller has a shorter one of its own.
    AGENT_REQUEST_TIMEOUT_MS = Key::default("AGENT_REQUEST_TIMEOUT_MS", "10000").number(100..=600_000);
}

/// How zpack reaches the agents in containers.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The port that agents listen on.
    pub port: u16,
    /// The token zpack presents to agents.
    pub token: Option<StoredSecret>,
    /// The timeout of a request.
    pub request_timeout: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl Settings for AgentConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Reported> {
        let port = env.number(&ZLH_AGENT_PORT);
        let token = env.optional_stored_secret(&ZLH_AGENT_TOKEN, 8);
        let request_timeout = env.millis(&AGENT_REQUEST_TIMEOUT_MS);
        let reach = reach(env);
        Ok(Self { port: port?, token: token?, request_timeout: request_timeout?, reach: reach? })
    }
}
