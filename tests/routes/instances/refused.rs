//! All problems of a create request are reported in one answer, and nothing is stored, enqueued or bound to its key.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Body, Method, RequestBuilder};
use sea_orm::{ActiveModelTrait, EntityTrait, Set};
use serde_json::{Value, json};
use zpack::db::entities::standing::{self, StandingState};
use zpack::db::entities::{audit_event, user};
use zpack::instances::quota::Quota;
use zpack::ports::{CatalogError, CatalogSource, Fetched};

use super::{Traces, begun, create, keyed, paper, refused, with};
use crate::support::app::{AppOptions, TestApp, problem};
use crate::support::artifacts;

/// An invalid request: its name, its changes, and its answer.
struct Case {
    name: &'static str,
    send: Box<dyn Fn(RequestBuilder) -> RequestBuilder>,
    code: &'static str,
    pointers: &'static [&'static str],
}

fn case(
    name: &'static str,
    code: &'static str,
    pointers: &'static [&'static str],
    send: impl Fn(RequestBuilder) -> RequestBuilder + 'static,
) -> Case {
    Case { name, send: Box::new(send), code, pointers }
}

/// A case whose body is the valid one with the members of `change`.
fn field(name: &'static str, pointers: &'static [&'static str], change: Value) -> Case {
    let body = with(paper(), change);
    case(name, "validation_failed", pointers, move |request| request.json(&body))
}

fn bytes(name: &'static str, code: &'static str, pointers: &'static [&'static str], body: Vec<u8>) -> Case {
    case(name, code, pointers, move |request| request.header("content-type", "application/json").body(body.clone()))
}

fn fields() -> Vec<Case> {
    let dev = |change| with(json!({ "ctype": "dev", "runtime": "node", "version": "22" }), change);
    let dev_case = |name, pointers, change| {
        let body = dev(change);
        case(name, "validation_failed", pointers, move |request| request.json(&body))
    };
    vec![
        field("unknown game", &["/game"], json!({ "game": "mincraft" })),
        field("game that is a path", &["/game"], json!({ "game": "../etc" })),
        field("no game", &["/game"], json!({ "game": null })),
        field("unknown variant", &["/variant"], json!({ "variant": "pupur" })),
        field("version of another variant", &["/version"], json!({ "version": "1.9.4" })),
        field("unknown version", &["/version"], json!({ "version": "9.9.9" })),
        field("version as a number", &["/version"], json!({ "version": 1.21 })),
        field("memory 0", &["/memoryMiB"], json!({ "memoryMiB": 0 })),
        field("memory -1", &["/memoryMiB"], json!({ "memoryMiB": -1 })),
        field("memory 10^9", &["/memoryMiB"], json!({ "memoryMiB": 1_000_000_000 })),
        field("memory 10^30", &["/memoryMiB"], json!({ "memoryMiB": 1e30 })),
        field("memory 2g", &["/memoryMiB"], json!({ "memoryMiB": "2g" })),
        field("memory with a fraction", &["/memoryMiB"], json!({ "memoryMiB": 512.5 })),
        field("memory just too small", &["/memoryMiB"], json!({ "memoryMiB": 511 })),
        field("memory just too large", &["/memoryMiB"], json!({ "memoryMiB": 32_769 })),
        field("no cores", &["/cpuCores"], json!({ "cpuCores": 0 })),
        field("too many cores", &["/cpuCores"], json!({ "cpuCores": 17 })),
        field("cores as text", &["/cpuCores"], json!({ "cpuCores": "4" })),
        field("host name with an underscore", &["/hostname"], json!({ "hostname": "my_host" })),
        field("unknown field", &["/colour"], json!({ "colour": "red" })),
        field("misspelt field", &["/memoryMib"], json!({ "memoryMib": 512 })),
        field("unknown kind", &["/ctype"], json!({ "ctype": "vm" })),
        field("kinds that disagree", &["/containerType"], json!({ "containerType": "dev" })),
        field("world that is a path", &["/world"], json!({ "world": "../world" })),
        field("world that is an option", &["/world"], json!({ "world": "-rf" })),
        field("world with a hidden character", &["/world"], json!({ "world": "wor\u{200b}ld" })),
        field("name without width", &["/name"], json!({ "name": "ser\u{200b}ver" })),
        field("name turned around", &["/name"], json!({ "name": "ser\u{202e}ver" })),
        field("empty name", &["/name"], json!({ "name": "" })),
        field("name of 65 characters", &["/name"], json!({ "name": "x".repeat(65) })),
        field("name with a line break", &["/name"], json!({ "name": "a\nb" })),
        field(
            "everything at once",
            &["/cpuCores", "/game", "/memoryMiB"],
            json!({
                "game": "mincraft", "memoryMiB": 0, "cpuCores": 99,
            }),
        ),
        dev_case("unknown runtime", &["/runtime"], json!({ "runtime": "cobol" })),
        dev_case("unknown runtime version", &["/version"], json!({ "version": "3" })),
        dev_case("dev container with a game", &["/game"], json!({ "game": "minecraft" })),
    ]
}

