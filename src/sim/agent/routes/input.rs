//! What handlers take from a request, and what they know beside it.

use serde::de::DeserializeOwned;

use super::super::instance::Agent;
use super::super::problem::{Code, Problem};
use crate::kernel::Timestamp;
use crate::sim::TimeScale;
use crate::sim::artifacts::Catalog;
use crate::sim::wire::SimRequest;

/// What a handler knows about the world.
pub struct Surroundings<'a> {
    /// The current time.
    pub now: Timestamp,
    /// The scale of simulated time.
    pub scale: TimeScale,
    /// What can be downloaded.
    pub catalog: &'a Catalog,
    /// The token that a request must have, unless the agent has its own.
    pub token: &'a str,
}

/// Whether the request has the token of this agent.
pub(super) fn authorized(request: &SimRequest, agent: &Agent, around: &Surroundings<'_>) -> bool {
    let token = agent.token.as_deref().unwrap_or(around.token);
    request.header("authorization").and_then(|value| value.strip_prefix("Bearer ")) == Some(token)
}

/// The JSON body; an empty one counts as `{}`.
pub(super) fn json_body<T: DeserializeOwned>(request: &SimRequest) -> Result<T, Problem> {
    let bytes: &[u8] = if request.body.is_empty() { b"{}" } else { &request.body };
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    serde_path_to_error::deserialize(&mut reader).map_err(|error| Problem::new(Code::BadRequest, error.to_string()))
}

/// A query parameter that must be there.
pub(super) fn required<'a>(request: &'a SimRequest, name: &str) -> Result<&'a str, Problem> {
    request.query_value(name).ok_or_else(|| Problem::new(Code::BadRequest, format!("the parameter {name} is missing")))
}

/// A query parameter that is `1` or `0`; absent counts as `0`.
pub(super) fn flag(request: &SimRequest, name: &str) -> Result<bool, Problem> {
    match request.query_value(name) {
        None | Some("0" | "false") => Ok(false),
        Some("1" | "true") => Ok(true),
        Some(_) => Err(Problem::new(Code::BadRequest, format!("the parameter {name} must be 0 or 1"))),
    }
}
