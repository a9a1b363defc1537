//! Reads the document of a status as the clients of the game do, which accept more than JSON allows. Total.

use serde_json::Value;

use crate::adapters::answer::without_lone_surrogates;

/// The first JSON value of `text`, without a byte order mark before it and whatever follows it. Half a surrogate pair
/// counts as U+FFFD, a control character in a string as a space, and a number that JSON does not have, such as `NaN`, as
/// null.
pub(super) fn document(text: &str) -> Option<Value> {
    let text = text.trim_start_matches(|c: char| c == '\u{feff}' || c == '\0' || c.is_whitespace());
    first(text).or_else(|| first(&repaired(text)))
}

fn first(text: &str) -> Option<Value> {
    serde_json::Deserializer::from_str(text).into_iter().next()?.ok()
}

/// `text` as JSON, as far as that is possible.
fn repaired(text: &str) -> String {
    let whole = without_lone_surrogates(text.as_bytes()).and_then(|bytes| String::from_utf8(bytes).ok());
    let text = whole.as_deref().unwrap_or(text);
    let mut repaired = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let part = match next {
            '"' => string(rest),
            next if is_of_word(next) => rest.find(|c| !is_of_word(c)).map_or(rest, |end| rest.split_at(end).0),
            next => rest.split_at(next.len_utf8()).0,
        };
        match next {
            '"' => repaired.extend(part.chars().map(|c| if c.is_control() { ' ' } else { c })),
            next if is_of_word(next) && serde_json::from_str::<Value>(part).is_err() => repaired.push_str("null"),
            _ => repaired.push_str(part),
        }
        rest = rest.split_at(part.len()).1;
    }
    repaired
}

/// Whether a number or a word outside strings consists of such characters.
const fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')
}

/// The string at the beginning of `text`, with both quotes.
fn string(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return text.split_at(at + 1).0,
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_clients_accept_is_read() {
        let cases = [
            ("\u{feff}{\"a\":1}", json!({"a": 1})),
            ("\0 {\"a\":1}\0", json!({"a": 1})),
            ("{\"a\":1}\n}trailing", json!({"a": 1})),
            (r#"{"a":NaN,"b":[-Infinity,Infinity,1],"c":1e999}"#, json!({"a": null, "b": [null, null, 1], "c": null})),
            (r#"{"a":"\ud83d","b":"NaN \" NaN"}"#, json!({"a": "\u{fffd}", "b": "NaN \" NaN"})),
            (
                "{\"a\":\"two\nlines \u{1b} NaN\",\"b\":true,\"c\":NaN}",
                json!({"a": "two lines   NaN", "b": true, "c": null}),
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(document(text), Some(expected), "{text:?}");
        }
        for text in ["", "\u{feff}", "{", "{\"a\":", "<html>", "{\"a\":\"", "\"\\"] {
            assert_eq!(document(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[\\[\\]{}\",:\\\\uNaI0-9e+.d8\u{feff}\0é-]{0,40}") {
            let _ = document(&text);
        }

        #[test]
        fn json_is_read_as_it_is(text in "\\PC{0,40}", number in any::<i64>()) {
            let value = json!({ "text": text, "list": [number, 0.5, true, null] });
            prop_assert_eq!(document(&repaired(&value.to_string())), Some(value));
        }
    }
}