fn bodies() -> Vec<Case> {
    let big = with(paper(), json!({ "name": "x".repeat(300 * 1024) })).to_string().into_bytes();
    let chunked = big.clone();
    let text = paper().to_string();
    let twice = text.replacen('{', "{\"game\":\"rust\",", 1);
    vec![
        case("300 KiB without an announced length", "body_too_large", &[], move |request| {
            let chunks = chunked.chunks(8192).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec()));
            let body = Body::wrap_stream(futures_util::stream::iter(chunks.collect::<Vec<_>>()));
            request.header("content-type", "application/json").body(body)
        }),
        bytes("300 KiB", "body_too_large", &[], big),
        case("plain text", "unsupported_media_type", &[], {
            let text = text.clone();
            move |request| request.header("content-type", "text/plain").body(text.clone())
        }),
        case("no content type", "unsupported_media_type", &[], {
            let text = text.clone();
            move |request| request.body(text.clone())
        }),
        case("a form", "unsupported_media_type", &[], |request| request.form(&[("ctype", "game")])),
        bytes("half an object", "malformed_json", &[], text.as_bytes()[..text.len() - 1].to_vec()),
        bytes("an array", "malformed_json", &[], b"[]".to_vec()),
        bytes("nothing", "malformed_json", &[], Vec::new()),
        bytes("not UTF-8", "malformed_json", &[], b"{\"ctype\":\"\xff\"}".to_vec()),
        bytes("a key twice", "malformed_json", &["/game"], twice.into_bytes()),
        case("unknown query parameter", "invalid_query", &["?dryRun"], |request| {
            request.query(&[("dryRun", "1")]).json(&paper())
        }),
    ]
}

#[tokio::test]
async fn invalid_input_is_pointed_at_and_leaves_nothing_behind() {
    let generous = Quota { servers: 1000, memory_mib: 1 << 30 };
    let app = TestApp::start_with(AppOptions { quota: generous, ..AppOptions::default() }).await;
    let token = app.register("alice").await;
    let mut accepted = 0;
    for case in fields().into_iter().chain(bodies()) {
        // The clock advances so that no rate limit applies.
        app.clock.advance(Duration::from_secs(5));
        let key = format!("key-{accepted}");
        let request = (case.send)(keyed(&app, &token, &key));
        let body = problem(request.send().await.unwrap()).await;
        assert_eq!(body["code"], case.code, "{}: {body}", case.name);
        let errors = body["errors"].as_array().cloned().unwrap_or_default();
        let mut pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, case.pointers, "{}: {body}", case.name);
        assert!(errors.iter().all(|error| error["message"].as_str().is_some_and(|text| !text.is_empty())), "{body}");
        assert_eq!(Traces::of(&app).await, Traces::after(accepted, accepted), "{}", case.name);

        // The key can still be used.
        begun(keyed(&app, &token, &key).json(&paper()).send().await.unwrap()).await;
        accepted += 1;
        assert_eq!(Traces::of(&app).await, Traces::after(accepted, accepted), "{}", case.name);
    }
}

