//! Sends one request to the cluster: waits for a place among the concurrent calls, picks an endpoint, adds the token,
//! opens the envelope.
//!
//! Writes use new connections, so that none can use a kept connection that the hypervisor is just closing, which would
//! leave open whether the write was executed. `failover` says after which answers the next endpoint is asked; an endpoint
//! that answered well is asked first until it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::answer::{self, NoData, Unreadable};
use super::failover::{Decision, Met, decide};
use super::label::RequestLabel;
use super::limits::Limits;
use super::refusal::{Refusal, classify, described, lost, says_nothing_of_the_token};
use super::request::Request;
use super::settings::{Deadlines, Endpoint, ProxmoxSettings};
use crate::adapters::answer::Answer;
use crate::adapters::held_secret::HeldSecret;
use crate::adapters::http::{Call, ClientError, ClientSettings, HttpClient, Method, TransportError};
use crate::adapters::tls::TlsVerify;
use crate::adapters::token::Token;
use crate::kernel::{Clock, Secret};
use crate::ports::HypervisorError;

const PEER: &str = "proxmox";
/// The hypervisor closes idle connections after 5 s.
const KEEP_IDLE: Duration = Duration::from_secs(3);
const ROOT: &str = "/api2/json";
/// The part of its deadline that a read waits for an endpoint while another is left to ask.
const SHORTER: u32 = 3;
const MAX_READ: usize = 8 << 20;
const MAX_CHANGE: usize = 256 << 10;

/// The hypervisor client could not be created.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProxmoxSetupError {
    /// No endpoint was given.
    #[error("no endpoint of the hypervisor is given")]
    NoEndpoint,
    /// An endpoint is not an HTTP address.
    #[error("`{0}` is not the address of a hypervisor API: https://HOST:8006 is")]
    Address(String),
    /// The HTTP client could not be created.
    #[error(transparent)]
    Http(#[from] ClientError),
}

/// Why a request has no answer with data.
#[derive(Clone, Debug)]
pub(super) enum NotDone {
    /// The hypervisor answered with an error status.
    Refused(Refusal),
    /// Anything else.
    Failed(HypervisorError),
}

impl NotDone {
    /// The error of the port.
    pub(super) fn classified(self, label: &RequestLabel) -> HypervisorError {
        match self {
            Self::Refused(refusal) => classify(label, &refusal),
            Self::Failed(error) => error,
        }
    }
}

impl From<HypervisorError> for NotDone {
    fn from(error: HypervisorError) -> Self {
        Self::Failed(error)
    }
}

/// Sends requests to the cluster.
#[derive(Debug)]
pub(super) struct Client {
    reads: HttpClient,
    changes: HttpClient,
    endpoints: Vec<Endpoint>,
    preferred: AtomicUsize,
    token: Token,
    limits: Limits,
    deadlines: Deadlines,
}

impl Client {
    pub(super) fn new(settings: &ProxmoxSettings, clock: Clock) -> Result<Self, ProxmoxSetupError> {
        let first = settings.endpoints.first().ok_or(ProxmoxSetupError::NoEndpoint)?;
        let is_http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if let Some(wrong) = settings.endpoints.iter().find(|endpoint| !is_http(&endpoint.base)) {
            return Err(ProxmoxSetupError::Address(wrong.base.to_string()));
        }
        let secure = settings.endpoints.iter().find(|endpoint| endpoint.base.scheme() == "https").unwrap_or(first);
        let tls: TlsVerify = settings.tls.clone().for_address(&secure.base);
        let client = |keep_idle| {
            let connect_timeout = settings.deadlines.connect;
            let (tls, reach) = (tls.clone(), settings.reach);
            HttpClient::new(ClientSettings { peer: PEER, connect_timeout, keep_idle, tls, reach })
        };
        Ok(Self {
            reads: client(Some(KEEP_IDLE))?,
            changes: client(None)?,
            endpoints: settings.endpoints.clone(),
            preferred: AtomicUsize::new(0),
            token: Token::new(
                Arc::new(HeldSecret::new(settings.token.clone())),
                settings.deadlines.cool_down,
                clock,
                "authentication with Proxmox",
            ),
            limits: Limits::new(),
            deadlines: settings.deadlines,
        })
    }

