//! Today's agent (docs/contracts/agent.md D1): few routes, plain text errors, a token on `/config` only, fewer states.

use serde_json::{Value, json};

use super::super::instance::Agent;
use super::super::job::{JobKind, Refusal};
use super::super::payload::Payload;
use super::super::state::State;
use super::input::{Surroundings, authorized};
use super::workload::{install, power_action};
use crate::sim::wire::{Reply, SimRequest};

/// Answers as today's agent does.
pub fn answer(agent: &mut Agent, request: &SimRequest, around: &Surroundings<'_>) -> Reply {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["health"]) => Reply::text(200, "ok"),
        ("GET", ["ready"]) if agent.machine.state() == State::Running => Reply::text(200, "ready"),
        ("GET", ["ready"]) => Reply::text(503, "not ready"),
        ("GET", ["status"]) => Reply::json(200, &status(agent)),
        ("POST", ["config"]) => configure(agent, request, around),
        ("POST", [action @ ("start" | "stop" | "restart")]) => match power_action(agent, action, around) {
            Ok(_) => Reply::json(200, &json!({"status": "ok"})),
            Err(refusal) => refused(refusal),
        },
        _ => Reply::text(404, "404 page not found\n"),
    }
}

fn status(agent: &Agent) -> Value {
    let machine = &agent.machine;
    let mut status = json!({"state": state(agent), "crashCount": machine.crash_count()});
    if let Some(fields) = status.as_object_mut() {
        if let Some((step, _)) = machine.install_step() {
            fields.insert("installStep".to_owned(), json!(step));
        }
        if let Some(error) = machine.error() {
            fields.insert("error".to_owned(), json!(error));
        }
    }
    status
}

/// The state in the five words of today's agent.
fn state(agent: &Agent) -> &'static str {
    let installing = agent.machine.job().is_some_and(|job| job.kind == JobKind::Install);
    match agent.machine.state() {
        State::Installing => "installing",
        State::Starting if installing => "installing",
        State::Idle | State::Starting | State::Stopped => "idle",
        State::Running | State::Stopping => "running",
        State::Crashed => "crashed",
        State::Error => "error",
    }
}

fn configure(agent: &mut Agent, request: &SimRequest, around: &Surroundings<'_>) -> Reply {
    if !authorized(request, agent, around) {
        return Reply::text(401, "unauthorized\n");
    }
    let Ok(config) = serde_json::from_slice::<Value>(&request.body) else {
        return Reply::text(400, "invalid JSON\n");
    };
    let payload = match Payload::parse(&config) {
        Ok(payload) => payload,
        Err(error) => return Reply::text(400, format!("{error}\n")),
    };
    match install(agent, config, &payload, around) {
        Ok(()) => Reply::json(200, &json!({"status": "accepted"})),
        Err(refusal) => refused(refusal),
    }
}

fn refused(refusal: Refusal) -> Reply {
    Reply::text(409, format!("{refusal}\n"))
}
