//! Clients that hang up in the middle of a request: what others are answered meanwhile stays written.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Method, StatusCode};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};
use serde_json::json;
use zpack::db;
use zpack::db::entities::user;
use zpack::kernel::{OperationId, Secret};

use crate::support::app::{AppOptions, TestApp};
use crate::support::{TestDb, on_every_database};

/// As many as one customer may send in a minute, less what the test needs beside.
const MOST_WRITES: u32 = 110;

on_every_database!(a_customer_who_hangs_up_takes_nothing_from_others);

/// A request that writes.
fn cancellation(token: &str) -> String {
    format!(
        "POST /api/operations/{}/cancel HTTP/1.1\r\nhost: zpack\r\nauthorization: Bearer {token}\r\ncontent-length: 0\r\n\r\n",
        OperationId::generate()
    )
}

async fn a_customer_who_hangs_up_takes_nothing_from_others(test: TestDb) {
    // Another pool sees only what is committed.
    let onlooker = db::connect(&Secret::new(&test.url), 1).await.unwrap();
    let app = TestApp::start_on(test, AppOptions::default());
    let (hasty, steady) = (app.register("hasty").await, app.register("steady").await);
    let begun = Instant::now();
    app.hang_up(&cancellation(&hasty), Duration::from_secs(10)).await;
    let usual = begun.elapsed();
    let done = AtomicBool::new(false);
    let hanging_up = async {
        let mut count = 0;
        while !done.load(Ordering::Relaxed) && count < MOST_WRITES {
            let share = 0.2 + 0.8 * f64::from(count % 32) / 32.0;
            app.hang_up(&cancellation(&hasty), usual.mul_f64(share)).await;
            count += 1;
        }
        count
    };
    let writing = async {
        for number in 0..MOST_WRITES {
            let name = format!("name {number}");
            let request = app.request(Method::PATCH, "/api/auth/me").bearer_auth(&steady);
            let answer = request.json(&json!({ "displayName": name })).send().await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
            let kept = user::Entity::find().filter(user::Column::Username.eq("steady")).one(&onlooker).await.unwrap();
            assert_eq!(kept.unwrap().display_name, Some(name));
        }
        done.store(true, Ordering::Relaxed);
    };
    let (count, ()) = tokio::join!(hanging_up, writing);
    assert!(count > 20, "{count} requests were cut off");
    app.stop().await;
}
