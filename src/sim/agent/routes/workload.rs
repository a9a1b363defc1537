//! The workload: configuration, state, power, console, code-server.

use serde::Deserialize;
use serde_json::{Value, json};

use super::super::console::{CAPACITY, Stream};
use super::super::instance::Agent;
use super::super::job::{Accepted, Refusal};
use super::super::payload::Payload;
use super::super::problem::{Code, Problem};
use super::super::script::{plan_failure, plan_install};
use super::super::state::State;
use super::input::{Surroundings, json_body};
use crate::kernel::Timestamp;
use crate::sim::wire::{Reply, SimRequest};

const MAX_PLAYERS: u32 = 20;
const MAX_COMMAND: usize = 1024;
const DEFAULT_LINES: usize = 100;
/// The disk space that an install needs.
const INSTALL_BYTES: u64 = 1024 * 1024;

#[derive(Deserialize)]
struct Power {
    #[serde(rename = "wait_s")]
    _wait_s: Option<u32>,
}

#[derive(Deserialize)]
struct Command {
    command: String,
}

#[derive(Deserialize)]
struct CodeServerOptions {
    port: Option<u16>,
    #[serde(rename = "password_hash")]
    _password_hash: Option<String>,
}

/// `GET /version`
pub fn version(agent: &Agent) -> Reply {
    let mut features = vec!["files", "backups", "console", "metrics"];
    if agent.payload().is_some_and(|payload| payload.is_dev()) {
        features.push("code-server");
    }
    Reply::json(200, &json!({"agent": "2.0.0-sim", "api": 1, "features": features}))
}

/// `GET /ready`
pub fn ready(agent: &Agent) -> Reply {
    let state = agent.machine.state();
    let ready = state == State::Running;
    Reply::json(if ready { 200 } else { 503 }, &json!({"ready": ready, "state": state}))
}

/// `GET /status`
pub fn status(agent: &Agent, now: Timestamp) -> Reply {
    let machine = &agent.machine;
    let mut status = json!({
        "state": machine.state(),
        "desired": machine.desired(),
        "installStep": machine.install_step().map(|(name, _)| name),
        "crashCount": machine.crash_count(),
        "error": machine.error(),
        "generation": agent.generation(),
        "uptime_s": machine.uptime(now).as_secs(),
    });
    if let Some(fields) = status.as_object_mut() {
        if let Some((_, progress)) = machine.install_step() {
            fields.insert("installProgress".to_owned(), json!(progress));
        }
        if let Some(exit) = machine.last_exit() {
            fields.insert("lastExit".to_owned(), json!(exit));
        }
        if machine.state() == State::Running && agent.payload().is_some_and(|payload| payload.is_minecraft()) {
            fields.insert("players".to_owned(), json!({"online": agent.players, "max": MAX_PLAYERS}));
        }
    }
    Reply::json(200, &status)
}

/// `POST /config`
pub fn configure(agent: &mut Agent, request: &SimRequest, around: &Surroundings<'_>) -> Result<Reply, Problem> {
    let config: Value = json_body(request)?;
    let payload = Payload::parse(&config).map_err(|error| Problem::new(Code::Invalid, error.to_string()))?;
    let missing = || Problem::new(Code::Invalid, "generation: is required");
    let generation = payload.generation.ok_or_else(missing)?;
    if payload.vmid != i64::from(agent.vmid) {
        return Err(Problem::new(Code::Invalid, format!("vmid: this is container {}", agent.vmid)));
    }
    match agent.generation() {
        Some(known) if generation == known && agent.config.as_ref() == Some(&config) => {
            return Ok(Reply::json(200, &json!({"generation": generation})));
        }
        Some(known) if generation <= known => {
            let message =
                format!("generation {generation} is not newer than generation {known}, which has other content");
            return Err(Problem::new(Code::Conflict, message));
        }
        Some(_) | None => {}
    }
    if agent.disk_used().saturating_add(INSTALL_BYTES) > agent.disk_bytes {
        return Err(Problem::new(Code::NoSpace, "there is no room for the install"));
    }
    install(agent, config, &payload, around)?;
    Ok(Reply::json(202, &json!({"generation": generation})))
}

