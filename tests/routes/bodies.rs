//! Compares the body schemas of the OpenAPI document with what the server accepts, for every route.

use std::collections::BTreeSet;

use reqwest::{Method, StatusCode};
use serde_json::{Map, Value, json};
use zpack::router::{Principal, Route, routes};

use crate::support::app::{INTERNAL, TestApp};

/// The document that the server serves.
struct Document(Value);

/// One variant of a body: all its properties, the required ones, and the members that select this variant.
#[derive(Clone, Debug, Default)]
struct Form {
    properties: Map<String, Value>,
    required: BTreeSet<String>,
    chosen_by: Map<String, Value>,
}

impl Form {
    /// The properties of both.
    fn and(&self, other: &Self) -> Self {
        let mut both = self.clone();
        both.properties.extend(other.properties.clone());
        both.required.extend(other.required.clone());
        both.chosen_by.extend(other.chosen_by.clone());
        both
    }
}

impl Document {
    fn body(&self, route: &Route) -> Option<&Value> {
        let method = route.method.as_str().to_ascii_lowercase();
        let operation = &self.0["paths"][route.path][method];
        assert!(operation.is_object(), "{route:?} is not in the document");
        operation.pointer("/requestBody/content/application~1json/schema")
    }

    /// The variants of a schema: several for a `oneOf`.
    fn forms(&self, schema: &Value) -> Vec<Form> {
        let list = |key: &str| schema.get(key).and_then(Value::as_array);
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            return self.forms(self.0.pointer(reference.trim_start_matches('#')).expect("what it refers to"));
        }
        if let Some(all) = list("allOf") {
            return all.iter().fold(vec![Form::default()], |forms, part| {
                let parts = self.forms(part);
                forms.iter().flat_map(|form| parts.iter().map(|part| form.and(part))).collect()
            });
        }
        if let Some(one) = list("oneOf") {
            return one.iter().flat_map(|schema| self.forms(schema)).collect();
        }
        let properties = schema["properties"].as_object().expect("properties").clone();
        let required = list("required").into_iter().flatten().map(|name| name.as_str().unwrap().to_owned()).collect();
        let only = |property: &Value| match property["enum"].as_array().map(Vec::as_slice) {
            Some([only]) => Some(only.clone()),
            _ => None,
        };
        let chosen_by =
            properties.iter().filter_map(|(name, property)| Some((name.clone(), only(property)?))).collect();
        vec![Form { properties, required, chosen_by }]
    }
}

/// An app with tokens for its routes.
struct Scene {
    app: TestApp,
    customer: String,
    document: Document,
}

impl Scene {
    async fn start() -> Self {
        let app = TestApp::start().await;
        let customer = app.register("carol").await;
        let document = Document(app.get("/openapi.json").send().await.unwrap().json().await.unwrap());
        Self { app, customer, document }
    }

    /// The routes with a body, with their schemas and all variants.
    fn with_body(&self) -> Vec<(Route, Vec<Form>)> {
        let routes = routes().into_iter();
        routes.filter_map(|route| Some((route.clone(), self.document.forms(self.document.body(&route)?)))).collect()
    }

    async fn send(&self, route: &Route, body: &Value) -> (StatusCode, Value) {
        // So that no rate limit applies.
        self.app.clock.advance(std::time::Duration::from_secs(60));
        let request = self.app.request(Method::from_bytes(route.method.as_str().as_bytes()).unwrap(), &path(route));
        let request = match route.principal {
            Principal::Public => request,
            Principal::Customer | Principal::Owner | Principal::PublicOrCustomer => request.bearer_auth(&self.customer),
            Principal::InternalOrAdmin | Principal::InternalOrBridge | Principal::Internal => {
                request.bearer_auth(INTERNAL)
            }
            other => panic!("{other} of {route:?}: say whose token this takes"),
        };
        let answer = request.json(body).send().await.unwrap();
        (answer.status(), answer.json().await.unwrap_or_default())
    }

    /// The pointers of the fields that are refused in `body`.
    async fn refused(&self, route: &Route, body: &Value) -> BTreeSet<String> {
        let (status, answer) = self.send(route, body).await;
        let errors = answer["errors"].as_array();
        assert!(status.is_success() || errors.is_some(), "{route:?} answered {status} to {body}: {answer}");
        errors.into_iter().flatten().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}

fn path(route: &Route) -> String {
    let steps = route.path.split('/').map(|step| if step.starts_with('{') { "5000" } else { step });
    steps.collect::<Vec<_>>().join("/")
}

fn pointers<'a>(names: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    names.into_iter().map(|name| format!("/{name}")).collect()
}

#[tokio::test]
async fn an_empty_body_is_refused_for_exactly_the_required_fields() {
    let scene = Scene::start().await;
    let routes = scene.with_body();
    assert!(routes.len() >= 9, "{routes:?}");
    for (route, forms) in routes {
        let nothing = scene.refused(&route, &json!({})).await;
        let everywhere = forms.iter().map(|form| pointers(&form.required));
        let everywhere = everywhere.reduce(|one, other| &one & &other).unwrap();
        assert!(nothing.is_superset(&everywhere), "{route:?}: {nothing:?} is not all of {everywhere:?}");
        for form in forms {
            let body = Value::Object(form.chosen_by.clone());
            let demanded = pointers(form.required.iter().filter(|name| !form.chosen_by.contains_key(*name)));
            assert_eq!(scene.refused(&route, &body).await, demanded, "{route:?} with {body}");
        }
    }
}

