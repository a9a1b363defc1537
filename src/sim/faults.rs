//! The fault plan: which request to which peer fails, and how.
//!
//! A fault matches by peer, method and path. It hits the `nth` match (1 when absent) and those after it, `times` (1
//! when absent) in all; then it is used up. Faults are tried in the order of their creation; the first that is due
//! takes the request, and later ones do not count it.
//!
//! A path without `*` matches every path that begins with it; with `*` (any characters, slashes included) it matches
//! the whole path. The peer's base path, such as `/api2/json`, may be left out.

use std::sync::{Mutex, PoisonError};

use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::wire::{Delivery, Reply, ReplyBody};

/// The most faults that can be planned at one time.
const MAX_FAULTS: usize = 1000;

/// Whether the peer executes the request first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The peer never receives the request.
    Before,
    /// The peer executes the request, then its answer is replaced.
    After,
}

/// What the client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// An answer with `status`, `reason` and `body`.
    Status,
    /// No answer; the connection stays open.
    Timeout,
    /// The connection is reset.
    Reset,
    /// The answer breaks off in the middle of its body. The request is always executed.
    Truncate,
    /// An HTML error page, as a reverse proxy would send it (status 502 unless given).
    Html,
    /// The right answer, `delayMs` late.
    Delay,
}

/// A fault as it is planned.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FaultSpec {
    /// The peer's name.
    pub peer: String,
    /// The method; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The path, as described in the module; any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The first match that is hit.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many matches are hit.
    #[serde(default = "one")]
    pub times: u64,
    /// Before or after the peer has executed the request.
    pub when: When,
    /// What the client gets.
    pub action: Action,
    /// The status for `status` and `html`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The reason phrase for `status`; the usual one of the status when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The body for `status` and `html`: text as it is, anything else as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// How long to wait before the answer, not scaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
}

const fn one() -> u64 {
    1
}

/// The fault cannot be planned.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// `status` is missing or is no status.
    #[error("the action `status` needs a `status` from 200 to 999")]
    Status,
    /// `nth` or `times` is zero.
    #[error("`nth` and `times` count from 1")]
    Count,
    /// `delay` without a time.
    #[error("the action `delay` needs `delayMs`")]
    Delay,
    /// Too many.
    #[error("more than {MAX_FAULTS} faults are planned")]
    TooMany,
}

/// A planned fault.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// Its id.
    pub id: u64,
    /// The plan.
    #[serde(flatten)]
    pub spec: FaultSpec,
    /// Matching requests seen so far.
    pub seen: u64,
}

impl Fault {
    fn matches(&self, peer: &str, method: &Method, path: &str, base: &str) -> bool {
        let spec = &self.spec;
        let method_fits = spec.method.as_deref().is_none_or(|m| m.eq_ignore_ascii_case(method.as_str()));
        let path_fits = spec.path.as_deref().is_none_or(|pattern| {
            path_matches(pattern, path) || path.strip_prefix(base).is_some_and(|rest| path_matches(pattern, rest))
        });
        spec.peer == peer && method_fits && path_fits
    }

    /// A fault that is used up leaves the plan at once, so only the first match has to be checked.
    fn is_due(&self) -> bool {
        self.seen >= self.spec.nth
    }

    fn used_up(&self) -> bool {
        self.seen >= self.spec.nth.saturating_sub(1).saturating_add(self.spec.times)
    }

    /// The answer that this fault makes out of `reply`.
    pub fn reply(&self, reply: Reply) -> Reply {
        match self.spec.action {
            Action::Status => self.status_reply(),
            Action::Timeout => reply.delivered(Delivery::NoAnswer),
            Action::Reset => reply.delivered(Delivery::Reset),
            Action::Truncate => match reply.body {
                ReplyBody::Full(ref bytes) if bytes.len() > 1 => reply.delivered(Delivery::Truncated).closing(),
                ReplyBody::Full(_) | ReplyBody::Stream(_) => reply.delivered(Delivery::Reset),
            },
            Action::Html => {
                let page =
                    "<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n";
                let body = self.spec.body.as_ref().map_or_else(|| page.to_owned(), body_text);
                Reply::new(self.spec.status.unwrap_or(502)).with_body("text/html", body)
            }
            Action::Delay => reply,
        }
    }

    fn status_reply(&self) -> Reply {
        let status = self.spec.status.unwrap_or(500);
        let mut reply = Reply::new(status);
        reply.reason = self.spec.reason.clone().or_else(|| gateway_reason(status).map(str::to_owned));
        match &self.spec.body {
            None => {}
            Some(Value::String(text)) => reply = reply.with_body("text/plain; charset=utf-8", text.clone()),
            Some(json) => reply = reply.with_body("application/json;charset=UTF-8", json.to_string()),
        }
        if status >= 400 { reply.closing() } else { reply }
    }
}

