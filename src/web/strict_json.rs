//! Strict JSON: a key that appears twice in an object is an error, and nesting is limited to 128 levels.
//!
//! Two parsers may disagree on which of two equal keys counts; refusing them avoids the question.

use std::cell::RefCell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::code::Code;
use super::error::{ApiError, FieldError};

/// Parses `text` as one JSON object.
pub fn parse_object(text: &[u8]) -> Result<Map<String, Value>, ApiError> {
    let repeated = RefCell::new(Vec::new());
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = Strict { way: None, repeated: &repeated }
        .deserialize(&mut deserializer)
        .and_then(|value| deserializer.end().map(|()| value))
        .map_err(|error| ApiError::new(Code::MalformedJson, format!("The body is not valid JSON: {error}.")))?;
    let repeated = repeated.into_inner();
    if !repeated.is_empty() {
        return Err(ApiError::with_errors(Code::MalformedJson, repeated));
    }
    match value {
        Value::Object(object) => Ok(object),
        other => {
            Err(ApiError::new(Code::MalformedJson, format!("The body must be a JSON object, not {}.", kind(&other))))
        }
    }
}

/// The JSON type of `value`, with an article.
pub(super) const fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// `key` as one step of a JSON pointer, cut to a length that fits into an answer.
pub(super) fn pointer_step(key: &str) -> String {
    let cut: String = key.chars().take(64).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    format!("/{}", cut.replace('~', "~0").replace('/', "~1"))
}

const MOST_REPORTED: usize = 20;

/// A value that is being parsed. Its path is a linked list on the stack, written out only when a problem is reported.
struct Strict<'a> {
    way: Option<Way<'a>>,
    repeated: &'a RefCell<Vec<FieldError>>,
}

#[derive(Clone, Copy)]
struct Way<'a> {
    before: Option<&'a Way<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

impl Way<'_> {
    fn pointer(&self) -> String {
        let before = self.before.map(Way::pointer).unwrap_or_default();
        match self.step {
            Step::Key(key) => before + &pointer_step(key),
            Step::Index(index) => format!("{before}/{index}"),
        }
    }
}

impl Strict<'_> {
    fn inside<'b>(&'b self, step: Step<'b>) -> Strict<'b> {
        Strict { way: Some(Way { before: self.way.as_ref(), step }), repeated: self.repeated }
    }

    fn report(&self, key: &str) {
        let mut repeated = self.repeated.borrow_mut();
        if repeated.len() < MOST_REPORTED {
            let pointer = Way { before: self.way.as_ref(), step: Step::Key(key) }.pointer();
            repeated.push(FieldError { pointer, message: "appears more than once".to_owned() });
        }
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(self.inside(Step::Index(array.len())))? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(self.inside(Step::Key(&key)))?;
            if object.contains_key(&key) {
                self.report(&key);
            }
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &[u8]) -> ApiError {
        parse_object(text).unwrap_err()
    }

    #[test]
    fn repeated_keys_are_named_at_any_depth() {
        let error = refusal(br#"{"a":{"b/c":1,"b/c":2},"d":[{"x":1,"x":1}],"a":3}"#);
        let pointers: Vec<_> = error.errors().iter().map(|e| e.pointer.as_str()).collect();
        assert_eq!(pointers, ["/a/b~1c", "/d/0/x", "/a"]);
        assert_eq!(error.code(), Code::MalformedJson);
    }

    #[test]
    fn invalid_json_is_refused_with_line_and_column() {
        assert!(refusal(b"{\"a\":\n }").to_string().contains("line 2 column 2"));
        let deep = [b"{\"a\":".to_vec(), b"[".repeat(5000)].concat();
        for text in
            [&b""[..], b"{", b"[]", b"{} {}", b"\xff\xfe", b"{\"a\":\"\xc3\x28\"}", b"{\"a\":1e999}", b"null", &deep]
        {
            assert_eq!(refusal(text).code(), Code::MalformedJson, "{}", String::from_utf8_lossy(text));
        }
    }
}
