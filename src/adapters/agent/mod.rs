//! The agent inside each container, over HTTP (docs/contracts/agent.md).
//!
//! Implements the complete contract and works with today's smaller agents: a route they lack is
//! [`AgentError::Unsupported`], a state outside the contract is [`AgentState::Unknown`]. All agents get one token; if
//! one of them refuses it, calls to the others go on. `answer` parses the answers and is pure. Elsewhere: streams of
//! files, backups and consoles.
//!
//! [`AgentState::Unknown`]: crate::ports::AgentState::Unknown

mod answer;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use url::Url;

use super::answer::Answer;
use super::held_secret::HeldSecret;
use super::http::{Call, ClientError, ClientSettings, HttpClient, Method, TransportError};
use super::kept::{Get, KeptClient, KeptSettings};
use super::tls::TlsVerify;
use super::token::{self, Token};
use crate::kernel::{Clock, Reach, Secret, StoredSecret};
use crate::ports::{Agent, AgentAssignment, AgentError, AgentReport, WorkloadAction};

const PEER: &str = "agent";
const MAX_BODY: usize = 64 << 10;
const KEEP_IDLE: Duration = Duration::from_secs(3);

/// Settings of the agent client.
#[derive(Clone, Debug)]
pub struct AgentSettings {
    /// The port of every agent.
    pub port: u16,
    /// The bearer token; if it is in a file, the file is read again when the token is refused. Today's small agents
    /// require it for `/config` only.
    pub token: Option<StoredSecret>,
    /// The longest wait for an answer.
    pub timeout: Duration,
    /// How long an agent that refused the token is not called again.
    pub cool_down: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl AgentSettings {
    /// How long an agent that refused the token is not called again, unless it is set otherwise.
    pub const COOL_DOWN: Duration = token::COOL_DOWN;
}

/// The client of all agents; each call names the agent. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Agents {
    reads: KeptClient,
    changes: HttpClient,
    port: u16,
    token: Arc<Token<IpAddr>>,
    timeout: Duration,
    reach: Reach,
}

impl Agents {
    /// A client for agents; connects on first use.
    pub fn new(settings: AgentSettings, clock: Clock) -> Result<Self, ClientError> {
        let AgentSettings { port, token, timeout, cool_down, reach } = settings;
        let (reads, changes) = clients(timeout, reach)?;
        // Without a token no header is sent; an agent that requires one refuses the call.
        let held = Arc::new(HeldSecret::new(token.unwrap_or_else(|| Secret::new("").into())));
        let token = Arc::new(Token::new(held, cool_down, clock, "authentication with agents"));
        Ok(Self { reads, changes, port, token, timeout, reach })
    }

    /// The same client with the given `timeout`; the token is shared.
    pub fn within(&self, timeout: Duration) -> Result<Self, ClientError> {
        let (reads, changes) = clients(timeout, self.reach)?;
        Ok(Self { reads, changes, timeout, ..self.clone() })
    }

    /// The same client, which keeps connections for reads that are unused for `idle`.
    #[must_use]
    pub fn keeping(self, idle: Duration) -> Self {
        Self { reads: self.reads.keeping(idle), ..self }
    }

    async fn send(
        &self,
        at: IpAddr,
        method: Method,
        path: &'static str,
        document: Option<Vec<u8>>,
    ) -> Result<Reply, AgentError> {
        let operation = format!("{} {path} at {at}", if method == Method::Get { "GET" } else { "POST" });
        let kept_back = |detail| AgentError::KeptBack { operation: operation.clone(), detail };
        let mut attempt = self.token.admit(at).await.map_err(kept_back)?;
        loop {
            let reply = self.send_once(operation.clone(), at, method, path, attempt.secret(), document.clone()).await;
            match &reply {
                // A firewall or a proxy in between has answered.
                Ok(reply) if matches!(reply.answer.status, 401 | 403) && reply.answer.is_page() => {}
                Ok(reply) if matches!(reply.answer.status, 401 | 403) => {
                    let detail = format!("{operation}: {}", answer::message(&reply.answer));
                    if attempt.refused(&detail).await {
                        continue;
                    }
                }
                // These statuses are sent before the token is checked.
                Ok(reply) if matches!(reply.answer.status, 404 | 405 | 501..=504) => {}
                Ok(_) => attempt.accepted(),
                Err(_) => {}
            }
            return reply;
        }
    }

