//! `GET /api/audit`.

use serde_json::{Value, json};
use zpack::audit::{AuditOutcome, Entry, record};

use crate::support::app::{TestApp, problem};

#[tokio::test]
async fn an_admin_reads_the_log_page_by_page_newest_first() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    for n in 0..5 {
        let entry = Entry {
            actor: "operator".to_owned(),
            action: "user.set_role",
            subject: if n == 3 { "usr_other".to_owned() } else { "usr_one".to_owned() },
            outcome: AuditOutcome::Done,
            request: None,
            detail: json!({ "n": n }),
        };
        record(&app.database.db, entry, app.clock.now()).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut path = "/api/audit?limit=2".to_owned();
    loop {
        let page: Value = app.get(&path).bearer_auth(&admin).send().await.unwrap().json().await.unwrap();
        let events = page["events"].as_array().unwrap();
        assert!(events.len() <= 2);
        seen.extend(events.iter().map(|event| event["detail"]["n"].as_i64().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/audit?limit=2&cursor={next}");
    }
    assert_eq!(seen, [4, 3, 2, 1, 0]);
    let one = app.get("/api/audit?subject=usr_other").bearer_auth(&admin).send().await.unwrap();
    assert_eq!(one.json::<Value>().await.unwrap()["events"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_cursor_of_another_list_is_refused() {
    let app = TestApp::start().await;
    let admin = app.admin("root").await;
    for query in ["cursor=x", "cursor=b3BfMQ", "limit=0", "limit=201", "page=2"] {
        let body = problem(app.get(&format!("/api/audit?{query}")).bearer_auth(&admin).send().await.unwrap()).await;
        assert_eq!(body["code"], "invalid_query", "{query}");
        assert!(body["errors"][0]["pointer"].as_str().unwrap().starts_with('?'));
    }
}
