//! What all routes have in common: problem documents, request ids, bodies, queries, CORS, rate limits.

use std::time::Duration;

use reqwest::header::{HeaderMap, ORIGIN as ORIGIN_HEADER};
use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};

use zpack::router::{Principal, Route, routes};

use crate::support::app::{ORIGIN, PASSWORD, TestApp, problem};

#[tokio::test]
async fn unknown_routes_and_methods_get_problem_documents() {
    let app = TestApp::start().await;
    assert_eq!(problem(app.get("/api/nothing").send().await.unwrap()).await["code"], "not_found");
    let answer = app.request(Method::DELETE, "/api/auth/me").send().await.unwrap();
    assert_eq!(answer.headers()["allow"], "GET, HEAD, PATCH, OPTIONS");
    assert_eq!(problem(answer).await["code"], "method_not_allowed");
    let answer = app.request(Method::OPTIONS, "/api/auth/login").send().await.unwrap();
    assert_eq!(
        (answer.status(), &answer.headers()["allow"]),
        (StatusCode::NO_CONTENT, &"POST, OPTIONS".parse().unwrap())
    );
    let answer = app.request(Method::from_bytes(b"BREW").unwrap(), "/healthz").send().await.unwrap();
    assert_eq!(problem(answer).await["code"], "method_not_allowed");
}

#[tokio::test]
async fn a_request_keeps_its_id() {
    let app = TestApp::start().await;
    let answer = app.get("/api/nothing").header("x-request-id", "portal-42").send().await.unwrap();
    assert_eq!(problem(answer).await["instance"], "portal-42");
    for bad in ["two words", &"x".repeat(129)] {
        let answer = app.get("/healthz").header("x-request-id", bad).send().await.unwrap();
        assert!(answer.headers()["x-request-id"].to_str().unwrap().starts_with("req_"));
    }
}

#[tokio::test]
async fn invalid_bodies_get_different_codes() {
    let app = TestApp::start().await;
    let good = json!({ "identifier": "nobody", "password": "x" }).to_string();
    let deep = format!("{{\"identifier\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
    let big = json!({ "identifier": "x".repeat(300 * 1024) }).to_string();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("application/json", good.clone().into_bytes(), "invalid_credentials"),
        ("application/json; charset=utf-8", good.clone().into_bytes(), "invalid_credentials"),
        ("text/plain", good.clone().into_bytes(), "unsupported_media_type"),
        ("application/x-www-form-urlencoded", b"identifier=a".to_vec(), "unsupported_media_type"),
        ("application/json", big.clone().into_bytes(), "body_too_large"),
        ("application/json", Vec::new(), "malformed_json"),
        ("application/json", b"{\"identifier\":".to_vec(), "malformed_json"),
        ("application/json", b"[1]".to_vec(), "malformed_json"),
        ("application/json", b"{\"identifier\":\"\xff\xfe\"}".to_vec(), "malformed_json"),
        ("application/json", b"{\"password\":\"a\",\"password\":\"b\"}".to_vec(), "malformed_json"),
        ("application/json", deep.into_bytes(), "malformed_json"),
        ("application/json", b"{\"identifier\":\"a\",\"password\":\"b\",\"admin\":true}".to_vec(), "validation_failed"),
        ("application/json", b"{\"identifier\":7,\"password\":null}".to_vec(), "validation_failed"),
        ("application/json", b"{\"identifier\":\"a\\u0000\",\"password\":\"b\"}".to_vec(), "validation_failed"),
    ];
    for (kind, body, code) in cases {
        app.clock.advance(Duration::from_secs(30));
        let shown = String::from_utf8_lossy(&body).chars().take(80).collect::<String>();
        let request = app.request(Method::POST, "/api/auth/login").header("content-type", kind).body(body);
        assert_eq!(problem(request.send().await.unwrap()).await["code"], code, "{kind}: {shown}");
    }
    // The same without a `Content-Length`.
    let chunks = big.into_bytes().chunks(8192).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>();
    let body = Body::wrap_stream(futures_util::stream::iter(chunks));
    let request = app.request(Method::POST, "/api/auth/login").header("content-type", "application/json").body(body);
    assert_eq!(problem(request.send().await.unwrap()).await["code"], "body_too_large");
}

#[tokio::test]
async fn a_body_on_a_route_without_one_is_refused_unless_it_is_empty() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    let send = async |route: &Route, body: &'static str| {
        let path = route.path.replace("{id}", "5000").replace("{vmid}", "5000");
        let method = Method::from_bytes(route.method.as_str().as_bytes()).unwrap();
        let answer = app.request(method, &path).bearer_auth(&token).body(body).send().await.unwrap();
        let answer: Value = answer.json().await.unwrap();
        (answer["code"].clone(), answer["errors"][0]["pointer"].clone())
    };
    let carries_one = |route: &Route| ["POST", "PUT", "PATCH", "DELETE"].contains(&route.method.as_str());
    let mut seen = 0;
    for route in routes().iter().filter(|route| route.request.is_none() && carries_one(route)) {
        // A caller who may not use a route gets no details about it.
        if !matches!(route.principal, Principal::Customer | Principal::Owner) {
            continue;
        }
        assert_eq!(send(route, "{\"x\":1}").await, (json!("validation_failed"), json!("/x")), "{route:?}");
        assert_eq!(send(route, "x=1").await.0, "malformed_json", "{route:?}");
        for nothing in ["", " {} "] {
            assert_eq!(send(route, nothing).await.0, "not_found", "{route:?} gets to its handler");
        }
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} routes take no body");
}

