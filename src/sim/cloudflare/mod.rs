//! The simulated Cloudflare: one zone behind API v4, and the same records over DNS (docs/contracts/edge.md A and G).
//!
//! [`input`] validates and normalises, [`store`] checks a record against the others and makes batches atomic, [`list`]
//! filters and pages, [`rate`] limits, [`view`] is what resolvers get. Not simulated: other zones, other record types,
//! imports and exports, tag filters beyond their text.

mod control;
mod input;
mod list;
mod model;
mod problem;
mod rate;
mod store;
mod view;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use hyper::header::{HeaderName, RETRY_AFTER};
use serde_json::{Value, json};

use self::model::{Model, Token, is_id};
use self::problem::Problem;
use self::rate::{Left, Levers, Rate, RetryAfter};
use self::store::Store;
use super::core::Core;
use super::dns::{Served, ZoneView};
use super::error::SimError;
use super::peer::{ControlError, ControlRequest, Peer};
use super::wire::{Reply, ServerOptions, SimRequest, put};

const PEER: &str = "cloudflare";
const BASE: &str = "/client/v4";
/// The window of the rate limit, in simulated time.
const WINDOW: Duration = Duration::from_secs(300);

/// The simulated service.
pub struct Cloudflare {
    core: Arc<Core>,
    inner: Arc<Mutex<Model>>,
    rate: Mutex<Rate>,
}

/// The zone, for the DNS server.
struct View(Arc<Mutex<Model>>);

impl ZoneView for View {
    fn zones(&self) -> Vec<String> {
        vec![lock(&self.0).zone.clone()]
    }

    fn served(&self) -> Vec<Served> {
        view::served(&lock(&self.0))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The outcome of a request: a result, and for a list its `result_info`.
type Outcome = Result<(Value, Option<Value>), Problem>;

impl Cloudflare {
    /// A service with `zone`, or with what was saved.
    pub fn new(core: Arc<Core>, zone: &str, saved: Option<Value>) -> Result<Arc<Self>, SimError> {
        let model = match saved {
            Some(saved) => {
                serde_json::from_value(saved).map_err(|source| SimError::DamagedPeer { peer: PEER, source })?
            }
            None => Model::new(zone),
        };
        let rate = Mutex::new(Rate::new(core.scale.real(WINDOW)));
        Ok(Arc::new(Self { core, inner: Arc::new(Mutex::new(model)), rate }))
    }

    /// The id of the zone.
    pub fn zone_id(&self) -> String {
        self.model().zone_id.clone()
    }

    /// The name of the zone.
    pub fn zone(&self) -> String {
        self.model().zone.clone()
    }

    /// A token with every permission in the zone.
    pub fn token(&self) -> String {
        self.model().tokens.first().map(|token| token.value.clone()).unwrap_or_default()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.inner)
    }

    /// The token of the request, whatever its permissions.
    fn token_of(&self, model: &Model, request: &SimRequest) -> Result<Option<Token>, Problem> {
        let Some(header) = request.header("authorization") else {
            let message = "Missing X-Auth-Key, X-Auth-Email or Authorization headers";
            return Err(Problem::new(400, 9106, message));
        };
        let value = header.strip_prefix("Bearer ").filter(|value| !value.trim().is_empty());
        let value = value.ok_or_else(|| Problem::headers(6111, "Invalid format for Authorization header"))?;
        Ok(model.tokens.iter().find(|token| token.value == value).cloned())
    }

    fn route(&self, request: &SimRequest) -> Outcome {
        let mut model = self.model();
        let token = self.token_of(&model, request)?;
        let segments: Vec<&str> = request.segments.iter().skip(2).map(String::as_str).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["user", "tokens", "verify"]) => self.verify(token.filter(|token| !token.is_of_account())),
            ("GET", ["accounts", account, "tokens", "verify"]) => {
                let ours = *account == model.account;
                self.verify(token.filter(|token| ours && token.is_of_account()))
            }
            ("GET", ["zones", zone]) => {
                if !is_id(zone) {
                    return Err(Problem::no_route(&format!("/zones/{zone}")));
                }
                let token = token.ok_or_else(|| Problem::new(403, 9109, "Invalid access token"))?;
                let active = token.status_at(self.core.clock.now()) == "active";
                if !active || !token.zone || *zone != model.zone_id {
                    return Err(Problem::new(403, 9109, "Unauthorized to access requested resource"));
                }
                let account = json!({"id": model.account, "name": "sim"});
                let zone = json!({"id": model.zone_id, "name": model.zone, "status": "active", "paused": false,
                    "type": "full", "account": account});
                Ok((zone, None))
            }
            (method, ["zones", zone, "dns_records", rest @ ..]) => {
                if !is_id(zone) {
                    return Err(Problem::no_route(&format!("/zones/{zone}/dns_records")));
                }
                let token = token.ok_or_else(|| Problem::new(403, 9109, "Invalid access token"))?;
                let reads = method == "GET";
                let allowed = if reads { token.read } else { token.write };
                let active = token.status_at(self.core.clock.now()) == "active";
                if !active || !allowed || *zone != model.zone_id {
                    return Err(Problem::unauthenticated());
                }
                if reads && rest.is_empty() {
                    return list::page(request, &model.records).map(|(rows, info)| (rows, Some(info)));
                }
                let body = if reads || method == "DELETE" { Value::Null } else { body(request)? };
                let mut store = Store::of(&model, self.core.clock.now());
                let result = match (method, rest) {
                    ("GET", [id]) => store.read(id),
                    ("POST", []) => store.create(&body),
                    ("POST", ["batch"]) => store.batch(&body),
                    ("PUT", [id]) => store.update(id, &body, true),
                    ("PATCH", [id]) => store.update(id, &body, false),
                    ("DELETE", [id]) => store.delete(id),
                    _ => Err(Problem::no_route(&request.path())),
                }?;
                if !reads {
                    model.records = store.records;
                    self.core.changed();
                }
                Ok((result, None))
            }
            _ => Err(Problem::no_route(&request.path())),
        }
    }

    fn verify(&self, token: Option<Token>) -> Outcome {
        let token = token.ok_or_else(|| Problem::new(401, 1000, "Invalid API Token"))?;
        let mut result = json!({"id": token.id, "status": token.status_at(self.core.clock.now())});
        if let Some(end) = token.expires_on {
            put(&mut result, "expires_on", json!(end));
        }
        Ok((result, None))
    }

    fn refuse(&self, left: Left) -> Reply {
        let message = format!("More than {} requests per 300 seconds reached. Please wait and retry.", left.limit);
        let reply = Reply::json(429, &Problem::new(429, 10_100, message).document());
        let now = self.core.clock.now();
        match lock(&self.rate).retry_after {
            RetryAfter::Seconds => reply.with_header(RETRY_AFTER, &seconds(left.reset).to_string()),
            RetryAfter::Date => {
                // A date has no fraction of a second, so it is rounded up.
                let at = now.after(left.reset).after(Duration::from_millis(999)).seconds();
                let date = DateTime::<Utc>::from_timestamp(at, 0).unwrap_or_default();
                reply.with_header(RETRY_AFTER, &date.format("%a, %d %b %Y %H:%M:%S GMT").to_string())
            }
            RetryAfter::Absent => reply,
        }
    }
}

