//! The last request of an operator to publish or unpublish a server. Pure.
//!
//! Requests are numbered in the order in which they were accepted, and the last one counts, in whatever order their
//! operations run. Repeating the last request is the same request.

use serde::{Deserialize, Serialize};

use super::state::Intent;

/// The key of the payload this is stored under.
pub const PUBLISH_REQUEST_KEY: &str = "edge_wish";

/// A request to publish or unpublish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishRequest {
    /// Counts the requests of a server, from 1.
    pub number: u32,
    /// What was requested.
    pub intent: Intent,
}

impl PublishRequest {
    /// The request for `intent` after `last`.
    pub fn after(last: Option<Self>, intent: Intent) -> Self {
        match last {
            Some(last) if last.intent == intent => last,
            Some(last) => Self { number: last.number.saturating_add(1), intent },
            None => Self { number: 1, intent },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_intent_is_a_new_request_and_a_repetition_is_the_same() {
        let first = PublishRequest::after(None, Intent::Published);
        let again = PublishRequest::after(Some(first), Intent::Published);
        let other = PublishRequest::after(Some(again), Intent::Unpublished);
        let back = PublishRequest::after(Some(other), Intent::Published);
        assert_eq!([first, again, other, back].map(|request| request.number), [1, 1, 2, 3]);
    }
}
