//! The outermost layer of the HTTP server, which every request passes.
//!
//! It assigns the request id, opens the tracing span, finds the client's address, answers preflights, turns every
//! failure into a problem document with the request id, and adds the security headers.

use std::net::IpAddr;
use std::time::Instant;

use actix_web::body::BoxBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpResponse, web};
use tracing::Instrument;

use super::client_address::TrustedProxies;
use super::client_request_id::{ClientRequestId, X_REQUEST_ID};
use super::code::Code;
use super::cors::{self, AllowedOrigins};
use super::error::{ApiError, PROBLEM};
use super::logged_path::logged_path;
use super::rate_class::{MatchedRoute, RateClass};
use crate::telemetry::HttpMetrics;

/// Which proxies are trusted and which origins may call the API.
#[derive(Clone, Debug, Default)]
pub struct ClientPolicy {
    /// The proxies whose forwarded headers are trusted.
    pub trusted_proxies: TrustedProxies,
    /// The origins whose pages may call the API.
    pub origins: AllowedOrigins,
}

/// The address of the client; in the extensions of every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddress(pub IpAddr);

const MOST_HEADER_BYTES: usize = 32 * 1024;
const MOST_URI_BYTES: usize = 8 * 1024;

/// Wraps the handling of one request; see the module.
pub async fn wrap(
    policy: web::Data<ClientPolicy>,
    metrics: web::Data<HttpMetrics>,
    request: ServiceRequest,
    next: Next<BoxBody>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let name = ClientRequestId::accept_or_make(request.headers());
    let client = policy.trusted_proxies.client_address(request.peer_addr(), request.headers());
    request.extensions_mut().insert(name.clone());
    request.extensions_mut().insert(ClientAddress(client));
    let span = tracing::info_span!("request", request.id = %name, client.address = %client);
    let method = request.method().clone();
    let path = logged_path(request.path());
    let started = Instant::now();

    let origin = policy.origins.allowed(request.headers());
    if let Some(origin) = policy.origins.newly_refused(request.headers()) {
        span.in_scope(|| {
            tracing::warn!(origin, "pages of {origin} cannot call the API: CORS_ORIGINS does not contain their origin");
        });
    }
    let preflight = cors::is_preflight(request.method(), request.headers());
    let answer = async {
        if preflight && origin.is_some() {
            return Ok(request.into_response(HttpResponse::NoContent().finish()));
        }
        match refuse_oversize(&request) {
            Some(error) => Ok(request.error_response(error)),
            None => next.call(request).await,
        }
    };
    let mut answer = as_problem(answer.instrument(span.clone()).await?, &name);

    let headers = answer.headers_mut();
    headers.insert(X_REQUEST_ID, name.header_value());
    if !policy.origins.is_empty() {
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
    }
    if let Some(origin) = origin {
        cors::add_headers(headers, origin, preflight);
    }
    add_security_headers(headers);
    let status = answer.status().as_u16();
    let took = started.elapsed();
    let matched = answer.request().extensions().get::<MatchedRoute>().copied();
    match matched {
        Some(route) => metrics.answered(method.as_str(), Some(route.path), status, took),
        None => metrics.answered(method.as_str(), answer.request().match_pattern().as_deref(), status, took),
    }
    let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    let routine = is_routine(&method, matched.map(|route| route.rate), answer.status());
    span.in_scope(|| {
        if routine {
            tracing::debug!(http.status = status, duration_ms, "{method} {path} answered {status} in {duration_ms} ms");
        } else {
            tracing::info!(http.status = status, duration_ms, "{method} {path} answered {status} in {duration_ms} ms");
        }
    });
    Ok(answer)
}

/// Whether an answer is logged at `debug`: it did not fail, and either the request changed nothing or it is of a kind
/// that machines repeat all the time (health checks, polls, callbacks of the proxy). `rate` is the class of the route,
/// if a route was found.
fn is_routine(method: &Method, rate: Option<RateClass>, status: StatusCode) -> bool {
    let failed = status.is_client_error() || status.is_server_error();
    !failed && (method.is_safe() || matches!(rate, Some(RateClass::Read | RateClass::Free)))
}

fn refuse_oversize(request: &ServiceRequest) -> Option<ApiError> {
    let headers: usize = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if headers > MOST_HEADER_BYTES {
        let detail = format!("The headers are larger than {} KiB together.", MOST_HEADER_BYTES / 1024);
        return Some(ApiError::new(Code::HeadersTooLarge, detail));
    }
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    (uri > MOST_URI_BYTES).then(|| ApiError::new(Code::UriTooLong, "The path and query are longer than 8 KiB."))
}

/// Rewrites every failure as a problem document with the request id: an [`ApiError`] keeps its text, any other failure
/// gets the text of its status.
fn as_problem(answer: ServiceResponse<BoxBody>, name: &ClientRequestId) -> ServiceResponse<BoxBody> {
    let status = answer.status();
    if !status.is_client_error() && !status.is_server_error() {
        return answer;
    }
    let cause = answer.response().error();
    let (status, document) = match cause.and_then(|error| error.as_error::<ApiError>()) {
        Some(error) => (status, error.document(Some(name.as_str()))),
        None => {
            let code = Code::of_status(status);
            log_unknown(code, cause);
            // A status without a code of its own gets the general code of its class.
            (code.status(), ApiError::new(code, code.meaning()).document(Some(name.as_str())))
        }
    };
    answer.map_body(|head, _| {
        head.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
        head.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        head.headers_mut().remove(header::CONTENT_LENGTH);
        head.headers_mut().remove(header::CONTENT_ENCODING);
        head.status = status;
        BoxBody::new(document)
    })
}

fn log_unknown(code: Code, cause: Option<&Error>) {
    if let (Code::Internal, Some(cause)) = (code, cause) {
        tracing::error!(error = %cause, "a request failed: {cause}");
    }
}

fn add_security_headers(headers: &mut HeaderMap) {
    let defaults: [(HeaderName, &str); 4] = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    ];
    for (name, value) in defaults {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_failures_are_logged_at_info() {
        for (method, rate, status, routine) in [
            (Method::GET, Some(RateClass::Read), 200, true),
            (Method::GET, Some(RateClass::Free), 200, true),
            (Method::GET, None, 404, false),
            (Method::GET, Some(RateClass::Free), 503, false),
            (Method::OPTIONS, None, 204, true),
            (Method::POST, Some(RateClass::Free), 202, true),
            (Method::POST, Some(RateClass::Free), 401, false),
            (Method::POST, Some(RateClass::Read), 200, true),
            (Method::POST, Some(RateClass::Write), 202, false),
            (Method::DELETE, Some(RateClass::Write), 202, false),
            (Method::POST, Some(RateClass::Auth), 200, false),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(is_routine(&method, rate, status), routine, "{method} {rate:?} {status}");
        }
    }
}
