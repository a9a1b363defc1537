//! The checks of a request, in order: transport rules, route, credentials, permission, owner node, parameters,
//! operation.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::Value;
use url::form_urlencoded;

use super::Proxmox;
use super::access::{Token, authenticate, check_rule};
use super::answer::{Answer, Refusal, reply};
use super::validate::{Given, Params, Problems, validate};
use crate::sim::wire::{Reply, SimRequest};

/// How long the server delays a 401, in simulated time.
const AUTH_DELAY: Duration = Duration::from_secs(3);
/// How long a node waits for the daemon of the owner node, in simulated time, and never less than `GATEWAY_FLOOR`.
const GATEWAY_LIMIT: Duration = Duration::from_secs(30);
/// A loaded machine must not cause gateway errors that are not planned.
const GATEWAY_FLOOR: Duration = Duration::from_secs(3);

/// A request that may be executed.
pub struct Call {
    /// The method.
    pub method: String,
    /// The path with its placeholders.
    pub template: String,
    /// The path as it was sent.
    pub path: String,
    /// The caller's token.
    pub token: Token,
    /// The node whose listener it was sent to; empty for the first.
    pub endpoint: &'static str,
    /// The parameters.
    pub params: Params,
}

impl Call {
    /// The node in the path.
    pub fn node(&self) -> &str {
        self.params.text("node")
    }

    /// The container in the path.
    pub fn vmid(&self) -> u32 {
        self.params.vmid()
    }
}

impl Proxmox {
    /// Answers one request.
    pub(super) async fn serve(self: Arc<Self>, request: SimRequest) -> Reply {
        let (profile, delay) = (self.profile(), self.core.scale.real(AUTH_DELAY));
        let condition = self.condition_at(request.endpoint);
        match condition.answers_first(delay) {
            Some(reply) => reply,
            None => condition.passes_on(reply(self.admit(request).await, profile, delay)),
        }
    }

    async fn admit(self: Arc<Self>, request: SimRequest) -> Result<Answer, Refusal> {
        let profile = self.profile();
        check_transport(&request, profile.max_body())?;
        let path = request.path();
        let unknown =
            || Refusal::NotImplemented(format!("Method '{} {}' not implemented", request.method, relative(&path)));
        let segments = match request.segments.as_slice() {
            [api, json, rest @ ..] if api == "api2" && json == "json" => rest,
            _ => return Err(unknown()),
        };
        let is_login = request.method == Method::POST && segments == ["access", "ticket"];
        let token = match authenticate(&request, &self.cluster(), profile) {
            Ok(token) => token,
            // The only call that needs no credentials; every password is wrong here.
            Err(_) if is_login => return Err(Refusal::Unauthorized("authentication failure".to_owned())),
            Err(refusal) => return Err(refusal),
        };
        let matched = self.schema.find(request.method.as_str(), segments).ok_or_else(unknown)?;
        if !matched.spec.allow_token {
            let text = format!("URI '{}' not available with API token, need proper ticket.", relative(&path));
            return Err(Refusal::Forbidden(text));
        }
        let given = gather(&request, &matched.path_params)?;
        check_rule(&self.cluster(), &token, request.method.as_str(), matched.template, &matched.path_params)?;
        let node = matched.path_params.get("node");
        if let Some(node) = node {
            self.reach(node)?;
            self.can_pass_on(request.endpoint, node)?;
        }
        let params = validate(&matched.spec.parameters.properties, &given).map_err(Refusal::Parameters)?;
        let call = Call {
            method: request.method.to_string(),
            template: matched.template.to_owned(),
            path: relative(&path).to_owned(),
            token,
            endpoint: request.endpoint,
            params,
        };
        self.check_quorum(&call)?;
        let worker = node.filter(|_| matched.spec.protected).and_then(|node| self.workers.get(node)).cloned();
        let me = self.clone();
        let work = self.core.tasks.spawn(async move {
            // The permit stands for one of the node's daemon processes, which is blocked while it waits for a lock.
            let _worker = match worker {
                Some(worker) => worker.acquire_owned().await.ok(),
                None => None,
            };
            me.dispatch(call).await
        });
        let limit = self.core.scale.real(GATEWAY_LIMIT).max(GATEWAY_FLOOR);
        match tokio::time::timeout(limit, work).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(Refusal::died("unable to fork worker - Cannot allocate memory")),
            Err(_) => Err(Refusal::Gateway(596, "Connection timed out".to_owned())),
        }
    }

    /// Any node answers for all of them, but has to reach the node that owns the path.
    fn reach(&self, node: &str) -> Result<(), Refusal> {
        match self.cluster().nodes.get(node) {
            Some(node) if node.online => Ok(()),
            Some(_) => Err(Refusal::Gateway(595, "No route to host".to_owned())),
            None => Err(Refusal::died(format!(
                "hostname lookup '{node}' failed - failed to get address info for: {node}: Name or service not known"
            ))),
        }
    }
}

