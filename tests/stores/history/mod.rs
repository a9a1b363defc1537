//! What zpack asks its database while work goes on costs the same after 100 000 past operations as after none: no query
//! reads a table that grows with the past, or a large part of it.

mod cost;
mod fill;
mod recorded;

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use sea_orm::EntityTrait;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zpack::background::Task;
use zpack::config::RetentionConfig;
use zpack::db::entities::instance;
use zpack::db::entities::operation::OperationState;
use zpack::jobs::{
    Queue, busy_servers, dead_operations, ended_since, latest_operations, unfinished_operations, unsettled_operations,
};
use zpack::kernel::{Clock, OperationId, Timestamp, UserId};
use zpack::roles::upkeep::{purge, read_database};
use zpack::roles::worker::{WorkerParts, host};
use zpack::telemetry::Metrics;

use self::cost::Meter;
use self::recorded::Recorded;
use crate::support::app::FRESHNESS;
use crate::support::company::Company;
use crate::support::door::Door;
use crate::support::{TestDb, on_every_database};

/// Some of the past is older.
const KEPT: RetentionConfig = RetentionConfig {
    operations: DAY.saturating_mul(207),
    audit: DAY.saturating_mul(207),
    deleted_servers: DAY.saturating_mul(207),
    archive: DAY.saturating_mul(207),
};
const DAY: Duration = Duration::from_secs(24 * 3600);
/// How many operations are past.
const PAST: i64 = 100_000;

on_every_database!(no_query_costs_more_because_of_the_past);

async fn no_query_costs_more_because_of_the_past(mut test: TestDb) {
    let recorded = Recorded::from(&mut test);
    let company = Company::start_over(test, 0.01).await;
    let door = company.door(FRESHNESS);
    let token = door.register("alice").await;
    let me: Value = answer(door.get("/api/auth/me").bearer_auth(&token)).await;
    let owner: UserId = me["user"]["id"].as_str().unwrap().parse().unwrap();
    fill::past(&company.db, PAST, owner).await;
    recorded.forget();

    work(&company, &door, &token).await;
    maintenance(&company).await;
    listings(&company).await;
    door.close().await;

    let statements = recorded.statements();
    for table in [
        "operations",
        "operation_steps",
        "debts",
        "deleted_instances",
        "idempotency_keys",
        "episodes",
        "archived_records",
    ] {
        assert!(statements.iter().any(|statement| statement.sql.contains(table)), "nothing was asked of {table}");
    }
    let meter = Meter::of(&company.db).await;
    let mut expensive = Vec::new();
    for statement in &statements {
        if let Some(why) = meter.too_expensive(statement).await {
            expensive.push(format!("{}\n{why}", statement.sql));
        }
    }
    assert!(expensive.is_empty(), "{} of {}:\n{}", expensive.len(), statements.len(), expensive.join("\n\n"));
}

/// A customer creates a server, reads lists, and deletes it while the public DNS server does not answer.
async fn work(company: &Company, door: &Door, token: &str) {
    let (worker, host) = (company.worker(Company::settings()), company.host_worker());
    let wanted = json!({"ctype": "game", "game": "minecraft", "variant": "paper", "version": "1.21.1"});
    let request = door.post("/api/instances", &wanted).bearer_auth(token).header("idempotency-key", "once-only");
    company.succeeded(operation(&answer(request).await)).await;
    let admin = door.admin("root").await;
    for path in ["/api/operations", "/api/servers"] {
        answer(door.get(path).bearer_auth(token)).await;
    }
    for path in ["/api/operations", "/api/admin/debts", "/api/audit", "/api/audit?subject=server:1"] {
        answer(door.get(path).bearer_auth(&admin)).await;
    }
    let vmid = instance::Entity::find().one(&company.db.db).await.unwrap().unwrap().vmid;
    let down = json!({"peer": "cloudflare", "when": "before", "action": "reset", "times": 100_000});
    company.control("/sim/faults", down).await;
    let request = door.request(Method::DELETE, &format!("/api/servers/{vmid}")).bearer_auth(token);
    company.succeeded(operation(&answer(request).await)).await;
    company.forget_faults().await;
    worker.stop().await;
    host.stop().await;
}

/// What operators list.
async fn listings(company: &Company) {
    let db = &company.db.db;
    for queue in [None, Some(Queue::Host)] {
        dead_operations(db, queue, 200).await.unwrap();
    }
    unfinished_operations(db, Queue::Provision, 200).await.unwrap();
    let states = OperationState::ALL.iter().copied().map(Some);
    for state in states.chain([None]) {
        latest_operations(db, state, 50).await.unwrap();
        unsettled_operations(db, state, 50).await.unwrap();
    }
}

/// What runs periodically.
async fn maintenance(company: &Company) {
    let (db, now) = (&company.db.db, Clock::System.now());
    read_database(db, &Metrics::default().stores).await.unwrap();
    busy_servers(db, now.before(Duration::from_secs(60))).await.unwrap();
    ended_since(db, Timestamp::from_millis(now.millis() - 24 * 3_600_000)).await.unwrap();
    purge(db, now, &KEPT).await.unwrap();
    // The debt of the deletion is due by then.
    let later = Clock::fixed(now.after(Duration::from_secs(3600)));
    let parts = WorkerParts { clock: later, ..company.parts() };
    assert_eq!(host::collector(&parts).collect(&CancellationToken::new()).await.unwrap(), 1);
    let mut tasks = host::tasks(&parts);
    for task in &mut tasks {
        task.pass(&CancellationToken::new()).await.unwrap();
    }
}

async fn answer(request: RequestBuilder) -> Value {
    let answer = request.send().await.unwrap();
    let (status, body) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{status} {body}");
    serde_json::from_str(&body).unwrap()
}

fn operation(accepted: &Value) -> OperationId {
    accepted["operationId"].as_str().unwrap().parse().unwrap()
}
