//! Parses answers and refusals: HTTP 200 always, a status word, and sentences instead of codes (docs/contracts/edge.md
//! B1). Total.

use serde_json::Value;

use crate::adapters::answer::Answer;
use crate::ports::ZoneError;

const MAX_DETAIL: usize = 300;

/// Why a call was not successful.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The token was not accepted.
    Token {
        /// The server's message.
        detail: String,
    },
    /// Anything else.
    Other(ZoneError),
}

/// The `response` of a successful answer.
pub(super) fn read(operation: &str, answer: &Answer) -> Result<Value, Refusal> {
    let owned = || operation.to_owned();
    let document = answer.document().ok();
    let text = |key: &str| {
        let text = document.as_ref().and_then(|document| document.get(key)).and_then(Value::as_str);
        text.map(|text| text.chars().take(MAX_DETAIL).collect::<String>())
    };
    if answer.status == 404 {
        let detail = "the server does not know the call (is TECHNITIUM_API_URL right?)".to_owned();
        return Err(Refusal::Other(ZoneError::Misconfigured { operation: owned(), detail }));
    }
    let words = || text("errorMessage").unwrap_or_else(|| format!("HTTP {} without a reason", answer.status));
    match (answer.is_success(), text("status").as_deref()) {
        (true, Some("ok")) => {
            let response = document.as_ref().and_then(|document| document.get("response")).cloned();
            Ok(response.unwrap_or(Value::Null))
        }
        (true, Some("error")) => Err(Refusal::Other(refused(owned(), words()))),
        (_, Some("invalid-token")) => Err(Refusal::Token { detail: words() }),
        (_, Some("2fa-required")) => {
            Err(Refusal::Token { detail: "the account of the token demands a second factor".to_owned() })
        }
        // The server itself always names a status.
        (_, Some(_)) if matches!(answer.status, 401 | 403) => Err(Refusal::Token { detail: words() }),
        // A firewall or a proxy in between, or an answer that was cut off.
        _ => {
            let detail = format!("HTTP {} without a readable answer", answer.status);
            Err(Refusal::Other(ZoneError::NoAnswer { operation: owned(), detail }))
        }
    }
}

/// The meaning of a sentence. An unknown one counts as permanent.
fn refused(operation: String, detail: String) -> ZoneError {
    let said = detail.to_ascii_lowercase();
    let has = |words: &str| said.contains(words);
    if has("please try again") {
        ZoneError::Busy { operation, detail }
    } else if has("no such record") {
        ZoneError::Gone { operation }
    } else if has("already exists") || has("cname record cannot exists") {
        ZoneError::Conflict { operation, detail }
    } else if has("access was denied") {
        // Reading, changing and deleting are separate permissions.
        let detail = format!("{detail} (the token lacks the right to {operation})");
        ZoneError::Unauthorized { operation, detail }
    } else if has("no such zone was found") || has("does not belong to the zone") {
        let detail = format!("{detail} (is ZPACK_ZONE a zone of this server?)");
        ZoneError::Misconfigured { operation, detail }
    } else {
        ZoneError::Refused { operation, detail }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::kernel::{Classify, Failure};

    fn said(document: &Value) -> Result<Value, Refusal> {
        let body = document.to_string().into_bytes();
        read("do it", &Answer { status: 200, reason: None, etag: None, retry_after: None, body })
    }

    #[test]
    fn sentences_are_classified() {
        let table = [
            ("Cannot delete record: no such record exists.", Failure::Ambiguous),
            ("Cannot add record: record already exists.", Failure::Ambiguous),
            ("a CNAME record cannot exists with other record types", Failure::Ambiguous),
            ("Access was denied.", Failure::NeedsOperator),
            ("No such zone was found: x", Failure::NeedsOperator),
            ("The domain name does not belong to the zone", Failure::NeedsOperator),
            ("Failed to set records. Please try again.", Failure::Busy),
            ("Something else", Failure::Permanent),
        ];
        for (sentence, class) in table {
            let refusal = said(&json!({"status": "error", "errorMessage": sentence, "server": "dns"})).unwrap_err();
            let Refusal::Other(error) = refusal else { panic!("{sentence}") };
            assert_eq!(error.failure(), class, "{sentence}: {error}");
        }
        for status in ["invalid-token", "2fa-required"] {
            assert!(matches!(said(&json!({"status": status})), Err(Refusal::Token { .. })));
        }
        assert_eq!(said(&json!({"status": "ok", "response": {"a": 1}})).unwrap(), json!({"a": 1}));
    }

    proptest! {
        #[test]
        fn no_answer_makes_it_panic(status in 0u16..1000, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = read("do", &Answer { status, reason: None, etag: None, retry_after: None, body });
        }
    }
}
