//! `/api/auth/*`.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use sea_orm::{ActiveModelTrait, EntityTrait, Set};
use serde_json::{Value, json};
use zpack::db::entities::standing::{self, StandingState};
use zpack::db::entities::user;
use zpack::kernel::UserId;

use crate::support::app::{AppOptions, PASSWORD, TestApp, problem, token_of};

impl TestApp {
    async fn me(&self, token: &str) -> Value {
        self.get("/api/auth/me").bearer_auth(token).send().await.unwrap().json().await.unwrap()
    }

    async fn is_good(&self, token: &str) -> bool {
        self.get("/api/auth/me").bearer_auth(token).send().await.unwrap().status().is_success()
    }
}

#[tokio::test]
async fn an_account_is_registered_used_and_logged_out() {
    let app = TestApp::start().await;
    let body = json!({
        "email": "Ada@Example.com", "username": "Ada", "password": PASSWORD, "firstName": "Ada", "displayName": null,
    });
    let answer = app.post("/api/auth/register", &body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED);
    let token = token_of(answer).await;

    let me = app.me(&token).await;
    let id: UserId = me["user"]["id"].as_str().unwrap().parse().unwrap();
    let expected = json!({ "ok": true, "user": {
        "id": id, "email": "ada@example.com", "username": "Ada", "displayName": null, "firstName": "Ada",
        "lastName": null, "role": "customer", "billing_status": null, "suspended_at": null,
        "enforcement_state": "active",
    }});
    assert_eq!(me, expected);

    for identifier in ["ada", "ADA", "ada@example.COM"] {
        let body = json!({ "identifier": identifier, "password": PASSWORD });
        let answer = app.post("/api/auth/login", &body).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{identifier}");
    }

    let other = app.login("ada").await;
    let logout = app.request(Method::POST, "/api/auth/logout").bearer_auth(&token).send().await.unwrap();
    assert_eq!(logout.status(), StatusCode::OK);
    assert!(!app.is_good(&token).await, "the token has ended");
    assert!(app.is_good(&other).await, "the other one has not");
}

