//! Two customers of the API during a campaign: one hangs up in the middle of requests, and what the other is answered
//! meanwhile has to stay written.

use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter};
use serde_json::json;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use zpack::db::entities::user;
use zpack::kernel::OperationId;

use crate::crash::check::{Violation, violation};
use crate::support::app::FRESHNESS;
use crate::support::company::Company;
use crate::support::door::Door;

/// The customer who writes.
const STEADY: &str = "steady";

/// How one write beside a hang-up ended.
#[derive(Debug)]
pub enum Write {
    /// Acknowledged, and there.
    Kept,
    /// Not acknowledged, such as by a database that is busy.
    Refused,
    /// Acknowledged, and not there.
    Lost(Violation),
}

pub struct Customers {
    door: Arc<Door>,
    /// Another pool, which sees only what is committed.
    onlooker: DatabaseConnection,
    hasty: String,
    steady: String,
    /// How long a request usually takes.
    usual: Duration,
    number: usize,
    under_way: Option<JoinHandle<Write>>,
}

impl Customers {
    pub async fn start(company: &Company) -> Self {
        let door = Arc::new(company.door(FRESHNESS));
        let (hasty, steady) = (door.register("hasty").await, door.register(STEADY).await);
        let begun = Instant::now();
        door.hang_up(&cancellation(&hasty), Duration::from_secs(10)).await;
        let usual = begun.elapsed();
        let onlooker = company.db.another_pool().await;
        Self { door, onlooker, hasty, steady, usual, number: 0, under_way: None }
    }

    /// One customer sends a request and hangs up after `share` percent of its usual time, while the other writes. Returns how
    /// the write before ended; `None` if it has not, and then nothing is sent.
    pub async fn hang_up(&mut self, share: u32) -> Option<Write> {
        if self.under_way.as_ref().is_some_and(|task| !task.is_finished()) {
            return None;
        }
        let ended = self.end_write().await;
        self.number += 1;
        let request = if self.number.is_multiple_of(2) { cancellation(&self.hasty) } else { order(&self.hasty) };
        let (door, onlooker, after) = (self.door.clone(), self.onlooker.clone(), self.usual * share / 100);
        let (steady, name) = (self.steady.clone(), format!("name {}", self.number));
        self.under_way = Some(tokio::spawn(async move {
            let (write, ()) = tokio::join!(write(&door, &onlooker, &steady, &name), door.hang_up(&request, after));
            write
        }));
        ended
    }

    /// Waits for the write that is under way.
    pub async fn end_write(&mut self) -> Option<Write> {
        match self.under_way.take() {
            Some(task) => Some(task.await.unwrap()),
            None => None,
        }
    }
}

/// Changes the name of the customer with the token `token`, and looks whether it is there.
async fn write(door: &Door, onlooker: &DatabaseConnection, token: &str, name: &str) -> Write {
    let request = door.request(Method::PATCH, "/api/auth/me").bearer_auth(token).json(&json!({ "displayName": name }));
    let Ok(answer) = request.send().await else { return Write::Refused };
    if answer.status() != StatusCode::OK {
        return Write::Refused;
    }
    let kept = user::Entity::find().filter(user::Column::Username.eq(STEADY)).one(onlooker).await.unwrap();
    let kept = kept.and_then(|user| user.display_name);
    if kept.as_deref() == Some(name) {
        return Write::Kept;
    }
    Write::Lost(violation("A1", format!("the name `{name}` was acknowledged, but the row has {kept:?}")))
}

/// Cancels an operation that does not exist.
fn cancellation(token: &str) -> String {
    request(&format!("/api/operations/{}/cancel", OperationId::generate()), token, "")
}

/// Orders a small server.
fn order(token: &str) -> String {
    request("/api/instances", token, r#"{"ctype":"dev","runtime":"node","version":"22","memoryMiB":128}"#)
}

fn request(path: &str, token: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: zpack\r\nauthorization: Bearer {token}\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
