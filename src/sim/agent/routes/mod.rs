//! The answers of an agent: the full contract here and in one file for each subject, today's small agent in [`small`].
//!
//! Handlers are plain functions of the agent, the request and the time. Not here: hanging and slow agents, which
//! concern the connection and not the answer (see the peer in the parent module). There is no WebSocket console stream;
//! it is answered like any other unknown route.

mod backups;
mod files;
mod input;
mod metrics;
mod range;
mod small;
mod workload;

use hyper::Method;
use hyper::header::HeaderName;
use serde_json::json;
use uuid::Uuid;

pub use self::input::Surroundings;
use self::input::authorized;
use super::instance::{Agent, AgentMode};
use super::problem::{Code, Problem};
use crate::sim::wire::{Reply, SimRequest};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 128;

/// Executes `request` as an agent of this mode does.
pub fn answer(agent: &mut Agent, mode: AgentMode, request: &SimRequest, around: &Surroundings<'_>) -> Reply {
    match mode {
        AgentMode::Small => small::answer(agent, request, around),
        AgentMode::Full => {
            let named = request.header(REQUEST_ID.as_str()).filter(|id| (1..=MAX_REQUEST_ID).contains(&id.len()));
            let request_id = named.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
            let reply = route(agent, request, around).unwrap_or_else(|problem| problem.reply(&request_id));
            reply.with_header(REQUEST_ID, &request_id)
        }
    }
}

fn route(agent: &mut Agent, request: &SimRequest, around: &Surroundings<'_>) -> Result<Reply, Problem> {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let route = (request.method.as_str(), segments.as_slice());
    if route == ("GET", &["health"]) {
        return Ok(Reply::json(200, &json!({"ok": true})));
    }
    if !authorized(request, agent, around) {
        return Err(Problem::new(Code::Unauthorized, "a valid bearer token is required"));
    }
    if request.oversized {
        return Err(Problem::new(Code::TooLarge, "the body is longer than this agent reads"));
    }
    match route {
        ("GET", ["version"]) => Ok(workload::version(agent)),
        ("GET", ["ready"]) => Ok(workload::ready(agent)),
        ("GET", ["status"]) => Ok(workload::status(agent, around.now)),
        ("POST", ["config"]) => workload::configure(agent, request, around),
        ("POST", [action @ ("start" | "stop" | "restart" | "kill")]) => workload::power(agent, action, request, around),
        ("GET", ["files"]) => files::list(agent, request),
        ("DELETE", ["files"]) => files::delete(agent, request),
        ("GET", ["files", "content"]) => files::read(agent, request),
        ("PUT", ["files", "content"]) => files::write(agent, request, around.now),
        ("POST", ["files", "upload"]) => files::upload(agent, request, around.now),
        ("GET", ["files", "download"]) => files::download(agent, request),
        ("POST", ["files", "rename"]) => files::rename(agent, request),
        ("POST", ["files", "mkdir"]) => files::make_dir(agent, request, around.now),
        ("GET", ["backups"]) => Ok(Reply::json(200, &agent.backups.list())),
        ("POST", ["backups"]) => backups::create(agent, request, around),
        ("DELETE", ["backups"]) => backups::delete(agent, request),
        ("POST", ["backups", "restore"]) => backups::restore(agent, request, around),
        ("GET", ["console"]) => workload::console(agent, request),
        ("POST", ["console", "command"]) => workload::command(agent, request, around),
        ("GET", ["code-server"]) => workload::code_server(agent, around),
        ("POST", ["code-server", action @ ("start" | "stop" | "restart")]) => {
            workload::code_server_power(agent, action, request, around.now)
        }
        ("GET", ["metrics"]) => Ok(metrics::expose(agent, around.now)),
        _ => Err(Problem::new(Code::Unsupported, format!("this agent has no {} {}", request.method, request.path()))),
    }
}

/// Whether the method can change anything.
pub fn changes_something(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
