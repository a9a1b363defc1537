//! `GET /metrics`, and the listener of roles that serve no API.

use std::net::TcpListener;

use reqwest::StatusCode;
use tokio_util::sync::CancellationToken;
use zpack::kernel::Secret;
use zpack::router::{MetricsApi, serve_metrics};
use zpack::telemetry::{MEDIA_TYPE, Metrics};

use crate::support::app::{DISCOVERY, TestApp};

#[tokio::test]
async fn requests_are_counted_by_route_and_class_not_by_path() {
    let app = TestApp::start().await;
    for path in ["/api/servers/4711", "/api/servers/4712", "/nowhere/at/all", "/healthz"] {
        app.get(path).send().await.unwrap();
    }
    let answer = app.get("/metrics").bearer_auth(DISCOVERY).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], MEDIA_TYPE);
    assert_eq!(answer.headers()["cache-control"], "no-store");
    let text = answer.text().await.unwrap();
    for line in [
        r#"zpack_http_request_seconds_count{method="GET",route="/api/servers/{id}",status="4xx"} 2"#,
        r#"zpack_http_request_seconds_count{method="GET",route="none",status="4xx"} 1"#,
        r#"zpack_http_request_seconds_count{method="GET",route="/healthz",status="2xx"} 1"#,
        "zpack_database_connections_max{} 8",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    assert!(!text.contains("4711") && !text.contains("nowhere"), "{text}");
    assert!(text.contains(r#"zpack_database_connections{state="idle"}"#), "{text}");
}

#[tokio::test]
async fn the_separate_listener_serves_metrics_to_authorized_callers() {
    let app = TestApp::start().await;
    let stop = CancellationToken::new();
    let start = |token: Option<&str>| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let metrics = Metrics::default();
        metrics.jobs("provision").offered(5);
        let api = MetricsApi { metrics, db: app.database.db.clone() };
        (url, tokio::spawn(serve_metrics(listener, api, token.map(Secret::new), stop.clone())))
    };
    let (open, first) = start(None);
    let (guarded, second) = start(Some("the token of Prometheus"));
    let client = reqwest::Client::builder().no_proxy().build().unwrap();

    let text = client.get(&open).send().await.unwrap().text().await.unwrap();
    assert!(text.contains(r#"zpack_queue_offered_total{queue="provision"} 5"#), "{text}");
    for token in [None, Some("another token of Prometheus")] {
        let request = client.get(&guarded);
        let request = match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED, "{token:?}");
    }
    let answer = client.get(&guarded).bearer_auth("the token of Prometheus").send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    stop.cancel();
    first.await.unwrap().unwrap();
    second.await.unwrap().unwrap();
}
