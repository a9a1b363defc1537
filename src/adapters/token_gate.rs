//! Keeps calls back after a server has refused their token: nothing is sent for a span, then one call finds out whether
//! the token is accepted again, and the others wait for what it finds.
//!
//! Whatever a server answers but a refusal of the token proves that it is accepted. An answer that did not come proves
//! nothing: the span does not begin anew, and the next call finds out. Time is an argument.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What stands between the calls of a client and its server.
#[derive(Debug)]
pub(super) struct Gate {
    span: Duration,
    refused: Mutex<Option<Refused>>,
}

#[derive(Debug)]
struct Refused {
    until: Instant,
    detail: String,
    being_asked: bool,
}

/// A call that was let through. Dropped without a word, it has found out nothing.
#[must_use]
#[derive(Debug)]
pub(super) struct Attempt<'a> {
    gate: &'a Gate,
    finds_out: bool,
}

impl Gate {
    /// An open gate that closes for `span` when a token is refused.
    pub(super) fn new(span: Duration) -> Self {
        Self { span, refused: Mutex::new(None) }
    }

    /// Lets a call through, or says in the words of the server why not.
    pub(super) fn admit(&self, now: Instant) -> Result<Attempt<'_>, String> {
        let mut state = self.lock();
        let Some(refused) = state.as_mut() else { return Ok(Attempt { gate: self, finds_out: false }) };
        if refused.until > now {
            let seconds = (refused.until - now).as_secs().max(1);
            Err(format!("{} (asked again in {seconds} s)", refused.detail))
        } else if refused.being_asked {
            Err(format!("{} (being asked again)", refused.detail))
        } else {
            refused.being_asked = true;
            Ok(Attempt { gate: self, finds_out: true })
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Refused>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The server refused the token.
    pub(super) fn refused(mut self, now: Instant, detail: &str) {
        self.finds_out = false;
        let until = now + self.gate.span;
        *self.gate.lock() = Some(Refused { until, detail: detail.to_owned(), being_asked: false });
    }

    /// The server accepted the token, whatever else it said.
    pub(super) fn accepted(mut self) {
        self.finds_out = false;
        *self.gate.lock() = None;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.finds_out
            && let Some(refused) = self.gate.lock().as_mut()
        {
            refused.being_asked = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn closed(now: Instant) -> Gate {
        let gate = Gate::new(MINUTE);
        gate.admit(now).unwrap().refused(now, "no");
        gate
    }

    #[test]
    fn a_refused_token_is_tried_by_one_call_a_span_until_it_is_accepted() {
        let now = Instant::now();
        let gate = closed(now);
        assert_eq!(gate.admit(now).unwrap_err(), "no (asked again in 60 s)");
        let mut later = now;
        for _ in 0..3 {
            later += MINUTE;
            let one = gate.admit(later).unwrap();
            assert_eq!(gate.admit(later).unwrap_err(), "no (being asked again)");
            one.refused(later, "no");
            assert!(gate.admit(later).is_err());
        }
        later += MINUTE;
        gate.admit(later).unwrap().accepted();
        let several = [gate.admit(later), gate.admit(later)];
        assert!(several.iter().all(Result::is_ok));
    }

    #[test]
    fn a_call_that_found_out_nothing_is_no_refusal_and_the_next_one_asks() {
        let now = Instant::now();
        let gate = closed(now);
        let later = now + MINUTE;
        for _ in 0..3 {
            drop(gate.admit(later).unwrap());
        }
        let asking = gate.admit(later).unwrap();
        assert!(gate.admit(later).is_err());
        drop(asking);
        gate.admit(later).unwrap().accepted();
    }

    #[test]
    fn a_call_from_before_the_refusal_that_got_no_answer_opens_nothing() {
        let now = Instant::now();
        let gate = Gate::new(MINUTE);
        let early = gate.admit(now).unwrap();
        gate.admit(now).unwrap().refused(now, "no");
        let asking = gate.admit(now + MINUTE).unwrap();
        drop(early);
        assert!(gate.admit(now + MINUTE).is_err());
        drop(asking);
    }
}
