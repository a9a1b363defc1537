//! A client of event streams.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::Value;

use super::door::Door;

/// The timeout of waiting for the next event.
const TIMEOUT: Duration = Duration::from_secs(60);

/// One event.
#[derive(Clone, Debug, PartialEq)]
pub struct Received {
    pub id: Option<i64>,
    pub name: String,
    pub data: Value,
}

/// An open stream. Dropping it disconnects.
pub struct Sse {
    answer: Response,
    text: String,
}

impl Sse {
    /// Opens the stream at `path`, after the event `after`.
    pub async fn open(door: &Door, path: &str, token: &str, after: Option<i64>) -> Self {
        let mut request = door.get(path).bearer_auth(token);
        if let Some(after) = after {
            request = request.header("last-event-id", after);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self { answer, text: String::new() }
    }

    /// The next event; `None` when the server has ended the stream.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = parse(event);
                self.text = rest.to_owned();
                if event.is_some() {
                    return event;
                }
                continue;
            }
            let chunk = tokio::time::timeout(TIMEOUT, self.answer.chunk()).await.expect("an event in time").unwrap();
            let Some(chunk) = chunk else {
                assert_eq!(self.text, "", "the stream ended within an event");
                return None;
            };
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// Every event until the server ends the stream.
    pub async fn rest(mut self) -> Vec<Received> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

/// The event in `text`; `None` for a comment.
fn parse(text: &str) -> Option<Received> {
    let (mut id, mut name, mut data) = (None, None, String::new());
    for line in text.lines().filter(|line| !line.starts_with(':')) {
        match line.split_once(": ").unwrap_or_else(|| panic!("not a field: {line:?}")) {
            ("id", value) => id = Some(value.parse().unwrap()),
            ("event", value) => name = Some(value.to_owned()),
            ("data", value) => data.push_str(value),
            _ => panic!("an unknown field: {line:?}"),
        }
    }
    name.map(|name| Received { id, name, data: serde_json::from_str(&data).unwrap() })
}