#[tokio::test]
async fn a_profile_changes_field_by_field() {
    let app = TestApp::start().await;
    let token = app.register("ada").await;
    app.register("bob").await;
    let patch = |body: Value| app.request(Method::PATCH, "/api/auth/me").bearer_auth(&token).json(&body).send();
    let changed = patch(json!({ "displayName": "Ada L.", "lastName": "Lovelace" })).await.unwrap();
    assert_eq!(changed.json::<Value>().await.unwrap()["user"]["displayName"], "Ada L.");
    patch(json!({ "displayName": null })).await.unwrap();
    let me = app.me(&token).await;
    assert_eq!((&me["user"]["displayName"], &me["user"]["lastName"]), (&Value::Null, &json!("Lovelace")));
    assert_eq!(
        problem(patch(json!({ "username": "BOB", "currentPassword": PASSWORD })).await.unwrap()).await["code"],
        "account_exists"
    );
    let refused = problem(patch(json!({ "role": "admin", "email": "x" })).await.unwrap()).await;
    assert_eq!(refused["errors"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_new_address_or_name_needs_the_password() {
    let app = TestApp::start().await;
    let token = app.register("ada").await;
    let patch = |body: Value| app.request(Method::PATCH, "/api/auth/me").bearer_auth(&token).json(&body).send();
    for (change, pointer) in [
        (json!({ "email": "new@example.com" }), "/currentPassword"),
        (json!({ "username": "new" }), "/currentPassword"),
        (json!({ "email": "new@example.com", "currentPassword": "wrong" }), "/currentPassword"),
        (json!({ "email": null }), "/email"),
        (json!({ "username": null }), "/username"),
    ] {
        let refused = problem(patch(change.clone()).await.unwrap()).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer, "{change}");
    }
    let same = patch(json!({ "email": "ADA@example.com", "username": "ada" })).await.unwrap();
    assert_eq!(same.status(), StatusCode::OK, "nothing changes");
    let change = json!({ "email": "new@example.com", "username": "Countess", "currentPassword": PASSWORD });
    assert_eq!(patch(change).await.unwrap().status(), StatusCode::OK);
    let me = app.me(&token).await;
    assert_eq!((&me["user"]["email"], &me["user"]["username"]), (&json!("new@example.com"), &json!("Countess")));

    let id = me["user"]["id"].as_str().unwrap();
    let admin = app.admin("root").await;
    let audit = app.get(&format!("/api/audit?subject={id}")).bearer_auth(&admin).send().await.unwrap();
    let events: Value = audit.json().await.unwrap();
    assert_eq!(events["events"].as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events["events"][0]["action"], "user.change_email");
    assert_eq!(events["events"][0]["detail"], json!({ "from": "ada@example.com", "to": "new@example.com" }));
}

#[tokio::test]
async fn addresses_of_others_are_tried_a_few_times_an_hour() {
    let app = TestApp::start().await;
    let (token, _) = (app.register("ada").await, app.register("bob").await);
    let probe = || {
        let body = json!({ "email": "bob@example.com", "currentPassword": PASSWORD });
        app.request(Method::PATCH, "/api/auth/me").bearer_auth(&token).json(&body).send()
    };
    let mut found = 0;
    while problem(probe().await.unwrap()).await["code"] == "account_exists" {
        found += 1;
        assert!(found < 30, "no bound");
    }
    assert_eq!(found, 10);
    let name = json!({ "displayName": "Ada" });
    let other = app.request(Method::PATCH, "/api/auth/me").bearer_auth(&token).json(&name).send().await.unwrap();
    assert_eq!(other.status(), StatusCode::OK);
}

#[tokio::test]
async fn fields_that_change_at_once_are_both_kept() {
    let app = TestApp::start().await;
    let token = app.register("ada").await;
    let patch = |body: Value| app.request(Method::PATCH, "/api/auth/me").bearer_auth(&token).json(&body).send();
    for round in 0..20 {
        let name = format!("name {round}");
        let (one, other) = tokio::join!(patch(json!({ "firstName": name })), patch(json!({ "lastName": name })));
        assert!(one.unwrap().status().is_success() && other.unwrap().status().is_success());
        let me = app.me(&token).await;
        assert_eq!((&me["user"]["firstName"], &me["user"]["lastName"]), (&json!(name), &json!(name)));
    }
}

#[tokio::test]
async fn logins_of_one_account_are_counted_together() {
    let trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let app = TestApp::start_with(AppOptions { trusted_proxies, ..AppOptions::default() }).await;
    app.register("ada").await;
    let mut checked = 0;
    for n in 0..25 {
        // Each attempt has an address and a spelling of its own.
        let identifier = ["ada", "ADA", " ada ", "ada@example.com", "Ada@Example.com"][n % 5];
        let body = json!({ "identifier": identifier, "password": "a wrong password" });
        let login = app.post("/api/auth/login", &body).header("x-forwarded-for", format!("192.0.2.{n}"));
        checked += usize::from(login.send().await.unwrap().status() == StatusCode::UNAUTHORIZED);
    }
    assert_eq!(checked, 20);
}

#[tokio::test]
async fn answers_do_not_reveal_whether_an_account_exists() {
    let app = TestApp::start().await;
    app.register("ada").await;
    let login = |identifier: &str| {
        app.post("/api/auth/login", &json!({ "identifier": identifier, "password": "wrong password" })).send()
    };
    let (known, unknown) = (login("ada").await.unwrap(), login("nobody").await.unwrap());
    let (mut known, mut unknown) = (problem(known).await, problem(unknown).await);
    for answer in [&mut known, &mut unknown] {
        answer.as_object_mut().unwrap().remove("instance");
    }
    assert_eq!(known, unknown);
    for (email, username) in [("ada@example.com", "free"), ("free@example.com", "ADA")] {
        let body = json!({ "email": email, "username": username, "password": PASSWORD });
        let answer = problem(app.post("/api/auth/register", &body).send().await.unwrap()).await;
        assert_eq!(answer["code"], "account_exists");
        assert!(answer.get("errors").is_none(), "it does not tell which of the two");
    }
}

#[tokio::test]
async fn a_new_password_ends_all_other_tokens() {
    let app = TestApp::start().await;
    let (first, second) = (app.register("ada").await, app.login("ada").await);
    let change = |token: String, current: &str, new: &str| {
        let body = json!({ "currentPassword": current, "newPassword": new });
        app.post("/api/auth/password", &body).bearer_auth(token).send()
    };
    for (current, new, pointer) in [
        ("wrong", "a new long password", "/currentPassword"),
        (PASSWORD, "short", "/newPassword"),
        (PASSWORD, "ada@example.com", "/newPassword"),
    ] {
        let refused = problem(change(first.clone(), current, new).await.unwrap()).await;
        assert_eq!(refused["errors"][0]["pointer"], pointer);
    }
    let third = token_of(change(first.clone(), PASSWORD, "a new long password").await.unwrap()).await;
    assert!(app.is_good(&third).await);
    assert!(!app.is_good(&first).await && !app.is_good(&second).await);
    let body = json!({ "identifier": "ada", "password": "a new long password" });
    assert_eq!(app.post("/api/auth/login", &body).send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn an_old_hash_is_replaced_at_the_next_login() {
    let app = TestApp::start().await;
    let token = app.register("ada").await;
    let id: UserId = app.me(&token).await["user"]["id"].as_str().unwrap().parse().unwrap();
    let db = &app.database.db;
    let old = bcrypt::hash(PASSWORD, 4).unwrap();
    user::ActiveModel { id: Set(id), password_hash: Set(old), ..Default::default() }.update(db).await.unwrap();
    app.login("ada").await;
    let row = user::Entity::find_by_id(id).one(db).await.unwrap().unwrap();
    assert!(row.password_hash.starts_with("$argon2id$"));
    app.login("ada").await;
    assert!(app.is_good(&token).await, "renewing a hash ends no token");
}

#[tokio::test]
async fn tokens_expire_and_role_changes_apply_at_once() {
    let app = TestApp::start().await;
    let token = app.register("ada").await;
    let audit = || app.get("/api/audit").bearer_auth(&token).send();
    assert_eq!(audit().await.unwrap().status(), StatusCode::FORBIDDEN);
    let role = user::Role::Admin;
    zpack::accounts::admin::set_role(&app.database.db, "ada", role, app.clock.now()).await.unwrap();
    assert_eq!(audit().await.unwrap().status(), StatusCode::OK);
    app.clock.advance(Duration::from_secs(3700));
    assert_eq!(problem(audit().await.unwrap()).await["detail"], "The access token has expired.");
}

#[tokio::test]
async fn the_standing_is_shown() {
    let app = TestApp::start().await;
    let token = app.register("ada").await;
    let id: UserId = app.me(&token).await["user"]["id"].as_str().unwrap().parse().unwrap();
    let row = standing::ActiveModel {
        user_id: Set(id),
        state: Set(StandingState::Suspended),
        manual_hold: Set(false),
        reason: Set(None),
        since: Set(app.clock.now()),
        version: Set(1),
        updated_at: Set(app.clock.now()),
    };
    row.insert(&app.database.db).await.unwrap();
    assert_eq!(app.me(&token).await["user"]["enforcement_state"], "suspended");
}

#[tokio::test]
async fn concurrent_registrations_of_one_name_create_one_account() {
    let app = TestApp::start().await;
    let attempt = |n: usize| {
        let body = json!({ "email": format!("u{n}@example.com"), "username": "ada", "password": PASSWORD });
        app.post("/api/auth/register", &body).send()
    };
    let answers = futures_util::future::join_all((0..8).map(attempt)).await;
    let statuses: Vec<_> = answers.into_iter().map(|answer| answer.unwrap().status()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CREATED).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CONFLICT).count(), 7, "{statuses:?}");
}

#[tokio::test]
async fn an_empty_text_is_no_text() {
    let app = TestApp::start().await;
    let body = json!({
        "email": "ada@example.com", "username": "ada", "password": PASSWORD, "firstName": "", "lastName": "  ",
        "displayName": "Ada",
    });
    let answer = app.post("/api/auth/register", &body).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::CREATED, "{:?}", answer.text().await);
    let token = app.login("ada").await;
    let names = async || {
        let user = app.me(&token).await["user"].clone();
        (user["firstName"].clone(), user["lastName"].clone(), user["displayName"].clone())
    };
    assert_eq!(names().await, (Value::Null, Value::Null, json!("Ada")));
    let patch = |body: Value| app.request(Method::PATCH, "/api/auth/me").bearer_auth(&token).json(&body).send();
    let cleared = patch(json!({ "firstName": "Ada", "lastName": "", "displayName": "" })).await.unwrap();
    assert_eq!(cleared.status(), StatusCode::OK, "{:?}", cleared.text().await);
    assert_eq!(names().await, (json!("Ada"), Value::Null, Value::Null));
    let refused = problem(patch(json!({ "displayName": "x".repeat(129) })).await.unwrap()).await;
    assert_eq!(refused["error"], "Display name must have 1 to 128 characters.");
    assert_eq!(refused["errors"][0]["pointer"], "/displayName");
}
