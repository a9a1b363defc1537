//! Health, readiness, the OpenAPI document and its page.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::support::app::{TestApp, problem};

#[tokio::test]
async fn the_health_check_of_haproxy_passes() {
    let app = TestApp::start().await;
    // The default check of HAProxy: HTTP/1.0, no Host, no headers at all.
    for line in ["OPTIONS / HTTP/1.0", "OPTIONS /healthz HTTP/1.0", "GET /healthz HTTP/1.0"] {
        let answer = app.raw(format!("{line}\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{line}: {answer}");
    }
    let head = app.raw(b"HEAD /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 200") && head.ends_with("\r\n\r\n"), "{head}");
}

#[tokio::test]
async fn readiness_depends_on_the_database_and_liveness_does_not() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/readyz").send().await.unwrap().status(), StatusCode::OK);
    app.database.db.clone().close().await.unwrap();
    let answer = app.get("/readyz").send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
    let body = problem(answer).await;
    assert_eq!(body["code"], "unavailable");
    assert_eq!(body["parts"]["database"], "unreachable");
    assert_eq!(app.get("/healthz").send().await.unwrap().status(), StatusCode::OK);
    let health: Value = app.get("/api/health").send().await.unwrap().json().await.unwrap();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["time"], "2027-01-15T08:00:00.000Z");
}

#[tokio::test]
async fn a_lost_database_is_503_without_details() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    app.database.db.clone().close().await.unwrap();
    let body = problem(app.get("/api/auth/me").bearer_auth(token).send().await.unwrap()).await;
    assert_eq!(body["code"], "unavailable");
    assert_eq!(body["retryable"], "after");
    assert!(!body.to_string().contains("sqlx"), "{body}");
}

#[tokio::test]
async fn the_document_and_its_page_are_served() {
    let app = TestApp::start().await;
    let document = app.get("/openapi.json").send().await.unwrap().text().await.unwrap();
    assert_eq!(document, zpack::router::openapi());
    let page = app.get("/docs").send().await.unwrap();
    let policy = page.headers().get("content-security-policy").unwrap().to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
    let html = page.text().await.unwrap();
    for part in ["/api/auth/login", "id=\"malformed_json\"", "displayName"] {
        assert!(html.contains(part), "{part}");
    }
    assert!(!html.contains("http://") && !html.contains("https://") && !html.contains("<script"), "bundled only");
}

#[tokio::test]
async fn a_stopping_server_finishes_requests_and_accepts_no_new_ones() {
    let app = TestApp::start().await;
    let address = app.address;
    assert!(app.request(Method::GET, "/healthz").send().await.unwrap().status().is_success());
    app.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}
