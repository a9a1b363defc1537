//! The zpack bridge in the Velocity proxy, over HTTP (docs/contracts/edge.md C).
//!
//! Velocity looks names up without regard to case but compares them with it, and never replaces a registration: after a
//! refusal the client looks up the existing entry, removes it in its own spelling, and registers again. After every
//! removal it lists again, because a 404 is also the answer when the name was registered in another spelling. A 404 of
//! a bridge without a listing counts as "not registered" only after the bridge has answered some call with success in
//! this process: any other server behind `VELOCITY_URL` would answer 404 to everything. The secret is sent as a hash,
//! in a header only. [`answer`] parses answers and is pure; [`proof`] checks callbacks. Elsewhere: which registrations
//! there should be (`edge`).

mod answer;
mod proof;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use url::Url;

pub use self::proof::BridgeProof;
use super::answer::Answer;
use super::held_secret::HeldSecret;
use super::http::{Call, ClientError, ClientSettings, HttpClient, Method, TransportError};
use super::tls::TlsVerify;
use super::token::{self, Token};
use crate::kernel::{Clock, DnsName, Reach, Secret, StoredSecret};
use crate::ports::{GameProxy, ProxyEntry, ProxyError, ProxyListing, Unregistered};

const PEER: &str = "velocity";
const SECRET_HEADER: &str = "x-zpack-secret";
const MAX_BODY: usize = 4 << 20;

/// Settings of the client.
#[derive(Clone, Debug)]
pub struct VelocitySettings {
    /// The root address of the bridge, for example `http://velocity.example.com:8081`.
    pub base_url: Url,
    /// The shared secret; if it is in a file, the file is read again when the secret is refused.
    pub secret: StoredSecret,
    /// The timeout of a call.
    pub timeout: Duration,
    /// How long a refused secret is not sent again.
    pub cool_down: Duration,
    /// Which addresses may be called.
    pub reach: Reach,
}

impl VelocitySettings {
    /// How long a refused secret is not sent again, unless it is set otherwise.
    pub const COOL_DOWN: Duration = token::COOL_DOWN;
}

/// The bridge.
#[derive(Clone, Debug)]
pub struct Velocity {
    client: HttpClient,
    base: Url,
    secret: Arc<HeldSecret>,
    token: Arc<Token>,
    timeout: Duration,
    /// Whether it has given an answer that only a bridge gives.
    is_bridge: Arc<AtomicBool>,
}

impl Velocity {
    /// A client of the bridge; connects on first use.
    pub fn new(settings: &VelocitySettings, clock: Clock) -> Result<Self, ClientError> {
        let client = HttpClient::new(ClientSettings {
            peer: PEER,
            connect_timeout: settings.timeout / 2,
            // Calls are rare, and one over a closing connection would leave its outcome unknown.
            keep_idle: None,
            tls: TlsVerify::SystemRoots.for_address(&settings.base_url),
            reach: settings.reach,
        })?;
        let secret = Arc::new(HeldSecret::new(settings.secret.clone()));
        let token = Token::new(secret.clone(), settings.cool_down, clock, "authentication with Velocity");
        Ok(Self {
            client,
            base: settings.base_url.clone(),
            secret,
            token: Arc::new(token),
            timeout: settings.timeout,
            is_bridge: Arc::new(AtomicBool::new(false)),
        })
    }

    /// Checks whether a callback was sent by the bridge. It shares the secret of this client: a new value that either
    /// of them reads from the file is used by both.
    pub fn proof(&self, clock: Clock) -> BridgeProof {
        BridgeProof::of(self.secret.clone(), clock)
    }

