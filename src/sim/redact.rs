//! Removes secrets from what the journal keeps.

use serde_json::Value;

const MASK: &str = "***";
/// The longest text the journal keeps of a path, a value or a body.
const MAX_TEXT: usize = 4096;
/// The value of a field whose name contains one of these words is masked.
const SECRET_WORDS: [&str; 8] =
    ["password", "passwd", "secret", "token", "authorization", "admin_pass", "private", "apikey"];

/// Whether a field of this name holds a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_WORDS.iter().any(|word| name.contains(word))
}

/// The pairs of a query or form with secrets masked.
pub fn pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    let mask = |key: &str, value: &str| if is_secret(key) { MASK.to_owned() } else { cut(value.to_owned()) };
    pairs.into_iter().map(|(key, value)| (key.to_owned(), mask(key, value))).collect()
}

/// A body as text: secrets masked, cut to 4096 bytes.
pub fn body(content_type: &str, bytes: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else { return format!("<{} bytes>", bytes.len()) };
    let clean = match serde_json::from_str::<Value>(text) {
        Ok(mut json) if json.is_object() || json.is_array() => {
            mask_json(&mut json);
            json.to_string()
        }
        _ if content_type.starts_with("application/x-www-form-urlencoded") => {
            let form: Vec<(String, String)> = url::form_urlencoded::parse(bytes).into_owned().collect();
            let clean = pairs(form.iter().map(|(key, value)| (key.as_str(), value.as_str())));
            url::form_urlencoded::Serializer::new(String::new()).extend_pairs(clean).finish()
        }
        _ => text.to_owned(),
    };
    cut(clean)
}

fn mask_json(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, field) in fields.iter_mut() {
                if is_secret(key) && !field.is_null() {
                    *field = Value::from(MASK);
                } else {
                    mask_json(field);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_json),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// `text`, cut to 4096 bytes.
pub fn cut(text: String) -> String {
    if text.len() <= MAX_TEXT {
        return text;
    }
    let end = (0..=MAX_TEXT).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_in_every_body_form() {
        let json = body("application/json", br#"{"a":{"admin_pass":"x"},"apiToken":"y","b":1}"#);
        assert_eq!(json, r#"{"a":{"admin_pass":"***"},"apiToken":"***","b":1}"#);
        let form = body("application/x-www-form-urlencoded", b"username=a&password=open%20sesame");
        assert_eq!(form, "username=a&password=***");
        assert_eq!(body("", &[0xff, 0xfe]), "<2 bytes>");
    }

    #[test]
    fn a_long_body_is_cut_between_characters() {
        let long = body("text/plain", "é".repeat(4096).as_bytes());
        assert!(long.len() <= MAX_TEXT + '…'.len_utf8());
        assert!(long.ends_with('…'));
    }
}
