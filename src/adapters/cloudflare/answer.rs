//! Parses answers and refusals (docs/contracts/edge.md A1 and A5). Total: an answer of any shape gives a document or an
//! error.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::adapters::answer::Answer;
use crate::kernel::Timestamp;
use crate::ports::ZoneError;

/// The longest pause that `Retry-After` can cause.
const MAX_PAUSE: Duration = Duration::from_secs(300);
/// The pause without `Retry-After`.
const DEFAULT_PAUSE: Duration = Duration::from_secs(60);
const MAX_DETAIL: usize = 300;

/// The document of a successful answer.
pub(super) fn read(operation: &str, answer: &Answer, now: Timestamp) -> Result<Value, ZoneError> {
    let document = answer.document().ok();
    let succeeded = document.as_ref().and_then(|document| document.get("success")).and_then(Value::as_bool);
    match (answer.is_success(), succeeded, document) {
        (true, Some(true), Some(document)) => Ok(document),
        (_, _, document) => Err(refused(operation, answer, document.as_ref(), now)),
    }
}

/// The error for an answer that is not a success.
fn refused(operation: &str, answer: &Answer, document: Option<&Value>, now: Timestamp) -> ZoneError {
    let mut errors = Vec::new();
    collect(document.and_then(|document| document.get("errors")), &mut errors);
    let has = |codes: &[u64]| errors.iter().any(|(code, _)| codes.contains(code));
    let operation = operation.to_owned();
    let detail = describe(answer, &errors);
    match answer.status {
        429 => return ZoneError::RateLimited { operation, retry_after: pause(answer.retry_after.as_deref(), now) },
        500.. => return ZoneError::NoAnswer { operation, detail },
        _ => {}
    }
    if has(&[10_100, 971]) {
        ZoneError::RateLimited { operation, retry_after: pause(answer.retry_after.as_deref(), now) }
    } else if has(&[7003, 7000]) {
        let detail = format!("{detail} (is CLOUDFLARE_ZONE_ID the id of the zone, not its name?)");
        ZoneError::Misconfigured { operation, detail }
    } else if has(&[9109, 10_000, 9106, 6003, 6103, 6111, 1000, 1001])
        || (matches!(answer.status, 401 | 403) && is_envelope(document))
    {
        ZoneError::Unauthorized { operation, detail }
    } else if has(&[81_044]) {
        ZoneError::Gone { operation }
    } else if has(&[81_045, 9300]) {
        ZoneError::Quota { operation, detail }
    } else if has(&[81_053, 81_054, 81_056, 81_057, 81_058]) {
        ZoneError::Conflict { operation, detail }
    } else if errors.is_empty() {
        // Neither a success nor a refusal in the server's format: a proxy in between answered.
        ZoneError::NoAnswer { operation, detail }
    } else {
        ZoneError::Refused { operation, detail }
    }
}

/// Whether the API itself has answered, and not a firewall or a proxy before it.
fn is_envelope(document: Option<&Value>) -> bool {
    document.is_some_and(|document| document.get("success").is_some() || document.get("errors").is_some())
}

/// The error for an answer whose body broke off. Only its status is known, which is enough for errors that concern
/// every call, unless it was a page in place of an answer.
pub(super) fn cut_off(
    operation: &str,
    status: u16,
    (retry_after, is_page): (Option<&str>, bool),
    detail: String,
    now: Timestamp,
) -> ZoneError {
    let operation = operation.to_owned();
    match status {
        401 | 403 if is_page => ZoneError::NoAnswer { operation, detail },
        429 => ZoneError::RateLimited { operation, retry_after: pause(retry_after, now) },
        401 | 403 => ZoneError::Unauthorized { operation, detail },
        _ => ZoneError::NoAnswer { operation, detail },
    }
}

/// Codes and messages of a list of errors, each with its chain: the code that decides may be at any level.
fn collect(errors: Option<&Value>, found: &mut Vec<(u64, String)>) {
    for error in errors.and_then(Value::as_array).into_iter().flatten().take(20) {
        let message = error.get("message").and_then(Value::as_str).unwrap_or_default();
        found.push((error.get("code").and_then(Value::as_u64).unwrap_or(0), message.to_owned()));
        if found.len() < 50 {
            collect(error.get("error_chain"), found);
        }
    }
}

fn describe(answer: &Answer, errors: &[(u64, String)]) -> String {
    let said: Vec<String> = errors.iter().map(|(code, message)| format!("{code} {message}")).collect();
    let words =
        if said.is_empty() { format!("HTTP {} without a readable answer", answer.status) } else { said.join(": ") };
    words.chars().take(MAX_DETAIL).collect()
}

/// The pause that `Retry-After` asks for, in seconds or as a date, or the default.
fn pause(told: Option<&str>, now: Timestamp) -> Duration {
    let text = told.map(str::trim);
    let seconds = || text?.parse().ok().map(Duration::from_secs);
    let date = || {
        let at = DateTime::parse_from_rfc2822(text?).ok()?;
        Some(Timestamp::from_millis(at.timestamp_millis()).since(now))
    };
    let pause = seconds().or_else(date);
    pause.unwrap_or_else(|| DEFAULT_PAUSE.mul_f64(rand::random_range(1.0..1.25))).min(MAX_PAUSE)
}

/// One page of a listing.
pub(super) struct PageOfRows {
    pub(super) rows: Vec<Value>,
    pub(super) count: u64,
    pub(super) total_count: u64,
}

/// Parses a page; a page without totals is an error.
pub(super) fn page(document: &Value) -> Result<PageOfRows, String> {
    let rows = document.get("result").and_then(Value::as_array).ok_or("it has no list of records")?.clone();
    let info = document.get("result_info").ok_or("it does not say how many records there are")?;
    let number = |key: &str| {
        let number = info.get(key).and_then(Value::as_f64).filter(|number| (0.0..1e12).contains(number));
        number.map(|number| number as u64).ok_or_else(|| format!("its `{key}` is missing"))
    };
    Ok(PageOfRows { count: number("count")?, total_count: number("total_count")?, rows })
}

/// When a verified token expires.
pub(super) fn token(operation: &str, document: &Value) -> Result<Option<Timestamp>, ZoneError> {
    let result = document.get("result");
    let text = |key: &str| result.and_then(|result| result.get(key)).and_then(Value::as_str);
    match text("status") {
        Some("active") => {
            let expires = text("expires_on").and_then(|at| at.parse::<DateTime<Utc>>().ok());
            Ok(expires.map(|at| Timestamp::from_millis(at.timestamp_millis())))
        }
        other => {
            let detail = format!("the token is {}", other.unwrap_or("in an unknown state"));
            Err(ZoneError::Unauthorized { operation: operation.to_owned(), detail })
        }
    }
}

#[cfg(test)]
#[path = "answer_tests.rs"]
mod tests;
