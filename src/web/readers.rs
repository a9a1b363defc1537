//! Readers of single values: each returns the value, or a message that says what it must be.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde_json::Value;

/// One line of text of `length` characters, without control characters.
pub fn text(length: RangeInclusive<usize>) -> impl FnOnce(&Value) -> Result<String, String> {
    move |value| bounded_text(value, &length, |c| c.is_control())
}

/// Text of `length` characters that may have line breaks and tabs.
pub fn paragraph(length: RangeInclusive<usize>) -> impl FnOnce(&Value) -> Result<String, String> {
    move |value| bounded_text(value, &length, |c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'))
}

/// A whole number in `range`.
pub fn whole<N>(range: RangeInclusive<N>) -> impl FnOnce(&Value) -> Result<N, String>
where
    N: TryFrom<i64> + PartialOrd + Display + Copy,
{
    move |value| {
        // 512.0 is the whole number 512 to JSON Schema and to JavaScript, which cannot distinguish them.
        let number = value.as_i64().or_else(|| value.as_f64().and_then(exact));
        number
            .and_then(|number| N::try_from(number).ok())
            .filter(|number| range.contains(number))
            .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()))
    }
}

/// `true` or `false`.
pub fn flag() -> impl FnOnce(&Value) -> Result<bool, String> {
    |value| value.as_bool().ok_or_else(|| "must be true or false".to_owned())
}

/// Text that `T` parses; the parse error is the message.
pub fn parsed<T>() -> impl FnOnce(&Value) -> Result<T, String>
where
    T: FromStr<Err: Display>,
{
    |value| match value.as_str() {
        Some(text) => text.parse().map_err(|error: T::Err| error.to_string()),
        None => Err("must be a string".to_owned()),
    }
}

fn exact(number: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = number.fract() == 0.0 && number.abs() <= EXACT;
    #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
    whole.then_some(number as i64)
}

fn bounded_text(value: &Value, length: &RangeInclusive<usize>, refused: fn(char) -> bool) -> Result<String, String> {
    let Some(text) = value.as_str() else { return Err("must be a string".to_owned()) };
    if !length.contains(&text.chars().count()) {
        return Err(match (length.start(), length.end()) {
            (0, end) => format!("must have at most {end} characters"),
            (start, end) => format!("must have {start} to {end} characters"),
        });
    }
    if text.contains(refused) {
        return Err("must not have control characters".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn whole_numbers_are_whole_and_in_range() {
        for good in [json!(512), json!(32_768), json!(1024.0)] {
            assert!(whole(512..=32_768)(&good).is_ok(), "{good}");
        }
        for bad in [
            json!(0),
            json!(-1),
            json!(1_000_000_000),
            json!("2g"),
            json!(512.5),
            json!(1e300),
            json!(null),
            json!(u64::MAX),
        ] {
            assert!(whole(512..=32_768)(&bad).is_err(), "{bad}");
        }
        assert!(whole(0u8..=255)(&json!(256)).is_err());
    }

    #[test]
    fn text_counts_characters_and_refuses_control_characters() {
        assert_eq!(text(1..=3)(&json!("äöü")), Ok("äöü".to_owned()));
        assert!(text(1..=3)(&json!("a\u{0}")).is_err());
        assert!(text(1..=9)(&json!("a\nb")).is_err());
        assert!(paragraph(1..=9)(&json!("a\nb")).is_ok());
        assert!(paragraph(1..=9)(&json!("a\u{0}b")).is_err());
        assert!(text(0..=2)(&json!("abc")).unwrap_err().contains("at most 2"));
    }
}