#[tokio::test]
async fn every_wrong_field_is_pointed_at() {
    let app = TestApp::start().await;
    let body = json!({ "email": "nowhere", "username": "a b", "password": "short", "isAdmin": true, "firstName": 7 });
    let body = problem(app.post("/api/auth/register", &body).send().await.unwrap()).await;
    let mut pointers: Vec<_> =
        body["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/email", "/firstName", "/isAdmin", "/password", "/username"]);
    assert_eq!(body["status"], 422);
}

#[tokio::test]
async fn unknown_query_parameters_are_refused() {
    let app = TestApp::start().await;
    let body = problem(app.get("/api/health?verbose=1").send().await.unwrap()).await;
    assert_eq!((&body["code"], &body["errors"][0]["pointer"]), (&json!("invalid_query"), &json!("?verbose")));
}

#[tokio::test]
async fn oversized_headers_and_paths_are_refused() {
    let app = TestApp::start().await;
    let answer = app.get("/healthz").header("x-long", "x".repeat(40_000)).send().await.unwrap();
    assert_eq!(problem(answer).await["code"], "headers_too_large");
    let answer = app.get(&format!("/api/{}", "x".repeat(9000))).send().await.unwrap();
    assert_eq!(problem(answer).await["code"], "uri_too_long");
    // Beyond the limit of the HTTP parser the answer has no problem document, but there is an answer.
    let mut flood = b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Flood: ".to_vec();
    flood.extend(std::iter::repeat_n(b'x', 300_000));
    let answer = app.raw(&flood).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{}", &answer[..answer.len().min(200)]);
    assert!(app.get("/healthz").send().await.unwrap().status().is_success());
}

#[tokio::test]
async fn only_the_portal_may_call_from_a_browser() {
    let app = TestApp::start().await;
    let preflight = |origin: &'static str| {
        app.request(Method::OPTIONS, "/api/auth/login")
            .header(ORIGIN_HEADER, origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization")
    };
    let answer = preflight(ORIGIN).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    assert_eq!(answer.headers()["access-control-allow-origin"], ORIGIN);
    assert!(answer.headers()["access-control-allow-headers"].to_str().unwrap().contains("Authorization"));
    assert!(!answer.headers().contains_key("access-control-allow-credentials"));
    let refused = preflight("https://evil.example").send().await.unwrap();
    assert!(!refused.headers().contains_key("access-control-allow-origin"));

    // A failure has the CORS headers too; otherwise the page could not show it.
    let answer = app.get("/api/auth/me").header(ORIGIN_HEADER, ORIGIN).send().await.unwrap();
    assert_eq!(answer.headers()["access-control-allow-origin"], ORIGIN);
    assert_eq!(answer.headers()["vary"], "Origin");
    assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    assert_eq!(problem(answer).await["code"], "unauthenticated");
}

#[tokio::test]
async fn a_429_carries_retry_after() {
    let app = TestApp::start().await;
    let login = || app.post("/api/auth/login", &json!({ "identifier": "nobody", "password": PASSWORD })).send();
    let first = login().await.unwrap();
    assert_eq!(first.headers()["ratelimit-policy"], "\"auth\";q=20;w=60");
    assert_eq!(first.headers()["ratelimit"], "\"auth\";r=19;t=3");
    let mut last = first;
    for _ in 0..20 {
        last = login().await.unwrap();
    }
    let headers: HeaderMap = last.headers().clone();
    let body: Value = problem(last).await;
    assert_eq!((&body["code"], &body["retryable"]), (&json!("rate_limited"), &json!("after")));
    let wait: u64 = headers["retry-after"].to_str().unwrap().parse().unwrap();
    app.clock.advance(Duration::from_secs(wait));
    assert_eq!(login().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn answers_carry_the_security_headers() {
    let app = TestApp::start().await;
    let answer = app.get("/api/health").send().await.unwrap();
    for name in ["x-content-type-options", "referrer-policy", "x-frame-options", "content-security-policy"] {
        assert!(answer.headers().contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn guessing_a_token_is_slowed_down() {
    let app = TestApp::start().await;
    let guess = || app.get("/api/auth/me").bearer_auth("a guess").send();
    for _ in 0..120 {
        assert_eq!(guess().await.unwrap().status(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(problem(guess().await.unwrap()).await["code"], "rate_limited");
}

#[tokio::test]
async fn routes_that_do_not_exist_have_an_allowance() {
    let app = TestApp::start().await;
    let mut answered = 0;
    while app.get(&format!("/no/such/route/{answered}")).send().await.unwrap().status() == StatusCode::NOT_FOUND {
        answered += 1;
        assert!(answered < 2000, "no bound");
    }
    assert_eq!(answered, 600);
    let other_method = app.request(Method::PATCH, "/api/auth/login").send().await.unwrap();
    assert_eq!(other_method.status(), StatusCode::TOO_MANY_REQUESTS);
}
