//! Cross-origin requests: exact origins from the settings, the `Authorization` header, no credentials (cookies).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::http::Method;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};

/// The origins whose pages may call the API. Clones share the list of refused origins.
#[derive(Clone, Debug, Default)]
pub struct AllowedOrigins {
    allowed: Vec<String>,
    refused: Arc<Mutex<BTreeSet<String>>>,
}

/// How many refused origins are remembered and logged; clients could send any number of them.
const MOST_REFUSED: usize = 64;
/// The longest origin that is logged.
const LONGEST_ORIGIN: usize = 200;

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
        Self { allowed: origins.into_iter().collect(), refused: Arc::default() }
    }

    /// The `Origin` of a request, if pages of that origin may call the API.
    pub fn allowed(&self, request: &HeaderMap) -> Option<HeaderValue> {
        let mut lines = request.get_all(header::ORIGIN);
        let origin = lines.next().filter(|_| lines.next().is_none())?;
        self.allowed.iter().any(|allowed| allowed.as_bytes() == origin.as_bytes()).then(|| origin.clone())
    }

    /// The `Origin` of a request that [`allowed`](Self::allowed) refuses, the first time it occurs, for the log: the
    /// browser's error does not name the missing setting. `None` for a page of our own host, and after 64 origins.
    pub fn newly_refused(&self, request: &HeaderMap) -> Option<String> {
        let origin = request.get(header::ORIGIN)?.to_str().ok()?;
        let host = request.get(header::HOST).and_then(|host| host.to_str().ok());
        if self.allowed(request).is_some() || origin.split_once("://").is_some_and(|(_, at)| Some(at) == host) {
            return None;
        }
        let origin: String = origin.chars().take(LONGEST_ORIGIN).collect();
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        (refused.len() < MOST_REFUSED && refused.insert(origin.clone())).then_some(origin)
    }

    /// Whether no origin is allowed, so that `Vary: Origin` is not needed.
    pub fn is_empty(&self) -> bool {
        self.allowed.is_empty()
    }
}

/// Whether this is a browser's preflight request.
pub fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    method == Method::OPTIONS
        && request.contains_key(header::ORIGIN)
        && request.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
        && !request.contains_key(ALLOW_PRIVATE_NETWORK)
}

/// Adds the headers of every answer to an allowed `origin`.
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

    fn from(origin: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.append(header::HOST, HeaderValue::from_static("api.example:4000"));
        headers.append(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        headers
    }

    #[test]
    fn a_refused_origin_is_reported_once_for_all_clones() {
        let origins = AllowedOrigins::new(["https://portal.example".to_owned()]);
        assert_eq!(origins.newly_refused(&from("https://portal.example")), None);
        assert_eq!(origins.newly_refused(&from("http://api.example:4000")), None, "a page of our own");
        assert_eq!(origins.newly_refused(&HeaderMap::new()), None);
        let other = from("http://localhost:3000");
        assert_eq!(origins.newly_refused(&other).as_deref(), Some("http://localhost:3000"));
        assert_eq!(origins.clone().newly_refused(&other), None);
    }

    #[test]
    fn memory_and_log_stay_bounded_whatever_is_sent() {
        let origins = AllowedOrigins::new([]);
        let reported =
            (0..1000).filter_map(|n| origins.newly_refused(&from(&format!("http://{n}.{}", "x".repeat(500)))));
        let reported: Vec<String> = reported.collect();
        assert_eq!(reported.len(), MOST_REFUSED);
        assert!(reported.iter().all(|origin| origin.len() == LONGEST_ORIGIN));
        assert_eq!(origins.refused.lock().unwrap().len(), MOST_REFUSED);
    }
}
