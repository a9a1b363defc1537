//! `/openapi.json`, and `/docs`: the same document as one plain page without scripts, and every error code.
//!
//! [`page`] puts the page together, [`fields`] turns a schema into rows, [`html`] escapes.

mod fields;
mod html;
mod page;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use super::openapi::{document, openapi};

const STYLE: &str = include_str!("page.css");
static DOCUMENT: LazyLock<String> = LazyLock::new(openapi);
static PAGE: LazyLock<String> = LazyLock::new(|| page::of(&document(), STYLE));
static POLICY: LazyLock<String> = LazyLock::new(|| {
    let style = STANDARD.encode(Sha256::digest(STYLE));
    format!("default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'")
});

/// `GET /openapi.json`.
pub async fn openapi_json() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

/// `GET /docs`.
pub async fn page() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY.as_str()))
        .body(PAGE.as_str())
}