/// Accepts a valid configuration and begins to install it.
pub fn install(agent: &mut Agent, config: Value, payload: &Payload, around: &Surroundings<'_>) -> Result<(), Refusal> {
    let plan = match &agent.fail_install {
        Some(error) => plan_failure(error.clone()),
        None => plan_install(payload, around.catalog),
    };
    agent.machine.install(plan, around.now, around.scale)?;
    agent.fail_install = None;
    agent.config = Some(config);
    Ok(())
}

/// `POST /start`, `/stop`, `/restart`, `/kill`
pub fn power(
    agent: &mut Agent,
    action: &str,
    request: &SimRequest,
    around: &Surroundings<'_>,
) -> Result<Reply, Problem> {
    let Power { .. } = json_body(request)?;
    let status = match power_action(agent, action, around)? {
        Accepted::Begun => 202,
        Accepted::Already => 200,
    };
    Ok(Reply::json(status, &json!({"state": agent.machine.state()})))
}

/// Executes a power action by its name on the wire.
pub fn power_action(agent: &mut Agent, action: &str, around: &Surroundings<'_>) -> Result<Accepted, Refusal> {
    match action {
        "start" => agent.machine.start(around.now, around.scale),
        "stop" => agent.machine.stop(around.now, around.scale),
        "restart" => agent.machine.restart(around.now, around.scale),
        _ => agent.machine.kill(around.now),
    }
}

/// `GET /console`
pub fn console(agent: &Agent, request: &SimRequest) -> Result<Reply, Problem> {
    let bad = |name: &str| Problem::new(Code::BadRequest, format!("the parameter {name} is not a number in range"));
    let lines = match request.query_value("lines") {
        Some(text) => text.parse().ok().filter(|lines| (1..=CAPACITY).contains(lines)).ok_or_else(|| bad("lines"))?,
        None => DEFAULT_LINES,
    };
    let after = request.query_value("after").map(str::parse).transpose().map_err(|_| bad("after"))?;
    Ok(Reply::json(200, &agent.console.history(lines, after)))
}

/// `POST /console/command`
pub fn command(agent: &mut Agent, request: &SimRequest, around: &Surroundings<'_>) -> Result<Reply, Problem> {
    let Command { command } = json_body(request)?;
    if command.is_empty() || command.len() > MAX_COMMAND || command.contains(['\n', '\r', '\0']) {
        return Err(Problem::new(Code::BadRequest, "command: one line of at most 1024 bytes"));
    }
    if agent.machine.state() != State::Running {
        return Err(Problem::new(Code::NotRunning, "the workload is not running"));
    }
    agent.console.push(around.now, Stream::Stdin, command.as_str());
    let output = match command.split_once(' ') {
        _ if command == "list" => format!("There are {} of a max of {MAX_PLAYERS} players online", agent.players),
        Some(("say", text)) => format!("[Server] {text}"),
        _ if command == "stop" => "Stopping the server".to_owned(),
        _ => format!("executed: {command}"),
    };
    agent.console.push(around.now, Stream::Stdout, output);
    if command == "stop" {
        agent.machine.stop(around.now, around.scale)?;
    }
    Ok(Reply::json(202, &json!({})))
}

/// `GET /code-server`
pub fn code_server(agent: &Agent, around: &Surroundings<'_>) -> Result<Reply, Problem> {
    demand_dev(agent)?;
    let state = agent.code_server_state(around.now, around.scale);
    Ok(Reply::json(200, &json!({"state": state, "port": agent.code_server.port, "version": "4.100.3"})))
}

/// `POST /code-server/start`, `/stop`, `/restart`
pub fn code_server_power(
    agent: &mut Agent,
    action: &str,
    request: &SimRequest,
    now: Timestamp,
) -> Result<Reply, Problem> {
    demand_dev(agent)?;
    let options: CodeServerOptions = json_body(request)?;
    let runs = agent.code_server.started_at.is_some();
    let (status, started_at) = match action {
        "start" if runs => (200, agent.code_server.started_at),
        "stop" if !runs => (200, None),
        "stop" => (202, None),
        _ => (202, Some(now)),
    };
    agent.code_server.started_at = started_at;
    agent.code_server.port = options.port.unwrap_or(agent.code_server.port);
    Ok(Reply::json(status, &json!({"port": agent.code_server.port})))
}

fn demand_dev(agent: &Agent) -> Result<(), Problem> {
    if agent.payload().is_some_and(|payload| payload.is_dev()) {
        return Ok(());
    }
    Err(Problem::new(Code::Unsupported, "code-server exists in dev containers only"))
}
