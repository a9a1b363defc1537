//! The simulated Technitium DNS Server: its HTTP API, and the same records over DNS (docs/contracts/edge.md B and G).
//!
//! All answers are HTTP 200; only an unknown path is 404, and empty. [`records`] implements the rules of B3. Not
//! simulated: DNSSEC, reverse zones (a deleted A takes no PTR with it), user accounts, settings, other record types.

mod model;
mod records;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use hyper::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use self::model::{Auth, MAX_TOKENS, MAX_ZONES, Model, Token, Zone};
use self::records::Call;
use super::core::Core;
use super::dns::{Served, ZoneView};
use super::error::SimError;
use super::peer::{ControlError, ControlRequest, Peer};
use super::wire::{Reply, ServerOptions, SimRequest};
use crate::kernel::Timestamp;

const PEER: &str = "technitium";
const DENIED: &str = "Access was denied.";

/// The simulated server.
pub struct Technitium {
    core: Arc<Core>,
    inner: Arc<Mutex<Model>>,
}

/// The zones, for the DNS server.
struct View(Arc<Mutex<Model>>);

impl ZoneView for View {
    fn zones(&self) -> Vec<String> {
        lock(&self.0).zones.iter().map(|zone| zone.name.clone()).collect()
    }

    fn served(&self) -> Vec<Served> {
        lock(&self.0).served()
    }
}

fn lock(mutex: &Mutex<Model>) -> MutexGuard<'_, Model> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The outcome of a call.
enum Outcome {
    Done(Value),
    Refused(String),
    InvalidToken,
    NoPath,
}

impl From<Result<Value, String>> for Outcome {
    fn from(result: Result<Value, String>) -> Self {
        result.map_or_else(Self::Refused, Self::Done)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewToken {
    #[serde(default = "yes")]
    view: bool,
    #[serde(default = "yes")]
    modify: bool,
    #[serde(default = "yes")]
    delete: bool,
}

const fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Levers {
    auth: Auth,
}

/// A record to disable or enable.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    domain: String,
    r#type: String,
    disabled: bool,
}

impl Technitium {
    /// A server with `zone`, or with what was saved.
    pub fn new(core: Arc<Core>, zone: &str, saved: Option<Value>) -> Result<Arc<Self>, SimError> {
        let model = match saved {
            Some(saved) => {
                serde_json::from_value(saved).map_err(|source| SimError::DamagedPeer { peer: PEER, source })?
            }
            None => Model::new(zone),
        };
        Ok(Arc::new(Self { core, inner: Arc::new(Mutex::new(model)) }))
    }

    /// A token with every permission.
    pub fn token(&self) -> String {
        self.model().tokens.first().map(|token| token.value.clone()).unwrap_or_default()
    }

    fn model(&self) -> MutexGuard<'_, Model> {
        lock(&self.inner)
    }

    fn call(&self, request: &SimRequest) -> Outcome {
        let is_form =
            request.header("content-type").is_some_and(|t| t.starts_with("application/x-www-form-urlencoded"));
        let mut parameters = request.query.clone();
        if request.method == Method::POST && is_form {
            parameters.extend(url::form_urlencoded::parse(&request.body).into_owned());
        }
        let call = Call { parameters, now: self.core.clock.now() };
        let mut model = self.model();
        let bearer = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        let shown = match model.auth {
            Auth::Current => bearer.or_else(|| call.get("token")),
            Auth::Older => call.get("token"),
        };
        let Some(token) = model.tokens.iter().find(|token| Some(token.value.as_str()) == shown).cloned() else {
            return Outcome::InvalidToken;
        };
        let path = request.path();
        let outcome = match path.strip_prefix("/api/").unwrap_or_default() {
            "zones/list" => {
                let zones: Vec<Value> = model
                    .zones
                    .iter()
                    .map(|zone| json!({"name": zone.name, "type": "Primary", "disabled": false}))
                    .collect();
                Ok(json!({"zones": if token.view { zones } else { Vec::new() }}))
            }
            "zones/create" => create_zone(&mut model, &token, &call),
            "zones/records/get" => zone_of(&mut model, &call, token.view).and_then(|zone| records::get(zone, &call)),
            "zones/records/add" => zone_of(&mut model, &call, token.modify).and_then(|zone| records::add(zone, &call)),
            "zones/records/update" => {
                zone_of(&mut model, &call, token.modify).and_then(|zone| records::update(zone, &call))
            }
            "zones/records/delete" => {
                zone_of(&mut model, &call, token.delete).and_then(|zone| records::delete(zone, &call))
            }
            _ => return Outcome::NoPath,
        };
        self.core.changed();
        outcome.into()
    }
}

