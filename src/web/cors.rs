//! Cross-origin requests: exact origins from the settings, the `Authorization` header, no credentials (cookies).

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The origins whose pages may call the API.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins(Vec<String>);

const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, Last-Event-ID, X-Request-Id",
);
const RESPONSE_HEADERS: HeaderValue = HeaderValue::from_static(
    "ETag, Idempotency-Replayed, Location, RateLimit, RateLimit-Policy, Retry-After, X-Request-Id",
);
const ALLOW_PRIVATE_NETWORK: HeaderName = HeaderName::from_static("access-control-request-private-network");

impl AllowedOrigins {
    /// Allows exactly `origins`, each `scheme://host[:port]` without a path.
    pub fn new(origins: impl IntoIterator<Item = String>) -> Self {
        Self(origins.into_iter().collect())
    }

    /// The `Origin` of a request, when its page may call us.
    pub fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let mut lines = request.get_all(header::ORIGIN);
        let origin = lines.next().filter(|_| lines.next().is_none())?;
        self.0.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// Whether an empty site list makes `Vary: Origin` pointless.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a browser asks for permission before the real request.
pub fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && request.contains_key(header::ORIGIN)
        && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && !request.contains_key(ALLOW_PRIVATE_NETWORK)
}

/// Adds what every answer to an allowed `origin` carries.
pub fn add_headers(answer: &mut HeaderMap, origin: HeaderValue, preflight: bool) {
    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    if preflight {
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    } else {
        answer.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, RESPONSE_HEADERS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_origin_is_allowed() {
        let origins = AllowedOrigins::new(["https://portal.example".to_owned()]);
        let allowed = |origin: &'static str| {
            let mut headers = HeaderMap::new();
            headers.append(header::ORIGIN, HeaderValue::from_static(origin));
            origins.allowed(&headers).is_some()
        };
        assert!(allowed("https://portal.example"));
        for other in ["https://portal.example.evil", "http://portal.example", "https://portal.example:444", "null", "*"]
        {
            assert!(!allowed(other), "{other}");
        }
        assert!(origins.allowed(&HeaderMap::new()).is_none());
    }
}
