//! Logs an outage once when it begins, once for each further cause, and once when it ends.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

/// How much of an error is compared with the one before, in characters.
const COMPARED: usize = 300;

/// How many causes of one outage are logged: a connection that breaks fails in several ways in turn.
const LOGGED_CAUSES: usize = 4;

/// The state of a peer, a store or a task: whether its last attempt failed.
#[derive(Debug)]
pub struct Outage {
    what: Cow<'static, str>,
    lasts: AtomicBool,
    /// The causes of this outage that were logged.
    causes: Mutex<Vec<String>>,
}

impl Outage {
    /// Starts without an outage of `what`, with which the log lines begin.
    pub fn of(what: impl Into<Cow<'static, str>>) -> Self {
        Self { what: what.into(), lasts: AtomicBool::new(false), causes: Mutex::default() }
    }

    /// The beginning of the log lines.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Records a failure; logs a warning if it begins an outage or has a cause that this outage did not have.
    pub fn failed(&self, error: impl Display) {
        let (what, cause) = (&self.what, cause_of(&error.to_string()));
        let mut causes = self.causes.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.lasts.swap(true, Ordering::Relaxed) {
            *causes = vec![cause];
            tracing::warn!(%error, "{what}: failing: {error}");
        } else if causes.len() < LOGGED_CAUSES && !causes.contains(&cause) {
            causes.push(cause);
            tracing::warn!(%error, "{what}: still failing, for another reason: {error}");
        } else {
            tracing::debug!(%error, "{what}: still failing: {error}");
        }
    }

    /// Records a success; logs it if it ends an outage.
    pub fn works(&self) {
        if self.lasts.load(Ordering::Relaxed) && self.lasts.swap(false, Ordering::Relaxed) {
            tracing::info!("{}: works again", self.what);
        }
    }
}

/// What of `error` is the same each time: without times, sizes, ports and ids, which are words with digits. Statuses, words of
/// three digits, count.
fn cause_of(error: &str) -> String {
    let text: String = error.chars().take(COMPARED).collect();
    let mut words = text.split_whitespace().peekable();
    let mut cause = String::new();
    while let Some(word) = words.next() {
        let bare = word.trim_matches(|c: char| c.is_ascii_punctuation());
        let is_amount = words.peek().is_some_and(|next| {
            let unit = next.trim_matches(|c: char| c.is_ascii_punctuation());
            matches!(unit, "s" | "ms" | "seconds" | "bytes" | "B" | "KiB" | "MiB")
        });
        let is_status = bare.len() == 3 && bare.bytes().all(|byte| byte.is_ascii_digit()) && !is_amount;
        if is_status || !word.bytes().any(|byte| byte.is_ascii_digit()) {
            cause.push_str(word);
            cause.push(' ');
        }
    }
    cause
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_and_ids_are_no_cause_and_statuses_are() {
        for (one, other) in [
            ("timed out after 31 ms", "timed out after 470 ms"),
            ("no route to 192.0.2.1:8006", "no route to 192.0.2.2:8006"),
            ("row 8f1c-22 is unreadable", "row 9a7d-31 is unreadable"),
        ] {
            assert_eq!(cause_of(one), cause_of(other));
        }
        for (one, other) in [("it answered 403: no", "it answered 503: no"), ("refused", "timed out")] {
            assert_ne!(cause_of(one), cause_of(other));
        }
    }
}
