//! `GET /api/catalog/game` and `GET /api/catalog/dev`.

use std::time::Duration;

use actix_web::http::header::{self, HeaderMap};
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::cache::{LONGEST, Reading};
use super::document::{Game, Games, Runtime, Runtimes};
use super::handle::Catalog;
use crate::web::{ApiError, ApiResult};

/// The games that can be provisioned.
#[derive(Debug, Serialize, ToSchema)]
pub struct GameCatalog<'a> {
    /// The games.
    games: &'a [Game],
    /// Whether the source of the catalog has not confirmed this for longer than usual; see `Age`.
    stale: bool,
}

/// The runtimes that can be provisioned.
#[derive(Debug, Serialize, ToSchema)]
pub struct DevCatalog<'a> {
    /// The runtimes.
    runtimes: &'a [Runtime],
    /// Whether the source of the catalog has not confirmed this for longer than usual; see `Age`.
    stale: bool,
}

/// `GET /api/catalog/game`
pub async fn game(request: HttpRequest, catalog: web::Data<Catalog>) -> ApiResult<HttpResponse> {
    let reading: Reading<Games> = catalog.games().await?;
    let body = GameCatalog { games: &reading.document.games, stale: reading.stale };
    answer(request.headers(), &body, reading.age, reading.fresh_for)
}

/// `GET /api/catalog/dev`
pub async fn dev(request: HttpRequest, catalog: web::Data<Catalog>) -> ApiResult<HttpResponse> {
    let reading: Reading<Runtimes> = catalog.runtimes().await?;
    let body = DevCatalog { runtimes: &reading.document.runtimes, stale: reading.stale };
    answer(request.headers(), &body, reading.age, reading.fresh_for)
}

fn answer(asked: &HeaderMap, body: &impl Serialize, age: Duration, fresh_for: Duration) -> ApiResult<HttpResponse> {
    let body = serde_json::to_vec(body).map_err(ApiError::internal)?;
    let etag = etag_of(&body);
    let held = is_held(asked, &etag);
    let mut response = if held { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    let (fresh, longest) = (fresh_for.as_secs(), LONGEST.as_secs());
    let caching = format!("public, max-age={fresh}, stale-if-error={longest}");
    response
        .insert_header((header::ETAG, etag))
        .insert_header((header::AGE, age.as_secs().to_string()))
        .insert_header((header::CACHE_CONTROL, caching));
    if held { Ok(response.finish()) } else { Ok(response.content_type("application/json").body(body)) }
}

/// Weak, because the bytes on the wire depend on the compression.
fn etag_of(body: &[u8]) -> String {
    format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(Sha256::digest(body)))
}

/// Whether the client already has `etag` (RFC 9110, 13.1.2).
fn is_held(asked: &HeaderMap, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let lines = asked.get_all(header::IF_NONE_MATCH).filter_map(|line| line.to_str().ok());
    let ours = opaque(etag);
    lines.flat_map(|line| line.split(',')).any(|tag| tag.trim() == "*" || opaque(tag) == ours)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn a_matching_entity_tag_is_recognized_in_every_form() {
        let etag = etag_of(b"{}");
        let strong = etag.trim_start_matches("W/").to_owned();
        let asks = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_NONE_MATCH, HeaderValue::from_str(text).unwrap());
            is_held(&headers, &etag)
        };
        assert!(asks(&etag) && asks(&strong) && asks("*") && asks(&format!("\"x\", {etag}")));
        assert!(!asks("\"x\"") && !asks("") && !is_held(&HeaderMap::new(), &etag));
    }
}
