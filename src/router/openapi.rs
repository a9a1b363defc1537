//! The OpenAPI 3.1 document, built from the route table. The same table always yields the same bytes.

use serde_json::{Map, Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::Schema;
use utoipa::{PartialSchema, ToSchema};

use super::principal::Principal;
use super::route::{Route, SchemaRef};
use super::table::routes;
use crate::web::{FieldError, PROBLEM, Problem};

/// The document as it is served and stored in `docs/openapi.json`.
pub fn openapi() -> String {
    text(&document(&routes()))
}

/// The document as text.
pub(super) fn text(document: &Value) -> String {
    let mut text = serde_json::to_string_pretty(document).unwrap_or_default();
    text.push('\n');
    text
}

/// The document that describes `table`.
pub(super) fn document(table: &[Route]) -> Value {
    let mut schemas = vec![
        (Problem::name().into_owned(), Problem::schema()),
        (FieldError::name().into_owned(), FieldError::schema()),
    ];
    let mut paths = Map::new();
    for route in table {
        for used in route.request.iter().chain(route.answers.iter().filter_map(|answer| answer.schema.as_ref())) {
            (used.collect)(&mut schemas);
        }
        let path = paths.entry(openapi_path(route.path)).or_insert_with(|| json!({}));
        if let Value::Object(path) = path {
            path.insert(route.method.as_str().to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "zpack",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Control plane of a hosting company: game servers and dev containers on Proxmox.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "paths": paths,
        "components": {
            "schemas": schemas.into_iter().map(|(name, schema)| (name, schema_value(&schema))).collect::<Map<_, _>>(),
            "responses": { "Problem": {
                "description": "A problem document (RFC 9457).",
                "content": { PROBLEM: { "schema": reference("Problem") } },
            } },
            "securitySchemes": {
                "account": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" },
                "internal": { "type": "apiKey", "in": "header", "name": "X-ZLH-Internal-Token" },
                "bridge": { "type": "apiKey", "in": "header", "name": "X-Zpack-Secret" },
                "discovery": { "type": "http", "scheme": "bearer" },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.summary,
        "tags": [tag(route.path)],
        "x-principal": route.principal,
        "x-rate-class": route.rate,
        "security": security(route.principal),
        "responses": responses(route),
    });
    let parameters = parameters(route);
    if let Value::Object(members) = &mut operation {
        if !parameters.is_empty() {
            members.insert("parameters".to_owned(), Value::Array(parameters));
        }
        if let Some(SchemaRef { name, .. }) = &route.request {
            let content = json!({ "application/json": { "schema": reference(name) } });
            members.insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
    }
    operation
}

fn responses(route: &Route) -> Value {
    let mut responses = Map::new();
    for answer in &route.answers {
        let content = match &answer.schema {
            Some(schema) => json!({ answer.content_type: { "schema": reference(&schema.name) } }),
            None => json!({ answer.content_type: {} }),
        };
        let description = answer.status.canonical_reason().unwrap_or_default();
        responses.insert(answer.status.as_u16().to_string(), json!({ "description": description, "content": content }));
    }
    responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    Value::Object(responses)
}

fn parameters(route: &Route) -> Vec<Value> {
    let text = json!({ "type": "string" });
    let in_path =
        variables(route.path).map(|name| json!({ "name": name, "in": "path", "required": true, "schema": text }));
    let in_query = route.query.iter().map(|parameter| {
        json!({ "name": parameter.name, "in": "query", "description": parameter.description, "schema": text })
    });
    let key = route.idempotent.then(|| {
        let description = "A repeated request with the same key and body gets the first response again.";
        let schema = json!({ "type": "string", "minLength": 1, "maxLength": 255 });
        json!({ "name": "Idempotency-Key", "in": "header", "description": description, "schema": schema })
    });
    in_path.chain(in_query).chain(key).collect()
}

fn security(principal: Principal) -> Value {
    match principal {
        Principal::Public | Principal::Stripe | Principal::Ticket => json!([]),
        Principal::PublicOrCustomer => json!([{}, { "account": [] }]),
        Principal::Customer | Principal::Owner | Principal::Admin => json!([{ "account": [] }]),
        Principal::Internal => json!([{ "internal": [] }]),
        Principal::InternalOrBridge => json!([{ "internal": [] }, { "bridge": [] }]),
        Principal::InternalOrAdmin => json!([{ "internal": [] }, { "account": [] }]),
        Principal::Discovery => json!([{ "discovery": [] }]),
        Principal::InternalOrDiscovery => json!([{ "internal": [] }, { "discovery": [] }]),
    }
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn schema_value(schema: &RefOr<Schema>) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

/// In the document, `{tail:.*}` of the router is `{tail}`.
fn openapi_path(path: &str) -> String {
    variables(path).fold(path.to_owned(), |text, name| {
        let Some((before, after)) = text.split_once(&format!("{{{name}:")) else { return text };
        let rest = after.split_once('}').map_or("", |(_, rest)| rest);
        format!("{before}{{{name}}}{rest}")
    })
}

fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|part| part.split(['}', ':']).next())
}

/// The group of a path: `auth` of `/api/auth/me`.
fn tag(path: &str) -> &str {
    let mut steps = path.split('/').filter(|step| !step.is_empty());
    match (steps.next(), steps.next()) {
        (Some("api" | "internal"), Some(group)) if group != "health" => group,
        _ => "system",
    }
}

fn operation_id(route: &Route) -> String {
    let words = route.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let method = route.method.as_str().to_ascii_lowercase();
    words.fold(method, |id, word| format!("{id}_{word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_removed_from_variable_parts() {
        assert_eq!(openapi_path("/a/{id}/b/{tail:.*}"), "/a/{id}/b/{tail}");
        assert_eq!(variables("/a/{id}/b/{tail:.*}").collect::<Vec<_>>(), ["id", "tail"]);
    }

    #[test]
    fn every_reference_has_a_target() {
        fn references(value: &Value, found: &mut Vec<String>) {
            match value {
                Value::Object(members) => {
                    found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                    members.values().for_each(|member| references(member, found));
                }
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                _ => {}
            }
        }
        let document = document(&routes());
        let mut found = Vec::new();
        references(&document, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            assert!(document.pointer(reference.trim_start_matches('#')).is_some(), "{reference}");
        }
    }
}
