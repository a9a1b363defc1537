//! `POST /internal/velocity/proxy-status`: who may send callbacks, and what is stored of them.

use std::time::Duration;

use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use zpack::db::entities::instance::InstanceKind;
use zpack::edge::{PROXY_KEY, ProxyRecord};
use zpack::kernel::{Secret, StoredSecret};
use zpack::servers::payload;

use crate::support::app::{AppOptions, BRIDGE, INTERNAL, TestApp, problem};

const PATH: &str = "/internal/velocity/proxy-status";
const NAME: &str = "mc-paper-5000.play.test";

/// An app with one published server.
async fn start() -> TestApp {
    start_with(AppOptions::default()).await
}

async fn start_with(options: AppOptions) -> TestApp {
    let app = TestApp::start_with(options).await;
    let alice = app.register("alice").await;
    app.own(app.id_of(&alice).await, InstanceKind::Game, 5000).await;
    app.publish(5000).await;
    app
}

fn word(app: &TestApp) -> RequestBuilder {
    app.post(PATH, &json!({ "server_name": NAME, "status": "registered_with_proxy", "at": app.clock.now() }))
}

fn proof() -> String {
    Secret::new(BRIDGE).digest().expose().to_owned()
}

async fn received(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap());
    assert_eq!(status, StatusCode::ACCEPTED, "{body}");
    body
}

async fn kept(app: &TestApp) -> Option<ProxyRecord> {
    payload::read(&app.row(5000).await, PROXY_KEY).unwrap()
}

#[tokio::test]
async fn a_callback_is_stored_once_and_an_unknown_server_is_no_error() {
    let app = start().await;
    assert_eq!(received(word(&app).bearer_auth(INTERNAL)).await, json!({ "ok": true, "kept": true }));
    assert_eq!(kept(&app).await.unwrap().heard.unwrap().at, app.clock.now());
    assert_eq!(received(word(&app).bearer_auth(INTERNAL)).await, json!({ "ok": true, "kept": false }), "again");
    for name in ["mc-paper-5001.play.test", "mc-paper-5000.elsewhere.test", "no name at all"] {
        let stranger = app.post(PATH, &json!({ "server_name": name, "status": "proxy_ping_failed" }));
        assert_eq!(received(stranger.bearer_auth(INTERNAL)).await, json!({ "ok": true, "kept": false }), "{name}");
    }
}

#[tokio::test]
async fn the_secret_alone_authenticates_the_bridge() {
    let app = start().await;
    let kept = received(word(&app).header("X-Zpack-Secret", proof())).await;
    assert_eq!(kept, json!({ "ok": true, "kept": true }));
}

#[tokio::test]
async fn a_callback_with_a_wrong_credential_is_refused_and_not_stored() {
    let app = start().await;
    let upper = proof().to_uppercase();
    for wrong in [BRIDGE, INTERNAL, upper.as_str(), ""] {
        let refused = problem(word(&app).header("x-zpack-secret", wrong).send().await.unwrap()).await;
        assert_eq!((&refused["status"], &refused["code"]), (&json!(401), &json!("unauthenticated")), "{wrong}");
    }
    let twice = word(&app).header("x-zpack-secret", proof()).header("x-zpack-secret", "another");
    assert_eq!(problem(twice.send().await.unwrap()).await["status"], 401);
    // The right secret does not make up for a wrong bearer token.
    let beside = || word(&app).header("x-zpack-secret", proof());
    assert_eq!(problem(beside().header("x-internal-token", "wrong").send().await.unwrap()).await["status"], 401);
    assert_eq!(problem(beside().bearer_auth("not.a.token").send().await.unwrap()).await["status"], 401);
    for token in [app.login("alice").await, app.admin("root").await] {
        assert_eq!(problem(beside().bearer_auth(token).send().await.unwrap()).await["status"], 403);
    }
    assert_eq!(kept(&app).await, None);
    // A bridge that sends both may change its secret.
    received(word(&app).bearer_auth(INTERNAL).header("x-zpack-secret", "another")).await;
}

/// A new secret needs no restart, whichever side changes first; and a wrong secret does not change ours.
#[tokio::test]
async fn a_new_secret_in_the_file_counts_once_the_bridge_sends_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, BRIDGE).unwrap();
    let bridge = Some(StoredSecret::in_file(Secret::new(BRIDGE), &file));
    let app = start_with(AppOptions { bridge, ..AppOptions::default() }).await;
    let sent = |secret: &str| word(&app).header("x-zpack-secret", Secret::new(secret).digest().expose()).send();
    let status = async |secret: &str| sent(secret).await.unwrap().status();
    let next = "the bridge secret that comes next";
    // The bridge changes first: it is refused, and the file is not read again at once.
    assert_eq!(status(next).await, StatusCode::UNAUTHORIZED);
    std::fs::write(&file, next).unwrap();
    assert_eq!(status(next).await, StatusCode::UNAUTHORIZED);
    app.clock.advance(Duration::from_secs(5));
    assert_eq!(status("a stranger's guess").await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(BRIDGE).await, StatusCode::ACCEPTED, "no callback had the next secret when the file was read");
    app.clock.advance(Duration::from_secs(5));
    assert_eq!(status(next).await, StatusCode::ACCEPTED);
    assert_eq!(status(BRIDGE).await, StatusCode::UNAUTHORIZED, "only one counts");
}

#[tokio::test]
async fn the_bridge_secret_opens_no_other_route() {
    let app = start().await;
    for path in
        ["/internal/velocity/desired", "/internal/traefik/config", "/api/edge/health", "/metrics", "/api/servers"]
    {
        let refused = app.get(path).header("x-zpack-secret", proof()).send().await.unwrap();
        assert_eq!(problem(refused).await["status"], 401, "{path}");
    }
}

#[tokio::test]
async fn a_malformed_callback_is_refused_with_its_errors() {
    let app = start().await;
    for (body, pointer) in [
        (json!({ "status": "proxy_ping_ok" }), "/server_name"),
        (json!({ "server_name": NAME }), "/status"),
        (json!({ "server_name": NAME, "status": "registered" }), "/status"),
        (json!({ "server_name": 5000, "status": "proxy_ping_ok" }), "/server_name"),
        (json!({ "server_name": NAME, "status": "proxy_ping_ok", "address": "nowhere" }), "/address"),
        (json!({ "server_name": NAME, "status": "proxy_ping_ok", "port": 70_000 }), "/port"),
        (json!({ "server_name": NAME, "status": "proxy_ping_ok", "at": "yesterday" }), "/at"),
    ] {
        let refused = problem(app.post(PATH, &body).bearer_auth(INTERNAL).send().await.unwrap()).await;
        let told = (&refused["status"], &refused["code"], &refused["errors"][0]["pointer"]);
        assert_eq!(told, (&json!(422), &json!("validation_failed"), &json!(pointer)), "{body}");
    }
    assert_eq!(kept(&app).await, None);
}