/// The zone of a call: the nearest one that contains the zone it names, or its domain if it names none.
fn zone_of<'a>(model: &'a mut Model, call: &Call, allowed: bool) -> Result<&'a mut Zone, String> {
    let domain = call.domain()?;
    let named = call.get("zone").map(|zone| zone.trim_matches('.')).filter(|zone| !zone.is_empty());
    let sought = named.unwrap_or(&domain);
    let enclosing = model.zones.iter_mut().filter(|zone| is_within(sought, &zone.name));
    let zone = enclosing.max_by_key(|zone| zone.name.len());
    let zone = zone.ok_or_else(|| format!("No such zone was found: {domain}"))?;
    if !allowed {
        return Err(DENIED.to_owned());
    }
    if !is_within(&domain, &zone.name) {
        return Err(format!("The domain name '{domain}' does not belong to the zone: {}", zone.name));
    }
    Ok(zone)
}

fn is_within(domain: &str, zone: &str) -> bool {
    let (domain, zone) = (domain.to_ascii_lowercase(), zone.to_ascii_lowercase());
    domain.strip_suffix(&zone).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

fn create_zone(model: &mut Model, token: &Token, call: &Call) -> Result<Value, String> {
    let name = call.required("zone")?.trim_matches('.').to_owned();
    if !token.modify {
        return Err(DENIED.to_owned());
    }
    if model.zones.iter().any(|zone| zone.name.eq_ignore_ascii_case(&name)) {
        return Err(format!("Zone already exists: {name}"));
    }
    if model.zones.len() >= MAX_ZONES {
        return Err(format!("The simulator holds at most {MAX_ZONES} zones."));
    }
    model.zones.push(Zone { name: name.clone(), records: Vec::new() });
    Ok(json!({"domain": name}))
}

#[async_trait]
impl Peer for Technitium {
    fn name(&self) -> &'static str {
        PEER
    }

    fn listener(&self) -> Option<ServerOptions> {
        Some(ServerOptions::new(PEER))
    }

    fn zone_view(&self) -> Option<Arc<dyn ZoneView>> {
        Some(Arc::new(View(self.inner.clone())))
    }

    async fn handle(&self, request: SimRequest) -> Reply {
        let document = match self.call(&request) {
            Outcome::Done(response) => json!({"response": response, "status": "ok"}),
            Outcome::Refused(message) => json!({"server": "sim", "status": "error", "errorMessage": message}),
            Outcome::InvalidToken => json!({
                "server": "sim", "status": "invalid-token", "errorMessage": "Invalid token or session expired.",
            }),
            Outcome::NoPath => return Reply::new(404),
        };
        Reply::json(200, &document)
    }

    fn state(&self) -> Value {
        let model = self.model();
        let shown = |zone: &Zone| {
            let records: Vec<Value> = zone.records.iter().map(model::Record::show).collect();
            json!({"name": zone.name, "records": records})
        };
        let records: Vec<Value> = model.zones.iter().flat_map(|zone| &zone.records).map(model::Record::show).collect();
        json!({"auth": model.auth, "zones": model.zones.iter().map(shown).collect::<Vec<_>>(), "records": records})
    }

    fn save(&self) -> Value {
        json!(*self.model())
    }

    async fn control(&self, request: ControlRequest) -> Result<Value, ControlError> {
        let mut model = self.model();
        let answer = match (request.method.as_str(), request.route().1.as_slice()) {
            ("POST", []) => {
                model.auth = request.parse::<Levers>()?.auth;
                json!({"auth": model.auth})
            }
            ("POST", ["tokens"]) => {
                if model.tokens.len() >= MAX_TOKENS {
                    return Err(ControlError::Invalid(format!("there are {MAX_TOKENS} tokens already")));
                }
                let wanted: NewToken = request.parse()?;
                let token = Token::new(wanted.view, wanted.modify, wanted.delete);
                let answer = json!({"token": token.value});
                model.tokens.push(token);
                answer
            }
            ("DELETE", ["tokens"]) => json!({"removed": std::mem::take(&mut model.tokens).len()}),
            ("POST", ["records"]) => plant(&mut model, &request, self.core.clock.now())?,
            ("POST", ["records", "disabled"]) => {
                let switch: Switch = request.parse()?;
                let found = model.zones.iter_mut().flat_map(|zone| &mut zone.records);
                let found = found.filter(|record| record.is_of(&switch.domain, &switch.r#type));
                let count = found.map(|record| record.disabled = switch.disabled).count();
                json!({"changed": count})
            }
            _ => return Err(request.no_route()),
        };
        self.core.changed();
        Ok(answer)
    }
}

/// Adds a record as a person at the console would: the body has the parameters of `zones/records/add`.
fn plant(model: &mut Model, request: &ControlRequest, now: Timestamp) -> Result<Value, ControlError> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let fields = request.body.as_object().into_iter().flatten();
    let parameters = fields.map(|(key, value)| (key.clone(), text(value))).collect();
    let call = Call { parameters, now };
    let zone = zone_of(model, &call, true).map_err(ControlError::Invalid)?;
    records::add(zone, &call).map_err(ControlError::Invalid)
}