#[tokio::test]
async fn values_are_refused_exactly_outside_the_documented_bounds() {
    let scene = Scene::start().await;
    let mut compared = 0;
    for (route, forms) in scene.with_body() {
        for form in forms {
            for (name, property) in &form.properties {
                for (value, is_refused) in samples(property) {
                    let mut body = form.chosen_by.clone();
                    body.insert(name.clone(), value.clone());
                    let refused = scene.refused(&route, &Value::Object(body)).await;
                    let is = refused.contains(&format!("/{name}"));
                    assert_eq!(
                        is, is_refused,
                        "{route:?}: {name} = {value}, which the document describes as {property}"
                    );
                    compared += 1;
                }
            }
        }
    }
    assert!(compared > 40, "{compared}");
}

/// Values of a property, and whether the schema excludes them.
fn samples(property: &Value) -> Vec<(Value, bool)> {
    let bound = |key: &str| property[key].as_f64().map(|number| number as i64);
    let length = |key: &str| property[key].as_u64().map(|length| usize::try_from(length).unwrap());
    let types: Vec<&str> = match &property["type"] {
        Value::String(one) => vec![one],
        several => several.as_array().into_iter().flatten().filter_map(Value::as_str).collect(),
    };
    let mut samples = Vec::new();
    // Texts of the right length may be refused for other reasons.
    let is_plain = ["format", "pattern", "enum", "example"].iter().all(|key| property.get(*key).is_none());
    if types.contains(&"string") {
        match length("maxLength") {
            Some(max) => samples.push((json!("a".repeat(max + 1)), true)),
            None if is_plain => samples.push((json!("a".repeat(2000)), false)),
            None => {}
        }
        match length("minLength") {
            Some(min) => samples.push((json!("a".repeat(min - 1)), true)),
            None if is_plain => samples.push((json!(""), false)),
            None => {}
        }
        if property["enum"].is_array() {
            samples.push((json!("neither"), true));
        }
    }
    if types.contains(&"integer") {
        samples.extend(bound("minimum").map(|least| (json!(least - 1), true)));
        samples.extend(bound("minimum").map(|least| (json!(least), false)));
        samples.extend(bound("maximum").map(|most| (json!(most + 1), true)));
        samples.extend(bound("maximum").map(|most| (json!(most), false)));
    }
    samples
}

#[tokio::test]
async fn a_route_without_a_body_refuses_fields() {
    let scene = Scene::start().await;
    scene
        .app
        .own(scene.app.id_of(&scene.customer).await, zpack::db::entities::instance::InstanceKind::Game, 5000)
        .await;
    let bodiless = |route: &Route| {
        let changes = !matches!(route.method.as_str(), "GET" | "OPTIONS");
        changes && scene.document.body(route).is_none()
    };
    let mut routes: Vec<Route> = routes().into_iter().filter(bodiless).collect();
    assert!(routes.len() >= 10, "{routes:?}");
    // Last, because it revokes the token of the scene.
    routes.sort_by_key(|route| route.path == "/api/auth/logout");
    for route in routes {
        let refused = scene.refused(&route, &json!({ "colour": "red" })).await;
        assert_eq!(refused, ["/colour".to_owned()].into(), "{route:?}");
        // An empty object counts as no body: any refusal has another reason.
        let (status, answer) = scene.send(&route, &json!({})).await;
        assert_ne!(answer["code"], "validation_failed", "{route:?}: {status} {answer}");
    }
}

/// Expects that `problem` has a text for people: sentences, in which no pointer of `errors` appears.
fn expect_sentences(what: &str, problem: &Value) {
    for member in ["error", "detail"] {
        let text = problem[member].as_str().unwrap_or_else(|| panic!("{what}: {problem}"));
        let first = text.chars().next().unwrap();
        assert!(!first.is_lowercase() && first != '/' && first != '?' && first != '`', "{what}: {text}");
        assert!(text.ends_with(['.', '!', '?']), "{what}: {text}");
        for error in problem["errors"].as_array().into_iter().flatten() {
            let pointer = error["pointer"].as_str().unwrap();
            assert!(pointer.len() < 2 || !text.contains(pointer), "{what}: {text}");
        }
    }
}

#[tokio::test]
async fn every_refusal_is_a_sentence_for_people() {
    let scene = Scene::start().await;
    let mut compared = 0;
    for (route, forms) in scene.with_body() {
        let mut bodies = vec![json!({}), json!({ "colour": "red" }), json!({ "a/b": 1, "c": 2, "d": 3, "e": 4 })];
        for form in forms {
            for (name, property) in &form.properties {
                let values = samples(property).into_iter().filter(|(_, refused)| *refused).map(|(value, _)| value);
                bodies.extend(values.chain([json!([]), json!({})]).map(|value| {
                    let mut body = form.chosen_by.clone();
                    body.insert(name.clone(), value);
                    Value::Object(body)
                }));
            }
        }
        for body in bodies {
            let (status, answer) = scene.send(&route, &body).await;
            if status.is_client_error() {
                expect_sentences(&format!("{route:?} with {body}"), &answer);
                compared += 1;
            }
        }
    }
    for route in routes().into_iter().filter(|route| route.method.as_str() == "GET") {
        let request = scene.app.get(&format!("{}?colour=red&limit=x", path(&route))).bearer_auth(&scene.customer);
        let answer = request.send().await.unwrap();
        scene.app.clock.advance(std::time::Duration::from_secs(60));
        if answer.status().is_client_error() {
            expect_sentences(&format!("{route:?}"), &answer.json().await.unwrap());
            compared += 1;
        }
    }
    assert!(compared > 100, "{compared}");
}