    /// The id of the token, `user@realm!id`, without its secret.
    pub(super) fn token_id(&self) -> String {
        self.token.current().expose().split('=').next().unwrap_or_default().to_owned()
    }

    /// Sends `request` and parses its answer with `read`.
    pub(super) async fn ask<T>(
        &self,
        request: Request,
        read: impl FnOnce(&Value) -> Result<T, Unreadable>,
    ) -> Result<T, HypervisorError> {
        let label = request.label.clone();
        match self.send(request).await {
            Ok(data) => read(&data).map_err(|detail| unreadable(&label, detail)),
            Err(error) => Err(error.classified(&label)),
        }
    }

    /// Sends `request` and returns a refusal as a value, for callers to which some refusals mean success.
    pub(super) async fn send(&self, request: Request) -> Result<Value, NotDone> {
        let label = request.label.clone();
        let timeout = if request.changes() { self.deadlines.change } else { self.deadlines.remote_read };
        let Some(_place) = self.limits.enter(&request, timeout).await else {
            let detail = "not sent: too many requests are in progress".to_owned();
            return Err(HypervisorError::Unavailable { operation: label.to_string(), detail }.into());
        };
        let unauthorized = |detail| HypervisorError::Unauthorized { operation: label.to_string(), detail };
        let mut attempt = self.token.admit(()).await.map_err(unauthorized)?;
        let opened = loop {
            let opened = match self.exchange(&request, attempt.secret()).await {
                Ok(opened) => opened,
                Err(error) => return Err(unanswered(&label, error).into()),
            };
            match &opened {
                Err(NoData::Refused(refusal)) if refusal.status == 401 => {
                    if attempt.refused(&described(refusal)).await {
                        continue;
                    }
                }
                Err(NoData::Refused(refusal)) if says_nothing_of_the_token(refusal) => {}
                Err(NoData::Unreadable(_)) => {}
                Ok(_) | Err(NoData::Refused(_)) => attempt.accepted(),
            }
            break opened;
        };
        opened.map_err(|error| match error {
            NoData::Refused(refusal) => NotDone::Refused(refusal),
            NoData::Unreadable(detail) => NotDone::Failed(unreadable(&label, detail)),
        })
    }

    /// Asks the endpoints one after another, each at most once, until one gives an answer that counts.
    async fn exchange(&self, request: &Request, token: &Secret) -> Exchange {
        let count = self.endpoints.len();
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut unconnected: Vec<String> = Vec::new();
        let mut best: Option<(u8, Exchange)> = None;
        for turn in 0..count {
            let index = preferred.wrapping_add(turn) % count;
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            let result = self.exchange_with(endpoint, request, token, turn + 1 == count).await;
            let met = Met::of(&result);
            match decide(met, request.label.access()) {
                Decision::Keep => {
                    self.prefer(index);
                    return result;
                }
                Decision::LookFirst => {
                    self.prefer(index.wrapping_add(1) % count);
                    return result;
                }
                Decision::AskAnother => {}
            }
            if let Err(TransportError::NotSent { detail }) = &result {
                unconnected.push(if count == 1 { detail.clone() } else { format!("{}: {detail}", host(endpoint)) });
            }
            tracing::debug!(endpoint = host(endpoint), ?met, "no verdict of the cluster from {}", host(endpoint));
            if best.as_ref().is_none_or(|(weight, _)| met.weight() >= *weight) {
                best = Some((met.weight(), result));
            }
        }
        match best {
            Some((_, result)) if !matches!(result, Err(TransportError::NotSent { .. })) => result,
            _ => Err(TransportError::NotSent { detail: unconnected.join("; ") }),
        }
    }