fn seconds(span: Duration) -> u64 {
    span.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX)
}

fn body(request: &SimRequest) -> Result<Value, Problem> {
    let malformed = || Problem::new(400, 6007, "Malformed JSON in request body");
    let body: Value = serde_json::from_slice(&request.body).map_err(|_| malformed())?;
    if body.is_object() { Ok(body) } else { Err(malformed()) }
}

#[async_trait]
impl Peer for Cloudflare {
    fn name(&self) -> &'static str {
        PEER
    }

    fn listener(&self) -> Option<ServerOptions> {
        Some(ServerOptions::new(PEER))
    }

    fn base_path(&self) -> &'static str {
        BASE
    }

    fn zone_view(&self) -> Option<Arc<dyn ZoneView>> {
        Some(Arc::new(View(self.inner.clone())))
    }

    async fn handle(&self, request: SimRequest) -> Reply {
        let left = lock(&self.rate).count(self.core.clock.now());
        if left.refused {
            return self.refuse(left);
        }
        let reply = match self.route(&request) {
            Ok((result, info)) => {
                // For a valid token the message has the code that elsewhere means an invalid one.
                let greets = request.segments.last().is_some_and(|last| last == "verify");
                let messages = if greets {
                    json!([{"code": 10_000, "message": "This API Token is valid and active"}])
                } else {
                    json!([])
                };
                let mut document = json!({"success": true, "errors": [], "messages": messages, "result": result});
                if let Some(info) = info {
                    put(&mut document, "result_info", info);
                }
                Reply::json(200, &document)
            }
            Err(problem) => Reply::json(problem.status, &problem.document()),
        };
        let quota = format!("\"default\";r={};t={}", left.remaining, seconds(left.reset));
        reply.with_header(HeaderName::from_static("ratelimit"), &quota)
    }

    fn state(&self) -> Value {
        let model = self.model();
        let records: Vec<Value> = model.records.iter().map(model::Record::show).collect();
        json!({"zone": model.zone, "zoneId": model.zone_id, "plan": model.plan, "records": records})
    }

    fn save(&self) -> Value {
        json!(*self.model())
    }

    async fn control(&self, request: ControlRequest) -> Result<Value, ControlError> {
        if let ("POST", ["limits"]) = (request.method.as_str(), request.route().1.as_slice()) {
            let levers: Levers = request.parse()?;
            lock(&self.rate).set(&levers);
            return Ok(json!(levers));
        }
        let answer = control::control(&request, &mut self.model(), self.core.clock.now())?;
        self.core.changed();
        Ok(answer)
    }
}
