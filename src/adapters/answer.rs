//! The complete answer of a peer. The border where its text is cleaned: what is read here can be stored and logged.

use serde_json::{Map, Value};

use crate::kernel::text::{clean, is_clean};

/// The longest text that is read from one field, in characters.
const LONGEST_FIELD: usize = 1 << 16;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The reason phrase of the status line, if it is not the standard one.
    pub reason: Option<String>,
    /// The entity tag.
    pub etag: Option<String>,
    /// The `Retry-After` header.
    pub retry_after: Option<String>,
    /// The body, decompressed.
    pub body: Vec<u8>,
}

impl Answer {
    /// Whether the status is one of the 200s.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether the body is a page for people, which a firewall or a proxy in between sends in place of the peer.
    pub fn is_page(&self) -> bool {
        is_page(&self.body)
    }

    /// The body as JSON. Escapes of half a surrogate pair, which JSON allows and UTF-8 does not, count as U+FFFD.
    pub fn document(&self) -> Result<Value, serde_json::Error> {
        let document = serde_json::from_slice(&self.body).or_else(|error| match without_lone_surrogates(&self.body) {
            Some(body) => serde_json::from_slice(&body),
            None => Err(error),
        });
        // Most documents are clean, and a large one is not built twice.
        document.map(|document| if is_all_clean(&document) { document } else { cleaned(document) })
    }

    /// The body as text of at most `most` characters.
    pub fn text(&self, most: usize) -> String {
        // A character has at most four bytes.
        let first = self.body.get(..most.saturating_mul(4)).unwrap_or(&self.body);
        clean(String::from_utf8_lossy(first).trim(), most)
    }
}

/// Whether a body that begins with `start` is HTML or XML.
pub(super) fn is_page(start: &[u8]) -> bool {
    start.trim_ascii_start().first() == Some(&b'<')
}

fn is_all_clean(value: &Value) -> bool {
    match value {
        Value::String(text) => is_clean(text, LONGEST_FIELD),
        Value::Array(values) => values.iter().all(is_all_clean),
        Value::Object(members) => {
            members.iter().all(|(name, value)| is_clean(name, LONGEST_FIELD) && is_all_clean(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

fn cleaned(value: Value) -> Value {
    match value {
        Value::String(text) if !is_clean(&text, LONGEST_FIELD) => Value::String(clean(&text, LONGEST_FIELD)),
        Value::Array(values) => Value::Array(values.into_iter().map(cleaned).collect()),
        Value::Object(members) => {
            let member = |(name, value): (String, Value)| {
                let name = if is_clean(&name, LONGEST_FIELD) { name } else { clean(&name, LONGEST_FIELD) };
                (name, cleaned(value))
            };
            Value::Object(members.into_iter().map(member).collect::<Map<_, _>>())
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => other,
    }
}

/// The JSON text `body` with `\ufffd` for each escape of half a surrogate pair; `None` without one.
pub(super) fn without_lone_surrogates(body: &[u8]) -> Option<Vec<u8>> {
    let mut repaired = Vec::with_capacity(body.len());
    let mut rest = body;
    let mut found = false;
    while let Some((&first, after)) = rest.split_first() {
        let unit = escaped_unit(rest);
        let pair = unit
            .filter(|unit| is_high(*unit))
            .and_then(|_| rest.get(6..).and_then(escaped_unit))
            .filter(|low| is_low(*low));
        let length = match (first, unit) {
            (b'\\', Some(_)) if pair.is_some() => 12,
            (b'\\', Some(unit)) if is_high(unit) || is_low(unit) => {
                found = true;
                repaired.extend_from_slice(b"\\ufffd");
                rest = rest.get(6..).unwrap_or_default();
                continue;
            }
            // An escaped backslash does not begin another escape.
            (b'\\', _) => 2,
            _ => 1,
        };
        let (kept, next) =
            rest.split_at_checked(length).unwrap_or((rest, after.get(after.len()..).unwrap_or_default()));
        repaired.extend_from_slice(kept);
        rest = next;
    }
    found.then_some(repaired)
}

/// The code unit of the escape `\uXXXX` at the beginning of `text`.
fn escaped_unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

const fn is_high(unit: u16) -> bool {
    matches!(unit, 0xd800..=0xdbff)
}

const fn is_low(unit: u16) -> bool {
    matches!(unit, 0xdc00..=0xdfff)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn answer(body: impl Into<Vec<u8>>) -> Answer {
        Answer { status: 200, reason: None, etag: None, retry_after: None, body: body.into() }
    }

    #[test]
    fn text_that_no_database_takes_is_replaced_wherever_it_stands() {
        let body =
            r#"{"a":"nul \u0000","b":["half \ud83d","other half \ude00 ","\ud83d\ude00","\\ud83d"],"k\u0000":1}"#;
        let expected = json!({
            "a": "nul \u{fffd}",
            "b": ["half \u{fffd}", "other half \u{fffd} ", "\u{1f600}", "\\ud83d"],
            "k\u{fffd}": 1,
        });
        assert_eq!(answer(body).document().unwrap(), expected);
        assert_eq!(answer(r#"["\ud83d\ud83d\ude00"]"#).document().unwrap(), json!(["\u{fffd}\u{1f600}"]));
        assert_eq!(answer(b"  nul \0, \xff  ".to_vec()).text(100), "nul \u{fffd}, \u{fffd}");
        assert_eq!(answer("\u{e9}".repeat(10)).text(3), "\u{e9}\u{e9}\u{e9}");
    }

    proptest! {
        #[test]
        fn no_body_makes_it_panic(body in prop::collection::vec(prop::sample::select(&b"\\ud8dce0{}[]\":,\0\xff"[..]), 0..60)) {
            let _ = answer(body.clone()).document();
            let _ = answer(body).text(5);
        }

        #[test]
        fn a_repaired_document_is_read(text in "([a-z]|\\\\\\\\ud[89c-f][0-9a-f]{2}|\\\\ud[89c-f][0-9a-f]{2}|\\\\n){0,12}") {
            prop_assert!(answer(format!("[\"{text}\"]")).document().is_ok(), "{text}");
        }
    }
}