/// The statuses that Proxmox's own HTTP client uses when it cannot reach the node that owns a path.
fn gateway_reason(status: u16) -> Option<&'static str> {
    match status {
        595 => Some("No route to host"),
        596 => Some("Connection timed out"),
        597 => Some("Connection reset by peer"),
        599 => Some("Too many redirections"),
        _ => None,
    }
}

fn body_text(body: &Value) -> String {
    body.as_str().map_or_else(|| body.to_string(), str::to_owned)
}

/// Whether `path` matches `pattern`, by the rules of the module.
fn path_matches(pattern: &str, path: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return path.starts_with(pattern) };
    let Some(mut rest) = path.strip_prefix(head) else { return false };
    let mut pieces = tail.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        match rest.find(piece) {
            Some(at) => rest = rest.get(at + piece.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

/// All planned faults of a world.
#[derive(Default)]
pub struct FaultPlan {
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    last_id: u64,
    faults: Vec<Fault>,
}

impl FaultPlan {
    /// Plans a fault; returns its id.
    pub fn add(&self, spec: FaultSpec) -> Result<u64, FaultError> {
        if spec.action == Action::Status && !spec.status.is_some_and(|s| (200..=999).contains(&s)) {
            return Err(FaultError::Status);
        }
        if spec.nth == 0 || spec.times == 0 {
            return Err(FaultError::Count);
        }
        if spec.action == Action::Delay && spec.delay_ms.is_none() {
            return Err(FaultError::Delay);
        }
        let mut plan = self.lock();
        if plan.faults.len() >= MAX_FAULTS {
            return Err(FaultError::TooMany);
        }
        plan.last_id += 1;
        let id = plan.last_id;
        plan.faults.push(Fault { id, spec, seen: 0 });
        Ok(id)
    }

    /// Removes one fault; false when there was none with this id.
    pub fn remove(&self, id: u64) -> bool {
        let mut plan = self.lock();
        let before = plan.faults.len();
        plan.faults.retain(|fault| fault.id != id);
        plan.faults.len() < before
    }

    /// Removes all faults; how many there were.
    pub fn clear(&self) -> usize {
        std::mem::take(&mut self.lock().faults).len()
    }

    /// The faults that are not used up.
    pub fn list(&self) -> Vec<Fault> {
        self.lock().faults.clone()
    }

    /// Counts one request and returns the fault that hits it.
    pub fn due(&self, peer: &str, method: &Method, path: &str, base: &str) -> Option<Fault> {
        let mut plan = self.lock();
        let mut hit = None;
        for fault in plan.faults.iter_mut().filter(|fault| fault.matches(peer, method, path, base)) {
            fault.seen += 1;
            if fault.is_due() {
                hit = Some(fault.clone());
                break;
            }
        }
        plan.faults.retain(|fault| !fault.used_up());
        hit
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: Value) -> FaultSpec {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn paths_match_as_documented() {
        assert!(path_matches("/nodes", "/nodes/pve1/lxc"));
        assert!(path_matches("/nodes/*/lxc/*/clone", "/nodes/pve1/lxc/9000/clone"));
        assert!(!path_matches("/nodes/*/lxc/*/clone", "/nodes/pve1/lxc/9000/clone/x"));
        assert!(path_matches("*/clone", "/api2/json/nodes/pve1/lxc/9000/clone"));
        assert!(path_matches("/a*", "/a/b/c"));
        assert!(!path_matches("/a*c", "/a/b"));
    }

    #[test]
    fn the_nth_match_and_its_followers_are_hit_then_the_fault_is_gone() {
        let plan = FaultPlan::default();
        plan.add(spec(serde_json::json!({
            "peer": "proxmox", "path": "/version", "nth": 2, "times": 2, "when": "before", "action": "reset"
        })))
        .unwrap();
        let ask = |path| plan.due("proxmox", &Method::GET, path, "/api2/json").is_some();
        assert!(!ask("/api2/json/version"));
        assert!(!ask("/api2/json/nodes"));
        assert!(ask("/api2/json/version"));
        assert!(ask("/version"));
        assert!(!ask("/version"));
        assert!(plan.list().is_empty());
    }

    #[test]
    fn a_later_fault_does_not_see_a_request_an_earlier_one_took() {
        let plan = FaultPlan::default();
        let reset = serde_json::json!({"peer": "agent", "when": "before", "action": "reset"});
        let first = plan.add(spec(reset.clone())).unwrap();
        let second = plan.add(spec(reset)).unwrap();
        let ask = || plan.due("agent", &Method::GET, "/", "").map(|fault| fault.id);
        assert_eq!((ask(), ask(), ask()), (Some(first), Some(second), None));
    }

    #[test]
    fn a_plan_that_could_never_work_is_refused() {
        let plan = FaultPlan::default();
        for wrong in [
            serde_json::json!({"peer": "a", "when": "before", "action": "status"}),
            serde_json::json!({"peer": "a", "when": "before", "action": "reset", "nth": 0}),
            serde_json::json!({"peer": "a", "when": "before", "action": "delay"}),
        ] {
            assert!(plan.add(spec(wrong)).is_err());
        }
    }
}
