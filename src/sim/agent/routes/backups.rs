//! Backups: written and restored as exclusive jobs.

use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::super::console::Stream;
use super::super::instance::Agent;
use super::super::problem::{Code, Problem};
use super::super::state::State;
use super::input::{Surroundings, json_body, required};
use crate::sim::wire::{Reply, SimRequest};

const MAX_NOTE: usize = 200;

#[derive(Deserialize)]
struct Create {
    note: Option<String>,
    #[serde(default)]
    ignore: Vec<String>,
}

#[derive(Deserialize)]
struct Restore {
    #[serde(default)]
    truncate: bool,
}

/// `POST /backups`
pub fn create(agent: &mut Agent, request: &SimRequest, around: &Surroundings<'_>) -> Result<Reply, Problem> {
    let Create { note, ignore } = json_body(request)?;
    if note.as_ref().is_some_and(|note| note.len() > MAX_NOTE) {
        return Err(Problem::new(Code::BadRequest, format!("note: at most {MAX_NOTE} bytes")));
    }
    agent.backups.demand_room()?;
    let content = agent.disk.filtered(|path| !ignore.iter().any(|pattern| ignores(pattern, path)));
    if agent.disk_used().saturating_add(content.used()) > agent.disk_bytes {
        return Err(Problem::new(Code::NoSpace, "there is no room for the archive"));
    }
    let id = Uuid::new_v4().simple().to_string();
    agent.machine.backup(&id, around.now, around.scale)?;
    if agent.machine.state() == State::Running && agent.payload().is_some_and(|payload| payload.is_minecraft()) {
        for command in ["save-off", "save-all flush", "save-on"] {
            agent.console.push(around.now, Stream::Stdin, command);
        }
    }
    agent.backups.begin(id.clone(), note, content, around.now);
    Ok(Reply::json(202, &json!({"id": id})))
}

/// `POST /backups/restore`
pub fn restore(agent: &mut Agent, request: &SimRequest, around: &Surroundings<'_>) -> Result<Reply, Problem> {
    let id = required(request, "id")?;
    let Restore { truncate } = json_body(request)?;
    agent.backups.demand_restorable(id)?;
    agent.machine.restore(id, around.now, around.scale)?;
    agent.backups.begin_restore(id, truncate);
    Ok(Reply::json(202, &json!({"id": id})))
}

/// `DELETE /backups`
pub fn delete(agent: &mut Agent, request: &SimRequest) -> Result<Reply, Problem> {
    agent.backups.delete(required(request, "id")?)?;
    Ok(Reply::new(204))
}

/// Whether a pattern (a path, a directory, or `*.ext`) leaves `path` out.
fn ignores(pattern: &str, path: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => !suffix.is_empty() && path.ends_with(suffix),
        None => {
            let pattern = pattern.trim_matches('/');
            path.strip_prefix(pattern)
                .is_some_and(|rest| !pattern.is_empty() && (rest.is_empty() || rest.starts_with('/')))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_paths_directories_and_endings() {
        assert!(ignores("logs", "logs/latest.log") && ignores("logs/", "logs"));
        assert!(ignores("*.log", "deep/a.log"));
        assert!(!ignores("logs", "logs2/a") && !ignores("", "a") && !ignores("*", "a"));
    }
}
