//! Reads the answers of agents. Total: an answer of any shape gives a value or a reason.

use serde_json::Value;

use crate::adapters::answer::Answer;
use crate::ports::{AgentError, AgentReport, AgentState};

const MAX_DETAIL: usize = 300;

/// Parses a status document. It must be an object; every field may be missing.
pub(super) fn report(answer: &Answer) -> Result<AgentReport, String> {
    let document = answer.document().map_err(|error| format!("the status is not JSON: {error}"))?;
    if !document.is_object() {
        return Err("the status is not a JSON object".to_owned());
    }
    let text = |key: &str| document.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let number = |key: &str| document.get(key).and_then(whole);
    Ok(AgentReport {
        state: text("state").and_then(|state| state.parse().ok()).unwrap_or(AgentState::Unknown),
        install_step: text("installStep").map(cut),
        install_progress: number("installProgress").map(|percent| u8::try_from(percent.min(100)).unwrap_or(100)),
        crash_count: number("crashCount").and_then(|count| u32::try_from(count).ok()).unwrap_or(0),
        error: text("error").map(cut),
        generation: number("generation").and_then(|generation| u32::try_from(generation).ok()),
    })
}

/// The error for an answer that is not a success.
pub(super) fn refused(operation: String, answer: &Answer) -> AgentError {
    let said = Said::of(answer);
    let code = said.code.as_deref();
    match answer.status {
        401 | 403 => AgentError::Unauthorized { operation, detail: said.detail },
        404 | 405 | 501 if matches!(code, None | Some("unsupported")) => AgentError::Unsupported { operation },
        409 if matches!(code, None | Some("busy")) => AgentError::Busy { operation, detail: said.detail },
        status => AgentError::Refused { operation, status, detail: said.detail },
    }
}

/// The message of an answer that is not a success.
pub(super) fn message(answer: &Answer) -> String {
    Said::of(answer).detail
}

/// The message of a refusal: `{error:{code,message}}`, `{error:"…"}`, `{message:"…"}` or plain text.
struct Said {
    code: Option<String>,
    detail: String,
}

impl Said {
    fn of(answer: &Answer) -> Self {
        let document = answer.document().unwrap_or(Value::Null);
        let error = document.get("error");
        let member = |key: &str| error.and_then(|error| error.get(key)).and_then(Value::as_str);
        let code = member("code");
        let message = member("message")
            .or_else(|| error.and_then(Value::as_str))
            .or_else(|| document.get("message").and_then(Value::as_str))
            .or(code)
            .map_or_else(|| answer.text(MAX_DETAIL), str::to_owned);
        let detail = if message.trim().is_empty() {
            answer.reason.clone().unwrap_or_else(|| "no explanation".to_owned())
        } else {
            message
        };
        Self { code: code.map(str::to_owned), detail: cut(detail.trim()) }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_DETAIL).collect()
}

fn whole(value: &Value) -> Option<u64> {
    let fraction = |number: f64| (0.0..=9_007_199_254_740_992.0).contains(&number).then_some(number as u64);
    match value {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(fraction)),
        Value::String(text) => text.trim().parse().ok(),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answer(status: u16, body: &str) -> Answer {
        Answer { status, reason: None, etag: None, retry_after: None, body: body.as_bytes().to_vec() }
    }

    fn report(body: &[u8]) -> Result<AgentReport, String> {
        super::report(&Answer { body: body.to_vec(), ..answer(200, "") })
    }

    fn refusal(status: u16, body: &str) -> AgentError {
        refused("POST /start".to_owned(), &answer(status, body))
    }

    #[test]
    fn a_full_report_is_read() {
        let body = r#"{"state":"installing","desired":"running","installStep":"java","installProgress":41.7,"crashCount":2,
            "lastExit":null,"error":"","generation":3,"uptime_s":9,"players":{"online":1}}"#;
        let expected = AgentReport {
            state: AgentState::Installing,
            install_step: Some("java".to_owned()),
            install_progress: Some(41),
            crash_count: 2,
            error: None,
            generation: Some(3),
        };
        assert_eq!(report(body.as_bytes()), Ok(expected));
    }

    #[test]
    fn a_small_or_unusual_report_is_read_as_far_as_possible() {
        for (body, state) in [
            ("{}", AgentState::Unknown),
            (r#"{"state":"idle"}"#, AgentState::Idle),
            (r#"{"state":"hibernating"}"#, AgentState::Unknown),
            (r#"{"state":7,"crashCount":"x","installProgress":-4}"#, AgentState::Unknown),
        ] {
            let report = report(body.as_bytes()).unwrap();
            assert_eq!((report.state, report.crash_count, report.install_progress), (state, 0, None), "{body}");
        }
        for body in ["", "[]", "null", "ok", "{"] {
            assert!(report(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn refusals_are_classified() {
        assert!(matches!(refusal(401, ""), AgentError::Unauthorized { .. }));
        assert!(matches!(refusal(404, "404 page not found"), AgentError::Unsupported { .. }));
        assert!(matches!(refusal(404, r#"{"error":{"code":"unsupported"}}"#), AgentError::Unsupported { .. }));
        assert!(matches!(
            refusal(404, r#"{"error":{"code":"not_found","message":"no such file"}}"#),
            AgentError::Refused { status: 404, .. }
        ));
        let AgentError::Busy { detail, .. } = refusal(409, r#"{"error":{"code":"busy","message":"a backup runs"}}"#)
        else {
            panic!("not busy");
        };
        assert_eq!(detail, "a backup runs");
        assert!(matches!(
            refusal(409, r#"{"error":{"code":"not_installed","message":"install first"}}"#),
            AgentError::Refused { status: 409, .. }
        ));
    }

    #[test]
    fn long_messages_of_an_agent_are_cut() {
        for body in ["é".repeat(5000), format!(r#"{{"error":"{}"}}"#, "é".repeat(5000))] {
            let AgentError::Refused { detail, status: 500, .. } = refusal(500, &body) else { panic!("not refused") };
            assert_eq!(detail, "é".repeat(300));
        }
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(status in 300u16..600, body in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = report(&body);
            let _ = refused(String::new(), &Answer { status, reason: None, etag: None, retry_after: None, body });
        }
    }
}
