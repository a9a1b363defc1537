//! The simulated Traefik: polls a dynamic configuration over HTTP, and forwards connections (docs/contracts/edge.md
//! E2).
//!
//! It has no API; it polls zpack. A configuration is applied when its bytes have changed; after any error the last good
//! one stays and the interval grows. An entry point that a router uses is open on the gateway of the world's network
//! (`127.x.y.1`), so worlds do not compete for ports. Like Traefik it loses the configuration when it is restarted, and
//! polls again.
//!
//! Not here: HTTP routers, TLS, middlewares, the other providers.

mod document;
mod forward;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;
use url::Url;

use self::document::{Destination, EntryPoint, Routing};
use self::forward::Forward;
use super::core::Core;
use super::error::SimError;
use super::peer::{ControlError, ControlRequest, Peer};
use super::wire::{Reply, ServerOptions, SimRequest, exchange};

/// From one poll to the next, unless a test sets another interval.
const INTERVAL: Duration = Duration::from_secs(5);
/// The shortest pause, however fast simulated time goes.
const MIN_INTERVAL: Duration = Duration::from_millis(20);
/// The longest pause after errors, in intervals.
const MAX_BACKOFF: u32 = 8;
/// How long an answer may take, in real time.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where the configuration comes from: the `http` provider of Traefik's static configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Provider {
    /// The endpoint; without it nothing is polled.
    pub url: Option<Url>,
    /// Sent as a bearer token.
    pub token: Option<String>,
    /// From one poll to the next, in simulated milliseconds.
    pub interval_ms: Option<u64>,
}

#[derive(Default)]
struct State {
    provider: Provider,
    polls: u64,
    failures: u64,
    applied: u64,
    /// Errors since the last good answer.
    in_a_row: u32,
    last_error: Option<String>,
    body: Option<Bytes>,
    routing: Routing,
    /// Entry points that could not be opened, and why.
    closed: BTreeMap<EntryPoint, String>,
}

/// The simulated Traefik.
pub struct Traefik {
    core: Arc<Core>,
    state: Mutex<State>,
    wake: Notify,
    me: Weak<Self>,
}

impl Traefik {
    /// A Traefik with the provider that was `saved`.
    pub fn new(core: Arc<Core>, saved: Option<Value>) -> Result<Arc<Self>, SimError> {
        let provider: Option<Provider> = saved
            .filter(|value| !value.is_null())
            .map(serde_json::from_value)
            .transpose()
            .map_err(|source| SimError::DamagedPeer { peer: "traefik", source })?;
        let state = Mutex::new(State { provider: provider.unwrap_or_default(), ..State::default() });
        Ok(Arc::new_cyclic(|me| Self { core, state, wake: Notify::new(), me: me.clone() }))
    }

    /// Polls `provider` from now on.
    pub fn poll(&self, provider: Provider) {
        self.locked().provider = provider;
        self.wake.notify_one();
        self.core.changed();
    }

