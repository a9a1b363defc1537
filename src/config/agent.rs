//! How the agent in a container is reached.

use std::time::Duration;

use super::key::{Key, keys};
use super::reader::{Noted, Reader, Settings};
use crate::kernel::StoredSecret;

keys! { "Agent";
    /// The port agents listen on.
    ZLH_AGENT_PORT = Key::default("ZLH_AGENT_PORT", "18888").number(1..=65_535);
    /// Proves to an agent that the request is ours. One in a file is read again when it is refused.
    ZLH_AGENT_TOKEN = Key::optional("ZLH_AGENT_TOKEN").secret().expects("at least 8 characters").example("change-me-agent-token");
    /// How long a request to an agent may take; the poller has its own, shorter limit.
    AGENT_REQUEST_TIMEOUT_MS = Key::default("AGENT_REQUEST_TIMEOUT_MS", "10000").number(100..=600_000);
}

/// How the agent in a container is reached.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The port agents listen on.
    pub port: u16,
    /// What agents know us by.
    pub token: Option<StoredSecret>,
    /// How long a request may take.
    pub request_timeout: Duration,
}

impl Settings for AgentConfig {
    fn read(env: &mut Reader<'_>) -> Result<Self, Noted> {
        let port = env.number(&ZLH_AGENT_PORT);
        let token = env.optional_stored_secret(&ZLH_AGENT_TOKEN, 8);
        let request_timeout = env.millis(&AGENT_REQUEST_TIMEOUT_MS);
        Ok(Self { port: port?, token: token?, request_timeout: request_timeout? })
    }
}