#[tokio::test]
async fn malformed_idempotency_keys_are_refused() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    for bad in ["", "two words", &"x".repeat(256)] {
        assert_eq!(refused(keyed(&app, &token, bad).json(&paper()).send().await.unwrap()).await, "invalid_header");
    }
    let twice = keyed(&app, &token, "one").header("idempotency-key", "two").json(&paper());
    assert_eq!(refused(twice.send().await.unwrap()).await, "invalid_header");
    assert_eq!(Traces::of(&app).await, Traces::default());
}

/// Sets the standing of the account, and whether an operator holds it.
async fn stand(app: &TestApp, token: &str, state: StandingState, manual_hold: bool) {
    let me: Value = app.get("/api/auth/me").bearer_auth(token).send().await.unwrap().json().await.unwrap();
    let user_id = me["user"]["id"].as_str().unwrap().parse().unwrap();
    standing::Entity::delete_by_id(user_id).exec(&app.database.db).await.unwrap();
    let row = standing::ActiveModel {
        user_id: Set(user_id),
        state: Set(state),
        manual_hold: Set(manual_hold),
        reason: Set(None),
        since: Set(app.clock.now()),
        version: Set(1),
        updated_at: Set(app.clock.now()),
    };
    row.insert(&app.database.db).await.unwrap();
}

#[tokio::test]
async fn the_gate_decides_whether_an_account_gets_a_server() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    use StandingState::{Active, BackupBlocked, FinalWarning, PendingDeletion, Restored, Retained, Suspended, Warning};
    for (state, held, status, code) in [
        (Warning, false, 402, "billing_past_due"),
        (FinalWarning, false, 402, "billing_past_due"),
        (BackupBlocked, false, 402, "billing_past_due"),
        (Suspended, false, 402, "billing_suspended"),
        (Retained, false, 402, "billing_retained"),
        (PendingDeletion, false, 402, "billing_pending_deletion"),
        (Active, true, 403, "account_hold"),
        (Restored, true, 403, "account_hold"),
    ] {
        stand(&app, &token, state, held).await;
        let body = problem(keyed(&app, &token, "key").json(&paper()).send().await.unwrap()).await;
        assert_eq!((&body["status"], &body["code"], &body["retryable"]), (&json!(status), &json!(code), &json!("no")));
        assert_eq!((&body["state"], &body["since"]), (&json!(state), &json!(app.clock.now())));
        assert_eq!(Traces::of(&app).await, Traces::default(), "{state}");
    }
    stand(&app, &token, Restored, false).await;
    let first = begun(keyed(&app, &token, "key").json(&paper()).send().await.unwrap()).await;
    // An answer that was given before is replayed, whatever the standing is now.
    stand(&app, &token, Suspended, false).await;
    assert_eq!(begun(keyed(&app, &token, "key").json(&paper()).send().await.unwrap()).await, first);
    assert_eq!(refused(keyed(&app, &token, "new").json(&paper()).send().await.unwrap()).await, "billing_suspended");
}

#[tokio::test]
async fn an_admin_override_of_the_gate_is_audited() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    stand(&app, &admin, StandingState::Suspended, false).await;
    begun(create(&app, &admin).json(&paper()).send().await.unwrap()).await;
    let audited = audit_event::Entity::find().all(&app.database.db).await.unwrap();
    assert_eq!(audited.iter().map(|row| row.action.as_str()).collect::<Vec<_>>(), ["gate_override"]);
}