    /// The endpoint to ask first from now on.
    fn prefer(&self, index: usize) {
        let before = self.preferred.swap(index, Ordering::Relaxed);
        if let (Some(old), Some(new)) = (self.endpoints.get(before), self.endpoints.get(index))
            && before != index
        {
            let (old, new) = (host(old), host(new));
            tracing::warn!(endpoint = new, "the hypervisor is asked at {new}, because {old} did not answer for it");
        }
    }

    /// One exchange with one endpoint. A read waits shorter for it while there is another to ask.
    async fn exchange_with(&self, endpoint: &Endpoint, request: &Request, token: &Secret, is_last: bool) -> Exchange {
        let mut url = address(&endpoint.base, &request.path);
        let in_query = matches!(request.method, Method::Get | Method::Delete);
        if in_query && !request.parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.parameters);
        }
        let is_near = request.node.is_none() || request.node == endpoint.node;
        let (client, deadline, max_body) = if request.changes() {
            (&self.changes, self.deadlines.change, MAX_CHANGE)
        } else {
            let whole = if is_near { self.deadlines.read } else { self.deadlines.remote_read };
            (&self.reads, if is_last { whole } else { whole / SHORTER }, MAX_READ)
        };
        let name = request.label.to_string();
        let mut call = Call::new(&name, request.method, url)
            .authorization(authorization(token))
            .deadline(deadline)
            .max_body(max_body);
        if !in_query {
            call = call.form(request.parameters.clone());
        }
        match client.send(call).await {
            Ok(answer) => Ok(answer::open(&answer)),
            Err(TransportError::Incomplete { status, reason, .. }) if status >= 400 => {
                let answer = Answer { status, reason, etag: None, retry_after: None, body: Vec::new() };
                Ok(answer::open(&answer))
            }
            Err(error) => Err(error),
        }
    }
}

/// What came of a request at one endpoint.
type Exchange = Result<Result<Value, NoData>, TransportError>;

/// Host and port of an endpoint.
fn host(endpoint: &Endpoint) -> String {
    let base = &endpoint.base;
    let port = base.port_or_known_default().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}{port}", base.host_str().unwrap_or_default())
}

fn authorization(token: &Secret) -> Secret {
    Secret::new(format!("PVEAPIToken={}", token.expose()))
}

fn address(base: &Url, path: &[String]) -> Url {
    let mut url = base.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty();
        if !base.path().trim_end_matches('/').ends_with(ROOT) {
            segments.extend(ROOT.split('/').skip(1));
        }
        segments.extend(path);
    }
    url
}

fn unanswered(label: &RequestLabel, error: TransportError) -> HypervisorError {
    match error {
        TransportError::NotSent { detail } => HypervisorError::Unreachable { operation: label.to_string(), detail },
        TransportError::NoAnswer { .. } | TransportError::Incomplete { .. } => lost(label, error.to_string()),
    }
}

pub(super) fn unreadable(label: &RequestLabel, detail: Unreadable) -> HypervisorError {
    HypervisorError::Protocol { operation: label.to_string(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_may_include_the_root_of_the_api() {
        let path = ["nodes", "pve1", "tasks", "UPID:pve1:1:zpack@pve!ctl:"].map(str::to_owned);
        for base in ["https://h:8006", "https://h:8006/", "https://h:8006/api2/json", "https://h:8006/api2/json/"] {
            let url = address(&base.parse().unwrap(), &path);
            assert_eq!(url.as_str(), "https://h:8006/api2/json/nodes/pve1/tasks/UPID:pve1:1:zpack@pve!ctl:", "{base}");
        }
        let odd = address(&"https://h:8006".parse().unwrap(), &["a/../b".to_owned()]);
        assert_eq!(odd.path(), "/api2/json/a%2F..%2Fb");
    }
}
