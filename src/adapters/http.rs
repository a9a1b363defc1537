//! One HTTP call to a peer. The only user of the HTTP client library.
//!
//! Every call has a deadline, a bounded answer, and a log event without address, headers or bodies. There are no
//! retries, redirects, proxies or cookies. An error says whether the peer may have received the request. The adapters
//! of the peers decide what an answer means.

use std::error::Error as _;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use tokio::time::Instant;
use url::{Host, Url};

use super::answer::Answer;
use super::incoming::IncomingAnswer;
use super::names::Names;
use super::tls::{self, TlsVerify};
use crate::kernel::{Reach, Secret};

pub use super::transport::TransportError;

/// How connections to one peer are made.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The peer's name in log events.
    pub peer: &'static str,
    /// The longest wait for a connection, including the TLS handshake. Shorter than every deadline; otherwise an
    /// unreachable peer would look like one that may have received the request.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept. With `None` every call opens its own connection, so that no call can use
    /// one that the peer is just closing.
    pub keep_idle: Option<Duration>,
    /// Which certificates are accepted.
    pub tls: TlsVerify,
    /// Which addresses may be called.
    pub reach: Reach,
}

/// A client could not be created from its settings.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the HTTP client for {peer} could not be created: {detail}")]
pub struct ClientError {
    peer: &'static str,
    detail: String,
}

/// A client for one peer. Cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    peer: &'static str,
    client: reqwest::Client,
    reach: Reach,
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// The method of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Create or act.
    Post,
    /// Replace.
    Put,
    /// Change in part.
    Patch,
    /// Remove.
    Delete,
}