    /// Calls `route`, and repeats the call if the secret was refused and has been replaced in its file.
    async fn send(
        &self,
        operation: &str,
        method: Method,
        route: &str,
        document: Option<&Value>,
    ) -> Result<Answer, ProxyError> {
        let unauthorized = |detail| ProxyError::Unauthorized { operation: operation.to_owned(), detail };
        let mut attempt = self.token.admit(()).await.map_err(unauthorized)?;
        loop {
            let answer = self.send_once(operation, method, route, document, attempt.secret()).await;
            match &answer {
                Err(ProxyError::Unauthorized { detail, .. }) => {
                    if attempt.refused(detail).await {
                        continue;
                    }
                }
                Ok(answer) if shows_that_the_secret_is_accepted(route, answer) => attempt.accepted(),
                Ok(_) | Err(_) => {}
            }
            return answer;
        }
    }

    async fn send_once(
        &self,
        operation: &str,
        method: Method,
        route: &str,
        document: Option<&Value>,
        secret: &Secret,
    ) -> Result<Answer, ProxyError> {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["zpack", route]);
        }
        let call = Call::new(operation, method, url)
            .secret_header(SECRET_HEADER, secret.digest())
            .deadline(self.timeout)
            .max_body(MAX_BODY);
        let call = match document {
            Some(document) => call.json(document.to_string().into_bytes()),
            None => call,
        };
        let operation = operation.to_owned();
        match self.client.send(call).await {
            // The bridge answers in plain words: a firewall or a proxy in between has sent a page.
            Ok(answer) if matches!(answer.status, 401 | 403) && answer.is_page() => {
                let detail = format!("HTTP {} with a page in place of an answer", answer.status);
                Err(ProxyError::NoAnswer { operation, detail })
            }
            Ok(answer) if matches!(answer.status, 401 | 403) => Err(answer::refused(operation, &answer)),
            Ok(answer) => Ok(answer),
            Err(TransportError::NotSent { detail }) => Err(ProxyError::Unreachable { operation, detail }),
            Err(error @ TransportError::Incomplete { status: 401 | 403, is_page: false, .. }) => {
                Err(ProxyError::Unauthorized { operation, detail: error.to_string() })
            }
            Err(error @ (TransportError::NoAnswer { .. } | TransportError::Incomplete { .. })) => {
                Err(ProxyError::NoAnswer { operation, detail: error.to_string() })
            }
        }
    }

    /// One listing route; `None` when the bridge does not have it.
    async fn listing(&self, route: &str) -> Result<Option<ProxyListing>, ProxyError> {
        let operation = format!("list the servers of the proxy ({route})");
        let answer = self.send(&operation, Method::Get, route, None).await?;
        match answer.status {
            200 => match answer::listing(&answer) {
                Ok(listing) => {
                    self.is_bridge.store(true, Ordering::Relaxed);
                    Ok(Some(listing))
                }
                Err(detail) => Err(ProxyError::Protocol { operation, detail }),
            },
            404 | 405 | 501 => Ok(None),
            _ => Err(answer::refused(operation, &answer)),
        }
    }

    /// The listing, or `None` from a bridge that has no such route.
    async fn listed(&self) -> Result<Option<Vec<ProxyEntry>>, ProxyError> {
        match self.list().await {
            Ok(listing) => Ok(Some(listing.servers)),
            Err(ProxyError::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn register_once(&self, operation: &str, name: &DnsName, address: SocketAddr) -> Result<(), ProxyError> {
        let document =
            json!({"server_name": name.as_str(), "address": address.ip().to_string(), "port": address.port()});
        let answer = self.send(operation, Method::Post, "register", Some(&document)).await?;
        if !answer.is_success() {
            return Err(answer::refused(operation.to_owned(), &answer));
        }
        self.is_bridge.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Whether an entry with exactly this spelling was removed; false when there was none.
    async fn unregister_once(&self, operation: &str, spelling: &str) -> Result<bool, ProxyError> {
        let answer = self.send(operation, Method::Post, "unregister", Some(&json!({"server_name": spelling}))).await?;
        match answer.status {
            200..=299 => {
                self.is_bridge.store(true, Ordering::Relaxed);
                Ok(true)
            }
            404 => Ok(false),
            _ => Err(answer::refused(operation.to_owned(), &answer)),
        }
    }

    /// Removes what blocks the registration of `name`, unless it is the wanted registration.
    async fn clear_the_way(
        &self,
        operation: &str,
        name: &DnsName,
        address: SocketAddr,
    ) -> Result<InTheWay, ProxyError> {
        let Some(listed) = self.listed().await? else {
            let removed = self.unregister_once(operation, name.as_str()).await?;
            return Ok(if removed { InTheWay::Removed } else { InTheWay::Nothing });
        };
        let same_key: Vec<_> =
            listed.into_iter().filter(|entry| entry.name.eq_ignore_ascii_case(name.as_str())).collect();
        if same_key.iter().any(|entry| entry.name == name.as_str() && entry.address == Some(address)) {
            return Ok(InTheWay::Itself);
        }
        for entry in &same_key {
            self.unregister_once(operation, &entry.name).await?;
        }
        Ok(if same_key.is_empty() { InTheWay::Nothing } else { InTheWay::Removed })
    }
}

/// Whether only a bridge that accepted the secret gives this answer. Older bridges require none for a listing, and a
/// missing route is answered before the secret is checked.
fn shows_that_the_secret_is_accepted(route: &str, answer: &Answer) -> bool {
    route != "list" && !matches!(answer.status, 404 | 405 | 501..=504)
}

/// What was found after a registration had been refused.
enum InTheWay {
    /// Nothing: the refusal has another reason.
    Nothing,
    /// The wanted registration.
    Itself,
    /// Another registration of the name, which was removed.
    Removed,
}

/// Whether a refusal can mean that the name is taken: bridges pass on the exception of Velocity with various statuses.
fn may_be_taken(error: &ProxyError) -> bool {
    matches!(error, ProxyError::Refused { status: 400 | 409 | 422 | 500, .. })
}

#[async_trait]
impl GameProxy for Velocity {
    async fn list(&self) -> Result<ProxyListing, ProxyError> {
        for route in ["status", "list"] {
            if let Some(listing) = self.listing(route).await? {
                return Ok(listing);
            }
        }
        Err(ProxyError::Unsupported { operation: "list the servers of the proxy".to_owned() })
    }

    async fn register(&self, name: &DnsName, address: SocketAddr) -> Result<(), ProxyError> {
        let operation = format!("register {name} with the proxy");
        let refused = match self.register_once(&operation, name, address).await {
            Err(error) if may_be_taken(&error) => error,
            outcome => return outcome,
        };
        match self.clear_the_way(&operation, name, address).await? {
            InTheWay::Nothing => Err(refused),
            InTheWay::Itself => Ok(()),
            InTheWay::Removed => match self.register_once(&operation, name, address).await {
                Err(ProxyError::Refused { status: 409, .. }) => Err(ProxyError::Contested { operation }),
                outcome => outcome,
            },
        }
    }

    async fn unregister(&self, name: &str) -> Result<Unregistered, ProxyError> {
        let operation = format!("unregister {name} from the proxy");
        let removed = self.unregister_once(&operation, name).await?;
        let left = match self.listed().await? {
            Some(listed) => {
                let canonical = name.parse::<DnsName>().ok();
                let is_left = |entry: &ProxyEntry| {
                    entry.name.eq_ignore_ascii_case(name) || canonical.as_ref().is_some_and(|name| entry.means(name))
                };
                listed.into_iter().filter(is_left).collect()
            }
            // Without a listing, the answer of the bridge is the only evidence, provided that it is a bridge.
            None if self.is_bridge.load(Ordering::Relaxed) => Vec::new(),
            None => {
                let detail = "it has none of the routes of a bridge (is VELOCITY_URL right?)".to_owned();
                return Err(ProxyError::Misconfigured { operation, detail });
            }
        };
        for entry in &left {
            if !self.unregister_once(&operation, &entry.name).await? {
                return Err(ProxyError::Contested { operation });
            }
        }
        Ok(if removed || !left.is_empty() { Unregistered::Removed } else { Unregistered::WasGone })
    }
}
