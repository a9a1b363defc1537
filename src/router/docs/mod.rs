//! `/openapi.json`, and `/docs`: the same document as one plain page without scripts, and every error code.
//!
//! [`page()`] puts the page together, [`mod@fields`] turns a schema into rows, [`mod@html`] escapes.

mod fields;
mod html;
mod page;

use actix_web::http::header;
use actix_web::{HttpResponse, web};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::Value;
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("page.css");

/// The document in both forms, made once when the server starts.
#[derive(Debug)]
pub struct Documentation {
    openapi: Bytes,
    page: Bytes,
    policy: String,
}

impl Documentation {
    /// The forms of `document`, whose text is `openapi`.
    pub(super) fn of(document: &Value, openapi: String) -> Self {
        let style = STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!("default-src 'none'; style-src 'sha256-{style}'; frame-ancestors 'none'");
        Self { openapi: openapi.into(), page: page::of(document, STYLE).into(), policy }
    }
}

/// `GET /openapi.json`.
pub async fn openapi_json(documentation: web::Data<Documentation>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(documentation.openapi.clone())
}

/// `GET /docs`.
pub async fn page(documentation: web::Data<Documentation>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, documentation.policy.as_str()))
        .body(documentation.page.clone())
}
