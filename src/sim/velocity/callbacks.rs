//! The callbacks of the bridge to zpack (docs/contracts/edge.md C1), and how they are delayed, repeated, reordered and
//! lost.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;
use url::Url;

use crate::sim::Core;
use crate::sim::peer::ControlError;
use crate::sim::ring::Ring;
use crate::sim::wire::exchange;

/// Events that wait, and callbacks that are kept: the oldest go first.
const CAPACITY: usize = 1000;
/// The longest event that a control request may send.
const MAX_EVENT: usize = 64 * 1024;
/// How long an event that the next one overtakes waits for it.
const OVERTAKING: Duration = Duration::from_secs(5);
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where callbacks are sent, and the faults on the way.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct CallbackSettings {
    /// The URL they are sent to; without it none is sent.
    pub url: Option<Url>,
    /// Sent as a bearer token, beside the secret of the bridge.
    pub token: Option<String>,
    /// The delay of each, in milliseconds, not scaled.
    pub delay_ms: u64,
    /// How many more times each is sent.
    pub duplicates: u32,
    /// Whether every second one overtakes the one before it.
    pub reorder: bool,
    /// How many of the next ones are lost.
    pub drop: u32,
}

/// A callback that was sent or lost.
#[derive(Clone, Debug, Serialize)]
struct Sent {
    body: Value,
    status: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    dropped: bool,
}

#[derive(Default)]
struct Inner {
    settings: CallbackSettings,
    waiting: Ring<Value, CAPACITY>,
    sent: Ring<Sent, CAPACITY>,
}

/// The callbacks of one proxy.
#[derive(Default)]
pub struct Outbox {
    inner: Mutex<Inner>,
    wake: Notify,
}

impl Outbox {
    /// An outbox with the settings of the last run.
    pub fn new(settings: CallbackSettings) -> Self {
        Self { inner: Mutex::new(Inner { settings, ..Inner::default() }), wake: Notify::new() }
    }

    /// The settings.
    pub fn settings(&self) -> CallbackSettings {
        self.lock().settings.clone()
    }

    /// Replaces the settings.
    pub fn set(&self, settings: CallbackSettings) {
        self.lock().settings = settings;
        self.wake.notify_one();
    }

    /// Adds an event; without a URL to send it to it is dropped.
    pub fn push(&self, event: Value) {
        let mut inner = self.lock();
        if inner.settings.url.is_none() {
            return;
        }
        inner.waiting.push(event);
        drop(inner);
        self.wake.notify_one();
    }

    /// Adds the event of a control request, unless it is too long to be kept.
    pub fn push_planned(&self, event: Value) -> Result<(), ControlError> {
        if event.to_string().len() > MAX_EVENT {
            return Err(ControlError::Invalid(format!("an event has at most {MAX_EVENT} bytes")));
        }
        self.push(event);
        Ok(())
    }

    /// What `/sim/state` shows.
    pub fn view(&self) -> Value {
        let inner = self.lock();
        let mut settings = json!(inner.settings);
        if let Some(token) = settings.get_mut("token").filter(|token| !token.is_null()) {
            *token = Value::from("***");
        }
        json!({"settings": settings, "waiting": inner.waiting.len(), "sent": *inner.sent})
    }

    /// Sends the events until the world stops. `proof` is the value of the secret header.
    pub async fn deliver(&self, core: &Core, proof: impl Fn() -> String) {
        let mut held: Option<Value> = None;
        loop {
            let next = self.lock().waiting.pop_front();
            let batch = match (next, held.take()) {
                (Some(event), Some(earlier)) => vec![event, earlier],
                (Some(event), None) if self.settings().reorder => {
                    held = Some(event);
                    continue;
                }
                (Some(event), None) => vec![event],
                (None, Some(earlier)) => {
                    tokio::select! {
                        () = self.wake.notified() => held = Some(earlier),
                        () = core.wait(OVERTAKING) => self.send(earlier, proof()).await,
                        () = core.stopping.cancelled() => return,
                    }
                    continue;
                }
                (None, None) => {
                    tokio::select! {
                        () = self.wake.notified() => continue,
                        () = core.stopping.cancelled() => return,
                    }
                }
            };
            for event in batch {
                tokio::select! {
                    () = self.send(event, proof()) => {}
                    () = core.stopping.cancelled() => return,
                }
            }
        }
    }

    async fn send(&self, body: Value, proof: String) {
        let settings = {
            let mut inner = self.lock();
            let settings = inner.settings.clone();
            inner.settings.drop = settings.drop.saturating_sub(1);
            settings
        };
        let Some(url) = &settings.url else { return };
        if settings.drop > 0 {
            return self.record(Sent { body, status: None, error: None, dropped: true });
        }
        let mut headers = vec![("content-type", "application/json".to_owned()), ("x-zpack-secret", proof)];
        headers.extend(settings.token.map(|token| ("authorization", format!("Bearer {token}"))));
        for _ in 0..=settings.duplicates {
            tokio::time::sleep(Duration::from_millis(settings.delay_ms)).await;
            let answer = exchange(Method::POST, url, &headers, Bytes::from(body.to_string()), TIMEOUT).await;
            let (status, error) = match answer {
                Ok((status, _)) => (Some(status), None),
                Err(error) => (None, Some(error.to_string())),
            };
            self.record(Sent { body: body.clone(), status, error, dropped: false });
        }
    }

    fn record(&self, sent: Sent) {
        self.lock().sent.push(sent);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_and_callbacks_beyond_the_bound_push_the_oldest_out() {
        let url = Url::parse("http://127.0.0.1:9/").unwrap();
        let outbox = Outbox::new(CallbackSettings { url: Some(url), ..CallbackSettings::default() });
        for number in 0..CAPACITY + 10 {
            outbox.push(json!(number));
            outbox.record(Sent { body: json!(number), status: Some(200), error: None, dropped: false });
        }
        let inner = outbox.lock();
        assert_eq!((inner.waiting.len(), inner.waiting.front()), (CAPACITY, Some(&json!(10))));
        assert_eq!((inner.sent.len(), &inner.sent.front().unwrap().body), (CAPACITY, &json!(10)));
        drop(inner);
        assert!(outbox.push_planned(json!("e".repeat(MAX_EVENT))).is_err());
    }
}
