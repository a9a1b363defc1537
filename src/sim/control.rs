//! The control listener: the state of the peers, planned faults, the journal, and the peers' own control routes.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::core::Core;
use super::faults::FaultSpec;
use super::peer::{ControlError, ControlRequest, Peer};
use super::wire::{Handler, Reply, SimRequest};

/// Answers on the control port.
pub struct Control {
    core: Arc<Core>,
    peers: Vec<Arc<dyn Peer>>,
}

impl Control {
    /// A control listener over `peers`.
    pub fn new(core: Arc<Core>, peers: Vec<Arc<dyn Peer>>) -> Self {
        Self { core, peers }
    }

    async fn route(&self, request: SimRequest) -> Result<Value, ControlError> {
        let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
        match (request.method.as_str(), segments.as_slice()) {
            ("GET", ["sim", "state"]) => Ok(self.state()),
            ("GET", ["sim", "faults"]) => Ok(json!(self.core.faults.list())),
            ("POST", ["sim", "faults"]) => self.add_fault(&request),
            ("DELETE", ["sim", "faults"]) => Ok(json!({"removed": self.core.faults.clear()})),
            ("DELETE", ["sim", "faults", id]) => {
                let removed = id.parse().is_ok_and(|id| self.core.faults.remove(id));
                if removed { Ok(json!({"removed": 1})) } else { Err(ControlError::Unknown(format!("fault {id}"))) }
            }
            ("GET", ["sim", "journal"]) => Ok(json!(self.core.journal.list(request.query_value("peer")))),
            (_, ["sim", key, rest @ ..]) => {
                let unknown = || ControlError::NoRoute(format!("{} {}", request.method, request.path()));
                let peer = self.peers.iter().find(|peer| peer.key() == *key).ok_or_else(unknown)?;
                peer.control(ControlRequest {
                    method: request.method.clone(),
                    segments: rest.iter().map(|&segment| segment.to_owned()).collect(),
                    query: request.query.clone(),
                    body: body_json(&request)?,
                })
                .await
            }
            _ => Err(ControlError::NoRoute(format!("{} {}", request.method, request.path()))),
        }
    }

    fn state(&self) -> Value {
        let state: Map<String, Value> =
            self.peers.iter().map(|peer| (peer.key().to_owned(), peer.state())).filter(|(_, v)| !v.is_null()).collect();
        Value::Object(state)
    }

    fn add_fault(&self, request: &SimRequest) -> Result<Value, ControlError> {
        let invalid = |error: &dyn std::fmt::Display| ControlError::Invalid(error.to_string());
        let spec: FaultSpec = serde_json::from_value(body_json(request)?).map_err(|error| invalid(&error))?;
        if !self.peers.iter().any(|peer| peer.name() == spec.peer) {
            let names: Vec<&str> = self.peers.iter().map(|peer| peer.name()).collect();
            return Err(ControlError::Invalid(format!("no peer `{}`; there are {}", spec.peer, names.join(", "))));
        }
        let id = self.core.faults.add(spec).map_err(|error| invalid(&error))?;
        Ok(json!({"id": id}))
    }
}

#[async_trait]
impl Handler for Control {
    async fn answer(&self, request: SimRequest) -> Reply {
        if !is_from_here(request.header("host"), request.header("origin")) {
            let message = "the control port serves programs on this machine, not pages of a browser";
            return Reply::json(403, &json!({"error": {"message": message}}));
        }
        match self.route(request).await {
            Ok(value) => Reply::json(200, &value),
            Err(error) => Reply::json(error.status(), &json!({"error": {"message": error.to_string()}})),
        }
    }
}

/// Whether a request comes from a program, or from a page of the control port itself. A page from elsewhere sends its
/// `Origin`; one whose name was bound to this address afterwards sends that name as `Host`.
fn is_from_here(host: Option<&str>, origin: Option<&str>) -> bool {
    let Some(host) = host else { return origin.is_none() };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let is_local = name.eq_ignore_ascii_case("localhost") || name.parse::<std::net::IpAddr>().is_ok();
    is_local && origin.is_none_or(|origin| origin.strip_prefix("http://") == Some(host))
}

fn body_json(request: &SimRequest) -> Result<Value, ControlError> {
    if request.body.is_empty() {
        return Ok(Value::Null);
    }
    if request.oversized {
        return Err(ControlError::Invalid("the body is too long".to_owned()));
    }
    serde_json::from_slice(&request.body)
        .map_err(|error| ControlError::Invalid(format!("the body is not JSON: {error}")))
}
