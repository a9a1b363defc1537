//! `/openapi.json`, and `/docs`: the same document as one plain page without scripts, and every error code.

use std::fmt::Write;
use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::openapi::{document, openapi};
use crate::web::Code;

const STYLE: &str = include_str!("docs.css");
static DOCUMENT: LazyLock<String> = LazyLock::new(openapi);
static PAGE: LazyLock<String> = LazyLock::new(|| page_of(&document()));
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

fn page_of(document: &Value) -> String {
    let mut html = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>zpack API</title><style>{STYLE}</style><h1>zpack API</h1>\
         <p>The same as a machine reads it: <a href=\"/openapi.json\">openapi.json</a>.\n"
    );
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for (path, operations) in members(document.get("paths")) {
        for (method, operation) in members(Some(operations)) {
            let group = operation.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default();
            let section = section(document, method, path, operation);
            match groups.iter_mut().find(|(name, _)| *name == group) {
                Some((_, sections)) => sections.push(section),
                None => groups.push((group, vec![section])),
            }
        }
    }
    for (group, sections) in groups {
        _ = writeln!(html, "<h2>{}</h2>{}", escape(group), sections.concat());
    }
    html.push_str("<h2>Errors</h2><table><tr><th>code<th>status<th>meaning\n");
    for code in Code::ALL {
        let (status, meaning) = (code.status().as_u16(), escape(code.meaning()));
        _ = writeln!(html, "<tr id=\"{code}\"><td><code>{code}</code><td>{status}<td>{meaning}");
    }
    html.push_str("</table></html>\n");
    html
}

fn section(document: &Value, method: &str, path: &str, operation: &Value) -> String {
    let text = |pointer: &str| escape(operation.pointer(pointer).and_then(Value::as_str).unwrap_or_default());
    let mut html = format!(
        "<section><h3><b>{}</b> {}</h3><p>{} <span class=\"who\">for {}</span>\n",
        method.to_ascii_uppercase(),
        escape(path),
        text("/summary"),
        text("/x-principal"),
    );
    let mut rows = String::new();
    for parameter in operation.get("parameters").and_then(Value::as_array).into_iter().flatten() {
        let text = |name: &str| escape(parameter.get(name).and_then(Value::as_str).unwrap_or_default());
        _ = write!(rows, "<tr><td><code>{}</code><td>{}<td>{}", text("name"), text("in"), text("description"));
    }
    let body = operation.pointer("/requestBody/content/application~1json/schema");
    rows.push_str(&fields(document, body, "body"));
    for (status, answer) in members(operation.get("responses")) {
        rows.push_str(&fields(document, answer.pointer("/content/application~1json/schema"), status));
    }
    if !rows.is_empty() {
        _ = write!(html, "<table><tr><th>field<th>where<th>\n{rows}</table>");
    }
    html.push_str("</section>\n");
    html
}

/// A row for each field of the schema that `reference` names.
fn fields(document: &Value, reference: Option<&Value>, place: &str) -> String {
    let pointer = reference.and_then(|schema| schema.get("$ref")).and_then(Value::as_str).unwrap_or_default();
    let schema = document.pointer(pointer.trim_start_matches('#')).filter(|_| !pointer.is_empty());
    let mut rows = String::new();
    for (name, field) in members(schema.and_then(|schema| schema.get("properties"))) {
        let description = escape(field.get("description").and_then(Value::as_str).unwrap_or_default());
        _ = writeln!(rows, "<tr><td><code>{}</code><td>{}<td>{description}", escape(name), escape(place));
    }
    rows
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
