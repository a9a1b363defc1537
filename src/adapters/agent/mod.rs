//! The agent inside each container, over HTTP (docs/contracts/agent.md).
//!
//! Speaks the complete contract and lives with today's smaller agents: what they lack is
//! [`AgentError::Unsupported`], a state they invent is [`AgentState::Unknown`]. Reading answers is `answer`, and pure.
//! Not here: streams of files, backups and consoles.
//!
//! [`AgentState::Unknown`]: crate::ports::AgentState::Unknown

mod answer;

use std::net::SocketAddr;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::http::{Answer, Call, ClientError, ClientSettings, HttpClient, Method, TransportError};
use super::tls::TlsVerify;
use crate::kernel::Secret;
use crate::ports::{Agent, AgentConfig, AgentEndpoint, AgentError, AgentReport, PowerAction};

const PEER: &str = "agent";
const MAX_BODY: usize = 64 << 10;
const KEEP_IDLE: Duration = Duration::from_secs(3);

/// Settings of the agent client.
#[derive(Clone, Copy, Debug)]
pub struct AgentSettings {
    /// The longest wait for an answer.
    pub timeout: Duration,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(2) }
    }
}

/// All agents; each call says which one.
#[derive(Clone, Debug)]
pub struct Agents {
    reads: HttpClient,
    changes: HttpClient,
    timeout: Duration,
}

impl Agents {
    /// A client for agents; connects when it is first used.
    pub fn new(settings: AgentSettings) -> Result<Self, ClientError> {
        let client = |keep_idle| {
            HttpClient::new(ClientSettings {
                peer: PEER,
                connect_timeout: settings.timeout / 2,
                keep_idle,
                tls: TlsVerify::Plain,
            })
        };
        // Connections of their own for changes: a kept one may just be closing, which leaves the outcome open.
        Ok(Self { reads: client(Some(KEEP_IDLE))?, changes: client(None)?, timeout: settings.timeout })
    }

    async fn send(
        &self,
        at: &AgentEndpoint,
        method: Method,
        path: &'static str,
        document: Option<Vec<u8>>,
    ) -> Result<Reply, AgentError> {
        let operation = format!("{} {path} at {}", if method == Method::Get { "GET" } else { "POST" }, at.address);
        let url =
            address(at, path).map_err(|detail| AgentError::Unreachable { operation: operation.clone(), detail })?;
        let mut call = Call::new(&operation, method, url).deadline(self.timeout).max_body(MAX_BODY);
        if let Some(token) = &at.token {
            call = call.authorization(Secret::new(format!("Bearer {}", token.expose())));
        }
        if let Some(document) = document {
            call = call.json(document);
        }
        let client = if method == Method::Get { &self.reads } else { &self.changes };
        match client.send(call).await {
            Ok(answer) => Ok(Reply { operation, answer }),
            Err(TransportError::NotSent { detail }) => Err(AgentError::Unreachable { operation, detail }),
            Err(error @ (TransportError::NoAnswer { .. } | TransportError::Incomplete { .. })) => {
                Err(AgentError::NoAnswer { operation, detail: error.to_string() })
            }
        }
    }
}

/// An answer and the call it belongs to.
struct Reply {
    operation: String,
    answer: Answer,
}

impl Reply {
    fn accepted(self) -> Result<(), AgentError> {
        if self.answer.is_success() { Ok(()) } else { Err(answer::refused(self.operation, &self.answer)) }
    }
}

fn address(at: &AgentEndpoint, path: &str) -> Result<Url, String> {
    let socket = SocketAddr::new(at.address, at.port);
    Url::parse(&format!("http://{socket}{path}")).map_err(|error| error.to_string())
}

#[async_trait]
impl Agent for Agents {
    async fn health(&self, at: &AgentEndpoint) -> Result<(), AgentError> {
        self.send(at, Method::Get, "/health", None).await?.accepted()
    }

    async fn ready(&self, at: &AgentEndpoint) -> Result<bool, AgentError> {
        let reply = self.send(at, Method::Get, "/ready", None).await?;
        if reply.answer.status == 503 {
            return Ok(false);
        }
        reply.accepted().map(|()| true)
    }

    async fn status(&self, at: &AgentEndpoint) -> Result<AgentReport, AgentError> {
        let Reply { operation, answer } = self.send(at, Method::Get, "/status", None).await?;
        if !answer.is_success() {
            return Err(answer::refused(operation, &answer));
        }
        answer::report(&answer.body).map_err(|detail| AgentError::Protocol { operation, detail })
    }

    async fn configure(&self, at: &AgentEndpoint, config: &AgentConfig) -> Result<(), AgentError> {
        let document = serde_json::to_vec(config).map_err(|error| AgentError::Protocol {
            operation: format!("POST /config at {}", at.address),
            detail: format!("the configuration cannot be written: {error}"),
        })?;
        self.send(at, Method::Post, "/config", Some(document)).await?.accepted()
    }

    async fn power(&self, at: &AgentEndpoint, action: PowerAction) -> Result<(), AgentError> {
        let path = match action {
            PowerAction::Start => "/start",
            PowerAction::Stop => "/stop",
            PowerAction::Restart => "/restart",
        };
        self.send(at, Method::Post, path, None).await?.accepted()
    }
}
