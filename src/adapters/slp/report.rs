//! Parses the status that servers report. Lenient: every field may be missing or of another type.

use std::time::Duration;

use serde_json::Value;

use super::loose;
use crate::ports::PingReport;

const MAX_TEXT: usize = 256;
/// The nesting depth up to which the parts of a description are read.
const MAX_DEPTH: usize = 16;

/// An answer and the time it took.
pub(super) struct Timed<T> {
    /// The answer.
    pub(super) answer: T,
    /// From the connection to the complete answer.
    pub(super) latency: Duration,
}

/// The answer is not a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoStatus {
    /// The text of the status is not a JSON object.
    #[error("the status is not a JSON object")]
    Document,
    /// The text of a legacy answer has too few fields.
    #[error("the legacy status has too few fields")]
    Fields,
}

/// Parses the document of 1.7 and later.
pub(super) fn modern(timed: &Timed<String>) -> Result<PingReport, NoStatus> {
    let document = loose::document(&timed.answer).ok_or(NoStatus::Document)?;
    if !document.is_object() {
        return Err(NoStatus::Document);
    }
    let at = |pointer: &str| document.pointer(pointer);
    let count = |pointer: &str| at(pointer).and_then(number).and_then(|number| u32::try_from(number).ok());
    Ok(PingReport {
        latency: timed.latency,
        version: at("/version/name").and_then(Value::as_str).map(plain),
        protocol: at("/version/protocol").and_then(number),
        online: count("/players/online"),
        max: count("/players/max"),
        description: at("/description").map(|description| {
            let mut text = String::new();
            flatten(description, 0, &mut text);
            plain(&text)
        }),
        legacy: false,
    })
}

/// Parses the text of 1.4 to 1.6 (fields between NULs) or of earlier versions (fields between section signs).
pub(super) fn legacy(timed: &Timed<String>) -> Result<PingReport, NoStatus> {
    let text = timed.answer.as_str();
    let empty = PingReport { latency: timed.latency, legacy: true, ..PingReport::default() };
    if let Some(fields) = text.strip_prefix("§1\0") {
        let mut fields = fields.split('\0');
        let mut next = || fields.next().ok_or(NoStatus::Fields);
        let (protocol, version, description) = (next()?, next()?, next()?);
        let (online, max) = (next()?, next()?);
        return Ok(PingReport {
            version: Some(plain(version)),
            protocol: protocol.parse().ok(),
            online: online.parse().ok(),
            max: max.parse().ok(),
            description: Some(plain(description)),
            ..empty
        });
    }
    let mut fields = text.rsplitn(3, '§');
    match (fields.next(), fields.next(), fields.next()) {
        (Some(max), Some(online), Some(description)) => Ok(PingReport {
            online: online.parse().ok(),
            max: max.parse().ok(),
            description: Some(plain(description)),
            ..empty
        }),
        _ => Err(NoStatus::Fields),
    }
}

fn number(value: &Value) -> Option<i64> {
    let whole = |number: f64| (number.abs() < 9_007_199_254_740_992.0).then_some(number as i64);
    value.as_i64().or_else(|| value.as_f64().and_then(whole))
}

/// The text of a description: a string, a component with parts, or a list of them.
fn flatten(description: &Value, depth: usize, text: &mut String) {
    if depth > MAX_DEPTH || text.len() > 4 * MAX_TEXT {
        return;
    }
    match description {
        Value::String(words) => text.push_str(words),
        Value::Array(parts) => parts.iter().for_each(|part| flatten(part, depth + 1, text)),
        Value::Object(component) => {
            let parts = ["text", "extra"].into_iter().filter_map(|key| component.get(key));
            parts.for_each(|part| flatten(part, depth + 1, text));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Without formatting codes and control characters, cut to a readable length.
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '§' => drop(chars.next()),
            char if char.is_control() => plain.push(' '),
            char => plain.push(char),
        }
    }
    plain.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn timed(text: &str) -> Timed<String> {
        Timed { answer: text.to_owned(), latency: Duration::from_millis(5) }
    }

    #[test]
    fn a_full_status_is_read() {
        let text = r#"{"version":{"name":"Paper 1.21.1","protocol":767},"players":{"max":20,"online":3,"sample":[]},
            "description":{"text":"§aHello ","extra":[{"text":"wor"},"ld",{"extra":[{"text":"!"}]}]},"favicon":"data:"}"#;
        let report = modern(&timed(text)).unwrap();
        assert_eq!((report.version.as_deref(), report.protocol), (Some("Paper 1.21.1"), Some(767)));
        assert_eq!((report.online, report.max), (Some(3), Some(20)));
        assert_eq!((report.description.as_deref(), report.is_from_proxy()), (Some("Hello world!"), false));
        let proxy = modern(&timed(r#"{"version":{"name":"Velocity 3.3.0"}}"#)).unwrap();
        assert!(proxy.is_from_proxy() && proxy.online.is_none());
    }

    #[test]
    fn an_unusual_status_is_read_as_far_as_possible() {
        let text = r#"{"version":"1.8","players":{"online":-1,"max":2e99},"description":7}"#;
        let report = modern(&timed(text)).unwrap();
        assert_eq!((report.version, report.online, report.max), (None, None, None));
        assert_eq!(report.description.as_deref(), Some(""));
        let deep = format!("{{\"description\":{}\"x\"{}}}", "[".repeat(100), "]".repeat(100));
        assert_eq!(modern(&timed(&deep)).unwrap().description.as_deref(), Some(""));
        for text in ["", "[]", "null", "\"x\"", "{"] {
            assert_eq!(modern(&timed(text)), Err(NoStatus::Document), "{text}");
        }
    }

    #[test]
    fn both_legacy_answers_are_parsed() {
        let report = legacy(&timed("§1\x0078\x001.6.4\x00A server\x003\x0020")).unwrap();
        assert_eq!((report.version.as_deref(), report.protocol), (Some("1.6.4"), Some(78)));
        assert_eq!((report.online, report.max, report.legacy), (Some(3), Some(20), true));
        let report = legacy(&timed("A §server§0§20")).unwrap();
        assert_eq!((report.description.as_deref(), report.online, report.max), (Some("A erver"), Some(0), Some(20)));
        for text in ["", "§1\0", "§1\x0078\x001.6", "one§two"] {
            assert_eq!(legacy(&timed(text)), Err(NoStatus::Fields), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,300}") {
            let _ = (modern(&timed(&text)), legacy(&timed(&text)));
        }
    }
}
