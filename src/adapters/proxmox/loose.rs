//! Reads the loosely typed values of the hypervisor: any scalar may be a string or a number, booleans are 0 and 1, keys
//! may be absent. Every function is total: a value that cannot be read counts as absent.

use serde_json::Value;

/// The value of `key`, if `object` is an object that has it.
pub(super) fn field<'a>(object: &'a Value, key: &str) -> Option<&'a Value> {
    object.as_object()?.get(key)
}

/// The scalar of `key` as text.
pub(super) fn text(object: &Value, key: &str) -> Option<String> {
    scalar(field(object, key)?)
}

/// The scalar of `key` as text, unless it is empty.
pub(super) fn filled(object: &Value, key: &str) -> Option<String> {
    text(object, key).filter(|text| !text.is_empty())
}

/// The scalar `value` as text.
pub(super) fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(u8::from(*flag).to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The scalar of `key` as a whole number; a fraction is cut off.
pub(super) fn whole(object: &Value, key: &str) -> Option<u64> {
    match field(object, key)? {
        Value::Number(number) => number.as_u64().or_else(|| number.as_f64().and_then(cut)),
        Value::String(text) => {
            let text = text.trim();
            text.parse::<u64>().ok().or_else(|| text.parse::<f64>().ok().and_then(cut))
        }
        Value::Bool(flag) => Some(u64::from(*flag)),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// The scalar of `key` as a whole number of 32 bits.
pub(super) fn small(object: &Value, key: &str) -> Option<u32> {
    whole(object, key).and_then(|number| u32::try_from(number).ok())
}

/// The flag of `key`; absent means false.
pub(super) fn flag(object: &Value, key: &str) -> bool {
    whole(object, key).is_some_and(|number| number != 0)
}

fn cut(number: f64) -> Option<u64> {
    // Up to 2^53 every whole number has an exact f64.
    (0.0..=9_007_199_254_740_992.0).contains(&number).then_some(number as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_scalar_may_be_text_or_number() {
        let row = json!({ "a": "512", "b": 512, "c": 512.7, "d": " 512.0 ", "e": true, "f": null, "g": [], "h": -1, "i": "x", "j": "NaN", "k": 1e300 });
        for key in ["a", "b", "c", "d"] {
            assert_eq!(whole(&row, key), Some(512), "{key}");
        }
        assert_eq!(whole(&row, "e"), Some(1));
        for key in ["f", "g", "h", "i", "j", "k", "absent"] {
            assert_eq!(whole(&row, key), None, "{key}");
            assert!(!flag(&row, key), "{key}");
        }
        assert_eq!(text(&row, "b").as_deref(), Some("512"));
        assert_eq!(text(&row, "e").as_deref(), Some("1"));
        assert_eq!(filled(&json!({ "lock": "" }), "lock"), None);
        assert_eq!(text(&json!([1]), "a"), None);
    }
}