/// One request.
pub struct Call<'a> {
    operation: &'a str,
    method: Method,
    url: Url,
    headers: Vec<(&'static str, String)>,
    secrets: Vec<(&'static str, Secret)>,
    authorization: Option<Secret>,
    body: Body,
    deadline: Duration,
    max_body: usize,
}

enum Body {
    Empty,
    Form(Vec<(&'static str, String)>),
    Json(Vec<u8>),
}

impl<'a> Call<'a> {
    /// A request to `url`, called `operation` in log events. The default deadline is 10 s and the default limit 1 MiB.
    pub fn new(operation: &'a str, method: Method, url: Url) -> Self {
        Self {
            operation,
            method,
            url,
            headers: Vec::new(),
            secrets: Vec::new(),
            authorization: None,
            body: Body::Empty,
            deadline: Duration::from_secs(10),
            max_body: 1 << 20,
        }
    }

    /// Adds a header; its value may appear in debug output, so it must not be a secret.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Adds a header whose value is a secret.
    pub fn secret_header(mut self, name: &'static str, value: Secret) -> Self {
        self.secrets.push((name, value));
        self
    }

    /// Sets the whole value of the `Authorization` header.
    pub fn authorization(mut self, value: Secret) -> Self {
        self.authorization = Some(value);
        self
    }

    /// Sends `fields` as `application/x-www-form-urlencoded`.
    pub fn form(mut self, fields: Vec<(&'static str, String)>) -> Self {
        self.body = Body::Form(fields);
        self
    }

    /// Sends `document` as `application/json`.
    pub fn json(mut self, document: Vec<u8>) -> Self {
        self.body = Body::Json(document);
        self
    }

    /// Ends the call with an error when the answer is not complete after `deadline`.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Refuses an answer whose body is larger than `bytes`.
    pub fn max_body(mut self, bytes: usize) -> Self {
        self.max_body = bytes;
        self
    }
}

impl HttpClient {
    /// A client for the peer of `settings`.
    pub fn new(settings: ClientSettings) -> Result<Self, ClientError> {
        let peer = settings.peer;
        let refused = |detail: String| ClientError { peer, detail };
        let builder = reqwest::Client::builder()
            .user_agent(concat!("zpack/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .retry(reqwest::retry::never())
            .no_proxy()
            .http1_only()
            .connect_timeout(settings.connect_timeout);
        let builder = match settings.reach {
            Reach::Any => builder,
            reach @ Reach::Loopback => builder.dns_resolver(Names(reach)),
        };
        let builder = match settings.keep_idle {
            Some(idle) => builder.pool_idle_timeout(idle),
            None => builder.pool_max_idle_per_host(0),
        };
        let builder = match settings.tls {
            TlsVerify::SystemRoots => builder,
            TlsVerify::Authority(pem) => {
                let authorities = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
                    .map_err(|error| refused(format!("the certificate authority is unreadable: {}", causes(error))))?;
                if authorities.is_empty() {
                    return Err(refused("the certificate authority file holds no certificate".to_owned()));
                }
                builder.tls_certs_only(authorities)
            }
            TlsVerify::Fingerprints(accepted) => {
                let config = tls::pinned(accepted).map_err(|error| refused(error.to_string()))?;
                builder.tls_backend_preconfigured(config)
            }
            TlsVerify::Plain => builder.tls_certs_only([]),
            TlsVerify::Off => builder.tls_danger_accept_invalid_certs(true),
        };
        let client = builder.build().map_err(|error| refused(causes(error)))?;
        Ok(Self { peer, client, reach: settings.reach })
    }

    /// Makes one call and reads the whole answer.
    pub async fn send(&self, call: Call<'_>) -> Result<Answer, TransportError> {
        let begun = Instant::now();
        let (operation, method) = (call.operation, call.method);
        let result = self.exchange(call).await;
        let duration_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        match &result {
            Ok(answer) => {
                tracing::debug!(
                    peer = self.peer,
                    operation,
                    ?method,
                    status = answer.status,
                    duration_ms,
                    "called {}",
                    self.peer
                );
            }
            Err(error) => {
                tracing::debug!(peer = self.peer, operation, ?method, %error, duration_ms, "call to {} failed", self.peer);
            }
        }
        result
    }

    async fn exchange(&self, call: Call<'_>) -> Result<Answer, TransportError> {
        self.check(&call.url)?;
        let max_body = call.max_body;
        let request = self.request(call)?;
        let mut response = self.client.execute(request).await.map_err(unanswered)?;
        let mut incoming =
            IncomingAnswer::begin(response.status(), response.headers(), response.extensions(), max_body);
        while let Some(chunk) = response.chunk().await.map_err(|error| incoming.broken(causes(error)))? {
            incoming.add(&chunk)?;
        }
        Ok(incoming.complete())
    }

    /// Refuses an address that may not be called. Names are checked when they are resolved.
    fn check(&self, url: &Url) -> Result<(), TransportError> {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => IpAddr::V4(address),
            Some(Host::Ipv6(address)) => IpAddr::V6(address),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        self.reach.check(address).map_err(|refused| TransportError::NotSent { detail: refused.to_string() })
    }

    fn request(&self, call: Call<'_>) -> Result<reqwest::Request, TransportError> {
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
            Method::Patch => reqwest::Method::PATCH,
            Method::Delete => reqwest::Method::DELETE,
        };
        let mut builder = self.client.request(method, call.url).timeout(call.deadline);
        for (name, value) in call.headers {
            builder = builder.header(name, value);
        }
        let authorization = call.authorization.map(|secret| (AUTHORIZATION.as_str(), secret));
        for (name, secret) in call.secrets.into_iter().chain(authorization) {
            let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| TransportError::NotSent {
                detail: "the credentials are not valid in a header".to_owned(),
            })?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        let changes = matches!(call.method, Method::Post | Method::Put | Method::Patch);
        let (is_empty, builder) = match call.body {
            Body::Empty => (true, builder),
            Body::Form(fields) => (fields.is_empty(), builder.form(&fields)),
            Body::Json(document) => (false, builder.header(CONTENT_TYPE, "application/json").body(document)),
        };
        // Some servers wait for a body unless `Content-Length: 0` is sent.
        let builder = if is_empty && changes { builder.header(CONTENT_LENGTH, "0") } else { builder };
        builder.build().map_err(|error| TransportError::NotSent { detail: causes(error) })
    }
}

/// The library reports `is_connect` only for failures of the connector (name, TCP, TLS), before a byte of the request
/// is written. In all other cases, including a passed deadline, the peer may have received the request.
fn unanswered(error: reqwest::Error) -> TransportError {
    if error.is_connect() || error.is_builder() {
        TransportError::NotSent { detail: causes(error) }
    } else {
        TransportError::NoAnswer { detail: causes(error) }
    }
}

/// The causes of `error`, outermost first, without the address: the addresses of some peers contain secrets.
fn causes(error: reqwest::Error) -> String {
    let timed_out = error.is_timeout();
    let error = error.without_url();
    let mut words = Vec::new();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if words.last() != Some(&text) {
            words.push(text);
        }
        next = cause.source();
    }
    if timed_out {
        "timed out".to_owned()
    } else if words.is_empty() {
        error.to_string()
    } else {
        words.join(": ")
    }
}
