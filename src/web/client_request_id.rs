//! The request id: the client's `X-Request-Id` if it is well formed, a generated id otherwise.

use std::fmt;
use std::sync::Arc;

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload};
use std::future::{Ready, ready};

use crate::kernel::RequestId;

/// The header that carries the request id, in requests and answers.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request in answers, problem documents and logs: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRequestId(Arc<str>);

impl ClientRequestId {
    /// The client's request id if it is well formed, a generated one otherwise.
    pub fn accept_or_make(headers: &HeaderMap) -> Self {
        let sent = headers.get(X_REQUEST_ID).and_then(|value| value.to_str().ok());
        match sent.filter(|text| is_well_formed(text)) {
            Some(text) => Self(text.into()),
            None => Self(RequestId::generate().to_string().into()),
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header value.
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or_else(|_| HeaderValue::from_static("unnamed"))
    }
}

fn is_well_formed(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

impl fmt::Display for ClientRequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromRequest for ClientRequestId {
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let known = request.extensions().get::<Self>().cloned();
        ready(Ok(known.unwrap_or_else(|| Self::accept_or_make(request.headers()))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(text: &'static str) -> ClientRequestId {
        let mut headers = HeaderMap::new();
        headers.insert(X_REQUEST_ID, HeaderValue::from_static(text));
        ClientRequestId::accept_or_make(&headers)
    }

    #[test]
    fn a_well_formed_id_is_kept_and_others_are_replaced() {
        assert_eq!(named("portal-42/a").as_str(), "portal-42/a");
        assert!(named("two words").as_str().starts_with("req_"));
        assert!(named("").as_str().starts_with("req_"));
        let long: &'static str = "a".repeat(129).leak();
        assert!(named(long).as_str().starts_with("req_"));
    }
}
