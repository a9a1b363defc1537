//! Sends one request to the cluster: waits for a place among the concurrent calls, picks an endpoint, adds the token,
//! opens the envelope.
//!
//! Writes use new connections, so that none can use a kept connection that the hypervisor is just closing, which would
//! leave open whether the write was executed. Only a failed connection makes the client try the next endpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use url::Url;

use super::answer::{self, NoData, Unreadable};
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
            let answer = match self.exchange(&request, attempt.secret()).await {
                Ok(answer) => answer,
                Err(TransportError::Incomplete { status, reason, .. }) if status >= 400 => {
                    Answer { status, reason, etag: None, retry_after: None, body: Vec::new() }
                }
                Err(error) => return Err(unanswered(&label, error).into()),
            };
            let opened = answer::open(&answer);
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

    async fn exchange(&self, request: &Request, token: &Secret) -> Result<Answer, TransportError> {
        let count = self.endpoints.len();
        let preferred = self.preferred.load(Ordering::Relaxed);
        let mut last = TransportError::NotSent { detail: "no endpoint".to_owned() };
        for turn in 0..count {
            let index = preferred.wrapping_add(turn) % count;
            let Some(endpoint) = self.endpoints.get(index) else { continue };
            match self.exchange_with(endpoint, request, token).await {
                Err(TransportError::NotSent { detail }) => last = TransportError::NotSent { detail },
                done => {
                    self.preferred.store(index, Ordering::Relaxed);
                    return done;
                }
            }
        }
        Err(last)
    }

    async fn exchange_with(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        token: &Secret,
    ) -> Result<Answer, TransportError> {
        let mut url = address(&endpoint.base, &request.path);
        let in_query = matches!(request.method, Method::Get | Method::Delete);
        if in_query && !request.parameters.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.parameters);
        }
        let is_near = request.node.is_none() || request.node == endpoint.node;
        let (client, deadline, max_body) = if request.changes() {
            (&self.changes, self.deadlines.change, MAX_CHANGE)
        } else if is_near {
            (&self.reads, self.deadlines.read, MAX_READ)
        } else {
            (&self.reads, self.deadlines.remote_read, MAX_READ)
        };
        let name = request.label.to_string();
        let mut call = Call::new(&name, request.method, url)
            .authorization(authorization(token))
            .deadline(deadline)
            .max_body(max_body);
        if !in_query {
            call = call.form(request.parameters.clone());
        }
        client.send(call).await
    }
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