    /// The address of the entry point with this port.
    pub fn entry_address(&self, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::V4(self.core.network.gateway()), port)
    }

    fn locked(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the configuration, as a restart does; it is polled again at once.
    fn restart(&self) {
        let mut state = self.locked();
        let provider = state.provider.clone();
        *state = State { provider, ..State::default() };
        drop(state);
        self.wake.notify_one();
    }

    async fn keep_polling(self: Arc<Self>) {
        let mut open: BTreeMap<EntryPoint, (Destination, Forward)> = BTreeMap::new();
        loop {
            let provider = self.locked().provider.clone();
            self.settle(&mut open).await;
            if let Some(url) = &provider.url {
                let asked = tokio::select! {
                    asked = fetch(url, provider.token.as_deref()) => asked,
                    () = self.core.stopping.cancelled() => break,
                };
                self.take(asked);
                self.settle(&mut open).await;
            }
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(self.pause(&provider)), if provider.url.is_some() => {}
                () = self.core.stopping.cancelled() => break,
            }
        }
        for (_, forward) in open.into_values() {
            forward.stop().await;
        }
    }

    fn pause(&self, provider: &Provider) -> Duration {
        let interval = provider.interval_ms.map_or(INTERVAL, Duration::from_millis);
        let rarer = 2u32.saturating_pow(self.locked().in_a_row).min(MAX_BACKOFF);
        self.core.scale.real(interval).max(MIN_INTERVAL).saturating_mul(rarer)
    }

    /// Applies an answer if its bytes are new; a wrong answer changes nothing.
    fn take(&self, asked: Result<Bytes, String>) {
        let mut state = self.locked();
        state.polls += 1;
        let unchanged = |body: &Bytes| state.body.as_ref() == Some(body);
        let outcome = asked.and_then(|body| match unchanged(&body) {
            true => Ok(None),
            false => document::read(&body).map(|routing| Some((body, routing))),
        });
        match outcome {
            Ok(changed) => {
                state.in_a_row = 0;
                state.last_error = None;
                if let Some((body, routing)) = changed {
                    state.applied += 1;
                    state.body = Some(body);
                    state.routing = routing;
                }
            }
            Err(error) => {
                state.failures += 1;
                state.in_a_row = state.in_a_row.saturating_add(1);
                state.last_error = Some(error);
            }
        }
    }

    /// Opens and closes entry points so that they match the routes.
    async fn settle(&self, open: &mut BTreeMap<EntryPoint, (Destination, Forward)>) {
        let routes = self.locked().routing.routes.clone();
        let leads_there =
            |at: &EntryPoint, to: &Destination| routes.get(at).is_some_and(|one| one.backend == to.backend);
        let closing: Vec<EntryPoint> =
            open.iter().filter(|(at, (to, _))| !leads_there(at, to)).map(|(at, _)| *at).collect();
        for at in closing {
            if let Some((_, forward)) = open.remove(&at) {
                forward.stop().await;
            }
        }
        let mut closed = BTreeMap::new();
        for (at, to) in routes {
            if open.contains_key(&at) {
                continue;
            }
            let address = self.entry_address(at.port);
            let bound = match at.udp {
                true => Forward::udp(address, to.backend).await,
                false => Forward::tcp(address, to.backend).await,
            };
            match bound {
                Ok(forward) => drop(open.insert(at, (to, forward))),
                Err(error) => drop(closed.insert(at, error.to_string())),
            }
        }
        self.locked().closed = closed;
    }
}

async fn fetch(url: &Url, token: Option<&str>) -> Result<Bytes, String> {
    let mut headers = vec![("accept", "application/json".to_owned())];
    headers.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
    match exchange(Method::GET, url, &headers, Bytes::new(), TIMEOUT).await {
        Ok((200, body)) => Ok(body),
        Ok((status, _)) => Err(format!("received non-ok response code: {status}")),
        Err(error) => Err(error.to_string()),
    }
}

#[async_trait]
impl Peer for Traefik {
    fn name(&self) -> &'static str {
        "traefik"
    }

    fn listener(&self) -> Option<ServerOptions> {
        None
    }

    async fn handle(&self, _request: SimRequest) -> Reply {
        Reply::text(404, "404 page not found")
    }

    fn state(&self) -> Value {
        let state = self.locked();
        let routes: Vec<Value> = state
            .routing
            .routes
            .iter()
            .map(|(at, to)| {
                json!({
                    "entryPoint": at.name(),
                    "address": self.entry_address(at.port).to_string(),
                    "router": to.router,
                    "backend": to.backend.to_string(),
                    "error": state.closed.get(at),
                })
            })
            .collect();
        json!({
            "provider": {
                "url": state.provider.url,
                "token": state.provider.token.as_ref().map(|_| "***"),
                "intervalMs": state.provider.interval_ms,
            },
            "polls": state.polls,
            "failures": state.failures,
            "applied": state.applied,
            "lastError": state.last_error,
            "routes": routes,
            "warnings": state.routing.warnings,
        })
    }

    fn save(&self) -> Value {
        // Plain data; serde_json fails on nothing in it.
        serde_json::to_value(&self.locked().provider).unwrap_or_default()
    }

    async fn begin(&self) {
        if let Some(me) = self.me.upgrade() {
            self.core.tasks.spawn(me.keep_polling());
        }
    }

    async fn control(&self, request: ControlRequest) -> Result<Value, ControlError> {
        let (method, segments) = request.route();
        match (method, segments.as_slice()) {
            ("POST", ["provider"]) => self.poll(request.parse()?),
            ("POST", ["restart"]) => self.restart(),
            _ => return Err(request.no_route()),
        }
        Ok(Peer::state(self))
    }
}