#[tokio::test]
async fn a_customer_gets_servers_up_to_the_quota() {
    let quota = Quota { servers: 3, memory_mib: 4096 };
    let app = TestApp::start_with(AppOptions { quota, ..AppOptions::default() }).await;
    let (token, other) = (app.register("alice").await, app.register("bob").await);
    let sized = |memory: u32| with(paper(), json!({ "memoryMiB": memory }));
    begun(keyed(&app, &token, "a").json(&sized(2048)).send().await.unwrap()).await;
    let body = problem(keyed(&app, &token, "b").json(&sized(2049)).send().await.unwrap()).await;
    assert_eq!((&body["status"], &body["code"]), (&json!(403), &json!("quota_exceeded")));
    assert!(body["detail"].as_str().unwrap().contains("`memory`"), "{body}");
    assert_eq!(Traces::of(&app).await, Traces::after(1, 1));
    begun(keyed(&app, &token, "b").json(&sized(512)).send().await.unwrap()).await;
    let third = begun(keyed(&app, &token, "c").json(&sized(512)).send().await.unwrap()).await;
    let body = problem(keyed(&app, &token, "d").json(&sized(512)).send().await.unwrap()).await;
    assert!(body["detail"].as_str().unwrap().contains("`servers`"), "{body}");
    assert_eq!(Traces::of(&app).await, Traces::after(3, 3));
    // Another customer has a separate quota, and cancelled operations do not count.
    begun(keyed(&app, &other, "d").json(&sized(512)).send().await.unwrap()).await;
    let cancel = app.request(Method::POST, &format!("/api/operations/{third}/cancel")).bearer_auth(&token);
    begun(cancel.send().await.unwrap()).await;
    begun(keyed(&app, &token, "d").json(&sized(512)).send().await.unwrap()).await;
}

#[tokio::test]
async fn concurrent_creates_cannot_exceed_the_quota() {
    let quota = Quota { servers: 3, memory_mib: 65_536 };
    let app = TestApp::start_with(AppOptions { quota, ..AppOptions::default() }).await;
    let token = app.register("alice").await;
    let sends = (0..10).map(|n| keyed(&app, &token, &format!("key-{n}")).json(&paper()).send());
    let answers = futures_util::future::join_all(sends).await;
    let mut statuses: Vec<u16> = answers.into_iter().map(|answer| answer.unwrap().status().as_u16()).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [202, 202, 202, 403, 403, 403, 403, 403, 403, 403]);
    assert_eq!(Traces::of(&app).await, Traces::after(3, 3));
}

/// The simulated catalog, unreachable until `back` is set.
struct Away {
    back: AtomicBool,
    source: Arc<dyn CatalogSource>,
}

impl Away {
    fn check(&self) -> Result<(), CatalogError> {
        let error = || CatalogError::Unavailable { url: "http://artifacts/".to_owned(), detail: "away".to_owned() };
        self.back.load(Ordering::SeqCst).then_some(()).ok_or_else(error)
    }
}

#[async_trait]
impl CatalogSource for Away {
    async fn games(&self, etag: Option<&str>) -> Result<Fetched, CatalogError> {
        self.check()?;
        self.source.games(etag).await
    }

    async fn runtimes(&self, etag: Option<&str>) -> Result<Fetched, CatalogError> {
        self.check()?;
        self.source.runtimes(etag).await
    }
}

#[tokio::test]
async fn without_a_catalog_no_create_is_accepted() {
    let away = Arc::new(Away { back: AtomicBool::new(false), source: artifacts::shared() });
    let app = TestApp::start_with(AppOptions { source: Some(away.clone()), ..AppOptions::default() }).await;
    let token = app.register("alice").await;
    let answer = keyed(&app, &token, "key").json(&paper()).send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"));
    let body = problem(answer).await;
    assert_eq!((&body["code"], &body["retryable"]), (&json!("catalog_unavailable"), &json!("after")));
    assert_eq!(Traces::of(&app).await, Traces::default());
    away.back.store(true, Ordering::SeqCst);
    app.clock.advance(Duration::from_secs(60));
    begun(keyed(&app, &token, "key").json(&paper()).send().await.unwrap()).await;
}

#[tokio::test]
async fn a_deleted_account_cannot_create_a_server() {
    let app = TestApp::start().await;
    let token = app.register("alice").await;
    user::Entity::delete_many().exec(&app.database.db).await.unwrap();
    assert_eq!(refused(create(&app, &token).json(&paper()).send().await.unwrap()).await, "unauthenticated");
    assert_eq!(Traces::of(&app).await, Traces::default());
}