    async fn send_once(
        &self,
        operation: String,
        at: IpAddr,
        method: Method,
        path: &'static str,
        token: &Secret,
        document: Option<Vec<u8>>,
    ) -> Result<Reply, AgentError> {
        let socket = SocketAddr::new(at, self.port);
        let authorization = (!token.expose().is_empty()).then(|| Secret::new(format!("Bearer {}", token.expose())));
        let sent = if method == Method::Get {
            let get = Get {
                operation: &operation,
                at: socket,
                path,
                authorization,
                deadline: self.timeout,
                max_body: MAX_BODY,
            };
            self.reads.get(get).await
        } else {
            let url = match address(socket, path) {
                Ok(url) => url,
                Err(detail) => return Err(AgentError::Unreachable { operation, detail }),
            };
            let mut call = Call::new(&operation, method, url).deadline(self.timeout).max_body(MAX_BODY);
            if let Some(authorization) = authorization {
                call = call.authorization(authorization);
            }
            if let Some(document) = document {
                call = call.json(document);
            }
            self.changes.send(call).await
        };
        match sent {
            Ok(answer) => Ok(Reply { operation, answer }),
            Err(TransportError::NotSent { detail }) => Err(AgentError::Unreachable { operation, detail }),
            Err(error @ (TransportError::NoAnswer { .. } | TransportError::Incomplete { .. })) => {
                Err(AgentError::NoAnswer { operation, detail: error.to_string() })
            }
        }
    }
}

/// One client keeps connections, for reads. The other does not, for writes: a kept connection may be closing, which
/// would leave the outcome unknown.
fn clients(timeout: Duration, reach: Reach) -> Result<(KeptClient, HttpClient), ClientError> {
    let connect_timeout = timeout / 2;
    let reads = KeptClient::new(KeptSettings { peer: PEER, connect_timeout, keep_idle: KEEP_IDLE, reach });
    let changes = ClientSettings { peer: PEER, connect_timeout, keep_idle: None, tls: TlsVerify::Plain, reach };
    Ok((reads, HttpClient::new(changes)?))
}

/// An answer with the attempt it belongs to.
struct Reply {
    operation: String,
    answer: Answer,
}

impl Reply {
    fn accepted(self) -> Result<(), AgentError> {
        if self.answer.is_success() { Ok(()) } else { Err(answer::refused(self.operation, &self.answer)) }
    }
}

fn address(socket: SocketAddr, path: &str) -> Result<Url, String> {
    Url::parse(&format!("http://{socket}{path}")).map_err(|error| error.to_string())
}

#[async_trait]
impl Agent for Agents {
    async fn health(&self, at: IpAddr) -> Result<(), AgentError> {
        // Agents answer this route without a token, so the answer says nothing about the token.
        let operation = format!("GET /health at {at}");
        self.send_once(operation, at, Method::Get, "/health", &self.token.current(), None).await?.accepted()
    }

    async fn ready(&self, at: IpAddr) -> Result<bool, AgentError> {
        let reply = self.send(at, Method::Get, "/ready", None).await?;
        if reply.answer.status == 503 {
            return Ok(false);
        }
        reply.accepted().map(|()| true)
    }

    async fn status(&self, at: IpAddr) -> Result<AgentReport, AgentError> {
        let Reply { operation, answer } = self.send(at, Method::Get, "/status", None).await?;
        if !answer.is_success() {
            return Err(answer::refused(operation, &answer));
        }
        answer::report(&answer).map_err(|detail| AgentError::Protocol { operation, detail })
    }

    async fn configure(&self, at: IpAddr, config: &AgentAssignment) -> Result<(), AgentError> {
        let document = serde_json::to_vec(config).map_err(|error| AgentError::Protocol {
            operation: format!("POST /config at {}", at),
            detail: format!("the configuration cannot be serialized: {error}"),
        })?;
        self.send(at, Method::Post, "/config", Some(document)).await?.accepted()
    }

    async fn power(&self, at: IpAddr, action: WorkloadAction) -> Result<(), AgentError> {
        let path = match action {
            WorkloadAction::Start => "/start",
            WorkloadAction::Stop => "/stop",
            WorkloadAction::Restart => "/restart",
        };
        self.send(at, Method::Post, path, None).await?.accepted()
    }
}
