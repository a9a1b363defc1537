//! The JSON body of a request: checks the content type and the size, parses strictly, and reads the fields into a type.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use actix_web::{FromRequest, HttpRequest};
use bytes::BytesMut;
use futures_util::StreamExt;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::code::Code;
use super::error::{ApiError, ApiResult};
use super::fields::Fields;
use super::strict_json::parse_object;

/// The largest JSON body, in bytes.
pub const JSON_LIMIT: usize = 256 * 1024;
const READ_TIME: Duration = Duration::from_secs(30);

/// A request body that is read field by field.
pub trait FromFields: Sized {
    /// Reads all fields and calls [`Fields::finish`].
    fn from_fields(fields: Fields<'_>) -> ApiResult<Self>;
}

/// The arguments of a handler whose last one is a JSON body.
pub trait TakesJson {
    /// The type of the body.
    type Body;
}

macro_rules! takes_json {
    ($(($($argument:ident)*))+) => { $(
        impl<$($argument,)* T> TakesJson for ($($argument,)* Json<T>,) {
            type Body = T;
        }
    )+ };
}

takes_json! { () (A) (A B) (A B C) (A B C D) (A B C D E) }

/// Extracts a `T` from the JSON body.
#[derive(Debug)]
pub struct Json<T> {
    /// The body.
    pub value: T,
    /// SHA-256 of the canonical body (keys sorted, no white space), in hexadecimal. Equal bodies have equal digests.
    pub digest: String,
}

impl<T: FromFields> FromRequest for Json<T> {
    type Error = ApiError;
    type Future = Pin<Box<dyn Future<Output = ApiResult<Self>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let accepted = check_content_type(request.headers()).and_then(|()| check_length(request.headers(), JSON_LIMIT));
        let mut payload = payload.take();
        Box::pin(async move {
            accepted?;
            read_json(&read_all(&mut payload, JSON_LIMIT).await?)
        })
    }
}

/// Reads `text`, a whole body, as a `T`.
pub fn read_json<T: FromFields>(text: &[u8]) -> ApiResult<Json<T>> {
    let object = parse_object(text)?;
    let value = T::from_fields(Fields::new(&object))?;
    Ok(Json { value, digest: digest(&object) })
}

/// Refuses a body on a route that takes none. An empty object and `null` are accepted, whatever their content type.
pub async fn refuse_fields(headers: &HeaderMap, payload: &mut Payload) -> ApiResult<()> {
    check_length(headers, JSON_LIMIT)?;
    let text = read_all(payload, JSON_LIMIT).await?;
    if matches!(text.trim_ascii(), b"" | b"null") {
        return Ok(());
    }
    Fields::new(&parse_object(&text)?).finish(())
}

/// Reads the whole body, up to `limit` bytes, with a timeout.
pub async fn read_all(payload: &mut Payload, limit: usize) -> ApiResult<BytesMut> {
    let read = async {
        let mut body = BytesMut::new();
        while let Some(chunk) = payload.next().await {
            let chunk = chunk.map_err(|error| {
                ApiError::new(Code::MalformedRequest, format!("The body could not be read completely: {error}."))
            })?;
            if body.len() + chunk.len() > limit {
                return Err(too_large(limit));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    };
    tokio::time::timeout(READ_TIME, read).await.unwrap_or_else(|_| {
        Err(ApiError::new(Code::RequestTimeout, format!("The body did not arrive within {} s.", READ_TIME.as_secs())))
    })
}

/// Refuses a body whose `Content-Length` exceeds `limit`, before any of it is read.
pub fn check_length(headers: &HeaderMap, limit: usize) -> ApiResult<()> {
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|length| length > limit) { Err(too_large(limit)) } else { Ok(()) }
}

fn too_large(limit: usize) -> ApiError {
    ApiError::new(Code::BodyTooLarge, format!("The body is larger than {} KiB.", limit / 1024))
}

fn check_content_type(headers: &HeaderMap) -> ApiResult<()> {
    let sent = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = sent.split(';').map(str::trim);
    let is_json = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    let is_utf8 = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) if name.trim().eq_ignore_ascii_case("charset") => {
            let value = value.trim().trim_matches('"');
            value.eq_ignore_ascii_case("utf-8") || value.eq_ignore_ascii_case("utf8")
        }
        _ => true,
    });
    if is_json && is_utf8 {
        return Ok(());
    }
    Err(ApiError::new(Code::UnsupportedMediaType, "Send the body as `Content-Type: application/json` in UTF-8."))
}

fn digest(object: &Map<String, Value>) -> String {
    // The map is sorted by key, so equal objects serialize equally.
    let text = serde_json::to_vec(object).unwrap_or_default();
    hex::encode(Sha256::digest(text))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::super::readers::{flag, paragraph, text, whole};
    use super::*;

    #[derive(Debug)]
    struct Order;

    impl FromFields for Order {
        fn from_fields(mut fields: Fields<'_>) -> ApiResult<Self> {
            let name = fields.required(&["name", "title"], text(1..=8));
            let count = fields.optional(&["count"], whole(1..=9));
            let gift = fields.optional(&["gift"], flag());
            let note = fields.change("note", paragraph(0..=20));
            let inner = fields.object("inner", |inner| inner.required(&["name"], text(1..=8)));
            fields.finish((name, count, gift, note, inner)).map(|_| Self)
        }
    }

    fn with_type(value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn only_json_in_utf8_is_taken() {
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/json;charset=\"UTF-8\""] {
            assert!(check_content_type(&with_type(good)).is_ok(), "{good}");
        }
        for bad in ["text/plain", "application/jsonx", "application/json; charset=latin1", ""] {
            assert!(check_content_type(&with_type(bad)).is_err(), "{bad}");
        }
        assert!(check_content_type(&HeaderMap::new()).is_err());
    }

    #[test]
    fn equal_bodies_have_equal_digests() {
        let one = read_json::<Order>(br#"{"name":"a","count":1}"#).unwrap();
        let two = read_json::<Order>(b" {\"count\": 1,\n \"name\": \"\\u0061\"}").unwrap();
        let other = read_json::<Order>(br#"{"name":"a","count":2}"#).unwrap();
        assert_eq!(one.digest, two.digest);
        assert_ne!(one.digest, other.digest);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".*".prop_map(Value::from),
        ];
        let key = prop_oneof![Just("name".to_owned()), Just("count".to_owned()), Just("inner".to_owned()), ".{0,8}"];
        leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..6)
                    .prop_map(|entries| Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_answer_5xx(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Err(error) = read_json::<Order>(&bytes) {
                prop_assert!(error.code().status().is_client_error());
            }
        }

        #[test]
        fn no_json_makes_it_panic_or_answer_5xx(value in json_value()) {
            let text = serde_json::to_vec(&value).unwrap();
            if let Err(error) = read_json::<Order>(&text) {
                prop_assert!(error.code().status().is_client_error());
                prop_assert!(error.errors().iter().all(|e| e.pointer.starts_with('/')));
                prop_assert!(serde_json::from_str::<Value>(&error.document(None)).is_ok());
            }
        }
    }
}