fn relative(path: &str) -> &str {
    path.strip_prefix("/api2/json").unwrap_or(path)
}

fn check_transport(request: &SimRequest, max_body: usize) -> Result<(), Refusal> {
    let refuse = |status, text: String| Err(Refusal::Transport(status, text));
    let method = &request.method;
    if request.header("transfer-encoding").is_some() {
        return refuse(501, "chunked transfer encoding not supported".to_owned());
    }
    let length: usize = request.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    if (method == Method::GET || method == Method::DELETE) && length > 0 {
        return refuse(501, format!("Unexpected content for method '{method}'"));
    }
    if request.oversized || request.body.len() > max_body {
        return refuse(501, "for data too large".to_owned());
    }
    let content_type = request.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if length > 0 && !matches!(content_type, "" | "application/x-www-form-urlencoded" | "application/json") {
        return refuse(506, format!("upload 'Content-Type '{content_type}' not implemented"));
    }
    Ok(())
}

/// Merges path, query and body; the query has priority over the body, and nothing may contradict the path.
fn gather(request: &SimRequest, path: &BTreeMap<String, String>) -> Result<BTreeMap<String, Given>, Refusal> {
    let is_json = request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    let mut given = if is_json && !request.body.is_empty() {
        json_body(&request.body)?
    } else {
        collect(form_urlencoded::parse(&request.body).into_owned())
    };
    given.extend(collect(request.query.iter().cloned()));
    for (name, value) in path {
        match given.insert(name.clone(), Given::One(value.clone())) {
            Some(other) if other != Given::One(value.clone()) => {
                let text = "duplicate parameter (already defined in URI) with conflicting values!";
                return Err(Refusal::Parameters(Problems::of(name, text)));
            }
            Some(_) | None => {}
        }
    }
    Ok(given)
}

fn collect(pairs: impl Iterator<Item = (String, String)>) -> BTreeMap<String, Given> {
    let mut given: BTreeMap<String, Given> = BTreeMap::new();
    for (name, value) in pairs {
        let together = match given.remove(&name) {
            None => Given::One(value),
            Some(Given::One(first)) => Given::Many(vec![first, value]),
            Some(Given::Many(mut values)) => {
                values.push(value);
                Given::Many(values)
            }
        };
        given.insert(name, together);
    }
    given
}

fn json_body(body: &[u8]) -> Result<BTreeMap<String, Given>, Refusal> {
    let malformed = || Refusal::died("malformed JSON string");
    let Ok(Value::Object(fields)) = serde_json::from_slice(body) else { return Err(malformed()) };
    let pairs = fields.into_iter().filter_map(|(name, value)| {
        let given = match value {
            Value::Null => return None,
            Value::Array(items) => Given::Many(items.iter().map(scalar).collect()),
            scalar_value => Given::One(scalar(&scalar_value)),
        };
        Some((name, given))
    });
    Ok(pairs.collect())
}

fn scalar(value: &Value) -> String {
    match value {
        Value::Bool(yes) => u8::from(*yes).to_string(),
        Value::String(text) => text.clone(),
        Value::Null | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}
